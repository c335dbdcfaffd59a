// SPDX-License-Identifier: Apache-2.0
// The matrix product: builder call, C reference, case table. Variants: matmul_variants.c.
#include "ops/matmul.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/checked.h"
#include "base/half.h"
#include "base/parallel.h"
#include "ops/op_list.h"
#include "ops/ops.h"

// --- Building -----------------------------------------------------------------------------------

static bool is_weight(const struct onp_tensor *x) {
    return x->dtype == ONP_F32 || x->dtype == ONP_F16;
}

static bool is_vector(const struct onp_tensor *x, int64_t n) {
    return !x || (x->dtype == ONP_F32 && x->rows == 1 && x->cols == n);
}

// Kernels take sizes and row strides as int.
static bool fits_int(const struct onp_tensor *x) {
    return !x || (x->rows <= INT32_MAX && x->cols <= INT32_MAX && x->ld <= INT32_MAX);
}

// NULL if the operands fit together, else what does not.
static const char *shape_error(const struct onp_matmul_args *args) {
    const struct onp_tensor *a = args->a, *w = args->w, *gate = args->gate;
    if (a->dtype != ONP_F32 || !is_weight(w)) return "types";
    if (a->cols != w->cols) return "inner sizes";
    if (!is_vector(args->bias, w->rows)) return "bias";
    if (!is_vector(args->gamma, w->rows) || !args->gamma != !args->residual) return "gamma";
    if (args->residual && (args->residual->dtype != ONP_F32 || args->residual->rows != a->rows ||
                           args->residual->cols != w->rows))
        return "residual";
    if (gate && (gate->dtype != w->dtype || gate->layout != w->layout || gate->panel != w->panel ||
                 gate->rows != w->rows || gate->cols != w->cols || gate->ld != w->ld))
        return "gate";
    if ((gate || args->gelu) && args->residual) return "epilogues together";
    if (gate && (args->gelu || args->bias)) return "epilogues together";
    if (!fits_int(a) || !fits_int(w) || !fits_int(args->residual)) return "sizes beyond 2^31";
    return NULL;
}

struct onp_tensor *onp_matmul(struct onp_graph *graph, const struct onp_matmul_args *args) {
    if (onp_graph_status(graph) != ONP_OK) return NULL;
    if (!args->a || !args->w)
        return onp_graph_error(graph, ONP_ERR_ARGUMENT, "matmul without operands");
    const char *error = shape_error(args);
    if (error)
        return onp_graph_error(graph, ONP_ERR_ARGUMENT,
                               "matmul of %s (%lld x %lld) with %s (%lld x %lld): %s do not fit",
                               args->a->name, (long long)args->a->rows, (long long)args->a->cols,
                               args->w->name, (long long)args->w->rows, (long long)args->w->cols,
                               error);
    struct onp_tensor *const src[] = {
        [ONP_MATMUL_A] = args->a,         [ONP_MATMUL_W] = args->w,
        [ONP_MATMUL_BIAS] = args->bias,   [ONP_MATMUL_GATE] = args->gate,
        [ONP_MATMUL_GAMMA] = args->gamma, [ONP_MATMUL_RESIDUAL] = args->residual};
    const struct onp_matmul_params params = {.gelu = args->gelu};
    struct onp_tensor *dst = onp_graph_activation(graph, args->a->rows, args->w->rows, false);
    return onp_graph_record(graph, &onp_op_matmul, dst, src, ONP_COUNT(src), &params,
                            sizeof params);
}

// --- Reference ----------------------------------------------------------------------------------

#define BLOCK 8 // rows of a that share one reading of the weights

static double weight_at(const struct onp_tensor *w, const void *data, size_t index) {
    return w->dtype == ONP_F16 ? (double)onp_half_to_float(((const uint16_t *)data)[index])
                               : (double)((const float *)data)[index];
}

// sum[i] = a[m + i] . w[n] for `count` rows.
static void dot_rows(const struct onp_node *node, const struct onp_tensor *w, int64_t m,
                     int64_t count, int64_t n, double *sum) {
    const struct onp_tensor *a = node->src[ONP_MATMUL_A];
    const void *weights = onp_host_data(w);
    const float *row[BLOCK];
    for (int64_t i = 0; i < BLOCK; i++) {
        row[i] = (const float *)onp_host_data(a) + (m + (i < count ? i : 0)) * a->ld;
        sum[i] = 0.0;
    }
    for (int64_t k = 0; k < a->cols; k++) {
        const double b = weight_at(w, weights, (size_t)(n * w->ld + k));
        for (int i = 0; i < BLOCK; i++) sum[i] += (double)row[i][k] * b;
    }
}

static double exact_gelu(double x) { return 0.5 * x * erfc(-x * 0.70710678118654752440); }

static double value_at(const struct onp_tensor *x, int64_t row, int64_t col) {
    return (double)((const float *)onp_host_data(x))[row * x->ld + col];
}

static void reference_block(void *user, size_t block) {
    const struct onp_node *node = user;
    struct onp_tensor *const *src = node->src;
    const struct onp_matmul_params *params = (const void *)node->params;
    const struct onp_tensor *dst = node->dst;
    const int64_t m = (int64_t)block * BLOCK;
    const int64_t count = dst->rows - m < BLOCK ? dst->rows - m : BLOCK;
    for (int64_t n = 0; n < dst->cols; n++) {
        double sum[BLOCK], gate[BLOCK];
        dot_rows(node, src[ONP_MATMUL_W], m, count, n, sum);
        if (src[ONP_MATMUL_GATE]) dot_rows(node, src[ONP_MATMUL_GATE], m, count, n, gate);
        for (int64_t i = 0; i < count; i++) {
            double x = sum[i];
            if (src[ONP_MATMUL_BIAS]) x += value_at(src[ONP_MATMUL_BIAS], 0, n);
            if (params->gelu) x = exact_gelu(x);
            if (src[ONP_MATMUL_GATE]) x = exact_gelu(x) * gate[i];
            if (src[ONP_MATMUL_RESIDUAL])
                x = value_at(src[ONP_MATMUL_RESIDUAL], m + i, n) +
                    value_at(src[ONP_MATMUL_GAMMA], 0, n) * x;
            ((float *)onp_host_data(dst))[(m + i) * dst->ld + n] = (float)x;
        }
    }
}

static void reference(const struct onp_node *node) {
    const size_t blocks = (size_t)onp_div_up(node->dst->rows, BLOCK);
    onp_parallel_for(blocks, 0, reference_block, (void *)(uintptr_t)node);
}

// --- Listings -----------------------------------------------------------------------------------

static void cost(const struct onp_node *node, double *flops, double *bytes) {
    const struct onp_tensor *a = node->src[ONP_MATMUL_A], *w = node->src[ONP_MATMUL_W];
    const double m = (double)a->rows, n = (double)w->rows, k = (double)a->cols;
    const double products = node->src[ONP_MATMUL_GATE] ? 2.0 : 1.0;
    const double outputs = node->src[ONP_MATMUL_RESIDUAL] ? 2.0 : 1.0;
    *flops = 2.0 * m * n * k * products;
    *bytes = 4.0 * (m * k + m * n * outputs) + products * n * k * (double)onp_dtype_size(w->dtype);
}

static void describe(const struct onp_node *node, char *text, size_t size) {
    const struct onp_matmul_params *params = (const void *)node->params;
    const struct onp_tensor *a = node->src[ONP_MATMUL_A], *w = node->src[ONP_MATMUL_W];
    const char *epilogue = node->src[ONP_MATMUL_GATE]       ? " gate"
                           : node->src[ONP_MATMUL_RESIDUAL] ? " residual"
                           : params->gelu                   ? " gelu"
                                                            : "";
    snprintf(text, size, "M=%lld N=%lld K=%lld %s%s", (long long)a->rows, (long long)w->rows,
             (long long)a->cols, onp_dtype_name(w->dtype), epilogue);
}

// --- Cases --------------------------------------------------------------------------------------

enum { PLAIN, BIAS, GELU, GATE, RESIDUAL, GELU_NO_BIAS, RESIDUAL_NO_BIAS };
enum { ORDINARY, LARGE, TINY };

// p: M, N, K, dtype, epilogue, row stride of a (0: K), values
#define CASE(label, slow, ...)                                                                     \
    {                                                                                              \
        label, slow, { __VA_ARGS__ }                                                               \
    }
static const struct onp_op_case cases[] = {
    CASE("plain", false, 24, 64, 64, ONP_F32, PLAIN, 0, ORDINARY),
    CASE("bias", false, 17, 80, 64, ONP_F32, BIAS, 0, ORDINARY),
    CASE("gelu", false, 13, 96, 64, ONP_F32, GELU, 0, ORDINARY),
    CASE("gelu without bias", false, 9, 33, 64, ONP_F32, GELU_NO_BIAS, 0, ORDINARY),
    CASE("gate", false, 26, 128, 64, ONP_F32, GATE, 0, ORDINARY),
    CASE("residual", false, 19, 64, 128, ONP_F32, RESIDUAL, 0, ORDINARY),
    CASE("residual without bias", false, 4, 47, 65, ONP_F32, RESIDUAL_NO_BIAS, 0, ORDINARY),
    CASE("half plain", false, 24, 64, 64, ONP_F16, PLAIN, 0, ORDINARY),
    CASE("half bias", false, 17, 80, 48, ONP_F16, BIAS, 0, ORDINARY),
    CASE("half gelu", false, 13, 96, 64, ONP_F16, GELU, 0, ORDINARY),
    CASE("half gate", false, 26, 130, 64, ONP_F16, GATE, 0, ORDINARY),
    CASE("half residual", false, 19, 65, 128, ONP_F16, RESIDUAL, 0, ORDINARY),
    CASE("one element", false, 1, 1, 1, ONP_F32, BIAS, 0, ORDINARY),
    CASE("one element, half", false, 1, 1, 1, ONP_F16, PLAIN, 0, ORDINARY),
    CASE("one row", false, 1, 50, 63, ONP_F32, BIAS, 0, ORDINARY),
    CASE("one column", false, 7, 1, 48, ONP_F32, RESIDUAL, 0, ORDINARY),
    CASE("one column, gate", false, 5, 1, 10, ONP_F16, GATE, 0, ORDINARY),
    CASE("one step", false, 5, 33, 1, ONP_F32, GELU, 0, ORDINARY),
    CASE("two rows", false, 2, 17, 3, ONP_F32, GATE, 0, ORDINARY),
    CASE("three rows", false, 3, 33, 10, ONP_F16, RESIDUAL, 0, ORDINARY),
    CASE("five rows", false, 5, 17, 63, ONP_F32, BIAS, 0, ORDINARY),
    CASE("seven rows", false, 7, 33, 48, ONP_F32, GATE, 0, ORDINARY),
    CASE("one row, gate", false, 1, 33, 48, ONP_F16, GATE, 0, ORDINARY),
    CASE("padded rows", false, 8, 1024, 16, ONP_F32, RESIDUAL, 0, ORDINARY),
    CASE("wide stride", false, 11, 40, 48, ONP_F32, BIAS, 67, ORDINARY),
    CASE("wide stride, half gate", false, 11, 40, 48, ONP_F16, GATE, 64, ORDINARY),
    CASE("overlapping rows", false, 37, 64, 10, ONP_F32, PLAIN, 5, ORDINARY),
    CASE("overlapping rows, odd", false, 23, 17, 63, ONP_F32, BIAS, 42, ORDINARY),
    CASE("overlapping rows, half", false, 16, 48, 96, ONP_F16, GELU, 64, ORDINARY),
    CASE("large values", false, 14, 40, 200, ONP_F32, BIAS, 0, LARGE),
    CASE("large values, gate", false, 14, 40, 50, ONP_F32, GATE, 0, LARGE),
    CASE("large values, gelu", false, 14, 40, 50, ONP_F16, GELU, 0, LARGE),
    CASE("denormals", false, 6, 33, 31, ONP_F32, GELU_NO_BIAS, 0, TINY),
    CASE("denormal halves", false, 6, 33, 31, ONP_F16, PLAIN, 0, TINY),
    CASE("many rows", false, 131, 40, 70, ONP_F32, RESIDUAL, 0, ORDINARY),
    CASE("whole tiles", false, 128, 128, 96, ONP_F32, BIAS, 0, ORDINARY),
    CASE("whole tiles, half gate", false, 128, 128, 96, ONP_F16, GATE, 0, ORDINARY),
    CASE("long sums", true, 13, 70, 6144, ONP_F32, RESIDUAL, 0, ORDINARY),
    CASE("long sums, half", true, 6, 70, 6145, ONP_F16, BIAS, 0, ORDINARY),
    CASE("long sums, gate", true, 7, 40, 6144, ONP_F32, GATE, 0, ORDINARY),
    CASE("tall", true, 1028, 48, 384, ONP_F32, BIAS, 0, ORDINARY),
    CASE("wave, first layer", true, 4799, 64, 10, ONP_F32, PLAIN, 5, ORDINARY),
    CASE("picture, out", true, 257, 192, 1536, ONP_F32, RESIDUAL, 0, ORDINARY),
    CASE("picture, half gate", true, 257, 160, 1536, ONP_F16, GATE, 0, ORDINARY),
};

static struct onp_tensor *case_a(struct onp_case_builder *b, const int32_t *p) {
    static const float scales[] = {[ORDINARY] = 1.0f, [LARGE] = 1e4f, [TINY] = 1e-39f};
    const int64_t rows = p[0], cols = p[2], ld = p[5] ? p[5] : cols;
    if (ld == cols) return onp_case_input(b, rows, cols, scales[p[6]]);
    // An odd first element, so that no kernel can count on alignment.
    struct onp_tensor *x = onp_case_input(b, 1, 3 + (rows - 1) * ld + cols, scales[p[6]]);
    return onp_graph_view(b->graph, x, 3, rows, cols, ld);
}

static struct onp_tensor *build_case(struct onp_case_builder *b, const struct onp_op_case *c) {
    const int32_t *p = c->p, epilogue = p[4];
    const enum onp_dtype dtype = (enum onp_dtype)p[3];
    const float scale = p[6] == TINY ? 1e-6f : 1.0f / sqrtf((float)p[2]);
    struct onp_matmul_args args = {.a = case_a(b, p),
                                   .gelu = epilogue == GELU || epilogue == GELU_NO_BIAS};
    args.w = onp_case_weight(b, dtype, p[1], p[2], scale);
    if (epilogue == BIAS || epilogue == GELU || epilogue == RESIDUAL)
        args.bias = onp_case_vector(b, 1, p[1], 0.0f, 1.0f);
    if (epilogue == GATE) args.gate = onp_case_weight(b, dtype, p[1], p[2], scale);
    if (epilogue == RESIDUAL || epilogue == RESIDUAL_NO_BIAS) {
        args.gamma = onp_case_vector(b, 1, p[1], 0.5f, 0.5f);
        args.residual = onp_case_input(b, p[0], p[1], 1.0f);
    }
    return onp_matmul(b->graph, &args);
}

const struct onp_op onp_op_matmul = {.name = "matmul",
                                     .reference = reference,
                                     .variants = onp_matmul_variants,
                                     .cases = cases,
                                     .case_count = ONP_COUNT(cases),
                                     .build_case = build_case,
                                     .tolerance = 1.6e-5, // measured: 1.6e-6, sums of 6144
                                     .cost = cost,
                                     .describe = describe};
