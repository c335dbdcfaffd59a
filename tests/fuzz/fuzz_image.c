// SPDX-License-Identifier: Apache-2.0
// Picture decoding and the resize on arbitrary bytes.
#include <stddef.h>
#include <stdint.h>

#include "models/one_peace/preprocess.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const struct onp_log log;
    static float pixels[3 * 16 * 16];
    struct onp_image image;
    if (onp_image_decode(data, size, "fuzz", &log, &image) == ONP_OK) {
        // Small pictures only: the resize has no branches that depend on a larger one.
        if ((uint64_t)image.width * image.height < 1u << 16)
            onp_image_to_pixels(&image, 16, &log, pixels);
        onp_image_free(&image);
    }
    return 0;
}
