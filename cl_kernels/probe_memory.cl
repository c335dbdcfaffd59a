// SPDX-License-Identifier: Apache-2.0
// Measures the bandwidth of device memory over `vectors` vectors of VEC floats, and the cost of a
// launch. -DSTRETCH: every work-item takes a stretch of neighbouring vectors, as suits a CPU;
// without it neighbouring work-items take neighbouring vectors, as suits a GPU. `vectors` is a
// multiple of four times the work-items.

#ifdef STRETCH
#define FIRST ((size_t)get_global_id(0) * ((size_t)vectors / get_global_size(0)))
#define STEP  ((size_t)1)
#else
#define FIRST ((size_t)get_global_id(0))
#define STEP  ((size_t)get_global_size(0))
#endif
#define ROUNDS (vectors / (int)get_global_size(0))

// sink holds one float for each work-item.
__kernel void probe_read(__global const float *x, uint x_offset, __global float *sink,
                         uint sink_offset, int vectors) {
    vecf sum[4];
    UNROLL for (int j = 0; j < 4; j++) sum[j] = (vecf)(0.0f);
    x += x_offset;
    size_t at = FIRST;
    for (int r = 0; r < ROUNDS; r += 4) {
        UNROLL for (int j = 0; j < 4; j++, at += STEP) sum[j] += VLOAD(at, x);
    }
    float lane[VEC], total = 0.0f;
    VSTORE_PRIVATE((sum[0] + sum[1]) + (sum[2] + sum[3]), 0, lane);
    for (int i = 0; i < VEC; i++) total += lane[i];
    sink[sink_offset + get_global_id(0)] = total;
}

__kernel void probe_write(__global float *y, uint y_offset, float value, int vectors) {
    y += y_offset;
    size_t at = FIRST;
    for (int r = 0; r < ROUNDS; r += 4) {
        UNROLL for (int j = 0; j < 4; j++, at += STEP) VSTORE((vecf)(value), at, y);
    }
}

__kernel void probe_copy(__global const float *x, uint x_offset, __global float *y, uint y_offset,
                         int vectors) {
    x += x_offset;
    y += y_offset;
    size_t at = FIRST;
    for (int r = 0; r < ROUNDS; r += 4) {
        UNROLL for (int j = 0; j < 4; j++, at += STEP) VSTORE(VLOAD(at, x), at, y);
    }
}

__kernel void probe_empty(__global float *sink, uint sink_offset) {
    if (sink_offset == 0xffffffffu) sink[0] = 0.0f; // never: the argument is there to be set
}
