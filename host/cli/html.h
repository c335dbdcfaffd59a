// SPDX-License-Identifier: Apache-2.0
// Self-contained HTML pages: templates with slots, texts of unknown origin, pictures and sounds as
// data: URIs.
#ifndef ONP_CLI_HTML_H
#define ONP_CLI_HTML_H

#include <stdbool.h>
#include <stdio.h>

#include "onepeace/onepeace.h"

// The pages of host/cli/pages with their styles and scripts inside; the last has no name. They
// share one style and make no request: their policy allows their own script and data: URIs alone.
struct onp_cli_template {
    const char *name, *text;
};
extern const struct onp_cli_template onp_cli_templates[];

// What stands in a page's `{{name}}`. A list ends with an entry without a name.
struct onp_cli_slot {
    const char *name;
    void (*fill)(FILE *file, void *user);
};
// Writes the page `name`; a slot that is not in the list stays empty.
void onp_cli_html_page(FILE *file, const char *name, const struct onp_cli_slot *slots, void *user);

// A text, for between tags and for attributes in double quotes. Control characters and bytes that
// are not valid UTF-8 become U+FFFD.
void onp_cli_html(FILE *file, const char *s, size_t bytes);
void onp_cli_html_cstring(FILE *file, const char *s);

// JSON inside a <script>: no '<' is left that could end the element or begin a comment.
void onp_cli_html_json(FILE *file, const char *json, size_t bytes);

// A bar that is `part` (0 to 1) full, for the eye only: the number stands beside it.
void onp_cli_html_bar(FILE *file, double part);

// A picture or a sound with the file inside. `before` and `label` make the alternative text ("",
// "" for none); `attributes` is put into the tag as it is. *used counts the bytes that the page
// holds; a file that is too large for it, not readable, or of a type that browsers do not know is
// replaced by a note, and the result is false.
bool onp_cli_html_media(FILE *file, enum onp_modality kind, const char *path,
                        const char *attributes, const char *before, const char *label,
                        size_t *used);

#endif
