// SPDX-License-Identifier: Apache-2.0
// Relative-position tables (SPEC section 5). The file holds [bucket][head]; the device gets
// [head][distance], laid out so that consecutive keys of one query read consecutive entries, plus
// the three entries for CLS. Its size grows with the longest distance, never with T * T.
#include <math.h>
#include <stdlib.h>

#include "models/one_peace/one_peace.h"

#define SPAN (2 * ONP_MAX_POSITIONS - 1) // distances -(T-1) .. T-1

int64_t onp_sequence_bias_cols(void) { return SPAN + 3; }

int64_t onp_image_bias_cols(int32_t w) { return (int64_t)(2 * w - 1) * (2 * w - 1) + 3; }

// Bucket of query minus key: exact up to b/2, logarithmic beyond.
static int64_t sequence_bucket(int32_t r, int32_t b) {
    const int32_t m = b / 2, distance = abs(r);
    if (distance <= m) return r + b - 1;
    const double t = log((double)distance / m) / log((ONP_MAX_POSITIONS - 1.0) / m);
    const int32_t v = m + (int32_t)ceil(t * (m - 1));
    return (r < 0 ? -v : v) + b - 1;
}

// One entry of the file's table.
static float entry(const struct onp_weight *w, int64_t bucket, int64_t head) {
    const int64_t heads = w->tensor.rows;
    float value;
    onp_file_tensor_read(w->source[0], (uint64_t)(bucket * heads + head), 1, &value);
    return value;
}

static void set_cls(const struct onp_weight *w, int64_t head, float *row, int64_t both,
                    int64_t query, int64_t key) {
    const int64_t n = w->tensor.cols;
    row[n - 3] = entry(w, both, head);
    row[n - 2] = entry(w, query, head);
    row[n - 1] = entry(w, key, head);
}

// arg[0]: b.
enum onp_status onp_fill_sequence_bias(const struct onp_weight *w, int64_t first, int64_t count,
                                       float *out) {
    const int32_t b = w->arg[0];
    for (int64_t h = 0; h < count; h++) {
        float *row = out + h * w->tensor.cols;
        // Entry e belongs to key - query = e - (T - 1).
        for (int32_t e = 0; e < SPAN; e++)
            row[e] = entry(w, sequence_bucket(ONP_MAX_POSITIONS - 1 - e, b), first + h);
        set_cls(w, first + h, row, 2 * b + 1, 2 * b - 1, 2 * b);
    }
    return ONP_OK;
}

enum onp_status onp_fill_image_bias(const struct onp_weight *w, int64_t first, int64_t count,
                                    float *out) {
    const int64_t n = w->tensor.cols, grid = n - 3;
    for (int64_t h = 0; h < count; h++) {
        float *row = out + h * n;
        // The file's bucket grows with query - key in both axes, ours with key - query.
        for (int64_t e = 0; e < grid; e++) row[e] = entry(w, grid - 1 - e, first + h);
        set_cls(w, first + h, row, n - 1, n - 3, n - 2);
    }
    return ONP_OK;
}

void onp_sequence_bias_positions(int32_t count, int32_t *query_pos, int32_t *key_pos) {
    for (int32_t i = 0; i < count; i++) {
        query_pos[i] = ONP_MAX_POSITIONS - 1 - i;
        key_pos[i] = i;
    }
}

void onp_image_bias_positions(int32_t w, int32_t *query_pos, int32_t *key_pos) {
    query_pos[0] = key_pos[0] = 0; // CLS has its own entries
    for (int32_t p = 0; p < w * w; p++) {
        const int32_t y = p / w, x = p % w;
        query_pos[1 + p] = (w - 1 - y) * (2 * w - 1) + (w - 1 - x);
        key_pos[1 + p] = y * (2 * w - 1) + x;
    }
}
