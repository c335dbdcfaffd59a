// SPDX-License-Identifier: Apache-2.0
// Two tilings of an op in turn, on copies of a model's nodes with random operands.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/clock.h"
#include "base/rng.h"
#include "exec/exec.h"
#include "exec/tune.h"
#include "ops/op_list.h"
#include "ops/ops.h"

// --- Shapes -------------------------------------------------------------------------------------

static bool same_tensor(const struct onp_tensor *a, const struct onp_tensor *b) {
    if (!a || !b) return a == b;
    return a->rows == b->rows && a->cols == b->cols && a->ld == b->ld && a->dtype == b->dtype;
}

static bool same_shape(const struct onp_node *a, const struct onp_node *b) {
    for (int s = 0; s < ONP_MAX_SRC; s++)
        if (!same_tensor(a->src[s], b->src[s])) return false;
    return a->op == b->op && same_tensor(a->dst, b->dst) &&
           memcmp(a->params, b->params, ONP_PARAMS_SIZE) == 0;
}

// Indices decide what is computed, so they are copied; those that a model computes are unknown.
static bool can_copy(const struct onp_node *node) {
    for (int s = 0; s < ONP_MAX_SRC; s++) {
        const struct onp_tensor *x = node->src[s];
        if (x && x->dtype == ONP_I32 && (x->role != ONP_ROLE_INPUT || !x->root->host)) return false;
    }
    return true;
}

static void collect_node(const struct onp_node *node, int graph, struct onp_tune_shapes *shapes) {
    size_t i = 0;
    while (i < shapes->count && !same_shape(shapes->node[i], node)) i++;
    if (i == ONP_TUNE_SHAPES) return;
    if (i == shapes->count) {
        shapes->node[i] = node;
        shapes->count++;
    }
    shapes->calls[i][graph] += 1.0;
}

void onp_tune_collect(enum onp_tuned_op op, struct onp_graph *const graphs[ONP_MODALITY_COUNT],
                      struct onp_tune_shapes *shapes) {
    memset(shapes, 0, sizeof *shapes);
    for (int g = 0; g < ONP_MODALITY_COUNT; g++)
        for (size_t i = 0; graphs[g] && i < onp_graph_node_count(graphs[g]); i++) {
            const struct onp_node *node = onp_graph_node(graphs[g], i);
            enum onp_tuned_op tiles;
            if (onp_tuned_op_of(node->op->name, &tiles) && tiles == op && can_copy(node))
                collect_node(node, g, shapes);
        }
}

// --- Copies of a node ---------------------------------------------------------------------------

// One tiling ready to run a shape.
struct side {
    struct onp_device *device;
    struct onp_graph *graph;
    struct onp_exec *exec;
    struct onp_tensor *dst;
    float *result;
};

struct filler {
    uint64_t seed;
    int64_t cols;
    float scale;
};

// A row's values follow from its number: rows are asked for in any order, by several threads.
static enum onp_status fill(void *user, int64_t first, int64_t count, float *rows) {
    const struct filler *filler = user;
    for (int64_t r = 0; r < count; r++) {
        struct onp_rng rng = {filler->seed ^ (uint64_t)(first + r) * 0xd1342543de82ef95ul};
        for (int64_t c = 0; c < filler->cols; c++)
            rows[r * filler->cols + c] = filler->scale * onp_rng_normal(&rng);
    }
    return ONP_OK;
}

static struct onp_tensor *copy_weight(struct side *side, const struct onp_tensor *x, bool product,
                                      struct onp_rng rng) {
    struct onp_tensor *copy = onp_graph_input(side->graph, "", x->dtype, x->rows, x->cols, NULL);
    if (!copy) return NULL;
    copy->role = ONP_ROLE_WEIGHT;
    if (product || x->layout == ONP_LAYOUT_PANELS)
        onp_matmul_weight_layout(side->device, x->dtype, x->rows, x->cols, &copy->layout,
                                 &copy->panel);
    struct filler filler = {rng.state, x->cols, x->rows > 1 ? 1.0f / sqrtf((float)x->cols) : 1.0f};
    if (onp_weight_upload(side->device, copy, fill, &filler) != ONP_OK)
        return onp_graph_error(side->graph, ONP_ERR_DEVICE_MEMORY, "%s", onp_last_error());
    return copy;
}

// Rows with the strides of x: views keep them, overlapping windows too.
static struct onp_tensor *copy_rows(struct side *side, const struct onp_tensor *x,
                                    struct onp_rng rng) {
    const int64_t extent = (x->rows - 1) * x->ld + x->cols;
    const bool packed = x->ld == x->cols;
    float *data = onp_graph_alloc(side->graph, (size_t)extent * sizeof *data);
    if (!data) return NULL;
    if (x->dtype == ONP_I32)
        memcpy(data, (const int32_t *)x->root->host + x->offset, (size_t)extent * sizeof *data);
    else
        for (int64_t i = 0; i < extent; i++) data[i] = onp_rng_normal(&rng);
    struct onp_tensor *root = onp_graph_input(side->graph, "", x->dtype, packed ? x->rows : 1,
                                              packed ? x->cols : extent, data);
    return packed ? root : onp_graph_view(side->graph, root, 0, x->rows, x->cols, x->ld);
}

static void copy_node(struct side *side, const struct onp_node *node, uint64_t seed) {
    struct onp_tensor *src[ONP_MAX_SRC] = {0};
    for (int s = 0; s < ONP_MAX_SRC; s++) {
        const struct onp_tensor *x = node->src[s];
        const bool product =
            (node->op == &onp_op_matmul && (s == ONP_MATMUL_W || s == ONP_MATMUL_GATE)) ||
            (node->op == &onp_op_conv_norm && s == ONP_CONV_NORM_W);
        const struct onp_rng rng = {seed + (uint64_t)s * 7919u};
        if (!x) continue;
        src[s] = x->role == ONP_ROLE_WEIGHT ? copy_weight(side, x, product, rng)
                                            : copy_rows(side, x, rng);
        if (!src[s]) return; // the graph knows why
    }
    side->dst = onp_graph_activation(side->graph, node->dst->rows, node->dst->cols,
                                     node->dst->ld == node->dst->cols);
    if (!side->dst) return;
    side->dst->keep = true;
    onp_graph_record(side->graph, node->op, side->dst, src, ONP_MAX_SRC, node->params,
                     ONP_PARAMS_SIZE);
}

static void side_close(struct side *side) {
    onp_exec_destroy(side->exec);
    for (size_t i = 0; side->graph && i < onp_graph_tensor_count(side->graph); i++) {
        struct onp_tensor *x = onp_graph_tensor(side->graph, i);
        if (x->role == ONP_ROLE_WEIGHT && x->root == x && x->buffer)
            side->device->backend->buffer_destroy(x->buffer);
    }
    onp_graph_destroy(side->graph);
    free(side->result);
}

static enum onp_status side_open(struct side *side, enum onp_tuned_op op,
                                 const struct onp_node *node, const struct onp_tuning *tiles,
                                 uint64_t seed) {
    const struct onp_log *log = &side->device->context->log;
    struct onp_tuned *tuned = &side->device->tuned[op];
    ONP_TRY(onp_graph_create(log, &side->graph));
    ONP_TRY(onp_exec_create(side->device, &side->exec));
    tuned->set = true; // for the layout of the weights and the choice of kernels, here alone
    tuned->tiles = *tiles;
    copy_node(side, node, seed);
    enum onp_status status = onp_graph_status(side->graph);
    if (status == ONP_OK) status = onp_exec_prepare(side->exec, side->graph, false);
    tuned->set = false;
    ONP_TRY(status);
    const size_t floats = (size_t)(node->dst->rows * node->dst->cols);
    if (!(side->result = malloc(floats * sizeof(float))))
        return onp_fail(log, ONP_ERR_MEMORY, "no memory to compare results");
    return onp_exec_profile_enable(side->exec, true);
}

// --- Running ------------------------------------------------------------------------------------

// Seconds of one run on the device.
static enum onp_status run_once(struct side *side, double *seconds) {
    struct onp_kernel_time *list = NULL;
    size_t count = 0;
    onp_exec_profile_reset(side->exec);
    ONP_TRY(onp_exec_run(side->exec));
    ONP_TRY(onp_exec_profile(side->exec, &list, &count));
    *seconds = 0.0;
    for (size_t i = 0; i < count; i++) *seconds += list[i].seconds;
    free(list);
    if (*seconds > 0.0) return ONP_OK;
    return onp_fail(&side->device->context->log, ONP_ERR_DEVICE,
                    "%s gives no times of its kernels, so nothing can be tuned on it",
                    side->device->info.name);
}

static enum onp_status run_many(struct side *side, int repeats, double *seconds) {
    *seconds = 0.0;
    for (int i = 0; i < repeats; i++) {
        double once;
        ONP_TRY(run_once(side, &once));
        *seconds += once / repeats;
    }
    return ONP_OK;
}

static enum onp_status compare(struct side *a, struct side *b, double tolerance) {
    ONP_TRY(onp_exec_read(a->exec, a->dst, a->result));
    ONP_TRY(onp_exec_read(b->exec, b->dst, b->result));
    const size_t count = (size_t)(a->dst->rows * a->dst->cols);
    double scale = 1.0, worst = 0.0;
    for (size_t i = 0; i < count; i++) scale = fmax(scale, fabs((double)a->result[i]));
    for (size_t i = 0; i < count; i++) {
        const double error = fabs((double)a->result[i] - (double)b->result[i]);
        if (!(error <= worst)) worst = error; // NaN counts as worst
        if (isnan(error)) return ONP_ERR_MISMATCH;
    }
    return worst / scale <= 2.0 * tolerance ? ONP_OK : ONP_ERR_MISMATCH;
}

#define SAMPLE_SECONDS 0.001 // shorter kernels are run several times for one sample
#define REPEATS        8     // at most: a run costs more than its kernel

// times[2 * i] and times[2 * i + 1]: a and b in pair i.
static enum onp_status time_shape(struct side *a, struct side *b, const struct onp_node *node,
                                  size_t pairs, const struct onp_tune_clock *clock, double *times,
                                  size_t *done) {
    double first, second;
    ONP_TRY(run_once(a, &first)); // brings in what the first run pays for
    ONP_TRY(run_once(b, &second));
    ONP_TRY(compare(a, b, node->op->tolerance));
    int repeats = (int)(SAMPLE_SECONDS / fmin(first, second)) + 1;
    if (repeats > REPEATS) repeats = REPEATS;
    for (*done = 0; *done < pairs && !onp_tune_late(clock); ++*done) {
        double *at = &times[2 * *done];
        if (*done % 2 == 0) ONP_TRY(run_many(a, repeats, &at[0])); // A B, B A, A B ...
        ONP_TRY(run_many(b, repeats, &at[1]));
        if (*done % 2 == 1) ONP_TRY(run_many(a, repeats, &at[0]));
    }
    return ONP_OK;
}

static enum onp_status pair_shape(struct onp_device *device, enum onp_tuned_op op,
                                  const struct onp_node *node, const struct onp_tuning *a,
                                  const struct onp_tuning *b, size_t pairs, uint64_t seed,
                                  const struct onp_tune_clock *clock, double *times, size_t *done) {
    struct side left = {.device = device}, right = {.device = device};
    enum onp_status status = side_open(&left, op, node, a, seed);
    if (status == ONP_OK) status = side_open(&right, op, node, b, seed);
    if (status == ONP_OK) status = time_shape(&left, &right, node, pairs, clock, times, done);
    side_close(&left);
    side_close(&right);
    return status;
}

// Each graph's time under the class's tiles counts as one, whatever it is.
static void weigh(struct onp_tune_shapes *shapes) {
    for (int g = 0; g < ONP_MODALITY_COUNT; g++) {
        double total = 0.0;
        for (size_t s = 0; s < shapes->count; s++)
            total += shapes->calls[s][g] * shapes->seconds[s];
        for (size_t s = 0; s < shapes->count && total > 0.0; s++)
            shapes->weight[s] += shapes->calls[s][g] / total;
    }
}

#define LIGHT 0.005

// A shape's part of the weighted time of the class's tiles; all together make the graphs' number.
static double part_of(const struct onp_tune_shapes *shapes, size_t s) {
    return shapes->weight[s] * shapes->seconds[s];
}

static void swap_shapes(struct onp_tune_shapes *shapes, size_t a, size_t b) {
    const struct onp_node *node = shapes->node[a];
    const double seconds = shapes->seconds[a], weight = shapes->weight[a];
    shapes->node[a] = shapes->node[b];
    shapes->seconds[a] = shapes->seconds[b];
    shapes->weight[a] = shapes->weight[b];
    shapes->node[b] = node;
    shapes->seconds[b] = seconds;
    shapes->weight[b] = weight;
}

// The heaviest first; those that hardly count are not worth the time of further pairs.
static void sort_shapes(struct onp_tune_shapes *shapes) {
    for (size_t i = 1; i < shapes->count; i++)
        for (size_t j = i; j > 0 && part_of(shapes, j) > part_of(shapes, j - 1); j--)
            swap_shapes(shapes, j, j - 1);
    while (shapes->count > 1 && part_of(shapes, shapes->count - 1) < LIGHT) shapes->count--;
}

static void take_seconds(struct onp_tune_shapes *shapes, size_t index, const double *times,
                         size_t pairs) {
    double of_a[ONP_TUNE_PAIRS];
    for (size_t i = 0; i < pairs; i++) of_a[i] = times[2 * i];
    shapes->seconds[index] = onp_tune_median(of_a, pairs);
}

// Weighted times of a over b in pair i, over the first `count` shapes.
static double ratio_of(const struct onp_tune_shapes *shapes, const double *times, size_t count,
                       size_t i) {
    double of_a = 0.0, of_b = 0.0;
    for (size_t s = 0; s < count; s++) {
        of_a += shapes->weight[s] * times[(s * ONP_TUNE_PAIRS + i) * 2];
        of_b += shapes->weight[s] * times[(s * ONP_TUNE_PAIRS + i) * 2 + 1];
    }
    return of_a / of_b;
}

// True once the shapes measured so far decide: they are the heaviest, and far slower under b.
static bool decided(const struct onp_tune_shapes *shapes, const double *times, size_t count,
                    size_t pairs, double least) {
    double ratios[ONP_TUNE_PAIRS];
    for (size_t i = 0; i < pairs; i++) ratios[i] = ratio_of(shapes, times, count, i);
    return onp_tune_median(ratios, pairs) < least;
}

enum onp_status onp_tune_pairs(struct onp_device *device, enum onp_tuned_op op,
                               struct onp_tune_shapes *shapes, const struct onp_tune_plan *plan,
                               const struct onp_tune_clock *clock, double *ratios, size_t *done) {
    double *times = calloc(shapes->count * 2 * ONP_TUNE_PAIRS, sizeof *times);
    enum onp_status status = ONP_OK;
    const bool fresh = shapes->seconds[0] <= 0.0;
    double part = 0.0, whole = 0.0;
    size_t s = 0;
    *done = 0;
    if (!times) return onp_fail(&device->context->log, ONP_ERR_MEMORY, "no memory for the times");
    for (size_t i = 0; i < shapes->count; i++) whole += part_of(shapes, i);
    while (s < shapes->count && (fresh || part < plan->share * whole)) {
        double *own = &times[s * 2 * ONP_TUNE_PAIRS];
        size_t measured = 0;
        status = pair_shape(device, op, shapes->node[s], plan->a, plan->b, plan->pairs,
                            plan->seed + s, clock, own, &measured);
        if (status != ONP_OK || measured < plan->pairs) break;
        if (fresh) take_seconds(shapes, s, own, plan->pairs);
        part += part_of(shapes, s++);
        if (!fresh && decided(shapes, times, s, plan->pairs, plan->least)) part = whole;
    }
    if (fresh && s == shapes->count) weigh(shapes);
    if (fresh ? s == shapes->count : part >= plan->share * whole) *done = plan->pairs;
    for (size_t i = 0; i < *done; i++) ratios[i] = ratio_of(shapes, times, s, i);
    if (fresh && *done > 0) sort_shapes(shapes);
    free(times);
    return status;
}
