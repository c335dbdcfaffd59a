// SPDX-License-Identifier: Apache-2.0
// Shared by the picture and sound tests: data folders, arrays, a temporary folder.
#ifndef ONP_TESTS_MEDIA_UTIL_H
#define ONP_TESTS_MEDIA_UTIL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "io/audio.h"
#include "io/image.h"
#include "models/one_peace/preprocess.h"

static const struct onp_log test_log;

struct array {
    size_t shape[3], count;
    size_t item; // bytes of an element
    void *data;
};

// The goldens are version 1 files of float32 or uint8 in C order.
static inline struct array array_read(const char *path) {
    struct array array = {.shape = {1, 1, 1}, .count = 1};
    char *file = NULL;
    size_t size = 0;
    if (onp_file_read(path, (size_t)1 << 26, &test_log, &file, &size) != ONP_OK)
        fail_msg("%s", onp_last_error());
    assert_true(size > 128 && memcmp(file, "\x93NUMPY\x01", 7) == 0);
    const size_t start = 10 + (unsigned char)file[8] + (size_t)(unsigned char)file[9] * 256;
    array.item = strstr(file + 10, "'<f4'") ? 4 : strstr(file + 10, "'|u1'") ? 1 : 0;
    assert_true(array.item != 0 && strstr(file + 10, "'fortran_order': False"));
    const char *at = strstr(file + 10, "'shape': (") + 10;
    for (size_t d = 0; *at != ')'; d++) {
        char *end = NULL;
        assert_true(d < 3);
        array.shape[d] = strtoul(at, &end, 10);
        array.count *= array.shape[d];
        for (at = end; *at == ',' || *at == ' ';) at++;
    }
    assert_int_equal(size - start, array.count * array.item);
    array.data = malloc(array.count * array.item + 1);
    assert_non_null(array.data);
    memcpy(array.data, file + start, array.count * array.item);
    free(file);
    return array;
}

// The folder of goldens: first the repository's selection, then, where there is one, the full set.
static inline const char *golden_root(int which) {
    static char roots[2][2048];
    const char *data = getenv("ONP_TEST_DATA"), *shared = getenv("ONP_SHARED_GOLDEN");
    if (!data) fail_msg("ONP_TEST_DATA must name the folder tests/data");
    snprintf(roots[0], sizeof roots[0], "%s/golden", data);
    if (shared)
        snprintf(roots[1], sizeof roots[1], "%s", shared);
    else
        snprintf(roots[1], sizeof roots[1], "%s/../../../shared/golden", data);
    return which == 0 || access(roots[1], R_OK) == 0 ? roots[which] : NULL;
}

// Calls fn(source file, golden file, stem) for each golden array of a folder; the source is the
// file of that stem in `sources`, or in the media folder beside the goldens. Returns their number.
typedef void (*golden_fn)(const char *source, const char *golden, const char *stem);

static inline bool find_source(const char *folder, const char *stem, char *out, size_t size) {
    static const char endings[][6] = {".png", ".bmp", ".jpg", ".JPEG", ".wav", ".flac"};
    for (size_t i = 0; i < sizeof endings / sizeof endings[0]; i++) {
        snprintf(out, size, "%s/%s%.5s", folder, stem, endings[i]);
        if (access(out, R_OK) == 0) return true;
    }
    return false;
}

static inline size_t each_golden(const char *root, const char *kind, const char *sources,
                                 const char *goldens, golden_fn fn) {
    char folder[2200], source_folder[2200], media[2200], golden[2600], source[2600];
    snprintf(folder, sizeof folder, "%s/%s/%s", root, kind, goldens);
    snprintf(source_folder, sizeof source_folder, "%s/%s/%s", root, kind, sources);
    snprintf(media, sizeof media, "%s/media", root);
    // clip_400ms and the like are sounds, dog is both: the kind decides.
    struct dirent **names = NULL;
    const int count = scandir(folder, &names, NULL, alphasort);
    size_t done = 0;
    for (int i = 0; i < count; i++) {
        char stem[256];
        snprintf(stem, sizeof stem, "%s", names[i]->d_name);
        char *dot = strrchr(stem, '.');
        if (dot && strcmp(dot, ".npy") == 0) {
            *dot = '\0';
            snprintf(golden, sizeof golden, "%s/%s", folder, names[i]->d_name);
            const bool sound = strstr(kind, "audio") != NULL;
            bool found = find_source(source_folder, stem, source, sizeof source);
            if (!found && sound) {
                snprintf(source, sizeof source, "%s/%s.wav", media, stem);
                if (!(found = access(source, R_OK) == 0))
                    snprintf(source, sizeof source, "%s/%s.flac", media, stem);
                found = access(source, R_OK) == 0;
            } else if (!found) {
                found = find_source(media, stem, source, sizeof source);
            }
            if (!found) fail_msg("no source for %s", golden);
            fn(source, golden, stem);
            done++;
        }
        free(names[i]);
    }
    free(names);
    return done;
}

static inline struct onp_image must_read_image(const char *path) {
    struct onp_image image;
    if (onp_image_read(path, &test_log, &image) != ONP_OK) fail_msg("%s", onp_last_error());
    return image;
}

static inline struct onp_audio must_read_audio(const char *path) {
    struct onp_audio audio;
    if (onp_audio_read(path, &test_log, &audio) != ONP_OK) fail_msg("%s", onp_last_error());
    return audio;
}

static inline double worst_float(const float *a, const float *b, size_t count) {
    double worst = 0.0;
    for (size_t i = 0; i < count; i++) {
        const double difference = fabs((double)a[i] - (double)b[i]);
        if (!(difference <= worst)) worst = difference; // NaN becomes the worst
    }
    return worst;
}

static inline int worst_byte(const unsigned char *a, const unsigned char *b, size_t count) {
    int worst = 0;
    for (size_t i = 0; i < count; i++)
        if (abs(a[i] - b[i]) > worst) worst = abs(a[i] - b[i]);
    return worst;
}

#endif
