// SPDX-License-Identifier: Apache-2.0
#include "io/image.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/file.h"
#include "io/image_codec.h"

enum onp_status onp_image_broken(const struct onp_image_source *source, const char *reason) {
    return onp_fail(source->log, ONP_ERR_FORMAT, "cannot decode %s: %s", source->name, reason);
}

enum onp_status onp_image_check(const struct onp_image_source *source, uint64_t width,
                                uint64_t height, uint64_t pixels_per_byte) {
    if (width == 0 || height == 0) return onp_image_broken(source, "the picture has no pixels");
    uint64_t pixels = 0, most = 0;
    if (width > ONP_IMAGE_MAX_SIDE || height > ONP_IMAGE_MAX_SIDE ||
        !onp_mul_u64(width, height, &pixels) || pixels > ONP_IMAGE_MAX_PIXELS)
        return onp_fail(source->log, ONP_ERR_UNSUPPORTED,
                        "%s has %" PRIu64 " x %" PRIu64 " pixels; the limits are %u a side and "
                        "%" PRIu64 " in all: shrink the picture first",
                        source->name, width, height, ONP_IMAGE_MAX_SIDE, ONP_IMAGE_MAX_PIXELS);
    if (onp_mul_u64(source->size, pixels_per_byte, &most) && pixels > most)
        return onp_fail(source->log, ONP_ERR_FORMAT,
                        "cannot decode %s: its %zu bytes cannot hold the %" PRIu64 " x %" PRIu64
                        " pixels it claims; the file is cut or damaged",
                        source->name, source->size, width, height);
    return ONP_OK;
}

enum onp_status onp_image_alloc(const struct onp_image_source *source, uint64_t width,
                                uint64_t height, uint64_t pixels_per_byte, struct onp_image *out) {
    ONP_TRY(onp_image_check(source, width, height, pixels_per_byte));
    out->rgb = calloc((size_t)(width * height), 3);
    if (!out->rgb)
        return onp_fail(source->log, ONP_ERR_MEMORY,
                        "no memory for the %" PRIu64 " x %" PRIu64 " pixels of %s", width, height,
                        source->name);
    out->width = (uint32_t)width;
    out->height = (uint32_t)height;
    return ONP_OK;
}

void onp_image_gray_row(unsigned char *row, uint32_t width) {
    for (size_t x = width; x-- > 0;) memset(row + 3 * x, row[x], 3);
}

static bool starts_with(const struct onp_image_source *source, const char *magic, size_t size) {
    return source->size >= size && memcmp(source->data, magic, size) == 0;
}

enum onp_status onp_image_decode(const void *data, size_t size, const char *name,
                                 const struct onp_log *log, struct onp_image *out) {
    *out = (struct onp_image){0};
    const struct onp_image_source source = {data, size, name, log};
    enum onp_status status;
    if (size == 0)
        status = onp_fail(log, ONP_ERR_FORMAT, "%s is empty, not a picture", name);
    else if (starts_with(&source, "\x89PNG\r\n\x1a\n", 8))
        status = onp_png_decode(&source, out);
    else if (starts_with(&source, "\xff\xd8\xff", 3))
        status = onp_jpeg_decode(&source, out);
    else if (starts_with(&source, "BM", 2))
        status = onp_bmp_decode(&source, out);
    else
        status = onp_fail(log, ONP_ERR_UNSUPPORTED,
                          "%s is not a picture that can be read; the formats are JPEG, PNG and BMP",
                          name);
    if (status != ONP_OK) onp_image_free(out);
    return status;
}

enum onp_status onp_image_read(const char *path, const struct onp_log *log, struct onp_image *out) {
    *out = (struct onp_image){0};
    struct onp_map map;
    ONP_TRY(onp_map_open(path, log, &map));
    const enum onp_status status = onp_image_decode(map.data, map.size, path, log, out);
    onp_map_close(&map);
    return status;
}

void onp_image_free(struct onp_image *image) {
    free(image->rgb);
    *image = (struct onp_image){0};
}

static char decoders[128];

static void describe(void) {
    snprintf(decoders, sizeof decoders, "JPEG: %s; PNG: %s; BMP: built in", onp_jpeg_library(),
             onp_png_library());
}

const char *onp_image_decoders(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, describe);
    return decoders;
}
