// SPDX-License-Identifier: Apache-2.0
// safetensors: a little-endian header length, a JSON header, the data. The rules are those of the
// reference implementation (github.com/huggingface/safetensors): the header is at most 100 MB,
// starts with '{' and has no key twice; the tensors follow each other without holes or overlap and
// end with the file.
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "io/json.h"
#include "io/model_table.h"
#include "io/safetensors.h"

static const char *const dtype_names[] = {
    [ONP_F32] = "F32", [ONP_F16] = "F16",   [ONP_BF16] = "BF16", [ONP_F64] = "F64",
    [ONP_I64] = "I64", [ONP_I32] = "I32",   [ONP_I16] = "I16",   [ONP_I8] = "I8",
    [ONP_U8] = "U8",   [ONP_BOOL] = "BOOL",
};

const char *onp_safetensors_dtype(enum onp_dtype dtype) { return dtype_names[dtype]; }

// The place of a tensor in the data section, to check the order.
struct span {
    uint64_t begin, end;
    const char *name; // inside the JSON tree
};

struct header {
    struct onp_model_file *file;
    const unsigned char *data; // section
    uint64_t size;
    struct span *spans;
    size_t count;
};

static enum onp_status failed(const struct header *h, enum onp_status status, const char *name,
                              const char *what) {
    return onp_fail(h->file->source.log, status, "%s: tensor %.80s %s", h->file->path, name, what);
}

static bool get_count(const json_t *value, uint64_t *out) {
    if (!json_is_integer(value) || json_integer_value(value) < 0) return false;
    *out = (uint64_t)json_integer_value(value);
    return true;
}

static enum onp_status get_dtype(const struct header *h, const char *name, const json_t *value,
                                 enum onp_dtype *out) {
    if (!json_is_string(value))
        return failed(h, ONP_ERR_FORMAT, name, "has no dtype; get the file again");
    for (size_t i = 0; i < ONP_COUNT(dtype_names); i++)
        if (strcmp(json_string_value(value), dtype_names[i]) == 0) {
            *out = (enum onp_dtype)i;
            return ONP_OK;
        }
    return failed(h, ONP_ERR_UNSUPPORTED, name,
                  "has a dtype that is not supported; convert it to F32, F16 or BF16");
}

static enum onp_status get_shape(const struct header *h, const char *name, const json_t *value,
                                 struct onp_file_tensor *tensor, uint64_t *count) {
    if (!json_is_array(value))
        return failed(h, ONP_ERR_FORMAT, name, "has no shape; get the file again");
    if (json_array_size(value) > ONP_MAX_DIMS)
        return failed(h, ONP_ERR_UNSUPPORTED, name, "has more than 8 dimensions");
    tensor->dims = (int)json_array_size(value);
    *count = 1;
    for (int i = 0; i < tensor->dims; i++) {
        uint64_t size = 0;
        if (!get_count(json_array_get(value, (size_t)i), &size) ||
            !onp_mul_u64(*count, size, count))
            return failed(h, ONP_ERR_FORMAT, name, "has an impossible shape; get the file again");
        tensor->shape[i] = (int64_t)size;
    }
    return ONP_OK;
}

// One member of the header other than the metadata.
static enum onp_status read_tensor(struct header *h, const char *name, const json_t *info) {
    struct onp_file_tensor tensor = {0};
    struct onp_storage storage = {0};
    struct span span = {.name = name};
    uint64_t bytes = 0;
    if (!onp_tensor_name_ok(name, strlen(name)))
        return failed(h, ONP_ERR_FORMAT, "", "has a name too long or with control characters");
    ONP_TRY(get_dtype(h, name, json_object_get(info, "dtype"), &storage.dtype));
    ONP_TRY(get_shape(h, name, json_object_get(info, "shape"), &tensor, &storage.count));
    const json_t *offsets = json_object_get(info, "data_offsets");
    if (json_array_size(offsets) != 2 || !get_count(json_array_get(offsets, 0), &span.begin) ||
        !get_count(json_array_get(offsets, 1), &span.end) || span.begin > span.end ||
        span.end > h->size)
        return failed(h, ONP_ERR_FORMAT, name, "lies outside the file; get the file again");
    if (!onp_mul_u64(storage.count, onp_dtype_size(storage.dtype), &bytes) ||
        bytes != span.end - span.begin)
        return failed(h, ONP_ERR_FORMAT, name,
                      "has a shape that does not fit its bytes; get the file again");
    h->spans[h->count++] = span;
    storage.data = h->data + span.begin;
    onp_tensor_set_strides(&tensor);
    return onp_model_file_add(h->file, name, strlen(name), &storage, 0, &tensor);
}

static int compare_spans(const void *a, const void *b) {
    const struct span *x = a, *y = b;
    if (x->begin != y->begin) return x->begin < y->begin ? -1 : 1;
    return (x->end > y->end) - (x->end < y->end);
}

static enum onp_status check_spans(const struct header *h) {
    uint64_t end = 0;
    if (h->count > 1) qsort(h->spans, h->count, sizeof *h->spans, compare_spans);
    for (size_t i = 0; i < h->count; i++) {
        if (h->spans[i].begin != end)
            return failed(h, ONP_ERR_FORMAT, h->spans[i].name,
                          "overlaps another or leaves a hole; get the file again");
        end = h->spans[i].end;
    }
    if (end == h->size) return ONP_OK;
    return onp_fail(h->file->source.log, ONP_ERR_FORMAT,
                    "%s has %llu bytes behind its tensors; get the file again", h->file->path,
                    (unsigned long long)(h->size - end));
}

// --- Metadata --------------------------------------------------------------------------------

static struct onp_blob blob(const json_t *metadata, const char *key) {
    const json_t *value = json_object_get(metadata, key);
    return (struct onp_blob){json_string_value(value), json_string_length(value)};
}

static enum onp_status read_metadata(struct onp_model_file *file, json_t *metadata) {
    const char *key;
    json_t *value;
    if (!metadata) return ONP_OK;
    bool strings = json_is_object(metadata);
    json_object_foreach(metadata, key, value) strings = strings && json_is_string(value);
    if (!strings)
        return onp_fail(file->source.log, ONP_ERR_FORMAT,
                        "%s: its __metadata__ may hold strings only", file->path);
    file->metadata = json_incref(metadata);
    file->tokenizer = (struct onp_tokenizer_blobs){blob(metadata, ONP_META_ENCODER),
                                                   blob(metadata, ONP_META_MERGES),
                                                   blob(metadata, ONP_META_DICT)};
    file->has_tokenizer = file->tokenizer.encoder_json.data && file->tokenizer.vocab_bpe.data &&
                          file->tokenizer.dict_txt.data;
    const struct onp_blob config = blob(metadata, ONP_META_CONFIG);
    if (!config.data) return ONP_OK;
    return onp_config_from_json(&file->source, config.data, config.size, &file->config);
}

static enum onp_status read_header(struct header *h, json_t *root) {
    const char *key;
    json_t *value;
    ONP_TRY(read_metadata(h->file, json_object_get(root, "__metadata__")));
    h->spans = calloc(json_object_size(root) + 1, sizeof *h->spans);
    if (!h->spans)
        return onp_fail(h->file->source.log, ONP_ERR_MEMORY, "%s: no memory for its header",
                        h->file->path);
    json_object_foreach(root, key, value) {
        if (strcmp(key, "__metadata__") != 0) ONP_TRY(read_tensor(h, key, value));
    }
    return check_spans(h);
}

enum onp_status onp_read_safetensors(struct onp_model_file *file) {
    const struct onp_map *map = &file->map;
    uint64_t length = 0;
    for (int i = 8; i-- > 0;) length = length << 8 | map->data[i];
    if (length > ONP_SAFETENSORS_MAX_HEADER || length > map->size - 8)
        return onp_fail(file->source.log, ONP_ERR_FORMAT,
                        "%s is cut off or no safetensors file: its header would have %llu bytes",
                        file->path, (unsigned long long)length);
    const char *text = (const char *)map->data + 8;
    json_error_t error = {.text = "too many values"};
    json_t *root = NULL;
    if (!onp_json_too_many(text, (size_t)length))
        root = json_loadb(text, (size_t)length, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
    if (!root)
        return onp_fail(file->source.log, ONP_ERR_FORMAT,
                        "%s: its safetensors header is not valid JSON: %s", file->path, error.text);
    struct header header = {
        .file = file, .data = map->data + 8 + length, .size = map->size - 8 - length};
    const enum onp_status status = read_header(&header, root);
    free(header.spans);
    json_decref(root);
    return status;
}
