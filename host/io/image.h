// SPDX-License-Identifier: Apache-2.0
// Picture decoding to 8-bit RGB as Pillow's convert("RGB") gives it (SPEC section 11.1): alpha
// dropped, EXIF orientation not applied, 16-bit gray clipped at 255.
#ifndef ONP_IO_IMAGE_H
#define ONP_IO_IMAGE_H

#include "base/log.h"

// Larger pictures are refused before anything of their size is allocated, and so is a picture with
// more pixels than its file's bytes can encode.
#define ONP_IMAGE_MAX_PIXELS ((uint64_t)1 << 26) // 64 Mi
#define ONP_IMAGE_MAX_SIDE   1000000u

struct onp_image {
    uint32_t width, height;
    unsigned char *rgb; // [height][width][3], free with onp_image_free
};
// On failure *out is all zero and the message names the file.
enum onp_status onp_image_read(const char *path, const struct onp_log *log, struct onp_image *out);
// The same from memory; `name` stands for the path in messages.
enum onp_status onp_image_decode(const void *data, size_t size, const char *name,
                                 const struct onp_log *log, struct onp_image *out);
void onp_image_free(struct onp_image *image);
const char *onp_image_decoders(void); // which libraries decode, with versions

#endif
