// SPDX-License-Identifier: Apache-2.0
// How much two sets of samples differ, and whether that is more than noise.
#ifndef ONP_CLI_BENCH_RATIO_H
#define ONP_CLI_BENCH_RATIO_H

#include <stdbool.h>
#include <stddef.h>

#define ONP_BENCH_RESAMPLES 2000
#define ONP_BENCH_LEAST     5    // samples of each side without which there is no interval
#define ONP_BENCH_MOST      4096 // of more samples evenly spaced ones of the sorted list are taken

struct onp_bench_ratio {
    double ratio;     // median of a over median of b
    bool known;       // there is an interval
    double low, high; // 95 % of resampled ratios lie between
};

// a and b: positive finite values, in any order, at least one each. The interval is the percentile
// bootstrap of the ratio of medians: both sides are drawn again from their own samples with
// replacement, ONP_BENCH_RESAMPLES times, with a fixed seed, so that it is the same on every
// machine. False: no memory.
bool onp_bench_ratio(const double *a, size_t a_count, const double *b, size_t b_count,
                     struct onp_bench_ratio *out);

// 1 if the whole interval lies above one, -1 if below, 0 if it holds one or there is none.
int onp_bench_ratio_side(const struct onp_bench_ratio *ratio);

#endif
