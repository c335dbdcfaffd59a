// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "cli/html.h"
#include "cli/page.h"

struct page {
    const struct onp_cli_found *found;
    size_t used; // bytes of media so far
};

// A picture needs no other text than its caption; a player is named, since it is a control.
static void put_media(FILE *file, enum onp_modality kind, const char *path, const char *name,
                      size_t *used) {
    fprintf(file, "<div class=\"media %s\">", onp_modality_name(kind));
    if (kind == ONP_IMAGE)
        onp_cli_html_media(file, kind, path, "", "", "", used);
    else
        onp_cli_html_media(file, kind, path, "preload=\"metadata\"", "sound ", name, used);
    fputs("</div>", file);
}

// The folder stands back behind the file's own name.
static void put_name(FILE *file, const char *name) {
    const char *slash = strrchr(name, '/');
    const size_t folder = slash ? (size_t)(slash - name) + 1 : 0;
    fputs("<p class=\"name\">", file);
    if (folder > 0) {
        fputs("<span class=\"folder\">", file);
        onp_cli_html(file, name, folder);
        fputs("</span><wbr>", file);
    }
    onp_cli_html_cstring(file, name + folder);
    fputs("</p>", file);
}

static void put_kind(FILE *file, enum onp_modality kind) {
    const char *name = onp_modality_name(kind);
    fprintf(file, "<span class=\"kind %s\">%s</span>", name, name);
}

static void put_query(FILE *file, const struct onp_cli_item *item, size_t *used) {
    fputs("<li><figure>", file);
    if (item->kind == ONP_TEXT) {
        fputs("<div class=\"media text\"><p>", file);
        onp_cli_html(file, item->value, item->bytes);
        fputs("</p></div><figcaption>", file);
    } else {
        put_media(file, item->kind, item->value, item->value, used);
        fputs("<figcaption>", file);
        put_name(file, item->value);
    }
    put_kind(file, item->kind);
    fputs("</figcaption></figure></li>\n", file);
}

static void put_hit(FILE *file, const struct onp_cli_hit *hit, size_t rank, size_t *used) {
    fputs("<li><figure>", file);
    put_media(file, hit->kind, hit->path, hit->name, used);
    fprintf(file, "<figcaption><p class=\"rank\"><strong>%zu.</strong> ", rank);
    put_kind(file, hit->kind);
    fprintf(file, " <span class=\"score\"><span class=\"vh\">score </span>%.4f</span></p>",
            (double)hit->score);
    onp_cli_html_bar(file, (double)hit->score);
    put_name(file, hit->name);
    fputs("</figcaption></figure></li>\n", file);
}

static void put_queries(FILE *file, void *user) {
    struct page *page = user;
    const struct onp_cli_items *queries = page->found->queries;
    for (size_t i = 0; i < queries->count; i++) put_query(file, &queries->list[i], &page->used);
}

static void put_hits(FILE *file, void *user) {
    struct page *page = user;
    for (size_t i = 0; i < page->found->count; i++)
        put_hit(file, &page->found->hits[i], i + 1, &page->used);
}

static void put_count(FILE *file, size_t count, const char *what) {
    fprintf(file, "%zu %s%s", count, what, count == 1 ? "" : "s");
}

static void put_summary(FILE *file, void *user) {
    const struct onp_cli_found *found = ((struct page *)user)->found;
    if (found->count == 0) {
        fputs("Nothing: no file could be embedded.", file);
        return;
    }
    fprintf(file, "The %zu nearest of ", found->count);
    put_count(file, found->pictures, "picture");
    fputs(" and ", file);
    put_count(file, found->sounds, "sound");
    fputs(". The score is the cosine of two embeddings: 1 is the same, 0 is unrelated.", file);
}

static void put_together(FILE *file, void *user) {
    if (((struct page *)user)->found->queries->count > 1)
        fputs("<p class=\"lead\">Together, as the mean of their embeddings.</p>\n", file);
}

void onp_cli_page(FILE *file, const struct onp_cli_found *found) {
    static const struct onp_cli_slot slots[] = {{"queries", put_queries},
                                                {"together", put_together},
                                                {"summary", put_summary},
                                                {"hits", put_hits},
                                                {0}};
    struct page page = {.found = found};
    onp_cli_html_page(file, "search", slots, &page);
}
