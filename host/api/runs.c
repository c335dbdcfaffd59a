// SPDX-License-Identifier: Apache-2.0
// Batches on their way through the device. Rows of all items lie one after another, so a batch is
// filled by rows, whatever the items' lengths, and no order of lengths is needed.
#include "api/runs.h"

#include <stdlib.h>
#include <string.h>

#include "backend/backend.h"
#include "base/clock.h"

static const struct onp_log *log_of(const struct onp_encoder *encoder) {
    return &encoder->device->context->log;
}

// --- What a run takes ---------------------------------------------------------------------------

static int64_t rows_of(const struct onp_encoder *encoder, enum onp_modality modality,
                       int64_t length) {
    const struct onp_model *model = encoder->model;
    return model->family->item_rows(model->hparams, modality, length);
}

void onp_runs_limit(struct onp_encoder *encoder, enum onp_modality modality) {
    const struct onp_model *model = encoder->model;
    const uint32_t count = encoder->stats.max_batch[modality];
    const int64_t longest = model->family->longest_item(model->hparams, modality);
    // A batch that was asked for, and one that upstream pads, are counted in items.
    const bool counted = encoder->params.max_batch > 0 || modality == ONP_IMAGE ||
                         (modality == ONP_AUDIO && encoder->params.upstream_padding);
    encoder->most_items[modality] = counted ? count : count * ONP_SHORT_ITEMS;
    encoder->most_rows[modality] = count * rows_of(encoder, modality, longest);
}

// Leading inputs of one modality that one run takes.
static size_t fitting(const struct onp_encoder *encoder, const struct onp_input *const *inputs,
                      size_t count) {
    const enum onp_modality modality = inputs[0]->modality;
    int64_t rows = 0;
    size_t taken = 0;
    const uint32_t limit = encoder->limit[modality];
    const uint32_t most = limit > 0 ? limit : encoder->most_items[modality];
    if (count > most) count = most;
    for (; taken < count && inputs[taken]->modality == modality; taken++) {
        rows += rows_of(encoder, modality, onp_input_length(inputs[taken]));
        if (taken > 0 && rows > encoder->most_rows[modality]) break;
    }
    return taken;
}

size_t onp_encoder_fitting(const struct onp_encoder *encoder, const struct onp_input *const *inputs,
                           size_t count) {
    return encoder && inputs && count > 0 ? fitting(encoder, inputs, count) : 0;
}

// --- Running ------------------------------------------------------------------------------------

enum onp_status onp_runs_prepare(struct onp_encoder *encoder, struct onp_graph *graph,
                                 const struct onp_batch *batch, bool explain,
                                 struct onp_tensor **embeddings) {
    onp_graph_reset(graph);
    *embeddings =
        encoder->model->family->build(encoder->model->hparams, encoder->weights, graph, batch);
    return onp_exec_prepare(encoder->exec, graph, explain);
}

// Doubles: a list's runs differ in their number of items.
static enum onp_status reserve(const struct onp_encoder *encoder, struct onp_run *run,
                               size_t count) {
    if (count <= run->capacity) return ONP_OK;
    const size_t capacity = count > 2 * run->capacity ? count : 2 * run->capacity;
    free(run->items);
    free(run->lengths);
    free(run->rows);
    run->items = calloc(capacity, sizeof *run->items);
    run->lengths = calloc(capacity, sizeof *run->lengths);
    run->rows = calloc(capacity * encoder->model->info.embed_dim, sizeof *run->rows);
    run->capacity = run->items && run->lengths && run->rows ? capacity : 0;
    if (run->capacity) return ONP_OK;
    return onp_fail(log_of(encoder), ONP_ERR_MEMORY, "no memory for batches of %zu items",
                    capacity);
}

static enum onp_status start(struct onp_encoder *encoder, struct onp_run *run,
                             const struct onp_input *const *inputs, size_t count) {
    ONP_TRY(reserve(encoder, run, count));
    for (size_t i = 0; i < count; i++) {
        run->items[i] = inputs[i]->data;
        run->lengths[i] = onp_input_length(inputs[i]);
    }
    const struct onp_batch batch = {.modality = inputs[0]->modality,
                                    .count = (int32_t)count,
                                    .items = run->items,
                                    .lengths = run->lengths,
                                    .upstream_padding = encoder->params.upstream_padding};
    struct onp_tensor *embeddings;
    ONP_TRY(onp_runs_prepare(encoder, run->graph, &batch, false, &embeddings));
    return onp_exec_submit(encoder->exec, embeddings, run->rows, &run->mark);
}

static enum onp_status check_modality(const struct onp_encoder *encoder,
                                      enum onp_modality modality) {
    if (encoder->params.modalities & ONP_BIT(modality)) return ONP_OK;
    return onp_fail(log_of(encoder), ONP_ERR_ARGUMENT,
                    "the encoder was created without the %s branch", onp_modality_name(modality));
}

enum onp_status onp_encoder_submit(struct onp_encoder *encoder,
                                   const struct onp_input *const *inputs, size_t count,
                                   size_t *taken) {
    if (!encoder || !inputs || !taken || count < 1)
        return onp_fail(NULL, ONP_ERR_ARGUMENT, "onp_encoder_submit: an argument is NULL or 0");
    ONP_TRY(check_modality(encoder, inputs[0]->modality));
    if (encoder->pending == ONP_RUNS)
        return onp_fail(log_of(encoder), ONP_ERR_ARGUMENT,
                        "%d runs are on their way: collect one first", ONP_RUNS);
    struct onp_run *run = &encoder->runs[(encoder->oldest + encoder->pending) % ONP_RUNS];
    const size_t fits = fitting(encoder, inputs, count);
    if (encoder->begun <= 0.0) encoder->begun = onp_seconds_now();
    const enum onp_status status = start(encoder, run, inputs, fits);
    if (status != ONP_OK) {
        onp_runs_drop(encoder); // part of it may be queued
        return status;
    }
    run->count = *taken = fits;
    encoder->pending++;
    return ONP_OK;
}

enum onp_status onp_encoder_collect(struct onp_encoder *encoder, float *rows, size_t *count) {
    if (!encoder || !rows || !count)
        return onp_fail(NULL, ONP_ERR_ARGUMENT, "onp_encoder_collect: an argument is NULL");
    *count = 0;
    if (encoder->pending == 0) return ONP_OK;
    struct onp_run *run = &encoder->runs[encoder->oldest];
    struct onp_mark *mark = run->mark;
    run->mark = NULL;
    const enum onp_status status = onp_exec_wait(encoder->exec, mark);
    encoder->ended = onp_seconds_now();
    if (status != ONP_OK) {
        onp_runs_drop(encoder);
        return status;
    }
    memcpy(rows, run->rows, run->count * encoder->model->info.embed_dim * sizeof *rows);
    *count = run->count;
    encoder->oldest = (encoder->oldest + 1) % ONP_RUNS;
    encoder->pending--;
    return ONP_OK;
}

void onp_runs_drop(struct onp_encoder *encoder) {
    const struct onp_backend *backend = encoder->device->backend;
    backend->finish(encoder->device);
    for (int i = 0; i < ONP_RUNS; i++) {
        if (encoder->runs[i].mark) backend->wait(encoder->device, encoder->runs[i].mark);
        encoder->runs[i].mark = NULL;
    }
    encoder->pending = 0;
}

void onp_runs_free(struct onp_encoder *encoder) {
    if (encoder->exec) onp_runs_drop(encoder);
    for (int i = 0; i < ONP_RUNS; i++) {
        struct onp_run *run = &encoder->runs[i];
        onp_graph_destroy(run->graph);
        free(run->items);
        free(run->lengths);
        free(run->rows);
    }
}

// --- The blocking form --------------------------------------------------------------------------

// The inputs of one modality, and where each one's row belongs.
struct gathered {
    const struct onp_input **inputs;
    size_t *positions;
    size_t count, submitted, collected;
    float *scratch; // rows of one run
};

static enum onp_status collect_rows(struct onp_encoder *encoder, struct gathered *g, float *rows) {
    const size_t dim = encoder->model->info.embed_dim;
    size_t count;
    ONP_TRY(onp_encoder_collect(encoder, g->scratch, &count));
    for (size_t i = 0; i < count; i++)
        memcpy(rows + g->positions[g->collected + i] * dim, g->scratch + i * dim,
               dim * sizeof *rows);
    g->collected += count;
    return ONP_OK;
}

static enum onp_status embed_modality(struct onp_encoder *encoder, enum onp_modality modality,
                                      const struct onp_input *const *inputs, size_t count,
                                      struct gathered *g, float *rows) {
    g->count = g->submitted = g->collected = 0;
    for (size_t i = 0; i < count; i++) {
        if (inputs[i]->modality != modality) continue;
        g->inputs[g->count] = inputs[i];
        g->positions[g->count++] = i;
    }
    while (g->collected < g->count) {
        size_t taken = 0;
        if (g->submitted < g->count && encoder->pending < ONP_RUNS)
            ONP_TRY(onp_encoder_submit(encoder, g->inputs + g->submitted, g->count - g->submitted,
                                       &taken));
        else
            ONP_TRY(collect_rows(encoder, g, rows));
        g->submitted += taken;
    }
    return ONP_OK;
}

static enum onp_status embed(struct onp_encoder *encoder, const struct onp_input *const *inputs,
                             size_t count, float *rows) {
    const size_t dim = encoder->model->info.embed_dim;
    struct gathered g = {.inputs = calloc(count, sizeof(*g.inputs)),
                         .positions = calloc(count, sizeof *g.positions),
                         .scratch = calloc(count, dim * sizeof *g.scratch)};
    enum onp_status status = ONP_OK;
    if (!g.inputs || !g.positions || !g.scratch)
        status = onp_fail(log_of(encoder), ONP_ERR_MEMORY, "no memory to embed %zu items", count);
    for (int m = 0; m < ONP_MODALITY_COUNT && status == ONP_OK; m++)
        status = embed_modality(encoder, (enum onp_modality)m, inputs, count, &g, rows);
    free(g.inputs);
    free(g.positions);
    free(g.scratch);
    return status;
}

enum onp_status onp_encoder_embed(struct onp_encoder *encoder,
                                  const struct onp_input *const *inputs, size_t count,
                                  float *rows) {
    if (!encoder || (count > 0 && (!inputs || !rows)))
        return onp_fail(NULL, ONP_ERR_ARGUMENT, "onp_encoder_embed: an argument is NULL");
    unsigned wanted = 0;
    for (size_t i = 0; i < count; i++) wanted |= ONP_BIT(inputs[i]->modality);
    for (int m = 0; m < ONP_MODALITY_COUNT; m++)
        if (wanted & ONP_BIT(m)) ONP_TRY(check_modality(encoder, (enum onp_modality)m));
    if (encoder->pending > 0)
        return onp_fail(log_of(encoder), ONP_ERR_ARGUMENT,
                        "submitted runs are on their way: collect them first");
    return count > 0 ? embed(encoder, inputs, count, rows) : ONP_OK;
}
