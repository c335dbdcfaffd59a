// SPDX-License-Identifier: Apache-2.0
// The list of ops: one line each.
#include "ops/op_list.h"

// clang-format off
const struct onp_op *const onp_ops[] = {
    &onp_op_attention,
    &onp_op_gather,
    &onp_op_grouped_conv,
    &onp_op_l2norm,
    &onp_op_layernorm,
    &onp_op_matmul,
    &onp_op_patchify,
    NULL,
};
// clang-format on
