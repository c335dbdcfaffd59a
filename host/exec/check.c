// SPDX-License-Identifier: Apache-2.0
// Compares every variant of an op with its C reference on one case: the machinery of the self-test
// and of the kernel tests.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/half.h"
#include "exec/exec.h"
#include "exec/select.h"
#include "ops/ops.h"

// One case being checked: its graph on the device, and what the reference says.
struct check {
    struct onp_device *device;
    const struct onp_op *op;
    const struct onp_op_case *c;
    uint64_t seed;
    struct onp_graph *graph;
    struct onp_exec *exec;
    struct onp_case_builder builder;
    bool layouts_differ; // some weight has a preferred layout other than ROWS
    float *want, *got;   // [rows][cols] of dst
    double scale;        // max(1, largest |want|)
    onp_selftest_fn fn;
    void *user;
    struct onp_selftest_summary *summary;
};

// --- Random tensors ---------------------------------------------------------------------------

struct onp_tensor *onp_case_input(struct onp_case_builder *b, int64_t rows, int64_t cols,
                                  float scale) {
    float *data = onp_graph_alloc(b->graph, (size_t)(rows * cols) * sizeof *data);
    if (!data) return NULL;
    for (int64_t i = 0; i < rows * cols; i++) data[i] = scale * onp_rng_normal(&b->rng);
    return onp_graph_input(b->graph, "", ONP_F32, rows, cols, data);
}

struct onp_tensor *onp_case_int(struct onp_case_builder *b, const int32_t *values, int64_t count) {
    int32_t *data = onp_graph_alloc(b->graph, (size_t)count * sizeof *data);
    if (!data) return NULL;
    memcpy(data, values, (size_t)count * sizeof *data);
    return onp_graph_input(b->graph, "", ONP_I32, 1, count, data);
}

struct onp_tensor *onp_case_indices(struct onp_case_builder *b, int64_t count, int32_t low,
                                    int32_t high) {
    int32_t *data = onp_graph_alloc(b->graph, (size_t)count * sizeof *data);
    if (!data) return NULL;
    const uint64_t span = (uint64_t)((int64_t)high - low + 1);
    for (int64_t i = 0; i < count; i++) data[i] = low + (int32_t)(onp_rng_next(&b->rng) % span);
    return onp_graph_input(b->graph, "", ONP_I32, 1, count, data);
}

static enum onp_status fill_rows(void *user, int64_t first, int64_t count, float *rows) {
    const struct onp_tensor *x = user;
    const int64_t cols = x->cols;
    for (int64_t i = 0; i < count * cols; i++)
        rows[i] = x->dtype == ONP_F16
                      ? onp_half_to_float(((const uint16_t *)x->host)[first * cols + i])
                      : ((const float *)x->host)[first * cols + i];
    return ONP_OK;
}

// A weight: row-major values stay in `host` for the reference, the device gets its layout.
static struct onp_tensor *case_weight(struct onp_case_builder *b, enum onp_dtype dtype,
                                      int64_t rows, int64_t cols, float mean, float scale,
                                      enum onp_layout layout, int32_t panel) {
    struct onp_graph *graph = b->graph;
    const size_t count = (size_t)(rows * cols);
    void *host = onp_graph_alloc(graph, count * onp_dtype_size(dtype));
    struct onp_tensor *x = onp_graph_input(graph, "", dtype, rows, cols, host);
    if (!x) return NULL;
    for (size_t i = 0; i < count; i++) {
        const float value = mean + scale * onp_rng_normal(&b->rng);
        if (dtype == ONP_F16)
            ((uint16_t *)host)[i] = onp_float_to_half(value);
        else
            ((float *)host)[i] = value;
    }
    x->role = ONP_ROLE_WEIGHT;
    x->layout = layout;
    x->panel = panel;
    struct onp_device *device = ((struct check *)b->sink)->device;
    if (onp_weight_upload(device, x, fill_rows, x) != ONP_OK)
        return onp_graph_error(graph, ONP_ERR_DEVICE_MEMORY, "cannot upload a case's weight: %s",
                               onp_last_error());
    return x;
}

struct onp_tensor *onp_case_vector(struct onp_case_builder *b, int64_t rows, int64_t cols,
                                   float mean, float scale) {
    return case_weight(b, ONP_F32, rows, cols, mean, scale, ONP_LAYOUT_ROWS, 0);
}

struct onp_tensor *onp_case_weight(struct onp_case_builder *b, enum onp_dtype dtype, int64_t n,
                                   int64_t k, float scale) {
    struct check *check = b->sink;
    enum onp_layout layout = ONP_LAYOUT_ROWS;
    int32_t panel = 0;
    onp_matmul_weight_layout(b->device, dtype, n, k, &layout, &panel);
    if (layout != ONP_LAYOUT_ROWS) check->layouts_differ = true;
    if (b->layout_choice == 1) {
        layout = ONP_LAYOUT_ROWS;
        panel = 0;
    }
    return case_weight(b, dtype, n, k, 0.0f, scale, layout, panel);
}

// --- Reference --------------------------------------------------------------------------------

// A copy of a tensor whose storage is directly addressable, for the C reference.
static void shadow(const struct onp_tensor *x, struct onp_tensor *copy, struct onp_buffer *buffer) {
    *copy = *x;
    copy->layout = ONP_LAYOUT_ROWS;
    copy->panel = 0;
    buffer->host = (void *)(uintptr_t)x->root->host;
    copy->buffer = buffer;
}

// Must run before the graph is planned: offsets are still relative to the root.
static enum onp_status run_reference(struct check *check) {
    const struct onp_node *node = onp_graph_node(check->graph, 0);
    struct onp_node copy = *node;
    struct onp_tensor tensors[ONP_MAX_SRC + 1];
    struct onp_buffer buffers[ONP_MAX_SRC + 1] = {{0}};
    for (int s = 0; s < ONP_MAX_SRC; s++) {
        if (!node->src[s]) continue;
        shadow(node->src[s], &tensors[s], &buffers[s]);
        copy.src[s] = &tensors[s];
    }
    const size_t count = (size_t)(node->dst->rows * node->dst->cols);
    check->want = malloc(count * sizeof *check->want);
    check->got = malloc(count * sizeof *check->got);
    if (!check->want || !check->got)
        return onp_fail(&check->device->context->log, ONP_ERR_MEMORY, "no memory for a case");
    buffers[ONP_MAX_SRC].host = check->want;
    tensors[ONP_MAX_SRC] = *node->dst;
    tensors[ONP_MAX_SRC].buffer = &buffers[ONP_MAX_SRC];
    tensors[ONP_MAX_SRC].offset = 0;
    tensors[ONP_MAX_SRC].ld = node->dst->cols;
    copy.dst = &tensors[ONP_MAX_SRC];
    check->op->reference(&copy);
    check->scale = 1.0;
    for (size_t i = 0; i < count; i++)
        if (fabs((double)check->want[i]) > check->scale)
            check->scale = fabs((double)check->want[i]);
    return ONP_OK;
}

// --- Device -----------------------------------------------------------------------------------

// Reads the whole arena. A kernel must change nothing in it but its result and its workspace.
static enum onp_status snapshot(struct check *check, unsigned char *out) {
    const struct onp_backend *backend = check->device->backend;
    ONP_TRY(backend->finish(check->device));
    return backend->buffer_read(onp_exec_arena(check->exec), 0, out,
                                onp_exec_arena_bytes(check->exec));
}

static bool source_changed(const struct check *check, const unsigned char *before,
                           const unsigned char *after) {
    for (size_t i = 0; i < onp_graph_tensor_count(check->graph); i++) {
        const struct onp_tensor *x = onp_graph_tensor(check->graph, i);
        if (x->root != x || x->role != ONP_ROLE_INPUT) continue;
        const size_t size = onp_dtype_size(x->dtype);
        const size_t from = (size_t)x->offset * size;
        if (memcmp(before + from, after + from, (size_t)(x->rows * x->cols) * size) != 0)
            return true;
    }
    return false;
}

// True if bytes of the result's own rows between cols and ld were written (they are padding).
static bool padding_changed(const struct check *check, const unsigned char *before,
                            const unsigned char *after) {
    const struct onp_tensor *x = onp_graph_node(check->graph, 0)->dst;
    for (int64_t r = 0; r + 1 < x->rows && x->ld > x->cols; r++) {
        const size_t from = (size_t)(x->offset + r * x->ld + x->cols) * sizeof(float);
        if (memcmp(before + from, after + from, (size_t)(x->ld - x->cols) * sizeof(float)) != 0)
            return true;
    }
    return false;
}

static double worst_error(const struct check *check) {
    const struct onp_tensor *dst = onp_graph_node(check->graph, 0)->dst;
    double worst = 0.0;
    for (int64_t i = 0; i < dst->rows * dst->cols; i++) {
        const double error = fabs((double)check->got[i] - (double)check->want[i]) / check->scale;
        if (!(error <= worst)) worst = error; // NaN counts as worst
        if (isnan(error)) return INFINITY;
    }
    return worst;
}

// Fills the arena with NaN, so that what a kernel forgets to write is seen.
static enum onp_status poison(struct check *check, unsigned char *scratch) {
    memset(scratch, 0xff, onp_exec_arena_bytes(check->exec));
    return check->device->backend->buffer_write(onp_exec_arena(check->exec), 0, scratch,
                                                onp_exec_arena_bytes(check->exec));
}

static enum onp_status run_poisoned(struct check *check, const char **message) {
    const size_t bytes = onp_exec_arena_bytes(check->exec);
    unsigned char *before = malloc(bytes), *after = malloc(bytes);
    enum onp_status status = ONP_OK;
    if (!before || !after)
        status = onp_fail(&check->device->context->log, ONP_ERR_MEMORY, "no memory for a case");
    if (status == ONP_OK) status = poison(check, before);
    if (status == ONP_OK) status = onp_exec_upload(check->exec);
    if (status == ONP_OK) status = snapshot(check, before);
    if (status == ONP_OK) status = onp_exec_run(check->exec);
    if (status == ONP_OK) status = snapshot(check, after);
    if (status == ONP_OK) {
        if (source_changed(check, before, after)) *message = "the kernel changed its input";
        if (padding_changed(check, before, after)) *message = "the kernel wrote between the rows";
        status = onp_exec_read(check->exec, onp_graph_node(check->graph, 0)->dst, check->got);
    }
    free(before);
    free(after);
    return status;
}

static void report(struct check *check, const struct onp_variant *variant, enum onp_status status,
                   double error, const char *message) {
    if (status == ONP_OK)
        check->summary->passed++;
    else
        check->summary->failed++;
    const struct onp_selftest_result result = {.op = check->op->name,
                                               .variant = variant->name,
                                               .label = check->c->label,
                                               .status = status,
                                               .error = error,
                                               .tolerance = check->op->tolerance,
                                               .seed = check->seed,
                                               .message = message};
    if (check->fn) check->fn(check->user, &result);
}

static enum onp_status build(struct check *check, int layout_choice) {
    onp_graph_reset(check->graph);
    check->layouts_differ = false;
    check->builder = (struct onp_case_builder){.graph = check->graph,
                                               .device = check->device,
                                               .rng = {check->seed},
                                               .layout_choice = layout_choice,
                                               .sink = check};
    struct onp_tensor *dst = check->op->build_case(&check->builder, check->c);
    ONP_TRY(onp_graph_status(check->graph));
    if (!dst || onp_graph_node_count(check->graph) != 1)
        return onp_fail(&check->device->context->log, ONP_ERR_ARGUMENT,
                        "case %s of %s does not record one node", check->c->label, check->op->name);
    dst->root->keep = true;
    return ONP_OK;
}

static void destroy_weights(struct check *check) {
    for (size_t i = 0; i < onp_graph_tensor_count(check->graph); i++) {
        struct onp_tensor *x = onp_graph_tensor(check->graph, i);
        if (x->role == ONP_ROLE_WEIGHT && x->root == x && x->buffer)
            check->device->backend->buffer_destroy(x->buffer);
        x->buffer = NULL;
    }
}

// Runs one variant on the case as built; the graph is built anew since planning changes it.
static enum onp_status check_variant(struct check *check, const struct onp_variant *variant) {
    const char *message = "";
    enum onp_status status = onp_exec_prepare_variant(check->exec, check->graph, variant);
    if (status == ONP_OK) status = run_poisoned(check, &message);
    if (status != ONP_OK) {
        report(check, variant, status, INFINITY, onp_last_error());
        return ONP_OK;
    }
    const double error = worst_error(check);
    const bool good = error <= check->op->tolerance && !*message;
    if (!good && !*message) message = "differs from the C reference";
    report(check, variant, good ? ONP_OK : ONP_ERR_MISMATCH, error, message);
    return ONP_OK;
}

static enum onp_status check_layout(struct check *check, int layout_choice, const char *filter,
                                    bool *accepted) {
    for (size_t v = 0; check->op->variants[v]; v++) {
        const struct onp_variant *variant = check->op->variants[v];
        if (filter && !strstr(check->op->name, filter) && !strstr(variant->name, filter)) continue;
        char why[ONP_WHY];
        enum onp_status status = build(check, layout_choice);
        if (status == ONP_OK && !check->want) status = run_reference(check);
        if (status == ONP_OK && (layout_choice == 0 || check->layouts_differ) &&
            onp_variant_accepts(variant, onp_graph_node(check->graph, 0), check->device, why)) {
            accepted[v] = true;
            status = check_variant(check, variant);
        }
        destroy_weights(check);
        ONP_TRY(status);
    }
    return ONP_OK;
}

// The first variant that accepts the case as built; *why gets the refusals before it.
static const char *first_accepting(const struct check *check, char *why, size_t size) {
    const struct onp_node *node = onp_graph_node(check->graph, 0);
    size_t used = 0;
    why[0] = '\0';
    for (const struct onp_variant *const *v = check->op->variants; *v; v++) {
        char reason[ONP_WHY];
        if (onp_variant_accepts(*v, node, check->device, reason)) return (*v)->name;
        if (used < size)
            used += (size_t)snprintf(why + used, size - used, "%s%s: %s", used ? "; " : "",
                                     (*v)->name, reason);
    }
    return "";
}

enum onp_status onp_check_choice(struct onp_device *device, const struct onp_op *op,
                                 const struct onp_op_case *c, const char **variant, char *why,
                                 size_t size) {
    struct check check = {.device = device, .op = op, .c = c, .seed = 1};
    ONP_TRY(onp_graph_create(&device->context->log, &check.graph));
    const enum onp_status status = build(&check, 0);
    if (status == ONP_OK) *variant = first_accepting(&check, why, size);
    destroy_weights(&check);
    onp_graph_destroy(check.graph);
    return status;
}

#define MAX_VARIANTS 16

static enum onp_status check_case(struct onp_device *device, const struct onp_op *op,
                                  const struct onp_op_case *c, const char *filter, uint64_t seed,
                                  onp_selftest_fn fn, void *user,
                                  struct onp_selftest_summary *summary) {
    struct check check = {.device = device,
                          .op = op,
                          .c = c,
                          .seed = seed,
                          .fn = fn,
                          .user = user,
                          .summary = summary};
    bool accepted[MAX_VARIANTS] = {false};
    enum onp_status status = onp_graph_create(&device->context->log, &check.graph);
    if (status == ONP_OK) status = onp_exec_create(device, &check.exec);
    for (int choice = 0; choice < 2 && status == ONP_OK; choice++)
        status = check_layout(&check, choice, filter, accepted);
    for (size_t v = 0; status == ONP_OK && op->variants[v]; v++)
        if (!accepted[v] &&
            (!filter || strstr(op->name, filter) || strstr(op->variants[v]->name, filter)))
            summary->declined++;
    onp_exec_destroy(check.exec);
    onp_graph_destroy(check.graph);
    free(check.want);
    free(check.got);
    return status;
}

enum onp_status onp_check_case(struct onp_device *device, const struct onp_op *op,
                               const struct onp_op_case *c, uint64_t seed, onp_selftest_fn fn,
                               void *user, struct onp_selftest_summary *summary) {
    return check_case(device, op, c, NULL, seed, fn, user, summary);
}

enum onp_status onp_check_all(struct onp_device *device, const char *filter, bool quick,
                              uint64_t seed, onp_selftest_fn fn, void *user,
                              struct onp_selftest_summary *summary) {
    *summary = (struct onp_selftest_summary){0};
    for (const struct onp_op *const *op = onp_ops; *op; op++)
        for (size_t i = 0; i < (*op)->case_count; i++)
            if (!quick || !(*op)->cases[i].slow)
                ONP_TRY(
                    check_case(device, *op, &(*op)->cases[i], filter, seed + i, fn, user, summary));
    return ONP_OK;
}
