// SPDX-License-Identifier: Apache-2.0
// The ops a model is written with. Each call checks shapes, records one node and returns its
// result; after an error in the graph it returns NULL and does nothing.
// B items, T positions of an item, R rows of all items together, H heads, d head size, D = H * d.
#ifndef ONP_OPS_OPS_H
#define ONP_OPS_OPS_H

#include "graph/graph.h"

struct onp_device;

// dst[m][n] = sum_k a[m][k] * w[n][k], then the epilogue. a (M, K), w (N, K), dst (M, N).
//   none          dst = acc + bias[n]                          bias may be NULL
//   gelu          dst = gelu(acc + bias[n])
//   gate          dst = gelu(acc) * (sum_k a[m][k] * gate[n][k])          GeGLU, no bias
//   residual      dst = residual[m][n] + gamma[n] * (acc + bias[n])
// gelu(x) = x/2 * (1 + erf(x / sqrt 2)), exact form.
struct onp_matmul_args {
    struct onp_tensor *a, *w;
    struct onp_tensor *bias;             // (1, N) or NULL
    struct onp_tensor *gate;             // (N, K) or NULL; same dtype and layout as w
    struct onp_tensor *gamma, *residual; // (1, N), (M, N); both or neither
    bool gelu;
};
enum {
    ONP_MATMUL_A,
    ONP_MATMUL_W,
    ONP_MATMUL_BIAS,
    ONP_MATMUL_GATE,
    ONP_MATMUL_GAMMA,
    ONP_MATMUL_RESIDUAL
};
struct onp_matmul_params {
    bool gelu;
};
struct onp_tensor *onp_matmul(struct onp_graph *graph, const struct onp_matmul_args *args);
// How the weights (N, K) of a product should lie on this device: layout and panel width. Shared by
// the loader and the case builder. dtype is F32 or F16.
void onp_matmul_weight_layout(const struct onp_device *device, enum onp_dtype dtype, int64_t n,
                              int64_t k, enum onp_layout *layout, int32_t *panel);

// A convolution without padding, channels last, as an implicit product, then LayerNorm over the
// channels, then GELU: dst[m] = gelu(layernorm(sum_k a[m][k] * w[n][k] + bias[n])).
// a (M, K): the windows, a view whose rows overlap where they are longer than the stride; w (N, K);
// bias (1, N) or NULL; norm_w, norm_b (1, N). dst (M, N), contiguous.
struct onp_conv_norm_args {
    struct onp_tensor *a, *w, *bias, *norm_w, *norm_b;
    float eps;
    struct onp_tensor *dst; // writes here (a view of a larger tensor) if not NULL
};
enum {
    ONP_CONV_NORM_A,
    ONP_CONV_NORM_W,
    ONP_CONV_NORM_BIAS,
    ONP_CONV_NORM_WEIGHT,
    ONP_CONV_NORM_SHIFT
};
struct onp_conv_norm_params {
    float eps;
};
struct onp_tensor *onp_conv_norm(struct onp_graph *graph, const struct onp_conv_norm_args *args);

// dst = (x - mean) / sqrt(var + eps) * weight + bias over each row, biased variance; gelu on top if
// asked. weight and bias (1, C), both or neither.
struct onp_layernorm_args {
    struct onp_tensor *x, *weight, *bias;
    float eps;
    bool gelu;
    bool contiguous;        // the result is viewed with another row length afterwards
    struct onp_tensor *dst; // writes here (a view of a larger tensor) if not NULL
};
enum { ONP_LAYERNORM_X, ONP_LAYERNORM_WEIGHT, ONP_LAYERNORM_BIAS };
struct onp_layernorm_params {
    float eps;
    bool gelu;
};
struct onp_tensor *onp_layernorm(struct onp_graph *graph, const struct onp_layernorm_args *args);

// Multi-head self-attention inside each item. qkv (R, 3D): q, k, v side by side, head h in channels
// h*d .. h*d+d-1 of each. Item b owns rows offsets[b] .. offsets[b+1]-1.
//   score[i][j] = scale * q_i . k_j + bias(h, i, j);  softmax over j;  dst_i = sum_j p_ij v_j
// Relative-position bias of positions i, j counted inside the item, n = cols of table:
//   i == 0, j == 0: table[h][n-3]    i == 0, j > 0: table[h][n-2]    i > 0, j == 0: table[h][n-1]
//   else            table[h][query_pos[i] + key_pos[j]]
// (a bucket table laid out by distance, so that consecutive keys read consecutive entries; the
// T x T bias is never materialised).
struct onp_attention_args {
    struct onp_tensor *qkv;
    struct onp_tensor *offsets;             // int32 (1, B + 1), ascending from 0 to R
    struct onp_tensor *table;               // float32 (H, n)
    struct onp_tensor *query_pos, *key_pos; // int32 (1, >= longest item)
    int32_t items, heads, longest;          // longest: positions of the longest item
    float scale;                            // d^-0.5
};
enum {
    ONP_ATTENTION_QKV,
    ONP_ATTENTION_OFFSETS,
    ONP_ATTENTION_TABLE,
    ONP_ATTENTION_QUERY_POS,
    ONP_ATTENTION_KEY_POS
};
struct onp_attention_params {
    int32_t items, heads, longest;
    float scale;
};
struct onp_tensor *onp_attention(struct onp_graph *graph, const struct onp_attention_args *args);

// dst[r] = (token[r] < 0 ? special : table[token[r]] + addend[token[r]])
//          + (position[r] < 0 ? 0 : positions[position[r]])
// Builds sequences: token embedding, CLS insertion, absolute positions; also picks rows.
struct onp_gather_args {
    struct onp_tensor *table;     // (N, D) float32 or float16, ROWS
    struct onp_tensor *token;     // int32 (1, R), each < N
    struct onp_tensor *special;   // (1, D) or NULL when no token is negative
    struct onp_tensor *addend;    // (N, D) float32 or NULL
    struct onp_tensor *positions; // (P, D) float32 or NULL
    struct onp_tensor *position;  // int32 (1, R), each < P; NULL with positions
};
enum {
    ONP_GATHER_TABLE,
    ONP_GATHER_TOKEN,
    ONP_GATHER_SPECIAL,
    ONP_GATHER_ADDEND,
    ONP_GATHER_POSITIONS,
    ONP_GATHER_POSITION
};
struct onp_tensor *onp_gather(struct onp_graph *graph, const struct onp_gather_args *args);

// Pixels to the rows of a 4x4 stride-4 convolution. pixels (B, 3*S*S) planar; dst
// (B*(S/4)^2, 48), columns ordered channel, y, x. Rows are ordered so that two later 2x2 stride-2
// convolutions read contiguous runs: image, then 16x16 patch row-major, then its four 8x8 blocks
// row-major, then the four 4x4 blocks of each row-major. S is a multiple of 16.
enum { ONP_PATCHIFY_PIXELS };
struct onp_patchify_params {
    int32_t side;
};
struct onp_tensor *onp_patchify(struct onp_graph *graph, struct onp_tensor *pixels, int32_t side);

// Grouped convolution over time, stride 1, zero padding `pad` on both sides, T in and T out
// (an even kernel's surplus last frame is dropped). x (T, D); group g maps channels g*D/G.. to
// g*D/G.. . w (G*kernel*D/G, D/G): row (g*kernel + tap)*D/G + c_in, column c_out. bias (1, D).
struct onp_grouped_conv_args {
    struct onp_tensor *x, *w, *bias;
    int32_t groups, kernel, pad;
};
enum { ONP_GROUPED_CONV_X, ONP_GROUPED_CONV_W, ONP_GROUPED_CONV_BIAS };
struct onp_grouped_conv_params {
    int32_t groups, kernel, pad;
};
// Writes into dst if it is not NULL (a view of a larger tensor), else into a new tensor.
struct onp_tensor *onp_grouped_conv(struct onp_graph *graph,
                                    const struct onp_grouped_conv_args *args,
                                    struct onp_tensor *dst);

// dst = x / max(||x||_2, 1e-12) for each row.
enum { ONP_L2NORM_X };
struct onp_tensor *onp_l2norm(struct onp_graph *graph, struct onp_tensor *x);

#endif
