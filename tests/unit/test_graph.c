// SPDX-License-Identifier: Apache-2.0
// Graph recording and the arena plan: random graphs, where nothing that lives at the same time may
// share memory, and the error paths of the builders.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "graph/plan.h"

static const struct onp_log silent = {0};

static struct onp_graph *new_graph(void) {
    struct onp_graph *graph = NULL;
    assert_int_equal(onp_graph_create(&silent, &graph), ONP_OK);
    return graph;
}

#define STEPS 60

// A chain with random skips: every node reads two earlier tensors and writes a new one.
static void record_random(struct onp_graph *graph, struct onp_rng *rng, bool keep_some) {
    struct onp_tensor *made[STEPS + 1];
    static const float data[4096];
    made[0] =
        onp_graph_input(graph, "in", ONP_F32, 1, 1 + (int64_t)(onp_rng_next(rng) % 4096), data);
    for (int i = 1; i <= STEPS; i++) {
        struct onp_tensor *src[2] = {made[onp_rng_next(rng) % (uint64_t)i], made[i - 1]};
        made[i] = onp_graph_activation(graph, 1 + (int64_t)(onp_rng_next(rng) % 40),
                                       1 + (int64_t)(onp_rng_next(rng) % 2100), false);
        assert_non_null(onp_graph_record(graph, NULL, made[i], src, 2, NULL, 0));
        if (keep_some && onp_rng_next(rng) % 8 == 0) made[i]->keep = true;
    }
}

struct span {
    uint64_t from, to;
    int first, last;
};

static void assert_disjoint(const struct span *spans, size_t count) {
    for (size_t i = 0; i < count; i++)
        for (size_t j = i + 1; j < count; j++) {
            const bool time = spans[i].first <= spans[j].last && spans[j].first <= spans[i].last;
            const bool place = spans[i].from < spans[j].to && spans[j].from < spans[i].to;
            assert_false(time && place);
        }
}

static void test_plan_never_overlaps(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct onp_rng rng = {seed};
        struct onp_graph *graph = new_graph();
        record_random(graph, &rng, seed % 2 == 0);
        uint64_t workspace[STEPS], offset[STEPS], arena = 0;
        for (int i = 0; i < STEPS; i++)
            workspace[i] = onp_rng_next(&rng) % 3 == 0 ? onp_rng_next(&rng) % 100000 : 0;
        assert_int_equal(onp_plan(graph, workspace, offset, &arena, NULL), ONP_OK);
        struct span spans[2 * STEPS + 1];
        size_t count = 0;
        uint64_t sum = 0;
        for (size_t i = 0; i < onp_graph_tensor_count(graph); i++) {
            const struct onp_tensor *x = onp_graph_tensor(graph, i);
            const uint64_t from = (uint64_t)x->offset * sizeof(float);
            const uint64_t bytes = (uint64_t)(x->rows * x->ld) * sizeof(float);
            assert_int_equal(from % ONP_ARENA_ALIGN, 0);
            assert_true(from + bytes <= arena);
            spans[count++] = (struct span){from, from + bytes, x->first_use, x->last_use};
            sum += bytes;
        }
        for (int i = 0; i < STEPS; i++)
            if (workspace[i] > 0)
                spans[count++] = (struct span){offset[i], offset[i] + workspace[i], i, i};
        assert_disjoint(spans, count);
        if (seed % 2 == 1) assert_true(arena < sum); // memory is reused
        onp_graph_destroy(graph);
    }
}

// Inputs and kept tensors apart from the arena, where none shares memory with another; the rest
// as ever.
static void test_staged_lie_apart(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct onp_rng rng = {seed};
        struct onp_graph *graph = new_graph();
        record_random(graph, &rng, true);
        uint64_t arena = 0, staged = 0, whole = 0;
        assert_int_equal(onp_plan(graph, NULL, NULL, &arena, &staged), ONP_OK);
        struct span apart[STEPS + 1], inside[STEPS + 1];
        size_t count[2] = {0};
        for (size_t i = 0; i < onp_graph_tensor_count(graph); i++) {
            const struct onp_tensor *x = onp_graph_tensor(graph, i);
            const bool stages = onp_plan_stages(x);
            const uint64_t from = (uint64_t)x->offset * sizeof(float);
            const uint64_t to = from + (uint64_t)(x->rows * x->ld) * sizeof(float);
            assert_int_equal(stages, x->keep || x->role == ONP_ROLE_INPUT);
            assert_true(to <= (stages ? staged : arena));
            if (stages)
                apart[count[0]++] = (struct span){from, to, 0, STEPS};
            else
                inside[count[1]++] = (struct span){from, to, x->first_use, x->last_use};
        }
        assert_true(count[0] > 1 && count[1] > 1);
        assert_disjoint(apart, count[0]);
        assert_disjoint(inside, count[1]);
        assert_int_equal(onp_plan(graph, NULL, NULL, &whole, NULL), ONP_OK);
        assert_true(arena < whole);
        onp_graph_destroy(graph);
    }
}

static void test_views_follow_their_root(void **state) {
    (void)state;
    struct onp_graph *graph = new_graph();
    struct onp_tensor *other = onp_graph_activation(graph, 10, 10, true);
    struct onp_tensor *x = onp_graph_activation(graph, 8, 6, true);
    struct onp_tensor *half = onp_graph_view(graph, x, 24, 4, 6, 6);
    struct onp_tensor *inner = onp_graph_view(graph, half, 6, 2, 12, 6); // overlapping windows
    assert_non_null(inner);
    struct onp_tensor *src[2] = {other, inner};
    onp_graph_record(graph, NULL, onp_graph_activation(graph, 1, 1, true), src, 2, NULL, 0);
    uint64_t arena = 0;
    assert_int_equal(onp_plan(graph, NULL, NULL, &arena, NULL), ONP_OK);
    assert_int_equal(half->offset, x->offset + 24);
    assert_int_equal(inner->offset, x->offset + 30);
    onp_graph_destroy(graph);
}

static void test_bad_views_are_errors(void **state) {
    (void)state;
    static const int64_t bad[][4] = {
        {-1, 1, 1, 1}, {0, 9, 6, 6}, {43, 1, 6, 6}, {0, 0, 1, 1}, {0, 2, 6, 0}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct onp_graph *graph = new_graph();
        struct onp_tensor *x = onp_graph_activation(graph, 8, 6, true);
        assert_null(onp_graph_view(graph, x, bad[i][0], bad[i][1], bad[i][2], bad[i][3]));
        assert_int_not_equal(onp_graph_status(graph), ONP_OK);
        assert_null(onp_graph_activation(graph, 1, 1, true)); // later calls do nothing
        onp_graph_reset(graph);
        assert_int_equal(onp_graph_status(graph), ONP_OK);
        onp_graph_destroy(graph);
    }
    struct onp_graph *graph = new_graph();
    struct onp_tensor *padded = onp_graph_activation(graph, 4, 1024, false);
    assert_true(padded->ld > padded->cols);
    assert_null(onp_graph_view(graph, padded, 0, 2, 2048, 2048)); // rows are not contiguous
    onp_graph_destroy(graph);
}

static void test_reset_reuses_memory(void **state) {
    (void)state;
    struct onp_graph *graph = new_graph();
    void *first = onp_graph_alloc(graph, 1000000); // larger than a block
    assert_non_null(first);
    memset(first, 1, 1000000);
    onp_graph_reset(graph);
    assert_ptr_equal(onp_graph_alloc(graph, 1000000), first);
    onp_graph_destroy(graph);
}

static void test_names(void **state) {
    (void)state;
    struct onp_graph *graph = new_graph();
    struct onp_tensor *x = onp_graph_activation(graph, 2, 2, true);
    onp_named(graph, x, "layer%d", 7);
    assert_false(x->keep);
    onp_graph_keep_named(graph, true);
    struct onp_tensor *view = onp_graph_view(graph, x, 0, 1, 2, 2);
    onp_named(graph, view, "part");
    assert_true(x->keep); // the storage of a named view is kept
    assert_ptr_equal(onp_graph_find(graph, "layer7"), x);
    assert_null(onp_graph_find(graph, "layer8"));
    onp_graph_destroy(graph);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plan_never_overlaps),     cmocka_unit_test(test_staged_lie_apart),
        cmocka_unit_test(test_views_follow_their_root), cmocka_unit_test(test_bad_views_are_errors),
        cmocka_unit_test(test_reset_reuses_memory),     cmocka_unit_test(test_names)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
