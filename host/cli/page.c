// SPDX-License-Identifier: Apache-2.0
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/page.h"
#include "cli/text.h"

// Larger files are only named, and so is everything once the page holds the second amount.
static const size_t file_limit = (size_t)8 << 20, page_limit = (size_t)64 << 20;

static const char head[] =
    "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
    "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n"
    "<meta name=\"color-scheme\" content=\"light dark\">\n"
    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; "
    "media-src data:; style-src 'unsafe-inline'\">\n"
    "<title>onepeace search</title>\n<style>\n"
    ":root{--ground:#f7f7f5;--card:#fff;--ink:#1b1b1a;--soft:#5c5c58;--line:#dddcd6;"
    "--bar:#2563a8;--track:#e7e6e1}\n"
    "@media(prefers-color-scheme:dark){:root{--ground:#161617;--card:#212123;--ink:#ececea;"
    "--soft:#a9a9a4;--line:#37373a;--bar:#7db4f0;--track:#333336}}\n"
    "*{box-sizing:border-box}\n"
    "body{margin:0;background:var(--ground);color:var(--ink);"
    "font:16px/1.5 system-ui,sans-serif}\n"
    "main{max-width:72rem;margin:0 auto;padding:1.5rem 1rem 3rem}\n"
    "h1{font-size:1.5rem;margin:0 0 1rem}h2{font-size:1.1rem;margin:2rem 0 .75rem}\n"
    "ul,ol{list-style:none;margin:0;padding:0;display:grid;gap:1rem;"
    "grid-template-columns:repeat(auto-fill,minmax(min(100%,16rem),1fr))}\n"
    "li{background:var(--card);border:1px solid var(--line);border-radius:.6rem;padding:.75rem;"
    "min-width:0}\n"
    "figure{margin:0}img{display:block;width:100%;height:12rem;object-fit:contain;"
    "background:var(--track);border-radius:.35rem}\n"
    "audio{display:block;width:100%;margin:.25rem 0}\n"
    ".none,.text{display:grid;place-items:center;min-height:6rem;color:var(--soft);"
    "background:var(--track);border-radius:.35rem;padding:.5rem;text-align:center}\n"
    ".text{color:var(--ink);font-size:1.25rem}\n"
    "figcaption{margin-top:.5rem;overflow-wrap:anywhere}.what{color:var(--soft);"
    "font-size:.875rem;margin:0}\n"
    ".track{display:block;height:.5rem;border-radius:.25rem;background:var(--track);"
    "overflow:hidden;margin:.35rem 0}\n"
    ".track span{display:block;height:100%;background:var(--bar)}\n"
    "</style>\n</head>\n<body>\n<main>\n<h1>onepeace search</h1>\n";

static void put_html(FILE *file, const char *s, size_t bytes) {
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
        {ONP_AUDIO, "FORM", "audio/aiff"},
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

static void put_media(FILE *file, enum onp_modality kind, const char *path, size_t *used) {
    size_t size = 0, room = page_limit - *used;
    unsigned char *data = read_small(path, room < file_limit ? room : file_limit, &size);
    const char *type = data ? media_type(kind, data, size) : NULL;
    if (!type) {
        fputs("<p class=\"none\">not shown here</p>", file);
    } else {
        *used += size;
        fprintf(file,
                kind == ONP_IMAGE ? "<img alt=\"\" src=\"data:%s;base64,"
                                  : "<audio controls preload=\"none\" aria-label=\"sound\" "
                                    "src=\"data:%s;base64,",
                type);
        put_base64(file, data, size);
        fputs(kind == ONP_IMAGE ? "\">" : "\"></audio>", file);
    }
    free(data);
}

static void put_query(FILE *file, const struct onp_cli_item *item, size_t *used) {
    fputs("<li><figure>", file);
    if (item->kind == ONP_TEXT) {
        fputs("<p class=\"text\">", file);
        put_html(file, item->value, item->bytes);
        fputs("</p><figcaption>", file);
    } else {
        put_media(file, item->kind, item->value, used);
        fputs("<figcaption>", file);
        put_html(file, item->value, item->bytes);
    }
    fprintf(file, "<p class=\"what\">%s</p></figcaption></figure></li>\n",
            onp_modality_name(item->kind));
}

static void put_hit(FILE *file, const struct onp_cli_hit *hit, size_t rank, size_t *used) {
    double part = hit->score < 0.0f ? 0.0 : hit->score > 1.0f ? 1.0 : (double)hit->score;
    fputs("<li><figure>", file);
    put_media(file, hit->kind, hit->path, used);
    fprintf(file,
            "<figcaption><strong>%zu.</strong> score %.4f<span class=\"track\" "
            "aria-hidden=\"true\"><span style=\"width:%.1f%%\"></span></span>",
            rank, (double)hit->score, 100.0 * part);
    put_html(file, hit->name, strlen(hit->name));
    fprintf(file, "<p class=\"what\">%s</p></figcaption></figure></li>\n",
            onp_modality_name(hit->kind));
}

void onp_cli_page(FILE *file, const struct onp_cli_items *queries, const struct onp_cli_hit *hits,
                  size_t count) {
    size_t used = 0;
    fwrite(head, 1, sizeof head - 1, file);
    fputs("<h2>Looked for</h2>\n<ul>\n", file);
    for (size_t i = 0; i < queries->count; i++) put_query(file, &queries->list[i], &used);
    fputs("</ul>\n<h2>Found</h2>\n<ol>\n", file);
    for (size_t i = 0; i < count; i++) put_hit(file, &hits[i], i + 1, &used);
    fputs("</ol>\n</main>\n</body>\n</html>\n", file);
}
