// SPDX-License-Identifier: Apache-2.0
// Choosing a device from a made-up list.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "backend/registry.h"
#include "base/checked.h"

// A small office: two CPUs, an integrated and a discrete GPU, a card with a fault.
static const struct onp_device_info office[] = {
    {.backend = "opencl",
     .platform = "Portable Computing Language",
     .name = "cpu-haswell 5600X",
     .vendor = "AuthenticAMD",
     .type = ONP_DEVICE_CPU},
    {.backend = "opencl",
     .platform = "Intel(R) OpenCL Graphics",
     .name = "Intel UHD 770",
     .vendor = "Intel(R) Corporation",
     .type = ONP_DEVICE_GPU,
     .unified_memory = true},
    {.backend = "opencl",
     .platform = "NVIDIA CUDA",
     .name = "GeForce RTX 3090",
     .vendor = "NVIDIA Corporation",
     .uuid = "0123456789abcdef0123456789abcdef",
     .type = ONP_DEVICE_GPU},
    {.backend = "opencl",
     .platform = "NVIDIA CUDA",
     .name = "GeForce RTX 3090",
     .vendor = "NVIDIA Corporation",
     .uuid = "fedcba9876543210fedcba9876543210",
     .type = ONP_DEVICE_GPU},
    {.backend = "opencl",
     .platform = "Clover",
     .name = "Radeon HD",
     .vendor = "AMD",
     .type = ONP_DEVICE_GPU,
     .refused = true,
     .note = "it is older than OpenCL 1.2"},
    {.backend = "ref", .platform = "onepeace", .name = "reference (plain C)", .vendor = "onepeace"},
};

struct expectation {
    const char *selector;
    int index;        // -1: nothing
    const char *text; // in why, others or problem
};

static void check(const struct onp_device_info *list, size_t count, bool force,
                  const struct expectation *e) {
    struct onp_choice choice;
    const bool found = onp_registry_choose(list, count, e->selector, force, &choice);
    const char *name = e->selector ? e->selector : "(null)";
    if (found != (e->index >= 0)) fail_msg("%s: found %d", name, found);
    if (found && choice.index != (size_t)e->index) fail_msg("%s: %zu", name, choice.index);
    if (!found && !choice.problem[0]) fail_msg("%s: no message", name);
    if (e->text && !strstr(choice.why, e->text) && !strstr(choice.others, e->text) &&
        !strstr(choice.problem, e->text))
        fail_msg("%s: no \"%s\" in \"%s\" \"%s\" \"%s\"", name, e->text, choice.why, choice.others,
                 choice.problem);
}

static void selectors_pick_as_documented(void **state) {
    (void)state;
    static const struct expectation table[] = {
        {NULL, 2, "first GPU"},
        {"", 2, "3 (GeForce RTX 3090)"},
        {"auto", 2, "automatic"},
        {"AUTO", 2, NULL},
        {"0", 0, "number 0"},
        {"3", 3, NULL},
        {"5", 5, NULL},
        {"ref", 5, NULL},
        {"gpu", 1, "2 (GeForce RTX 3090)"},
        {"cpu", 0, "the only CPU"},
        {"accelerator", -1, "no device matches"},
        {"vendor:nvidia", 2, "3 (GeForce"},
        {"vendor:portable", 0, "the only"},
        {"vendor:onepeace", -1, NULL},
        {"uuid:fedcba98-7654-3210-FEDC-BA9876543210", 3, "UUID"},
        {"uuid:fedcba98", -1, NULL},
        {"uuid:", -1, NULL},
        {"vendor:", -1, NULL},
        {"3090", 2, "3 (GeForce"}, // no such index, so part of a name
        {"rtx", 2, NULL},
        {"uhd", 1, "the only device named"},
        {"reference", -1, NULL}, // the reference is never picked by its looks
        {"quantum", -1, "1 (Intel UHD 770, GPU)"},
        {"99999999999999999999", -1, NULL},
        {"-1", -1, NULL},
        {"4", -1, "older than OpenCL 1.2"},
        {"radeon", -1, "--force"},
    };
    for (size_t i = 0; i < ONP_COUNT(table); i++)
        check(office, ONP_COUNT(office), false, &table[i]);
}

static void force_opens_what_is_refused(void **state) {
    (void)state;
    static const struct expectation table[] = {
        {"4", 4, "forced"},
        {"radeon", 4, "forced"},
        {"gpu", 1, NULL}, // a sound device still goes first
        {NULL, 2, NULL},
    };
    for (size_t i = 0; i < ONP_COUNT(table); i++) check(office, ONP_COUNT(office), true, &table[i]);
}

static void reference_alone_is_never_automatic(void **state) {
    (void)state;
    static const struct expectation table[] = {{NULL, -1, "the reference"},
                                               {"cpu", -1, "pocl-opencl-icd"},
                                               {"ref", 0, NULL},
                                               {"0", 0, NULL}};
    for (size_t i = 0; i < ONP_COUNT(table); i++) check(&office[5], 1, false, &table[i]);
    const struct expectation none = {NULL, -1, "pocl-opencl-icd"};
    check(NULL, 0, false, &none);
}

static void types_have_an_order(void **state) {
    (void)state;
    struct onp_device_info list[3] = {
        {.backend = "opencl", .type = ONP_DEVICE_OTHER},
        {.backend = "opencl", .type = ONP_DEVICE_CPU},
        {.backend = "opencl", .type = ONP_DEVICE_ACCELERATOR},
    };
    check(list, 3, false, &(struct expectation){NULL, 2, "accelerator"});
    check(list, 2, false, &(struct expectation){NULL, 1, "CPU"});
    check(list, 1, false, &(struct expectation){NULL, 0, NULL});
}

static void long_names_do_not_overflow(void **state) {
    (void)state;
    struct onp_device_info list[40];
    for (size_t i = 0; i < 40; i++) {
        list[i] = (struct onp_device_info){.backend = "opencl", .refused = true};
        memset(list[i].name, 'x', sizeof list[i].name - 1);
        memset(list[i].note, 'y', sizeof list[i].note - 1);
    }
    char selector[5000];
    memset(selector, 'z', sizeof selector - 1);
    selector[sizeof selector - 1] = '\0';
    struct onp_choice choice;
    assert_false(onp_registry_choose(list, 40, selector, false, &choice));
    assert_int_equal(strlen(choice.problem), sizeof choice.problem - 1);
    assert_false(onp_registry_choose(list, 40, "xx", false, &choice));
    assert_true(onp_registry_choose(list, 40, "xx", true, &choice));
    assert_int_equal(strlen(choice.others), sizeof choice.others - 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(selectors_pick_as_documented),
        cmocka_unit_test(force_opens_what_is_refused),
        cmocka_unit_test(reference_alone_is_never_automatic),
        cmocka_unit_test(types_have_an_order),
        cmocka_unit_test(long_names_do_not_overflow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
