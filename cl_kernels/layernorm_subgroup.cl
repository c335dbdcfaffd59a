// SPDX-License-Identifier: Apache-2.0
// y = (x - mean) / sqrt(var + eps) [* weight + bias] [then GELU] over each row of `cols` floats, a
// sub-group to a row: no local memory, no barrier, and every element is read once.
//
// Build: -DSUB_GROUPS -DSUB_GROUP: work-items of a sub-group; -DQUADS: float4 of a row that each of
// them keeps, cols <= 4 * SUB_GROUP * QUADS; -DAFFINE: weight and bias are given; -DGELU.
// Launch: {SUB_GROUP, rows} in groups of {SUB_GROUP, 1}. y may be x itself.
//
// Mean first, then both the sum and the square sum of what is left, as in layernorm_group.

// Four elements of a row from column c on; zeros from cols on.
static inline float4 read_quad(__global const float *x, int c, int cols) {
    if (c + 4 <= cols) return vload4(0, x + c);
    return (float4)(c < cols ? x[c] : 0.0f, c + 1 < cols ? x[c + 1] : 0.0f,
                    c + 2 < cols ? x[c + 2] : 0.0f, 0.0f);
}

static inline void write_quad(__global float *y, int c, int cols, float4 v) {
    if (c + 4 <= cols) {
        vstore4(v, 0, y + c);
        return;
    }
    if (c < cols) y[c] = v.s0;
    if (c + 1 < cols) y[c + 1] = v.s1;
    if (c + 2 < cols) y[c + 2] = v.s2;
}

static inline float sum_of(float4 v) { return (v.s0 + v.s1) + (v.s2 + v.s3); }

__kernel __attribute__((reqd_work_group_size(SUB_GROUP, 1, 1))) FULL_REGISTERS void
layernorm_subgroup(__global const float *x, uint x_offset, __global const float *weight,
                   uint weight_offset, __global const float *bias, uint bias_offset,
                   __global float *y, uint y_offset, int rows, int cols, int ldx, int ldy,
                   float eps) {
    const size_t row = get_group_id(1);
    const int first = (int)get_sub_group_local_id() * 4;
    x += x_offset + row * (size_t)ldx;
    y += y_offset + row * (size_t)ldy;

    float4 v[QUADS], part = (float4)(0.0f);
    UNROLL for (int q = 0; q < QUADS; q++) {
        v[q] = read_quad(x, first + q * 4 * SUB_GROUP, cols);
        part += v[q];
    }
    const float mean = sub_group_reduce_add(sum_of(part)) / (float)cols;

    float4 square = (float4)(0.0f);
    part = (float4)(0.0f);
    UNROLL for (int q = 0; q < QUADS; q++) {
        const int4 inside = first + q * 4 * SUB_GROUP + (int4)(0, 1, 2, 3) < (int4)(cols);
        v[q] = select((float4)(0.0f), v[q] - mean, inside);
        part += v[q];
        square = fma(v[q], v[q], square);
    }
    const float rest = sub_group_reduce_add(sum_of(part)) / (float)cols;
    const float variance = sub_group_reduce_add(sum_of(square)) / (float)cols;
    const float scale = 1.0f / sqrt(max(variance - rest * rest, 0.0f) + eps);

#ifdef AFFINE
    weight += weight_offset;
    bias += bias_offset;
#endif
    UNROLL for (int q = 0; q < QUADS; q++) {
        const int c = first + q * 4 * SUB_GROUP;
        float4 t = (v[q] - rest) * scale;
#ifdef AFFINE
        t = fma(t, read_quad(weight, c, cols), read_quad(bias, c, cols));
#endif
#ifdef GELU
        t = (float4)(gelu(t.s0), gelu(t.s1), gelu(t.s2), gelu(t.s3));
#endif
        write_quad(y, c, cols, t);
    }
}
