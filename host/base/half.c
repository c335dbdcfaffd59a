// SPDX-License-Identifier: Apache-2.0
#include "base/half.h"

#include <string.h>

static uint32_t bits_of(float f) {
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    return u;
}

static float float_of(uint32_t u) {
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}

float onp_half_to_float(uint16_t h) {
    const uint32_t sign = (uint32_t)(h & 0x8000u) << 16;
    const uint32_t exponent = (h >> 10) & 31u;
    const uint32_t mantissa = h & 0x3ffu;
    if (exponent == 31) return float_of(sign | 0x7f800000u | mantissa << 13);
    if (exponent == 0) {
        // Subnormal: mantissa * 2^-24, exact in float32.
        const float magnitude = (float)mantissa * 0x1p-24f;
        return sign ? -magnitude : magnitude;
    }
    return float_of(sign | (exponent + 112) << 23 | mantissa << 13);
}

uint16_t onp_float_to_half(float f) {
    const uint32_t u = bits_of(f);
    const uint16_t sign = (uint16_t)(u >> 16 & 0x8000u);
    const uint32_t magnitude = u & 0x7fffffffu;
    if (magnitude > 0x7f800000u) return (uint16_t)(sign | 0x7e00u);  // NaN
    if (magnitude >= 0x477ff000u) return (uint16_t)(sign | 0x7c00u); // rounds to infinity
    if (magnitude < 0x38800000u) {
        // Subnormal or zero: adding 0.5 makes the FPU round at 2^-24.
        const uint32_t rounded = bits_of(float_of(magnitude) + 0.5f) - bits_of(0.5f);
        return (uint16_t)(sign | rounded);
    }
    const uint32_t odd = magnitude >> 13 & 1u;
    return (uint16_t)(sign | (magnitude - (112u << 23) + 0xfffu + odd) >> 13);
}

float onp_bf16_to_float(uint16_t b) { return float_of((uint32_t)b << 16); }

uint16_t onp_float_to_bf16(float f) {
    const uint32_t u = bits_of(f);
    if ((u & 0x7fffffffu) > 0x7f800000u) return (uint16_t)(u >> 16 | 0x40u); // quiet NaN
    return (uint16_t)((u + 0x7fffu + (u >> 16 & 1u)) >> 16);
}

// The cases of onp_float_to_half computed side by side and without unsigned comparisons, so that
// the compiler makes vectors of it: a checkpoint has billions of elements.
static uint16_t narrow(float f) {
    const uint32_t u = bits_of(f);
    const int32_t magnitude = (int32_t)(u & 0x7fffffffu);
    const float half = 0.5f + float_of((uint32_t)magnitude);
    const int32_t small = (int32_t)bits_of(half) - 0x3f000000; // the bits of 0.5
    const int32_t normal = (magnitude - (112 << 23) + 0xfff + (magnitude >> 13 & 1)) >> 13;
    const int32_t is_nan = -(magnitude > 0x7f800000), is_large = -(magnitude >= 0x477ff000);
    const int32_t is_small = -(magnitude < 0x38800000);
    const int32_t large = 0x7c00 | (is_nan & 0x200);
    const int32_t finite = (is_small & small) | (~is_small & normal);
    const int32_t value = (is_large & large) | (~is_large & finite);
    return (uint16_t)((u >> 16 & 0x8000u) | (uint32_t)value);
}

#define BLOCK 64

void onp_floats_to_halves(const float *floats, size_t count, uint16_t *halves) {
    uint16_t block[BLOCK]; // lets the two overlap
    for (size_t first = 0; first < count; first += BLOCK) {
        const size_t n = count - first < BLOCK ? count - first : BLOCK;
        for (size_t i = 0; i < n; i++) block[i] = narrow(floats[first + i]);
        memcpy(halves + first, block, n * sizeof *block);
    }
}
