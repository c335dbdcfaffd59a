// SPDX-License-Identifier: Apache-2.0
// Embeddings of every form of checkpoint against upstream's, through the public API, on the device
// under test and on the reference.
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/checked.h"
#include "tests/golden/golden.h"

#define TOLERANCE      5e-6
#define DIM            64 // of the small model
#define BATCH          ONP_GOLDEN_ITEMS
#define TEXT_AND_AUDIO (ONP_BIT(ONP_TEXT) | ONP_BIT(ONP_AUDIO))
#define TEXT_AND_IMAGE (ONP_BIT(ONP_TEXT) | ONP_BIT(ONP_IMAGE))

struct checkpoint {
    const char *file;   // in the goldens; "derived/..." was written by derive_checkpoint.py
    const char *folder; // upstream's embeddings: FOLDER/<modality>TAIL
    const char *tail;
    const char *own; // embeddings of our own pictures, NULL if it holds no image branch
    unsigned modalities;
    bool complete_set; // lies only in the complete set
};

#define MICRO "micro/golden/variants/"
#define EXTRA "micro_extra/golden/variants/"
#define EMB   "_emb.npy"
static const struct checkpoint checkpoints[] = {
    {"micro/ckpt/retrieval_fp32.pt", "micro/golden", "/emb.npy", "own/image_emb.npy",
     ONP_ALL_MODALITIES, false},
    {"derived/retrieval_fp16.pt", MICRO "retrieval_fp16", EMB, "own/retrieval_fp16_image_emb.npy",
     ONP_ALL_MODALITIES, false},
    {"derived/retrieval_bf16.pt", MICRO "retrieval_bf16", EMB, "own/retrieval_bf16_image_emb.npy",
     ONP_ALL_MODALITIES, false},
    {"derived/audio_only_bf16.pt", EXTRA "audio_only_bf16", EMB, NULL, ONP_BIT(ONP_AUDIO), false},
    {"micro_extra/ckpt/retrieval_al_perlayer_bf16.pt", EXTRA "retrieval_al_perlayer_bf16", EMB,
     NULL, TEXT_AND_AUDIO, false},
    {"derived/legacy_fp32.pt", MICRO "retrieval_fp32_legacy", EMB, "own/image_emb.npy",
     ONP_ALL_MODALITIES, false},
    {"derived/pretrain_fp32.pt", MICRO "pretrain_fp32_as_pretrain", EMB, "own/image_emb.npy",
     ONP_ALL_MODALITIES, false},
    {"derived/public_like_zip64_fp16.pt", EXTRA "public_like_fp16", EMB,
     "own/retrieval_fp16_image_emb.npy", ONP_ALL_MODALITIES, false},
    {"derived/text_only_fp16.pt", EXTRA "text_only_fp16", EMB, NULL, ONP_BIT(ONP_TEXT), false},
    {"micro/ckpt/retrieval_fp16.pt", MICRO "retrieval_fp16", EMB,
     "own/retrieval_fp16_image_emb.npy", ONP_ALL_MODALITIES, true},
    {"micro/ckpt/retrieval_bf16.pt", MICRO "retrieval_bf16", EMB,
     "own/retrieval_bf16_image_emb.npy", ONP_ALL_MODALITIES, true},
    {"micro_extra/ckpt/audio_only_bf16.pt", EXTRA "audio_only_bf16", EMB, NULL, ONP_BIT(ONP_AUDIO),
     true},
    {"micro/ckpt/retrieval_fp32_legacy.pt", MICRO "retrieval_fp32_legacy", EMB, "own/image_emb.npy",
     ONP_ALL_MODALITIES, true},
    {"micro/ckpt/pretrain_fp32.pt", MICRO "pretrain_fp32_as_pretrain", EMB, "own/image_emb.npy",
     ONP_ALL_MODALITIES, true},
    {"micro/ckpt/vision_only_fp32.pt", MICRO "vision_only_fp32", EMB, "own/image_emb.npy",
     ONP_BIT(ONP_IMAGE), true},
    {"micro_extra/ckpt/public_like_fp16.pt", EXTRA "public_like_fp16", EMB,
     "own/retrieval_fp16_image_emb.npy", ONP_ALL_MODALITIES, true},
    {"micro_extra/ckpt/text_only_fp16.pt", EXTRA "text_only_fp16", EMB, NULL, ONP_BIT(ONP_TEXT),
     true},
    {"micro_extra/ckpt/retrieval_vl_perlayer_bf16.pt", EXTRA "retrieval_vl_perlayer_bf16", EMB,
     NULL, TEXT_AND_IMAGE, true},
    {"micro_extra/ckpt/retrieval_fp32_allbuffers.pt.xz", "micro/golden", "/emb.npy",
     "own/image_emb.npy", ONP_ALL_MODALITIES, true},
};

// --- Models, inputs, encoders ----------------------------------------------------------------

static char scratch[256]; // a folder that ends with the program

// The path to open: unpacked if it is compressed.
static void resolve(const char *file, char path[ONP_GOLDEN_PATH]) {
    if (strncmp(file, "derived/", 8) == 0) {
        const char *folder = getenv("ONP_TEST_DERIVED");
        if (!folder) fail_msg("ONP_TEST_DERIVED does not name the folder of derived checkpoints");
        snprintf(path, ONP_GOLDEN_PATH, "%s/%s", folder, file + 8);
        return;
    }
    if (!onp_golden_find(path, "%s", file)) fail_msg("%s is missing", file);
    const size_t length = strlen(path);
    if (length < 3 || strcmp(path + length - 3, ".xz") != 0) return;
    char command[2 * ONP_GOLDEN_PATH + 64];
    snprintf(command, sizeof command, "xz -dc '%s' > '%s/unpacked.pt'", path, scratch);
    assert_int_equal(system(command), 0);
    snprintf(path, ONP_GOLDEN_PATH, "%s/unpacked.pt", scratch);
}

static struct onp_model *open_model(const char *path, const char *tokenizer) {
    const struct onp_model_params params = {.tokenizer_dir = tokenizer};
    struct onp_model *model = NULL;
    onp_golden_ok(onp_model_open(onp_golden.context, path, &params, &model), path);
    return model;
}

static struct onp_encoder *make_encoder(struct onp_device *device, const struct onp_model *model,
                                        const struct onp_encoder_params *params) {
    struct onp_encoder *encoder = NULL;
    onp_golden_ok(onp_encoder_create(device, model, params, &encoder), "encoder");
    return encoder;
}

static struct onp_input *make_input(const struct onp_model *model,
                                    const struct onp_golden_items *items, int32_t index) {
    struct onp_input *input = NULL;
    const void *data = items->data[index];
    const int32_t length = items->length[index];
    enum onp_status status = ONP_OK;
    switch (items->modality) {
    case ONP_TEXT:
        status = onp_input_tokens(model, data, (size_t)length, &input);
        break;
    case ONP_IMAGE:
        status = onp_input_pixels(model, data, (uint32_t)length, &input);
        break;
    case ONP_AUDIO:
        status = onp_input_waveform(model, data, (size_t)length, &input);
        break;
    }
    onp_golden_ok(status, "input");
    return input;
}

static void embed(struct onp_encoder *encoder, const struct onp_model *model,
                  const struct onp_golden_items *items, float *rows) {
    struct onp_input *inputs[BATCH];
    for (int32_t i = 0; i < items->count; i++) inputs[i] = make_input(model, items, i);
    onp_golden_ok(onp_encoder_embed(encoder, (const struct onp_input *const *)inputs,
                                    (size_t)items->count, rows),
                  "embed");
    for (int32_t i = 0; i < items->count; i++) onp_input_free(inputs[i]);
}

// The items of upstream's runs; false if they are not at hand (upstream's photographs).
static bool upstream_items(enum onp_modality modality, struct onp_golden_items *items) {
    static const char *const files[] = {"micro/golden/text/src_tokens.npy",
                                        "micro/golden/image/src_images.npy",
                                        "micro/golden/audio/src_audios.npy"};
    char path[ONP_GOLDEN_PATH];
    if (!onp_golden_find(path, "%s", files[modality])) return false;
    *items = modality == ONP_TEXT    ? onp_golden_texts(path)
             : modality == ONP_IMAGE ? onp_golden_pixels(path)
                                     : onp_golden_sounds(path);
    return true;
}

// Embeds the items and compares with the stored rows.
static void compare(struct onp_encoder *encoder, const struct onp_model *model,
                    struct onp_golden_items *items, const char *array) {
    char path[ONP_GOLDEN_PATH];
    float rows[BATCH * DIM];
    if (!onp_golden_find(path, "%s", array)) fail_msg("%s is missing", array);
    struct onp_npy want = onp_golden_array(path);
    assert_true(want.count % (size_t)items->count == 0 && want.count <= ONP_COUNT(rows));
    embed(encoder, model, items, rows);
    onp_golden_near(array, rows, want.data, want.count, TOLERANCE);
    onp_npy_free(&want);
    onp_golden_items_free(items);
}

// Compares everything that a checkpoint can embed; returns the number of comparisons.
static int compare_all(struct onp_encoder *encoder, const struct onp_model *model,
                       const struct checkpoint *c) {
    int done = 0;
    struct onp_golden_items items;
    for (int m = 0; m < ONP_MODALITY_COUNT; m++) {
        char array[256];
        if (!(c->modalities & ONP_BIT(m)) || !upstream_items((enum onp_modality)m, &items))
            continue;
        snprintf(array, sizeof array, "%s/%s%s", c->folder, onp_modality_name((enum onp_modality)m),
                 c->tail);
        compare(encoder, model, &items, array);
        done++;
    }
    if (!c->own) return done;
    items = onp_golden_own_pictures();
    compare(encoder, model, &items, c->own);
    return done + 1;
}

// --- Checkpoints -----------------------------------------------------------------------------

struct run {
    const struct checkpoint *checkpoint;
    struct onp_device *device;
    char name[192];
};

static void test_checkpoint(void **state) {
    const struct run *run = *state;
    char path[ONP_GOLDEN_PATH];
    resolve(run->checkpoint->file, path);
    struct onp_model *model = open_model(path, NULL);
    struct onp_model_info info;
    onp_golden_ok(onp_model_get_info(model, &info), "info");
    assert_int_equal(info.modalities, run->checkpoint->modalities);
    const struct onp_encoder_params params = {.max_batch = BATCH, .upstream_padding = true};
    struct onp_encoder *encoder = make_encoder(run->device, model, &params);
    assert_true(compare_all(encoder, model, run->checkpoint) > 0);
    onp_encoder_destroy(encoder);
    onp_model_close(model);
}

// --- Conversions -----------------------------------------------------------------------------

struct conversion {
    const char *file;
    struct onp_convert_params params;
    struct checkpoint result; // what the converted file must be equal to
};

static const struct conversion conversions[] = {
    {"micro/ckpt/retrieval_fp32.pt",
     {.dtype = ONP_F32},
     {"f32", "micro/golden", "/emb.npy", "own/image_emb.npy", ONP_ALL_MODALITIES, false}},
    {"micro/ckpt/retrieval_fp32.pt",
     {.dtype = ONP_F16},
     {"f16", MICRO "retrieval_fp16", EMB, "own/retrieval_fp16_image_emb.npy", ONP_ALL_MODALITIES,
      false}},
    {"micro/ckpt/retrieval_fp32.pt",
     {.dtype = ONP_BF16},
     {"bf16", MICRO "retrieval_bf16", EMB, "own/retrieval_bf16_image_emb.npy", ONP_ALL_MODALITIES,
      false}},
    {"derived/legacy_fp32.pt",
     {.keep_dtype = true, .modalities = TEXT_AND_AUDIO},
     {"legacy, text and audio", "micro/golden", "/emb.npy", NULL, TEXT_AND_AUDIO, false}},
    {"micro_extra/ckpt/retrieval_al_perlayer_bf16.pt",
     {.keep_dtype = true},
     {"per-layer tables", EXTRA "retrieval_al_perlayer_bf16", EMB, NULL, TEXT_AND_AUDIO, false}},
};

static void read_whole(const char *path, char **data, size_t *size) {
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    *size = (size_t)ftell(file);
    rewind(file);
    *data = malloc(*size);
    assert_non_null(*data);
    assert_int_equal(fread(*data, 1, *size, file), *size);
    fclose(file);
}

static void assert_same_files(const char *a, const char *b) {
    char *data[2];
    size_t size[2];
    read_whole(a, &data[0], &size[0]);
    read_whole(b, &data[1], &size[1]);
    assert_int_equal(size[0], size[1]);
    assert_memory_equal(data[0], data[1], size[0]);
    free(data[0]);
    free(data[1]);
}

static void test_conversion(void **state) {
    const struct conversion *c = *state;
    char input[ONP_GOLDEN_PATH], output[2][ONP_GOLDEN_PATH + 16];
    resolve(c->file, input);
    for (int i = 0; i < 2; i++) {
        snprintf(output[i], sizeof output[i], "%s/converted%d.safetensors", scratch, i);
        struct onp_convert_params params = c->params;
        params.overwrite = true;
        onp_golden_ok(onp_convert(onp_golden.context, input, output[i], &params), "convert");
    }
    assert_same_files(output[0], output[1]);
    struct onp_model *model = open_model(output[0], NULL);
    const struct onp_encoder_params params = {.max_batch = BATCH, .upstream_padding = true};
    struct onp_encoder *encoder = make_encoder(onp_golden.device[0], model, &params);
    assert_true(compare_all(encoder, model, &c->result) > 0);
    onp_encoder_destroy(encoder);
    onp_model_close(model);
}

// --- Single tests ----------------------------------------------------------------------------

struct fixture {
    struct onp_model *model;
    struct onp_encoder *encoder;
    char tokenizer[ONP_GOLDEN_PATH];
};

static struct fixture open_fixture(const char *file, struct onp_encoder_params params) {
    struct fixture f;
    char path[ONP_GOLDEN_PATH];
    resolve(file, path);
    assert_true(onp_golden_find(f.tokenizer, "micro/bpe"));
    f.model = open_model(path, f.tokenizer);
    f.encoder = make_encoder(onp_golden.device[0], f.model, &params);
    return f;
}

static void close_fixture(struct fixture *f) {
    onp_encoder_destroy(f->encoder);
    onp_model_close(f->model);
}

// Clips encoded without the padding of their neighbours equal upstream's runs of one clip each.
static void test_single_clips(void **state) {
    (void)state;
    struct fixture f =
        open_fixture("micro/ckpt/retrieval_fp32.pt", (struct onp_encoder_params){.max_batch = 4});
    struct onp_golden_items items;
    assert_true(upstream_items(ONP_AUDIO, &items));
    compare(f.encoder, f.model, &items, "micro/golden/audio/emb_single.npy");
    close_fixture(&f);
}

// Matrices of an f16 file are exact in f16 storage, so nothing may be lost.
static void test_half_storage(void **state) {
    (void)state;
    const struct onp_encoder_params params = {
        .dtype = ONP_F16, .max_batch = BATCH, .upstream_padding = true};
    struct fixture f = open_fixture("derived/retrieval_fp16.pt", params);
    assert_true(compare_all(f.encoder, f.model, &checkpoints[1]) > 0);
    close_fixture(&f);
}

// From words, a picture file and a sound file to embeddings.
static void test_from_files(void **state) {
    (void)state;
    struct fixture f =
        open_fixture("micro/ckpt/retrieval_fp32.pt", (struct onp_encoder_params){.max_batch = 4});
    static const char *const words[] = {"A photo of a dog", ""};
    char scene[ONP_GOLDEN_PATH], clip[ONP_GOLDEN_PATH], path[ONP_GOLDEN_PATH];
    assert_true(onp_golden_find(scene, "own/scene.png"));
    assert_true(onp_golden_find(clip, "own/chirps.wav"));
    struct onp_input *inputs[4];
    for (int i = 0; i < 2; i++)
        onp_golden_ok(onp_input_text(f.model, words[i], strlen(words[i]), ONP_TEXT_HUB, &inputs[i]),
                      "text");
    onp_golden_ok(onp_input_image_file(f.model, scene, &inputs[2]), "image");
    onp_golden_ok(onp_input_audio_file(f.model, clip, &inputs[3]), "audio");
    float rows[4 * DIM];
    onp_golden_ok(onp_encoder_embed(f.encoder, (const struct onp_input *const *)inputs, 4, rows),
                  "embed");
    static const struct {
        const char *array;
        int row, golden_row;
    } wants[] = {{"micro/golden/text/emb_single.npy", 0, 0},
                 {"micro/golden/text/emb_single.npy", 1, 3},
                 {"own/image_emb.npy", 2, 0},
                 {"own/audio_emb.npy", 3, 0}};
    for (size_t i = 0; i < ONP_COUNT(wants); i++) {
        assert_true(onp_golden_find(path, "%s", wants[i].array));
        struct onp_npy want = onp_golden_array(path);
        onp_golden_near(wants[i].array, rows + wants[i].row * DIM,
                        (const float *)want.data + wants[i].golden_row * DIM, DIM, TOLERANCE);
        onp_npy_free(&want);
    }
    for (int i = 0; i < 4; i++) onp_input_free(inputs[i]);
    close_fixture(&f);
}

static void compare_sound_file(struct onp_encoder *encoder, const struct onp_model *model,
                               const char *file, const char *array) {
    char path[ONP_GOLDEN_PATH];
    struct onp_input *input = NULL;
    float row[DIM];
    assert_true(onp_golden_find(path, "%s", array));
    onp_golden_ok(onp_input_audio_file(model, file, &input), "audio");
    onp_golden_ok(onp_encoder_embed(encoder, (const struct onp_input *const *)&input, 1, row),
                  "embed");
    struct onp_npy want = onp_golden_array(path);
    assert_true(want.count <= DIM);
    onp_golden_near(array, row, want.data, want.count, TOLERANCE);
    onp_npy_free(&want);
    onp_input_free(input);
}

// A clip longer than 15 s, cut; the longest sequence of the audio branch.
static void test_long_clip(void **state) {
    (void)state;
    const struct onp_encoder_params params = {.modalities = ONP_BIT(ONP_AUDIO)};
    struct fixture f = open_fixture("micro/ckpt/retrieval_fp32.pt", params);
    char clip[ONP_GOLDEN_PATH];
    assert_true(onp_golden_find(clip, "media/clip_16200ms.flac"));
    compare_sound_file(f.encoder, f.model, clip, "micro/golden/audio15/emb.npy");
    close_fixture(&f);
}

static void test_similarity(void **state) {
    (void)state;
    const struct onp_encoder_params params = {.max_batch = BATCH, .upstream_padding = true};
    struct fixture f = open_fixture("micro/ckpt/retrieval_fp32.pt", params);
    char path[ONP_GOLDEN_PATH];
    float labels[3 * DIM], sounds[3 * DIM], texts[4 * DIM], matrix[12];
    assert_true(onp_golden_find(path, "micro/golden/labels/src_tokens.npy"));
    struct onp_golden_items items = onp_golden_texts(path);
    embed(f.encoder, f.model, &items, labels);
    onp_golden_items_free(&items);
    assert_true(upstream_items(ONP_AUDIO, &items));
    embed(f.encoder, f.model, &items, sounds);
    onp_golden_items_free(&items);
    assert_true(upstream_items(ONP_TEXT, &items));
    embed(f.encoder, f.model, &items, texts);
    onp_golden_items_free(&items);
    const struct {
        const char *array;
        const float *rows;
        size_t count;
    } pairs[] = {{"audio_labels", labels, 3}, {"audio_text", texts, 4}};
    for (size_t i = 0; i < ONP_COUNT(pairs); i++) {
        assert_true(onp_golden_find(path, "micro/golden/sim/%s.npy", pairs[i].array));
        struct onp_npy want = onp_golden_array(path);
        onp_similarity(sounds, 3, pairs[i].rows, pairs[i].count, DIM, matrix);
        onp_golden_near(pairs[i].array, matrix, want.data, want.count, TOLERANCE);
        onp_npy_free(&want);
    }
    struct onp_model_info info;
    onp_golden_ok(onp_model_get_info(f.model, &info), "info");
    assert_true(onp_golden_find(path, "micro/golden/sim/logit_scale_exp.npy"));
    struct onp_npy want = onp_golden_array(path);
    const float scale = (float)info.logit_scale;
    onp_golden_near("logit scale", &scale, want.data, 1, 1e-5);
    onp_npy_free(&want);
    close_fixture(&f);
}

// A row does not depend on what else is in the batch, nor on how the batch is split.
static void test_batch_invariance(void **state) {
    (void)state;
    struct fixture together =
        open_fixture("micro/ckpt/retrieval_fp32.pt", (struct onp_encoder_params){.max_batch = 8});
    struct fixture alone =
        open_fixture("micro/ckpt/retrieval_fp32.pt", (struct onp_encoder_params){.max_batch = 1});
    struct onp_golden_items items[3];
    assert_true(upstream_items(ONP_TEXT, &items[0]));
    items[1] = onp_golden_own_pictures();
    assert_true(upstream_items(ONP_AUDIO, &items[2]));
    struct onp_input *inputs[9];
    float rows[2][9 * DIM];
    size_t count = 0; // modalities interleaved
    for (int32_t i = 0; i < 4; i++)
        for (int m = 0; m < 3; m++)
            if (i < items[m].count) inputs[count++] = make_input(together.model, &items[m], i);
    assert_int_equal(count, 9);
    const struct onp_input *const *list = (const struct onp_input *const *)inputs;
    onp_golden_ok(onp_encoder_embed(together.encoder, list, count, rows[0]), "together");
    onp_golden_ok(onp_encoder_embed(alone.encoder, list, count, rows[1]), "alone");
    onp_golden_near("batch invariance", rows[0], rows[1], count * DIM, 1e-6);
    for (size_t i = 0; i < count; i++) onp_input_free(inputs[i]);
    for (int m = 0; m < 3; m++) onp_golden_items_free(&items[m]);
    close_fixture(&together);
    close_fixture(&alone);
}

// The vision export lacks the final norm and the projection: it opens, but cannot embed.
static void test_vision_export(void **state) {
    (void)state;
    char path[ONP_GOLDEN_PATH];
    resolve("micro_extra/ckpt/one-peace-vision_bf16.pkl", path);
    struct onp_model *model = open_model(path, NULL);
    struct onp_model_info info;
    onp_golden_ok(onp_model_get_info(model, &info), "info");
    assert_int_equal(info.modalities, 0);
    assert_int_equal(info.partial, ONP_BIT(ONP_IMAGE));
    assert_string_equal(info.format, "pickle");
    const struct onp_encoder_params params = {.modalities = ONP_BIT(ONP_IMAGE)};
    struct onp_encoder *encoder = NULL;
    assert_int_equal(onp_encoder_create(onp_golden.device[0], model, &params, &encoder),
                     ONP_ERR_MISSING);
    onp_model_close(model);
}

// A model unlike upstream's in every size (96 px from a 16 x 16 grid of positions, four wave
// convolutions, an even positional kernel, tables per layer), against the independent numpy
// implementation.
static void test_other_sizes(void **state) {
    (void)state;
    static const char *const files[] = {"own/crop96_u8.npy"};
    char path[ONP_GOLDEN_PATH], ids[ONP_GOLDEN_PATH];
    resolve("own/small_f16.safetensors", path);
    assert_true(onp_golden_find(ids, "own/small_ids.npy"));
    struct onp_model *model = open_model(path, NULL);
    for (int d = 0; d < 2 && onp_golden.device[d]; d++) {
        const struct onp_encoder_params params = {.max_batch = 2};
        struct onp_encoder *encoder = make_encoder(onp_golden.device[d], model, &params);
        struct onp_golden_items items = onp_golden_pictures(files, 1);
        compare(encoder, model, &items, "own/small_image_emb.npy");
        items = onp_golden_texts(ids);
        compare(encoder, model, &items, "own/small_text_emb.npy");
        assert_true(onp_golden_find(path, "own/chirps.wav"));
        compare_sound_file(encoder, model, path, "own/small_audio_emb.npy");
        onp_encoder_destroy(encoder);
    }
    onp_model_close(model);
}

// --- Running ---------------------------------------------------------------------------------

#define MAX_TESTS 80
static struct run runs[2 * ONP_COUNT(checkpoints)];
static char conversion_names[ONP_COUNT(conversions)][128];
static struct CMUnitTest tests[MAX_TESTS];
static size_t test_count;

static void add_test(const char *name, CMUnitTestFunction function, const void *state) {
    tests[test_count++] = (struct CMUnitTest){name, function, NULL, NULL, (void *)(uintptr_t)state};
}

static void add_tests(void) {
    size_t run_count = 0;
    for (size_t i = 0; i < ONP_COUNT(checkpoints); i++)
        for (int d = 0; d < 2 && onp_golden.device[d]; d++) {
            if (checkpoints[i].complete_set && !onp_golden.shared[0]) continue;
            struct run *run = &runs[run_count++];
            *run = (struct run){.checkpoint = &checkpoints[i], .device = onp_golden.device[d]};
            snprintf(run->name, sizeof run->name, "%s on %s", checkpoints[i].file,
                     onp_device_get_info(run->device)->backend);
            add_test(run->name, test_checkpoint, run);
        }
    for (size_t i = 0; i < ONP_COUNT(conversions); i++) {
        snprintf(conversion_names[i], sizeof conversion_names[i], "conversion: %s",
                 conversions[i].result.file);
        add_test(conversion_names[i], test_conversion, &conversions[i]);
    }
    add_test("clips without padding", test_single_clips, NULL);
    add_test("half storage", test_half_storage, NULL);
    add_test("from files", test_from_files, NULL);
    if (onp_golden.shared[0]) add_test("15 s clip", test_long_clip, NULL);
    add_test("similarity", test_similarity, NULL);
    add_test("batch invariance", test_batch_invariance, NULL);
    add_test("vision export", test_vision_export, NULL);
    add_test("other sizes", test_other_sizes, NULL);
}

int main(void) {
    if (onp_golden_open()) return 1;
    snprintf(scratch, sizeof scratch, "%s/onepeace-golden.XXXXXX",
             getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
    if (!mkdtemp(scratch)) return 1;
    add_tests();
    const int failed = _cmocka_run_group_tests("embeddings", tests, test_count, NULL, NULL);
    static const char *const files[] = {"converted0.safetensors", "converted1.safetensors",
                                        "unpacked.pt"};
    for (size_t i = 0; i < ONP_COUNT(files); i++) {
        char path[ONP_GOLDEN_PATH + 64];
        snprintf(path, sizeof path, "%s/%s", scratch, files[i]);
        unlink(path);
    }
    rmdir(scratch);
    onp_golden_close();
    return failed;
}
