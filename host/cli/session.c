// SPDX-License-Identifier: Apache-2.0
#include <stdlib.h>
#include <string.h>

#include "cli/datadir.h"
#include "cli/session.h"

static const char *from_environment(const char *variable, const char *what) {
    const char *value = getenv(variable);
    if (!value || !*value) return NULL;
    onp_cli_say(ONP_LOG_INFO, "%s %s (from %s)", what, value, variable);
    return value;
}

const char *onp_cli_model_path(const char *command, const struct onp_cli_settings *settings) {
    if (settings->model) return settings->model;
    const char *path = from_environment("ONEPEACE_MODEL", "model");
    return path ? path : onp_cli_default_model(command);
}

const char *onp_cli_device_selector(const struct onp_cli_settings *settings) {
    return settings->device ? settings->device : from_environment("ONEPEACE_DEVICE", "device");
}

// ONEPEACE_TUNING=none is --no-tuning.
static void choose_tuning(const struct onp_cli_settings *settings,
                          struct onp_context_params *params) {
    const char *file = settings->tuning;
    if (!file) file = getenv("ONEPEACE_TUNING"); // the library says what it takes from it
    if (file && !*file) file = NULL;
    params->disable_tuning =
        settings->no_tuning || (file && !settings->tuning && strcmp(file, "none") == 0);
    params->tuning_file = params->disable_tuning ? NULL : file;
}

int onp_cli_session_begin(struct onp_cli_session *session,
                          const struct onp_cli_settings *settings) {
    memset(session, 0, sizeof *session);
    session->settings = settings;
    // --explain asks for lines of level INFO, so it wins over --quiet.
    enum onp_log_level level = settings->verbose                       ? ONP_LOG_DEBUG
                               : settings->quiet && !settings->explain ? ONP_LOG_ERROR
                                                                       : ONP_LOG_INFO;
    onp_cli_log_level(level);
    struct onp_context_params params = {.log = onp_cli_library_log,
                                        .log_level = level,
                                        .cache_dir = settings->cache_dir,
                                        .disable_cache = settings->no_cache};
    choose_tuning(settings, &params);
    return onp_cli_status(onp_context_create(&params, &session->context));
}

int onp_cli_session_model(struct onp_cli_session *session, const char *path) {
    const struct onp_model_params params = {.tokenizer_dir = session->settings->tokenizer};
    int code = onp_cli_status(onp_model_open(session->context, path, &params, &session->model));
    if (code != ONP_CLI_OK) return code;
    return onp_cli_status(onp_model_get_info(session->model, &session->info));
}

// A variant that does not exist is wrong use; a device that is not there is a failure.
static int argument_status(enum onp_status status) {
    int code = onp_cli_status(status);
    return status == ONP_ERR_ARGUMENT ? ONP_CLI_USAGE : code;
}

int onp_cli_session_device(struct onp_cli_session *session) {
    const struct onp_cli_settings *s = session->settings;
    const char *selector = onp_cli_device_selector(s);
    int code =
        argument_status(onp_device_open(session->context, selector, s->force, &session->device));
    for (size_t i = 0; i < s->disabled.count && code == ONP_CLI_OK; i++)
        code = argument_status(
            onp_device_disable_variants(session->device, s->disabled.list[i].value));
    return code;
}

int onp_cli_branches(const char *command, const char *list, unsigned *mask) {
    *mask = 0;
    for (const char *c = list;;) {
        size_t n = strcspn(c, ",");
        unsigned bit = 0;
        for (int m = 0; m < ONP_MODALITY_COUNT; m++) {
            const char *name = onp_modality_name((enum onp_modality)m);
            if (strlen(name) == n && memcmp(name, c, n) == 0) bit = ONP_BIT(m);
        }
        if (!bit)
            return onp_cli_wrong(
                command, "--branch '%.*s' is unknown; give some of text,image,audio", (int)n, c);
        *mask |= bit;
        if (!c[n]) return ONP_CLI_OK;
        c += n + 1;
    }
}

void onp_cli_session_end(struct onp_cli_session *session) {
    onp_encoder_destroy(session->encoder);
    onp_device_close(session->device);
    onp_model_close(session->model);
    onp_context_destroy(session->context);
    memset(session, 0, sizeof *session);
}
