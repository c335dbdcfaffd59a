// SPDX-License-Identifier: Apache-2.0
// Everything that the program says on stderr, and the wording of its failures.
#ifndef ONP_CLI_LOG_H
#define ONP_CLI_LOG_H

#include "onepeace/onepeace.h"

// Exit codes, the same for every subcommand.
enum onp_cli_exit { ONP_CLI_OK = 0, ONP_CLI_FAILED = 1, ONP_CLI_USAGE = 2 };

#define ONP_CLI_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))

// Messages above this level are dropped. The default is ONP_LOG_INFO.
void onp_cli_log_level(enum onp_log_level level);
enum onp_log_level onp_cli_log_get_level(void);

// One line on stderr; control characters and invalid UTF-8 are shown as '?', since paths and texts
// come from anywhere.
void onp_cli_say(enum onp_log_level level, const char *fmt, ...) ONP_CLI_PRINTF(2, 3);

// Says an error and returns ONP_CLI_FAILED, so that a failure is one statement.
int onp_cli_fail(const char *fmt, ...) ONP_CLI_PRINTF(1, 2);

// Says what is wrong with the command line, points to --help, and returns ONP_CLI_USAGE.
int onp_cli_wrong(const char *command, const char *fmt, ...) ONP_CLI_PRINTF(2, 3);

// Log callback for the library's context.
void onp_cli_library_log(void *user, enum onp_log_level level, const char *message);

// Turns a library status into an exit code. The library has said why already through the callback;
// if it has not, this says it.
int onp_cli_status(enum onp_status status);

// While captured, the library's errors are kept instead of printed, so that the caller can say
// which item they are about. The release returns the first of them, or the name of `status`; valid
// until the next capture. Capturing concerns the calling thread alone.
void onp_cli_capture(void);
const char *onp_cli_release(enum onp_status status);
// The same, keeping the other messages too, for a thread that must not print. After the release
// they are taken once, and said (or only dropped) and freed by whoever may print; NULL is allowed.
struct onp_cli_said;
void onp_cli_capture_all(void);
struct onp_cli_said *onp_cli_captured(void);
void onp_cli_say_captured(struct onp_cli_said *said, bool print);

#endif
