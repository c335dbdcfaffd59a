// SPDX-License-Identifier: Apache-2.0
// Seconds of a clock that only moves forward.
#ifndef ONP_BASE_CLOCK_H
#define ONP_BASE_CLOCK_H

#include <time.h>

static inline double onp_seconds_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

#endif
