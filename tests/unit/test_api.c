// SPDX-License-Identifier: Apache-2.0
// The public calls: wrong use is an error that says what is wrong, and the pieces fit together.
// Runs on the reference device; numbers are compared with the goldens elsewhere.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "onepeace/onepeace.h"

static struct onp_context *context;
static struct onp_device *ref;
static struct onp_model *model, *bare;
static char logged[8192];

static void collect(void *user, enum onp_log_level level, const char *message) {
    (void)user, (void)level;
    const size_t used = strlen(logged);
    snprintf(logged + used, sizeof logged - used, "%s\n", message);
}

static const char *data_path(const char *name) {
    static char path[4][512];
    static int next;
    const char *root = getenv("ONP_TEST_DATA"), *derived = getenv("ONP_TEST_DERIVED");
    char *out = path[next++ % 4];
    if (strncmp(name, "derived/", 8) == 0) // written when the tests were built
        snprintf(out, sizeof path[0], "%s/%s", derived ? derived : "build/tests/golden", name + 8);
    else
        snprintf(out, sizeof path[0], "%s/golden/%s", root ? root : "tests/data", name);
    return out;
}

static int open_all(void **state) {
    (void)state;
    const struct onp_context_params params = {
        .log = collect, .log_level = ONP_LOG_INFO, .disable_cache = true};
    const struct onp_model_params tokenizer = {.tokenizer_dir = data_path("micro/bpe")};
    if (onp_context_create(&params, &context) != ONP_OK) return 1;
    if (onp_device_open(context, "ref", false, &ref) != ONP_OK) return 1;
    if (onp_model_open(context, data_path("derived/retrieval_fp16.pt"), &tokenizer, &model))
        return 1;
    return onp_model_open(context, data_path("micro_extra/ckpt/retrieval_al_perlayer_bf16.pt"),
                          NULL, &bare) != ONP_OK;
}

static int close_all(void **state) {
    (void)state;
    onp_model_close(bare);
    onp_model_close(model);
    onp_device_close(ref);
    onp_context_destroy(context);
    return 0;
}

// The call failed as expected and its message has the words that help.
static void expect(enum onp_status got, enum onp_status want, const char *words) {
    assert_int_equal(got, want);
    if (!strstr(onp_last_error(), words)) fail_msg("\"%s\" lacks \"%s\"", onp_last_error(), words);
}

static void test_null_arguments(void **state) {
    (void)state;
    struct onp_model *m;
    struct onp_input *in;
    struct onp_encoder *encoder;
    uint64_t a;
    expect(onp_context_create(NULL, NULL), ONP_ERR_ARGUMENT, "NULL");
    expect(onp_device_open(NULL, NULL, false, NULL), ONP_ERR_ARGUMENT, "NULL");
    expect(onp_device_list(context, NULL, NULL), ONP_ERR_ARGUMENT, "NULL");
    expect(onp_model_open(context, NULL, NULL, &m), ONP_ERR_ARGUMENT, "NULL");
    expect(onp_model_get_info(NULL, NULL), ONP_ERR_ARGUMENT, "NULL");
    expect(onp_model_memory(model, 1, ONP_F32, 1, NULL, &a), ONP_ERR_ARGUMENT, "NULL");
    expect(onp_encoder_create(ref, NULL, NULL, &encoder), ONP_ERR_ARGUMENT, "NULL");
    expect(onp_input_text(NULL, "", 0, ONP_TEXT_HUB, &in), ONP_ERR_ARGUMENT, "NULL");
    expect(onp_input_pixels(model, NULL, 256, &in), ONP_ERR_ARGUMENT, "NULL");
    onp_context_destroy(NULL);
    onp_device_close(NULL);
    onp_model_close(NULL);
    onp_input_free(NULL);
    onp_encoder_destroy(NULL);
    onp_tokenizer_close(NULL);
    onp_free(NULL);
    assert_null(onp_model_tokenizer(NULL));
    assert_null(onp_device_get_info(NULL));
}

static void test_info(void **state) {
    (void)state;
    struct onp_model_info info;
    assert_int_equal(onp_model_get_info(model, &info), ONP_OK);
    assert_string_equal(info.format, "torch-zip");
    assert_string_equal(info.family, "one-peace");
    assert_string_equal(info.name, "one_peace_retrieval");
    assert_string_equal(info.head_type, "val");
    assert_int_equal(info.dtype, ONP_F16);
    assert_int_equal(info.modalities, ONP_ALL_MODALITIES);
    assert_int_equal(info.partial, 0);
    assert_int_equal(info.embed_dim, 64);
    assert_int_equal(info.ffn_dim, 256);
    assert_int_equal(info.layers, 3);
    assert_int_equal(info.heads, 4);
    assert_int_equal(info.vocab, 856);
    assert_int_equal(info.image_size, 256);
    assert_float_equal(info.logit_scale, exp(3.3), 0.05); // 3.3 in half precision
    assert_true(info.has_tokenizer);
    assert_int_equal(onp_model_get_info(bare, &info), ONP_OK);
    assert_int_equal(info.modalities, ONP_BIT(ONP_TEXT) | ONP_BIT(ONP_AUDIO));
    assert_false(info.has_tokenizer);
}

static void test_memory(void **state) {
    (void)state;
    uint64_t weights[2], arena[2];
    for (int i = 0; i < 2; i++)
        assert_int_equal(onp_model_memory(model, ONP_BIT(ONP_TEXT), i ? ONP_F16 : ONP_F32, 1,
                                          &weights[i], &arena[i]),
                         ONP_OK);
    assert_true(weights[1] < weights[0] && weights[1] > weights[0] / 2);
    assert_int_equal(arena[0], arena[1]);
    assert_int_equal(onp_model_memory(model, ONP_BIT(ONP_TEXT), ONP_F32, 8, &weights[1], &arena[1]),
                     ONP_OK);
    assert_int_equal(weights[0], weights[1]);
    assert_true(arena[1] > 4 * arena[0] && arena[1] < 10 * arena[0]); // straight in the batch
    expect(onp_model_memory(model, 1, ONP_BF16, 1, weights, arena), ONP_ERR_ARGUMENT, "f16");
    expect(onp_model_memory(bare, ONP_BIT(ONP_IMAGE), ONP_F32, 1, weights, arena), ONP_ERR_MISSING,
           "image_proj.weight");
}

static void test_bad_inputs(void **state) {
    (void)state;
    struct onp_input *in = NULL;
    static float pixels[3 * 256 * 256], wave[400000];
    static const int32_t ids[] = {5, 856, 2}, negative[] = {-1};
    static int32_t many[600];
    expect(onp_input_text(bare, "dog", 3, ONP_TEXT_HUB, &in), ONP_ERR_MISSING, "--tokenizer");
    expect(onp_input_text(model, "\xff", 1, ONP_TEXT_HUB, &in), ONP_ERR_ARGUMENT, "UTF-8");
    expect(onp_input_tokens(model, ids, 3, &in), ONP_ERR_ARGUMENT, "856");
    expect(onp_input_tokens(model, negative, 1, &in), ONP_ERR_ARGUMENT, "-1");
    expect(onp_input_tokens(model, ids, 0, &in), ONP_ERR_ARGUMENT, "0 token ids");
    expect(onp_input_tokens(model, many, 600, &in), ONP_ERR_ARGUMENT, "600");
    expect(onp_input_pixels(model, pixels, 255, &in), ONP_ERR_ARGUMENT, "256 x 256");
    expect(onp_input_pixels(bare, pixels, 256, &in), ONP_ERR_MISSING, "no image branch");
    pixels[7] = NAN;
    expect(onp_input_pixels(model, pixels, 256, &in), ONP_ERR_ARGUMENT, "value 7");
    expect(onp_input_waveform(model, wave, 399, &in), ONP_ERR_ARGUMENT, "399");
    expect(onp_input_waveform(model, wave, 400000, &in), ONP_ERR_ARGUMENT, "1249 frames");
    wave[100] = INFINITY;
    expect(onp_input_waveform(model, wave, 16000, &in), ONP_ERR_ARGUMENT, "value 100");
    expect(onp_input_image_file(model, "/nonexistent.png", &in), ONP_ERR_IO, "/nonexistent.png");
    expect(onp_input_audio_file(model, "/nonexistent.npy", &in), ONP_ERR_IO, "/nonexistent.npy");
    expect(onp_input_image_file(model, data_path("micro/golden/text/emb.npy"), &in), ONP_ERR_FORMAT,
           "[3, side, side]");
}

static void test_bad_models(void **state) {
    (void)state;
    struct onp_model *m = NULL;
    expect(onp_model_open(context, "/nonexistent.pt", NULL, &m), ONP_ERR_IO, "/nonexistent.pt");
    expect(onp_model_open(context, "/", NULL, &m), ONP_ERR_IO, "not a regular file");
    assert_int_not_equal(onp_model_open(context, data_path("micro/manifest.json"), NULL, &m),
                         ONP_OK);
    assert_non_null(strstr(onp_last_error(), "manifest.json"));
    // A vocabulary of 50,264 ids does not fit a model of 856.
    char real[512];
    snprintf(real, sizeof real, "%s", data_path("derived/bpe"));
    const struct onp_model_params params = {.tokenizer_dir = real};
    expect(onp_model_open(context, data_path("derived/retrieval_fp16.pt"), &params, &m),
           ONP_ERR_FORMAT, "856");
}

static void test_bad_encoders(void **state) {
    (void)state;
    struct onp_encoder *encoder = NULL;
    struct onp_encoder_params params = {.dtype = ONP_BF16};
    expect(onp_encoder_create(ref, model, &params, &encoder), ONP_ERR_ARGUMENT, "f32 or f16");
    params = (struct onp_encoder_params){.modalities = ONP_BIT(ONP_IMAGE)};
    expect(onp_encoder_create(ref, bare, &params, &encoder), ONP_ERR_MISSING, "no image branch");
    params = (struct onp_encoder_params){.profile = true};
    expect(onp_encoder_create(ref, model, &params, &encoder), ONP_ERR_UNSUPPORTED, "clock");
    expect(onp_device_disable_variants(ref, "matmul_simple,nonsense"), ONP_ERR_ARGUMENT,
           "matmul_simple");
    assert_int_equal(onp_device_disable_variants(ref, "matmul_simple"), ONP_OK);
    assert_int_equal(onp_device_disable_variants(ref, ""), ONP_OK);
    expect(onp_selftest(ref, NULL, true, 1, NULL, NULL, NULL), ONP_ERR_UNSUPPORTED, "reference");
}

// Rows come back in the caller's order whatever the mix, and do not depend on the batch.
static void test_mixed_order(void **state) {
    (void)state;
    static float pixels[3 * 256 * 256], wave[16000];
    for (int i = 0; i < 16000; i++) wave[i] = sinf((float)i * 0.05f);
    for (int i = 0; i < 3 * 256 * 256; i++) pixels[i] = cosf((float)i * 0.01f);
    struct onp_input *in[5];
    assert_int_equal(onp_input_text(model, "dog", 3, ONP_TEXT_HUB, &in[0]), ONP_OK);
    assert_int_equal(onp_input_waveform(model, wave, 16000, &in[1]), ONP_OK);
    assert_int_equal(onp_input_text(model, "two cows", 8, ONP_TEXT_HUB, &in[2]), ONP_OK);
    assert_int_equal(onp_input_pixels(model, pixels, 256, &in[3]), ONP_OK);
    assert_int_equal(onp_input_waveform(model, wave, 8000, &in[4]), ONP_OK);
    struct onp_encoder *encoder;
    assert_int_equal(onp_encoder_create(ref, model, NULL, &encoder), ONP_OK);
    assert_non_null(strstr(logged, "needs"));
    float together[5 * 64], alone[64];
    assert_int_equal(onp_encoder_embed(encoder, (const struct onp_input *const *)in, 5, together),
                     ONP_OK);
    for (int i = 0; i < 5; i++) {
        const struct onp_input *one[] = {in[i]};
        assert_int_equal(onp_encoder_embed(encoder, one, 1, alone), ONP_OK);
        assert_memory_equal(alone, together + 64 * i, sizeof alone);
        double square = 0.0;
        for (int k = 0; k < 64; k++) square += (double)alone[k] * (double)alone[k];
        assert_float_equal(square, 1.0, 1e-6);
    }
    assert_int_equal(onp_encoder_embed(encoder, NULL, 0, NULL), ONP_OK);
    onp_encoder_destroy(encoder);
    const struct onp_encoder_params params = {.modalities = ONP_BIT(ONP_TEXT)};
    assert_int_equal(onp_encoder_create(ref, model, &params, &encoder), ONP_OK);
    expect(onp_encoder_embed(encoder, (const struct onp_input *const *)in, 5, together),
           ONP_ERR_ARGUMENT, "without the image branch");
    struct onp_encoder_stats stats;
    assert_int_equal(onp_encoder_get_stats(encoder, &stats), ONP_OK);
    assert_true(stats.weight_bytes > 0 && stats.max_batch[ONP_TEXT] > 0);
    assert_int_equal(stats.max_batch[ONP_IMAGE], 0);
    onp_encoder_destroy(encoder);
    for (int i = 0; i < 5; i++) onp_input_free(in[i]);
}

// Two runs on their way, filled by rows; each row is the one that the input has alone.
static void test_stream(void **state) {
    (void)state;
    enum { TEXTS = 100 };
    struct onp_input *in[TEXTS + 1];
    static float wave[8000], rows[TEXTS * 64];
    for (int i = 0; i < 8000; i++) wave[i] = sinf((float)i * 0.05f);
    for (int i = 0; i < TEXTS; i++)
        assert_int_equal(
            onp_input_text(model, "two brown cows", i % 2 ? 3 : 14, ONP_TEXT_HUB, &in[i]), ONP_OK);
    assert_int_equal(onp_input_waveform(model, wave, 8000, &in[TEXTS]), ONP_OK);
    const struct onp_input *const *list = (const struct onp_input *const *)in;
    struct onp_encoder *encoder;
    assert_int_equal(onp_encoder_create(ref, model, NULL, &encoder), ONP_OK);
    struct onp_encoder_stats stats;
    assert_int_equal(onp_encoder_get_stats(encoder, &stats), ONP_OK);
    assert_true(stats.max_batch[ONP_TEXT] < TEXTS); // of the longest texts
    assert_int_equal(onp_encoder_fitting(encoder, list, TEXTS + 1), TEXTS);
    assert_int_equal(onp_encoder_fitting(encoder, list, 0), 0);
    size_t taken, count;
    assert_int_equal(onp_encoder_collect(encoder, rows, &count), ONP_OK);
    assert_int_equal(count, 0);
    assert_int_equal(onp_encoder_submit(encoder, list + 1, TEXTS, &taken), ONP_OK);
    assert_int_equal(taken, TEXTS - 1); // the sound is another run
    assert_int_equal(onp_encoder_submit(encoder, list + TEXTS, 1, &taken), ONP_OK);
    expect(onp_encoder_submit(encoder, list, 1, &taken), ONP_ERR_ARGUMENT, "collect");
    expect(onp_encoder_embed(encoder, list, 1, rows), ONP_ERR_ARGUMENT, "collect");
    assert_int_equal(onp_encoder_collect(encoder, rows, &count), ONP_OK);
    assert_int_equal(count, TEXTS - 1);
    assert_int_equal(onp_encoder_collect(encoder, rows + (TEXTS - 1) * 64, &count), ONP_OK);
    assert_int_equal(count, 1);
    assert_int_equal(onp_encoder_get_stats(encoder, &stats), ONP_OK);
    assert_true(stats.span_seconds > 0.0);
    for (int i = 1; i <= TEXTS; i += i < 3 ? 1 : TEXTS - 3) {
        float alone[64];
        assert_int_equal(onp_encoder_embed(encoder, list + i, 1, alone), ONP_OK);
        assert_memory_equal(alone, rows + (i - 1) * 64, sizeof alone);
    }
    assert_int_equal(onp_encoder_submit(encoder, list, TEXTS, &taken), ONP_OK);
    onp_encoder_destroy(encoder); // with a run on its way
    // A batch that is asked for is counted in items.
    const struct onp_encoder_params params = {.modalities = ONP_BIT(ONP_TEXT), .max_batch = 3};
    assert_int_equal(onp_encoder_create(ref, model, &params, &encoder), ONP_OK);
    assert_int_equal(onp_encoder_fitting(encoder, list, TEXTS), 3);
    expect(onp_encoder_submit(encoder, list + TEXTS, 1, &taken), ONP_ERR_ARGUMENT, "audio branch");
    onp_encoder_destroy(encoder);
    for (int i = 0; i <= TEXTS; i++) onp_input_free(in[i]);
}

static void test_combine_and_similarity(void **state) {
    (void)state;
    static const float rows[] = {3.0f, 0.0f, 0.0f, 0.5f, 1.0f, 1.0f};
    float out[2], matrix[4];
    onp_combine(rows, 2, 2, out);
    assert_float_equal(out[0], sqrt(0.5), 1e-7);
    assert_float_equal(out[1], sqrt(0.5), 1e-7);
    static const float opposite[] = {1.0f, 0.0f, -1.0f, 0.0f};
    onp_combine(opposite, 2, 2, out);
    assert_float_equal(out[0], 0.0, 0.0);
    onp_similarity(rows, 2, rows + 2, 2, 2, matrix);
    assert_float_equal(matrix[0], 0.0, 0.0);
    assert_float_equal(matrix[1], 3.0, 0.0);
    assert_float_equal(matrix[2], 0.25, 0.0);
    assert_float_equal(matrix[3], 0.5, 0.0);
}

static void test_names(void **state) {
    (void)state;
    for (int s = 0; s <= ONP_ERR_MISMATCH; s++)
        assert_string_not_equal(onp_status_name((enum onp_status)s), "unknown status");
    assert_string_equal(onp_status_name((enum onp_status)999), "unknown status");
    assert_string_equal(onp_dtype_name((enum onp_dtype)99), "?");
    assert_string_equal(onp_modality_name(ONP_AUDIO), "audio");
    assert_int_equal(onp_dtype_size(ONP_BF16), 2);
    assert_non_null(strstr(onp_decoders(), "libsndfile"));
    assert_non_null(strchr(onp_version(), '.'));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_null_arguments),
                                       cmocka_unit_test(test_info),
                                       cmocka_unit_test(test_memory),
                                       cmocka_unit_test(test_bad_inputs),
                                       cmocka_unit_test(test_bad_models),
                                       cmocka_unit_test(test_bad_encoders),
                                       cmocka_unit_test(test_mixed_order),
                                       cmocka_unit_test(test_stream),
                                       cmocka_unit_test(test_combine_and_similarity),
                                       cmocka_unit_test(test_names)};
    return cmocka_run_group_tests(tests, open_all, close_all);
}
