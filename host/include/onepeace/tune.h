// SPDX-License-Identifier: Apache-2.0
// Tiles measured on a device: which are in force, and the search for better ones.
//
// Opening a device takes, for each op on its own, the first of: the user's tuning file (the one of
// struct onp_context_params, else config_dir/tuning/<device>-<driver>.txt), a contributed file that
// came with the program (bench/tuned), the device class's row. What a file says is checked before
// it is used; what fails is dropped with a warning that names file and line, and the next is taken.
#ifndef ONEPEACE_TUNE_H
#define ONEPEACE_TUNE_H

#include "onepeace/device.h"
#include "onepeace/model.h"

#ifdef __cplusplus
extern "C" {
#endif

// The tiles that an op takes on an open device. Strings belong to the device.
struct onp_tuning_row {
    const char *op;     // "matmul"
    const char *row;    // name of the class's row, "cpu-256", or where tuned tiles differ from it:
                        // "tile_rows=4 tile_vectors=3"
    const char *source; // "class", the path of a file, or "bench/tuned/NAME" for a contributed one
};
// Fills up to `capacity` rows, one for each op; returns how many ops there are.
ONP_API size_t onp_device_get_tuning(const struct onp_device *device, struct onp_tuning_row *rows,
                                     size_t capacity);

enum onp_tune_verdict {
    ONP_TUNE_NOISE = 0, // the default against itself: how far a ratio strays by chance
    ONP_TUNE_REFUSED,   // the device cannot run it: message says why
    ONP_TUNE_WRONG,     // differs from the C reference, or from the default on the model's shapes
    ONP_TUNE_SLOWER,    // not among the fastest of a few pairs
    ONP_TUNE_CLOSE,     // among the fastest, but not the one, or not by more than the noise
    ONP_TUNE_KEPT,      // wins by more than the noise
    ONP_TUNE_SKIPPED    // `tried` of `total` candidates had their turn in the time given
};
ONP_API const char *onp_tune_verdict_name(enum onp_tune_verdict verdict); // "kept"

// One candidate's outcome. Strings are valid during the call.
struct onp_tune_result {
    const char *op;
    const char *tiles; // where it differs from the class's row
    enum onp_tune_verdict verdict;
    double ratio;        // median over the pairs of (time of the class's tiles / its time); or 0
    double bound;        // lower end of the median's bootstrap interval (97.5 % one-sided); or 0
    uint32_t pairs;      // interleaved pairs behind them
    const char *message; // detail, "" if none
    size_t tried, total; // candidates of this op
};
// Returns false to end the search early; what has won so far stays.
typedef bool (*onp_tune_fn)(void *user, const struct onp_tune_result *result);

struct onp_tune_params {
    const char *op;       // only ops whose name contains this; NULL: all that have tiles
    double seconds;       // about how long the search may take; 0: 300
    unsigned modalities;  // branches whose shapes count; 0: all of the model's
    enum onp_dtype dtype; // storage of the matrices: ONP_F32 or ONP_F16
    uint64_t seed;        // of the random data and the bootstrap
    onp_tune_fn fn;       // may be NULL
    void *user;
};

// Searches each op's tile space for the shapes of one item of each branch of the model. Every
// candidate is compared with the C reference before it is timed, and with the default on the
// model's own shapes; candidate and default (the class's row) run in turn, A B B A, in one run; the
// fastest few are measured again, and the best of those once more on fresh pairs. It is kept only
// if the bound of that last measurement exceeds 1 by more than the noise: the larger of 1 % and the
// distance of the same bound from 1 when the default runs against itself. Each branch counts the
// same. Needs no weights of the model: the operands are random.
// The device's tiles are unchanged afterwards.
struct onp_tune;
ONP_API enum onp_status onp_tune_run(struct onp_device *device, const struct onp_model *model,
                                     const struct onp_tune_params *params, struct onp_tune **out);
ONP_API void onp_tune_free(struct onp_tune *tune); // NULL is allowed
// How many ops have better tiles now.
ONP_API size_t onp_tune_kept(const struct onp_tune *tune);
// Writes the tuning file `path`, NULL: the user's for this device (onp_tune_path). Sections of ops
// that were not searched are kept if the file is there and for this device; those of ops that were
// searched are replaced or, without a winner, removed. Without any section left nothing is written
// and an existing file is removed.
ONP_API enum onp_status onp_tune_write(const struct onp_tune *tune, const char *path);
// Where the user's file for this device lies.
ONP_API enum onp_status onp_tune_path(const struct onp_device *device, char *path, size_t size);

#ifdef __cplusplus
}
#endif
#endif
