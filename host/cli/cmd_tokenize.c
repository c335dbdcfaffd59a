// SPDX-License-Identifier: Apache-2.0
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/session.h"

struct tokenize {
    struct onp_cli_settings settings;
    struct onp_cli_session session;
    struct onp_tokenizer *own;             // opened from --tokenizer
    const struct onp_tokenizer *tokenizer; // that one or the model's
};

static int open_tokenizer(struct tokenize *t, const char *model) {
    if (t->settings.tokenizer) {
        int code =
            onp_cli_status(onp_tokenizer_open(t->session.context, t->settings.tokenizer, &t->own));
        t->tokenizer = t->own;
        return code;
    }
    int code = onp_cli_session_model(&t->session, model);
    if (code != ONP_CLI_OK) return code;
    t->tokenizer = onp_model_tokenizer(t->session.model);
    if (t->tokenizer) return ONP_CLI_OK;
    return onp_cli_fail("%s holds no tokenizer: give --tokenizer DIR instead of --model", model);
}

static int print_ids(const struct tokenize *t, size_t index, const char *text, FILE *out) {
    int32_t *ids = NULL;
    size_t count = 0;
    enum onp_text_mode mode = t->settings.mode ? ONP_TEXT_DATASET : ONP_TEXT_HUB;
    onp_cli_capture();
    enum onp_status status = onp_tokenize(t->tokenizer, text, strlen(text), mode, &ids, &count);
    const char *reason = onp_cli_release(status);
    if (status != ONP_OK) return onp_cli_fail("text %zu: %s", index + 1, reason);
    for (size_t i = 0; i < count; i++) fprintf(out, "%s%d", i ? ", " : "[", (int)ids[i]);
    fputs(count ? "]\n" : "[]\n", out);
    onp_free(ids);
    return ONP_CLI_OK;
}

// The lines are printed when all texts are good, so that no line can be taken for another's.
static int print_all(const struct tokenize *t, char **texts, size_t count) {
    char *lines = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&lines, &size);
    if (!out) return onp_cli_fail("out of memory");
    int code = ONP_CLI_OK;
    for (size_t i = 0; i < count && code == ONP_CLI_OK; i++) code = print_ids(t, i, texts[i], out);
    if (fclose(out) != 0) code = onp_cli_fail("out of memory");
    if (code == ONP_CLI_OK) fwrite(lines, 1, size, stdout);
    free(lines);
    return code;
}

static int run(struct tokenize *t, char **texts, size_t count) {
    const char *model = NULL;
    int code = onp_cli_session_begin(&t->session, &t->settings);
    if (code != ONP_CLI_OK) return code;
    if (t->settings.model && t->settings.tokenizer)
        return onp_cli_wrong("tokenize", "give --model or --tokenizer, not both");
    if (!t->settings.tokenizer) {
        model = onp_cli_model_path("tokenize", &t->settings);
        if (!model) return ONP_CLI_USAGE;
    }
    code = open_tokenizer(t, model);
    if (code == ONP_CLI_OK) code = print_all(t, texts, count);
    return code;
}

int onp_cli_cmd_tokenize(int argc, char **argv) {
    struct tokenize t = {0};
    const struct onp_cli_option options[] = {
        ONP_CLI_MODEL_OPTION(&t.settings),
        ONP_CLI_OPT("tokenizer", 0, ONP_CLI_STRING, "DIR", &t.settings.tokenizer,
                    "folder with encoder.json, vocab.bpe and dict.txt,\ninstead of a model"),
        ONP_CLI_MODE_OPTION(&t.settings),
        ONP_CLI_LOG_OPTIONS(&t.settings),
    };
    const struct onp_cli_usage usage = {
        .command = "tokenize",
        .synopsis = "[--model FILE | --tokenizer DIR] [options] [--] TEXT...",
        .about = "Prints the token ids of each TEXT, </s> included, as one JSON array per line.",
        .options = options,
        .option_count = sizeof options / sizeof options[0],
        .min_positional = 1,
        .max_positional = INT_MAX,
        .positional = "TEXT"};
    size_t count;
    int code;
    if (onp_cli_parse(&usage, argc, argv, &count, &code)) code = run(&t, argv, count);
    onp_tokenizer_close(t.own);
    onp_cli_session_end(&t.session);
    return code;
}
