// SPDX-License-Identifier: Apache-2.0
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "models/one_peace/preprocess.h"

#define WEIGHT_BITS 22

// One axis of the resize: output o is the sum over taps t of weight[offset[o] + t] times input
// first[o] + t, in fixed point.
struct axis {
    uint32_t in, out;
    uint32_t *first, *count; // [out]
    size_t *offset;          // [out]
    int32_t *weights;
};

static void axis_free(struct axis *axis) {
    free(axis->first);
    free(axis->count);
    free(axis->offset);
    free(axis->weights);
}

// Keys' cubic with a = -0.5.
static double bicubic(double x) {
    const double a = -0.5;
    x = fabs(x);
    if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0;
    if (x < 2.0) return (((x - 5.0) * x + 8.0) * x - 4.0) * a;
    return 0.0;
}

// The inputs that output o sees. The truncations are Pillow's.
static void axis_window(struct axis *axis, uint32_t o, double scale, double support) {
    const double centre = (o + 0.5) * scale;
    const double low = trunc(centre - support + 0.5), high = trunc(centre + support + 0.5);
    axis->first[o] = low < 0.0 ? 0 : (uint32_t)low;
    const uint32_t end = high > axis->in ? axis->in : (uint32_t)high;
    axis->count[o] = end - axis->first[o];
}

// Rounds half away from zero, after normalising the sum to 1. `taps` is working space.
static void axis_weights(struct axis *axis, uint32_t o, double scale, double *taps) {
    const double centre = (o + 0.5) * scale, shrink = 1.0 / (scale < 1.0 ? 1.0 : scale);
    double sum = 0.0;
    for (uint32_t t = 0; t < axis->count[o]; t++) {
        taps[t] = bicubic((axis->first[o] + t - centre + 0.5) * shrink);
        sum += taps[t];
    }
    for (uint32_t t = 0; t < axis->count[o]; t++) {
        const double weight = (sum != 0.0 ? taps[t] / sum : taps[t]) * (1 << WEIGHT_BITS);
        axis->weights[axis->offset[o] + t] = (int32_t)(weight < 0.0 ? weight - 0.5 : weight + 0.5);
    }
}

static enum onp_status axis_make(struct axis *axis, uint32_t in, uint32_t out,
                                 const struct onp_log *log) {
    *axis = (struct axis){.in = in, .out = out};
    const double scale = (double)in / out, support = 2.0 * (scale < 1.0 ? 1.0 : scale);
    size_t total = 0, most = 1;
    axis->first = calloc(out, sizeof *axis->first);
    axis->count = calloc(out, sizeof *axis->count);
    axis->offset = calloc(out, sizeof *axis->offset);
    if (!axis->first || !axis->count || !axis->offset) goto memory;
    for (uint32_t o = 0; o < out; o++) {
        axis_window(axis, o, scale, support);
        axis->offset[o] = total;
        total += axis->count[o];
        if (axis->count[o] > most) most = axis->count[o];
    }
    axis->weights = calloc(total, sizeof *axis->weights);
    double *taps = calloc(most, sizeof *taps);
    if (axis->weights && taps)
        for (uint32_t o = 0; o < out; o++) axis_weights(axis, o, scale, taps);
    free(taps);
    if (axis->weights && taps) return ONP_OK;
memory:
    axis_free(axis);
    return onp_fail(log, ONP_ERR_MEMORY, "no memory to resize a picture of %u pixels a side", in);
}

static unsigned char to_pixel(int32_t sum) {
    const int32_t value = (sum + (1 << (WEIGHT_BITS - 1))) >> WEIGHT_BITS;
    return (unsigned char)(value < 0 ? 0 : value > 255 ? 255 : value);
}

static void resize_row(const struct axis *axis, const unsigned char *in, unsigned char *out) {
    for (uint32_t o = 0; o < axis->out; o++) {
        const int32_t *weights = axis->weights + axis->offset[o];
        const unsigned char *pixel = in + (size_t)axis->first[o] * 3;
        int32_t sum[3] = {0, 0, 0};
        for (uint32_t t = 0; t < axis->count[o]; t++)
            for (int c = 0; c < 3; c++) sum[c] += pixel[3 * t + (uint32_t)c] * weights[t];
        for (int c = 0; c < 3; c++) out[3 * o + (uint32_t)c] = to_pixel(sum[c]);
    }
}

// Adds an input row to every output row that sees it. `done` is the first output row that may still
// miss something; windows move down monotonically.
static void spread_row(const struct axis *axis, uint32_t y, const unsigned char *row, size_t width,
                       int32_t *sums, uint32_t *done, unsigned char *out) {
    for (uint32_t o = *done; o < axis->out && axis->first[o] <= y; o++) {
        if (y >= axis->first[o] + axis->count[o]) continue;
        const int32_t weight = axis->weights[axis->offset[o] + (y - axis->first[o])];
        for (size_t i = 0; i < width; i++) sums[o * width + i] += row[i] * weight;
    }
    while (*done < axis->out && axis->first[*done] + axis->count[*done] <= y + 1) {
        for (size_t i = 0; i < width; i++)
            out[*done * width + i] = to_pixel(sums[*done * width + i]);
        ++*done;
    }
}

// Both passes, row by row: each input row is resized horizontally, rounded, and added to the sums
// of the output rows it belongs to, so that memory depends on the result's size alone. An axis that
// has the right size already is copied.
static void resize(const struct onp_image *image, const struct axis *across,
                   const struct axis *down, unsigned char *row, int32_t *sums, unsigned char *out) {
    const size_t width = (size_t)across->out * 3;
    uint32_t done = 0;
    for (uint32_t y = 0; y < image->height; y++) {
        const unsigned char *in = image->rgb + (size_t)y * image->width * 3;
        if (across->in != across->out) {
            resize_row(across, in, row);
            in = row;
        }
        if (down->in == down->out)
            memcpy(out + y * width, in, width);
        else
            spread_row(down, y, in, width, sums, &done, out);
    }
}

enum onp_status onp_resize_rgb(const struct onp_image *image, uint32_t side,
                               const struct onp_log *log, unsigned char *out) {
    if (side == 0 || side > 65536 || image->width == 0 || image->height == 0)
        return onp_fail(log, ONP_ERR_ARGUMENT, "cannot resize %u x %u pixels to %u a side",
                        image->width, image->height, side);
    struct axis across = {0}, down = {0};
    enum onp_status status;
    unsigned char *row = NULL;
    int32_t *sums = NULL;
    const size_t width = (size_t)side * 3;
    ONP_TRY(axis_make(&across, image->width, side, log));
    ONP_TRY_GOTO(status, axis_make(&down, image->height, side, log), end);
    row = malloc(width);
    sums = calloc(width * side, sizeof *sums);
    if (!row || !sums)
        status = onp_fail(log, ONP_ERR_MEMORY, "no memory to resize to %u pixels a side", side);
    else
        resize(image, &across, &down, row, sums, out);
    free(row);
    free(sums);
    axis_free(&down);
end:
    axis_free(&across);
    return status;
}

// In float32, in this order: torchvision's ToTensor and Normalize.
static float normalised(unsigned value, int channel) {
    static const float mean[3] = {0.48145466f, 0.4578275f, 0.40821073f};
    static const float deviation[3] = {0.26862954f, 0.26130258f, 0.27577711f};
    return ((float)value / 255.0f - mean[channel]) / deviation[channel];
}

enum onp_status onp_image_to_pixels(const struct onp_image *image, uint32_t side,
                                    const struct onp_log *log, float *pixels) {
    const size_t plane = (size_t)side * side;
    unsigned char *rgb = malloc(plane * 3 + 1);
    if (!rgb) return onp_fail(log, ONP_ERR_MEMORY, "no memory to resize to %u pixels a side", side);
    const enum onp_status status = onp_resize_rgb(image, side, log, rgb);
    for (int c = 0; c < 3 && status == ONP_OK; c++) {
        float table[256];
        for (unsigned v = 0; v < 256; v++) table[v] = normalised(v, c);
        for (size_t i = 0; i < plane; i++)
            pixels[(size_t)c * plane + i] = table[rgb[3 * i + (size_t)c]];
    }
    free(rgb);
    return status;
}
