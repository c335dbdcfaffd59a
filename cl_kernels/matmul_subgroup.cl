// SPDX-License-Identifier: Apache-2.0
// dst[m][n] = epilogue(sum_k a[m][k] * w[n][k]), a tile to a sub-group, without local memory and
// barriers.
//
//   -DSUB_GROUPS -DSUB_GROUP  work-items of a sub-group: 8, 16, 32 or 64
//   -DTEAM      sub-groups of a work-group, which read the same weights, from a near cache but for
//               the first
//   -DROWS      rows of a tile: at most SUB_GROUP, at most 32
//   -DCOLS      columns of a work-item: 1, 2, 4 or 8; a tile has SUB_GROUP * COLS
//   -DPANEL     columns of a panel of weights, a multiple of SUB_GROUP
//   -DPIECE     how many of a work-item's columns lie side by side: 1, 2, 4 or 8; divides COLS,
//               and SUB_GROUP * PIECE divides PANEL
//   -DWEIGHT_HALF, -DGATE, epilogue, a, bias, gamma, residual, dst: as in matmul_group
//   w, gate     [ceil(N / PANEL)][K][PANEL], zeros beyond N
//   launch      {ceil(M / (ROWS * TEAM)), ceil(N / (SUB_GROUP * COLS))} groups of SUB_GROUP * TEAM
//               work-items
//
// A work-item holds COLS sums of every row. Weights go from memory to the work-item that needs
// them; a block of a is spread over the sub-group, and each number of it handed to all: by a scalar
// register on AMD, as a scalar operand on Intel. The next block is on its way while the present one
// is multiplied.
//
// Every element is one chain of fma over ascending k: a row does not depend on the others.

// Steps of a block. Each takes ROWS scalar registers on AMD, in CDNA's packed arithmetic twice as
// many.
#define DEPTH  (SUB_GROUP == 64 ? 2 : 4)
#define PIECES (COLS / PIECE)

// Where a block of a lies in a sub-group: a number in each work-item, or the steps of one row.
#if SUB_GROUP == 64 || ROWS * 4 <= SUB_GROUP
#define A_OWN           1
#define A_ROW(LANE)     ((LANE) / DEPTH)
#define A_STEP(LANE)    ((LANE) % DEPTH)
#define A_REGISTER(KK)  0
#define A_LANE(ROW, KK) ((uint)((ROW)*DEPTH + (KK)))
#else
#define A_OWN           DEPTH
#define A_ROW(LANE)     ((LANE) % ROWS)
#define A_STEP(LANE)    0
#define A_REGISTER(KK)  (KK)
#define A_LANE(ROW, KK) ((uint)(ROW))
#endif

// A work-item's part of a block; zeros from `left` on.
static inline void read_a(__global const float *a, int left, float *v) {
#if A_OWN == 1
    v[0] = left > 0 ? a[0] : 0.0f;
#else
    if (left >= DEPTH) {
        const float4 all = vload4(0, a);
        v[0] = all.s0, v[1] = all.s1, v[2] = all.s2, v[3] = all.s3;
        return;
    }
    UNROLL for (int i = 0; i < DEPTH; i++) v[i] = left > i ? a[i] : 0.0f;
#endif
}

// PIECE weights, side by side.
static inline void read_piece(__global const weight_t *w, float *b) {
#if PIECE == 1
    b[0] = LOAD_WEIGHT(w, 0);
#else
    union {
        CAT(float, PIECE) all;
        float each[PIECE];
    } v;
#ifdef WEIGHT_HALF
    v.all = CAT(vload_half, PIECE)(0, w);
#else
    v.all = CAT(vload, PIECE)(0, w);
#endif
    UNROLL for (int i = 0; i < PIECE; i++) b[i] = v.each[i];
#endif
}

// Weights of step KK of the block from K0 on.
#define READ_ONE(B, FROM, K0, KK)                                                                  \
    UNROLL for (int p = 0; p < PIECES; p++)                                                        \
        read_piece(FROM + (begin[p] + (size_t)((K0) + (KK)) * PANEL), B[KK] + p * PIECE);

#ifdef GATE
#define MULTIPLY_GATE(H, KK) factor[i][j] = fma(v, g[H][KK][j], factor[i][j]);
#define READ(H, K0, KK)      READ_ONE(b[H], w, K0, KK) READ_ONE(g[H], gate, K0, KK)
#else
#define MULTIPLY_GATE(H, KK)
#define READ(H, K0, KK) READ_ONE(b[H], w, K0, KK)
#endif

#define READ_BLOCK(H, K0)                                                                          \
    read_a(a + (from + (size_t)(K0)), DEPTH, block[H]);                                            \
    UNROLL for (int kk = 0; kk < DEPTH; kk++) { READ(H, K0, kk) }

// sum[i][j] += a's row i at step KK of a block * w's column j.
#define MULTIPLY(H, KK)                                                                            \
    UNROLL for (int i = 0; i < ROWS; i++) {                                                        \
        const float v = sub_group_broadcast(block[H][A_REGISTER(KK)], A_LANE(i, KK));              \
        UNROLL for (int j = 0; j < COLS; j++) {                                                    \
            sum[i][j] = fma(v, b[H][KK][j], sum[i][j]);                                            \
            MULTIPLY_GATE(H, KK)                                                                   \
        }                                                                                          \
    }
#define MULTIPLY_BLOCK(H)                                                                          \
    UNROLL for (int kk = 0; kk < DEPTH; kk++) { MULTIPLY(H, kk) }

__kernel __attribute__((reqd_work_group_size(SUB_GROUP * TEAM, 1, 1))) FULL_REGISTERS void
matmul_subgroup(__global const float *restrict a, uint a_offset,
                __global const weight_t *restrict w, uint w_offset,
                __global const weight_t *restrict gate, uint gate_offset,
                __global const float *restrict bias, uint bias_offset,
                __global const float *restrict gamma, uint gamma_offset,
                __global const float *restrict residual, uint residual_offset,
                __global float *restrict dst, uint dst_offset, int M, int N, int K, int lda,
                int ldd, int ldr, int epilogue) {
    float sum[ROWS][COLS], b[2][DEPTH][COLS], block[2][A_OWN];
#ifdef GATE
    float factor[ROWS][COLS], g[2][DEPTH][COLS];
    gate += gate_offset;
#endif
    UNROLL for (int i = 0; i < ROWS; i++) UNROLL for (int j = 0; j < COLS; j++) {
        sum[i][j] = 0.0f;
#ifdef GATE
        factor[i][j] = 0.0f;
#endif
    }
    const int lane = (int)get_sub_group_local_id();
    const int m0 = ((int)get_group_id(0) * TEAM + (int)get_sub_group_id()) * ROWS;
    if (m0 >= M) return;
    const int n0 = (int)get_group_id(1) * (SUB_GROUP * COLS);

    // Rows beyond M repeat the last one, panels beyond the last too: what they give is not written.
    a += a_offset;
    w += w_offset;
    const size_t from =
        (size_t)min(m0 + min(A_ROW(lane), ROWS - 1), M - 1) * (size_t)lda + (size_t)A_STEP(lane);
    size_t begin[PIECES];
    UNROLL for (int p = 0; p < PIECES; p++) {
        const int n = n0 + p * (SUB_GROUP * PIECE);
        begin[p] = (size_t)min(n / PANEL, (N - 1) / PANEL) * (size_t)K * PANEL +
                   (size_t)(n % PANEL + lane * PIECE);
    }

    int k0 = 0;
    if (K >= DEPTH) {
        READ_BLOCK(0, 0)
        for (; k0 + 3 * DEPTH <= K; k0 += 2 * DEPTH) {
            READ_BLOCK(1, k0 + DEPTH)
            MULTIPLY_BLOCK(0)
            READ_BLOCK(0, k0 + 2 * DEPTH)
            MULTIPLY_BLOCK(1)
        }
        MULTIPLY_BLOCK(0)
        k0 += DEPTH;
    }
    for (; k0 < K; k0 += DEPTH) { // fewer than two blocks
        read_a(a + (from + (size_t)k0), K - k0 - A_STEP(lane), block[0]);
        UNROLL for (int kk = 0; kk < DEPTH; kk++) {
            if (k0 + kk < K) {
                READ(0, k0, kk)
                MULTIPLY(0, kk)
            }
        }
    }

    // One copy of a row's epilogue: the sums move up row by row, so that no index is variable and
    // they stay in registers.
    bias += bias_offset;
    gamma += gamma_offset;
    for (int m = m0; m < m0 + ROWS && m < M; m++) {
        __global float *d = dst + dst_offset + (size_t)m * (size_t)ldd;
        __global const float *r = residual + residual_offset + (size_t)m * (size_t)ldr;
        UNROLL for (int j = 0; j < COLS; j++) {
            const int n = n0 + (j / PIECE * SUB_GROUP + lane) * PIECE + j % PIECE;
#ifdef GATE
            finish_element(d, sum[0][j], factor[0][j], n, N, bias, gamma, r, epilogue);
#else
            finish_element(d, sum[0][j], 1.0f, n, N, bias, gamma, r, epilogue);
#endif
        }
        UNROLL for (int i = 1; i < ROWS; i++) UNROLL for (int j = 0; j < COLS; j++) {
            sum[i - 1][j] = sum[i][j];
#ifdef GATE
            factor[i - 1][j] = factor[i][j];
#endif
        }
    }
}
