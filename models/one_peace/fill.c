// SPDX-License-Identifier: Apache-2.0
// From the file's tensors to rows of device weights: plain copies, stacks, permutations, and the
// resized grid of absolute positions.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "models/one_peace/one_peace.h"

// Source and destination have the same elements in the same order.
enum onp_status onp_fill_rows(const struct onp_weight *w, int64_t first, int64_t count,
                              float *out) {
    const int64_t cols = w->tensor.cols;
    onp_file_tensor_read(w->source[0], (uint64_t)(first * cols), (uint64_t)(count * cols), out);
    return ONP_OK;
}

// Sources of equal shape, one above the other (q, k, v).
enum onp_status onp_fill_stacked(const struct onp_weight *w, int64_t first, int64_t count,
                                 float *out) {
    const int64_t cols = w->tensor.cols, each = w->source[0]->shape[0];
    for (int64_t r = first; r < first + count; r++, out += cols)
        onp_file_tensor_read(w->source[r / each], (uint64_t)(r % each * cols), (uint64_t)cols, out);
    return ONP_OK;
}

// [q bias, 0, v bias]: k_proj has none.
enum onp_status onp_fill_qkv_bias(const struct onp_weight *w, int64_t first, int64_t count,
                                  float *out) {
    (void)first;
    (void)count;
    const int64_t d = w->tensor.cols / 3;
    memset(out, 0, (size_t)w->tensor.cols * sizeof *out);
    onp_file_tensor_read(w->source[0], 0, (uint64_t)d, out);
    onp_file_tensor_read(w->source[1], 0, (uint64_t)d, out + 2 * d);
    return ONP_OK;
}

// [out][in][taps] to [out][taps][in]: activations are channels-last. arg[0]: taps (ky * kx).
enum onp_status onp_fill_conv(const struct onp_weight *w, int64_t first, int64_t count,
                              float *out) {
    const int64_t cols = w->tensor.cols, taps = w->arg[0], in = cols / taps;
    float *row = malloc((size_t)cols * sizeof *row);
    if (!row) return onp_fail(NULL, ONP_ERR_MEMORY, "no memory to load %s", w->tensor.name);
    for (int64_t r = first; r < first + count; r++, out += cols) {
        onp_file_tensor_read(w->source[0], (uint64_t)(r * cols), (uint64_t)cols, row);
        for (int64_t t = 0; t < taps; t++)
            for (int64_t c = 0; c < in; c++) out[t * in + c] = row[c * taps + t];
    }
    free(row);
    return ONP_OK;
}

// [D][D/G][kernel] to rows (group, tap, c_in), columns c_out of the group. arg[0]: kernel.
enum onp_status onp_fill_grouped(const struct onp_weight *w, int64_t first, int64_t count,
                                 float *out) {
    const int64_t kernel = w->arg[0], width = w->tensor.cols; // channels of a group, in and out
    const int64_t size = width * width * kernel;              // elements of a group
    float *group = malloc((size_t)size * sizeof *group);
    if (!group) return onp_fail(NULL, ONP_ERR_MEMORY, "no memory to load %s", w->tensor.name);
    int64_t loaded = -1;
    for (int64_t r = first; r < first + count; r++, out += width) {
        const int64_t g = r / (kernel * width), tap = r / width % kernel, in = r % width;
        if (g != loaded)
            onp_file_tensor_read(w->source[0], (uint64_t)(g * size), (uint64_t)size, group);
        loaded = g;
        for (int64_t o = 0; o < width; o++) out[o] = group[(o * width + in) * kernel + tap];
    }
    free(group);
    return ONP_OK;
}

// --- Absolute positions of pictures (SPEC section 7) ------------------------------------------

// Keys' cubic kernel, a = -0.75, at distances t+1, t, 1-t, 2-t.
static void cubic_weights(float t, float weights[4]) {
    const float a = -0.75f;
    const float far_left = t + 1.0f, near_right = 1.0f - t, far_right = 2.0f - t;
    weights[0] = ((a * far_left - 5.0f * a) * far_left + 8.0f * a) * far_left - 4.0f * a;
    weights[1] = ((a + 2.0f) * t - (a + 3.0f)) * t * t + 1.0f;
    weights[2] = ((a + 2.0f) * near_right - (a + 3.0f)) * near_right * near_right + 1.0f;
    weights[3] = ((a * far_right - 5.0f * a) * far_right + 8.0f * a) * far_right - 4.0f * a;
}

// The four taps of output position o on one axis: g stored positions to w.
static void taps(int64_t o, int64_t g, int64_t w, int64_t index[4], float weights[4]) {
    const float source = ((float)o + 0.5f) * ((float)g / (float)w) - 0.5f;
    const float base = floorf(source);
    cubic_weights(source - base, weights);
    for (int64_t i = 0; i < 4; i++) {
        const int64_t at = (int64_t)base - 1 + i;
        index[i] = at < 0 ? 0 : at >= g ? g - 1 : at;
    }
}

// One row of the resized grid: half-pixel centres, border clamped, no antialiasing.
static void resized_row(const struct onp_weight *w, int64_t patch, float *scratch, float *out) {
    const int64_t grid = w->arg[0], side = w->arg[1], dim = w->tensor.cols;
    int64_t ys[4], xs[4];
    float wy[4], wx[4];
    taps(patch / side, grid, side, ys, wy);
    taps(patch % side, grid, side, xs, wx);
    memset(out, 0, (size_t)dim * sizeof *out);
    for (int i = 0; i < 16; i++) {
        const int64_t row = 1 + ys[i / 4] * grid + xs[i % 4];
        onp_file_tensor_read(w->source[0], (uint64_t)(row * dim), (uint64_t)dim, scratch);
        for (int64_t c = 0; c < dim; c++) out[c] += wy[i / 4] * (wx[i % 4] * scratch[c]);
    }
}

// arg[0]: stored grid side, arg[1]: side wanted.
enum onp_status onp_fill_pos_embed(const struct onp_weight *w, int64_t first, int64_t count,
                                   float *out) {
    const int64_t dim = w->tensor.cols;
    if (w->arg[0] == w->arg[1]) return onp_fill_rows(w, first, count, out);
    float *scratch = malloc((size_t)dim * sizeof *scratch);
    if (!scratch) return onp_fail(NULL, ONP_ERR_MEMORY, "no memory to load %s", w->tensor.name);
    for (int64_t r = first; r < first + count; r++, out += dim) {
        if (r == 0)
            onp_file_tensor_read(w->source[0], 0, (uint64_t)dim, out);
        else
            resized_row(w, r - 1, scratch, out);
    }
    free(scratch);
    return ONP_OK;
}
