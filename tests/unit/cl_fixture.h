// SPDX-License-Identifier: Apache-2.0
// What the tests of the OpenCL back end share: a context that keeps its last messages, an opened
// device, and sources of their own.
#ifndef ONP_TESTS_UNIT_CL_FIXTURE_H
#define ONP_TESTS_UNIT_CL_FIXTURE_H

// cmocka.h needs these four before it.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/opencl/opencl.h"
#include "backend/registry.h"

struct fixture {
    struct onp_context context;
    struct onp_device *device;
    char folder[64];    // temporary, removed at the end
    char cache_dir[80]; // in it
    char log[8192];     // all messages
    size_t warnings;
};

static void keep_message(void *user, enum onp_log_level level, const char *message) {
    struct fixture *f = user;
    const size_t used = strlen(f->log);
    snprintf(f->log + used, sizeof f->log - used, "%s\n", message);
    f->warnings += level == ONP_LOG_WARNING;
}

static inline void forget_messages(struct fixture *f) {
    f->log[0] = '\0';
    f->warnings = 0;
}

static void make_fixture(struct fixture *f) {
    *f = (struct fixture){0};
    snprintf(f->folder, sizeof f->folder, "/tmp/onp_opencl_XXXXXX");
    assert_non_null(mkdtemp(f->folder));
    snprintf(f->cache_dir, sizeof f->cache_dir, "%s/cache", f->folder);
    f->context.log = (struct onp_log){.fn = keep_message, .user = f, .level = ONP_LOG_DEBUG};
    pthread_mutex_init(&f->context.log.mutex, NULL);
    f->context.cache_dir = f->cache_dir;
}

static void remove_fixture(struct fixture *f) {
    onp_registry_close(f->device);
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", f->folder);
    assert_int_equal(system(command), 0);
    pthread_mutex_destroy(&f->context.log.mutex);
}

// ONP_TEST_DEVICE selects another device than the automatic one.
static void open_device(struct fixture *f) {
    const enum onp_status status =
        onp_registry_open(&f->context, getenv("ONP_TEST_DEVICE"), true, &f->device);
    if (status != ONP_OK) fail_msg("no device: %s", onp_last_error());
    assert_string_equal(f->device->backend->name, "opencl");
}

// y[i] = a * x[i] * FACTOR + k (+ n[i] if there is one), through local memory; and a second kernel
// in the same source; and a source that does not compile.
static const struct onp_kernel_source test_sources[] = {
    {"scale",
     "__kernel void scale(__global float *y, uint y_offset, __global const float *x,\n"
     "                    uint x_offset, __global const float *n, uint n_offset, float a,\n"
     "                    int k, __local float *tmp) {\n"
     "    const uint i = get_global_id(0), l = get_local_id(0);\n"
     "    tmp[l] = x[x_offset + i];\n"
     "    barrier(CLK_LOCAL_MEM_FENCE);\n"
     "    float v = a * tmp[l] * FACTOR + (float)k;\n"
     "    if (n) v += n[n_offset + i];\n"
     "    y[y_offset + i] = v;\n"
     "}\n"
     "__kernel void clear(__global float *y, uint y_offset) {\n"
     "    y[y_offset + get_global_id(0)] = 0.0f;\n"
     "}\n"},
    {"broken", "__kernel void broken(__global float *y) {\n"
               "    y[0] = missing_name;\n"
               "}\n"},
    {NULL, NULL},
};

#define ITEMS 64

static struct onp_launch scale_launch(const char *defines, struct onp_buffer *y,
                                      struct onp_buffer *x, struct onp_buffer *n) {
    struct onp_launch launch = {
        .source = "scale", .function = "scale", .dims = 1, .global = {ITEMS}, .local = {8}};
    snprintf(launch.defines, sizeof launch.defines, "%s", defines);
    onp_push_buffer(&launch, y, 1);
    onp_push_buffer(&launch, x, 2);
    onp_push_buffer(&launch, n, 0);
    onp_push_f32(&launch, 0.5f);
    onp_push_i32(&launch, -3);
    onp_push_local(&launch, 8 * sizeof(float));
    return launch;
}

static enum onp_status build(struct onp_device *device, struct onp_launch *launch) {
    return onp_cl_build_from(onp_cl_device(device), test_sources, &launch, 1);
}

static struct onp_buffer *new_buffer(struct onp_device *device, uint64_t floats) {
    struct onp_buffer *buffer = NULL;
    assert_int_equal(device->backend->buffer_create(device, floats * sizeof(float), &buffer),
                     ONP_OK);
    return buffer;
}

// Builds and runs `scale` once on a device and compares every element.
static inline void run_scale(struct onp_device *device, const char *defines, float factor,
                             bool with_n) {
    const struct onp_backend *b = device->backend;
    struct onp_buffer *x = new_buffer(device, ITEMS + 2), *y = new_buffer(device, ITEMS + 2);
    float in[ITEMS + 2], out[ITEMS + 2];
    for (int i = 0; i < ITEMS + 2; i++) in[i] = (float)(i * i % 17), out[i] = -1.0f;
    assert_int_equal(b->buffer_write(x, 0, in, sizeof in), ONP_OK);
    assert_int_equal(b->buffer_write(y, 0, out, sizeof out), ONP_OK);
    struct onp_launch launch = scale_launch(defines, y, x, with_n ? x : NULL);
    assert_int_equal(build(device, &launch), ONP_OK);
    assert_int_equal(b->launch(device, &launch, 0), ONP_OK);
    assert_int_equal(b->finish(device), ONP_OK);
    assert_int_equal(b->buffer_read(y, 0, out, sizeof out), ONP_OK);
    assert_true(out[0] == -1.0f && out[ITEMS + 1] == -1.0f);
    for (int i = 0; i < ITEMS; i++) {
        const float want = 0.5f * in[i + 2] * factor - 3.0f + (with_n ? in[i] : 0.0f);
        if (out[i + 1] != want) fail_msg("element %d is %g, not %g", i, out[i + 1], want);
    }
    b->buffer_destroy(x);
    b->buffer_destroy(y);
}

#endif
