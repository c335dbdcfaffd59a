// SPDX-License-Identifier: Apache-2.0
// Measures the peak of fma: each work-item runs CHAINS independent chains of VEC floats (both set
// by -D), `steps` times 8 fma long. 2 * VEC * CHAINS * 8 * steps operations a work-item. -DHALF:
// the same in half, which needs cl_khr_fp16. sink holds one float for each work-item.

#ifdef HALF
#pragma OPENCL EXTENSION cl_khr_fp16 : enable
typedef half lane_t;
typedef CAT(half, VEC) lanes_t;
#else
typedef float lane_t;
typedef vecf lanes_t;
#endif

__kernel void probe_fma(__global float *sink, uint sink_offset, int steps, float factor) {
    lanes_t x[CHAINS];
    UNROLL for (int c = 0; c < CHAINS; c++) {
        x[c] = (lanes_t)((lane_t)(get_global_id(0) % 64 + (size_t)c));
    }
    const lanes_t a = (lanes_t)((lane_t)factor), b = (lanes_t)((lane_t)(1.0f - factor));
    for (int s = 0; s < steps; s++) {
        UNROLL for (int u = 0; u < 8; u++) {
            UNROLL for (int c = 0; c < CHAINS; c++) { x[c] = fma(x[c], a, b); }
        }
    }
    lanes_t sum = x[0];
    UNROLL for (int c = 1; c < CHAINS; c++) { sum += x[c]; }
    lane_t lane[VEC];
    float total = 0.0f;
    VSTORE_PRIVATE(sum, 0, lane);
    for (int i = 0; i < VEC; i++) total += (float)lane[i];
    sink[sink_offset + get_global_id(0)] = total;
}
