// SPDX-License-Identifier: Apache-2.0
// gelu(x) = x/2 * (1 + erf(x / sqrt 2)), put behind the prelude before every kernel source:
// `gelu` for a float, `vgelu` for a vecf and `vgelu4` for four of them at once, whose steps
// interleave (where VEC is set). Only fma, adds and exponent bits, so all devices with a fused fma
// agree bit for bit.
//
// Written as max(x, 0) - z * Q(z) with z = |x| and the normal tail Q(z) = erfc(z / sqrt 2) / 2,
// which loses nothing to cancellation. log2(2 Q(z)) = z * R(z): R is a polynomial fitted on
// [0, 10] for the smallest error of Q; beyond 10 the tail counts as that of 10 (8e-24).
// z * R = n + f with n whole and |f| <= 1/2: n is rounded by adding and taking away 1.5 * 2^23,
// which leaves it in the low bits, from where it goes into the exponent of 2^f / 2.
// Error below 1.3 * 2^-24 * |x|; of a positive x below 1 ulp of the result. NaN stays NaN.

#define EACH(N, STEP)                                                                              \
    UNROLL for (int i = 0; i < N; i++) { STEP; }
#define R_STEP(N, F, C) EACH(N, r[i] = fma(r[i], z[i], (F)(C)))
#define E_STEP(N, F, C) EACH(N, e[i] = fma(e[i], r[i], (F)(0.5f * C)))

// x[0..N-1] in place.
// clang-format off
#define DEFINE_GELU(NAME, N, F, AS_F, AS_U)                                                      \
    static inline void NAME(F *x) {                                                              \
        const F big = (F)(12582912.0f);                                                          \
        F z[N], r[N], s[N], e[N];                                                                \
        EACH(N, z[i] = fmin(fabs(x[i]), (F)(10.0f)))                                             \
        EACH(N, r[i] = (F)(1.083102830e-09f))                                                    \
        R_STEP(N, F, -5.152645954e-08f)                                                          \
        R_STEP(N, F, 1.042792292e-06f)                                                           \
        R_STEP(N, F, -1.168139534e-05f)                                                          \
        R_STEP(N, F, 7.765595365e-05f)                                                           \
        R_STEP(N, F, -2.791466541e-04f)                                                          \
        R_STEP(N, F, -6.034853413e-06f)                                                          \
        R_STEP(N, F, 6.957941223e-03f)                                                           \
        R_STEP(N, F, -5.245042592e-02f)                                                          \
        R_STEP(N, F, -4.592174888e-01f)                                                          \
        R_STEP(N, F, -1.151104569e+00f)                                                          \
        EACH(N, s[i] = fma(r[i], z[i], big))                                                     \
        EACH(N, r[i] = fma(r[i], z[i], big - s[i]))                                              \
        EACH(N, e[i] = (F)(0.5f * 1.534581097e-04f)) /* 2^f / 2 on [-1/2, 1/2] */                \
        E_STEP(N, F, 1.339993090e-03f)                                                           \
        E_STEP(N, F, 9.618489072e-03f)                                                           \
        E_STEP(N, F, 5.550328642e-02f)                                                           \
        E_STEP(N, F, 2.402264625e-01f)                                                           \
        E_STEP(N, F, 6.931471825e-01f)                                                           \
        E_STEP(N, F, 1.0f)                                                                       \
        EACH(N, e[i] = AS_F(AS_U(e[i]) + (AS_U(s[i]) << 23)))                                    \
        EACH(N, x[i] = fma(-z[i], e[i], x[i] < (F)(0.0f) ? (F)(0.0f) : x[i]))                    \
    }
// clang-format on

DEFINE_GELU(gelu_1, 1, float, as_float, as_uint)
static inline float gelu(float x) {
    gelu_1(&x);
    return x;
}
#ifdef VEC
DEFINE_GELU(vgelu_1, 1, vecf, CAT(as_float, VEC), CAT(as_uint, VEC))
DEFINE_GELU(vgelu4, 4, vecf, CAT(as_float, VEC), CAT(as_uint, VEC))
static inline vecf vgelu(vecf x) {
    vgelu_1(&x);
    return x;
}
#endif
