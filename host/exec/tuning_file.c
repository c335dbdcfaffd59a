// SPDX-License-Identifier: Apache-2.0
#include "exec/tuning_file.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/sha256.h"

// --- The tile table's columns -------------------------------------------------------------------

#define BIT(op)    (1u << ONP_TUNED_##op)
#define AT(member) #member, offsetof(struct onp_tuning, member)

const struct onp_tuning_field onp_tuning_fields[] = {
    {AT(prefer_blas), true, 0, 1, 1, BIT(MATMUL)},
    {AT(work_group_tiles), true, 0, 1, 1, BIT(MATMUL) | BIT(ATTENTION) | BIT(LAYERNORM)},
    {AT(vector), false, 4, 16, 0,
     BIT(MATMUL) | BIT(ATTENTION) | BIT(LAYERNORM) | BIT(GROUPED_CONV)},
    {AT(tile_rows), false, 1, 16, 1, BIT(MATMUL) | BIT(GROUPED_CONV)},
    {AT(tile_vectors), false, 1, 8, 1, BIT(MATMUL) | BIT(GROUPED_CONV)},
    {AT(group_rows), false, 4, 256, 4, BIT(MATMUL)},
    {AT(group_cols), false, 4, 256, 4, BIT(MATMUL)},
    {AT(group_depth), false, 1, 128, 1, BIT(MATMUL)},
    {AT(least_rows), false, 4, 256, 4, BIT(MATMUL)},
    {AT(item_rows), false, 4, 8, 4, BIT(MATMUL)},
    {AT(item_cols), false, 4, 8, 4, BIT(MATMUL)},
    {AT(subgroup_rows), false, 0, 16, 1, BIT(MATMUL)},
    {AT(subgroup_cols), false, 0, 8, 1, BIT(MATMUL)},
    {AT(attention_subgroups), true, 0, 1, 1, BIT(ATTENTION)},
    {AT(attention_rows), false, 1, 128, 1, BIT(ATTENTION)},
    {AT(attention_keys), false, 1, 256, 1, BIT(ATTENTION)},
};
const size_t onp_tuning_field_count = ONP_COUNT(onp_tuning_fields);

int32_t onp_tuning_get(const struct onp_tuning *tiles, const struct onp_tuning_field *field) {
    const char *at = (const char *)tiles + field->offset;
    return field->flag ? *(const bool *)at : *(const int32_t *)(const void *)at;
}

void onp_tuning_set(struct onp_tuning *tiles, const struct onp_tuning_field *field, int32_t value) {
    char *at = (char *)tiles + field->offset;
    if (field->flag)
        *(bool *)at = value != 0;
    else
        *(int32_t *)(void *)at = value;
}

bool onp_tuning_equal(const struct onp_tuning *a, const struct onp_tuning *b,
                      enum onp_tuned_op op) {
    for (size_t i = 0; i < onp_tuning_field_count; i++) {
        const struct onp_tuning_field *field = &onp_tuning_fields[i];
        if (onp_tuning_reads(field, op) && onp_tuning_get(a, field) != onp_tuning_get(b, field))
            return false;
    }
    return true;
}

void onp_tuning_describe(const struct onp_tuning *tiles, const struct onp_tuning *base,
                         enum onp_tuned_op op, char *text, size_t size) {
    size_t used = 0;
    text[0] = '\0';
    for (size_t i = 0; i < onp_tuning_field_count && used < size; i++) {
        const struct onp_tuning_field *field = &onp_tuning_fields[i];
        const int32_t value = onp_tuning_get(tiles, field);
        if (!onp_tuning_reads(field, op) || (base && onp_tuning_get(base, field) == value))
            continue;
        used += (size_t)snprintf(text + used, size - used, "%s%s=%d", used ? " " : "", field->name,
                                 value);
    }
}

static const char *const op_names[ONP_TUNED_COUNT] = {[ONP_TUNED_MATMUL] = "matmul",
                                                      [ONP_TUNED_ATTENTION] = "attention",
                                                      [ONP_TUNED_LAYERNORM] = "layernorm",
                                                      [ONP_TUNED_GROUPED_CONV] = "grouped_conv"};

const char *onp_tuned_op_name(enum onp_tuned_op op) { return op_names[op]; }

bool onp_tuned_op_find(const char *name, size_t length, enum onp_tuned_op *op) {
    for (size_t i = 0; i < ONP_TUNED_COUNT; i++) {
        if (strlen(op_names[i]) != length || memcmp(op_names[i], name, length) != 0) continue;
        *op = (enum onp_tuned_op)i;
        return true;
    }
    return false;
}

bool onp_tuned_op_of(const char *op, enum onp_tuned_op *tiles) {
    if (strcmp(op, "conv_norm") == 0) op = op_names[ONP_TUNED_MATMUL];
    return onp_tuned_op_find(op, strlen(op), tiles);
}

// --- Parsing ------------------------------------------------------------------------------------

#define MAX_LINE 384

static const char *const head_names[ONP_TUNING_HEADS] = {"device",  "vendor", "platform", "driver",
                                                         "program", "date",   "model"};

struct parser {
    const char *name;
    int line;
    bool format; // its version was given
    struct onp_tuning_file *file;
    struct onp_tuning_section *section; // NULL in the header
    enum onp_tuned_op op;               // of the section
    char *why;
};

static bool refuse(struct parser *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static bool refuse(struct parser *p, const char *fmt, ...) {
    char what[400];
    va_list args;
    va_start(args, fmt);
    vsnprintf(what, sizeof what, fmt, args);
    va_end(args);
    snprintf(p->why, ONP_TUNING_WHY,
             "%.250s:%d: %s; 'onepeace tune' writes a good file, --no-tuning does without", p->name,
             p->line, what);
    return false;
}

static bool begin_section(struct parser *p, const char *text, size_t size) {
    enum onp_tuned_op op;
    if (size < 3 || text[size - 1] != ']') return refuse(p, "a section is written [op]");
    if (!onp_tuned_op_find(text + 1, size - 2, &op))
        return refuse(p, "no op \"%.*s\" has tiles", (int)(size > 42 ? 40 : size - 2), text + 1);
    if (p->file->op[op].line > 0)
        return refuse(p, "[%s] is there twice, first in line %d", op_names[op],
                      p->file->op[op].line);
    p->op = op;
    p->section = &p->file->op[op];
    p->section->line = p->line;
    return true;
}

static bool head_value(struct parser *p, const char *key, const char *value, size_t size) {
    if (strcmp(key, "format") == 0) {
        if (p->format) return refuse(p, "\"format\" is there twice");
        p->format = true;
        return strcmp(value, "1") == 0 || refuse(p, "format %.20s is not known here", value);
    }
    for (size_t i = 0; i < ONP_TUNING_HEADS; i++) {
        if (strcmp(key, head_names[i]) != 0) continue;
        if (p->file->head_line[i] > 0) return refuse(p, "\"%s\" is there twice", key);
        if (size >= sizeof p->file->head[i]) return refuse(p, "\"%s\" is too long", key);
        memcpy(p->file->head[i], value, size + 1);
        p->file->head_line[i] = p->line;
        return true;
    }
    return refuse(p, "\"%.40s\" is no key of the header", key);
}

// A decimal number without sign or exponent, so that no locale and no overflow matters.
static bool read_number(const char *value, double *number) {
    const size_t digits = strspn(value, "0123456789");
    const size_t rest = value[digits] == '.' ? 1 + strspn(value + digits + 1, "0123456789") : 0;
    if (digits < 1 || digits > 9 || rest == 1 || rest > 9 || value[digits + rest]) return false;
    *number = 0.0;
    double unit = 1.0;
    for (size_t i = 0; i < digits; i++) *number = *number * 10.0 + (value[i] - '0');
    for (size_t i = 1; i < rest; i++) *number += (value[digits + i] - '0') * (unit /= 10.0);
    return true;
}

static bool tile_value(struct parser *p, size_t index, double number) {
    const struct onp_tuning_field *field = &onp_tuning_fields[index];
    if (!onp_tuning_reads(field, p->op))
        return refuse(p, "%s does not read \"%s\"", op_names[p->op], field->name);
    if (p->section->given >> index & 1u) return refuse(p, "\"%s\" is there twice", field->name);
    const int32_t value = (int32_t)number;
    if (number != (double)value || value < field->low || value > field->high ||
        (field->step ? value % field->step : value & (value - 1)))
        return refuse(p, "\"%s\" is %d to %d, %s %d", field->name, field->low, field->high,
                      field->step ? "a multiple of" : "a power of", field->step ? field->step : 2);
    onp_tuning_set(&p->section->tiles, field, value);
    p->section->given |= 1u << index;
    return true;
}

static bool section_value(struct parser *p, const char *key, const char *value) {
    double number;
    if (!read_number(value, &number))
        return refuse(p, "\"%.40s\" has no number but \"%.40s\"", key, value);
    for (size_t i = 0; i < onp_tuning_field_count; i++)
        if (strcmp(key, onp_tuning_fields[i].name) == 0) return tile_value(p, i, number);
    if (strcmp(key, "gain") == 0)
        p->section->gain = number;
    else if (strcmp(key, "bound") == 0)
        p->section->bound = number;
    else if (strcmp(key, "pairs") == 0 && number <= 1e6)
        p->section->pairs = (int32_t)number;
    else
        return refuse(p, "\"%.40s\" is no number of the tile table", key);
    return true;
}

// Removes blanks at both ends.
static char *trim(char *text) {
    text += strspn(text, " \t");
    size_t size = strlen(text);
    while (size > 0 && (text[size - 1] == ' ' || text[size - 1] == '\t')) text[--size] = '\0';
    return text;
}

static bool read_line(struct parser *p, char *line) {
    char *text = trim(line);
    if (*text == '\0' || *text == '#') return true;
    if (*text == '[') return begin_section(p, text, strlen(text));
    char *equals = strchr(text, '=');
    if (!equals) return refuse(p, "neither \"key = value\" nor [op] nor a comment");
    *equals = '\0';
    const char *key = trim(text), *value = trim(equals + 1);
    if (!*key || !*value) return refuse(p, "a key or its value is missing");
    return p->section ? section_value(p, key, value) : head_value(p, key, value, strlen(value));
}

// A vector's sums must be held in registers: the widest files of any CPU are 32 of 16 floats.
#define MAX_TILE (32 * 16)

static bool check_section(struct parser *p, enum onp_tuned_op op) {
    struct onp_tuning_section *s = &p->file->op[op];
    if (s->line == 0) return true;
    p->line = s->line;
    if (s->given == 0) return refuse(p, "[%s] gives no tile", op_names[op]);
    const int32_t floats = s->tiles.vector * s->tiles.tile_rows * s->tiles.tile_vectors;
    if (floats > MAX_TILE)
        return refuse(p, "[%s] has a register tile of %d floats; no registers hold more than %d",
                      op_names[op], floats, MAX_TILE);
    return true;
}

static bool check_file(struct parser *p) {
    for (int i = 0; i <= ONP_TUNING_DRIVER; i++)
        if (p->file->head_line[i] == 0) return refuse(p, "the header lacks \"%s\"", head_names[i]);
    if (!p->format) return refuse(p, "the header lacks \"format\"");
    for (size_t i = 0; i < ONP_TUNED_COUNT; i++)
        if (!check_section(p, (enum onp_tuned_op)i)) return false;
    return true;
}

bool onp_tuning_parse(const char *name, const char *text, size_t size, struct onp_tuning_file *file,
                      char why[ONP_TUNING_WHY]) {
    struct parser p = {.name = name, .file = file, .why = why};
    *file = (struct onp_tuning_file){0};
    why[0] = '\0';
    if (size > ONP_TUNING_FILE_BYTES)
        return refuse(&p, "%zu bytes are too many for a tuning file", size);
    for (size_t at = 0; at < size;) {
        const char *end = memchr(text + at, '\n', size - at);
        size_t length = end ? (size_t)(end - text) - at : size - at;
        const size_t next = at + length + 1;
        char line[MAX_LINE + 1];
        p.line++;
        if (length > 0 && text[at + length - 1] == '\r') length--;
        if (length > MAX_LINE) return refuse(&p, "the line has more than %d bytes", MAX_LINE);
        for (size_t i = 0; i < length; i++) {
            const unsigned char c = (unsigned char)text[at + i];
            if (c < 0x20 && c != '\t') return refuse(&p, "a control character (%d)", c);
        }
        memcpy(line, text + at, length);
        line[length] = '\0';
        if (!read_line(&p, line)) return false;
        at = next;
    }
    return check_file(&p);
}

// --- Printing -----------------------------------------------------------------------------------

static void print_section(const struct onp_tuning_section *s, enum onp_tuned_op op,
                          struct onp_buf *out) {
    if (s->line == 0) return;
    onp_buf_printf(out, "\n[%s]\n", op_names[op]);
    for (size_t i = 0; i < onp_tuning_field_count; i++)
        if (s->given >> i & 1u)
            onp_buf_printf(out, "%s = %d\n", onp_tuning_fields[i].name,
                           onp_tuning_get(&s->tiles, &onp_tuning_fields[i]));
    if (s->gain > 0.0) onp_buf_printf(out, "gain = %.4f\n", s->gain);
    if (s->bound > 0.0) onp_buf_printf(out, "bound = %.4f\n", s->bound);
    if (s->pairs > 0) onp_buf_printf(out, "pairs = %d\n", s->pairs);
}

void onp_tuning_print(const struct onp_tuning_file *file, struct onp_buf *out) {
    onp_buf_printf(out,
                   "# Tiles that 'onepeace tune' measured as faster than those of the device's\n"
                   "# class. gain: time of the class's tiles / time of these, median of the\n"
                   "# interleaved pairs; bound: what it exceeds with 97.5 %% confidence.\n"
                   "format = 1\n");
    for (size_t i = 0; i < ONP_TUNING_HEADS; i++)
        if (file->head[i][0]) onp_buf_printf(out, "%s = %s\n", head_names[i], file->head[i]);
    for (size_t i = 0; i < ONP_TUNED_COUNT; i++)
        print_section(&file->op[i], (enum onp_tuned_op)i, out);
}

// --- Which device -------------------------------------------------------------------------------

// As a file can hold it: no control characters, no blanks at the ends; never empty.
static void plain_copy(char *to, size_t size, const char *from) {
    from += strspn(from, " \t");
    snprintf(to, size, "%s", *from ? from : "unknown");
    for (char *c = to; *c; c++)
        if ((unsigned char)*c < 0x20) *c = ' ';
    for (size_t n = strlen(to); n > 1 && to[n - 1] == ' '; n--) to[n - 1] = '\0';
}

void onp_tuning_identify(const struct onp_device_info *info, struct onp_tuning_file *file) {
    const char *const from[] = {info->name, info->vendor, info->platform, info->driver};
    for (size_t i = 0; i < ONP_COUNT(from); i++)
        plain_copy(file->head[i], sizeof file->head[i], from[i]);
}

bool onp_tuning_matches(const struct onp_tuning_file *file, const char *name,
                        const struct onp_device_info *info, char why[ONP_TUNING_WHY]) {
    struct onp_tuning_file mine = {0};
    onp_tuning_identify(info, &mine);
    for (int i = 0; i <= ONP_TUNING_DRIVER; i++) {
        if (strcmp(file->head[i], mine.head[i]) == 0) continue;
        if (i == ONP_TUNING_DRIVER && strcmp(file->head[i], "*") == 0) continue;
        snprintf(why, ONP_TUNING_WHY,
                 "%.250s:%d: is for the %s \"%.120s\", but this one is \"%.120s\"; run 'onepeace "
                 "tune' for a file of this device, or --no-tuning",
                 name, file->head_line[i], head_names[i], file->head[i], mine.head[i]);
        return false;
    }
    return true;
}

// Lower-case letters and digits, runs of others as one '-'.
static size_t add_slug(char *name, size_t used, size_t limit, const char *text) {
    for (; *text && used < limit; text++) {
        const unsigned char c = (unsigned char)*text;
        if (isascii(c) && isalnum(c))
            name[used++] = (char)tolower(c);
        else if (used > 0 && name[used - 1] != '-')
            name[used++] = '-';
    }
    while (used > 0 && name[used - 1] == '-') used--;
    return used;
}

void onp_tuning_file_name(const struct onp_device_info *info, char *name, size_t size) {
    struct onp_tuning_file mine = {0};
    struct onp_sha256 sha;
    unsigned char digest[32];
    char hex[65], slug[112];
    onp_tuning_identify(info, &mine);
    onp_sha256_init(&sha);
    for (int i = 0; i <= ONP_TUNING_DRIVER; i++)
        onp_sha256_update(&sha, mine.head[i], strlen(mine.head[i]) + 1);
    onp_sha256_final(&sha, digest);
    onp_sha256_hex(digest, hex);
    size_t used = add_slug(slug, 0, 64, mine.head[ONP_TUNING_DEVICE]);
    if (used > 0) slug[used++] = '-';
    used = add_slug(slug, used, 100, mine.head[ONP_TUNING_DRIVER]);
    snprintf(name, size, "%.*s-%.8s.txt", (int)used, slug, hex);
}
