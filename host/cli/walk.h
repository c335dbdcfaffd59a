// SPDX-License-Identifier: Apache-2.0
// The pictures and sounds under folders.
#ifndef ONP_CLI_WALK_H
#define ONP_CLI_WALK_H

#include "cli/index_db.h"

struct onp_cli_folder {
    const char *given; // as on the command line
    char *path;        // resolved, no slash at its end
    size_t count;      // pictures and sounds found in it
};

struct onp_cli_walked {
    struct onp_cli_db_file file; // hash not yet known
    bool hashed;
    bool fresh; // it may have been written once more after it was hashed, unseen
};

struct onp_cli_walk {
    struct onp_cli_folder *folders; // none lies in another, sorted by path
    size_t folder_count;
    struct onp_cli_walked *files; // sorted by the bytes of their paths
    size_t count, capacity;
    char **unreadable; // folders that could not be read; their files are not known
    size_t unreadable_count;
};

// Walks the folders. Links to folders are not followed and names that begin with a dot are left
// out. A file's extension decides what it is. A given folder that cannot be read is a failure; one
// below it is a message and an entry of `unreadable`. Returns an exit code; walk is freed in any
// case.
int onp_cli_walk(char **folders, size_t count, struct onp_cli_walk *walk);
void onp_cli_walk_free(struct onp_cli_walk *walk);

// Whether `path` is `folder` or lies in it.
bool onp_cli_is_under(const char *path, const char *folder);

// Size, times and identity of a regular file. False if it is not there any more.
bool onp_cli_stat_file(const char *path, struct onp_cli_db_file *file);

#endif
