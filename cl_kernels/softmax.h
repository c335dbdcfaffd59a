// SPDX-License-Identifier: Apache-2.0
// Parts of a streaming softmax, put behind the prelude before every kernel source: plain names for
// a float, names with v for a vecf (where VEC is set).

// exp_negative(x) = e^x for x <= 0; below -87, and for -INFINITY, it is e^-87 = 1.6e-38, which
// vanishes beside the 1 of a row's largest score. 2^n * 2^f with n whole and |f| <= 1/2: n is
// rounded by adding and taking away 1.5 * 2^23, which leaves it in the low bits; 2^f is a
// polynomial of relative error 1e-8. Absolute error of the whole below 2e-7.
//
// limit_score(s) keeps a score finite, so that differences are never NaN whatever q and k were.
#define DEFINE_SOFTMAX(EXP, LIMIT, F, AS_F, AS_I)                                                  \
    static inline F EXP(F x) {                                                                     \
        const F big = (F)(12582912.0f), log2e = (F)(1.4426950408889634f);                          \
        x = x > (F)(-87.0f) ? x : (F)(-87.0f);                                                     \
        F t = fma(x, log2e, big);                                                                  \
        F f = fma(x, log2e, big - t);                                                              \
        F e = (F)(1.545316336e-04f);                                                               \
        e = fma(e, f, (F)(1.339086331e-03f));                                                      \
        e = fma(e, f, (F)(9.618083015e-03f));                                                      \
        e = fma(e, f, (F)(5.550356954e-02f));                                                      \
        e = fma(e, f, (F)(2.402265072e-01f));                                                      \
        e = fma(e, f, (F)(6.931471825e-01f));                                                      \
        e = fma(e, f, (F)(1.0f));                                                                  \
        return e * AS_F((AS_I(t) + 127) << 23);                                                    \
    }                                                                                              \
    static inline F LIMIT(F s) {                                                                   \
        s = s < (F)(1e38f) ? s : (F)(1e38f);                                                       \
        return s > (F)(-1e38f) ? s : (F)(-1e38f);                                                  \
    }

DEFINE_SOFTMAX(exp_negative, limit_score, float, as_float, as_int)
#ifdef VEC
DEFINE_SOFTMAX(vexp_negative, vlimit_score, vecf, CAT(as_float, VEC), CAT(as_int, VEC))

// Sum and maximum over the lanes.
#if VEC == 16
#define FOLD(x, OP)                                                                                \
    float8 x8 = OP(x.lo, x.hi);                                                                    \
    float4 x4 = OP(x8.lo, x8.hi)
#elif VEC == 8
#define FOLD(x, OP) float4 x4 = OP(x.lo, x.hi)
#else
#define FOLD(x, OP) float4 x4 = x
#endif
#define PLUS(a, b) ((a) + (b))
static inline float vsum(vecf x) {
    FOLD(x, PLUS);
    float2 x2 = x4.lo + x4.hi;
    return x2.x + x2.y;
}
static inline float vmax(vecf x) {
    FOLD(x, max);
    float2 x2 = max(x4.lo, x4.hi);
    return max(x2.x, x2.y);
}
#endif
