// SPDX-License-Identifier: Apache-2.0
// The merging of one piece against the plain form of its rule, on random vocabularies and text.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/log.h"
#include "base/rng.h"
#include "text/bpe.h"
#include "text/vocab.h"

#define MAX_SYMBOLS 400u
#define MAX_MERGES  300u
#define MAX_NAME    64u

// Symbols are strings, as in the reference: two merges may make the same one.
struct world {
    char name[MAX_SYMBOLS][MAX_NAME];
    uint32_t letters, symbols;
    struct onp_merges merges;
};

static uint32_t below(struct onp_rng *rng, uint32_t limit) {
    return (uint32_t)(onp_rng_next(rng) % limit);
}

static uint32_t intern(struct world *world, const char *name) {
    for (uint32_t i = 0; i < world->symbols; i++)
        if (strcmp(world->name[i], name) == 0) return i;
    strcpy(world->name[world->symbols], name);
    return world->symbols++;
}

static bool has_pair(const struct onp_merges *merges, uint32_t left, uint32_t right) {
    for (uint32_t i = 0; i < merges->count; i++)
        if (merges->list[i].left == left && merges->list[i].right == right) return true;
    return false;
}

// Ranks in random order if `shuffle`: then a merge can bring up a pair of a lower rank, which no
// trained vocabulary does.
static void make_world(struct world *world, struct onp_rng *rng, bool shuffle) {
    memset(world, 0, sizeof *world);
    world->letters = 1 + below(rng, 4);
    const uint32_t wanted = 1 + below(rng, 40);
    for (uint32_t i = 0; i < world->letters; i++) {
        const char letter[2] = {(char)('a' + i), '\0'};
        intern(world, letter);
    }
    world->merges.list = calloc(MAX_MERGES, sizeof *world->merges.list);
    assert_non_null(world->merges.list);
    for (uint32_t tries = 0; tries < 2 * wanted; tries++) {
        const uint32_t left = below(rng, world->symbols), right = below(rng, world->symbols);
        char name[2 * MAX_NAME];
        snprintf(name, sizeof name, "%s%s", world->name[left], world->name[right]);
        if (strlen(name) >= MAX_NAME || has_pair(&world->merges, left, right)) continue;
        const uint32_t result = intern(world, name), rank = world->merges.count++;
        world->merges.list[rank] = (struct onp_merge){left, right, rank, result};
    }
    for (uint32_t i = world->merges.count; shuffle && i > 1; i--) {
        struct onp_merge *a = &world->merges.list[i - 1], *b = &world->merges.list[below(rng, i)];
        const uint32_t rank = a->rank;
        a->rank = b->rank;
        b->rank = rank;
    }
    assert_true(onp_merges_build(&world->merges, world->symbols));
}

// The rule word for word: find the pair of the lowest rank, merge all of it from left to right.
static size_t merge_plainly(const struct onp_merges *merges, uint32_t *symbols, size_t count) {
    for (;;) {
        const struct onp_merge *best = NULL;
        for (size_t i = 0; i + 1 < count; i++) {
            const struct onp_merge *m = onp_merges_find(merges, symbols[i], symbols[i + 1]);
            if (m && (!best || m->rank < best->rank)) best = m;
        }
        if (!best) return count;
        size_t kept = 0;
        for (size_t i = 0; i < count; kept++) {
            const bool pair =
                i + 1 < count && symbols[i] == best->left && symbols[i + 1] == best->right;
            symbols[kept] = pair ? best->result : symbols[i];
            i += pair ? 2 : 1;
        }
        count = kept;
    }
}

static size_t check_piece(struct onp_bpe *bpe, const struct onp_merges *merges,
                          const uint32_t *piece, size_t count) {
    uint32_t *want = malloc((count + 1) * sizeof *want);
    assert_non_null(want);
    memcpy(want, piece, count * sizeof *want);
    const size_t want_count = merge_plainly(merges, want, count);
    size_t got_count = count;
    assert_true(onp_bpe_reserve(bpe, count));
    memcpy(bpe->symbol, piece, count * sizeof *piece);
    assert_true(onp_bpe_merge(bpe, merges, &got_count));
    assert_int_equal(got_count, want_count);
    assert_memory_equal(bpe->symbol, want, want_count * sizeof *want);
    free(want);
    return count - want_count;
}

static void check_worlds(bool shuffle, uint64_t seed) {
    struct onp_rng rng = {seed};
    struct onp_bpe bpe = {0};
    static struct world world;
    size_t merged = 0;
    for (int round = 0; round < 300; round++) {
        make_world(&world, &rng, shuffle);
        for (int i = 0; i < 20; i++) {
            uint32_t piece[200];
            const uint32_t count = 1 + below(&rng, 200);
            for (uint32_t k = 0; k < count; k++) piece[k] = below(&rng, world.letters);
            merged += check_piece(&bpe, &world.merges, piece, count);
        }
        onp_merges_free(&world.merges);
    }
    assert_true(merged > 10000);
    onp_bpe_free(&bpe);
}

static void test_trained_order(void **state) {
    (void)state;
    check_worlds(false, 1);
}

static void test_any_order(void **state) {
    (void)state;
    check_worlds(true, 2);
}

// A lower rank that appears during a pass has to wait for its end. "ab" = rank 1, "ab a" = rank 0:
// a b a b must become ab ab, not aba b.
static void test_pass_is_finished_first(void **state) {
    (void)state;
    struct onp_merges merges = {.list = calloc(2, sizeof *merges.list), .count = 2};
    assert_non_null(merges.list);
    merges.list[0] = (struct onp_merge){2, 0, 0, 3};
    merges.list[1] = (struct onp_merge){0, 1, 1, 2};
    assert_true(onp_merges_build(&merges, 4));
    struct onp_bpe bpe = {0};
    const uint32_t piece[4] = {0, 1, 0, 1};
    check_piece(&bpe, &merges, piece, 4);
    assert_int_equal(bpe.symbol[0], 2);
    assert_int_equal(bpe.symbol[1], 2);
    size_t none = 0;
    assert_true(onp_bpe_merge(&bpe, &merges, &none));
    assert_int_equal(none, 0);
    onp_bpe_free(&bpe);
    onp_merges_free(&merges);
}

static void test_real_vocabulary(void **state) {
    (void)state;
    const char *data = getenv("ONP_TEST_DERIVED");
    assert_non_null(data);
    char dir[4096];
    snprintf(dir, sizeof dir, "%s/bpe", data);
    const struct onp_log log = {.mutex = PTHREAD_MUTEX_INITIALIZER};
    struct onp_tokenizer *tokenizer;
    assert_int_equal(onp_tokenizer_load_dir(dir, &log, &tokenizer), ONP_OK);
    struct onp_rng rng = {3};
    struct onp_bpe bpe = {0};
    for (int round = 0; round < 1000; round++) {
        // Letters of English alone, then any byte.
        static const char letters[] = "eeettaaooinshrdlu";
        uint32_t piece[64];
        const uint32_t count = 1 + below(&rng, 64);
        for (uint32_t k = 0; k < count; k++) {
            const uint32_t byte =
                round % 4 ? (unsigned char)letters[below(&rng, 17)] : below(&rng, 256);
            piece[k] = tokenizer->byte_symbol[byte];
        }
        check_piece(&bpe, &tokenizer->merges, piece, count);
    }
    // One letter many times: few ranks, so the plain form is fast as well.
    enum { LONG = 100000 };
    uint32_t *piece = malloc(LONG * sizeof *piece);
    assert_non_null(piece);
    for (int k = 0; k < LONG; k++) piece[k] = tokenizer->byte_symbol['a'];
    assert_true(check_piece(&bpe, &tokenizer->merges, piece, LONG) > 0);
    free(piece);
    onp_bpe_free(&bpe);
    onp_tokenizer_destroy(tokenizer);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_trained_order),
        cmocka_unit_test(test_any_order),
        cmocka_unit_test(test_pass_is_finished_first),
        cmocka_unit_test(test_real_vocabulary),
    };
    return cmocka_run_group_tests_name("bpe", tests, NULL, NULL);
}
