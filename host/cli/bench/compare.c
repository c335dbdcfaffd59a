// SPDX-License-Identifier: Apache-2.0
#include "cli/bench/compare.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/bench/compare_read.h"
#include "cli/bench/ratio.h"
#include "cli/log.h"
#include "cli/output.h"
#include "cli/text.h"

struct count {
    size_t faster, slower, same, unknown, only_a, only_b;
};

// --- Environments -------------------------------------------------------------------------------

// What must be the same for a difference to be the program's.
static const char *const fixed[][4] = {
    {"environment", "device", "name", NULL},
    {"environment", "device", "platform", NULL},
    {"environment", "device", "driver", NULL},
    {"environment", "host", "cpu", NULL},
    {"environment", "host", "os", NULL},
    {"environment", "host", "kernel", NULL},
    {"model", "name", NULL, NULL},
    {"model", "dtype", NULL, NULL},
    {"program", "compiler", NULL, NULL},
};

static void warn_differences(const struct onp_bench_document *a,
                             const struct onp_bench_document *b) {
    for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++) {
        const char *x = onp_bench_document_text(a, fixed[i]);
        const char *y = onp_bench_document_text(b, fixed[i]);
        if (strcmp(x, y) == 0) continue;
        const char *name = fixed[i][2] ? fixed[i][2] : fixed[i][1];
        onp_cli_say(ONP_LOG_WARNING, "the environments differ, %s %s: \"%.100s\" and \"%.100s\"",
                    fixed[i][2] ? fixed[i][1] : fixed[i][0], name, x, y);
    }
}

static void warn_flags(const struct onp_bench_document *d) {
    const json_t *flags = json_object_get(json_object_get(d->root, "environment"), "flags");
    for (size_t i = 0; i < json_array_size(flags) && i < 16; i++) {
        const json_t *flag = json_array_get(flags, i);
        const char *kind = json_string_value(json_object_get(flag, "kind"));
        const char *detail = json_string_value(json_object_get(flag, "detail"));
        if (kind)
            onp_cli_say(ONP_LOG_WARNING, "%s is of a machine that was %.40s: %.200s", d->path, kind,
                        detail ? detail : "");
    }
}

static void print_plain(const char *text) { onp_cli_text_plain(stdout, text, strlen(text)); }

static void print_head(char letter, const struct onp_bench_document *d) {
    static const char *const names[][4] = {{"environment", "device", "name", NULL},
                                           {"model", "name", NULL, NULL},
                                           {"program", "version", NULL, NULL},
                                           {"program", "commit", NULL, NULL},
                                           {"created", NULL, NULL, NULL}};
    printf("%c  ", letter);
    print_plain(d->path);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        fputs(i ? ", " : ": ", stdout);
        print_plain(onp_bench_document_text(d, names[i]));
    }
    putchar('\n');
}

// --- Figures ------------------------------------------------------------------------------------

// Values of a rate grow with speed, those of a time shrink: "..._us" and all samples in seconds.
static bool is_rate(const char *name) {
    const size_t length = strlen(name);
    return !(length > 3 && strcmp(name + length - 3, "_us") == 0);
}

static void print_ratio(const struct onp_bench_ratio *r, const struct onp_bench_figure *a,
                        const struct onp_bench_figure *b, struct count *count) {
    const int side = onp_bench_ratio_side(r);
    printf("  %7.3f", r->ratio);
    if (r->known)
        printf("  [%6.3f, %6.3f]  %-6s  ", r->low, r->high,
               side > 0   ? "faster"
               : side < 0 ? "slower"
                          : "");
    else
        printf("  %-16s  %-6s  ", "too few samples", "");
    count->faster += side > 0;
    count->slower += side < 0;
    count->same += side == 0 && r->known;
    count->unknown += !r->known;
    print_plain(a->what);
    if (strcmp(a->detail, b->detail) != 0) {
        fputs(" (", stdout);
        print_plain(a->detail);
        fputs(" -> ", stdout);
        print_plain(b->detail);
        putchar(')');
    }
    putchar('\n');
}

// The figure of the same name that no other was compared with yet.
static struct onp_bench_figure *partner(const char *what, struct onp_bench_figure *list,
                                        size_t size, const bool *used, size_t *index) {
    for (*index = 0; *index < size; (*index)++)
        if (!used[*index] && strcmp(list[*index].what, what) == 0) return &list[*index];
    return NULL;
}

static int compare_list(const char *title, struct onp_bench_figure *a, size_t a_count,
                        struct onp_bench_figure *b, size_t b_count, bool rates,
                        struct count *count) {
    bool *used = calloc(b_count ? b_count : 1, sizeof *used);
    bool fine = used != NULL;
    printf("%s\n", title);
    for (size_t i = 0; i < a_count && fine; i++) {
        size_t at;
        struct onp_bench_ratio ratio;
        struct onp_bench_figure *other = partner(a[i].what, b, b_count, used, &at);
        if (other) used[at] = true;
        if (other && a[i].count == 0 && other->count == 0) continue; // neither measured it
        if (!other || a[i].count == 0 || other->count == 0) {
            count->only_a += a[i].count > 0;
            count->only_b += other && other->count > 0;
            continue;
        }
        const bool rate = rates && is_rate(a[i].what);
        const struct onp_bench_figure *above = rate ? other : &a[i], *below = rate ? &a[i] : other;
        fine = onp_bench_ratio(above->values, above->count, below->values, below->count, &ratio);
        if (fine) print_ratio(&ratio, &a[i], other, count);
    }
    for (size_t i = 0; i < b_count && fine; i++) count->only_b += !used[i] && b[i].count > 0;
    free(used);
    return fine ? ONP_CLI_OK : onp_cli_fail("out of memory");
}

static int compare(struct onp_bench_document *a, struct onp_bench_document *b) {
    struct count n = {0};
    warn_differences(a, b);
    warn_flags(a);
    warn_flags(b);
    print_head('A', a);
    print_head('B', b);
    printf("Speed of B over A: the ratio of medians, [95 %% interval] by a percentile bootstrap of "
           "%d\nresamples. It knows the noise within each run, not what changed between them.\n",
           ONP_BENCH_RESAMPLES);
    int code = compare_list("peaks", a->peaks, a->peak_count, b->peaks, b->peak_count, true, &n);
    if (code == ONP_CLI_OK)
        code = compare_list("scenarios", a->scenarios, a->scenario_count, b->scenarios,
                            b->scenario_count, false, &n);
    if (code == ONP_CLI_OK)
        code = compare_list("kernels", a->kernels, a->kernel_count, b->kernels, b->kernel_count,
                            false, &n);
    printf("%zu faster, %zu slower, %zu the same within noise, %zu with too few samples; %zu only "
           "in A, %zu only in B\n",
           n.faster, n.slower, n.same, n.unknown, n.only_a, n.only_b);
    return onp_cli_stdout_end(code);
}

int onp_bench_compare(const char *a, const char *b) {
    struct onp_bench_document x = {0}, y = {0};
    int code = onp_bench_document_read(a, &x);
    if (code == ONP_CLI_OK) code = onp_bench_document_read(b, &y);
    if (code == ONP_CLI_OK) code = compare(&x, &y);
    onp_bench_document_free(&x);
    onp_bench_document_free(&y);
    return code;
}
