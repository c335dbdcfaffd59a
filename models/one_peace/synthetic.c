// SPDX-License-Identifier: Apache-2.0
// The tensors of a model of given sizes, computed instead of read. Scales follow trained models:
// matrices keep the variance of what they map (1 / sqrt(fan in)), norms are near one, and the
// residual branches are large enough to matter in every layer.
#include <ctype.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "models/one_peace/one_peace.h"

#define MOST_WIDTH  16384
#define MOST_FFN    65536
#define MOST_LAYERS 512
#define MOST_HEADS  1024

struct sizes {
    int64_t dim, ffn, layers, heads; // of the spec
    int64_t vocab, channels;
};

static const struct sizes full = {1536, 6144, 40, 24, 50264, 512};
static const struct sizes micro = {64, 256, 3, 4, 856, 32};

// --- The spec -----------------------------------------------------------------------------------

static enum onp_status bad_spec(const struct onp_log *log, const char *spec, const char *what) {
    return onp_fail(log, ONP_ERR_ARGUMENT,
                    "synthetic model \"%.64s\": %s; give full, micro or D,F,L,H, for example "
                    "1536,6144,4,24",
                    spec, what);
}

// Up to eight digits, and nothing else, up to a comma or the end.
static bool read_number(const char **text, int64_t *out) {
    const char *at = *text;
    *out = 0;
    while (isdigit((unsigned char)*at) && at - *text < 8) *out = 10 * *out + (*at++ - '0');
    const bool read = at > *text && (*at == ',' || *at == '\0');
    *text = *at == ',' ? at + 1 : at;
    return read;
}

static enum onp_status check_sizes(const struct onp_log *log, const char *spec,
                                   const struct sizes *s) {
    if (s->dim < 16 || s->dim > MOST_WIDTH || s->dim % 16 != 0)
        return bad_spec(log, spec, "the width D must be a multiple of 16 from 16 to 16384");
    if (s->ffn < 1 || s->ffn > MOST_FFN)
        return bad_spec(log, spec, "the feed-forward width F must be 1 to 65536");
    if (s->layers < 1 || s->layers > MOST_LAYERS)
        return bad_spec(log, spec, "the number of layers L must be 1 to 512");
    if (s->heads < 1 || s->heads > MOST_HEADS || s->dim % s->heads != 0 ||
        s->dim / s->heads % 4 != 0)
        return bad_spec(log, spec,
                        "the number of heads H must divide D into head sizes that are multiples "
                        "of 4");
    return ONP_OK;
}

static enum onp_status parse_spec(const struct onp_log *log, const char *spec, struct sizes *s) {
    *s = strcmp(spec, "micro") == 0 ? micro : full;
    if (strcmp(spec, "full") == 0 || strcmp(spec, "micro") == 0) return ONP_OK;
    int64_t *const numbers[] = {&s->dim, &s->ffn, &s->layers, &s->heads};
    const char *at = spec;
    for (int i = 0; i < 4; i++)
        if (!read_number(&at, numbers[i]) || (at[-1] == ',') != (i < 3))
            return bad_spec(log, spec, "this is no list of four whole numbers");
    return check_sizes(log, spec, s);
}

// --- The tensors --------------------------------------------------------------------------------

struct maker {
    const struct sizes *sizes;
    struct onp_model_file *file;
    enum onp_status status; // of the first that failed
};

// Up to four dimensions, 0 ends them.
static void add(struct maker *m, const int64_t shape[4], float mean, float scale, const char *fmt,
                ...) __attribute__((format(printf, 5, 6)));
static void add(struct maker *m, const int64_t shape[4], float mean, float scale, const char *fmt,
                ...) {
    char name[192];
    int dims = 0;
    va_list args;
    va_start(args, fmt);
    vsnprintf(name, sizeof name, fmt, args);
    va_end(args);
    while (dims < 4 && shape[dims] > 0) dims++;
    if (m->status == ONP_OK)
        m->status = onp_model_file_add_computed(m->file, name, shape, dims, mean, scale);
}

#define SHAPE(...) ((const int64_t[4]){__VA_ARGS__})

static void add_norm(struct maker *m, int64_t size, const char *prefix, const char *name) {
    add(m, SHAPE(size), 1.0f, 0.2f, "%s%s.weight", prefix, name);
    add(m, SHAPE(size), 0.0f, 0.1f, "%s%s.bias", prefix, name);
}

static void add_matrix(struct maker *m, int64_t out, int64_t in, const char *prefix,
                       const char *name) {
    add(m, SHAPE(out, in), 0.0f, 1.0f / sqrtf((float)in), "%s%s.weight", prefix, name);
}

static void add_bias(struct maker *m, int64_t out, const char *prefix, const char *name) {
    add(m, SHAPE(out), 0.0f, 0.2f, "%s%s.bias", prefix, name);
}

static void add_linear(struct maker *m, int64_t out, int64_t in, const char *prefix,
                       const char *name) {
    add_matrix(m, out, in, prefix, name);
    add_bias(m, out, prefix, name);
}

static void add_table(struct maker *m, int64_t rows, const char *prefix) {
    add(m, SHAPE(rows, m->sizes->heads), 0.0f, 0.5f, "%srel_pos_table_list.0.weight", prefix);
}

static void add_text(struct maker *m) {
    static const char p[] = "encoder_wrapper.text_adapter.";
    const int64_t dim = m->sizes->dim;
    add(m, SHAPE(1, 1, dim), 0.0f, 0.5f, "%scls_embedding", p);
    add(m, SHAPE(m->sizes->vocab, dim), 0.0f, 0.6f, "%sembed_tokens.weight", p);
    add(m, SHAPE(514, dim), 0.0f, 0.3f, "%sembed_positions.weight", p);
    add_table(m, 514, p);
}

// Pictures of 256 pixels: 16 patches a side.
static void add_image(struct maker *m) {
    static const char p[] = "encoder_wrapper.image_adapter.";
    const int64_t dim = m->sizes->dim, quarter = dim / 4, span = 2 * 16 - 1;
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
    add(m, SHAPE(1 + 16 * 16, dim), 0.0f, 0.3f, "%spos_embed", p);
    add_table(m, span * span + 3, p);
}

static void add_waves(struct maker *m, const char *p) {
    static const int64_t kernels[] = {10, 3, 3, 3, 3, 2, 2};
    const int64_t wide = m->sizes->channels;
    char name[64];
    for (int j = 0; j < 7; j++) {
        const int64_t in = j ? wide : 1;
        add(m, SHAPE(wide, in, kernels[j]), 0.0f, 1.0f / sqrtf((float)(in * kernels[j])),
            "%sembed_audios.0.conv_layers.%d.0.weight", p, j);
        snprintf(name, sizeof name, "embed_audios.0.conv_layers.%d.2.1", j);
        add_norm(m, wide, p, name);
    }
}

static void add_audio(struct maker *m) {
    static const char p[] = "encoder_wrapper.audio_adapter.";
    const int64_t dim = m->sizes->dim, wide = m->sizes->channels, in = dim / 16;
    add(m, SHAPE(1, 1, dim), 0.0f, 0.5f, "%scls_embedding", p);
    add(m, SHAPE(1, 1, dim), 0.0f, 0.3f, "%scls_pos_embed", p);
    add_waves(m, p);
    add_norm(m, wide, p, "embed_audios.2");
    add_linear(m, dim, wide, p, "embed_audios.3");
    for (int j = 1; j <= 5; j++) {
        add(m, SHAPE(dim, in, 19), 0.0f, 1.0f / sqrtf((float)(in * 19)),
            "%sembed_positions.%d.0.weight", p, j);
        add(m, SHAPE(dim), 0.0f, 0.2f, "%sembed_positions.%d.0.bias", p, j);
    }
    add_table(m, 1026, p);
}

static void add_ffn(struct maker *m, const char *layer, const char *modality) {
    const int64_t dim = m->sizes->dim, wide = m->sizes->ffn;
    char p[160];
    snprintf(p, sizeof p, "%s%s_ffn.", layer, modality);
    add_matrix(m, wide, dim, p, "0.wi_0");
    add_matrix(m, wide, dim, p, "0.wi_1");
    add_norm(m, wide, p, "2");
    add_linear(m, dim, wide, p, "3");
}

static void add_layer(struct maker *m, int index) {
    const int64_t dim = m->sizes->dim;
    char p[96];
    snprintf(p, sizeof p, "encoder_wrapper.fusion_model.layers.%d.", index);
    add_norm(m, dim, p, "self_attn_layer_norm");
    add_linear(m, dim, dim, p, "self_attn.q_proj");
    add_matrix(m, dim, dim, p, "self_attn.k_proj");
    add_linear(m, dim, dim, p, "self_attn.v_proj");
    add_norm(m, dim, p, "self_attn.ln");
    add_linear(m, dim, dim, p, "self_attn.out_proj");
    add(m, SHAPE(dim), 0.6f, 0.2f, "%sgamma_1", p);
    add(m, SHAPE(dim), 0.6f, 0.2f, "%sgamma_2", p);
    add_norm(m, dim, p, "final_layer_norm");
    for (int k = 0; k < ONP_MODALITY_COUNT; k++)
        add_ffn(m, p, onp_modality_name((enum onp_modality)k));
}

static void add_all(struct maker *m) {
    const int64_t dim = m->sizes->dim;
    void (*const adapters[])(struct maker *) = {add_text, add_image, add_audio};
    add(m, SHAPE(0), 3.3f, 0.0f, "logit_scale");
    for (int i = 0; i < m->sizes->layers; i++) add_layer(m, i);
    for (int k = 0; k < ONP_MODALITY_COUNT; k++) {
        char name[64];
        const char *modality = onp_modality_name((enum onp_modality)k);
        adapters[k](m);
        snprintf(name, sizeof name, "%s_layer_norm", modality);
        add_norm(m, dim, "encoder_wrapper.fusion_model.", name);
        snprintf(name, sizeof name, "%s_proj", modality);
        add_linear(m, dim, dim, "", name);
    }
}

enum onp_status onp_one_peace_synthetic(const char *spec, const struct onp_log *log,
                                        struct onp_model_file **out) {
    struct sizes sizes;
    char name[64], config[512];
    ONP_TRY(parse_spec(log, spec, &sizes));
    snprintf(name, sizeof name, "synthetic:%d,%d,%d,%d", (int)sizes.dim, (int)sizes.ffn,
             (int)sizes.layers, (int)sizes.heads);
    snprintf(config, sizeof config,
             "{\"model\": {\"_name\": \"one_peace_retrieval\", \"encoder\": {\"audio_adapter\": "
             "{\"feature_encoder_spec\": \"[(%d, 10, 5)] + [(%d, 3, 2)] * 4 + [(%d, 2, 2)] * 2\"}"
             "}}, \"task\": {\"head_type\": \"val\"}}",
             (int)sizes.channels, (int)sizes.channels, (int)sizes.channels);
    struct maker m = {.sizes = &sizes};
    ONP_TRY(onp_model_file_computed(name, config, log, &m.file));
    add_all(&m);
    if (m.status == ONP_OK) m.status = onp_model_file_sort(m.file);
    if (m.status == ONP_OK)
        *out = m.file;
    else
        onp_model_file_close(m.file);
    return m.status;
}
