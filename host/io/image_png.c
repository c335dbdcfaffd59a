// SPDX-License-Identifier: Apache-2.0
// PNG through libpng. It, not stb_image, because it checks the checksums, decodes as the data
// arrives, and because Pillow's answer for 16-bit gray and for short palettes needs raw samples.
#include <png.h>
#include <setjmp.h>
#include <string.h>

#include "io/image_codec.h"

// Deflate makes at most 1032 bytes of one.
#define DEFLATED_BITS (1032u * 8u)

struct png_state {
    const struct onp_image_source *source;
    size_t position;
    png_structp png;
    png_infop info;
    unsigned char palette[256][3];
    char reason[160];
};

// libpng demands that this does not return.
static void on_error(png_structp png, png_const_charp message) {
    struct png_state *state = png_get_error_ptr(png);
    snprintf(state->reason, sizeof state->reason, "%s", message);
    png_longjmp(png, 1);
}

// Pillow reads on after what libpng warns about, or has no such check at all.
static void on_warning(png_structp png, png_const_charp message) {
    (void)png;
    (void)message;
}

static void on_read(png_structp png, png_bytep out, size_t size) {
    struct png_state *state = png_get_io_ptr(png);
    if (size > state->source->size - state->position) png_error(png, "the file ends too early");
    memcpy(out, state->source->data + state->position, size);
    state->position += size;
}

// An index beyond the palette's end means a gray of that value, as in Pillow.
static void load_palette(struct png_state *state) {
    png_colorp colors = NULL;
    int count = 0;
    png_get_PLTE(state->png, state->info, &colors, &count);
    for (int i = 0; i < 256; i++) {
        const bool known = i < count;
        const unsigned char gray = (unsigned char)i;
        state->palette[i][0] = known ? colors[i].red : gray;
        state->palette[i][1] = known ? colors[i].green : gray;
        state->palette[i][2] = known ? colors[i].blue : gray;
    }
}

static void palette_row(const struct png_state *state, unsigned char *row, uint32_t width) {
    for (size_t x = width; x-- > 0;) memcpy(row + 3 * x, state->palette[row[x]], 3);
}

static void gray16_row(unsigned char *row, uint32_t width) {
    for (size_t x = width; x-- > 0;) memset(row + 3 * x, row[2 * x] > 0 ? 255 : row[2 * x + 1], 3);
}

// Every form of sample comes out of libpng in no more than three bytes a pixel, so that each row is
// read to the start of its place in the result and spread there.
static void read_rows(struct png_state *state, struct onp_image *out) {
    const png_byte color = png_get_color_type(state->png, state->info);
    const png_byte depth = png_get_bit_depth(state->png, state->info);
    if (color == PNG_COLOR_TYPE_GRAY && depth < 8) png_set_expand_gray_1_2_4_to_8(state->png);
    if (color == PNG_COLOR_TYPE_PALETTE) {
        load_palette(state);
        png_set_packing(state->png);
    }
    if (color != PNG_COLOR_TYPE_GRAY && depth == 16) png_set_strip_16(state->png);
    if (color & PNG_COLOR_MASK_ALPHA) png_set_strip_alpha(state->png);
    const int passes = png_set_interlace_handling(state->png);
    png_read_update_info(state->png, state->info);
    const size_t stride = (size_t)out->width * 3;
    if (png_get_rowbytes(state->png, state->info) > stride) png_error(state->png, "bad row size");
    for (int pass = 0; pass < passes; pass++)
        for (uint32_t y = 0; y < out->height; y++)
            png_read_row(state->png, out->rgb + y * stride, NULL);
    for (uint32_t y = 0; y < out->height; y++) {
        unsigned char *row = out->rgb + y * stride;
        if (color == PNG_COLOR_TYPE_PALETTE)
            palette_row(state, row, out->width);
        else if (color == PNG_COLOR_TYPE_GRAY && depth == 16)
            gray16_row(row, out->width);
        else if (!(color & PNG_COLOR_MASK_COLOR))
            onp_image_gray_row(row, out->width);
    }
}

static enum onp_status decode(struct png_state *state, struct onp_image *out) {
    if (setjmp(png_jmpbuf(state->png))) return onp_image_broken(state->source, state->reason);
    png_set_read_fn(state->png, state, on_read);
    png_set_user_limits(state->png, ONP_IMAGE_MAX_SIDE, ONP_IMAGE_MAX_SIDE);
    png_set_crc_action(state->png, PNG_CRC_ERROR_QUIT, PNG_CRC_ERROR_QUIT);
    // Texts, profiles and the like are neither wanted nor decompressed; nor is tRNS.
    png_set_keep_unknown_chunks(state->png, PNG_HANDLE_CHUNK_NEVER, NULL, -1);
    png_read_info(state->png, state->info);
    const unsigned bits = (unsigned)png_get_channels(state->png, state->info) *
                          png_get_bit_depth(state->png, state->info);
    ONP_TRY(onp_image_alloc(state->source, png_get_image_width(state->png, state->info),
                            png_get_image_height(state->png, state->info), DEFLATED_BITS / bits,
                            out));
    read_rows(state, out);
    return ONP_OK;
}

enum onp_status onp_png_decode(const struct onp_image_source *source, struct onp_image *out) {
    struct png_state state = {.source = source};
    state.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &state, on_error, on_warning);
    if (state.png) state.info = png_create_info_struct(state.png);
    const enum onp_status status =
        state.info ? decode(&state, out)
                   : onp_fail(source->log, ONP_ERR_MEMORY, "no memory to decode %s", source->name);
    png_destroy_read_struct(&state.png, &state.info, NULL);
    return status;
}

const char *onp_png_library(void) { return "libpng " PNG_LIBPNG_VER_STRING; }
