// SPDX-License-Identifier: Apache-2.0
// What follows a product that another library has left in dst (M, N), row stride ldd, in place:
//
//   epilogue    EPILOGUE_* bits; with the gate, dst = gelu(dst) * other[m * N + n]
//   bias, gamma N floats; residual (M, N), row stride ldr
//   launch      {N, M}

__kernel void matmul_epilogue(__global const float *restrict other, uint other_offset,
                              __global const float *restrict bias, uint bias_offset,
                              __global const float *restrict gamma, uint gamma_offset,
                              __global const float *restrict residual, uint residual_offset,
                              __global float *restrict dst, uint dst_offset, int M, int N, int ldd,
                              int ldr, int epilogue) {
    const int n = (int)get_global_id(0), m = (int)get_global_id(1);
    if (n >= N || m >= M) return;
    const size_t at = dst_offset + (size_t)m * (size_t)ldd + (size_t)n;
    float x = dst[at];
    if (epilogue & EPILOGUE_BIAS) x += bias[bias_offset + n];
    if (epilogue & (EPILOGUE_GELU | EPILOGUE_GATE)) x = gelu(x);
    if (epilogue & EPILOGUE_GATE) x *= other[other_offset + (size_t)m * (size_t)N + (size_t)n];
    if (epilogue & EPILOGUE_RESIDUAL)
        x = fma(gamma[gamma_offset + n], x,
                residual[residual_offset + (size_t)m * (size_t)ldr + (size_t)n]);
    dst[at] = x;
}
