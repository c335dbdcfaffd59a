// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>
#include <stdlib.h>

#include "cli/commands.h"
#include "cli/datadir.h"
#include "cli/demo.h"
#include "cli/output.h"

static int write_page(const struct onp_cli_demo *demo, struct onp_cli_output *output) {
    int code = onp_cli_demo_page(demo, onp_cli_output_stream(output));
    if (code != ONP_CLI_OK) {
        onp_cli_output_discard(output);
        return code;
    }
    code = onp_cli_output_commit(output);
    if (code == ONP_CLI_OK) onp_cli_say(ONP_LOG_INFO, "wrote %s", demo->html);
    return code;
}

static int read_data(struct onp_cli_demo *demo) {
    if (demo->dir) return onp_cli_demo_data_read(demo->dir, &demo->data);
    char *dir = onp_cli_datadir_file("demo");
    if (!dir) return ONP_CLI_FAILED;
    int code = onp_cli_demo_data_read(dir, &demo->data);
    free(dir);
    return code;
}

static int run(struct onp_cli_demo *demo) {
    struct onp_cli_output *output = NULL;
    int code = onp_cli_session_begin(&demo->session, &demo->settings);
    if (code != ONP_CLI_OK) return code;
    const char *model = onp_cli_model_path("demo", &demo->settings);
    if (!model) return ONP_CLI_USAGE;
    code = read_data(demo);
    if (code == ONP_CLI_OK && demo->html) code = onp_cli_output_open(demo->html, &output);
    if (code == ONP_CLI_OK) code = onp_cli_demo_run(demo, model);
    if (code == ONP_CLI_OK) code = onp_cli_demo_print(demo);
    if (code == ONP_CLI_OK && output) return write_page(demo, output);
    onp_cli_output_discard(output);
    return code;
}

int onp_cli_cmd_demo(int argc, char **argv) {
    struct onp_cli_demo demo = {0};
    const struct onp_cli_option options[] = {
        ONP_CLI_OPT("html", 0, ONP_CLI_STRING, "OUT", &demo.html,
                    "write everything as one page with the pictures and\nsounds inside"),
        ONP_CLI_OPT("data", 0, ONP_CLI_STRING, "DIR", &demo.dir,
                    "folder with demo.tsv and the files that it names\n(default: the one that "
                    "comes with the program)"),
        ONP_CLI_MODEL_OPTION(&demo.settings),
        ONP_CLI_TOKENIZER_OPTION(&demo.settings),
        ONP_CLI_MODE_OPTION(&demo.settings),
        ONP_CLI_STORAGE_OPTIONS(&demo.settings),
        ONP_CLI_REPORT_OPTIONS(&demo.settings),
        ONP_CLI_DEVICE_OPTIONS(&demo.settings),
        ONP_CLI_LOG_OPTIONS(&demo.settings),
    };
    const struct onp_cli_usage usage = {
        .command = "demo",
        .synopsis = "[--html OUT] [--data DIR] [options]",
        .about = "Embeds a picture, a sound and the word of some concepts and shows how near they\n"
                 "are to each other: similarities, what finds what, and pictures found by a sound\n"
                 "and a word together. The folder's demo.tsv has the tab-separated columns\n"
                 "concept, picture, sound, picture_credit and sound_credit under a header line.",
        .options = options,
        .option_count = sizeof options / sizeof options[0]};
    size_t positional;
    int code;
    if (onp_cli_parse(&usage, argc, argv, &positional, &code)) code = run(&demo);
    onp_cli_demo_end(&demo);
    return code;
}
