// SPDX-License-Identifier: Apache-2.0
// Kernel times, from the device's own events.
#include <stdlib.h>
#include <string.h>

#include "cli/bench/bench.h"

enum { SAMPLES_MOST = 256 };

static struct onp_bench_kernel *kernel_of(struct onp_bench *bench,
                                          const struct onp_kernel_time *key,
                                          const struct onp_bench_lane *lane) {
    for (size_t i = 0; i < bench->kernel_count; i++) {
        struct onp_bench_kernel *k = &bench->kernels[i];
        if (k->input == lane->input && k->batch == lane->batch && strcmp(k->key.op, key->op) == 0 &&
            strcmp(k->key.variant, key->variant) == 0 && strcmp(k->key.shape, key->shape) == 0)
            return k;
    }
    if (bench->kernel_count == bench->kernel_capacity) {
        const size_t capacity = bench->kernel_capacity ? bench->kernel_capacity * 2 : 64;
        struct onp_bench_kernel *grown = realloc(bench->kernels, capacity * sizeof *grown);
        if (!grown) return NULL;
        bench->kernels = grown;
        bench->kernel_capacity = capacity;
    }
    struct onp_bench_kernel *k = &bench->kernels[bench->kernel_count++];
    *k = (struct onp_bench_kernel){.key = *key, .input = lane->input, .batch = lane->batch};
    return k;
}

static int keep(struct onp_bench *bench, const struct onp_bench_lane *lane,
                const struct onp_kernel_time *t) {
    if (t->calls == 0) return ONP_CLI_OK;
    struct onp_bench_kernel *k = kernel_of(bench, t, lane);
    if (!k) return onp_cli_fail("out of memory");
    if (k->calls == 0 || t->best_seconds < k->key.best_seconds)
        k->key.best_seconds = t->best_seconds;
    k->calls += t->calls;
    k->total += t->seconds;
    k->key.flops = t->flops / (double)t->calls;
    k->key.bytes = t->bytes / (double)t->calls;
    for (uint32_t i = 0; i < t->sample_count && k->seconds.count < SAMPLES_MOST; i++)
        if (!onp_bench_samples_add(&k->seconds, t->samples[i]))
            return onp_cli_fail("out of memory");
    return ONP_CLI_OK;
}

static int take(struct onp_bench *bench, const struct onp_bench_lane *lane, size_t count,
                struct onp_bench_samples *busy, bool keep_kernels) {
    struct onp_encoder *encoder = bench->branches[lane->input->kind].encoder;
    struct onp_kernel_time *list = NULL;
    struct onp_encoder_stats stats;
    size_t kernels = 0;
    double wall = 0.0;
    onp_encoder_profile_reset(encoder);
    int code = onp_bench_lane_run(bench, lane, 0, count, &wall);
    if (code == ONP_CLI_OK) code = onp_cli_status(onp_encoder_profile(encoder, &list, &kernels));
    for (size_t i = 0; i < kernels && code == ONP_CLI_OK && keep_kernels; i++)
        code = keep(bench, lane, &list[i]);
    if (code == ONP_CLI_OK) code = onp_cli_status(onp_encoder_get_stats(encoder, &stats));
    if (code == ONP_CLI_OK && wall > 0.0 && !onp_bench_samples_add(busy, stats.busy_seconds / wall))
        code = onp_cli_fail("out of memory");
    onp_free(list);
    return code;
}

int onp_bench_profile(struct onp_bench *bench, const struct onp_bench_lane *lane, size_t count,
                      struct onp_bench_samples *busy, bool keep_kernels) {
    struct onp_encoder *encoder = bench->branches[lane->input->kind].encoder;
    if (bench->clockless) return ONP_CLI_OK;
    onp_cli_capture();
    const enum onp_status status = onp_encoder_profile_enable(encoder, true);
    const char *reason = onp_cli_release(status);
    if (status == ONP_ERR_UNSUPPORTED) {
        bench->clockless = true;
        return ONP_CLI_OK;
    }
    if (status != ONP_OK) return onp_cli_fail("%s", reason);
    int code = take(bench, lane, count, busy, keep_kernels);
    int off = onp_cli_status(onp_encoder_profile_enable(encoder, false));
    return code != ONP_CLI_OK ? code : off;
}

void onp_bench_kernels_free(struct onp_bench *bench) {
    for (size_t i = 0; i < bench->kernel_count; i++)
        onp_bench_samples_free(&bench->kernels[i].seconds);
    free(bench->kernels);
    bench->kernels = NULL;
    bench->kernel_count = bench->kernel_capacity = 0;
}
