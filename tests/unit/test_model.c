// SPDX-License-Identifier: Apache-2.0
// The parts of the model that are plain functions: the convolution specification, the bucket rule,
// frame counts.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "models/one_peace/one_peace.h"

static void test_wave_spec(void **state) {
    (void)state;
    static const int expected[7][3] = {{512, 10, 5}, {512, 3, 2}, {512, 3, 2}, {512, 3, 2},
                                       {512, 3, 2},  {512, 2, 2}, {512, 2, 2}};
    struct onp_wave_conv convs[ONP_MAX_CONVS];
    int32_t count;
    const char *why;
    assert_true(onp_parse_wave_spec(
        "[(512, 10, 5)] + [(512, 3, 2)] * 4 + [(512,2,2)] + [(512,2,2)]", convs, &count, &why));
    assert_int_equal(count, 7);
    for (int i = 0; i < 7; i++) {
        assert_int_equal(convs[i].channels, expected[i][0]);
        assert_int_equal(convs[i].kernel, expected[i][1]);
        assert_int_equal(convs[i].stride, expected[i][2]);
    }
    assert_true(
        onp_parse_wave_spec("[(128, 400, 160), (128,3,2), (64,2,2,), ]", convs, &count, &why));
    assert_int_equal(count, 3);
    assert_int_equal(convs[2].channels, 64);
    assert_true(onp_parse_wave_spec("[(1,1,1),(2,2,2)]*2", convs, &count, &why));
    assert_int_equal(count, 4);
    assert_int_equal(convs[3].channels, 2);
}

static void test_bad_wave_specs(void **state) {
    (void)state;
    static const char *const bad[] = {"",
                                      "[]",
                                      "[] * 3",
                                      "__import__('os').system('true')",
                                      "[(512, 10)]",
                                      "[(512, 10, 5)",
                                      "[(512, 10, 5)] *",
                                      "[(512, 10, 5)] * -1",
                                      "[(512, 10, 5)] * 0",
                                      "[(512, 10, 5)] * 17",
                                      "[(512, 10, 5)] * 99999999999999999999",
                                      "[(512, 0, 5)]",
                                      "[(512, 10, 70000)]",
                                      "[(512, 10, 5)] + ",
                                      "[(512, 10, 5)] extra",
                                      "[(512.0, 10, 5)]"};
    struct onp_wave_conv convs[ONP_MAX_CONVS];
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        int32_t count;
        const char *why = "";
        assert_false(onp_parse_wave_spec(bad[i], convs, &count, &why));
        assert_true(strlen(why) > 0);
    }
}

// Table values are their own row numbers, so that what comes out is the bucket.
static float *table_of(int32_t rows, struct onp_file_tensor *t) {
    float *values = test_malloc((size_t)rows * sizeof *values);
    for (int32_t i = 0; i < rows; i++) values[i] = (float)i;
    *t = (struct onp_file_tensor){.name = "table",
                                  .dtype = ONP_F32,
                                  .dims = 2,
                                  .shape = {rows, 1},
                                  .stride = {1, 1},
                                  .data = values,
                                  .count = (uint64_t)rows};
    return values;
}

static void test_sequence_buckets(void **state) {
    (void)state;
    const int64_t cols = onp_sequence_bias_cols();
    float *out = test_malloc((size_t)cols * sizeof *out);
    static const struct {
        int32_t b, r, bucket;
    } spots[] = {{512, 0, 511},    {512, 1, 512},    {512, 256, 767}, {512, 257, 768},
                 {512, 258, 769},  {512, 300, 797},  {512, 512, 895}, {512, 1022, 1022},
                 {512, -256, 255}, {512, -257, 254}, {512, -1022, 0}, {256, 129, 384},
                 {256, 130, 384}};
    for (size_t i = 0; i < sizeof spots / sizeof spots[0]; i++) {
        struct onp_file_tensor t;
        float *values = table_of(2 * spots[i].b + 2, &t);
        struct onp_weight w = {
            .tensor = {.rows = 1, .cols = cols}, .source = {&t}, .arg = {spots[i].b}};
        assert_int_equal(onp_fill_sequence_bias(&w, 0, 1, out), ONP_OK);
        int32_t query[ONP_MAX_POSITIONS], key[ONP_MAX_POSITIONS];
        onp_sequence_bias_positions(ONP_MAX_POSITIONS, query, key);
        const int32_t r = spots[i].r;
        const int32_t qi = r > 0 ? r + 1 : 1, kj = r > 0 ? 1 : 1 - r;
        assert_float_equal(out[query[qi] + key[kj]], (float)spots[i].bucket, 0);
        assert_float_equal(out[cols - 3], (float)(2 * spots[i].b + 1), 0);
        assert_float_equal(out[cols - 2], (float)(2 * spots[i].b - 1), 0);
        assert_float_equal(out[cols - 1], (float)(2 * spots[i].b), 0);
        test_free(values);
    }
    test_free(out);
}

static void test_image_buckets(void **state) {
    (void)state;
    for (int32_t w = 1; w <= 6; w++) {
        const int64_t cols = onp_image_bias_cols(w);
        struct onp_file_tensor t;
        float *values = table_of((int32_t)cols, &t);
        float *out = test_malloc((size_t)cols * sizeof *out);
        struct onp_weight weight = {.tensor = {.rows = 1, .cols = cols}, .source = {&t}};
        assert_int_equal(onp_fill_image_bias(&weight, 0, 1, out), ONP_OK);
        int32_t query[1 + 36], key[1 + 36];
        onp_image_bias_positions(w, query, key);
        for (int32_t i = 0; i < w * w; i++)
            for (int32_t j = 0; j < w * w; j++) {
                const int32_t dy = i / w - j / w, dx = i % w - j % w;
                const int32_t bucket = (dy + w - 1) * (2 * w - 1) + (dx + w - 1);
                assert_float_equal(out[query[1 + i] + key[1 + j]], (float)bucket, 0);
            }
        assert_float_equal(out[cols - 3], (float)(cols - 1), 0); // CLS to CLS
        assert_float_equal(out[cols - 2], (float)(cols - 3), 0); // CLS to patch
        assert_float_equal(out[cols - 1], (float)(cols - 2), 0); // patch to CLS
        test_free(out);
        test_free(values);
    }
}

static void test_frames(void **state) {
    (void)state;
    struct onp_hparams hp = {0};
    const char *why;
    assert_true(onp_parse_wave_spec("[(8,10,5)] + [(8,3,2)]*4 + [(8,2,2)]*2", hp.convs,
                                    &hp.conv_count, &why));
    assert_int_equal(onp_wave_frames(&hp, 399), 0);
    assert_int_equal(onp_wave_frames(&hp, 400), 1);
    assert_int_equal(onp_wave_frames(&hp, 16000), 49);
    assert_int_equal(onp_wave_frames(&hp, 240000), 749);
    assert_int_equal(onp_wave_frames(&hp, 320000), 999);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wave_spec), cmocka_unit_test(test_bad_wave_specs),
        cmocka_unit_test(test_sequence_buckets), cmocka_unit_test(test_image_buckets),
        cmocka_unit_test(test_frames)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
