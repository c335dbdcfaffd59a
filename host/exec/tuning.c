// SPDX-License-Identifier: Apache-2.0
// Device classes and the tiles that suit them. The first row whose condition holds wins. Register
// tiles follow from the number of vector registers (16 for AVX2 and SSE, 32 for AVX-512): rows *
// vectors accumulators, `vectors` weights and one broadcast must fit, with room for the next step's
// weights, which LLVM loads early: on Zen 4, 9 x 3 of 32 spills and runs at 0.60 of the peak where
// 5 x 4 reaches 0.93.
#include "base/checked.h"
#include "exec/exec.h"

struct row {
    bool (*matches)(const struct onp_caps *caps);
    struct onp_tuning tuning;
};

static bool is_reference(const struct onp_caps *caps) { return caps->reference; }

// One whose vectors are the kernels' own vectors.
static bool is_cpu(const struct onp_caps *caps) {
    return caps->type == ONP_DEVICE_CPU && !caps->lanes;
}

static bool is_cpu_512(const struct onp_caps *caps) {
    return is_cpu(caps) && caps->vector_width >= 16;
}

static bool is_cpu_256(const struct onp_caps *caps) {
    return is_cpu(caps) && caps->vector_width >= 8;
}

static bool is_large_gpu(const struct onp_caps *caps) {
    return caps->local_bytes >= 32u * 1024u && caps->max_work_group >= 256 && !caps->mobile;
}

// AMD GCN and CDNA.
static bool is_wave64(const struct onp_caps *caps) {
    return is_large_gpu(caps) && caps->subgroup_size == 64;
}

// NVIDIA, and RDNA, whose drivers offer groups of 256.
static bool is_warp32(const struct onp_caps *caps) {
    return is_large_gpu(caps) && caps->subgroup_size == 32 && caps->max_work_group >= 1024;
}
static bool is_wave32(const struct onp_caps *caps) {
    return is_large_gpu(caps) && caps->subgroup_size == 32;
}

// Intel: the least sub-group is 8 from Gen9 to Xe-HPG, 16 from Xe-HPC and Xe2 on. Both have 4 KiB
// of registers a thread, so that a work-item of a sub-group of 16 has 64 floats.
static bool is_simd8(const struct onp_caps *caps) {
    return is_large_gpu(caps) && caps->subgroup_size == 8;
}
static bool is_simd16(const struct onp_caps *caps) {
    return is_large_gpu(caps) && caps->subgroup_size == 16;
}

static bool is_small_gpu(const struct onp_caps *caps) {
    return caps->local_bytes >= 8u * 1024u && caps->max_work_group >= 64;
}

static bool always(const struct onp_caps *caps) {
    (void)caps;
    return true;
}

// No CPU takes work-group tiles by itself; the kernel tests run the kernels for GPUs on one with
// this.
#define CPU_GROUP_TILE                                                                             \
    .group_rows = 32, .group_cols = 32, .group_depth = 8, .least_rows = 16, .item_rows = 4,        \
    .item_cols = 4

// What the GPU rows share.
#define GPU .work_group_tiles = true, .vector = 4, .tile_rows = 4, .tile_vectors = 1

// 128 x 64 by 128 work-items of 8 x 8: 4 reads of local memory for 64 fma, about 110 registers.
#define GPU_TILE_128                                                                               \
    .group_rows = 128, .group_cols = 64, .group_depth = 8, .least_rows = 16, .item_rows = 8,       \
    .item_cols = 8
// 64 x 64 by 128 work-items of 8 x 4: 3 reads for 32 fma, about 70 registers.
#define GPU_TILE_64                                                                                \
    .group_rows = 64, .group_cols = 64, .group_depth = 8, .least_rows = 16, .item_rows = 8,        \
    .item_cols = 4

// 8 rows by 4 columns a work-item of a sub-group: 32 sums, 16 weights in use and 16 on their way.
// Where a broadcast number is a plain operand of an instruction, as on Intel, this beats local
// memory by an estimate (bench/predictions.md); nothing was measured.
#define SUB_GROUP_TILE .subgroup_rows = 8, .subgroup_cols = 4

static const struct row rows[] = {
    {is_reference, {.row = "reference", .vector = 4, .tile_rows = 1, .tile_vectors = 1}},
    {is_cpu_512,
     {.row = "cpu-512",
      .vector = 16,
      .tile_rows = 5,
      .tile_vectors = 4,
      CPU_GROUP_TILE,
      .attention_rows = 12,
      .attention_keys = 16}},
    {is_cpu_256,
     {.row = "cpu-256",
      .vector = 8,
      .tile_rows = 6,
      .tile_vectors = 2,
      CPU_GROUP_TILE,
      .attention_rows = 6,
      .attention_keys = 16}},
    {is_cpu,
     {.row = "cpu-128",
      .vector = 4,
      .tile_rows = 6,
      .tile_vectors = 2,
      CPU_GROUP_TILE,
      .attention_rows = 6,
      .attention_keys = 8}},
    {is_wave64,
     {.row = "gpu-wave64", GPU, GPU_TILE_128, .attention_rows = 16, .attention_keys = 32}},
    {is_warp32,
     {.row = "gpu-warp32", GPU, GPU_TILE_128, .attention_rows = 16, .attention_keys = 32}},
    {is_wave32,
     {.row = "gpu-wave32", GPU, GPU_TILE_128, .attention_rows = 16, .attention_keys = 32}},
    {is_simd8,
     {.row = "gpu-simd8",
      GPU,
      GPU_TILE_64,
      SUB_GROUP_TILE,
      .attention_rows = 16,
      .attention_keys = 32}},
    {is_simd16,
     {.row = "gpu-simd16",
      GPU,
      GPU_TILE_64,
      SUB_GROUP_TILE,
      .attention_rows = 16,
      .attention_keys = 32}},
    {is_large_gpu, {.row = "gpu", GPU, GPU_TILE_64, .attention_rows = 16, .attention_keys = 32}},
    {is_small_gpu,
     {.row = "gpu-small",
      GPU,
      .group_rows = 32,
      .group_cols = 32,
      .group_depth = 8,
      .least_rows = 16,
      .item_rows = 4,
      .item_cols = 4,
      .attention_rows = 8,
      .attention_keys = 16}},
    {always,
     {.row = "minimal",
      .vector = 4,
      .tile_rows = 4,
      .tile_vectors = 1,
      .attention_rows = 4,
      .attention_keys = 8}},
};

void onp_tuning_choose(struct onp_device *device) {
    for (size_t i = 0; i < ONP_COUNT(rows); i++) {
        if (!rows[i].matches(&device->caps)) continue;
        device->tuning = rows[i].tuning;
        return;
    }
}
