// SPDX-License-Identifier: Apache-2.0
// Which tiles are in force: the user's tuning file, then a contributed row, then the class's.
#ifndef ONP_EXEC_TUNED_H
#define ONP_EXEC_TUNED_H

#include "exec/tuning_file.h"

// Files of bench/tuned, compiled in. Ends with a NULL name.
struct onp_contributed {
    const char *name, *text;
};
extern const struct onp_contributed onp_contributed[];

struct onp_tuned_sources {
    const char *file;       // named by the user: it alone is the user's file; NULL: by config_dir
    const char *config_dir; // tuning/ in it holds the user's files; NULL: none
    const char *cache_dir;  // remembers self-tests; NULL: they are run each time
    const struct onp_contributed *contributed;
    // onp_tuned_selftest, or a test's own.
    enum onp_status (*check)(struct onp_device *device, enum onp_tuned_op op,
                             char why[ONP_TUNING_WHY]);
};

// Sets device->tuned. Each section is taken only if its file is whole and for this device, its
// tiles fit the device, and the op's quick self-test passes with them (remembered for file, device,
// driver and program). What is not taken is a warning that names file, line and remedy, and the
// next source is asked; a run is never broken by a tuning file.
void onp_tuned_load(struct onp_device *device, const struct onp_tuned_sources *sources);
// The same from the context's settings.
void onp_tuned_load_default(struct onp_device *device);

// Checks an op with the tiles in force: its quick cases against the C reference. ONP_ERR_MISMATCH,
// and why, if one differs; other failures are failures to check.
enum onp_status onp_tuned_selftest(struct onp_device *device, enum onp_tuned_op op,
                                   char why[ONP_TUNING_WHY]);
// False, and why, if the device cannot run the tiles (local memory, work-group size, registers)
// and would fall back to the plain kernel.
bool onp_tuned_fits(struct onp_device *device, enum onp_tuned_op op, const struct onp_tuning *tiles,
                    char why[ONP_TUNING_WHY]);
// Where the user's file for this device lies. ONP_ERR_IO if there is no folder for settings.
enum onp_status onp_tuned_path(const struct onp_device *device, char *path, size_t size);

#endif
