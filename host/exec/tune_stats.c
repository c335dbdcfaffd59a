// SPDX-License-Identifier: Apache-2.0
#include <stdlib.h>

#include "base/rng.h"
#include "exec/tune.h"

static int ascending(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

double onp_tune_median(double *values, size_t count) {
    qsort(values, count, sizeof *values, ascending);
    return count % 2 ? values[count / 2] : 0.5 * (values[count / 2 - 1] + values[count / 2]);
}

#define RESAMPLES 2000

struct onp_tune_estimate onp_tune_bootstrap(const double *ratios, size_t count, uint64_t seed) {
    struct onp_rng rng = {seed};
    double medians[RESAMPLES], sample[ONP_TUNE_PAIRS];
    for (size_t r = 0; r < RESAMPLES; r++) {
        for (size_t i = 0; i < count; i++) sample[i] = ratios[onp_rng_next(&rng) % count];
        medians[r] = onp_tune_median(sample, count);
    }
    qsort(medians, RESAMPLES, sizeof *medians, ascending);
    for (size_t i = 0; i < count; i++) sample[i] = ratios[i];
    return (struct onp_tune_estimate){.median = onp_tune_median(sample, count),
                                      .low = medians[RESAMPLES / 40],
                                      .high = medians[RESAMPLES - 1 - RESAMPLES / 40]};
}
