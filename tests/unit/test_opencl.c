// SPDX-License-Identifier: Apache-2.0
// The OpenCL back end on a real driver: listing, memory, building, launching, times.
#include <math.h>
#include <pthread.h>
#include <sys/resource.h>

#include "cl_fixture.h"

static struct fixture fixture;

static int setup(void **state) {
    make_fixture(&fixture);
    open_device(&fixture);
    forget_messages(&fixture);
    *state = &fixture;
    return 0;
}

static int teardown(void **state) {
    remove_fixture(*state);
    return 0;
}

static void list_ends_with_the_reference(void **state) {
    struct fixture *f = *state;
    struct onp_device_info *list;
    size_t count, chosen = 0;
    assert_int_equal(onp_registry_list(&f->context, &list, &count), ONP_OK);
    assert_true(count >= 2);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(list[i].index, i);
        assert_string_equal(list[i].backend, i + 1 < count ? "opencl" : "ref");
        assert_true(list[i].name[0] && list[i].platform[0] && list[i].vector_width >= 1);
        chosen += list[i].chosen;
    }
    assert_int_equal(chosen, 1);
    free(list);
}

static void caps_are_filled(void **state) {
    const struct onp_caps *caps = &((struct fixture *)*state)->device->caps;
    assert_false(caps->reference);
    assert_true(caps->compute_units >= 1 && caps->max_work_group >= 1);
    assert_true(caps->max_work_item[0] >= 1 && caps->max_work_item[2] >= 1);
    assert_true(caps->local_bytes >= 32768); // the floor of OpenCL 1.2
    assert_true(caps->max_alloc_bytes > 0 && caps->global_bytes >= caps->max_alloc_bytes);
    assert_true(caps->vector_width >= 1 && caps->vector_width <= 16);
}

static void kernel_takes_every_kind_of_argument(void **state) {
    struct fixture *f = *state;
    run_scale(f->device, "-DFACTOR=2.0f", 2.0f, false);
    run_scale(f->device, "-DFACTOR=2.0f", 2.0f, true);
    run_scale(f->device, "-DFACTOR=4.0f", 4.0f, false);
}

static void one_program_serves_all_its_kernels(void **state) {
    struct fixture *f = *state;
    struct onp_cl_device *device = onp_cl_device(f->device);
    const size_t before = device->program_count;
    struct onp_launch a = {.source = "scale", .function = "scale", .defines = "-DFACTOR=8.0f"};
    struct onp_launch b = a, c = a;
    b.function = "clear";
    struct onp_launch *launches[] = {&a, &b, &c};
    assert_int_equal(onp_cl_build_from(device, test_sources, launches, 3), ONP_OK);
    assert_int_equal(device->program_count, before + 1);
    assert_ptr_equal(a.kernel, c.kernel);
    assert_ptr_not_equal(a.kernel, b.kernel);
    assert_int_equal(onp_cl_build_from(device, test_sources, launches, 3), ONP_OK);
    assert_int_equal(device->program_count, before + 1);
}

// Sets the first `items` of y to zero; built.
static struct onp_launch clear_launch(struct onp_device *device, struct onp_buffer *y,
                                      size_t items) {
    struct onp_launch launch = {
        .source = "scale", .function = "clear", .defines = "-DFACTOR=1", .dims = 1};
    launch.global[0] = items;
    onp_push_buffer(&launch, y, 0);
    assert_int_equal(build(device, &launch), ONP_OK);
    return launch;
}

static void empty_range_does_nothing(void **state) {
    struct fixture *f = *state;
    struct onp_buffer *y = new_buffer(f->device, 1);
    struct onp_launch launch = clear_launch(f->device, y, 4);
    launch.dims = 2;
    assert_int_equal(f->device->backend->launch(f->device, &launch, 0), ONP_OK);
    assert_int_equal(f->device->backend->finish(f->device), ONP_OK);
    f->device->backend->buffer_destroy(y);
}

static void failed_build_shows_the_log(void **state) {
    struct fixture *f = *state;
    const size_t before = onp_cl_device(f->device)->program_count;
    struct onp_launch good = {.source = "scale", .function = "clear", .defines = "-DFACTOR=3"};
    struct onp_launch bad = {.source = "broken", .function = "broken", .defines = "-DSHOWN=1"};
    struct onp_launch *both[] = {&good, &bad};
    assert_int_equal(onp_cl_build_from(onp_cl_device(f->device), test_sources, both, 2),
                     ONP_ERR_BUILD);
    const char *message = onp_last_error();
    assert_non_null(strstr(message, "broken"));
    assert_non_null(strstr(message, "-DSHOWN=1"));
    assert_non_null(strstr(message, "missing_name"));
    assert_non_null(strstr(message, "CL_BUILD_PROGRAM_FAILURE"));
    // Nothing half-built is left behind.
    assert_int_equal(onp_cl_device(f->device)->program_count, before);
    assert_int_equal(build(f->device, &good), ONP_OK);
}

static void unknown_names_are_build_errors(void **state) {
    struct fixture *f = *state;
    struct onp_launch source = {.source = "nowhere", .function = "scale"};
    assert_int_equal(build(f->device, &source), ONP_ERR_BUILD);
    assert_non_null(strstr(onp_last_error(), "nowhere"));
    struct onp_launch kernel = {
        .source = "scale", .function = "nothing", .defines = "-DFACTOR=1.0f"};
    assert_int_equal(build(f->device, &kernel), ONP_ERR_BUILD);
    assert_non_null(strstr(onp_last_error(), "scale/nothing"));
    assert_non_null(strstr(onp_last_error(), "CL_INVALID_KERNEL_NAME"));
}

static void failed_launch_names_the_kernel(void **state) {
    struct fixture *f = *state;
    struct onp_buffer *y = new_buffer(f->device, 1);
    struct onp_launch launch =
        clear_launch(f->device, y, (size_t)f->device->caps.max_work_group * 2);
    launch.local[0] = launch.global[0];
    assert_int_not_equal(f->device->backend->launch(f->device, &launch, 0), ONP_OK);
    assert_non_null(strstr(onp_last_error(), "scale/clear"));
    assert_non_null(strstr(onp_last_error(), "CL_INVALID_WORK"));
    f->device->backend->buffer_destroy(y);
}

static void large_copies_go_in_pieces(void **state) {
    struct fixture *f = *state;
    const struct onp_backend *b = f->device->backend;
    const size_t bytes = ((size_t)65 << 20) + 12;
    unsigned char *out = malloc(bytes), *in = malloc(bytes);
    assert_true(in && out);
    for (size_t i = 0; i < bytes; i++) out[i] = (unsigned char)(i * 2654435761u >> 13);
    struct onp_buffer *buffer = NULL;
    assert_int_equal(b->buffer_create(f->device, bytes + 8, &buffer), ONP_OK);
    assert_int_equal(b->buffer_write(buffer, 8, out, bytes), ONP_OK);
    assert_int_equal(b->buffer_read(buffer, 8, in, bytes), ONP_OK);
    assert_memory_equal(in, out, bytes);
    assert_int_equal(b->buffer_read(buffer, 8 + 100, in, 4), ONP_OK);
    assert_memory_equal(in, out + 100, 4);
    b->buffer_destroy(buffer);
    free(in);
    free(out);
}

static void too_large_buffer_names_the_limit(void **state) {
    struct fixture *f = *state;
    const uint64_t limit = f->device->caps.max_alloc_bytes;
    char text[32];
    snprintf(text, sizeof text, "%.1f MiB", (double)limit / 0x1p20);
    struct onp_buffer *buffer = NULL;
    assert_int_equal(f->device->backend->buffer_create(f->device, limit + 1, &buffer),
                     ONP_ERR_DEVICE_MEMORY);
    assert_null(buffer);
    assert_non_null(strstr(onp_last_error(), text));
    assert_int_equal(f->device->backend->buffer_create(f->device, UINT64_MAX, &buffer),
                     ONP_ERR_DEVICE_MEMORY);
}

// Nothing is touched, so a driver that allocates lazily gives no memory away here.
static void full_device_is_refused(void **state) {
    struct fixture *f = *state;
    const struct onp_backend *b = f->device->backend;
    const uint64_t part = f->device->caps.max_alloc_bytes / 4 * 3;
    struct onp_buffer *list[64];
    size_t count = 0;
    enum onp_status status = ONP_OK;
    while (status == ONP_OK && count < 64)
        status = b->buffer_create(f->device, part, &list[count++]);
    assert_int_equal(status, ONP_ERR_DEVICE_MEMORY);
    while (--count > 0) b->buffer_destroy(list[count - 1]);
    assert_int_equal(onp_cl_device(f->device)->allocated, 0);
}

#ifndef __SANITIZE_ADDRESS__ // which owns far more address space than any useful limit
// Creation itself has to fail: a driver that allocates later may end the process.
static void short_of_memory_is_an_error(void **state) {
    struct fixture *f = *state;
    const struct onp_backend *b = f->device->backend;
    const uint64_t bytes = (uint64_t)300 << 20;
    if (f->device->caps.max_alloc_bytes < bytes) skip();
    FILE *file = fopen("/proc/self/statm", "r");
    unsigned long pages = 0;
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%lu", &pages), 1);
    fclose(file);
    struct rlimit old, tight;
    assert_int_equal(getrlimit(RLIMIT_AS, &old), 0);
    tight = old;
    tight.rlim_cur = (rlim_t)pages * 4096 + (100u << 20);
    struct onp_buffer *buffer = NULL;
    assert_int_equal(setrlimit(RLIMIT_AS, &tight), 0);
    const enum onp_status status = b->buffer_create(f->device, bytes, &buffer);
    assert_int_equal(setrlimit(RLIMIT_AS, &old), 0);
    assert_int_equal(status, ONP_ERR_DEVICE_MEMORY);
    assert_non_null(strstr(onp_last_error(), "300.0 MiB"));
    assert_int_equal(onp_cl_device(f->device)->allocated, 0);
}
#endif

static void times_come_back_with_their_tags(void **state) {
    struct fixture *f = *state;
    const struct onp_backend *b = f->device->backend;
    struct onp_buffer *y = new_buffer(f->device, ITEMS);
    const struct onp_launch launch = clear_launch(f->device, y, ITEMS);
    struct onp_timing *timings;
    size_t count;
    assert_int_equal(b->launch(f->device, &launch, 1), ONP_OK);
    assert_int_equal(b->profile(f->device, true), ONP_OK);
    for (uint32_t tag = 10; tag < 310; tag++)
        assert_int_equal(b->launch(f->device, &launch, tag), ONP_OK);
    assert_int_equal(b->finish(f->device), ONP_OK);
    assert_int_equal(b->timings(f->device, &timings, &count), ONP_OK);
    assert_int_equal(count, 300);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(timings[i].tag, 10 + i);
        assert_true(timings[i].seconds >= 0.0 && timings[i].seconds < 10.0);
    }
    free(timings);
    assert_int_equal(b->launch(f->device, &launch, 1), ONP_OK);
    assert_int_equal(b->profile(f->device, false), ONP_OK);
    assert_int_equal(b->launch(f->device, &launch, 2), ONP_OK);
    assert_int_equal(b->finish(f->device), ONP_OK);
    assert_int_equal(b->timings(f->device, &timings, &count), ONP_OK);
    assert_int_equal(count, 1); // queued before profiling went off
    assert_int_equal(timings[0].tag, 1);
    free(timings);
    assert_int_equal(b->timings(f->device, &timings, &count), ONP_OK);
    assert_int_equal(count, 0);
    free(timings);
    b->buffer_destroy(y);
}

// A mark covers what came before it, and its timings, whatever has been queued since.
static void marks_wait_for_what_came_before(void **state) {
    struct fixture *f = *state;
    const struct onp_backend *b = f->device->backend;
    struct onp_buffer *y = new_buffer(f->device, ITEMS);
    const struct onp_launch launch = clear_launch(f->device, y, ITEMS);
    float ones[ITEMS], first[ITEMS], second[ITEMS];
    for (int i = 0; i < ITEMS; i++) ones[i] = first[i] = second[i] = 1.0f;
    struct onp_mark *marks[2];
    struct onp_timing *timings;
    size_t count;
    assert_int_equal(b->profile(f->device, true), ONP_OK);
    assert_int_equal(b->launch(f->device, &launch, 1), ONP_OK);
    assert_int_equal(b->buffer_fetch(y, 0, first, sizeof first), ONP_OK);
    assert_int_equal(b->mark(f->device, &marks[0]), ONP_OK);
    assert_int_equal(b->buffer_send(y, 0, ones, sizeof ones), ONP_OK);
    assert_int_equal(b->launch(f->device, &launch, 2), ONP_OK);
    assert_int_equal(b->buffer_send(y, 0, ones, sizeof ones), ONP_OK);
    assert_int_equal(b->buffer_fetch(y, 0, second, sizeof second), ONP_OK);
    assert_int_equal(b->mark(f->device, &marks[1]), ONP_OK);
    assert_int_equal(b->wait(f->device, marks[0]), ONP_OK);
    for (int i = 0; i < ITEMS; i++) assert_float_equal(first[i], 0.0f, 0.0f);
    assert_int_equal(b->timings(f->device, &timings, &count), ONP_OK);
    assert_true(count >= 1 && timings[0].tag == 1);
    assert_true(timings[0].end_ns >= timings[0].begin_ns);
    const size_t left = 2 - count;
    free(timings);
    assert_int_equal(b->wait(f->device, marks[1]), ONP_OK);
    for (int i = 0; i < ITEMS; i++) assert_float_equal(second[i], 1.0f, 0.0f);
    assert_int_equal(b->timings(f->device, &timings, &count), ONP_OK);
    assert_int_equal(count, left);
    free(timings);
    assert_int_equal(b->profile(f->device, false), ONP_OK);
    b->buffer_destroy(y);
}

// Odd sizes, offsets and row strides against a plain sum. Worst error measured with CLBlast 1.5.3
// on PoCL 3.1, rusticl 22.3.6 and Oclgrind 21.10: 1.2e-7 (rusticl).
static void product_agrees_with_a_plain_sum(void **state) {
    struct fixture *f = *state;
    const struct onp_backend *b = f->device->backend;
    struct onp_gemm g = {.m = 5, .n = 7, .k = 9, .a_offset = 3, .w_offset = 2, .c_offset = 1};
    g.lda = 11, g.ldw = 10, g.ldc = 8;
    float a[64], w[80], c[48];
    for (int i = 0; i < 64; i++) a[i] = sinf((float)i);
    for (int i = 0; i < 80; i++) w[i] = cosf((float)(3 * i));
    g.a = new_buffer(f->device, 64);
    g.w = new_buffer(f->device, 80);
    g.c = new_buffer(f->device, 48);
    assert_int_equal(b->buffer_write(g.a, 0, a, sizeof a), ONP_OK);
    assert_int_equal(b->buffer_write(g.w, 0, w, sizeof w), ONP_OK);
    assert_int_equal(b->profile(f->device, true), ONP_OK);
    const enum onp_status status = b->gemm(f->device, &g, 77);
    assert_int_equal(status, f->device->caps.blas ? ONP_OK : ONP_ERR_UNSUPPORTED);
    double worst = 0.0;
    if (status == ONP_OK) {
        struct onp_timing *timings;
        size_t count;
        assert_int_equal(b->finish(f->device), ONP_OK);
        assert_int_equal(b->timings(f->device, &timings, &count), ONP_OK);
        assert_true(count == 1 && timings[0].tag == 77);
        free(timings);
        assert_int_equal(b->buffer_read(g.c, 0, c, sizeof c), ONP_OK);
        for (int64_t m = 0; m < g.m; m++)
            for (int64_t n = 0; n < g.n; n++) {
                double sum = 0.0;
                for (int64_t k = 0; k < g.k; k++)
                    sum += (double)a[g.a_offset + m * g.lda + k] * w[g.w_offset + n * g.ldw + k];
                worst = fmax(worst, fabs(c[g.c_offset + m * g.ldc + n] - sum));
            }
    }
    print_message("worst error %g\n", worst);
    assert_true(worst < 1.2e-6);
    assert_int_equal(b->profile(f->device, false), ONP_OK);
    b->buffer_destroy(g.a);
    b->buffer_destroy(g.w);
    b->buffer_destroy(g.c);
}

struct worker {
    struct fixture *f;
    const char *defines;
    float factor;
    bool done;
};

static void *work(void *user) {
    struct worker *w = user;
    struct onp_device *device;
    if (onp_registry_open(&w->f->context, getenv("ONP_TEST_DEVICE"), true, &device) != ONP_OK)
        return NULL;
    const struct onp_backend *b = device->backend;
    bool good = true;
    for (int round = 0; round < 20 && good; round++) {
        struct onp_buffer *x = NULL, *y = NULL;
        float data[ITEMS + 2] = {0};
        data[2] = 8.0f;
        good = b->buffer_create(device, sizeof data, &x) == ONP_OK &&
               b->buffer_create(device, sizeof data, &y) == ONP_OK &&
               b->buffer_write(x, 0, data, sizeof data) == ONP_OK;
        struct onp_launch launch = scale_launch(w->defines, y, x, NULL);
        good = good && build(device, &launch) == ONP_OK &&
               b->launch(device, &launch, 0) == ONP_OK && b->finish(device) == ONP_OK &&
               b->buffer_read(y, 0, data, sizeof data) == ONP_OK &&
               data[1] == 4.0f * w->factor - 3.0f && data[ITEMS] == -3.0f;
        b->buffer_destroy(x);
        b->buffer_destroy(y);
    }
    onp_registry_close(device);
    w->done = good;
    return NULL;
}

static void two_threads_use_two_devices(void **state) {
    struct fixture *f = *state;
    if (onp_cl_device(f->device)->quirks.serial_build) skip(); // its API is not thread-safe
    struct worker workers[2] = {{f, "-DFACTOR=3.0f", 3.0f, false},
                                {f, "-DFACTOR=5.0f", 5.0f, false}};
    pthread_t threads[2];
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
    for (int i = 0; i < 2; i++) pthread_join(threads[i], NULL);
    assert_true(workers[0].done && workers[1].done);
}

static void many_programs_build_at_once(void **state) {
    struct fixture *f = *state;
    struct onp_launch launches[8], *list[8];
    for (int i = 0; i < 8; i++) {
        launches[i] = (struct onp_launch){.source = "scale", .function = "clear"};
        snprintf(launches[i].defines, sizeof launches[i].defines, "-DFACTOR=%d -DMANY", i);
        list[i] = &launches[i];
    }
    struct onp_cl_device *device = onp_cl_device(f->device);
    const size_t before = device->program_count;
    assert_int_equal(onp_cl_build_from(device, test_sources, list, 8), ONP_OK);
    assert_int_equal(device->program_count, before + 8);
    for (int i = 0; i < 8; i++) assert_non_null(launches[i].kernel);
}

static void driver_errors_have_names(void **state) {
    (void)state;
    assert_string_equal(onp_cl_error_name(CL_INVALID_KERNEL_ARGS), "CL_INVALID_KERNEL_ARGS");
    assert_string_equal(onp_cl_error_name(-1001), "CL_PLATFORM_NOT_FOUND_KHR");
    assert_string_equal(onp_cl_error_name(-9999), "unknown error");
    assert_int_equal(onp_cl_error_status(CL_MEM_OBJECT_ALLOCATION_FAILURE), ONP_ERR_DEVICE_MEMORY);
    assert_int_equal(onp_cl_error_status(CL_OUT_OF_RESOURCES), ONP_ERR_DEVICE_MEMORY);
    assert_int_equal(onp_cl_error_status(CL_INVALID_VALUE), ONP_ERR_DEVICE);
}

static void versions_compare_by_number(void **state) {
    (void)state;
    assert_true(onp_cl_version_compare("3.1+debian", "3.10") < 0);
    assert_int_equal(onp_cl_version_compare("3.1+debian", "3.1"), 0);
    assert_true(onp_cl_version_compare("Oclgrind 21.10", "21.9") > 0);
    assert_true(onp_cl_version_compare("2264.11 (VM)", "2264") > 0);
    assert_true(onp_cl_version_compare("7", "7.1") < 0);
    assert_true(onp_cl_version_compare("", "0.1") < 0);
    assert_true(onp_cl_version_compare("99999999999999999999.1", "1") > 0);
}

static struct onp_cl_quirks quirks_of(const char *platform, const char *driver) {
    const struct onp_cl_identity id = {
        .platform = platform, .platform_version = "", .vendor = "", .device = "", .driver = driver};
    struct onp_cl_quirks quirks;
    onp_cl_quirks_find(&id, &quirks);
    return quirks;
}

static void quirks_match_by_version(void **state) {
    (void)state;
    assert_true(quirks_of("Portable Computing Language", "1.4").refused);
    assert_false(quirks_of("Portable Computing Language", "1.5").refused);
    assert_string_equal(quirks_of("Portable Computing Language", "3.1+debian").note, "");
    assert_true(quirks_of("Portable Computing Language", "3.1+debian").own_cache);
    assert_true(quirks_of("Portable Computing Language", "3.1+debian").one_item);
    assert_false(quirks_of("NVIDIA CUDA", "550.54").one_item);
    assert_non_null(strstr(quirks_of("Portable Computing Language", "7.1").note, "PoCL 7.1"));
    assert_true(quirks_of("Clover", "22.3.6").refused);
    assert_true(quirks_of("rusticl", "26.2.0").refused);
    assert_false(quirks_of("rusticl", "25.0.7").refused);
    assert_true(quirks_of("rusticl", "25.0.7").no_prefetch);
    assert_true(quirks_of("Oclgrind", "Oclgrind 21.10").serial_build);
    assert_true(quirks_of("AMD Accelerated Parallel Processing", "2264.11").refused);
    assert_false(quirks_of("AMD Accelerated Parallel Processing", "2416.3").refused);
    assert_false(quirks_of("AMD Accelerated Parallel Processing", "3635.0 (HSA1.1,LC)").refused);
    assert_false(quirks_of("NVIDIA CUDA", "550.54.15").refused);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(list_ends_with_the_reference),
        cmocka_unit_test(caps_are_filled),
        cmocka_unit_test(kernel_takes_every_kind_of_argument),
        cmocka_unit_test(one_program_serves_all_its_kernels),
        cmocka_unit_test(empty_range_does_nothing),
        cmocka_unit_test(failed_build_shows_the_log),
        cmocka_unit_test(unknown_names_are_build_errors),
        cmocka_unit_test(failed_launch_names_the_kernel),
        cmocka_unit_test(large_copies_go_in_pieces),
        cmocka_unit_test(too_large_buffer_names_the_limit),
        cmocka_unit_test(full_device_is_refused),
#ifndef __SANITIZE_ADDRESS__
        cmocka_unit_test(short_of_memory_is_an_error),
#endif
        cmocka_unit_test(times_come_back_with_their_tags),
        cmocka_unit_test(marks_wait_for_what_came_before),
        cmocka_unit_test(product_agrees_with_a_plain_sum),
        cmocka_unit_test(two_threads_use_two_devices),
        cmocka_unit_test(many_programs_build_at_once),
        cmocka_unit_test(driver_errors_have_names),
        cmocka_unit_test(versions_compare_by_number),
        cmocka_unit_test(quirks_match_by_version),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
