// SPDX-License-Identifier: Apache-2.0
// Fills the caches of compiled kernels, ours or the driver's. Drivers that compile at a kernel's
// first launch have to see it launched, so blank items are embedded, short and long.
#include <stdio.h>
#include <stdlib.h>

#include "cli/clock.h"
#include "cli/commands.h"
#include "cli/session.h"

struct warm {
    struct onp_cli_settings settings;
    const char *branches;
    struct onp_cli_session session;
    float *row;
};

// Token ids, pixels or samples, all zero. Zero is a token like another.
static enum onp_status make_blank(const struct onp_model *model, enum onp_modality modality,
                                  size_t count, uint32_t side, struct onp_input **input) {
    enum onp_status status = ONP_ERR_MEMORY;
    void *zeros = calloc(count, sizeof(float));
    if (!zeros) return status;
    if (modality == ONP_TEXT)
        status = onp_input_tokens(model, zeros, count, input);
    else if (modality == ONP_IMAGE)
        status = onp_input_pixels(model, zeros, side, input);
    else
        status = onp_input_waveform(model, zeros, count, input);
    free(zeros);
    return status;
}

static int embed_blank(struct warm *w, enum onp_modality modality, size_t count) {
    struct onp_input *input = NULL;
    const uint32_t side = w->session.info.image_size;
    int code = onp_cli_status(make_blank(w->session.model, modality, count, side, &input));
    const struct onp_input *inputs[] = {input};
    if (code == ONP_CLI_OK)
        code = onp_cli_status(onp_encoder_embed(w->session.encoder, inputs, 1, w->row));
    onp_input_free(input);
    return code;
}

static int embed_blanks(struct warm *w, enum onp_modality modality) {
    const struct onp_model_info *info = &w->session.info;
    if (modality == ONP_IMAGE)
        return embed_blank(w, modality, (size_t)3 * info->image_size * info->image_size);
    const size_t longest = modality == ONP_TEXT
                               ? info->max_text_tokens - 1
                               : (size_t)(info->max_audio_seconds * (float)info->sample_rate);
    const size_t shortest = modality == ONP_TEXT ? 1 : (longest + 14) / 15;
    int code = embed_blank(w, modality, shortest);
    return code == ONP_CLI_OK ? embed_blank(w, modality, longest) : code;
}

static int create_encoder(struct warm *w, unsigned modalities) {
    const struct onp_cli_settings *s = w->session.settings;
    const struct onp_encoder_params params = {.modalities = modalities,
                                              .dtype = s->dtype ? ONP_F16 : ONP_F32,
                                              .max_batch = (uint32_t)s->batch,
                                              .explain = s->explain};
    return onp_cli_status(
        onp_encoder_create(w->session.device, w->session.model, &params, &w->session.encoder));
}

static int run(struct warm *w) {
    struct onp_cli_session *session = &w->session;
    unsigned modalities = 0;
    int code = onp_cli_session_begin(session, &w->settings);
    if (code == ONP_CLI_OK && w->branches)
        code = onp_cli_branches("warm", w->branches, &modalities);
    const char *path = code == ONP_CLI_OK ? onp_cli_model_path("warm", &w->settings) : NULL;
    if (code == ONP_CLI_OK && !path) code = ONP_CLI_USAGE;
    if (code == ONP_CLI_OK) code = onp_cli_session_model(session, path);
    if (code == ONP_CLI_OK) code = onp_cli_session_device(session);
    const double start = onp_cli_now();
    if (code == ONP_CLI_OK) code = create_encoder(w, modalities);
    if (code != ONP_CLI_OK) return code;
    w->row = malloc(session->info.embed_dim * sizeof *w->row);
    if (!w->row) return onp_cli_fail("out of memory");
    if (modalities == 0) modalities = session->info.modalities;
    for (int m = 0; m < ONP_MODALITY_COUNT && code == ONP_CLI_OK; m++)
        if (modalities & ONP_BIT(m)) code = embed_blanks(w, (enum onp_modality)m);
    if (code == ONP_CLI_OK)
        onp_cli_say(ONP_LOG_INFO, "kernels of %s are ready on %s, in %.1f s", path,
                    onp_device_get_info(session->device)->name, onp_cli_now() - start);
    return code;
}

int onp_cli_cmd_warm(int argc, char **argv) {
    struct warm w = {0};
    const struct onp_cli_option options[] = {
        ONP_CLI_MODEL_OPTION(&w.settings),
        ONP_CLI_OPT("branch", 0, ONP_CLI_STRING, "LIST", &w.branches,
                    "branches to prepare, some of text,image,audio\n(default: all)"),
        ONP_CLI_DEVICE_OPTIONS(&w.settings),
        ONP_CLI_STORAGE_OPTIONS(&w.settings),
        ONP_CLI_OPT_FLAG("explain", 0, &w.settings.explain,
                         "say which kernel variant each operation takes, and\n"
                         "why others are refused"),
        ONP_CLI_LOG_OPTIONS(&w.settings),
    };
    const struct onp_cli_usage usage = {
        .command = "warm",
        .synopsis = "[--model FILE] [--device DEVICE] [--branch LIST]\n[--dtype f32|f16]",
        .about = "Compiles everything that a model needs on a device and runs it once on blank "
                 "items, so\n"
                 "that later commands with the same device and --dtype start with a full cache.",
        .options = options,
        .option_count = sizeof options / sizeof options[0]};
    size_t positional;
    int code;
    if (onp_cli_parse(&usage, argc, argv, &positional, &code)) code = run(&w);
    free(w.row);
    onp_cli_session_end(&w.session);
    free(w.settings.disabled.list);
    return code;
}
