// SPDX-License-Identifier: Apache-2.0
// The items of a run: --text, --image, --audio and the lines of --input, in command-line order.
#ifndef ONP_CLI_ITEMS_H
#define ONP_CLI_ITEMS_H

#include "cli/options.h"
#include "onepeace/onepeace.h"

struct onp_cli_item {
    enum onp_modality kind;
    const char *value; // path (NUL-terminated) or text; belongs to the command line or a list
    size_t bytes;      // of value
    const char *list;  // the list's name, NULL for an item of the command line
    size_t line;       // in the list, from 1; or the item's position among all, from 1
    const char *fault; // why it cannot be used, found while reading; NULL if nothing is known
};

struct onp_cli_items {
    struct onp_cli_item *list;
    size_t count, capacity;
    unsigned modalities; // ONP_BIT() of the items without fault
    char **buffers;      // contents of the lists
    size_t buffer_count;
};

// Options --text, --image, --audio and --input, all appended to one struct onp_cli_values.
#define ONP_CLI_ITEM_OPTIONS(values)                                                               \
    ONP_CLI_OPT("text", 0, ONP_CLI_LIST, "TEXT", values, "a text"),                                \
        ONP_CLI_OPT("image", 0, ONP_CLI_LIST, "FILE", values,                                      \
                    "a picture; .npy: normalised pixels, float32 [3,H,W]"),                        \
        ONP_CLI_OPT("audio", 0, ONP_CLI_LIST, "FILE", values,                                      \
                    "a sound; .npy: normalised 16 kHz wave, float32 [n]"),                         \
        ONP_CLI_OPT("input", 0, ONP_CLI_LIST, "LIST", values,                                      \
                    "a file of lines KIND<TAB>TEXT-OR-PATH, KIND being\n"                          \
                    "text, image or audio; - is standard input")

// Reads the lists and looks whether the files exist; the reason is kept in `fault`. Returns an exit
// code: not 0 if a list cannot be read or there is no item. items is freed in any case.
int onp_cli_items_read(const char *command, const struct onp_cli_values *values,
                       struct onp_cli_items *items);
void onp_cli_items_free(struct onp_cli_items *items);

// Says an error about an item, naming the list and line or the position and the path.
void onp_cli_item_error(const struct onp_cli_item *item, const char *reason);

#endif
