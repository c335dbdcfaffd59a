// SPDX-License-Identifier: Apache-2.0
// Items as the model is fed them.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "api/internal.h"
#include "base/checked.h"
#include "io/audio.h"
#include "io/image.h"
#include "io/npy.h"
#include "models/one_peace/preprocess.h"

int32_t onp_input_length(const struct onp_input *input) {
    return input->modality == ONP_IMAGE ? 0 : (int32_t)input->shape[0];
}

static enum onp_status null_argument(const char *function) {
    return onp_fail(NULL, ONP_ERR_ARGUMENT, "%s: an argument is NULL", function);
}

// Takes ownership of data, also on failure.
static enum onp_status wrap(const struct onp_log *log, enum onp_modality modality, int dims,
                            const uint64_t *shape, void *data, struct onp_input **out) {
    struct onp_input *input = calloc(1, sizeof *input);
    if (!input || !data) {
        free(input);
        free(data);
        return onp_fail(log, ONP_ERR_MEMORY, "no memory for an item");
    }
    *input = (struct onp_input){.modality = modality,
                                .dtype = modality == ONP_TEXT ? ONP_I32 : ONP_F32,
                                .dims = dims,
                                .data = data};
    memcpy(input->shape, shape, (size_t)dims * sizeof *shape);
    *out = input;
    return ONP_OK;
}

void onp_input_free(struct onp_input *input) {
    if (!input) return;
    free(input->data);
    free(input);
}

enum onp_modality onp_input_modality(const struct onp_input *input) { return input->modality; }

const void *onp_input_data(const struct onp_input *input, enum onp_dtype *dtype, uint64_t shape[3],
                           int *dims) {
    if (dtype) *dtype = input->dtype;
    if (shape) memcpy(shape, input->shape, sizeof input->shape);
    if (dims) *dims = input->dims;
    return input->data;
}

// Inputs are made only for branches that the file has.
static enum onp_status need_branch(const struct onp_model *model, enum onp_modality modality) {
    if ((model->info.modalities | model->info.partial) & ONP_BIT(modality)) return ONP_OK;
    return onp_fail(&model->context->log, ONP_ERR_MISSING,
                    "%s has no %s branch: use a checkpoint that holds it", model->info.path,
                    onp_modality_name(modality));
}

static void *copy_of(const void *data, size_t count, size_t size) {
    size_t bytes;
    void *copy = onp_mul_size(count, size, &bytes) ? malloc(bytes ? bytes : 1) : NULL;
    if (copy && bytes) memcpy(copy, data, bytes);
    return copy;
}

// --- Text -------------------------------------------------------------------------------------

enum onp_status onp_input_tokens(const struct onp_model *model, const int32_t *ids, size_t count,
                                 struct onp_input **out) {
    if (!model || !ids || !out) return null_argument("onp_input_tokens");
    const struct onp_log *log = &model->context->log;
    ONP_TRY(need_branch(model, ONP_TEXT));
    const int64_t length = count > INT32_MAX ? INT32_MAX : (int64_t)count;
    ONP_TRY(model->family->check_item(model->hparams, ONP_TEXT, length, log));
    for (size_t i = 0; i < count; i++)
        if (ids[i] < 0 || (uint32_t)ids[i] >= model->info.vocab)
            return onp_fail(log, ONP_ERR_ARGUMENT,
                            "token id %d is outside the model's vocabulary of %u", ids[i],
                            model->info.vocab);
    return wrap(log, ONP_TEXT, 1, (const uint64_t[]){count}, copy_of(ids, count, sizeof *ids), out);
}

enum onp_status onp_input_text(const struct onp_model *model, const char *text, size_t bytes,
                               enum onp_text_mode mode, struct onp_input **out) {
    if (!model || (!text && bytes > 0) || !out) return null_argument("onp_input_text");
    ONP_TRY(need_branch(model, ONP_TEXT));
    if (!model->tokenizer)
        return onp_fail(&model->context->log, ONP_ERR_MISSING,
                        "%s carries no tokenizer: name the folder that holds encoder.json, "
                        "vocab.bpe and dict.txt (--tokenizer), or convert the file with it",
                        model->info.path);
    int32_t *ids = NULL;
    size_t count = 0;
    ONP_TRY(onp_tokenize(model->tokenizer, text, bytes, mode, &ids, &count));
    const enum onp_status status = onp_input_tokens(model, ids, count, out);
    free(ids);
    return status;
}

// --- Pictures ---------------------------------------------------------------------------------

static enum onp_status check_finite(const struct onp_log *log, const char *what,
                                    const float *values, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (!isfinite(values[i]))
            return onp_fail(log, ONP_ERR_ARGUMENT, "%s: value %zu is not a finite number", what, i);
    return ONP_OK;
}

static enum onp_status pixels_input(const struct onp_model *model, const char *what,
                                    const float *pixels, uint32_t side, struct onp_input **out) {
    const struct onp_log *log = &model->context->log;
    ONP_TRY(need_branch(model, ONP_IMAGE));
    if (side != model->info.image_size)
        return onp_fail(log, ONP_ERR_ARGUMENT, "%s is %u x %u pixels, the model takes %u x %u",
                        what, side, side, model->info.image_size, model->info.image_size);
    const size_t count = (size_t)3 * side * side;
    ONP_TRY(check_finite(log, what, pixels, count));
    return wrap(log, ONP_IMAGE, 3, (const uint64_t[]){3, side, side},
                copy_of(pixels, count, sizeof *pixels), out);
}

enum onp_status onp_input_pixels(const struct onp_model *model, const float *pixels, uint32_t side,
                                 struct onp_input **out) {
    if (!model || !pixels || !out) return null_argument("onp_input_pixels");
    return pixels_input(model, "the picture", pixels, side, out);
}

static bool is_npy(const char *path) {
    const size_t length = strlen(path);
    return length >= 4 && strcasecmp(path + length - 4, ".npy") == 0;
}

// Reads an array that stands for a decoded item. `dims` dimensions, after leading ones.
static enum onp_status read_array(const struct onp_log *log, const char *path, int dims,
                                  struct onp_npy *npy) {
    ONP_TRY(onp_npy_read(path, log, npy));
    while (npy->dims > dims && npy->shape[0] == 1) {
        npy->dims--;
        memmove(npy->shape, npy->shape + 1, (size_t)npy->dims * sizeof npy->shape[0]);
    }
    if (npy->dtype == ONP_F32 && npy->dims == dims) return ONP_OK;
    const enum onp_status status = onp_fail(
        log, ONP_ERR_FORMAT, "%s holds a %d-dimensional %s array, expected float32 with %s", path,
        npy->dims, onp_dtype_name(npy->dtype),
        dims == 3 ? "shape [3, side, side]" : "shape [samples]");
    onp_npy_free(npy);
    return status;
}

static enum onp_status image_from_npy(const struct onp_model *model, const char *path,
                                      struct onp_input **out) {
    const struct onp_log *log = &model->context->log;
    struct onp_npy npy;
    ONP_TRY(read_array(log, path, 3, &npy));
    enum onp_status status;
    if (npy.shape[0] != 3 || npy.shape[1] != npy.shape[2])
        status = onp_fail(log, ONP_ERR_FORMAT, "%s is not [3, side, side]", path);
    else
        status = pixels_input(model, path, npy.data,
                              npy.shape[1] > UINT32_MAX ? 0 : (uint32_t)npy.shape[1], out);
    onp_npy_free(&npy);
    return status;
}

static enum onp_status decode_image(const struct onp_log *log, const char *path, uint32_t side,
                                    float **pixels) {
    struct onp_image image;
    ONP_TRY(onp_image_read(path, log, &image));
    *pixels = malloc((size_t)3 * side * side * sizeof **pixels);
    enum onp_status status =
        *pixels ? onp_image_to_pixels(&image, side, log, *pixels)
                : onp_fail(log, ONP_ERR_MEMORY, "no memory for the pixels of %s", path);
    onp_image_free(&image);
    if (status != ONP_OK) {
        free(*pixels);
        *pixels = NULL;
    }
    return status;
}

enum onp_status onp_input_image_file(const struct onp_model *model, const char *path,
                                     struct onp_input **out) {
    if (!model || !path || !out) return null_argument("onp_input_image_file");
    ONP_TRY(need_branch(model, ONP_IMAGE));
    if (is_npy(path)) return image_from_npy(model, path, out);
    const struct onp_log *log = &model->context->log;
    const uint32_t side = model->info.image_size;
    float *pixels;
    ONP_TRY(decode_image(log, path, side, &pixels));
    return wrap(log, ONP_IMAGE, 3, (const uint64_t[]){3, side, side}, pixels, out);
}

enum onp_status onp_preprocess_image(struct onp_context *context, const char *path, uint32_t side,
                                     float **pixels) {
    if (!context || !path || !pixels) return null_argument("onp_preprocess_image");
    if (side < 1 || side > 8192)
        return onp_fail(&context->log, ONP_ERR_ARGUMENT, "picture size %u is not in 1 to 8192",
                        side);
    return decode_image(&context->log, path, side, pixels);
}

// --- Sounds -----------------------------------------------------------------------------------

// Takes ownership of samples, also on failure.
static enum onp_status wave_input(const struct onp_model *model, float *samples, size_t count,
                                  const char *what, struct onp_input **out) {
    const struct onp_log *log = &model->context->log;
    const int64_t length = count > INT32_MAX ? INT32_MAX : (int64_t)count;
    enum onp_status status = model->family->check_item(model->hparams, ONP_AUDIO, length, log);
    if (status == ONP_OK && samples) status = check_finite(log, what, samples, count);
    if (status == ONP_OK) return wrap(log, ONP_AUDIO, 1, (const uint64_t[]){count}, samples, out);
    free(samples);
    return status;
}

enum onp_status onp_input_waveform(const struct onp_model *model, const float *samples,
                                   size_t count, struct onp_input **out) {
    if (!model || !samples || !out) return null_argument("onp_input_waveform");
    ONP_TRY(need_branch(model, ONP_AUDIO));
    return wave_input(model, copy_of(samples, count, sizeof *samples), count, "the waveform", out);
}

static enum onp_status decode_audio(const struct onp_log *log, const char *path, double seconds,
                                    float **samples, size_t *count) {
    struct onp_audio audio;
    ONP_TRY(onp_audio_read(path, log, &audio));
    const enum onp_status status = onp_audio_to_waveform(&audio, seconds, log, samples, count);
    onp_audio_free(&audio);
    return status;
}

enum onp_status onp_input_audio_file(const struct onp_model *model, const char *path,
                                     struct onp_input **out) {
    if (!model || !path || !out) return null_argument("onp_input_audio_file");
    ONP_TRY(need_branch(model, ONP_AUDIO));
    const struct onp_log *log = &model->context->log;
    if (is_npy(path)) {
        struct onp_npy npy;
        ONP_TRY(read_array(log, path, 1, &npy));
        return wave_input(model, npy.data, (size_t)npy.count, path, out); // takes npy.data
    }
    float *samples;
    size_t count;
    ONP_TRY(decode_audio(log, path, (double)model->info.max_audio_seconds, &samples, &count));
    return wave_input(model, samples, count, path, out);
}

enum onp_status onp_preprocess_audio(struct onp_context *context, const char *path,
                                     float max_seconds, float **samples, size_t *count) {
    if (!context || !path || !samples || !count) return null_argument("onp_preprocess_audio");
    if (!(max_seconds >= 1.0f && max_seconds <= 3600.0f))
        return onp_fail(&context->log, ONP_ERR_ARGUMENT, "length limit %g s is not in 1 to 3600",
                        (double)max_seconds);
    return decode_audio(&context->log, path, (double)max_seconds, samples, count);
}

const char *onp_decoders(void) {
    static _Thread_local char text[256];
    snprintf(text, sizeof text, "%s, %s", onp_image_decoders(), onp_audio_decoders());
    return text;
}
