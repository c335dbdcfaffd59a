// SPDX-License-Identifier: Apache-2.0
#include "io/pickle.h"

#include <stdlib.h>
#include <string.h>

struct words {
    uint32_t *data;
    uint32_t count, capacity;
};

struct reader {
    const unsigned char *data;
    size_t size, at, op_at; // op_at: where the current opcode starts, for messages
    uint32_t steps;
    struct words stack, marks, memo;
    struct onp_pickle *out;
    const struct onp_source *source;
};

// The position of the current opcode in the file.
static size_t position(const struct reader *r) {
    return (size_t)(r->data - r->source->start) + r->op_at;
}

static enum onp_status damaged(const struct reader *r, const char *what) {
    return onp_fail(r->source->log, ONP_ERR_FORMAT,
                    "%s: damaged pickle at byte %zu: %s; get the file again", r->source->path,
                    position(r), what);
}

static enum onp_status no_memory(const struct reader *r) {
    return onp_fail(r->source->log, ONP_ERR_MEMORY, "%s: no memory for its pickle",
                    r->source->path);
}

// --- Growth ----------------------------------------------------------------------------------

// Doubles an array of 32-bit words until it holds `need`. Counts stay below MAX_STEPS.
static bool grow_words(uint32_t **data, uint32_t *capacity, uint32_t need) {
    if (need <= *capacity) return true;
    uint32_t larger = *capacity ? *capacity : 4;
    while (larger < need) larger *= 2;
    uint32_t *moved = realloc(*data, larger * sizeof *moved);
    if (!moved) return false;
    *data = moved;
    *capacity = larger;
    return true;
}

static enum onp_status push_word(struct reader *r, struct words *words, uint32_t word) {
    if (!grow_words(&words->data, &words->capacity, words->count + 1)) return no_memory(r);
    words->data[words->count++] = word;
    return ONP_OK;
}

static enum onp_status push(struct reader *r, uint32_t index) {
    return push_word(r, &r->stack, index);
}

// Adds a value to the pool and pushes it. The pointer is valid until the next call.
static enum onp_status push_new(struct reader *r, enum onp_pickle_kind kind,
                                struct onp_pickle_value **value) {
    struct onp_pickle *pickle = r->out;
    if (pickle->count == ONP_PICKLE_MAX_VALUES)
        return damaged(r, "it has more values than any checkpoint");
    if (pickle->count == pickle->capacity) {
        const uint32_t capacity = pickle->capacity ? 2 * pickle->capacity : 64;
        struct onp_pickle_value *moved = realloc(pickle->values, capacity * sizeof *moved);
        if (!moved) return no_memory(r);
        pickle->values = moved;
        pickle->capacity = capacity;
    }
    *value = &pickle->values[pickle->count];
    **value = (struct onp_pickle_value){.kind = kind};
    if (kind >= ONP_PICKLE_TUPLE && kind != ONP_PICKLE_GLOBAL)
        (*value)->list.callable = (*value)->list.args = (*value)->list.state = ONP_PICKLE_NIL;
    return push(r, pickle->count++);
}

static enum onp_status add_items(struct reader *r, struct onp_pickle_value *value,
                                 const uint32_t *items, uint32_t count) {
    if (count == 0) return ONP_OK;
    if (!grow_words(&value->list.items, &value->list.capacity, value->count + count))
        return no_memory(r);
    memcpy(value->list.items + value->count, items, count * sizeof *items);
    value->count += count;
    return ONP_OK;
}

// --- Stack -----------------------------------------------------------------------------------

// Values above the latest mark.
static uint32_t available(const struct reader *r) {
    const uint32_t floor = r->marks.count ? r->marks.data[r->marks.count - 1] : 0;
    return r->stack.count - floor;
}

static enum onp_status need(const struct reader *r, uint32_t count) {
    return available(r) >= count ? ONP_OK : damaged(r, "its stack runs empty");
}

// Removes the latest mark; *first is the stack position of the first value above it.
static enum onp_status pop_mark(struct reader *r, uint32_t *first) {
    if (r->marks.count == 0) return damaged(r, "a mark is missing");
    *first = r->marks.data[--r->marks.count];
    return ONP_OK;
}

static struct onp_pickle_value *top(const struct reader *r) {
    return &r->out->values[r->stack.data[r->stack.count - 1]];
}

// --- Arguments -------------------------------------------------------------------------------

static enum onp_status take(struct reader *r, size_t bytes, const unsigned char **out) {
    if (bytes > r->size - r->at) return damaged(r, "it ends too early");
    *out = r->data + r->at;
    r->at += bytes;
    return ONP_OK;
}

// A little-endian unsigned integer of 1 to 8 bytes.
static enum onp_status take_uint(struct reader *r, size_t bytes, uint64_t *out) {
    const unsigned char *p = NULL;
    ONP_TRY(take(r, bytes, &p));
    *out = 0;
    for (size_t i = bytes; i-- > 0;) *out = *out << 8 | p[i];
    return ONP_OK;
}

// --- Opcodes ---------------------------------------------------------------------------------

static enum onp_status op_proto(struct reader *r, unsigned char op) {
    (void)op;
    uint64_t protocol = 0;
    ONP_TRY(take_uint(r, 1, &protocol));
    return protocol <= 5 ? ONP_OK : damaged(r, "unknown protocol");
}

static enum onp_status op_frame(struct reader *r, unsigned char op) {
    (void)op;
    uint64_t bytes = 0;
    ONP_TRY(take_uint(r, 8, &bytes));
    return bytes <= r->size - r->at ? ONP_OK : damaged(r, "a frame is longer than the file");
}

static enum onp_status op_mark(struct reader *r, unsigned char op) {
    (void)op;
    return push_word(r, &r->marks, r->stack.count);
}

static enum onp_status op_pop(struct reader *r, unsigned char op) {
    uint32_t first = 0;
    if (op == '1' || available(r) == 0) { // POP_MARK; POP removes a mark as well
        ONP_TRY(pop_mark(r, &first));
        r->stack.count = first;
    } else {
        r->stack.count--;
    }
    return ONP_OK;
}

static enum onp_status op_dup(struct reader *r, unsigned char op) {
    (void)op;
    ONP_TRY(need(r, 1));
    return push(r, r->stack.data[r->stack.count - 1]);
}

static enum onp_status op_constant(struct reader *r, unsigned char op) {
    struct onp_pickle_value *value = NULL;
    switch (op) {
    case 'N':
        return push_new(r, ONP_PICKLE_NONE, &value);
    case ')':
        return push_new(r, ONP_PICKLE_TUPLE, &value);
    case '}':
        return push_new(r, ONP_PICKLE_DICT, &value);
    case ']':
    case 0x8f: // EMPTY_SET
        return push_new(r, ONP_PICKLE_LIST, &value);
    default: // NEWTRUE, NEWFALSE
        ONP_TRY(push_new(r, ONP_PICKLE_BOOL, &value));
        value->integer = op == 0x88;
        return ONP_OK;
    }
}

static enum onp_status op_int(struct reader *r, unsigned char op) {
    uint64_t bits = 0;
    ONP_TRY(take_uint(r, op == 'K' ? 1 : op == 'M' ? 2 : 4, &bits));
    struct onp_pickle_value *value = NULL;
    ONP_TRY(push_new(r, ONP_PICKLE_INT, &value));
    value->integer = op == 'J' ? (int64_t)(int32_t)(uint32_t)bits : (int64_t)bits;
    return ONP_OK;
}

static enum onp_status op_long(struct reader *r, unsigned char op) {
    uint64_t size = 0;
    const unsigned char *p = NULL;
    ONP_TRY(take_uint(r, op == 0x8a ? 1 : 4, &size));
    ONP_TRY(take(r, (size_t)size, &p));
    struct onp_pickle_value *value = NULL;
    ONP_TRY(push_new(r, size <= 8 ? ONP_PICKLE_INT : ONP_PICKLE_BIG, &value));
    if (size > 8) {
        value->text.data = (const char *)p;
        value->text.size = (size_t)size;
        return ONP_OK;
    }
    uint64_t bits = size > 0 && (p[size - 1] & 0x80) ? UINT64_MAX : 0;
    for (size_t i = (size_t)size; i-- > 0;) bits = bits << 8 | p[i];
    value->integer = (int64_t)bits;
    return ONP_OK;
}

static enum onp_status op_float(struct reader *r, unsigned char op) {
    (void)op;
    const unsigned char *p = NULL;
    ONP_TRY(take(r, 8, &p));
    uint64_t bits = 0;
    for (int i = 0; i < 8; i++) bits = bits << 8 | p[i]; // big-endian, unlike all else
    struct onp_pickle_value *value = NULL;
    ONP_TRY(push_new(r, ONP_PICKLE_REAL, &value));
    memcpy(&value->real, &bits, sizeof bits);
    return ONP_OK;
}

static enum onp_status op_text(struct reader *r, unsigned char op) {
    const bool bytes = op == 'C' || op == 'B' || op == 0x8e || op == 0x96;
    const bool tiny = op == 'C' || op == 'U' || op == 0x8c;
    const bool huge = op == 0x8d || op == 0x8e || op == 0x96;
    uint64_t size = 0;
    const unsigned char *p = NULL;
    ONP_TRY(take_uint(r, tiny ? 1 : huge ? 8 : 4, &size));
    ONP_TRY(take(r, size, &p));
    struct onp_pickle_value *value = NULL;
    ONP_TRY(push_new(r, bytes ? ONP_PICKLE_BYTES : ONP_PICKLE_STRING, &value));
    value->text.data = (const char *)p;
    value->text.size = size;
    return ONP_OK;
}

// Replaces the values from stack position `first` on by a tuple or list of them.
static enum onp_status gather(struct reader *r, enum onp_pickle_kind kind, uint32_t first) {
    const uint32_t count = r->stack.count - first;
    struct onp_pickle_value *value = NULL;
    ONP_TRY(push_new(r, kind, &value));
    const uint32_t made = r->stack.data[r->stack.count - 1];
    ONP_TRY(add_items(r, value, r->stack.data + first, count));
    r->stack.data[first] = made;
    r->stack.count = first + 1;
    return ONP_OK;
}

static enum onp_status op_tuple(struct reader *r, unsigned char op) {
    uint32_t first = 0;
    if (op == 't' || op == 0x91) { // TUPLE, FROZENSET
        ONP_TRY(pop_mark(r, &first));
    } else { // TUPLE1, TUPLE2, TUPLE3
        const uint32_t count = op - 0x84u;
        ONP_TRY(need(r, count));
        first = r->stack.count - count;
    }
    return gather(r, op == 0x91 ? ONP_PICKLE_LIST : ONP_PICKLE_TUPLE, first);
}

// Moves the values from stack position `first` on into the container below them. What is appended
// to an object of an unknown class has no use here and is dropped.
static enum onp_status fill(struct reader *r, uint32_t first, bool pairs) {
    const uint32_t count = r->stack.count - first;
    r->stack.count = first;
    ONP_TRY(need(r, 1));
    const uint32_t *items = r->stack.data + first;
    struct onp_pickle_value *value = top(r);
    if (pairs && count % 2 != 0) return damaged(r, "a key has no value");
    if (value->kind == ONP_PICKLE_OBJECT) return pairs ? add_items(r, value, items, count) : ONP_OK;
    if (value->kind != (pairs ? ONP_PICKLE_DICT : ONP_PICKLE_LIST))
        return damaged(r, "items are added to something that is no container");
    return add_items(r, value, items, count);
}

static enum onp_status op_fill(struct reader *r, unsigned char op) {
    uint32_t first = 0;
    if (op == 'a' || op == 's') { // APPEND, SETITEM
        const uint32_t count = op == 'a' ? 1 : 2;
        ONP_TRY(need(r, count));
        first = r->stack.count - count;
    } else { // APPENDS, SETITEMS, ADDITEMS
        ONP_TRY(pop_mark(r, &first));
    }
    return fill(r, first, op == 's' || op == 'u');
}

// Python numbers its memo from 0 without gaps, so an index beyond the opcodes so far is a lie.
static enum onp_status op_put(struct reader *r, unsigned char op) {
    uint64_t index = r->memo.count;
    if (op != 0x94) ONP_TRY(take_uint(r, op == 'q' ? 1 : 4, &index));
    ONP_TRY(need(r, 1));
    if (index > r->steps) return damaged(r, "a memo index is far too large");
    while (r->memo.count <= index) ONP_TRY(push_word(r, &r->memo, ONP_PICKLE_NIL));
    r->memo.data[index] = r->stack.data[r->stack.count - 1];
    return ONP_OK;
}

static enum onp_status op_get(struct reader *r, unsigned char op) {
    uint64_t index = 0;
    ONP_TRY(take_uint(r, op == 'h' ? 1 : 4, &index));
    if (index >= r->memo.count || r->memo.data[index] == ONP_PICKLE_NIL)
        return damaged(r, "it refers to a value that does not exist");
    return push(r, r->memo.data[index]);
}

static enum onp_status take_line(struct reader *r, const char **text, uint32_t *size) {
    const unsigned char *start = r->data + r->at;
    const size_t limit = r->size - r->at < 4096 ? r->size - r->at : 4096;
    const unsigned char *end = limit ? memchr(start, '\n', limit) : NULL;
    if (!end) return damaged(r, "a name does not end");
    *text = (const char *)start;
    *size = (uint32_t)(end - start);
    r->at += *size + 1u;
    return ONP_OK;
}

static enum onp_status op_global(struct reader *r, unsigned char op) {
    (void)op;
    const char *module = NULL, *name = NULL;
    uint32_t module_size = 0, name_size = 0;
    ONP_TRY(take_line(r, &module, &module_size));
    ONP_TRY(take_line(r, &name, &name_size));
    struct onp_pickle_value *value = NULL;
    ONP_TRY(push_new(r, ONP_PICKLE_GLOBAL, &value));
    value->global.module = module;
    value->global.module_size = module_size;
    value->global.name = name;
    value->global.name_size = name_size;
    return ONP_OK;
}

static enum onp_status op_stack_global(struct reader *r, unsigned char op) {
    (void)op;
    ONP_TRY(need(r, 2));
    const struct onp_pickle_value name = *top(r);
    r->stack.count--;
    const struct onp_pickle_value module = *top(r);
    r->stack.count--;
    if (name.kind != ONP_PICKLE_STRING || module.kind != ONP_PICKLE_STRING ||
        name.text.size > 4096 || module.text.size > 4096)
        return damaged(r, "the name of a class is no short string");
    struct onp_pickle_value *value = NULL;
    ONP_TRY(push_new(r, ONP_PICKLE_GLOBAL, &value));
    value->global.module = module.text.data;
    value->global.module_size = (uint32_t)module.text.size;
    value->global.name = name.text.data;
    value->global.name_size = (uint32_t)name.text.size;
    return ONP_OK;
}

static enum onp_status op_persistent(struct reader *r, unsigned char op) {
    (void)op;
    ONP_TRY(need(r, 1));
    const uint32_t id = r->stack.data[--r->stack.count];
    struct onp_pickle_value *value = NULL;
    ONP_TRY(push_new(r, ONP_PICKLE_PERSISTENT, &value));
    value->list.args = id;
    return ONP_OK;
}

// Does calling this make an empty dictionary that is then filled by SETITEMS?
static bool makes_dict(const struct onp_pickle *p, uint32_t callable, uint32_t args) {
    const uint32_t count = p->values[args].count;
    if (onp_pickle_is_global(p, callable, "collections", "defaultdict")) return count <= 1;
    return count == 0 && (onp_pickle_is_global(p, callable, "collections", "OrderedDict") ||
                          onp_pickle_is_global(p, callable, "collections", "Counter"));
}

// REDUCE, NEWOBJ and NEWOBJ_EX record the call; nothing is looked up or run.
static enum onp_status op_call(struct reader *r, unsigned char op) {
    const uint32_t operands = op == 0x92 ? 3 : 2;
    ONP_TRY(need(r, operands));
    r->stack.count -= operands;
    const uint32_t callable = r->stack.data[r->stack.count];
    const uint32_t args = r->stack.data[r->stack.count + 1];
    if (r->out->values[args].kind != ONP_PICKLE_TUPLE)
        return damaged(r, "the arguments of a call are no tuple");
    const bool dict = makes_dict(r->out, callable, args);
    struct onp_pickle_value *value = NULL;
    ONP_TRY(push_new(r, dict ? ONP_PICKLE_DICT : ONP_PICKLE_OBJECT, &value));
    if (dict) return ONP_OK;
    value->list.callable = callable;
    value->list.args = args;
    return ONP_OK;
}

// Attributes set on a dictionary (a state dict's _metadata) are of no interest.
static enum onp_status op_build(struct reader *r, unsigned char op) {
    (void)op;
    ONP_TRY(need(r, 2));
    const uint32_t state = r->stack.data[--r->stack.count];
    if (top(r)->kind == ONP_PICKLE_OBJECT) top(r)->list.state = state;
    return ONP_OK;
}

typedef enum onp_status (*op_fn)(struct reader *r, unsigned char op);

// Everything that protocols 2 to 5 write for data. Absent on purpose: the extension registry
// (EXT1..4), INST and OBJ, out-of-band buffers, and the text forms of protocol 0.
static const op_fn operations[256] = {
    ['('] = op_mark,      ['0'] = op_pop,       ['1'] = op_pop,           ['2'] = op_dup,
    ['N'] = op_constant,  [')'] = op_constant,  ['}'] = op_constant,      [']'] = op_constant,
    [0x88] = op_constant, [0x89] = op_constant, [0x8f] = op_constant,     ['J'] = op_int,
    ['K'] = op_int,       ['M'] = op_int,       [0x8a] = op_long,         [0x8b] = op_long,
    ['G'] = op_float,     ['X'] = op_text,      [0x8c] = op_text,         [0x8d] = op_text,
    ['U'] = op_text,      ['T'] = op_text,      ['C'] = op_text,          ['B'] = op_text,
    [0x8e] = op_text,     [0x96] = op_text,     ['t'] = op_tuple,         [0x85] = op_tuple,
    [0x86] = op_tuple,    [0x87] = op_tuple,    [0x91] = op_tuple,        ['a'] = op_fill,
    ['e'] = op_fill,      ['s'] = op_fill,      ['u'] = op_fill,          [0x90] = op_fill,
    ['q'] = op_put,       ['r'] = op_put,       [0x94] = op_put,          ['h'] = op_get,
    ['j'] = op_get,       ['c'] = op_global,    [0x93] = op_stack_global, ['Q'] = op_persistent,
    ['R'] = op_call,      [0x81] = op_call,     [0x92] = op_call,         ['b'] = op_build,
    [0x80] = op_proto,    [0x95] = op_frame,
};

static enum onp_status run(struct reader *r) {
    for (;;) {
        const unsigned char *op = NULL;
        r->op_at = r->at;
        ONP_TRY(take(r, 1, &op));
        if (*op == '.') break;
        if (++r->steps > ONP_PICKLE_MAX_STEPS)
            return damaged(r, "it has more steps than any checkpoint");
        if (!operations[*op])
            return onp_fail(r->source->log, ONP_ERR_FORMAT,
                            "%s: its pickle uses opcode 0x%02x at byte %zu, which no checkpoint "
                            "needs; save it again with torch.save",
                            r->source->path, *op, position(r));
        ONP_TRY(operations[*op](r, *op));
    }
    ONP_TRY(need(r, 1));
    r->out->root = r->stack.data[r->stack.count - 1];
    return ONP_OK;
}

enum onp_status onp_pickle_read(const struct onp_source *source, const unsigned char *data,
                                size_t size, struct onp_pickle *out, size_t *used) {
    *out = (struct onp_pickle){0};
    struct reader r = {.data = data, .size = size, .out = out, .source = source};
    const enum onp_status status = run(&r);
    free(r.stack.data);
    free(r.marks.data);
    free(r.memo.data);
    if (status != ONP_OK) onp_pickle_free(out);
    if (used) *used = r.at;
    return status;
}

void onp_pickle_free(struct onp_pickle *pickle) {
    for (uint32_t i = 0; i < pickle->count; i++) {
        const struct onp_pickle_value *value = &pickle->values[i];
        if (value->kind >= ONP_PICKLE_TUPLE && value->kind != ONP_PICKLE_GLOBAL)
            free(value->list.items);
    }
    free(pickle->values);
    *pickle = (struct onp_pickle){0};
}

// --- Access ----------------------------------------------------------------------------------

const struct onp_pickle_value *onp_pickle_get(const struct onp_pickle *pickle, uint32_t index) {
    return index < pickle->count ? &pickle->values[index] : NULL;
}

static bool same(const char *data, size_t size, const char *text) {
    return size == strlen(text) && memcmp(data, text, size) == 0;
}

bool onp_pickle_is_global(const struct onp_pickle *pickle, uint32_t index, const char *module,
                          const char *name) {
    const struct onp_pickle_value *value = onp_pickle_get(pickle, index);
    return value && value->kind == ONP_PICKLE_GLOBAL &&
           same(value->global.module, value->global.module_size, module) &&
           same(value->global.name, value->global.name_size, name);
}

bool onp_pickle_is_string(const struct onp_pickle *pickle, uint32_t index, const char *text) {
    const struct onp_pickle_value *value = onp_pickle_get(pickle, index);
    return value && value->kind == ONP_PICKLE_STRING &&
           same(value->text.data, value->text.size, text);
}

const uint32_t *onp_pickle_map(const struct onp_pickle *pickle, uint32_t index, uint32_t *count) {
    static const uint32_t nothing[1];
    const struct onp_pickle_value *value = onp_pickle_get(pickle, index);
    if (value && value->kind == ONP_PICKLE_OBJECT && value->count == 0) {
        const struct onp_pickle_value *state = onp_pickle_get(pickle, value->list.state);
        // An object with __slots__ has the pair (dict, slots) as its state.
        if (state && state->kind == ONP_PICKLE_TUPLE)
            state = onp_pickle_get(pickle, onp_pickle_item(pickle, value->list.state, 0));
        value = state;
    }
    if (!value ||
        (value->kind != ONP_PICKLE_DICT && (value->kind != ONP_PICKLE_OBJECT || value->count == 0)))
        return NULL;
    *count = value->count / 2;
    return value->list.items ? value->list.items : nothing;
}

uint32_t onp_pickle_find(const struct onp_pickle *pickle, uint32_t map, const char *key) {
    uint32_t count = 0;
    const uint32_t *items = onp_pickle_map(pickle, map, &count);
    if (!items) return ONP_PICKLE_NIL;
    for (uint32_t i = count; i-- > 0;)
        if (onp_pickle_is_string(pickle, items[2 * i], key)) return items[2 * i + 1];
    return ONP_PICKLE_NIL;
}

uint32_t onp_pickle_item(const struct onp_pickle *pickle, uint32_t index, uint32_t i) {
    const struct onp_pickle_value *value = onp_pickle_get(pickle, index);
    if (!value || (value->kind != ONP_PICKLE_TUPLE && value->kind != ONP_PICKLE_LIST) ||
        i >= value->count)
        return ONP_PICKLE_NIL;
    return value->list.items[i];
}
