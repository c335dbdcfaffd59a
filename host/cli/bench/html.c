// SPDX-License-Identifier: Apache-2.0
#include "cli/bench/html.h"

#include <stdlib.h>
#include <string.h>

#include "cli/bench/compare_read.h"
#include "cli/html.h"
#include "cli/log.h"
#include "cli/output.h"

struct page {
    const json_t *report;
    char *text; // the document
};

// The device's name, for the title.
static void put_title(FILE *file, void *user) {
    const struct page *page = user;
    const json_t *device = json_object_get(json_object_get(page->report, "environment"), "device");
    const char *name = json_string_value(json_object_get(device, "name"));
    onp_cli_html_cstring(file, name && *name ? name : "unknown device");
}

static void put_data(FILE *file, void *user) {
    const struct page *page = user;
    onp_cli_html_json(file, page->text, strlen(page->text));
}

int onp_bench_html_write(const json_t *report, const char *path) {
    static const struct onp_cli_slot slots[] = {{"title", put_title}, {"data", put_data}, {0}};
    struct page page = {report, json_dumps(report, JSON_COMPACT | JSON_REAL_PRECISION(6))};
    struct onp_cli_output *output;
    if (!page.text) return onp_cli_fail("out of memory for %s", path);
    const int code = onp_cli_output_open(path, &output);
    if (code == ONP_CLI_OK) onp_cli_html_page(onp_cli_output_stream(output), "bench", slots, &page);
    free(page.text);
    return code == ONP_CLI_OK ? onp_cli_output_commit(output) : code;
}

int onp_bench_html_convert(const char *report, const char *path) {
    struct onp_bench_document document;
    int code = onp_bench_document_read(report, &document);
    if (code == ONP_CLI_OK) code = onp_bench_html_write(document.root, path);
    onp_bench_document_free(&document);
    return code;
}
