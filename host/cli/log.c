// SPDX-License-Identifier: Apache-2.0
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/log.h"
#include "cli/progress.h"
#include "cli/text.h"

static struct {
    enum onp_log_level level;
    bool said_error; // since the last onp_cli_status
} state = {.level = ONP_LOG_INFO};

// Each thread's own: items are prepared by several.
static _Thread_local struct {
    bool on, keep_all;
    char error[2048];
    struct onp_cli_said *said, **end;
} captured;

struct onp_cli_said {
    struct onp_cli_said *next;
    enum onp_log_level level;
    char message[];
};

void onp_cli_log_level(enum onp_log_level level) { state.level = level; }
enum onp_log_level onp_cli_log_get_level(void) { return state.level; }

static void print_line(enum onp_log_level level, const char *message) {
    static const char *const prefix[] = {"error: ", "warning: ", "", ""};
    onp_cli_progress_hide();
    fprintf(stderr, "onepeace: %s", prefix[level]);
    onp_cli_text_plain(stderr, message, strlen(message));
    fputc('\n', stderr);
}

static void ONP_CLI_PRINTF(2, 0) say(enum onp_log_level level, const char *fmt, va_list args) {
    if (level > state.level) return;
    va_list again;
    va_copy(again, args);
    int length = vsnprintf(NULL, 0, fmt, again);
    va_end(again);
    char *message = length < 0 ? NULL : malloc((size_t)length + 1);
    if (!message) return;
    vsnprintf(message, (size_t)length + 1, fmt, args);
    for (char *c = message; *c; c++) // a name's; only the library's messages have lines
        if (*c == '\n') *c = '?';
    print_line(level, message);
    free(message);
}

void onp_cli_say(enum onp_log_level level, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    say(level, fmt, args);
    va_end(args);
}

int onp_cli_fail(const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    say(ONP_LOG_ERROR, fmt, args);
    va_end(args);
    return ONP_CLI_FAILED;
}

int onp_cli_wrong(const char *command, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    say(ONP_LOG_ERROR, fmt, args);
    va_end(args);
    fprintf(stderr, "Try 'onepeace %s%s--help'.\n", command, *command ? " " : "");
    return ONP_CLI_USAGE;
}

// Without memory the message is lost: it is none that anything depends on.
static void keep(enum onp_log_level level, const char *message) {
    const size_t bytes = strlen(message) + 1;
    struct onp_cli_said *said = malloc(sizeof *said + bytes);
    if (!said) return;
    said->next = NULL;
    said->level = level;
    memcpy(said->message, message, bytes);
    *captured.end = said;
    captured.end = &said->next;
}

void onp_cli_library_log(void *user, enum onp_log_level level, const char *message) {
    (void)user;
    if (level != ONP_LOG_ERROR) {
        if (level > state.level) return;
        if (captured.on && captured.keep_all)
            keep(level, message);
        else
            print_line(level, message);
    } else if (!captured.on) {
        state.said_error = true;
        print_line(level, message);
    } else if (!captured.error[0]) {
        snprintf(captured.error, sizeof captured.error, "%s", message);
    }
}

int onp_cli_status(enum onp_status status) {
    bool said = state.said_error;
    state.said_error = false;
    if (status == ONP_OK) return ONP_CLI_OK;
    if (said) return ONP_CLI_FAILED;
    const char *last = onp_last_error();
    print_line(ONP_LOG_ERROR, last[0] ? last : onp_status_name(status));
    return ONP_CLI_FAILED;
}

void onp_cli_capture(void) {
    captured.on = true;
    captured.keep_all = false;
    captured.error[0] = '\0';
}

void onp_cli_capture_all(void) {
    onp_cli_capture();
    captured.keep_all = true;
    captured.said = NULL;
    captured.end = &captured.said;
}

struct onp_cli_said *onp_cli_captured(void) {
    struct onp_cli_said *said = captured.said;
    captured.said = NULL;
    return said;
}

void onp_cli_say_captured(struct onp_cli_said *said, bool print) {
    while (said) {
        struct onp_cli_said *next = said->next;
        if (print) print_line(said->level, said->message);
        free(said);
        said = next;
    }
}

const char *onp_cli_release(enum onp_status status) {
    captured.on = false;
    if (captured.error[0]) return captured.error;
    const char *last = onp_last_error();
    return last[0] ? last : onp_status_name(status);
}
