// SPDX-License-Identifier: Apache-2.0
// A small seeded generator (SplitMix64, Steele et al. 2014) for tests, self-test and benchmarks.
#ifndef ONP_BASE_RNG_H
#define ONP_BASE_RNG_H

#include <stdint.h>

struct onp_rng {
    uint64_t state;
};

static inline uint64_t onp_rng_next(struct onp_rng *rng) {
    uint64_t z = (rng->state += 0x9e3779b97f4a7c15ul);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ul;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebul;
    return z ^ (z >> 31);
}

// Uniform in [0, 1).
static inline float onp_rng_uniform(struct onp_rng *rng) {
    return (float)(onp_rng_next(rng) >> 40) * 0x1p-24f;
}

// About normal: sum of four uniforms, mean 0, variance 1.
static inline float onp_rng_normal(struct onp_rng *rng) {
    float sum = 0.0f;
    for (int i = 0; i < 4; i++) sum += onp_rng_uniform(rng);
    return (sum - 2.0f) * 1.7320508f;
}

#endif
