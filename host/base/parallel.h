// SPDX-License-Identifier: Apache-2.0
// Runs fn(user, i) for i in [0, count) on up to `threads` threads (0: one per core) and waits.
// Falls back to fewer threads when the system gives none.
#ifndef ONP_BASE_PARALLEL_H
#define ONP_BASE_PARALLEL_H

#include <stddef.h>

void onp_parallel_for(size_t count, unsigned threads, void (*fn)(void *user, size_t index),
                      void *user);

#endif
