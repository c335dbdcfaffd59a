// SPDX-License-Identifier: Apache-2.0
// Scales follow trained models: matrices keep the variance of what they map (1 / sqrt(fan in)),
// norms are near one, and the residual branches are large enough to matter in every layer.
#include "models/one_peace/tensors.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>

struct lister {
    const struct onp_one_peace_sizes *sizes;
    onp_one_peace_tensor_fn fn;
    void *user;
    enum onp_status status; // of the first that failed
};

// Up to four dimensions, 0 ends them.
static void add(struct lister *m, const int64_t shape[4], float mean, float scale, const char *fmt,
                ...) __attribute__((format(printf, 5, 6)));
static void add(struct lister *m, const int64_t shape[4], float mean, float scale, const char *fmt,
                ...) {
    char name[192];
    int dims = 0;
    va_list args;
    va_start(args, fmt);
    vsnprintf(name, sizeof name, fmt, args);
    va_end(args);
    while (dims < 4 && shape[dims] > 0) dims++;
    if (m->status == ONP_OK) m->status = m->fn(m->user, name, shape, dims, mean, scale);
}

#define SHAPE(...) ((const int64_t[4]){__VA_ARGS__})

static void add_norm(struct lister *m, int64_t size, const char *prefix, const char *name) {
    add(m, SHAPE(size), 1.0f, 0.2f, "%s%s.weight", prefix, name);
    add(m, SHAPE(size), 0.0f, 0.1f, "%s%s.bias", prefix, name);
}

static void add_matrix(struct lister *m, int64_t out, int64_t in, float gain, const char *prefix,
                       const char *name) {
    add(m, SHAPE(out, in), 0.0f, gain / sqrtf((float)in), "%s%s.weight", prefix, name);
}

static void add_bias(struct lister *m, int64_t out, const char *prefix, const char *name) {
    add(m, SHAPE(out), 0.0f, 0.2f, "%s%s.bias", prefix, name);
}

static void add_linear(struct lister *m, int64_t out, int64_t in, const char *prefix,
                       const char *name) {
    add_matrix(m, out, in, 1.0f, prefix, name);
    add_bias(m, out, prefix, name);
}

static void add_tables(struct lister *m, int64_t rows, const char *prefix) {
    const int tables = m->sizes->table_per_layer ? (int)m->sizes->layers : 1;
    for (int i = 0; i < tables; i++)
        add(m, SHAPE(rows, m->sizes->heads), 0.0f, 0.5f, "%srel_pos_table_list.%d.weight", prefix,
            i);
}

static void add_text(struct lister *m) {
    static const char p[] = "encoder_wrapper.text_adapter.";
    const int64_t dim = m->sizes->dim;
    add(m, SHAPE(1, 1, dim), 0.0f, 0.5f, "%scls_embedding", p);
    add(m, SHAPE(m->sizes->vocab, dim), 0.0f, 0.6f, "%sembed_tokens.weight", p);
    add(m, SHAPE(514, dim), 0.0f, 0.3f, "%sembed_positions.weight", p);
    add_tables(m, 514, p);
}

#define POS_GRID 16 // side of the stored grid of absolute positions, whatever the picture's size

static void add_image(struct lister *m) {
    static const char p[] = "encoder_wrapper.image_adapter.";
    const int64_t dim = m->sizes->dim, quarter = dim / 4, span = 2 * m->sizes->patches_per_side - 1;
    const float scale = 0.5f / sqrtf((float)quarter);
    add(m, SHAPE(1, 1, dim), 0.0f, 0.5f, "%scls_embedding", p);
    add(m, SHAPE(quarter, 3, 4, 4), 0.0f, 0.14f, "%sembed_images.0.weight", p);
    add_bias(m, quarter, p, "embed_images.0");
    add_norm(m, quarter, p, "embed_images.1.layer_norm");
    add(m, SHAPE(quarter, quarter, 2, 2), 0.0f, scale, "%sembed_images.3.weight", p);
    add_bias(m, quarter, p, "embed_images.3");
    add_norm(m, quarter, p, "embed_images.4.layer_norm");
    add(m, SHAPE(dim, quarter, 2, 2), 0.0f, scale, "%sembed_images.6.weight", p);
    add_bias(m, dim, p, "embed_images.6");
    add(m, SHAPE(1 + POS_GRID * POS_GRID, dim), 0.0f, 0.3f, "%spos_embed", p);
    add_tables(m, span * span + 3, p);
}

static void add_waves(struct lister *m, const char *p) {
    const int64_t wide = m->sizes->channels;
    char name[64];
    for (int j = 0; j < m->sizes->conv_count; j++) {
        const int64_t in = j ? wide : 1, kernel = m->sizes->kernels[j];
        add(m, SHAPE(wide, in, kernel), 0.0f, 1.0f / sqrtf((float)(in * kernel)),
            "%sembed_audios.0.conv_layers.%d.0.weight", p, j);
        snprintf(name, sizeof name, "embed_audios.0.conv_layers.%d.2.1", j);
        add_norm(m, wide, p, name);
    }
}

static void add_audio(struct lister *m) {
    static const char p[] = "encoder_wrapper.audio_adapter.";
    const int64_t dim = m->sizes->dim, wide = m->sizes->channels, in = dim / 16;
    add(m, SHAPE(1, 1, dim), 0.0f, 0.5f, "%scls_embedding", p);
    add(m, SHAPE(1, 1, dim), 0.0f, 0.3f, "%scls_pos_embed", p);
    add_waves(m, p);
    add_norm(m, wide, p, "embed_audios.2");
    add_linear(m, dim, wide, p, "embed_audios.3");
    const int64_t kernel = m->sizes->pos_kernel;
    for (int j = 1; j <= m->sizes->pos_convs; j++) {
        add(m, SHAPE(dim, in, kernel), 0.0f, 1.0f / sqrtf((float)(in * kernel)),
            "%sembed_positions.%d.0.weight", p, j);
        add(m, SHAPE(dim), 0.0f, 0.2f, "%sembed_positions.%d.0.bias", p, j);
    }
    add_tables(m, 1026, p);
}

static void add_ffn(struct lister *m, const char *layer, const char *modality) {
    const int64_t dim = m->sizes->dim, wide = m->sizes->ffn;
    char p[160];
    snprintf(p, sizeof p, "%s%s_ffn.", layer, modality);
    add_matrix(m, wide, dim, 1.0f, p, "0.wi_0");
    add_matrix(m, wide, dim, 1.0f, p, "0.wi_1");
    add_norm(m, wide, p, "2");
    add_linear(m, dim, wide, p, "3");
}

static void add_layer(struct lister *m, int index) {
    const int64_t dim = m->sizes->dim;
    char p[96];
    snprintf(p, sizeof p, "encoder_wrapper.fusion_model.layers.%d.", index);
    add_norm(m, dim, p, "self_attn_layer_norm");
    add_matrix(m, dim, dim, m->sizes->query_gain, p, "self_attn.q_proj");
    add_bias(m, dim, p, "self_attn.q_proj");
    add_matrix(m, dim, dim, 1.0f, p, "self_attn.k_proj");
    add_linear(m, dim, dim, p, "self_attn.v_proj");
    add_norm(m, dim, p, "self_attn.ln");
    add_linear(m, dim, dim, p, "self_attn.out_proj");
    add(m, SHAPE(dim), 0.6f, 0.2f, "%sgamma_1", p);
    add(m, SHAPE(dim), 0.6f, 0.2f, "%sgamma_2", p);
    add_norm(m, dim, p, "final_layer_norm");
    for (int k = 0; k < ONP_MODALITY_COUNT; k++)
        if (m->sizes->modalities & ONP_BIT(k))
            add_ffn(m, p, onp_modality_name((enum onp_modality)k));
}

static void add_all(struct lister *m) {
    const int64_t dim = m->sizes->dim;
    void (*const adapters[])(struct lister *) = {add_text, add_image, add_audio};
    add(m, SHAPE(0), 3.3f, 0.0f, "logit_scale");
    for (int i = 0; i < m->sizes->layers; i++) add_layer(m, i);
    for (int k = 0; k < ONP_MODALITY_COUNT; k++) {
        if (!(m->sizes->modalities & ONP_BIT(k))) continue;
        char name[64];
        const char *modality = onp_modality_name((enum onp_modality)k);
        adapters[k](m);
        snprintf(name, sizeof name, "%s_layer_norm", modality);
        add_norm(m, dim, "encoder_wrapper.fusion_model.", name);
        snprintf(name, sizeof name, "%s_proj", modality);
        add_linear(m, dim, dim, "", name);
    }
}

enum onp_status onp_one_peace_tensors(const struct onp_one_peace_sizes *sizes,
                                      onp_one_peace_tensor_fn fn, void *user) {
    struct lister m = {.sizes = sizes, .fn = fn, .user = user};
    add_all(&m);
    return m.status;
}
