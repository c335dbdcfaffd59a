// SPDX-License-Identifier: Apache-2.0
// The device's embeddings against those of the reference back end, plain C, for the same model and
// the same small items: a picture, a second of sound, a short text.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "cli/bench/bench.h"

// The reference computes some 1e9 operations a second on a core.
#define MOST_FLOPS       2e10
#define MOST_FLOPS_QUICK 4e9
#define TOLERANCE        2e-5 // of a value of an embedding, as the tests have it at full width

static int keep_sound(struct onp_bench *bench, struct onp_bench_branch *branch) {
    const size_t count = bench->session.info.sample_rate;
    uint64_t random = bench->options.seed;
    float *samples = malloc(count * sizeof *samples);
    if (!samples) return onp_cli_fail("out of memory");
    for (size_t i = 0; i < count; i++)
        samples[i] = (float)(3.4 * (onp_bench_uniform(&random) - 0.5));
    int code =
        onp_cli_status(onp_input_waveform(bench->session.model, samples, count, &branch->small));
    free(samples);
    if (code != ONP_CLI_OK) return code;
    double bytes;
    return onp_cli_status(
        onp_model_cost(bench->session.model, ONP_AUDIO, count, &branch->small_flops, &bytes));
}

// The last input of a kind is its smallest.
static struct onp_bench_input *smallest(struct onp_bench *bench, enum onp_modality kind) {
    struct onp_bench_input *found = NULL;
    for (size_t i = 0; i < bench->input_count; i++)
        if (bench->inputs[i].kind == kind) found = &bench->inputs[i];
    return found;
}

static const struct onp_input *small_item(struct onp_bench *bench, enum onp_modality kind) {
    const struct onp_bench_branch *branch = &bench->branches[kind];
    return branch->small ? branch->small : smallest(bench, kind)->prepared[0];
}

int onp_bench_accuracy_keep(struct onp_bench *bench, enum onp_modality kind) {
    struct onp_bench_branch *branch = &bench->branches[kind];
    struct onp_bench_input *input = smallest(bench, kind);
    if (bench->options.accuracy == ONP_BENCH_ACCURACY_OFF || !input) return ONP_CLI_OK;
    branch->small_flops = input->flops;
    int code = kind == ONP_AUDIO ? keep_sound(bench, branch) : ONP_CLI_OK;
    if (code != ONP_CLI_OK) return code;
    branch->row = calloc(bench->session.info.embed_dim, sizeof *branch->row);
    if (!branch->row) return onp_cli_fail("out of memory");
    const struct onp_input *item = small_item(bench, kind);
    return onp_cli_status(onp_encoder_embed(branch->encoder, &item, 1, branch->row));
}

// --- Comparing ---------------------------------------------------------------------------------

static bool is_reference(const struct onp_bench *bench) {
    return onp_device_get_info(bench->session.device)->backend[0] == 'r';
}

static bool is_too_much(const struct onp_bench *bench, enum onp_modality kind,
                        struct onp_bench_accuracy_row *row) {
    const struct onp_bench_branch *branch = &bench->branches[kind];
    const double most = bench->options.quick ? MOST_FLOPS_QUICK : MOST_FLOPS;
    if (bench->options.accuracy == ONP_BENCH_ACCURACY_ALL) return false;
    if (branch->small_flops > most)
        snprintf(row->skipped, sizeof row->skipped,
                 "takes %.3g GFLOP on the reference, more than %.3g; --accuracy all does it",
                 1e-9 * branch->small_flops, 1e-9 * most);
    else if (bench->before.available_bytes &&
             branch->weight_bytes > bench->before.available_bytes / 2)
        snprintf(row->skipped, sizeof row->skipped,
                 "the reference needs %.3g GB, more than half of the memory that is free; "
                 "--accuracy all does it",
                 1e-9 * (double)branch->weight_bytes);
    return row->skipped[0] != '\0';
}

static void compare(const float *a, const float *b, size_t dim,
                    struct onp_bench_accuracy_row *row) {
    double ab = 0.0, aa = 0.0, bb = 0.0;
    for (size_t i = 0; i < dim; i++) {
        const double x = (double)a[i], y = (double)b[i], error = fabs(x - y);
        ab += x * y;
        aa += x * x;
        bb += y * y;
        if (!(error <= row->worst_error)) row->worst_error = error;
    }
    row->cosine = aa > 0.0 && bb > 0.0 ? ab / sqrt(aa * bb) : 0.0;
    row->tolerance = TOLERANCE;
    row->measured = true;
}

static int compare_kind(struct onp_bench *bench, struct onp_device *reference,
                        enum onp_modality kind) {
    const struct onp_bench_branch *branch = &bench->branches[kind];
    const struct onp_encoder_params params = {.modalities = ONP_BIT(kind),
                                              .dtype =
                                                  bench->options.settings.dtype ? ONP_F16 : ONP_F32,
                                              .max_batch = 1};
    const struct onp_input *item = small_item(bench, kind);
    const size_t dim = bench->session.info.embed_dim;
    struct onp_encoder *encoder = NULL;
    float *row = calloc(dim, sizeof *row);
    if (!row) return onp_cli_fail("out of memory");
    int code =
        onp_cli_status(onp_encoder_create(reference, bench->session.model, &params, &encoder));
    if (code == ONP_CLI_OK) code = onp_cli_status(onp_encoder_embed(encoder, &item, 1, row));
    if (code == ONP_CLI_OK) compare(branch->row, row, dim, &bench->accuracy[kind]);
    onp_encoder_destroy(encoder);
    free(row);
    return code;
}

int onp_bench_accuracy_run(struct onp_bench *bench) {
    struct onp_device *reference = NULL;
    int code = ONP_CLI_OK;
    if (bench->options.accuracy == ONP_BENCH_ACCURACY_OFF) return code;
    for (int m = 0; m < ONP_MODALITY_COUNT && code == ONP_CLI_OK; m++) {
        struct onp_bench_accuracy_row *row = &bench->accuracy[m];
        if (!bench->branches[m].row) continue;
        if (is_reference(bench)) {
            snprintf(row->skipped, sizeof row->skipped, "the device is the reference itself");
            continue;
        }
        if (is_too_much(bench, (enum onp_modality)m, row)) continue;
        if (!reference)
            code =
                onp_cli_status(onp_device_open(bench->session.context, "ref", false, &reference));
        if (code == ONP_CLI_OK) code = compare_kind(bench, reference, (enum onp_modality)m);
    }
    onp_device_close(reference);
    return code;
}

void onp_bench_accuracy_free(struct onp_bench *bench) {
    for (int m = 0; m < ONP_MODALITY_COUNT; m++) {
        onp_input_free(bench->branches[m].small);
        free(bench->branches[m].row);
    }
}
