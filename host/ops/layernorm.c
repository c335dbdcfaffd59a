// SPDX-License-Identifier: Apache-2.0
// LayerNorm over rows, with GELU on top if asked.
#include <math.h>
#include <stdio.h>

#include "base/checked.h"
#include "ops/op_list.h"
#include "ops/ops.h"
#include "ops/shape.h"

static const struct onp_layernorm_params *params_of(const struct onp_node *node) {
    return (const void *)node->params;
}

// --- Builder ----------------------------------------------------------------------------------

struct onp_tensor *onp_layernorm(struct onp_graph *graph, const struct onp_layernorm_args *args) {
    const struct onp_tensor *x = args->x;
    if (onp_graph_status(graph) != ONP_OK) return NULL;
    if (!onp_is_matrix(x, ONP_F32, -1, -1))
        return onp_graph_error(graph, ONP_ERR_ARGUMENT, "layernorm: x must be a float32 matrix");
    if (!args->weight != !args->bias || !onp_is_vector_or_null(args->weight, x->cols) ||
        !onp_is_vector_or_null(args->bias, x->cols))
        return onp_graph_error(graph, ONP_ERR_ARGUMENT,
                               "layernorm of %s: weight and bias must be both absent or float32 "
                               "vectors of %lld",
                               x->name, (long long)x->cols);
    struct onp_tensor *dst = args->dst;
    if (dst && !onp_is_matrix(dst, ONP_F32, x->rows, x->cols))
        return onp_graph_error(graph, ONP_ERR_ARGUMENT,
                               "layernorm of %s: the target must be float32 %lld x %lld", x->name,
                               (long long)x->rows, (long long)x->cols);
    if (!dst) dst = onp_graph_activation(graph, x->rows, x->cols, args->contiguous);
    struct onp_tensor *src[] = {[ONP_LAYERNORM_X] = args->x,
                                [ONP_LAYERNORM_WEIGHT] = args->weight,
                                [ONP_LAYERNORM_BIAS] = args->bias};
    const struct onp_layernorm_params params = {.eps = args->eps, .gelu = args->gelu};
    return onp_graph_record(graph, &onp_op_layernorm, dst, src, ONP_COUNT(src), &params,
                            sizeof params);
}

// --- Reference --------------------------------------------------------------------------------

static void reference_row(const float *x, const float *weight, const float *bias, int64_t cols,
                          const struct onp_layernorm_params *params, float *y) {
    double mean = 0.0, variance = 0.0;
    for (int64_t c = 0; c < cols; c++) mean += x[c];
    mean /= (double)cols;
    for (int64_t c = 0; c < cols; c++) variance += (x[c] - mean) * (x[c] - mean);
    const double scale = 1.0 / sqrt(variance / (double)cols + params->eps);
    for (int64_t c = 0; c < cols; c++) {
        double v = (x[c] - mean) * scale;
        if (weight) v = v * weight[c] + bias[c];
        if (params->gelu) v = 0.5 * v * erfc(-v * M_SQRT1_2);
        y[c] = (float)v;
    }
}

static void reference(const struct onp_node *node) {
    const struct onp_tensor *x = node->src[ONP_LAYERNORM_X], *dst = node->dst;
    const struct onp_tensor *weight = node->src[ONP_LAYERNORM_WEIGHT];
    const struct onp_tensor *bias = node->src[ONP_LAYERNORM_BIAS];
    for (int64_t r = 0; r < x->rows; r++)
        reference_row((const float *)onp_host_data(x) + r * x->ld,
                      weight ? onp_host_data(weight) : NULL, bias ? onp_host_data(bias) : NULL,
                      x->cols, params_of(node), (float *)onp_host_data(dst) + r * dst->ld);
}

// --- Variants ---------------------------------------------------------------------------------

static void push_arguments(struct onp_launch *launch, const struct onp_node *node) {
    const struct onp_tensor *x = node->src[ONP_LAYERNORM_X];
    onp_push_tensor(launch, x);
    onp_push_tensor(launch, node->src[ONP_LAYERNORM_WEIGHT]);
    onp_push_tensor(launch, node->src[ONP_LAYERNORM_BIAS]);
    onp_push_tensor(launch, node->dst);
    onp_push_i32(launch, x->rows);
    onp_push_i32(launch, x->cols);
    onp_push_i32(launch, x->ld);
    onp_push_i32(launch, node->dst->ld);
    onp_push_f32(launch, params_of(node)->eps);
}

static const char *affine_define(const struct onp_node *node) {
    return node->src[ONP_LAYERNORM_WEIGHT] ? " -DAFFINE" : "";
}

static const char *gelu_define(const struct onp_node *node) {
    return params_of(node)->gelu ? " -DGELU" : "";
}

// float4 of a row that a work-item of its sub-group keeps. With 16 Intel's compiler spills, and a
// work-group brings more work-items to so long a row.
#define MOST_QUADS 12
static int64_t subgroup_quads(const struct onp_node *node, const struct onp_device *device) {
    return onp_div_up(node->src[ONP_LAYERNORM_X]->cols, 4 * (int64_t)device->caps.subgroup_size);
}

static bool subgroup_accepts(const struct onp_node *node, const struct onp_device *device,
                             char *why) {
    if (!onp_tiles(device, ONP_TUNED_LAYERNORM)->work_group_tiles) {
        snprintf(why, ONP_WHY, "this device class prefers one work-item per row");
        return false;
    }
    if (!device->caps.subgroups) {
        snprintf(why, ONP_WHY, "no sub-groups of a known size on this device");
        return false;
    }
    if (subgroup_quads(node, device) > MOST_QUADS) {
        snprintf(why, ONP_WHY, "more than %d columns for a sub-group of %u",
                 (int)(4 * MOST_QUADS * device->caps.subgroup_size), device->caps.subgroup_size);
        return false;
    }
    return true;
}

static enum onp_status subgroup_emit(const struct onp_node *node, struct onp_emitter *emitter) {
    const uint32_t size = emitter->device->caps.subgroup_size;
    struct onp_launch launch = {.source = "layernorm_subgroup",
                                .function = "layernorm_subgroup",
                                .dims = 2,
                                .global = {size, (size_t)node->dst->rows},
                                .local = {size, 1}};
    snprintf(launch.defines, sizeof launch.defines,
             ONP_SUB_GROUPS " -DSUB_GROUP=%u -DQUADS=%lld%s%s", size,
             (long long)subgroup_quads(node, emitter->device), affine_define(node),
             gelu_define(node));
    push_arguments(&launch, node);
    return onp_emit_launch(emitter, &launch);
}

// Lanes that share a row: a power of two that leaves each a few elements, 256 at most.
static size_t group_lanes(const struct onp_node *node, const struct onp_device *device) {
    const int64_t cols = node->src[ONP_LAYERNORM_X]->cols;
    size_t lanes = 16;
    while (lanes < 256 && (int64_t)lanes * 8 < cols && lanes * 2 <= device->caps.max_work_group)
        lanes *= 2;
    return lanes;
}

// Short rows share a work-group, so that it fills a hardware thread group.
static size_t group_rows(size_t lanes, const struct onp_device *device) {
    return lanes < 64 && device->caps.max_work_group >= 64 ? 64 / lanes : 1;
}

static bool group_accepts(const struct onp_node *node, const struct onp_device *device, char *why) {
    if (!onp_tiles(device, ONP_TUNED_LAYERNORM)->work_group_tiles) {
        snprintf(why, ONP_WHY, "this device class prefers one work-item per row");
        return false;
    }
    const size_t lanes = group_lanes(node, device);
    const uint64_t local = lanes * group_rows(lanes, device) * sizeof(float);
    if (lanes > device->caps.max_work_group || local > device->caps.local_bytes) {
        snprintf(why, ONP_WHY, "needs %zu work-items and %llu bytes of local memory", lanes,
                 (unsigned long long)local);
        return false;
    }
    return true;
}

static enum onp_status group_emit(const struct onp_node *node, struct onp_emitter *emitter) {
    const size_t lanes = group_lanes(node, emitter->device);
    const size_t rows = group_rows(lanes, emitter->device);
    const size_t height = (size_t)onp_round_up((uint64_t)node->dst->rows, rows);
    struct onp_launch launch = {.source = "layernorm_group",
                                .function = "layernorm_group",
                                .dims = 2,
                                .global = {lanes, height},
                                .local = {lanes, rows}};
    snprintf(launch.defines, sizeof launch.defines, "-DLANES=%zu -DROWS=%zu%s%s", lanes, rows,
             affine_define(node), gelu_define(node));
    push_arguments(&launch, node);
    return onp_emit_launch(emitter, &launch);
}

static bool row_accepts(const struct onp_node *node, const struct onp_device *device, char *why) {
    (void)node, (void)device, (void)why;
    return true;
}

// Rows of a work-item: about 4 work-items a unit, but no more than pays for its launch.
static int64_t rows_per_item(const struct onp_node *node, const struct onp_device *device) {
    const int64_t units = device->caps.compute_units ? device->caps.compute_units : 1;
    const int64_t rows = onp_div_up(node->dst->rows, 4 * units);
    return device->caps.type != ONP_DEVICE_CPU || device->caps.lanes ? 1 : rows < 16 ? rows : 16;
}

static enum onp_status row_emit(const struct onp_node *node, struct onp_emitter *emitter) {
    const int64_t count = rows_per_item(node, emitter->device);
    struct onp_launch launch = {.source = "layernorm_row",
                                .function = "layernorm_row",
                                .dims = 1,
                                .global = {(size_t)onp_div_up(node->dst->rows, count)},
                                .local = {1}};
    snprintf(launch.defines, sizeof launch.defines, "-DVEC=%d%s%s",
             onp_tiles(emitter->device, ONP_TUNED_LAYERNORM)->vector, affine_define(node),
             gelu_define(node));
    push_arguments(&launch, node);
    onp_push_i32(&launch, count);
    return onp_emit_launch(emitter, &launch);
}

static const struct onp_variant subgroup = {
    .name = "layernorm_subgroup", .accepts = subgroup_accepts, .emit = subgroup_emit};
static const struct onp_variant group = {
    .name = "layernorm_group", .accepts = group_accepts, .emit = group_emit};
static const struct onp_variant row = {
    .name = "layernorm_row", .accepts = row_accepts, .emit = row_emit};
static const struct onp_variant *const variants[] = {&subgroup, &group, &row, NULL};

// --- Cases ------------------------------------------------------------------------------------

enum { P_ROWS, P_COLS, P_AFFINE, P_GELU, P_PAD, P_KIND };
enum { NORMAL, CONSTANT, QUIET, LARGE_MEAN };

static const struct onp_op_case cases[] = {
    {"picture, block", false, {257, 1536, 1, 0, 0, NORMAL}},
    {"sound, block", true, {750, 6144, 1, 0, 0, NORMAL}},
    {"sound features", true, {2400, 512, 1, 1, 0, NORMAL}},
    {"patches, gelu", false, {64, 384, 1, 1, 0, NORMAL}},
    {"no affine, gelu", false, {49, 1536, 0, 1, 0, NORMAL}},
    {"no affine", false, {5, 64, 0, 0, 0, NORMAL}},
    {"one column", false, {7, 1, 1, 0, 0, NORMAL}},
    {"three columns, padded", false, {6, 3, 1, 1, 5, NORMAL}},
    {"seventeen columns", false, {1, 17, 1, 0, 0, NORMAL}},
    {"odd, padded", false, {63, 1535, 1, 0, 1, NORMAL}},
    {"one long row", false, {1, 6144, 1, 0, 0, NORMAL}},
    {"page-long rows", false, {3, 1024, 1, 0, 16, NORMAL}},
    {"constant rows", false, {9, 1536, 1, 0, 0, CONSTANT}},
    {"constant rows, bare", false, {9, 100, 0, 0, 0, CONSTANT}},
    {"quiet rows", false, {9, 1536, 1, 0, 0, QUIET}},
    {"large mean", false, {9, 1536, 1, 0, 0, LARGE_MEAN}},
    {"large mean, gelu", false, {9, 1000, 0, 1, 3, LARGE_MEAN}},
};

static struct onp_tensor *case_rows(struct onp_case_builder *b, const int32_t *p) {
    const int64_t rows = p[P_ROWS], ld = p[P_COLS] + p[P_PAD];
    if (p[P_KIND] == NORMAL) return onp_case_input(b, rows, ld, 1.0f);
    if (p[P_KIND] == QUIET) return onp_case_input(b, rows, ld, 1e-20f);
    float *data = onp_graph_alloc(b->graph, (size_t)(rows * ld) * sizeof *data);
    if (!data) return NULL;
    for (int64_t i = 0; i < rows * ld; i++)
        data[i] =
            p[P_KIND] == CONSTANT ? (float)(i / ld) * 1234.567f : 1e4f + onp_rng_normal(&b->rng);
    return onp_graph_input(b->graph, "", ONP_F32, rows, ld, data);
}

static struct onp_tensor *build_case(struct onp_case_builder *b, const struct onp_op_case *c) {
    const int32_t *p = c->p;
    const int64_t rows = p[P_ROWS], cols = p[P_COLS], ld = cols + p[P_PAD];
    struct onp_layernorm_args args = {.eps = 1e-5f, .gelu = p[P_GELU]};
    args.x = case_rows(b, p);
    if (p[P_PAD]) { // views on both sides: neither starts at 0 nor is contiguous
        args.x = onp_graph_view(b->graph, args.x, 1, rows, cols, ld);
        struct onp_tensor *wide = onp_graph_activation(b->graph, rows + 1, ld, true);
        args.dst = onp_graph_view(b->graph, wide, ld, rows, cols, ld);
    }
    if (p[P_AFFINE]) {
        args.weight = onp_case_vector(b, 1, cols, 1.0f, 0.2f);
        args.bias = onp_case_vector(b, 1, cols, 0.0f, 0.2f);
    }
    return onp_layernorm(b->graph, &args);
}

static void cost(const struct onp_node *node, double *flops, double *bytes) {
    const double elements = (double)node->dst->rows * (double)node->dst->cols;
    *flops = elements * (params_of(node)->gelu ? 30.0 : 8.0);
    *bytes = elements * 2.0 * sizeof(float);
}

static void describe(const struct onp_node *node, char *text, size_t size) {
    snprintf(text, size, "R=%lld C=%lld%s", (long long)node->dst->rows, (long long)node->dst->cols,
             params_of(node)->gelu ? " gelu" : "");
}

const struct onp_op onp_op_layernorm = {.name = "layernorm",
                                        .reference = reference,
                                        .variants = variants,
                                        .cases = cases,
                                        .case_count = ONP_COUNT(cases),
                                        .build_case = build_case,
                                        .tolerance = 3.5e-6,
                                        .cost = cost,
                                        .describe = describe};
