// SPDX-License-Identifier: Apache-2.0
// Every weight of the model by its name in the file, with the shape it must have (SPEC section 3).
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "models/one_peace/one_peace.h"

struct declare {
    const struct onp_hparams *hp;
    const struct onp_model_file *file;
    const struct onp_log *log;
    struct onp_weights *weights;
    struct onp_buf missing; // names, one a line
    size_t missing_count;
    struct onp_buf wrong; // shapes or types that do not fit
};

#define NAME_SIZE 192

// The stand-alone vision export drops upstream's prefixes.
static void file_name(const struct onp_hparams *hp, const char *name, char out[NAME_SIZE]) {
    static const char wrapper[] = "encoder_wrapper.", fusion[] = "encoder_wrapper.fusion_model.";
    const char *prefix = "";
    if (hp->vision_names && strncmp(name, fusion, sizeof fusion - 1) == 0) {
        prefix = "encoder.";
        name += sizeof fusion - 1;
    } else if (hp->vision_names && strncmp(name, wrapper, sizeof wrapper - 1) == 0) {
        name += sizeof wrapper - 1;
    }
    snprintf(out, NAME_SIZE, "%s%s", prefix, name);
}

// A file tensor of exactly this shape and a floating dtype. Absent or unfit ones are noted.
static const struct onp_file_tensor *source(struct declare *d, const char *full_name, int dims,
                                            const int64_t *shape) {
    char name[NAME_SIZE];
    file_name(d->hp, full_name, name);
    const struct onp_file_tensor *t = onp_model_file_find(d->file, name);
    if (!t) {
        if (d->missing_count++ < 20) onp_buf_printf(&d->missing, "\n  %s", name);
        return NULL;
    }
    bool fits = t->dims == dims && t->dtype <= ONP_F64;
    for (int i = 0; i < dims && fits; i++) fits = t->shape[i] == shape[i];
    if (fits) return t;
    onp_buf_printf(&d->wrong, "\n  %s is %s [", name, onp_dtype_name(t->dtype));
    for (int i = 0; i < t->dims; i++)
        onp_buf_printf(&d->wrong, "%s%" PRId64, i ? ", " : "", t->shape[i]);
    onp_buf_printf(&d->wrong, "], expected floating-point [");
    for (int i = 0; i < dims; i++) onp_buf_printf(&d->wrong, "%s%" PRId64, i ? ", " : "", shape[i]);
    onp_buf_printf(&d->wrong, "]");
    return NULL;
}

static struct onp_weight *add(struct declare *d, enum onp_weight_kind kind, int64_t rows,
                              int64_t cols, const char *name) {
    struct onp_weights *weights = d->weights;
    if (weights->count == weights->capacity) return NULL; // capacity is an upper bound
    struct onp_weight *w = &weights->list[weights->count++];
    *w = (struct onp_weight){.kind = kind, .fill = onp_fill_rows};
    w->tensor = (struct onp_tensor){.dtype = ONP_F32,
                                    .role = ONP_ROLE_WEIGHT,
                                    .rows = rows,
                                    .cols = cols,
                                    .ld = cols,
                                    .root = &w->tensor};
    const size_t length = strlen(name); // the tail of a long name tells more than its head
    const size_t skip = length >= sizeof w->tensor.name ? length - sizeof w->tensor.name + 1 : 0;
    snprintf(w->tensor.name, sizeof w->tensor.name, "%s", name + skip);
    return w;
}

#define FORMAT(name, fmt)                                                                          \
    char name[NAME_SIZE];                                                                          \
    do {                                                                                           \
        va_list args_;                                                                             \
        va_start(args_, fmt);                                                                      \
        vsnprintf(name, sizeof name, fmt, args_);                                                  \
        va_end(args_);                                                                             \
    } while (0)

static struct onp_tensor *vector(struct declare *d, int64_t n, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static struct onp_tensor *matrix(struct declare *d, int64_t n, int64_t k, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

static struct onp_tensor *vector(struct declare *d, int64_t n, const char *fmt, ...) {
    FORMAT(name, fmt);
    struct onp_weight *w = add(d, ONP_WEIGHT_VECTOR, 1, n, name);
    if (!w) return NULL;
    w->source[0] = source(d, name, 1, &n);
    return &w->tensor;
}

static struct onp_tensor *matrix(struct declare *d, int64_t n, int64_t k, const char *fmt, ...) {
    FORMAT(name, fmt);
    struct onp_weight *w = add(d, ONP_WEIGHT_MATRIX, n, k, name);
    if (!w) return NULL;
    w->source[0] = source(d, name, 2, (const int64_t[]){n, k});
    return &w->tensor;
}

// [1, 1, D] parameters.
static struct onp_tensor *token(struct declare *d, const char *name) {
    const int64_t dim = d->hp->embed_dim;
    struct onp_weight *w = add(d, ONP_WEIGHT_VECTOR, 1, dim, name);
    if (!w) return NULL;
    w->source[0] = source(d, name, 3, (const int64_t[]){1, 1, dim});
    return &w->tensor;
}

// A convolution [out][in][...taps], seen as (out, taps * in).
static struct onp_tensor *conv(struct declare *d, const char *name, int dims,
                               const int64_t *shape) {
    int64_t taps = 1;
    for (int i = 2; i < dims; i++) taps *= shape[i];
    struct onp_weight *w = add(d, ONP_WEIGHT_MATRIX, shape[0], shape[1] * taps, name);
    if (!w) return NULL;
    w->source[0] = source(d, name, dims, shape);
    w->fill = onp_fill_conv;
    w->arg[0] = (int32_t)taps;
    return &w->tensor;
}

#define LAYER "encoder_wrapper.fusion_model.layers.%d."

static void declare_qkv(struct declare *d, int n, struct onp_layer *layer) {
    const int64_t dim = d->hp->embed_dim, square[] = {dim, dim};
    char name[NAME_SIZE];
    static const char parts[] = {'q', 'k', 'v'};
    snprintf(name, sizeof name, LAYER "qkv.weight", n);
    struct onp_weight *w = add(d, ONP_WEIGHT_MATRIX, 3 * dim, dim, name);
    snprintf(name, sizeof name, LAYER "qkv.bias", n);
    struct onp_weight *b = add(d, ONP_WEIGHT_VECTOR, 1, 3 * dim, name);
    if (!w || !b) return;
    for (int i = 0; i < 3; i++) {
        snprintf(name, sizeof name, LAYER "self_attn.%c_proj.weight", n, parts[i]);
        w->source[i] = source(d, name, 2, square);
    }
    snprintf(name, sizeof name, LAYER "self_attn.q_proj.bias", n);
    b->source[0] = source(d, name, 1, &dim);
    snprintf(name, sizeof name, LAYER "self_attn.v_proj.bias", n);
    b->source[1] = source(d, name, 1, &dim);
    w->fill = onp_fill_stacked;
    b->fill = onp_fill_qkv_bias;
    layer->qkv_w = &w->tensor;
    layer->qkv_b = &b->tensor;
}

static void declare_ffn(struct declare *d, int n, const char *m, struct onp_ffn *ffn) {
    const int64_t dim = d->hp->embed_dim, inner = d->hp->ffn_dim;
    ffn->wi_0 = matrix(d, inner, dim, LAYER "%s_ffn.0.wi_0.weight", n, m);
    ffn->wi_1 = matrix(d, inner, dim, LAYER "%s_ffn.0.wi_1.weight", n, m);
    ffn->norm_w = vector(d, inner, LAYER "%s_ffn.2.weight", n, m);
    ffn->norm_b = vector(d, inner, LAYER "%s_ffn.2.bias", n, m);
    ffn->fc_w = matrix(d, dim, inner, LAYER "%s_ffn.3.weight", n, m);
    ffn->fc_b = vector(d, dim, LAYER "%s_ffn.3.bias", n, m);
}

static void declare_layer(struct declare *d, int n, unsigned modalities) {
    struct onp_layer *layer = &d->weights->layers[n];
    const int64_t dim = d->hp->embed_dim;
    layer->norm_1_w = vector(d, dim, LAYER "self_attn_layer_norm.weight", n);
    layer->norm_1_b = vector(d, dim, LAYER "self_attn_layer_norm.bias", n);
    declare_qkv(d, n, layer);
    layer->heads_w = vector(d, dim, LAYER "self_attn.ln.weight", n);
    layer->heads_b = vector(d, dim, LAYER "self_attn.ln.bias", n);
    layer->out_w = matrix(d, dim, dim, LAYER "self_attn.out_proj.weight", n);
    layer->out_b = vector(d, dim, LAYER "self_attn.out_proj.bias", n);
    layer->gamma_1 = vector(d, dim, LAYER "gamma_1", n);
    layer->gamma_2 = vector(d, dim, LAYER "gamma_2", n);
    layer->norm_2_w = vector(d, dim, LAYER "final_layer_norm.weight", n);
    layer->norm_2_b = vector(d, dim, LAYER "final_layer_norm.bias", n);
    for (int m = 0; m < ONP_MODALITY_COUNT; m++)
        if (modalities & ONP_BIT(m))
            declare_ffn(d, n, onp_modality_name((enum onp_modality)m), &layer->ffn[m]);
}

// One table for all layers or one each.
static void declare_bias(struct declare *d, enum onp_modality m, struct onp_branch *branch) {
    const struct onp_hparams *hp = d->hp;
    const bool image = m == ONP_IMAGE;
    const int64_t cols =
        image ? onp_image_bias_cols(hp->patches_per_side) : onp_sequence_bias_cols();
    const int64_t rows = image ? cols : 2 * hp->bucket[m] + 2;
    for (int n = 0; n < hp->layers; n++) {
        if (n > 0 && !hp->per_layer[m]) {
            branch->bias[n] = branch->bias[0];
            continue;
        }
        char name[NAME_SIZE];
        snprintf(name, sizeof name, "encoder_wrapper.%s_adapter.rel_pos_table_list.%d.weight",
                 onp_modality_name((enum onp_modality)m), n);
        struct onp_weight *w = add(d, ONP_WEIGHT_VECTOR, hp->heads, cols, name);
        if (!w) return;
        w->source[0] = source(d, name, 2, (const int64_t[]){rows, hp->heads});
        w->fill = image ? onp_fill_image_bias : onp_fill_sequence_bias;
        w->arg[0] = hp->bucket[m];
        branch->bias[n] = &w->tensor;
    }
}

// What every branch has: CLS, bias tables, final LayerNorm, projection.
static void declare_branch(struct declare *d, enum onp_modality m) {
    struct onp_branch *branch = &d->weights->branch[m];
    const int64_t dim = d->hp->embed_dim;
    const char *name = onp_modality_name((enum onp_modality)m);
    char cls[NAME_SIZE];
    snprintf(cls, sizeof cls, "encoder_wrapper.%s_adapter.cls_embedding", name);
    branch->cls = token(d, cls);
    declare_bias(d, m, branch);
    branch->norm_w = vector(d, dim, "encoder_wrapper.fusion_model.%s_layer_norm.weight", name);
    branch->norm_b = vector(d, dim, "encoder_wrapper.fusion_model.%s_layer_norm.bias", name);
    branch->proj_w = matrix(d, dim, dim, "%s_proj.weight", name);
    branch->proj_b = vector(d, dim, "%s_proj.bias", name);
}

static void declare_text(struct declare *d) {
    struct onp_branch *branch = &d->weights->branch[ONP_TEXT];
    const int64_t dim = d->hp->embed_dim;
    d->weights->tokens =
        matrix(d, d->hp->vocab, dim, "encoder_wrapper.text_adapter.embed_tokens.weight");
    if (d->weights->tokens) d->weights->list[d->weights->count - 1].kind = ONP_WEIGHT_EMBEDDING;
    // The file may hold more positions than a sequence can have: the first ones are taken.
    static const char name[] = "encoder_wrapper.text_adapter.embed_positions.weight";
    char in_file[NAME_SIZE];
    file_name(d->hp, name, in_file);
    const struct onp_file_tensor *t = onp_model_file_find(d->file, in_file);
    const int64_t used = d->hp->text_positions;
    const int64_t stored = t && t->dims == 2 && t->shape[0] > used ? t->shape[0] : used;
    struct onp_weight *p = add(d, ONP_WEIGHT_VECTOR, used, dim, name);
    if (!p) return;
    p->source[0] = source(d, name, 2, (const int64_t[]){stored, dim});
    branch->positions = &p->tensor;
}

static void declare_image(struct declare *d) {
#define PATCH "encoder_wrapper.image_adapter.embed_images."
    const int64_t dim = d->hp->embed_dim, quarter = dim / 4;
    struct onp_weights *w = d->weights;
    w->patch.w[0] = conv(d, PATCH "0.weight", 4, (const int64_t[]){quarter, 3, 4, 4});
    // The first convolution's patches are gathered channel by channel, as the file has them.
    if (w->patch.w[0]) w->list[w->count - 1].fill = onp_fill_rows;
    w->patch.b[0] = vector(d, quarter, PATCH "0.bias");
    w->patch.norm_w[0] = vector(d, quarter, PATCH "1.layer_norm.weight");
    w->patch.norm_b[0] = vector(d, quarter, PATCH "1.layer_norm.bias");
    w->patch.w[1] = conv(d, PATCH "3.weight", 4, (const int64_t[]){quarter, quarter, 2, 2});
    w->patch.b[1] = vector(d, quarter, PATCH "3.bias");
    w->patch.norm_w[1] = vector(d, quarter, PATCH "4.layer_norm.weight");
    w->patch.norm_b[1] = vector(d, quarter, PATCH "4.layer_norm.bias");
    w->patch.w[2] = conv(d, PATCH "6.weight", 4, (const int64_t[]){dim, quarter, 2, 2});
    w->patch.b[2] = vector(d, dim, PATCH "6.bias");
    const int32_t side = d->hp->patches_per_side, grid = d->hp->pos_grid;
    const char *name = "encoder_wrapper.image_adapter.pos_embed";
    struct onp_weight *p = add(d, ONP_WEIGHT_VECTOR, 1 + side * side, dim, name);
    if (!p) return;
    p->source[0] = source(d, name, 2, (const int64_t[]){1 + grid * grid, dim});
    p->fill = onp_fill_pos_embed;
    p->arg[0] = grid;
    p->arg[1] = side;
    w->branch[ONP_IMAGE].positions = &p->tensor;
}

static void declare_wave_convs(struct declare *d) {
#define WAVE "encoder_wrapper.audio_adapter.embed_audios."
    int64_t in = 1;
    for (int i = 0; i < d->hp->conv_count; i++) {
        const struct onp_wave_conv *c = &d->hp->convs[i];
        char name[NAME_SIZE];
        snprintf(name, sizeof name, WAVE "0.conv_layers.%d.0.weight", i);
        d->weights->wave.w[i] = conv(d, name, 3, (const int64_t[]){c->channels, in, c->kernel});
        snprintf(name, sizeof name, WAVE "0.conv_layers.%d.0.bias", i);
        if (onp_model_file_find(d->file, name)) // only with conv_bias
            d->weights->wave.b[i] = vector(d, c->channels, "%s", name);
        d->weights->wave.norm_w[i] = vector(d, c->channels, WAVE "0.conv_layers.%d.2.1.weight", i);
        d->weights->wave.norm_b[i] = vector(d, c->channels, WAVE "0.conv_layers.%d.2.1.bias", i);
        in = c->channels;
    }
}

static void declare_audio(struct declare *d) {
    const struct onp_hparams *hp = d->hp;
    struct onp_weights *w = d->weights;
    const int64_t dim = hp->embed_dim, channels = hp->wave_channels;
    declare_wave_convs(d);
    w->wave.out_norm_w = vector(d, channels, WAVE "2.weight");
    w->wave.out_norm_b = vector(d, channels, WAVE "2.bias");
    w->wave.proj_w = matrix(d, dim, channels, WAVE "3.weight");
    w->wave.proj_b = vector(d, dim, WAVE "3.bias");
    w->branch[ONP_AUDIO].positions = token(d, "encoder_wrapper.audio_adapter.cls_pos_embed");
    const int64_t width = hp->pos_convs ? dim / hp->pos_groups : 1;
    if (hp->pos_convs == 0)
        source(d, "encoder_wrapper.audio_adapter.embed_positions.1.0.weight", 0, NULL);
    for (int i = 0; i < hp->pos_convs; i++) {
        char name[NAME_SIZE];
        snprintf(name, sizeof name, "encoder_wrapper.audio_adapter.embed_positions.%d.0.weight",
                 i + 1);
        struct onp_weight *p = add(d, ONP_WEIGHT_VECTOR, dim * hp->pos_kernel, width, name);
        if (!p) return;
        p->source[0] = source(d, name, 3, (const int64_t[]){dim, width, hp->pos_kernel});
        p->fill = onp_fill_grouped;
        p->arg[0] = hp->pos_kernel;
        w->wave.pos_w[i] = &p->tensor;
        w->wave.pos_b[i] =
            vector(d, dim, "encoder_wrapper.audio_adapter.embed_positions.%d.0.bias", i + 1);
    }
}

// Missing and unfit weights, each list in one message.
static enum onp_status verdict(const struct declare *d) {
    const char *path = onp_model_file_path(d->file);
    if (d->missing.failed || d->wrong.failed)
        return onp_fail(d->log, ONP_ERR_MEMORY, "no memory to check %s", path);
    if (d->wrong.size > 0)
        return onp_fail(d->log, ONP_ERR_FORMAT, "%s: weights of the wrong shape or type:%.3000s",
                        path, d->wrong.data);
    if (d->missing_count > 0)
        return onp_fail(d->log, ONP_ERR_MISSING,
                        "%s lacks %zu weight%s that the branches asked for need:%.3000s%s%s", path,
                        d->missing_count, d->missing_count == 1 ? "" : "s", d->missing.data,
                        d->missing_count > 20 ? "\n  ..." : "",
                        d->hp->vision_names
                            ? "\na stand-alone vision export has none of these: use "
                              "the checkpoint that it was made from"
                            : "");
    return ONP_OK;
}

// An upper bound of the number of weights.
static size_t most_weights(const struct onp_hparams *hp) {
    return (size_t)hp->layers * (16 + 3 * 7) + 4 * ONP_MAX_CONVS + 2 * ONP_MAX_CONVS + 64;
}

enum onp_status onp_one_peace_weights_create(const struct onp_hparams *hp,
                                             const struct onp_model_file *file, unsigned modalities,
                                             const struct onp_log *log, struct onp_weights **out) {
    struct declare d = {.hp = hp, .file = file, .log = log};
    struct onp_weights *w = d.weights = calloc(1, sizeof *w);
    if (!w) return onp_fail(log, ONP_ERR_MEMORY, "no memory for the weights' table");
    w->hparams = hp;
    w->capacity = most_weights(hp);
    w->list = calloc(w->capacity, sizeof *w->list);
    w->layers = calloc((size_t)hp->layers, sizeof *w->layers);
    bool memory = w->list && w->layers;
    for (int m = 0; m < ONP_MODALITY_COUNT; m++)
        memory &=
            (w->branch[m].bias = calloc((size_t)hp->layers, sizeof(struct onp_tensor *))) != NULL;
    enum onp_status status =
        memory ? ONP_OK : onp_fail(log, ONP_ERR_MEMORY, "no memory for the weights' table");
    if (status == ONP_OK) {
        if (modalities & ONP_BIT(ONP_TEXT)) declare_text(&d);
        if (modalities & ONP_BIT(ONP_IMAGE)) declare_image(&d);
        if (modalities & ONP_BIT(ONP_AUDIO)) declare_audio(&d);
        for (int m = 0; m < ONP_MODALITY_COUNT; m++)
            if (modalities & ONP_BIT(m)) declare_branch(&d, (enum onp_modality)m);
        for (int n = 0; n < hp->layers; n++) declare_layer(&d, n, modalities);
        status = verdict(&d);
    }
    onp_buf_free(&d.missing);
    onp_buf_free(&d.wrong);
    if (status == ONP_OK)
        *out = w;
    else
        onp_one_peace_weights_destroy(w);
    return status;
}

void onp_one_peace_weights_destroy(struct onp_weights *weights) {
    if (!weights) return;
    for (int m = 0; m < ONP_MODALITY_COUNT; m++) free(weights->branch[m].bias);
    free(weights->layers);
    free(weights->list);
    free(weights);
}
