// SPDX-License-Identifier: Apache-2.0
// Pixels to the rows of a 4x4 stride-4 convolution, ordered for two further 2x2 convolutions.
#include <stdio.h>

#include "base/checked.h"
#include "ops/op_list.h"
#include "ops/ops.h"
#include "ops/shape.h"

#define ROW 48 // 3 channels of 4 x 4 pixels

static int32_t side_of(const struct onp_node *node) {
    return ((const struct onp_patchify_params *)(const void *)node->params)->side;
}

// --- Builder ----------------------------------------------------------------------------------

struct onp_tensor *onp_patchify(struct onp_graph *graph, struct onp_tensor *pixels, int32_t side) {
    if (onp_graph_status(graph) != ONP_OK) return NULL;
    if (side < 16 || side % 16 != 0 || side > 16384)
        return onp_graph_error(graph, ONP_ERR_ARGUMENT,
                               "patchify: a side of %d pixels is not a multiple of 16 up to 16384",
                               side);
    if (!onp_is_matrix(pixels, ONP_F32, -1, 3 * (int64_t)side * side))
        return onp_graph_error(graph, ONP_ERR_ARGUMENT,
                               "patchify: pixels must be float32 rows of 3 * %d * %d", side, side);
    const int64_t rows = pixels->rows * (side / 4) * (side / 4);
    if (rows > INT32_MAX)
        return onp_graph_error(graph, ONP_ERR_ARGUMENT, "patchify: too many pictures at once");
    struct onp_tensor *dst = onp_graph_activation(graph, rows, ROW, true);
    const struct onp_patchify_params params = {.side = side};
    return onp_graph_record(graph, &onp_op_patchify, dst, &pixels, 1, &params, sizeof params);
}

// --- Reference --------------------------------------------------------------------------------

// Top left pixel of row r of a picture, as the formula says: 16 x 16 patch, 8 x 8 block, 4 x 4.
static void corner(int64_t r, int32_t side, int64_t *y, int64_t *x) {
    const int64_t patch = r / 16, block = r / 4 % 4, small = r % 4, width = side / 16;
    *y = patch / width * 16 + block / 2 * 8 + small / 2 * 4;
    *x = patch % width * 16 + block % 2 * 8 + small % 2 * 4;
}

static void reference(const struct onp_node *node) {
    const struct onp_tensor *pixels = node->src[ONP_PATCHIFY_PIXELS], *dst = node->dst;
    const int32_t side = side_of(node);
    const int64_t per_picture = (int64_t)(side / 4) * (side / 4);
    for (int64_t r = 0; r < dst->rows; r++) {
        const float *picture = (const float *)onp_host_data(pixels) + r / per_picture * pixels->ld;
        float *out = (float *)onp_host_data(dst) + r * dst->ld;
        int64_t y, x;
        corner(r % per_picture, side, &y, &x);
        for (int64_t i = 0; i < ROW; i++)
            out[i] = picture[(i / 16 * side + y + i / 4 % 4) * side + x + i % 4];
    }
}

// --- Variants ---------------------------------------------------------------------------------

static bool accepts(const struct onp_node *node, const struct onp_device *device, char *why) {
    (void)node, (void)device, (void)why;
    return true;
}

// On a CPU four 16 x 16 patches, whose pixels fill whole cache lines; elsewhere one row.
static int64_t rows_per_item(const struct onp_device *device) {
    return device->caps.type == ONP_DEVICE_CPU && !device->caps.lanes ? 64 : 1;
}

static enum onp_status emit(const struct onp_node *node, struct onp_emitter *emitter) {
    const int64_t count = rows_per_item(emitter->device);
    struct onp_launch launch = {.source = "patchify",
                                .function = "patchify",
                                .dims = 1,
                                .global = {(size_t)onp_div_up(node->dst->rows, count)}};
    onp_push_tensor(&launch, node->src[ONP_PATCHIFY_PIXELS]);
    onp_push_tensor(&launch, node->dst);
    onp_push_i32(&launch, side_of(node));
    onp_push_i32(&launch, node->src[ONP_PATCHIFY_PIXELS]->ld);
    onp_push_i32(&launch, node->dst->ld);
    onp_push_i32(&launch, node->dst->rows);
    onp_push_i32(&launch, count);
    return onp_emit_launch(emitter, &launch);
}

static const struct onp_variant patchify = {.name = "patchify", .accepts = accepts, .emit = emit};
static const struct onp_variant *const variants[] = {&patchify, NULL};

// --- Cases ------------------------------------------------------------------------------------

enum { P_PICTURES, P_SIDE };

static const struct onp_op_case cases[] = {
    {"one patch", false, {1, 16}},    {"three of 2 x 2", false, {3, 32}},
    {"two of 3 x 3", false, {2, 48}}, {"one of 256", false, {1, 256}},
    {"two of 384", true, {2, 384}},
};

static struct onp_tensor *build_case(struct onp_case_builder *b, const struct onp_op_case *c) {
    const int32_t side = c->p[P_SIDE];
    struct onp_tensor *pixels = onp_case_input(b, c->p[P_PICTURES], 3 * (int64_t)side * side, 1.0f);
    return onp_patchify(b->graph, pixels, side);
}

static void cost(const struct onp_node *node, double *flops, double *bytes) {
    *flops = 0.0;
    *bytes = (double)node->dst->rows * ROW * 2.0 * sizeof(float);
}

static void describe(const struct onp_node *node, char *text, size_t size) {
    snprintf(text, size, "B=%lld S=%d", (long long)node->src[ONP_PATCHIFY_PIXELS]->rows,
             side_of(node));
}

const struct onp_op onp_op_patchify = {.name = "patchify",
                                       .reference = reference,
                                       .variants = variants,
                                       .cases = cases,
                                       .case_count = ONP_COUNT(cases),
                                       .build_case = build_case,
                                       .tolerance = 0.0, // copies
                                       .cost = cost,
                                       .describe = describe};
