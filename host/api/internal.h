// SPDX-License-Identifier: Apache-2.0
// The public objects' insides, shared by the files of host/api.
#ifndef ONP_API_INTERNAL_H
#define ONP_API_INTERNAL_H

#include "base/context.h"
#include "io/model_file.h"
#include "models/family.h"
#include "onepeace/onepeace.h"

struct onp_model {
    struct onp_context *context;
    struct onp_model_file *file;
    const struct onp_family *family;
    struct onp_hparams *hparams;
    struct onp_tokenizer *tokenizer; // NULL if the file has none and none was given
    struct onp_model_info info;
};

struct onp_input {
    enum onp_modality modality;
    enum onp_dtype dtype; // ONP_I32 for text, else ONP_F32
    int dims;
    uint64_t shape[3];
    void *data;
};

// Length as struct onp_batch counts it: ids or samples, 0 for pictures.
int32_t onp_input_length(const struct onp_input *input);

// Decides how a weight lies on this device: its dtype and layout.
void onp_weight_place(struct onp_weight *weight, const struct onp_device *device,
                      enum onp_dtype dtype);

// Bytes of the arena for `count` items of the modality's largest size.
enum onp_status onp_measure_arena(const struct onp_model *model, struct onp_weights *weights,
                                  const struct onp_device *device, enum onp_modality modality,
                                  int32_t count, uint64_t *arena_bytes);

// A batch of `count` items, each `length` long, all zeros; for measuring and warming up.
struct onp_blank_batch {
    struct onp_batch batch;
    void *zeros;
    const void **items;
    int32_t *lengths;
};
enum onp_status onp_blank_batch_create(const struct onp_model *model, enum onp_modality modality,
                                       int32_t count, int64_t length,
                                       struct onp_blank_batch *blank);
void onp_blank_batch_free(struct onp_blank_batch *blank);

#endif
