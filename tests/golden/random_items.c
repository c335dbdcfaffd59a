// SPDX-License-Identifier: Apache-2.0
#include "tests/golden/random_items.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/rng.h"
#include "tests/golden/golden.h"

static struct onp_input *text(const struct onp_model *model, int32_t length, struct onp_rng *rng) {
    struct onp_model_info info;
    struct onp_input *input = NULL;
    int32_t ids[512];
    assert_in_range(length, 1, 512);
    onp_golden_ok(onp_model_get_info(model, &info), "info");
    for (int32_t i = 0; i < length; i++) ids[i] = (int32_t)(onp_rng_next(rng) % info.vocab);
    onp_golden_ok(onp_input_tokens(model, ids, (size_t)length, &input), "tokens");
    return input;
}

// Smooth enough to resemble media: each value leans on the one before.
static float *wave(size_t count, struct onp_rng *rng) {
    float *values = malloc(count * sizeof *values), last = 0.0f;
    assert_non_null(values);
    for (size_t i = 0; i < count; i++) values[i] = last = 0.8f * last + 0.6f * onp_rng_normal(rng);
    return values;
}

static struct onp_input *picture(const struct onp_model *model, struct onp_rng *rng) {
    struct onp_model_info info;
    struct onp_input *input = NULL;
    onp_golden_ok(onp_model_get_info(model, &info), "info");
    float *pixels = wave((size_t)3 * info.image_size * info.image_size, rng);
    onp_golden_ok(onp_input_pixels(model, pixels, info.image_size, &input), "pixels");
    free(pixels);
    return input;
}

static struct onp_input *sound(const struct onp_model *model, int32_t length, struct onp_rng *rng) {
    struct onp_input *input = NULL;
    float *samples = wave((size_t)length, rng);
    onp_golden_ok(onp_input_waveform(model, samples, (size_t)length, &input), "waveform");
    free(samples);
    return input;
}

void onp_random_item(struct onp_random_items *items, const struct onp_model *model,
                     enum onp_modality modality, int32_t length, uint64_t seed) {
    struct onp_rng rng = {seed};
    assert_true(items->count < ONP_RANDOM_ITEMS);
    struct onp_input **out = &items->input[items->count++];
    switch (modality) {
    case ONP_TEXT:
        *out = text(model, length, &rng);
        break;
    case ONP_IMAGE:
        *out = picture(model, &rng);
        break;
    case ONP_AUDIO:
        *out = sound(model, length, &rng);
        break;
    }
}

void onp_random_items_free(struct onp_random_items *items) {
    for (size_t i = 0; i < items->count; i++) onp_input_free(items->input[i]);
    items->count = 0;
}

void onp_random_embed(struct onp_device *device, const struct onp_model *model,
                      const struct onp_encoder_params *params, const struct onp_random_items *items,
                      float *rows) {
    struct onp_model_info info;
    struct onp_encoder *encoder = NULL;
    onp_golden_ok(onp_model_get_info(model, &info), "info");
    onp_golden_ok(onp_encoder_create(device, model, params, &encoder), "encoder");
    onp_golden_ok(onp_encoder_embed(encoder, (const struct onp_input *const *)items->input,
                                    items->count, rows),
                  "embed");
    onp_encoder_destroy(encoder);
    for (size_t i = 0; i < items->count; i++) {
        double square = 0.0;
        for (uint32_t k = 0; k < info.embed_dim; k++)
            square += (double)rows[i * info.embed_dim + k] * (double)rows[i * info.embed_dim + k];
        if (!(fabs(square - 1.0) < 1e-5)) fail_msg("row %zu has squared length %g", i, square);
    }
}
