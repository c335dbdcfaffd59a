// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <limits.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/index_db.h"
#include "cli/log.h"

enum {
    SCHEMA = 1,               // PRAGMA user_version; a change of the tables counts it up
    APPLICATION = 0x4f4e5045, // PRAGMA application_id, "ONPE"
    BUSY_MS = 10000
};

enum statement {
    SPACE_PUT,
    SPACE_GET,
    FILES,
    FILE_PUT,
    FILE_DROP,
    ROW_HAS,
    ROW_PUT,
    BAD_GET,
    BAD_PUT,
    SCAN,
    STATEMENT_COUNT
};

// Paths are BLOBs: a name is any bytes. A folder's files are the range from "folder/" to "folder0".
static const char *const statement_sql[STATEMENT_COUNT] = {
    [SPACE_PUT] = "INSERT OR IGNORE INTO spaces(model,dtype,dim) VALUES(?1,?2,?3)",
    [SPACE_GET] = "SELECT id FROM spaces WHERE model=?1 AND dtype=?2 AND dim=?3",
    [FILES] = "SELECT path,kind,size,inode,mtime_ns,hash,EXISTS(SELECT 1 FROM embeddings AS e "
              "WHERE e.hash=f.hash AND e.kind=f.kind AND e.space=?3) FROM files AS f "
              "WHERE path>=?1 AND path<?2 ORDER BY path",
    [FILE_PUT] = "INSERT OR REPLACE INTO files(path,kind,size,inode,mtime_ns,hash) "
                 "VALUES(?1,?2,?3,?4,?5,?6)",
    [FILE_DROP] = "DELETE FROM files WHERE path=?1",
    [ROW_HAS] = "SELECT 1 FROM embeddings WHERE hash=?1 AND kind=?2 AND space=?3",
    [ROW_PUT] = "INSERT OR REPLACE INTO embeddings(hash,kind,space,row) VALUES(?1,?2,?3,?4)",
    [BAD_GET] = "SELECT reason FROM bad WHERE hash=?1 AND kind=?2 AND space=?3 AND version=?4",
    [BAD_PUT] = "INSERT OR REPLACE INTO bad(hash,kind,space,version,reason) "
                "VALUES(?1,?2,?3,?4,?5)",
    [SCAN] = "SELECT f.path,f.kind,e.row FROM files AS f "
             "CROSS JOIN embeddings AS e ON e.hash=f.hash AND e.kind=f.kind AND e.space=?3 "
             "WHERE f.path>=?1 AND f.path<?2 ORDER BY f.path",
};

// Pages of 32 KiB hold rows of 1536 floats with little waste. The cache (in KiB, filled as needed)
// holds the keys of a million embeddings, which are looked up in no order.
static const char before_sql[] = "PRAGMA page_size=32768;"
                                 "PRAGMA cache_size=-131072;"
                                 "PRAGMA trusted_schema=OFF;"
                                 "PRAGMA cell_size_check=ON;"
                                 "PRAGMA journal_mode=WAL;"
                                 "PRAGMA synchronous=NORMAL;";
static const char schema_sql[] =
    "CREATE TABLE spaces(id INTEGER PRIMARY KEY, model TEXT NOT NULL, dtype TEXT NOT NULL,"
    " dim INTEGER NOT NULL, UNIQUE(model,dtype,dim));"
    "CREATE TABLE files(path BLOB PRIMARY KEY, kind INTEGER NOT NULL, size INTEGER NOT NULL,"
    " inode INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, hash BLOB NOT NULL) WITHOUT ROWID;"
    "CREATE INDEX files_hash ON files(hash);"
    "CREATE TABLE embeddings(id INTEGER PRIMARY KEY, hash BLOB NOT NULL, kind INTEGER NOT NULL,"
    " space INTEGER NOT NULL, row BLOB NOT NULL, UNIQUE(hash,kind,space));"
    "CREATE TABLE bad(hash BLOB NOT NULL, kind INTEGER NOT NULL, space INTEGER NOT NULL,"
    " version TEXT NOT NULL, reason TEXT NOT NULL, PRIMARY KEY(hash,kind,space)) WITHOUT ROWID;";

struct onp_cli_db {
    sqlite3 *sqlite;
    char *path;
    sqlite3_stmt *statements[STATEMENT_COUNT];
    sqlite3_int64 space;
    size_t dim;
    char *scan_range; // bounds of the scan under way
};

// --- Errors ------------------------------------------------------------------------------------

static int damaged(const struct onp_cli_db *db, const char *detail) {
    return onp_cli_fail("the index %s is damaged or not an index (%s); delete it, and the next run "
                        "builds it again from the files",
                        db->path, detail);
}

// SQLite tries again to read only, and has the reason of that failure.
static const char *why_unwritable(const struct onp_cli_db *db, const char *detail) {
    const char *slash = strrchr(db->path, '/');
    char *folder = slash ? strndup(db->path, (size_t)(slash - db->path) + 1) : strdup(".");
    if (folder && access(folder, W_OK | X_OK) != 0)
        detail = strerror(errno);
    else if (access(db->path, R_OK | W_OK) != 0)
        detail = strerror(errno);
    free(folder);
    return detail;
}

static int failed(const struct onp_cli_db *db) {
    const char *detail = db->sqlite ? sqlite3_errmsg(db->sqlite) : "out of memory";
    const int error = db->sqlite ? sqlite3_system_errno(db->sqlite) : 0;
    switch (db->sqlite ? sqlite3_errcode(db->sqlite) & 0xff : SQLITE_NOMEM) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return damaged(db, detail);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return onp_cli_fail("the index %s is locked by another program (waited %d s); try again "
                            "later or name another with --index FILE",
                            db->path, BUSY_MS / 1000);
    case SQLITE_CANTOPEN:
    case SQLITE_READONLY:
    case SQLITE_PERM:
        return onp_cli_fail("cannot write the index %s: %s; name a writable one with --index FILE",
                            db->path, why_unwritable(db, detail));
    case SQLITE_FULL:
        return onp_cli_fail(
            "no room for the index %s: the disk is full; what was embedded so far is "
            "kept, make room or name another with --index FILE",
            db->path);
    case SQLITE_IOERR:
        return onp_cli_fail("cannot read or write the index %s: %s", db->path,
                            error ? strerror(error) : detail);
    default:
        return onp_cli_fail("the index %s: %s", db->path, detail);
    }
}

// --- Opening -----------------------------------------------------------------------------------

static char *default_path(void) {
    const char *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    const bool use_xdg = xdg && xdg[0] == '/';
    if (!use_xdg && (!home || home[0] != '/')) return NULL;
    const char *base = use_xdg ? xdg : home;
    static const char below_home[] = "/.cache/onepeace/index.sqlite";
    const size_t size = strlen(base) + sizeof below_home;
    char *path = malloc(size);
    if (path) snprintf(path, size, "%s%s", base, below_home + (use_xdg ? strlen("/.cache") : 0));
    return path;
}

// Only the default's folders are made: a misspelt --index is an error.
static int make_folders(char *path) {
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        bool made = mkdir(path, 0700) == 0 || errno == EEXIST || errno == EROFS || errno == EACCES;
        int error = errno;
        int code = made ? ONP_CLI_OK
                        : onp_cli_fail("cannot make the folder %s: %s; name a place with "
                                       "--index FILE",
                                       path, strerror(error));
        *slash = '/';
        if (code != ONP_CLI_OK) return code;
    }
    return ONP_CLI_OK;
}

static int run_sql(struct onp_cli_db *db, const char *sql) {
    return sqlite3_exec(db->sqlite, sql, NULL, NULL, NULL) == SQLITE_OK ? ONP_CLI_OK : failed(db);
}

static int read_number(struct onp_cli_db *db, const char *sql, int *out) {
    sqlite3_stmt *statement = NULL;
    int code = ONP_CLI_OK;
    if (sqlite3_prepare_v2(db->sqlite, sql, -1, &statement, NULL) != SQLITE_OK ||
        sqlite3_step(statement) != SQLITE_ROW)
        code = failed(db);
    else
        *out = sqlite3_column_int(statement, 0);
    sqlite3_finalize(statement);
    return code;
}

// Within a transaction: of two programs that start at once, one makes the tables.
static int check_schema(struct onp_cli_db *db) {
    int application = 0, version = 0, tables = 0;
    int code = read_number(db, "PRAGMA application_id", &application);
    if (code == ONP_CLI_OK) code = read_number(db, "PRAGMA user_version", &version);
    if (code == ONP_CLI_OK) code = read_number(db, "SELECT count(*) FROM sqlite_master", &tables);
    if (code != ONP_CLI_OK) return code;
    if (tables == 0 && application == 0 && version == 0) {
        char sql[96];
        snprintf(sql, sizeof sql, "PRAGMA application_id=%d; PRAGMA user_version=%d;", APPLICATION,
                 SCHEMA);
        code = run_sql(db, schema_sql);
        return code == ONP_CLI_OK ? run_sql(db, sql) : code;
    }
    if (version != SCHEMA)
        return onp_cli_fail("the index %s was made by another version of onepeace (form %d, this "
                            "program has %d); delete it, or name another with --index FILE",
                            db->path, version, SCHEMA);
    return ONP_CLI_OK;
}

// SQLite does not wait by itself while another program makes the same database ready.
static int make_ready(struct onp_cli_db *db) {
    enum { STEP_MS = 20 };
    for (int waited = 0;; waited += STEP_MS) {
        const int result = sqlite3_exec(db->sqlite, before_sql, NULL, NULL, NULL);
        if (result == SQLITE_OK) return ONP_CLI_OK;
        if ((result & 0xff) != SQLITE_BUSY || waited >= BUSY_MS) return failed(db);
        sqlite3_sleep(STEP_MS);
    }
}

// Before anything is written: the first pragma would change another program's database. Both
// numbers are of one moment, for another program may just now be making the index.
static int check_ours(struct onp_cli_db *db) {
    int application = 0, tables = 0;
    int code = onp_cli_db_begin_read(db);
    if (code == ONP_CLI_OK) code = read_number(db, "SELECT count(*) FROM sqlite_master", &tables);
    if (code == ONP_CLI_OK) code = read_number(db, "PRAGMA application_id", &application);
    if (code == ONP_CLI_OK) code = onp_cli_db_commit(db);
    if (code != ONP_CLI_OK || tables == 0 || application == APPLICATION) return code;
    return onp_cli_fail("%s is a database of another program; name another file with --index",
                        db->path);
}

// SQLite would say of all these that it cannot open them, or write over a file of a few bytes.
static int check_place(const struct onp_cli_db *db) {
    struct stat st;
    if (stat(db->path, &st) != 0) return ONP_CLI_OK;
    if (!S_ISREG(st.st_mode))
        return onp_cli_fail("the index %s is %s; name a file with --index FILE", db->path,
                            S_ISDIR(st.st_mode) ? "a folder" : "not a file");
    return st.st_size > 0 && st.st_size < 100 ? damaged(db, "too short") : ONP_CLI_OK;
}

static int open_sqlite(struct onp_cli_db *db) {
    const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
    if (check_place(db) != ONP_CLI_OK) return ONP_CLI_FAILED;
    if (sqlite3_open_v2(db->path, &db->sqlite, flags, NULL) != SQLITE_OK) return failed(db);
    sqlite3_busy_timeout(db->sqlite, BUSY_MS);
    int code = check_ours(db);
    if (code == ONP_CLI_OK) code = make_ready(db);
    if (code == ONP_CLI_OK) code = onp_cli_db_begin(db);
    if (code == ONP_CLI_OK) code = check_schema(db);
    if (code == ONP_CLI_OK) code = onp_cli_db_commit(db);
    return code;
}

static int prepare_all(struct onp_cli_db *db) {
    for (int i = 0; i < STATEMENT_COUNT; i++)
        if (sqlite3_prepare_v3(db->sqlite, statement_sql[i], -1, SQLITE_PREPARE_PERSISTENT,
                               &db->statements[i], NULL) != SQLITE_OK)
            return sqlite3_errcode(db->sqlite) == SQLITE_ERROR
                       ? damaged(db, sqlite3_errmsg(db->sqlite)) // a table or column is missing
                       : failed(db);
    return ONP_CLI_OK;
}

int onp_cli_db_open(const char *path, struct onp_cli_db **out) {
    *out = NULL;
    struct onp_cli_db *db = calloc(1, sizeof *db);
    if (!db) return onp_cli_fail("out of memory");
    // SQLite reads "" and ":memory:" as databases that do not last.
    if (path && (!path[0] || path[0] == ':')) {
        free(db);
        return onp_cli_fail("--index '%s' is not a file name (write ./%s)", path, path);
    }
    db->path = path ? strdup(path) : default_path();
    int code = ONP_CLI_OK;
    if (!db->path)
        code = onp_cli_fail("no place for the index: give --index FILE, or set HOME");
    else if (!path)
        code = make_folders(db->path);
    if (code == ONP_CLI_OK) code = open_sqlite(db);
    if (code == ONP_CLI_OK) code = prepare_all(db);
    if (code != ONP_CLI_OK) {
        onp_cli_db_close(db);
        return code;
    }
    *out = db;
    return ONP_CLI_OK;
}

void onp_cli_db_close(struct onp_cli_db *db) {
    if (!db) return;
    for (int i = 0; i < STATEMENT_COUNT; i++) sqlite3_finalize(db->statements[i]);
    free(db->scan_range);
    sqlite3_close(db->sqlite); // rolls back
    free(db->path);
    free(db);
}

const char *onp_cli_db_path(const struct onp_cli_db *db) { return db->path; }

int onp_cli_db_begin(struct onp_cli_db *db) { return run_sql(db, "BEGIN IMMEDIATE"); }
int onp_cli_db_begin_read(struct onp_cli_db *db) { return run_sql(db, "BEGIN"); }
int onp_cli_db_commit(struct onp_cli_db *db) { return run_sql(db, "COMMIT"); }

// --- Statements --------------------------------------------------------------------------------

static sqlite3_stmt *start(struct onp_cli_db *db, enum statement which) {
    sqlite3_reset(db->statements[which]);
    return db->statements[which];
}

// Runs a statement that gives no row.
static int finish(struct onp_cli_db *db, sqlite3_stmt *statement) {
    int code = sqlite3_step(statement) == SQLITE_DONE ? ONP_CLI_OK : failed(db);
    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
    return code;
}

static void bind_bytes(sqlite3_stmt *statement, int at, const void *data, size_t bytes) {
    sqlite3_bind_blob64(statement, at, data, bytes, SQLITE_STATIC);
}

static void bind_content(struct onp_cli_db *db, sqlite3_stmt *s,
                         const struct onp_cli_db_file *file) {
    bind_bytes(s, 1, file->hash, sizeof file->hash);
    sqlite3_bind_int(s, 2, (int)file->kind);
    sqlite3_bind_int64(s, 3, db->space);
}

int onp_cli_db_use(struct onp_cli_db *db, const char *model_key, enum onp_dtype dtype, size_t dim) {
    static const enum statement both[2] = {SPACE_PUT, SPACE_GET};
    for (int i = 0; i < 2; i++) {
        sqlite3_stmt *s = start(db, both[i]);
        sqlite3_bind_text(s, 1, model_key, -1, SQLITE_STATIC);
        sqlite3_bind_text(s, 2, onp_dtype_name(dtype), -1, SQLITE_STATIC);
        sqlite3_bind_int64(s, 3, (sqlite3_int64)dim);
    }
    int code = finish(db, db->statements[SPACE_PUT]);
    if (code != ONP_CLI_OK) return code;
    if (sqlite3_step(db->statements[SPACE_GET]) != SQLITE_ROW) return failed(db);
    db->space = sqlite3_column_int64(db->statements[SPACE_GET], 0);
    db->dim = dim;
    sqlite3_reset(db->statements[SPACE_GET]);
    sqlite3_clear_bindings(db->statements[SPACE_GET]);
    return ONP_CLI_OK;
}

// --- Files -------------------------------------------------------------------------------------

// `folder`/ and what sorts just behind all that begins with it. malloc'ed, both `*bytes` long.
static int folder_range(const char *folder, char **low, char **high, size_t *bytes) {
    size_t length = strlen(folder);
    *bytes = length + 1;
    *low = malloc(2 * (length + 1));
    if (!*low) return onp_cli_fail("out of memory");
    *high = *low + length + 1;
    memcpy(*low, folder, length);
    memcpy(*high, folder, length);
    (*low)[length] = '/';
    (*high)[length] = '/' + 1;
    return ONP_CLI_OK;
}

static int bind_folder(sqlite3_stmt *s, const char *folder, char **range) {
    char *high = NULL;
    size_t bytes;
    int code = folder_range(folder, range, &high, &bytes);
    if (code != ONP_CLI_OK) return code;
    bind_bytes(s, 1, *range, bytes);
    bind_bytes(s, 2, high, bytes);
    return ONP_CLI_OK;
}

// A database that someone has edited may hold anything.
static bool is_sound(const char *path, size_t bytes, int kind) {
    return path && kind >= 0 && kind < ONP_MODALITY_COUNT && !memchr(path, '\0', bytes);
}

// The path is copied, with a NUL behind it.
static int read_file(struct onp_cli_db *db, sqlite3_stmt *s, struct onp_cli_db_file *file) {
    const char *path = sqlite3_column_blob(s, 0);
    const int bytes = sqlite3_column_bytes(s, 0), kind = sqlite3_column_int(s, 1);
    const void *hash = sqlite3_column_blob(s, 5);
    if (!is_sound(path, (size_t)bytes, kind) || !hash ||
        sqlite3_column_bytes(s, 5) != ONP_CLI_HASH_BYTES)
        return damaged(db, "a file's entry is malformed");
    file->path = strndup(path, (size_t)bytes);
    if (!file->path) return onp_cli_fail("out of memory");
    file->kind = (enum onp_modality)kind;
    file->size = (uint64_t)sqlite3_column_int64(s, 2);
    file->inode = (uint64_t)sqlite3_column_int64(s, 3);
    file->mtime_ns = sqlite3_column_int64(s, 4);
    memcpy(file->hash, hash, ONP_CLI_HASH_BYTES);
    file->embedded = sqlite3_column_int(s, 6) != 0;
    return ONP_CLI_OK;
}

static void free_path(struct onp_cli_db_file *file) {
    free((void *)(uintptr_t)file->path);
    file->path = NULL;
}

int onp_cli_db_files(struct onp_cli_db *db, const char *folder, onp_cli_db_file_fn fn, void *user) {
    sqlite3_stmt *s = start(db, FILES);
    char *range = NULL;
    sqlite3_bind_int64(s, 3, db->space);
    int code = bind_folder(s, folder, &range), step = SQLITE_DONE;
    while (code == ONP_CLI_OK && (step = sqlite3_step(s)) == SQLITE_ROW) {
        struct onp_cli_db_file file = {0};
        code = read_file(db, s, &file);
        if (code == ONP_CLI_OK) code = fn(user, &file);
        free_path(&file);
    }
    if (code == ONP_CLI_OK && step != SQLITE_DONE) code = failed(db);
    sqlite3_reset(s);
    free(range);
    return code;
}

int onp_cli_db_put_file(struct onp_cli_db *db, const struct onp_cli_db_file *file) {
    sqlite3_stmt *s = start(db, FILE_PUT);
    bind_bytes(s, 1, file->path, strlen(file->path));
    sqlite3_bind_int(s, 2, (int)file->kind);
    sqlite3_bind_int64(s, 3, (sqlite3_int64)file->size);
    sqlite3_bind_int64(s, 4, (sqlite3_int64)file->inode);
    sqlite3_bind_int64(s, 5, file->mtime_ns);
    bind_bytes(s, 6, file->hash, sizeof file->hash);
    return finish(db, s);
}

int onp_cli_db_drop_file(struct onp_cli_db *db, const char *path) {
    sqlite3_stmt *s = start(db, FILE_DROP);
    bind_bytes(s, 1, path, strlen(path));
    return finish(db, s);
}

int onp_cli_db_prune(struct onp_cli_db *db) {
    // By way of the ids, for which the index of the hashes is read and not the rows.
    int code = run_sql(db, "DELETE FROM embeddings WHERE id IN (SELECT id FROM embeddings WHERE "
                           "hash NOT IN (SELECT hash FROM files))");
    if (code != ONP_CLI_OK) return code;
    return run_sql(db, "DELETE FROM bad WHERE hash NOT IN (SELECT hash FROM files)");
}

// --- Contents ----------------------------------------------------------------------------------

static int get_bad(struct onp_cli_db *db, const struct onp_cli_db_file *file,
                   enum onp_cli_content *content, char **reason) {
    sqlite3_stmt *s = start(db, BAD_GET);
    bind_content(db, s, file);
    sqlite3_bind_text(s, 4, onp_version(), -1, SQLITE_STATIC);
    int step = sqlite3_step(s), code = ONP_CLI_OK;
    if (step == SQLITE_ROW) {
        const char *text = (const char *)sqlite3_column_text(s, 0);
        *content = ONP_CLI_CONTENT_BAD;
        if (reason) *reason = strdup(text ? text : "");
    } else if (step != SQLITE_DONE) {
        code = failed(db);
    }
    sqlite3_reset(s);
    return code;
}

int onp_cli_db_content(struct onp_cli_db *db, const struct onp_cli_db_file *file,
                       enum onp_cli_content *content, char **reason) {
    if (reason) *reason = NULL;
    *content = ONP_CLI_CONTENT_NEW;
    sqlite3_stmt *s = start(db, ROW_HAS);
    bind_content(db, s, file);
    int step = sqlite3_step(s);
    sqlite3_reset(s);
    if (step == SQLITE_ROW) *content = ONP_CLI_CONTENT_DONE;
    if (step == SQLITE_DONE) return get_bad(db, file, content, reason);
    return step == SQLITE_ROW ? ONP_CLI_OK : failed(db);
}

int onp_cli_db_put_row(struct onp_cli_db *db, const struct onp_cli_db_file *file,
                       const float *row) {
    sqlite3_stmt *s = start(db, ROW_PUT);
    bind_content(db, s, file);
    bind_bytes(s, 4, row, db->dim * sizeof *row);
    return finish(db, s);
}

int onp_cli_db_put_bad(struct onp_cli_db *db, const struct onp_cli_db_file *file,
                       const char *reason) {
    sqlite3_stmt *s = start(db, BAD_PUT);
    bind_content(db, s, file);
    sqlite3_bind_text(s, 4, onp_version(), -1, SQLITE_STATIC);
    sqlite3_bind_text(s, 5, reason, -1, SQLITE_STATIC);
    return finish(db, s);
}

// --- Scanning ----------------------------------------------------------------------------------

int onp_cli_db_scan_begin(struct onp_cli_db *db, const char *folder) {
    onp_cli_db_scan_end(db);
    sqlite3_stmt *s = db->statements[SCAN];
    sqlite3_bind_int64(s, 3, db->space);
    return bind_folder(s, folder, &db->scan_range);
}

void onp_cli_db_scan_end(struct onp_cli_db *db) {
    sqlite3_reset(db->statements[SCAN]);
    sqlite3_clear_bindings(db->statements[SCAN]);
    free(db->scan_range);
    db->scan_range = NULL;
}

static int read_entry(struct onp_cli_db *db, sqlite3_stmt *s, struct onp_cli_db_entry *entry,
                      float *row) {
    const int kind = sqlite3_column_int(s, 1);
    entry->path = sqlite3_column_blob(s, 0);
    entry->bytes = (size_t)sqlite3_column_bytes(s, 0);
    if (!is_sound(entry->path, entry->bytes, kind))
        return damaged(db, "a file's entry is malformed");
    entry->kind = (enum onp_modality)kind;
    const void *values = sqlite3_column_blob(s, 2);
    if (!values || (size_t)sqlite3_column_bytes(s, 2) != db->dim * sizeof *row)
        return damaged(db, "an embedding has the wrong length");
    memcpy(row, values, db->dim * sizeof *row);
    return ONP_CLI_OK;
}

int onp_cli_db_scan_next(struct onp_cli_db *db, struct onp_cli_db_entry *entry, float *row,
                         bool *found) {
    sqlite3_stmt *s = db->statements[SCAN];
    const int step = sqlite3_step(s);
    *found = step == SQLITE_ROW;
    int code = ONP_CLI_OK;
    if (*found)
        code = read_entry(db, s, entry, row);
    else if (step != SQLITE_DONE)
        code = failed(db);
    if (!*found || code != ONP_CLI_OK) onp_cli_db_scan_end(db);
    return code;
}
