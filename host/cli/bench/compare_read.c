// SPDX-License-Identifier: Apache-2.0
#include "cli/bench/compare_read.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/log.h"

#define SCHEMA      "onepeace-bench"
#define VERSION     1
#define FILE_LIMIT  ((off_t)64 << 20)
#define ENTRY_LIMIT 4096

// --- The file -----------------------------------------------------------------------------------

static int check_schema(const struct onp_bench_document *d) {
    const json_t *schema = json_object_get(d->root, "schema");
    const json_t *version = json_object_get(d->root, "version");
    if (!json_is_object(d->root) || !json_is_string(schema))
        return onp_cli_fail("%s is no report of onepeace bench: it names no schema", d->path);
    if (strcmp(json_string_value(schema), SCHEMA) != 0)
        return onp_cli_fail("%s is no report of onepeace bench: its schema is \"%.64s\", not "
                            "\"" SCHEMA "\"",
                            d->path, json_string_value(schema));
    if (!json_is_integer(version))
        return onp_cli_fail("%s has no version of the schema " SCHEMA, d->path);
    if (json_integer_value(version) != VERSION)
        return onp_cli_fail("%s has version %lld of the schema " SCHEMA
                            ", this program reads version %d: compare it with the program that "
                            "wrote it",
                            d->path, (long long)json_integer_value(version), VERSION);
    return ONP_CLI_OK;
}

static int load(struct onp_bench_document *d) {
    struct stat st;
    FILE *file = fopen(d->path, "rb");
    if (!file) return onp_cli_fail("cannot open %s: %s", d->path, strerror(errno));
    int code = ONP_CLI_OK;
    if (fstat(fileno(file), &st) != 0 || !S_ISREG(st.st_mode))
        code = onp_cli_fail("%s is not a regular file", d->path);
    else if (st.st_size > FILE_LIMIT)
        code = onp_cli_fail("%s has %lld bytes, a report at most %lld", d->path,
                            (long long)st.st_size, (long long)FILE_LIMIT);
    json_error_t error;
    if (code == ONP_CLI_OK && !(d->root = json_loadf(file, JSON_REJECT_DUPLICATES, &error)))
        code = onp_cli_fail("%s is no JSON: line %d, column %d: %s", d->path, error.line,
                            error.column, error.text);
    fclose(file);
    return code == ONP_CLI_OK ? check_schema(d) : code;
}

// --- Figures ------------------------------------------------------------------------------------

static int out_of_memory(const struct onp_bench_document *d) {
    return onp_cli_fail("out of memory for %s", d->path);
}

// Copies a list of samples; what could not be measured is null.
static int read_samples(const struct onp_bench_document *d, const json_t *list, const char *where,
                        struct onp_bench_figure *figure) {
    const size_t count = json_array_size(list);
    if (list && !json_is_array(list))
        return onp_cli_fail("%s: the samples of %.128s are no list", d->path, where);
    if (count == 0) return ONP_CLI_OK;
    figure->values = malloc(count * sizeof *figure->values);
    if (!figure->values) return out_of_memory(d);
    for (size_t i = 0; i < count; i++) {
        const json_t *item = json_array_get(list, i);
        const double value = json_number_value(item);
        if (json_is_null(item)) continue;
        if (!json_is_number(item) || !(value > 0.0) || !isfinite(value))
            return onp_cli_fail("%s: sample %zu of %.128s is no positive number", d->path, i,
                                where);
        figure->values[figure->count++] = value;
    }
    return ONP_CLI_OK;
}

static const char *text_of(const json_t *object, const char *name) {
    const char *text = json_string_value(json_object_get(object, name));
    return text ? text : "";
}

// "%.80s"s keep hostile names short.
static char *joined(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static char *joined(const char *fmt, ...) {
    char text[512];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    return strdup(text);
}

static const char *input_of(const json_t *entry) {
    const char *input = text_of(entry, "input");
    return *input ? input : text_of(entry, "kind");
}

static void name_kernel(const json_t *k, struct onp_bench_figure *figure) {
    figure->what = joined("%.60s, batch %.0f: %.40s %.100s", input_of(k),
                          json_number_value(json_object_get(k, "batch")), text_of(k, "op"),
                          text_of(k, "shape"));
    figure->detail = joined("%.60s", text_of(k, "variant"));
}

static void name_scenario(const json_t *s, struct onp_bench_figure *figure) {
    const json_t *rate = json_object_get(s, "arrivals_per_s");
    figure->what = joined("%.60s, batch %.0f: %.40s, %.40s", input_of(s),
                          json_number_value(json_object_get(s, "batch")), text_of(s, "scenario"),
                          text_of(s, "scope"));
    figure->detail = json_is_number(rate) ? joined("%.3g arrivals/s", json_number_value(rate))
                                          : joined("%s", "");
}

// A sample of a list is the time of so many items, which may differ from run to run.
static void per_item(const json_t *entry, struct onp_bench_figure *figure) {
    const double items = json_number_value(json_object_get(entry, "items_per_sample"));
    for (size_t i = 0; i < figure->count && items > 1.0 && items < 1e9; i++)
        figure->values[i] /= items;
}

static int read_entries(struct onp_bench_document *d, const char *name,
                        void (*describe)(const json_t *, struct onp_bench_figure *),
                        struct onp_bench_figure **list, size_t *count) {
    const json_t *array = json_object_get(d->root, name);
    const size_t size = json_array_size(array);
    if (!json_is_array(array)) return onp_cli_fail("%s: \"%s\" is no list", d->path, name);
    if (size > ENTRY_LIMIT)
        return onp_cli_fail("%s: \"%s\" has %zu entries, at most %d are read", d->path, name, size,
                            ENTRY_LIMIT);
    *list = calloc(size ? size : 1, sizeof(**list));
    if (!*list) return out_of_memory(d);
    for (size_t i = 0; i < size; i++) {
        const json_t *entry = json_array_get(array, i);
        struct onp_bench_figure *figure = &(*list)[(*count)++];
        if (!json_is_object(entry))
            return onp_cli_fail("%s: entry %zu of \"%s\" is no object", d->path, i, name);
        describe(entry, figure);
        if (!figure->what || !figure->detail) return out_of_memory(d);
        const int code = read_samples(d, json_object_get(entry, "samples_s"), figure->what, figure);
        if (code != ONP_CLI_OK) return code;
        per_item(entry, figure);
    }
    return ONP_CLI_OK;
}

static int read_peaks(struct onp_bench_document *d) {
    json_t *samples = json_object_get(json_object_get(d->root, "peaks"), "samples");
    const char *name;
    json_t *value;
    if (!json_is_object(samples))
        return onp_cli_fail("%s: \"peaks\" has no object \"samples\"", d->path);
    if (json_object_size(samples) > ENTRY_LIMIT)
        return onp_cli_fail("%s: \"peaks\" has too many entries", d->path);
    d->peaks = calloc(json_object_size(samples) + 1, sizeof *d->peaks);
    if (!d->peaks) return out_of_memory(d);
    json_object_foreach(samples, name, value) {
        struct onp_bench_figure *figure = &d->peaks[d->peak_count++];
        figure->what = joined("%.100s", name);
        figure->detail = joined("%s", "");
        if (!figure->what || !figure->detail) return out_of_memory(d);
        const int code = read_samples(d, value, figure->what, figure);
        if (code != ONP_CLI_OK) return code;
    }
    return ONP_CLI_OK;
}

// --- A document ---------------------------------------------------------------------------------

int onp_bench_document_read(const char *path, struct onp_bench_document *d) {
    *d = (struct onp_bench_document){.path = path};
    int code = load(d);
    if (code == ONP_CLI_OK) code = read_peaks(d);
    if (code == ONP_CLI_OK)
        code = read_entries(d, "kernels", name_kernel, &d->kernels, &d->kernel_count);
    if (code == ONP_CLI_OK)
        code = read_entries(d, "scenarios", name_scenario, &d->scenarios, &d->scenario_count);
    return code;
}

static void free_figures(struct onp_bench_figure *list, size_t count) {
    for (size_t i = 0; i < count; i++) {
        free(list[i].what);
        free(list[i].detail);
        free(list[i].values);
    }
    free(list);
}

void onp_bench_document_free(struct onp_bench_document *d) {
    free_figures(d->peaks, d->peak_count);
    free_figures(d->kernels, d->kernel_count);
    free_figures(d->scenarios, d->scenario_count);
    json_decref(d->root);
    *d = (struct onp_bench_document){0};
}

const char *onp_bench_document_text(const struct onp_bench_document *d, const char *const *names) {
    const json_t *at = d->root;
    for (; *names && at; names++) at = json_object_get(at, *names);
    const char *text = json_string_value(at);
    return text ? text : "";
}
