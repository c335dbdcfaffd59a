// SPDX-License-Identifier: Apache-2.0
// LayerNorm of one row by one work-item, put behind the prelude before every kernel source (where
// VEC is set): y = (x - mean) / sqrt(var + eps) [* weight + bias] [then GELU]. y may be x itself.
//
// Mean first, then both the sum and the square sum of what is left: the rounding error of the first
// mean is taken out again, so rows with a mean far above their spread stay exact.
#ifdef VEC

#define NORM_AFFINE 1 // weight and bias are given
#define NORM_GELU   2

static inline void norm_row(__global const float *x, __global const float *weight,
                            __global const float *bias, __global float *y, int cols, float eps,
                            int flags) {
    const int unrolled = cols / (4 * VEC) * 4, vectors = cols / VEC, tail = vectors * VEC;
    vecf s[4], q[4];
    UNROLL for (int j = 0; j < 4; j++) { s[j] = (vecf)(0.0f); }
    for (int k = 0; k < unrolled; k += 4) {
        UNROLL for (int j = 0; j < 4; j++) { s[j] += VLOAD(k + j, x); }
    }
    for (int k = unrolled; k < vectors; k++) s[0] += VLOAD(k, x);
    float sum = vsum((s[0] + s[1]) + (s[2] + s[3]));
    for (int c = tail; c < cols; c++) sum += x[c];
    const float mean = sum / (float)cols;

    UNROLL for (int j = 0; j < 4; j++) { s[j] = q[j] = (vecf)(0.0f); }
    for (int k = 0; k < unrolled; k += 4) {
        UNROLL for (int j = 0; j < 4; j++) {
            const vecf t = VLOAD(k + j, x) - mean;
            s[j] += t;
            q[j] = fma(t, t, q[j]);
        }
    }
    for (int k = unrolled; k < vectors; k++) {
        const vecf t = VLOAD(k, x) - mean;
        s[0] += t;
        q[0] = fma(t, t, q[0]);
    }
    float rest = vsum((s[0] + s[1]) + (s[2] + s[3]));
    float square = vsum((q[0] + q[1]) + (q[2] + q[3]));
    for (int c = tail; c < cols; c++) {
        const float t = x[c] - mean;
        rest += t;
        square = fma(t, t, square);
    }
    rest /= (float)cols;
    const float scale = 1.0f / sqrt(max(square / (float)cols - rest * rest, 0.0f) + eps);

    for (int k = 0; k < unrolled; k += 4) {
        vecf t[4];
        UNROLL for (int j = 0; j < 4; j++) {
            t[j] = ((VLOAD(k + j, x) - mean) - rest) * scale;
            if (flags & NORM_AFFINE) t[j] = fma(t[j], VLOAD(k + j, weight), VLOAD(k + j, bias));
        }
        if (flags & NORM_GELU) vgelu4(t);
        UNROLL for (int j = 0; j < 4; j++) { VSTORE(t[j], k + j, y); }
    }
    for (int c = unrolled * VEC; c < cols; c++) {
        float t = ((x[c] - mean) - rest) * scale;
        if (flags & NORM_AFFINE) t = fma(t, weight[c], bias[c]);
        y[c] = flags & NORM_GELU ? gelu(t) : t;
    }
}
#endif
