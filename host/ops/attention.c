// SPDX-License-Identifier: Apache-2.0
// Multi-head self-attention inside each item of a ragged batch, with relative-position bias.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/checked.h"
#include "ops/op_list.h"
#include "ops/ops.h"
#include "ops/shape.h"

// --- Builder ----------------------------------------------------------------------------------

struct onp_tensor *onp_attention(struct onp_graph *graph, const struct onp_attention_args *args) {
    if (onp_graph_status(graph) != ONP_OK) return NULL;
    if (!onp_is_matrix(args->qkv, ONP_F32, -1, -1) || args->heads < 1 ||
        args->qkv->cols % (3 * (int64_t)args->heads) != 0)
        return onp_graph_error(graph, ONP_ERR_ARGUMENT,
                               "attention: qkv must be float32 (R, 3D), D a multiple of the heads");
    const struct onp_attention_params params = {args->items, args->heads, args->longest,
                                                args->scale};
    struct onp_tensor *src[] = {args->qkv, args->offsets, args->table, args->query_pos,
                                args->key_pos};
    struct onp_tensor *dst =
        onp_graph_activation(graph, args->qkv->rows, args->qkv->cols / 3, false);
    return onp_graph_record(graph, &onp_op_attention, dst, src, 5, &params, sizeof params);
}

// --- Reference --------------------------------------------------------------------------------

static double bias_of(const struct onp_node *node, int32_t h, int32_t i, int32_t j) {
    const int64_t n = node->src[ONP_ATTENTION_TABLE]->cols;
    const float *table = (const float *)onp_host_data(node->src[ONP_ATTENTION_TABLE]) +
                         h * node->src[ONP_ATTENTION_TABLE]->ld;
    const int32_t *query = onp_host_data(node->src[ONP_ATTENTION_QUERY_POS]);
    const int32_t *key = onp_host_data(node->src[ONP_ATTENTION_KEY_POS]);
    if (i == 0) return (double)table[j == 0 ? n - 3 : n - 2];
    return (double)table[j == 0 ? n - 1 : query[i] + key[j]];
}

// One query row of one head: x is the item's first row of qkv, scores has room for all keys.
static void attend(const struct onp_node *node, const float *x, int32_t count, int32_t h, int32_t i,
                   double *scores, float *out) {
    const struct onp_attention_params *params = (const void *)node->params;
    const int64_t ld = node->src[ONP_ATTENTION_QKV]->ld, dim = node->dst->cols;
    const int64_t d = dim / params->heads;
    const float *q = x + i * ld + h * d;
    double largest = -INFINITY, sum = 0.0;
    for (int32_t j = 0; j < count; j++) {
        const float *k = x + j * ld + dim + h * d;
        double dot = 0.0;
        for (int64_t c = 0; c < d; c++) dot += (double)q[c] * (double)k[c];
        scores[j] = dot * (double)params->scale + bias_of(node, h, i, j);
        largest = fmax(largest, scores[j]);
    }
    for (int32_t j = 0; j < count; j++) sum += scores[j] = exp(scores[j] - largest);
    for (int64_t c = 0; c < d; c++) {
        double value = 0.0;
        for (int32_t j = 0; j < count; j++)
            value += scores[j] * (double)x[j * ld + 2 * dim + h * d + c];
        out[h * d + c] = (float)(value / sum);
    }
}

static void reference(const struct onp_node *node) {
    const struct onp_attention_params *params = (const void *)node->params;
    const struct onp_tensor *qkv = node->src[ONP_ATTENTION_QKV], *dst = node->dst;
    const int32_t *offsets = onp_host_data(node->src[ONP_ATTENTION_OFFSETS]);
    double *scores = malloc((size_t)params->longest * sizeof *scores);
    for (int32_t b = 0; b < params->items && scores; b++) {
        const int32_t count = offsets[b + 1] - offsets[b];
        const float *x = (const float *)onp_host_data(qkv) + offsets[b] * qkv->ld;
        for (int32_t i = 0; i < count; i++)
            for (int32_t h = 0; h < params->heads; h++)
                attend(node, x, count, h, i, scores,
                       (float *)onp_host_data(dst) + (offsets[b] + i) * dst->ld);
    }
    free(scores);
}

static const struct onp_variant *const variants[] = {NULL};

static void cost(const struct onp_node *node, double *flops, double *bytes) {
    *flops = *bytes = (double)node->dst->rows;
}

static void describe(const struct onp_node *node, char *text, size_t size) {
    const struct onp_attention_params *params = (const void *)node->params;
    snprintf(text, size, "B=%d T=%d H=%d D=%lld", params->items, params->longest, params->heads,
             (long long)node->dst->cols);
}

const struct onp_op onp_op_attention = {.name = "attention",
                                        .reference = reference,
                                        .variants = variants,
                                        .cost = cost,
                                        .describe = describe};
