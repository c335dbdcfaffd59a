// SPDX-License-Identifier: Apache-2.0
// From ids, pixels and waveforms to the encoder's rows (SPEC sections 6 to 8). The items' rows lie
// one after another without padding; each item starts with its CLS row.
#include <string.h>

#include "models/one_peace/one_peace.h"
#include "ops/ops.h"

// Row maps of one batch: which token (or -1 for CLS) and which absolute position a row takes.
struct row_map {
    int32_t *token, *position;
    int32_t rows;
};

// items: rows of each item; tokens of item b start at first[b].
static bool make_row_map(struct onp_forward *f, const int32_t *item_rows, const int32_t *first,
                         struct row_map *map) {
    const int32_t count = f->batch->count;
    f->offsets = onp_graph_alloc(f->graph, (size_t)(count + 1) * sizeof(int32_t));
    if (!f->offsets) return false;
    int64_t rows = 0;
    f->longest = 0;
    for (int32_t b = 0; b < count; b++) {
        f->offsets[b] = (int32_t)rows;
        rows += item_rows[b];
        if (item_rows[b] > f->longest) f->longest = item_rows[b];
        if (rows > 1 << 28) {
            onp_graph_error(f->graph, ONP_ERR_ARGUMENT, "the batch is too large: split it");
            return false;
        }
    }
    f->offsets[count] = map->rows = (int32_t)rows;
    map->token = onp_graph_alloc(f->graph, (size_t)rows * sizeof(int32_t));
    map->position = onp_graph_alloc(f->graph, (size_t)rows * sizeof(int32_t));
    if (!map->token || !map->position) return false;
    for (int32_t b = 0; b < count; b++)
        for (int32_t t = 0; t < item_rows[b]; t++) {
            map->token[f->offsets[b] + t] = t == 0 ? -1 : first[b] + t - 1;
            map->position[f->offsets[b] + t] = t;
        }
    return true;
}

static struct onp_tensor *index_input(struct onp_forward *f, const char *name,
                                      const int32_t *values, int32_t count) {
    return onp_graph_input(f->graph, name, ONP_I32, 1, count, values);
}

static int32_t *ints(struct onp_forward *f, int32_t count) {
    return onp_graph_alloc(f->graph, (size_t)count * sizeof(int32_t));
}

// x[0] = cls + P[0]; x[1 + k] = embed_tokens[id_k] + P[1 + k].
struct onp_tensor *onp_text_adapter(struct onp_forward *f) {
    const int32_t count = f->batch->count;
    int32_t *item_rows = ints(f, count), *first = ints(f, count);
    struct row_map map;
    if (!item_rows || !first) return NULL;
    for (int32_t b = 0; b < count; b++) {
        item_rows[b] = f->batch->lengths[b] + 1;
        first[b] = 0;
    }
    if (!make_row_map(f, item_rows, first, &map)) return NULL;
    for (int32_t b = 0; b < count; b++)
        memcpy(map.token + f->offsets[b] + 1, f->batch->items[b],
               (size_t)f->batch->lengths[b] * sizeof(int32_t));
    const struct onp_branch *branch = &f->weights->branch[ONP_TEXT];
    return onp_gather(f->graph, &(struct onp_gather_args){
                                    .table = f->weights->tokens,
                                    .token = index_input(f, "tokens", map.token, map.rows),
                                    .special = branch->cls,
                                    .positions = branch->positions,
                                    .position = index_input(f, "position", map.position, map.rows),
                                });
}

// A convolution whose windows are the rows of x, LayerNorm and GELU.
static struct onp_tensor *conv_norm(struct onp_forward *f, struct onp_tensor *x,
                                    struct onp_tensor *w, struct onp_tensor *bias,
                                    struct onp_tensor *norm_w, struct onp_tensor *norm_b,
                                    struct onp_tensor *dst) {
    return onp_conv_norm(f->graph, &(struct onp_conv_norm_args){.a = x,
                                                                .w = w,
                                                                .bias = bias,
                                                                .norm_w = norm_w,
                                                                .norm_b = norm_b,
                                                                .eps = ONP_NORM_EPS,
                                                                .dst = dst});
}

static struct onp_tensor *linear(struct onp_forward *f, struct onp_tensor *a, struct onp_tensor *w,
                                 struct onp_tensor *bias) {
    return onp_matmul(f->graph, &(struct onp_matmul_args){.a = a, .w = w, .bias = bias});
}

// Three non-overlapping convolutions. Rows are in an order that makes the inputs of a 2x2 patch
// neighbours, so the second and third are plain products over four rows seen as one.
static struct onp_tensor *patch_embed(struct onp_forward *f, struct onp_tensor *pixels) {
    struct onp_graph *g = f->graph;
    const int32_t quarter = f->hparams->embed_dim / 4;
    struct onp_tensor *x = onp_patchify(g, pixels, 16 * f->hparams->patches_per_side);
    for (int i = 0; i < 2; i++) {
        x = conv_norm(f, x, f->weights->patch.w[i], f->weights->patch.b[i],
                      f->weights->patch.norm_w[i], f->weights->patch.norm_b[i], NULL);
        if (x) x = onp_graph_view(g, x, 0, x->rows / 4, 4 * quarter, 4 * quarter);
    }
    return onp_named(g, linear(f, x, f->weights->patch.w[2], f->weights->patch.b[2]),
                     "patch_embed");
}

struct onp_tensor *onp_image_adapter(struct onp_forward *f) {
    const int32_t count = f->batch->count, side = f->hparams->patches_per_side;
    const int32_t patches = side * side;
    const size_t floats = (size_t)(3 * 256) * (size_t)patches;
    int32_t *item_rows = ints(f, count), *first = ints(f, count);
    float *pixels = onp_graph_alloc(f->graph, (size_t)count * floats * sizeof *pixels);
    struct row_map map;
    if (!item_rows || !first || !pixels) return NULL;
    for (int32_t b = 0; b < count; b++) {
        item_rows[b] = patches + 1;
        first[b] = b * patches;
        memcpy(pixels + (size_t)b * floats, f->batch->items[b], floats * sizeof *pixels);
    }
    if (!make_row_map(f, item_rows, first, &map)) return NULL;
    struct onp_tensor *input =
        onp_graph_input(f->graph, "pixels", ONP_F32, count, (int64_t)floats, pixels);
    const struct onp_branch *branch = &f->weights->branch[ONP_IMAGE];
    return onp_gather(f->graph, &(struct onp_gather_args){
                                    .table = patch_embed(f, input),
                                    .token = index_input(f, "patches", map.token, map.rows),
                                    .special = branch->cls,
                                    .positions = branch->positions,
                                    .position = index_input(f, "position", map.position, map.rows),
                                });
}

int32_t onp_wave_frames(const struct onp_hparams *hp, int64_t samples) {
    int64_t t = samples;
    for (int32_t i = 0; i < hp->conv_count; i++) {
        if (t < hp->convs[i].kernel) return 0;
        t = (t - hp->convs[i].kernel) / hp->convs[i].stride + 1;
    }
    return (int32_t)t;
}

// The strided convolutions of one clip. Channels-last, the window of an output frame is `kernel`
// neighbouring input frames: the windows are a view with overlapping rows.
static void wave_convs(struct onp_forward *f, struct onp_tensor *wave, struct onp_tensor *dst) {
    const struct onp_hparams *hp = f->hparams;
    struct onp_tensor *x = wave;
    int64_t frames = wave ? wave->cols : 0;
    int32_t in = 1;
    for (int32_t i = 0; i < hp->conv_count; i++) {
        const struct onp_wave_conv *c = &hp->convs[i];
        frames = (frames - c->kernel) / c->stride + 1;
        x = onp_graph_view(f->graph, x, 0, frames, (int64_t)c->kernel * in,
                           (int64_t)c->stride * in);
        x = conv_norm(f, x, f->weights->wave.w[i], f->weights->wave.b[i],
                      f->weights->wave.norm_w[i], f->weights->wave.norm_b[i],
                      i + 1 == hp->conv_count ? dst : NULL);
        in = c->channels;
    }
}

// One clip as an input; with upstream's padding, zeros up to `samples`.
static struct onp_tensor *wave_input(struct onp_forward *f, int32_t b, int64_t samples) {
    const int64_t own = f->batch->lengths[b];
    const void *data = f->batch->items[b];
    if (own < samples) {
        float *padded = onp_graph_alloc(f->graph, (size_t)samples * sizeof *padded);
        if (!padded) return NULL;
        memcpy(padded, data, (size_t)own * sizeof *padded);
        memset(padded + own, 0, (size_t)(samples - own) * sizeof *padded);
        data = padded;
    }
    return onp_graph_input(f->graph, "wave", ONP_F32, 1, samples, data);
}

// Five grouped convolutions over each clip's frames, with a LayerNorm without weights and a GELU
// over all rows after each.
static struct onp_tensor *positional(struct onp_forward *f, struct onp_tensor *h,
                                     const int32_t *first, const int32_t *frames) {
    const struct onp_hparams *hp = f->hparams;
    for (int32_t i = 0; i < hp->pos_convs && h; i++) {
        struct onp_tensor *y = onp_graph_activation(f->graph, h->rows, h->cols, false);
        for (int32_t b = 0; b < f->batch->count; b++) {
            const struct onp_grouped_conv_args args = {
                .x = onp_graph_view(f->graph, h, first[b] * h->ld, frames[b], h->cols, h->ld),
                .w = f->weights->wave.pos_w[i],
                .bias = f->weights->wave.pos_b[i],
                .groups = hp->pos_groups,
                .kernel = hp->pos_kernel,
                .pad = hp->pos_kernel / 2,
            };
            onp_grouped_conv(
                f->graph, &args,
                y ? onp_graph_view(f->graph, y, first[b] * y->ld, frames[b], y->cols, y->ld)
                  : NULL);
        }
        h = onp_layernorm(f->graph,
                          &(struct onp_layernorm_args){.x = y, .eps = ONP_NORM_EPS, .gelu = true});
    }
    return onp_named(f->graph, h, "pos_embed");
}

// Features of all clips, (sum of frames, D).
static struct onp_tensor *wave_features(struct onp_forward *f, const int32_t *first,
                                        const int32_t *frames, int64_t padded) {
    struct onp_graph *g = f->graph;
    const int32_t last = f->batch->count - 1;
    struct onp_tensor *all =
        onp_graph_activation(g, first[last] + frames[last], f->hparams->wave_channels, true);
    for (int32_t b = 0; b <= last && all; b++)
        wave_convs(f, wave_input(f, b, padded > 0 ? padded : f->batch->lengths[b]),
                   onp_graph_view(g, all, first[b] * all->ld, frames[b], all->cols, all->ld));
    onp_named(g, all, "conv_out");
    struct onp_tensor *x =
        onp_layernorm(g, &(struct onp_layernorm_args){.x = all,
                                                      .weight = f->weights->wave.out_norm_w,
                                                      .bias = f->weights->wave.out_norm_b,
                                                      .eps = ONP_NORM_EPS});
    return onp_named(g, linear(f, x, f->weights->wave.proj_w, f->weights->wave.proj_b), "feat");
}

struct onp_tensor *onp_audio_adapter(struct onp_forward *f) {
    const int32_t count = f->batch->count;
    int32_t *item_rows = ints(f, count), *first = ints(f, count), *frames = ints(f, count);
    struct row_map map;
    if (!item_rows || !first || !frames) return NULL;
    int64_t padded = 0; // 0: every clip has its own length
    for (int32_t b = 0; b < count && f->batch->upstream_padding; b++)
        if (f->batch->lengths[b] > padded) padded = f->batch->lengths[b];
    for (int32_t b = 0; b < count; b++) {
        const int32_t own = onp_wave_frames(f->hparams, f->batch->lengths[b]);
        frames[b] = padded > 0 ? onp_wave_frames(f->hparams, padded) : own;
        first[b] = b == 0 ? 0 : first[b - 1] + frames[b - 1];
        item_rows[b] = own + 1; // padding's frames are computed, then left behind here
    }
    if (!make_row_map(f, item_rows, first, &map)) return NULL;
    for (int32_t r = 0; r < map.rows; r++) map.position[r] = map.token[r] < 0 ? 0 : -1;
    struct onp_tensor *feat = wave_features(f, first, frames, padded);
    struct onp_tensor *h = positional(f, feat, first, frames);
    const struct onp_branch *branch = &f->weights->branch[ONP_AUDIO];
    return onp_gather(f->graph, &(struct onp_gather_args){
                                    .table = feat,
                                    .token = index_input(f, "frames", map.token, map.rows),
                                    .special = branch->cls,
                                    .addend = f->hparams->pos_convs ? h : NULL,
                                    .positions = branch->positions,
                                    .position = index_input(f, "position", map.position, map.rows),
                                });
}
