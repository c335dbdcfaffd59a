// SPDX-License-Identifier: Apache-2.0
#include "exec/select.h"

#include <stdio.h>
#include <string.h>

#include "base/buf.h"

const struct onp_variant *onp_select(const struct onp_node *node, const struct onp_device *device,
                                     bool explain) {
    struct onp_buf refusals = {0};
    const struct onp_variant *chosen = NULL;
    for (const struct onp_variant *const *v = node->op->variants; *v && !chosen; v++) {
        char why[ONP_WHY];
        if (onp_variant_accepts(*v, node, device, why))
            chosen = *v;
        else
            onp_buf_printf(&refusals, "; %s refused: %s", (*v)->name, why);
    }
    char shape[64] = "";
    node->op->describe(node, shape, sizeof shape);
    const struct onp_log *log = &device->context->log;
    const char *reasons = refusals.data ? refusals.data : "";
    if (!chosen)
        onp_fail(log, ONP_ERR_UNSUPPORTED, "no variant of %s (%s) runs on %s%s", node->op->name,
                 shape, device->info.name, reasons);
    else if (explain)
        onp_log(log, ONP_LOG_INFO, "%s %s: %s%s", node->op->name, shape, chosen->name, reasons);
    onp_buf_free(&refusals);
    return chosen;
}
