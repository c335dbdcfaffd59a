// SPDX-License-Identifier: Apache-2.0
// Legacy PyTorch files: five pickles (magic number, version, system, object, list of storage keys),
// then the storages in the order of that list, each an element count and its elements. And plain
// pickles, whose storages are such files inside byte strings.
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "io/torch.h"

struct onp_legacy_storage {
    struct onp_torch_id id;
    const unsigned char *data; // NULL until its place in the file is known
};

static int compare_keys(const void *a, const void *b) {
    const struct onp_torch_id *x = &((const struct onp_legacy_storage *)a)->id;
    const struct onp_torch_id *y = &((const struct onp_legacy_storage *)b)->id;
    const uint32_t size = x->key_size < y->key_size ? x->key_size : y->key_size;
    const int order = memcmp(x->key, y->key, size);
    if (order != 0) return order;
    return (x->key_size > y->key_size) - (x->key_size < y->key_size);
}

static struct onp_legacy_storage *find_storage(const struct onp_legacy *legacy, const char *key,
                                               size_t key_size) {
    if (legacy->count == 0 || key_size > UINT32_MAX) return NULL;
    const struct onp_legacy_storage wanted = {.id = {.key = key, .key_size = (uint32_t)key_size}};
    return bsearch(&wanted, legacy->storages, legacy->count, sizeof wanted, compare_keys);
}

// Keeps one of each key; all mentions of a key must agree.
static enum onp_status unique(const struct onp_source *source, struct onp_legacy *legacy) {
    uint32_t kept = 0;
    qsort(legacy->storages, legacy->count, sizeof *legacy->storages, compare_keys);
    for (uint32_t i = 0; i < legacy->count; i++) {
        const struct onp_torch_id *id = &legacy->storages[i].id;
        if (kept > 0 && compare_keys(&legacy->storages[kept - 1], &legacy->storages[i]) == 0) {
            const struct onp_torch_id *other = &legacy->storages[kept - 1].id;
            if (other->count == id->count && strcmp(other->type, id->type) == 0) continue;
            return onp_fail(source->log, ONP_ERR_FORMAT,
                            "%s: two records of storage %.*s disagree; get the file again",
                            source->path, (int)id->key_size, id->key);
        }
        legacy->storages[kept++] = legacy->storages[i];
    }
    legacy->count = kept;
    return ONP_OK;
}

// Collects the storages that the object mentions anywhere: all are needed to walk the file.
static enum onp_status list_storages(const struct onp_source *source, struct onp_legacy *legacy) {
    const struct onp_pickle *pickle = &legacy->object;
    uint32_t count = 0;
    for (uint32_t i = 0; i < pickle->count; i++) count += onp_torch_is_storage(pickle, i);
    if (count == 0) return ONP_OK;
    legacy->storages = calloc(count, sizeof *legacy->storages);
    if (!legacy->storages)
        return onp_fail(source->log, ONP_ERR_MEMORY, "%s: no memory for its %u storages",
                        source->path, count);
    for (uint32_t i = 0; i < pickle->count; i++)
        if (onp_torch_is_storage(pickle, i))
            ONP_TRY(onp_torch_read_id(source, pickle, i, &legacy->storages[legacy->count++].id));
    return unique(source, legacy);
}

static uint64_t read_u64(const unsigned char *p) {
    uint64_t value = 0;
    for (int i = 8; i-- > 0;) value = value << 8 | p[i];
    return value;
}

static enum onp_status place_storage(const struct onp_source *source,
                                     const struct onp_legacy *legacy,
                                     const struct onp_pickle_value *key, const unsigned char *data,
                                     size_t size, size_t *at) {
    struct onp_legacy_storage *storage = key->kind == ONP_PICKLE_STRING
                                             ? find_storage(legacy, key->text.data, key->text.size)
                                             : NULL;
    if (!storage || storage->data)
        return onp_fail(source->log, ONP_ERR_FORMAT,
                        "%s: its list of storages names one that is unknown or listed twice; get "
                        "the file again",
                        source->path);
    const struct onp_torch_id *id = &storage->id;
    uint64_t bytes = 0;
    if (size - *at < 8 || !onp_mul_u64(id->count, id->element, &bytes) || bytes > size - *at - 8)
        return onp_fail(source->log, ONP_ERR_FORMAT,
                        "%s ends inside storage %.*s of %llu elements; get the file again",
                        source->path, (int)id->key_size, id->key, (unsigned long long)id->count);
    const uint64_t count = read_u64(data + *at);
    if (count != id->count)
        return onp_fail(source->log, ONP_ERR_FORMAT,
                        "%s: storage %.*s has %llu elements, not the %llu of its record; get the "
                        "file again",
                        source->path, (int)id->key_size, id->key, (unsigned long long)count,
                        (unsigned long long)id->count);
    storage->data = data + *at + 8;
    *at += 8 + (size_t)bytes;
    return ONP_OK;
}

static enum onp_status place_storages(const struct onp_source *source,
                                      const struct onp_legacy *legacy,
                                      const struct onp_pickle *keys, const unsigned char *data,
                                      size_t size) {
    const struct onp_pickle_value *list = onp_pickle_get(keys, keys->root);
    size_t at = 0;
    if (list->kind != ONP_PICKLE_LIST)
        return onp_fail(source->log, ONP_ERR_FORMAT,
                        "%s: its list of storages is missing; get the file again", source->path);
    for (uint32_t i = 0; i < list->count; i++)
        ONP_TRY(place_storage(source, legacy, onp_pickle_get(keys, list->list.items[i]), data, size,
                              &at));
    return ONP_OK;
}

// Reads the next pickle, advancing *at.
static enum onp_status next(const struct onp_source *source, const unsigned char *data, size_t size,
                            size_t *at, struct onp_pickle *out) {
    size_t used = 0;
    ONP_TRY(onp_pickle_read(source, data + *at, size - *at, out, &used));
    *at += used;
    return ONP_OK;
}

// The magic number, the version and the system's properties.
static enum onp_status read_preamble(const struct onp_source *source, const unsigned char *data,
                                     size_t size, size_t *at) {
    static const unsigned char magic[10] = {0x6c, 0xfc, 0x9c, 0x46, 0xf9,
                                            0x20, 0x6a, 0xa8, 0x50, 0x19};
    struct onp_pickle p = {0};
    ONP_TRY(next(source, data, size, at, &p));
    const struct onp_pickle_value *v = onp_pickle_get(&p, p.root);
    bool ok = v->kind == ONP_PICKLE_BIG && v->text.size == sizeof magic &&
              memcmp(v->text.data, magic, sizeof magic) == 0;
    onp_pickle_free(&p);
    if (ok) {
        ONP_TRY(next(source, data, size, at, &p));
        v = onp_pickle_get(&p, p.root);
        ok = v->kind == ONP_PICKLE_INT && v->integer == 1001;
        onp_pickle_free(&p);
    }
    if (!ok)
        return onp_fail(source->log, ONP_ERR_FORMAT,
                        "%s: a part of it is no PyTorch file of version 1001", source->path);
    ONP_TRY(next(source, data, size, at, &p));
    v = onp_pickle_get(&p, onp_pickle_find(&p, p.root, "little_endian"));
    ok = !v || v->kind != ONP_PICKLE_BOOL || v->integer;
    onp_pickle_free(&p);
    if (ok) return ONP_OK;
    return onp_fail(source->log, ONP_ERR_UNSUPPORTED,
                    "%s was written on a big-endian machine; save it again on another",
                    source->path);
}

static enum onp_status read_parts(const struct onp_source *source, const unsigned char *data,
                                  size_t size, struct onp_legacy *out) {
    size_t at = 0;
    struct onp_pickle keys = {0};
    ONP_TRY(read_preamble(source, data, size, &at));
    ONP_TRY(next(source, data, size, &at, &out->object));
    ONP_TRY(list_storages(source, out));
    ONP_TRY(next(source, data, size, &at, &keys));
    const enum onp_status status = place_storages(source, out, &keys, data + at, size - at);
    onp_pickle_free(&keys);
    return status;
}

enum onp_status onp_legacy_read(const struct onp_source *source, const unsigned char *data,
                                size_t size, struct onp_legacy *out) {
    *out = (struct onp_legacy){0};
    const enum onp_status status = read_parts(source, data, size, out);
    if (status != ONP_OK) onp_legacy_free(out);
    return status;
}

void onp_legacy_free(struct onp_legacy *legacy) {
    onp_pickle_free(&legacy->object);
    free(legacy->storages);
    *legacy = (struct onp_legacy){0};
}

enum onp_status onp_legacy_find(const struct onp_source *source, const struct onp_legacy *legacy,
                                const struct onp_pickle *pickle, uint32_t value,
                                struct onp_storage *out) {
    struct onp_torch_id id = {0};
    ONP_TRY(onp_torch_read_id(source, pickle, value, &id));
    const struct onp_legacy_storage *storage = find_storage(legacy, id.key, id.key_size);
    if (!storage || !storage->data)
        return onp_fail(source->log, ONP_ERR_FORMAT,
                        "%s: storage %.*s is not in its list; get the file again", source->path,
                        (int)id.key_size, id.key);
    if (!id.supported)
        return onp_fail(source->log, ONP_ERR_UNSUPPORTED,
                        "%s: the model has tensors of type %s; save it with ordinary ones",
                        source->path, id.type);
    *out = (struct onp_storage){id.dtype, storage->data, id.count};
    return ONP_OK;
}

// --- The two formats -------------------------------------------------------------------------

struct legacy_user {
    const struct onp_source *source;
    const struct onp_legacy *legacy;
};

static enum onp_status resolve_legacy(void *user, const struct onp_pickle *pickle, uint32_t value,
                                      struct onp_storage *out) {
    const struct legacy_user *u = user;
    return onp_legacy_find(u->source, u->legacy, pickle, value, out);
}

enum onp_status onp_read_torch_legacy(struct onp_model_file *file) {
    struct onp_legacy legacy = {0};
    ONP_TRY(onp_legacy_read(&file->source, file->map.data, file->map.size, &legacy));
    struct legacy_user user = {&file->source, &legacy};
    const enum onp_status status = onp_torch_collect(file, &legacy.object, resolve_legacy, &user);
    onp_legacy_free(&legacy);
    return status;
}

// Byte strings already taken apart, in the order of the file. Tensors may share one, and a hostile
// file may refer to one very often, so that each is read once only.
struct nested {
    const char *data;
    size_t size;
    bool read;
    struct onp_storage storage;
};
struct plain_user {
    const struct onp_source *source;
    struct nested *nested;
    uint32_t count;
};

static int compare_nested(const void *a, const void *b) {
    const struct nested *x = a, *y = b;
    return (x->data > y->data) - (x->data < y->data);
}

static enum onp_status read_nested(const struct onp_source *source, struct nested *nested) {
    struct onp_legacy legacy = {0};
    ONP_TRY(onp_legacy_read(source, (const unsigned char *)nested->data, nested->size, &legacy));
    const enum onp_status status =
        onp_legacy_find(source, &legacy, &legacy.object, legacy.object.root, &nested->storage);
    onp_legacy_free(&legacy);
    nested->read = status == ONP_OK;
    return status;
}

// The bytes of torch.storage._load_from_bytes(bytes), or NULL.
static const struct onp_pickle_value *nested_bytes(const struct onp_pickle *pickle,
                                                   uint32_t value) {
    const struct onp_pickle_value *v = onp_pickle_get(pickle, value);
    if (!v || v->kind != ONP_PICKLE_OBJECT ||
        !onp_pickle_is_global(pickle, v->list.callable, "torch.storage", "_load_from_bytes"))
        return NULL;
    v = onp_pickle_get(pickle, onp_pickle_item(pickle, v->list.args, 0));
    return v && v->kind == ONP_PICKLE_BYTES ? v : NULL;
}

static enum onp_status resolve_plain(void *user, const struct onp_pickle *pickle, uint32_t value,
                                     struct onp_storage *out) {
    struct plain_user *u = user;
    const struct onp_pickle_value *bytes = nested_bytes(pickle, value);
    if (!bytes)
        return onp_fail(u->source->log, ONP_ERR_UNSUPPORTED,
                        "%s: a tensor's storage is not given as bytes; write the file with pickle "
                        "protocol 4",
                        u->source->path);
    const struct nested wanted = {.data = bytes->text.data};
    struct nested *found = bsearch(&wanted, u->nested, u->count, sizeof wanted, compare_nested);
    if (!found->read) ONP_TRY(read_nested(u->source, found));
    *out = found->storage;
    return ONP_OK;
}

static enum onp_status list_nested(struct plain_user *user, const struct onp_pickle *pickle) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < pickle->count; i++) count += nested_bytes(pickle, i) != NULL;
    user->nested = calloc(count ? count : 1, sizeof *user->nested);
    if (!user->nested)
        return onp_fail(user->source->log, ONP_ERR_MEMORY, "%s: no memory for its %u storages",
                        user->source->path, count);
    for (uint32_t i = 0; i < pickle->count; i++) {
        const struct onp_pickle_value *bytes = nested_bytes(pickle, i);
        if (bytes)
            user->nested[user->count++] =
                (struct nested){.data = bytes->text.data, .size = bytes->text.size};
    }
    qsort(user->nested, count, sizeof *user->nested, compare_nested);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < count; i++)
        if (kept == 0 || user->nested[kept - 1].data != user->nested[i].data)
            user->nested[kept++] = user->nested[i];
    user->count = kept;
    return ONP_OK;
}

enum onp_status onp_read_plain_pickle(struct onp_model_file *file) {
    struct onp_pickle pickle = {0};
    struct plain_user user = {.source = &file->source};
    ONP_TRY(onp_pickle_read(&file->source, file->map.data, file->map.size, &pickle, NULL));
    enum onp_status status = list_nested(&user, &pickle);
    if (status == ONP_OK) status = onp_torch_collect(file, &pickle, resolve_plain, &user);
    free(user.nested);
    onp_pickle_free(&pickle);
    return status;
}
