// SPDX-License-Identifier: Apache-2.0
// The list of model families: one line each.
#include "models/family.h"

static const struct onp_family *const families[] = {
    &onp_family_one_peace,
};

const struct onp_family *onp_family_find(const struct onp_model_file *file) {
    for (size_t i = 0; i < sizeof families / sizeof families[0]; i++)
        if (families[i]->probe(file)) return families[i];
    return NULL;
}
