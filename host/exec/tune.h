// SPDX-License-Identifier: Apache-2.0
// The search for better tiles: see onepeace/tune.h for what it promises.
#ifndef ONP_EXEC_TUNE_H
#define ONP_EXEC_TUNE_H

#include "base/clock.h"
#include "exec/tuned.h"
#include "graph/graph.h"
#include "onepeace/tune.h"

// --- Statistics (tune_stats.c) ------------------------------------------------------------------

// Median of values[0 .. count), which are reordered.
double onp_tune_median(double *values, size_t count);
struct onp_tune_estimate {
    double median, low, high; // low, high: 2.5 % and 97.5 % of the bootstrap's medians
};
// Of count (1 to 64) ratios.
struct onp_tune_estimate onp_tune_bootstrap(const double *ratios, size_t count, uint64_t seed);

// --- Candidates (tune_space.c) ------------------------------------------------------------------

#define ONP_TUNE_CANDIDATES 96

// Tiles of an op worth trying on this device, nearest to the class's first, without these. Returns
// how many.
size_t onp_tune_space(const struct onp_device *device, enum onp_tuned_op op,
                      struct onp_tuning candidates[ONP_TUNE_CANDIDATES]);

// --- Timing (tune_pairs.c) ----------------------------------------------------------------------

#define ONP_TUNE_SHAPES 48
#define ONP_TUNE_PAIRS  64

// The distinct shapes that take one op's tiles in some graphs.
struct onp_tune_shapes {
    size_t count;
    const struct onp_node *node[ONP_TUNE_SHAPES];
    double calls[ONP_TUNE_SHAPES][ONP_MODALITY_COUNT]; // in each graph
    double seconds[ONP_TUNE_SHAPES];                   // of the class's tiles, once measured
    double weight[ONP_TUNE_SHAPES];                    // of a second, so that graphs count alike
};
void onp_tune_collect(enum onp_tuned_op op, struct onp_graph *const graphs[ONP_MODALITY_COUNT],
                      struct onp_tune_shapes *shapes);

struct onp_tune_clock {
    double deadline; // of onp_seconds_now
    bool stopped;    // by the caller
};
static inline bool onp_tune_late(const struct onp_tune_clock *clock) {
    return clock->stopped || onp_seconds_now() > clock->deadline;
}

struct onp_tune_plan {
    const struct onp_tuning *a, *b;
    size_t pairs;  // of every shape, at most ONP_TUNE_PAIRS
    double share;  // 1: all shapes; less: the heaviest, with this share of the time
    double least;  // stops as soon as the heaviest shapes' ratio is below
    uint64_t seed; // of the operands
};
// Runs a and b in turn on every shape, on the same random operands, and compares their results.
// ratios[i] is the weighted time of a over that of b in pair i. The first call takes a's times as
// the shapes' own, weighs them and puts the heaviest first. ONP_ERR_MISMATCH: the results differ.
// *done is plan->pairs, or 0 if the time was over before.
enum onp_status onp_tune_pairs(struct onp_device *device, enum onp_tuned_op op,
                               struct onp_tune_shapes *shapes, const struct onp_tune_plan *plan,
                               const struct onp_tune_clock *clock, double *ratios, size_t *done);

// --- The search (tune.c) ------------------------------------------------------------------------

struct onp_tune_search {
    struct onp_device *device;
    struct onp_graph *graphs[ONP_MODALITY_COUNT]; // NULL: not asked for
    struct onp_tune_clock clock;                  // of this op
    uint64_t seed;
    onp_tune_fn fn;
    void *user;
};
struct onp_tune_winner {
    bool searched, kept;
    struct onp_tuning tiles;
    double gain, bound;
    int32_t pairs;
};
// One op. A graph without the op leaves winner->searched false.
enum onp_status onp_tune_op(struct onp_tune_search *search, enum onp_tuned_op op,
                            struct onp_tune_winner *winner);

#endif
