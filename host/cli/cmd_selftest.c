// SPDX-License-Identifier: Apache-2.0
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/session.h"
#include "cli/text.h"

enum { MAX_VARIANTS = 32 };

// All cases of one variant make one line. Those that it declines are not reported.
struct group {
    char variant[48];
    size_t passed, failed;
    double worst, tolerance; // of the case nearest to its tolerance
};

struct selftest {
    struct onp_cli_settings settings;
    const char *op;
    bool quick;
    uint64_t seed;
    struct onp_cli_session session;
    char running[32]; // the operation whose cases arrive now
    struct group groups[MAX_VARIANTS];
    size_t group_count;
    char failed[1024]; // names of failing variants, comma-separated
};

static void remember_failed(struct selftest *t, const char *variant) {
    size_t used = strlen(t->failed);
    snprintf(t->failed + used, sizeof t->failed - used, "%s%s", used ? "," : "", variant);
}

static void print_group(struct selftest *t, const struct group *g) {
    printf("%-8s  %-16s %-26s %4zu of %4zu cases, worst error %.2e (limit %.2e)\n",
           g->failed ? "FAILED" : "passed", t->running, g->variant, g->passed,
           g->passed + g->failed, g->worst, g->tolerance);
    if (g->failed) remember_failed(t, g->variant);
}

// The cases of an operation arrive together, those of its variants mixed.
static void end_operation(struct selftest *t) {
    for (size_t i = 0; i < t->group_count; i++) print_group(t, &t->groups[i]);
    fflush(stdout);
    t->group_count = 0;
}

static struct group *group_of(struct selftest *t, const struct onp_selftest_result *r) {
    if (strcmp(t->running, r->op) != 0) end_operation(t);
    snprintf(t->running, sizeof t->running, "%s", r->op);
    for (size_t i = 0; i < t->group_count; i++)
        if (strcmp(t->groups[i].variant, r->variant) == 0) return &t->groups[i];
    if (t->group_count == MAX_VARIANTS) end_operation(t);
    struct group *g = &t->groups[t->group_count++];
    memset(g, 0, sizeof *g);
    snprintf(g->variant, sizeof g->variant, "%s", r->variant);
    return g;
}

static bool is_worse(const struct group *g, const struct onp_selftest_result *r) {
    if (g->tolerance <= 0.0) return true;
    return r->error * g->tolerance >= g->worst * r->tolerance;
}

static void print_failure(const struct onp_selftest_result *r) {
    printf("  %s/%s, case %s: ", r->op, r->variant, r->label);
    if (r->status == ONP_ERR_MISMATCH)
        printf("error %.3e, limit %.3e", r->error, r->tolerance);
    else
        fputs(onp_status_name(r->status), stdout);
    printf(", seed %" PRIu64, r->seed);
    if (r->message[0]) {
        fputs(": ", stdout);
        onp_cli_text_plain(stdout, r->message, strlen(r->message));
    }
    putchar('\n');
}

static void on_result(void *user, const struct onp_selftest_result *r) {
    struct selftest *t = user;
    struct group *g = group_of(t, r);
    if (r->status == ONP_OK) {
        g->passed++;
    } else {
        g->failed++;
        print_failure(r);
    }
    if (r->status != ONP_OK && r->status != ONP_ERR_MISMATCH) return;
    if (is_worse(g, r)) {
        g->worst = r->error;
        g->tolerance = r->tolerance;
    }
}

static int summarize(const struct selftest *t, const struct onp_selftest_summary *summary) {
    printf("%zu passed, %zu failed, %zu declined (seed %" PRIu64 ")\n", summary->passed,
           summary->failed, summary->declined, t->seed);
    if (summary->failed == 0 && summary->passed > 0) return ONP_CLI_OK;
    if (summary->failed == 0 && t->op)
        return onp_cli_fail("no case ran: no operation or variant has '%s' in its name", t->op);
    if (summary->failed == 0) return onp_cli_fail("no case ran");
    printf("Failing variants are not used with --disable-variant %s\n", t->failed);
    return ONP_CLI_FAILED;
}

static int run(struct selftest *t) {
    struct onp_selftest_summary summary = {0};
    int code = onp_cli_session_begin(&t->session, &t->settings);
    if (code == ONP_CLI_OK) code = onp_cli_session_device(&t->session);
    if (code != ONP_CLI_OK) return code;
    enum onp_status status =
        onp_selftest(t->session.device, t->op, t->quick, t->seed, on_result, t, &summary);
    end_operation(t);
    if (status != ONP_OK && status != ONP_ERR_MISMATCH) return onp_cli_status(status);
    return summarize(t, &summary);
}

int onp_cli_cmd_selftest(int argc, char **argv) {
    struct selftest t = {.seed = 1};
    const struct onp_cli_option options[] = {
        ONP_CLI_OPT_FLAG("quick", 0, &t.quick, "leave out the slow cases"),
        ONP_CLI_OPT("op", 0, ONP_CLI_STRING, "TEXT", &t.op,
                    "only operations or variants with TEXT in their name"),
        ONP_CLI_OPT_NUMBER("seed", "N", &t.seed, 0, UINT64_MAX,
                           "seed of the random inputs (default: 1)"),
        ONP_CLI_DEVICE_OPTIONS(&t.settings),
        ONP_CLI_LOG_OPTIONS(&t.settings),
    };
    const struct onp_cli_usage usage = {
        .command = "selftest",
        .synopsis = "[--device DEVICE] [--quick] [--op TEXT] [--seed N]",
        .about = "Runs every kernel variant on a device against the C reference and prints a line\n"
                 "for each. A variant that fails is named; --disable-variant switches it off here\n"
                 "and in embed and similarity.",
        .options = options,
        .option_count = sizeof options / sizeof options[0]};
    size_t positional;
    int code;
    if (onp_cli_parse(&usage, argc, argv, &positional, &code)) code = run(&t);
    onp_cli_session_end(&t.session);
    free(t.settings.disabled.list);
    return code;
}
