// SPDX-License-Identifier: Apache-2.0
// What a model family offers to the runtime. A family knows names, shapes and formulas; it records
// its forward pass with the ops of ops/ops.h and never meets a device.
#ifndef ONP_MODELS_FAMILY_H
#define ONP_MODELS_FAMILY_H

#include "graph/graph.h"
#include "io/audio.h"
#include "io/image.h"
#include "io/model_file.h"
#include "onepeace/model.h"

struct onp_hparams; // each family's own
struct onp_weights; // each family's own

// How a weight is used decides how it lies on the device.
enum onp_weight_kind {
    ONP_WEIGHT_VECTOR,    // biases, norms, tables of positions: float32, ROWS
    ONP_WEIGHT_EMBEDDING, // row lookups: the chosen dtype, ROWS
    ONP_WEIGHT_MATRIX,    // right side of a product: the chosen dtype, the device's layout
};

#define ONP_MAX_SOURCES 4

// One weight on the device, made from one or more tensors of the file.
struct onp_weight {
    struct onp_tensor tensor;
    enum onp_weight_kind kind;
    const struct onp_file_tensor *source[ONP_MAX_SOURCES];
    int32_t arg[3]; // meaning by fill
    // Rows [first, first + count) of tensor as float32.
    enum onp_status (*fill)(const struct onp_weight *weight, int64_t first, int64_t count,
                            float *rows);
};

// Items of one modality to embed in one run.
struct onp_batch {
    enum onp_modality modality;
    int32_t count;
    const void *const *items; // text: int32 ids, </s> included; image: float [3][side][side];
                              // audio: float samples at 16 kHz
    const int32_t *lengths;   // ids or samples of each item; NULL for pictures
    bool upstream_padding;    // audio: all clips padded with zeros to the longest
};

struct onp_family {
    const char *name;
    bool (*probe)(const struct onp_model_file *file);
    // Derives the dimensions from the tensors and the configuration.
    enum onp_status (*open)(const struct onp_model_file *file, const struct onp_log *log,
                            struct onp_hparams **out);
    void (*close)(struct onp_hparams *hparams);
    // The tensors of a model that is computed, see onp_model_synthetic.
    enum onp_status (*synthetic)(const char *spec, const struct onp_log *log,
                                 struct onp_model_file **out);
    // Fills the fields of info that depend on the family.
    void (*describe)(const struct onp_hparams *hparams, struct onp_model_info *info);
    // True if a conversion to these branches keeps a tensor of this name.
    bool (*keeps)(const char *name, unsigned modalities);
    // Finds and checks every weight of these branches. Missing ones are one error that lists them.
    enum onp_status (*weights_create)(const struct onp_hparams *hparams,
                                      const struct onp_model_file *file, unsigned modalities,
                                      const struct onp_log *log, struct onp_weights **out);
    void (*weights_destroy)(struct onp_weights *weights); // NULL is allowed
    struct onp_weight *(*weights_list)(struct onp_weights *weights, size_t *count);
    // Says whether one item can be embedded (length in ids or samples; 0 for pictures).
    enum onp_status (*check_item)(const struct onp_hparams *hparams, enum onp_modality modality,
                                  int64_t length, const struct onp_log *log);
    // Length of the longest item of a modality (ids or samples; 0 for pictures).
    int64_t (*longest_item)(const struct onp_hparams *hparams, enum onp_modality modality);
    // Rows that an item of this length takes in a batch.
    int64_t (*item_rows)(const struct onp_hparams *hparams, enum onp_modality modality,
                         int64_t length);
    // Records the forward pass; returns the embeddings (count, D), kept. Errors stay in the graph.
    struct onp_tensor *(*build)(const struct onp_hparams *hparams,
                                const struct onp_weights *weights, struct onp_graph *graph,
                                const struct onp_batch *batch);
    // From decoded media to what the model is fed.
    enum onp_status (*image_to_pixels)(const struct onp_image *image, uint32_t side,
                                       const struct onp_log *log, float *pixels);
    enum onp_status (*audio_to_waveform)(struct onp_audio *audio, double max_seconds,
                                         const struct onp_log *log, float **samples, size_t *count);
};

extern const struct onp_family onp_family_one_peace;

// The family whose probe accepts the file; NULL if none does.
const struct onp_family *onp_family_find(const struct onp_model_file *file);

#endif
