// SPDX-License-Identifier: Apache-2.0
// Speed of the kernels at the published model's sizes, as a fraction of the device's own peak.
//
//   onepeace-bench-kernels [--device SELECTOR] [--op TEXT] [--variant NAME] [--half] [--runs N]
//                          [--quick]
//
// Prints for each shape: the variant, its best time of N runs by the device's clock, GFLOP/s, the
// float32 fma peak measured just before and after (the better one), and the ratio. On CPUs the last
// number is the ratio in processor time instead of elapsed time: it is what counts on a machine
// that other work shares.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "backend/registry.h"
#include "base/checked.h"
#include "base/rng.h"
#include "exec/exec.h"
#include "onepeace/probe.h"
#include "ops/op.h"
#include "ops/ops.h"

struct options {
    const char *device, *op, *variant;
    bool half, quick;
    int runs;
};

struct bench {
    struct options options;
    struct onp_context context;
    struct onp_device *device;
    struct onp_graph *graph;
    struct onp_exec *exec;
    struct onp_rng rng;
    struct onp_prober *prober;
};

static void print_message(void *user, enum onp_log_level level, const char *message) {
    (void)user;
    (void)level;
    fprintf(stderr, "%s\n", message);
}

// --- Peak ---------------------------------------------------------------------------------------

// Operations a second, elapsed and (on CPUs) of processor time.
struct rate {
    double elapsed, processor;
};

static double processor_seconds(void) { return (double)clock() / CLOCKS_PER_SEC; }

static void keep_best(struct rate *best, double elapsed, double processor) {
    if (elapsed > best->elapsed) best->elapsed = elapsed;
    if (processor > best->processor) best->processor = processor;
}

// Best of three.
static enum onp_status peak_measure(struct bench *b, struct rate *best) {
    struct onp_probe_result peak;
    ONP_TRY(onp_prober_run(b->prober, ONP_PROBE_FMA_F32, 3, &peak));
    for (size_t i = 0; i < peak.count; i++)
        keep_best(best, peak.work / peak.seconds[i], peak.work / peak.processor[i]);
    return ONP_OK;
}

// --- Tensors ------------------------------------------------------------------------------------

static struct onp_tensor *input(struct bench *b, int64_t rows, int64_t cols) {
    float *data = onp_graph_alloc(b->graph, (size_t)(rows * cols) * sizeof *data);
    for (int64_t i = 0; data && i < rows * cols; i++) data[i] = onp_rng_uniform(&b->rng) - 0.5f;
    return onp_graph_input(b->graph, "", ONP_F32, rows, cols, data);
}

static struct onp_tensor *integers(struct bench *b, int64_t count, int32_t first, int32_t step) {
    int32_t *data = onp_graph_alloc(b->graph, (size_t)count * sizeof *data);
    for (int64_t i = 0; data && i < count; i++) data[i] = first + (int32_t)i * step;
    return onp_graph_input(b->graph, "", ONP_I32, 1, count, data);
}

static enum onp_status fill(void *user, int64_t first, int64_t count, float *rows) {
    const struct bench *b = user;
    const struct onp_tensor *x = onp_graph_tensor(b->graph, onp_graph_tensor_count(b->graph) - 1);
    struct onp_rng rng = {.state = (uint64_t)first + 1}; // called from several threads
    for (int64_t i = 0; i < count * x->cols; i++) rows[i] = onp_rng_uniform(&rng) - 0.5f;
    return ONP_OK;
}

static struct onp_tensor *weight(struct bench *b, int64_t rows, int64_t cols, bool product) {
    struct onp_tensor *x = onp_graph_input(b->graph, "", ONP_F32, rows, cols, NULL);
    if (!x) return NULL;
    x->role = ONP_ROLE_WEIGHT;
    if (product) {
        x->dtype = b->options.half ? ONP_F16 : ONP_F32;
        onp_matmul_weight_layout(b->device, x->dtype, rows, cols, &x->layout, &x->panel);
    }
    if (onp_weight_upload(b->device, x, fill, b) != ONP_OK)
        return onp_graph_error(b->graph, ONP_ERR_DEVICE_MEMORY, "%s", onp_last_error());
    return x;
}

static void free_weights(struct bench *b) {
    for (size_t i = 0; i < onp_graph_tensor_count(b->graph); i++) {
        struct onp_tensor *x = onp_graph_tensor(b->graph, i);
        if (x->role == ONP_ROLE_WEIGHT && x->root == x && x->buffer)
            b->device->backend->buffer_destroy(x->buffer);
    }
}

// --- Shapes -------------------------------------------------------------------------------------

enum epilogue { PLAIN, BIAS, GATE, RESIDUAL };

// One node at the published sizes. p by the builder.
struct shape {
    const char *op;
    bool quick;
    struct onp_tensor *(*build)(struct bench *b, const int32_t *p);
    int32_t p[5];
};

// M, N, K, epilogue, row stride of a
static struct onp_tensor *build_matmul(struct bench *b, const int32_t *p) {
    struct onp_matmul_args args = {0};
    // Without a stride, that of onp_graph_activation, as in a model.
    const int32_t ld = p[4] ? p[4] : p[2] % 1024 == 0 ? p[2] + 16 : p[2];
    if (ld != p[2])
        args.a = onp_graph_view(b->graph, input(b, 1, (int64_t)(p[0] - 1) * ld + p[2]), 0, p[0],
                                p[2], ld);
    else
        args.a = input(b, p[0], p[2]);
    args.w = weight(b, p[1], p[2], true);
    if (p[3] == GATE) args.gate = weight(b, p[1], p[2], true);
    if (p[3] == BIAS || p[3] == RESIDUAL) args.bias = weight(b, 1, p[1], false);
    if (p[3] == RESIDUAL) {
        args.gamma = weight(b, 1, p[1], false);
        args.residual = input(b, p[0], p[1]);
    }
    return onp_matmul(b->graph, &args);
}

// M, N, K, row stride of a
static struct onp_tensor *build_conv_norm(struct bench *b, const int32_t *p) {
    struct onp_conv_norm_args args = {
        .norm_w = weight(b, 1, p[1], false), .norm_b = weight(b, 1, p[1], false), .eps = 1e-5f};
    args.w = weight(b, p[1], p[2], true);
    args.a = onp_graph_view(b->graph, input(b, 1, (int64_t)(p[0] - 1) * p[3] + p[2]), 0, p[0], p[2],
                            p[3]);
    return onp_conv_norm(b->graph, &args);
}

// T, heads, head size
static struct onp_tensor *build_attention(struct bench *b, const int32_t *p) {
    const int32_t length = p[0], heads = p[1], size = p[2];
    struct onp_attention_args args = {.qkv = input(b, length, 3 * (int64_t)heads * size),
                                      .offsets = integers(b, 2, 0, length),
                                      .table = weight(b, heads, 2 * (int64_t)length + 3, false),
                                      .query_pos = integers(b, length, length, -1),
                                      .key_pos = integers(b, length, 0, 1),
                                      .items = 1,
                                      .heads = heads,
                                      .longest = length,
                                      .scale = 0.125f};
    return onp_attention(b->graph, &args);
}

// rows, cols, gelu
static struct onp_tensor *build_layernorm(struct bench *b, const int32_t *p) {
    struct onp_layernorm_args args = {.x = input(b, p[0], p[1]),
                                      .weight = weight(b, 1, p[1], false),
                                      .bias = weight(b, 1, p[1], false),
                                      .eps = 1e-5f,
                                      .gelu = p[2] != 0};
    return onp_layernorm(b->graph, &args);
}

// T, D, groups, kernel
static struct onp_tensor *build_grouped_conv(struct bench *b, const int32_t *p) {
    struct onp_grouped_conv_args args = {.x = input(b, p[0], p[1]),
                                         .bias = weight(b, 1, p[1], false),
                                         .groups = p[2],
                                         .kernel = p[3],
                                         .pad = p[3] / 2};
    args.w = weight(b, (int64_t)p[1] * p[3], p[1] / p[2], false);
    return onp_grouped_conv(b->graph, &args, NULL);
}

// pictures, side
static struct onp_tensor *build_patchify(struct bench *b, const int32_t *p) {
    return onp_patchify(b->graph, input(b, p[0], 3 * (int64_t)p[1] * p[1]), p[1]);
}

// rows, cols, with positions: rows in order, as for pictures
static struct onp_tensor *build_gather(struct bench *b, const int32_t *p) {
    struct onp_gather_args args = {.table = input(b, p[0], p[1]), .token = integers(b, p[0], 0, 1)};
    if (p[2]) {
        args.positions = weight(b, p[0], p[1], false);
        args.position = integers(b, p[0], 0, 1);
    }
    return onp_gather(b->graph, &args);
}

// A picture of 256 pixels has 257 positions, 15 seconds of sound 750, a long text 70;
// four pictures together 1028.
static const struct shape shapes[] = {
    {"matmul", true, build_matmul, {257, 4608, 1536, BIAS}},
    {"matmul", true, build_matmul, {257, 1536, 1536, RESIDUAL}},
    {"matmul", true, build_matmul, {257, 6144, 1536, GATE}},
    {"matmul", true, build_matmul, {257, 1536, 6144, RESIDUAL}},
    {"matmul", false, build_matmul, {257, 6144, 1536, PLAIN}},
    {"matmul", false, build_matmul, {750, 4608, 1536, BIAS}},
    {"matmul", false, build_matmul, {750, 1536, 1536, RESIDUAL}},
    {"matmul", false, build_matmul, {750, 6144, 1536, GATE}},
    {"matmul", false, build_matmul, {750, 1536, 6144, RESIDUAL}},
    {"matmul", false, build_matmul, {1028, 4608, 1536, BIAS}},
    {"matmul", false, build_matmul, {1028, 1536, 1536, RESIDUAL}},
    {"matmul", false, build_matmul, {1028, 6144, 1536, GATE}},
    {"matmul", false, build_matmul, {1028, 1536, 6144, RESIDUAL}},
    {"matmul", false, build_matmul, {70, 4608, 1536, BIAS}},
    {"matmul", false, build_matmul, {70, 1536, 1536, RESIDUAL}},
    {"matmul", true, build_matmul, {70, 6144, 1536, GATE}},
    {"matmul", false, build_matmul, {70, 1536, 6144, RESIDUAL}},
    {"matmul", false, build_matmul, {10, 6144, 1536, GATE}},
    {"matmul", false, build_matmul, {1, 1536, 1536, PLAIN}},
    {"conv_norm", true, build_conv_norm, {47999, 512, 10, 5}},
    {"conv_norm", false, build_conv_norm, {23999, 512, 1536, 1024}},
    {"conv_norm", false, build_conv_norm, {2999, 512, 1536, 1024}},
    {"conv_norm", false, build_conv_norm, {749, 512, 1024, 1024}},
    {"conv_norm", false, build_conv_norm, {4096, 384, 48, 48}},
    {"conv_norm", false, build_conv_norm, {1024, 384, 1536, 1536}},
    {"attention", true, build_attention, {257, 24, 64}},
    {"attention", false, build_attention, {750, 24, 64}},
    {"attention", false, build_attention, {72, 24, 64}},
    {"layernorm", true, build_layernorm, {257, 1536, 0}},
    {"layernorm", false, build_layernorm, {257, 6144, 0}},
    {"layernorm", false, build_layernorm, {23999, 512, 1}},
    {"layernorm", false, build_layernorm, {750, 1536, 0}},
    {"layernorm", false, build_layernorm, {750, 6144, 0}},
    {"layernorm", false, build_layernorm, {749, 1536, 1}},
    {"patchify", false, build_patchify, {1, 256}},
    {"patchify", false, build_patchify, {8, 256}},
    {"gather", false, build_gather, {257, 1536, 1}},
    {"gather", false, build_gather, {750, 1536, 0}},
    {"grouped_conv", true, build_grouped_conv, {749, 1536, 16, 19}},
};

// --- Running ------------------------------------------------------------------------------------

static const struct onp_variant *find_variant(const struct onp_op *op, const char *name) {
    for (const struct onp_variant *const *v = op->variants; *v; v++)
        if (strcmp((*v)->name, name) == 0) return *v;
    return NULL;
}

// Prepares the graph with the device's choice or the variant asked for; false: not served.
static bool prepare(struct bench *b, enum onp_status *status) {
    const struct onp_node *node = onp_graph_node(b->graph, 0);
    if (!b->options.variant) {
        *status = onp_exec_prepare(b->exec, b->graph, false);
        return true;
    }
    char why[ONP_WHY] = "";
    const struct onp_variant *variant = find_variant(node->op, b->options.variant);
    if (!variant || !variant->accepts(node, b->device, why)) return false;
    *status = onp_exec_prepare_variant(b->exec, b->graph, variant);
    return true;
}

// Processor time of bringing the inputs to the device, which every run begins with.
static enum onp_status upload_seconds(struct bench *b, double *seconds) {
    for (int i = 0; i < 3; i++) {
        const double start = processor_seconds();
        ONP_TRY(onp_exec_upload(b->exec));
        ONP_TRY(b->device->backend->finish(b->device));
        const double spent = processor_seconds() - start;
        if (i == 0 || spent < *seconds) *seconds = spent;
    }
    return ONP_OK;
}

static void print_result(const struct bench *b, const struct onp_kernel_time *t, struct rate rate,
                         struct rate peak) {
    printf("%-12s %-36s %-20s %9.3f ms %8.1f GFLOP/s %7.1f GB/s  peak %7.1f  %.3f", t->op, t->shape,
           t->variant, t->seconds * 1e3, rate.elapsed * 1e-9, t->bytes / t->seconds * 1e-9,
           peak.elapsed * 1e-9, rate.elapsed / peak.elapsed);
    if (b->device->caps.type == ONP_DEVICE_CPU) printf("  %.3f", rate.processor / peak.processor);
    printf("\n");
    fflush(stdout);
}

static enum onp_status measure(struct bench *b, struct rate peak) {
    struct onp_kernel_time best = {0};
    struct rate rate = {0};
    double upload = 0.0;
    ONP_TRY(upload_seconds(b, &upload));
    for (int i = 0; i < b->options.runs; i++) {
        struct onp_kernel_time *list = NULL;
        size_t count = 0;
        onp_exec_profile_reset(b->exec);
        const double start = processor_seconds();
        ONP_TRY(onp_exec_run(b->exec));
        ONP_TRY(b->device->backend->finish(b->device));
        const double processor = processor_seconds() - start - upload;
        ONP_TRY(onp_exec_profile(b->exec, &list, &count));
        if (count == 1) {
            if (i == 0 || list[0].seconds < best.seconds) best = list[0];
            keep_best(&rate, list[0].flops / list[0].seconds,
                      processor > 0.0 ? list[0].flops / processor : 0.0);
        }
        free(list);
    }
    ONP_TRY(peak_measure(b, &peak));
    if (best.seconds <= 0.0)
        return onp_fail(&b->context.log, ONP_ERR_DEVICE, "the device gives no usable times");
    print_result(b, &best, rate, peak);
    return ONP_OK;
}

static enum onp_status run_shape(struct bench *b, const struct shape *shape) {
    onp_graph_reset(b->graph);
    b->rng.state = 1;
    struct onp_tensor *dst = shape->build(b, shape->p);
    enum onp_status status = onp_graph_status(b->graph);
    struct rate peak = {0};
    if (status == ONP_OK) {
        dst->keep = true;
        if (prepare(b, &status) && status == ONP_OK) {
            status = peak_measure(b, &peak);
            if (status == ONP_OK) status = measure(b, peak);
        }
    }
    free_weights(b);
    return status;
}

static enum onp_status run(struct bench *b) {
    ONP_TRY(onp_registry_open(&b->context, b->options.device, false, &b->device));
    onp_tuning_choose(b->device);
    if (b->device->caps.reference)
        return onp_fail(&b->context.log, ONP_ERR_ARGUMENT, "the reference has no kernels to time");
    ONP_TRY(onp_graph_create(&b->context.log, &b->graph));
    ONP_TRY(onp_exec_create(b->device, &b->exec));
    ONP_TRY(onp_exec_profile_enable(b->exec, true));
    ONP_TRY(onp_prober_create(b->device, &b->prober));
    printf("%s, %s, %u compute units, tuning %s, %s weights, best of %d\n", b->device->info.name,
           b->device->info.driver, b->device->caps.compute_units, b->device->tuning.row,
           b->options.half ? "half" : "float32", b->options.runs);
    for (size_t i = 0; i < ONP_COUNT(shapes); i++)
        if ((!b->options.op || strstr(shapes[i].op, b->options.op)) &&
            (!b->options.quick || shapes[i].quick))
            ONP_TRY(run_shape(b, &shapes[i]));
    return ONP_OK;
}

// --- Command line -------------------------------------------------------------------------------

static bool parse(int argc, char **argv, struct options *o) {
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (strcmp(argv[i], "--half") == 0) {
            o->half = true;
            continue;
        }
        if (strcmp(argv[i], "--quick") == 0) {
            o->quick = true;
            continue;
        }
        if (!value) return false;
        if (strcmp(argv[i], "--device") == 0)
            o->device = value;
        else if (strcmp(argv[i], "--op") == 0)
            o->op = value;
        else if (strcmp(argv[i], "--variant") == 0)
            o->variant = value;
        else if (strcmp(argv[i], "--runs") == 0)
            o->runs = atoi(value);
        else
            return false;
        i++;
    }
    return o->runs > 0;
}

int main(int argc, char **argv) {
    struct bench b = {.options = {.device = getenv("ONEPEACE_DEVICE"), .runs = 5}};
    b.context.log = (struct onp_log){.fn = print_message, .level = ONP_LOG_WARNING};
    pthread_mutex_init(&b.context.log.mutex, NULL);
    if (!parse(argc, argv, &b.options)) {
        fprintf(stderr,
                "usage: %s [--device SELECTOR] [--op TEXT] [--variant NAME] [--half] [--runs N] "
                "[--quick]\n",
                argv[0]);
        return 2;
    }
    const enum onp_status status = run(&b);
    onp_exec_destroy(b.exec);
    onp_graph_destroy(b.graph);
    onp_prober_destroy(b.prober);
    onp_registry_close(b.device);
    pthread_mutex_destroy(&b.context.log.mutex);
    return status == ONP_OK ? 0 : 1;
}
