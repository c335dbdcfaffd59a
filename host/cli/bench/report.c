// SPDX-License-Identifier: Apache-2.0
#include "cli/bench/report.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli/bench/commit.h"
#include "cli/output.h"
#include "cli/text.h"

#if defined(__clang__)
#define COMPILER "clang " __clang_version__
#elif defined(__GNUC__)
#define COMPILER "gcc " __VERSION__
#else
#define COMPILER "unknown"
#endif

json_t *onp_bench_number(double value) { return isfinite(value) ? json_real(value) : json_null(); }

json_t *onp_bench_numbers(const double *list, size_t count) {
    json_t *array = json_array();
    for (size_t i = 0; i < count; i++) json_array_append_new(array, onp_bench_number(list[i]));
    return array;
}

json_t *onp_bench_text(const char *text) {
    char safe[512];
    size_t used = 0;
    for (size_t left = strlen(text); left > 0 && used + 4 < sizeof safe;) {
        uint32_t code;
        const size_t length = onp_cli_utf8(text, left, &code), step = length ? length : 1;
        if (length) memcpy(safe + used, text, length);
        if (!length) safe[used] = '?';
        used += step;
        text += step;
        left -= step;
    }
    return json_stringn(safe, used);
}

// --- Peaks -------------------------------------------------------------------------------------

static double probe_best(const struct onp_bench *bench, enum onp_probe probe) {
    if (probe == ONP_PROBE_FMA_F32) return bench->peaks.fma_best;
    return onp_probe_best(probe, &bench->peaks.result[probe]);
}

static json_t *probe_samples(const struct onp_bench *bench, enum onp_probe probe) {
    const struct onp_probe_result *r = &bench->peaks.result[probe];
    if (probe == ONP_PROBE_FMA_F32)
        return onp_bench_numbers(bench->peaks.fma.list, bench->peaks.fma.count);
    json_t *array = json_array();
    for (size_t i = 0; i < r->count && r->measured; i++)
        json_array_append_new(
            array, onp_bench_number(onp_bench_probe_value(probe, r->work, r->seconds[i])));
    return array;
}

json_t *onp_bench_peaks_json(const struct onp_bench *bench) {
    json_t *peaks = json_object(), *samples = json_object(), *methods = json_object();
    for (int p = 0; p < ONP_PROBE_COUNT; p++) {
        const enum onp_probe probe = (enum onp_probe)p;
        const struct onp_probe_result *r = &bench->peaks.result[p];
        const char *name = onp_probe_name(probe);
        json_object_set_new(peaks, name,
                            r->measured ? onp_bench_number(probe_best(bench, probe)) : json_null());
        json_object_set_new(samples, name, probe_samples(bench, probe));
        json_object_set_new(methods, name, json_string(r->method));
    }
    json_object_set_new(peaks, "samples", samples);
    json_object_set_new(peaks, "methods", methods);
    return peaks;
}

// --- Model, accuracy, first run ----------------------------------------------------------------

static json_t *model_json(const struct onp_bench *bench) {
    const struct onp_model_info *m = &bench->session.info;
    json_t *parameters = json_object();
    for (int i = 0; i < ONP_MODALITY_COUNT; i++)
        if (m->modalities & ONP_BIT(i))
            json_object_set_new(parameters, onp_modality_name((enum onp_modality)i),
                                json_integer((json_int_t)m->parameters[i]));
    return json_pack("{s:o,s:b,s:i,s:i,s:i,s:i,s:i,s:s,s:o,s:I}", "name",
                     onp_bench_text(bench->model_name), "synthetic", (int)bench->synthetic,
                     "embed_dim", (int)m->embed_dim, "ffn_dim", (int)m->ffn_dim, "layers",
                     (int)m->layers, "heads", (int)m->heads, "image_size", (int)m->image_size,
                     "dtype", bench->options.settings.dtype ? "f16" : "f32", "parameters",
                     parameters, "seed", (json_int_t)bench->options.seed);
}

static json_t *accuracy_json(const struct onp_bench *bench) {
    json_t *array = json_array();
    for (int m = 0; m < ONP_MODALITY_COUNT; m++) {
        const struct onp_bench_accuracy_row *row = &bench->accuracy[m];
        if (!row->measured) continue;
        json_array_append_new(
            array,
            json_pack("{s:s,s:o,s:o,s:o,s:s,s:b}", "kind", onp_modality_name((enum onp_modality)m),
                      "worst_error", onp_bench_number(row->worst_error), "cosine",
                      onp_bench_number(row->cosine), "tolerance", onp_bench_number(row->tolerance),
                      "against", "reference", "within", (int)(row->worst_error <= row->tolerance)));
    }
    return array;
}

static json_t *first_run_json(const struct onp_bench *bench) {
    const struct onp_bench_branch *b = bench->branches;
    double compile = 0.0, upload = 0.0, first = -1.0;
    uint64_t weights = 0, arena = 0;
    json_t *branches = json_array();
    for (int m = 0; m < ONP_MODALITY_COUNT; m++) {
        if (!b[m].measured) continue;
        compile += b[m].compile_s;
        upload += b[m].upload_s;
        weights += b[m].weight_bytes;
        if (b[m].arena_bytes > arena) arena = b[m].arena_bytes;
        if (first < 0.0) first = b[m].first_embedding_s;
        json_array_append_new(
            branches,
            json_pack("{s:s,s:o,s:o,s:o,s:I,s:I,s:i}", "kind",
                      onp_modality_name((enum onp_modality)m), "compile_s",
                      onp_bench_number(b[m].compile_s), "upload_s", onp_bench_number(b[m].upload_s),
                      "first_embedding_s", onp_bench_number(b[m].first_embedding_s), "weight_bytes",
                      (json_int_t)b[m].weight_bytes, "arena_bytes", (json_int_t)b[m].arena_bytes,
                      "max_batch", (int)b[m].max_batch));
    }
    const char *cache = bench->cold_cache                  ? "cold"
                        : bench->options.settings.no_cache ? "off"
                                                           : "as found";
    return json_pack("{s:o,s:o,s:o,s:o,s:o,s:I,s:I,s:I,s:s,s:o}", "open_device_s",
                     onp_bench_number(bench->open_device_s), "open_model_s",
                     onp_bench_number(bench->open_model_s), "compile_s", onp_bench_number(compile),
                     "upload_s", onp_bench_number(upload), "first_embedding_s",
                     onp_bench_number(first), "weight_bytes", (json_int_t)weights, "arena_bytes",
                     (json_int_t)arena, "peak_rss_bytes", (json_int_t)bench->after.peak_rss_bytes,
                     "cache", cache, "branches", branches);
}

// --- The whole ---------------------------------------------------------------------------------

// Paths of this machine are nobody's business: only the last part stays.
static json_t *command_json(const struct onp_bench *bench) {
    json_t *array = json_pack("[s,s]", "onepeace", "bench");
    for (int i = 0; i < bench->options.argc; i++) {
        const char *word = bench->options.argv[i], *slash = strrchr(word, '/');
        char option[64] = "";
        const size_t name = strcspn(word, "=");
        if (slash && word[0] == '-' && word[name] && name + 2 < sizeof option)
            snprintf(option, sizeof option, "%.*s=", (int)name, word);
        char text[256];
        snprintf(text, sizeof text, "%s%s", option, slash ? slash + 1 : word);
        json_array_append_new(array, onp_bench_text(text));
    }
    return array;
}

static json_t *skipped_json(const struct onp_bench *bench) {
    json_t *array = json_array();
    if (bench->clockless)
        json_array_append_new(array, json_pack("{s:s,s:s}", "what", "kernels", "why",
                                               "the device has no clock of its own"));
    for (size_t i = 0; i < bench->input_count; i++)
        if (bench->inputs[i].missing[0])
            json_array_append_new(array,
                                  json_pack("{s:o,s:s}", "what",
                                            json_sprintf("end_to_end, %s", bench->inputs[i].label),
                                            "why", bench->inputs[i].missing));
    for (int m = 0; m < ONP_MODALITY_COUNT; m++)
        if (bench->accuracy[m].skipped[0])
            json_array_append_new(
                array,
                json_pack("{s:o,s:s}", "what",
                          json_sprintf("accuracy, %s", onp_modality_name((enum onp_modality)m)),
                          "why", bench->accuracy[m].skipped));
    return array;
}

json_t *onp_bench_report(const struct onp_bench *bench) {
    char created[32];
    const time_t now = time(NULL);
    struct tm utc;
    gmtime_r(&now, &utc);
    strftime(created, sizeof created, "%Y-%m-%dT%H:%M:%SZ", &utc);
    return json_pack("{s:s,s:i,s:s,s:{s:s,s:s,s:s},s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o}", "schema",
                     ONP_BENCH_SCHEMA, "version", ONP_BENCH_VERSION, "created", created, "program",
                     "version", onp_version(), "commit", ONP_COMMIT, "compiler", COMPILER,
                     "command", command_json(bench), "environment",
                     onp_bench_environment_json(bench), "model", model_json(bench), "peaks",
                     onp_bench_peaks_json(bench), "kernels", onp_bench_kernels_json(bench),
                     "scenarios", onp_bench_scenarios_json(bench), "accuracy", accuracy_json(bench),
                     "first_run", first_run_json(bench), "skipped", skipped_json(bench));
}

static int write_part(const char *buffer, size_t size, void *file) {
    return fwrite(buffer, 1, size, file) == size ? 0 : -1;
}

int onp_bench_report_write(const json_t *report, const char *path) {
    struct onp_cli_output *output;
    int code = onp_cli_output_open(path, &output);
    if (code != ONP_CLI_OK) return code;
    FILE *file = onp_cli_output_stream(output);
    // A failure to write is kept by the stream, and commit says it.
    json_dump_callback(report, write_part, file, JSON_INDENT(1) | JSON_REAL_PRECISION(9));
    fputc('\n', file);
    return onp_cli_output_commit(output);
}
