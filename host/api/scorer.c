// SPDX-License-Identifier: Apache-2.0
// Rows against queries as products on the device: rows are the left side, because they are many and
// come as they are; the queries are the weights, packed once.
#include <stdlib.h>
#include <string.h>

#include "api/internal.h"
#include "backend/backend.h"
#include "base/checked.h"
#include "exec/exec.h"
#include "onepeace/scorer.h"
#include "ops/ops.h"

#define BLOCK_BYTES ((size_t)4 << 20) // a block on its way stays in the last cache
#define ROW_STEP    64                // a block's rows in the product: few shapes, one tile for all

struct onp_scorer {
    struct onp_device *device;
    size_t block, count, dim;
    struct onp_tensor queries; // (count, dim)
    const float *given;        // while they are uploaded
    float *rows[2];            // [padded block, dim]
    int next;                  // which of them the caller fills
    float *scores;             // [padded block, count]
    size_t submitted;          // rows on the device
    struct onp_graph *graph;
    struct onp_exec *exec;
    struct onp_tensor *input, *output; // of the prepared graph
};

static const struct onp_log *log_of(const struct onp_scorer *scorer) {
    return &scorer->device->context->log;
}

static size_t padded(size_t rows) { return (size_t)onp_round_up(rows, ROW_STEP); }

static enum onp_status fill_queries(void *user, int64_t first, int64_t count, float *rows) {
    const struct onp_scorer *scorer = user;
    memcpy(rows, scorer->given + (size_t)first * scorer->dim,
           (size_t)count * scorer->dim * sizeof *rows);
    return ONP_OK;
}

static enum onp_status place_queries(struct onp_scorer *scorer, const float *queries) {
    struct onp_tensor *x = &scorer->queries;
    *x = (struct onp_tensor){.name = "queries",
                             .dtype = ONP_F32,
                             .role = ONP_ROLE_WEIGHT,
                             .rows = (int64_t)scorer->count,
                             .cols = (int64_t)scorer->dim,
                             .ld = (int64_t)scorer->dim,
                             .root = x};
    onp_matmul_weight_layout(scorer->device, x->dtype, x->rows, x->cols, &x->layout, &x->panel);
    scorer->given = queries;
    return onp_weight_upload(scorer->device, x, fill_queries, scorer);
}

// The graph for this many rows; a stream has one size, and another for its end.
static enum onp_status prepare(struct onp_scorer *scorer, size_t rows) {
    if (scorer->input && scorer->input->rows == (int64_t)rows) return ONP_OK;
    struct onp_graph *graph = scorer->graph;
    onp_graph_reset(graph);
    scorer->input = onp_graph_input(graph, "rows", ONP_F32, (int64_t)rows, (int64_t)scorer->dim,
                                    scorer->rows[0]);
    const struct onp_matmul_args args = {.a = scorer->input, .w = &scorer->queries};
    scorer->output = onp_named(graph, onp_matmul(graph, &args), "scores");
    if (scorer->output) scorer->output->keep = true;
    const enum onp_status status = onp_exec_prepare(scorer->exec, graph, false);
    if (status != ONP_OK) scorer->input = NULL;
    return status;
}

static enum onp_status reserve(struct onp_scorer *scorer) {
    uint64_t row_bytes, bytes, score_bytes;
    const bool fits = onp_mul_u64(scorer->dim, sizeof(float), &row_bytes) &&
                      onp_mul_u64(padded(scorer->block), row_bytes, &bytes) &&
                      onp_mul_u64(padded(scorer->block), scorer->count, &score_bytes) &&
                      bytes < SIZE_MAX / 4 && score_bytes < SIZE_MAX / sizeof(float);
    // Zeros, so that the rows that fill up a block are numbers like any other.
    for (int i = 0; i < 2 && fits; i++) scorer->rows[i] = calloc(1, (size_t)bytes);
    if (fits) scorer->scores = calloc((size_t)score_bytes, sizeof *scorer->scores);
    if (scorer->rows[0] && scorer->rows[1] && scorer->scores) return ONP_OK;
    return onp_fail(log_of(scorer), ONP_ERR_MEMORY, "no memory for blocks of %zu rows of %zu",
                    scorer->block, scorer->dim);
}

static enum onp_status create(struct onp_scorer *scorer, const float *queries) {
    ONP_TRY(reserve(scorer));
    ONP_TRY(place_queries(scorer, queries));
    ONP_TRY(onp_graph_create(log_of(scorer), &scorer->graph));
    ONP_TRY(onp_exec_create(scorer->device, &scorer->exec));
    return prepare(scorer, padded(scorer->block));
}

enum onp_status onp_scorer_create(struct onp_device *device, const float *queries, size_t count,
                                  size_t dim, size_t block, struct onp_scorer **out) {
    if (!device || !queries || !out)
        return onp_fail(NULL, ONP_ERR_ARGUMENT, "onp_scorer_create: an argument is NULL");
    const struct onp_log *log = &device->context->log;
    if (count < 1 || count > 65536 || dim < 1 || dim > INT32_MAX || block > INT32_MAX - ROW_STEP)
        return onp_fail(log, ONP_ERR_ARGUMENT,
                        "%zu queries of %zu floats and blocks of %zu rows: 1 to 65536 queries and "
                        "sizes below 2^31 are possible",
                        count, dim, block);
    struct onp_scorer *scorer = calloc(1, sizeof *scorer);
    if (!scorer) return onp_fail(log, ONP_ERR_MEMORY, "no memory for a scorer");
    scorer->device = device;
    scorer->count = count;
    scorer->dim = dim;
    scorer->block = block ? block : padded(BLOCK_BYTES / sizeof(float) / dim + 1);
    const enum onp_status status = create(scorer, queries);
    if (status == ONP_OK)
        *out = scorer;
    else
        onp_scorer_destroy(scorer);
    return status;
}

void onp_scorer_destroy(struct onp_scorer *scorer) {
    if (!scorer) return;
    onp_exec_destroy(scorer->exec); // waits: the rows may still be on their way
    onp_graph_destroy(scorer->graph);
    if (scorer->queries.buffer) scorer->device->backend->buffer_destroy(scorer->queries.buffer);
    free(scorer->rows[0]);
    free(scorer->rows[1]);
    free(scorer->scores);
    free(scorer);
}

size_t onp_scorer_block(const struct onp_scorer *scorer) { return scorer ? scorer->block : 0; }

float *onp_scorer_rows(struct onp_scorer *scorer) {
    return scorer ? scorer->rows[scorer->next] : NULL;
}

enum onp_status onp_scorer_submit(struct onp_scorer *scorer, size_t count) {
    if (!scorer) return onp_fail(NULL, ONP_ERR_ARGUMENT, "onp_scorer_submit: an argument is NULL");
    if (count < 1 || count > scorer->block)
        return onp_fail(log_of(scorer), ONP_ERR_ARGUMENT, "%zu rows are not 1 to %zu", count,
                        scorer->block);
    if (scorer->submitted)
        return onp_fail(log_of(scorer), ONP_ERR_ARGUMENT, "the rows before are not yet collected");
    float *rows = scorer->rows[scorer->next];
    const size_t whole = padded(count);
    ONP_TRY(prepare(scorer, whole));
    memset(rows + count * scorer->dim, 0, (whole - count) * scorer->dim * sizeof *rows);
    scorer->input->host = rows;
    ONP_TRY(onp_exec_start(scorer->exec));
    scorer->submitted = count;
    scorer->next = !scorer->next;
    return ONP_OK;
}

enum onp_status onp_scorer_collect(struct onp_scorer *scorer, const float **scores, size_t *rows) {
    if (!scorer || !scores || !rows)
        return onp_fail(NULL, ONP_ERR_ARGUMENT, "onp_scorer_collect: an argument is NULL");
    *scores = scorer->scores;
    *rows = scorer->submitted;
    scorer->submitted = 0;
    return *rows ? onp_exec_read(scorer->exec, scorer->output, scorer->scores) : ONP_OK;
}
