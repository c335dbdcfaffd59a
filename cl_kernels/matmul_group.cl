// SPDX-License-Identifier: Apache-2.0
// dst[m][n] = epilogue(sum_k a[m][k] * w[n][k]) by work-group tiles in local memory, for GPUs.
//
//   -DTILE_M rows and -DTILE_N columns of a work-group's tile, -DTILE_K k steps at a time; -DTM
//   rows
//               times 4 columns a work-item; TM and TILE_N multiples of 4, TILE_M of TM
//   -DWEIGHT_HALF: see prelude.h
//   -DGATE      two products at once: dst = gelu(a * w) * (a * gate)
//   epilogue    EPILOGUE_* bits
//   a           (M, K), row stride lda (lda < K: rows overlap); dst (M, N), row stride ldd
//   w, gate     [ceil(N / TILE_N)][K][TILE_N], zeros beyond N: a tile's weights are one run
//   bias, gamma N floats; residual (M, N), row stride ldr
//   launch      {ceil(N / TILE_N), ceil(M / TILE_M)} groups of ITEMS work-items
//   local       16 * TILE_K * (TILE_M / 4 + 1 + TILE_N / 4) bytes, with -DGATE another
//               4 * TILE_K * TILE_N
//
// Every element is one chain of fma over ascending k: a row does not depend on the others.

#define ACROSS (TILE_N / 4)
#define ITEMS  (TILE_M / TM * ACROSS)

// k_count k steps of one panel to local memory, zeros beyond.
static inline void stage_weights(__local float4 *tile, __global const weight_t *w, int k_count,
                                 uint item) {
    __local float *t = (__local float *)tile;
    for (uint i = item; i < TILE_K * TILE_N; i += ITEMS)
        t[i] = i < (uint)(k_count * TILE_N) ? LOAD_WEIGHT(w, (size_t)i) : 0.0f;
}

// The epilogue of one element, in column n; times: the gate's product.
static inline void finish(__global float *dst, float value, float times, int n, int N,
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

__kernel __attribute__((reqd_work_group_size(ITEMS, 1, 1))) FULL_REGISTERS void
matmul_group(__global const float *restrict a, uint a_offset, __global const weight_t *restrict w,
             uint w_offset, __global const weight_t *restrict gate, uint gate_offset,
             __global const float *restrict bias, uint bias_offset,
             __global const float *restrict gamma, uint gamma_offset,
             __global const float *restrict residual, uint residual_offset,
             __global float *restrict dst, uint dst_offset, int M, int N, int K, int lda, int ldd,
             int ldr, int epilogue) {
    __local float4 a_tile[TILE_K][TILE_M / 4 + 1]; // transposed; one more against bank conflicts
    __local float4 w_tile[TILE_K][ACROSS];
#ifdef GATE
    __local float4 gate_tile[TILE_K][ACROSS];
    float4 factor[TM];
#endif
    float4 sum[TM];
    UNROLL for (int i = 0; i < TM; i++) {
        sum[i] = (float4)(0.0f);
#ifdef GATE
        factor[i] = (float4)(0.0f);
#endif
    }
    const uint item = (uint)get_local_id(0), x = item % ACROSS, y = item / ACROSS;
    const int m0 = (int)get_group_id(1) * TILE_M, n = (int)(get_group_id(0) * TILE_N + x * 4);
    const size_t panel = get_group_id(0) * (size_t)K * TILE_N;
    a += a_offset;

    for (int k0 = 0; k0 < K; k0 += TILE_K) {
        const int k_count = min(TILE_K, K - k0);
        for (uint i = item; i < TILE_M * TILE_K; i += ITEMS) {
            const int k = (int)(i % TILE_K), row = (int)(i / TILE_K);
            // Rows beyond M repeat the last one: what they give is not written.
            const float v =
                a[(size_t)min(m0 + row, M - 1) * (size_t)lda + (size_t)(k0 + min(k, k_count - 1))];
            ((__local float *)a_tile[k])[row] = k < k_count ? v : 0.0f;
        }
        stage_weights(w_tile[0], w + w_offset + panel + (size_t)k0 * TILE_N, k_count, item);
#ifdef GATE
        stage_weights(gate_tile[0], gate + gate_offset + panel + (size_t)k0 * TILE_N, k_count,
                      item);
#endif
        barrier(CLK_LOCAL_MEM_FENCE);
        for (int k = 0; k < TILE_K; k++) {
            const float4 b = w_tile[k][x];
            UNROLL for (int i = 0; i < TM; i += 4) {
                const float4 v = a_tile[k][y * (TM / 4) + (uint)i / 4];
                sum[i] = fma((float4)(v.s0), b, sum[i]);
                sum[i + 1] = fma((float4)(v.s1), b, sum[i + 1]);
                sum[i + 2] = fma((float4)(v.s2), b, sum[i + 2]);
                sum[i + 3] = fma((float4)(v.s3), b, sum[i + 3]);
#ifdef GATE
                const float4 g = gate_tile[k][x];
                factor[i] = fma((float4)(v.s0), g, factor[i]);
                factor[i + 1] = fma((float4)(v.s1), g, factor[i + 1]);
                factor[i + 2] = fma((float4)(v.s2), g, factor[i + 2]);
                factor[i + 3] = fma((float4)(v.s3), g, factor[i + 3]);
#endif
            }
        }
        barrier(CLK_LOCAL_MEM_FENCE);
    }

    // One copy of the epilogue: the sums move up row by row, so that no index is variable and they
    // stay in registers even where a compiler does not unroll.
    for (int i = 0; i < TM; i++) {
        const int m = m0 + (int)y * TM + i;
        if (m < M) {
            __global float *d = dst + dst_offset + (size_t)m * (size_t)ldd;
            __global const float *r = residual + residual_offset + (size_t)m * (size_t)ldr;
            const float4 v = sum[0];
#ifdef GATE
            const float4 t = factor[0];
#else
            const float4 t = (float4)(1.0f);
#endif
            finish(d, v.s0, t.s0, n, N, bias + bias_offset, gamma + gamma_offset, r, epilogue);
            finish(d, v.s1, t.s1, n + 1, N, bias + bias_offset, gamma + gamma_offset, r, epilogue);
            finish(d, v.s2, t.s2, n + 2, N, bias + bias_offset, gamma + gamma_offset, r, epilogue);
            finish(d, v.s3, t.s3, n + 3, N, bias + bias_offset, gamma + gamma_offset, r, epilogue);
        }
        UNROLL for (int j = 1; j < TM; j++) {
            sum[j - 1] = sum[j];
#ifdef GATE
            factor[j - 1] = factor[j];
#endif
        }
    }
}
