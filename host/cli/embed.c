// SPDX-License-Identifier: Apache-2.0
// From items to rows, for embed and similarity.
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/clock.h"
#include "cli/log.h"
#include "cli/prepare.h"
#include "cli/progress.h"
#include "cli/session.h"

// CHUNK items are prepared before the weights are loaded: bad input at the front of a list fails at
// once. WINDOW items at most are prepared, on the device or waiting for an earlier one's row.
enum { CHUNK = 64, CHUNK_MOST = 512, WINDOW = 1024, FLIGHTS = 2 };

struct entry {
    struct onp_input *input; // until its row is there
    size_t bytes;
    bool done, bad;
    double prepare, encode; // seconds
};

// Items of one modality that wait for a run, in order.
struct group {
    size_t *indices, count;
    const struct onp_input **inputs;
};

// A run on the device.
struct flight {
    size_t *indices, count;
    double submitted;
};

struct run {
    struct onp_cli_session *session;
    const struct onp_cli_items *items;
    const struct onp_cli_sink *sink;
    struct onp_cli_preparer *preparer;
    size_t chunk, window, run_most; // items
    struct entry *entries;          // a ring of `window`: item i is at i % window
    float *rows, *scratch;          // of the ring; of one run
    struct group groups[ONP_MODALITY_COUNT];
    struct flight flights[FLIGHTS];
    unsigned oldest, flying;  // of flights
    size_t taken, delivered;  // items, in their order
    size_t embedded, skipped; // items
    double collected;         // when the last run was
    bool exact; // upstream's padding: a row depends on its batch, so no run may cross a chunk's end
    bool begun;
    bool all_ready; // no item is missing that could join a run
    bool blocked;   // more are prepared only after a run has ended
};

static struct entry *entry_of(struct run *run, size_t index) {
    return &run->entries[index % run->window];
}

// --- Taking what is prepared -------------------------------------------------------------------

static int bad_item(struct run *run, size_t index, enum onp_status status, const char *reason) {
    if (run->sink->bad)
        return run->sink->bad(run->sink->user, index, status, reason) ? ONP_CLI_OK : ONP_CLI_FAILED;
    onp_cli_item_error(&run->items->list[index], reason);
    run->skipped++;
    return run->session->settings->keep_going ? ONP_CLI_OK : ONP_CLI_FAILED;
}

static int take(struct run *run, struct onp_cli_prepared *prepared) {
    const size_t index = run->taken++;
    struct entry *entry = entry_of(run, index);
    onp_cli_say_captured(prepared->said, true);
    prepared->said = NULL;
    *entry = (struct entry){
        .input = prepared->input, .bytes = prepared->bytes, .prepare = prepared->seconds};
    if (entry->input) {
        struct group *group = &run->groups[onp_input_modality(entry->input)];
        group->indices[group->count] = index;
        group->inputs[group->count++] = entry->input;
        return ONP_CLI_OK;
    }
    entry->done = entry->bad = true;
    const char *reason = prepared->reason ? prepared->reason : onp_status_name(prepared->status);
    const int code = bad_item(run, index, prepared->status, reason);
    onp_cli_prepared_free(prepared);
    return code;
}

static bool chunk_is_full(const struct run *run) {
    size_t waiting = 0;
    for (int m = 0; m < ONP_MODALITY_COUNT; m++) waiting += run->groups[m].count;
    return run->exact && run->taken % run->chunk == 0 && waiting > 0;
}

// Takes what is ready, with `wait` at least one item if there can be one.
static int take_ready(struct run *run, bool wait) {
    int code = ONP_CLI_OK;
    run->all_ready = run->blocked = false;
    while (code == ONP_CLI_OK) {
        struct onp_cli_prepared prepared;
        if (run->taken == run->items->count || chunk_is_full(run)) {
            run->all_ready = true;
            break;
        }
        const bool room = run->taken - run->delivered < run->window;
        if (!room || !onp_cli_preparer_take(run->preparer, wait, &prepared)) {
            run->blocked = !room || wait;
            break;
        }
        code = take(run, &prepared);
        wait = false;
    }
    return code;
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

// Where the device is the processor, preparing must not slow it down.
static void yield_to_device(const struct run *run) {
    if (onp_device_get_info(run->session->device)->type == ONP_DEVICE_CPU)
        onp_cli_preparer_yield(run->preparer);
}

static int begin(struct run *run) {
    if (run->begun) return ONP_CLI_OK;
    run->begun = true;
    int code = create_encoder(run);
    if (code != ONP_CLI_OK) return code;
    yield_to_device(run);
    onp_cli_progress_start("embedding", run->items->count, !run->session->settings->quiet);
    bool begun = !run->sink->begin || run->sink->begin(run->sink->user, &run->session->info);
    if (!begun) return ONP_CLI_FAILED;
    return take_ready(run, false); // much may have become ready meanwhile
}

static bool is_full(const struct run *run, const struct group *group) {
    if (group->count >= run->run_most) return true;
    return group->count > 0 &&
           onp_encoder_fitting(run->session->encoder, group->inputs, group->count) < group->count;
}

// The group to be run now: one that fills a run, or the one whose turn it is if nothing more can
// join it or the device has nothing to do. NULL: wait for items or for a run.
static struct group *choose(struct run *run) {
    struct group *best = NULL;
    bool best_full = false, partly = run->all_ready;
    if (run->flying == FLIGHTS) return NULL;
    if (!run->exact) partly |= run->blocked || (run->flying == 0 && run->taken >= run->chunk);
    for (int m = 0; m < ONP_MODALITY_COUNT; m++) {
        struct group *group = &run->groups[m];
        if (group->count == 0) continue;
        const bool full = run->begun && !run->exact && is_full(run, group);
        if (!full && (!partly || best_full)) continue;
        if (!best || full > best_full || group->indices[0] < best->indices[0]) best = group;
        best_full |= full;
    }
    return best;
}

static int submit(struct run *run, struct group *group) {
    struct flight *flight = &run->flights[(run->oldest + run->flying) % FLIGHTS];
    const size_t most = group->count < run->run_most ? group->count : run->run_most;
    size_t count = 0;
    flight->submitted = onp_cli_now();
    int code =
        onp_cli_status(onp_encoder_submit(run->session->encoder, group->inputs, most, &count));
    if (code != ONP_CLI_OK) return code;
    memcpy(flight->indices, group->indices, count * sizeof *group->indices);
    flight->count = count;
    group->count -= count;
    memmove(group->indices, group->indices + count, group->count * sizeof *group->indices);
    memmove(group->inputs, group->inputs + count, group->count * sizeof *group->inputs);
    run->flying++;
    return ONP_CLI_OK;
}

static int collect(struct run *run) {
    struct flight *flight = &run->flights[run->oldest];
    const size_t dim = run->session->info.embed_dim;
    size_t count = 0, bytes = 0;
    int code = onp_cli_status(onp_encoder_collect(run->session->encoder, run->scratch, &count));
    if (code != ONP_CLI_OK) return code;
    const double end = onp_cli_now();
    const double start = flight->submitted > run->collected ? flight->submitted : run->collected;
    run->collected = end;
    for (size_t i = 0; i < flight->count; i++) {
        struct entry *entry = entry_of(run, flight->indices[i]);
        memcpy(run->rows + flight->indices[i] % run->window * dim, run->scratch + i * dim,
               dim * sizeof *run->rows);
        entry->encode = (end - start) / (double)flight->count;
        entry->done = true;
        bytes += entry->bytes;
        onp_input_free(entry->input);
        entry->input = NULL;
    }
    onp_cli_preparer_release(run->preparer, bytes);
    run->oldest = (run->oldest + 1) % FLIGHTS;
    run->flying--;
    return ONP_CLI_OK;
}

// --- Delivering --------------------------------------------------------------------------------

static bool is_finite_row(const float *row, size_t dim) {
    for (size_t i = 0; i < dim; i++)
        if (!isfinite(row[i])) return false;
    return true;
}

static int deliver_row(struct run *run, size_t index) {
    const size_t dim = run->session->info.embed_dim;
    const struct entry *entry = entry_of(run, index);
    const float *row = run->rows + index % run->window * dim;
    if (run->sink->time) run->sink->time(run->sink->user, index, entry->prepare, entry->encode);
    if (!is_finite_row(row, dim))
        return bad_item(run, index, ONP_ERR_MISMATCH,
                        "its embedding is not finite; try --dtype f32 and 'onepeace selftest'");
    if (!run->sink->row(run->sink->user, index, row)) return ONP_CLI_FAILED;
    run->embedded++;
    return ONP_CLI_OK;
}

// What is done, as far as nothing before it is missing.
static int deliver(struct run *run) {
    const size_t before = run->delivered;
    int code = ONP_CLI_OK;
    while (code == ONP_CLI_OK && run->delivered < run->taken &&
           entry_of(run, run->delivered)->done) {
        if (!entry_of(run, run->delivered)->bad) code = deliver_row(run, run->delivered);
        run->delivered++;
        const bool end = run->delivered % run->chunk == 0 || run->delivered == run->items->count;
        if (code == ONP_CLI_OK && end && run->sink->chunk_end &&
            !run->sink->chunk_end(run->sink->user))
            code = ONP_CLI_FAILED;
    }
    if (run->delivered > before) onp_cli_progress_step(run->delivered);
    return code;
}

// Queues a run if there is one; else waits: for items as long as another run can be queued, then
// for the device.
static int step(struct run *run) {
    int code = take_ready(run, false);
    struct group *group = code == ONP_CLI_OK ? choose(run) : NULL;
    if (code == ONP_CLI_OK && !group && run->flying < FLIGHTS && !run->all_ready) {
        code = take_ready(run, true);
        if (code == ONP_CLI_OK) group = choose(run);
    }
    if (code == ONP_CLI_OK && group && !run->begun) {
        code = begin(run);
        if (code == ONP_CLI_OK) group = choose(run);
    }
    if (code != ONP_CLI_OK) return code;
    if (group)
        code = submit(run, group);
    else if (run->flying == FLIGHTS || (run->flying > 0 && (run->all_ready || run->blocked)))
        code = collect(run);
    return code == ONP_CLI_OK ? deliver(run) : code;
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
    struct onp_encoder_stats stats;
    if (onp_encoder_get_stats(encoder, &stats) == ONP_OK && stats.span_seconds > 0.0)
        fprintf(stderr,
                "device busy %.1f %% of %.3f s from the first run's start to the last one's end\n",
                100.0 * stats.busy_seconds / stats.span_seconds, stats.span_seconds);
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
                        run->embedded);
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

static void choose_sizes(struct run *run) {
    const size_t batch = (size_t)run->session->settings->batch, count = run->items->count;
    run->exact = run->session->settings->upstream_padding;
    run->chunk = CHUNK;
    if (batch > 1) run->chunk = batch > CHUNK ? batch : CHUNK / batch * batch;
    // Only with upstream's padding must a chunk never cut a batch, whatever memory that takes.
    if (run->chunk > CHUNK_MOST && !run->exact) run->chunk = CHUNK_MOST;
    if (run->sink->chunk && run->chunk > run->sink->chunk) run->chunk = run->sink->chunk;
    if (run->chunk > count) run->chunk = count;
    run->window = 2 * run->chunk > WINDOW ? 2 * run->chunk : WINDOW;
    if (run->window > count) run->window = count;
    run->run_most = batch && batch < run->chunk ? batch : run->chunk;
    if (!batch && !run->sink->chunk && !run->exact) run->run_most = run->window;
}

static int allocate(struct run *run) {
    choose_sizes(run);
    const size_t dim = run->session->info.embed_dim, n = run->window;
    bool all = true;
    all &= (run->entries = calloc(n, sizeof *run->entries)) != NULL;
    all &= (run->rows = calloc(n, dim * sizeof *run->rows)) != NULL;
    all &= (run->scratch = calloc(n, dim * sizeof *run->scratch)) != NULL;
    for (int m = 0; m < ONP_MODALITY_COUNT; m++) {
        struct group *group = &run->groups[m];
        all &= (group->indices = calloc(n, sizeof *group->indices)) != NULL;
        all &= (group->inputs = calloc(n, sizeof(*group->inputs))) != NULL;
    }
    for (int i = 0; i < FLIGHTS; i++)
        all &= (run->flights[i].indices = calloc(n, sizeof *run->flights[i].indices)) != NULL;
    return all ? ONP_CLI_OK : onp_cli_fail("out of memory");
}

// Runs on their way read the inputs' memory: they end before it is freed.
static void release(struct run *run) {
    size_t count;
    for (; run->flying > 0; run->flying--)
        onp_encoder_collect(run->session->encoder, run->scratch, &count);
    onp_cli_preparer_stop(run->preparer);
    for (size_t i = 0; i < run->window && run->entries; i++) onp_input_free(run->entries[i].input);
    for (int m = 0; m < ONP_MODALITY_COUNT; m++) {
        free(run->groups[m].indices);
        free(run->groups[m].inputs);
    }
    for (int i = 0; i < FLIGHTS; i++) free(run->flights[i].indices);
    free(run->entries);
    free(run->rows);
    free(run->scratch);
}

static int embed(struct run *run) {
    const size_t together = run->session->settings->batch || run->exact ? run->chunk : 0;
    int code =
        onp_cli_preparer_start(run->session, run->items, run->window, together, &run->preparer);
    while (code == ONP_CLI_OK && run->delivered < run->items->count) code = step(run);
    return code;
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
    if (code == ONP_CLI_OK && items->count > 0) code = embed(&run);
    onp_cli_progress_end();
    release(&run);
    code = report(&run, code);
    *rows = run.embedded;
    return code;
}
