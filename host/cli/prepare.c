// SPDX-License-Identifier: Apache-2.0
#include "cli/prepare.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "cli/clock.h"
#include "cli/log.h"

// Decoding one picture of the largest size takes DECODE_BYTES for a moment; all threads together
// may take an eighth of the machine's memory for that. AHEAD_BYTES of prepared items are about
// three runs of pictures or sounds.
#define MAX_THREADS  8
#define DECODE_BYTES ((uint64_t)300 << 20)
#define AHEAD_BYTES  ((size_t)96 << 20)
#define YIELD_NICE   10

struct slot {
    bool ready;
    struct onp_cli_prepared prepared;
};

struct onp_cli_preparer {
    const struct onp_cli_session *session;
    const struct onp_cli_items *items;
    struct onp_model_info info;
    pthread_mutex_t mutex;
    pthread_cond_t room, ready; // for the threads; for the taker
    struct slot *slots;         // a ring of `ahead`
    size_t ahead, claimed, taken, held, limit;
    bool stop, yield;
    pthread_t threads[MAX_THREADS];
    unsigned thread_count;
};

// --- One item -----------------------------------------------------------------------------------

static enum onp_status make_input(const struct onp_cli_session *session,
                                  const struct onp_cli_item *item, struct onp_input **input) {
    const struct onp_model *model = session->model;
    enum onp_text_mode mode = session->settings->mode ? ONP_TEXT_DATASET : ONP_TEXT_HUB;
    if (item->kind == ONP_TEXT) return onp_input_text(model, item->value, item->bytes, mode, input);
    if (item->kind == ONP_IMAGE) return onp_input_image_file(model, item->value, input);
    return onp_input_audio_file(model, item->value, input);
}

static void prepare(const struct onp_cli_session *session, const struct onp_cli_item *item,
                    struct onp_cli_prepared *out) {
    *out = (struct onp_cli_prepared){.status = ONP_ERR_IO};
    if (item->fault) {
        out->reason = strdup(item->fault);
        return;
    }
    const double start = onp_cli_now();
    onp_cli_capture_all();
    out->status = make_input(session, item, &out->input);
    const char *reason = onp_cli_release(out->status);
    out->said = onp_cli_captured();
    if (out->status != ONP_OK) {
        out->input = NULL;
        out->reason = strdup(reason);
    }
    out->seconds = onp_cli_now() - start;
}

void onp_cli_prepared_free(struct onp_cli_prepared *prepared) {
    onp_input_free(prepared->input);
    onp_cli_say_captured(prepared->said, false);
    free(prepared->reason);
    *prepared = (struct onp_cli_prepared){0};
}

// Before an item is prepared its largest size is counted, afterwards its own.
static size_t largest_bytes(const struct onp_cli_preparer *p, const struct onp_cli_item *item) {
    const size_t side = p->info.image_size;
    if (item->fault) return 0;
    if (item->kind == ONP_TEXT) return (size_t)p->info.max_text_tokens * sizeof(int32_t);
    if (item->kind == ONP_IMAGE) return 3 * side * side * sizeof(float);
    return (size_t)(p->info.max_audio_seconds * (float)p->info.sample_rate) * sizeof(float);
}

static size_t own_bytes(const struct onp_input *input) {
    uint64_t shape[3] = {0};
    int dims = 0;
    if (!input) return 0;
    onp_input_data(input, NULL, shape, &dims);
    size_t elements = 1;
    for (int i = 0; i < dims; i++) elements *= (size_t)shape[i];
    return elements * sizeof(float);
}

// --- Threads ------------------------------------------------------------------------------------

// With the mutex held.
static bool can_claim(const struct onp_cli_preparer *p) {
    if (p->claimed == p->items->count || p->claimed - p->taken == p->ahead) return false;
    return p->held == 0 || p->held + largest_bytes(p, &p->items->list[p->claimed]) <= p->limit;
}

// With the mutex held; it is let go while the item is prepared.
static void prepare_next(struct onp_cli_preparer *p) {
    const size_t index = p->claimed++;
    struct slot *slot = &p->slots[index % p->ahead];
    const struct onp_cli_item *item = &p->items->list[index];
    const size_t most = largest_bytes(p, item);
    struct onp_cli_prepared prepared;
    p->held += most;
    pthread_mutex_unlock(&p->mutex);
    prepare(p->session, item, &prepared);
    prepared.bytes = own_bytes(prepared.input);
    pthread_mutex_lock(&p->mutex);
    p->held = p->held - most + prepared.bytes;
    slot->prepared = prepared;
    slot->ready = true;
    pthread_cond_signal(&p->ready);
    if (prepared.bytes < most) pthread_cond_broadcast(&p->room);
}

static void *work(void *opaque) {
    struct onp_cli_preparer *p = opaque;
    bool nice = false;
    pthread_mutex_lock(&p->mutex);
    while (!p->stop && p->claimed < p->items->count) {
        if (!can_claim(p)) {
            pthread_cond_wait(&p->room, &p->mutex);
            continue;
        }
        if (p->yield && !nice) { // Linux counts niceness by thread; elsewhere nothing is done
#ifdef __linux__
            setpriority(PRIO_PROCESS, 0, getpriority(PRIO_PROCESS, 0) + YIELD_NICE);
#endif
            nice = true;
        }
        prepare_next(p);
    }
    pthread_mutex_unlock(&p->mutex);
    return NULL;
}

static unsigned choose_threads(size_t items) {
    const long cores = sysconf(_SC_NPROCESSORS_ONLN);
    const long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    const uint64_t bytes = pages > 0 && page > 0 ? (uint64_t)pages * (uint64_t)page : 0;
    uint64_t threads = cores > 0 ? (uint64_t)cores : 1;
    if (threads > MAX_THREADS) threads = MAX_THREADS;
    if (threads > bytes / 8 / DECODE_BYTES) threads = bytes / 8 / DECODE_BYTES;
    if (threads > items) threads = items;
    return items < 2 ? 0 : threads > 1 ? (unsigned)threads : 1;
}

int onp_cli_preparer_start(const struct onp_cli_session *session, const struct onp_cli_items *items,
                           size_t ahead, size_t together, struct onp_cli_preparer **out) {
    struct onp_cli_preparer *p = calloc(1, sizeof *p);
    struct slot *slots = calloc(ahead, sizeof *slots);
    if (!p || !slots) {
        free(p);
        free(slots);
        return onp_cli_fail("out of memory");
    }
    p->session = session;
    p->items = items;
    p->info = session->info;
    p->slots = slots;
    p->ahead = ahead;
    p->limit = AHEAD_BYTES;
    for (int m = 0; m < ONP_MODALITY_COUNT; m++) {
        const struct onp_cli_item item = {.kind = (enum onp_modality)m};
        const size_t twice = 2 * together * largest_bytes(p, &item);
        if ((items->modalities & ONP_BIT(m)) && twice > p->limit) p->limit = twice;
    }
    pthread_mutex_init(&p->mutex, NULL);
    pthread_cond_init(&p->room, NULL);
    pthread_cond_init(&p->ready, NULL);
    const unsigned wanted = choose_threads(items->count);
    while (p->thread_count < wanted &&
           pthread_create(&p->threads[p->thread_count], NULL, work, p) == 0)
        p->thread_count++;
    *out = p;
    return ONP_CLI_OK;
}

// --- Taking -------------------------------------------------------------------------------------

bool onp_cli_preparer_take(struct onp_cli_preparer *p, bool wait, struct onp_cli_prepared *out) {
    bool found = false;
    pthread_mutex_lock(&p->mutex);
    if (p->taken < p->items->count) {
        struct slot *slot = &p->slots[p->taken % p->ahead];
        if (p->thread_count == 0 && wait && can_claim(p)) prepare_next(p);
        while (wait && !slot->ready && (p->claimed > p->taken || can_claim(p)))
            pthread_cond_wait(&p->ready, &p->mutex);
        found = slot->ready;
        if (found) {
            *out = slot->prepared;
            *slot = (struct slot){0};
            p->taken++;
            pthread_cond_broadcast(&p->room);
        }
    }
    pthread_mutex_unlock(&p->mutex);
    return found;
}

void onp_cli_preparer_release(struct onp_cli_preparer *p, size_t bytes) {
    pthread_mutex_lock(&p->mutex);
    p->held -= bytes;
    pthread_cond_broadcast(&p->room);
    pthread_mutex_unlock(&p->mutex);
}

void onp_cli_preparer_yield(struct onp_cli_preparer *p) {
    pthread_mutex_lock(&p->mutex);
    p->yield = true;
    pthread_mutex_unlock(&p->mutex);
}

void onp_cli_preparer_stop(struct onp_cli_preparer *p) {
    if (!p) return;
    pthread_mutex_lock(&p->mutex);
    p->stop = true;
    pthread_cond_broadcast(&p->room);
    pthread_mutex_unlock(&p->mutex);
    for (unsigned i = 0; i < p->thread_count; i++) pthread_join(p->threads[i], NULL);
    for (size_t i = 0; i < p->ahead; i++) onp_cli_prepared_free(&p->slots[i].prepared);
    pthread_cond_destroy(&p->ready);
    pthread_cond_destroy(&p->room);
    pthread_mutex_destroy(&p->mutex);
    free(p->slots);
    free(p);
}
