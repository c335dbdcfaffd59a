// SPDX-License-Identifier: Apache-2.0
// An encoder's insides, and the runs that it has on the device.
#ifndef ONP_API_RUNS_H
#define ONP_API_RUNS_H

#include "api/internal.h"
#include "base/clock.h"
#include "exec/exec.h"

// Runs on their way: one that the device computes and one that waits behind it, so that the device
// never waits for the host to record, upload or download.
#define ONP_RUNS 2

// How many more items than longest ones a run may hold: bounds its list of commands.
#define ONP_SHORT_ITEMS 8

struct onp_run {
    struct onp_graph *graph;
    struct onp_mark *mark;
    size_t count, capacity; // items
    const void **items;
    int32_t *lengths;
    float *rows;
};

struct onp_encoder {
    struct onp_device *device;
    const struct onp_model *model;
    struct onp_encoder_params params;
    struct onp_weights *weights;
    struct onp_exec *exec;
    struct onp_encoder_stats stats;
    uint32_t most_items[ONP_MODALITY_COUNT]; // of a run
    int64_t most_rows[ONP_MODALITY_COUNT];   // of a run, unless one item has more
    uint32_t limit[ONP_MODALITY_COUNT];      // items of a run, as the caller wants; 0: no limit
    struct onp_run runs[ONP_RUNS];
    unsigned oldest, pending; // of runs
    double begun, ended;      // clock of the first submission and the last collection; 0: none
};

// Decides how many items and rows a run of this modality takes; stats.max_batch is set.
void onp_runs_limit(struct onp_encoder *encoder, enum onp_modality modality);
// Waits for all runs and forgets them.
void onp_runs_drop(struct onp_encoder *encoder);
void onp_runs_free(struct onp_encoder *encoder);
// Records the forward pass of a batch and makes it ready to run.
enum onp_status onp_runs_prepare(struct onp_encoder *encoder, struct onp_graph *graph,
                                 const struct onp_batch *batch, bool explain,
                                 struct onp_tensor **embeddings);

#endif
