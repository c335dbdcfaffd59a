// SPDX-License-Identifier: Apache-2.0
// Search results as one self-contained HTML page.
#ifndef ONP_CLI_PAGE_H
#define ONP_CLI_PAGE_H

#include <stdio.h>

#include "cli/items.h"
#include "cli/nearest.h"

struct onp_cli_found {
    const struct onp_cli_items *queries;
    const struct onp_cli_hit *hits;
    size_t count;            // of the hits
    size_t pictures, sounds; // that were searched
};
// Pictures and sounds are put into the page up to a size; it makes no request and runs no script.
void onp_cli_page(FILE *file, const struct onp_cli_found *found);

#endif
