// SPDX-License-Identifier: Apache-2.0
// The forward pass: adapter, layers, final LayerNorm, projection, normalisation (SPEC 9 and 10).
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "models/one_peace/one_peace.h"
#include "models/one_peace/preprocess.h"
#include "ops/ops.h"

// Where each row looks for its relative-position bias.
struct bias_inputs {
    struct onp_tensor *offsets, *query_pos, *key_pos;
};

static struct bias_inputs make_bias_inputs(struct onp_forward *f) {
    struct bias_inputs inputs = {0};
    int32_t *query = onp_graph_alloc(f->graph, (size_t)f->longest * sizeof *query);
    int32_t *key = onp_graph_alloc(f->graph, (size_t)f->longest * sizeof *key);
    if (!query || !key) return inputs;
    if (f->batch->modality == ONP_IMAGE)
        onp_image_bias_positions(f->hparams->patches_per_side, query, key);
    else
        onp_sequence_bias_positions(f->longest, query, key);
    inputs.query_pos = onp_graph_input(f->graph, "query_pos", ONP_I32, 1, f->longest, query);
    inputs.key_pos = onp_graph_input(f->graph, "key_pos", ONP_I32, 1, f->longest, key);
    inputs.offsets =
        onp_graph_input(f->graph, "offsets", ONP_I32, 1, f->batch->count + 1, f->offsets);
    return inputs;
}

static struct onp_tensor *norm(struct onp_forward *f, struct onp_tensor *x, struct onp_tensor *w,
                               struct onp_tensor *b) {
    return onp_layernorm(f->graph, &(struct onp_layernorm_args){
                                       .x = x, .weight = w, .bias = b, .eps = ONP_NORM_EPS});
}

// x + gamma * (a W^T + bias).
static struct onp_tensor *add_linear(struct onp_forward *f, struct onp_tensor *x,
                                     struct onp_tensor *gamma, struct onp_tensor *a,
                                     struct onp_tensor *w, struct onp_tensor *bias) {
    return onp_matmul(f->graph, &(struct onp_matmul_args){
                                    .a = a, .w = w, .bias = bias, .gamma = gamma, .residual = x});
}

// One encoder layer on all rows of the batch: x (R, D).
static struct onp_tensor *layer(struct onp_forward *f, int n, const struct bias_inputs *bias,
                                struct onp_tensor *x) {
    struct onp_graph *g = f->graph;
    const struct onp_layer *l = &f->weights->layers[n];
    const struct onp_ffn *ffn = &l->ffn[f->batch->modality];
    struct onp_tensor *u, *h; // u (R, D); h (R, F)

    u = onp_named(g, norm(f, x, l->norm_1_w, l->norm_1_b), "l%d_ln1", n);
    u = onp_matmul(g, &(struct onp_matmul_args){.a = u, .w = l->qkv_w, .bias = l->qkv_b});
    u = onp_attention(
        g, &(struct onp_attention_args){.qkv = u,
                                        .offsets = bias->offsets,
                                        .table = f->weights->branch[f->batch->modality].bias[n],
                                        .query_pos = bias->query_pos,
                                        .key_pos = bias->key_pos,
                                        .items = f->batch->count,
                                        .heads = f->hparams->heads,
                                        .longest = f->longest,
                                        .scale = 1.0f / sqrtf((float)f->hparams->head_dim)});
    onp_named(g, u, "l%d_attn_before_ln", n);
    u = norm(f, u, l->heads_w, l->heads_b);
    x = onp_named(g, add_linear(f, x, l->gamma_1, u, l->out_w, l->out_b), "l%d_mid", n);

    u = onp_named(g, norm(f, x, l->norm_2_w, l->norm_2_b), "l%d_ln2", n);
    h = onp_matmul(g, &(struct onp_matmul_args){.a = u, .w = ffn->wi_0, .gate = ffn->wi_1});
    onp_named(g, h, "l%d_geglu", n);
    h = norm(f, h, ffn->norm_w, ffn->norm_b);
    x = add_linear(f, x, l->gamma_2, h, ffn->fc_w, ffn->fc_b);
    return onp_named(g, x, "layer%d", n);
}

static struct onp_tensor *adapter(struct onp_forward *f) {
    switch (f->batch->modality) {
    case ONP_TEXT:
        return onp_text_adapter(f);
    case ONP_IMAGE:
        return onp_image_adapter(f);
    case ONP_AUDIO:
        return onp_audio_adapter(f);
    }
    return NULL;
}

// CLS rows to unit vectors, (count, D).
static struct onp_tensor *head(struct onp_forward *f, const struct onp_branch *branch,
                               struct onp_tensor *x) {
    struct onp_graph *g = f->graph;
    struct onp_tensor *cls =
        onp_graph_input(g, "cls_rows", ONP_I32, 1, f->batch->count, f->offsets);
    x = onp_gather(g, &(struct onp_gather_args){.table = x, .token = cls});
    x = onp_matmul(g,
                   &(struct onp_matmul_args){.a = x, .w = branch->proj_w, .bias = branch->proj_b});
    return onp_l2norm(g, onp_named(g, x, "proj"));
}

struct onp_tensor *onp_one_peace_build(const struct onp_hparams *hparams,
                                       const struct onp_weights *weights, struct onp_graph *graph,
                                       const struct onp_batch *batch) {
    struct onp_forward f = {.hparams = hparams, .weights = weights, .graph = graph, .batch = batch};
    const struct onp_branch *branch = &weights->branch[batch->modality];
    struct onp_tensor *x = onp_named(graph, adapter(&f), "adapter_out");
    if (!x) return NULL;
    const struct bias_inputs bias = make_bias_inputs(&f);
    for (int n = 0; n < hparams->layers; n++) x = layer(&f, n, &bias, x);
    x = onp_named(graph, norm(&f, x, branch->norm_w, branch->norm_b), "final");
    struct onp_tensor *emb = onp_named(graph, head(&f, branch, x), "emb");
    if (emb) emb->keep = true;
    return emb;
}

// --- The family's table ------------------------------------------------------------------------

static void close_hparams(struct onp_hparams *hparams) { free(hparams); }

static void describe(const struct onp_hparams *hp, struct onp_model_info *info) {
    info->name = hp->name;
    info->head_type = hp->head_type;
    info->dtype = hp->dtype;
    info->modalities = hp->complete;
    info->partial = hp->present & ~hp->complete;
    info->embed_dim = (uint32_t)hp->embed_dim;
    info->ffn_dim = (uint32_t)hp->ffn_dim;
    info->layers = (uint32_t)hp->layers;
    info->heads = (uint32_t)hp->heads;
    info->head_dim = (uint32_t)hp->head_dim;
    info->vocab = (uint32_t)hp->vocab;
    info->max_text_tokens = (uint32_t)hp->text_positions;
    info->image_size = 16u * (uint32_t)hp->patches_per_side;
    info->patches = (uint32_t)(hp->patches_per_side * hp->patches_per_side);
    info->audio_channels = (uint32_t)hp->wave_channels;
    info->sample_rate = hp->present & ONP_BIT(ONP_AUDIO) ? ONP_SAMPLE_RATE : 0;
    info->max_audio_seconds = hp->present & ONP_BIT(ONP_AUDIO) ? (float)hp->max_audio_seconds : 0;
    for (int m = 0; m < ONP_MODALITY_COUNT; m++) info->table_per_layer |= hp->per_layer[m];
    info->logit_scale = hp->logit_scale;
}

// Decoders and mask heads serve pretraining only; the integer buffers are derivable.
static bool keeps(const char *name, unsigned modalities) {
    static const char *const dropped[] = {
        "decoder_",  "_mask_head",   "_mask_token",         "mask_embedding",
        "rp_bucket", "position_idx", "fusion_model.version"};
    for (size_t i = 0; i < sizeof dropped / sizeof dropped[0]; i++)
        if (strstr(name, dropped[i])) return false;
    static const char *const parts[ONP_MODALITY_COUNT] = {"text_", "image_", "audio_"};
    for (int m = 0; m < ONP_MODALITY_COUNT; m++)
        if (!(modalities & ONP_BIT(m)) && strstr(name, parts[m])) return false;
    return true;
}

static struct onp_weight *weights_list(struct onp_weights *weights, size_t *count) {
    *count = weights->count;
    return weights->list;
}

// Samples of the longest clip: convolutions with small strides reach the limit of positions before
// the limit of time.
static int64_t longest_clip(const struct onp_hparams *hp) {
    int64_t low = 0, high = (int64_t)(hp->max_audio_seconds * ONP_SAMPLE_RATE);
    if (onp_wave_frames(hp, high) < ONP_MAX_POSITIONS) return high;
    while (high - low > 1) { // frames grow with the samples: low fits, high does not
        const int64_t middle = low + (high - low) / 2;
        if (onp_wave_frames(hp, middle) < ONP_MAX_POSITIONS)
            low = middle;
        else
            high = middle;
    }
    return low;
}

static int64_t longest_item(const struct onp_hparams *hp, enum onp_modality modality) {
    switch (modality) {
    case ONP_TEXT:
        return hp->text_positions - 1 < 71 ? hp->text_positions - 1 : 71;
    case ONP_IMAGE:
        return 0;
    case ONP_AUDIO:
        return longest_clip(hp);
    }
    return 0;
}

static int64_t item_rows(const struct onp_hparams *hp, enum onp_modality modality, int64_t length) {
    switch (modality) {
    case ONP_TEXT:
        return length + 1;
    case ONP_IMAGE:
        return (int64_t)hp->patches_per_side * hp->patches_per_side + 1;
    case ONP_AUDIO:
        return onp_wave_frames(hp, length) + 1;
    }
    return 0;
}

static enum onp_status check_item(const struct onp_hparams *hp, enum onp_modality modality,
                                  int64_t length, const struct onp_log *log) {
    if (modality == ONP_TEXT && (length < 1 || length + 1 > hp->text_positions))
        return onp_fail(log, ONP_ERR_ARGUMENT, "%lld token ids: the model takes 1 to %d",
                        (long long)length, hp->text_positions - 1);
    if (modality != ONP_AUDIO) return ONP_OK;
    const int32_t frames = length > INT32_MAX ? INT32_MAX : onp_wave_frames(hp, length);
    if (frames < 1)
        return onp_fail(log, ONP_ERR_ARGUMENT,
                        "a sound of %lld samples is too short for one frame of the model",
                        (long long)length);
    if (frames + 1 > ONP_MAX_POSITIONS)
        return onp_fail(log, ONP_ERR_ARGUMENT,
                        "a sound of %lld samples gives %d frames, the model takes at most %d: cut "
                        "it",
                        (long long)length, frames, ONP_MAX_POSITIONS - 1);
    return ONP_OK;
}

const struct onp_family onp_family_one_peace = {
    .name = "one-peace",
    .probe = onp_one_peace_probe,
    .open = onp_one_peace_open,
    .synthetic = onp_one_peace_synthetic,
    .close = close_hparams,
    .describe = describe,
    .keeps = keeps,
    .weights_create = onp_one_peace_weights_create,
    .weights_destroy = onp_one_peace_weights_destroy,
    .weights_list = weights_list,
    .check_item = check_item,
    .longest_item = longest_item,
    .item_rows = item_rows,
    .build = onp_one_peace_build,
    .image_to_pixels = onp_image_to_pixels,
    .audio_to_waveform = onp_audio_to_waveform,
};
