// SPDX-License-Identifier: Apache-2.0
#include <stdlib.h>

#include "api/runs.h"
#include "backend/backend.h"

static const struct onp_log *log_of(const struct onp_encoder *encoder) {
    return &encoder->device->context->log;
}

static enum onp_status fill_weight(void *user, int64_t first, int64_t count, float *rows) {
    const struct onp_weight *weight = user;
    return weight->fill(weight, first, count, rows);
}

// Decides how every weight will lie on the device and adds up what they need.
static enum onp_status place_weights(struct onp_encoder *encoder) {
    const struct onp_model *model = encoder->model;
    ONP_TRY(model->family->weights_create(model->hparams, model->file, encoder->params.modalities,
                                          log_of(encoder), &encoder->weights));
    size_t count;
    struct onp_weight *list = model->family->weights_list(encoder->weights, &count);
    for (size_t i = 0; i < count; i++) {
        onp_weight_place(&list[i], encoder->device, encoder->params.dtype);
        encoder->stats.weight_bytes += onp_weight_bytes(&list[i].tensor);
    }
    return ONP_OK;
}

#define READ_AHEAD ((uint64_t)64 << 20) // bytes of the file that the system reads ahead

static void each_source(const struct onp_model *model, const struct onp_weight *weight,
                        void (*fn)(const struct onp_model_file *, const struct onp_file_tensor *)) {
    for (int s = 0; s < ONP_MAX_SOURCES && weight->source[s]; s++)
        fn(model->file, weight->source[s]);
}

// Every weight goes from the mapped file to its device buffer; the pages are let go at once, so
// that host memory does not grow with the file.
static enum onp_status load_weights(struct onp_encoder *encoder) {
    const struct onp_model *model = encoder->model;
    size_t count, expected = 0;
    uint64_t ahead = 0; // bytes expected and not yet loaded
    struct onp_weight *list = model->family->weights_list(encoder->weights, &count);
    for (size_t i = 0; i < count; i++) {
        for (; expected < count && ahead < READ_AHEAD; expected++) {
            each_source(model, &list[expected], onp_model_file_expect);
            ahead += onp_weight_bytes(&list[expected].tensor);
        }
        ONP_TRY(onp_weight_upload(encoder->device, &list[i].tensor, fill_weight, &list[i]));
        ahead -= onp_weight_bytes(&list[i].tensor);
        each_source(model, &list[i], onp_model_file_release);
    }
    return ONP_OK;
}

#define TARGET_ROWS    4096 // rows of a batch that keep any device busy
#define UPSTREAM_BATCH 64   // clips padded together at most: their embeddings depend on it

// The arena of a batch that was asked for. It grows with the items: of a batch far beyond the
// device's memory only a part is planned, because the whole plan would fill the host's.
static enum onp_status measure_asked(struct onp_encoder *encoder, enum onp_modality modality,
                                     int32_t count, uint64_t *bytes) {
    const int32_t part = count < 64 ? count : 64;
    ONP_TRY(onp_measure_arena(encoder->model, encoder->weights, encoder->device, modality, part,
                              bytes));
    if (part == count) return ONP_OK;
    const double whole = (double)*bytes / part * count;
    *bytes = (uint64_t)whole;
    if (whole > 2.0 * (double)encoder->device->info.global_bytes) return ONP_OK;
    return onp_measure_arena(encoder->model, encoder->weights, encoder->device, modality, count,
                             bytes);
}

// Items per run: enough rows to keep the device busy, within a quarter of its memory. A batch that
// was asked for is taken as it is: check_memory then says what is wrong.
static enum onp_status choose_batch(struct onp_encoder *encoder, enum onp_modality modality) {
    const struct onp_model *model = encoder->model;
    const struct onp_family *family = model->family;
    const struct onp_caps *caps = &encoder->device->caps;
    const uint64_t quarter = caps->global_bytes / 4;
    const uint64_t limit = caps->max_alloc_bytes < quarter ? caps->max_alloc_bytes : quarter;
    const int64_t longest = family->longest_item(model->hparams, modality);
    int32_t count = (int32_t)(TARGET_ROWS / family->item_rows(model->hparams, modality, longest));
    if (modality == ONP_AUDIO && encoder->params.upstream_padding) count = UPSTREAM_BATCH;
    if (encoder->params.max_batch > 0) count = (int32_t)encoder->params.max_batch;
    if (count < 1) count = 1;
    uint64_t bytes = 0;
    if (encoder->params.max_batch > 0) {
        ONP_TRY(measure_asked(encoder, modality, count, &bytes));
    } else {
        for (;; count /= 2) {
            ONP_TRY(onp_measure_arena(model, encoder->weights, encoder->device, modality, count,
                                      &bytes));
            if (bytes <= limit || count == 1) break;
        }
    }
    encoder->stats.max_batch[modality] = (uint32_t)count;
    onp_runs_limit(encoder, modality);
    if (bytes > encoder->stats.arena_bytes) encoder->stats.arena_bytes = bytes;
    return ONP_OK;
}

// Says what the device must hold, and stops before anything is loaded if it cannot.
static enum onp_status check_memory(struct onp_encoder *encoder) {
    for (int m = 0; m < ONP_MODALITY_COUNT; m++)
        if (encoder->params.modalities & ONP_BIT(m))
            ONP_TRY(choose_batch(encoder, (enum onp_modality)m));
    const struct onp_device_info *info = &encoder->device->info;
    const double weights = (double)encoder->stats.weight_bytes / 1e6;
    const double arena = (double)encoder->stats.arena_bytes / 1e6;
    onp_log(log_of(encoder), ONP_LOG_INFO,
            "needs %.1f MB for %s weights and %.1f MB for activations; the device has %.0f MB",
            weights, onp_dtype_name(encoder->params.dtype), arena,
            (double)info->global_bytes / 1e6);
    if (encoder->stats.weight_bytes + encoder->stats.arena_bytes <= info->global_bytes)
        return ONP_OK;
    return onp_fail(
        log_of(encoder), ONP_ERR_DEVICE_MEMORY,
        "%s has %.0f MB, but about %.1f MB of %s weights and %.1f MB of "
        "activations are needed: load fewer branches, store weights as f16, or use a smaller batch",
        info->name, (double)info->global_bytes / 1e6, weights,
        onp_dtype_name(encoder->params.dtype), arena);
}

static enum onp_status warm(struct onp_encoder *encoder, enum onp_modality modality, int32_t count,
                            int64_t length, bool explain) {
    struct onp_blank_batch blank;
    struct onp_tensor *embeddings;
    ONP_TRY(onp_blank_batch_create(encoder->model, modality, count, length, &blank));
    const enum onp_status status =
        onp_runs_prepare(encoder, encoder->runs[0].graph, &blank.batch, explain, &embeddings);
    onp_blank_batch_free(&blank);
    return status;
}

// Prepares the largest and the smallest batches of each branch: the arena is reserved and whatever
// they need is compiled. Prepared in order of size so that a batch of one is explained.
static enum onp_status warm_up(struct onp_encoder *encoder) {
    for (int i = 0; i < ONP_MODALITY_COUNT; i++) {
        const enum onp_modality m = (enum onp_modality)i;
        if (!(encoder->params.modalities & ONP_BIT(m))) continue;
        const int64_t longest = encoder->model->family->longest_item(encoder->model->hparams, m);
        int64_t shortest = m == ONP_TEXT ? 1 : longest / 15;
        if (encoder->model->family->item_rows(encoder->model->hparams, m, shortest) < 2)
            shortest = longest; // one frame takes more than that
        ONP_TRY(warm(encoder, m, (int32_t)encoder->stats.max_batch[m], longest, false));
        const int64_t part = longest / ONP_SHORT_ITEMS; // as many more of these as it is shorter
        if (encoder->most_items[m] > encoder->stats.max_batch[m] &&
            encoder->model->family->item_rows(encoder->model->hparams, m, part) > 1)
            ONP_TRY(warm(encoder, m, (int32_t)encoder->most_items[m], part, false));
        ONP_TRY(warm(encoder, m, 1, longest, encoder->params.explain));
        ONP_TRY(warm(encoder, m, 1, shortest, false));
    }
    return ONP_OK;
}

// Branches asked for must be able to embed; those that are only partly there say what they lack.
static enum onp_status check_branches(const struct onp_model *model, unsigned modalities,
                                      const struct onp_log *log) {
    const unsigned lacking = modalities & ~model->info.modalities;
    if (modalities != 0 && !lacking) return ONP_OK;
    struct onp_weights *weights = NULL;
    if (modalities == 0) modalities = model->info.partial;
    for (int m = 0; m < ONP_MODALITY_COUNT; m++) {
        if (!(lacking & ONP_BIT(m)) || (model->info.partial & ONP_BIT(m))) continue;
        return onp_fail(log, ONP_ERR_MISSING, "%s has no %s branch", model->info.path,
                        onp_modality_name((enum onp_modality)m));
    }
    const enum onp_status status =
        model->family->weights_create(model->hparams, model->file, modalities, log, &weights);
    model->family->weights_destroy(weights);
    return status != ONP_OK
               ? status
               : onp_fail(log, ONP_ERR_MISSING, "%s cannot embed with the branches asked for",
                          model->info.path);
}

static enum onp_status create(struct onp_encoder *encoder) {
    const struct onp_log *log = log_of(encoder);
    ONP_TRY(check_branches(encoder->model, encoder->params.modalities, log));
    ONP_TRY(place_weights(encoder));
    ONP_TRY(check_memory(encoder));
    double start = onp_seconds_now();
    ONP_TRY(load_weights(encoder));
    encoder->stats.load_seconds = onp_seconds_now() - start;
    for (int i = 0; i < ONP_RUNS; i++) ONP_TRY(onp_graph_create(log, &encoder->runs[i].graph));
    ONP_TRY(onp_exec_create(encoder->device, &encoder->exec));
    onp_exec_overlap(encoder->exec);
    start = onp_seconds_now();
    ONP_TRY(warm_up(encoder));
    encoder->stats.compile_seconds = onp_seconds_now() - start;
    encoder->stats.arena_bytes = onp_exec_bytes(encoder->exec);
    if (encoder->params.profile) ONP_TRY(onp_exec_profile_enable(encoder->exec, true));
    onp_log(log, ONP_LOG_INFO, "weights loaded in %.2f s, kernels ready in %.2f s (tiles: %s)",
            encoder->stats.load_seconds, encoder->stats.compile_seconds,
            encoder->device->tuning.row);
    return ONP_OK;
}

enum onp_status onp_encoder_create(struct onp_device *device, const struct onp_model *model,
                                   const struct onp_encoder_params *params,
                                   struct onp_encoder **out) {
    static const struct onp_encoder_params defaults = {0};
    if (!device || !model || !out)
        return onp_fail(NULL, ONP_ERR_ARGUMENT, "onp_encoder_create: an argument is NULL");
    const struct onp_log *log = &device->context->log;
    if (!params) params = &defaults;
    if ((params->dtype != ONP_F32 && params->dtype != ONP_F16) || params->max_batch > 65536 ||
        (params->modalities & ~ONP_ALL_MODALITIES))
        return onp_fail(log, ONP_ERR_ARGUMENT,
                        "weights on the device are f32 or f16, a batch has at most 65536 items");
    struct onp_encoder *encoder = calloc(1, sizeof *encoder);
    if (!encoder) return onp_fail(log, ONP_ERR_MEMORY, "no memory for an encoder");
    encoder->device = device;
    encoder->model = model;
    encoder->params = *params;
    if (encoder->params.modalities == 0) encoder->params.modalities = model->info.modalities;
    const enum onp_status status = create(encoder);
    if (status == ONP_OK)
        *out = encoder;
    else
        onp_encoder_destroy(encoder);
    return status;
}

void onp_encoder_destroy(struct onp_encoder *encoder) {
    if (!encoder) return;
    onp_runs_free(encoder);
    onp_exec_destroy(encoder->exec);
    if (encoder->weights) {
        size_t count;
        struct onp_weight *list = encoder->model->family->weights_list(encoder->weights, &count);
        for (size_t i = 0; i < count; i++)
            if (list[i].tensor.buffer)
                encoder->device->backend->buffer_destroy(list[i].tensor.buffer);
        encoder->model->family->weights_destroy(encoder->weights);
    }
    free(encoder);
}

enum onp_status onp_encoder_get_stats(const struct onp_encoder *encoder,
                                      struct onp_encoder_stats *stats) {
    if (!encoder || !stats)
        return onp_fail(NULL, ONP_ERR_ARGUMENT, "onp_encoder_get_stats: an argument is NULL");
    *stats = encoder->stats;
    if (encoder->begun > 0.0 && encoder->ended > encoder->begun)
        stats->span_seconds = encoder->ended - encoder->begun;
    stats->busy_seconds = onp_exec_busy_seconds(encoder->exec);
    return ONP_OK;
}

enum onp_status onp_encoder_limit_batch(struct onp_encoder *encoder, enum onp_modality modality,
                                        uint32_t most) {
    if (!encoder || (unsigned)modality >= ONP_MODALITY_COUNT)
        return onp_fail(NULL, ONP_ERR_ARGUMENT,
                        "onp_encoder_limit_batch: no encoder or no such modality");
    const uint32_t created = encoder->most_items[modality];
    if (most > created)
        return onp_fail(log_of(encoder), ONP_ERR_ARGUMENT,
                        "a batch of %u is more than the %u that the encoder was created for", most,
                        created);
    encoder->limit[modality] = most;
    return ONP_OK;
}

enum onp_status onp_encoder_profile(struct onp_encoder *encoder, struct onp_kernel_time **list,
                                    size_t *count) {
    if (!encoder || !list || !count)
        return onp_fail(NULL, ONP_ERR_ARGUMENT, "onp_encoder_profile: an argument is NULL");
    return onp_exec_profile(encoder->exec, list, count);
}

enum onp_status onp_encoder_profile_enable(struct onp_encoder *encoder, bool on) {
    if (!encoder) return onp_fail(NULL, ONP_ERR_ARGUMENT, "onp_encoder_profile_enable: no encoder");
    return onp_exec_profile_enable(encoder->exec, on);
}

void onp_encoder_profile_reset(struct onp_encoder *encoder) {
    if (!encoder) return;
    onp_exec_profile_reset(encoder->exec);
    encoder->begun = encoder->ended = 0.0;
}
