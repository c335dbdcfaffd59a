// SPDX-License-Identifier: Apache-2.0
// Items prepared ahead: their order, what is told about bad ones, and the bound on memory.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "cli/prepare.h"

enum { SAMPLES = 240000, BOUND = 96 << 20 }; // 15 s

static struct onp_context *context;
static struct onp_cli_settings settings;
static struct onp_cli_session session;
static char sound[64];

static bool write_sound(void) {
    char header[128 + 1], text[96];
    float *samples = calloc(SAMPLES, sizeof *samples);
    snprintf(sound, sizeof sound, "/tmp/onp_prepare_%ld.npy", (long)getpid());
    FILE *file = fopen(sound, "wb");
    snprintf(text, sizeof text, "{'descr': '<f4', 'fortran_order': False, 'shape': (%d,), }",
             SAMPLES);
    snprintf(header, sizeof header, "%-117s\n", text);
    bool good = samples && file && fwrite("\x93NUMPY\x01\x00\x76\x00", 1, 10, file) == 10 &&
                fwrite(header, 1, 118, file) == 118 &&
                fwrite(samples, sizeof *samples, SAMPLES, file) == SAMPLES;
    if (file) good &= fclose(file) == 0;
    free(samples);
    return good;
}

static int open_all(void **state) {
    (void)state;
    const char *data = getenv("ONP_TEST_DATA");
    char model[512], tokenizer[512];
    snprintf(model, sizeof model, "%s/golden/micro/ckpt/retrieval_fp32.pt", data);
    snprintf(tokenizer, sizeof tokenizer, "%s/golden/micro/bpe", data);
    const struct onp_context_params params = {.log = onp_cli_library_log, .disable_cache = true};
    const struct onp_model_params with = {.tokenizer_dir = tokenizer};
    if (onp_context_create(&params, &context) != ONP_OK) return 1;
    session = (struct onp_cli_session){.settings = &settings, .context = context};
    if (onp_model_open(context, model, &with, &session.model) != ONP_OK) return 1;
    if (onp_model_get_info(session.model, &session.info) != ONP_OK) return 1;
    return !write_sound();
}

static int close_all(void **state) {
    (void)state;
    onp_model_close(session.model);
    onp_context_destroy(context);
    unlink(sound);
    return 0;
}

static struct onp_cli_items make_items(size_t count) {
    struct onp_cli_items items = {.list = calloc(count, sizeof *items.list), .count = count};
    assert_non_null(items.list);
    return items;
}

// Texts of n words between sounds that take longer, every seventh item bad.
static void test_order(void **state) {
    (void)state;
    enum { COUNT = 300 };
    static char words[] = "cow cow cow cow cow cow cow cow cow cow cow cow cow cow cow cow";
    struct onp_cli_items items = make_items(COUNT);
    items.modalities = ONP_BIT(ONP_TEXT) | ONP_BIT(ONP_AUDIO);
    for (size_t i = 0; i < COUNT; i++) {
        items.list[i] =
            (struct onp_cli_item){.kind = ONP_TEXT, .value = words, .bytes = 4 * (1 + i % 16) - 1};
        if (i % 5 == 0) items.list[i] = (struct onp_cli_item){.kind = ONP_AUDIO, .value = sound};
        if (i % 7 == 0) items.list[i] = (struct onp_cli_item){.kind = ONP_IMAGE, .value = "no.png"};
        if (i % 77 == 0) items.list[i].fault = "known before";
    }
    struct onp_cli_preparer *p;
    assert_int_equal(onp_cli_preparer_start(&session, &items, 40, 0, &p), 0);
    uint64_t lengths[16] = {0};
    for (size_t i = 0; i < COUNT; i++) {
        struct onp_cli_prepared got;
        assert_true(onp_cli_preparer_take(p, true, &got));
        if (i % 7 == 0) {
            assert_null(got.input);
            assert_int_equal(got.status, ONP_ERR_IO);
            assert_non_null(strstr(got.reason, i % 77 == 0 ? "known before" : "no.png"));
        } else {
            uint64_t shape[3];
            assert_non_null(got.input);
            onp_input_data(got.input, NULL, shape, NULL);
            assert_int_equal(onp_input_modality(got.input), i % 5 ? ONP_TEXT : ONP_AUDIO);
            if (i % 5 == 0)
                assert_int_equal(shape[0], SAMPLES);
            else if (lengths[i % 16] == 0)
                lengths[i % 16] = shape[0];
            else
                assert_int_equal(shape[0], lengths[i % 16]);
        }
        onp_cli_preparer_release(p, got.bytes);
        onp_cli_prepared_free(&got);
    }
    for (int i = 1; i < 16; i++) assert_true(lengths[i] > lengths[i - 1]);
    struct onp_cli_prepared none;
    assert_false(onp_cli_preparer_take(p, true, &none));
    onp_cli_preparer_stop(p);
    free(items.list);
}

static void test_memory(void **state) {
    (void)state;
    enum { COUNT = 250, MOST = BOUND / (SAMPLES * 4) };
    struct onp_cli_items items = make_items(COUNT);
    items.modalities = ONP_BIT(ONP_AUDIO);
    for (size_t i = 0; i < COUNT; i++)
        items.list[i] = (struct onp_cli_item){.kind = ONP_AUDIO, .value = sound};
    struct onp_cli_preparer *p;
    assert_int_equal(onp_cli_preparer_start(&session, &items, COUNT, 0, &p), 0);
    static struct onp_cli_prepared got[COUNT];
    size_t count = 0;
    while (onp_cli_preparer_take(p, true, &got[count])) count++;
    assert_int_equal(count, MOST); // nothing waits for what cannot come
    assert_false(onp_cli_preparer_take(p, false, &got[count]));
    onp_cli_preparer_release(p, got[0].bytes);
    assert_true(onp_cli_preparer_take(p, true, &got[count++]));
    assert_false(onp_cli_preparer_take(p, true, &got[count]));
    for (size_t i = 0; i < count; i++) onp_cli_prepared_free(&got[i]);
    onp_cli_preparer_stop(p);
    // A batch that was asked for gets its room.
    assert_int_equal(onp_cli_preparer_start(&session, &items, COUNT, 100, &p), 0);
    for (count = 0; onp_cli_preparer_take(p, true, &got[count]);) count++;
    assert_int_equal(count, 200);
    for (size_t i = 0; i < count; i++) onp_cli_prepared_free(&got[i]);
    onp_cli_preparer_stop(p);
    free(items.list);
}

// Stopped with items prepared, being prepared and not begun.
static void test_stop(void **state) {
    (void)state;
    enum { COUNT = 60 };
    struct onp_cli_items items = make_items(COUNT);
    items.modalities = ONP_BIT(ONP_AUDIO);
    for (size_t i = 0; i < COUNT; i++)
        items.list[i] = (struct onp_cli_item){.kind = ONP_AUDIO, .value = sound};
    for (size_t n = 0; n < 20; n++) {
        struct onp_cli_preparer *p;
        struct onp_cli_prepared got;
        assert_int_equal(onp_cli_preparer_start(&session, &items, 1 + n, 0, &p), 0);
        if (n % 2) onp_cli_preparer_yield(p);
        for (size_t i = 0; i < n; i++) {
            assert_true(onp_cli_preparer_take(p, true, &got));
            onp_cli_prepared_free(&got);
        }
        onp_cli_preparer_stop(p);
    }
    free(items.list);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_order), cmocka_unit_test(test_memory),
                                       cmocka_unit_test(test_stop)};
    return cmocka_run_group_tests(tests, open_all, close_all);
}
