// SPDX-License-Identifier: Apache-2.0
// The figures that follow from what was measured: rates, fractions, bounds.
#include <stdlib.h>
#include <string.h>

#include "cli/bench/report.h"

static json_t *number_or_null(double value, bool known) {
    return known ? onp_bench_number(value) : json_null();
}

// --- Kernels -----------------------------------------------------------------------------------

// The roofline: below the ridge a kernel waits for memory. A kernel that takes no longer than a few
// launches is bound by these.
static const char *bound_of(const struct onp_bench *bench, double flops, double bytes,
                            double seconds) {
    const struct onp_probe_result *r = bench->peaks.result;
    const double peak = 1e9 * bench->peaks.fma_best;
    const double copy = 1e9 * onp_probe_best(ONP_PROBE_COPY, &r[ONP_PROBE_COPY]);
    const double launch = 1e-6 * onp_probe_best(ONP_PROBE_LAUNCH, &r[ONP_PROBE_LAUNCH]);
    if (peak <= 0.0 || copy <= 0.0) return "compute";
    const double compute = flops / peak, memory = bytes / copy;
    if (launch > compute && launch > memory && seconds < 10.0 * launch) return "launch";
    return memory > compute ? "memory" : "compute";
}

static double device_time(const struct onp_bench *bench, const struct onp_bench_kernel *of) {
    double sum = 0.0;
    for (size_t i = 0; i < bench->kernel_count; i++) {
        const struct onp_bench_kernel *k = &bench->kernels[i];
        if (k->input == of->input && k->batch == of->batch) sum += k->total;
    }
    return sum;
}

static json_t *kernel_json(const struct onp_bench *bench, const struct onp_bench_kernel *k) {
    const struct onp_probe_result *copy_result = &bench->peaks.result[ONP_PROBE_COPY];
    const double seconds = k->key.best_seconds, flops = k->key.flops, bytes = k->key.bytes;
    const double gflops = seconds > 0.0 ? 1e-9 * flops / seconds : 0.0;
    const double gbps = seconds > 0.0 ? 1e-9 * bytes / seconds : 0.0;
    const double peak = bench->peaks.fma_best;
    const double copy = onp_probe_best(ONP_PROBE_COPY, copy_result);
    struct onp_bench_summary summary;
    if (!onp_bench_summarize(&k->seconds, &summary)) return NULL;
    const double all = device_time(bench, k);
    return json_pack(
        "{s:s,s:s,s:s,s:s,s:s,s:i,s:I,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:s,s:o}", "op",
        k->key.op, "shape", k->key.shape, "variant", k->key.variant, "kind",
        onp_modality_name(k->input->kind), "input", k->input->label, "batch", (int)k->batch,
        "calls", (json_int_t)k->calls, "seconds", onp_bench_number(seconds), "median_s",
        onp_bench_number(summary.p50), "samples_s",
        onp_bench_numbers(k->seconds.list, k->seconds.count), "flops", onp_bench_number(flops),
        "bytes", onp_bench_number(bytes), "gflops", onp_bench_number(gflops), "gbps",
        onp_bench_number(gbps), "fraction_of_peak", number_or_null(gflops / peak, peak > 0.0),
        "fraction_of_bandwidth", number_or_null(gbps / copy, copy > 0.0), "intensity",
        number_or_null(flops / bytes, bytes > 0.0), "bound", bound_of(bench, flops, bytes, seconds),
        "share", onp_bench_number(all > 0.0 ? k->total / all : 0.0));
}

json_t *onp_bench_kernels_json(const struct onp_bench *bench) {
    json_t *array = json_array();
    for (size_t i = 0; i < bench->kernel_count; i++)
        json_array_append_new(array, kernel_json(bench, &bench->kernels[i]));
    return array;
}

// --- Scenarios ---------------------------------------------------------------------------------

static double rate_of(const struct onp_bench_cell *cell, double p50) {
    if (cell->scenario == ONP_BENCH_SERVER)
        return cell->elapsed > 0.0 ? (double)cell->items / cell->elapsed : 0.0;
    const double items = cell->scenario == ONP_BENCH_OFFLINE ? (double)cell->lane->list : 1.0;
    return p50 > 0.0 ? items / p50 : 0.0;
}

static json_t *busy_json(const struct onp_bench_cell *cell) {
    struct onp_bench_summary busy;
    const struct onp_bench_samples *samples =
        cell->scenario == ONP_BENCH_OFFLINE ? &cell->lane->busy : &cell->busy;
    if (samples->count == 0 || !onp_bench_summarize(samples, &busy)) return json_null();
    return onp_bench_number(busy.p50);
}

static json_t *cell_json(const struct onp_bench_cell *cell) {
    const struct onp_bench_input *input = cell->lane->input;
    const bool server = cell->scenario == ONP_BENCH_SERVER;
    const double before = cell->peak_before, after = cell->peak_after;
    const double peak = before > after ? before : after;
    struct onp_bench_summary s;
    if (!onp_bench_summarize(&cell->seconds, &s)) return NULL;
    const double rate = rate_of(cell, s.p50);
    return json_pack(
        "{s:s,s:s,s:s,s:s,s:o,s:i,s:I,s:I,s:I,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o}",
        "scenario", onp_bench_scenario_name(cell->scenario), "kind", onp_modality_name(input->kind),
        "scope", onp_bench_scope_name(cell->lane->scope), "input", input->label, "input_size",
        onp_bench_number(input->size), "batch", (int)cell->lane->batch, "items",
        (json_int_t)cell->items, "warmup_items", (json_int_t)cell->warmup, "items_per_sample",
        (json_int_t)(cell->scenario == ONP_BENCH_OFFLINE ? cell->lane->list : 1), "items_per_s",
        onp_bench_number(rate), "best_s", onp_bench_number(s.least), "p50_s",
        onp_bench_number(s.p50), "p90_s", onp_bench_number(s.p90), "p99_s", onp_bench_number(s.p99),
        "flops_per_item", onp_bench_number(input->flops), "fraction_of_peak",
        number_or_null(1e-9 * rate * input->flops / peak, peak > 0.0), "samples_s",
        onp_bench_numbers(cell->seconds.list, cell->seconds.count), "arrivals_per_s",
        number_or_null(cell->arrivals_per_s, server), "peak_before_gflops",
        number_or_null(before, before > 0.0), "peak_after_gflops",
        number_or_null(after, after > 0.0), "device_busy", busy_json(cell));
}

json_t *onp_bench_scenarios_json(const struct onp_bench *bench) {
    json_t *array = json_array();
    for (size_t i = 0; i < bench->cell_count; i++)
        if (bench->cells[i].seconds.count)
            json_array_append_new(array, cell_json(&bench->cells[i]));
    return array;
}
