// SPDX-License-Identifier: Apache-2.0
// y = (x - mean) / sqrt(var + eps) [* weight + bias] [then GELU] over each row of `cols` floats.
//
// Build: -DVEC=4|8|16; -DAFFINE: weight and bias are given; -DGELU.
// Launch: one work-item a row, global {rows}, local {1}: the compiler keeps whole vectors in
// registers on a CPU. y may be x itself.
//
// Mean first, then both the sum and the square sum of what is left: the rounding error of the first
// mean is taken out again, so rows with a mean far above their spread stay exact.

static inline float sum4(const vecf *s) {
    vecf t = (s[0] + s[1]) + (s[2] + s[3]);
    float lane[VEC], sum = 0.0f;
    VSTORE(t, 0, lane);
    UNROLL
    for (int i = 0; i < VEC; i++) sum += lane[i];
    return sum;
}

__attribute__((reqd_work_group_size(1, 1, 1))) __kernel void
layernorm_row(__global const float *x, uint x_offset, __global const float *weight,
              uint weight_offset, __global const float *bias, uint bias_offset, __global float *y,
              uint y_offset, int rows, int cols, int ldx, int ldy, float eps) {
    size_t row = get_global_id(0);
    x += x_offset + row * (size_t)ldx;
    y += y_offset + row * (size_t)ldy;
    int unrolled = cols / (4 * VEC) * 4, vectors = cols / VEC, tail = vectors * VEC;

    vecf s[4], q[4];
    UNROLL
    for (int j = 0; j < 4; j++) s[j] = (vecf)(0.0f);
    for (int k = 0; k < unrolled; k += 4) {
        UNROLL
        for (int j = 0; j < 4; j++) s[j] += VLOAD(k + j, x);
    }
    for (int k = unrolled; k < vectors; k++) s[0] += VLOAD(k, x);
    float sum = sum4(s);
    for (int c = tail; c < cols; c++) sum += x[c];
    float mean = sum / (float)cols;

    UNROLL
    for (int j = 0; j < 4; j++) s[j] = q[j] = (vecf)(0.0f);
    for (int k = 0; k < unrolled; k += 4) {
        UNROLL
        for (int j = 0; j < 4; j++) {
            vecf t = VLOAD(k + j, x) - mean;
            s[j] += t;
            q[j] = fma(t, t, q[j]);
        }
    }
    for (int k = unrolled; k < vectors; k++) {
        vecf t = VLOAD(k, x) - mean;
        s[0] += t;
        q[0] = fma(t, t, q[0]);
    }
    float rest = sum4(s), square = sum4(q);
    for (int c = tail; c < cols; c++) {
        float t = x[c] - mean;
        rest += t;
        square = fma(t, t, square);
    }
    rest /= (float)cols;
    float variance = max(square / (float)cols - rest * rest, 0.0f);
    float scale = 1.0f / sqrt(variance + eps);

#ifdef AFFINE
    weight += weight_offset;
    bias += bias_offset;
#endif
    for (int k = 0; k < vectors; k++) {
        vecf t = ((VLOAD(k, x) - mean) - rest) * scale;
#ifdef AFFINE
        t = fma(t, VLOAD(k, weight), VLOAD(k, bias));
#endif
#ifdef GELU
        t = vgelu(t);
#endif
        VSTORE(t, k, y);
    }
    for (int c = tail; c < cols; c++) {
        float t = ((x[c] - mean) - rest) * scale;
#ifdef AFFINE
        t = fma(t, weight[c], bias[c]);
#endif
#ifdef GELU
        t = gelu(t);
#endif
        y[c] = t;
    }
}
