// SPDX-License-Identifier: Apache-2.0
// The tensors of a ONE-PEACE checkpoint of any sizes, untrained: what a synthetic model and the
// tests' checkpoints consist of.
#ifndef ONP_MODELS_ONE_PEACE_TENSORS_H
#define ONP_MODELS_ONE_PEACE_TENSORS_H

#include "models/one_peace/one_peace.h"

struct onp_one_peace_sizes {
    int64_t dim, ffn, layers, heads; // dim: a multiple of 16 and of heads
    int64_t vocab;
    int64_t channels; // of the wave convolutions
    int32_t kernels[ONP_MAX_CONVS], conv_count;
    int32_t pos_convs, pos_kernel; // positional convolutions
    int64_t patches_per_side;      // of a picture
    unsigned modalities;
    bool table_per_layer; // relative-position tables: one per layer or one for all
    float query_gain;     // 1: queries as large as keys; more: sharper attention
};

// Values of a tensor: this mean and standard deviation. The name is gone after the call.
typedef enum onp_status (*onp_one_peace_tensor_fn)(void *user, const char *name,
                                                   const int64_t *shape, int dims, float mean,
                                                   float scale);
// Always in the same order. Stops at the first failure and returns it.
enum onp_status onp_one_peace_tensors(const struct onp_one_peace_sizes *sizes,
                                      onp_one_peace_tensor_fn fn, void *user);

#endif
