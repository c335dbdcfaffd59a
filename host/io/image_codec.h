// SPDX-License-Identifier: Apache-2.0
// What image.c and the decoders share. Each decoder fills out->rgb through onp_image_alloc and
// reports its own failure; image.c frees what a failed decoder leaves behind.
#ifndef ONP_IO_IMAGE_CODEC_H
#define ONP_IO_IMAGE_CODEC_H

#include "io/image.h"

struct onp_image_source {
    const unsigned char *data;
    size_t size;
    const char *name;
    const struct onp_log *log;
};

// Refuses sizes beyond the limits and pictures of more than `pixels_per_byte` pixels a byte of the
// file (what the format can reach at best), then allocates out->rgb, zeroed and untouched.
enum onp_status onp_image_alloc(const struct onp_image_source *source, uint64_t width,
                                uint64_t height, uint64_t pixels_per_byte, struct onp_image *out);
// The same checks without the allocation.
enum onp_status onp_image_check(const struct onp_image_source *source, uint64_t width,
                                uint64_t height, uint64_t pixels_per_byte);
// "cannot decode NAME: REASON" with ONP_ERR_FORMAT.
enum onp_status onp_image_broken(const struct onp_image_source *source, const char *reason);
// Spreads `width` gray bytes at the start of an RGB row over that row, in place.
void onp_image_gray_row(unsigned char *row, uint32_t width);

enum onp_status onp_png_decode(const struct onp_image_source *source, struct onp_image *out);
enum onp_status onp_jpeg_decode(const struct onp_image_source *source, struct onp_image *out);
enum onp_status onp_bmp_decode(const struct onp_image_source *source, struct onp_image *out);

// Most pixels a byte of a JPEG can hold: one bit for each 8 x 8 block of the DC scan, and the
// largest sampling factors may belong to two components of a quarter of the blocks each.
#define ONP_JPEG_PIXELS_PER_BYTE 1024u
const char *onp_jpeg_library(void);
const char *onp_png_library(void);

#endif
