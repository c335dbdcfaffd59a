// SPDX-License-Identifier: Apache-2.0
// Which variant runs a node: the first of the op's list that accepts.
#ifndef ONP_EXEC_SELECT_H
#define ONP_EXEC_SELECT_H

#include "ops/op.h"

// True if the user switched this variant off on this device.
bool onp_variant_disabled(const struct onp_device *device, const char *name);
// Asks one variant; on refusal writes the reason (ONP_WHY bytes).
bool onp_variant_accepts(const struct onp_variant *variant, const struct onp_node *node,
                         const struct onp_device *device, char *why);
// NULL if none accepts (an error is logged with every reason). With explain, logs the choice and
// the refusals before it.
const struct onp_variant *onp_select(const struct onp_node *node, const struct onp_device *device,
                                     bool explain);

#endif
