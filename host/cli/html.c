// SPDX-License-Identifier: Apache-2.0
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/html.h"
#include "cli/text.h"

// Larger files are only named, and so is everything once the page holds the second amount.
static const size_t file_limit = (size_t)8 << 20, page_limit = (size_t)64 << 20;

// --- Templates ---------------------------------------------------------------------------------

static void fill(FILE *file, const struct onp_cli_slot *slots, void *user, const char *name,
                 size_t length) {
    for (; slots->name; slots++) {
        if (strlen(slots->name) != length || memcmp(slots->name, name, length) != 0) continue;
        slots->fill(file, user);
        return;
    }
}

static void fill_all(FILE *file, const char *text, const struct onp_cli_slot *slots, void *user) {
    const char *slot, *end;
    while ((slot = strstr(text, "{{")) && (end = strstr(slot, "}}"))) {
        fwrite(text, 1, (size_t)(slot - text), file);
        fill(file, slots, user, slot + 2, (size_t)(end - slot - 2));
        text = end + 2;
    }
    fputs(text, file);
}

void onp_cli_html_page(FILE *file, const char *name, const struct onp_cli_slot *slots, void *user) {
    for (const struct onp_cli_template *t = onp_cli_templates; t->name; t++)
        if (strcmp(t->name, name) == 0) fill_all(file, t->text, slots, user);
}

// --- Texts -------------------------------------------------------------------------------------

void onp_cli_html(FILE *file, const char *s, size_t bytes) {
    for (size_t i = 0; i < bytes;) {
        uint32_t code;
        size_t length = onp_cli_utf8(s + i, bytes - i, &code);
        if (length == 0 || code < 0x20 || (code >= 0x7F && code < 0xA0))
            fputs("\xEF\xBF\xBD", file);
        else if (code == '<' || code == '>' || code == '&' || code == '"' || code == '\'')
            fprintf(file, "&#%u;", (unsigned)code);
        else
            fwrite(s + i, 1, length, file);
        i += length ? length : 1;
    }
}

void onp_cli_html_cstring(FILE *file, const char *s) { onp_cli_html(file, s, strlen(s)); }

void onp_cli_html_json(FILE *file, const char *json, size_t bytes) {
    for (size_t i = 0; i < bytes; i++)
        if (json[i] == '<') // stands in strings only
            fputs("\\u003c", file);
        else
            fputc(json[i], file);
}

void onp_cli_html_bar(FILE *file, double part) {
    part = part < 0.0 ? 0.0 : part > 1.0 ? 1.0 : part;
    fprintf(file,
            "<svg class=\"bar\" viewBox=\"0 0 100 4\" preserveAspectRatio=\"none\" "
            "aria-hidden=\"true\"><rect width=\"%.1f\" height=\"4\"/></svg>",
            100.0 * part);
}

// --- Pictures and sounds -----------------------------------------------------------------------

static void put_base64(FILE *file, const unsigned char *data, size_t size) {
    static const char digit[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < size; i += 3) {
        uint32_t b = i + 1 < size ? data[i + 1] : 0, c = i + 2 < size ? data[i + 2] : 0;
        uint32_t v = (uint32_t)data[i] << 16 | b << 8 | c;
        const char out[4] = {digit[v >> 18], digit[v >> 12 & 63],
                             i + 1 < size ? digit[v >> 6 & 63] : '=',
                             i + 2 < size ? digit[v & 63] : '='};
        fwrite(out, 1, sizeof out, file);
    }
}

// The type by the content, as the decoders see it; NULL for what a browser would not take.
static const char *media_type(enum onp_modality kind, const unsigned char *data, size_t size) {
    static const struct {
        enum onp_modality kind;
        const char *start, *type;
    } known[] = {
        {ONP_IMAGE, "\x89PNG", "image/png"}, {ONP_IMAGE, "\xFF\xD8\xFF", "image/jpeg"},
        {ONP_IMAGE, "BM", "image/bmp"},      {ONP_AUDIO, "RIFF", "audio/wav"},
        {ONP_AUDIO, "fLaC", "audio/flac"},   {ONP_AUDIO, "OggS", "audio/ogg"},
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        size_t n = strlen(known[i].start);
        if (known[i].kind == kind && size >= n && memcmp(data, known[i].start, n) == 0)
            return known[i].type;
    }
    return NULL;
}

static unsigned char *read_small(const char *path, size_t limit, size_t *size) {
    FILE *in = fopen(path, "rb");
    unsigned char *data = NULL;
    struct stat st;
    if (!in) return NULL;
    if (fstat(fileno(in), &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0 &&
        (uint64_t)st.st_size <= limit)
        data = malloc((size_t)st.st_size);
    if (data) *size = fread(data, 1, (size_t)st.st_size, in);
    fclose(in);
    return data;
}

bool onp_cli_html_media(FILE *file, enum onp_modality kind, const char *path,
                        const char *attributes, const char *before, const char *label,
                        size_t *used) {
    size_t size = 0, room = page_limit - *used;
    unsigned char *data = read_small(path, room < file_limit ? room : file_limit, &size);
    const char *type = data ? media_type(kind, data, size) : NULL;
    if (!type) {
        fprintf(file, "<p class=\"none\">not %s here</p>", kind == ONP_IMAGE ? "shown" : "played");
        free(data);
        return false;
    }
    *used += size;
    fprintf(file, kind == ONP_IMAGE ? "<img %s alt=\"%s" : "<audio controls %s aria-label=\"%s",
            attributes, before);
    onp_cli_html_cstring(file, label);
    fprintf(file, "\" src=\"data:%s;base64,", type);
    put_base64(file, data, size);
    fputs(kind == ONP_IMAGE ? "\">" : "\"></audio>", file);
    free(data);
    return true;
}
