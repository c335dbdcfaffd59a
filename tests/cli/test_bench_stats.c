// SPDX-License-Identifier: Apache-2.0
// Quantiles, summaries and arrivals of the benchmark.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "cli/bench/stats.h"

static void near(double value, double expected, double tolerance) {
    if (!(fabs(value - expected) <= tolerance))
        fail_msg("%.17g is not %.17g within %g", value, expected, tolerance);
}

// Values of R's quantile(type = 7) and numpy.quantile.
static void quantile_interpolates(void **state) {
    (void)state;
    const double list[] = {1.0, 2.0, 4.0, 8.0, 16.0};
    near(onp_bench_quantile(list, 5, 0.0), 1.0, 0.0);
    near(onp_bench_quantile(list, 5, 0.5), 4.0, 0.0);
    near(onp_bench_quantile(list, 5, 0.9), 12.8, 1e-12);
    near(onp_bench_quantile(list, 5, 0.99), 15.68, 1e-12);
    near(onp_bench_quantile(list, 5, 1.0), 16.0, 0.0);
    near(onp_bench_quantile(list, 4, 0.5), 3.0, 0.0);
    near(onp_bench_quantile(list, 1, 0.99), 1.0, 0.0);
    near(onp_bench_quantile(list, 0, 0.5), 0.0, 0.0);
}

static void summary_of_any_order(void **state) {
    (void)state;
    struct onp_bench_samples samples = {0};
    struct onp_bench_summary s;
    assert_true(onp_bench_summarize(&samples, &s));
    assert_int_equal(s.count, 0);
    near(s.p50 + s.p99 + s.mean + s.least + s.most, 0.0, 0.0);
    for (int i = 0; i <= 100; i++)
        assert_true(onp_bench_samples_add(&samples, (double)(i * 37 % 101)));
    assert_true(onp_bench_summarize(&samples, &s));
    assert_int_equal(s.count, 101);
    near(s.least, 0.0, 0.0);
    near(s.most, 100.0, 0.0);
    near(s.mean, 50.0, 1e-12);
    near(s.p50, 50.0, 1e-12);
    near(s.p90, 90.0, 1e-12);
    near(s.p99, 99.0, 1e-12);
    near(samples.list[1], 37.0, 0.0); // the order taken is kept
    onp_bench_samples_free(&samples);
    assert_null(samples.list);
}

// SplitMix64 from seed 1234567, as its authors' code prints it.
static void random_is_known(void **state) {
    (void)state;
    uint64_t random = 1234567;
    assert_true(onp_bench_random(&random) == 6457827717110365317u);
    assert_true(onp_bench_random(&random) == 3203168211198807973u);
    for (int i = 0; i < 10000; i++) {
        const double u = onp_bench_uniform(&random);
        assert_true(u > 0.0 && u <= 1.0);
    }
}

// The gaps have mean and standard deviation 1 / rate, and one seed gives one list.
static void arrivals_are_poisson(void **state) {
    (void)state;
    enum { COUNT = 100000 };
    double *a = malloc(2 * COUNT * sizeof *a), *b = a + COUNT, sum = 0.0, squares = 0.0;
    uint64_t first = 7, second = 7;
    assert_non_null(a);
    onp_bench_arrivals(&first, 50.0, a, COUNT);
    onp_bench_arrivals(&second, 50.0, b, COUNT);
    assert_memory_equal(a, b, COUNT * sizeof *a);
    for (int i = 0; i < COUNT; i++) {
        const double gap = a[i] - (i ? a[i - 1] : 0.0);
        assert_true(gap >= 0.0);
        sum += gap;
        squares += gap * gap;
    }
    const double mean = sum / COUNT;
    near(mean, 0.02, 0.0003);
    near(sqrt(squares / COUNT - mean * mean), 0.02, 0.0005);
    free(a);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(quantile_interpolates),
        cmocka_unit_test(summary_of_any_order),
        cmocka_unit_test(random_is_known),
        cmocka_unit_test(arrivals_are_poisson),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
