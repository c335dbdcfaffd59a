// SPDX-License-Identifier: Apache-2.0
#include <string.h>
#include <strings.h>

#include "cli/commands.h"
#include "cli/output.h"
#include "cli/session.h"

struct convert {
    struct onp_cli_settings settings;
    const char *branches;
    int dtype; // index of f32|f16|bf16, -1: the file's own
    struct onp_cli_session session;
};

static int check_name(const char *output) {
    static const char extension[] = ".safetensors";
    size_t length = strlen(output), n = sizeof extension - 1;
    if (length > n && strcasecmp(output + length - n, extension) == 0) return ONP_CLI_OK;
    return onp_cli_wrong("convert", "%s: the output's name must end in .safetensors", output);
}

static int run(struct convert *c, const char *input, const char *output) {
    static const enum onp_dtype dtypes[] = {ONP_F32, ONP_F16, ONP_BF16};
    struct onp_convert_params params = {.keep_dtype = c->dtype < 0,
                                        .dtype = c->dtype < 0 ? ONP_F32 : dtypes[c->dtype],
                                        .tokenizer_dir = c->settings.tokenizer,
                                        .overwrite = true};
    int code = onp_cli_session_begin(&c->session, &c->settings);
    if (code == ONP_CLI_OK) code = check_name(output);
    if (code == ONP_CLI_OK && c->branches)
        code = onp_cli_branches("convert", c->branches, &params.modalities);
    if (code == ONP_CLI_OK) code = onp_cli_output_check(output);
    if (code != ONP_CLI_OK) return code;
    return onp_cli_status(onp_convert(c->session.context, input, output, &params));
}

int onp_cli_cmd_convert(int argc, char **argv) {
    struct convert c = {.dtype = -1};
    const struct onp_cli_option options[] = {
        ONP_CLI_OPT("branch", 0, ONP_CLI_STRING, "LIST", &c.branches,
                    "branches to keep, some of text,image,audio\n(default: all)"),
        ONP_CLI_OPT("dtype", 0, ONP_CLI_CHOICE, "f32|f16|bf16", &c.dtype,
                    "dtype of the weights (default: as in the file)"),
        ONP_CLI_OPT("tokenizer", 0, ONP_CLI_STRING, "DIR", &c.settings.tokenizer,
                    "put the tokenizer of this folder into the file\n"
                    "(default: what the input holds)"),
        ONP_CLI_LOG_OPTIONS(&c.settings),
    };
    const struct onp_cli_usage usage = {
        .command = "convert",
        .synopsis = "IN OUT.safetensors [--branch LIST] [--dtype f32|f16|bf16]\n[--tokenizer DIR]",
        .about =
            "Writes a model file of any readable form as safetensors, with the configuration and\n"
            "the tokenizer in its metadata. The same input and options give the same bytes. An\n"
            "existing output is replaced when the new one is complete.",
        .options = options,
        .option_count = sizeof options / sizeof options[0],
        .min_positional = 2,
        .max_positional = 2,
        .positional = "IN OUT.safetensors"};
    size_t positional;
    int code;
    if (onp_cli_parse(&usage, argc, argv, &positional, &code)) code = run(&c, argv[0], argv[1]);
    onp_cli_session_end(&c.session);
    return code;
}
