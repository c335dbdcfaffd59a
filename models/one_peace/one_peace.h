// SPDX-License-Identifier: Apache-2.0
// The ONE-PEACE encoder: dimensions, weights by name, and the parts of its forward pass.
//
// D embed_dim, F ffn_dim, H heads, d head_dim, L layers, C wave channels, w patches per side,
// T positions of an item (CLS included), R rows of all items of a batch laid one after another.
#ifndef ONP_MODELS_ONE_PEACE_ONE_PEACE_H
#define ONP_MODELS_ONE_PEACE_ONE_PEACE_H

#include "models/family.h"

#define ONP_MAX_CONVS     16
#define ONP_MAX_POSITIONS 1024  // longest sequence that upstream's bucket rule covers
#define ONP_NORM_EPS      1e-5f // every LayerNorm of the model

struct onp_wave_conv {
    int32_t channels, kernel, stride;
};

struct onp_hparams {
    int32_t embed_dim, ffn_dim, layers, heads, head_dim;
    unsigned present;                   // branches with tensors in the file
    unsigned complete;                  // branches that can embed
    bool vision_names;                  // names as in the stand-alone vision export
    bool per_layer[ONP_MODALITY_COUNT]; // one relative-position table per layer
    int32_t bucket[ONP_MODALITY_COUNT]; // b of the sequence bucket rule (text, audio)
    int32_t vocab, text_positions;      // rows of the token and position tables
    int32_t patches_per_side, pos_grid; // w; side of the stored grid of absolute positions
    struct onp_wave_conv convs[ONP_MAX_CONVS];
    int32_t conv_count, wave_channels;         // C of the last convolution
    int32_t pos_convs, pos_groups, pos_kernel; // positional convolutions
    double logit_scale, max_audio_seconds;
    enum onp_dtype dtype;
    char name[64], head_type[16];
};

// Linear layers hold (N, K); vectors (1, N).
struct onp_ffn {
    struct onp_tensor *wi_0, *wi_1;     // (F, D) gate and value
    struct onp_tensor *norm_w, *norm_b; // (1, F)
    struct onp_tensor *fc_w, *fc_b;     // (D, F), (1, D)
};

struct onp_layer {
    struct onp_tensor *norm_1_w, *norm_1_b; // self_attn_layer_norm
    struct onp_tensor *qkv_w, *qkv_b;       // (3D, D), (1, 3D): q, k, v rows; k's bias is zero
    struct onp_tensor *heads_w, *heads_b;   // self_attn.ln
    struct onp_tensor *out_w, *out_b;       // (D, D), (1, D)
    struct onp_tensor *gamma_1, *gamma_2;   // (1, D)
    struct onp_tensor *norm_2_w, *norm_2_b; // final_layer_norm
    struct onp_ffn ffn[ONP_MODALITY_COUNT];
};

struct onp_branch {
    struct onp_tensor *cls;             // (1, D)
    struct onp_tensor *positions;       // text (P, D); image (1 + w*w, D); audio (1, D), CLS only
    struct onp_tensor **bias;           // one (H, n) per layer, or the same for all
    struct onp_tensor *norm_w, *norm_b; // final LayerNorm
    struct onp_tensor *proj_w, *proj_b; // (D, D), (1, D)
};

struct onp_weights {
    const struct onp_hparams *hparams;
    struct onp_branch branch[ONP_MODALITY_COUNT];
    struct onp_layer *layers;
    struct onp_tensor *tokens; // (V, D)
    struct {
        struct onp_tensor *w[3], *b[3], *norm_w[2], *norm_b[2];
    } patch;
    struct {
        struct onp_tensor *w[ONP_MAX_CONVS], *b[ONP_MAX_CONVS];
        struct onp_tensor *norm_w[ONP_MAX_CONVS], *norm_b[ONP_MAX_CONVS];
        struct onp_tensor *out_norm_w, *out_norm_b; // (1, C)
        struct onp_tensor *proj_w, *proj_b;         // (D, C), (1, D)
        struct onp_tensor *pos_w[ONP_MAX_CONVS], *pos_b[ONP_MAX_CONVS];
    } wave;
    // Everything above, in loading order.
    struct onp_weight *list;
    size_t count, capacity;
};

// One batch while its graph is being recorded.
struct onp_forward {
    const struct onp_hparams *hparams;
    const struct onp_weights *weights;
    struct onp_graph *graph;
    const struct onp_batch *batch;
    int32_t *offsets; // [count + 1] rows of the items
    int32_t longest;  // positions of the longest item
};

// hparams.c
bool onp_one_peace_probe(const struct onp_model_file *file);
enum onp_status onp_one_peace_open(const struct onp_model_file *file, const struct onp_log *log,
                                   struct onp_hparams **out);
// synthetic.c
enum onp_status onp_one_peace_synthetic(const char *spec, const struct onp_log *log,
                                        struct onp_model_file **out);
// wave_spec.c: "[(512, 10, 5)] + [(512, 3, 2)] * 4" read as data; false with a reason on bad text.
bool onp_parse_wave_spec(const char *text, struct onp_wave_conv *convs, int32_t *count,
                         const char **why);
// weights.c
enum onp_status onp_one_peace_weights_create(const struct onp_hparams *hparams,
                                             const struct onp_model_file *file, unsigned modalities,
                                             const struct onp_log *log, struct onp_weights **out);
void onp_one_peace_weights_destroy(struct onp_weights *weights);
// fill.c: the ways to make a device weight from file tensors (onp_weight.fill).
enum onp_status onp_fill_rows(const struct onp_weight *w, int64_t first, int64_t count, float *out);
enum onp_status onp_fill_stacked(const struct onp_weight *w, int64_t first, int64_t count,
                                 float *out);
enum onp_status onp_fill_qkv_bias(const struct onp_weight *w, int64_t first, int64_t count,
                                  float *out);
enum onp_status onp_fill_conv(const struct onp_weight *w, int64_t first, int64_t count, float *out);
enum onp_status onp_fill_grouped(const struct onp_weight *w, int64_t first, int64_t count,
                                 float *out);
enum onp_status onp_fill_pos_embed(const struct onp_weight *w, int64_t first, int64_t count,
                                   float *out);
// bias.c
enum onp_status onp_fill_sequence_bias(const struct onp_weight *w, int64_t first, int64_t count,
                                       float *out);
enum onp_status onp_fill_image_bias(const struct onp_weight *w, int64_t first, int64_t count,
                                    float *out);
int64_t onp_sequence_bias_cols(void);
int64_t onp_image_bias_cols(int32_t patches_per_side);
// Positions of queries and keys in the laid-out table, `count` of each.
void onp_sequence_bias_positions(int32_t count, int32_t *query_pos, int32_t *key_pos);
void onp_image_bias_positions(int32_t patches_per_side, int32_t *query_pos, int32_t *key_pos);
// adapters
int32_t onp_wave_frames(const struct onp_hparams *hparams, int64_t samples);
struct onp_tensor *onp_text_adapter(struct onp_forward *f);
struct onp_tensor *onp_image_adapter(struct onp_forward *f);
struct onp_tensor *onp_audio_adapter(struct onp_forward *f);
// encoder.c
struct onp_tensor *onp_one_peace_build(const struct onp_hparams *hparams,
                                       const struct onp_weights *weights, struct onp_graph *graph,
                                       const struct onp_batch *batch);

#endif
