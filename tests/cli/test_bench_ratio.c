// SPDX-License-Identifier: Apache-2.0
// Ratios of medians and their intervals, on samples whose truth is known.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/rng.h"
#include "cli/bench/ratio.h"

static struct onp_bench_ratio ratio(const double *a, size_t na, const double *b, size_t nb) {
    struct onp_bench_ratio r;
    assert_true(onp_bench_ratio(a, na, b, nb, &r));
    return r;
}

static void near(double value, double expected) {
    if (!(fabs(value - expected) <= 1e-12 * expected))
        fail_msg("%.17g, not %.17g", value, expected);
}

static void few_samples(void **state) {
    (void)state;
    const double a[] = {3.0, 1.0, 2.0, 10.0}, b[] = {4.0};
    const struct onp_bench_ratio r = ratio(a, 4, b, 1);
    near(r.ratio, 2.5 / 4.0);
    assert_false(r.known);
    assert_int_equal(onp_bench_ratio_side(&r), 0);
    near(ratio(a, 3, b, 1).ratio, 0.5);
}

// Samples that are all the same have an interval of one point.
static void constant(void **state) {
    (void)state;
    double a[9], b[6];
    for (int i = 0; i < 9; i++) a[i] = 3.0;
    for (int i = 0; i < 6; i++) b[i] = 2.0;
    const struct onp_bench_ratio r = ratio(a, 9, b, 6);
    assert_true(r.known);
    near(r.ratio, 1.5);
    near(r.low, 1.5);
    near(r.high, 1.5);
    assert_int_equal(onp_bench_ratio_side(&r), 1);
    const struct onp_bench_ratio back = ratio(b, 6, a, 9);
    assert_int_equal(onp_bench_ratio_side(&back), -1);
    const struct onp_bench_ratio same = ratio(a, 9, a, 9);
    assert_int_equal(onp_bench_ratio_side(&same), 0);
}

// Times as they are: a floor and a tail. `scale` slows them down.
static void draw(struct onp_rng *rng, double scale, double *list, size_t count) {
    for (size_t i = 0; i < count; i++) {
        const double u = ((double)(onp_rng_next(rng) >> 11) + 0.5) * 0x1p-53;
        list[i] = scale * (1.0 - 0.05 * log(u));
    }
}

// How many of 400 pairs of runs are marked as different, and how many intervals hold the truth.
static void trial(double scale, size_t count, int *marked, int *held) {
    struct onp_rng rng = {7};
    static double a[512], b[512];
    *marked = *held = 0;
    for (int i = 0; i < 400; i++) {
        draw(&rng, scale, a, count);
        draw(&rng, 1.0, b, count);
        const struct onp_bench_ratio r = ratio(a, count, b, count);
        *marked += onp_bench_ratio_side(&r) != 0;
        *held += r.low <= scale && scale <= r.high;
    }
}

static void coverage(void **state) {
    (void)state;
    int marked, held;
    trial(1.0, 20, &marked, &held);
    if (marked > 36) fail_msg("%d of 400 equal runs are marked as different", marked);
    trial(1.2, 20, &marked, &held);
    if (marked < 396) fail_msg("%d of 400 runs that differ by 20 %% are marked", marked);
    if (held < 364) fail_msg("%d of 400 intervals hold the truth", held);
    trial(1.02, 300, &marked, &held);
    if (marked < 380) fail_msg("%d of 400 long runs that differ by 2 %% are marked", marked);
}

static int descending(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return x > y ? -1 : x < y;
}

// The same on every machine and in any order of the samples.
static void repeatable(void **state) {
    (void)state;
    struct onp_rng rng = {11};
    double a[50], b[30];
    draw(&rng, 1.1, a, 50);
    draw(&rng, 1.0, b, 30);
    const struct onp_bench_ratio first = ratio(a, 50, b, 30);
    qsort(a, 50, sizeof *a, descending);
    const struct onp_bench_ratio again = ratio(a, 50, b, 30);
    assert_memory_equal(&first.ratio, &again.ratio, sizeof first.ratio);
    assert_memory_equal(&first.low, &again.low, sizeof first.low);
    assert_memory_equal(&first.high, &again.high, sizeof first.high);
    assert_true(first.low <= first.ratio && first.ratio <= first.high);
}

static void many_samples(void **state) {
    (void)state;
    struct onp_rng rng = {13};
    const size_t count = 50000;
    double *a = malloc(count * sizeof *a);
    assert_non_null(a);
    draw(&rng, 2.0, a, count);
    const double b[] = {1.0, 1.0, 1.0, 1.0, 1.0};
    const struct onp_bench_ratio r = ratio(a, count, b, 5);
    assert_true(fabs(r.ratio - 2.0 * (1.0 + 0.05 * log(2.0))) < 0.01);
    assert_true(r.low <= r.ratio && r.ratio <= r.high && r.high - r.low < 0.02);
    free(a);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(few_samples), cmocka_unit_test(constant),     cmocka_unit_test(coverage),
        cmocka_unit_test(repeatable),  cmocka_unit_test(many_samples),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
