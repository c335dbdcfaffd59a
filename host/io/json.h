// SPDX-License-Identifier: Apache-2.0
// Reading small JSON files: the vocabulary is a flat object of string -> integer.
#ifndef ONP_IO_JSON_H
#define ONP_IO_JSON_H

#include "base/log.h"

// A parsed value takes up to some 130 bytes where its text may have 2, so hostile JSON is counted
// before it is parsed. True if the text can have more than ONP_JSON_MAX_VALUES values.
#define ONP_JSON_MAX_VALUES (1u << 21)
bool onp_json_too_many(const char *data, size_t size);

// Receives one pair; the key is UTF-8 of key_size bytes and also NUL-terminated, valid during the
// call only. A status other than ONP_OK (already logged) ends the walk and is passed on.
typedef enum onp_status (*onp_json_int_fn)(void *user, const char *key, size_t key_size,
                                           int64_t value);

// Walks a JSON object whose values are all integers, in file order. `name` stands for the data in
// messages. Anything else (another shape, a duplicate key, text behind the object, invalid UTF-8)
// is ONP_ERR_FORMAT before the first call of fn.
enum onp_status onp_json_int_map(const char *data, size_t size, const char *name,
                                 const struct onp_log *log, onp_json_int_fn fn, void *user);

#endif
