// SPDX-License-Identifier: Apache-2.0
#include "tests/golden/golden.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

struct onp_golden onp_golden;

// --- Opening ---------------------------------------------------------------------------------

static void print_log(void *user, enum onp_log_level level, const char *message) {
    (void)user;
    (void)level;
    fprintf(stderr, "%s\n", message);
}

static const char *data_folder(void) {
    const char *folder = getenv("ONP_TEST_DATA");
    return folder ? folder : "tests/data";
}

static void find_shared(void) {
    const char *named = getenv("ONP_SHARED_GOLDEN");
    char *path = onp_golden.shared;
    snprintf(path, sizeof onp_golden.shared, "%s/../../../shared/golden", data_folder());
    if (named) snprintf(path, sizeof onp_golden.shared, "%s", named);
    if (access(path, R_OK) == 0)
        fprintf(stderr, "complete goldens: %s\n", path);
    else
        path[0] = 0;
}

static int open_device(const char *selector, struct onp_device **out) {
    if (onp_device_open(onp_golden.context, selector, true, out) == ONP_OK) return 0;
    fprintf(stderr, "device %s: %s\n", selector ? selector : "auto", onp_last_error());
    return 1;
}

int onp_golden_open(void) {
    const struct onp_context_params params = {.log = print_log, .log_level = ONP_LOG_WARNING};
    pthread_mutex_init(&onp_golden.log.mutex, NULL);
    find_shared();
    if (onp_context_create(&params, &onp_golden.context) != ONP_OK) return 1;
    if (open_device(getenv("ONP_TEST_DEVICE"), &onp_golden.device[0])) return 1;
    const struct onp_device_info *info = onp_device_get_info(onp_golden.device[0]);
    fprintf(stderr, "device: %s (%s, %s)\n", info->name, info->platform, info->driver);
    if (strcmp(info->backend, "ref") == 0) return 0;
    return open_device("ref", &onp_golden.device[1]);
}

void onp_golden_close(void) {
    for (int i = 0; i < 2; i++) onp_device_close(onp_golden.device[i]);
    onp_context_destroy(onp_golden.context);
    pthread_mutex_destroy(&onp_golden.log.mutex);
}

// --- Files -----------------------------------------------------------------------------------

bool onp_golden_find(char path[ONP_GOLDEN_PATH], const char *fmt, ...) {
    char name[256];
    va_list args;
    va_start(args, fmt);
    vsnprintf(name, sizeof name, fmt, args);
    va_end(args);
    snprintf(path, ONP_GOLDEN_PATH, "%s/golden/%s", data_folder(), name);
    if (access(path, R_OK) == 0) return true;
    if (!onp_golden.shared[0]) return false;
    snprintf(path, ONP_GOLDEN_PATH, "%s/%s", onp_golden.shared, name);
    return access(path, R_OK) == 0;
}

void onp_golden_ok(enum onp_status status, const char *what) {
    if (status != ONP_OK) fail_msg("%s: %s: %s", what, onp_status_name(status), onp_last_error());
}

struct onp_npy onp_golden_array(const char *path) {
    struct onp_npy npy = {0};
    onp_golden_ok(onp_npy_read(path, &onp_golden.log, &npy), path);
    return npy;
}

// --- Items -----------------------------------------------------------------------------------

static void *allocate(size_t count, size_t size) {
    void *memory = calloc(count, size);
    assert_non_null(memory);
    return memory;
}

struct onp_golden_items onp_golden_texts(const char *path) {
    struct onp_npy npy = onp_golden_array(path);
    assert_int_equal(npy.dtype, ONP_I64);
    struct onp_golden_items items = {.modality = ONP_TEXT, .count = (int32_t)npy.shape[0]};
    const size_t width = npy.shape[1];
    int32_t *ids = items.memory = allocate(npy.count, sizeof *ids);
    for (size_t i = 0; i < npy.count; i++) ids[i] = (int32_t)((const int64_t *)npy.data)[i];
    for (int32_t b = 0; b < items.count; b++) {
        const int32_t *row = ids + (size_t)b * width;
        int32_t length = (int32_t)width;
        while (length > 0 && row[length - 1] == 1) length--; // 1 is <pad>
        items.data[b] = row;
        items.length[b] = length;
    }
    onp_npy_free(&npy);
    return items;
}

struct onp_golden_items onp_golden_sounds(const char *path) {
    struct onp_npy npy = onp_golden_array(path);
    assert_int_equal(npy.dtype, ONP_F32);
    struct onp_golden_items items = {.modality = ONP_AUDIO, .count = (int32_t)npy.shape[0]};
    items.memory = npy.data;
    for (int32_t b = 0; b < items.count; b++) {
        const float *row = (const float *)npy.data + (size_t)b * npy.shape[1];
        int32_t length = (int32_t)npy.shape[1];
        // A normalised sample of a clip is never exactly zero at its end; the padding is.
        while (length > 0 && row[length - 1] == 0.0f) length--;
        items.data[b] = row;
        items.length[b] = length;
    }
    return items;
}

struct onp_golden_items onp_golden_pixels(const char *path) {
    struct onp_npy npy = onp_golden_array(path);
    assert_int_equal(npy.dtype, ONP_F32);
    struct onp_golden_items items = {.modality = ONP_IMAGE, .count = (int32_t)npy.shape[0]};
    items.memory = npy.data;
    for (int32_t b = 0; b < items.count; b++) {
        items.data[b] = (const float *)npy.data + (size_t)b * (npy.count / npy.shape[0]);
        items.length[b] = (int32_t)npy.shape[2];
    }
    return items;
}

static void normalise(const unsigned char *rgb, size_t area, float *planes) {
    static const float mean[3] = {0.48145466f, 0.4578275f, 0.40821073f};
    static const float deviation[3] = {0.26862954f, 0.26130258f, 0.27577711f};
    for (size_t c = 0; c < 3; c++)
        for (size_t i = 0; i < area; i++)
            planes[c * area + i] = ((float)rgb[3 * i + c] / 255.0f - mean[c]) / deviation[c];
}

struct onp_golden_items onp_golden_pictures(const char *const *files, int32_t count) {
    struct onp_golden_items items = {.modality = ONP_IMAGE, .count = count};
    float *planes = NULL;
    for (int32_t i = 0; i < count; i++) {
        char path[ONP_GOLDEN_PATH];
        assert_true(onp_golden_find(path, "%s", files[i]));
        struct onp_npy npy = onp_golden_array(path);
        if (!planes) planes = items.memory = allocate((size_t)count * npy.count, sizeof *planes);
        assert_true(npy.dtype == ONP_U8 && npy.dims == 3 && npy.shape[0] == npy.shape[1]);
        normalise(npy.data, npy.count / 3, planes + (size_t)i * npy.count);
        items.data[i] = planes + (size_t)i * npy.count;
        items.length[i] = (int32_t)npy.shape[0];
        onp_npy_free(&npy);
    }
    return items;
}

struct onp_golden_items onp_golden_own_pictures(void) {
    static const char *const files[] = {"own/scene_u8.npy",
                                        "preprocess/images/resized_u8/png_noise_61x47.npy"};
    return onp_golden_pictures(files, 2);
}

void onp_golden_items_free(struct onp_golden_items *items) {
    free(items->memory);
    memset(items, 0, sizeof *items);
}

// --- Comparing -------------------------------------------------------------------------------

double onp_golden_distance(const float *a, const float *b, size_t count) {
    double worst = 0.0;
    for (size_t i = 0; i < count; i++) {
        const double distance = fabs((double)a[i] - (double)b[i]);
        if (!(distance <= worst)) worst = isfinite(distance) ? distance : INFINITY;
    }
    return worst;
}

void onp_golden_near(const char *what, const float *got, const float *want, size_t count,
                     double tolerance) {
    const double distance = onp_golden_distance(got, want, count);
    if (getenv("ONP_TEST_VERBOSE"))
        fprintf(stderr, "%-60s %.2e (tolerance %.0e)\n", what, distance, tolerance);
    if (!(distance <= tolerance))
        fail_msg("%s: distance %.3g, tolerance %.3g", what, distance, tolerance);
}
