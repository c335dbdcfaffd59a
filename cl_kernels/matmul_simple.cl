// SPDX-License-Identifier: Apache-2.0
// dst[m][n] = epilogue(sum_k a[m][k] * w[n][k]), one work-item an element: any device, any shape.
//
//   -DPANEL=n   weights as [ceil(N / n)][K][n]; without it as rows, element (n, k) at n * ldw + k
//   -DWEIGHT_HALF: see prelude.h
//   epilogue    EPILOGUE_* bits
//   a           (M, K), row stride lda (lda < K: rows overlap); dst (M, N), row stride ldd
//   bias, gamma N floats; residual (M, N), row stride ldr
//   launch      {N, M}
//
// The sum is one chain of fma over ascending k.

static inline float weight_at(__global const weight_t *w, int n, int k, int K, int ldw) {
#ifdef PANEL
    return LOAD_WEIGHT(w,
                       ((size_t)(n / PANEL) * (size_t)K + (size_t)k) * PANEL + (size_t)(n % PANEL));
#else
    return LOAD_WEIGHT(w, (size_t)n * (size_t)ldw + (size_t)k);
#endif
}

__kernel void matmul_simple(__global const float *restrict a, uint a_offset,
                            __global const weight_t *restrict w, uint w_offset,
                            __global const weight_t *restrict gate, uint gate_offset,
                            __global const float *restrict bias, uint bias_offset,
                            __global const float *restrict gamma, uint gamma_offset,
                            __global const float *restrict residual, uint residual_offset,
                            __global float *restrict dst, uint dst_offset, int M, int N, int K,
                            int lda, int ldd, int ldr, int epilogue, int ldw) {
    const int n = (int)get_global_id(0), m = (int)get_global_id(1);
    if (n >= N || m >= M) return;
    a += a_offset + (size_t)m * (size_t)lda;
    w += w_offset;
    float sum = 0.0f;
    for (int k = 0; k < K; k++) sum = fma(a[k], weight_at(w, n, k, K, ldw), sum);
    if (epilogue & EPILOGUE_BIAS) sum += bias[bias_offset + n];
    if (epilogue & (EPILOGUE_GELU | EPILOGUE_GATE)) sum = gelu(sum);
    if (epilogue & EPILOGUE_GATE) {
        gate += gate_offset;
        float factor = 0.0f;
        for (int k = 0; k < K; k++) factor = fma(a[k], weight_at(gate, n, k, K, ldw), factor);
        sum *= factor;
    }
    if (epilogue & EPILOGUE_RESIDUAL)
        sum = fma(gamma[gamma_offset + n], sum,
                  residual[residual_offset + (size_t)m * (size_t)ldr + (size_t)n]);
    dst[dst_offset + (size_t)m * (size_t)ldd + (size_t)n] = sum;
}
