// SPDX-License-Identifier: Apache-2.0
// A restricted reader of Python pickles (protocols 2 to 5). It builds a tree of values and calls
// nothing: a global is kept as its name, a call or an object as "this callable, these arguments,
// this state". What such a call means is decided by the few places that know its name.
//
// Values live in one pool and refer to each other by index. Text and bytes point into the pickle.
// Memory is linear in the pickle's size and capped; the values may form a graph with shared parts
// and cycles, so whoever walks it limits depth and work.
#ifndef ONP_IO_PICKLE_H
#define ONP_IO_PICKLE_H

#include "base/log.h"

#define ONP_PICKLE_MAX_VALUES (1u << 22) // values in one pickle
#define ONP_PICKLE_MAX_STEPS  (1u << 24) // opcodes in one pickle
#define ONP_PICKLE_NIL        UINT32_MAX // no value

enum onp_pickle_kind {
    ONP_PICKLE_NONE,
    ONP_PICKLE_BOOL,       // integer
    ONP_PICKLE_INT,        // integer
    ONP_PICKLE_BIG,        // an integer beyond 64 bits: text is its little-endian two's complement
    ONP_PICKLE_REAL,       // real
    ONP_PICKLE_STRING,     // text, UTF-8 that nobody has checked
    ONP_PICKLE_BYTES,      // text
    ONP_PICKLE_TUPLE,      // list
    ONP_PICKLE_LIST,       // list; sets too
    ONP_PICKLE_DICT,       // list of key, value, key, value ...
    ONP_PICKLE_GLOBAL,     // global
    ONP_PICKLE_OBJECT,     // list (key, value ... that were set on it) with callable, args, state
    ONP_PICKLE_PERSISTENT, // list.args is the persistent id
};

struct onp_pickle_value {
    enum onp_pickle_kind kind;
    uint32_t count; // of list.items
    union {
        int64_t integer;
        double real;
        struct {
            const char *data; // not NUL-terminated
            size_t size;
        } text;
        struct {
            const char *module, *name;
            uint32_t module_size, name_size;
        } global;
        struct {
            uint32_t *items;
            uint32_t capacity, callable, args, state; // NIL where there is none
        } list;
    };
};

struct onp_pickle {
    struct onp_pickle_value *values;
    uint32_t count, capacity;
    uint32_t root;
};

// Where bytes come from, for messages: the mapped file they lie in.
struct onp_source {
    const char *path;
    const unsigned char *start; // of the map
    const struct onp_log *log;
};

// Reads one pickle from the start of `data`; *used becomes its length (NULL is allowed). On
// failure nothing needs to be freed.
enum onp_status onp_pickle_read(const struct onp_source *source, const unsigned char *data,
                                size_t size, struct onp_pickle *out, size_t *used);
void onp_pickle_free(struct onp_pickle *pickle);

// NULL for NIL.
const struct onp_pickle_value *onp_pickle_get(const struct onp_pickle *pickle, uint32_t index);
bool onp_pickle_is_global(const struct onp_pickle *pickle, uint32_t index, const char *module,
                          const char *name);
// Is it a string equal to `text`?
bool onp_pickle_is_string(const struct onp_pickle *pickle, uint32_t index, const char *text);
// Views a value as a map: a dict, an object that received items, or an object with a dict as its
// state (argparse.Namespace). NULL if it is none. items[2k] is a key, items[2k + 1] its value.
const uint32_t *onp_pickle_map(const struct onp_pickle *pickle, uint32_t index, uint32_t *count);
// The value of a key in such a map (the last one, as in Python), NIL if absent.
uint32_t onp_pickle_find(const struct onp_pickle *pickle, uint32_t map, const char *key);
// Item `i` of a tuple or list, NIL if there is none.
uint32_t onp_pickle_item(const struct onp_pickle *pickle, uint32_t index, uint32_t i);

#endif
