// SPDX-License-Identifier: Apache-2.0
// dst[m][n] = epilogue(sum_k a[m][k] * w[n][k]) by register tiles, for CPUs.
//
//   -DVEC       floats of a vector; -DMR rows and -DNV vectors of a tile: MR * NV sums, NV weights
//               and one broadcast must fit the registers (6 x 2 of 8 for AVX2, 5 x 4 of 16 for
//               AVX-512), else the compiler spills and the speed halves
//   -DWEIGHT_HALF, -DPREFETCH: see prelude.h
//   epilogue    EPILOGUE_* bits; with the gate, depth >= K
//   a           (M, K), row stride lda; rows may overlap (lda < K) and nothing beyond the K
//               elements of a row is read
//   w, gate     [ceil(N / NR)][K][NR], NR = NV * VEC, zeros beyond N
//   dst         (M, N), row stride ldd; nothing beyond column N is touched
//   bias, gamma N floats; residual (M, N), row stride ldr
//   launch      {ceil(M / rows), ceil(panels / count)} groups of one work-item, each of which
//               computes `rows` rows (a multiple of MR) times `count` panels in blocks of `depth`
//               k steps: a block of a panel stays in a cache while all its row tiles use it
//
// Every element is one chain of fma over ascending k, whatever the tile: a row's result does not
// depend on the other rows. Between blocks of k the sums rest in dst.

#define STAGE_FRESH 1 // the sums start at zero, else at dst
#define STAGE_LAST  2 // the sums are complete: apply the epilogue
#define STAGE_GATE  4 // the sums are those of the gate: multiply dst, which holds gelu(product)

struct operands {
    __global const float *a;
    __global float *dst; // this and what follows: at the first column of the panel
    __global const float *bias, *gamma, *residual;
    int lda, ldd, ldr, epilogue;
    int first, end; // rows
    int width;      // columns of the panel that exist
};

// One vector of one row, column c of the panel, to memory.
static inline void finish(const struct operands *o, vecf sum, int row, int c, int stage) {
    __global float *d = o->dst + (size_t)row * (size_t)o->ldd + c;
    const int left = o->width - c;
    const int epilogue = stage & STAGE_LAST ? o->epilogue : 0;
    if (stage & STAGE_GATE) {
        sum *= load_some(d, left);
    } else {
        if (epilogue & EPILOGUE_BIAS) sum += load_some(o->bias + c, left);
        if (epilogue & (EPILOGUE_GELU | EPILOGUE_GATE)) sum = vgelu(sum);
        if (epilogue & EPILOGUE_RESIDUAL)
            sum = fma(load_some(o->gamma + c, left), sum,
                      load_some(o->residual + (size_t)row * (size_t)o->ldr + c, left));
    }
    store_some(sum, d, left);
}

// A whole tile, rows [m, m + MR), straight from the registers.
static inline void finish_tile(const struct operands *o, vecf sum[MR][NV], int m, int stage) {
    __global float *d = o->dst + (size_t)m * (size_t)o->ldd;
    const int epilogue = stage & STAGE_LAST ? o->epilogue : 0;
    if (stage & STAGE_GATE) {
        UNROLL for (int i = 0; i < MR; i++) {
            UNROLL for (int j = 0; j < NV; j++) {
                sum[i][j] *= VLOAD(0, d + (size_t)i * (size_t)o->ldd + j * VEC);
            }
        }
    } else if (epilogue & EPILOGUE_BIAS) {
        UNROLL for (int j = 0; j < NV; j++) {
            const vecf bias = VLOAD(0, o->bias + j * VEC);
            UNROLL for (int i = 0; i < MR; i++) { sum[i][j] += bias; }
        }
    }
    if (!(stage & STAGE_GATE) && epilogue & (EPILOGUE_GELU | EPILOGUE_GATE)) {
        // By way of memory: MR * NV copies of it would be long, and leave no registers to the loop.
        vecf x[MR * NV];
        UNROLL for (int i = 0; i < MR; i++) {
            UNROLL for (int j = 0; j < NV; j++) { x[i * NV + j] = sum[i][j]; }
        }
        for (int i = 0; i < MR; i++, d += o->ldd) {
            UNROLL for (int j = 0; j < NV; j++) { VSTORE(vgelu(x[i * NV + j]), 0, d + j * VEC); }
        }
        return;
    }
    if (epilogue & EPILOGUE_RESIDUAL) {
        __global const float *r = o->residual + (size_t)m * (size_t)o->ldr;
        UNROLL for (int j = 0; j < NV; j++) {
            const vecf gamma = VLOAD(0, o->gamma + j * VEC);
            UNROLL for (int i = 0; i < MR; i++) {
                sum[i][j] =
                    fma(gamma, sum[i][j], VLOAD(0, r + (size_t)i * (size_t)o->ldr + j * VEC));
            }
        }
    }
    UNROLL for (int i = 0; i < MR; i++) {
        UNROLL for (int j = 0; j < NV; j++) {
            VSTORE(sum[i][j], 0, d + (size_t)i * (size_t)o->ldd + j * VEC);
        }
    }
}

// A tile at the lower or right edge. By way of memory, so that the code exists once and not
// MR * NV times.
static inline void finish_edge(const struct operands *o, vecf sum[MR][NV], int m, int stage) {
    vecf done[MR * NV];
    UNROLL for (int i = 0; i < MR; i++) {
        UNROLL for (int j = 0; j < NV; j++) { done[i * NV + j] = sum[i][j]; }
    }
    const int vectors = (min(o->width, NR) + VEC - 1) / VEC;
    for (int i = 0; i < min(MR, o->end - m); i++)
        for (int j = 0; j < vectors; j++) finish(o, done[i * NV + j], m + i, j * VEC, stage);
}

// Rows [first, end) times k_count steps of one panel. Asks for the weights at `next` meanwhile: an
// equal share of them at every chunk of every tile.
static inline void block(const struct operands *o, __global const weight_t *panel,
                         __global const weight_t *next, int k0, int k_count, int stage) {
    const int share = panel_share(o->end - o->first);
#ifdef PREFETCH
    const bool adds = stage & STAGE_LAST && o->epilogue & EPILOGUE_RESIDUAL;
#endif
    for (int m = o->first; m < o->end; m += MR) {
        __global const float *row[MR];
        vecf sum[MR][NV];
        UNROLL for (int i = 0; i < MR; i++) {
            const size_t at = (size_t)min(m + i, o->end - 1);
            row[i] = o->a + at * (size_t)o->lda + k0;
#ifdef PREFETCH
            PREFETCH_WRITE(o->dst + at * (size_t)o->ldd);
            if (adds) PREFETCH_READ(o->residual + at * (size_t)o->ldr);
#endif
            UNROLL for (int j = 0; j < NV; j++) { sum[i][j] = (vecf)(0.0f); }
        }
        if (!(stage & STAGE_FRESH)) {
            UNROLL for (int i = 0; i < MR; i++) {
                __global const float *d = o->dst + (size_t)min(m + i, o->end - 1) * (size_t)o->ldd;
                UNROLL for (int j = 0; j < NV; j++) {
                    if (j * VEC < o->width) sum[i][j] = load_some(d + j * VEC, o->width - j * VEC);
                }
            }
        }
        next = panel_products(sum, row, panel, next, k_count, share);
        if (m + MR <= o->end && o->width >= NR)
            finish_tile(o, sum, m, stage);
        else
            finish_edge(o, sum, m, stage);
    }
}

__attribute__((reqd_work_group_size(1, 1, 1))) __kernel void
matmul_panel(__global const float *restrict a, uint a_offset, __global const weight_t *restrict w,
             uint w_offset, __global const weight_t *restrict gate, uint gate_offset,
             __global const float *restrict bias, uint bias_offset,
             __global const float *restrict gamma, uint gamma_offset,
             __global const float *restrict residual, uint residual_offset,
             __global float *restrict dst, uint dst_offset, int M, int N, int K, int lda, int ldd,
             int ldr, int epilogue, int rows, int count, int depth) {
    const int panels = (N + NR - 1) / NR;
    const int p_first = (int)get_global_id(1) * count, p_end = min(p_first + count, panels);
    const size_t stride = (size_t)K * NR;
    struct operands o;
    o.a = a + a_offset;
    o.lda = lda;
    o.ldd = ldd;
    o.ldr = ldr;
    o.epilogue = epilogue;
    o.first = (int)get_global_id(0) * rows;
    o.end = min(o.first + rows, M);
    w += w_offset;
    for (int k0 = 0; k0 < K; k0 += depth) {
        const int k_count = min(depth, K - k0);
        for (int p = p_first; p < p_end; p++) {
            const int n = p * NR;
            o.width = N - n;
            o.dst = dst + dst_offset + n;
            o.bias = bias + bias_offset + n;
            o.gamma = gamma + gamma_offset + n;
            o.residual = residual + residual_offset + n;
            __global const weight_t *panel = w + (size_t)p * stride + (size_t)k0 * NR;
            const int stage = (k0 == 0 ? STAGE_FRESH : 0) | (k0 + k_count == K ? STAGE_LAST : 0);
            if (epilogue & EPILOGUE_GATE) {
                __global const weight_t *other = gate + gate_offset + (size_t)p * stride;
                block(&o, panel, other, k0, k_count, stage);
                block(&o, other, panel + stride, k0, k_count, stage | STAGE_GATE);
                continue;
            }
            const bool turn = p + 1 == p_end && k0 + k_count < K;
            __global const weight_t *next =
                turn ? w + (size_t)p_first * stride + (size_t)(k0 + k_count) * NR : panel + stride;
            block(&o, panel, next, k0, k_count, stage);
        }
    }
}
