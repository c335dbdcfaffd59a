// SPDX-License-Identifier: Apache-2.0
#include "tests/golden/make_model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/half.h"
#include "base/parallel.h"
#include "base/rng.h"
#include "io/model_table.h"
#include "models/one_peace/tensors.h"

struct entry {
    char name[128];
    struct onp_file_tensor tensor;
    float mean, scale;
};

struct maker {
    const struct onp_test_model *model;
    struct entry *list;
    size_t count, capacity;
};

struct onp_test_model onp_test_model_full(void) {
    return (struct onp_test_model){
        .embed_dim = 1536,
        .ffn_dim = 6144,
        .layers = 4,
        .heads = 24,
        .vocab = 50264,
        .image_size = 256,
        .channels = 512,
        .convs = {{10, 5}, {3, 2}, {3, 2}, {3, 2}, {3, 2}, {2, 2}, {2, 2}},
        .conv_count = 7,
        .pos_convs = 5,
        .pos_kernel = 19,
        .modalities = ONP_ALL_MODALITIES,
        .dtype = ONP_F16,
        .seed = 1,
    };
}

// --- The list of tensors ---------------------------------------------------------------------

static struct entry *push(struct maker *m) {
    if (m->count == m->capacity) {
        const size_t capacity = m->capacity ? 2 * m->capacity : 256;
        struct entry *list = realloc(m->list, capacity * sizeof *list);
        if (!list) return NULL;
        m->list = list;
        m->capacity = capacity;
    }
    struct entry *e = &m->list[m->count++];
    memset(e, 0, sizeof *e);
    return e;
}

static enum onp_status add(void *user, const char *name, const int64_t *shape, int dims, float mean,
                           float scale) {
    struct maker *m = user;
    struct entry *e = push(m);
    if (!e) return ONP_ERR_MEMORY;
    snprintf(e->name, sizeof e->name, "%s", name);
    struct onp_file_tensor *t = &e->tensor;
    t->dtype = m->model->dtype;
    t->count = 1;
    t->dims = dims;
    for (int d = 0; d < dims; d++) {
        t->shape[d] = shape[d];
        t->count *= (uint64_t)shape[d];
    }
    onp_tensor_set_strides(t);
    e->mean = mean;
    e->scale = scale;
    return ONP_OK;
}

static enum onp_status add_all(struct maker *m) {
    const struct onp_test_model *model = m->model;
    struct onp_one_peace_sizes sizes = {.dim = model->embed_dim,
                                        .ffn = model->ffn_dim,
                                        .layers = model->layers,
                                        .heads = model->heads,
                                        .vocab = model->vocab,
                                        .channels = model->channels,
                                        .conv_count = model->conv_count,
                                        .pos_convs = model->pos_convs,
                                        .pos_kernel = model->pos_kernel,
                                        .patches_per_side = model->image_size / 16,
                                        .modalities = model->modalities,
                                        .table_per_layer = model->table_per_layer,
                                        .query_gain = 1.5f};
    for (int i = 0; i < model->conv_count; i++) sizes.kernels[i] = model->convs[i].kernel;
    return onp_one_peace_tensors(&sizes, add, m);
}

// --- Values and writing ----------------------------------------------------------------------

// Each tensor has its own generator, so the threads' order does not show.
static void fill_entry(void *user, size_t index) {
    struct maker *m = user;
    struct entry *e = &m->list[index];
    const size_t size = onp_dtype_size(e->tensor.dtype);
    unsigned char *data = malloc((size_t)e->tensor.count * size);
    e->tensor.data = data;
    if (!data) return;
    struct onp_rng rng = {m->model->seed * 1000003u + index};
    for (uint64_t i = 0; i < e->tensor.count; i++) {
        const float value = e->mean + e->scale * onp_rng_normal(&rng);
        const uint16_t narrow =
            e->tensor.dtype == ONP_F16 ? onp_float_to_half(value) : onp_float_to_bf16(value);
        if (size == 2)
            memcpy(data + 2 * i, &narrow, 2);
        else
            memcpy(data + 4 * i, &value, 4);
    }
}

static void write_config(const struct onp_test_model *m, struct onp_buf *json) {
    onp_buf_printf(json,
                   "{\"model\": {\"_name\": \"one_peace_retrieval\", \"encoder\": {"
                   "\"embed_dim\": %d, \"ffn_embed_dim\": %d, \"layers\": %d, "
                   "\"attention_heads\": %d, \"audio_adapter\": {\"feature_encoder_spec\": \"",
                   m->embed_dim, m->ffn_dim, m->layers, m->heads);
    for (int i = 0; i < m->conv_count; i++)
        onp_buf_printf(json, "%s[(%d, %d, %d)]", i ? " + " : "", m->channels, m->convs[i].kernel,
                       m->convs[i].stride);
    onp_buf_printf(json,
                   "\"}}}, \"task\": {\"head_type\": \"val\", \"patch_image_size\": %d, "
                   "\"max_src_length\": 70}}",
                   m->image_size);
}

static enum onp_status write_file(const char *path, struct maker *m, const struct onp_log *log) {
    struct onp_tensor_out *out = calloc(m->count, sizeof *out);
    struct onp_buf json = {0};
    enum onp_status status = ONP_ERR_MEMORY;
    write_config(m->model, &json);
    if (!out || json.failed) goto done;
    for (size_t i = 0; i < m->count; i++) {
        struct entry *e = &m->list[i];
        if (!e->tensor.data) goto done;
        e->tensor.name = e->name;
        out[i] = (struct onp_tensor_out){e->name, &e->tensor, e->tensor.dtype};
    }
    const struct onp_metadata metadata[] = {
        {ONP_META_FORMAT, {"1", 1}},
        {ONP_META_CONFIG, {json.data, json.size}},
    };
    status = onp_safetensors_write(path, true, NULL, out, m->count, metadata, 2, log);
done:
    onp_buf_free(&json);
    free(out);
    return status;
}

enum onp_status onp_make_model(const char *path, const struct onp_test_model *model,
                               const struct onp_log *log) {
    struct maker m = {.model = model};
    enum onp_status status = add_all(&m);
    if (status == ONP_OK) {
        onp_parallel_for(m.count, 0, fill_entry, &m);
        status = write_file(path, &m, log);
    }
    for (size_t i = 0; i < m.count; i++) free((void *)(uintptr_t)m.list[i].tensor.data);
    free(m.list);
    return status;
}
