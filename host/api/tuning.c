// SPDX-License-Identifier: Apache-2.0
// Which tiles are in force on a device.
#include "backend/backend.h"
#include "exec/tuned.h"
#include "onepeace/tune.h"
#include "ops/op.h"

size_t onp_device_get_tuning(const struct onp_device *device, struct onp_tuning_row *rows,
                             size_t capacity) {
    size_t count = 0;
    if (!device) return 0;
    for (const struct onp_op *const *op = onp_ops; *op; op++, count++) {
        enum onp_tuned_op which;
        if (!rows || count >= capacity) continue;
        rows[count] = (struct onp_tuning_row){
            .op = (*op)->name, .row = device->tuning.row, .source = "class"};
        if (!onp_tuned_op_of((*op)->name, &which) || !device->tuned[which].set) continue;
        if (device->tuned[which].values[0]) rows[count].row = device->tuned[which].values;
        rows[count].source = device->tuned[which].source;
    }
    return count;
}
