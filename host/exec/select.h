// SPDX-License-Identifier: Apache-2.0
// Which variant runs a node: the first of the op's list that accepts.
#ifndef ONP_EXEC_SELECT_H
#define ONP_EXEC_SELECT_H

#include "ops/op.h"

// NULL if none accepts (an error is logged with every reason). With explain, logs the choice and
// the refusals before it.
const struct onp_variant *onp_select(const struct onp_node *node, const struct onp_device *device,
                                     bool explain);

#endif
