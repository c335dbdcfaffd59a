// SPDX-License-Identifier: Apache-2.0
// Arithmetic that cannot overflow silently. Each returns false on overflow, *out untouched.
#ifndef ONP_BASE_CHECKED_H
#define ONP_BASE_CHECKED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static inline bool onp_add_u64(uint64_t a, uint64_t b, uint64_t *out) {
    uint64_t sum;
    if (__builtin_add_overflow(a, b, &sum)) return false;
    *out = sum;
    return true;
}

static inline bool onp_mul_u64(uint64_t a, uint64_t b, uint64_t *out) {
    uint64_t product;
    if (__builtin_mul_overflow(a, b, &product)) return false;
    *out = product;
    return true;
}

static inline bool onp_mul_size(size_t a, size_t b, size_t *out) {
    size_t product;
    if (__builtin_mul_overflow(a, b, &product)) return false;
    *out = product;
    return true;
}

// a rounded up to a multiple of b (b > 0).
static inline uint64_t onp_round_up(uint64_t a, uint64_t b) { return (a + b - 1) / b * b; }
static inline int64_t onp_div_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

#define ONP_COUNT(array) (sizeof(array) / sizeof((array)[0]))

#endif
