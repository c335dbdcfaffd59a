// SPDX-License-Identifier: Apache-2.0
// The list of ops: one line each.
#include "ops/op_list.h"

const struct onp_op *const onp_ops[] = {
    &onp_op_grouped_conv,
    &onp_op_matmul,
    NULL,
};
