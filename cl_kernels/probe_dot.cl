// SPDX-License-Identifier: Apache-2.0
// Measures the peak of products of int8 summed in int32. A chain holds one sum a lane; each step
// takes the sum's own four bytes times four constants and adds them to it. CHAINS independent
// chains a work-item, `steps` times 8 long: 2 * 4 * lanes * CHAINS * 8 * steps operations.
//
// -DDOT: one lane, with the device's instruction (cl_khr_integer_dot_product). Otherwise -DVEC=4|8
// lanes, with products of 16 bits that are added in pairs, for which CPUs have an instruction.
// sink holds one integer for each work-item.

#ifdef DOT
#pragma OPENCL EXTENSION cl_khr_integer_dot_product : enable
typedef uint sums_t;

static inline sums_t step(sums_t x, int factor) {
    return x + (uint)dot(as_char4(x), as_char4(factor));
}

static inline uint total(sums_t x) { return x; }
#else
#if VEC == 4
#define SHORTS 8
#else
#define SHORTS 16
#endif
typedef CAT(uint, VEC) sums_t;
typedef CAT(short, SHORTS) shorts_t;

// Sums of neighbouring products.
static inline sums_t pairs(shorts_t x, shorts_t w) {
    return CAT(as_uint, VEC)(CAT(convert_int, VEC)(x.even) * CAT(convert_int, VEC)(w.even) +
                             CAT(convert_int, VEC)(x.odd) * CAT(convert_int, VEC)(w.odd));
}

// The even bytes are widened by shifting up and back, the odd ones by shifting down.
static inline sums_t step(sums_t x, int factor) {
    const shorts_t bytes = CAT(as_short, SHORTS)(x), w = (shorts_t)((char)factor);
    return x + pairs((bytes << (short)8) >> (short)8, w) + pairs(bytes >> (short)8, w);
}

static inline uint total(sums_t x) {
    uint lane[VEC], sum = 0;
    CAT(vstore, VEC)(x, 0, lane);
    for (int i = 0; i < VEC; i++) sum += lane[i];
    return sum;
}
#endif

__kernel void probe_dot(__global int *sink, uint sink_offset, int steps, int factor) {
    sums_t x[CHAINS];
    UNROLL for (int c = 0; c < CHAINS; c++) x[c] = (sums_t)((uint)get_global_id(0) + (uint)c);
    for (int s = 0; s < steps; s++) {
        UNROLL for (int u = 0; u < 8; u++) {
            UNROLL for (int c = 0; c < CHAINS; c++) x[c] = step(x[c], factor);
        }
    }
    uint sum = total(x[0]);
    UNROLL for (int c = 1; c < CHAINS; c++) sum += total(x[c]);
    sink[sink_offset + get_global_id(0)] = (int)sum;
}
