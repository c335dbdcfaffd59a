// SPDX-License-Identifier: Apache-2.0
#include "io/config.h"

#include <jansson.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "io/config_internal.h"
#include "io/json.h"

// A genuine cfg has about 600 values of 12 KB in 6 levels. Shared parts of a hostile one could
// unfold without end, so the whole walk is limited, not only its depth.
#define MAX_DEPTH 64
#define MAX_NODES 200000
#define MAX_TEXT  (32u << 20)

struct onp_config {
    json_t *root;
};

// --- From a pickle ---------------------------------------------------------------------------

struct walk {
    const struct onp_source *source;
    const struct onp_pickle *pickle;
    uint32_t nodes;
    size_t text;
};

static enum onp_status convert(struct walk *w, uint32_t index, int depth, json_t **out);

static enum onp_status spend(struct walk *w, size_t text, int depth) {
    if (depth > MAX_DEPTH || ++w->nodes > MAX_NODES || text > MAX_TEXT - w->text)
        return onp_fail(w->source->log, ONP_ERR_FORMAT,
                        "%s: its configuration is larger or deeper than any checkpoint's",
                        w->source->path);
    w->text += text;
    return ONP_OK;
}

static enum onp_status keep(struct walk *w, json_t *made, json_t **out) {
    *out = made;
    if (made) return ONP_OK;
    return onp_fail(w->source->log, ONP_ERR_MEMORY, "%s: no memory for its configuration",
                    w->source->path);
}

static enum onp_status convert_text(struct walk *w, const struct onp_pickle_value *value, int depth,
                                    json_t **out) {
    ONP_TRY(spend(w, value->text.size, depth));
    json_t *text = json_stringn(value->text.data, value->text.size);
    return keep(w, text ? text : json_null(), out); // invalid UTF-8 has no meaning here
}

static enum onp_status convert_list(struct walk *w, const struct onp_pickle_value *value, int depth,
                                    json_t **out) {
    ONP_TRY(keep(w, json_array(), out));
    for (uint32_t i = 0; i < value->count; i++) {
        json_t *item = NULL;
        const enum onp_status status = convert(w, value->list.items[i], depth + 1, &item);
        const bool added = json_array_append_new(*out, item) == 0; // half-made ones too, to free
        ONP_TRY(status);
        if (!added) return keep(w, NULL, &item);
    }
    return ONP_OK;
}

// A key as text: strings as they are, integers in decimal. False: it has no use as a key.
static bool key_text(const struct onp_pickle_value *key, char *text, size_t size) {
    if (key->kind == ONP_PICKLE_INT) {
        snprintf(text, size, "%lld", (long long)key->integer);
        return true;
    }
    if (key->kind != ONP_PICKLE_STRING || key->text.size >= size ||
        memchr(key->text.data, '\0', key->text.size))
        return false;
    memcpy(text, key->text.data, key->text.size);
    text[key->text.size] = '\0';
    return true;
}

static enum onp_status convert_map(struct walk *w, const uint32_t *items, uint32_t count, int depth,
                                   json_t **out) {
    ONP_TRY(keep(w, json_object(), out));
    for (uint32_t i = 0; i < count; i++) {
        char key[256];
        if (!key_text(onp_pickle_get(w->pickle, items[2 * i]), key, sizeof key)) continue;
        json_t *item = NULL;
        ONP_TRY(spend(w, strlen(key), depth));
        const enum onp_status status = convert(w, items[2 * i + 1], depth + 1, &item);
        json_object_set_new(*out, key, item); // refuses keys that are no UTF-8
        ONP_TRY(status);
    }
    return ONP_OK;
}

// omegaconf keeps a node's data in `_content` (containers) or `_val` (values) of its state; an
// enumeration member is a call with its value as the only argument.
static enum onp_status convert_object(struct walk *w, uint32_t index, int depth, json_t **out) {
    uint32_t count = 0;
    const uint32_t *items = onp_pickle_map(w->pickle, index, &count);
    w->nodes += count; // the searches below cost as much
    ONP_TRY(spend(w, 0, depth));
    uint32_t inner = onp_pickle_find(w->pickle, index, "_content");
    if (inner == ONP_PICKLE_NIL) inner = onp_pickle_find(w->pickle, index, "_val");
    if (inner != ONP_PICKLE_NIL) return convert(w, inner, depth + 1, out);
    if (items) return convert_map(w, items, count, depth, out);
    const uint32_t args = onp_pickle_get(w->pickle, index)->list.args;
    if (onp_pickle_item(w->pickle, args, 1) != ONP_PICKLE_NIL) return keep(w, json_null(), out);
    inner = onp_pickle_item(w->pickle, args, 0);
    if (inner != ONP_PICKLE_NIL) return convert(w, inner, depth + 1, out);
    return keep(w, json_null(), out);
}

static enum onp_status convert(struct walk *w, uint32_t index, int depth, json_t **out) {
    const struct onp_pickle_value *value = onp_pickle_get(w->pickle, index);
    ONP_TRY(spend(w, 0, depth));
    uint32_t count = 0;
    switch (value->kind) {
    case ONP_PICKLE_BOOL:
        return keep(w, json_boolean(value->integer), out);
    case ONP_PICKLE_INT:
        return keep(w, json_integer(value->integer), out);
    case ONP_PICKLE_REAL: // JSON has no infinities
        return keep(w, isfinite(value->real) ? json_real(value->real) : json_null(), out);
    case ONP_PICKLE_STRING:
        return convert_text(w, value, depth, out);
    case ONP_PICKLE_TUPLE:
    case ONP_PICKLE_LIST:
        return convert_list(w, value, depth, out);
    case ONP_PICKLE_DICT: {
        const uint32_t *items = onp_pickle_map(w->pickle, index, &count);
        return convert_map(w, items, count, depth, out);
    }
    case ONP_PICKLE_OBJECT:
        return convert_object(w, index, depth, out);
    default:
        return keep(w, json_null(), out);
    }
}

static enum onp_status wrap(const struct onp_source *source, json_t *root,
                            struct onp_config **out) {
    *out = malloc(sizeof **out);
    if (*out) {
        (*out)->root = root;
        return ONP_OK;
    }
    json_decref(root);
    return onp_fail(source->log, ONP_ERR_MEMORY, "%s: no memory for its configuration",
                    source->path);
}

enum onp_status onp_config_from_pickle(const struct onp_source *source,
                                       const struct onp_pickle *pickle, uint32_t index,
                                       struct onp_config **out) {
    struct walk w = {.source = source, .pickle = pickle};
    json_t *root = NULL;
    const enum onp_status status = convert(&w, index, 0, &root);
    if (status == ONP_OK) return wrap(source, root, out);
    json_decref(root);
    return status;
}

enum onp_status onp_config_from_json(const struct onp_source *source, const char *text, size_t size,
                                     struct onp_config **out) {
    json_error_t error = {.text = "too many values"};
    json_t *root = NULL;
    if (!onp_json_too_many(text, size))
        root = json_loadb(text, size, JSON_REJECT_DUPLICATES, &error);
    if (root) return wrap(source, root, out);
    return onp_fail(source->log, ONP_ERR_FORMAT, "%s: its configuration is not valid JSON: %s",
                    source->path, error.text);
}

void onp_config_free(struct onp_config *config) {
    if (!config) return;
    json_decref(config->root);
    free(config);
}

// --- Looking up ------------------------------------------------------------------------------

static const json_t *look_up(const struct onp_config *config, const char *path) {
    const json_t *node = config ? config->root : NULL;
    while (node && *path) {
        char key[256];
        const size_t size = strcspn(path, ".");
        if (size >= sizeof key) return NULL;
        memcpy(key, path, size);
        key[size] = '\0';
        node = json_object_get(node, key);
        path += size + (path[size] == '.');
    }
    return node;
}

bool onp_config_string(const struct onp_config *config, const char *path, const char **out) {
    const json_t *node = look_up(config, path);
    if (!json_is_string(node)) return false;
    *out = json_string_value(node);
    return true;
}

bool onp_config_int(const struct onp_config *config, const char *path, int64_t *out) {
    const json_t *node = look_up(config, path);
    if (!json_is_integer(node)) return false;
    *out = json_integer_value(node);
    return true;
}

// An integer counts as a number: YAML writes 30 for 30.0.
bool onp_config_double(const struct onp_config *config, const char *path, double *out) {
    const json_t *node = look_up(config, path);
    if (!json_is_number(node)) return false;
    *out = json_number_value(node);
    return true;
}

bool onp_config_bool(const struct onp_config *config, const char *path, bool *out) {
    const json_t *node = look_up(config, path);
    if (!json_is_boolean(node)) return false;
    *out = json_is_true(node);
    return true;
}

char *onp_config_json(const struct onp_config *config) {
    if (!config) return strdup("{}");
    return json_dumps(config->root,
                      JSON_SORT_KEYS | JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(17));
}
