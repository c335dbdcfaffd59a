// SPDX-License-Identifier: Apache-2.0
// Builds sequences from tables: token embedding, CLS insertion, absolute positions; picks rows.
#include <stdio.h>

#include "base/checked.h"
#include "base/half.h"
#include "ops/op_list.h"
#include "ops/ops.h"
#include "ops/shape.h"

// --- Builder ----------------------------------------------------------------------------------

static bool shapes_fit(const struct onp_gather_args *a) {
    const struct onp_tensor *table = a->table;
    if (!onp_is_matrix(table, ONP_F32, -1, -1) && !onp_is_matrix(table, ONP_F16, -1, -1))
        return false;
    if (!onp_is_matrix(a->token, ONP_I32, 1, -1)) return false;
    if (!onp_is_vector_or_null(a->special, table->cols)) return false;
    if (a->addend && !onp_is_matrix(a->addend, ONP_F32, table->rows, table->cols)) return false;
    if (!a->positions) return !a->position;
    return onp_is_matrix(a->positions, ONP_F32, -1, table->cols) &&
           onp_is_matrix(a->position, ONP_I32, 1, a->token->cols);
}

struct onp_tensor *onp_gather(struct onp_graph *graph, const struct onp_gather_args *args) {
    if (onp_graph_status(graph) != ONP_OK) return NULL;
    if (!shapes_fit(args))
        return onp_graph_error(graph, ONP_ERR_ARGUMENT,
                               "gather from %s: the tensors do not fit each other",
                               args->table ? args->table->name : "nothing");
    struct onp_tensor *dst =
        onp_graph_activation(graph, args->token->cols, args->table->cols, false);
    struct onp_tensor *src[] = {
        [ONP_GATHER_TABLE] = args->table,         [ONP_GATHER_TOKEN] = args->token,
        [ONP_GATHER_SPECIAL] = args->special,     [ONP_GATHER_ADDEND] = args->addend,
        [ONP_GATHER_POSITIONS] = args->positions, [ONP_GATHER_POSITION] = args->position};
    return onp_graph_record(graph, &onp_op_gather, dst, src, ONP_COUNT(src), NULL, 0);
}

// --- Reference --------------------------------------------------------------------------------

static float element(const struct onp_tensor *x, int64_t row, int64_t col) {
    const int64_t i = row * x->ld + col;
    if (x->dtype == ONP_F16) return onp_half_to_float(((const uint16_t *)onp_host_data(x))[i]);
    return ((const float *)onp_host_data(x))[i];
}

static void reference(const struct onp_node *node) {
    const struct onp_tensor *const *src = (const struct onp_tensor *const *)node->src;
    const struct onp_tensor *addend = src[ONP_GATHER_ADDEND], *dst = node->dst;
    const int32_t *token = onp_host_data(src[ONP_GATHER_TOKEN]);
    const int32_t *position =
        src[ONP_GATHER_POSITION] ? onp_host_data(src[ONP_GATHER_POSITION]) : NULL;
    for (int64_t r = 0; r < dst->rows; r++)
        for (int64_t c = 0; c < dst->cols; c++) {
            float v = 0.0f;
            if (token[r] >= 0) {
                v = element(src[ONP_GATHER_TABLE], token[r], c);
                if (addend) v += element(addend, token[r], c);
            } else if (src[ONP_GATHER_SPECIAL]) {
                v = element(src[ONP_GATHER_SPECIAL], 0, c);
            }
            if (position && position[r] >= 0)
                v += element(src[ONP_GATHER_POSITIONS], position[r], c);
            ((float *)onp_host_data(dst))[r * dst->ld + c] = v;
        }
}

// --- Variants ---------------------------------------------------------------------------------

static bool accepts(const struct onp_node *node, const struct onp_device *device, char *why) {
    (void)node, (void)device, (void)why;
    return true;
}

static int64_t leading(const struct onp_tensor *x) { return x ? x->ld : 0; }

// A CPU work-item takes a whole row, a GPU's one vector of it.
static int64_t run_length(const struct onp_node *node, const struct onp_device *device) {
    return device->tuning.work_group_tiles ? device->tuning.vector : node->dst->cols;
}

static enum onp_status emit(const struct onp_node *node, struct onp_emitter *emitter) {
    const struct onp_device *device = emitter->device;
    struct onp_tensor *const *src = node->src;
    const int64_t run = run_length(node, device);
    struct onp_launch launch = {
        .source = "gather",
        .function = "gather",
        .dims = 2,
        .global = {(size_t)onp_div_up(node->dst->cols, run), (size_t)node->dst->rows}};
    snprintf(launch.defines, sizeof launch.defines, "-DVEC=%d%s%s%s%s", device->tuning.vector,
             src[ONP_GATHER_TABLE]->dtype == ONP_F16 ? " -DWEIGHT_HALF" : "",
             src[ONP_GATHER_SPECIAL] ? " -DSPECIAL" : "", src[ONP_GATHER_ADDEND] ? " -DADDEND" : "",
             src[ONP_GATHER_POSITIONS] ? " -DPOSITIONS" : "");
    for (int i = 0; i <= ONP_GATHER_POSITION; i++) onp_push_tensor(&launch, src[i]);
    onp_push_tensor(&launch, node->dst);
    onp_push_i32(&launch, node->dst->cols);
    onp_push_i32(&launch, run);
    onp_push_i32(&launch, leading(src[ONP_GATHER_TABLE]));
    onp_push_i32(&launch, leading(src[ONP_GATHER_ADDEND]));
    onp_push_i32(&launch, leading(src[ONP_GATHER_POSITIONS]));
    onp_push_i32(&launch, node->dst->ld);
    return onp_emit_launch(emitter, &launch);
}

static const struct onp_variant gather = {.name = "gather", .accepts = accepts, .emit = emit};
static const struct onp_variant *const variants[] = {&gather, NULL};

// --- Cases ------------------------------------------------------------------------------------

enum { P_COUNT, P_TABLE, P_COLS, P_HALF, P_SPECIAL, P_ADDEND, P_POSITIONS };

static const struct onp_op_case cases[] = {
    {"text", false, {72, 500, 1536, 0, 1, 0, 514}},
    {"text, half", false, {72, 500, 1536, 1, 1, 0, 514}},
    {"patches", false, {257, 256, 1536, 0, 1, 1, 257}},
    {"pick rows", false, {5, 700, 1536, 0, 0, 0, 0}},
    {"one of one", false, {1, 1, 1, 0, 0, 0, 0}},
    {"odd", false, {7, 3, 17, 0, 1, 1, 2}},
    {"odd, half", false, {65, 9, 15, 1, 1, 1, 4}},
    {"three columns, half", false, {6, 2, 3, 1, 0, 0, 3}},
    {"page-long rows", false, {6, 7, 1024, 0, 1, 0, 6}},
};

static struct onp_tensor *build_case(struct onp_case_builder *b, const struct onp_op_case *c) {
    const int32_t *p = c->p;
    const int64_t cols = p[P_COLS];
    struct onp_gather_args args = {0};
    // Half tables lie in rows: layout_choice 1 of the product's weights.
    const int layout_choice = b->layout_choice;
    b->layout_choice = 1;
    args.table = p[P_HALF] ? onp_case_weight(b, ONP_F16, p[P_TABLE], cols, 1.0f)
                           : onp_case_vector(b, p[P_TABLE], cols, 0.0f, 1.0f);
    b->layout_choice = layout_choice;
    args.token = onp_case_indices(b, p[P_COUNT], p[P_SPECIAL] ? -1 : 0, p[P_TABLE] - 1);
    if (p[P_SPECIAL]) args.special = onp_case_vector(b, 1, cols, 0.0f, 1.0f);
    if (p[P_ADDEND]) args.addend = onp_case_vector(b, p[P_TABLE], cols, 0.0f, 1.0f);
    if (p[P_POSITIONS]) {
        args.positions = onp_case_vector(b, p[P_POSITIONS], cols, 0.0f, 1.0f);
        args.position = onp_case_indices(b, p[P_COUNT], -1, p[P_POSITIONS] - 1);
    }
    return onp_gather(b->graph, &args);
}

static void cost(const struct onp_node *node, double *flops, double *bytes) {
    const double elements = (double)node->dst->rows * (double)node->dst->cols;
    const int sums =
        (node->src[ONP_GATHER_ADDEND] != NULL) + (node->src[ONP_GATHER_POSITIONS] != NULL);
    *flops = elements * sums;
    *bytes = elements * (double)(onp_dtype_size(node->src[ONP_GATHER_TABLE]->dtype) +
                                 sizeof(float) * (size_t)(1 + sums));
}

static void describe(const struct onp_node *node, char *text, size_t size) {
    snprintf(text, size, "R=%lld D=%lld", (long long)node->dst->rows, (long long)node->dst->cols);
}

const struct onp_op onp_op_gather = {.name = "gather",
                                     .reference = reference,
                                     .variants = variants,
                                     .cases = cases,
                                     .case_count = ONP_COUNT(cases),
                                     .build_case = build_case,
                                     .tolerance = 0.0, // copies and sums in the same order
                                     .cost = cost,
                                     .describe = describe};
