// SPDX-License-Identifier: Apache-2.0
// Byte-pair merging: the merge table and the merging of one piece. Symbols are small integers.
#ifndef ONP_TEXT_BPE_H
#define ONP_TEXT_BPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// left followed by right may become result; the lowest rank goes first. result differs from left
// and right.
struct onp_merge {
    uint32_t left, right, rank, result;
};

// Sorted by (left, right): a look-up is a binary search among the merges of one left symbol, which
// no choice of merges can make slow.
struct onp_merges {
    struct onp_merge *list;
    uint32_t *start; // [symbols + 1]: list[start[s] .. start[s + 1]) have left == s
    uint32_t count, symbols;
};

// Takes over merges->list (count filled, in any order, symbols below `symbols`), sorts it and
// builds start. Returns false if memory is exhausted.
bool onp_merges_build(struct onp_merges *merges, uint32_t symbols);
void onp_merges_free(struct onp_merges *merges);
// NULL if the pair has no merge.
const struct onp_merge *onp_merges_find(const struct onp_merges *merges, uint32_t left,
                                        uint32_t right);

struct onp_queue {
    uint64_t *data;
    size_t count, capacity;
};

// Working memory of one caller, reused from piece to piece. Zero-initialise.
struct onp_bpe {
    uint32_t *symbol; // the piece: filled by the caller, then replaced by the result
    uint32_t *next, *previous;
    size_t capacity;
    struct onp_queue heap, later;
};

// Makes room for a piece of `count` symbols, below 2^32 - 1. False if memory is exhausted.
bool onp_bpe_reserve(struct onp_bpe *bpe, size_t count);
// Repeatedly merges all left-to-right non-overlapping occurrences of the present pair with the
// lowest rank, until no pair has a merge. bpe->symbol[0 .. *count) is read and replaced. Takes
// O(n log n) time. False if memory is exhausted.
bool onp_bpe_merge(struct onp_bpe *bpe, const struct onp_merges *merges, size_t *count);
void onp_bpe_free(struct onp_bpe *bpe);

#endif
