// SPDX-License-Identifier: Apache-2.0
#include <stdlib.h>

#include "cli/commands.h"
#include "cli/index.h"

struct index_command {
    struct onp_cli_settings settings;
    const char *file;
    struct onp_cli_session session;
    struct onp_cli_index index;
};

static int run(struct index_command *c, char **folders, size_t count) {
    int code = onp_cli_session_begin(&c->session, &c->settings);
    if (code != ONP_CLI_OK) return code;
    const char *model = onp_cli_model_path("index", &c->settings);
    if (!model) return ONP_CLI_USAGE;
    code = onp_cli_index_open(&c->index, &c->session, model, c->file);
    if (code == ONP_CLI_OK) code = onp_cli_index_scan(&c->index, &c->session, folders, count);
    if (code == ONP_CLI_OK) code = onp_cli_index_embed(&c->index, &c->session);
    return code == ONP_CLI_OK ? onp_cli_index_code(&c->index) : code;
}

int onp_cli_cmd_index(int argc, char **argv) {
    struct index_command c = {0};
    const struct onp_cli_option options[] = {ONP_CLI_INDEX_OPTIONS(&c.file, &c.settings)};
    const struct onp_cli_usage usage = {
        .command = "index",
        .synopsis = "FOLDER... [--model FILE] [options]",
        .about =
            "Embeds the pictures (.jpg .jpeg .png .bmp) and sounds (.wav .flac .ogg .opus .aiff\n"
            ".aif) under the folders and keeps the embeddings for 'onepeace search'. Only new and\n"
            "changed files are read again, and vanished ones are dropped; what a stopped run has\n"
            "done is kept. Links to folders are not followed, names that begin with a dot are\n"
            "left out, damaged files are listed and left out until they change.",
        .options = options,
        .option_count = sizeof options / sizeof options[0],
        ONP_CLI_FOLDERS};
    size_t count;
    int code;
    if (onp_cli_parse(&usage, argc, argv, &count, &code)) code = run(&c, argv, count);
    onp_cli_index_end(&c.index);
    onp_cli_session_end(&c.session);
    free(c.settings.disabled.list);
    return code;
}
