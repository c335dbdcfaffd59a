// SPDX-License-Identifier: Apache-2.0
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>

static _Thread_local char last_error[4096];

const char *onp_last_error(void) { return last_error; }

const char *onp_version(void) { return ONP_VERSION; }

const char *onp_status_name(enum onp_status status) {
    switch (status) {
    case ONP_OK:
        return "ok";
    case ONP_ERR_ARGUMENT:
        return "invalid argument";
    case ONP_ERR_IO:
        return "input/output error";
    case ONP_ERR_FORMAT:
        return "damaged or malformed file";
    case ONP_ERR_UNSUPPORTED:
        return "unsupported";
    case ONP_ERR_MISSING:
        return "missing part";
    case ONP_ERR_NO_DEVICE:
        return "no such device";
    case ONP_ERR_DEVICE:
        return "device error";
    case ONP_ERR_BUILD:
        return "kernel build failure";
    case ONP_ERR_MEMORY:
        return "out of host memory";
    case ONP_ERR_DEVICE_MEMORY:
        return "out of device memory";
    case ONP_ERR_MISMATCH:
        return "result outside its tolerance";
    }
    return "unknown status";
}

static void deliver(const struct onp_log *log, enum onp_log_level level, const char *message) {
    if (!log || !log->fn || level > log->level) return;
    // The mutex serialises callbacks of one context; locking does not change what a caller sees.
    pthread_mutex_t *mutex = &((struct onp_log *)(uintptr_t)log)->mutex;
    pthread_mutex_lock(mutex);
    log->fn(log->user, level, message);
    pthread_mutex_unlock(mutex);
}

static ONP_PRINTF(3, 0) void vlog(const struct onp_log *log, enum onp_log_level level,
                                  const char *fmt, va_list args) {
    char message[4096];
    vsnprintf(message, sizeof message, fmt, args);
    if (level == ONP_LOG_ERROR) snprintf(last_error, sizeof last_error, "%s", message);
    deliver(log, level, message);
}

void onp_log(const struct onp_log *log, enum onp_log_level level, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    vlog(log, level, fmt, args);
    va_end(args);
}

enum onp_status onp_fail(const struct onp_log *log, enum onp_status status, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    vlog(log, ONP_LOG_ERROR, fmt, args);
    va_end(args);
    return status;
}
