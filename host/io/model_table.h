// SPDX-License-Identifier: Apache-2.0
// The inside of an opened model file: one table that the reader of each format fills.
#ifndef ONP_IO_MODEL_TABLE_H
#define ONP_IO_MODEL_TABLE_H

#include "base/file.h"
#include "io/config_internal.h"
#include "io/model_file.h"

struct onp_model_file {
    struct onp_source source;
    struct onp_map map;
    bool borrowed; // the map is memory of the caller
    char *path;
    const char *format;
    struct onp_file_tensor *tensors; // sorted by name once the file is open
    size_t count, capacity;
    struct onp_config *config;
    struct onp_tokenizer_blobs tokenizer;
    bool has_tokenizer;
    void *metadata; // json_t that `tokenizer` points into, or NULL
};

// Elements in the file that tensors are cut from.
struct onp_storage {
    enum onp_dtype dtype;
    const unsigned char *data;
    uint64_t count;
};

// Is this a name that may appear in messages and in files that we write? It is UTF-8 or nearly so,
// of at most 1024 bytes without control characters.
bool onp_tensor_name_ok(const char *name, size_t size);

// Adds a tensor after checking that its name is sane and that every element lies in the storage.
// `tensor` holds dims, shape and stride; the rest is filled here.
enum onp_status onp_model_file_add(struct onp_model_file *file, const char *name, size_t name_size,
                                   const struct onp_storage *storage, uint64_t offset,
                                   struct onp_file_tensor *tensor);

// Adds a tensor as it is, under a copy of its name.
enum onp_status onp_model_file_append(struct onp_model_file *file,
                                      const struct onp_file_tensor *tensor, const char *name,
                                      size_t name_size);
// Elements [first, first + count) of a computed tensor.
void onp_computed_read(const struct onp_computed *computed, uint64_t first, uint64_t count,
                       float *out);

// Opens a file that is in memory, which the caller keeps until the file is closed. Tests and
// fuzzing use it: a read beyond the end of malloc'ed memory is seen, one beyond a map often is not.
enum onp_status onp_model_file_open_memory(const char *name, const void *data, size_t size,
                                           const struct onp_log *log, struct onp_model_file **out);

// Row-major strides for its shape.
void onp_tensor_set_strides(struct onp_file_tensor *tensor);
bool onp_tensor_contiguous(const struct onp_file_tensor *tensor);
// Copies raw elements in logical row-major order.
void onp_tensor_gather(const struct onp_file_tensor *tensor, uint64_t first, uint64_t count,
                       void *out);

// The readers. Each fills the table, and the configuration if there is one.
enum onp_status onp_read_torch_zip(struct onp_model_file *file);
enum onp_status onp_read_torch_legacy(struct onp_model_file *file);
enum onp_status onp_read_plain_pickle(struct onp_model_file *file);
enum onp_status onp_read_safetensors(struct onp_model_file *file);

#endif
