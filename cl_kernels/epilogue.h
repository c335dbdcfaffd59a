// SPDX-License-Identifier: Apache-2.0
// A product's epilogue for kernels that hold single elements, put behind the prelude before every
// kernel source. -DGATE: two products, the second one the gate's.

// The epilogue of one element, in column n; times: the gate's product.
static inline void finish_element(__global float *dst, float value, float times, int n, int N,
                                  __global const float *bias, __global const float *gamma,
                                  __global const float *residual, int epilogue) {
    if (n >= N) return;
    if (epilogue & EPILOGUE_BIAS) value += bias[n];
    if (epilogue & (EPILOGUE_GELU | EPILOGUE_GATE)) value = gelu(value);
#ifdef GATE
    value *= times;
#endif
    if (epilogue & EPILOGUE_RESIDUAL) value = fma(gamma[n], value, residual[n]);
    dst[n] = value;
}
