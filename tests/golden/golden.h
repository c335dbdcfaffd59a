// SPDX-License-Identifier: Apache-2.0
// What the golden tests share: where the data lies, the device under test, items and comparisons.
#ifndef ONP_TESTS_GOLDEN_GOLDEN_H
#define ONP_TESTS_GOLDEN_GOLDEN_H

#include "io/npy.h"
#include "onepeace/onepeace.h"

#define ONP_GOLDEN_ITEMS 8
#define ONP_GOLDEN_PATH  512

// Opened before the tests start: a program whose device does not open fails as a whole.
// Devices: ONP_TEST_DEVICE (a selector) if set, else the best device; and the reference.
struct onp_golden {
    struct onp_context *context;
    struct onp_log log;
    struct onp_device *device[2]; // the device under test; the reference (NULL if it is the same)
    char shared[256];             // the complete set of goldens, "" if there is none
};
extern struct onp_golden onp_golden;

// Returns 0, or 1 after saying what is missing.
int onp_golden_open(void);
void onp_golden_close(void);

// Finds a file of the goldens, here or in the complete set. False if it is in neither.
bool onp_golden_find(char path[ONP_GOLDEN_PATH], const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
// Reads an array; the test fails if it is absent or broken.
struct onp_npy onp_golden_array(const char *path);

// Items of one modality as the model is fed them.
struct onp_golden_items {
    enum onp_modality modality;
    int32_t count;
    const void *data[ONP_GOLDEN_ITEMS];
    int32_t length[ONP_GOLDEN_ITEMS]; // ids, samples or pixels per side
    void *memory;
};
// Upstream's token ids without padding, or its waveforms without the zeros behind them.
struct onp_golden_items onp_golden_texts(const char *path);
struct onp_golden_items onp_golden_sounds(const char *path);
// Normalised pixels: float32 [B][3][side][side] as stored.
struct onp_golden_items onp_golden_pixels(const char *path);
// Resized pictures, uint8 [side][side][3], one array each.
struct onp_golden_items onp_golden_pictures(const char *const *files, int32_t count);
// The two synthetic pictures that stand in for upstream's photographs.
struct onp_golden_items onp_golden_own_pictures(void);
void onp_golden_items_free(struct onp_golden_items *items);

// Largest |a - b|; infinite if something is not a number.
double onp_golden_distance(const float *a, const float *b, size_t count);
// Fails the test, naming `what`, if the distance exceeds the tolerance. Prints every distance when
// ONP_TEST_VERBOSE is set.
void onp_golden_near(const char *what, const float *got, const float *want, size_t count,
                     double tolerance);
// Fails the test with the library's message if status is not ONP_OK.
void onp_golden_ok(enum onp_status status, const char *what);

#endif
