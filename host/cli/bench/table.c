// SPDX-License-Identifier: Apache-2.0
// The report for people.
#include <stdio.h>
#include <string.h>

#include "cli/bench/report.h"
#include "cli/text.h"

static const char *text_of(const json_t *object, const char *name) {
    const char *text = json_string_value(json_object_get(object, name));
    return text ? text : "";
}

static double number_of(const json_t *object, const char *name) {
    return json_number_value(json_object_get(object, name));
}

static void print_text(const char *text) { onp_cli_text_plain(stdout, text, strlen(text)); }

// "-" for what could not be measured.
static const char *cell(char out[16], const json_t *object, const char *name, double scale,
                        const char *format) {
    const json_t *value = json_object_get(object, name);
    if (!json_is_number(value)) return "-";
    if (strcmp(format, "%") == 0)
        snprintf(out, 16, "%.1f", 100.0 * json_number_value(value));
    else
        snprintf(out, 16, "%.4g", scale * json_number_value(value));
    return out;
}

static void print_head(const json_t *report) {
    const json_t *environment = json_object_get(report, "environment"), *flag;
    const json_t *device = json_object_get(environment, "device");
    const json_t *host = json_object_get(environment, "host"),
                 *model = json_object_get(report, "model");
    size_t i;
    fputs("Model   ", stdout);
    print_text(text_of(model, "name"));
    printf(": width %.0f, feed-forward %.0f, %.0f layers, weights kept as %s\nDevice  ",
           number_of(model, "embed_dim"), number_of(model, "ffn_dim"), number_of(model, "layers"),
           text_of(model, "dtype"));
    print_text(text_of(device, "name"));
    fputs(", ", stdout);
    print_text(text_of(device, "platform"));
    fputs("\nHost    ", stdout);
    print_text(text_of(host, "cpu"));
    printf(", %.0f cores, %.1f GB\n", number_of(host, "cores"),
           1e-9 * number_of(host, "memory_bytes"));
    json_array_foreach(json_object_get(environment, "flags"), i, flag) {
        printf("Note    %s: ", text_of(flag, "kind"));
        print_text(text_of(flag, "detail"));
        putchar('\n');
    }
}

static void print_peaks(const json_t *report) {
    const json_t *peaks = json_object_get(report, "peaks");
    char out[16];
    puts("\nPeaks of the device");
    for (int p = 0; p < ONP_PROBE_COUNT; p++) {
        const char *name = onp_probe_name((enum onp_probe)p);
        printf("  %-22s%10s\n", name, cell(out, peaks, name, 1.0, ""));
    }
}

static void print_kernels(const json_t *report) {
    const json_t *kernels = json_object_get(report, "kernels"), *k;
    size_t i;
    if (json_array_size(kernels) == 0) return;
    puts("\nKernels that take at least 1 % of the device's time");
    printf("  %-16s %5s %-13s %-22s %-26s %8s %8s %7s %6s %7s %s\n", "input", "batch", "op",
           "variant", "shape", "us", "GFLOP/s", "% peak", "GB/s", "% time", "bound");
    json_array_foreach(kernels, i, k) {
        char us[16], rate[16], peak[16], bytes[16], share[16];
        if (number_of(k, "share") < 0.01) continue;
        printf("  %-16s %5.0f %-13s %-22s %-26s %8s %8s %7s %6s %7s %s\n", text_of(k, "input"),
               number_of(k, "batch"), text_of(k, "op"), text_of(k, "variant"), text_of(k, "shape"),
               cell(us, k, "seconds", 1e6, ""), cell(rate, k, "gflops", 1.0, ""),
               cell(peak, k, "fraction_of_peak", 1.0, "%"), cell(bytes, k, "gbps", 1.0, ""),
               cell(share, k, "share", 1.0, "%"), text_of(k, "bound"));
    }
}

static void print_scenarios(const json_t *report) {
    const json_t *scenarios = json_object_get(report, "scenarios"), *s;
    size_t i;
    puts("\nScenarios");
    printf("  %-16s %-14s %-11s %5s %7s %9s %9s %9s %9s %7s %7s\n", "input", "scenario", "scope",
           "batch", "samples", "items/s", "p50 ms", "p90 ms", "p99 ms", "% peak", "% busy");
    json_array_foreach(scenarios, i, s) {
        char rate[16], p50[16], p90[16], p99[16], peak[16], busy[16];
        printf("  %-16s %-14s %-11s %5.0f %7zu %9s %9s %9s %9s %7s %7s\n", text_of(s, "input"),
               text_of(s, "scenario"), text_of(s, "scope"), number_of(s, "batch"),
               json_array_size(json_object_get(s, "samples_s")),
               cell(rate, s, "items_per_s", 1.0, ""), cell(p50, s, "p50_s", 1e3, ""),
               cell(p90, s, "p90_s", 1e3, ""), cell(p99, s, "p99_s", 1e3, ""),
               cell(peak, s, "fraction_of_peak", 1.0, "%"), cell(busy, s, "device_busy", 1.0, "%"));
    }
    puts("  ms: of a query; offline: of one pass over the list");
}

static void print_rest(const json_t *report) {
    const json_t *first = json_object_get(report, "first_run"), *row;
    size_t i;
    char weights[24], arena[24], rss[24];
    puts("\nAccuracy against the reference");
    json_array_foreach(json_object_get(report, "accuracy"), i, row) printf(
        "  %-8s worst error %.2e (limit %.0e), cosine %.9f\n", text_of(row, "kind"),
        number_of(row, "worst_error"), number_of(row, "tolerance"), number_of(row, "cosine"));
    json_array_foreach(json_object_get(report, "skipped"), i, row) {
        printf("  not measured: %s: ", text_of(row, "what"));
        print_text(text_of(row, "why"));
        putchar('\n');
    }
    printf(
        "\nFirst run (kernel cache %s)\n  open device %.3f s, open model %.3f s, kernels %.3f s, "
        "weights %.3f s, first embedding %.3f s\n  weights %s, activations %s, peak memory of "
        "the program %s\n",
        text_of(first, "cache"), number_of(first, "open_device_s"),
        number_of(first, "open_model_s"), number_of(first, "compile_s"),
        number_of(first, "upload_s"), number_of(first, "first_embedding_s"),
        onp_cli_bytes(weights, (uint64_t)number_of(first, "weight_bytes")),
        onp_cli_bytes(arena, (uint64_t)number_of(first, "arena_bytes")),
        onp_cli_bytes(rss, (uint64_t)number_of(first, "peak_rss_bytes")));
}

void onp_bench_report_print(const json_t *report) {
    print_head(report);
    print_peaks(report);
    print_kernels(report);
    print_scenarios(report);
    print_rest(report);
}
