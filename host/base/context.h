// SPDX-License-Identifier: Apache-2.0
// What a context holds. Everything below the API receives it, or just its log.
#ifndef ONP_BASE_CONTEXT_H
#define ONP_BASE_CONTEXT_H

#include "base/log.h"

struct onp_context {
    struct onp_log log;
    char *cache_dir;   // resolved folder of the kernel cache, NULL: no cache
    char *config_dir;  // resolved folder of the user's settings, NULL: none
    char *tuning_file; // in place of the user's for the device, NULL: that one
    bool no_tuning;    // every op takes the device class's tiles
};

#endif
