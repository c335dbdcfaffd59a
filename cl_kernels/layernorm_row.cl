// SPDX-License-Identifier: Apache-2.0
// y = (x - mean) / sqrt(var + eps) [* weight + bias] [then GELU] over each row of `cols` floats.
//
// Build: -DVEC=4|8|16; -DAFFINE: weight and bias are given; -DGELU.
// Launch: global {ceil(rows / count)}, local {1}: a work-item makes `count` rows, and the compiler
// keeps whole vectors in registers on a CPU. y may be x itself. The method: layernorm.h.

#ifdef AFFINE
#define FLAG_AFFINE NORM_AFFINE
#else
#define FLAG_AFFINE 0
#endif
#ifdef GELU
#define FLAG_GELU NORM_GELU
#else
#define FLAG_GELU 0
#endif

__attribute__((reqd_work_group_size(1, 1, 1))) __kernel void
layernorm_row(__global const float *x, uint x_offset, __global const float *weight,
              uint weight_offset, __global const float *bias, uint bias_offset, __global float *y,
              uint y_offset, int rows, int cols, int ldx, int ldy, float eps, int count) {
    const int first = (int)get_global_id(0) * count, end = min(first + count, rows);
    x += x_offset;
    y += y_offset;
    weight += weight_offset;
    bias += bias_offset;
    for (int r = first; r < end; r++)
        norm_row(x + (size_t)r * (size_t)ldx, weight, bias, y + (size_t)r * (size_t)ldy, cols, eps,
                 FLAG_AFFINE | FLAG_GELU);
}
