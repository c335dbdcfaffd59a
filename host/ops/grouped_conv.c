// SPDX-License-Identifier: Apache-2.0
// Grouped convolution over time (the audio branch's positional convolutions).
#include <math.h>
#include <stdio.h>

#include "base/checked.h"
#include "base/half.h"
#include "base/parallel.h"
#include "ops/op_list.h"
#include "ops/ops.h"

// --- Building -----------------------------------------------------------------------------------

static bool fits_int(const struct onp_tensor *x) {
    return x->rows <= INT32_MAX && x->cols <= INT32_MAX && x->ld <= INT32_MAX;
}

// NULL if the operands fit together, else what does not.
static const char *shape_error(const struct onp_grouped_conv_args *args,
                               const struct onp_tensor *dst) {
    const struct onp_tensor *x = args->x, *w = args->w, *bias = args->bias;
    if (x->dtype != ONP_F32 || (w->dtype != ONP_F32 && w->dtype != ONP_F16)) return "types";
    if (args->groups < 1 || x->cols % args->groups != 0) return "groups";
    if (args->kernel < 1 || args->pad < 0 || args->pad >= args->kernel) return "kernel";
    if (w->cols != x->cols / args->groups || w->rows != x->cols * args->kernel) return "weights";
    if (bias->dtype != ONP_F32 || bias->rows != 1 || bias->cols != x->cols) return "bias";
    if (dst && (dst->dtype != ONP_F32 || dst->rows != x->rows || dst->cols != x->cols))
        return "result";
    if (!fits_int(x) || !fits_int(w) || (dst && !fits_int(dst))) return "sizes beyond 2^31";
    return NULL;
}

struct onp_tensor *onp_grouped_conv(struct onp_graph *graph,
                                    const struct onp_grouped_conv_args *args,
                                    struct onp_tensor *dst) {
    if (onp_graph_status(graph) != ONP_OK) return NULL;
    if (!args->x || !args->w || !args->bias)
        return onp_graph_error(graph, ONP_ERR_ARGUMENT, "grouped_conv without operands");
    const char *error = shape_error(args, dst);
    if (error)
        return onp_graph_error(graph, ONP_ERR_ARGUMENT,
                               "grouped_conv of %s (%lld x %lld) with %s (%lld x %lld), %d groups, "
                               "kernel %d, pad %d: %s do not fit",
                               args->x->name, (long long)args->x->rows, (long long)args->x->cols,
                               args->w->name, (long long)args->w->rows, (long long)args->w->cols,
                               args->groups, args->kernel, args->pad, error);
    struct onp_tensor *const src[] = {[ONP_GROUPED_CONV_X] = args->x,
                                      [ONP_GROUPED_CONV_W] = args->w,
                                      [ONP_GROUPED_CONV_BIAS] = args->bias};
    const struct onp_grouped_conv_params params = {
        .groups = args->groups, .kernel = args->kernel, .pad = args->pad};
    if (!dst) dst = onp_graph_activation(graph, args->x->rows, args->x->cols, false);
    return onp_graph_record(graph, &onp_op_grouped_conv, dst, src, ONP_COUNT(src), &params,
                            sizeof params);
}

static const struct onp_grouped_conv_params *params_of(const struct onp_node *node) {
    return (const void *)node->params;
}

static int64_t group_channels(const struct onp_node *node) {
    return node->src[ONP_GROUPED_CONV_W]->cols;
}

// --- Reference ----------------------------------------------------------------------------------

static double weight_at(const struct onp_tensor *w, int64_t row, int64_t col) {
    const size_t index = (size_t)(row * w->ld + col);
    return w->dtype == ONP_F16
               ? (double)onp_half_to_float(((const uint16_t *)onp_host_data(w))[index])
               : (double)((const float *)onp_host_data(w))[index];
}

static double reference_at(const struct onp_node *node, int64_t t, int64_t n) {
    const struct onp_tensor *x = node->src[ONP_GROUPED_CONV_X], *w = node->src[ONP_GROUPED_CONV_W];
    const struct onp_grouped_conv_params *params = params_of(node);
    const int64_t channels = group_channels(node), group = n / channels;
    double sum = (double)((const float *)onp_host_data(node->src[ONP_GROUPED_CONV_BIAS]))[n];
    for (int64_t tap = 0; tap < params->kernel; tap++) {
        const int64_t frame = t + tap - params->pad;
        if (frame < 0 || frame >= x->rows) continue;
        const float *row = (const float *)onp_host_data(x) + frame * x->ld + group * channels;
        for (int64_t c = 0; c < channels; c++)
            sum += (double)row[c] * weight_at(w, (group * params->kernel + tap) * channels + c,
                                              n - group * channels);
    }
    return sum;
}

static void reference_frame(void *user, size_t t) {
    const struct onp_node *node = user;
    float *row = (float *)onp_host_data(node->dst) + (int64_t)t * node->dst->ld;
    for (int64_t n = 0; n < node->dst->cols; n++) row[n] = (float)reference_at(node, (int64_t)t, n);
}

static void reference(const struct onp_node *node) {
    onp_parallel_for((size_t)node->dst->rows, 0, reference_frame, (void *)(uintptr_t)node);
}

// --- Variants -----------------------------------------------------------------------------------

static bool rows_layout(const struct onp_node *node, char *why) {
    if (node->src[ONP_GROUPED_CONV_W]->layout == ONP_LAYOUT_ROWS) return true;
    snprintf(why, ONP_WHY, "needs weights in rows");
    return false;
}

// Arguments that both kernels take.
static void push_common(struct onp_launch *launch, const struct onp_node *node) {
    const struct onp_tensor *x = node->src[ONP_GROUPED_CONV_X], *w = node->src[ONP_GROUPED_CONV_W];
    onp_push_tensor(launch, x);
    onp_push_tensor(launch, w);
    onp_push_tensor(launch, node->src[ONP_GROUPED_CONV_BIAS]);
    onp_push_tensor(launch, node->dst);
    onp_push_i32(launch, x->rows);
    onp_push_i32(launch, x->cols);
    onp_push_i32(launch, group_channels(node));
    onp_push_i32(launch, params_of(node)->kernel);
    onp_push_i32(launch, params_of(node)->pad);
    onp_push_i32(launch, x->ld);
    onp_push_i32(launch, w->ld);
    onp_push_i32(launch, node->dst->ld);
}

// The widest vector and the most vectors of the device's tile that divide a group's channels.
static void tile_shape(const struct onp_node *node, const struct onp_device *device, int64_t *vec,
                       int64_t *vectors) {
    const int64_t channels = group_channels(node);
    *vec = onp_tiles(device, ONP_TUNED_GROUPED_CONV)->vector;
    while (*vec > 1 && channels % *vec != 0) *vec /= 2;
    *vectors = onp_tiles(device, ONP_TUNED_GROUPED_CONV)->tile_vectors;
    while (*vectors > 1 && channels / *vec % *vectors != 0) --*vectors;
}

static bool tile_accepts(const struct onp_node *node, const struct onp_device *device, char *why) {
    int64_t vec, vectors;
    tile_shape(node, device, &vec, &vectors);
    if (vec < 4) {
        snprintf(why, ONP_WHY, "%lld channels of a group are no multiple of 4",
                 (long long)group_channels(node));
        return false;
    }
    return rows_layout(node, why);
}

// True where a work-group of one work-item fills the machine.
static bool single_items(const struct onp_device *device) {
    return device->caps.type == ONP_DEVICE_CPU && !device->caps.lanes;
}

// Frames of a work-item: on a CPU as many as leave all units busy, so that the weights come from
// its cache; elsewhere one tile.
static int64_t frames_per_item(const struct onp_node *node, const struct onp_device *device,
                               int64_t blocks, int64_t mr) {
    if (!single_items(device)) return mr;
    const int64_t tiles = onp_div_up(node->dst->rows, mr);
    int64_t splits = onp_div_up(8 * (int64_t)device->caps.compute_units, blocks);
    if (splits > tiles) splits = tiles;
    if (splits < 1) splits = 1;
    return onp_div_up(tiles, splits) * mr;
}

static enum onp_status tile_emit(const struct onp_node *node, struct onp_emitter *emitter) {
    const struct onp_device *device = emitter->device;
    struct onp_launch launch = {
        .source = "grouped_conv_tile", .function = "grouped_conv_tile", .dims = 2};
    const bool single = single_items(device);
    const bool half = node->src[ONP_GROUPED_CONV_W]->dtype == ONP_F16;
    const int64_t mr = onp_tiles(device, ONP_TUNED_GROUPED_CONV)->tile_rows;
    int64_t vec, vectors;
    tile_shape(node, device, &vec, &vectors);
    snprintf(launch.defines, sizeof launch.defines, "-DVEC=%d -DNV=%d -DMR=%d%s%s", (int)vec,
             (int)vectors, (int)mr, single ? " -DSINGLE" : "", half ? " -DWEIGHT_HALF" : "");
    const int64_t blocks = node->dst->cols / (vec * vectors);
    const int64_t rows = frames_per_item(node, device, blocks, mr);
    push_common(&launch, node);
    onp_push_i32(&launch, rows);
    // A wavefront of neighbouring channels elsewhere: they read the same x and adjacent weights.
    launch.local[0] = single ? 1 : device->caps.max_work_group >= 64 ? 64 : 0;
    launch.local[1] = launch.local[0] ? 1 : 0;
    launch.global[0] =
        (size_t)onp_round_up((uint64_t)blocks, launch.local[0] ? launch.local[0] : 1);
    launch.global[1] = (size_t)onp_div_up(node->dst->rows, rows);
    return onp_emit_launch(emitter, &launch);
}

static const struct onp_variant tile = {
    .name = "grouped_conv_tile", .accepts = tile_accepts, .emit = tile_emit};

static bool simple_accepts(const struct onp_node *node, const struct onp_device *device,
                           char *why) {
    (void)device;
    return rows_layout(node, why);
}

static enum onp_status simple_emit(const struct onp_node *node, struct onp_emitter *emitter) {
    struct onp_launch launch = {
        .source = "grouped_conv_simple", .function = "grouped_conv_simple", .dims = 2};
    if (node->src[ONP_GROUPED_CONV_W]->dtype == ONP_F16)
        snprintf(launch.defines, sizeof launch.defines, "-DWEIGHT_HALF");
    push_common(&launch, node);
    launch.global[0] = (size_t)node->dst->cols;
    launch.global[1] = (size_t)node->dst->rows;
    return onp_emit_launch(emitter, &launch);
}

static const struct onp_variant simple = {
    .name = "grouped_conv_simple", .accepts = simple_accepts, .emit = simple_emit};

static const struct onp_variant *const variants[] = {&tile, &simple, NULL};

// --- Listings -----------------------------------------------------------------------------------

static void cost(const struct onp_node *node, double *flops, double *bytes) {
    const struct onp_tensor *w = node->src[ONP_GROUPED_CONV_W];
    const double frames = (double)node->dst->rows, weights = (double)w->rows * (double)w->cols;
    *flops = 2.0 * frames * weights;
    *bytes = weights * (double)onp_dtype_size(w->dtype) + 8.0 * frames * (double)node->dst->cols;
}

static void describe(const struct onp_node *node, char *text, size_t size) {
    const struct onp_grouped_conv_params *params = params_of(node);
    snprintf(text, size, "T=%lld D=%lld groups=%d kernel=%d %s", (long long)node->dst->rows,
             (long long)node->dst->cols, params->groups, params->kernel,
             onp_dtype_name(node->src[ONP_GROUPED_CONV_W]->dtype));
}

// --- Cases --------------------------------------------------------------------------------------

enum { ORDINARY, LARGE };

// p: T, D, groups, kernel, pad, dtype, row stride of x and dst (0: D), values
#define CASE(label, slow, ...)                                                                     \
    {                                                                                              \
        label, slow, { __VA_ARGS__ }                                                               \
    }
static const struct onp_op_case cases[] = {
    CASE("small model", false, 49, 64, 16, 19, 9, ONP_F32, 0, ORDINARY),
    CASE("small model, half", false, 49, 64, 16, 19, 9, ONP_F16, 0, ORDINARY),
    CASE("wide groups", false, 37, 192, 2, 19, 9, ONP_F32, 0, ORDINARY),
    CASE("one group", false, 14, 24, 1, 3, 1, ONP_F32, 0, ORDINARY),
    CASE("a group a channel", false, 10, 16, 16, 5, 2, ONP_F32, 0, ORDINARY),
    CASE("odd channels", false, 13, 21, 3, 3, 1, ONP_F32, 0, ORDINARY),
    CASE("odd channels, half", false, 13, 21, 3, 3, 1, ONP_F16, 0, ORDINARY),
    CASE("even kernel", false, 23, 32, 4, 16, 8, ONP_F32, 0, ORDINARY),
    CASE("one tap", false, 9, 32, 4, 1, 0, ONP_F32, 0, ORDINARY),
    CASE("no padding", false, 12, 32, 4, 4, 0, ONP_F32, 0, ORDINARY),
    CASE("padding of all taps but one", false, 12, 32, 4, 4, 3, ONP_F32, 0, ORDINARY),
    CASE("one frame", false, 1, 64, 16, 19, 9, ONP_F32, 0, ORDINARY),
    CASE("fewer frames than taps", false, 5, 64, 8, 19, 9, ONP_F16, 0, ORDINARY),
    CASE("wide stride", false, 20, 48, 4, 5, 2, ONP_F32, 60, ORDINARY),
    CASE("padded rows", false, 7, 1024, 256, 3, 1, ONP_F32, 0, ORDINARY),
    CASE("large values", false, 20, 64, 4, 7, 3, ONP_F32, 0, LARGE),
    CASE("long", true, 1501, 64, 4, 19, 9, ONP_F32, 0, ORDINARY),
    CASE("published group", true, 131, 192, 2, 19, 9, ONP_F16, 0, ORDINARY),
};

// With a row stride, x and dst are views of wider tensors that start in an odd column.
static struct onp_tensor *build_case(struct onp_case_builder *b, const struct onp_op_case *c) {
    const int32_t *p = c->p;
    const int64_t frames = p[0], d = p[1], channels = d / p[2], ld = p[6] ? p[6] : d;
    const int64_t first = ld > d ? 1 : 0;
    struct onp_tensor *x = onp_case_input(b, frames, ld, p[7] == LARGE ? 1e4f : 1.0f);
    struct onp_tensor *dst = NULL;
    if (first) {
        x = onp_graph_view(b->graph, x, first, frames, d, ld);
        dst = onp_graph_view(b->graph, onp_graph_activation(b->graph, frames, ld, true), first,
                             frames, d, ld);
    }
    const float scale = 1.0f / sqrtf((float)(channels * p[3]));
    struct onp_grouped_conv_args args = {.x = x,
                                         .bias = onp_case_vector(b, 1, d, 0.0f, 1.0f),
                                         .groups = p[2],
                                         .kernel = p[3],
                                         .pad = p[4]};
    if (p[5] == ONP_F16)
        args.w = onp_case_weight(b, ONP_F16, d * p[3], channels, scale);
    else
        args.w = onp_case_vector(b, d * p[3], channels, 0.0f, scale);
    return onp_grouped_conv(b->graph, &args, dst);
}

const struct onp_op onp_op_grouped_conv = {.name = "grouped_conv",
                                           .reference = reference,
                                           .variants = variants,
                                           .cases = cases,
                                           .case_count = ONP_COUNT(cases),
                                           .build_case = build_case,
                                           .tolerance = 1.4e-5, // measured: 1.4e-6, 19 x 96 terms
                                           .cost = cost,
                                           .describe = describe};
