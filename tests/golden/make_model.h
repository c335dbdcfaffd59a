// SPDX-License-Identifier: Apache-2.0
// Writes ONE-PEACE models of any size with seeded, untrained weights, as safetensors.
#ifndef ONP_TESTS_GOLDEN_MAKE_MODEL_H
#define ONP_TESTS_GOLDEN_MAKE_MODEL_H

#include "base/log.h"
#include "onepeace/model.h"

#define ONP_TEST_CONVS 8

struct onp_test_conv {
    int32_t kernel, stride;
};

struct onp_test_model {
    int32_t embed_dim, ffn_dim, layers, heads; // embed_dim: a multiple of 16 and of heads
    int32_t vocab, image_size;                 // image_size: a multiple of 16
    int32_t channels;                          // of the wave convolutions
    struct onp_test_conv convs[ONP_TEST_CONVS];
    int32_t conv_count;
    int32_t pos_convs, pos_kernel; // positional convolutions
    unsigned modalities;
    bool table_per_layer;
    enum onp_dtype dtype; // ONP_F32, ONP_F16 or ONP_BF16
    uint64_t seed;
};

// The published model's widths with four layers.
struct onp_test_model onp_test_model_full(void);
// Replaces an existing file. The same settings give the same bytes.
enum onp_status onp_make_model(const char *path, const struct onp_test_model *model,
                               const struct onp_log *log);

#endif
