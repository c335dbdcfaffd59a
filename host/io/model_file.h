// SPDX-License-Identifier: Apache-2.0
// Checkpoint files behind one face: torch zip, torch legacy, plain pickle (vision export) and
// safetensors. Files are mapped and hostile: every offset and size is checked against the file
// before it is used, pickles are walked by a restricted reader that builds data and calls nothing.
#ifndef ONP_IO_MODEL_FILE_H
#define ONP_IO_MODEL_FILE_H

#include "base/log.h"
#include "io/config.h"
#include "onepeace/model.h"

#define ONP_MAX_DIMS 8

// How a tensor that is in no file is made: element i is mean + scale * a fixed function of seed and
// i, uniform with mean 0 and variance 1.
struct onp_computed {
    bool on;
    uint32_t seed;
    float mean, scale;
};

// A tensor inside the map. Element (i0, i1, ...) is at data + sum(i_k * stride_k) elements; every
// element is inside the map (checked at opening). Little-endian, not necessarily aligned.
struct onp_file_tensor {
    const char *name;
    enum onp_dtype dtype;
    int dims; // 0 for a scalar
    int64_t shape[ONP_MAX_DIMS];
    int64_t stride[ONP_MAX_DIMS]; // in elements, >= 0
    const void *data;             // NULL if computed
    uint64_t count;               // elements
    struct onp_computed computed;
};

struct onp_model_file;
enum onp_status onp_model_file_open(const char *path, const struct onp_log *log,
                                    struct onp_model_file **out);
void onp_model_file_close(struct onp_model_file *file); // NULL is allowed

// A model file without a file: it has this name and configuration (JSON), and tensors are added
// until onp_model_file_sort. They are float32 and take no memory. Dimensions are at least 1.
enum onp_status onp_model_file_computed(const char *name, const char *config,
                                        const struct onp_log *log, struct onp_model_file **out);
enum onp_status onp_model_file_add_computed(struct onp_model_file *file, const char *name,
                                            const int64_t *shape, int dims, float mean,
                                            float scale);
enum onp_status onp_model_file_sort(struct onp_model_file *file);

const char *onp_model_file_path(const struct onp_model_file *file);
const char *onp_model_file_format(const struct onp_model_file *file); // see onp_model_info.format
uint64_t onp_model_file_bytes(const struct onp_model_file *file);
size_t onp_model_file_count(const struct onp_model_file *file);
const struct onp_file_tensor *onp_model_file_at(const struct onp_model_file *file, size_t index);
// NULL if there is none of that name.
const struct onp_file_tensor *onp_model_file_find(const struct onp_model_file *file,
                                                  const char *name);
// The `cfg` of a training checkpoint or the metadata of ours; NULL if there is none.
const struct onp_config *onp_model_file_config(const struct onp_model_file *file);

// The tokenizer's three files when the model file carries them.
struct onp_blob {
    const char *data;
    size_t size;
};
struct onp_tokenizer_blobs {
    struct onp_blob encoder_json, vocab_bpe, dict_txt;
};
bool onp_model_file_tokenizer(const struct onp_model_file *file, struct onp_tokenizer_blobs *out);

// Reads `count` elements from `first` on, in logical row-major order, widened exactly to float32.
// The range must lie in the tensor and the dtype be a floating one (the caller has checked both).
void onp_file_tensor_read(const struct onp_file_tensor *tensor, uint64_t first, uint64_t count,
                          float *out);
// Asks the system to begin reading the tensor.
void onp_model_file_expect(const struct onp_model_file *file, const struct onp_file_tensor *tensor);
// Drops the tensor's pages from resident memory.
void onp_model_file_release(const struct onp_model_file *file,
                            const struct onp_file_tensor *tensor);

// --- Writing safetensors ---------------------------------------------------------------------
// One tensor to write: logical data comes from `source` (any file), stored as `dtype`.
struct onp_tensor_out {
    const char *name; // name in the output
    const struct onp_file_tensor *source;
    enum onp_dtype dtype; // a floating dtype for floating sources, else the source's own
};
// Metadata entries are strings, as safetensors demands. Tensors are sorted by name; the same input
// gives the same bytes. Reads and converts in chunks: host memory stays small.
struct onp_metadata {
    const char *key;
    struct onp_blob value;
};
enum onp_status onp_safetensors_write(const char *path, bool overwrite,
                                      const struct onp_model_file *from,
                                      const struct onp_tensor_out *tensors, size_t tensor_count,
                                      const struct onp_metadata *metadata, size_t metadata_count,
                                      const struct onp_log *log);
// Metadata keys of our own files.
#define ONP_META_FORMAT  "onepeace.format" // "1"
#define ONP_META_CONFIG  "onepeace.config" // cfg as JSON
#define ONP_META_ENCODER "onepeace.encoder.json"
#define ONP_META_MERGES  "onepeace.vocab.bpe"
#define ONP_META_DICT    "onepeace.dict.txt"

#endif
