// SPDX-License-Identifier: Apache-2.0
// The variants of the matrix product, for matmul.c.
#ifndef ONP_OPS_MATMUL_H
#define ONP_OPS_MATMUL_H

#include "ops/op.h"

extern const struct onp_variant *const onp_matmul_variants[];

#endif
