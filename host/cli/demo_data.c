// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/demo_data.h"
#include "cli/log.h"
#include "cli/text.h"

// A demo is looked at by a person: what is larger is not one.
enum { TABLE_LIMIT = 1 << 20, ABOUT_LIMIT = 1 << 12, CONCEPT_LIMIT = 500, NAME_LIMIT = 80 };

enum { CONCEPT, PICTURE, SOUND, PICTURE_CREDIT, SOUND_CREDIT, COLUMN_COUNT };
static const char *const column_names[COLUMN_COUNT] = {"concept", "picture", "sound",
                                                       "picture_credit", "sound_credit"};

struct reader {
    struct onp_cli_demo_data *data;
    const char *dir;
    size_t line, columns; // of the table, all that the header names
    size_t place[COLUMN_COUNT];
};

static char *join(const char *dir, const char *name) {
    const size_t size = strlen(dir) + strlen(name) + 2;
    char *path = malloc(size);
    if (path) snprintf(path, size, "%s/%s", dir, name);
    return path;
}

static int complain(const struct reader *r, const char *what, const char *name) {
    return onp_cli_fail("%s:%zu: %s%s%s", r->data->path, r->line, what, name ? ": " : "",
                        name ? name : "");
}

// --- The file ----------------------------------------------------------------------------------

// A file of at most `limit` bytes, with a zero byte behind it. A missing one is a failure only with
// `needed`; *text stays NULL then.
static int read_text(const char *path, size_t limit, bool needed, char **text, size_t *size) {
    struct stat st;
    FILE *file = NULL;
    // Looked at before it is opened: opening a pipe would wait for its other end.
    if (stat(path, &st) != 0 && errno == ENOENT && !needed) return ONP_CLI_OK;
    if (stat(path, &st) == 0 && !S_ISREG(st.st_mode))
        return onp_cli_fail("%s is not a regular file", path);
    if (!(file = fopen(path, "rb")) || fstat(fileno(file), &st) != 0) {
        const char *reason = strerror(errno);
        if (file) fclose(file);
        return onp_cli_fail("cannot open %s: %s; --data names the folder", path, reason);
    }
    int code = ONP_CLI_OK;
    if ((uint64_t)st.st_size > limit)
        code = onp_cli_fail("%s is larger than %zu KiB", path, limit >> 10);
    else if (!(*text = calloc((size_t)st.st_size + 1, 1)))
        code = onp_cli_fail("out of memory");
    else
        *size = fread(*text, 1, (size_t)st.st_size, file);
    if (code == ONP_CLI_OK && ferror(file)) code = onp_cli_fail("cannot read %s", path);
    fclose(file);
    return code;
}

// --- A line ------------------------------------------------------------------------------------

static const char *text_fault(const char *s, size_t bytes) {
    for (size_t i = 0, length; i < bytes; i += length) {
        uint32_t code;
        length = onp_cli_utf8(s + i, bytes - i, &code);
        if (length == 0) return "not UTF-8";
        if (code < 0x20 || (code >= 0x7F && code < 0xA0)) return "a control character in it";
    }
    return NULL;
}

// Cuts a line at its tabs in place. Returns how many fields there are, `most` + 1 for more.
static size_t cut(char *line, char **fields, size_t most) {
    size_t count = 0;
    for (char *tab; count < most; line = tab + 1) {
        fields[count++] = line;
        tab = strchr(line, '\t');
        if (!tab) return count;
        *tab = '\0';
    }
    return count + 1;
}

enum { FIELD_LIMIT = 32 };

static int read_header(struct reader *r, char *line) {
    char *fields[FIELD_LIMIT];
    r->columns = cut(line, fields, FIELD_LIMIT);
    if (r->columns > FIELD_LIMIT) return complain(r, "too many columns", NULL);
    for (size_t c = 0; c < COLUMN_COUNT; c++) {
        size_t at = 0;
        while (at < r->columns && strcmp(fields[at], column_names[c]) != 0) at++;
        if (at == r->columns)
            return complain(r, "the header line has no such column", column_names[c]);
        r->place[c] = at;
    }
    return ONP_CLI_OK;
}

// A name that cannot leave the folder, by its form alone.
static bool is_inside(const char *name) {
    if (!*name || *name == '/') return false;
    for (const char *part = name; part; part = strchr(part, '/')) {
        part += *part == '/';
        const size_t length = strcspn(part, "/");
        if (length == 0 || (length == 2 && memcmp(part, "..", 2) == 0)) return false;
    }
    return true;
}

static int add_file(struct reader *r, struct onp_cli_concept *concept, enum onp_modality kind,
                    const char *name) {
    struct stat st;
    if (!is_inside(name))
        return complain(r, "a file must be named relative to the table, without '..'", name);
    concept->file[kind] = name;
    concept->path[kind] = join(r->dir, name);
    if (!concept->path[kind]) return onp_cli_fail("out of memory");
    if (stat(concept->path[kind], &st) != 0) return complain(r, strerror(errno), name);
    if (!S_ISREG(st.st_mode)) return complain(r, "not a regular file", name);
    return ONP_CLI_OK;
}

static int check_name(const struct reader *r, const char *name) {
    const struct onp_cli_demo_data *data = r->data;
    if (!*name) return complain(r, "the concept has no name", NULL);
    if (strlen(name) > NAME_LIMIT) return complain(r, "the concept's name is too long", name);
    for (size_t i = 0; i + 1 < data->count; i++)
        if (strcmp(data->list[i].name, name) == 0)
            return complain(r, "the concept is in the table already", name);
    return ONP_CLI_OK;
}

static int add_concept(struct reader *r, char **fields) {
    struct onp_cli_demo_data *data = r->data;
    if (data->count == CONCEPT_LIMIT) return complain(r, "more than 500 concepts", NULL);
    struct onp_cli_concept *concept = &data->list[data->count++];
    concept->name = fields[r->place[CONCEPT]];
    concept->line = r->line;
    concept->credit[ONP_IMAGE] = fields[r->place[PICTURE_CREDIT]];
    concept->credit[ONP_AUDIO] = fields[r->place[SOUND_CREDIT]];
    int code = check_name(r, concept->name);
    if (code == ONP_CLI_OK) code = add_file(r, concept, ONP_IMAGE, fields[r->place[PICTURE]]);
    if (code == ONP_CLI_OK) code = add_file(r, concept, ONP_AUDIO, fields[r->place[SOUND]]);
    return code;
}

static int read_line(struct reader *r, char *line) {
    char *fields[FIELD_LIMIT];
    const size_t count = cut(line, fields, FIELD_LIMIT);
    if (count != r->columns)
        return onp_cli_fail("%s:%zu: the line has %zu fields, the header %zu", r->data->path,
                            r->line, count, r->columns);
    for (size_t i = 0; i < count; i++) {
        const char *fault = text_fault(fields[i], strlen(fields[i]));
        if (fault) return complain(r, fault, fields[i]);
    }
    return add_concept(r, fields);
}

// --- The table ---------------------------------------------------------------------------------

static int parse(struct reader *r, char *text, size_t size) {
    int code = ONP_CLI_OK;
    bool header = false;
    if (memchr(text, '\0', size))
        return onp_cli_fail("%s: a zero byte in it; not a table", r->data->path);
    if (strncmp(text, "\xEF\xBB\xBF", 3) == 0) text += 3;
    for (char *next; text && code == ONP_CLI_OK; text = next) {
        r->line++;
        next = strchr(text, '\n');
        if (next) *next++ = '\0';
        size_t length = strlen(text);
        if (length && text[length - 1] == '\r') text[--length] = '\0';
        if (length == 0) continue;
        code = header ? read_line(r, text) : read_header(r, text);
        header = true;
    }
    if (code == ONP_CLI_OK && r->data->count == 0)
        code = onp_cli_fail("%s holds no concepts", r->data->path);
    return code;
}

static int read_about(const char *dir, struct onp_cli_demo_data *data) {
    size_t size = 0;
    char *path = join(dir, "about.txt");
    if (!path) return onp_cli_fail("out of memory");
    int code = read_text(path, ABOUT_LIMIT, false, &data->about, &size);
    for (size_t i = 0; i < size; i++)
        if (data->about[i] == '\n' || data->about[i] == '\r') data->about[i] = ' ';
    const char *fault = code == ONP_CLI_OK && data->about ? text_fault(data->about, size) : NULL;
    if (fault) code = onp_cli_fail("%s: %s", path, fault);
    free(path);
    return code;
}

int onp_cli_demo_data_read(const char *dir, struct onp_cli_demo_data *data) {
    struct reader r = {.data = data, .dir = dir};
    size_t size = 0;
    memset(data, 0, sizeof *data);
    data->path = join(dir, "demo.tsv");
    data->list = calloc(CONCEPT_LIMIT, sizeof *data->list);
    if (!data->path || !data->list) return onp_cli_fail("out of memory");
    int code = read_text(data->path, TABLE_LIMIT, true, &data->table, &size);
    if (code == ONP_CLI_OK) code = parse(&r, data->table, size);
    return code == ONP_CLI_OK ? read_about(dir, data) : code;
}

void onp_cli_demo_data_free(struct onp_cli_demo_data *data) {
    for (size_t i = 0; i < data->count; i++)
        for (int m = 0; m < ONP_MODALITY_COUNT; m++) free(data->list[i].path[m]);
    free(data->list);
    free(data->table);
    free(data->about);
    free(data->path);
    memset(data, 0, sizeof *data);
}
