// SPDX-License-Identifier: Apache-2.0
// Measures the peak of float32 fma: each work-item runs CHAINS independent chains of VEC floats
// (both set by -D), `steps` times 8 fma long. 2 * VEC * CHAINS * 8 * steps operations a work-item.
// sink holds one float for each work-item.

__kernel void probe_fma(__global float *sink, uint sink_offset, int steps, float factor) {
    vecf x[CHAINS];
    UNROLL for (int c = 0; c < CHAINS; c++) { x[c] = (vecf)((float)get_global_id(0) + (float)c); }
    const vecf a = (vecf)(factor), b = (vecf)(1.0f - factor);
    for (int s = 0; s < steps; s++) {
        UNROLL for (int u = 0; u < 8; u++) {
            UNROLL for (int c = 0; c < CHAINS; c++) { x[c] = fma(x[c], a, b); }
        }
    }
    vecf sum = x[0];
    UNROLL for (int c = 1; c < CHAINS; c++) { sum += x[c]; }
    float lanes[VEC], total = 0.0f;
    VSTORE(sum, 0, lanes);
    for (int i = 0; i < VEC; i++) total += lanes[i];
    sink[sink_offset + get_global_id(0)] = total;
}
