// SPDX-License-Identifier: Apache-2.0
// The index: an SQLite database of files (path, when last seen, hash of the content) and of the
// embeddings of contents. The only user of SQLite.
//
// Embeddings belong to a space: one model and one storage type. They are found by content, so that
// a renamed or copied file is not embedded again. Every change is one transaction or part of the
// one open; a killed program leaves the last committed state.
//
// Calls that return int return an exit code and have said why.
#ifndef ONP_CLI_INDEX_DB_H
#define ONP_CLI_INDEX_DB_H

#include "onepeace/onepeace.h"

enum { ONP_CLI_HASH_BYTES = 32 };

struct onp_cli_db_file {
    const char *path; // absolute, NUL-terminated, any bytes
    enum onp_modality kind;
    uint64_t size, inode;
    int64_t mtime_ns;
    unsigned char hash[ONP_CLI_HASH_BYTES];
    bool embedded; // the chosen space has its content; from onp_cli_db_files alone
};

struct onp_cli_db;
// Opens or creates. `path` NULL: $XDG_CACHE_HOME/onepeace/index.sqlite, else under ~/.cache.
int onp_cli_db_open(const char *path, struct onp_cli_db **out);
void onp_cli_db_close(struct onp_cli_db *db); // drops an open transaction; NULL is allowed
const char *onp_cli_db_path(const struct onp_cli_db *db);

// Chooses the space; one that is not there is made.
int onp_cli_db_use(struct onp_cli_db *db, const char *model_key, enum onp_dtype dtype, size_t dim);

// Transactions do not nest. begin waits a while for another process; begin_read is for many reads.
int onp_cli_db_begin(struct onp_cli_db *db);
int onp_cli_db_begin_read(struct onp_cli_db *db);
int onp_cli_db_commit(struct onp_cli_db *db);

// The files under a folder (absolute, no slash at its end) in the order of their bytes.
typedef int (*onp_cli_db_file_fn)(void *user, const struct onp_cli_db_file *file);
int onp_cli_db_files(struct onp_cli_db *db, const char *folder, onp_cli_db_file_fn fn, void *user);
int onp_cli_db_put_file(struct onp_cli_db *db, const struct onp_cli_db_file *file);
int onp_cli_db_drop_file(struct onp_cli_db *db, const char *path);
// Deletes what no file refers to, in every space.
int onp_cli_db_prune(struct onp_cli_db *db);

// What the space knows of a content. A content that this version of the program found damaged is
// ONP_CLI_CONTENT_BAD; *reason (may be NULL) is then malloc'ed.
enum onp_cli_content { ONP_CLI_CONTENT_NEW, ONP_CLI_CONTENT_DONE, ONP_CLI_CONTENT_BAD };
int onp_cli_db_content(struct onp_cli_db *db, const struct onp_cli_db_file *file,
                       enum onp_cli_content *content, char **reason);
int onp_cli_db_put_row(struct onp_cli_db *db, const struct onp_cli_db_file *file, const float *row);
int onp_cli_db_put_bad(struct onp_cli_db *db, const struct onp_cli_db_file *file,
                       const char *reason);

// The embedded files under a folder one by one, in the order of their bytes: memory does not grow
// with the index. One scan at a time; it ends with *found false, with an error or with scan_end.
struct onp_cli_db_entry {
    const char *path; // valid until the next call
    size_t bytes;     // of the path
    enum onp_modality kind;
};
int onp_cli_db_scan_begin(struct onp_cli_db *db, const char *folder);
// row: [dim], filled with the embedding.
int onp_cli_db_scan_next(struct onp_cli_db *db, struct onp_cli_db_entry *entry, float *row,
                         bool *found);
void onp_cli_db_scan_end(struct onp_cli_db *db);

#endif
