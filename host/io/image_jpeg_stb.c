// SPDX-License-Identifier: Apache-2.0
// JPEG without libjpeg. stb_image fills what is missing with gray and never says so; therefore the
// markers are walked first and a file that has no end marker is refused.
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "io/image_codec.h"

// Nothing is allocated beyond four bytes for each of the most pixels allowed, plus padding.
static void *limited_realloc(void *old, size_t size) {
    return size > (ONP_IMAGE_MAX_PIXELS + (1u << 20)) * 4 ? NULL : realloc(old, size);
}

#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_STATIC
#define STBI_ONLY_JPEG
#define STBI_NO_STDIO
#define STBI_ASSERT(x)          ((void)0) // input must not be able to abort
#define STBI_MAX_DIMENSIONS     65535
#define STBI_MALLOC(size)       limited_realloc(NULL, size)
#define STBI_REALLOC(old, size) limited_realloc(old, size)
#define STBI_FREE(old)          free(old)
#if defined(__GNUC__)
#pragma GCC diagnostic ignored "-Wunused-function" // judged at the end of the file
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wsign-conversion"
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wunused-parameter"
#pragma GCC diagnostic ignored "-Wunused-but-set-variable"
#pragma GCC diagnostic ignored "-Wpragmas"
#endif
#include <stb/stb_image.h>
#if defined(__GNUC__)
#pragma GCC diagnostic pop
#endif

struct walk {
    const unsigned char *at, *end;
    uint32_t width, height;
    unsigned components;
    bool adobe;
};

static unsigned be16(const unsigned char *p) { return (unsigned)p[0] << 8 | p[1]; }

// Steps over fill bytes to the next marker and returns it, or 0 at the end of the data. Stuffed
// zeros and restart markers belong to the entropy data.
static unsigned next_marker(struct walk *walk) {
    for (; walk->end - walk->at >= 2; walk->at++) {
        const unsigned marker = walk->at[1];
        if (walk->at[0] != 0xff || marker == 0 || marker == 0xff) continue;
        if (marker == 1 || (marker >= 0xd0 && marker <= 0xd8)) continue;
        walk->at += 2;
        return marker;
    }
    return 0;
}

static bool is_frame(unsigned marker) {
    return marker >= 0xc0 && marker <= 0xcf && marker != 0xc4 && marker != 0xc8 && marker != 0xcc;
}

// True when the file goes on to its end marker.
static bool complete(struct walk *walk) {
    for (unsigned marker; (marker = next_marker(walk)) != 0;) {
        if (marker == 0xd9) return walk->components != 0;
        if (walk->end - walk->at < 2) return false;
        const unsigned size = be16(walk->at);
        if (size < 2 || walk->end - walk->at < (ptrdiff_t)size) return false;
        if (is_frame(marker)) {
            if (size < 8) return false;
            walk->height = be16(walk->at + 3);
            walk->width = be16(walk->at + 5);
            walk->components = walk->at[7];
        }
        if (marker == 0xee && size >= 14) walk->adobe = true;
        walk->at += size;
    }
    return false;
}

enum onp_status onp_jpeg_decode(const struct onp_image_source *source, struct onp_image *out) {
    struct walk walk = {.at = source->data, .end = source->data + source->size};
    if (!complete(&walk)) return onp_image_broken(source, "the file ends too early");
    if (walk.components != 1 && walk.components != 3 && !(walk.components == 4 && walk.adobe))
        return onp_fail(source->log, ONP_ERR_UNSUPPORTED,
                        "%s is a JPEG with %u colour components; 1, 3 and 4 (Adobe) can be read",
                        source->name, walk.components);
    if (source->size > INT_MAX) return onp_image_broken(source, "it is over 2 GiB");
    ONP_TRY(onp_image_check(source, walk.width, walk.height, ONP_JPEG_PIXELS_PER_BYTE));
    int width = 0, height = 0, components = 0;
    out->rgb =
        stbi_load_from_memory(source->data, (int)source->size, &width, &height, &components, 3);
    if (!out->rgb) return onp_image_broken(source, stbi_failure_reason());
    out->width = (uint32_t)width;
    out->height = (uint32_t)height;
    return ONP_OK;
}

const char *onp_jpeg_library(void) { return "stb_image (differs from libjpeg by up to 3 of 255)"; }
