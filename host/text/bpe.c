// SPDX-License-Identifier: Apache-2.0
#include "text/bpe.h"

#include <stdlib.h>

#include "base/checked.h"

#define NONE UINT32_MAX // no neighbour, or a symbol that was merged into the one on its left

static int by_pair(const void *a, const void *b) {
    const struct onp_merge *x = a, *y = b;
    if (x->left != y->left) return x->left < y->left ? -1 : 1;
    if (x->right != y->right) return x->right < y->right ? -1 : 1;
    return x->rank < y->rank ? -1 : x->rank > y->rank;
}

bool onp_merges_build(struct onp_merges *merges, uint32_t symbols) {
    merges->symbols = symbols;
    merges->start = calloc((size_t)symbols + 1, sizeof *merges->start);
    if (!merges->start) return false;
    if (merges->count > 0) qsort(merges->list, merges->count, sizeof *merges->list, by_pair);
    for (uint32_t i = 0; i < merges->count; i++) merges->start[merges->list[i].left + 1]++;
    for (uint32_t s = 0; s < symbols; s++) merges->start[s + 1] += merges->start[s];
    return true;
}

void onp_merges_free(struct onp_merges *merges) {
    free(merges->list);
    free(merges->start);
    *merges = (struct onp_merges){0};
}

const struct onp_merge *onp_merges_find(const struct onp_merges *merges, uint32_t left,
                                        uint32_t right) {
    uint32_t low = merges->start[left];
    const uint32_t end = merges->start[left + 1];
    uint32_t high = end;
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        if (merges->list[middle].right < right)
            low = middle + 1;
        else
            high = middle;
    }
    return low < end && merges->list[low].right == right ? &merges->list[low] : NULL;
}

static bool queue_append(struct onp_queue *queue, uint64_t key) {
    if (queue->count == queue->capacity) {
        const size_t capacity = queue->capacity ? queue->capacity * 2 : 64;
        size_t bytes;
        if (!onp_mul_size(capacity, sizeof *queue->data, &bytes)) return false;
        uint64_t *data = realloc(queue->data, bytes);
        if (!data) return false;
        queue->data = data;
        queue->capacity = capacity;
    }
    queue->data[queue->count++] = key;
    return true;
}

static bool heap_push(struct onp_queue *heap, uint64_t key) {
    if (!queue_append(heap, key)) return false;
    size_t at = heap->count - 1;
    while (at > 0 && heap->data[(at - 1) / 2] > key) {
        heap->data[at] = heap->data[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    heap->data[at] = key;
    return true;
}

static uint64_t heap_pop(struct onp_queue *heap) {
    uint64_t *data = heap->data;
    const uint64_t top = data[0], key = data[--heap->count];
    const size_t count = heap->count;
    size_t at = 0;
    for (size_t child = 1; child < count; child = 2 * at + 1) {
        if (child + 1 < count && data[child + 1] < data[child]) child++;
        if (data[child] >= key) break;
        data[at] = data[child];
        at = child;
    }
    data[at] = key;
    return top;
}

bool onp_bpe_reserve(struct onp_bpe *bpe, size_t count) {
    if (count <= bpe->capacity) return true;
    size_t capacity = bpe->capacity ? bpe->capacity : 64;
    while (capacity < count) capacity *= 2;
    free(bpe->symbol);
    free(bpe->next);
    free(bpe->previous);
    bpe->symbol = calloc(capacity, sizeof *bpe->symbol);
    bpe->next = calloc(capacity, sizeof *bpe->next);
    bpe->previous = calloc(capacity, sizeof *bpe->previous);
    bpe->capacity = bpe->symbol && bpe->next && bpe->previous ? capacity : 0;
    return bpe->capacity > 0;
}

void onp_bpe_free(struct onp_bpe *bpe) {
    free(bpe->symbol);
    free(bpe->next);
    free(bpe->previous);
    free(bpe->heap.data);
    free(bpe->later.data);
    *bpe = (struct onp_bpe){0};
}

static const struct onp_merge *merge_at(const struct onp_bpe *bpe, const struct onp_merges *merges,
                                        uint32_t at) {
    if (at == NONE || bpe->symbol[at] == NONE || bpe->next[at] == NONE) return NULL;
    return onp_merges_find(merges, bpe->symbol[at], bpe->symbol[bpe->next[at]]);
}

// Queues the pair at `at`, if it has a merge. While all occurrences of one rank are being merged, a
// pair of a lower rank that appears has to wait until that pass is over, or the result would differ
// from whole passes over the piece.
static bool queue_pair(struct onp_bpe *bpe, const struct onp_merges *merges, uint32_t at,
                       uint64_t rank) {
    const struct onp_merge *merge = merge_at(bpe, merges, at);
    if (!merge) return true;
    const uint64_t key = (uint64_t)merge->rank << 32 | at;
    return merge->rank <= rank ? queue_append(&bpe->later, key) : heap_push(&bpe->heap, key);
}

// Merges the pair at `at` if it still has this rank; otherwise a neighbour took part of it.
static bool apply(struct onp_bpe *bpe, const struct onp_merges *merges, uint32_t at,
                  uint64_t rank) {
    const struct onp_merge *merge = merge_at(bpe, merges, at);
    if (!merge || merge->rank != rank) return true;
    const uint32_t gone = bpe->next[at], after = bpe->next[gone];
    bpe->symbol[at] = merge->result;
    bpe->symbol[gone] = NONE;
    bpe->next[at] = after;
    if (after != NONE) bpe->previous[after] = at;
    return queue_pair(bpe, merges, bpe->previous[at], rank) && queue_pair(bpe, merges, at, rank);
}

// Links the piece and queues its pairs. Positions ascend, so equal ranks come out left to right.
static bool begin(struct onp_bpe *bpe, const struct onp_merges *merges, uint32_t count) {
    bpe->heap.count = 0;
    bpe->later.count = 0;
    for (uint32_t i = 0; i < count; i++) {
        bpe->next[i] = i + 1 < count ? i + 1 : NONE;
        bpe->previous[i] = i > 0 ? i - 1 : NONE;
    }
    for (uint32_t i = 0; i + 1 < count; i++) {
        const struct onp_merge *merge = merge_at(bpe, merges, i);
        if (merge && !heap_push(&bpe->heap, (uint64_t)merge->rank << 32 | i)) return false;
    }
    return true;
}

bool onp_bpe_merge(struct onp_bpe *bpe, const struct onp_merges *merges, size_t *count) {
    if (*count == 0) return true;
    if (!begin(bpe, merges, (uint32_t)*count)) return false;
    while (bpe->heap.count > 0) {
        const uint64_t rank = bpe->heap.data[0] >> 32;
        while (bpe->heap.count > 0 && bpe->heap.data[0] >> 32 == rank)
            if (!apply(bpe, merges, (uint32_t)heap_pop(&bpe->heap), rank)) return false;
        for (size_t i = 0; i < bpe->later.count; i++)
            if (!heap_push(&bpe->heap, bpe->later.data[i])) return false;
        bpe->later.count = 0;
    }
    size_t kept = 0;
    for (uint32_t at = 0; at != NONE; at = bpe->next[at]) bpe->symbol[kept++] = bpe->symbol[at];
    *count = kept;
    return true;
}
