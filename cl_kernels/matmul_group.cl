// SPDX-License-Identifier: Apache-2.0
// dst[m][n] = epilogue(sum_k a[m][k] * w[n][k]) by work-group tiles in local memory, for GPUs.
//
//   -DTILE_M rows and -DTILE_N columns of a work-group's tile, -DTILE_K k steps at a time (a
//   multiple
//               of 4); -DTM rows times -DTN columns a work-item: 4 or 8 each; TILE_M a multiple of
//               TM, TILE_N of TN
//   -DWEIGHT_HALF: see prelude.h
//   -DGATE      two products at once: dst = gelu(a * w) * (a * gate)
//   epilogue    EPILOGUE_* bits
//   a           (M, K), row stride lda (lda < K: rows overlap); dst (M, N), row stride ldd
//   w, gate     [ceil(N / TILE_N)][K][TILE_N], zeros beyond N: a tile's weights are one run
//   bias, gamma N floats; residual (M, N), row stride ldr
//   launch      {ceil(N / TILE_N), ceil(M / TILE_M)} groups of ITEMS work-items
//   local       8 * TILE_K * (TILE_M + 4 + TILE_N) bytes, with -DGATE another 8 * TILE_K * TILE_N
//
// The next k steps are on their way from memory while the present ones are multiplied, and go to
// the other half of local memory, so that there is one barrier for TILE_K steps. Of 8 rows
// (columns) of a work-item, four lie in either half of the tile: neighbours read neighbouring
// float4.
//
// Every element is one chain of fma over ascending k: a row does not depend on the others.

#define ACROSS  (TILE_N / TN)
#define ITEMS   (TILE_M / TM * ACROSS)
#define A_LD    (TILE_M + 4) // against bank conflicts of transposing
#define A_QUADS (TILE_M * TILE_K / 4)
#define W_QUADS (TILE_N * TILE_K / 4)
#define A_OWN   ((A_QUADS + ITEMS - 1) / ITEMS) // float4 that a work-item brings
#define W_OWN   ((W_QUADS + ITEMS - 1) / ITEMS)
#define TM4     (TM / 4)
#define TN4     (TN / 4)

// Unrolled whole, the loop over k lets compilers read all of local memory ahead, into registers.
#define STEPWISE _Pragma("unroll 2")

// Four k steps of a row of a; zeros from `left` on.
static inline float4 read_a(__global const float *a, int left) {
    if (left >= 4) return vload4(0, a);
    return (float4)(left > 0 ? a[0] : 0.0f, left > 1 ? a[1] : 0.0f, left > 2 ? a[2] : 0.0f, 0.0f);
}

static inline float4 read_weights(__global const weight_t *w, size_t quad) {
#ifdef WEIGHT_HALF
    return vload_half4(quad, w);
#else
    return vload4(quad, w);
#endif
}

// sum[i][j] += v[i] * b[j] for four rows.
#define MULTIPLY(SUM, V, B)                                                                        \
    UNROLL for (int j = 0; j < TN4; j++) {                                                         \
        SUM[0][j] = fma((float4)((V).s0), B[j], SUM[0][j]);                                        \
        SUM[1][j] = fma((float4)((V).s1), B[j], SUM[1][j]);                                        \
        SUM[2][j] = fma((float4)((V).s2), B[j], SUM[2][j]);                                        \
        SUM[3][j] = fma((float4)((V).s3), B[j], SUM[3][j]);                                        \
    }

__kernel __attribute__((reqd_work_group_size(ITEMS, 1, 1))) FULL_REGISTERS void
matmul_group(__global const float *restrict a, uint a_offset, __global const weight_t *restrict w,
             uint w_offset, __global const weight_t *restrict gate, uint gate_offset,
             __global const float *restrict bias, uint bias_offset,
             __global const float *restrict gamma, uint gamma_offset,
             __global const float *restrict residual, uint residual_offset,
             __global float *restrict dst, uint dst_offset, int M, int N, int K, int lda, int ldd,
             int ldr, int epilogue) {
    __local float a_tile[2][TILE_K * A_LD]; // transposed
    __local float4 w_tile[2][W_QUADS];
#ifdef GATE
    __local float4 gate_tile[2][W_QUADS];
    float4 factor[TM][TN4], gate_next[W_OWN];
#endif
    float4 sum[TM][TN4], a_next[A_OWN], w_next[W_OWN];
    UNROLL for (int i = 0; i < TM; i++) UNROLL for (int j = 0; j < TN4; j++) {
        sum[i][j] = (float4)(0.0f);
#ifdef GATE
        factor[i][j] = (float4)(0.0f);
#endif
    }
    const int item = (int)get_local_id(0), x = item % ACROSS, y = item / ACROSS;
    const int m0 = (int)get_group_id(1) * TILE_M, n0 = (int)get_group_id(0) * TILE_N;
    const size_t panel = get_group_id(0) * (size_t)K * TILE_N;
    a += a_offset;
    w += w_offset + panel;
#ifdef GATE
    gate += gate_offset + panel;
#endif

    // From memory to registers. Rows beyond M repeat the last one: what they give is not written.
#define FETCH(K0)                                                                                  \
    {                                                                                              \
        UNROLL for (int t = 0; t < A_OWN; t++) {                                                   \
            const int q = item + t * ITEMS, k = (K0) + q % (TILE_K / 4) * 4;                       \
            if (A_QUADS % ITEMS == 0 || q < A_QUADS)                                               \
                a_next[t] = read_a(                                                                \
                    a + (size_t)min(m0 + q / (TILE_K / 4), M - 1) * (size_t)lda + k, K - k);       \
        }                                                                                          \
        UNROLL for (int t = 0; t < W_OWN; t++) {                                                   \
            const int q = item + t * ITEMS;                                                        \
            const bool inside =                                                                    \
                (W_QUADS % ITEMS == 0 || q < W_QUADS) && (K0) + q / (TILE_N / 4) < K;              \
            const size_t at = (size_t)(K0) * (TILE_N / 4) + (size_t)q;                             \
            w_next[t] = inside ? read_weights(w, at) : (float4)(0.0f);                             \
            FETCH_GATE                                                                             \
        }                                                                                          \
    }
    // From registers to local memory.
#define KEEP(HALF)                                                                                 \
    {                                                                                              \
        UNROLL for (int t = 0; t < A_OWN; t++) {                                                   \
            const int q = item + t * ITEMS;                                                        \
            __local float *to = a_tile[HALF] + q % (TILE_K / 4) * 4 * A_LD + q / (TILE_K / 4);     \
            if (A_QUADS % ITEMS == 0 || q < A_QUADS) {                                             \
                to[0] = a_next[t].s0;                                                              \
                to[A_LD] = a_next[t].s1;                                                           \
                to[2 * A_LD] = a_next[t].s2;                                                       \
                to[3 * A_LD] = a_next[t].s3;                                                       \
            }                                                                                      \
        }                                                                                          \
        UNROLL for (int t = 0; t < W_OWN; t++) {                                                   \
            const int q = item + t * ITEMS;                                                        \
            if (W_QUADS % ITEMS == 0 || q < W_QUADS) {                                             \
                w_tile[HALF][q] = w_next[t];                                                       \
                KEEP_GATE(HALF)                                                                    \
            }                                                                                      \
        }                                                                                          \
    }
#ifdef GATE
#define FETCH_GATE      gate_next[t] = inside ? read_weights(gate, at) : (float4)(0.0f);
#define KEEP_GATE(HALF) gate_tile[HALF][q] = gate_next[t];
#else
#define FETCH_GATE
#define KEEP_GATE(HALF)
#endif

    FETCH(0)
    KEEP(0)
    barrier(CLK_LOCAL_MEM_FENCE);
    for (int k0 = 0, half_used = 0; k0 < K; k0 += TILE_K, half_used ^= 1) {
        const bool more = k0 + TILE_K < K;
        if (more) FETCH(k0 + TILE_K)
        __local const float4 *as = (__local const float4 *)a_tile[half_used] + y;
        __local const float4 *ws = w_tile[half_used] + x;
#ifdef GATE
        __local const float4 *gs = gate_tile[half_used] + x;
#endif
        STEPWISE for (int k = 0; k < TILE_K; k++) {
            float4 v[TM4], b[TN4];
            UNROLL for (int i = 0; i < TM4; i++) v[i] = as[k * (A_LD / 4) + i * (TILE_M / TM)];
            UNROLL for (int j = 0; j < TN4; j++) b[j] = ws[k * (TILE_N / 4) + j * ACROSS];
            UNROLL for (int i = 0; i < TM4; i++) MULTIPLY((sum + 4 * i), v[i], b)
#ifdef GATE
                UNROLL for (int j = 0; j < TN4; j++) b[j] = gs[k * (TILE_N / 4) + j * ACROSS];
            UNROLL for (int i = 0; i < TM4; i++) MULTIPLY((factor + 4 * i), v[i], b)
#endif
        }
        if (more) KEEP(half_used ^ 1)
        barrier(CLK_LOCAL_MEM_FENCE);
    }

    // One copy of the epilogue: the sums move up one by one, so that no index is variable and they
    // stay in registers even where a compiler does not unroll.
    bias += bias_offset;
    gamma += gamma_offset;
    for (int i = 0; i < TM; i++) {
        const int m = m0 + (i / 4 * (TILE_M / TM) + y) * 4 + i % 4;
        for (int j = 0; j < TN4; j++) {
            const int n = n0 + (j * ACROSS + x) * 4;
            const float4 v = sum[0][0];
#ifdef GATE
            const float4 t = factor[0][0];
#else
            const float4 t = (float4)(1.0f);
#endif
            if (m < M) {
                __global float *d = dst + dst_offset + (size_t)m * (size_t)ldd;
                __global const float *r = residual + residual_offset + (size_t)m * (size_t)ldr;
                finish_element(d, v.s0, t.s0, n, N, bias, gamma, r, epilogue);
                finish_element(d, v.s1, t.s1, n + 1, N, bias, gamma, r, epilogue);
                finish_element(d, v.s2, t.s2, n + 2, N, bias, gamma, r, epilogue);
                finish_element(d, v.s3, t.s3, n + 3, N, bias, gamma, r, epilogue);
            }
            UNROLL for (int s = 1; s < TM * TN4; s++) {
                sum[(s - 1) / TN4][(s - 1) % TN4] = sum[s / TN4][s % TN4];
#ifdef GATE
                factor[(s - 1) / TN4][(s - 1) % TN4] = factor[s / TN4][s % TN4];
#endif
            }
        }
    }
}
