// SPDX-License-Identifier: Apache-2.0
// Tuning files: the tiles that were measured best on one device and driver. Text, one "key = value"
// a line; a header that says for what, then a section for each op:
//
//   # comment, a whole line
//   format = 1
//   device = NVIDIA GeForce RTX 3090       exactly as the driver gives it, like the next two
//   vendor = NVIDIA Corporation
//   platform = NVIDIA CUDA
//   driver = 535.104.05                    or * for every driver
//   program = 0.1.0                        version that measured; this and the next two are notes
//   date = 2026-11-24
//   model = one-peace, 1536 wide, f32
//
//   [matmul]
//   vector = 8                             tiles (onp_tuning_fields); what is not given is the
//   tile_rows = 6                          device class's
//   gain = 1.043                           measured: time of the class's tiles / time of these
//   bound = 1.031                          what the gain exceeds with 97.5 % confidence
//   pairs = 15
//
// A file may come from anybody: sizes, characters and values are bounded, nothing is skipped.
#ifndef ONP_EXEC_TUNING_FILE_H
#define ONP_EXEC_TUNING_FILE_H

#include "backend/backend.h"
#include "base/buf.h"

#define ONP_TUNING_FILE_BYTES (32u * 1024u) // more is refused
#define ONP_TUNING_WHY        768           // bytes of a refusal, "FILE:LINE: ..."

// One number of the tile table.
struct onp_tuning_field {
    const char *name;
    size_t offset;           // in struct onp_tuning
    bool flag;               // a bool, written 0 or 1; else an int32_t
    int32_t low, high, step; // step 0: powers of two
    unsigned ops;            // bits of the ops that read it
};
extern const struct onp_tuning_field onp_tuning_fields[];
extern const size_t onp_tuning_field_count; // at most 32
int32_t onp_tuning_get(const struct onp_tuning *tiles, const struct onp_tuning_field *field);
void onp_tuning_set(struct onp_tuning *tiles, const struct onp_tuning_field *field, int32_t value);
// True if an op reads this field.
static inline bool onp_tuning_reads(const struct onp_tuning_field *field, enum onp_tuned_op op) {
    return field->ops >> op & 1u;
}
// Equal in every field that the op reads.
bool onp_tuning_equal(const struct onp_tuning *a, const struct onp_tuning *b, enum onp_tuned_op op);
// The fields that the op reads and where `tiles` differs from `base` (NULL: all of them), as
// "tile_rows=4 tile_vectors=3"; cut if too long.
void onp_tuning_describe(const struct onp_tuning *tiles, const struct onp_tuning *base,
                         enum onp_tuned_op op, char *text, size_t size);

const char *onp_tuned_op_name(enum onp_tuned_op op); // "matmul"
// Whose tiles an op takes: its own, or another's that its kernels are built on. False: none.
bool onp_tuned_op_of(const char *op, enum onp_tuned_op *tiles);
bool onp_tuned_op_find(const char *name, size_t length, enum onp_tuned_op *op);

struct onp_tuning_section {
    int line;       // of its [name]; 0: the file has none for this op
    unsigned given; // bits of onp_tuning_fields
    struct onp_tuning tiles;
    double gain, bound; // 0: not given
    int32_t pairs;
};

enum { ONP_TUNING_DEVICE, ONP_TUNING_VENDOR, ONP_TUNING_PLATFORM, ONP_TUNING_DRIVER };
enum { ONP_TUNING_PROGRAM = 4, ONP_TUNING_DATE, ONP_TUNING_MODEL, ONP_TUNING_HEADS };

struct onp_tuning_file {
    char head[ONP_TUNING_HEADS][256];
    int head_line[ONP_TUNING_HEADS];
    struct onp_tuning_section op[ONP_TUNED_COUNT];
};

// Parses `text`. On refusal returns false and writes "NAME:LINE: what is wrong, what to do".
bool onp_tuning_parse(const char *name, const char *text, size_t size, struct onp_tuning_file *file,
                      char why[ONP_TUNING_WHY]);
// The reverse; parsing the text gives the same file but for its lines. Only the fields in `given`
// are written.
void onp_tuning_print(const struct onp_tuning_file *file, struct onp_buf *out);

// Fills the header's device, vendor, platform and driver with what a device's file has.
void onp_tuning_identify(const struct onp_device_info *info, struct onp_tuning_file *file);
// True if the file is for this device; else why.
bool onp_tuning_matches(const struct onp_tuning_file *file, const char *name,
                        const struct onp_device_info *info, char why[ONP_TUNING_WHY]);
// What a file for this device and driver is called: letters, digits and '-', then ".txt".
void onp_tuning_file_name(const struct onp_device_info *info, char *name, size_t size);

#endif
