// SPDX-License-Identifier: Apache-2.0
// Writes small checkpoints byte by byte, good ones and lying ones.
#ifndef ONP_TESTS_MODEL_BYTES_H
#define ONP_TESTS_MODEL_BYTES_H

#include <stdarg.h>
#include <string.h>

#include "base/buf.h"
#include "base/checked.h"

// The bytes of a string literal, NULs inside it too.
#define PUT(buf, literal) onp_buf_append(buf, literal, sizeof(literal) - 1)

static inline void put_uint(struct onp_buf *buf, uint64_t value, size_t bytes) {
    for (size_t i = 0; i < bytes; i++) {
        const unsigned char byte = (unsigned char)(i < 8 ? value >> 8 * i : 0);
        onp_buf_append(buf, &byte, 1);
    }
}

static inline void put_buf(struct onp_buf *buf, const struct onp_buf *other) {
    onp_buf_append(buf, other->data, other->size);
}

// --- Pickles ---------------------------------------------------------------------------------

static inline void pk_string(struct onp_buf *buf, const char *text) {
    PUT(buf, "X");
    put_uint(buf, strlen(text), 4);
    onp_buf_append(buf, text, strlen(text));
}

static inline void pk_int(struct onp_buf *buf, int64_t value) {
    PUT(buf, "\x8a\x08");
    put_uint(buf, (uint64_t)value, 8);
}

static inline void pk_global(struct onp_buf *buf, const char *module, const char *name) {
    onp_buf_printf(buf, "c%s\n%s\n", module, name);
}

static inline void pk_ints(struct onp_buf *buf, int count, const int64_t *values) {
    PUT(buf, "(");
    for (int i = 0; i < count; i++) pk_int(buf, values[i]);
    PUT(buf, "t");
}

// A tensor to write. The storage is `key` of `type` with `stored` elements.
struct spec {
    const char *name, *type, *key;
    int64_t stored, offset;
    int dims;
    int64_t shape[10], stride[10];
};

typedef void (*storage_fn)(struct onp_buf *buf, const struct spec *spec);

static inline void pk_persistent(struct onp_buf *buf, const struct spec *spec) {
    PUT(buf, "(");
    pk_string(buf, "storage");
    pk_global(buf, "torch", spec->type);
    pk_string(buf, spec->key);
    pk_string(buf, "cpu");
    pk_int(buf, spec->stored);
    PUT(buf, "tQ");
}

// {'model': {name: tensor ...}} as pickle of protocol 2, storages written by `storage`.
static inline void pk_model(struct onp_buf *buf, const struct spec *specs, size_t count,
                            storage_fn storage) {
    PUT(buf, "\x80\x02}");
    pk_string(buf, "model");
    PUT(buf, "}(");
    for (size_t i = 0; i < count; i++) {
        pk_string(buf, specs[i].name);
        pk_global(buf, "torch._utils", "_rebuild_tensor_v2");
        PUT(buf, "(");
        storage(buf, &specs[i]);
        pk_int(buf, specs[i].offset);
        pk_ints(buf, specs[i].dims, specs[i].shape);
        pk_ints(buf, specs[i].dims, specs[i].stride);
        PUT(buf, "\x89");
        pk_global(buf, "collections", "OrderedDict");
        PUT(buf, ")RtR");
    }
    PUT(buf, "us.");
}

// --- Legacy files ----------------------------------------------------------------------------

static inline void put_legacy(struct onp_buf *buf, const struct onp_buf *object, const char *key,
                              uint64_t stored, const void *data, size_t bytes) {
    PUT(buf, "\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.");
    PUT(buf, "\x80\x02}X\x0d\0\0\0little_endian\x88s.");
    put_buf(buf, object);
    PUT(buf, "\x80\x02](");
    pk_string(buf, key);
    PUT(buf, "e.");
    put_uint(buf, stored, 8);
    onp_buf_append(buf, data, bytes);
}

static const float six_floats[6] = {1, 2, 3, 4, 5, 6};

// A storage as bytes of a nested legacy file that holds six_floats.
static inline void pk_nested(struct onp_buf *buf, const struct spec *spec) {
    struct onp_buf object = {0}, file = {0};
    PUT(&object, "\x80\x02");
    pk_persistent(&object, spec);
    PUT(&object, ".");
    put_legacy(&file, &object, spec->key, 6, six_floats, sizeof six_floats);
    pk_global(buf, "torch.storage", "_load_from_bytes");
    PUT(buf, "B");
    put_uint(buf, file.size, 4);
    put_buf(buf, &file);
    PUT(buf, "\x85R");
    onp_buf_free(&object);
    onp_buf_free(&file);
}

// --- Zip archives ----------------------------------------------------------------------------

struct zip_entry {
    const char *name;
    const void *data;
    size_t size;
    uint16_t method, flags;
    bool zip64;        // sizes and place are in a zip64 field
    uint64_t lie;      // stands for the size if it is not 0
    size_t header, at; // filled in: the local header, the entry's place in the directory
};

static inline void put_zip_entry(struct onp_buf *buf, const struct zip_entry *e, bool local) {
    const uint64_t size = e->lie ? e->lie : e->size;
    if (local)
        PUT(buf, "PK\3\4");
    else
        PUT(buf, "PK\1\2\x2d\0");
    PUT(buf, "\x2d\0");
    put_uint(buf, e->flags, 2);
    put_uint(buf, e->method, 2);
    put_uint(buf, 0, 8); // time, date, checksum
    put_uint(buf, e->zip64 ? UINT32_MAX : size, 4);
    put_uint(buf, e->zip64 ? UINT32_MAX : size, 4);
    put_uint(buf, strlen(e->name), 2);
    put_uint(buf, local ? 2 : e->zip64 ? 28 : 0, 2);
    if (!local) {
        put_uint(buf, 0, 10); // comment, disk, attributes
        put_uint(buf, e->zip64 ? UINT32_MAX : e->header, 4);
    }
    onp_buf_append(buf, e->name, strlen(e->name));
    if (local) PUT(buf, "\0\0"); // the local extra field differs in length, as PyTorch's does
    if (local || !e->zip64) return;
    put_uint(buf, 1, 2);
    put_uint(buf, 24, 2);
    put_uint(buf, size, 8);
    put_uint(buf, size, 8);
    put_uint(buf, e->header, 8);
}

// The end records of a directory of `size` bytes at `start` of the file.
static inline void put_zip_end(struct onp_buf *buf, uint64_t start, uint64_t size, size_t count,
                               bool zip64) {
    if (zip64) {
        PUT(buf, "PK\6\6");
        put_uint(buf, 44, 8);
        put_uint(buf, 0x2d002d, 4);
        put_uint(buf, 0, 8);
        put_uint(buf, count, 8);
        put_uint(buf, count, 8);
        put_uint(buf, size, 8);
        put_uint(buf, start, 8);
        PUT(buf, "PK\6\7\0\0\0\0");
        put_uint(buf, start + size, 8);
        put_uint(buf, 1, 4);
    }
    PUT(buf, "PK\5\6\0\0\0\0");
    put_uint(buf, zip64 ? UINT16_MAX : count, 2);
    put_uint(buf, zip64 ? UINT16_MAX : count, 2);
    put_uint(buf, zip64 ? UINT32_MAX : size, 4);
    put_uint(buf, zip64 ? UINT32_MAX : start, 4);
    put_uint(buf, 0, 2);
}

static inline void put_zip(struct onp_buf *buf, struct zip_entry *entries, size_t count,
                           bool zip64) {
    for (size_t i = 0; i < count; i++) {
        entries[i].header = buf->size;
        put_zip_entry(buf, &entries[i], true);
        onp_buf_append(buf, entries[i].data, entries[i].size);
    }
    const size_t start = buf->size;
    for (size_t i = 0; i < count; i++) {
        entries[i].at = buf->size;
        put_zip_entry(buf, &entries[i], false);
    }
    put_zip_end(buf, start, buf->size - start, count, zip64);
}

// --- safetensors -----------------------------------------------------------------------------

static inline void put_safetensors(struct onp_buf *buf, const char *header, size_t data) {
    put_uint(buf, strlen(header), 8);
    onp_buf_append(buf, header, strlen(header));
    for (size_t i = 0; i < data; i++) put_uint(buf, i, 1);
}

// --- Whole small files, one of each format ---------------------------------------------------

enum form { ZIP, ZIP64, LEGACY, PLAIN, SAFETENSORS, FORMS };

static const struct spec two_tensors[2] = {
    {"a.weight", "FloatStorage", "0", 6, 0, 2, {2, 3}, {3, 1}},
    {"b.turned", "FloatStorage", "0", 6, 1, 2, {2, 2}, {1, 3}},
};

// A file of any form with these tensors, whose storage "0" is six_floats.
static inline void make_file(struct onp_buf *buf, enum form form, const struct spec *specs,
                             size_t count) {
    struct onp_buf object = {0};
    if (form == SAFETENSORS) {
        put_safetensors(buf,
                        "{\"__metadata__\":{\"onepeace.format\":\"1\"},\"a.weight\":{\"dtype\":"
                        "\"F32\",\"shape\":[2,3],\"data_offsets\":[0,24]},\"b\":{\"dtype\":"
                        "\"U8\",\"shape\":[],\"data_offsets\":[24,25]}}",
                        25);
        return;
    }
    pk_model(&object, specs, count, form == PLAIN ? pk_nested : pk_persistent);
    if (form == PLAIN) {
        put_buf(buf, &object);
    } else if (form == LEGACY) {
        put_legacy(buf, &object, "0", 6, six_floats, sizeof six_floats);
    } else {
        struct zip_entry entries[] = {
            {"m/data.pkl", object.data, object.size, .zip64 = form == ZIP64},
            {"m/data/0", six_floats, sizeof six_floats, .zip64 = form == ZIP64},
            {"m/version", "3\n", 2, .zip64 = form == ZIP64},
        };
        put_zip(buf, entries, 3, form == ZIP64);
    }
    onp_buf_free(&object);
}

#endif
