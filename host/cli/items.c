// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/items.h"
#include "cli/log.h"
#include "cli/text.h"

// A list is read whole; this bounds what standard input can make us hold.
static const size_t list_limit = (size_t)1 << 30;

static const char *const fault_form =
    "not of the form KIND<TAB>VALUE with KIND text, image or audio";
static const char *const fault_zero = "the line holds a zero byte";
static const char *const fault_empty = "the path is empty";
static const char *const fault_folder = "is a folder";

static struct onp_cli_item *append(struct onp_cli_items *items) {
    if (items->count == items->capacity) {
        size_t capacity = items->capacity ? 2 * items->capacity : 16;
        void *list = realloc(items->list, capacity * sizeof *items->list);
        if (!list) return NULL;
        items->list = list;
        items->capacity = capacity;
    }
    struct onp_cli_item *item = &items->list[items->count++];
    memset(item, 0, sizeof *item);
    return item;
}

// A missing file is the most common fault: found here, it does not cost a long run.
static const char *file_fault(const char *path) {
    struct stat st;
    if (!*path) return fault_empty;
    if (stat(path, &st) != 0 || access(path, R_OK) != 0) {
        switch (errno) { // the common ones by constant: strerror's text does not last
        case ENOENT:
            return "no such file";
        case EACCES:
            return "permission denied";
        default:
            return "cannot be opened";
        }
    }
    return S_ISDIR(st.st_mode) ? fault_folder : NULL;
}

static bool kind_of(const char *name, size_t length, enum onp_modality *kind) {
    for (int m = 0; m < ONP_MODALITY_COUNT; m++) {
        const char *known = onp_modality_name((enum onp_modality)m);
        if (strlen(known) == length && memcmp(known, name, length) == 0) {
            *kind = (enum onp_modality)m;
            return true;
        }
    }
    return false;
}

static void finish_item(struct onp_cli_items *items, struct onp_cli_item *item) {
    if (!item->fault && item->kind != ONP_TEXT) item->fault = file_fault(item->value);
    if (!item->fault) items->modalities |= ONP_BIT(item->kind);
}

static void parse_line(struct onp_cli_item *item, char *line, size_t length) {
    item->kind = ONP_TEXT;
    item->value = line;
    item->bytes = length;
    if (memchr(line, '\0', length)) {
        item->fault = fault_zero;
        return;
    }
    char *tab = memchr(line, '\t', length);
    if (!tab || !kind_of(line, (size_t)(tab - line), &item->kind)) {
        item->fault = fault_form;
        return;
    }
    item->value = tab + 1;
    item->bytes = length - (size_t)(tab + 1 - line);
}

// Cuts `data` at its line ends in place. Empty lines are skipped, CR before LF is dropped.
static bool parse_list(struct onp_cli_items *items, const char *name, char *data, size_t size) {
    size_t at = size >= 3 && memcmp(data, "\xEF\xBB\xBF", 3) == 0 ? 3 : 0;
    for (size_t line = 1; at < size; line++) {
        char *start = data + at, *end = memchr(start, '\n', size - at);
        if (!end) end = data + size;
        at = (size_t)(end - data) + 1;
        if (end > start && end[-1] == '\r') end--;
        *end = '\0'; // the buffer has one byte more than the file
        if (end == start) continue;
        struct onp_cli_item *item = append(items);
        if (!item) return false;
        item->list = name;
        item->line = line;
        parse_line(item, start, (size_t)(end - start));
        finish_item(items, item);
    }
    return true;
}

// Everything that `file` has, with room for one byte more. NULL with errno set.
static char *read_all(FILE *file, size_t *size) {
    size_t capacity = 1 << 16, used = 0;
    char *data = malloc(capacity);
    while (data) {
        used += fread(data + used, 1, capacity - 1 - used, file);
        if (used < capacity - 1) break;
        capacity *= 2;
        char *grown = capacity <= list_limit ? realloc(data, capacity) : NULL;
        if (!grown) {
            free(data);
            errno = EFBIG;
            return NULL;
        }
        data = grown;
    }
    if (data && ferror(file)) {
        int error = errno;
        free(data);
        errno = error;
        return NULL;
    }
    *size = used;
    return data;
}

static int read_list(struct onp_cli_items *items, const char *path) {
    bool is_stdin = strcmp(path, "-") == 0;
    const char *name = is_stdin ? "standard input" : path;
    FILE *file = is_stdin ? stdin : fopen(path, "rb");
    if (!file) return onp_cli_fail("--input %s: %s", path, strerror(errno));
    size_t size = 0;
    char *data = read_all(file, &size);
    int error = errno;
    if (!is_stdin) fclose(file);
    if (!data) return onp_cli_fail("--input %s: %s", path, strerror(error));
    void *buffers = realloc(items->buffers, (items->buffer_count + 1) * sizeof *items->buffers);
    if (!buffers) {
        free(data);
        return onp_cli_fail("out of memory");
    }
    items->buffers = buffers;
    items->buffers[items->buffer_count++] = data;
    if (!parse_list(items, name, data, size)) return onp_cli_fail("out of memory");
    return ONP_CLI_OK;
}

static int add_value(struct onp_cli_items *items, const struct onp_cli_value *value) {
    enum onp_modality kind;
    if (!kind_of(value->option->name, strlen(value->option->name), &kind))
        return read_list(items, value->value);
    struct onp_cli_item *item = append(items);
    if (!item) return onp_cli_fail("out of memory");
    item->kind = kind;
    item->value = value->value;
    item->bytes = strlen(value->value);
    item->line = items->count;
    finish_item(items, item);
    return ONP_CLI_OK;
}

int onp_cli_items_read(const char *command, const struct onp_cli_values *values,
                       struct onp_cli_items *items) {
    memset(items, 0, sizeof *items);
    size_t from_stdin = 0;
    for (size_t i = 0; i < values->count; i++)
        from_stdin += strcmp(values->list[i].option->name, "input") == 0 &&
                      strcmp(values->list[i].value, "-") == 0;
    if (values->count == 0)
        return onp_cli_wrong(command, "nothing to embed: give --text, --image, --audio or --input");
    if (from_stdin > 1) return onp_cli_wrong(command, "--input - can be given only once");
    int code = ONP_CLI_OK;
    for (size_t i = 0; i < values->count && code == ONP_CLI_OK; i++)
        code = add_value(items, &values->list[i]);
    if (code == ONP_CLI_OK && items->count == 0)
        code = onp_cli_fail("nothing to embed: the lists of --input hold no lines");
    if (code != ONP_CLI_OK) onp_cli_items_free(items);
    return code;
}

void onp_cli_items_free(struct onp_cli_items *items) {
    for (size_t i = 0; i < items->buffer_count; i++) free(items->buffers[i]);
    free(items->buffers);
    free(items->list);
    memset(items, 0, sizeof *items);
}

void onp_cli_item_error(const struct onp_cli_item *item, const char *reason) {
    enum { COLUMNS = 60 };
    char label[4 * COLUMNS + 1];
    const char *what = item->fault == fault_form || item->fault == fault_zero
                           ? "line"
                           : onp_modality_name(item->kind);
    const char *quote = item->kind == ONP_TEXT ? "'" : "";
    onp_cli_label(label, item->value, item->bytes, COLUMNS, 0);
    const char *path = item->kind == ONP_TEXT ? label : item->value;
    if (item->list)
        onp_cli_fail("%s:%zu: %s %s%s%s: %s", item->list, item->line, what, quote, path, quote,
                     reason);
    else
        onp_cli_fail("item %zu, --%s %s%s%s: %s", item->line, what, quote, path, quote, reason);
}
