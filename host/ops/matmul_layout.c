// SPDX-License-Identifier: Apache-2.0
// How a product's weights lie on a device.
#include "backend/backend.h"
#include "ops/ops.h"

void onp_matmul_weight_layout(const struct onp_device *device, enum onp_dtype dtype, int64_t n,
                              int64_t k, enum onp_layout *layout, int32_t *panel) {
    (void)n;
    (void)k;
    const struct onp_tuning *tuning = onp_tiles(device, ONP_TUNED_MATMUL);
    // CLBlast has no product of float32 with half, so half weights always go to our own kernels.
    const bool rows = device->caps.reference || (tuning->prefer_blas && dtype == ONP_F32);
    *layout = rows ? ONP_LAYOUT_ROWS : ONP_LAYOUT_PANELS;
    *panel = 0;
    if (!rows)
        *panel =
            tuning->work_group_tiles ? tuning->group_cols : tuning->vector * tuning->tile_vectors;
}
