// SPDX-License-Identifier: Apache-2.0
// Bringing the index up to date with folders, for index and search.
#ifndef ONP_CLI_INDEX_H
#define ONP_CLI_INDEX_H

#include "cli/session.h"
#include "cli/walk.h"

// What index and search have in common: the end of their option tables and of their usage.
#define ONP_CLI_INDEX_OPTIONS(file, s)                                                             \
    ONP_CLI_OPT("index", 0, ONP_CLI_STRING, "FILE", file,                                          \
                "where the embeddings are kept\n"                                                  \
                "(default: $XDG_CACHE_HOME/onepeace/index.sqlite)"),                               \
        ONP_CLI_MODEL_OPTION(s), ONP_CLI_STORAGE_OPTIONS(s), ONP_CLI_REPORT_OPTIONS(s),            \
        ONP_CLI_DEVICE_OPTIONS(s), ONP_CLI_LOG_OPTIONS(s)
#define ONP_CLI_FOLDERS .min_positional = 1, .max_positional = SIZE_MAX, .positional = "FOLDER"

struct onp_cli_index {
    struct onp_cli_db *db;
    struct onp_cli_walk walk;
    struct onp_cli_walked **pending; // to be embedded: one file of each new content
    size_t pending_count;
    unsigned pending_modalities;
    // What was found and done, in files; `dropped` and `changed` count entries of the index.
    size_t pictures, sounds, embedded, known, damaged, dropped, changed, unreadable, left_out;
};

// Opens the database and chooses the space of the session's model (which is opened) and dtype.
int onp_cli_index_open(struct onp_cli_index *index, struct onp_cli_session *session,
                       const char *model_path, const char *file);
// Walks the folders, reads the files that are new or have changed, drops those that vanished, and
// finds what is to be embedded. Fails if a folder holds no picture and no sound; what the index
// has of that folder is then kept, since its disk may only be missing.
int onp_cli_index_scan(struct onp_cli_index *index, struct onp_cli_session *session, char **folders,
                       size_t count);
// Embeds what is pending, committing after every chunk, and says what was done.
int onp_cli_index_embed(struct onp_cli_index *index, struct onp_cli_session *session);
// The exit code of a run that came to its end: failed if something could not be read.
int onp_cli_index_code(const struct onp_cli_index *index);
void onp_cli_index_end(struct onp_cli_index *index);

#endif
