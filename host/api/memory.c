// SPDX-License-Identifier: Apache-2.0
// Memory need before anything is loaded, and how weights lie on a device.
#include <stdlib.h>

#include "api/internal.h"
#include "backend/backend.h"
#include "exec/exec.h"
#include "ops/op.h"
#include "ops/ops.h"

void onp_weight_place(struct onp_weight *weight, const struct onp_device *device,
                      enum onp_dtype dtype) {
    struct onp_tensor *x = &weight->tensor;
    x->dtype = weight->kind == ONP_WEIGHT_VECTOR ? ONP_F32 : dtype;
    x->layout = ONP_LAYOUT_ROWS;
    if (weight->kind == ONP_WEIGHT_MATRIX)
        onp_matmul_weight_layout(device, x->dtype, x->rows, x->cols, &x->layout, &x->panel);
}

enum onp_status onp_blank_batch_create(const struct onp_model *model, enum onp_modality modality,
                                       int32_t count, int64_t length,
                                       struct onp_blank_batch *blank) {
    const size_t side = model->info.image_size;
    const size_t elements = modality == ONP_IMAGE ? 3 * side * side : (size_t)length;
    *blank = (struct onp_blank_batch){
        .zeros = calloc(elements, sizeof(float)), // ids are int32: the same size
        .items = calloc((size_t)count, sizeof(void *)),
        .lengths = calloc((size_t)count, sizeof(int32_t)),
    };
    if (!blank->zeros || !blank->items || !blank->lengths) {
        onp_blank_batch_free(blank);
        return onp_fail(&model->context->log, ONP_ERR_MEMORY, "no memory to plan a batch");
    }
    for (int32_t i = 0; i < count; i++) {
        blank->items[i] = blank->zeros;
        blank->lengths[i] = (int32_t)length;
    }
    blank->batch = (struct onp_batch){
        .modality = modality, .count = count, .items = blank->items, .lengths = blank->lengths};
    return ONP_OK;
}

void onp_blank_batch_free(struct onp_blank_batch *blank) {
    free(blank->zeros);
    free(blank->items);
    free(blank->lengths);
    *blank = (struct onp_blank_batch){0};
}

enum onp_status onp_measure_arena(const struct onp_model *model, struct onp_weights *weights,
                                  const struct onp_device *device, enum onp_modality modality,
                                  int32_t count, uint64_t *arena_bytes) {
    struct onp_blank_batch blank;
    struct onp_graph *graph = NULL;
    const int64_t length = model->family->longest_item(model->hparams, modality);
    ONP_TRY(onp_blank_batch_create(model, modality, count, length, &blank));
    enum onp_status status = onp_graph_create(&model->context->log, &graph);
    if (status == ONP_OK) {
        model->family->build(model->hparams, weights, graph, &blank.batch);
        status = onp_exec_measure(device, graph, arena_bytes);
    }
    onp_graph_destroy(graph);
    onp_blank_batch_free(&blank);
    return status;
}

// A device that no driver stands behind, of the widest common kind: its plan is what a CPU with
// 256-bit vectors would get, and other devices differ by a few percent.
static struct onp_device imagined_device(struct onp_context *context) {
    struct onp_device device = {
        .backend = &onp_backend_ref,
        .info = {.name = "a typical device"},
        .context = context,
        .caps = {.type = ONP_DEVICE_CPU,
                 .vector_width = 8,
                 .compute_units = 1,
                 .max_work_group = 256,
                 .max_work_item = {256, 256, 256},
                 .local_bytes = 32768,
                 .overlap = true,
                 .max_alloc_bytes = UINT64_MAX,
                 .global_bytes = UINT64_MAX},
    };
    onp_tuning_choose(&device);
    return device;
}

enum onp_status onp_model_memory(const struct onp_model *model, unsigned modalities,
                                 enum onp_dtype dtype, uint32_t batch, uint64_t *weight_bytes,
                                 uint64_t *arena_bytes) {
    if (!model || !weight_bytes || !arena_bytes)
        return onp_fail(NULL, ONP_ERR_ARGUMENT, "onp_model_memory: an argument is NULL");
    if ((dtype != ONP_F32 && dtype != ONP_F16) || batch < 1 || batch > 65536)
        return onp_fail(&model->context->log, ONP_ERR_ARGUMENT,
                        "onp_model_memory: dtype must be f32 or f16 and batch 1 to 65536");
    const struct onp_device device = imagined_device(model->context);
    struct onp_weights *weights;
    ONP_TRY(model->family->weights_create(model->hparams, model->file, modalities,
                                          &model->context->log, &weights));
    size_t count;
    struct onp_weight *list = model->family->weights_list(weights, &count);
    *weight_bytes = *arena_bytes = 0;
    for (size_t i = 0; i < count; i++) {
        onp_weight_place(&list[i], &device, dtype);
        *weight_bytes += onp_weight_bytes(&list[i].tensor);
    }
    enum onp_status status = ONP_OK;
    for (int m = 0; m < ONP_MODALITY_COUNT && status == ONP_OK; m++) {
        uint64_t bytes = 0;
        if (!(modalities & ONP_BIT(m))) continue;
        status = onp_measure_arena(model, weights, &device, (enum onp_modality)m, (int32_t)batch,
                                   &bytes);
        if (bytes > *arena_bytes) *arena_bytes = bytes;
    }
    model->family->weights_destroy(weights);
    return status;
}

static enum onp_status add_costs(const struct onp_model *model, struct onp_weights *weights,
                                 struct onp_graph *graph, const struct onp_batch *batch,
                                 double *flops, double *bytes) {
    model->family->build(model->hparams, weights, graph, batch);
    ONP_TRY(onp_graph_status(graph));
    for (size_t i = 0; i < onp_graph_node_count(graph); i++) {
        const struct onp_node *node = onp_graph_node(graph, i);
        double f = 0.0, b = 0.0;
        node->op->cost(node, &f, &b);
        *flops += f;
        *bytes += b;
    }
    return ONP_OK;
}

static enum onp_status cost_of(const struct onp_model *model, enum onp_modality modality,
                               int64_t length, double *flops, double *bytes) {
    const struct onp_log *log = &model->context->log;
    const struct onp_device device = imagined_device(model->context);
    struct onp_weights *weights;
    struct onp_blank_batch blank = {0};
    struct onp_graph *graph = NULL;
    ONP_TRY(model->family->weights_create(model->hparams, model->file, ONP_BIT(modality), log,
                                          &weights));
    size_t count;
    struct onp_weight *list = model->family->weights_list(weights, &count);
    for (size_t i = 0; i < count; i++) onp_weight_place(&list[i], &device, ONP_F32);
    enum onp_status status = onp_blank_batch_create(model, modality, 1, length, &blank);
    if (status == ONP_OK) status = onp_graph_create(log, &graph);
    if (status == ONP_OK) status = add_costs(model, weights, graph, &blank.batch, flops, bytes);
    onp_graph_destroy(graph);
    onp_blank_batch_free(&blank);
    model->family->weights_destroy(weights);
    return status;
}

enum onp_status onp_model_cost(const struct onp_model *model, enum onp_modality modality,
                               uint64_t length, double *flops, double *bytes) {
    if (!model || !flops || !bytes)
        return onp_fail(NULL, ONP_ERR_ARGUMENT, "onp_model_cost: an argument is NULL");
    const struct onp_log *log = &model->context->log;
    if ((unsigned)modality >= ONP_MODALITY_COUNT)
        return onp_fail(log, ONP_ERR_ARGUMENT, "onp_model_cost: no such modality");
    const int64_t items = modality == ONP_IMAGE ? 0
                          : length > INT32_MAX  ? INT32_MAX
                                                : (int64_t)length;
    *flops = *bytes = 0.0;
    ONP_TRY(model->family->check_item(model->hparams, modality, items, log));
    return cost_of(model, modality, items, flops, bytes);
}
