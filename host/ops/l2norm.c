// SPDX-License-Identifier: Apache-2.0
// Rows scaled to length 1.
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/checked.h"
#include "ops/op_list.h"
#include "ops/ops.h"
#include "ops/shape.h"

#define SHORTEST 1e-12 // shorter rows are divided by this instead of their length

// --- Builder ----------------------------------------------------------------------------------

struct onp_tensor *onp_l2norm(struct onp_graph *graph, struct onp_tensor *x) {
    if (onp_graph_status(graph) != ONP_OK) return NULL;
    if (!onp_is_matrix(x, ONP_F32, -1, -1))
        return onp_graph_error(graph, ONP_ERR_ARGUMENT, "l2norm: x must be a float32 matrix");
    struct onp_tensor *dst = onp_graph_activation(graph, x->rows, x->cols, false);
    return onp_graph_record(graph, &onp_op_l2norm, dst, &x, 1, NULL, 0);
}

// --- Reference --------------------------------------------------------------------------------

static void reference(const struct onp_node *node) {
    const struct onp_tensor *x = node->src[ONP_L2NORM_X], *dst = node->dst;
    for (int64_t r = 0; r < x->rows; r++) {
        const float *in = (const float *)onp_host_data(x) + r * x->ld;
        float *out = (float *)onp_host_data(dst) + r * dst->ld;
        double square = 0.0;
        for (int64_t c = 0; c < x->cols; c++) square += (double)in[c] * in[c];
        const double length = fmax(sqrt(square), SHORTEST);
        for (int64_t c = 0; c < x->cols; c++) out[c] = (float)(in[c] / length);
    }
}

// --- Variants ---------------------------------------------------------------------------------

static bool accepts(const struct onp_node *node, const struct onp_device *device, char *why) {
    (void)node, (void)device, (void)why;
    return true;
}

// Work-items that share a row: one on a CPU, a small group on devices with fast local memory.
static size_t lanes_of(const struct onp_device *device) {
    return device->tuning.work_group_tiles && device->caps.max_work_group >= 64 &&
                   device->caps.local_bytes >= 64 * sizeof(float)
               ? 64
               : 1;
}

static enum onp_status emit(const struct onp_node *node, struct onp_emitter *emitter) {
    const struct onp_tensor *x = node->src[ONP_L2NORM_X];
    const size_t lanes = lanes_of(emitter->device);
    struct onp_launch launch = {.source = "l2norm",
                                .function = "l2norm",
                                .dims = 2,
                                .global = {lanes, (size_t)x->rows},
                                .local = {lanes, 1}};
    snprintf(launch.defines, sizeof launch.defines, "-DLANES=%zu", lanes);
    onp_push_tensor(&launch, x);
    onp_push_tensor(&launch, node->dst);
    onp_push_i32(&launch, x->cols);
    onp_push_i32(&launch, x->ld);
    onp_push_i32(&launch, node->dst->ld);
    return onp_emit_launch(emitter, &launch);
}

static const struct onp_variant l2norm = {.name = "l2norm", .accepts = accepts, .emit = emit};
static const struct onp_variant *const variants[] = {&l2norm, NULL};

// --- Cases ------------------------------------------------------------------------------------

enum { P_ROWS, P_COLS, P_KIND };
enum { NORMAL, ZERO, QUIET, LOUD };

static const struct onp_op_case cases[] = {
    {"embeddings", false, {8, 1536, NORMAL}}, {"one number", false, {3, 1, NORMAL}},
    {"three columns", false, {5, 3, NORMAL}}, {"odd", false, {7, 17, NORMAL}},
    {"long", false, {2, 6144, NORMAL}},       {"page-long rows", false, {3, 1024, NORMAL}},
    {"zero rows", false, {4, 100, ZERO}},     {"quiet rows", false, {4, 100, QUIET}},
    {"loud rows", false, {4, 100, LOUD}},
};

static struct onp_tensor *build_case(struct onp_case_builder *b, const struct onp_op_case *c) {
    static const float scales[] = {
        [NORMAL] = 3.0f, [ZERO] = 0.0f, [QUIET] = 0.5e-13f, [LOUD] = 1e30f};
    return onp_l2norm(b->graph,
                      onp_case_input(b, c->p[P_ROWS], c->p[P_COLS], scales[c->p[P_KIND]]));
}

static void cost(const struct onp_node *node, double *flops, double *bytes) {
    const double elements = (double)node->dst->rows * (double)node->dst->cols;
    *flops = elements * 3.0;
    *bytes = elements * 2.0 * sizeof(float);
}

static void describe(const struct onp_node *node, char *text, size_t size) {
    snprintf(text, size, "R=%lld C=%lld", (long long)node->dst->rows, (long long)node->dst->cols);
}

const struct onp_op onp_op_l2norm = {.name = "l2norm",
                                     .reference = reference,
                                     .variants = variants,
                                     .cases = cases,
                                     .case_count = ONP_COUNT(cases),
                                     .build_case = build_case,
                                     .tolerance = 6e-7,
                                     .cost = cost,
                                     .describe = describe};
