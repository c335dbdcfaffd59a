// SPDX-License-Identifier: Apache-2.0
// Which tiles are worth trying. Register tiles are bounded by the registers: their sums, a weight
// for each vector and one broadcast must fit, or the compiler spills; too few sums leave the fma
// units waiting for one another.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "exec/tune.h"

struct space {
    const struct onp_device *device;
    enum onp_tuned_op op;
    struct onp_tuning base; // the class's
    struct onp_tuning *list;
    size_t count;
};

static void add(struct space *space, const struct onp_tuning *tiles) {
    if (space->count == ONP_TUNE_CANDIDATES || onp_tuning_equal(tiles, &space->base, space->op))
        return;
    for (size_t i = 0; i < space->count; i++)
        if (onp_tuning_equal(tiles, &space->list[i], space->op)) return;
    space->list[space->count] = *tiles;
    space->list[space->count++].row = "tuned";
}

// A CPU whose vectors are the kernels' own.
static bool is_cpu(const struct onp_device *device) {
    return device->caps.type == ONP_DEVICE_CPU && !device->caps.lanes;
}

static int32_t width_of(const struct onp_device *device) {
    const int32_t width = (int32_t)device->caps.vector_width;
    return width >= 16 ? 16 : width >= 8 ? 8 : 4;
}

static int32_t registers_of(const struct onp_device *device) {
    return width_of(device) == 16 ? 32 : 16;
}

// rows x vectors of `vector` floats. Two more than the registers are let through: compilers find
// ways.
static void add_register_tiles(struct space *space, int32_t vector) {
    const int32_t registers = registers_of(space->device);
    const int32_t each = (vector + width_of(space->device) - 1) / width_of(space->device);
    for (int32_t vectors = 1; vectors <= 4; vectors++)
        for (int32_t rows = 2; rows <= 16; rows++) {
            const int32_t sums = rows * vectors * each;
            if (sums + vectors * each + 1 > registers + 2 || sums < registers / 2) continue;
            struct onp_tuning tiles = space->base;
            tiles.work_group_tiles = tiles.prefer_blas = false;
            tiles.vector = vector;
            tiles.tile_rows = rows;
            tiles.tile_vectors = vectors;
            add(space, &tiles);
        }
}

// Of work-groups: the sub-group tile, which goes before them, is switched off.
static void add_group_tiles(struct space *space) {
    static const int32_t sides[] = {32, 64, 128}, depths[] = {8, 16, 32};
    for (size_t r = 0; r < ONP_COUNT(sides); r++)
        for (size_t c = 0; c < ONP_COUNT(sides); c++)
            for (size_t d = 0; d < ONP_COUNT(depths); d++) {
                struct onp_tuning tiles = space->base;
                tiles.work_group_tiles = true;
                tiles.prefer_blas = false;
                tiles.group_rows = sides[r];
                tiles.group_cols = sides[c];
                tiles.group_depth = depths[d];
                tiles.subgroup_rows = 0;
                add(space, &tiles);
            }
}

// Beside the class's choice: the product by sub-groups, or the one by work-groups.
static void add_subgroup_tiles(struct space *space) {
    static const int32_t rows[] = {4, 8, 16}, cols[] = {2, 4, 8};
    struct onp_tuning tiles = space->base;
    tiles.work_group_tiles = true;
    tiles.prefer_blas = false;
    tiles.subgroup_rows = 0;
    add(space, &tiles);
    for (size_t r = 0; r < ONP_COUNT(rows); r++)
        for (size_t c = 0; c < ONP_COUNT(cols); c++) {
            // More than 64 sums leave no registers; fewer than 16 read more than they multiply.
            if (rows[r] * cols[c] > 64 || rows[r] * cols[c] < 16) continue;
            tiles.subgroup_rows = rows[r];
            tiles.subgroup_cols = cols[c];
            add(space, &tiles);
        }
}

static void matmul_space(struct space *space) {
    const int32_t width = width_of(space->device);
    struct onp_tuning blas = space->base;
    blas.prefer_blas = !blas.prefer_blas;
    if (space->device->caps.blas) add(space, &blas);
    if (!is_cpu(space->device)) {
        if (space->device->caps.subgroups) add_subgroup_tiles(space);
        add_group_tiles(space);
        return;
    }
    add_register_tiles(space, width);
    if (width < 16) add_register_tiles(space, 2 * width);
    struct onp_tuning group = space->base; // one, to see whether the class is right about groups
    group.work_group_tiles = true;
    if (group.group_rows > 0) add(space, &group);
}

static void attention_space(struct space *space) {
    static const int32_t cpu_rows[] = {2, 3, 4, 6, 8, 12}, gpu_rows[] = {8, 16, 32, 64};
    static const int32_t gpu_keys[] = {16, 32, 64, 128};
    const int32_t width = width_of(space->device), registers = registers_of(space->device);
    struct onp_tuning tiles = space->base;
    if (!is_cpu(space->device)) {
        if (space->device->caps.subgroups) {
            tiles.attention_subgroups = !tiles.attention_subgroups;
            add(space, &tiles);
        }
        tiles.attention_subgroups = false;
        for (size_t r = 0; r < ONP_COUNT(gpu_rows); r++)
            for (size_t k = 0; k < ONP_COUNT(gpu_keys); k++) {
                tiles.attention_rows = gpu_rows[r];
                tiles.attention_keys = gpu_keys[k];
                add(space, &tiles);
            }
        return;
    }
    for (int32_t vector = width; vector <= 16 && vector <= 2 * width; vector *= 2)
        for (size_t r = 0; r < ONP_COUNT(cpu_rows); r++)
            for (int32_t vectors = 1; vectors * vector <= 128 && vectors <= 8; vectors++) {
                const int32_t sums = cpu_rows[r] * vectors * vector / width;
                if (sums > registers || sums < registers / 3) continue;
                tiles.vector = vector;
                tiles.attention_rows = cpu_rows[r];
                tiles.attention_keys = vectors * vector;
                add(space, &tiles);
            }
}

static void layernorm_space(struct space *space) {
    for (int32_t vector = 4; vector <= 16; vector *= 2)
        for (int groups = 0; groups < 2; groups++) {
            struct onp_tuning tiles = space->base;
            tiles.vector = vector;
            tiles.work_group_tiles = groups == 1;
            add(space, &tiles);
        }
}

static void grouped_conv_space(struct space *space) {
    if (is_cpu(space->device)) {
        add_register_tiles(space, width_of(space->device));
        return;
    }
    for (int32_t rows = 2; rows <= 8; rows *= 2)
        for (int32_t vectors = 1; vectors <= 2; vectors++) {
            struct onp_tuning tiles = space->base;
            tiles.tile_rows = rows;
            tiles.tile_vectors = vectors;
            add(space, &tiles);
        }
}

// How far from the class's row: the sum over the fields of |log2 of the quotient|.
static double distance(const struct onp_tuning *tiles, const struct onp_tuning *base,
                       enum onp_tuned_op op) {
    double sum = 0.0;
    for (size_t i = 0; i < onp_tuning_field_count; i++) {
        const struct onp_tuning_field *field = &onp_tuning_fields[i];
        if (!onp_tuning_reads(field, op)) continue;
        const double a = 1.0 + onp_tuning_get(tiles, field), b = 1.0 + onp_tuning_get(base, field);
        sum += fabs(log2(a / b));
    }
    return sum;
}

size_t onp_tune_space(const struct onp_device *device, enum onp_tuned_op op,
                      struct onp_tuning candidates[ONP_TUNE_CANDIDATES]) {
    static void (*const fill[ONP_TUNED_COUNT])(struct space *) = {
        [ONP_TUNED_MATMUL] = matmul_space,
        [ONP_TUNED_ATTENTION] = attention_space,
        [ONP_TUNED_LAYERNORM] = layernorm_space,
        [ONP_TUNED_GROUPED_CONV] = grouped_conv_space};
    struct space space = {.device = device, .op = op, .base = device->tuning, .list = candidates};
    fill[op](&space);
    for (size_t i = 1; i < space.count; i++) // by insertion: stable, and the lists are short
        for (size_t j = i; j > 0 && distance(&candidates[j], &space.base, op) <
                                        distance(&candidates[j - 1], &space.base, op);
             j--) {
            const struct onp_tuning t = candidates[j];
            candidates[j] = candidates[j - 1];
            candidates[j - 1] = t;
        }
    return space.count;
}
