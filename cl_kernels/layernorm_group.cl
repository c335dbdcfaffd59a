// SPDX-License-Identifier: Apache-2.0
// y = (x - mean) / sqrt(var + eps) [* weight + bias] [then GELU] over each row of `cols` floats.
//
// Build: -DLANES: work-items that share a row, a power of two; -DROWS: rows of a work-group;
// -DAFFINE: weight and bias are given; -DGELU.
// Launch: global {LANES, rows rounded up to ROWS}, local {LANES, ROWS}. y may be x itself.
//
// Mean first, then both the sum and the square sum of what is left: the rounding error of the first
// mean is taken out again, so rows with a mean far above their spread stay exact.

// Sum over the lanes of a row, the same value to all of them. `part` is free again on return.
static inline float row_sum(float value, __local float *part, int lane) {
    part[lane] = value;
    barrier(CLK_LOCAL_MEM_FENCE);
    for (int half_width = LANES / 2; half_width > 0; half_width /= 2) {
        if (lane < half_width) part[lane] += part[lane + half_width];
        barrier(CLK_LOCAL_MEM_FENCE);
    }
    float sum = part[0];
    barrier(CLK_LOCAL_MEM_FENCE);
    return sum;
}

__attribute__((reqd_work_group_size(LANES, ROWS, 1))) __kernel void
layernorm_group(__global const float *x, uint x_offset, __global const float *weight,
                uint weight_offset, __global const float *bias, uint bias_offset, __global float *y,
                uint y_offset, int rows, int cols, int ldx, int ldy, float eps) {
    __local float parts[ROWS * LANES];
    int lane = (int)get_local_id(0);
    __local float *part = parts + get_local_id(1) * LANES;
    // Rows beyond the last take part in the barriers and touch nothing: the last row's data may be
    // written already where y is x.
    const int end = get_global_id(1) < (size_t)rows ? cols : 0;
    x += x_offset + get_global_id(1) * (size_t)ldx;
    y += y_offset + get_global_id(1) * (size_t)ldy;

    float sum = 0.0f;
    for (int c = lane; c < end; c += LANES) sum += x[c];
    float mean = row_sum(sum, part, lane) / (float)cols;

    float rest = 0.0f, square = 0.0f;
    for (int c = lane; c < end; c += LANES) {
        float t = x[c] - mean;
        rest += t;
        square = fma(t, t, square);
    }
    rest = row_sum(rest, part, lane) / (float)cols;
    square = row_sum(square, part, lane) / (float)cols;
    float scale = 1.0f / sqrt(max(square - rest * rest, 0.0f) + eps);

#ifdef AFFINE
    weight += weight_offset;
    bias += bias_offset;
#endif
    for (int c = lane; c < end; c += LANES) {
        float t = ((x[c] - mean) - rest) * scale;
#ifdef AFFINE
        t = fma(t, weight[c], bias[c]);
#endif
#ifdef GELU
        t = gelu(t);
#endif
        y[c] = t;
    }
}
