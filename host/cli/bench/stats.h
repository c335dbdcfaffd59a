// SPDX-License-Identifier: Apache-2.0
// Samples, quantiles and arrivals. Nothing here measures.
#ifndef ONP_CLI_BENCH_STATS_H
#define ONP_CLI_BENCH_STATS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// A growing list of values. Zero-initialise; free with onp_bench_samples_free.
struct onp_bench_samples {
    double *list;
    size_t count, capacity;
};
bool onp_bench_samples_add(struct onp_bench_samples *samples, double value); // false: no memory
void onp_bench_samples_free(struct onp_bench_samples *samples);

// The q-quantile (0 to 1) of `count` ascending values by linear interpolation between the order
// statistics at position (count - 1) q: definition 7 of Hyndman and Fan (1996), the default of R
// and NumPy. 0 for no values.
double onp_bench_quantile(const double *ascending, size_t count, double q);

struct onp_bench_summary {
    size_t count;
    double least, most, mean, p50, p90, p99;
};
// All zero for no samples. False: no memory.
bool onp_bench_summarize(const struct onp_bench_samples *samples,
                         struct onp_bench_summary *summary);

// Numbers that are the same for one seed on every machine: SplitMix64 (Steele, Lea, Flood 2014).
uint64_t onp_bench_random(uint64_t *state);
double onp_bench_uniform(uint64_t *state); // in (0, 1]

// Moments of a Poisson process with `rate` events a second, ascending seconds after its start.
void onp_bench_arrivals(uint64_t *state, double rate, double *seconds, size_t count);

#endif
