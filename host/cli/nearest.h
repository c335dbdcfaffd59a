// SPDX-License-Identifier: Apache-2.0
// The embeddings of an index that are nearest to a query.
#ifndef ONP_CLI_NEAREST_H
#define ONP_CLI_NEAREST_H

#include "cli/walk.h"

struct onp_cli_hit {
    float score;
    enum onp_modality kind;
    char *path; // of the file
    char *name; // how it is shown; NULL unless the caller sets it
};

struct onp_cli_nearest {
    struct onp_cli_db *db;           // its space is chosen
    const struct onp_cli_walk *walk; // the folders to search in
    struct onp_device *device;       // computes the scores
    const float *query;              // [dim]
    size_t dim;
    uint64_t top; // hits at most
};

// Streams the index past the query; memory grows with `top` alone. hits: the best first, equal
// scores in the order of their paths; freed by onp_cli_hits_free, also after a failure. Returns an
// exit code.
int onp_cli_find_nearest(const struct onp_cli_nearest *wanted, struct onp_cli_hit **hits,
                         size_t *count);
void onp_cli_hits_free(struct onp_cli_hit *hits, size_t count);

#endif
