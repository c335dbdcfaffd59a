// SPDX-License-Identifier: Apache-2.0
// JPEG through libjpeg-turbo with its defaults (slow-integer inverse DCT, fancy upsampling), which
// are Pillow's.
#include <stdio.h> // jpeglib.h needs FILE

#include <jpeglib.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include "io/image_codec.h"

// A progressive file repeats work over the whole picture for every scan; real ones have about ten.
#define MAX_SCANS 500

struct jpeg_state {
    struct jpeg_decompress_struct jpeg;
    struct jpeg_error_mgr errors;
    struct jpeg_source_mgr input;
    struct jpeg_progress_mgr progress;
    jmp_buf escape;
    char reason[JMSG_LENGTH_MAX];
};

static struct jpeg_state *state_of(j_common_ptr jpeg) { return jpeg->client_data; }

static void on_error(j_common_ptr jpeg) {
    struct jpeg_state *state = state_of(jpeg);
    jpeg->err->format_message(jpeg, state->reason);
    longjmp(state->escape, 1);
}

// Pillow goes on after warnings (damaged entropy data), so this does too.
static void on_message(j_common_ptr jpeg) { (void)jpeg; }

static void on_progress(j_common_ptr jpeg) {
    struct jpeg_state *state = state_of(jpeg);
    if (((j_decompress_ptr)jpeg)->input_scan_number <= MAX_SCANS) return;
    snprintf(state->reason, sizeof state->reason, "it has more than %d scans", MAX_SCANS);
    longjmp(state->escape, 1);
}

static void input_nothing(j_decompress_ptr jpeg) { (void)jpeg; }

// The whole file is given at once: wanting more means that it is cut. libjpeg then suspends, which
// is how Pillow notices; it must not be fed an invented end marker.
static boolean input_more(j_decompress_ptr jpeg) {
    (void)jpeg;
    return FALSE;
}

static void input_skip(j_decompress_ptr jpeg, long count) {
    if (count <= 0) return;
    const size_t left = jpeg->src->bytes_in_buffer;
    const size_t step = (size_t)count < left ? (size_t)count : left;
    jpeg->src->next_input_byte += step;
    jpeg->src->bytes_in_buffer -= step;
}

// Adobe's convention: the stored values are inverted. The division by 255 rounds to nearest.
static void cmyk_row(const unsigned char *in, unsigned char *out, uint32_t width) {
    for (size_t x = 0; x < width; x++) {
        const int white = in[4 * x + 3];
        for (size_t c = 0; c < 3; c++) {
            const int product = (255 - in[4 * x + c]) * white + 128;
            const int value = white - ((product + (product >> 8)) >> 8);
            out[3 * x + c] = (unsigned char)(value < 0 ? 0 : value);
        }
    }
}

static enum onp_status cut(const struct onp_image_source *source) {
    return onp_image_broken(source, "the file ends too early");
}

static enum onp_status read_rows(struct jpeg_state *state, const struct onp_image_source *source,
                                 struct onp_image *out) {
    j_decompress_ptr jpeg = &state->jpeg;
    JSAMPARRAY cmyk = NULL;
    if (jpeg->out_color_space == JCS_CMYK)
        cmyk = jpeg->mem->alloc_sarray((j_common_ptr)jpeg, JPOOL_IMAGE, out->width * 4, 1);
    for (uint32_t y = 0; y < out->height; y++) {
        unsigned char *row = out->rgb + (size_t)y * out->width * 3;
        JSAMPROW target = cmyk ? cmyk[0] : row;
        if (jpeg_read_scanlines(jpeg, &target, 1) != 1) return cut(source);
        if (cmyk)
            cmyk_row(cmyk[0], row, out->width);
        else if (jpeg->out_color_space == JCS_GRAYSCALE)
            onp_image_gray_row(row, out->width);
    }
    jpeg_finish_decompress(jpeg); // fails on damage behind the last row; a missing end is forgiven
    return ONP_OK;
}

// By number of components, not by the stored colour space, as Pillow does.
static bool choose_colors(j_decompress_ptr jpeg) {
    jpeg->out_color_space = jpeg->num_components == 1   ? JCS_GRAYSCALE
                            : jpeg->num_components == 3 ? JCS_RGB
                                                        : JCS_CMYK;
    return jpeg->num_components == 1 || jpeg->num_components == 3 || jpeg->num_components == 4;
}

static enum onp_status decode(struct jpeg_state *state, const struct onp_image_source *source,
                              struct onp_image *out) {
    j_decompress_ptr jpeg = &state->jpeg;
    if (setjmp(state->escape)) return onp_image_broken(source, state->reason);
    jpeg_create_decompress(jpeg);
    jpeg->src = &state->input;
    jpeg->progress = &state->progress;
    if (jpeg_read_header(jpeg, TRUE) != JPEG_HEADER_OK) return cut(source);
    if (!choose_colors(jpeg))
        return onp_fail(source->log, ONP_ERR_UNSUPPORTED,
                        "%s is a JPEG with %d colour components; 1, 3 and 4 can be read",
                        source->name, jpeg->num_components);
    ONP_TRY(onp_image_alloc(source, jpeg->image_width, jpeg->image_height, ONP_JPEG_PIXELS_PER_BYTE,
                            out));
    if (!jpeg_start_decompress(jpeg)) return cut(source);
    return read_rows(state, source, out);
}

enum onp_status onp_jpeg_decode(const struct onp_image_source *source, struct onp_image *out) {
    struct jpeg_state *state = calloc(1, sizeof *state);
    if (!state)
        return onp_fail(source->log, ONP_ERR_MEMORY, "no memory to decode %s", source->name);
    state->jpeg.err = jpeg_std_error(&state->errors);
    state->jpeg.client_data = state;
    state->errors.error_exit = on_error;
    state->errors.output_message = on_message;
    state->progress.progress_monitor = on_progress;
    state->input = (struct jpeg_source_mgr){.next_input_byte = source->data,
                                            .bytes_in_buffer = source->size,
                                            .init_source = input_nothing,
                                            .fill_input_buffer = input_more,
                                            .skip_input_data = input_skip,
                                            .resync_to_restart = jpeg_resync_to_restart,
                                            .term_source = input_nothing};
    const enum onp_status status = decode(state, source, out);
    jpeg_destroy_decompress(&state->jpeg);
    free(state);
    return status;
}

#define TEXT_(x) #x
#define TEXT(x)  TEXT_(x)
#ifdef LIBJPEG_TURBO_VERSION
#define LIBRARY "libjpeg-turbo " TEXT(LIBJPEG_TURBO_VERSION)
#else
#define LIBRARY "libjpeg " TEXT(JPEG_LIB_VERSION)
#endif
const char *onp_jpeg_library(void) { return LIBRARY; }
