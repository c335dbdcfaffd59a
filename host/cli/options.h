// SPDX-License-Identifier: Apache-2.0
// Command lines, parsed from a table that is also the help text.
#ifndef ONP_CLI_OPTIONS_H
#define ONP_CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum onp_cli_option_kind {
    ONP_CLI_FLAG,   // target: bool, set to true
    ONP_CLI_STRING, // target: const char *, the last one given wins
    ONP_CLI_NUMBER, // target: uint64_t, decimal, min .. max
    ONP_CLI_CHOICE, // target: int, index of the value in `value`, "f32|f16"
    ONP_CLI_LIST    // target: struct onp_cli_values, appended to
};

struct onp_cli_option {
    const char *name; // long name without "--"
    char letter;      // short form, 0 if there is none
    enum onp_cli_option_kind kind;
    const char *value; // what the help calls the value; the choices of a ONP_CLI_CHOICE
    void *target;
    const char *help; // may hold line feeds
    uint64_t min, max;
};

// Entries of an option table.
#define ONP_CLI_OPT(name, letter, kind, value, target, help)                                       \
    { name, letter, kind, value, target, help, 0, 0 }
#define ONP_CLI_OPT_FLAG(name, letter, target, help)                                               \
    { name, letter, ONP_CLI_FLAG, NULL, target, help, 0, 0 }
#define ONP_CLI_OPT_NUMBER(name, value, target, min, max, help)                                    \
    { name, 0, ONP_CLI_NUMBER, value, target, help, min, max }

// Values of options that may be repeated and mixed, in command-line order.
struct onp_cli_value {
    const struct onp_cli_option *option;
    const char *value;
};
struct onp_cli_values {
    struct onp_cli_value *list; // freed with free()
    size_t count;
};

struct onp_cli_usage {
    const char *command;  // "embed"
    const char *synopsis; // what follows the command's name; may hold line feeds
    const char *about;
    const struct onp_cli_option *options;
    size_t option_count;
    size_t min_positional, max_positional;
    const char *positional; // how errors call a missing one
};

// Parses argv[0 .. argc), without program and command names. Positional arguments are moved to the
// front of argv and counted. Returns true to go on; false to leave with *exit_code (help was asked
// for and printed, or the command line is wrong and this was said). "--" ends the options.
bool onp_cli_parse(const struct onp_cli_usage *usage, int argc, char **argv, size_t *positional,
                   int *exit_code);

// The name nearest to `word` among `count` names of a table with entries of `stride` bytes that
// start with a const char *, or NULL if none is near.
const char *onp_cli_nearest(const char *word, const void *table, size_t count, size_t stride);

#endif
