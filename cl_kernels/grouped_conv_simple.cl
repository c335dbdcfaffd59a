// SPDX-License-Identifier: Apache-2.0
// dst[t][g * C + o] = bias[g * C + o] + sum over tap, c of x[t + tap - pad][g * C + c] *
// w[(g * taps + tap) * C + c][o], with zeros outside the T frames of x: one work-item an element.
//
//   -DWEIGHT_HALF: see prelude.h
//   C           channels of a group; D channels in all
//   x, dst      (T, D), row strides ldx, ldd; w (D * taps, C), row stride ldw; bias D floats
//   launch      {D, T}

__kernel void grouped_conv_simple(__global const float *restrict x, uint x_offset,
                                  __global const weight_t *restrict w, uint w_offset,
                                  __global const float *restrict bias, uint bias_offset,
                                  __global float *restrict dst, uint dst_offset, int T, int D,
                                  int C, int taps, int pad, int ldx, int ldw, int ldd) {
    const int n = (int)get_global_id(0), t = (int)get_global_id(1);
    if (n >= D || t >= T) return;
    const int group = n / C;
    x += x_offset + group * C;
    w += w_offset + (size_t)group * (size_t)taps * (size_t)C * (size_t)ldw + (n - group * C);
    float sum = 0.0f;
    for (int tap = max(0, pad - t); tap < min(taps, T + pad - t); tap++) {
        __global const float *row = x + (size_t)(t + tap - pad) * (size_t)ldx;
        __global const weight_t *from = w + (size_t)tap * (size_t)C * (size_t)ldw;
        for (int c = 0; c < C; c++)
            sum = fma(row[c], LOAD_WEIGHT(from, (size_t)c * (size_t)ldw), sum);
    }
    dst[dst_offset + (size_t)t * (size_t)ldd + (size_t)n] = sum + bias[bias_offset + n];
}
