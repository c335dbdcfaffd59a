// SPDX-License-Identifier: Apache-2.0
// State dictionaries of PyTorch pickles.
#include "io/torch.h"

#include <stdio.h>
#include <string.h>

static const struct {
    const char *type;
    uint32_t element;
    bool supported;
    enum onp_dtype dtype;
} storage_types[] = {
    {"FloatStorage", 4, true, ONP_F32},
    {"HalfStorage", 2, true, ONP_F16},
    {"BFloat16Storage", 2, true, ONP_BF16},
    {"DoubleStorage", 8, true, ONP_F64},
    {"LongStorage", 8, true, ONP_I64},
    {"IntStorage", 4, true, ONP_I32},
    {"ShortStorage", 2, true, ONP_I16},
    {"CharStorage", 1, true, ONP_I8},
    {"ByteStorage", 1, true, ONP_U8},
    {"BoolStorage", 1, true, ONP_BOOL},
    // Known so that a legacy file that holds them beside the model can be walked.
    {"ComplexFloatStorage", 8, false, 0},
    {"ComplexDoubleStorage", 16, false, 0},
    {"QInt8Storage", 1, false, 0},
    {"QUInt8Storage", 1, false, 0},
    {"QInt32Storage", 4, false, 0},
    {"UntypedStorage", 1, false, 0},
};

bool onp_torch_is_storage(const struct onp_pickle *pickle, uint32_t value) {
    const struct onp_pickle_value *v = onp_pickle_get(pickle, value);
    return v && v->kind == ONP_PICKLE_PERSISTENT &&
           onp_pickle_is_string(pickle, onp_pickle_item(pickle, v->list.args, 0), "storage");
}

// Finds the row of a class named torch.XStorage (or torch.storage.XStorage).
static bool find_type(const struct onp_pickle *pickle, uint32_t class, size_t *row) {
    for (size_t i = 0; i < sizeof storage_types / sizeof storage_types[0]; i++) {
        *row = i;
        if (onp_pickle_is_global(pickle, class, "torch", storage_types[i].type) ||
            onp_pickle_is_global(pickle, class, "torch.storage", storage_types[i].type))
            return true;
    }
    return false;
}

enum onp_status onp_torch_read_id(const struct onp_source *source, const struct onp_pickle *pickle,
                                  uint32_t value, struct onp_torch_id *out) {
    if (!onp_torch_is_storage(pickle, value))
        return onp_fail(source->log, ONP_ERR_FORMAT,
                        "%s: a tensor refers to something that is no storage", source->path);
    const uint32_t id = onp_pickle_get(pickle, value)->list.args;
    const struct onp_pickle_value *key = onp_pickle_get(pickle, onp_pickle_item(pickle, id, 2));
    const struct onp_pickle_value *count = onp_pickle_get(pickle, onp_pickle_item(pickle, id, 4));
    const struct onp_pickle_value *view = onp_pickle_get(pickle, onp_pickle_item(pickle, id, 5));
    size_t row = 0;
    if (!find_type(pickle, onp_pickle_item(pickle, id, 1), &row))
        return onp_fail(source->log, ONP_ERR_UNSUPPORTED,
                        "%s: it holds a tensor of a type that is not known here; save it again "
                        "with ordinary tensors",
                        source->path);
    if (!key || key->kind != ONP_PICKLE_STRING || key->text.size > 255 ||
        !onp_tensor_name_ok(key->text.data, key->text.size) || !count ||
        count->kind != ONP_PICKLE_INT || count->integer < 0)
        return onp_fail(source->log, ONP_ERR_FORMAT,
                        "%s: the record of a storage is damaged; get the file again", source->path);
    if (view && view->kind != ONP_PICKLE_NONE)
        return onp_fail(source->log, ONP_ERR_UNSUPPORTED,
                        "%s: it was written by a PyTorch older than 0.4; save it again with a "
                        "newer one",
                        source->path);
    *out = (struct onp_torch_id){.key = key->text.data,
                                 .key_size = (uint32_t)key->text.size,
                                 .count = (uint64_t)count->integer,
                                 .element = storage_types[row].element,
                                 .supported = storage_types[row].supported,
                                 .dtype = storage_types[row].dtype};
    snprintf(out->type, sizeof out->type, "%s", storage_types[row].type);
    return ONP_OK;
}

// --- Tensors ---------------------------------------------------------------------------------

struct collector {
    struct onp_model_file *file;
    const struct onp_pickle *pickle;
    onp_torch_resolve_fn resolve;
    void *user;
};

static bool is_call(const struct onp_pickle *pickle, uint32_t value, const char *module,
                    const char *name) {
    const struct onp_pickle_value *v = onp_pickle_get(pickle, value);
    return v && v->kind == ONP_PICKLE_OBJECT &&
           onp_pickle_is_global(pickle, v->list.callable, module, name);
}

static uint32_t argument(const struct onp_pickle *pickle, uint32_t call, uint32_t i) {
    return onp_pickle_item(pickle, onp_pickle_get(pickle, call)->list.args, i);
}

static bool is_tensor(const struct onp_pickle *pickle, uint32_t value) {
    return is_call(pickle, value, "torch._utils", "_rebuild_tensor_v2") ||
           is_call(pickle, value, "torch._utils", "_rebuild_tensor");
}

// A parameter wraps a tensor.
static uint32_t unwrap(const struct onp_pickle *pickle, uint32_t value) {
    if (is_call(pickle, value, "torch._utils", "_rebuild_parameter") ||
        is_call(pickle, value, "torch._utils", "_rebuild_parameter_with_state"))
        return argument(pickle, value, 0);
    return value;
}

// Reads a tuple of non-negative integers.
static bool read_sizes(const struct onp_pickle *pickle, uint32_t tuple, int64_t *out, int *count) {
    const struct onp_pickle_value *v = onp_pickle_get(pickle, tuple);
    if (!v || v->kind != ONP_PICKLE_TUPLE || v->count > ONP_MAX_DIMS) return false;
    for (uint32_t i = 0; i < v->count; i++) {
        const struct onp_pickle_value *item = onp_pickle_get(pickle, v->list.items[i]);
        if (item->kind != ONP_PICKLE_INT || item->integer < 0) return false;
        out[i] = item->integer;
    }
    *count = (int)v->count;
    return true;
}

static enum onp_status add_tensor(const struct collector *c, const char *name, size_t name_size,
                                  uint32_t call) {
    const struct onp_source *source = &c->file->source;
    const struct onp_pickle_value *offset = onp_pickle_get(c->pickle, argument(c->pickle, call, 1));
    struct onp_file_tensor tensor = {0};
    int strides = 0;
    if (!offset || offset->kind != ONP_PICKLE_INT || offset->integer < 0 ||
        !read_sizes(c->pickle, argument(c->pickle, call, 2), tensor.shape, &tensor.dims) ||
        !read_sizes(c->pickle, argument(c->pickle, call, 3), tensor.stride, &strides) ||
        strides != tensor.dims)
        return onp_fail(source->log, ONP_ERR_FORMAT,
                        "%s: offset, shape or strides of tensor %.*s are not valid; get the file "
                        "again",
                        source->path, (int)name_size, name);
    struct onp_storage storage = {0};
    const enum onp_status status =
        c->resolve(c->user, c->pickle, argument(c->pickle, call, 0), &storage);
    if (status != ONP_OK) {
        onp_log(source->log, ONP_LOG_DEBUG, "%s: in tensor %.*s", source->path, (int)name_size,
                name);
        return status;
    }
    return onp_model_file_add(c->file, name, name_size, &storage, (uint64_t)offset->integer,
                              &tensor);
}

// One entry of a state dict. What is no tensor is passed over, but a tensor in a form that cannot
// be read must not go missing silently.
static enum onp_status add_entry(const struct collector *c, uint32_t key, uint32_t value) {
    const struct onp_source *source = &c->file->source;
    const struct onp_pickle_value *k = onp_pickle_get(c->pickle, key);
    value = unwrap(c->pickle, value);
    const struct onp_pickle_value *v = onp_pickle_get(c->pickle, value);
    if (k->kind != ONP_PICKLE_STRING || !v || v->kind != ONP_PICKLE_OBJECT) return ONP_OK;
    const struct onp_pickle_value *made_by = onp_pickle_get(c->pickle, v->list.callable);
    if (made_by->kind != ONP_PICKLE_GLOBAL || made_by->global.name_size < 9 ||
        memcmp(made_by->global.name, "_rebuild_", 9) != 0)
        return ONP_OK;
    if (!onp_tensor_name_ok(k->text.data, k->text.size))
        return onp_fail(source->log, ONP_ERR_FORMAT,
                        "%s: a tensor's name is too long or has control characters", source->path);
    if (is_tensor(c->pickle, value)) return add_tensor(c, k->text.data, k->text.size, value);
    return onp_fail(source->log, ONP_ERR_UNSUPPORTED,
                    "%s: tensor %.*s is not a plain dense tensor; save the state dict with "
                    "ordinary tensors",
                    source->path, (int)k->text.size, k->text.data);
}

// Training checkpoints keep the state dict under "model"; others under "state_dict", or they are
// nothing but the state dict.
static uint32_t find_state_dict(const struct onp_pickle *pickle) {
    static const char *const names[] = {"model", "state_dict"};
    uint32_t count;
    for (size_t i = 0; i < 2; i++) {
        const uint32_t found = onp_pickle_find(pickle, pickle->root, names[i]);
        if (found != ONP_PICKLE_NIL && onp_pickle_map(pickle, found, &count)) return found;
    }
    return pickle->root;
}

enum onp_status onp_torch_collect(struct onp_model_file *file, const struct onp_pickle *pickle,
                                  onp_torch_resolve_fn resolve, void *user) {
    const struct collector c = {file, pickle, resolve, user};
    uint32_t count = 0;
    const uint32_t *items = onp_pickle_map(pickle, find_state_dict(pickle), &count);
    for (uint32_t i = 0; items && i < count; i++)
        ONP_TRY(add_entry(&c, items[2 * i], items[2 * i + 1]));
    if (file->count == 0)
        return onp_fail(file->source.log, ONP_ERR_FORMAT,
                        "%s holds no model: expected a dictionary of tensors, at the top or under "
                        "\"model\"; save model.state_dict() rather than an object",
                        file->path);
    const uint32_t cfg = onp_pickle_find(pickle, pickle->root, "cfg");
    if (cfg == ONP_PICKLE_NIL) return ONP_OK;
    return onp_config_from_pickle(&file->source, pickle, cfg, &file->config);
}
