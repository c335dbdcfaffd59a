// SPDX-License-Identifier: Apache-2.0
// Scales follow trained models: matrices keep the variance of what they map (1 / sqrt(fan in)),
// norms are near one, and the residual branches are large enough to matter in every layer.
#include "tests/golden/make_model.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/half.h"
#include "base/parallel.h"
#include "base/rng.h"
#include "io/model_file.h"

#define POS_GRID 16 // side of the stored grid of absolute positions, whatever the image size

struct entry {
    char name[128];
    struct onp_file_tensor tensor;
    float mean, scale;
};

struct maker {
    const struct onp_test_model *model;
    struct entry *list;
    size_t count, capacity;
    bool failed;
};

struct onp_test_model onp_test_model_full(void) {
    return (struct onp_test_model){
        .embed_dim = 1536,
        .ffn_dim = 6144,
        .layers = 4,
        .heads = 24,
        .vocab = 50264,
        .image_size = 256,
        .channels = 512,
        .convs = {{10, 5}, {3, 2}, {3, 2}, {3, 2}, {3, 2}, {2, 2}, {2, 2}},
        .conv_count = 7,
        .pos_convs = 5,
        .pos_kernel = 19,
        .modalities = ONP_ALL_MODALITIES,
        .dtype = ONP_F16,
        .seed = 1,
    };
}

// --- The list of tensors ---------------------------------------------------------------------

static struct entry *push(struct maker *m) {
    if (m->count == m->capacity) {
        const size_t capacity = m->capacity ? 2 * m->capacity : 256;
        struct entry *list = realloc(m->list, capacity * sizeof *list);
        if (!list) {
            m->failed = true;
            return NULL;
        }
        m->list = list;
        m->capacity = capacity;
    }
    struct entry *e = &m->list[m->count++];
    memset(e, 0, sizeof *e);
    return e;
}

// A tensor of up to four dimensions (0: absent); normal values of this mean and scale.
static void add(struct maker *m, const int64_t shape[4], float mean, float scale, const char *fmt,
                ...) __attribute__((format(printf, 5, 6)));
static void add(struct maker *m, const int64_t shape[4], float mean, float scale, const char *fmt,
                ...) {
    struct entry *e = push(m);
    if (!e) return;
    va_list args;
    va_start(args, fmt);
    vsnprintf(e->name, sizeof e->name, fmt, args);
    va_end(args);
    struct onp_file_tensor *t = &e->tensor;
    t->dtype = m->model->dtype;
    t->count = 1;
    while (t->dims < 4 && shape[t->dims] > 0) {
        t->shape[t->dims] = shape[t->dims];
        t->count *= (uint64_t)shape[t->dims++];
    }
    int64_t stride = 1;
    for (int d = t->dims - 1; d >= 0; d--) {
        t->stride[d] = stride;
        stride *= t->shape[d];
    }
    e->mean = mean;
    e->scale = scale;
}

#define SHAPE(...) ((const int64_t[4]){__VA_ARGS__})

static void add_norm(struct maker *m, int64_t size, const char *prefix, const char *name) {
    add(m, SHAPE(size), 1.0f, 0.2f, "%s%s.weight", prefix, name);
    add(m, SHAPE(size), 0.0f, 0.1f, "%s%s.bias", prefix, name);
}

// out x in, gain times the scale that keeps variance.
static void add_matrix(struct maker *m, int64_t out, int64_t in, float gain, const char *prefix,
                       const char *name) {
    add(m, SHAPE(out, in), 0.0f, gain / sqrtf((float)in), "%s%s.weight", prefix, name);
}

static void add_bias(struct maker *m, int64_t out, const char *prefix, const char *name) {
    add(m, SHAPE(out), 0.0f, 0.2f, "%s%s.bias", prefix, name);
}

static void add_linear(struct maker *m, int64_t out, int64_t in, const char *prefix,
                       const char *name) {
    add_matrix(m, out, in, 1.0f, prefix, name);
    add_bias(m, out, prefix, name);
}

static void add_tables(struct maker *m, int64_t rows, const char *prefix) {
    const int32_t tables = m->model->table_per_layer ? m->model->layers : 1;
    for (int32_t i = 0; i < tables; i++)
        add(m, SHAPE(rows, m->model->heads), 0.0f, 0.5f, "%srel_pos_table_list.%d.weight", prefix,
            i);
}

static void add_text(struct maker *m) {
    static const char p[] = "encoder_wrapper.text_adapter.";
    const int64_t dim = m->model->embed_dim;
    add(m, SHAPE(1, 1, dim), 0.0f, 0.5f, "%scls_embedding", p);
    add(m, SHAPE(m->model->vocab, dim), 0.0f, 0.6f, "%sembed_tokens.weight", p);
    add(m, SHAPE(514, dim), 0.0f, 0.3f, "%sembed_positions.weight", p);
    add_tables(m, 514, p);
}

static void add_image(struct maker *m) {
    static const char p[] = "encoder_wrapper.image_adapter.";
    const int64_t dim = m->model->embed_dim, quarter = dim / 4;
    const int64_t span = 2 * (m->model->image_size / 16) - 1;
    add(m, SHAPE(1, 1, dim), 0.0f, 0.5f, "%scls_embedding", p);
    add(m, SHAPE(quarter, 3, 4, 4), 0.0f, 0.14f, "%sembed_images.0.weight", p);
    add_bias(m, quarter, p, "embed_images.0");
    add_norm(m, quarter, p, "embed_images.1.layer_norm");
    const float scale = 0.5f / sqrtf((float)quarter);
    add(m, SHAPE(quarter, quarter, 2, 2), 0.0f, scale, "%sembed_images.3.weight", p);
    add_bias(m, quarter, p, "embed_images.3");
    add_norm(m, quarter, p, "embed_images.4.layer_norm");
    add(m, SHAPE(dim, quarter, 2, 2), 0.0f, scale, "%sembed_images.6.weight", p);
    add_bias(m, dim, p, "embed_images.6");
    add(m, SHAPE(1 + POS_GRID * POS_GRID, dim), 0.0f, 0.3f, "%spos_embed", p);
    add_tables(m, span * span + 3, p);
}

static void add_audio(struct maker *m) {
    static const char p[] = "encoder_wrapper.audio_adapter.";
    const struct onp_test_model *model = m->model;
    const int64_t dim = model->embed_dim, wide = model->channels;
    char name[64];
    add(m, SHAPE(1, 1, dim), 0.0f, 0.5f, "%scls_embedding", p);
    add(m, SHAPE(1, 1, dim), 0.0f, 0.3f, "%scls_pos_embed", p);
    for (int j = 0; j < model->conv_count; j++) {
        const int64_t in = j ? wide : 1, kernel = model->convs[j].kernel;
        add(m, SHAPE(wide, in, kernel), 0.0f, 1.0f / sqrtf((float)(in * kernel)),
            "%sembed_audios.0.conv_layers.%d.0.weight", p, j);
        snprintf(name, sizeof name, "embed_audios.0.conv_layers.%d.2.1", j);
        add_norm(m, wide, p, name);
    }
    add_norm(m, wide, p, "embed_audios.2");
    add_linear(m, dim, wide, p, "embed_audios.3");
    for (int j = 1; j <= model->pos_convs; j++) {
        const int64_t in = dim / 16, kernel = model->pos_kernel;
        add(m, SHAPE(dim, in, kernel), 0.0f, 1.0f / sqrtf((float)(in * kernel)),
            "%sembed_positions.%d.0.weight", p, j);
        snprintf(name, sizeof name, "embed_positions.%d.0", j);
        add_bias(m, dim, p, name);
    }
    add_tables(m, 1026, p);
}

static void add_ffn(struct maker *m, const char *layer, const char *modality) {
    const int64_t dim = m->model->embed_dim, wide = m->model->ffn_dim;
    char p[160];
    snprintf(p, sizeof p, "%s%s_ffn.", layer, modality);
    add_matrix(m, wide, dim, 1.0f, p, "0.wi_0");
    add_matrix(m, wide, dim, 1.0f, p, "0.wi_1");
    add_norm(m, wide, p, "2");
    add_linear(m, dim, wide, p, "3");
}

static void add_layer(struct maker *m, int32_t index) {
    const int64_t dim = m->model->embed_dim;
    char p[96];
    snprintf(p, sizeof p, "encoder_wrapper.fusion_model.layers.%d.", index);
    add_norm(m, dim, p, "self_attn_layer_norm");
    add_matrix(m, dim, dim, 1.5f, p, "self_attn.q_proj");
    add_bias(m, dim, p, "self_attn.q_proj");
    add_matrix(m, dim, dim, 1.0f, p, "self_attn.k_proj");
    add_linear(m, dim, dim, p, "self_attn.v_proj");
    add_norm(m, dim, p, "self_attn.ln");
    add_linear(m, dim, dim, p, "self_attn.out_proj");
    add(m, SHAPE(dim), 0.6f, 0.2f, "%sgamma_1", p);
    add(m, SHAPE(dim), 0.6f, 0.2f, "%sgamma_2", p);
    add_norm(m, dim, p, "final_layer_norm");
    for (int k = 0; k < ONP_MODALITY_COUNT; k++)
        if (m->model->modalities & ONP_BIT(k))
            add_ffn(m, p, onp_modality_name((enum onp_modality)k));
}

static void add_all(struct maker *m) {
    const int64_t dim = m->model->embed_dim;
    void (*const adapters[])(struct maker *) = {add_text, add_image, add_audio};
    add(m, SHAPE(0), 3.3f, 0.0f, "logit_scale");
    for (int32_t i = 0; i < m->model->layers; i++) add_layer(m, i);
    for (int k = 0; k < ONP_MODALITY_COUNT; k++) {
        if (!(m->model->modalities & ONP_BIT(k))) continue;
        char name[64];
        const char *modality = onp_modality_name((enum onp_modality)k);
        adapters[k](m);
        snprintf(name, sizeof name, "%s_layer_norm", modality);
        add_norm(m, dim, "encoder_wrapper.fusion_model.", name);
        snprintf(name, sizeof name, "%s_proj", modality);
        add_linear(m, dim, dim, "", name);
    }
}

// --- Values and writing ----------------------------------------------------------------------

// Each tensor has its own generator, so the threads' order does not show.
static void fill_entry(void *user, size_t index) {
    struct maker *m = user;
    struct entry *e = &m->list[index];
    const size_t size = onp_dtype_size(e->tensor.dtype);
    unsigned char *data = malloc((size_t)e->tensor.count * size);
    e->tensor.data = data;
    if (!data) return;
    struct onp_rng rng = {m->model->seed * 1000003u + index};
    for (uint64_t i = 0; i < e->tensor.count; i++) {
        const float value = e->mean + e->scale * onp_rng_normal(&rng);
        const uint16_t narrow =
            e->tensor.dtype == ONP_F16 ? onp_float_to_half(value) : onp_float_to_bf16(value);
        if (size == 2)
            memcpy(data + 2 * i, &narrow, 2);
        else
            memcpy(data + 4 * i, &value, 4);
    }
}

static void write_config(const struct onp_test_model *m, struct onp_buf *json) {
    onp_buf_printf(json,
                   "{\"model\": {\"_name\": \"one_peace_retrieval\", \"encoder\": {"
                   "\"embed_dim\": %d, \"ffn_embed_dim\": %d, \"layers\": %d, "
                   "\"attention_heads\": %d, \"audio_adapter\": {\"feature_encoder_spec\": \"",
                   m->embed_dim, m->ffn_dim, m->layers, m->heads);
    for (int i = 0; i < m->conv_count; i++)
        onp_buf_printf(json, "%s[(%d, %d, %d)]", i ? " + " : "", m->channels, m->convs[i].kernel,
                       m->convs[i].stride);
    onp_buf_printf(json,
                   "\"}}}, \"task\": {\"head_type\": \"val\", \"patch_image_size\": %d, "
                   "\"max_src_length\": 70}}",
                   m->image_size);
}

static enum onp_status write_file(const char *path, struct maker *m, const struct onp_log *log) {
    struct onp_tensor_out *out = calloc(m->count, sizeof *out);
    struct onp_buf json = {0};
    enum onp_status status = ONP_ERR_MEMORY;
    write_config(m->model, &json);
    if (!out || json.failed) goto done;
    for (size_t i = 0; i < m->count; i++) {
        struct entry *e = &m->list[i];
        if (!e->tensor.data) goto done;
        e->tensor.name = e->name;
        out[i] = (struct onp_tensor_out){e->name, &e->tensor, e->tensor.dtype};
    }
    const struct onp_metadata metadata[] = {
        {ONP_META_FORMAT, {"1", 1}},
        {ONP_META_CONFIG, {json.data, json.size}},
    };
    status = onp_safetensors_write(path, true, NULL, out, m->count, metadata, 2, log);
done:
    onp_buf_free(&json);
    free(out);
    return status;
}

enum onp_status onp_make_model(const char *path, const struct onp_test_model *model,
                               const struct onp_log *log) {
    struct maker m = {.model = model};
    add_all(&m);
    if (!m.failed) onp_parallel_for(m.count, 0, fill_entry, &m);
    const enum onp_status status = m.failed ? ONP_ERR_MEMORY : write_file(path, &m, log);
    for (size_t i = 0; i < m.count; i++) free((void *)(uintptr_t)m.list[i].tensor.data);
    free(m.list);
    return status;
}
