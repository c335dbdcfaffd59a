// SPDX-License-Identifier: Apache-2.0
// The items: a picture of the model's size, 15 s of sound, texts of 70 and of 10 tokens, each
// prepared for the encoder and as files or text.
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/bench/bench.h"

#define SOUND_SECONDS 15.0

enum { LONG_TEXT = 70, SHORT_TEXT = 10, END_OF_TEXT = 2, FIRST_WORD = 4 };

// --- Prepared ----------------------------------------------------------------------------------

static float normal(uint64_t *random) {
    const double radius = sqrt(-2.0 * log(onp_bench_uniform(random)));
    return (float)(radius * cos(6.283185307179586 * onp_bench_uniform(random)));
}

static int normals(uint64_t seed, size_t count, float **out) {
    uint64_t random = seed;
    *out = malloc(count * sizeof **out);
    if (!*out) return onp_cli_fail("out of memory");
    for (size_t i = 0; i < count; i++) (*out)[i] = normal(&random);
    return ONP_CLI_OK;
}

static int prepare_picture(const struct onp_bench *bench, struct onp_bench_input *input,
                           uint64_t seed, struct onp_input **out) {
    const size_t side = (size_t)input->size;
    float *pixels;
    int code = normals(seed, 3 * side * side, &pixels);
    if (code == ONP_CLI_OK)
        code = onp_cli_status(onp_input_pixels(bench->session.model, pixels, (uint32_t)side, out));
    free(pixels);
    return code;
}

static int prepare_sound(const struct onp_bench *bench, struct onp_bench_input *input,
                         uint64_t seed, struct onp_input **out) {
    float *samples;
    int code = normals(seed, (size_t)input->length, &samples);
    if (code == ONP_CLI_OK)
        code = onp_cli_status(
            onp_input_waveform(bench->session.model, samples, (size_t)input->length, out));
    free(samples);
    return code;
}

static int prepare_text(const struct onp_bench *bench, struct onp_bench_input *input, uint64_t seed,
                        struct onp_input **out) {
    uint64_t random = seed;
    int32_t ids[LONG_TEXT + 1];
    const uint32_t vocab = bench->session.info.vocab;
    const size_t count = (size_t)input->length - 1;
    for (size_t i = 0; i < count; i++)
        ids[i] = vocab > FIRST_WORD
                     ? (int32_t)(FIRST_WORD + onp_bench_random(&random) % (vocab - FIRST_WORD))
                     : 0;
    ids[count] = vocab > END_OF_TEXT ? END_OF_TEXT : 0;
    return onp_cli_status(onp_input_tokens(bench->session.model, ids, count + 1, out));
}

// --- Sources -----------------------------------------------------------------------------------

// Words are added until the tokenizer counts enough tokens; most are one token each.
static int text_of(const struct onp_bench *bench, size_t tokens, uint64_t seed, char **out) {
    static const char *const words[] = {" dog", " red",  " house", " in",   " the", " water",
                                        " and", " big",  " a",     " tree", " of",  " music",
                                        " car", " with", " man",   " bird"};
    const struct onp_tokenizer *tokenizer = onp_model_tokenizer(bench->session.model);
    uint64_t random = seed;
    char text[LONG_TEXT * 8 + 8] = "";
    size_t used = 0, count = 0;
    while (count < tokens && used + 8 < sizeof text) {
        int32_t *ids = NULL;
        const char *word = words[onp_bench_random(&random) % (sizeof words / sizeof words[0])];
        const size_t before = used;
        used += (size_t)snprintf(text + used, sizeof text - used, "%s", used ? word : word + 1);
        int code = onp_cli_status(onp_tokenize(tokenizer, text, used, ONP_TEXT_HUB, &ids, &count));
        onp_free(ids);
        if (code != ONP_CLI_OK) return code;
        count--; // </s>
        if (count > tokens) {
            text[used = before] = '\0'; // a word of several tokens too many: as near as can be
            break;
        }
    }
    *out = strdup(text);
    return *out ? ONP_CLI_OK : onp_cli_fail("out of memory");
}

static int make_folder(struct onp_bench *bench) {
    if (bench->temporary) return ONP_CLI_OK;
    const char *parent = getenv("TMPDIR");
    char path[1024];
    snprintf(path, sizeof path, "%s/onepeace-bench-XXXXXX", parent && *parent ? parent : "/tmp");
    if (!mkdtemp(path))
        return onp_cli_fail("cannot make a folder like %s: %s; set TMPDIR to a writable folder",
                            path, strerror(errno));
    bench->temporary = strdup(path);
    return bench->temporary ? ONP_CLI_OK : onp_cli_fail("out of memory");
}

static int make_source(struct onp_bench *bench, struct onp_bench_input *input, int i,
                       uint64_t seed) {
    char path[1100];
    if (input->kind == ONP_TEXT)
        return text_of(bench, (size_t)input->size, seed, &input->source[i]);
    int code = make_folder(bench);
    if (code != ONP_CLI_OK) return code;
    const bool picture = input->kind == ONP_IMAGE;
    snprintf(path, sizeof path, "%s/%d.%s", bench->temporary, i, picture ? "png" : "wav");
    code = picture ? onp_bench_write_png(path, seed) : onp_bench_write_wav(path, seed, input->size);
    input->source[i] = code == ONP_CLI_OK ? strdup(path) : NULL;
    if (code == ONP_CLI_OK && !input->source[i]) return onp_cli_fail("out of memory");
    return code;
}

// --- All ---------------------------------------------------------------------------------------

static int fill(struct onp_bench *bench, struct onp_bench_input *input) {
    int code = onp_cli_status(onp_model_cost(bench->session.model, input->kind, input->length,
                                             &input->flops, &input->bytes));
    if (input->kind == ONP_TEXT && !bench->session.info.has_tokenizer)
        snprintf(input->missing, sizeof input->missing,
                 "the model has no tokenizer: texts cannot be read");
    for (int i = 0; i < ONP_BENCH_POOL && code == ONP_CLI_OK; i++) {
        const uint64_t seed = bench->options.seed * 1000003u + (uint64_t)i * 17u + input->length;
        struct onp_input **out = &input->prepared[i];
        code = input->kind == ONP_IMAGE   ? prepare_picture(bench, input, seed, out)
               : input->kind == ONP_AUDIO ? prepare_sound(bench, input, seed, out)
                                          : prepare_text(bench, input, seed, out);
        if (code == ONP_CLI_OK && !input->missing[0]) code = make_source(bench, input, i, seed);
    }
    return code;
}

static int add_text(struct onp_bench *bench, uint32_t tokens) {
    struct onp_bench_input *input = &bench->inputs[bench->input_count++];
    const uint32_t most = bench->session.info.max_text_tokens; // <s> and </s> are two of them
    if (most < 3) return onp_cli_fail("the model takes no text");
    if (tokens + 2 > most) tokens = most - 2;
    input->kind = ONP_TEXT;
    input->size = tokens;
    input->length = tokens + 1;
    snprintf(input->label, sizeof input->label, "text %u tokens", tokens);
    return fill(bench, input);
}

static int add_picture(struct onp_bench *bench) {
    struct onp_bench_input *input = &bench->inputs[bench->input_count++];
    input->kind = ONP_IMAGE;
    input->size = bench->session.info.image_size;
    snprintf(input->label, sizeof input->label, "picture %u px", bench->session.info.image_size);
    return fill(bench, input);
}

static int add_sound(struct onp_bench *bench) {
    struct onp_bench_input *input = &bench->inputs[bench->input_count++];
    const double most = (double)bench->session.info.max_audio_seconds;
    input->kind = ONP_AUDIO;
    input->size = most > 0.0 && most < SOUND_SECONDS ? most : SOUND_SECONDS;
    input->length = (uint64_t)(input->size * bench->session.info.sample_rate);
    snprintf(input->label, sizeof input->label, "sound %g s", input->size);
    return fill(bench, input);
}

int onp_bench_inputs_create(struct onp_bench *bench) {
    const unsigned kinds = bench->options.kinds;
    int code = ONP_CLI_OK;
    if (kinds & ONP_BIT(ONP_IMAGE)) code = add_picture(bench);
    if (code == ONP_CLI_OK && (kinds & ONP_BIT(ONP_AUDIO))) code = add_sound(bench);
    if (code == ONP_CLI_OK && (kinds & ONP_BIT(ONP_TEXT))) code = add_text(bench, LONG_TEXT);
    if (code == ONP_CLI_OK && (kinds & ONP_BIT(ONP_TEXT))) code = add_text(bench, SHORT_TEXT);
    return code;
}

void onp_bench_inputs_free(struct onp_bench *bench) {
    for (size_t i = 0; i < bench->input_count; i++) {
        struct onp_bench_input *input = &bench->inputs[i];
        for (int p = 0; p < ONP_BENCH_POOL; p++) {
            onp_input_free(input->prepared[p]);
            if (input->source[p] && input->kind != ONP_TEXT) unlink(input->source[p]);
            free(input->source[p]);
        }
    }
    if (bench->temporary) rmdir(bench->temporary);
    free(bench->temporary);
    bench->temporary = NULL;
}
