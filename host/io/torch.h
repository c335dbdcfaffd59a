// SPDX-License-Identifier: Apache-2.0
// What the three forms of PyTorch checkpoints have in common.
#ifndef ONP_IO_TORCH_H
#define ONP_IO_TORCH_H

#include "io/model_table.h"
#include "io/pickle.h"

// A storage as a pickle names it: ('storage', torch.FloatStorage, key, location, count[, view]).
struct onp_torch_id {
    const char *key;
    uint32_t key_size;
    uint64_t count;
    uint32_t element; // bytes of one
    bool supported;   // dtype holds
    enum onp_dtype dtype;
    char type[32]; // for messages: "FloatStorage"
};
enum onp_status onp_torch_read_id(const struct onp_source *source, const struct onp_pickle *pickle,
                                  uint32_t value, struct onp_torch_id *out);
// Is the value a persistent id of the storage kind?
bool onp_torch_is_storage(const struct onp_pickle *pickle, uint32_t value);

// Finds the bytes of a storage. `value` is the first argument of the tensor's constructor.
typedef enum onp_status (*onp_torch_resolve_fn)(void *user, const struct onp_pickle *pickle,
                                                uint32_t value, struct onp_storage *out);
// Fills the table with the tensors of the state dict and reads the configuration.
enum onp_status onp_torch_collect(struct onp_model_file *file, const struct onp_pickle *pickle,
                                  onp_torch_resolve_fn resolve, void *user);

// A legacy file (or one nested in a pickle's bytes) taken apart.
struct onp_legacy {
    struct onp_pickle object;
    struct onp_legacy_storage *storages; // sorted by key
    uint32_t count;
};
enum onp_status onp_legacy_read(const struct onp_source *source, const unsigned char *data,
                                size_t size, struct onp_legacy *out);
enum onp_status onp_legacy_find(const struct onp_source *source, const struct onp_legacy *legacy,
                                const struct onp_pickle *pickle, uint32_t value,
                                struct onp_storage *out);
void onp_legacy_free(struct onp_legacy *legacy);

#endif
