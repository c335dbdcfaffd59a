// SPDX-License-Identifier: Apache-2.0
#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

#include "cli/text.h"

size_t onp_cli_utf8(const char *s, size_t bytes, uint32_t *code) {
    const unsigned char *u = (const unsigned char *)s;
    *code = u[0];
    if (u[0] < 0x80) return 1;
    size_t length = u[0] >= 0xF0 ? 4 : u[0] >= 0xE0 ? 3 : 2;
    static const uint32_t least[5] = {0, 0, 0x80, 0x800, 0x10000};
    if (u[0] < 0xC2 || u[0] > 0xF4 || bytes < length) return 0;
    uint32_t c = u[0] & (0xFFu >> (length + 1));
    for (size_t i = 1; i < length; i++) {
        if ((u[i] & 0xC0) != 0x80) return 0;
        c = c << 6 | (u[i] & 0x3Fu);
    }
    if (c < least[length] || c > 0x10FFFF || (c >= 0xD800 && c <= 0xDFFF)) return 0;
    *code = c;
    return length;
}

void onp_cli_json_string(FILE *file, const char *s, size_t bytes) {
    fputc('"', file);
    for (size_t i = 0; i < bytes;) {
        uint32_t code;
        size_t length = onp_cli_utf8(s + i, bytes - i, &code);
        if (length == 0)
            fputs("\\ufffd", file);
        else if (code < 0x20 || code == 0x7F)
            fprintf(file, "\\u%04x", (unsigned)code);
        else if (code == '"' || code == '\\')
            fprintf(file, "\\%c", (char)code);
        else
            fwrite(s + i, 1, length, file);
        i += length ? length : 1;
    }
    fputc('"', file);
}

void onp_cli_json_cstring(FILE *file, const char *s) { onp_cli_json_string(file, s, strlen(s)); }

static bool csv_needs_quotes(const char *s, size_t bytes) {
    for (size_t i = 0; i < bytes; i++)
        if (s[i] == ',' || s[i] == '"' || s[i] == '\r' || s[i] == '\n') return true;
    return bytes > 0 && (s[0] == ' ' || s[bytes - 1] == ' ');
}

void onp_cli_csv_field(FILE *file, const char *s, size_t bytes) {
    bool quoted = csv_needs_quotes(s, bytes);
    if (quoted) fputc('"', file);
    for (size_t i = 0; i < bytes;) {
        uint32_t code;
        size_t length = onp_cli_utf8(s + i, bytes - i, &code);
        if (length == 0) fputs("\xEF\xBF\xBD", file);
        if (code == '"') fputc('"', file);
        fwrite(s + i, 1, length, file);
        i += length ? length : 1;
    }
    if (quoted) fputc('"', file);
}

static bool is_control(uint32_t code) { return code < 0x20 || (code >= 0x7F && code < 0xA0); }

void onp_cli_text_plain(FILE *file, const char *s, size_t bytes) {
    for (size_t i = 0; i < bytes;) {
        uint32_t code;
        size_t length = onp_cli_utf8(s + i, bytes - i, &code);
        if (length == 0 || (is_control(code) && code != '\n' && code != '\t'))
            fputc('?', file);
        else
            fwrite(s + i, 1, length, file);
        i += length ? length : 1;
    }
}

static size_t next_character(const char *s, size_t bytes, bool *shown_as_is) {
    uint32_t code;
    size_t length = onp_cli_utf8(s, bytes, &code);
    *shown_as_is = length > 0 && !is_control(code);
    return length ? length : 1;
}

static char *put_character(char *end, const char *s, size_t length) {
    if (length == 0) *end++ = '?';
    memcpy(end, s, length);
    return end + length;
}

size_t onp_cli_label(char *out, const char *s, size_t bytes, size_t columns, int keep_end) {
    size_t total = 0, skip = 0, position = 0;
    bool as_is;
    for (size_t i = 0; i < bytes; total++) i += next_character(s + i, bytes - i, &as_is);
    bool cut = total > columns;
    size_t shown = cut ? columns - 3 : total;
    if (cut && keep_end) skip = total - shown;
    char *end = out;
    if (skip) end = stpcpy(end, "...");
    for (size_t i = 0; i < bytes && position < skip + shown; position++) {
        size_t length = next_character(s + i, bytes - i, &as_is);
        if (position >= skip) end = put_character(end, s + i, as_is ? length : 0);
        i += length;
    }
    if (cut && !skip) end = stpcpy(end, "...");
    *end = '\0';
    return cut ? columns : total;
}

const char *onp_cli_bytes(char *out, uint64_t bytes) {
    static const char *const unit[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    if (bytes < 1024) {
        snprintf(out, 24, "%" PRIu64 " bytes", bytes);
        return out;
    }
    double value = (double)bytes / 1024.0;
    size_t i = 0;
    for (; value >= 1024.0 && i < 5; i++) value /= 1024.0;
    snprintf(out, 24, "%.1f %s", value, unit[i]);
    return out;
}
