// SPDX-License-Identifier: Apache-2.0
// JPEG without libjpeg. stb_image fills what is missing with gray and never says so; therefore the
// segments are walked first, and a file that has no end marker is refused.
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

// stb_image 2.27 writes beyond its table when a Huffman table claims more than 256 codes, and looks
// for tables behind a segment that the last one does not fill.
static bool good_huffman(const unsigned char *table, const unsigned char *end) {
    while (table < end) {
        ptrdiff_t codes = 0;
        if (end - table < 17) return false;
        for (int i = 1; i <= 16; i++) codes += table[i];
        if (codes > 256 || codes > end - table - 17) return false;
        table += 17 + codes;
    }
    return true;
}

static bool read_frame(struct walk *walk, unsigned size) {
    if (size < 8 || walk->components != 0) return false;
    walk->height = be16(walk->at + 3);
    walk->width = be16(walk->at + 5);
    walk->components = walk->at[7];
    return walk->components != 0;
}

// Goes through all segments to the end marker. Returns what is wrong with them, or NULL.
static const char *check_segments(struct walk *walk) {
    static const char cut[] = "the file ends too early", damaged[] = "a segment is damaged";
    for (unsigned marker; (marker = next_marker(walk)) != 0;) {
        if (marker == 0xd9) return walk->components != 0 ? NULL : damaged;
        if (walk->end - walk->at < 2) return cut;
        const unsigned size = be16(walk->at);
        if (size < 2) return damaged;
        if (walk->end - walk->at < (ptrdiff_t)size) return cut;
        if (is_frame(marker) && !read_frame(walk, size)) return damaged;
        if (marker == 0xc4 && !good_huffman(walk->at + 2, walk->at + size)) return damaged;
        if (marker == 0xee && size >= 14) walk->adobe = true;
        walk->at += size;
    }
    return cut;
}

enum onp_status onp_jpeg_decode(const struct onp_image_source *source, struct onp_image *out) {
    struct walk walk = {.at = source->data, .end = source->data + source->size};
    const char *wrong = check_segments(&walk);
    if (wrong) return onp_image_broken(source, wrong);
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

const char *onp_jpeg_library(void) { return "stb_image (a few of 255 levels off libjpeg)"; }
