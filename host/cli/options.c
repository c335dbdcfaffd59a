// SPDX-License-Identifier: Apache-2.0
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/log.h"
#include "cli/options.h"

enum { WORD_MAX = 40, HELP_COLUMN = 26 };

// --- Nearest name ------------------------------------------------------------------------------

static size_t least(size_t a, size_t b) { return a < b ? a : b; }

// Levenshtein distance in one row; long words are simply far.
static size_t distance(const char *a, const char *b) {
    size_t row[WORD_MAX + 1], na = strlen(a), nb = strlen(b);
    if (na > WORD_MAX || nb > WORD_MAX) return WORD_MAX;
    for (size_t j = 0; j <= nb; j++) row[j] = j;
    for (size_t i = 1; i <= na; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= nb; j++) {
            size_t replaced = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            row[j] = least(replaced, least(row[j], row[j - 1]) + 1);
        }
    }
    return row[nb];
}

const char *onp_cli_nearest(const char *word, const void *table, size_t count, size_t stride) {
    const char *best = NULL;
    size_t best_distance = strlen(word) / 3 + 2;
    for (size_t i = 0; i < count; i++) {
        const char *name;
        memcpy(&name, (const char *)table + i * stride, sizeof name);
        size_t d = distance(word, name);
        if (strlen(word) >= 3 && strncmp(word, name, strlen(word)) == 0) d = 1;
        if (d < best_distance && d < strlen(name)) {
            best_distance = d;
            best = name;
        }
    }
    return best;
}

// --- Help --------------------------------------------------------------------------------------

static void print_indented(const char *text, int indent) {
    for (; *text; text++) {
        putchar(*text);
        if (*text == '\n') printf("%*s", indent, "");
    }
    putchar('\n');
}

static void print_option(const struct onp_cli_option *option) {
    char left[96];
    int n = snprintf(left, sizeof left, "  ");
    if (option->letter) n += snprintf(left + n, sizeof left - (size_t)n, "-%c, ", option->letter);
    n += snprintf(left + n, sizeof left - (size_t)n, "--%s", option->name);
    if (option->kind != ONP_CLI_FLAG)
        n += snprintf(left + n, sizeof left - (size_t)n, " %s", option->value);
    if (n >= HELP_COLUMN)
        printf("%s\n%*s", left, HELP_COLUMN, "");
    else
        printf("%-*s", HELP_COLUMN, left);
    print_indented(option->help, HELP_COLUMN);
}

static void print_help(const struct onp_cli_usage *usage) {
    int indent = (int)strlen("usage: onepeace  ") + (int)strlen(usage->command);
    printf("usage: onepeace %s ", usage->command);
    print_indented(usage->synopsis, indent);
    printf("\n%s\n\nOptions:\n", usage->about);
    for (size_t i = 0; i < usage->option_count; i++) print_option(&usage->options[i]);
    static const struct onp_cli_option help = {
        .name = "help", .letter = 'h', .kind = ONP_CLI_FLAG, .help = "print this text and exit"};
    print_option(&help);
    printf("\nExit status: 0 success, 1 failed, 2 wrong use.\n");
}

// --- Values ------------------------------------------------------------------------------------

static bool parse_number(const char *text, uint64_t min, uint64_t max, uint64_t *out) {
    uint64_t value = 0;
    if (!*text) return false;
    for (const char *c = text; *c; c++) {
        if (*c < '0' || *c > '9') return false;
        uint64_t digit = (uint64_t)(*c - '0');
        if (value > (UINT64_MAX - digit) / 10) return false;
        value = value * 10 + digit;
    }
    *out = value;
    return value >= min && value <= max;
}

static bool parse_choice(const char *text, const char *choices, int *out) {
    size_t length = strlen(text);
    int index = 0;
    for (const char *c = choices;; index++) {
        size_t n = strcspn(c, "|");
        if (n == length && memcmp(c, text, n) == 0) {
            *out = index;
            return true;
        }
        if (!c[n]) return false;
        c += n + 1;
    }
}

static bool append_value(struct onp_cli_values *values, const struct onp_cli_option *option,
                         const char *value) {
    if ((values->count & (values->count - 1)) == 0) {
        size_t capacity = values->count ? 2 * values->count : 1;
        void *list = realloc(values->list, capacity * sizeof *values->list);
        if (!list) return false;
        values->list = list;
    }
    values->list[values->count++] = (struct onp_cli_value){option, value};
    return true;
}

static int store(const char *command, const struct onp_cli_option *option, const char *value) {
    switch (option->kind) {
    case ONP_CLI_FLAG:
        *(bool *)option->target = true;
        break;
    case ONP_CLI_STRING:
        *(const char **)option->target = value;
        break;
    case ONP_CLI_NUMBER:
        if (!parse_number(value, option->min, option->max, option->target))
            return onp_cli_wrong(command,
                                 "--%s '%s' is not a whole number from %" PRIu64 " to %" PRIu64,
                                 option->name, value, option->min, option->max);
        break;
    case ONP_CLI_CHOICE:
        if (!parse_choice(value, option->value, option->target))
            return onp_cli_wrong(command, "--%s '%s' is unknown; it can be %s", option->name, value,
                                 option->value);
        break;
    case ONP_CLI_LIST:
        if (!append_value(option->target, option, value)) return onp_cli_fail("out of memory");
        break;
    }
    return ONP_CLI_OK;
}

// --- Parsing -----------------------------------------------------------------------------------

struct parser {
    const struct onp_cli_usage *usage;
    int argc, next;
    char **argv;
    bool help;
};

static const struct onp_cli_option *find_long(const struct onp_cli_usage *usage, const char *name,
                                              size_t length) {
    for (size_t i = 0; i < usage->option_count; i++) {
        const struct onp_cli_option *option = &usage->options[i];
        if (strlen(option->name) == length && memcmp(option->name, name, length) == 0)
            return option;
    }
    return NULL;
}

static const struct onp_cli_option *find_letter(const struct onp_cli_usage *usage, char letter) {
    for (size_t i = 0; i < usage->option_count; i++)
        if (usage->options[i].letter == letter) return &usage->options[i];
    return NULL;
}

// The next argument, unless it is itself an option of this command: then the value was forgotten.
static int take_value(struct parser *p, const struct onp_cli_option *option, const char **value) {
    const char *command = p->usage->command;
    if (p->next >= p->argc)
        return onp_cli_wrong(command, "--%s needs a value: %s", option->name, option->value);
    const char *word = p->argv[p->next];
    if (strncmp(word, "--", 2) == 0 && find_long(p->usage, word + 2, strcspn(word + 2, "=")))
        return onp_cli_wrong(command,
                             "--%s needs a value, but %s follows (if that is the value, "
                             "write --%s=%s)",
                             option->name, word, option->name, word);
    *value = word;
    p->next++;
    return ONP_CLI_OK;
}

static int unknown_long(const struct parser *p, const char *name, size_t length) {
    char word[WORD_MAX + 1];
    snprintf(word, sizeof word, "%.*s", (int)least(length, WORD_MAX), name);
    const struct onp_cli_usage *u = p->usage;
    const char *near = onp_cli_nearest(word, u->options, u->option_count, sizeof *u->options);
    if (near)
        return onp_cli_wrong(u->command, "unknown option --%s; did you mean --%s?", word, near);
    return onp_cli_wrong(u->command, "unknown option --%s", word);
}

static int parse_long(struct parser *p, const char *name) {
    size_t length = strcspn(name, "=");
    if (strcmp(name, "help") == 0) {
        p->help = true;
        return ONP_CLI_OK;
    }
    const struct onp_cli_option *option = find_long(p->usage, name, length);
    if (!option) return unknown_long(p, name, length);
    const char *value = name[length] ? name + length + 1 : NULL;
    if (option->kind == ONP_CLI_FLAG) {
        if (value) return onp_cli_wrong(p->usage->command, "--%s takes no value", option->name);
    } else if (!value) {
        int code = take_value(p, option, &value);
        if (code != ONP_CLI_OK) return code;
    }
    return store(p->usage->command, option, value);
}

static int parse_short(struct parser *p, const char *word) {
    if (strcmp(word, "-h") == 0) {
        p->help = true;
        return ONP_CLI_OK;
    }
    const struct onp_cli_option *option = find_letter(p->usage, word[1]);
    if (!option || (option->kind == ONP_CLI_FLAG && word[2]))
        return onp_cli_wrong(p->usage->command, "unknown option %s", word);
    const char *value = word[2] ? word + 2 : NULL;
    if (option->kind != ONP_CLI_FLAG && !value) {
        int code = take_value(p, option, &value);
        if (code != ONP_CLI_OK) return code;
    }
    return store(p->usage->command, option, value);
}

static int check_positional(const struct parser *p, size_t count) {
    const struct onp_cli_usage *u = p->usage;
    if (count < u->min_positional)
        return onp_cli_wrong(u->command, "missing argument: %s", u->positional);
    if (count > u->max_positional)
        return onp_cli_wrong(u->command, "unexpected argument '%s'", p->argv[u->max_positional]);
    return ONP_CLI_OK;
}

static int parse_all(struct parser *p, size_t *positional) {
    bool options_ended = false;
    while (p->next < p->argc) {
        char *word = p->argv[p->next++];
        int code = ONP_CLI_OK;
        if (options_ended || word[0] != '-' || !word[1])
            p->argv[(*positional)++] = word;
        else if (strcmp(word, "--") == 0)
            options_ended = true;
        else if (word[1] == '-')
            code = parse_long(p, word + 2);
        else
            code = parse_short(p, word);
        if (code != ONP_CLI_OK || p->help) return code;
    }
    return check_positional(p, *positional);
}

bool onp_cli_parse(const struct onp_cli_usage *usage, int argc, char **argv, size_t *positional,
                   int *exit_code) {
    struct parser p = {.usage = usage, .argc = argc, .argv = argv};
    *positional = 0;
    *exit_code = parse_all(&p, positional);
    if (p.help) print_help(usage);
    return *exit_code == ONP_CLI_OK && !p.help;
}
