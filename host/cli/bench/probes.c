// SPDX-License-Identifier: Apache-2.0
#include "cli/bench/bench.h"

double onp_bench_probe_value(enum onp_probe probe, double work, double seconds) {
    if (probe == ONP_PROBE_LAUNCH || probe == ONP_PROBE_LAUNCH_FINISH)
        return work > 0.0 ? 1e6 * seconds / work : 0.0;
    return seconds > 0.0 ? 1e-9 * work / seconds : 0.0;
}

static int keep_fma(struct onp_bench_peaks *peaks, const struct onp_probe_result *result) {
    for (size_t i = 0; i < result->count; i++) {
        const double value =
            onp_bench_probe_value(ONP_PROBE_FMA_F32, result->work, result->seconds[i]);
        if (!onp_bench_samples_add(&peaks->fma, value)) return onp_cli_fail("out of memory");
        if (value > peaks->fma_best) peaks->fma_best = value;
    }
    return ONP_CLI_OK;
}

int onp_bench_probe_all(struct onp_bench *bench) {
    struct onp_bench_peaks *peaks = &bench->peaks;
    const size_t runs = bench->options.quick ? 2 : 0;
    onp_cli_capture();
    const enum onp_status created = onp_prober_create(bench->session.device, &peaks->prober);
    const char *reason = onp_cli_release(created);
    if (created == ONP_ERR_UNSUPPORTED) return ONP_CLI_OK;
    if (created != ONP_OK) return onp_cli_fail("%s", reason);
    for (int p = 0; p < ONP_PROBE_COUNT; p++) {
        int code = onp_cli_status(
            onp_prober_run(peaks->prober, (enum onp_probe)p, runs, &peaks->result[p]));
        if (code != ONP_CLI_OK) return code;
    }
    onp_prober_trim(peaks->prober);
    return keep_fma(peaks, &peaks->result[ONP_PROBE_FMA_F32]);
}

int onp_bench_probe_fma(struct onp_bench *bench, double *gflops) {
    struct onp_bench_peaks *peaks = &bench->peaks;
    struct onp_probe_result result;
    *gflops = 0.0;
    if (!peaks->prober || !peaks->result[ONP_PROBE_FMA_F32].measured) return ONP_CLI_OK;
    int code = onp_cli_status(onp_prober_run(peaks->prober, ONP_PROBE_FMA_F32, 2, &result));
    if (code != ONP_CLI_OK) return code;
    *gflops = onp_probe_best(ONP_PROBE_FMA_F32, &result);
    return keep_fma(peaks, &result);
}

void onp_bench_peaks_free(struct onp_bench_peaks *peaks) {
    onp_prober_destroy(peaks->prober);
    onp_bench_samples_free(&peaks->fma);
    *peaks = (struct onp_bench_peaks){0};
}
