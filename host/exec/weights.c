// SPDX-License-Identifier: Apache-2.0
// Brings weights to the device in the dtype and layout that its kernels read.
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/half.h"
#include "base/parallel.h"
#include "exec/exec.h"

#define CHUNK_FLOATS (512u * 1024u) // 2 MiB of rows and as much again packed: caches hold both
#define SLICE_FLOATS (64 * 1024)    // a core's share at a time

// Rows in storage: whole panels for PANELS.
static int64_t stored_rows(const struct onp_tensor *x) {
    return x->layout == ONP_LAYOUT_PANELS ? onp_div_up(x->rows, x->panel) * x->panel : x->rows;
}

uint64_t onp_weight_bytes(const struct onp_tensor *x) {
    return (uint64_t)stored_rows(x) * (uint64_t)x->cols * onp_dtype_size(x->dtype);
}

// Elements of a row taken at a time: a block of every row of a panel stays in the first cache.
#define BLOCK 16

// Rows of a panel, `cols` long, to the panel's order: element k of all rows side by side.
#define DEFINE_INTERLEAVE(name, type)                                                              \
    static void name(const type *rows, int64_t lanes, int64_t cols, int64_t width, type *out) {    \
        for (int64_t first = 0; first < cols; first += BLOCK) {                                    \
            const int64_t last = first + BLOCK < cols ? first + BLOCK : cols;                      \
            for (int64_t lane = 0; lane < lanes; lane++)                                           \
                for (int64_t k = first; k < last; k++)                                             \
                    out[k * width + lane] = rows[lane * cols + k];                                 \
        }                                                                                          \
    }
DEFINE_INTERLEAVE(interleave_floats, float)
DEFINE_INTERLEAVE(interleave_halves, uint16_t)

// Packs `count` rows from row `first` on (a multiple of the panel) into storage order; rows beyond
// the matrix are zero. Halves are made in place of the floats: the rows are used up.
static void pack(const struct onp_tensor *x, int64_t first, int64_t count, float *rows,
                 void *packed) {
    const int64_t cols = x->cols, width = x->layout == ONP_LAYOUT_PANELS ? x->panel : 1;
    const size_t size = onp_dtype_size(x->dtype);
    for (int64_t r = 0; r < count; r += width) {
        char *out = (char *)packed + (size_t)(r * cols) * size;
        float *in = rows + r * cols;
        const int64_t left = x->rows - first - r, lanes = left < width ? left : width;
        if (lanes < width) memset(out, 0, (size_t)(width * cols) * size);
        if (x->dtype == ONP_F16) {
            uint16_t *halves = width > 1 ? (uint16_t *)in : (uint16_t *)out;
            onp_floats_to_halves(in, (size_t)(lanes * cols), halves);
            if (width > 1) interleave_halves(halves, lanes, cols, width, (uint16_t *)out);
        } else {
            interleave_floats(in, lanes, cols, width, (float *)out);
        }
    }
}

static int64_t rows_per_chunk(const struct onp_tensor *x) {
    const int64_t width = x->layout == ONP_LAYOUT_PANELS ? x->panel : 1;
    int64_t rows = (int64_t)CHUNK_FLOATS / x->cols / width * width;
    if (rows < width) rows = width;
    return rows < stored_rows(x) ? rows : stored_rows(x);
}

// A chunk is filled and packed by all cores, a slice of rows each, while the device takes the one
// before.
struct chunk {
    const struct onp_tensor *x;
    onp_fill_fn fill;
    void *user;
    float *rows;     // NULL: the rows are stored as they are
    void *packed[2]; // in turn
    int turn;
    int64_t first, count, slice;
    _Atomic(enum onp_status) status;
};

static void make_slice(void *user, size_t index) {
    struct chunk *c = user;
    const int64_t cols = c->x->cols, begin = (int64_t)index * c->slice, first = c->first + begin;
    const int64_t left = c->count - begin, count = left < c->slice ? left : c->slice;
    const int64_t inside = c->x->rows - first, real = count < inside ? count : inside;
    float *rows = (c->rows ? c->rows : (float *)c->packed[c->turn]) + begin * cols;
    const enum onp_status status = c->fill(c->user, first, real, rows);
    if (status != ONP_OK)
        c->status = status;
    else if (c->rows)
        pack(c->x, first, count, rows,
             (char *)c->packed[c->turn] + (size_t)(begin * cols) * onp_dtype_size(c->x->dtype));
}

static enum onp_status upload_chunks(struct onp_device *device, struct chunk *c, int64_t step) {
    const struct onp_tensor *x = c->x;
    const int64_t width = x->layout == ONP_LAYOUT_PANELS ? x->panel : 1;
    const uint64_t row_bytes = (uint64_t)x->cols * onp_dtype_size(x->dtype);
    const int64_t rows = SLICE_FLOATS / x->cols / width * width;
    c->slice = rows < width ? width : rows;
    for (c->first = 0; c->first < stored_rows(x); c->first += step) {
        const int64_t left = stored_rows(x) - c->first;
        c->count = left < step ? left : step;
        onp_parallel_for((size_t)onp_div_up(c->count, c->slice), 0, make_slice, c);
        if (c->status != ONP_OK) // said in another thread, whose last error nobody reads
            return onp_fail(&device->context->log, c->status, "cannot read the values of %s",
                            x->name);
        ONP_TRY(device->backend->finish(device)); // the other half is free again
        ONP_TRY(device->backend->buffer_send(x->buffer, (uint64_t)c->first * row_bytes,
                                             c->packed[c->turn], (uint64_t)c->count * row_bytes));
        ONP_TRY(device->backend->flush(device));
        c->turn = !c->turn;
    }
    return ONP_OK;
}

static enum onp_status upload(struct onp_device *device, struct chunk *c) {
    const int64_t step = rows_per_chunk(c->x);
    const size_t floats = (size_t)step * (size_t)c->x->cols;
    const bool as_is = c->x->layout == ONP_LAYOUT_ROWS && c->x->dtype == ONP_F32;
    if (!as_is) c->rows = malloc(floats * sizeof *c->rows);
    for (int i = 0; i < 2; i++) c->packed[i] = malloc(floats * onp_dtype_size(c->x->dtype));
    if ((!c->rows && !as_is) || !c->packed[0] || !c->packed[1])
        return onp_fail(&device->context->log, ONP_ERR_MEMORY, "no memory to load %s", c->x->name);
    return upload_chunks(device, c, step);
}

enum onp_status onp_weight_upload(struct onp_device *device, struct onp_tensor *x, onp_fill_fn fill,
                                  void *user) {
    ONP_TRY(device->backend->buffer_create(device, onp_weight_bytes(x), &x->buffer));
    struct chunk chunk = {.x = x, .fill = fill, .user = user};
    enum onp_status status = upload(device, &chunk);
    // Also after a failure: what was sent must not be freed before it has arrived.
    const enum onp_status finished = device->backend->finish(device);
    if (status == ONP_OK) status = finished;
    free(chunk.rows);
    for (int i = 0; i < 2; i++) free(chunk.packed[i]);
    if (status != ONP_OK) {
        device->backend->buffer_destroy(x->buffer);
        x->buffer = NULL;
    }
    return status;
}
