// SPDX-License-Identifier: Apache-2.0
// The demo's table: concepts with a picture and a sound each, and who made these.
#ifndef ONP_CLI_DEMO_DATA_H
#define ONP_CLI_DEMO_DATA_H

#include "cli/items.h"

struct onp_cli_concept {
    const char *name; // also the text that is embedded
    size_t line;      // of the table, from 1
    // By modality; NULL for ONP_TEXT.
    const char *file[ONP_MODALITY_COUNT]; // as the table has it
    char *path[ONP_MODALITY_COUNT];       // to be opened
    const char *credit[ONP_MODALITY_COUNT];
};

struct onp_cli_demo_data {
    char *path, *table; // of demo.tsv; its content, which the names point into
    char *about;        // what the folder says of itself, on one line; NULL for nothing
    struct onp_cli_concept *list;
    size_t count;
};

// Reads DIR/demo.tsv: a header line that names the columns concept, picture, sound, picture_credit
// and sound_credit in any order, then a line a concept. What is wrong with it is said with its
// line: names that are empty, too long, not UTF-8 or there twice, and files that are not regular
// ones inside DIR. DIR/about.txt, if it is there, is a note of at most 4 KiB that is shown with the
// results. Returns an exit code; data is freed in any case.
int onp_cli_demo_data_read(const char *dir, struct onp_cli_demo_data *data);
void onp_cli_demo_data_free(struct onp_cli_demo_data *data);

#endif
