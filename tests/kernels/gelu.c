// SPDX-License-Identifier: Apache-2.0
// The kernels' GELU, compiled as C, against erfc in double: every float with ONP_TEST_FULL set,
// else a sample that is spread over all exponents.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/parallel.h"

static inline float as_float(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}
static inline uint32_t as_uint(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

// The OpenCL built-ins of the same names are float here.
#define fma  fmaf
#define fmin fminf
#define fabs fabsf
#define UNROLL
#include "cl_kernels/gelu.h"
#undef fma
#undef fmin
#undef fabs

#define CHUNKS 1024u // of 2^22 floats

struct sweep {
    uint32_t step;
    double worst[CHUNKS];    // error / |x|
    double positive[CHUNKS]; // error / |gelu(x)| of positive x
};

static void sweep_chunk(void *user, size_t chunk) {
    struct sweep *sweep = user;
    double worst = 0.0, positive = 0.0;
    for (uint32_t i = (uint32_t)chunk % sweep->step; i < 1u << 22; i += sweep->step) {
        float x = as_float((uint32_t)chunk << 22 | i);
        if (isnan(x) || isinf(x) || fabsf(x) < 1e-30f) continue;
        double want = 0.5 * (double)x * erfc(-(double)x / sqrt(2.0));
        double error = fabs((double)gelu(x) - want);
        worst = fmax(worst, error / fabs((double)x));
        if (x > 0.0f) positive = fmax(positive, error / want);
    }
    sweep->worst[chunk] = worst;
    sweep->positive[chunk] = positive;
}

static void gelu_is_accurate(void **state) {
    (void)state;
    static struct sweep sweep;
    sweep.step = getenv("ONP_TEST_FULL") ? 1 : 251;
    onp_parallel_for(CHUNKS, 0, sweep_chunk, &sweep);
    double worst = 0.0, positive = 0.0;
    for (size_t i = 0; i < CHUNKS; i++) {
        worst = fmax(worst, sweep.worst[i]);
        positive = fmax(positive, sweep.positive[i]);
    }
    print_message("gelu: error %.3f * 2^-24 * |x|, positive x %.3f * 2^-24 * gelu(x)\n",
                  worst * 0x1p24, positive * 0x1p24);
    assert_true(worst < 1.3 * 0x1p-24);
    assert_true(positive < 2.0 * 0x1p-24);
}

static void gelu_at_the_ends(void **state) {
    (void)state;
    assert_true(gelu(INFINITY) == INFINITY);
    assert_true(gelu(-INFINITY) <= 0.0f && gelu(-INFINITY) > -1e-20f);
    assert_true(isnan(gelu(NAN)));
    assert_true(gelu(0.0f) == 0.0f);
    assert_true(gelu(3e38f) == 3e38f);
    for (float x = 1e-30f; x > 0.0f; x *= 0.5f) // denormals too
        assert_true(fabsf(gelu(x) - 0.5f * x) <= fmaxf(0x1p-149f, x * 0x1p-23f));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gelu_is_accurate),
        cmocka_unit_test(gelu_at_the_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
