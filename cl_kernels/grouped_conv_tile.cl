// SPDX-License-Identifier: Apache-2.0
// dst[t][g * C + o] = bias[g * C + o] + sum over tap, c of x[t + tap - pad][g * C + c] *
// w[(g * taps + tap) * C + c][o], with zeros outside the T frames of x, by register tiles.
//
//   -DVEC       floats of a vector; -DMR frames and -DNV vectors of a tile; NV * VEC divides C
//   -DSINGLE    groups of one work-item (CPUs)
//   -DWEIGHT_HALF: see prelude.h
//   C           channels of a group; D channels in all
//   x, dst      (T, D), row strides ldx, ldd; w (D * taps, C), row stride ldw; bias D floats
//   launch      {>= D / (NV * VEC), ceil(T / rows)} work-items, each of which computes `rows`
//               frames (a multiple of MR) of NV * VEC channels
//
// Every element is one chain of fma over ascending tap and channel.

// One tap for MR frames from `frame` on. Frames outside [0, T) count as zero.
#define ADD_TAP(VALUE)                                                                             \
    for (int c = 0; c < C; c++) {                                                                  \
        vecf b[NV];                                                                                \
        UNROLL for (int j = 0; j < NV; j++) { b[j] = VLOAD_WEIGHT(w + j * VEC); }                  \
        UNROLL for (int i = 0; i < MR; i++) {                                                      \
            const vecf v = (vecf)(VALUE);                                                          \
            UNROLL for (int j = 0; j < NV; j++) { sum[i][j] = fma(v, b[j], sum[i][j]); }           \
        }                                                                                          \
        w += ldw;                                                                                  \
    }

#ifdef SINGLE
__attribute__((reqd_work_group_size(1, 1, 1)))
#endif
__kernel void
grouped_conv_tile(__global const float *restrict x, uint x_offset,
                  __global const weight_t *restrict weights, uint w_offset,
                  __global const float *restrict bias, uint bias_offset,
                  __global float *restrict dst, uint dst_offset, int T, int D, int C, int taps,
                  int pad, int ldx, int ldw, int ldd, int rows) {
    const int n = (int)get_global_id(0) * NR;
    if (n >= D) return;
    const int group = n / C, first = (int)get_global_id(1) * rows, end = min(first + rows, T);
    x += x_offset + group * C;
    weights += w_offset + (size_t)group * (size_t)taps * (size_t)C * (size_t)ldw + (n - group * C);
    bias += bias_offset + n;
    dst += dst_offset + n;
    for (int t = first; t < end; t += MR) {
        vecf sum[MR][NV];
        UNROLL for (int i = 0; i < MR; i++) {
            UNROLL for (int j = 0; j < NV; j++) { sum[i][j] = (vecf)(0.0f); }
        }
        __global const weight_t *w = weights;
        for (int tap = 0; tap < taps; tap++) {
            const int frame = t + tap - pad;
            __global const float *row[MR];
            int inside[MR];
            UNROLL for (int i = 0; i < MR; i++) {
                inside[i] = (frame + i >= 0) & (frame + i < T);
                row[i] = x + (size_t)clamp(frame + i, 0, T - 1) * (size_t)ldx;
            }
            if (frame >= 0 && frame + MR <= T) {
                ADD_TAP(row[i][c])
            } else {
                ADD_TAP(inside[i] ? row[i][c] : 0.0f)
            }
        }
        UNROLL for (int i = 0; i < MR; i++) {
            if (t + i < end) {
                __global float *d = dst + (size_t)(t + i) * (size_t)ldd;
                UNROLL for (int j = 0; j < NV; j++) {
                    VSTORE(sum[i][j] + VLOAD(0, bias + j * VEC), 0, d + j * VEC);
                }
            }
        }
    }
}
