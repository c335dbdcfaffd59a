// SPDX-License-Identifier: Apache-2.0
// The probes of a device's peaks. Rates are not judged, only that there are some.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "backend/backend.h"
#include "onepeace/onepeace.h"

static struct onp_context *context;
static struct onp_device *device;

static const char *selector(void) {
    const char *name = getenv("ONP_TEST_DEVICE");
    return name && *name ? name : "cpu";
}

static int setup(void **state) {
    (void)state;
    return onp_context_create(NULL, &context) != ONP_OK ||
           onp_device_open(context, selector(), false, &device) != ONP_OK;
}

static int teardown(void **state) {
    (void)state;
    onp_device_close(device);
    onp_context_destroy(context);
    return 0;
}

static void test_names(void **state) {
    (void)state;
    for (int i = 0; i < ONP_PROBE_COUNT; i++) {
        const char *name = onp_probe_name((enum onp_probe)i);
        assert_non_null(name);
        for (int j = 0; j < i; j++)
            assert_string_not_equal(name, onp_probe_name((enum onp_probe)j));
    }
    assert_null(onp_probe_name((enum onp_probe)ONP_PROBE_COUNT));
    assert_string_equal(onp_probe_name(ONP_PROBE_FMA_F32), "fma_f32_gflops");
}

static void close_to(double a, double b) { assert_true(fabs(a - b) <= 1e-12 * fabs(b)); }

static void test_values(void **state) {
    (void)state;
    struct onp_probe_result r = {
        .measured = true, .count = 4, .work = 2e9, .seconds = {0.5, 0.25, 1.0, 2.0}};
    close_to(onp_probe_best(ONP_PROBE_READ, &r), 8.0);
    close_to(onp_probe_median(ONP_PROBE_READ, &r), 2.0 / 0.75);
    r.work = 100.0;
    close_to(onp_probe_best(ONP_PROBE_LAUNCH, &r), 2500.0);
    r.count = 1;
    close_to(onp_probe_median(ONP_PROBE_LAUNCH_FINISH, &r), 5000.0);
    r.measured = false;
    assert_true(onp_probe_best(ONP_PROBE_READ, &r) == 0.0);
    r = (struct onp_probe_result){.measured = true, .count = 1, .work = 1.0};
    assert_true(onp_probe_best(ONP_PROBE_READ, &r) == 0.0); // a clock that does not move
    r.count = ONP_PROBE_RUNS + 1;
    assert_true(onp_probe_median(ONP_PROBE_READ, &r) == 0.0);
    assert_true(onp_probe_best((enum onp_probe)99, &r) == 0.0);
}

static void check_result(enum onp_probe probe, size_t runs, const struct onp_probe_result *r) {
    const double best = onp_probe_best(probe, r), median = onp_probe_median(probe, r);
    if (getenv("ONP_TEST_VERBOSE"))
        printf("%-20s best %10.2f median %10.2f  %s%s\n", onp_probe_name(probe), best, median,
               r->method, r->measured && !r->device_clock ? " (host clock)" : "");
    assert_true(strlen(r->method) > 0);
    if (!r->measured) {
        assert_true(probe == ONP_PROBE_FMA_F16 || probe == ONP_PROBE_DOT_I8);
        return;
    }
    assert_int_equal(r->count, runs);
    assert_true(r->work > 0.0 && best > 0.0 && median > 0.0 && isfinite(best));
    assert_true(onp_probe_name(probe)[0] == 'l' ? best <= median : best >= median);
    for (size_t i = 0; i < runs; i++) assert_true(r->seconds[i] > 0.0 && r->processor[i] >= 0.0);
}

static void test_every_probe(void **state) {
    (void)state;
    struct onp_prober *prober = NULL;
    assert_int_equal(onp_prober_create(device, &prober), ONP_OK);
    for (int i = 0; i < ONP_PROBE_COUNT; i++) {
        struct onp_probe_result r;
        const enum onp_status status = onp_prober_run(prober, (enum onp_probe)i, 3, &r);
        if (status != ONP_OK) fail_msg("%s", onp_last_error());
        check_result((enum onp_probe)i, 3, &r);
    }
    onp_prober_destroy(prober);
}

// Memory given back is taken again, and a device that was being profiled still is.
static void test_repeated(void **state) {
    (void)state;
    struct onp_prober *prober = NULL;
    struct onp_probe_result r;
    assert_int_equal(onp_prober_create(device, &prober), ONP_OK);
    assert_int_equal(device->backend->profile(device, true), ONP_OK);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(onp_prober_run(prober, ONP_PROBE_READ, 1, &r), ONP_OK);
        assert_int_equal(onp_prober_run(prober, ONP_PROBE_DEVICE_TO_HOST, 1, &r), ONP_OK);
        assert_true(device->profiling);
        onp_prober_trim(prober);
    }
    assert_int_equal(device->backend->profile(device, false), ONP_OK);
    assert_int_equal(onp_prober_run(prober, ONP_PROBE_FMA_F32, 0, &r), ONP_OK);
    assert_false(device->profiling);
    assert_int_equal(r.count, 5);
    assert_true(r.device_clock);
    assert_int_equal(onp_prober_run(prober, (enum onp_probe)ONP_PROBE_COUNT, 1, &r),
                     ONP_ERR_ARGUMENT);
    assert_int_equal(onp_prober_run(prober, ONP_PROBE_READ, ONP_PROBE_RUNS + 1, &r),
                     ONP_ERR_ARGUMENT);
    onp_prober_destroy(prober);
    onp_prober_destroy(NULL);
    onp_prober_trim(NULL);
}

static void test_reference(void **state) {
    (void)state;
    struct onp_device *reference = NULL;
    struct onp_prober *prober = NULL;
    assert_int_equal(onp_device_open(context, "ref", false, &reference), ONP_OK);
    assert_int_equal(onp_prober_create(reference, &prober), ONP_ERR_UNSUPPORTED);
    assert_non_null(strstr(onp_last_error(), "reference"));
    assert_int_equal(onp_prober_create(NULL, &prober), ONP_ERR_ARGUMENT);
    assert_null(prober);
    onp_device_close(reference);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),       cmocka_unit_test(test_values),
        cmocka_unit_test(test_every_probe), cmocka_unit_test(test_repeated),
        cmocka_unit_test(test_reference),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
