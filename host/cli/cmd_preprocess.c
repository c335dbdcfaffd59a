// SPDX-License-Identifier: Apache-2.0
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/output.h"
#include "cli/session.h"

struct preprocess {
    struct onp_cli_settings settings;
    const char *image, *audio, *out;
    uint64_t side; // 0: not given
    struct onp_cli_session session;
    struct onp_input *input; // made by the model
    float *owned;            // made without one
    const float *values;
    uint64_t shape[3];
    int dims;
};

static int with_model(struct preprocess *p, const char *model) {
    int code = onp_cli_session_model(&p->session, model);
    if (code != ONP_CLI_OK) return code;
    enum onp_status status = p->image ? onp_input_image_file(p->session.model, p->image, &p->input)
                                      : onp_input_audio_file(p->session.model, p->audio, &p->input);
    code = onp_cli_status(status);
    if (code != ONP_CLI_OK) return code;
    enum onp_dtype dtype;
    p->values = onp_input_data(p->input, &dtype, p->shape, &p->dims);
    return ONP_CLI_OK;
}

static int with_size(struct preprocess *p) {
    enum onp_status status =
        onp_preprocess_image(p->session.context, p->image, (uint32_t)p->side, &p->owned);
    p->shape[0] = 3;
    p->shape[1] = p->shape[2] = p->side;
    p->dims = 3;
    p->values = p->owned;
    return onp_cli_status(status);
}

static int check_arguments(const struct preprocess *p) {
    enum onp_cli_format format;
    const char *command = "preprocess";
    if (!p->image == !p->audio) return onp_cli_wrong(command, "give one of --image and --audio");
    if (!p->out) return onp_cli_wrong(command, "no output: give -o FILE.npy");
    if (!onp_cli_format_of(p->out, &format) || format != ONP_CLI_NPY)
        return onp_cli_wrong(command, "-o %s: the name must end in .npy", p->out);
    if (p->side && p->settings.model)
        return onp_cli_wrong(command, "give --model or --size, not both");
    if (p->side && p->audio) return onp_cli_wrong(command, "--size is for --image");
    return ONP_CLI_OK;
}

static int run(struct preprocess *p) {
    int code = onp_cli_session_begin(&p->session, &p->settings);
    if (code == ONP_CLI_OK) code = check_arguments(p);
    if (code != ONP_CLI_OK) return code;
    const char *model = p->side ? NULL : onp_cli_model_path("preprocess", &p->settings);
    if (!p->side && !model) return ONP_CLI_USAGE;
    struct onp_cli_output *output = NULL;
    code = onp_cli_output_open(p->out, &output);
    if (code == ONP_CLI_OK) code = model ? with_model(p, model) : with_size(p);
    if (code != ONP_CLI_OK) {
        onp_cli_output_discard(output);
        return code;
    }
    onp_cli_output_array(output, p->values, p->shape, p->dims);
    return onp_cli_output_commit(output);
}

int onp_cli_cmd_preprocess(int argc, char **argv) {
    struct preprocess p = {0};
    const struct onp_cli_option options[] = {
        ONP_CLI_OPT("image", 0, ONP_CLI_STRING, "FILE", &p.image, "a picture"),
        ONP_CLI_OPT("audio", 0, ONP_CLI_STRING, "FILE", &p.audio, "a sound"),
        ONP_CLI_OPT("output", 'o', ONP_CLI_STRING, "OUT.npy", &p.out,
                    "float32 [3,side,side] or [samples]; an existing file\nis replaced"),
        ONP_CLI_OPT(
            "model", 'm', ONP_CLI_STRING, "FILE", &p.settings.model,
            "model whose picture size and sound limit apply\n"
            "(default: $ONEPEACE_MODEL, then the small model that\ncomes with the program)"),
        ONP_CLI_OPT_NUMBER("size", "PX", &p.side, 16, 4096,
                           "side of the picture, in place of a model"),
        ONP_CLI_LOG_OPTIONS(&p.settings),
    };
    const struct onp_cli_usage usage = {
        .command = "preprocess",
        .synopsis = "(--image FILE | --audio FILE) [--model FILE | --size PX] -o OUT.npy",
        .about = "Writes exactly what the model is fed: the resized and normalised pixels, or the\n"
                 "normalised 16 kHz waveform. 'embed' takes the .npy in place of the file.",
        .options = options,
        .option_count = sizeof options / sizeof options[0]};
    size_t positional;
    int code;
    if (onp_cli_parse(&usage, argc, argv, &positional, &code)) code = run(&p);
    onp_input_free(p.input);
    onp_free(p.owned);
    onp_cli_session_end(&p.session);
    return code;
}
