// SPDX-License-Identifier: Apache-2.0
// A convolution without padding, channels last, then LayerNorm over the channels, then GELU.
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/checked.h"
#include "ops/op_list.h"
#include "ops/ops.h"
#include "ops/shape.h"

static const struct onp_conv_norm_params *params_of(const struct onp_node *node) {
    return (const void *)node->params;
}

// --- Building -----------------------------------------------------------------------------------

// NULL if the operands fit together, else what does not.
static const char *shape_error(const struct onp_conv_norm_args *args) {
    const struct onp_tensor *a = args->a, *w = args->w, *dst = args->dst;
    if (!onp_is_matrix(a, ONP_F32, -1, -1)) return "windows";
    if ((w->dtype != ONP_F32 && w->dtype != ONP_F16) || !onp_fits_kernel(w) || a->cols != w->cols)
        return "weights";
    if (!onp_is_vector_or_null(args->bias, w->rows)) return "bias";
    if (!onp_is_matrix(args->norm_w, ONP_F32, 1, w->rows) ||
        !onp_is_matrix(args->norm_b, ONP_F32, 1, w->rows))
        return "LayerNorm";
    return dst && !onp_is_matrix(dst, ONP_F32, a->rows, w->rows) ? "result" : NULL;
}

struct onp_tensor *onp_conv_norm(struct onp_graph *graph, const struct onp_conv_norm_args *args) {
    if (onp_graph_status(graph) != ONP_OK) return NULL;
    if (!args->a || !args->w)
        return onp_graph_error(graph, ONP_ERR_ARGUMENT, "conv_norm without operands");
    const char *error = shape_error(args);
    if (error)
        return onp_graph_error(graph, ONP_ERR_ARGUMENT,
                               "conv_norm of %s (%lld x %lld) with %s (%lld x %lld): %s do not fit",
                               args->a->name, (long long)args->a->rows, (long long)args->a->cols,
                               args->w->name, (long long)args->w->rows, (long long)args->w->cols,
                               error);
    struct onp_tensor *const src[] = {[ONP_CONV_NORM_A] = args->a,
                                      [ONP_CONV_NORM_W] = args->w,
                                      [ONP_CONV_NORM_BIAS] = args->bias,
                                      [ONP_CONV_NORM_WEIGHT] = args->norm_w,
                                      [ONP_CONV_NORM_SHIFT] = args->norm_b};
    const struct onp_conv_norm_params params = {.eps = args->eps};
    struct onp_tensor *dst = args->dst;
    if (!dst) dst = onp_graph_activation(graph, args->a->rows, args->w->rows, true);
    return onp_graph_record(graph, &onp_op_conv_norm, dst, src, ONP_COUNT(src), &params,
                            sizeof params);
}

// --- The two steps ------------------------------------------------------------------------------
// The product leaves its sums in dst, where LayerNorm and GELU take them up.

static struct onp_node product_of(const struct onp_node *node) {
    struct onp_node step = {.op = &onp_op_matmul, .dst = node->dst};
    step.src[ONP_MATMUL_A] = node->src[ONP_CONV_NORM_A];
    step.src[ONP_MATMUL_W] = node->src[ONP_CONV_NORM_W];
    step.src[ONP_MATMUL_BIAS] = node->src[ONP_CONV_NORM_BIAS];
    return step;
}

static struct onp_node norm_of(const struct onp_node *node) {
    const struct onp_layernorm_params params = {.eps = params_of(node)->eps, .gelu = true};
    struct onp_node step = {.op = &onp_op_layernorm, .dst = node->dst};
    step.src[ONP_LAYERNORM_X] = node->dst;
    step.src[ONP_LAYERNORM_WEIGHT] = node->src[ONP_CONV_NORM_WEIGHT];
    step.src[ONP_LAYERNORM_BIAS] = node->src[ONP_CONV_NORM_SHIFT];
    memcpy(step.params, &params, sizeof params);
    return step;
}

static void reference(const struct onp_node *node) {
    const struct onp_node product = product_of(node), norm = norm_of(node);
    product.op->reference(&product);
    norm.op->reference(&norm);
}

// --- conv_norm_panel ----------------------------------------------------------------------------

static bool panel_accepts(const struct onp_node *node, const struct onp_device *device, char *why) {
    const struct onp_tuning *tuning = onp_tiles(device, ONP_TUNED_MATMUL);
    const struct onp_tensor *w = node->src[ONP_CONV_NORM_W];
    if (device->caps.type != ONP_DEVICE_CPU || device->caps.lanes || tuning->tile_rows < 1 ||
        tuning->tile_vectors < 1) {
        snprintf(why, ONP_WHY, "a register tile for CPUs only");
        return false;
    }
    if (w->layout != ONP_LAYOUT_PANELS || w->panel != tuning->vector * tuning->tile_vectors) {
        snprintf(why, ONP_WHY, "needs weights in panels of %d",
                 (int)(tuning->vector * tuning->tile_vectors));
        return false;
    }
    return true;
}

// Of a block's windows and results: they share a cache of 512 KiB with a panel of weights and the
// next one. More tiles than these gain nothing.
#define BLOCK_BYTES (224 * 1024)
#define BLOCK_TILES 8

// Rows of a block, a multiple of the tile's.
static int64_t block_rows(const struct onp_node *node, int64_t mr) {
    const struct onp_tensor *a = node->src[ONP_CONV_NORM_A], *w = node->src[ONP_CONV_NORM_W];
    const int64_t own = a->ld < a->cols ? a->ld : a->cols; // of a row, not shared with the next
    const int64_t tiles = BLOCK_BYTES / ((own + w->rows) * (int64_t)sizeof(float)) / mr;
    return (tiles < 1 ? 1 : tiles < BLOCK_TILES ? tiles : BLOCK_TILES) * mr;
}

static enum onp_status panel_emit(const struct onp_node *node, struct onp_emitter *emitter) {
    const struct onp_device *device = emitter->device;
    const struct onp_tuning *tuning = onp_tiles(device, ONP_TUNED_MATMUL);
    const struct onp_tensor *a = node->src[ONP_CONV_NORM_A], *w = node->src[ONP_CONV_NORM_W];
    const int64_t mr = tuning->tile_rows, block = block_rows(node, mr);
    const int64_t units = device->caps.compute_units ? device->caps.compute_units : 1;
    // About 16 work-items a unit: the last to end should not be waited for long.
    int64_t rows = onp_div_up(onp_div_up(a->rows, 16 * units), block) * block;
    if (rows > onp_div_up(a->rows, units)) rows = onp_div_up(onp_div_up(a->rows, units), mr) * mr;
    struct onp_launch launch = {.source = "conv_norm_panel",
                                .function = "conv_norm_panel",
                                .dims = 1,
                                .global = {(size_t)onp_div_up(a->rows, rows)},
                                .local = {1}};
    snprintf(
        launch.defines, sizeof launch.defines, "-DVEC=%d -DNV=%d -DMR=%d%s%s%s", tuning->vector,
        tuning->tile_vectors, (int)mr, node->src[ONP_CONV_NORM_BIAS] ? " -DBIAS" : "",
        w->dtype == ONP_F16 ? " -DWEIGHT_HALF" : "", device->caps.prefetch ? " -DPREFETCH" : "");
    onp_push_tensor(&launch, a);
    onp_push_tensor(&launch, w);
    onp_push_tensor(&launch, node->src[ONP_CONV_NORM_BIAS]);
    onp_push_tensor(&launch, node->src[ONP_CONV_NORM_WEIGHT]);
    onp_push_tensor(&launch, node->src[ONP_CONV_NORM_SHIFT]);
    onp_push_tensor(&launch, node->dst);
    onp_push_i32(&launch, a->rows);
    onp_push_i32(&launch, w->rows);
    onp_push_i32(&launch, a->cols);
    onp_push_i32(&launch, a->ld);
    onp_push_i32(&launch, node->dst->ld);
    onp_push_f32(&launch, params_of(node)->eps);
    onp_push_i32(&launch, rows);
    onp_push_i32(&launch, block);
    return onp_emit_launch(emitter, &launch);
}

static const struct onp_variant panel = {
    .name = "conv_norm_panel", .accepts = panel_accepts, .emit = panel_emit};

// --- conv_norm_steps ----------------------------------------------------------------------------
// For every other device: its best product, then its best LayerNorm.

static const struct onp_variant *best(const struct onp_node *step, const struct onp_device *device,
                                      char *why) {
    for (const struct onp_variant *const *v = step->op->variants; *v; v++)
        if (onp_variant_accepts(*v, step, device, why)) return *v;
    return NULL;
}

static bool steps_accepts(const struct onp_node *node, const struct onp_device *device, char *why) {
    const struct onp_node product = product_of(node), norm = norm_of(node);
    return best(&product, device, why) && best(&norm, device, why);
}

// The steps run one after the other: they share what they need.
static uint64_t steps_workspace(const struct onp_node *node, const struct onp_device *device) {
    const struct onp_node step[] = {product_of(node), norm_of(node)};
    uint64_t bytes = 0;
    for (size_t i = 0; i < ONP_COUNT(step); i++) {
        char why[ONP_WHY];
        const struct onp_variant *variant = best(&step[i], device, why);
        const uint64_t own =
            variant && variant->workspace ? variant->workspace(&step[i], device) : 0;
        if (own > bytes) bytes = own;
    }
    return bytes;
}

static enum onp_status steps_emit(const struct onp_node *node, struct onp_emitter *emitter) {
    const struct onp_node step[] = {product_of(node), norm_of(node)};
    for (size_t i = 0; i < ONP_COUNT(step); i++) {
        char why[ONP_WHY];
        const struct onp_variant *variant = best(&step[i], emitter->device, why);
        if (!variant)
            return onp_fail(&emitter->device->context->log, ONP_ERR_UNSUPPORTED,
                            "no variant of %s for a convolution: %s", step[i].op->name, why);
        ONP_TRY(variant->emit(&step[i], emitter));
    }
    return ONP_OK;
}

static const struct onp_variant steps = {.name = "conv_norm_steps",
                                         .accepts = steps_accepts,
                                         .workspace = steps_workspace,
                                         .emit = steps_emit};

static const struct onp_variant *const variants[] = {&panel, &steps, NULL};

// --- Listings -----------------------------------------------------------------------------------

// Only the product's operations count.
static void cost(const struct onp_node *node, double *flops, double *bytes) {
    const struct onp_tensor *a = node->src[ONP_CONV_NORM_A], *w = node->src[ONP_CONV_NORM_W];
    const double m = (double)a->rows, n = (double)w->rows, k = (double)a->cols;
    const double own = (double)(a->ld < a->cols ? a->ld : a->cols);
    *flops = 2.0 * m * n * k;
    *bytes = 4.0 * m * (own + n) + n * k * (double)onp_dtype_size(w->dtype);
}

static void describe(const struct onp_node *node, char *text, size_t size) {
    const struct onp_tensor *a = node->src[ONP_CONV_NORM_A], *w = node->src[ONP_CONV_NORM_W];
    snprintf(text, size, "M=%lld N=%lld K=%lld %s", (long long)a->rows, (long long)w->rows,
             (long long)a->cols, onp_dtype_name(w->dtype));
}

// --- Cases --------------------------------------------------------------------------------------

enum { ORDINARY, LARGE };

// p: M, N, K, dtype, row stride of a (0: K), bias, row stride of dst (0: N), values
#define CASE(label, slow, ...)                                                                     \
    {                                                                                              \
        label, slow, { __VA_ARGS__ }                                                               \
    }
static const struct onp_op_case cases[] = {
    CASE("first wave layer", false, 97, 64, 10, ONP_F32, 5, 0, 0, ORDINARY),
    CASE("first wave layer, bias", false, 61, 64, 10, ONP_F32, 5, 1, 0, ORDINARY),
    CASE("first wave layer, half", false, 61, 64, 10, ONP_F16, 5, 0, 0, ORDINARY),
    CASE("wave layer", false, 49, 64, 192, ONP_F32, 128, 0, 0, ORDINARY),
    CASE("wave layer, half", false, 49, 64, 192, ONP_F16, 128, 0, 0, ORDINARY),
    CASE("patches", false, 64, 96, 48, ONP_F32, 0, 1, 0, ORDINARY),
    CASE("patches, half", false, 16, 96, 384, ONP_F16, 0, 1, 0, ORDINARY),
    CASE("small model", false, 31, 24, 72, ONP_F32, 48, 0, 0, ORDINARY),
    CASE("odd channels", false, 23, 33, 21, ONP_F32, 14, 1, 0, ORDINARY),
    CASE("odd channels, half", false, 23, 17, 21, ONP_F16, 14, 1, 0, ORDINARY),
    CASE("two channels", false, 9, 2, 7, ONP_F32, 3, 0, 0, ORDINARY),
    CASE("one row", false, 1, 64, 30, ONP_F32, 0, 1, 0, ORDINARY),
    CASE("one row, one step", false, 1, 50, 1, ONP_F16, 0, 0, 0, ORDINARY),
    CASE("five rows", false, 5, 48, 30, ONP_F32, 20, 0, 0, ORDINARY),
    CASE("seven rows", false, 7, 80, 30, ONP_F32, 20, 0, 0, ORDINARY),
    CASE("wide result", false, 20, 40, 16, ONP_F32, 0, 0, 51, ORDINARY),
    CASE("padded rows", false, 8, 1024, 16, ONP_F32, 0, 1, 1040, ORDINARY),
    CASE("large values", false, 14, 40, 200, ONP_F32, 0, 1, 0, LARGE),
    CASE("many blocks", true, 2401, 64, 96, ONP_F32, 64, 0, 0, ORDINARY),
    CASE("published first layer", true, 1200, 512, 10, ONP_F32, 5, 0, 0, ORDINARY),
    CASE("published layer", true, 260, 512, 1536, ONP_F32, 1024, 0, 0, ORDINARY),
    CASE("published layer, half", true, 131, 512, 1024, ONP_F16, 1024, 0, 0, ORDINARY),
};

// An odd first element, so that no kernel can count on alignment.
static struct onp_tensor *case_a(struct onp_case_builder *b, const int32_t *p) {
    const int64_t rows = p[0], cols = p[2], ld = p[4] ? p[4] : cols;
    struct onp_tensor *x =
        onp_case_input(b, 1, 3 + (rows - 1) * ld + cols, p[7] == LARGE ? 1e4f : 1.0f);
    return onp_graph_view(b->graph, x, 3, rows, cols, ld);
}

static struct onp_tensor *build_case(struct onp_case_builder *b, const struct onp_op_case *c) {
    const int32_t *p = c->p;
    const int64_t m = p[0], n = p[1], ld = p[6];
    struct onp_conv_norm_args args = {.a = case_a(b, p), .eps = 1e-5f};
    args.w = onp_case_weight(b, (enum onp_dtype)p[3], n, p[2], 1.0f / sqrtf((float)p[2]));
    if (p[5]) args.bias = onp_case_vector(b, 1, n, 0.0f, 1.0f);
    args.norm_w = onp_case_vector(b, 1, n, 1.0f, 0.2f);
    args.norm_b = onp_case_vector(b, 1, n, 0.0f, 0.2f);
    if (ld)
        args.dst =
            onp_graph_view(b->graph, onp_graph_activation(b->graph, m + 1, ld, true), ld, m, n, ld);
    return onp_conv_norm(b->graph, &args);
}

const struct onp_op onp_op_conv_norm = {.name = "conv_norm",
                                        .reference = reference,
                                        .variants = variants,
                                        .cases = cases,
                                        .case_count = ONP_COUNT(cases),
                                        .build_case = build_case,
                                        .tolerance = 1.2e-5, // measured: 1.2e-6, 1536 terms
                                        .cost = cost,
                                        .describe = describe};
