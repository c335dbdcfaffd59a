// SPDX-License-Identifier: Apache-2.0
// Two items either disturb each other or not, so the set is a clique of the graph of those that do
// not: branch and bound with a greedy colouring as the bound (E. Tomita, T. Seki, "An efficient
// branch-and-bound algorithm for finding a maximum clique", 2003).
#include <stdlib.h>
#include <string.h>

#include "cli/group.h"

enum { STEPS = 100000 };

struct search {
    size_t n;
    bool *apart;   // [n, n]
    size_t *chain; // the clique at hand
    size_t *best;
    size_t best_count;
    int steps;
};

static bool told_apart(const float *scores, size_t n, size_t i, size_t j) {
    const float ij = scores[i * n + j], ji = scores[j * n + i];
    const float ii = scores[i * n + i], jj = scores[j * n + j];
    return ii > ij && ii > ji && jj > ij && jj > ji;
}

static void fill_graph(struct search *s, const float *const *scores, size_t matrices) {
    for (size_t i = 0; i < s->n; i++)
        for (size_t j = 0; j < s->n; j++) {
            bool apart = i != j;
            for (size_t m = 0; m < matrices && apart; m++)
                apart = told_apart(scores[m], s->n, i, j);
            s->apart[i * s->n + j] = apart;
        }
}

// Orders the candidates by colour, items of one colour being no neighbours; a clique has at most
// one of each. colour[k]: colours up to and with place k.
static void colour_order(const struct search *s, size_t *candidates, size_t count, size_t *colour) {
    size_t placed = 0;
    for (size_t c = 1; placed < count; c++) {
        const size_t first = placed;
        for (size_t k = placed; k < count; k++) {
            bool fits = true;
            for (size_t q = first; q < placed && fits; q++)
                fits = !s->apart[candidates[k] * s->n + candidates[q]];
            if (!fits) continue;
            const size_t item = candidates[k];
            memmove(candidates + placed + 1, candidates + placed, (k - placed) * sizeof item);
            candidates[placed] = item;
            colour[placed++] = c;
        }
    }
}

// The candidates are all neighbours of the chain. False when memory is short.
static bool extend(struct search *s, size_t length, size_t *candidates, size_t count) {
    if (length > s->best_count) {
        memcpy(s->best, s->chain, length * sizeof *s->best);
        s->best_count = length;
    }
    if (count == 0 || s->steps++ >= STEPS) return true;
    size_t *colour = malloc(2 * count * sizeof *colour);
    if (!colour) return false;
    size_t *next = colour + count;
    bool fine = true;
    colour_order(s, candidates, count, colour);
    for (size_t k = count; k-- > 0 && fine && length + colour[k] > s->best_count;) {
        size_t kept = 0;
        for (size_t q = 0; q < k; q++)
            if (s->apart[candidates[k] * s->n + candidates[q]]) next[kept++] = candidates[q];
        s->chain[length] = candidates[k];
        fine = extend(s, length + 1, next, kept);
    }
    free(colour);
    return fine;
}

static int ascending(const void *a, const void *b) {
    const size_t x = *(const size_t *)a, y = *(const size_t *)b;
    return (x > y) - (x < y);
}

bool onp_cli_group(const float *const *scores, size_t matrices, size_t n, size_t *members,
                   size_t *count) {
    struct search s = {.n = n, .best = members};
    size_t *all = calloc(2 * n + 1, sizeof *all);
    s.apart = calloc(n * n + 1, sizeof *s.apart);
    bool fine = all && s.apart;
    if (fine) {
        s.chain = all + n;
        for (size_t i = 0; i < n; i++) all[i] = i;
        fill_graph(&s, scores, matrices);
        fine = extend(&s, 0, all, n);
        qsort(members, s.best_count, sizeof *members, ascending);
        *count = s.best_count;
    }
    free(all);
    free(s.apart);
    return fine;
}
