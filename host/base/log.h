// SPDX-License-Identifier: Apache-2.0
// Reporting: every detail is logged once, where it is known; the status code then travels up.
#ifndef ONP_BASE_LOG_H
#define ONP_BASE_LOG_H

#include <pthread.h>

#include "onepeace/status.h"

// Passed down by pointer, never NULL. Zero-initialised it drops everything but the last error.
struct onp_log {
    onp_log_fn fn;
    void *user;
    enum onp_log_level level;
    pthread_mutex_t mutex;
};

#define ONP_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))

// Logs one message. Errors also become onp_last_error of this thread.
void onp_log(const struct onp_log *log, enum onp_log_level level, const char *fmt, ...)
    ONP_PRINTF(3, 4);

// Logs an error and returns `status`, so that a failure is one statement.
enum onp_status onp_fail(const struct onp_log *log, enum onp_status status, const char *fmt, ...)
    ONP_PRINTF(3, 4);

// Returns the status of a failed call to the caller at once.
#define ONP_TRY(call)                                                                              \
    do {                                                                                           \
        enum onp_status onp_try_status_ = (call);                                                  \
        if (onp_try_status_ != ONP_OK) return onp_try_status_;                                     \
    } while (0)

// The same where something must be released first: jumps to the label with `status` set.
#define ONP_TRY_GOTO(status, call, label)                                                          \
    do {                                                                                           \
        (status) = (call);                                                                         \
        if ((status) != ONP_OK) goto label;                                                        \
    } while (0)

#endif
