// SPDX-License-Identifier: Apache-2.0
#include "io/json.h"

#include <jansson.h>
#include <string.h>

bool onp_json_too_many(const char *data, size_t size) {
    size_t marks = 0;
    bool quoted = false;
    for (size_t i = 0; i < size; i++) {
        const char c = data[i];
        if (c == '"')
            quoted = !quoted;
        else if (quoted)
            i += c == '\\'; // the next character is escaped
        else
            marks += c == ',' || c == '[' || c == '{';
    }
    return marks > ONP_JSON_MAX_VALUES;
}

static enum onp_status check(const json_t *root, const char *name, const struct onp_log *log) {
    if (!json_is_object(root))
        return onp_fail(log, ONP_ERR_FORMAT, "%s is not a JSON object of names and numbers", name);
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)root, key, value) {
        if (!json_is_integer(value))
            return onp_fail(log, ONP_ERR_FORMAT, "%s: the value of \"%.80s\" is not an integer",
                            name, key);
    }
    return ONP_OK;
}

enum onp_status onp_json_int_map(const char *data, size_t size, const char *name,
                                 const struct onp_log *log, onp_json_int_fn fn, void *user) {
    json_error_t error;
    if (onp_json_too_many(data, size))
        return onp_fail(log, ONP_ERR_FORMAT, "%s has more values than any vocabulary", name);
    json_t *root = json_loadb(data, size, JSON_REJECT_DUPLICATES, &error);
    if (!root)
        return onp_fail(log, ONP_ERR_FORMAT, "%s is not valid JSON: line %d, column %d: %s", name,
                        error.line, error.column, error.text);
    enum onp_status status = check(root, name, log);
    for (void *it = json_object_iter(root); it && status == ONP_OK;
         it = json_object_iter_next(root, it)) {
        const char *key = json_object_iter_key(it);
        status = fn(user, key, strlen(key), json_integer_value(json_object_iter_value(it)));
    }
    json_decref(root);
    return status;
}
