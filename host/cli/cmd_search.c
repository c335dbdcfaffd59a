// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/index.h"
#include "cli/nearest.h"
#include "cli/output.h"
#include "cli/page.h"
#include "cli/text.h"

struct search {
    struct onp_cli_settings settings;
    struct onp_cli_values values;
    const char *file, *html;
    uint64_t top;
    bool json;
    struct onp_cli_items items;
    struct onp_cli_session session;
    struct onp_cli_index index;
    struct onp_cli_output *output;
    float *queries, *query; // one row for each item; their mean
    size_t query_count, dim;
    struct onp_cli_hit *hits;
    size_t count;
};

// --- The query ---------------------------------------------------------------------------------

static bool add_query(void *user, size_t index, const float *row) {
    struct search *s = user;
    (void)index;
    memcpy(s->queries + s->query_count++ * s->dim, row, s->dim * sizeof *row);
    return true;
}

static int embed_query(struct search *s) {
    const struct onp_cli_sink sink = {.row = add_query, .user = s};
    size_t rows;
    s->dim = s->session.info.embed_dim;
    s->queries = calloc(s->items.count, s->dim * sizeof *s->queries);
    s->query = calloc(s->dim, sizeof *s->query);
    if (!s->queries || !s->query) return onp_cli_fail("out of memory");
    // The encoder is made once, with the branches that the folders will need as well.
    s->session.more_modalities = s->index.pending_modalities;
    s->session.more_items = s->index.pending_count;
    int code = onp_cli_embed(&s->session, s->session.info.path, &s->items, &sink, &rows);
    if (code != ONP_CLI_OK) return code;
    if (s->query_count == 1)
        memcpy(s->query, s->queries, s->dim * sizeof *s->query);
    else
        onp_combine(s->queries, s->query_count, s->dim, s->query);
    return ONP_CLI_OK;
}

// --- The best ----------------------------------------------------------------------------------

// Paths are shown as the folder was given.
static char *shown_name(const struct onp_cli_walk *walk, const char *path) {
    for (size_t i = 0; i < walk->folder_count; i++) {
        const struct onp_cli_folder *folder = &walk->folders[i];
        if (!onp_cli_is_under(path, folder->path)) continue;
        size_t given = strlen(folder->given);
        while (given > 0 && folder->given[given - 1] == '/') given--;
        const char *rest = path + strlen(folder->path);
        const size_t size = given + strlen(rest) + 1;
        char *name = malloc(size);
        if (name) snprintf(name, size, "%.*s%s", (int)given, folder->given, rest);
        return name;
    }
    return strdup(path);
}

static int find(struct search *s) {
    const struct onp_cli_walk *walk = &s->index.walk;
    const struct onp_cli_nearest wanted = {.db = s->index.db,
                                           .walk = walk,
                                           .device = s->session.device,
                                           .query = s->query,
                                           .dim = s->dim,
                                           .top = s->top};
    int code = onp_cli_find_nearest(&wanted, &s->hits, &s->count);
    for (size_t i = 0; i < s->count && code == ONP_CLI_OK; i++) {
        s->hits[i].name = shown_name(walk, s->hits[i].path);
        if (!s->hits[i].name) code = onp_cli_fail("out of memory");
    }
    return code;
}

// --- Results -----------------------------------------------------------------------------------

static bool is_utf8(const char *s, size_t bytes) {
    for (size_t i = 0, length; i < bytes; i += length) {
        uint32_t code;
        length = onp_cli_utf8(s + i, bytes - i, &code);
        if (length == 0) return false;
    }
    return true;
}

static void print_json_hit(const struct onp_cli_hit *hit, size_t rank) {
    const size_t bytes = strlen(hit->name);
    printf("%s{\"rank\":%zu,\"score\":%.9g,\"kind\":\"%s\",\"path\":", rank > 1 ? "," : "", rank,
           (double)hit->score, onp_modality_name(hit->kind));
    onp_cli_json_string(stdout, hit->name, bytes);
    if (!is_utf8(hit->name, bytes)) { // the name itself is needed to open the file
        fputs(",\"path_hex\":\"", stdout);
        for (size_t i = 0; i < bytes; i++) printf("%02x", (unsigned)(unsigned char)hit->name[i]);
        putchar('"');
    }
    putchar('}');
}

static void print_json(const struct search *s) {
    fputs("{\"query\":[", stdout);
    for (size_t i = 0; i < s->items.count; i++) {
        const struct onp_cli_item *item = &s->items.list[i];
        printf("%s{\"kind\":\"%s\",\"source\":", i ? "," : "", onp_modality_name(item->kind));
        onp_cli_json_string(stdout, item->value, item->bytes);
        putchar('}');
    }
    fputs("],\"results\":[", stdout);
    for (size_t i = 0; i < s->count; i++) print_json_hit(&s->hits[i], i + 1);
    printf("],\"pictures\":%zu,\"sounds\":%zu,\"embedded\":%zu,\"damaged\":%zu}\n",
           s->index.pictures, s->index.sounds, s->index.embedded, s->index.damaged);
}

static int print_table(const struct search *s) {
    printf("%4s  %7s  %-5s  %s\n", "rank", "score", "kind", "path");
    for (size_t i = 0; i < s->count; i++) {
        const size_t bytes = strlen(s->hits[i].name);
        char *label = malloc(4 * bytes + 1);
        if (!label) return onp_cli_fail("out of memory");
        onp_cli_label(label, s->hits[i].name, bytes, bytes, 1);
        printf("%4zu  %7.4f  %-5s  %s\n", i + 1, (double)s->hits[i].score,
               onp_modality_name(s->hits[i].kind), label);
        free(label);
    }
    return ONP_CLI_OK;
}

static int write_page(struct search *s) {
    if (!s->output) return ONP_CLI_OK;
    const struct onp_cli_found found = {.queries = &s->items,
                                        .hits = s->hits,
                                        .count = s->count,
                                        .pictures = s->index.pictures,
                                        .sounds = s->index.sounds};
    onp_cli_page(onp_cli_output_stream(s->output), &found);
    int code = onp_cli_output_commit(s->output);
    s->output = NULL;
    if (code == ONP_CLI_OK) onp_cli_say(ONP_LOG_INFO, "wrote %s", s->html);
    return code;
}

static int show(struct search *s) {
    if (s->count == 0) onp_cli_say(ONP_LOG_WARNING, "nothing found: no file could be embedded");
    int code = write_page(s);
    if (code != ONP_CLI_OK) return code;
    if (!s->json) return print_table(s);
    print_json(s);
    return ONP_CLI_OK;
}

// --- The whole run -----------------------------------------------------------------------------

// Before any file of the folders is read: a bad query or place for the page ends the run at once.
static int check_query(struct search *s) {
    int code = onp_cli_items_read("search", &s->values, &s->items);
    for (size_t i = 0; i < s->items.count && code == ONP_CLI_OK; i++) {
        const struct onp_cli_item *item = &s->items.list[i];
        if (!item->fault) continue;
        onp_cli_item_error(item, item->fault);
        code = ONP_CLI_FAILED;
    }
    if (code == ONP_CLI_OK && s->html) code = onp_cli_output_open(s->html, &s->output);
    return code;
}

static int run(struct search *s, char **folders, size_t count) {
    int code = onp_cli_session_begin(&s->session, &s->settings);
    if (code != ONP_CLI_OK) return code;
    const char *model = onp_cli_model_path("search", &s->settings);
    if (!model) return ONP_CLI_USAGE;
    code = check_query(s);
    if (code == ONP_CLI_OK) code = onp_cli_index_open(&s->index, &s->session, model, s->file);
    if (code == ONP_CLI_OK) code = onp_cli_index_scan(&s->index, &s->session, folders, count);
    if (code == ONP_CLI_OK) code = embed_query(s);
    if (code == ONP_CLI_OK) code = onp_cli_index_embed(&s->index, &s->session);
    if (code == ONP_CLI_OK) code = find(s);
    if (code == ONP_CLI_OK) code = show(s);
    return code == ONP_CLI_OK ? onp_cli_index_code(&s->index) : code;
}

static void end(struct search *s) {
    onp_cli_output_discard(s->output);
    onp_cli_index_end(&s->index);
    onp_cli_session_end(&s->session);
    onp_cli_items_free(&s->items);
    onp_cli_hits_free(s->hits, s->count);
    free(s->queries);
    free(s->query);
    free(s->values.list);
    free(s->settings.disabled.list);
}

int onp_cli_cmd_search(int argc, char **argv) {
    struct search s = {.top = 10};
    const struct onp_cli_option options[] = {
        ONP_CLI_ITEM_OPTIONS(&s.values),
        ONP_CLI_OPT_NUMBER("top", "K", &s.top, 1, 1000000, "results at most (default: 10)"),
        ONP_CLI_OPT("html", 0, ONP_CLI_STRING, "OUT", &s.html,
                    "write the results as one page with their pictures\nand sounds inside"),
        ONP_CLI_OPT_FLAG("json", 0, &s.json, "print JSON: the query and the results"),
        ONP_CLI_TOKENIZER_OPTION(&s.settings),
        ONP_CLI_MODE_OPTION(&s.settings),
        ONP_CLI_INDEX_OPTIONS(&s.file, &s.settings),
    };
    const struct onp_cli_usage usage = {
        .command = "search",
        .synopsis = "FOLDER... [--model FILE] [options]\n"
                    "(--text TEXT | --image FILE | --audio FILE | --input LIST)...",
        .about =
            "Finds the pictures and sounds under the folders that are nearest to the query.\n"
            "Several items are one query, the normalised mean of their embeddings. The files\n"
            "are embedded as by 'onepeace index' first; the next search only looks for changes.",
        .options = options,
        .option_count = sizeof options / sizeof options[0],
        ONP_CLI_FOLDERS};
    size_t count;
    int code;
    if (onp_cli_parse(&usage, argc, argv, &count, &code)) code = run(&s, argv, count);
    end(&s);
    return code;
}
