// SPDX-License-Identifier: Apache-2.0
#include "io/npy.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/file.h"

static const struct {
    const char *descr;
    enum onp_dtype dtype;
} descrs[] = {
    {"<f4", ONP_F32}, {"<f2", ONP_F16}, {"<f8", ONP_F64}, {"<i8", ONP_I64},  {"<i4", ONP_I32},
    {"<i2", ONP_I16}, {"|i1", ONP_I8},  {"|u1", ONP_U8},  {"|b1", ONP_BOOL},
};

struct parser {
    const char *path;
    const struct onp_log *log;
    const char *at, *end; // the rest of the header
};

static enum onp_status damaged(const struct parser *p, const char *what) {
    return onp_fail(p->log, ONP_ERR_FORMAT, "%s is not a valid .npy file: %s", p->path, what);
}

static void skip_space(struct parser *p) {
    while (p->at < p->end && (*p->at == ' ' || *p->at == '\n' || *p->at == '\t')) p->at++;
}

// Consumes one character if it is next.
static bool accept(struct parser *p, char c) {
    skip_space(p);
    if (p->at == p->end || *p->at != c) return false;
    p->at++;
    return true;
}

// A string in single or double quotes, without escapes.
static bool quoted(struct parser *p, char *out, size_t size) {
    skip_space(p);
    if (p->at == p->end || (*p->at != '\'' && *p->at != '"')) return false;
    const char *start = p->at + 1;
    const char *stop = memchr(start, *p->at, (size_t)(p->end - start));
    if (!stop || (size_t)(stop - start) >= size) return false;
    memcpy(out, start, (size_t)(stop - start));
    out[stop - start] = '\0';
    p->at = stop + 1;
    return true;
}

static bool word(struct parser *p, const char *text) {
    const size_t size = strlen(text);
    skip_space(p);
    if ((size_t)(p->end - p->at) < size || memcmp(p->at, text, size) != 0) return false;
    p->at += size;
    return true;
}

static bool number(struct parser *p, uint64_t *out) {
    skip_space(p);
    const char *start = p->at;
    for (*out = 0; p->at < p->end && isdigit((unsigned char)*p->at); p->at++)
        if (!onp_mul_u64(*out, 10, out) || !onp_add_u64(*out, (uint64_t)(*p->at - '0'), out))
            return false;
    return p->at > start;
}

static enum onp_status parse_descr(struct parser *p, struct onp_npy *npy) {
    char descr[32];
    if (!quoted(p, descr, sizeof descr))
        return onp_fail(p->log, ONP_ERR_UNSUPPORTED, "%s: structured arrays are not supported",
                        p->path);
    for (size_t i = 0; i < ONP_COUNT(descrs); i++)
        if (strcmp(descr, descrs[i].descr) == 0) {
            npy->dtype = descrs[i].dtype;
            return ONP_OK;
        }
    return onp_fail(p->log, ONP_ERR_UNSUPPORTED,
                    "%s: arrays of type %s are not supported; save it as little-endian float32 or "
                    "int64",
                    p->path, descr);
}

static enum onp_status parse_order(struct parser *p) {
    if (word(p, "False")) return ONP_OK;
    if (word(p, "True"))
        return onp_fail(p->log, ONP_ERR_UNSUPPORTED,
                        "%s is in Fortran order; save numpy.ascontiguousarray(array)", p->path);
    return damaged(p, "fortran_order is neither True nor False");
}

static enum onp_status parse_shape(struct parser *p, struct onp_npy *npy) {
    if (!accept(p, '(')) return damaged(p, "its shape is no tuple");
    npy->count = 1;
    while (!accept(p, ')')) {
        uint64_t size = 0;
        if (npy->dims == (int)ONP_COUNT(npy->shape))
            return damaged(p, "it has more than 8 dimensions");
        if (!number(p, &size) || !onp_mul_u64(npy->count, size, &npy->count))
            return damaged(p, "its shape is not valid");
        npy->shape[npy->dims++] = size;
        if (!accept(p, ',') && (p->at == p->end || *p->at != ')'))
            return damaged(p, "its shape is not valid");
    }
    return ONP_OK;
}

// The header is a Python dictionary of exactly these three keys.
static enum onp_status parse_header(struct parser *p, struct onp_npy *npy) {
    static const char *const keys[] = {"descr", "fortran_order", "shape"};
    unsigned seen = 0;
    if (!accept(p, '{')) return damaged(p, "its header is no dictionary");
    while (!accept(p, '}')) {
        char key[32];
        unsigned which = 0;
        if (!quoted(p, key, sizeof key) || !accept(p, ':'))
            return damaged(p, "its header has no key where one is due");
        while (which < 3 && strcmp(key, keys[which]) != 0) which++;
        if (which == 3 || (seen & 1u << which)) return damaged(p, "its header has a strange key");
        seen |= 1u << which;
        ONP_TRY(which == 0   ? parse_descr(p, npy)
                : which == 1 ? parse_order(p)
                             : parse_shape(p, npy));
        accept(p, ',');
    }
    return seen == 7 ? ONP_OK : damaged(p, "its header lacks a key");
}

// Finds the header in the file; *data is where the elements start.
static enum onp_status find_header(struct parser *p, const struct onp_map *map, size_t *data) {
    const unsigned char *b = map->data;
    if (map->size < 12 || memcmp(b, "\x93NUMPY", 6) != 0) return damaged(p, "the magic is missing");
    if (b[6] < 1 || b[6] > 3 || b[7] != 0) return damaged(p, "unknown version");
    const size_t start = b[6] == 1 ? 10 : 12;
    size_t length = b[8] | (size_t)b[9] << 8;
    if (b[6] > 1) length |= (size_t)b[10] << 16 | (size_t)b[11] << 24;
    if (length > map->size - start) return damaged(p, "its header is longer than the file");
    p->at = (const char *)b + start;
    p->end = p->at + length;
    *data = start + length;
    return ONP_OK;
}

static enum onp_status read_map(const struct onp_map *map, struct parser *p, struct onp_npy *npy) {
    size_t start = 0;
    uint64_t bytes = 0;
    ONP_TRY(find_header(p, map, &start));
    ONP_TRY(parse_header(p, npy));
    if (!onp_mul_u64(npy->count, onp_dtype_size(npy->dtype), &bytes) || bytes != map->size - start)
        return onp_fail(p->log, ONP_ERR_FORMAT,
                        "%s has %zu bytes of data, which does not fit its shape; it may be cut off",
                        p->path, map->size - start);
    npy->data = malloc(bytes > 0 ? (size_t)bytes : 1);
    if (!npy->data)
        return onp_fail(p->log, ONP_ERR_MEMORY, "no memory for the array in %s", p->path);
    if (bytes > 0) memcpy(npy->data, map->data + start, (size_t)bytes);
    return ONP_OK;
}

enum onp_status onp_npy_read(const char *path, const struct onp_log *log, struct onp_npy *out) {
    struct onp_map map;
    struct parser parser = {.path = path, .log = log};
    *out = (struct onp_npy){0};
    ONP_TRY(onp_map_open(path, log, &map));
    const enum onp_status status = read_map(&map, &parser, out);
    onp_map_close(&map);
    return status;
}

void onp_npy_free(struct onp_npy *npy) {
    free(npy->data);
    *npy = (struct onp_npy){0};
}
