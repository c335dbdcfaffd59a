// SPDX-License-Identifier: Apache-2.0
// What a context holds. Everything below the API receives it, or just its log.
#ifndef ONP_BASE_CONTEXT_H
#define ONP_BASE_CONTEXT_H

#include "base/log.h"

struct onp_context {
    struct onp_log log;
    char *cache_dir; // resolved folder of the kernel cache, NULL: no cache
};

#endif
