// SPDX-License-Identifier: Apache-2.0
// dst[m] = gelu(layernorm(sum_k a[m][k] * w[n][k] + bias[n])) over the N columns of a row: a
// product by register tiles for CPUs that finishes whole rows while they are in a cache.
//
//   -DVEC       floats of a vector; -DMR rows and -DNV vectors of a tile: MR * NV sums, NV weights
//               and one broadcast must fit the registers
//   -DWEIGHT_HALF, -DPREFETCH: see prelude.h; -DBIAS: bias is given
//   a           (M, K), row stride lda; rows may overlap (lda < K: the windows of a convolution,
//               channels last) and nothing beyond the K elements of a row is read
//   w           [ceil(N / NR)][K][NR], NR = NV * VEC, zeros beyond N
//   dst         (M, N), row stride ldd; nothing beyond column N is touched
//   bias, norm_w, norm_b: N floats
//   launch      {ceil(M / rows)} groups of one work-item, each of which computes `rows` rows in
//               blocks of `block` (a multiple of MR): a block's rows stay in a cache while the
//               panels pass, and a panel while all row tiles of the block use it
//
// Every element is one chain of fma over ascending k, whatever the tile: a row's result does not
// depend on the other rows. The sums rest in dst until the row is complete.

// Rows [first, end) of one panel, `width` of whose columns exist. Asks for the weights at `next`
// meanwhile.
static inline void panel_rows(__global const float *a, __global const weight_t *panel,
                              __global const weight_t *next, __global const float *bias,
                              __global float *dst, int first, int end, int K, int lda, int ldd,
                              int width) {
    const int share = panel_share(end - first);
    vecf start[NV];
    UNROLL for (int j = 0; j < NV; j++) {
#ifdef BIAS
        start[j] = j * VEC < width ? load_some(bias + j * VEC, width - j * VEC) : (vecf)(0.0f);
#else
        start[j] = (vecf)(0.0f);
#endif
    }
    for (int m = first; m < end; m += MR) {
        __global const float *row[MR];
        UNROLL for (int i = 0; i < MR; i++) {
            row[i] = a + (size_t)min(m + i, end - 1) * (size_t)lda;
        }
        vecf sum[MR][NV];
        UNROLL for (int i = 0; i < MR; i++) {
            UNROLL for (int j = 0; j < NV; j++) { sum[i][j] = (vecf)(0.0f); }
        }
        next = panel_products(sum, row, panel, next, K, share);
        __global float *d = dst + (size_t)m * (size_t)ldd;
        if (width >= NR && m + MR <= end) {
            UNROLL for (int i = 0; i < MR; i++) {
                UNROLL for (int j = 0; j < NV; j++) {
                    VSTORE(sum[i][j] + start[j], 0, d + (size_t)i * (size_t)ldd + j * VEC);
                }
            }
        } else {
            UNROLL for (int i = 0; i < MR; i++) {
                UNROLL for (int j = 0; j < NV; j++) {
                    if (m + i < end && j * VEC < width)
                        store_some(sum[i][j] + start[j], d + (size_t)i * (size_t)ldd + j * VEC,
                                   width - j * VEC);
                }
            }
        }
    }
}

__attribute__((reqd_work_group_size(1, 1, 1))) __kernel void
conv_norm_panel(__global const float *a, uint a_offset, __global const weight_t *w, uint w_offset,
                __global const float *bias, uint bias_offset, __global const float *norm_w,
                uint norm_w_offset, __global const float *norm_b, uint norm_b_offset,
                __global float *dst, uint dst_offset, int M, int N, int K, int lda, int ldd,
                float eps, int rows, int block) {
    const int item_first = (int)get_global_id(0) * rows, item_end = min(item_first + rows, M);
    const size_t stride = (size_t)K * NR;
    a += a_offset;
    w += w_offset;
    bias += bias_offset;
    norm_w += norm_w_offset;
    norm_b += norm_b_offset;
    dst += dst_offset;
    for (int first = item_first; first < item_end; first += block) {
        const int end = min(first + block, item_end);
        for (int n = 0; n < N; n += NR) {
            __global const weight_t *panel = w + (size_t)(n / NR) * stride;
            panel_rows(a, panel, n + NR < N ? panel + stride : w, bias + n, dst + n, first, end, K,
                       lda, ldd, N - n);
        }
        for (int m = first; m < end; m++) {
            __global float *d = dst + (size_t)m * (size_t)ldd;
            norm_row(d, norm_w, norm_b, d, N, eps, NORM_AFFINE | NORM_GELU);
        }
    }
}
