// SPDX-License-Identifier: Apache-2.0
// The kernels of the matrix product and the devices they suit, best first.
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/checked.h"
#include "ops/matmul.h"
#include "ops/ops.h"

static bool refuse(char *why, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static bool refuse(char *why, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    vsnprintf(why, ONP_WHY, fmt, args);
    va_end(args);
    return false;
}

static int64_t at_most(int64_t x, int64_t limit) { return x < limit ? x : limit; }
static int64_t at_least(int64_t x, int64_t limit) { return x > limit ? x : limit; }

// --- Launches -----------------------------------------------------------------------------------

static void add_define(struct onp_launch *launch, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
static void add_define(struct onp_launch *launch, const char *fmt, ...) {
    const size_t used = strlen(launch->defines);
    va_list args;
    va_start(args, fmt);
    vsnprintf(launch->defines + used, sizeof launch->defines - used, fmt, args);
    va_end(args);
}

// EPILOGUE_* of cl_kernels/prelude.h.
enum { EPILOGUE_BIAS = 1, EPILOGUE_GELU = 2, EPILOGUE_GATE = 4, EPILOGUE_RESIDUAL = 8 };

static int epilogue_bits(const struct onp_node *node) {
    const struct onp_matmul_params *params = (const void *)node->params;
    return (node->src[ONP_MATMUL_BIAS] ? EPILOGUE_BIAS : 0) | (params->gelu ? EPILOGUE_GELU : 0) |
           (node->src[ONP_MATMUL_GATE] ? EPILOGUE_GATE : 0) |
           (node->src[ONP_MATMUL_RESIDUAL] ? EPILOGUE_RESIDUAL : 0);
}

// The epilogue's operands and dst, as every kernel takes them.
static void push_epilogue(struct onp_launch *launch, const struct onp_node *node) {
    onp_push_tensor(launch, node->src[ONP_MATMUL_BIAS]);
    onp_push_tensor(launch, node->src[ONP_MATMUL_GAMMA]);
    onp_push_tensor(launch, node->src[ONP_MATMUL_RESIDUAL]);
    onp_push_tensor(launch, node->dst);
}

static int64_t residual_ld(const struct onp_node *node) {
    return node->src[ONP_MATMUL_RESIDUAL] ? node->src[ONP_MATMUL_RESIDUAL]->ld : 0;
}

// Defines and arguments that the kernels of a whole product have in common.
static struct onp_launch product_launch(const struct onp_node *node, const char *name) {
    struct onp_launch launch = {.source = name, .function = name, .dims = 2};
    const struct onp_tensor *a = node->src[ONP_MATMUL_A], *w = node->src[ONP_MATMUL_W];
    if (w->dtype == ONP_F16) add_define(&launch, " -DWEIGHT_HALF");
    onp_push_tensor(&launch, a);
    onp_push_tensor(&launch, w);
    onp_push_tensor(&launch, node->src[ONP_MATMUL_GATE]);
    push_epilogue(&launch, node);
    onp_push_i32(&launch, a->rows);
    onp_push_i32(&launch, w->rows);
    onp_push_i32(&launch, a->cols);
    onp_push_i32(&launch, a->ld);
    onp_push_i32(&launch, node->dst->ld);
    onp_push_i32(&launch, residual_ld(node));
    onp_push_i32(&launch, epilogue_bits(node));
    return launch;
}

static bool panels_of(const struct onp_node *node, int64_t panel, char *why) {
    const struct onp_tensor *w = node->src[ONP_MATMUL_W];
    if (w->layout != ONP_LAYOUT_PANELS || w->panel != panel)
        return refuse(why, "weights lie in %s of %d, needs panels of %lld",
                      w->layout == ONP_LAYOUT_PANELS ? "panels" : "rows", (int)w->panel,
                      (long long)panel);
    return true;
}

// --- matmul_clblast -----------------------------------------------------------------------------

static bool clblast_accepts(const struct onp_node *node, const struct onp_device *device,
                            char *why) {
    const struct onp_tensor *a = node->src[ONP_MATMUL_A], *w = node->src[ONP_MATMUL_W];
    if (!device->caps.blas) return refuse(why, "no CLBlast for this device");
    if (!onp_tiles(device, ONP_TUNED_MATMUL)->prefer_blas)
        return refuse(why, "own kernels are faster here");
    if (w->dtype != ONP_F32 || w->layout != ONP_LAYOUT_ROWS)
        return refuse(why, "needs float32 weights in rows");
    if (a->ld < a->cols) return refuse(why, "CLBlast takes no overlapping rows");
    return true;
}

// The gate's product.
static uint64_t clblast_workspace(const struct onp_node *node, const struct onp_device *device) {
    (void)device;
    if (!node->src[ONP_MATMUL_GATE]) return 0;
    return (uint64_t)node->dst->rows * (uint64_t)node->dst->cols * sizeof(float);
}

static struct onp_gemm plain_product(const struct onp_node *node, const struct onp_tensor *w) {
    const struct onp_tensor *a = node->src[ONP_MATMUL_A], *dst = node->dst;
    return (struct onp_gemm){.m = a->rows,
                             .n = w->rows,
                             .k = a->cols,
                             .a = a->buffer,
                             .w = w->buffer,
                             .c = dst->buffer,
                             .a_offset = a->offset,
                             .w_offset = w->offset,
                             .c_offset = dst->offset,
                             .lda = a->ld,
                             .ldw = w->ld,
                             .ldc = dst->ld};
}

static enum onp_status emit_epilogue(const struct onp_node *node, struct onp_emitter *emitter) {
    if (epilogue_bits(node) == 0) return ONP_OK;
    struct onp_launch launch = {
        .source = "matmul_epilogue", .function = "matmul_epilogue", .dims = 2};
    const bool gate = node->src[ONP_MATMUL_GATE] != NULL;
    onp_push_buffer(&launch, gate ? emitter->workspace : NULL,
                    gate ? emitter->workspace_offset / sizeof(float) : 0);
    push_epilogue(&launch, node);
    onp_push_i32(&launch, node->dst->rows);
    onp_push_i32(&launch, node->dst->cols);
    onp_push_i32(&launch, node->dst->ld);
    onp_push_i32(&launch, residual_ld(node));
    onp_push_i32(&launch, epilogue_bits(node));
    launch.global[0] = (size_t)node->dst->cols;
    launch.global[1] = (size_t)node->dst->rows;
    return onp_emit_launch(emitter, &launch);
}

static enum onp_status clblast_emit(const struct onp_node *node, struct onp_emitter *emitter) {
    struct onp_gemm gemm = plain_product(node, node->src[ONP_MATMUL_W]);
    ONP_TRY(onp_emit_gemm(emitter, &gemm));
    if (node->src[ONP_MATMUL_GATE]) {
        gemm = plain_product(node, node->src[ONP_MATMUL_GATE]);
        gemm.c = emitter->workspace;
        gemm.c_offset = (int64_t)(emitter->workspace_offset / sizeof(float));
        gemm.ldc = node->dst->cols;
        ONP_TRY(onp_emit_gemm(emitter, &gemm));
    }
    return emit_epilogue(node, emitter);
}

static const struct onp_variant clblast = {.name = "matmul_clblast",
                                           .accepts = clblast_accepts,
                                           .workspace = clblast_workspace,
                                           .emit = clblast_emit};

// --- matmul_group -------------------------------------------------------------------------------

struct group_tile {
    int64_t rows, cols, depth, item_rows, item_cols; // a work-item computes item_rows x item_cols
    uint64_t items, local_bytes;
};

// A lower tile, with the largest block a work-item that still gives 128 work-items: a group should
// fill some hardware threads. Two products share the registers.
static struct group_tile tile_of(const struct onp_tuning *tuning, int64_t rows, int64_t products) {
    struct group_tile tile = {.rows = rows,
                              .cols = tuning->group_cols,
                              .depth = tuning->group_depth,
                              .item_rows = tuning->item_rows,
                              .item_cols = tuning->item_cols};
    const int64_t sums = tile.item_rows * tile.item_cols;
    while ((products * tile.item_rows * tile.item_cols > sums ||
            rows * tile.cols < 128 * tile.item_rows * tile.item_cols) &&
           tile.item_rows + tile.item_cols > 8)
        *(tile.item_cols > 4 ? &tile.item_cols : &tile.item_rows) = 4;
    if (tile.item_rows > 0 && tile.item_cols > 0)
        tile.items = (uint64_t)(rows / tile.item_rows * (tile.cols / tile.item_cols));
    tile.local_bytes = 8u * (uint64_t)(tile.depth * (rows + 4 + products * tile.cols));
    return tile;
}

// Time that a tile should take, in arbitrary units: its fma, its reads of local memory for each
// fma, its reads of memory for each fma, and that too few groups leave units idle. A model, not a
// measurement.
static double tile_cost(const struct group_tile *tile, const struct onp_node *node,
                        const struct onp_device *device) {
    const double rows = (double)tile->rows, cols = (double)tile->cols;
    const double item =
        (double)(tile->item_rows + tile->item_cols) / (double)(tile->item_rows * tile->item_cols);
    const int64_t groups =
        onp_div_up(node->dst->rows, tile->rows) * onp_div_up(node->dst->cols, tile->cols);
    const double busy = (double)groups > (double)device->caps.compute_units
                            ? (double)groups
                            : (double)device->caps.compute_units;
    return busy * rows * cols * (1.0 + item + 4.0 * (rows + cols) / (rows * cols));
}

// The device's tile, or a lower one where few rows would waste it or leave compute units idle.
static struct group_tile group_tile(const struct onp_node *node, const struct onp_device *device) {
    const struct onp_tuning *tuning = onp_tiles(device, ONP_TUNED_MATMUL);
    const int64_t products = node->src[ONP_MATMUL_GATE] ? 2 : 1;
    struct group_tile best = tile_of(tuning, tuning->group_rows, products);
    for (int64_t rows = tuning->group_rows / 2;
         rows >= tuning->least_rows && rows >= 16 && rows % 8 == 0; rows /= 2) {
        const struct group_tile lower = tile_of(tuning, rows, products);
        if (tile_cost(&lower, node, device) < tile_cost(&best, node, device)) best = lower;
    }
    return best;
}

static bool is_4_or_8(int64_t n) { return n == 4 || n == 8; }

static bool whole_tile(const struct group_tile *tile) {
    return is_4_or_8(tile->item_rows) && is_4_or_8(tile->item_cols) && tile->rows >= 4 &&
           tile->cols >= 4 && tile->depth >= 4 && tile->rows % tile->item_rows == 0 &&
           tile->cols % tile->item_cols == 0 && tile->depth % 4 == 0;
}

static bool group_accepts(const struct onp_node *node, const struct onp_device *device, char *why) {
    const struct onp_caps *caps = &device->caps;
    if (!onp_tiles(device, ONP_TUNED_MATMUL)->work_group_tiles)
        return refuse(why, "this device computes better without work-groups");
    const struct group_tile tile = group_tile(node, device);
    if (!whole_tile(&tile)) return refuse(why, "no work-group tile for this device");
    if (!panels_of(node, tile.cols, why)) return false;
    if (tile.items > caps->max_work_group || tile.items > caps->max_work_item[0])
        return refuse(why, "needs groups of %llu work-items", (unsigned long long)tile.items);
    if (tile.local_bytes > caps->local_bytes)
        return refuse(why, "needs %llu bytes of local memory",
                      (unsigned long long)tile.local_bytes);
    return true;
}

static enum onp_status group_emit(const struct onp_node *node, struct onp_emitter *emitter) {
    const struct group_tile tile = group_tile(node, emitter->device);
    struct onp_launch launch = product_launch(node, "matmul_group");
    add_define(&launch, " -DTILE_M=%lld -DTILE_N=%lld -DTILE_K=%lld -DTM=%lld -DTN=%lld",
               (long long)tile.rows, (long long)tile.cols, (long long)tile.depth,
               (long long)tile.item_rows, (long long)tile.item_cols);
    if (node->src[ONP_MATMUL_GATE]) add_define(&launch, " -DGATE");
    add_define(&launch, "%s", onp_sub_group_define(emitter->device));
    launch.local[0] = (size_t)tile.items;
    launch.local[1] = 1;
    launch.global[0] = (size_t)onp_div_up(node->dst->cols, tile.cols) * launch.local[0];
    launch.global[1] = (size_t)onp_div_up(node->dst->rows, tile.rows);
    return onp_emit_launch(emitter, &launch);
}

static const struct onp_variant group = {
    .name = "matmul_group", .accepts = group_accepts, .emit = group_emit};

// --- matmul_subgroup ----------------------------------------------------------------------------

struct subgroup_tile {
    int64_t size, rows, cols, piece; // work-items; rows and columns of one; how many side by side
    int64_t team;                    // sub-groups of a work-group
};

// Two products share the registers.
static struct subgroup_tile subgroup_tile(const struct onp_node *node,
                                          const struct onp_device *device) {
    const struct onp_tuning *tuning = onp_tiles(device, ONP_TUNED_MATMUL);
    struct subgroup_tile tile = {.size = device->caps.subgroup_size,
                                 .rows = tuning->subgroup_rows,
                                 .cols = tuning->subgroup_cols,
                                 .piece = 8,
                                 .team = 8};
    if (node->src[ONP_MATMUL_GATE] && tile.cols > 1) tile.cols /= 2;
    while (tile.piece > 1 && (tile.cols % tile.piece != 0 ||
                              node->src[ONP_MATMUL_W]->panel % (tile.size * tile.piece) != 0))
        tile.piece /= 2;
    while (tile.team > 1 && (uint64_t)(tile.team * tile.size) > device->caps.max_work_group)
        tile.team /= 2;
    return tile;
}

// A block of a must find room in a sub-group.
static bool whole_subgroup_tile(const struct subgroup_tile *tile) {
    return tile->rows > 0 && tile->cols > 0 && tile->rows <= at_most(tile->size, 32);
}

static bool subgroup_accepts(const struct onp_node *node, const struct onp_device *device,
                             char *why) {
    const struct onp_tensor *w = node->src[ONP_MATMUL_W];
    if (!device->caps.subgroups) return refuse(why, "no sub-groups of a known size on this device");
    if (!onp_tiles(device, ONP_TUNED_MATMUL)->work_group_tiles)
        return refuse(why, "this device computes better without work-groups");
    const struct subgroup_tile tile = subgroup_tile(node, device);
    if (!whole_subgroup_tile(&tile)) return refuse(why, "no sub-group tile for this device");
    if (w->layout != ONP_LAYOUT_PANELS || w->panel % tile.size != 0)
        return refuse(why, "weights lie in %s of %d, needs panels of a multiple of %lld",
                      w->layout == ONP_LAYOUT_PANELS ? "panels" : "rows", (int)w->panel,
                      (long long)tile.size);
    return true;
}

static enum onp_status subgroup_emit(const struct onp_node *node, struct onp_emitter *emitter) {
    const struct subgroup_tile tile = subgroup_tile(node, emitter->device);
    struct onp_launch launch = product_launch(node, "matmul_subgroup");
    add_define(&launch, " " ONP_SUB_GROUPS " -DSUB_GROUP=%lld -DROWS=%lld -DCOLS=%lld",
               (long long)tile.size, (long long)tile.rows, (long long)tile.cols);
    add_define(&launch, " -DPANEL=%d -DPIECE=%lld -DTEAM=%lld", (int)node->src[ONP_MATMUL_W]->panel,
               (long long)tile.piece, (long long)tile.team);
    if (node->src[ONP_MATMUL_GATE]) add_define(&launch, " -DGATE");
    launch.local[0] = (size_t)(tile.size * tile.team);
    launch.local[1] = 1;
    launch.global[0] = (size_t)onp_div_up(node->dst->rows, tile.rows * tile.team) * launch.local[0];
    launch.global[1] = (size_t)onp_div_up(node->dst->cols, tile.size * tile.cols);
    return onp_emit_launch(emitter, &launch);
}

static const struct onp_variant subgroup = {
    .name = "matmul_subgroup", .accepts = subgroup_accepts, .emit = subgroup_emit};

// --- matmul_panel -------------------------------------------------------------------------------

static bool panel_accepts(const struct onp_node *node, const struct onp_device *device, char *why) {
    const struct onp_tuning *tuning = onp_tiles(device, ONP_TUNED_MATMUL);
    if (device->caps.type != ONP_DEVICE_CPU || device->caps.lanes)
        return refuse(why, "a register tile for CPUs only");
    if (tuning->tile_rows < 1 || tuning->tile_vectors < 1)
        return refuse(why, "no register tile for this device");
    return panels_of(node, (int64_t)tuning->vector * tuning->tile_vectors, why);
}

// Time of m rows in tiles of `rows`, in that of a row's fma: each tile costs a row besides, and
// another one where it converts the weights.
static int64_t tiles_cost(int64_t m, int64_t rows, bool half) {
    return onp_div_up(m, rows) * (rows + (half ? 2 : 1));
}

// Whether a tile of one row more leaves the registers a broadcast and two of the next weights.
static bool fits_one_more(const struct onp_tuning *tuning) {
    const int64_t registers = tuning->vector < 16 ? 16 : 32, vectors = tuning->tile_vectors;
    return (tuning->tile_rows + 1) * vectors + vectors + 1 + 2 <= registers;
}

// Rows of a tile: the device's, unless a lower one wastes less on the last rows, or one of a row
// more, which by itself is slower (by 2 to 4 % with 6 x 4 on Zen 4).
static int64_t tile_rows(int64_t m, const struct onp_tuning *tuning, bool half) {
    if (m == 1) return 1;
    const int64_t full = tuning->tile_rows, low = full < 4 ? full : 4, high = full + 1;
    const int64_t best = tiles_cost(m, low, half) < tiles_cost(m, full, half) ? low : full;
    if (!fits_one_more(tuning)) return best;
    return 104 * tiles_cost(m, high, half) < 100 * tiles_cost(m, best, half) ? high : best;
}

// How the tiles are dealt out to work-items.
struct panel_split {
    int64_t rows, panels, depth; // of a work-item; k steps of a block
};

// A core's own cache, 512 KiB on the CPUs with 16 vector registers, double that on those with 32,
// holds a block of a's rows while panels pass, and of those the block in use and the one to come.
#define WEIGHT_BYTES (96 * 1024)
#define ROWS_BYTES   (288 * 1024)
// Up to here all rows are one block: reading the weights once counts more.
#define FEW_ROWS   288
#define MANY_ROWS  96 // of a block with little k
#define MOST_COUNT 24 // panels of a work-item: pay for bringing its rows

// Row blocks: as many as keep a block's rows cached and all units busy.
static int64_t row_blocks(const struct onp_node *node, int64_t depth, int64_t panels, int64_t units,
                          int64_t mr) {
    const int64_t m = node->dst->rows, tiles = onp_div_up(m, mr);
    const int64_t k = at_most(depth, node->src[ONP_MATMUL_A]->cols);
    const int64_t rows = at_most(ROWS_BYTES / ((int64_t)sizeof(float) * k), MANY_ROWS);
    const int64_t cached = m <= FEW_ROWS ? 1 : onp_div_up(tiles, at_least(rows / mr, 1));
    return at_most(at_least(cached, onp_div_up(4 * units, panels)), tiles);
}

static struct panel_split split_panels(const struct onp_node *node, const struct onp_device *device,
                                       int64_t mr) {
    const struct onp_tensor *w = node->src[ONP_MATMUL_W];
    const int64_t panels = onp_div_up(w->rows, w->panel);
    const int64_t units = device->caps.compute_units ? device->caps.compute_units : 1;
    const int64_t tiles = onp_div_up(node->dst->rows, mr);
    const int64_t bytes = WEIGHT_BYTES * (onp_tiles(device, ONP_TUNED_MATMUL)->vector < 16 ? 1 : 2);
    // Of half weights as many as of float32: the rows' share of the cache is the same.
    const int64_t depth = at_least(bytes / (w->panel * (int64_t)sizeof(float)), 1);
    const int64_t blocks = row_blocks(node, depth, panels, units, mr);
    // About 16 work-items a unit: the last to end should not be waited for long.
    const int64_t count = at_most(panels * blocks / (16 * units), at_most(panels, MOST_COUNT));
    const bool whole = node->src[ONP_MATMUL_GATE] || tiles == 1;
    return (struct panel_split){.rows = onp_div_up(tiles, blocks) * mr,
                                .panels = at_least(count, 1),
                                .depth = whole ? w->cols : depth};
}

static enum onp_status panel_emit(const struct onp_node *node, struct onp_emitter *emitter) {
    const struct onp_tuning *tuning = onp_tiles(emitter->device, ONP_TUNED_MATMUL);
    const bool half = node->src[ONP_MATMUL_W]->dtype == ONP_F16;
    const int64_t mr = tile_rows(node->dst->rows, tuning, half);
    const struct panel_split split = split_panels(node, emitter->device, mr);
    struct onp_launch launch = product_launch(node, "matmul_panel");
    add_define(&launch, " -DVEC=%d -DNV=%d -DMR=%lld%s", tuning->vector, tuning->tile_vectors,
               (long long)mr, emitter->device->caps.prefetch ? " -DPREFETCH" : "");
    onp_push_i32(&launch, split.rows);
    onp_push_i32(&launch, split.panels);
    onp_push_i32(&launch, split.depth);
    const int64_t panels = onp_div_up(node->dst->cols, node->src[ONP_MATMUL_W]->panel);
    launch.global[0] = (size_t)onp_div_up(node->dst->rows, split.rows);
    launch.global[1] = (size_t)onp_div_up(panels, split.panels);
    launch.local[0] = launch.local[1] = 1;
    return onp_emit_launch(emitter, &launch);
}

static const struct onp_variant panel = {
    .name = "matmul_panel", .accepts = panel_accepts, .emit = panel_emit};

// --- matmul_simple ------------------------------------------------------------------------------

static bool simple_accepts(const struct onp_node *node, const struct onp_device *device,
                           char *why) {
    (void)node;
    (void)device;
    (void)why;
    return true;
}

static enum onp_status simple_emit(const struct onp_node *node, struct onp_emitter *emitter) {
    const struct onp_tensor *w = node->src[ONP_MATMUL_W];
    struct onp_launch launch = product_launch(node, "matmul_simple");
    if (w->layout == ONP_LAYOUT_PANELS) add_define(&launch, " -DPANEL=%d", w->panel);
    onp_push_i32(&launch, w->ld);
    launch.global[0] = (size_t)node->dst->cols;
    launch.global[1] = (size_t)node->dst->rows;
    return onp_emit_launch(emitter, &launch);
}

static const struct onp_variant simple = {
    .name = "matmul_simple", .accepts = simple_accepts, .emit = simple_emit};

const struct onp_variant *const onp_matmul_variants[] = {&clblast, &subgroup, &group,
                                                         &panel,   &simple,   NULL};
