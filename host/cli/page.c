// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "cli/html.h"
#include "cli/page.h"

struct page {
    const struct onp_cli_items *queries;
    const struct onp_cli_hit *hits;
    size_t count, used;
};

static void put_media(FILE *file, enum onp_modality kind, const char *path, size_t *used) {
    const bool image = kind == ONP_IMAGE;
    onp_cli_html_media(file, kind, path, image ? "" : "preload=\"none\"", "", image ? "" : "sound",
                       used);
}

static void put_query(FILE *file, const struct onp_cli_item *item, size_t *used) {
    fputs("<li><figure>", file);
    if (item->kind == ONP_TEXT) {
        fputs("<p class=\"text\">", file);
        onp_cli_html(file, item->value, item->bytes);
        fputs("</p><figcaption>", file);
    } else {
        put_media(file, item->kind, item->value, used);
        fputs("<figcaption>", file);
        onp_cli_html(file, item->value, item->bytes);
    }
    const char *kind = onp_modality_name(item->kind);
    fprintf(file, "<p><span class=\"kind %s\">%s</span></p></figcaption></figure></li>\n", kind,
            kind);
}

static void put_hit(FILE *file, const struct onp_cli_hit *hit, size_t rank, size_t *used) {
    const char *kind = onp_modality_name(hit->kind);
    fputs("<li><figure>", file);
    put_media(file, hit->kind, hit->path, used);
    fprintf(file, "<figcaption><p class=\"score\"><strong>%zu.</strong> score %.4f</p>", rank,
            (double)hit->score);
    onp_cli_html_bar(file, (double)hit->score);
    onp_cli_html_cstring(file, hit->name);
    fprintf(file, "<p><span class=\"kind %s\">%s</span></p></figcaption></figure></li>\n", kind,
            kind);
}

static void put_queries(FILE *file, void *user) {
    struct page *page = user;
    for (size_t i = 0; i < page->queries->count; i++)
        put_query(file, &page->queries->list[i], &page->used);
}

static void put_hits(FILE *file, void *user) {
    struct page *page = user;
    for (size_t i = 0; i < page->count; i++) put_hit(file, &page->hits[i], i + 1, &page->used);
}

void onp_cli_page(FILE *file, const struct onp_cli_items *queries, const struct onp_cli_hit *hits,
                  size_t count) {
    static const struct onp_cli_slot slots[] = {{"queries", put_queries}, {"hits", put_hits}, {0}};
    struct page page = {.queries = queries, .hits = hits, .count = count};
    onp_cli_html_page(file, "search", slots, &page);
}
