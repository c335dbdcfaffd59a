// SPDX-License-Identifier: Apache-2.0
// PyTorch's zip form. Only what it writes is read here (stored entries, zip64), from the map in
// place; sizes come from the central directory, the place of the data from the local header.
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "io/torch.h"

struct entry {
    const char *name; // not NUL-terminated
    uint16_t name_size, flags, method;
    uint64_t stored, size, header; // compressed and plain size; place of the local header
};

struct zip {
    const struct onp_source *source;
    const unsigned char *data;
    size_t size;
    struct entry *entries; // sorted by name
    size_t count;
    const char *prefix; // of the model's entries, with the slash
    size_t prefix_size;
};

static uint64_t get(const unsigned char *p, int bytes) {
    uint64_t value = 0;
    while (bytes-- > 0) value = value << 8 | p[bytes];
    return value;
}

static enum onp_status damaged(const struct zip *zip, const char *what) {
    return onp_fail(zip->source->log, ONP_ERR_FORMAT,
                    "%s: damaged zip archive: %s; get the file "
                    "again",
                    zip->source->path, what);
}

// --- Central directory -----------------------------------------------------------------------

struct directory {
    uint64_t start, size, count;
};

// The end record is the last 22 bytes, or earlier if a comment follows.
static bool find_end(const struct zip *zip, size_t *at) {
    if (zip->size < 22) return false;
    const size_t last = zip->size - 22, first = last > 65535 ? last - 65535 : 0;
    for (size_t i = last + 1; i-- > first;) {
        const unsigned char *p = zip->data + i;
        if (memcmp(p, "PK\5\6", 4) == 0 && get(p + 20, 2) <= last - i) {
            *at = i;
            return true;
        }
    }
    return false;
}

static enum onp_status find_directory(const struct zip *zip, struct directory *out) {
    size_t end = 0;
    if (!find_end(zip, &end)) return damaged(zip, "its directory is missing, the file is cut off");
    const unsigned char *p = zip->data + end;
    out->count = get(p + 10, 2);
    out->size = get(p + 12, 4);
    out->start = get(p + 16, 4);
    if (end >= 20 && memcmp(p - 20, "PK\6\7", 4) == 0) {
        const uint64_t at = get(p - 12, 8);
        if (at > zip->size || zip->size - at < 56 || memcmp(zip->data + at, "PK\6\6", 4) != 0)
            return damaged(zip, "its zip64 record is not where it should be");
        p = zip->data + at;
        out->count = get(p + 32, 8);
        out->size = get(p + 40, 8);
        out->start = get(p + 48, 8);
    }
    if (out->start > zip->size || out->size > zip->size - out->start)
        return damaged(zip, "its directory lies outside the file");
    if (out->count > out->size / 46) return damaged(zip, "its directory is too short");
    return ONP_OK;
}

// The zip64 extra field holds those of plain size, stored size and place that do not fit 32 bits.
static bool read_zip64(const unsigned char *extra, size_t size, struct entry *entry) {
    uint64_t *const fields[] = {&entry->size, &entry->stored, &entry->header};
    while (size >= 4) {
        const size_t length = (size_t)get(extra + 2, 2);
        if (length > size - 4) return false;
        if (get(extra, 2) == 1) {
            size_t at = 0;
            for (size_t i = 0; i < 3; i++) {
                if (*fields[i] != UINT32_MAX) continue;
                if (length - at < 8) return false;
                *fields[i] = get(extra + 4 + at, 8);
                at += 8;
            }
            return true;
        }
        extra += 4 + length;
        size -= 4 + length;
    }
    return entry->size != UINT32_MAX && entry->stored != UINT32_MAX && entry->header != UINT32_MAX;
}

static enum onp_status read_entry(const struct zip *zip, const unsigned char **p, size_t *left,
                                  struct entry *entry) {
    const unsigned char *r = *p;
    if (*left < 46 || memcmp(r, "PK\1\2", 4) != 0)
        return damaged(zip, "an entry of its directory is missing");
    const size_t name = (size_t)get(r + 28, 2), extra = (size_t)get(r + 30, 2);
    const size_t total = 46 + name + extra + (size_t)get(r + 32, 2);
    if (total > *left) return damaged(zip, "an entry of its directory is cut off");
    *entry = (struct entry){.name = (const char *)r + 46,
                            .name_size = (uint16_t)name,
                            .flags = (uint16_t)get(r + 8, 2),
                            .method = (uint16_t)get(r + 10, 2),
                            .stored = get(r + 20, 4),
                            .size = get(r + 24, 4),
                            .header = get(r + 42, 4)};
    if (!read_zip64(r + 46 + name, extra, entry))
        return damaged(zip, "the zip64 field of an entry is missing or cut off");
    *p += total;
    *left -= total;
    return ONP_OK;
}

static int compare_entries(const void *a, const void *b) {
    const struct entry *x = a, *y = b;
    const size_t size = x->name_size < y->name_size ? x->name_size : y->name_size;
    const int order = memcmp(x->name, y->name, size);
    return order ? order : (int)x->name_size - (int)y->name_size;
}

static enum onp_status read_directory(struct zip *zip) {
    struct directory directory = {0};
    ONP_TRY(find_directory(zip, &directory));
    const unsigned char *p = zip->data + directory.start;
    size_t left = (size_t)directory.size;
    if (directory.count == 0) return damaged(zip, "it is empty");
    zip->entries = calloc((size_t)directory.count, sizeof *zip->entries);
    if (!zip->entries)
        return onp_fail(zip->source->log, ONP_ERR_MEMORY, "%s: no memory for its directory",
                        zip->source->path);
    for (; zip->count < directory.count; zip->count++)
        ONP_TRY(read_entry(zip, &p, &left, &zip->entries[zip->count]));
    qsort(zip->entries, zip->count, sizeof *zip->entries, compare_entries);
    for (size_t i = 1; i < zip->count; i++)
        if (compare_entries(&zip->entries[i - 1], &zip->entries[i]) == 0)
            return damaged(zip, "two entries have the same name");
    return ONP_OK;
}

// --- Entries ---------------------------------------------------------------------------------

static enum onp_status entry_failed(const struct zip *zip, const struct entry *entry,
                                    enum onp_status status, const char *what) {
    return onp_fail(zip->source->log, status, "%s: zip entry %.*s %s", zip->source->path,
                    (int)entry->name_size, entry->name, what);
}

static enum onp_status entry_data(const struct zip *zip, const struct entry *entry,
                                  const unsigned char **data) {
    if (entry->flags & 1)
        return entry_failed(zip, entry, ONP_ERR_UNSUPPORTED, "is encrypted; decrypt the archive");
    if (entry->method != 0)
        return entry_failed(zip, entry, ONP_ERR_UNSUPPORTED,
                            "is compressed; save the checkpoint again with torch.save");
    if (entry->header > zip->size || zip->size - entry->header < 30)
        return entry_failed(zip, entry, ONP_ERR_FORMAT, "lies outside the file; get it again");
    const unsigned char *local = zip->data + entry->header;
    const size_t left = zip->size - (size_t)entry->header - 30;
    const size_t name = (size_t)get(local + 26, 2), extra = (size_t)get(local + 28, 2);
    if (memcmp(local, "PK\3\4", 4) != 0 || name + extra > left || name != entry->name_size ||
        memcmp(local + 30, entry->name, name) != 0)
        return entry_failed(zip, entry, ONP_ERR_FORMAT,
                            "does not start where the directory says; get the file again");
    if (entry->stored != entry->size || entry->size > left - name - extra)
        return entry_failed(zip, entry, ONP_ERR_FORMAT, "is longer than the file; get it again");
    *data = local + 30 + name + extra;
    return ONP_OK;
}

// The folder of the one entry that ends in /data.pkl; *pickle is that entry.
static enum onp_status find_prefix(struct zip *zip, const struct entry **pickle) {
    static const char suffix[] = "/data.pkl";
    const size_t size = sizeof suffix - 1;
    *pickle = NULL;
    for (size_t i = 0; i < zip->count; i++) {
        const struct entry *e = &zip->entries[i];
        if (e->name_size < size || memcmp(e->name + e->name_size - size, suffix, size) != 0)
            continue;
        if (*pickle) return damaged(zip, "two entries end in /data.pkl");
        *pickle = e;
    }
    if (!*pickle || !onp_tensor_name_ok((*pickle)->name, (*pickle)->name_size))
        return onp_fail(zip->source->log, ONP_ERR_FORMAT,
                        "%s is a zip archive but not a PyTorch checkpoint: no entry ends in "
                        "/data.pkl",
                        zip->source->path);
    zip->prefix = (*pickle)->name;
    zip->prefix_size = (*pickle)->name_size - (size - 1);
    return ONP_OK;
}

// The entry <prefix><folder><key>, or NULL.
static const struct entry *find_entry(const struct zip *zip, const char *folder, const char *key,
                                      size_t key_size) {
    char name[1536];
    const size_t folder_size = strlen(folder);
    const size_t size = zip->prefix_size + folder_size + key_size;
    if (size > sizeof name) return NULL;
    memcpy(name, zip->prefix, zip->prefix_size);
    memcpy(name + zip->prefix_size, folder, folder_size);
    memcpy(name + zip->prefix_size + folder_size, key, key_size);
    const struct entry wanted = {.name = name, .name_size = (uint16_t)size};
    return bsearch(&wanted, zip->entries, zip->count, sizeof wanted, compare_entries);
}

static enum onp_status resolve(void *user, const struct onp_pickle *pickle, uint32_t value,
                               struct onp_storage *out) {
    const struct zip *zip = user;
    struct onp_torch_id id = {0};
    ONP_TRY(onp_torch_read_id(zip->source, pickle, value, &id));
    const struct entry *entry = find_entry(zip, "data/", id.key, id.key_size);
    if (!entry)
        return onp_fail(zip->source->log, ONP_ERR_FORMAT,
                        "%s: storage data/%.*s is not in the archive; get the file again",
                        zip->source->path, (int)id.key_size, id.key);
    if (!id.supported)
        return onp_fail(zip->source->log, ONP_ERR_UNSUPPORTED,
                        "%s: the model has tensors of type %s; save it with ordinary ones",
                        zip->source->path, id.type);
    uint64_t bytes = 0;
    if (!onp_mul_u64(id.count, id.element, &bytes) || bytes > entry->size)
        return entry_failed(zip, entry, ONP_ERR_FORMAT,
                            "is shorter than its record says; get the file again");
    *out = (struct onp_storage){.dtype = id.dtype, .count = id.count};
    return entry_data(zip, entry, &out->data);
}

static enum onp_status check_byte_order(const struct zip *zip) {
    const unsigned char *data = NULL;
    const struct entry *entry = find_entry(zip, "", "byteorder", 9);
    if (!entry) return ONP_OK;
    ONP_TRY(entry_data(zip, entry, &data));
    if (entry->size == 6 && memcmp(data, "little", 6) == 0) return ONP_OK;
    return onp_fail(zip->source->log, ONP_ERR_UNSUPPORTED,
                    "%s was written on a big-endian machine; save it again on another",
                    zip->source->path);
}

static enum onp_status read_archive(struct onp_model_file *file, struct zip *zip) {
    const struct entry *entry = NULL;
    const unsigned char *data = NULL;
    struct onp_pickle pickle = {0};
    ONP_TRY(read_directory(zip));
    ONP_TRY(find_prefix(zip, &entry));
    ONP_TRY(check_byte_order(zip));
    ONP_TRY(entry_data(zip, entry, &data));
    ONP_TRY(onp_pickle_read(zip->source, data, (size_t)entry->size, &pickle, NULL));
    const enum onp_status status = onp_torch_collect(file, &pickle, resolve, zip);
    onp_pickle_free(&pickle);
    return status;
}

enum onp_status onp_read_torch_zip(struct onp_model_file *file) {
    struct zip zip = {.source = &file->source, .data = file->map.data, .size = file->map.size};
    const enum onp_status status = read_archive(file, &zip);
    free(zip.entries);
    return status;
}
