// SPDX-License-Identifier: Apache-2.0
// Brings weights to the device in the dtype and layout that its kernels read.
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/half.h"
#include "exec/exec.h"

#define CHUNK_FLOATS (2u * 1024u * 1024u) // 8 MiB of rows, and as much again packed

// Rows in storage: whole panels for PANELS.
static int64_t stored_rows(const struct onp_tensor *x) {
    return x->layout == ONP_LAYOUT_PANELS ? onp_div_up(x->rows, x->panel) * x->panel : x->rows;
}

uint64_t onp_weight_bytes(const struct onp_tensor *x) {
    return (uint64_t)stored_rows(x) * (uint64_t)x->cols * onp_dtype_size(x->dtype);
}

static void store(const struct onp_tensor *x, void *packed, size_t index, float value) {
    if (x->dtype == ONP_F16)
        ((uint16_t *)packed)[index] = onp_float_to_half(value);
    else
        ((float *)packed)[index] = value;
}

// Packs `count` rows from row `first` on (a multiple of the panel) into storage order; rows beyond
// the matrix are zero.
static void pack(const struct onp_tensor *x, int64_t first, int64_t count, const float *rows,
                 void *packed) {
    const int64_t width = x->layout == ONP_LAYOUT_PANELS ? x->panel : 1;
    for (int64_t r = 0; r < count; r++) {
        const int64_t panel = r / width, lane = r % width;
        const bool inside = first + r < x->rows;
        for (int64_t k = 0; k < x->cols; k++)
            store(x, packed, (size_t)((panel * x->cols + k) * width + lane),
                  inside ? rows[r * x->cols + k] : 0.0f);
    }
}

static int64_t rows_per_chunk(const struct onp_tensor *x) {
    const int64_t width = x->layout == ONP_LAYOUT_PANELS ? x->panel : 1;
    int64_t rows = (int64_t)CHUNK_FLOATS / x->cols / width * width;
    if (rows < width) rows = width;
    return rows < stored_rows(x) ? rows : stored_rows(x);
}

static enum onp_status upload_chunks(struct onp_device *device, struct onp_tensor *x,
                                     onp_fill_fn fill, void *user, float *rows, void *packed,
                                     int64_t step) {
    const uint64_t row_bytes = (uint64_t)x->cols * onp_dtype_size(x->dtype);
    for (int64_t first = 0; first < stored_rows(x); first += step) {
        const int64_t left = stored_rows(x) - first;
        const int64_t count = left < step ? left : step;
        const int64_t real = first + count <= x->rows ? count : x->rows - first;
        ONP_TRY(fill(user, first, real, rows));
        const void *data = packed;
        if (x->layout == ONP_LAYOUT_ROWS && x->dtype == ONP_F32)
            data = rows;
        else
            pack(x, first, count, rows, packed);
        ONP_TRY(device->backend->buffer_write(x->buffer, (uint64_t)first * row_bytes, data,
                                              (uint64_t)count * row_bytes));
    }
    return ONP_OK;
}

enum onp_status onp_weight_upload(struct onp_device *device, struct onp_tensor *x, onp_fill_fn fill,
                                  void *user) {
    const struct onp_log *log = &device->context->log;
    ONP_TRY(device->backend->buffer_create(device, onp_weight_bytes(x), &x->buffer));
    const int64_t step = rows_per_chunk(x);
    const size_t floats = (size_t)step * (size_t)x->cols;
    float *rows = malloc(floats * sizeof *rows);
    void *packed = malloc(floats * onp_dtype_size(x->dtype));
    enum onp_status status;
    if (!rows || !packed)
        status = onp_fail(log, ONP_ERR_MEMORY, "no memory to load %s", x->name);
    else
        status = upload_chunks(device, x, fill, user, rows, packed, step);
    free(rows);
    free(packed);
    if (status != ONP_OK) {
        device->backend->buffer_destroy(x->buffer);
        x->buffer = NULL;
    }
    return status;
}
