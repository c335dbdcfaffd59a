// SPDX-License-Identifier: Apache-2.0
// The group of concepts told apart, against all subsets.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/rng.h"
#include "cli/group.h"

enum { N = 11, MATRICES = 3 };

// At rank 1 alone, in both directions of every matrix, among the members only.
static bool holds(float (*m)[N * N], size_t n, unsigned set) {
    for (size_t k = 0; k < MATRICES; k++)
        for (size_t i = 0; i < n; i++)
            for (size_t j = 0; j < n; j++) {
                if (i == j || !(set >> i & 1) || !(set >> j & 1)) continue;
                if (!(m[k][i * n + i] > m[k][i * n + j])) return false; // i's row
                if (!(m[k][j * n + j] > m[k][i * n + j])) return false; // j's column
            }
    return true;
}

static size_t size_of(unsigned set) {
    size_t size = 0;
    for (; set; set &= set - 1) size++;
    return size;
}

static unsigned group_of(float (*m)[N * N], size_t n, size_t *count) {
    const float *scores[MATRICES] = {m[0], m[1], m[2]};
    size_t members[N];
    unsigned set = 0;
    assert_true(onp_cli_group(scores, MATRICES, n, members, count));
    for (size_t i = 0; i < *count; i++) {
        assert_true(members[i] < n && (i == 0 || members[i] > members[i - 1]));
        set |= 1u << members[i];
    }
    return set;
}

static void largest(void **state) {
    (void)state;
    struct onp_rng rng = {.state = 7};
    size_t sizes[N + 1] = {0};
    for (int trial = 0; trial < 60; trial++) {
        float m[MATRICES][N * N];
        for (size_t k = 0; k < MATRICES; k++)
            for (size_t i = 0; i < N * N; i++)
                m[k][i] = onp_rng_uniform(&rng) + (i % (N + 1) == 0 ? 0.6f : 0.0f);
        size_t count, best = 0;
        const unsigned set = group_of(m, N, &count);
        assert_true(holds(m, N, set));
        for (unsigned s = 0; s < 1u << N; s++)
            if (size_of(s) > best && holds(m, N, s)) best = size_of(s);
        assert_int_equal(count, best);
        sizes[count]++;
    }
    size_t kinds = 0; // the trials are not all alike
    for (size_t i = 0; i <= N; i++) kinds += sizes[i] > 0;
    assert_true(kinds >= 3);
}

static void edges(void **state) {
    (void)state;
    float m[MATRICES][N * N] = {{0}};
    size_t count;
    group_of(m, 1, &count);
    assert_int_equal(count, 1);
    group_of(m, N, &count); // all the same: nothing is told apart
    assert_int_equal(count, 1);
    for (size_t k = 0; k < MATRICES; k++)
        for (size_t i = 0; i < N; i++) m[k][i * N + i] = 1.0f;
    group_of(m, N, &count);
    assert_int_equal(count, N);
    m[1][3] = NAN;
    group_of(m, N, &count);
    assert_int_equal(count, N - 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(largest), cmocka_unit_test(edges)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
