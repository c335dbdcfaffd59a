// SPDX-License-Identifier: Apache-2.0
// Models without a file: what a spec may say, and that such a model embeds sensibly.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "io/model_file.h"
#include "models/family.h"
#include "onepeace/onepeace.h"

#define ITEMS 6
#define DIM   64

static struct onp_context *context;

static int setup(void **state) {
    (void)state;
    return onp_context_create(NULL, &context) != ONP_OK;
}

static int teardown(void **state) {
    (void)state;
    onp_context_destroy(context);
    return 0;
}

static struct onp_model *make(const char *spec) {
    struct onp_model *model = NULL;
    if (onp_model_synthetic(context, spec, &model) != ONP_OK)
        fail_msg("%s: %s", spec, onp_last_error());
    return model;
}

static void test_full(void **state) {
    (void)state;
    struct onp_model *model = make("full");
    struct onp_model_info info;
    assert_int_equal(onp_model_get_info(model, &info), ONP_OK);
    assert_string_equal(info.path, "synthetic:1536,6144,40,24");
    assert_string_equal(info.format, "synthetic");
    assert_int_equal(info.embed_dim, 1536);
    assert_int_equal(info.ffn_dim, 6144);
    assert_int_equal(info.layers, 40);
    assert_int_equal(info.heads, 24);
    assert_int_equal(info.vocab, 50264);
    assert_int_equal(info.image_size, 256);
    assert_int_equal(info.audio_channels, 512);
    assert_int_equal(info.modalities, ONP_ALL_MODALITIES);
    assert_int_equal(info.file_bytes, 0);
    assert_int_equal(info.ignored_tensors, 0);
    assert_false(info.has_tokenizer);
    // 40 (4 D^2 + 3 D F) and the rest
    assert_in_range(info.parameters[ONP_IMAGE], 1500000000, 1530000000);
    struct onp_input *input = NULL;
    assert_int_equal(onp_input_text(model, "dog", 3, ONP_TEXT_HUB, &input), ONP_ERR_MISSING);
    onp_model_close(model);
}

static void test_specs(void **state) {
    (void)state;
    static const char *const good[] = {"micro", "16,1,1,1", "192,768,4,3", "16384,65536,512,1024"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) onp_model_close(make(good[i]));
    static const struct {
        const char *spec, *says;
    } bad[] = {
        {"", "four whole numbers"},
        {"huge", "four whole numbers"},
        {"1536", "four whole numbers"},
        {"1536,6144,40", "four whole numbers"},
        {"1536,6144,40,24,1", "four whole numbers"},
        {"1536,6144,40,24,", "four whole numbers"},
        {"1536,,40,24", "four whole numbers"},
        {" 1536,6144,40,24", "four whole numbers"},
        {"-16,64,1,1", "four whole numbers"},
        {"1e3,64,1,1", "four whole numbers"},
        {"99999999999999999999,64,1,1", "four whole numbers"},
        {"0,64,1,1", "width D"},
        {"100,64,1,1", "width D"},
        {"32768,64,1,1", "width D"},
        {"64,0,1,1", "feed-forward"},
        {"64,65537,1,1", "feed-forward"},
        {"64,64,0,1", "layers L"},
        {"64,64,513,1", "layers L"},
        {"64,64,1,0", "heads H"},
        {"64,64,1,3", "heads H"},
        {"64,64,1,32", "heads H"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct onp_model *model = NULL;
        assert_int_equal(onp_model_synthetic(context, bad[i].spec, &model), ONP_ERR_ARGUMENT);
        assert_null(model);
        if (!strstr(onp_last_error(), bad[i].says))
            fail_msg("%s: %s", bad[i].spec, onp_last_error());
    }
    assert_int_equal(onp_model_synthetic(context, NULL, NULL), ONP_ERR_ARGUMENT);
}

// Mean and spread as asked for, no value repeated beyond chance, and any part equal to the whole.
static void test_values(void **state) {
    (void)state;
    static const struct onp_log log = {0};
    struct onp_model_file *file = NULL;
    assert_int_equal(onp_family_one_peace.synthetic("micro", &log, &file), ONP_OK);
    const struct onp_file_tensor *t =
        onp_model_file_find(file, "encoder_wrapper.text_adapter.embed_tokens.weight");
    assert_non_null(t);
    static float all[856 * 64], part[1000];
    assert_int_equal(t->count, 856 * 64);
    onp_file_tensor_read(t, 0, t->count, all);
    onp_file_tensor_read(t, 777, 1000, part);
    assert_memory_equal(all + 777, part, sizeof part);
    double sum = 0.0, square = 0.0, next = 0.0;
    for (size_t i = 0; i < t->count; i++) {
        sum += (double)all[i];
        square += (double)all[i] * (double)all[i];
        if (i > 0) next += (double)all[i] * (double)all[i - 1];
    }
    const double n = (double)t->count;
    assert_true(fabs(sum / n) < 0.6 * 5.0 / sqrt(n)); // five standard errors
    assert_true(fabs(sqrt(square / n) - 0.6) < 0.01);
    assert_true(fabs(next / square) < 5.0 / sqrt(n));
    const struct onp_file_tensor *norm =
        onp_model_file_find(file, "encoder_wrapper.fusion_model.text_layer_norm.weight");
    onp_file_tensor_read(norm, 0, 64, part);
    for (int i = 0; i < 64; i++) assert_true(part[i] > 0.6f && part[i] < 1.4f);
    onp_model_file_close(file);
}

// Noise, and noise on waves.
static void make_items(const struct onp_model *model, struct onp_input *input[ITEMS]) {
    struct onp_rng rng = {3};
    static float media[3 * 256 * 256];
    for (int i = 0; i < ITEMS; i++) {
        int32_t ids[10];
        for (int k = 0; k < 10; k++) ids[k] = (int32_t)(onp_rng_next(&rng) % 856);
        for (size_t k = 0; k < sizeof media / sizeof *media; k++)
            media[k] = onp_rng_normal(&rng) + (i % 2 ? 3.0f * sinf((float)k * 0.01f) : 0.0f);
        enum onp_status status = i < 2   ? onp_input_tokens(model, ids, 10, &input[i])
                                 : i < 4 ? onp_input_pixels(model, media, 256, &input[i])
                                         : onp_input_waveform(model, media, 16000, &input[i]);
        assert_int_equal(status, ONP_OK);
    }
}

static void embed(struct onp_device *device, const struct onp_model *model, enum onp_dtype dtype,
                  struct onp_input *const input[ITEMS], float rows[ITEMS * DIM]) {
    const struct onp_encoder_params params = {.dtype = dtype};
    struct onp_encoder *encoder = NULL;
    if (onp_encoder_create(device, model, &params, &encoder) != ONP_OK ||
        onp_encoder_embed(encoder, (const struct onp_input *const *)input, ITEMS, rows) != ONP_OK)
        fail_msg("%s", onp_last_error());
    onp_encoder_destroy(encoder);
}

static void test_embeds(void **state) {
    (void)state;
    struct onp_device *device = NULL;
    struct onp_model *model = make("micro"), *again = make("64,256,3,4");
    struct onp_input *input[ITEMS] = {NULL}, *other[ITEMS] = {NULL};
    static float rows[ITEMS * DIM], half[ITEMS * DIM], twice[ITEMS * DIM], s[ITEMS * ITEMS];
    assert_int_equal(onp_device_open(context, "ref", false, &device), ONP_OK);
    make_items(model, input);
    embed(device, model, ONP_F32, input, rows);
    embed(device, model, ONP_F32, input, twice);
    embed(device, model, ONP_F16, input, half);
    assert_memory_equal(rows, twice, sizeof rows);
    onp_similarity(rows, ITEMS, rows, ITEMS, DIM, s);
    for (int i = 0; i < ITEMS; i++)
        for (int j = 0; j < ITEMS; j++)
            assert_true(i == j ? fabsf(s[i * ITEMS + j] - 1.0f) < 1e-5f
                               : fabsf(s[i * ITEMS + j]) < 0.99f);
    onp_similarity(rows, ITEMS, half, ITEMS, DIM, s);
    for (int i = 0; i < ITEMS; i++) assert_true(s[i * ITEMS + i] > 0.9999f);
    make_items(again, other); // its own sizes are as published: other weights, other channels
    for (int i = 0; i < ITEMS; i++) {
        onp_input_free(input[i]);
        onp_input_free(other[i]);
    }
    onp_model_close(again);
    onp_model_close(model);
    onp_device_close(device);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_full),
        cmocka_unit_test(test_specs),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_embeds),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
