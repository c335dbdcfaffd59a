// SPDX-License-Identifier: Apache-2.0
// Status codes, log callback and context: what every other part of the API needs.
#ifndef ONEPEACE_STATUS_H
#define ONEPEACE_STATUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define ONP_API __attribute__((visibility("default")))
#else
#define ONP_API
#endif

// Result of every call that can fail. 0 is success.
enum onp_status {
    ONP_OK = 0,
    ONP_ERR_ARGUMENT,      // the caller passed something invalid (option, range, NULL)
    ONP_ERR_IO,            // a file could not be opened, read or written
    ONP_ERR_FORMAT,        // a file's content is damaged, hostile or not what its name says
    ONP_ERR_UNSUPPORTED,   // valid, but a form this library does not handle
    ONP_ERR_MISSING,       // the model lacks a weight, branch or tokenizer that was asked for
    ONP_ERR_NO_DEVICE,     // no device matches the request
    ONP_ERR_DEVICE,        // the driver reported an error
    ONP_ERR_BUILD,         // a kernel did not compile
    ONP_ERR_MEMORY,        // host memory exhausted
    ONP_ERR_DEVICE_MEMORY, // device memory exhausted or a buffer limit exceeded
    ONP_ERR_MISMATCH,      // a self-test result is outside its tolerance
};

// Short English name of a status, never NULL. Thread-safe.
ONP_API const char *onp_status_name(enum onp_status status);

// Message of the last error reported in the calling thread, "" if none. It names the file, option
// or operation and the remedy. Valid until the next call of this library in the same thread.
ONP_API const char *onp_last_error(void);

enum onp_log_level { ONP_LOG_ERROR = 0, ONP_LOG_WARNING, ONP_LOG_INFO, ONP_LOG_DEBUG };

// Receives one message without a trailing newline. May be called from any thread that is inside a
// library call, never concurrently for one context.
typedef void (*onp_log_fn)(void *user, enum onp_log_level level, const char *message);

// Settings of a context. Zero-initialise for defaults.
struct onp_context_params {
    onp_log_fn log;               // NULL: messages are dropped (errors stay in onp_last_error)
    void *log_user;               // passed to log
    enum onp_log_level log_level; // messages above this level are dropped; 0 means errors only
    const char *cache_dir;   // kernel cache; NULL: $XDG_CACHE_HOME/onepeace or ~/.cache/onepeace
    bool disable_cache;      // neither read nor write the kernel cache
    const char *config_dir;  // holds tuning/; NULL: $XDG_CONFIG_HOME/onepeace or ~/.config/onepeace
    const char *tuning_file; // tuning file of the devices opened; NULL: theirs in config_dir
    bool disable_tuning;     // take no tuning file and no contributed row (onepeace/tune.h)
};

// Owns the log and the settings. Every object made from a context must be destroyed before it.
// Thread-safety: a context may be used from several threads.
struct onp_context;

ONP_API enum onp_status onp_context_create(const struct onp_context_params *params,
                                           struct onp_context **out);
ONP_API void onp_context_destroy(struct onp_context *context); // NULL is allowed

// Library version, "major.minor.patch".
ONP_API const char *onp_version(void);

#ifdef __cplusplus
}
#endif
#endif
