// SPDX-License-Identifier: Apache-2.0
// dst = x / max(||x||_2, 1e-12) for each row of `cols` floats.
//
// Build: -DLANES: work-items that share a row, a power of two (1 on CPUs).
// Launch: global {LANES, rows}, local {LANES, 1}.
//
// The row is scaled by its largest element first, so squares neither overflow nor vanish.

// Sum or maximum over the lanes of a row, the same value to all of them. `part` is free again on
// return.
static inline float reduce(float value, bool maximum, __local float *part, int lane) {
    part[lane] = value;
    barrier(CLK_LOCAL_MEM_FENCE);
    for (int half_width = LANES / 2; half_width > 0; half_width /= 2) {
        if (lane < half_width) {
            float a = part[lane], b = part[lane + half_width];
            part[lane] = maximum ? max(a, b) : a + b;
        }
        barrier(CLK_LOCAL_MEM_FENCE);
    }
    float result = part[0];
    barrier(CLK_LOCAL_MEM_FENCE);
    return result;
}

__attribute__((reqd_work_group_size(LANES, 1, 1))) __kernel void
l2norm(__global const float *x, uint x_offset, __global float *dst, uint dst_offset, int cols,
       int ldx, int ld_dst) {
    __local float part[LANES];
    int lane = (int)get_local_id(0);
    size_t row = get_global_id(1);
    x += x_offset + row * (size_t)ldx;
    dst += dst_offset + row * (size_t)ld_dst;

    float largest = 0.0f;
    for (int c = lane; c < cols; c += LANES) largest = max(largest, fabs(x[c]));
    largest = reduce(largest, true, part, lane);
    // Below this every length counts as 1e-12 whatever the squares are.
    float unit = largest > 1e-30f ? largest : 1.0f;

    float square = 0.0f;
    for (int c = lane; c < cols; c += LANES) {
        float t = x[c] / unit;
        square = fma(t, t, square);
    }
    float length = max(unit * sqrt(reduce(square, false, part, lane)), 1e-12f);
    for (int c = lane; c < cols; c += LANES) dst[c] = x[c] / length;
}
