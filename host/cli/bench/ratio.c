// SPDX-License-Identifier: Apache-2.0
#include "cli/bench/ratio.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

// Sorted samples, and how often a resample took each.
struct side {
    double *sorted;
    uint32_t *taken;
    size_t count;
};

// SplitMix64 (Steele, Lea, Flood 2014).
static uint64_t next(uint64_t *state) {
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static int ascending(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static bool side_create(const double *list, size_t count, struct side *side) {
    *side = (struct side){.count = count < ONP_BENCH_MOST ? count : ONP_BENCH_MOST};
    double *all = malloc(count * sizeof *all);
    side->taken = calloc(side->count, sizeof *side->taken);
    if (!all || !side->taken) {
        free(all); // taken is freed with the side
        return false;
    }
    memcpy(all, list, count * sizeof *all);
    qsort(all, count, sizeof *all, ascending);
    for (size_t i = 0; i < side->count && side->count < count; i++)
        all[i] = all[i * (count - 1) / (side->count - 1)];
    side->sorted = all;
    return true;
}

static void side_free(struct side *side) {
    free(side->sorted);
    free(side->taken);
}

static double median(const struct side *side) {
    return 0.5 * (side->sorted[(side->count - 1) / 2] + side->sorted[side->count / 2]);
}

// The sample that stands at `rank` of a resample.
static double at_rank(const struct side *side, size_t rank) {
    size_t seen = 0, i = 0;
    while (seen + side->taken[i] <= rank) seen += side->taken[i++];
    return side->sorted[i];
}

// Counting instead of sorting makes a resample cost no more than drawing it.
static double resampled_median(struct side *side, uint64_t *state) {
    memset(side->taken, 0, side->count * sizeof *side->taken);
    for (size_t i = 0; i < side->count; i++)
        side->taken[((next(state) >> 32) * side->count) >> 32]++;
    return 0.5 * (at_rank(side, (side->count - 1) / 2) + at_rank(side, side->count / 2));
}

static bool interval(struct side *a, struct side *b, struct onp_bench_ratio *out) {
    double *ratios = malloc(ONP_BENCH_RESAMPLES * sizeof *ratios);
    if (!ratios) return false;
    uint64_t state = 1;
    for (size_t i = 0; i < ONP_BENCH_RESAMPLES; i++) {
        const double above = resampled_median(a, &state);
        ratios[i] = above / resampled_median(b, &state);
    }
    qsort(ratios, ONP_BENCH_RESAMPLES, sizeof *ratios, ascending);
    out->known = true;
    out->low = ratios[ONP_BENCH_RESAMPLES / 40];
    out->high = ratios[ONP_BENCH_RESAMPLES - 1 - ONP_BENCH_RESAMPLES / 40];
    free(ratios);
    return true;
}

bool onp_bench_ratio(const double *a, size_t a_count, const double *b, size_t b_count,
                     struct onp_bench_ratio *out) {
    struct side x = {0}, y = {0};
    *out = (struct onp_bench_ratio){0};
    bool fine = side_create(a, a_count, &x) && side_create(b, b_count, &y);
    if (fine) out->ratio = median(&x) / median(&y);
    if (fine && x.count >= ONP_BENCH_LEAST && y.count >= ONP_BENCH_LEAST)
        fine = interval(&x, &y, out);
    side_free(&x);
    side_free(&y);
    return fine;
}

int onp_bench_ratio_side(const struct onp_bench_ratio *ratio) {
    if (!ratio->known) return 0;
    return ratio->low > 1.0 ? 1 : ratio->high < 1.0 ? -1 : 0;
}
