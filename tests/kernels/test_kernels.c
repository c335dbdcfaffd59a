// SPDX-License-Identifier: Apache-2.0
// Every variant of every op against its C reference on the device that ONP_TEST_DEVICE names
// (default: auto), under tunings that bring each variant's turn; that each variant did have its
// turn; and that the checker reports a wrong reference.
//
// ONP_TEST_SEED sets the seed of the random tensors, ONP_TEST_FULL=1 adds the slow cases,
// ONP_TEST_OP keeps the ops whose name contains it, ONP_TEST_VERBOSE=1 prints every case.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/registry.h"
#include "base/checked.h"
#include "exec/exec.h"
#include "ops/op.h"

static struct onp_device *device;
static struct onp_tuning chosen; // what the device class says
static uint64_t seed = 1;

// --- Tunings ----------------------------------------------------------------------------------

static void tune_nothing(struct onp_tuning *t) { (void)t; }
static void tune_register_tiles(struct onp_tuning *t) {
    t->work_group_tiles = false;
    t->prefer_blas = false;
}
static void tune_work_groups(struct onp_tuning *t) {
    t->work_group_tiles = true;
    t->prefer_blas = false;
    t->attention_rows = 16;
    t->attention_keys = 32;
    t->attention_subgroups = true; // where the device has sub-groups, as below
    t->subgroup_rows = 8;
    t->subgroup_cols = 4;
}
static void tune_blas(struct onp_tuning *t) { t->prefer_blas = true; }
// The narrowest and the widest vectors, whatever the device likes.
static void tune_narrow(struct onp_tuning *t) {
    t->work_group_tiles = t->prefer_blas = false;
    t->vector = 4;
    t->tile_rows = 4;
    t->tile_vectors = 1;
    t->attention_rows = 4;
    t->attention_keys = 8;
}
static void tune_wide(struct onp_tuning *t) {
    t->work_group_tiles = t->prefer_blas = false;
    t->vector = 16;
    t->tile_rows = 9;
    t->tile_vectors = 3;
    t->attention_rows = 6;
    t->attention_keys = 64;
}

static const struct setting {
    const char *name;
    void (*apply)(struct onp_tuning *tuning);
} settings[] = {
    {"as chosen", tune_nothing},       {"register tiles", tune_register_tiles},
    {"work-groups", tune_work_groups}, {"blas", tune_blas},
    {"vectors of 4", tune_narrow},     {"vectors of 16", tune_wide},
};

// --- Running cases ----------------------------------------------------------------------------

#define MAX_VARIANTS 64

// How often each variant ran, over all tests.
static struct count {
    const char *name;
    size_t runs;
} counts[MAX_VARIANTS];

static void count_run(const char *variant) {
    size_t i = 0;
    while (i < MAX_VARIANTS - 1 && counts[i].name && strcmp(counts[i].name, variant) != 0) i++;
    counts[i].name = variant;
    counts[i].runs++;
}

static size_t runs_of(const char *variant) {
    for (size_t i = 0; i < MAX_VARIANTS && counts[i].name; i++)
        if (strcmp(counts[i].name, variant) == 0) return counts[i].runs;
    return 0;
}

static void on_result(void *user, const struct onp_selftest_result *r) {
    double *worst = user;
    count_run(r->variant);
    if (!(r->error <= *worst)) *worst = r->error;
    if (r->status == ONP_OK && !getenv("ONP_TEST_VERBOSE")) return;
    print_message("%s %s, %s: error %.3g of %.3g, seed %llu %s\n",
                  r->status == ONP_OK ? "ok" : "FAIL", r->variant, r->label, r->error, r->tolerance,
                  (unsigned long long)r->seed, r->message);
}

// One test: an op under a tuning.
struct run {
    const struct onp_op *op;
    const struct setting *setting;
    char name[96];
};

static void op_equals_reference(void **state) {
    const struct run *run = *state;
    struct onp_selftest_summary summary = {0};
    double worst = 0.0;
    device->tuning = chosen;
    run->setting->apply(&device->tuning);
    for (size_t i = 0; i < run->op->case_count; i++)
        if (!run->op->cases[i].slow || getenv("ONP_TEST_FULL"))
            assert_int_equal(onp_check_case(device, run->op, &run->op->cases[i], seed + i,
                                            on_result, &worst, &summary),
                             ONP_OK);
    device->tuning = chosen;
    print_message("%s: %zu passed, worst error %.3g of %.3g\n", run->name, summary.passed, worst,
                  run->op->tolerance);
    assert_int_equal(summary.failed, 0);
    assert_true(summary.passed > 0);
}

// --- Every variant had its turn ---------------------------------------------------------------

static bool wanted(const struct onp_op *op) {
    const char *filter = getenv("ONP_TEST_OP");
    return !filter || strstr(op->name, filter);
}

static void every_variant_ran(void **state) {
    (void)state;
    size_t missing = 0;
    for (const struct onp_op *const *op = onp_ops; *op; op++)
        for (const struct onp_variant *const *v = (*op)->variants; *v && wanted(*op); v++) {
            // Without CLBlast on this device there is nothing to run.
            if (!device->caps.blas && strstr((*v)->name, "clblast")) continue;
            if (!device->caps.subgroups && strstr((*v)->name, "subgroup")) continue; // the same
            if (runs_of((*v)->name) > 0) continue;
            print_message("%s of %s never ran\n", (*v)->name, (*op)->name);
            missing++;
        }
    assert_int_equal(missing, 0);
}

// --- The checker itself -----------------------------------------------------------------------

static const struct onp_op *original; // whose reference the mutant spoils

// Right but for the last element.
static void spoiled_reference(const struct onp_node *node) {
    original->reference(node);
    const struct onp_tensor *dst = node->dst;
    float *last = (float *)onp_host_data(dst) + (dst->rows - 1) * dst->ld + dst->cols - 1;
    *last += 0.01f * fmaxf(1.0f, fabsf(*last));
}

static void on_mutant(void *user, const struct onp_selftest_result *r) {
    size_t *mismatches = user;
    if (r->status == ONP_ERR_MISMATCH && r->error > r->tolerance && r->message[0]) (*mismatches)++;
}

static void wrong_reference_is_reported(void **state) {
    const struct run *run = *state;
    struct onp_op mutant = *run->op;
    struct onp_selftest_summary summary = {0};
    size_t mismatches = 0;
    original = run->op;
    mutant.reference = spoiled_reference;
    device->tuning = chosen;
    assert_int_equal(
        onp_check_case(device, &mutant, &mutant.cases[0], seed, on_mutant, &mismatches, &summary),
        ONP_OK);
    assert_int_equal(summary.passed, 0);
    assert_true(summary.failed > 0);
    assert_int_equal(mismatches, summary.failed);
}

// --- Main -------------------------------------------------------------------------------------

#define MAX_TESTS 256

static struct run runs[MAX_TESTS];
static struct CMUnitTest tests[MAX_TESTS];
static size_t test_count;

static void add_test(CMUnitTestFunction function, const struct onp_op *op,
                     const struct setting *setting, const char *what) {
    if (test_count == MAX_TESTS) return;
    struct run *run = &runs[test_count];
    run->op = op;
    run->setting = setting;
    snprintf(run->name, sizeof run->name, "%s%s%s", op ? op->name : "", op ? ": " : "", what);
    tests[test_count++] =
        (struct CMUnitTest){.name = run->name, .test_func = function, .initial_state = run};
}

static void add_tests(void) {
    for (const struct onp_op *const *op = onp_ops; *op; op++) {
        if (!wanted(*op)) continue;
        for (size_t s = 0; s < ONP_COUNT(settings); s++) {
            const bool no_blas = settings[s].apply == tune_blas && !device->caps.blas;
            if (!no_blas) add_test(op_equals_reference, *op, &settings[s], settings[s].name);
        }
        add_test(wrong_reference_is_reported, *op, NULL, "a wrong reference is reported");
    }
    add_test(every_variant_ran, NULL, NULL, "every variant ran");
}

static void on_log(void *user, enum onp_log_level level, const char *message) {
    (void)user;
    (void)level;
    print_message("%s\n", message);
}

int main(void) {
    const char *selector = getenv("ONP_TEST_DEVICE"), *text = getenv("ONP_TEST_SEED");
    struct onp_context context = {.log = {.fn = on_log, .level = ONP_LOG_WARNING}};
    pthread_mutex_init(&context.log.mutex, NULL);
    if (text) seed = strtoull(text, NULL, 0);
    if (onp_registry_open(&context, selector, true, &device) != ONP_OK) return 1;
    if (device->caps.reference) {
        print_message("the reference has no kernels to test: name another device\n");
        return 1;
    }
    onp_tuning_choose(device);
    chosen = device->tuning;
    print_message("device %s, tuning %s, seed %llu\n", device->info.name, chosen.row,
                  (unsigned long long)seed);
    add_tests();
    const int failed = _cmocka_run_group_tests("kernels", tests, test_count, NULL, NULL);
    onp_registry_close(device);
    pthread_mutex_destroy(&context.log.mutex);
    return failed > 0;
}
