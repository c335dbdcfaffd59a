// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/output.h"
#include "cli/session.h"

struct embed {
    struct onp_cli_settings settings;
    struct onp_cli_values values;
    const char *out;
    bool combine;
    enum onp_cli_format format;
    const char *model;
    struct onp_cli_items items;
    struct onp_cli_session session;
    struct onp_cli_output *output;
    size_t dim;
    float *rows; // all of them, with --combine
    size_t row_count;
};

static bool begin(void *user, const struct onp_model_info *info) {
    struct embed *e = user;
    e->dim = info->embed_dim;
    onp_cli_output_begin_rows(e->output, e->format, e->dim);
    if (!e->combine) return true;
    e->rows = calloc(e->items.count, e->dim * sizeof *e->rows);
    if (!e->rows) onp_cli_fail("out of memory for --combine of %zu rows", e->items.count);
    return e->rows != NULL;
}

static bool add_row(void *user, size_t index, const float *row) {
    struct embed *e = user;
    if (e->combine) {
        memcpy(e->rows + e->row_count++ * e->dim, row, e->dim * sizeof *row);
        return true;
    }
    const struct onp_cli_item *item = &e->items.list[index];
    const struct onp_cli_row out = {index, onp_modality_name(item->kind), item->value, item->bytes,
                                    row};
    onp_cli_output_row(e->output, &out);
    if (!onp_cli_output_failed(e->output)) return true;
    onp_cli_output_commit(e->output); // says why, and puts nothing in place
    e->output = NULL;
    return false;
}

static int combine_rows(struct embed *e) {
    float *mean = calloc(e->dim, sizeof *mean);
    if (!mean) return onp_cli_fail("out of memory");
    char source[48];
    int length = snprintf(source, sizeof source, "%zu items", e->row_count);
    onp_combine(e->rows, e->row_count, e->dim, mean);
    const struct onp_cli_row out = {0, "combined", source, (size_t)length, mean};
    onp_cli_output_row(e->output, &out);
    free(mean);
    return ONP_CLI_OK;
}

static int check_arguments(struct embed *e) {
    if (!e->out) return onp_cli_wrong("embed", "no output: give -o FILE.npy, .jsonl or .csv");
    if (!onp_cli_format_of(e->out, &e->format))
        return onp_cli_wrong("embed", "-o %s: the name must end in .npy, .jsonl or .csv", e->out);
    e->model = onp_cli_model_path("embed", &e->settings);
    return e->model ? ONP_CLI_OK : ONP_CLI_USAGE;
}

// What has been embedded is kept when items were skipped, unless nothing was.
static int write_result(struct embed *e, int code, size_t rows) {
    bool skipped_some = code == ONP_CLI_FAILED && e->settings.keep_going && rows > 0;
    if (code != ONP_CLI_OK && !skipped_some) return code;
    if (e->combine && combine_rows(e) != ONP_CLI_OK) return ONP_CLI_FAILED;
    int written = onp_cli_output_commit(e->output);
    e->output = NULL;
    if (written != ONP_CLI_OK) return written;
    onp_cli_say(ONP_LOG_INFO, "wrote %s: %zu x %zu", e->out, e->combine ? 1 : rows, e->dim);
    return code;
}

static int run(struct embed *e) {
    const struct onp_cli_sink sink = {.begin = begin, .row = add_row, .user = e};
    size_t rows = 0;
    int code = onp_cli_session_begin(&e->session, &e->settings);
    if (code == ONP_CLI_OK) code = check_arguments(e);
    if (code == ONP_CLI_OK) code = onp_cli_items_read("embed", &e->values, &e->items);
    if (code == ONP_CLI_OK) code = onp_cli_output_open(e->out, &e->output);
    if (code != ONP_CLI_OK) return code;
    code = onp_cli_embed(&e->session, e->model, &e->items, &sink, &rows);
    return write_result(e, code, rows);
}

int onp_cli_cmd_embed(int argc, char **argv) {
    struct embed e = {0};
    const struct onp_cli_option options[] = {
        ONP_CLI_ITEM_OPTIONS(&e.values),
        ONP_CLI_OPT("output", 'o', ONP_CLI_STRING, "OUT", &e.out,
                    "result: a .npy, .jsonl or .csv file; an existing one\nis replaced"),
        ONP_CLI_OPT_FLAG("combine", 0, &e.combine, "write one row: the normalised mean of all"),
        ONP_CLI_MODEL_OPTION(&e.settings),
        ONP_CLI_TOKENIZER_OPTION(&e.settings),
        ONP_CLI_MODE_OPTION(&e.settings),
        ONP_CLI_ENCODE_OPTIONS(&e.settings),
        ONP_CLI_DEVICE_OPTIONS(&e.settings),
        ONP_CLI_LOG_OPTIONS(&e.settings),
    };
    const struct onp_cli_usage usage = {
        .command = "embed",
        .synopsis = "[--model FILE] [options] -o OUT.npy|.jsonl|.csv\n"
                    "(--text TEXT | --image FILE | --audio FILE | --input LIST)...",
        .about =
            "Embeds every item and writes one row per item, in command-line order; the lines of\n"
            "a list come in place of its --input. Rows are float32 of length 1, so the dot\n"
            "product of two is their similarity. \"index\" in .jsonl and .csv counts all items,\n"
            "skipped ones included, from 0.",
        .options = options,
        .option_count = sizeof options / sizeof options[0]};
    size_t positional;
    int code;
    if (onp_cli_parse(&usage, argc, argv, &positional, &code)) code = run(&e);
    onp_cli_output_discard(e.output);
    onp_cli_session_end(&e.session);
    onp_cli_items_free(&e.items);
    free(e.rows);
    free(e.values.list);
    free(e.settings.disabled.list);
    return code;
}
