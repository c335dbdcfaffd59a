// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <fts.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "cli/log.h"
#include "cli/walk.h"

bool onp_cli_is_under(const char *path, const char *folder) {
    size_t length = strlen(folder);
    return strncmp(path, folder, length) == 0 && (path[length] == '\0' || path[length] == '/');
}

static bool kind_of_name(const char *name, enum onp_modality *kind) {
    static const char *const pictures[] = {".jpg", ".jpeg", ".png", ".bmp", NULL};
    static const char *const sounds[] = {".wav", ".flac", ".ogg", ".opus", ".aiff", ".aif", NULL};
    const char *dot = strrchr(name, '.');
    if (!dot || dot == name) return false;
    for (size_t i = 0; pictures[i]; i++) {
        *kind = ONP_IMAGE;
        if (strcasecmp(dot, pictures[i]) == 0) return true;
    }
    for (size_t i = 0; sounds[i]; i++) {
        *kind = ONP_AUDIO;
        if (strcasecmp(dot, sounds[i]) == 0) return true;
    }
    return false;
}

static void describe(const struct stat *st, struct onp_cli_db_file *file) {
    file->size = (uint64_t)st->st_size;
    file->inode = (uint64_t)st->st_ino;
    file->mtime_ns = (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec;
}

bool onp_cli_stat_file(const char *path, struct onp_cli_db_file *file) {
    struct stat st;
    if (stat(path, &st) != 0 || !S_ISREG(st.st_mode)) return false;
    describe(&st, file);
    return true;
}

static int add_file(struct onp_cli_walk *walk, const FTSENT *found) {
    struct onp_cli_walked entry = {0};
    const char *path = found->fts_accpath;
    if (!kind_of_name(found->fts_name, &entry.file.kind)) return ONP_CLI_OK;
    if (found->fts_info == FTS_F)
        describe(found->fts_statp, &entry.file);
    else if (!onp_cli_stat_file(path, &entry.file)) // a link to nothing or to no file
        return ONP_CLI_OK;
    if (walk->count == walk->capacity) {
        size_t capacity = walk->capacity ? 2 * walk->capacity : 64;
        void *files = realloc(walk->files, capacity * sizeof *walk->files);
        if (!files) return onp_cli_fail("out of memory");
        walk->files = files;
        walk->capacity = capacity;
    }
    entry.file.path = strdup(path);
    if (!entry.file.path) return onp_cli_fail("out of memory");
    walk->files[walk->count++] = entry;
    return ONP_CLI_OK;
}

static int add_unreadable(struct onp_cli_walk *walk, const FTSENT *entry) {
    if (entry->fts_level == FTS_ROOTLEVEL)
        return onp_cli_fail("cannot read the folder %s: %s", entry->fts_path,
                            strerror(entry->fts_errno));
    char **list = realloc(walk->unreadable, (walk->unreadable_count + 1) * sizeof *list);
    if (!list) return onp_cli_fail("out of memory");
    walk->unreadable = list;
    list[walk->unreadable_count] = strdup(entry->fts_path);
    if (!list[walk->unreadable_count++]) return onp_cli_fail("out of memory");
    onp_cli_fail("cannot read %s: %s; it is left out", entry->fts_path, strerror(entry->fts_errno));
    return ONP_CLI_OK;
}

static int visit(struct onp_cli_walk *walk, FTS *fts, FTSENT *entry) {
    if (entry->fts_level > FTS_ROOTLEVEL && entry->fts_name[0] == '.') {
        fts_set(fts, entry, FTS_SKIP);
        return ONP_CLI_OK;
    }
    switch (entry->fts_info) {
    case FTS_F:
    case FTS_SL:
        return add_file(walk, entry);
    case FTS_DNR:
    case FTS_ERR:
        return add_unreadable(walk, entry);
    default: // FTS_NS: it vanished, or its folder may be listed but not entered
        return entry->fts_info == FTS_NS && entry->fts_errno != ENOENT ? add_unreadable(walk, entry)
                                                                       : ONP_CLI_OK;
    }
}

static int walk_folder(struct onp_cli_walk *walk, struct onp_cli_folder *folder) {
    char *const roots[] = {folder->path[0] ? folder->path : (char[]){"/"}, NULL};
    const size_t before = walk->count;
    FTS *fts = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
    if (!fts) return onp_cli_fail("cannot read the folder %s: %s", folder->given, strerror(errno));
    int code = ONP_CLI_OK;
    FTSENT *entry;
    errno = 0;
    while (code == ONP_CLI_OK && (entry = fts_read(fts))) {
        code = visit(walk, fts, entry);
        errno = 0;
    }
    if (code == ONP_CLI_OK && errno != 0)
        code = onp_cli_fail("cannot read the folder %s: %s", folder->given, strerror(errno));
    fts_close(fts);
    folder->count = walk->count - before;
    return code;
}

// --- Folders -----------------------------------------------------------------------------------

static int resolve(const char *given, struct onp_cli_folder *folder) {
    struct stat st;
    folder->given = given;
    folder->path = realpath(given, NULL);
    if (!folder->path || stat(folder->path, &st) != 0)
        return onp_cli_fail("cannot read the folder %s: %s", given, strerror(errno));
    if (!S_ISDIR(st.st_mode)) return onp_cli_fail("%s is not a folder", given);
    if (strcmp(folder->path, "/") == 0) folder->path[0] = '\0'; // so that path + "/" is a prefix
    return ONP_CLI_OK;
}

static int by_folder(const void *a, const void *b) {
    return strcmp(((const struct onp_cli_folder *)a)->path,
                  ((const struct onp_cli_folder *)b)->path);
}

// A folder within another (or given twice) would be walked twice.
static void drop_contained(struct onp_cli_walk *walk) {
    size_t kept = 0;
    for (size_t i = 0; i < walk->folder_count; i++) {
        bool contained = false;
        for (size_t k = 0; k < kept && !contained; k++)
            contained = onp_cli_is_under(walk->folders[i].path, walk->folders[k].path);
        if (contained)
            free(walk->folders[i].path);
        else
            walk->folders[kept++] = walk->folders[i];
    }
    walk->folder_count = kept;
}

static int by_path(const void *a, const void *b) {
    return strcmp(((const struct onp_cli_walked *)a)->file.path,
                  ((const struct onp_cli_walked *)b)->file.path);
}

int onp_cli_walk(char **folders, size_t count, struct onp_cli_walk *walk) {
    memset(walk, 0, sizeof *walk);
    int code = ONP_CLI_OK;
    walk->folders = calloc(count, sizeof *walk->folders);
    if (!walk->folders) return onp_cli_fail("out of memory");
    for (size_t i = 0; i < count && code == ONP_CLI_OK; i++)
        code = resolve(folders[i], &walk->folders[walk->folder_count++]);
    if (code == ONP_CLI_OK) {
        qsort(walk->folders, walk->folder_count, sizeof *walk->folders, by_folder);
        drop_contained(walk);
    }
    for (size_t i = 0; i < walk->folder_count && code == ONP_CLI_OK; i++)
        code = walk_folder(walk, &walk->folders[i]);
    if (code == ONP_CLI_OK && walk->count)
        qsort(walk->files, walk->count, sizeof *walk->files, by_path);
    if (code != ONP_CLI_OK) onp_cli_walk_free(walk);
    return code;
}

void onp_cli_walk_free(struct onp_cli_walk *walk) {
    for (size_t i = 0; i < walk->folder_count; i++) free(walk->folders[i].path);
    for (size_t i = 0; i < walk->count; i++) free((void *)(uintptr_t)walk->files[i].file.path);
    for (size_t i = 0; i < walk->unreadable_count; i++) free(walk->unreadable[i]);
    free(walk->folders);
    free(walk->files);
    free(walk->unreadable);
    memset(walk, 0, sizeof *walk);
}
