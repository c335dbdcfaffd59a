// SPDX-License-Identifier: Apache-2.0
// Small questions that every op's builder asks of its tensors.
#ifndef ONP_OPS_SHAPE_H
#define ONP_OPS_SHAPE_H

#include "graph/graph.h"

// Kernels take rows, columns and row strides as 32-bit integers.
static inline bool onp_fits_kernel(const struct onp_tensor *x) {
    return x->rows <= INT32_MAX && x->cols <= INT32_MAX && x->ld <= INT32_MAX;
}

// A row-major matrix of this type and shape; rows or cols < 0: any.
static inline bool onp_is_matrix(const struct onp_tensor *x, enum onp_dtype dtype, int64_t rows,
                                 int64_t cols) {
    return x && x->dtype == dtype && x->layout == ONP_LAYOUT_ROWS && onp_fits_kernel(x) &&
           (rows < 0 || x->rows == rows) && (cols < 0 || x->cols == cols);
}

// Absent, or a float32 row vector of this length.
static inline bool onp_is_vector_or_null(const struct onp_tensor *x, int64_t cols) {
    return !x || onp_is_matrix(x, ONP_F32, 1, cols);
}

#endif
