// SPDX-License-Identifier: Apache-2.0
#include "cli/bench/stats.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

bool onp_bench_samples_add(struct onp_bench_samples *samples, double value) {
    if (samples->count == samples->capacity) {
        const size_t capacity = samples->capacity ? samples->capacity * 2 : 32;
        double *grown = realloc(samples->list, capacity * sizeof *grown);
        if (!grown) return false;
        samples->list = grown;
        samples->capacity = capacity;
    }
    samples->list[samples->count++] = value;
    return true;
}

void onp_bench_samples_free(struct onp_bench_samples *samples) {
    free(samples->list);
    *samples = (struct onp_bench_samples){0};
}

double onp_bench_quantile(const double *ascending, size_t count, double q) {
    if (count == 0) return 0.0;
    const double position = q * (double)(count - 1);
    const size_t below = (size_t)position;
    if (below + 1 >= count) return ascending[count - 1];
    const double part = position - (double)below;
    return ascending[below] + part * (ascending[below + 1] - ascending[below]);
}

static int ascending_order(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

bool onp_bench_summarize(const struct onp_bench_samples *samples,
                         struct onp_bench_summary *summary) {
    const size_t count = samples->count;
    *summary = (struct onp_bench_summary){.count = count};
    if (count == 0) return true;
    double *sorted = malloc(count * sizeof *sorted);
    if (!sorted) return false;
    memcpy(sorted, samples->list, count * sizeof *sorted);
    qsort(sorted, count, sizeof *sorted, ascending_order);
    double sum = 0.0;
    for (size_t i = 0; i < count; i++) sum += sorted[i];
    summary->least = sorted[0];
    summary->most = sorted[count - 1];
    summary->mean = sum / (double)count;
    summary->p50 = onp_bench_quantile(sorted, count, 0.50);
    summary->p90 = onp_bench_quantile(sorted, count, 0.90);
    summary->p99 = onp_bench_quantile(sorted, count, 0.99);
    free(sorted);
    return true;
}

uint64_t onp_bench_random(uint64_t *state) {
    uint64_t z = *state += 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

double onp_bench_uniform(uint64_t *state) {
    return (double)((onp_bench_random(state) >> 11) + 1) * 0x1p-53;
}

// The gaps of a Poisson process are exponential with mean 1 / rate.
void onp_bench_arrivals(uint64_t *state, double rate, double *seconds, size_t count) {
    double moment = 0.0;
    for (size_t i = 0; i < count; i++) {
        moment -= log(onp_bench_uniform(state)) / rate;
        seconds[i] = moment;
    }
}
