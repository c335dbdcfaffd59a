// SPDX-License-Identifier: Apache-2.0
// Seconds of a clock that only moves forward, for the program, which sees only public headers.
#ifndef ONP_CLI_CLOCK_H
#define ONP_CLI_CLOCK_H

#include <time.h>

static inline double onp_cli_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

#endif
