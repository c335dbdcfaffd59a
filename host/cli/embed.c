// SPDX-License-Identifier: Apache-2.0
// From items to rows, for embed and similarity.
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli/log.h"
#include "cli/progress.h"
#include "cli/session.h"

// Items prepared at a time; prepared pictures and sounds take about 1 MB each.
enum { CHUNK = 64, CHUNK_MOST = 512 };

struct run {
    struct onp_cli_session *session;
    const struct onp_cli_items *items;
    const struct onp_cli_sink *sink;
    size_t chunk;
    struct onp_input **inputs; // of the chunk, the good ones only
    size_t *indices;           // which items they are
    size_t ready, done, skipped;
    double *seconds; // that preparing each of them took
    float *rows;
    bool begun;
};

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

// --- Preparing ---------------------------------------------------------------------------------

static enum onp_status prepare(const struct onp_cli_session *session,
                               const struct onp_cli_item *item, struct onp_input **input) {
    const struct onp_model *model = session->model;
    enum onp_text_mode mode = session->settings->mode ? ONP_TEXT_DATASET : ONP_TEXT_HUB;
    if (item->kind == ONP_TEXT) return onp_input_text(model, item->value, item->bytes, mode, input);
    if (item->kind == ONP_IMAGE) return onp_input_image_file(model, item->value, input);
    return onp_input_audio_file(model, item->value, input);
}

static int bad_item(struct run *run, size_t index, enum onp_status status, const char *reason) {
    if (run->sink->bad)
        return run->sink->bad(run->sink->user, index, status, reason) ? ONP_CLI_OK : ONP_CLI_FAILED;
    onp_cli_item_error(&run->items->list[index], reason);
    run->skipped++;
    return run->session->settings->keep_going ? ONP_CLI_OK : ONP_CLI_FAILED;
}

static int prepare_item(struct run *run, size_t index) {
    const struct onp_cli_item *item = &run->items->list[index];
    if (item->fault) return bad_item(run, index, ONP_ERR_IO, item->fault);
    struct onp_input *input = NULL;
    const double start = now();
    onp_cli_capture();
    enum onp_status status = prepare(run->session, item, &input);
    const char *reason = onp_cli_release(status);
    if (status != ONP_OK) return bad_item(run, index, status, reason);
    run->indices[run->ready] = index;
    run->seconds[run->ready] = now() - start;
    run->inputs[run->ready++] = input;
    return ONP_CLI_OK;
}

static void release_inputs(struct run *run) {
    for (size_t i = 0; i < run->ready; i++) onp_input_free(run->inputs[i]);
    run->ready = 0;
}

// --- Embedding ---------------------------------------------------------------------------------

// The weights are loaded when the first good item is prepared: bad input fails before that.
static int create_encoder(struct run *run) {
    struct onp_cli_session *session = run->session;
    unsigned branches = run->items->modalities | session->more_modalities;
    if (session->encoder && (branches & ~session->loaded) == 0) return ONP_CLI_OK;
    const struct onp_cli_settings *s = session->settings;
    // Room for more items than there are would only cost memory.
    const size_t items =
        run->items->count > session->more_items ? run->items->count : session->more_items;
    const size_t batch = s->batch < items ? (size_t)s->batch : items;
    const struct onp_encoder_params params = {.modalities = branches,
                                              .dtype = s->dtype ? ONP_F16 : ONP_F32,
                                              .max_batch = s->batch ? (uint32_t)batch : 0,
                                              .upstream_padding = s->upstream_padding,
                                              .profile = s->profile,
                                              .explain = s->explain};
    int code = session->device ? ONP_CLI_OK : onp_cli_session_device(session);
    if (code != ONP_CLI_OK) return code;
    onp_encoder_destroy(session->encoder);
    session->encoder = NULL;
    session->loaded = branches;
    return onp_cli_status(
        onp_encoder_create(session->device, session->model, &params, &session->encoder));
}

static int begin(struct run *run) {
    if (run->begun) return ONP_CLI_OK;
    run->begun = true;
    int code = create_encoder(run);
    if (code != ONP_CLI_OK) return code;
    onp_cli_progress_start("embedding", run->items->count, !run->session->settings->quiet);
    bool begun = !run->sink->begin || run->sink->begin(run->sink->user, &run->session->info);
    return begun ? ONP_CLI_OK : ONP_CLI_FAILED;
}

static bool is_finite_row(const float *row, size_t dim) {
    for (size_t i = 0; i < dim; i++)
        if (!isfinite(row[i])) return false;
    return true;
}

static int deliver(struct run *run) {
    size_t dim = run->session->info.embed_dim;
    for (size_t i = 0; i < run->ready; i++) {
        size_t index = run->indices[i];
        const float *row = run->rows + i * dim;
        int code = ONP_CLI_OK;
        if (!is_finite_row(row, dim))
            code = bad_item(run, index, ONP_ERR_MISMATCH,
                            "its embedding is not finite; try --dtype f32 and 'onepeace selftest'");
        else if (!run->sink->row(run->sink->user, index, row))
            code = ONP_CLI_FAILED;
        else
            run->done++;
        if (code != ONP_CLI_OK) return code;
    }
    return ONP_CLI_OK;
}

static int encode(struct run *run) {
    const double start = now();
    int code = onp_cli_status(onp_encoder_embed(run->session->encoder,
                                                (const struct onp_input *const *)run->inputs,
                                                run->ready, run->rows));
    const double share = (now() - start) / (double)run->ready;
    for (size_t i = 0; i < run->ready && code == ONP_CLI_OK && run->sink->time; i++)
        run->sink->time(run->sink->user, run->indices[i], run->seconds[i], share);
    return code;
}

static int embed_chunk(struct run *run, size_t first) {
    size_t last = first + run->chunk;
    if (last > run->items->count) last = run->items->count;
    int code = ONP_CLI_OK;
    for (size_t i = first; i < last && code == ONP_CLI_OK; i++) code = prepare_item(run, i);
    if (code == ONP_CLI_OK && run->ready > 0) {
        code = begin(run);
        if (code == ONP_CLI_OK) code = encode(run);
        if (code == ONP_CLI_OK) code = deliver(run);
    }
    release_inputs(run);
    if (code == ONP_CLI_OK && run->sink->chunk_end && !run->sink->chunk_end(run->sink->user))
        code = ONP_CLI_FAILED;
    onp_cli_progress_step(last);
    return code;
}

// --- Reports -----------------------------------------------------------------------------------

static int by_seconds(const void *a, const void *b) {
    double x = ((const struct onp_kernel_time *)a)->seconds;
    double y = ((const struct onp_kernel_time *)b)->seconds;
    return (x < y) - (x > y);
}

static void print_profile(struct onp_encoder *encoder) {
    struct onp_kernel_time *list = NULL;
    size_t count = 0;
    if (onp_cli_status(onp_encoder_profile(encoder, &list, &count)) != ONP_CLI_OK) return;
    double total = 0.0;
    for (size_t i = 0; i < count; i++) total += list[i].seconds;
    if (count) qsort(list, count, sizeof *list, by_seconds);
    fprintf(stderr, "%-16s %-24s %-36s %8s %10s %6s %9s %8s\n", "op", "variant", "shape", "calls",
            "ms", "%", "GFLOP/s", "GB/s");
    for (size_t i = 0; i < count; i++) {
        const struct onp_kernel_time *k = &list[i];
        double seconds = k->seconds > 0.0 ? k->seconds : 1e-12;
        fprintf(stderr, "%-16s %-24s %-36s %8" PRIu64 " %10.3f %6.1f %9.1f %8.1f\n", k->op,
                k->variant, k->shape, k->calls, 1e3 * k->seconds,
                total > 0.0 ? 100.0 * k->seconds / total : 0.0, 1e-9 * k->flops / seconds,
                1e-9 * k->bytes / seconds);
    }
    fprintf(stderr, "%-16s %-24s %-36s %8s %10.3f\n", "total", "", "", "", 1e3 * total);
    onp_free(list);
}

static void print_stats(const struct run *run) {
    struct onp_encoder_stats stats;
    if (!run->session->encoder) return;
    if (onp_encoder_get_stats(run->session->encoder, &stats) == ONP_OK)
        onp_cli_say(ONP_LOG_DEBUG,
                    "weights %" PRIu64 " bytes, arena %" PRIu64
                    " bytes on the device; loaded in %.2f s, kernels ready in %.2f s",
                    stats.weight_bytes, stats.arena_bytes, stats.load_seconds,
                    stats.compile_seconds);
}

static int report(const struct run *run, int code) {
    const struct onp_cli_settings *s = run->session->settings;
    if (code != ONP_CLI_OK) return code;
    print_stats(run);
    if (s->profile && run->session->encoder) print_profile(run->session->encoder);
    if (run->skipped == 0) return ONP_CLI_OK;
    return onp_cli_fail("%zu of %zu items skipped, %zu embedded", run->skipped, run->items->count,
                        run->done);
}

// --- The whole run -----------------------------------------------------------------------------

// Said once for the run, not for every text of it.
static int check_tokenizer(const struct onp_cli_session *session,
                           const struct onp_cli_items *items) {
    if (!(items->modalities & ONP_BIT(ONP_TEXT)) || session->info.has_tokenizer) return ONP_CLI_OK;
    return onp_cli_fail("%s holds no tokenizer: give --tokenizer DIR, a folder with encoder.json, "
                        "vocab.bpe and dict.txt",
                        session->info.path);
}

// A branch that is only partly there is left to the library, which lists what it lacks.
static int check_branches(const struct onp_cli_session *session,
                          const struct onp_cli_items *items) {
    for (int m = 0; m < ONP_MODALITY_COUNT; m++) {
        unsigned bit = ONP_BIT(m);
        const char *name = onp_modality_name((enum onp_modality)m);
        if ((items->modalities & bit) &&
            !((session->info.modalities | session->info.partial) & bit))
            return onp_cli_fail("%s has no %s branch; leave out the %s items or use another model",
                                session->info.path, name, name);
    }
    return ONP_CLI_OK;
}

static int check_faults(const struct run *run) {
    if (run->session->settings->keep_going || run->sink->bad) return ONP_CLI_OK;
    for (size_t i = 0; i < run->items->count; i++) {
        const struct onp_cli_item *item = &run->items->list[i];
        if (!item->fault) continue;
        onp_cli_item_error(item, item->fault);
        return ONP_CLI_FAILED;
    }
    return ONP_CLI_OK;
}

static int allocate(struct run *run) {
    size_t batch = (size_t)run->session->settings->batch;
    run->chunk = CHUNK;
    if (batch > 1) run->chunk = batch > CHUNK ? batch : CHUNK / batch * batch;
    // Only with upstream's padding must a chunk never cut a batch, whatever memory that takes.
    if (run->chunk > CHUNK_MOST && !run->session->settings->upstream_padding)
        run->chunk = CHUNK_MOST;
    if (run->sink->chunk && run->chunk > run->sink->chunk) run->chunk = run->sink->chunk;
    if (run->chunk > run->items->count) run->chunk = run->items->count;
    run->inputs = calloc(run->chunk, sizeof(*run->inputs));
    run->indices = calloc(run->chunk, sizeof *run->indices);
    run->seconds = calloc(run->chunk, sizeof *run->seconds);
    run->rows = calloc(run->chunk, (size_t)run->session->info.embed_dim * sizeof *run->rows);
    if (run->inputs && run->indices && run->seconds && run->rows) return ONP_CLI_OK;
    return onp_cli_fail("out of memory");
}

int onp_cli_embed(struct onp_cli_session *session, const char *model_path,
                  const struct onp_cli_items *items, const struct onp_cli_sink *sink,
                  size_t *rows) {
    struct run run = {.session = session, .items = items, .sink = sink};
    *rows = 0;
    int code = check_faults(&run);
    if (code == ONP_CLI_OK && !session->model) code = onp_cli_session_model(session, model_path);
    if (code == ONP_CLI_OK) code = check_branches(session, items);
    if (code == ONP_CLI_OK) code = check_tokenizer(session, items);
    if (code == ONP_CLI_OK) code = allocate(&run);
    for (size_t i = 0; i < items->count && code == ONP_CLI_OK; i += run.chunk)
        code = embed_chunk(&run, i);
    onp_cli_progress_end();
    code = report(&run, code);
    free(run.inputs);
    free(run.indices);
    free(run.seconds);
    free(run.rows);
    *rows = run.done;
    return code;
}
