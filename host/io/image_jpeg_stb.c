// SPDX-License-Identifier: Apache-2.0
// JPEG without libjpeg. stb_image fills what is missing with gray and never says so; therefore the
// segments are walked first, and a file that has no end marker is refused.
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "io/image_codec.h"

#define MAX_SCANS 500 // as for libjpeg

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

// What has been seen of a file so far. Bit t of a table mask means that table t is defined.
struct walk {
    const unsigned char *at, *end;
    uint32_t width, height;
    unsigned components, scans;
    unsigned quantisers, dc_tables, ac_tables;
    unsigned quantisers_needed;
    bool progressive, adobe;
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

// Each segment reader below gets what follows the segment's size. Their checks are there because
// stb_image 2.27 leaves its memory otherwise: it writes beyond its table for more than 256 codes,
// looks for tables behind a segment that the last one does not fill, and reads tables that no
// segment has defined.
static bool read_huffman(struct walk *walk, const unsigned char *at, const unsigned char *end) {
    while (at < end) {
        ptrdiff_t codes = 0;
        if (end - at < 17 || at[0] > 0x13 || (at[0] & 15) > 3) return false;
        for (int i = 1; i <= 16; i++) codes += at[i];
        if (codes > 256 || codes > end - at - 17) return false;
        *(at[0] >> 4 ? &walk->ac_tables : &walk->dc_tables) |= 1u << (at[0] & 15);
        at += 17 + codes;
    }
    return true;
}

static bool read_quantisers(struct walk *walk, const unsigned char *at, const unsigned char *end) {
    while (at < end) {
        const ptrdiff_t size = at[0] >> 4 ? 129 : 65;
        if (end - at < size || at[0] > 0x13 || (at[0] & 15) > 3) return false;
        walk->quantisers |= 1u << (at[0] & 15);
        at += size;
    }
    return true;
}

static bool read_frame(struct walk *walk, unsigned marker, const unsigned char *at,
                       const unsigned char *end) {
    if (end - at < 6 || walk->components != 0) return false;
    walk->progressive = marker == 0xc2;
    walk->height = be16(at + 1);
    walk->width = be16(at + 3);
    walk->components = at[5];
    if (walk->components == 0 || end - at != 6 + 3 * (ptrdiff_t)walk->components) return false;
    for (unsigned i = 0; i < walk->components; i++) {
        if (at[8 + 3 * i] > 3) return false;
        walk->quantisers_needed |= 1u << at[8 + 3 * i];
    }
    return true;
}

static bool read_scan(struct walk *walk, const unsigned char *at, const unsigned char *end) {
    if (end - at < 6 || walk->components == 0 || ++walk->scans > MAX_SCANS) return false;
    if ((walk->quantisers_needed & ~walk->quantisers) != 0) return false;
    const unsigned count = at[0];
    if (end - at != 4 + 2 * (ptrdiff_t)count) return false;
    const unsigned first = at[1 + 2 * count], refining = at[3 + 2 * count] >> 4;
    const bool needs_dc = !walk->progressive || (first == 0 && refining == 0);
    const bool needs_ac = !walk->progressive || first > 0;
    for (unsigned i = 0; i < count; i++) {
        const unsigned tables = at[2 + 2 * i];
        if (needs_dc && !(walk->dc_tables >> (tables >> 4) & 1)) return false;
        if (needs_ac && !(walk->ac_tables >> (tables & 15) & 1)) return false;
    }
    return true;
}

static bool read_segment(struct walk *walk, unsigned marker, const unsigned char *at,
                         const unsigned char *end) {
    switch (marker) {
    case 0xc0: // the frames that stb_image reads: baseline, extended, progressive
    case 0xc1:
    case 0xc2:
        return read_frame(walk, marker, at, end);
    case 0xc4:
        return read_huffman(walk, at, end);
    case 0xda:
        return read_scan(walk, at, end);
    case 0xdb:
        return read_quantisers(walk, at, end);
    case 0xee:
        walk->adobe |= end - at >= 12;
        return true;
    default:
        return true;
    }
}

// Goes through all segments to the end marker. Returns what is wrong with them, or NULL.
static const char *check_segments(struct walk *walk) {
    static const char cut[] = "the file ends too early", damaged[] = "a segment is damaged";
    for (unsigned marker; (marker = next_marker(walk)) != 0;) {
        if (marker == 0xd9) return walk->scans != 0 ? NULL : damaged;
        if (walk->end - walk->at < 2) return cut;
        const unsigned size = be16(walk->at);
        if (walk->end - walk->at < (ptrdiff_t)size) return cut;
        if (size < 2 || !read_segment(walk, marker, walk->at + 2, walk->at + size)) return damaged;
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
