// SPDX-License-Identifier: Apache-2.0
// The list of ops: one line each; what the user switched off of their variants.
#include <stdio.h>
#include <string.h>

#include "ops/op_list.h"

// clang-format off
const struct onp_op *const onp_ops[] = {
    &onp_op_attention,
    &onp_op_conv_norm,
    &onp_op_gather,
    &onp_op_grouped_conv,
    &onp_op_l2norm,
    &onp_op_layernorm,
    &onp_op_matmul,
    &onp_op_patchify,
    NULL,
};
// clang-format on

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
