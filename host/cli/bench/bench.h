// SPDX-License-Identifier: Apache-2.0
// What the parts of `onepeace bench` share: its settings, what it measures with and what it found.
// One part fills one field; report.c turns the whole into the document of bench/README.md.
#ifndef ONP_CLI_BENCH_BENCH_H
#define ONP_CLI_BENCH_BENCH_H

#include "cli/bench/machine.h"
#include "cli/bench/stats.h"
#include "cli/clock.h"
#include "cli/session.h"
#include "onepeace/probe.h"

enum {
    ONP_BENCH_POOL = 4,       // distinct items of each input, used in turn
    ONP_BENCH_INPUTS = 4,     // picture, sound, long text, short text
    ONP_BENCH_BATCHES = 18,   // batch sizes tried: powers of two up to 65536, and the largest
    ONP_BENCH_LANES = 16,     // inputs x scopes x (batch 1, best batch)
    ONP_BENCH_CELLS = 48,     // lanes x scenarios
    ONP_BENCH_LIST_MOST = 512 // items of an offline pass
};

enum onp_bench_scenario { ONP_BENCH_SINGLE_STREAM, ONP_BENCH_OFFLINE, ONP_BENCH_SERVER };
enum onp_bench_scope { ONP_BENCH_ENCODER, ONP_BENCH_END_TO_END };
enum onp_bench_accuracy {
    ONP_BENCH_ACCURACY_QUICK,
    ONP_BENCH_ACCURACY_OFF,
    ONP_BENCH_ACCURACY_ALL
};

struct onp_bench_options {
    struct onp_cli_settings settings;
    const char *synthetic, *json, *html, *kept, *kind, *scenario; // kept: a report, only shown
    bool quick, compare, cold;
    int accuracy; // enum onp_bench_accuracy
    uint64_t seconds, min_samples, seed;
    unsigned kinds, scenarios; // bits, from `kind` and `scenario`; 0: all that the model has
    int argc;                  // the command line, for the report
    char **argv;
};

// One kind and size of item: prepared for the encoder, and as it comes from a user.
struct onp_bench_input {
    enum onp_modality kind;
    char label[32];      // "picture 256 px", "sound 15 s", "text 70 tokens"
    double size;         // pixels a side, seconds or tokens
    uint64_t length;     // as onp_model_cost takes it
    double flops, bytes; // of one item
    struct onp_input *prepared[ONP_BENCH_POOL];
    char *source[ONP_BENCH_POOL]; // paths or texts
    char missing[160];            // why it has no sources, "" if it has
    struct {                      // batch sizes tried, ascending
        uint32_t batch;
        double items_per_s;
    } tried[ONP_BENCH_BATCHES];
    size_t tried_count;
    uint32_t best_batch;
};

// What was found when a branch was loaded.
struct onp_bench_branch {
    bool measured;
    double create_s, compile_s, upload_s, first_embedding_s;
    struct onp_input *small; // what accuracy is measured with, and its row
    float *row;
    double small_flops;
    uint64_t weight_bytes, arena_bytes;
    uint32_t max_batch;
    struct onp_encoder *encoder; // while its group is measured
};

// Items of one size going one way at one batch size.
struct onp_bench_lane {
    struct onp_bench_input *input;
    enum onp_bench_scope scope;
    uint32_t batch;
    double item_s;                 // seconds an item takes in a list, estimated by the warm-up
    size_t list;                   // items of an offline pass
    size_t warmup;                 // items run before anything was counted
    struct onp_bench_samples busy; // fraction of a pass that kernels ran, one a round
};

// A scenario of a lane and its samples.
struct onp_bench_cell {
    enum onp_bench_scenario scenario;
    struct onp_bench_lane *lane;
    struct onp_bench_samples seconds; // single stream, server: of a query; offline: of a pass
    struct onp_bench_samples busy;    // single stream: as the lane's, of one query
    size_t warmup, items;             // items run but not counted, and counted
    double elapsed;                   // seconds that the counted items took together
    double arrivals_per_s;            // server
    double peak_before, peak_after;   // GFLOP/s, the best of those around the cell's slices
};

// One kernel of one input at one batch size.
struct onp_bench_kernel {
    struct onp_kernel_time key; // op, variant, shape; of one call: best_seconds, flops, bytes
    const struct onp_bench_input *input;
    uint32_t batch;
    uint64_t calls;
    double total; // seconds of all calls
    struct onp_bench_samples seconds;
};

struct onp_bench_peaks {
    struct onp_prober *prober; // NULL: the device runs no kernels, nothing is measured
    struct onp_probe_result result[ONP_PROBE_COUNT];
    struct onp_bench_samples fma; // GFLOP/s of every float32 probe of the run, in order
    double fma_best;              // 0 if not measured
};

struct onp_bench_accuracy_row {
    bool measured;
    double worst_error, cosine, tolerance;
    char skipped[160]; // why not measured
};

struct onp_bench {
    struct onp_bench_options options;
    struct onp_cli_session session;
    char model_name[128];
    bool synthetic;
    double open_device_s, open_model_s;
    char *temporary;  // folder of the files that the end-to-end scope reads, NULL before
    char *cold_cache; // the empty kernel cache of --cold, NULL without
    struct onp_bench_input inputs[ONP_BENCH_INPUTS];
    size_t input_count;
    struct onp_bench_branch branches[ONP_MODALITY_COUNT];
    struct onp_bench_lane lanes[ONP_BENCH_LANES];
    size_t lane_count;
    struct onp_bench_cell cells[ONP_BENCH_CELLS];
    size_t cell_count;
    struct onp_bench_kernel *kernels;
    size_t kernel_count, kernel_capacity;
    bool clockless; // the device has no clock of its own: no kernels, no busy time
    struct onp_bench_peaks peaks;
    struct onp_bench_accuracy_row accuracy[ONP_MODALITY_COUNT];
    struct onp_bench_machine before, after; // the host at the run's start and end
};

const char *onp_bench_scenario_name(enum onp_bench_scenario scenario);
const char *onp_bench_scope_name(enum onp_bench_scope scope);

// Each returns an exit code and has said why.

// inputs.c: the items of every kind asked for, and their files.
int onp_bench_inputs_create(struct onp_bench *bench);
void onp_bench_inputs_free(struct onp_bench *bench);
// media.c: a picture (PNG) or a stereo sound (44.1 kHz, 16 bits) of seeded content.
int onp_bench_write_png(const char *path, uint64_t seed);
int onp_bench_write_wav(const char *path, uint64_t seed, double seconds);

// probes.c: everything once; the float32 rate alone, quickly (0 if it cannot be measured).
int onp_bench_probe_all(struct onp_bench *bench);
int onp_bench_probe_fma(struct onp_bench *bench, double *gflops);
void onp_bench_peaks_free(struct onp_bench_peaks *peaks);
// A sample in the unit of its probe's name.
double onp_bench_probe_value(enum onp_probe probe, double work, double seconds);

// run.c: the branches, as many at a time as memory holds, and their scenarios in rounds.
int onp_bench_run(struct onp_bench *bench);
// lane.c: embeds `count` items, beginning with item `first` of the pool.
int onp_bench_lane_warm(struct onp_bench *bench, struct onp_bench_lane *lane, double slice_s);
int onp_bench_lane_run(struct onp_bench *bench, const struct onp_bench_lane *lane, size_t first,
                       size_t count, double *seconds);
// cell.c: one slice of a scenario, at least `least` samples.
int onp_bench_cell_slice(struct onp_bench *bench, struct onp_bench_cell *cell, double seconds,
                         size_t least, uint64_t *random);
// kernels.c: one more pass of `count` items with the device's clock on. Adds the fraction of its
// time that kernels ran to `busy`; `keep`: adds its kernels to those of the report.
int onp_bench_profile(struct onp_bench *bench, const struct onp_bench_lane *lane, size_t count,
                      struct onp_bench_samples *busy, bool keep);
void onp_bench_kernels_free(struct onp_bench *bench);

// accuracy.c: keeps a small item's embedding while a branch is loaded; compares all that were kept
// with the reference back end.
int onp_bench_accuracy_keep(struct onp_bench *bench, enum onp_modality kind);
int onp_bench_accuracy_run(struct onp_bench *bench);
void onp_bench_accuracy_free(struct onp_bench *bench);

#endif
