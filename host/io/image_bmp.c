// SPDX-License-Identifier: Apache-2.0
// Uncompressed BMP of 1, 4, 8, 16, 24 and 32 bits, read as Pillow reads it. stb_image differs from
// Pillow for 16 bits and short palettes and takes cut files for whole ones. RLE is refused.
#include <string.h>

#include "io/image_codec.h"

struct bmp {
    const struct onp_image_source *source;
    uint64_t width, height;
    bool top_down;
    unsigned bits, compression;
    uint64_t palette_at, palette_entry, colors; // where, bytes of an entry, entries
    uint64_t pixels_at, stride;
    unsigned byte_of[3]; // of R, G and B in a 24 or 32 bit pixel
    bool green6;         // 16 bits are 5-6-5, not 5-5-5
};

static uint32_t le16(const unsigned char *p) { return (uint32_t)p[0] | (uint32_t)p[1] << 8; }
static uint32_t le32(const unsigned char *p) { return le16(p) | le16(p + 2) << 16; }

static enum onp_status unsupported(const struct bmp *bmp, const char *what) {
    return onp_fail(bmp->source->log, ONP_ERR_UNSUPPORTED,
                    "%s is a BMP with %s, which cannot be read: convert it to PNG",
                    bmp->source->name, what);
}

static enum onp_status cut(const struct bmp *bmp) {
    return onp_image_broken(bmp->source, "the file ends too early");
}

// The masks say which byte holds which colour; only the common layouts exist in practice.
static enum onp_status read_masks(struct bmp *bmp, const unsigned char *masks) {
    const uint32_t r = le32(masks), g = le32(masks + 4), b = le32(masks + 8);
    const bool standard = r == 0xff0000 && g == 0xff00 && b == 0xff;
    if (bmp->bits == 16 && r == 0xf800 && g == 0x7e0 && b == 0x1f)
        bmp->green6 = true;
    else if (bmp->bits == 32 && r == 0xff000000u && g == 0xff0000 && b == 0xff00)
        memcpy(bmp->byte_of, (const unsigned[]){3, 2, 1}, sizeof bmp->byte_of);
    else if (bmp->bits == 32 && r == 0xff && g == 0xff00 && b == 0xff0000)
        memcpy(bmp->byte_of, (const unsigned[]){0, 1, 2}, sizeof bmp->byte_of);
    else if (!(bmp->bits == 16 && r == 0x7c00 && g == 0x3e0 && b == 0x1f) &&
             !(bmp->bits >= 24 && standard) && !(bmp->bits == 32 && (r | g | b) == 0))
        return unsupported(bmp, "unusual colour masks");
    return ONP_OK;
}

static enum onp_status read_long_header(struct bmp *bmp, const unsigned char *header,
                                        uint64_t header_size) {
    const int32_t height = (int32_t)le32(header + 8);
    bmp->width = le32(header + 4);
    bmp->top_down = height < 0;
    bmp->height = height < 0 ? (uint64_t) - (int64_t)height : (uint64_t)height;
    bmp->bits = le16(header + 14);
    bmp->compression = le32(header + 16);
    bmp->colors = le32(header + 32);
    bmp->palette_entry = 4;
    if (bmp->compression == 0) return ONP_OK;
    if (bmp->compression != 3) return unsupported(bmp, "compressed pixels");
    if (header_size < 52) bmp->palette_at += 12; // the masks follow the short header
    if (14 + 40 + 12 > bmp->source->size) return cut(bmp);
    return read_masks(bmp, header + 40);
}

static enum onp_status read_header(struct bmp *bmp) {
    const unsigned char *data = bmp->source->data;
    if (bmp->source->size < 26) return cut(bmp);
    const uint64_t header_size = le32(data + 14);
    if (header_size != 12 && header_size != 40 && header_size != 52 && header_size != 56 &&
        header_size != 64 && header_size != 108 && header_size != 124)
        return unsupported(bmp, "an unknown header");
    bmp->palette_at = 14 + header_size;
    if (bmp->palette_at > bmp->source->size) return cut(bmp);
    if (header_size == 12) {
        bmp->width = le16(data + 18);
        bmp->height = le16(data + 20);
        bmp->bits = le16(data + 24);
        bmp->palette_entry = 3;
    } else {
        ONP_TRY(read_long_header(bmp, data + 14, header_size));
    }
    if (bmp->bits != 1 && bmp->bits != 4 && bmp->bits != 8 && bmp->bits != 16 && bmp->bits != 24 &&
        bmp->bits != 32)
        return unsupported(bmp, "an odd number of bits");
    return onp_image_check(bmp->source, bmp->width, bmp->height, 8);
}

static enum onp_status locate_pixels(struct bmp *bmp) {
    const uint64_t size = bmp->source->size;
    uint64_t palette_size = 0;
    if (bmp->bits <= 8) {
        if (bmp->colors == 0) bmp->colors = (uint64_t)1 << bmp->bits;
        palette_size = bmp->colors * bmp->palette_entry;
    }
    if (bmp->palette_at + palette_size > size) return cut(bmp);
    // A writer that forgot the palette in the offset, or the offset itself, is forgiven.
    bmp->pixels_at = le32(bmp->source->data + 10);
    if (bmp->pixels_at == 0 || (palette_size > 0 && bmp->pixels_at == bmp->palette_at))
        bmp->pixels_at = bmp->palette_at + palette_size;
    bmp->stride = (bmp->width * bmp->bits + 31) / 32 * 4;
    const uint64_t last_row = (bmp->width * bmp->bits + 7) / 8;
    if (bmp->pixels_at + bmp->stride * (bmp->height - 1) + last_row > size) return cut(bmp);
    return ONP_OK;
}

// An index beyond the palette's end means a gray of that value, as in Pillow.
static void load_palette(const struct bmp *bmp, unsigned char palette[256][3]) {
    for (unsigned i = 0; i < 256; i++) {
        const unsigned char *entry = bmp->source->data + bmp->palette_at + i * bmp->palette_entry;
        for (unsigned c = 0; c < 3; c++)
            palette[i][c] = i < bmp->colors ? entry[2 - c] : (unsigned char)i;
    }
}

static void indexed_row(const struct bmp *bmp, const unsigned char (*palette)[3],
                        const unsigned char *in, unsigned char *out) {
    const size_t per_byte = 8 / bmp->bits;
    const unsigned mask = (1u << bmp->bits) - 1;
    for (size_t x = 0; x < bmp->width; x++) {
        const size_t shift = 8 - bmp->bits * (x % per_byte + 1);
        memcpy(out + 3 * x, palette[(unsigned)in[x / per_byte] >> shift & mask], 3);
    }
}

static void rgb16_row(const struct bmp *bmp, const unsigned char *in, unsigned char *out) {
    for (size_t x = 0; x < bmp->width; x++) {
        const uint32_t v = le16(in + 2 * x);
        const uint32_t red = bmp->green6 ? v >> 11 : v >> 10;
        out[3 * x] = (unsigned char)((red & 31) * 255 / 31);
        out[3 * x + 1] =
            (unsigned char)(bmp->green6 ? (v >> 5 & 63) * 255 / 63 : (v >> 5 & 31) * 255 / 31);
        out[3 * x + 2] = (unsigned char)((v & 31) * 255 / 31);
    }
}

static void rgb_row(const struct bmp *bmp, const unsigned char *in, unsigned char *out) {
    const size_t step = bmp->bits / 8;
    for (size_t x = 0; x < bmp->width; x++)
        for (size_t c = 0; c < 3; c++) out[3 * x + c] = in[step * x + bmp->byte_of[c]];
}

enum onp_status onp_bmp_decode(const struct onp_image_source *source, struct onp_image *out) {
    struct bmp bmp = {.source = source, .byte_of = {2, 1, 0}};
    unsigned char palette[256][3];
    ONP_TRY(read_header(&bmp));
    ONP_TRY(locate_pixels(&bmp));
    ONP_TRY(onp_image_alloc(source, bmp.width, bmp.height, 8, out));
    if (bmp.bits <= 8) load_palette(&bmp, palette);
    for (uint64_t y = 0; y < bmp.height; y++) {
        const uint64_t from = bmp.top_down ? y : bmp.height - 1 - y;
        const unsigned char *in = source->data + bmp.pixels_at + from * bmp.stride;
        unsigned char *row = out->rgb + y * bmp.width * 3;
        if (bmp.bits <= 8)
            indexed_row(&bmp, (const unsigned char(*)[3])palette, in, row);
        else if (bmp.bits == 16)
            rgb16_row(&bmp, in, row);
        else
            rgb_row(&bmp, in, row);
    }
    return ONP_OK;
}
