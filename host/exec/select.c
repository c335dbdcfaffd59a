// SPDX-License-Identifier: Apache-2.0
#include "exec/select.h"

#include <stdio.h>
#include <string.h>

#include "base/buf.h"

bool onp_variant_disabled(const struct onp_device *device, const char *name) {
    const size_t length = strlen(name);
    for (const char *p = device->disabled; *p;) {
        const size_t n = strcspn(p, ",");
        if (n == length && memcmp(p, name, n) == 0) return true;
        p += n + (p[n] == ',');
    }
    return false;
}

bool onp_variant_accepts(const struct onp_variant *variant, const struct onp_node *node,
                         const struct onp_device *device, char *why) {
    why[0] = '\0';
    if (onp_variant_disabled(device, variant->name)) {
        snprintf(why, ONP_WHY, "switched off by the user");
        return false;
    }
    return variant->accepts(node, device, why);
}

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
