// SPDX-License-Identifier: Apache-2.0
// Models of other sizes than the goldens have: the device under test must equal the reference, for
// fixed awkward sizes and for random ones. Prints the seed; ONP_TEST_SEED repeats a run.
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/checked.h"
#include "base/rng.h"
#include "tests/golden/golden.h"
#include "tests/golden/make_model.h"
#include "tests/golden/random_items.h"

#define TOLERANCE    2e-5
#define RANDOM_COUNT 4
#define MAX_DIM      256

#define USUAL_CONVS                                                                                \
    .convs = {{10, 5}, {3, 2}, {3, 2}, {3, 2}, {3, 2}, {2, 2}, {2, 2}}, .conv_count = 7
#define USUAL_POSITIONS .pos_convs = 5, .pos_kernel = 19

static const struct onp_test_model fixed[] = {
    // Head size 12, the smallest picture, a tiny vocabulary.
    {.embed_dim = 48,
     .ffn_dim = 112,
     .layers = 2,
     .heads = 4,
     .vocab = 7,
     .image_size = 32,
     .channels = 16,
     USUAL_CONVS,
     USUAL_POSITIONS,
     .modalities = ONP_ALL_MODALITIES},
    // Other wave convolutions, positions resized 16 -> 6.
    {.embed_dim = 80,
     .ffn_dim = 200,
     .layers = 1,
     .heads = 5,
     .vocab = 333,
     .image_size = 96,
     .channels = 20,
     .convs = {{8, 4}, {4, 2}, {3, 3}},
     .conv_count = 3,
     USUAL_POSITIONS,
     .modalities = ONP_ALL_MODALITIES},
    // Head size 64, a table per layer, an FFN narrower than the model.
    {.embed_dim = 128,
     .ffn_dim = 96,
     .layers = 3,
     .heads = 2,
     .vocab = 1000,
     .image_size = 64,
     .channels = 32,
     USUAL_CONVS,
     USUAL_POSITIONS,
     .table_per_layer = true,
     .modalities = ONP_ALL_MODALITIES,
     .dtype = ONP_BF16},
    // Head size 4, an even positional kernel (whose surplus frame is dropped).
    {.embed_dim = 96,
     .ffn_dim = 260,
     .layers = 2,
     .heads = 24,
     .vocab = 64,
     .image_size = 48,
     .channels = 12,
     .convs = {{12, 6}, {2, 2}, {5, 3}, {3, 1}},
     .conv_count = 4,
     .pos_convs = 2,
     .pos_kernel = 4,
     .modalities = ONP_ALL_MODALITIES,
     .dtype = ONP_F16},
    // Head size 44, positions resized 16 -> 24.
    {.embed_dim = 176,
     .ffn_dim = 300,
     .layers = 1,
     .heads = 4,
     .vocab = 128,
     .image_size = 384,
     .channels = 16,
     USUAL_CONVS,
     USUAL_POSITIONS,
     .modalities = ONP_BIT(ONP_TEXT) | ONP_BIT(ONP_IMAGE)},
};

static int32_t pick(struct onp_rng *rng, int32_t low, int32_t high) {
    return low + (int32_t)(onp_rng_next(rng) % (uint64_t)(high - low + 1));
}

static struct onp_test_model random_model(struct onp_rng *rng) {
    static const int32_t head_counts[] = {1, 2, 4, 8};
    struct onp_test_model m = {.modalities = ONP_ALL_MODALITIES};
    m.heads = head_counts[pick(rng, 0, 3)];
    // A multiple of 16 whose heads are multiples of 4 wide.
    m.embed_dim = 32 * pick(rng, 1, 6);
    m.ffn_dim = 4 * pick(rng, 8, 80);
    m.layers = pick(rng, 1, 3);
    m.vocab = pick(rng, 1, 2000);
    m.image_size = 16 * pick(rng, 2, 6);
    m.channels = 4 * pick(rng, 2, 12);
    m.conv_count = pick(rng, 3, 5);
    for (int i = 0; i < m.conv_count; i++)
        m.convs[i] = (struct onp_test_conv){pick(rng, 2, 5), pick(rng, 2, 4)};
    m.convs[0] = (struct onp_test_conv){pick(rng, 5, 10), 5}; // keeps sequences short
    m.pos_convs = pick(rng, 1, 5);
    m.pos_kernel = pick(rng, 3, 24);
    m.table_per_layer = pick(rng, 0, 1) == 1;
    m.dtype = (enum onp_dtype)pick(rng, ONP_F32, ONP_BF16);
    m.seed = onp_rng_next(rng);
    return m;
}

static void add_items(struct onp_random_items *items, const struct onp_model *model,
                      unsigned modalities) {
    static const int32_t texts[] = {1, 17, 71}, sounds[] = {3999, 16000, 9001};
    for (uint64_t i = 0; i < 3; i++) {
        if (modalities & ONP_BIT(ONP_TEXT)) onp_random_item(items, model, ONP_TEXT, texts[i], i);
        if (modalities & ONP_BIT(ONP_AUDIO))
            onp_random_item(items, model, ONP_AUDIO, sounds[i], 10 + i);
        if (i < 2 && (modalities & ONP_BIT(ONP_IMAGE)))
            onp_random_item(items, model, ONP_IMAGE, 0, 20 + i);
    }
}

static void test_size(void **state) {
    const struct onp_test_model *m = *state;
    char path[] = "/tmp/onepeace-sizes.XXXXXX";
    const int file = mkstemp(path);
    assert_true(file >= 0);
    close(file);
    fprintf(stderr,
            "D %d F %d L %d H %d V %d C %d, %d px, %d convolutions, %d positional of %d, %s\n",
            m->embed_dim, m->ffn_dim, m->layers, m->heads, m->vocab, m->channels, m->image_size,
            m->conv_count, m->pos_convs, m->pos_kernel, onp_dtype_name(m->dtype));
    onp_golden_ok(onp_make_model(path, m, &onp_golden.log), "make model");
    struct onp_model *model = NULL;
    onp_golden_ok(onp_model_open(onp_golden.context, path, NULL, &model), "open");
    struct onp_random_items items = {0};
    add_items(&items, model, m->modalities);
    static float rows[2][ONP_RANDOM_ITEMS * MAX_DIM];
    for (int storage = ONP_F32; storage <= ONP_F16; storage++) {
        const struct onp_encoder_params params = {.dtype = (enum onp_dtype)storage};
        for (int d = 0; d < 2 && onp_golden.device[d]; d++)
            onp_random_embed(onp_golden.device[d], model, &params, &items, rows[d]);
        if (onp_golden.device[1])
            onp_golden_near(onp_dtype_name((enum onp_dtype)storage), rows[0], rows[1],
                            items.count * (size_t)m->embed_dim, TOLERANCE);
    }
    onp_random_items_free(&items);
    onp_model_close(model);
    unlink(path);
}

int main(void) {
    static struct onp_test_model random_models[RANDOM_COUNT];
    static char names[ONP_COUNT(fixed) + RANDOM_COUNT][64];
    static struct CMUnitTest tests[ONP_COUNT(fixed) + RANDOM_COUNT];
    if (onp_golden_open()) return 1;
    const char *text = getenv("ONP_TEST_SEED");
    const uint64_t seed = text ? strtoull(text, NULL, 0) : 20231124;
    fprintf(stderr, "seed %llu\n", (unsigned long long)seed);
    struct onp_rng rng = {seed};
    size_t count = 0;
    for (size_t i = 0; i < ONP_COUNT(fixed) + RANDOM_COUNT; i++, count++) {
        const bool given = i < ONP_COUNT(fixed);
        struct onp_test_model *random = given ? NULL : &random_models[i - ONP_COUNT(fixed)];
        if (random) *random = random_model(&rng);
        const struct onp_test_model *model = random ? random : &fixed[i];
        snprintf(names[i], sizeof names[i], "%s model %zu", given ? "fixed" : "random", i);
        tests[i] = (struct CMUnitTest){names[i], test_size, NULL, NULL, (void *)(uintptr_t)model};
    }
    const int failed = _cmocka_run_group_tests("sizes", tests, count, NULL, NULL);
    onp_golden_close();
    return failed;
}
