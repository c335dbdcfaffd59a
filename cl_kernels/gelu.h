// SPDX-License-Identifier: Apache-2.0
// gelu(x) = x/2 * (1 + erf(x / sqrt 2)), put behind the prelude before every kernel source:
// `gelu` for a float, `vgelu` for a vecf (where VEC is set). Only fma, rint and exponent bits, so
// all devices with a fused fma agree bit for bit.
//
// Written as max(x, 0) - z * Q(z) with z = |x| and the normal tail Q(z) = erfc(z / sqrt 2) / 2,
// which loses nothing to cancellation. log2(2 Q(z)) = z * R(z): R is a polynomial fitted on
// [0, 10] for the smallest error of Q; beyond 10 the tail counts as that of 10 (8e-24).
// Error below 1.3 * 2^-24 * |x|; of a positive x below 1 ulp of the result. NaN stays NaN.

#define DEFINE_GELU(NAME, F, TO_INT, AS_F)                                                         \
    static inline F NAME(F x) {                                                                    \
        F z = fmin(fabs(x), (F)(10.0f));                                                           \
        F r = (F)(1.083102830e-09f);                                                               \
        r = fma(r, z, (F)(-5.152645954e-08f));                                                     \
        r = fma(r, z, (F)(1.042792292e-06f));                                                      \
        r = fma(r, z, (F)(-1.168139534e-05f));                                                     \
        r = fma(r, z, (F)(7.765595365e-05f));                                                      \
        r = fma(r, z, (F)(-2.791466541e-04f));                                                     \
        r = fma(r, z, (F)(-6.034853413e-06f));                                                     \
        r = fma(r, z, (F)(6.957941223e-03f));                                                      \
        r = fma(r, z, (F)(-5.245042592e-02f));                                                     \
        r = fma(r, z, (F)(-4.592174888e-01f));                                                     \
        r = fma(r, z, (F)(-1.151104569e+00f));                                                     \
        F p = r * z, n = rint(p), f = p - n;                                                       \
        F e = (F)(1.534581097e-04f); /* 2^f on [-1/2, 1/2] */                                      \
        e = fma(e, f, (F)(1.339993090e-03f));                                                      \
        e = fma(e, f, (F)(9.618489072e-03f));                                                      \
        e = fma(e, f, (F)(5.550328642e-02f));                                                      \
        e = fma(e, f, (F)(2.402264625e-01f));                                                      \
        e = fma(e, f, (F)(6.931471825e-01f));                                                      \
        e = fma(e, f, (F)(1.0f));                                                                  \
        F tail = e * AS_F((TO_INT(n) + 126) << 23); /* e * 2^(n - 1) */                            \
        return fma(-z, tail, x < (F)(0.0f) ? (F)(0.0f) : x);                                       \
    }

DEFINE_GELU(gelu, float, convert_int, as_float)
#ifdef VEC
DEFINE_GELU(vgelu, vecf, CAT(convert_int, VEC), CAT(as_float, VEC))
#endif
