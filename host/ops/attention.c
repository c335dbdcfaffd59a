// SPDX-License-Identifier: Apache-2.0
// Multi-head self-attention inside each item, with the relative-position bias from its table.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/checked.h"
#include "ops/op_list.h"
#include "ops/ops.h"
#include "ops/shape.h"

static const struct onp_attention_params *params_of(const struct onp_node *node) {
    return (const void *)node->params;
}

static int32_t head_size(const struct onp_node *node) {
    return (int32_t)(node->dst->cols / params_of(node)->heads);
}

// --- Builder ----------------------------------------------------------------------------------

static bool shapes_fit(const struct onp_attention_args *a) {
    if (a->items < 1 || a->heads < 1 || a->longest < 1) return false;
    if (!onp_is_matrix(a->qkv, ONP_F32, -1, -1) || a->qkv->cols % (3 * (int64_t)a->heads) != 0)
        return false;
    if (a->longest > a->qkv->rows || a->items > a->qkv->rows) return false;
    return onp_is_matrix(a->offsets, ONP_I32, 1, (int64_t)a->items + 1) &&
           onp_is_matrix(a->table, ONP_F32, a->heads, -1) && a->table->cols >= 4 &&
           onp_is_matrix(a->query_pos, ONP_I32, 1, -1) && a->query_pos->cols >= a->longest &&
           onp_is_matrix(a->key_pos, ONP_I32, 1, -1) && a->key_pos->cols >= a->longest;
}

struct onp_tensor *onp_attention(struct onp_graph *graph, const struct onp_attention_args *args) {
    if (onp_graph_status(graph) != ONP_OK) return NULL;
    if (!shapes_fit(args))
        return onp_graph_error(graph, ONP_ERR_ARGUMENT,
                               "attention on %s: %d items of up to %d positions, %d heads do not "
                               "fit the tensors",
                               args->qkv ? args->qkv->name : "nothing", args->items, args->longest,
                               args->heads);
    struct onp_tensor *dst =
        onp_graph_activation(graph, args->qkv->rows, args->qkv->cols / 3, false);
    struct onp_tensor *src[] = {[ONP_ATTENTION_QKV] = args->qkv,
                                [ONP_ATTENTION_OFFSETS] = args->offsets,
                                [ONP_ATTENTION_TABLE] = args->table,
                                [ONP_ATTENTION_QUERY_POS] = args->query_pos,
                                [ONP_ATTENTION_KEY_POS] = args->key_pos};
    const struct onp_attention_params params = {
        .items = args->items, .heads = args->heads, .longest = args->longest, .scale = args->scale};
    return onp_graph_record(graph, &onp_op_attention, dst, src, ONP_COUNT(src), &params,
                            sizeof params);
}

// --- Reference --------------------------------------------------------------------------------

// What the reference needs of one head of one item.
struct span {
    const float *q, *k, *v; // first row of the item, first channel of the head
    float *dst;
    int64_t ld, ld_dst, length, size;
    const float *table; // the head's row
    int64_t cols;       // of table
    const int32_t *query_pos, *key_pos;
    double scale;
};

static double bias_of(const struct span *s, int64_t i, int64_t j) {
    if (i == 0) return s->table[s->cols - (j == 0 ? 3 : 2)];
    if (j == 0) return s->table[s->cols - 1];
    return s->table[(int64_t)s->query_pos[i] + s->key_pos[j]];
}

// Row i; `score` has room for `length` numbers and `sum` for `size`.
static void reference_row(const struct span *s, int64_t i, double *score, double *sum) {
    double largest = -INFINITY, total = 0.0;
    for (int64_t j = 0; j < s->length; j++) {
        double dot = 0.0;
        for (int64_t c = 0; c < s->size; c++)
            dot += (double)s->q[i * s->ld + c] * s->k[j * s->ld + c];
        score[j] = dot * s->scale + bias_of(s, i, j);
        if (score[j] > largest) largest = score[j];
    }
    for (int64_t c = 0; c < s->size; c++) sum[c] = 0.0;
    for (int64_t j = 0; j < s->length; j++) {
        const double p = exp(score[j] - largest);
        total += p;
        for (int64_t c = 0; c < s->size; c++) sum[c] += p * s->v[j * s->ld + c];
    }
    for (int64_t c = 0; c < s->size; c++) s->dst[i * s->ld_dst + c] = (float)(sum[c] / total);
}

static void reference(const struct onp_node *node) {
    const struct onp_attention_params *p = params_of(node);
    const struct onp_tensor *qkv = node->src[ONP_ATTENTION_QKV], *dst = node->dst;
    const struct onp_tensor *table = node->src[ONP_ATTENTION_TABLE];
    const int32_t *offsets = onp_host_data(node->src[ONP_ATTENTION_OFFSETS]);
    const int64_t size = head_size(node);
    double *scratch = malloc((size_t)(p->longest + size) * sizeof *scratch);
    for (int64_t b = 0; scratch && b < p->items; b++)
        for (int64_t h = 0; h < p->heads; h++) {
            const float *q = (const float *)onp_host_data(qkv) + offsets[b] * qkv->ld + h * size;
            const struct span span = {
                .q = q,
                .k = q + dst->cols,
                .v = q + 2 * dst->cols,
                .dst = (float *)onp_host_data(dst) + offsets[b] * dst->ld + h * size,
                .ld = qkv->ld,
                .ld_dst = dst->ld,
                .length = offsets[b + 1] - offsets[b],
                .size = size,
                .table = (const float *)onp_host_data(table) + h * table->ld,
                .cols = table->cols,
                .query_pos = onp_host_data(node->src[ONP_ATTENTION_QUERY_POS]),
                .key_pos = onp_host_data(node->src[ONP_ATTENTION_KEY_POS]),
                .scale = p->scale};
            for (int64_t i = 0; i < span.length; i++)
                reference_row(&span, i, scratch, scratch + p->longest);
        }
    // The function cannot fail: without scratch the result is visibly not a number.
    for (int64_t r = 0; !scratch && r < dst->rows; r++)
        for (int64_t c = 0; c < dst->cols; c++)
            ((float *)onp_host_data(dst))[r * dst->ld + c] = NAN;
    free(scratch);
}

// --- Common to the variants -------------------------------------------------------------------

static void push_arguments(struct onp_launch *launch, const struct onp_node *node) {
    const struct onp_tensor *qkv = node->src[ONP_ATTENTION_QKV], *dst = node->dst;
    onp_push_tensor(launch, qkv);
    onp_push_tensor(launch, node->src[ONP_ATTENTION_OFFSETS]);
    onp_push_tensor(launch, node->src[ONP_ATTENTION_TABLE]);
    onp_push_tensor(launch, node->src[ONP_ATTENTION_QUERY_POS]);
    onp_push_tensor(launch, node->src[ONP_ATTENTION_KEY_POS]);
    onp_push_tensor(launch, dst);
    onp_push_i32(launch, dst->cols);
    onp_push_i32(launch, qkv->ld);
    onp_push_i32(launch, node->src[ONP_ATTENTION_TABLE]->cols);
    onp_push_i32(launch, node->src[ONP_ATTENTION_TABLE]->ld);
    onp_push_i32(launch, dst->ld);
    onp_push_f32(launch, params_of(node)->scale);
}

// Work-items or work-groups over (query blocks of the longest item, heads, items).
static void set_blocks(struct onp_launch *launch, const struct onp_node *node, int32_t rows,
                       size_t width) {
    const struct onp_attention_params *p = params_of(node);
    launch->dims = 3;
    launch->global[0] = (size_t)onp_div_up(p->longest, rows) * width;
    launch->global[1] = (size_t)p->heads;
    launch->global[2] = (size_t)p->items;
}

// --- attention_group --------------------------------------------------------------------------

// Shape of a work-group's block: even rows, keys in fours.
struct group_shape {
    int32_t rows, keys;
    size_t lanes;
};

static struct group_shape group_shape(const struct onp_device *device) {
    const struct onp_tuning *tuning = onp_tiles(device, ONP_TUNED_ATTENTION);
    struct group_shape shape = {
        .rows = (int32_t)onp_round_up(
            (uint64_t)(tuning->attention_rows > 0 ? tuning->attention_rows : 2), 2),
        .keys = (int32_t)onp_round_up(
            (uint64_t)(tuning->attention_keys > 0 ? tuning->attention_keys : 4), 4),
        .lanes = 64};
    while (shape.lanes > device->caps.max_work_group) shape.lanes /= 2;
    return shape;
}

static uint64_t group_local_bytes(const struct onp_node *node, const struct group_shape *shape) {
    const uint64_t ld = (uint64_t)head_size(node) + 4;
    const uint64_t rows = (uint64_t)shape->rows, keys = (uint64_t)shape->keys;
    return ((rows + keys) * ld + rows * (keys + 1) + 3 * rows) * sizeof(float);
}

static bool group_accepts(const struct onp_node *node, const struct onp_device *device, char *why) {
    if (!onp_tiles(device, ONP_TUNED_ATTENTION)->work_group_tiles) {
        snprintf(why, ONP_WHY, "this device class prefers register tiles");
        return false;
    }
    if (head_size(node) % 4 != 0) {
        snprintf(why, ONP_WHY, "a head size of %d is not a multiple of 4", head_size(node));
        return false;
    }
    const struct group_shape shape = group_shape(device);
    const uint64_t local = group_local_bytes(node, &shape);
    if (local > device->caps.local_bytes) {
        snprintf(why, ONP_WHY, "needs %llu bytes of local memory, the device has %llu",
                 (unsigned long long)local, (unsigned long long)device->caps.local_bytes);
        return false;
    }
    return true;
}

static enum onp_status group_emit(const struct onp_node *node, struct onp_emitter *emitter) {
    const struct group_shape shape = group_shape(emitter->device);
    struct onp_launch launch = {.source = "attention_group", .function = "attention_group"};
    set_blocks(&launch, node, shape.rows, shape.lanes);
    launch.local[0] = shape.lanes;
    launch.local[1] = launch.local[2] = 1;
    snprintf(launch.defines, sizeof launch.defines, "-DHEAD=%d -DROWS=%d -DKEYS=%d -DLANES=%zu%s",
             head_size(node), shape.rows, shape.keys, shape.lanes,
             onp_sub_group_define(emitter->device));
    push_arguments(&launch, node);
    return onp_emit_launch(emitter, &launch);
}

// --- attention_subgroup -----------------------------------------------------------------------

// Channels of a head that a work-item of a sub-group has.
static int64_t subgroup_channels(const struct onp_node *node, const struct onp_device *device) {
    return onp_div_up(head_size(node), (int64_t)device->caps.subgroup_size);
}

static bool subgroup_accepts(const struct onp_node *node, const struct onp_device *device,
                             char *why) {
    const struct onp_tuning *tuning = onp_tiles(device, ONP_TUNED_ATTENTION);
    if (!device->caps.subgroups) {
        snprintf(why, ONP_WHY, "no sub-groups of a known size on this device");
        return false;
    }
    if (!tuning->work_group_tiles || !tuning->attention_subgroups) {
        snprintf(why, ONP_WHY, "this device class prefers other tiles");
        return false;
    }
    if (head_size(node) % 4 != 0 || subgroup_channels(node, device) > 16) {
        snprintf(why, ONP_WHY, "a head size of %d is not a multiple of 4 up to %u", head_size(node),
                 16 * device->caps.subgroup_size);
        return false;
    }
    return true;
}

// 8 rows, fewer where a row takes many registers.
static enum onp_status subgroup_emit(const struct onp_node *node, struct onp_emitter *emitter) {
    const uint32_t size = emitter->device->caps.subgroup_size;
    const int32_t rows = subgroup_channels(node, emitter->device) > 8 ? 4 : 8;
    struct onp_launch launch = {.source = "attention_subgroup", .function = "attention_subgroup"};
    set_blocks(&launch, node, rows, size);
    launch.local[0] = size;
    launch.local[1] = launch.local[2] = 1;
    snprintf(launch.defines, sizeof launch.defines,
             ONP_SUB_GROUPS " -DSUB_GROUP=%u -DHEAD=%d -DROWS=%d", size, head_size(node), rows);
    push_arguments(&launch, node);
    return onp_emit_launch(emitter, &launch);
}

// --- attention_rows ---------------------------------------------------------------------------

// Register tile of attention_rows: rows x (vectors * vector) scores, and as many values.
struct row_shape {
    int32_t rows, vector, vectors; // keys in a panel = vector * vectors
    int32_t value_vectors, chunks; // a row of values = vector * value_vectors * chunks
    int32_t panels;                // panels in a key block
};

static struct row_shape row_shape(const struct onp_node *node, const struct onp_device *device) {
    const struct onp_tuning *tuning = onp_tiles(device, ONP_TUNED_ATTENTION);
    struct row_shape shape = {.rows = tuning->attention_rows, .vector = tuning->vector};
    shape.vectors = tuning->attention_keys / tuning->vector;
    if (shape.vectors < 1) shape.vectors = 1;
    const int32_t needed = (int32_t)onp_div_up(head_size(node), shape.vector);
    shape.value_vectors = needed < shape.vectors ? needed : shape.vectors;
    shape.chunks = (int32_t)onp_div_up(needed, shape.value_vectors);
    // 128 keys: enough to spread the cost of a block's maxima and rescaling, and still in cache.
    shape.panels = 128 / (shape.vector * shape.vectors);
    if (shape.panels < 1) shape.panels = 1;
    return shape;
}

// Panels of keys over all items, an upper bound that needs no offsets: item b starts at panel
// offsets[b] / width + b.
static uint64_t panel_count(const struct onp_node *node, const struct row_shape *shape) {
    return (uint64_t)(node->dst->rows / (shape->vector * shape->vectors)) +
           (uint64_t)params_of(node)->items;
}

// Floats of one head's packed keys and values, and integers that tell how their bias lies.
static void packed_floats(const struct onp_node *node, const struct row_shape *shape,
                          uint64_t *keys, uint64_t *values, uint64_t *splits) {
    const uint64_t width = (uint64_t)(shape->vector * shape->vectors);
    const uint64_t rows = panel_count(node, shape) * width;
    *keys = rows * (uint64_t)head_size(node);
    *values = rows * (uint64_t)(shape->vector * shape->value_vectors * shape->chunks);
    *splits = rows / (uint64_t)shape->vector;
}

static uint64_t rows_workspace(const struct onp_node *node, const struct onp_device *device) {
    const struct row_shape shape = row_shape(node, device);
    uint64_t keys, values, splits;
    packed_floats(node, &shape, &keys, &values, &splits);
    return (keys + values + splits) * (uint64_t)params_of(node)->heads * sizeof(float);
}

static bool rows_accepts(const struct onp_node *node, const struct onp_device *device, char *why) {
    const struct onp_tuning *tuning = onp_tiles(device, ONP_TUNED_ATTENTION);
    if (tuning->work_group_tiles) {
        snprintf(why, ONP_WHY, "register tiles do not suit this device class");
        return false;
    }
    if (tuning->attention_rows < 1 || tuning->attention_rows > 16 || tuning->attention_keys > 128) {
        snprintf(why, ONP_WHY, "no register tile of %d rows by %d keys", tuning->attention_rows,
                 tuning->attention_keys);
        return false;
    }
    if (head_size(node) % 4 != 0 || head_size(node) > 256) {
        snprintf(why, ONP_WHY, "a head size of %d is not a multiple of 4 up to 256",
                 head_size(node));
        return false;
    }
    return true;
}

static void rows_defines(const struct onp_node *node, const struct row_shape *shape,
                         struct onp_launch *launch) {
    snprintf(launch->defines, sizeof launch->defines,
             "-DHEAD=%d -DROWS=%d -DVEC=%d -DNV=%d -DVALUE_NV=%d -DCHUNKS=%d -DPANELS=%d",
             head_size(node), shape->rows, shape->vector, shape->vectors, shape->value_vectors,
             shape->chunks, shape->panels);
}

static enum onp_status rows_emit(const struct onp_node *node, struct onp_emitter *emitter) {
    const struct row_shape shape = row_shape(node, emitter->device);
    uint64_t keys, values, splits;
    packed_floats(node, &shape, &keys, &values, &splits);
    const uint64_t first = emitter->workspace_offset / sizeof(float);
    const uint64_t heads = (uint64_t)params_of(node)->heads;
    const struct onp_tensor *qkv = node->src[ONP_ATTENTION_QKV];

    struct onp_launch pack = {.source = "attention_rows", .function = "attention_pack"};
    set_blocks(&pack, node, shape.vector * shape.vectors, 1);
    pack.local[0] = pack.local[1] = pack.local[2] = 1;
    rows_defines(node, &shape, &pack);
    onp_push_tensor(&pack, qkv);
    onp_push_tensor(&pack, node->src[ONP_ATTENTION_OFFSETS]);
    onp_push_buffer(&pack, emitter->workspace, first);
    onp_push_buffer(&pack, emitter->workspace, first + keys * heads);
    onp_push_tensor(&pack, node->src[ONP_ATTENTION_KEY_POS]);
    onp_push_buffer(&pack, emitter->workspace, first + (keys + values) * heads);
    onp_push_i32(&pack, node->dst->cols);
    onp_push_i32(&pack, qkv->ld);
    onp_push_i32(&pack, (int64_t)panel_count(node, &shape));
    ONP_TRY(onp_emit_launch(emitter, &pack));

    struct onp_launch launch = {.source = "attention_rows", .function = "attention_rows"};
    set_blocks(&launch, node, shape.rows, 1);
    launch.local[0] = launch.local[1] = launch.local[2] = 1;
    rows_defines(node, &shape, &launch);
    push_arguments(&launch, node);
    onp_push_buffer(&launch, emitter->workspace, first);
    onp_push_buffer(&launch, emitter->workspace, first + keys * heads);
    onp_push_buffer(&launch, emitter->workspace, first + (keys + values) * heads);
    onp_push_i32(&launch, (int64_t)panel_count(node, &shape));
    return onp_emit_launch(emitter, &launch);
}

// --- attention_simple -------------------------------------------------------------------------

static bool simple_accepts(const struct onp_node *node, const struct onp_device *device,
                           char *why) {
    (void)node, (void)device, (void)why;
    return true;
}

static enum onp_status simple_emit(const struct onp_node *node, struct onp_emitter *emitter) {
    struct onp_launch launch = {.source = "attention_simple", .function = "attention_simple"};
    // Whole work-groups: what a driver chooses for an odd number of rows can be anything.
    const size_t lanes = emitter->device->caps.max_work_group >= 64 ? 64 : 1;
    set_blocks(&launch, node, (int32_t)lanes, lanes);
    launch.local[0] = lanes;
    launch.local[1] = launch.local[2] = 1;
    snprintf(launch.defines, sizeof launch.defines, "-DHEAD=%d", head_size(node));
    push_arguments(&launch, node);
    return onp_emit_launch(emitter, &launch);
}

static const struct onp_variant subgroup = {
    .name = "attention_subgroup", .accepts = subgroup_accepts, .emit = subgroup_emit};
static const struct onp_variant group = {
    .name = "attention_group", .accepts = group_accepts, .emit = group_emit};
static const struct onp_variant rows = {.name = "attention_rows",
                                        .accepts = rows_accepts,
                                        .workspace = rows_workspace,
                                        .emit = rows_emit};
static const struct onp_variant simple = {
    .name = "attention_simple", .accepts = simple_accepts, .emit = simple_emit};
static const struct onp_variant *const variants[] = {&subgroup, &group, &rows, &simple, NULL};

// --- Cases ------------------------------------------------------------------------------------

// Up to four lengths; 0 ends them. GRID: positions of a picture (rows of P_SIDE patches), else of a
// sequence.
enum { P_HEADS, P_SIZE, P_LENGTHS, P_SIDE = 6, P_KIND };
enum { NORMAL, HUGE_SCORES, ALIKE, SCATTERED };

// Slow: too long for an emulator, and for llvmpipe, which cuts the loops of a work-item short after
// 65,535 iterations in all.

static const struct onp_op_case cases[] = {
    {"picture", true, {24, 64, 257, 0, 0, 0, 16, NORMAL}},
    {"sound", true, {24, 64, 750, 0, 0, 0, 0, NORMAL}},
    {"text", false, {24, 64, 72, 0, 0, 0, 0, NORMAL}},
    {"picture, two heads", true, {2, 64, 257, 257, 0, 0, 16, NORMAL}},
    {"uneven sounds", true, {2, 64, 150, 1, 97, 63, 0, NORMAL}},
    {"uneven texts, small heads", false, {4, 16, 5, 1, 17, 2, 0, NORMAL}},
    {"one position", false, {3, 64, 1, 0, 0, 0, 0, NORMAL}},
    {"two positions", false, {1, 16, 2, 0, 0, 0, 0, NORMAL}},
    {"6 and 7 positions", false, {2, 12, 6, 7, 0, 0, 0, NORMAL}},
    {"63 to 65 positions", false, {2, 20, 63, 65, 64, 0, 0, NORMAL}},
    {"heads of 4", false, {5, 4, 65, 5, 0, 0, 8, NORMAL}},
    {"heads of 128", false, {2, 128, 37, 65, 0, 0, 8, NORMAL}},
    {"heads of 7", false, {3, 7, 33, 4, 0, 0, 0, NORMAL}},
    {"one column a head", false, {2, 1, 9, 0, 0, 0, 3, NORMAL}},
    {"small picture", false, {4, 16, 10, 10, 10, 10, 3, NORMAL}},
    {"longest", true, {1, 64, 1024, 0, 0, 0, 0, NORMAL}},
    {"huge scores", true, {1, 64, 1024, 0, 0, 0, 0, HUGE_SCORES}},
    {"huge scores, small heads", false, {2, 16, 65, 7, 0, 0, 8, HUGE_SCORES}},
    {"equal keys", false, {2, 64, 130, 0, 0, 0, 0, ALIKE}},
    {"positions in disorder", false, {3, 64, 70, 33, 0, 0, 0, SCATTERED}},
};

// Positions as the models lay them out; returns the columns that the table needs without the three
// of CLS.
static int32_t fill_positions(struct onp_rng *rng, const int32_t *p, int32_t longest,
                              int32_t *query, int32_t *key) {
    const int32_t side = p[P_SIDE];
    query[0] = key[0] = 0;
    for (int32_t i = 1; i < longest; i++) {
        const int32_t y = (i - 1) / (side ? side : 1), x = (i - 1) % (side ? side : 1);
        query[i] = side ? (side - 1 - y) * (2 * side - 1) + side - 1 - x : longest - 1 - i;
        key[i] = side ? y * (2 * side - 1) + x : i;
        if (p[P_KIND] == SCATTERED) key[i] = (int32_t)(onp_rng_next(rng) % (uint32_t)longest);
    }
    return side ? (2 * side - 1) * (2 * side - 1) : 2 * longest - 1;
}

// Whole numbers, so that huge scores are exact in float32 too.
static struct onp_tensor *whole_numbers(struct onp_case_builder *b, int64_t count_rows,
                                        int64_t cols, float scale) {
    float *data = onp_graph_alloc(b->graph, (size_t)(count_rows * cols) * sizeof *data);
    if (!data) return NULL;
    for (int64_t i = 0; i < count_rows * cols; i++)
        data[i] = rintf(scale * onp_rng_normal(&b->rng));
    return onp_graph_input(b->graph, "", ONP_F32, count_rows, cols, data);
}

static struct onp_tensor *case_qkv(struct onp_case_builder *b, const int32_t *p, int64_t count,
                                   int64_t cols) {
    if (p[P_KIND] == HUGE_SCORES) return whole_numbers(b, count, cols, 20.0f);
    struct onp_tensor *qkv = onp_case_input(b, count, cols, 1.0f);
    if (!qkv || p[P_KIND] != ALIKE) return qkv;
    float *data = (float *)(uintptr_t)qkv->host;
    for (int64_t r = 1; r < count; r++) // every key is the first one
        for (int64_t c = cols / 3; c < cols / 3 * 2; c++) data[r * cols + c] = data[c];
    return qkv;
}

static struct onp_tensor *build_case(struct onp_case_builder *b, const struct onp_op_case *c) {
    const int32_t *p = c->p;
    int32_t offsets[5] = {0}, items = 0, longest = 0;
    for (; items < 4 && p[P_LENGTHS + items] > 0; items++) {
        offsets[items + 1] = offsets[items] + p[P_LENGTHS + items];
        if (p[P_LENGTHS + items] > longest) longest = p[P_LENGTHS + items];
    }
    int32_t *query = onp_graph_alloc(b->graph, 2 * (size_t)longest * sizeof *query);
    if (!query) return NULL;
    const int32_t cols = 3 + fill_positions(&b->rng, p, longest, query, query + longest);
    const bool huge = p[P_KIND] == HUGE_SCORES;
    struct onp_attention_args args = {.items = items,
                                      .heads = p[P_HEADS],
                                      .longest = longest,
                                      .scale = huge ? 1.0f : 1.0f / sqrtf((float)p[P_SIZE])};
    args.qkv = case_qkv(b, p, offsets[items], 3 * (int64_t)p[P_HEADS] * p[P_SIZE]);
    args.offsets = onp_case_int(b, offsets, items + 1);
    args.table = huge ? whole_numbers(b, p[P_HEADS], cols, 100.0f)
                      : onp_case_input(b, p[P_HEADS], cols, 1.0f);
    args.query_pos = onp_case_int(b, query, longest);
    args.key_pos = onp_case_int(b, query + longest, longest);
    return onp_attention(b->graph, &args);
}

// Items of equal length are assumed: exact for one item.
static void cost(const struct onp_node *node, double *flops, double *bytes) {
    const double length = (double)node->dst->rows / params_of(node)->items;
    *flops = 4.0 * (double)node->dst->rows * length * (double)node->dst->cols;
    *bytes = 4.0 * (double)node->dst->rows * (double)node->dst->cols * sizeof(float);
}

static void describe(const struct onp_node *node, char *text, size_t size) {
    const struct onp_attention_params *p = params_of(node);
    snprintf(text, size, "B=%d T=%d H=%d d=%d", p->items, p->longest, p->heads, head_size(node));
}

const struct onp_op onp_op_attention = {.name = "attention",
                                        .reference = reference,
                                        .variants = variants,
                                        .cases = cases,
                                        .case_count = ONP_COUNT(cases),
                                        .build_case = build_case,
                                        .tolerance = 1.5e-5,
                                        .cost = cost,
                                        .describe = describe};
