// SPDX-License-Identifier: Apache-2.0
// Random items and their embeddings, for models that upstream never ran.
#ifndef ONP_TESTS_GOLDEN_RANDOM_ITEMS_H
#define ONP_TESTS_GOLDEN_RANDOM_ITEMS_H

#include "onepeace/onepeace.h"

#define ONP_RANDOM_ITEMS 12

struct onp_random_items {
    struct onp_input *input[ONP_RANDOM_ITEMS];
    size_t count;
};
// `length`: ids of a text, samples of a sound; not used for a picture. Fails the test on an error.
void onp_random_item(struct onp_random_items *items, const struct onp_model *model,
                     enum onp_modality modality, int32_t length, uint64_t seed);
void onp_random_items_free(struct onp_random_items *items);

// Embeds all items with a new encoder: rows [count][dim]. Fails the test on an error, or if a row
// is not a unit vector.
void onp_random_embed(struct onp_device *device, const struct onp_model *model,
                      const struct onp_encoder_params *params, const struct onp_random_items *items,
                      float *rows);

#endif
