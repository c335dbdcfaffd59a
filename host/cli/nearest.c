// SPDX-License-Identifier: Apache-2.0
#include <stdlib.h>
#include <string.h>

#include "cli/log.h"
#include "cli/nearest.h"

// What is known of the rows of a block, beside their values: they come back as scores only after
// the next block has been read.
struct block {
    size_t count, room;
    enum onp_modality *kinds;
    size_t *paths; // where each begins in `bytes`, NUL-terminated
    char *bytes;
    size_t used, bytes_room;
};

struct search {
    const struct onp_cli_nearest *wanted;
    struct onp_scorer *scorer;
    size_t folder; // the next to be scanned
    bool scanning;
    struct block blocks[2];   // one being filled, one being scored
    struct onp_cli_hit *heap; // the worst on top
    size_t count, capacity;
};

// --- The heap ----------------------------------------------------------------------------------

// Equal scores are ordered by path, so that a result is always the same.
static bool is_better(const struct onp_cli_hit *a, const struct onp_cli_hit *b) {
    if (a->score > b->score || a->score < b->score) return a->score > b->score;
    return strcmp(a->path, b->path) < 0;
}

static int by_rank(const void *a, const void *b) { return is_better(b, a) - is_better(a, b); }

static void swap(struct onp_cli_hit *a, struct onp_cli_hit *b) {
    struct onp_cli_hit c = *a;
    *a = *b;
    *b = c;
}

static void sift_up(struct onp_cli_hit *heap, size_t i) {
    for (; i > 0 && is_better(&heap[(i - 1) / 2], &heap[i]); i = (i - 1) / 2)
        swap(&heap[i], &heap[(i - 1) / 2]);
}

static void sift_down(struct onp_cli_hit *heap, size_t count) {
    for (size_t i = 0, child; (child = 2 * i + 1) < count; i = child) {
        if (child + 1 < count && is_better(&heap[child], &heap[child + 1])) child++;
        if (!is_better(&heap[i], &heap[child])) return;
        swap(&heap[i], &heap[child]);
    }
}

static int grow(struct search *s) {
    if (s->count < s->capacity) return ONP_CLI_OK;
    const size_t capacity = s->capacity ? 2 * s->capacity : 16;
    struct onp_cli_hit *heap = realloc(s->heap, capacity * sizeof *heap);
    if (!heap) return onp_cli_fail("out of memory");
    s->heap = heap;
    s->capacity = capacity;
    return ONP_CLI_OK;
}

static int offer(struct search *s, float score, enum onp_modality kind, char *path) {
    struct onp_cli_hit hit = {.score = score, .kind = kind, .path = path};
    const bool full = s->count == s->wanted->top;
    if (full && !is_better(&hit, &s->heap[0])) return ONP_CLI_OK;
    hit.path = strdup(path);
    if (!hit.path) return onp_cli_fail("out of memory");
    if (full) {
        free(s->heap[0].path);
        s->heap[0] = hit;
        sift_down(s->heap, s->count);
        return ONP_CLI_OK;
    }
    const int code = grow(s);
    if (code != ONP_CLI_OK) {
        free(hit.path);
        return code;
    }
    s->heap[s->count++] = hit;
    sift_up(s->heap, s->count - 1);
    return ONP_CLI_OK;
}

void onp_cli_hits_free(struct onp_cli_hit *hits, size_t count) {
    for (size_t i = 0; i < count; i++) {
        free(hits[i].path);
        free(hits[i].name);
    }
    free(hits);
}

// --- Blocks ------------------------------------------------------------------------------------

static int reserve(struct block *block, size_t rows) {
    block->room = rows;
    block->kinds = calloc(rows, sizeof *block->kinds);
    block->paths = calloc(rows, sizeof *block->paths);
    return block->kinds && block->paths ? ONP_CLI_OK : onp_cli_fail("out of memory");
}

static void release(struct block *block) {
    free(block->kinds);
    free(block->paths);
    free(block->bytes);
}

static int add(struct block *block, const struct onp_cli_db_entry *entry) {
    if (block->bytes_room - block->used <= entry->bytes) {
        const size_t room = 2 * block->bytes_room + entry->bytes + 4096;
        char *bytes = realloc(block->bytes, room);
        if (!bytes) return onp_cli_fail("out of memory");
        block->bytes = bytes;
        block->bytes_room = room;
    }
    block->kinds[block->count] = entry->kind;
    block->paths[block->count++] = block->used;
    memcpy(block->bytes + block->used, entry->path, entry->bytes);
    block->used += entry->bytes;
    block->bytes[block->used++] = '\0';
    return ONP_CLI_OK;
}

// The next row of any of the folders.
static int next_row(struct search *s, struct onp_cli_db_entry *entry, float *row, bool *found) {
    const struct onp_cli_walk *walk = s->wanted->walk;
    *found = false;
    while (!*found && (s->scanning || s->folder < walk->folder_count)) {
        int code = ONP_CLI_OK;
        if (!s->scanning)
            code = onp_cli_db_scan_begin(s->wanted->db, walk->folders[s->folder++].path);
        if (code == ONP_CLI_OK) code = onp_cli_db_scan_next(s->wanted->db, entry, row, found);
        if (code != ONP_CLI_OK) return code;
        s->scanning = *found;
    }
    return ONP_CLI_OK;
}

static int fill(struct search *s, struct block *block) {
    struct onp_cli_db_entry entry;
    float *rows = onp_scorer_rows(s->scorer);
    bool found = true;
    int code = ONP_CLI_OK;
    block->count = block->used = 0;
    while (block->count < block->room && code == ONP_CLI_OK) {
        code = next_row(s, &entry, rows + block->count * s->wanted->dim, &found);
        if (code != ONP_CLI_OK || !found) return code;
        code = add(block, &entry);
    }
    return code;
}

static int take(struct search *s, const struct block *block, const float *scores) {
    int code = ONP_CLI_OK;
    for (size_t i = 0; i < block->count && code == ONP_CLI_OK; i++)
        code = offer(s, scores[i], block->kinds[i], block->bytes + block->paths[i]);
    return code;
}

// Reading a block from the index goes on while the device scores the one before.
static int stream(struct search *s) {
    const float *scores;
    size_t scored, count;
    int now = 0, code;
    do {
        code = fill(s, &s->blocks[now]);
        count = s->blocks[now].count;
        if (code == ONP_CLI_OK)
            code = onp_cli_status(onp_scorer_collect(s->scorer, &scores, &scored));
        if (code == ONP_CLI_OK && count > 0)
            code = onp_cli_status(onp_scorer_submit(s->scorer, count));
        now = !now;
        if (code == ONP_CLI_OK && scored > 0) code = take(s, &s->blocks[now], scores);
    } while (code == ONP_CLI_OK && count > 0);
    return code;
}

int onp_cli_find_nearest(const struct onp_cli_nearest *wanted, struct onp_cli_hit **hits,
                         size_t *count) {
    struct search s = {.wanted = wanted};
    int code = onp_cli_status(
        onp_scorer_create(wanted->device, wanted->query, 1, wanted->dim, 0, &s.scorer));
    for (int i = 0; i < 2 && code == ONP_CLI_OK; i++)
        code = reserve(&s.blocks[i], onp_scorer_block(s.scorer));
    if (code == ONP_CLI_OK) code = stream(&s);
    onp_cli_db_scan_end(wanted->db);
    onp_scorer_destroy(s.scorer);
    for (int i = 0; i < 2; i++) release(&s.blocks[i]);
    if (s.count) qsort(s.heap, s.count, sizeof *s.heap, by_rank);
    *hits = s.heap;
    *count = s.count;
    return code;
}
