// SPDX-License-Identifier: Apache-2.0
// Every op's table, for its own file and for registry.c alone.
#ifndef ONP_OPS_OP_LIST_H
#define ONP_OPS_OP_LIST_H

#include "ops/op.h"

extern const struct onp_op onp_op_attention;
extern const struct onp_op onp_op_conv_norm;
extern const struct onp_op onp_op_gather;
extern const struct onp_op onp_op_grouped_conv;
extern const struct onp_op onp_op_l2norm;
extern const struct onp_op onp_op_layernorm;
extern const struct onp_op onp_op_matmul;
extern const struct onp_op onp_op_patchify;

#endif
