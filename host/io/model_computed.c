// SPDX-License-Identifier: Apache-2.0
// Model files that are nowhere: every element is a function of its tensor's name and its index.
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "io/model_table.h"

enum onp_status onp_model_file_computed(const char *name, const char *config,
                                        const struct onp_log *log, struct onp_model_file **out) {
    struct onp_model_file *file = calloc(1, sizeof *file);
    if (!file) return onp_fail(log, ONP_ERR_MEMORY, "no memory for %s", name);
    file->borrowed = true; // there are no pages to let go
    file->format = "synthetic";
    file->path = strdup(name);
    enum onp_status status = ONP_OK;
    if (!file->path) status = onp_fail(log, ONP_ERR_MEMORY, "no memory for %s", name);
    file->source = (struct onp_source){file->path, NULL, log};
    if (status == ONP_OK)
        status = onp_config_from_json(&file->source, config, strlen(config), &file->config);
    if (status == ONP_OK)
        *out = file;
    else
        onp_model_file_close(file);
    return status;
}

// FNV-1a, so that a tensor's values do not depend on which others there are.
static uint32_t name_seed(const char *name) {
    uint32_t hash = 2166136261u;
    for (; *name; name++) hash = (hash ^ (unsigned char)*name) * 16777619u;
    return hash;
}

enum onp_status onp_model_file_add_computed(struct onp_model_file *file, const char *name,
                                            const int64_t *shape, int dims, float mean,
                                            float scale) {
    struct onp_file_tensor tensor = {.dtype = ONP_F32,
                                     .dims = dims,
                                     .count = 1,
                                     .computed = {true, name_seed(name), mean, scale}};
    for (int i = 0; i < dims; i++) {
        tensor.shape[i] = shape[i];
        if (!onp_mul_u64(tensor.count, (uint64_t)shape[i], &tensor.count) ||
            tensor.count > INT64_MAX / sizeof(float))
            return onp_fail(file->source.log, ONP_ERR_ARGUMENT, "%s: tensor %s is too large",
                            file->path, name);
    }
    onp_tensor_set_strides(&tensor);
    return onp_model_file_append(file, &tensor, name, strlen(name));
}

// Wellons' lowbias32, a bijection of 32 bits; the loop has no branch so that it becomes vectors.
// Uniform, with the standard deviation `scale`.
void onp_computed_read(const struct onp_computed *c, uint64_t first, uint64_t count, float *out) {
    const float scale = c->scale * 1.7320508f * 0x1p-31f, mean = c->mean;
    uint32_t at = (uint32_t)first * 0x9e3779b9u + c->seed;
    for (uint64_t i = 0; i < count; i++) {
        uint32_t x = at + (uint32_t)i * 0x9e3779b9u;
        x = (x ^ x >> 16) * 0x7feb352du;
        x = (x ^ x >> 15) * 0x846ca68bu;
        out[i] = (float)(int32_t)(x ^ x >> 16) * scale + mean;
    }
}
