// SPDX-License-Identifier: Apache-2.0
#include "io/model_file.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "io/model_table.h"

// --- The table -------------------------------------------------------------------------------

bool onp_tensor_name_ok(const char *name, size_t size) {
    if (size == 0 || size > 1024) return false;
    for (size_t i = 0; i < size; i++)
        if ((unsigned char)name[i] < 0x20 || name[i] == 0x7f) return false;
    return true;
}

static enum onp_status bad_tensor(const struct onp_model_file *file, const char *name,
                                  size_t name_size, const char *what) {
    return onp_fail(file->source.log, ONP_ERR_FORMAT, "%s: tensor %.*s %s; get the file again",
                    file->path, (int)name_size, name, what);
}

// Counts the elements and finds the last one's index. False on overflow.
static bool measure(struct onp_file_tensor *tensor, uint64_t *last) {
    tensor->count = 1;
    for (int i = 0; i < tensor->dims; i++)
        if (!onp_mul_u64(tensor->count, (uint64_t)tensor->shape[i], &tensor->count)) return false;
    for (int i = 0; tensor->count > 0 && i < tensor->dims; i++) {
        uint64_t span;
        if (!onp_mul_u64((uint64_t)tensor->shape[i] - 1, (uint64_t)tensor->stride[i], &span) ||
            !onp_add_u64(*last, span, last))
            return false;
    }
    return true;
}

enum onp_status onp_model_file_append(struct onp_model_file *file,
                                      const struct onp_file_tensor *tensor, const char *name,
                                      size_t name_size) {
    if (file->count == file->capacity) {
        const size_t capacity = file->capacity ? 2 * file->capacity : 256;
        struct onp_file_tensor *moved = realloc(file->tensors, capacity * sizeof *moved);
        if (!moved)
            return onp_fail(file->source.log, ONP_ERR_MEMORY, "%s: no memory for its tensor table",
                            file->path);
        file->tensors = moved;
        file->capacity = capacity;
    }
    file->tensors[file->count] = *tensor;
    file->tensors[file->count].name = strndup(name, name_size);
    if (!file->tensors[file->count].name)
        return onp_fail(file->source.log, ONP_ERR_MEMORY, "%s: no memory for its tensor names",
                        file->path);
    file->count++;
    return ONP_OK;
}

enum onp_status onp_model_file_add(struct onp_model_file *file, const char *name, size_t name_size,
                                   const struct onp_storage *storage, uint64_t offset,
                                   struct onp_file_tensor *tensor) {
    if (!onp_tensor_name_ok(name, name_size))
        return onp_fail(file->source.log, ONP_ERR_FORMAT,
                        "%s: a tensor's name is empty, too long or has control characters",
                        file->path);
    uint64_t last = offset;
    if (!measure(tensor, &last)) return bad_tensor(file, name, name_size, "is impossibly large");
    if (tensor->count > 0 ? last >= storage->count : offset > storage->count)
        return bad_tensor(file, name, name_size, "reaches beyond its data");
    // Strides of 0 would let a tiny file claim a huge tensor; no checkpoint stores such a thing.
    if (tensor->count > storage->count)
        return bad_tensor(file, name, name_size, "has more elements than its data");
    tensor->dtype = storage->dtype;
    tensor->data = storage->data + offset * onp_dtype_size(storage->dtype);
    return onp_model_file_append(file, tensor, name, name_size);
}

static int compare_names(const void *a, const void *b) {
    const struct onp_file_tensor *x = a, *y = b;
    return strcmp(x->name, y->name);
}

enum onp_status onp_model_file_sort(struct onp_model_file *file) {
    if (file->count > 1) qsort(file->tensors, file->count, sizeof *file->tensors, compare_names);
    for (size_t i = 1; i < file->count; i++)
        if (compare_names(&file->tensors[i - 1], &file->tensors[i]) == 0)
            return bad_tensor(file, file->tensors[i].name, strlen(file->tensors[i].name),
                              "occurs twice");
    return ONP_OK;
}

// --- Opening ---------------------------------------------------------------------------------

static bool starts(const struct onp_map *map, const char *bytes, size_t size) {
    return map->size >= size && memcmp(map->data, bytes, size) == 0;
}

// What people pass by mistake.
static const char *guess(const struct onp_map *map) {
    if (map->size == 0) return "it is empty";
    if (starts(map, "version https://git-lfs", 23))
        return "it is a git-lfs pointer; fetch the file itself with git lfs pull";
    if (starts(map, "\3757zXZ", 6)) return "it is compressed; unpack it with xz -d";
    if (starts(map, "\37\213", 2)) return "it is compressed; unpack it with gzip -d";
    if (starts(map, "(\265/\375", 4)) return "it is compressed; unpack it with zstd -d";
    if (starts(map, "<", 1)) return "it is a web page; download the file itself";
    if (map->size > 262 && memcmp(map->data + 257, "ustar", 5) == 0)
        return "it is a tar archive; unpack it or save it again with a PyTorch newer than 0.1";
    return "it is neither a PyTorch checkpoint nor safetensors";
}

static enum onp_status read_any(struct onp_model_file *file) {
    static const char magic[] = "\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";
    const struct onp_map *map = &file->map;
    if (starts(map, "PK", 2)) {
        file->format = "torch-zip";
        return onp_read_torch_zip(file);
    }
    if (starts(map, magic, sizeof magic - 1)) {
        file->format = "torch-legacy";
        return onp_read_torch_legacy(file);
    }
    if (map->size > 8 && map->data[8] == '{') {
        file->format = "safetensors";
        return onp_read_safetensors(file);
    }
    if (map->size > 1 && map->data[0] == 0x80 && map->data[1] >= 2 && map->data[1] <= 5) {
        file->format = "pickle";
        return onp_read_plain_pickle(file);
    }
    return onp_fail(file->source.log, ONP_ERR_FORMAT, "%s is not a model file: %s", file->path,
                    guess(map));
}

// Opens a path, or bytes that stand for one.
static enum onp_status open_file(struct onp_model_file *file, const char *path,
                                 const struct onp_map *bytes, const struct onp_log *log) {
    file->path = strdup(path);
    if (!file->path) return onp_fail(log, ONP_ERR_MEMORY, "no memory to open %s", path);
    file->borrowed = bytes != NULL;
    if (bytes)
        file->map = *bytes;
    else
        ONP_TRY(onp_map_open(path, log, &file->map));
    file->source = (struct onp_source){file->path, file->map.data, log};
    ONP_TRY(read_any(file));
    return onp_model_file_sort(file);
}

static enum onp_status create(const char *path, const struct onp_map *bytes,
                              const struct onp_log *log, struct onp_model_file **out) {
    struct onp_model_file *file = calloc(1, sizeof *file);
    if (!file) return onp_fail(log, ONP_ERR_MEMORY, "no memory to open %s", path);
    const enum onp_status status = open_file(file, path, bytes, log);
    if (status == ONP_OK)
        *out = file;
    else
        onp_model_file_close(file);
    return status;
}

enum onp_status onp_model_file_open(const char *path, const struct onp_log *log,
                                    struct onp_model_file **out) {
    return create(path, NULL, log, out);
}

enum onp_status onp_model_file_open_memory(const char *name, const void *data, size_t size,
                                           const struct onp_log *log, struct onp_model_file **out) {
    const struct onp_map bytes = {data, size};
    return create(name, &bytes, log, out);
}

void onp_model_file_close(struct onp_model_file *file) {
    if (!file) return;
    for (size_t i = 0; i < file->count; i++) free((void *)(uintptr_t)file->tensors[i].name);
    free(file->tensors);
    onp_config_free(file->config);
    json_decref(file->metadata);
    if (!file->borrowed) onp_map_close(&file->map);
    free(file->path);
    free(file);
}

// --- Access ----------------------------------------------------------------------------------

const char *onp_model_file_path(const struct onp_model_file *file) { return file->path; }
const char *onp_model_file_format(const struct onp_model_file *file) { return file->format; }
uint64_t onp_model_file_bytes(const struct onp_model_file *file) { return file->map.size; }
size_t onp_model_file_count(const struct onp_model_file *file) { return file->count; }

const struct onp_file_tensor *onp_model_file_at(const struct onp_model_file *file, size_t index) {
    return &file->tensors[index];
}

const struct onp_file_tensor *onp_model_file_find(const struct onp_model_file *file,
                                                  const char *name) {
    const struct onp_file_tensor wanted = {.name = name};
    if (file->count == 0) return NULL;
    return bsearch(&wanted, file->tensors, file->count, sizeof wanted, compare_names);
}

const struct onp_config *onp_model_file_config(const struct onp_model_file *file) {
    return file->config;
}

bool onp_model_file_tokenizer(const struct onp_model_file *file, struct onp_tokenizer_blobs *out) {
    if (file->has_tokenizer) *out = file->tokenizer;
    return file->has_tokenizer;
}

// Bytes of the file from the tensor's first element to its last.
static size_t extent(const struct onp_file_tensor *tensor) {
    uint64_t last = 0;
    for (int i = 0; i < tensor->dims; i++)
        last += (uint64_t)(tensor->shape[i] - 1) * (uint64_t)tensor->stride[i];
    return (size_t)(last + 1) * onp_dtype_size(tensor->dtype);
}

void onp_model_file_expect(const struct onp_model_file *file,
                           const struct onp_file_tensor *tensor) {
    if (tensor->count > 0 && !file->borrowed)
        onp_map_expect(&file->map, tensor->data, extent(tensor));
}

void onp_model_file_release(const struct onp_model_file *file,
                            const struct onp_file_tensor *tensor) {
    if (tensor->count > 0 && !file->borrowed)
        onp_map_release(&file->map, tensor->data, extent(tensor));
}
