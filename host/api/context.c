// SPDX-License-Identifier: Apache-2.0
#include "base/context.h"

#include "onepeace/model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// $XDG_CACHE_HOME/onepeace, else ~/.cache/onepeace (XDG base directory specification), else none;
// the same for the user's settings.
static char *default_dir(const char *variable, const char *below_home) {
    const char *xdg = getenv(variable), *home = getenv("HOME");
    const bool use_xdg = xdg && xdg[0] == '/';
    if (!use_xdg && (!home || home[0] != '/')) return NULL;
    const char *base = use_xdg ? xdg : home;
    const size_t size = strlen(base) + strlen(below_home) + sizeof "/onepeace";
    char *dir = malloc(size);
    if (dir) snprintf(dir, size, "%s%s/onepeace", base, use_xdg ? "" : below_home);
    return dir;
}

enum onp_status onp_context_create(const struct onp_context_params *params,
                                   struct onp_context **out) {
    static const struct onp_context_params defaults = {0};
    if (!out) return onp_fail(NULL, ONP_ERR_ARGUMENT, "onp_context_create: out is NULL");
    if (!params) params = &defaults;
    struct onp_context *context = calloc(1, sizeof *context);
    if (!context) return onp_fail(NULL, ONP_ERR_MEMORY, "no memory for a context");
    context->log.fn = params->log;
    context->log.user = params->log_user;
    context->log.level = params->log_level;
    pthread_mutex_init(&context->log.mutex, NULL);
    if (!params->disable_cache)
        context->cache_dir = params->cache_dir ? strdup(params->cache_dir)
                                               : default_dir("XDG_CACHE_HOME", "/.cache");
    context->config_dir = params->config_dir ? strdup(params->config_dir)
                                             : default_dir("XDG_CONFIG_HOME", "/.config");
    context->tuning_file = params->tuning_file ? strdup(params->tuning_file) : NULL;
    context->no_tuning = params->disable_tuning;
    *out = context;
    return ONP_OK;
}

void onp_context_destroy(struct onp_context *context) {
    if (!context) return;
    pthread_mutex_destroy(&context->log.mutex);
    free(context->cache_dir);
    free(context->config_dir);
    free(context->tuning_file);
    free(context);
}

void onp_free(void *memory) { free(memory); }
