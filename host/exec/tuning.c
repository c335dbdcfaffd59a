// SPDX-License-Identifier: Apache-2.0
// Device classes and the tiles that suit them. The first row whose condition holds wins. Register
// tiles follow from the number of vector registers (16 for AVX2 and SSE, 32 for AVX-512): rows *
// vectors accumulators, `vectors` weights and one broadcast must fit.
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
    return caps->local_bytes >= 32u * 1024u && caps->max_work_group >= 256;
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
#define CPU_GROUP_TILE .group_rows = 32, .group_cols = 32, .group_depth = 8

static const struct row rows[] = {
    {is_reference, {.row = "reference", .vector = 4, .tile_rows = 1, .tile_vectors = 1}},
    {is_cpu_512,
     {.row = "cpu-512",
      .vector = 16,
      .tile_rows = 9,
      .tile_vectors = 3,
      CPU_GROUP_TILE,
      .attention_rows = 6,
      .attention_keys = 64}},
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
    {is_large_gpu,
     {.row = "gpu",
      .work_group_tiles = true,
      .vector = 4,
      .tile_rows = 4,
      .tile_vectors = 1,
      .group_rows = 64,
      .group_cols = 64,
      .group_depth = 16,
      .attention_rows = 16,
      .attention_keys = 32}},
    {is_small_gpu,
     {.row = "gpu-small",
      .work_group_tiles = true,
      .vector = 4,
      .tile_rows = 4,
      .tile_vectors = 1,
      .group_rows = 32,
      .group_cols = 32,
      .group_depth = 8,
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
