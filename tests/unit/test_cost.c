// SPDX-License-Identifier: Apache-2.0
// What the benchmark asks of the library: the work of an item, and smaller batches on request.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "onepeace/onepeace.h"

static struct onp_context *context;
static struct onp_model *model;
static struct onp_model_info info;

static int open_all(void **state) {
    (void)state;
    return onp_context_create(NULL, &context) || onp_model_synthetic(context, "micro", &model) ||
           onp_model_get_info(model, &info);
}

static int close_all(void **state) {
    (void)state;
    onp_model_close(model);
    onp_context_destroy(context);
    return 0;
}

static double flops_of(enum onp_modality modality, uint64_t length) {
    double flops = 0.0, bytes = 0.0;
    assert_int_equal(onp_model_cost(model, modality, length, &flops, &bytes), ONP_OK);
    assert_true(isfinite(flops) && flops > 0.0);
    assert_true(isfinite(bytes) && bytes > 0.0);
    return flops;
}

// The products of the layers alone: 2 (4 D^2 + 3 D F) a position and layer, counted by hand.
static double products(double positions) {
    const double d = info.embed_dim, f = info.ffn_dim;
    return 2.0 * positions * info.layers * (4.0 * d * d + 3.0 * d * f);
}

static void cost_of_items(void **state) {
    (void)state;
    const double text = flops_of(ONP_TEXT, 11), image = flops_of(ONP_IMAGE, 0);
    // <s> before 11 ids, a class token before the patches. The rest is attention, norms, adapters.
    assert_true(text > products(12) && text < 1.3 * products(12));
    assert_true(image > products(info.patches + 1.0));
    assert_true(flops_of(ONP_IMAGE, 99) == image);
    assert_true(flops_of(ONP_TEXT, 23) > 1.9 * text);
    const double sound = flops_of(ONP_AUDIO, 16000);
    assert_true(flops_of(ONP_AUDIO, 160000) > 9.0 * sound);
}

static void cost_wrong(void **state) {
    (void)state;
    double a, b;
    assert_int_equal(onp_model_cost(NULL, ONP_TEXT, 5, &a, &b), ONP_ERR_ARGUMENT);
    assert_int_equal(onp_model_cost(model, ONP_TEXT, 5, NULL, &b), ONP_ERR_ARGUMENT);
    assert_int_equal(onp_model_cost(model, (enum onp_modality)7, 5, &a, &b), ONP_ERR_ARGUMENT);
    assert_int_not_equal(onp_model_cost(model, ONP_TEXT, 0, &a, &b), ONP_OK);
    assert_int_not_equal(onp_model_cost(model, ONP_TEXT, UINT64_MAX, &a, &b), ONP_OK);
    assert_int_not_equal(onp_model_cost(model, ONP_AUDIO, 1, &a, &b), ONP_OK);
}

static void batches_on_request(void **state) {
    (void)state;
    enum { ITEMS = 5, DIM = 4096 };
    const int32_t ids[] = {5, 9, 17, 2};
    const struct onp_encoder_params params = {.modalities = ONP_BIT(ONP_TEXT), .max_batch = 4};
    struct onp_device *device;
    struct onp_encoder *encoder;
    struct onp_input *input;
    const struct onp_input *list[ITEMS];
    float *all = calloc((size_t)2 * ITEMS * DIM, sizeof *all), *two = all + ITEMS * DIM;
    assert_non_null(all);
    assert_true(info.embed_dim <= DIM);
    assert_int_equal(onp_device_open(context, "ref", false, &device), ONP_OK);
    assert_int_equal(onp_encoder_create(device, model, &params, &encoder), ONP_OK);
    assert_int_equal(onp_input_tokens(model, ids, 4, &input), ONP_OK);
    for (int i = 0; i < ITEMS; i++) list[i] = input;
    assert_int_equal(onp_encoder_embed(encoder, list, ITEMS, all), ONP_OK);
    assert_int_equal(onp_encoder_limit_batch(encoder, ONP_TEXT, 2), ONP_OK);
    assert_int_equal(onp_encoder_embed(encoder, list, ITEMS, two), ONP_OK);
    for (size_t i = 0; i < (size_t)ITEMS * info.embed_dim; i++)
        assert_true(fabsf(all[i] - two[i]) <= 1e-6f);
    assert_int_equal(onp_encoder_limit_batch(encoder, ONP_TEXT, 5), ONP_ERR_ARGUMENT);
    assert_int_equal(onp_encoder_limit_batch(NULL, ONP_TEXT, 1), ONP_ERR_ARGUMENT);
    assert_int_equal(onp_encoder_limit_batch(encoder, (enum onp_modality)3, 1), ONP_ERR_ARGUMENT);
    assert_int_equal(onp_encoder_limit_batch(encoder, ONP_TEXT, 0), ONP_OK);
    // The reference has no clock of its own.
    assert_int_equal(onp_encoder_profile_enable(encoder, true), ONP_ERR_UNSUPPORTED);
    assert_int_equal(onp_encoder_profile_enable(NULL, true), ONP_ERR_ARGUMENT);
    onp_input_free(input);
    onp_encoder_destroy(encoder);
    onp_device_close(device);
    free(all);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cost_of_items),
        cmocka_unit_test(cost_wrong),
        cmocka_unit_test(batches_on_request),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
