// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/session.h"
#include "cli/text.h"

struct similarity {
    struct onp_cli_settings settings;
    struct onp_cli_values values;
    bool json, scaled;
    const char *model;
    struct onp_cli_items items;
    struct onp_cli_session session;
    float *rows;
    size_t *indices; // which item a row belongs to
    size_t count, dim;
    double scale;
};

static bool begin(void *user, const struct onp_model_info *info) {
    struct similarity *s = user;
    s->dim = info->embed_dim;
    s->scale = s->scaled ? info->logit_scale : 1.0;
    s->rows = calloc(s->items.count, s->dim * sizeof *s->rows);
    s->indices = calloc(s->items.count, sizeof *s->indices);
    if (s->rows && s->indices) return true;
    onp_cli_fail("out of memory for %zu rows", s->items.count);
    return false;
}

static bool add_row(void *user, size_t index, const float *row) {
    struct similarity *s = user;
    memcpy(s->rows + s->count * s->dim, row, s->dim * sizeof *row);
    s->indices[s->count++] = index;
    return true;
}

// One row of the matrix at a time: a long list need not fit in memory squared.
static void matrix_row(const struct similarity *s, size_t i, float *out) {
    onp_similarity(s->rows + i * s->dim, 1, s->rows, s->count, s->dim, out);
    for (size_t j = 0; j < s->count; j++) out[j] = (float)((double)out[j] * s->scale);
}

static void print_json(const struct similarity *s, float *line) {
    fputs("{\"items\":[", stdout);
    for (size_t i = 0; i < s->count; i++) {
        const struct onp_cli_item *item = &s->items.list[s->indices[i]];
        printf("%s{\"index\":%zu,\"kind\":\"%s\",\"source\":", i ? "," : "", s->indices[i],
               onp_modality_name(item->kind));
        onp_cli_json_string(stdout, item->value, item->bytes);
        putchar('}');
    }
    fputs("],\"matrix\":[", stdout);
    for (size_t i = 0; i < s->count; i++) {
        matrix_row(s, i, line);
        for (size_t j = 0; j < s->count; j++)
            printf("%s%.9g", j ? "," : i ? ",[" : "[", (double)line[j]);
        putchar(']');
    }
    printf("],\"scale\":%.9g}\n", s->scale);
}

static void print_table(const struct similarity *s, float *line) {
    enum { COLUMNS = 28 };
    printf("%-*s", COLUMNS + 12, "");
    for (size_t j = 0; j < s->count; j++) printf(" %8zu", s->indices[j] + 1);
    putchar('\n');
    for (size_t i = 0; i < s->count; i++) {
        const struct onp_cli_item *item = &s->items.list[s->indices[i]];
        char label[4 * COLUMNS + 1];
        size_t width =
            onp_cli_label(label, item->value, item->bytes, COLUMNS, item->kind != ONP_TEXT);
        printf("%4zu %-6s %s%*s", s->indices[i] + 1, onp_modality_name(item->kind), label,
               (int)(COLUMNS - width), "");
        matrix_row(s, i, line);
        for (size_t j = 0; j < s->count; j++) printf(" %8.4f", (double)line[j]);
        putchar('\n');
    }
    if (s->scaled) printf("(times exp(logit_scale) = %.6g)\n", s->scale);
}

static int print_result(const struct similarity *s) {
    float *line = calloc(s->count, sizeof *line);
    if (!line) return onp_cli_fail("out of memory");
    if (s->json)
        print_json(s, line);
    else
        print_table(s, line);
    free(line);
    return ONP_CLI_OK;
}

static int run(struct similarity *s) {
    const struct onp_cli_sink sink = {.begin = begin, .row = add_row, .user = s};
    size_t rows = 0;
    int code = onp_cli_session_begin(&s->session, &s->settings);
    if (code != ONP_CLI_OK) return code;
    s->model = onp_cli_model_path("similarity", &s->settings);
    if (!s->model) return ONP_CLI_USAGE;
    code = onp_cli_items_read("similarity", &s->values, &s->items);
    if (code != ONP_CLI_OK) return code;
    code = onp_cli_embed(&s->session, s->model, &s->items, &sink, &rows);
    if (code != ONP_CLI_OK && !(s->settings.keep_going && rows > 0)) return code;
    int printed = print_result(s);
    return printed != ONP_CLI_OK ? printed : code;
}

int onp_cli_cmd_similarity(int argc, char **argv) {
    struct similarity s = {0};
    const struct onp_cli_option options[] = {
        ONP_CLI_ITEM_OPTIONS(&s.values),
        ONP_CLI_OPT_FLAG("json", 0, &s.json, "print JSON: items, matrix and scale"),
        ONP_CLI_OPT_FLAG("scale", 0, &s.scaled, "multiply by exp(logit_scale) of the model"),
        ONP_CLI_MODEL_OPTION(&s.settings),
        ONP_CLI_TOKENIZER_OPTION(&s.settings),
        ONP_CLI_MODE_OPTION(&s.settings),
        ONP_CLI_ENCODE_OPTIONS(&s.settings),
        ONP_CLI_DEVICE_OPTIONS(&s.settings),
        ONP_CLI_LOG_OPTIONS(&s.settings),
    };
    const struct onp_cli_usage usage = {
        .command = "similarity",
        .synopsis = "[--model FILE] [options]\n"
                    "(--text TEXT | --image FILE | --audio FILE | --input LIST)...",
        .about = "Embeds every item and prints the matrix of dot products of all with all.",
        .options = options,
        .option_count = sizeof options / sizeof options[0]};
    size_t positional;
    int code;
    if (onp_cli_parse(&usage, argc, argv, &positional, &code)) code = run(&s);
    onp_cli_session_end(&s.session);
    onp_cli_items_free(&s.items);
    free(s.rows);
    free(s.indices);
    free(s.values.list);
    free(s.settings.disabled.list);
    return code;
}
