// SPDX-License-Identifier: Apache-2.0
// Streaming rows past queries: equal to dot products in double precision, on the reference and on
// the device under test (ONP_TEST_DEVICE), whatever the blocks.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "onepeace/onepeace.h"

// Ten times the worst measured (1.5e-8 on the reference, 1.6e-7 by kernels) for rows of length 1.
#define TOLERANCE_REF    1.5e-7
#define TOLERANCE_DEVICE 1.6e-6

static struct onp_context *context;
static struct onp_device *devices[2]; // the reference, and the one under test

static int open_all(void **state) {
    (void)state;
    const struct onp_context_params params = {.disable_cache = true};
    const char *selector = getenv("ONP_TEST_DEVICE");
    if (onp_context_create(&params, &context) != ONP_OK) return 1;
    if (onp_device_open(context, "ref", false, &devices[0]) != ONP_OK) return 1;
    return onp_device_open(context, selector, true, &devices[1]) != ONP_OK;
}

static int close_all(void **state) {
    (void)state;
    onp_device_close(devices[0]);
    onp_device_close(devices[1]);
    onp_context_destroy(context);
    return 0;
}

// Unit rows, as embeddings are.
static float *random_rows(size_t count, size_t dim, uint64_t seed) {
    struct onp_rng rng = {seed};
    float *rows = malloc(count * dim * sizeof *rows);
    assert_non_null(rows);
    for (size_t i = 0; i < count; i++) {
        double sum = 0.0;
        for (size_t k = 0; k < dim; k++) {
            rows[i * dim + k] = onp_rng_normal(&rng);
            sum += (double)rows[i * dim + k] * (double)rows[i * dim + k];
        }
        for (size_t k = 0; k < dim; k++)
            rows[i * dim + k] = (float)((double)rows[i * dim + k] / sqrt(sum));
    }
    return rows;
}

static size_t least(size_t a, size_t b) { return a < b ? a : b; }

// All rows past the queries as a search does it.
static void stream(struct onp_scorer *scorer, const float *rows, size_t count, size_t dim,
                   size_t queries, float *out) {
    const float *scores;
    size_t taken = 0, scored = 0, before, block = onp_scorer_block(scorer);
    do {
        const size_t n = least(block, count - taken);
        memcpy(onp_scorer_rows(scorer), rows + taken * dim, n * dim * sizeof *rows);
        taken += n;
        assert_int_equal(onp_scorer_collect(scorer, &scores, &before), ONP_OK);
        if (n > 0) assert_int_equal(onp_scorer_submit(scorer, n), ONP_OK);
        memcpy(out + scored * queries, scores, before * queries * sizeof *out);
        scored += before;
        if (n == 0) break;
    } while (true);
    assert_int_equal(scored, count);
}

static double worst_error(const float *got, const float *rows, size_t count, const float *queries,
                          size_t n, size_t dim) {
    double worst = 0.0;
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < n; j++) {
            double want = 0.0;
            for (size_t k = 0; k < dim; k++)
                want += (double)rows[i * dim + k] * (double)queries[j * dim + k];
            worst = fmax(worst, fabs((double)got[i * n + j] - want));
        }
    return worst;
}

static double check(struct onp_device *device, size_t count, size_t queries, size_t dim,
                    size_t block) {
    float *rows = random_rows(count, dim, 1), *wanted = random_rows(queries, dim, 2);
    float *got = calloc(count * queries, sizeof *got);
    struct onp_scorer *scorer;
    assert_int_equal(onp_scorer_create(device, wanted, queries, dim, block, &scorer), ONP_OK);
    stream(scorer, rows, count, dim, queries, got);
    const double worst = worst_error(got, rows, count, wanted, queries, dim);
    onp_scorer_destroy(scorer);
    free(rows);
    free(wanted);
    free(got);
    return worst;
}

static void equal_to_double_precision(void **state) {
    (void)state;
    static const size_t cases[][4] = {// rows, queries, dim, block
                                      {1, 1, 1, 0},       {5, 1, 3, 2},        {700, 1, 64, 100},
                                      {130, 3, 65, 64},   {129, 17, 48, 64},   {300, 40, 192, 0},
                                      {1500, 1, 1536, 0}, {500, 70, 1536, 77}, {64, 1, 1537, 64}};
    for (int d = 0; d < 2; d++) {
        double worst = 0.0;
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            const size_t *c = cases[i];
            const double error = check(devices[d], c[0], c[1], c[2], c[3]);
            if (getenv("ONP_TEST_VERBOSE"))
                print_message("%s: rows %zu queries %zu dim %zu block %zu: %.2e\n",
                              onp_device_get_info(devices[d])->name, c[0], c[1], c[2], c[3], error);
            worst = fmax(worst, error);
        }
        assert_true(worst <= (d == 0 ? TOLERANCE_REF : TOLERANCE_DEVICE));
    }
}

// Ties must come out as ties: a row's score may not depend on where it lies in which block.
static void independent_of_blocks(void **state) {
    (void)state;
    enum { ROWS = 1000, DIM = 200 };
    float *rows = random_rows(ROWS, DIM, 3), *query = random_rows(2, DIM, 4);
    static float first[2 * ROWS], again[2 * ROWS];
    static const size_t blocks[] = {ROWS, 1, 63, 64, 65, 999, 0};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) {
        struct onp_scorer *scorer;
        assert_int_equal(onp_scorer_create(devices[1], query, 2, DIM, blocks[i], &scorer), ONP_OK);
        stream(scorer, rows, ROWS, DIM, 2, i == 0 ? first : again);
        if (i > 0) assert_memory_equal(first, again, sizeof first);
        onp_scorer_destroy(scorer);
    }
    free(rows);
    free(query);
}

static void expect(enum onp_status got, enum onp_status want, const char *words) {
    assert_int_equal(got, want);
    if (!strstr(onp_last_error(), words)) fail_msg("\"%s\" lacks \"%s\"", onp_last_error(), words);
}

static void wrong_use(void **state) {
    (void)state;
    static const float query[8];
    struct onp_scorer *s;
    const float *scores;
    size_t rows;
    expect(onp_scorer_create(NULL, query, 1, 8, 0, &s), ONP_ERR_ARGUMENT, "NULL");
    expect(onp_scorer_create(devices[1], NULL, 1, 8, 0, &s), ONP_ERR_ARGUMENT, "NULL");
    expect(onp_scorer_create(devices[1], query, 0, 8, 0, &s), ONP_ERR_ARGUMENT, "1 to 65536");
    expect(onp_scorer_create(devices[1], query, 1, 0, 0, &s), ONP_ERR_ARGUMENT, "below 2^31");
    expect(onp_scorer_create(devices[1], query, 1, 8, SIZE_MAX, &s), ONP_ERR_ARGUMENT, "blocks");
    expect(onp_scorer_submit(NULL, 1), ONP_ERR_ARGUMENT, "NULL");
    expect(onp_scorer_collect(NULL, &scores, &rows), ONP_ERR_ARGUMENT, "NULL");
    onp_scorer_destroy(NULL);
    assert_null(onp_scorer_rows(NULL));
    assert_int_equal(onp_scorer_block(NULL), 0);
    assert_int_equal(onp_scorer_create(devices[1], query, 1, 8, 4, &s), ONP_OK);
    expect(onp_scorer_submit(s, 0), ONP_ERR_ARGUMENT, "1 to 4");
    expect(onp_scorer_submit(s, 5), ONP_ERR_ARGUMENT, "1 to 4");
    assert_int_equal(onp_scorer_submit(s, 4), ONP_OK);
    expect(onp_scorer_submit(s, 4), ONP_ERR_ARGUMENT, "not yet collected");
    assert_int_equal(onp_scorer_collect(s, &scores, &rows), ONP_OK);
    assert_int_equal(rows, 4);
    assert_true(scores[3] == 0.0f);
    assert_int_equal(onp_scorer_collect(s, &scores, &rows), ONP_OK);
    assert_int_equal(rows, 0);
    assert_int_equal(onp_scorer_submit(s, 1), ONP_OK);
    onp_scorer_destroy(s); // with a block on its way
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_to_double_precision),
        cmocka_unit_test(independent_of_blocks),
        cmocka_unit_test(wrong_use),
    };
    return cmocka_run_group_tests_name("scorer", tests, open_all, close_all);
}
