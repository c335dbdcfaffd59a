// SPDX-License-Identifier: Apache-2.0
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "cli/index.h"
#include "cli/log.h"
#include "cli/progress.h"

// A stopped run loses at most COMMIT_ROWS embeddings, those on their way through the device, and
// the hashes of STEP_FILES files.
enum { STEP_FILES = 256, COMMIT_ROWS = 32 };
static const uint64_t mebibyte = 1 << 20;
#define STEP_BYTES (256 * mebibyte)

// --- The model's key ---------------------------------------------------------------------------

static void put_hex(char *out, const unsigned char digest[ONP_CLI_HASH_BYTES]) {
    for (int i = 0; i < ONP_CLI_HASH_BYTES; i++) sprintf(out + 2 * i, "%02x", digest[i]);
}

// A small file is known by the hash of its content. Hashing 16 GB would take longer than a search:
// a large file is known by its size, its time and the hashes of its first MiB, where safetensors
// has its header, and of its last, where a torch file has its directory. A copy with another time
// is embedded with anew, which costs time but is never wrong.
static int model_key(struct onp_cli_session *session, char key[256]) {
    const char *path = session->info.path;
    struct onp_cli_db_file file = {0};
    unsigned char first[ONP_CLI_HASH_BYTES], last[ONP_CLI_HASH_BYTES];
    char hex[2][2 * ONP_CLI_HASH_BYTES + 1];
    if (!onp_cli_stat_file(path, &file)) return onp_cli_fail("cannot read %s", path);
    const bool small = file.size <= 16 * mebibyte;
    enum onp_status status =
        onp_file_sha256(session->context, path, 0, small ? UINT64_MAX : mebibyte, first);
    if (status == ONP_OK && !small)
        status = onp_file_sha256(session->context, path, file.size - mebibyte, mebibyte, last);
    if (status != ONP_OK) return onp_cli_status(status);
    put_hex(hex[0], first);
    if (small) {
        snprintf(key, 256, "sha256:%s", hex[0]);
        return ONP_CLI_OK;
    }
    put_hex(hex[1], last);
    snprintf(key, 256, "ends:%" PRIu64 ":%" PRId64 ":%s:%s", file.size, file.mtime_ns, hex[0],
             hex[1]);
    return ONP_CLI_OK;
}

int onp_cli_index_open(struct onp_cli_index *index, struct onp_cli_session *session,
                       const char *model_path, const char *file) {
    char key[256];
    int code = session->model ? ONP_CLI_OK : onp_cli_session_model(session, model_path);
    if (code == ONP_CLI_OK) code = model_key(session, key);
    if (code == ONP_CLI_OK) code = onp_cli_db_open(file, &index->db);
    if (code != ONP_CLI_OK) return code;
    return onp_cli_db_use(index->db, key, session->settings->dtype ? ONP_F16 : ONP_F32,
                          session->info.embed_dim);
}

// --- Comparing with the database ---------------------------------------------------------------

struct paths {
    char **list;
    size_t count, capacity;
};

struct comparison {
    struct onp_cli_index *index;
    size_t at; // in the walked files, which are in the same order
    struct paths vanished;
};

static bool is_hidden_from_us(const struct onp_cli_walk *walk, const char *path) {
    for (size_t i = 0; i < walk->unreadable_count; i++)
        if (onp_cli_is_under(path, walk->unreadable[i])) return true;
    return false;
}

static int add_path(struct paths *paths, const char *path) {
    if (paths->count == paths->capacity) {
        size_t capacity = paths->capacity ? 2 * paths->capacity : 64;
        char **list = realloc(paths->list, capacity * sizeof *list);
        if (!list) return onp_cli_fail("out of memory");
        paths->list = list;
        paths->capacity = capacity;
    }
    paths->list[paths->count] = strdup(path);
    if (!paths->list[paths->count]) return onp_cli_fail("out of memory");
    paths->count++;
    return ONP_CLI_OK;
}

static int compare_file(void *user, const struct onp_cli_db_file *old) {
    struct comparison *c = user;
    struct onp_cli_walk *walk = &c->index->walk;
    while (c->at < walk->count && strcmp(walk->files[c->at].file.path, old->path) < 0) c->at++;
    struct onp_cli_walked *new = c->at < walk->count ? &walk->files[c->at] : NULL;
    if (!new || strcmp(new->file.path, old->path) != 0) {
        if (is_hidden_from_us(walk, old->path)) return ONP_CLI_OK;
        return add_path(&c->vanished, old->path);
    }
    if (new->file.size == old->size &&new->file.inode == old->inode &&new->file.mtime_ns ==
        old->mtime_ns &&new->file.kind == old->kind) {
        memcpy(new->file.hash, old->hash, sizeof old->hash);
        new->file.embedded = old->embedded;
        new->hashed = true;
    } else {
        c->index->changed++;
    }
    return ONP_CLI_OK;
}

static int drop_vanished(struct onp_cli_index *index, const struct paths *vanished) {
    if (vanished->count == 0) return ONP_CLI_OK;
    int code = onp_cli_db_begin(index->db);
    for (size_t i = 0; i < vanished->count && code == ONP_CLI_OK; i++)
        code = onp_cli_db_drop_file(index->db, vanished->list[i]);
    index->dropped = vanished->count;
    return code == ONP_CLI_OK ? onp_cli_db_commit(index->db) : code;
}

static int compare(struct onp_cli_index *index, struct paths *vanished) {
    struct comparison c = {.index = index};
    int code = ONP_CLI_OK;
    for (size_t i = 0; i < index->walk.folder_count && code == ONP_CLI_OK; i++) {
        c.at = 0;
        if (index->walk.folders[i].count > 0 || index->walk.unreadable_count > 0)
            code = onp_cli_db_files(index->db, index->walk.folders[i].path, compare_file, &c);
    }
    *vanished = c.vanished;
    return code;
}

// --- Hashing -----------------------------------------------------------------------------------

// A file written within the last two seconds may be written again without a change of its time
// (FAT counts in twos): it is remembered with a time that never matches, and is read once more.
static bool is_fresh(const struct onp_cli_db_file *file) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return file->mtime_ns / 1000000000 + 2 > (int64_t)now.tv_sec;
}

static void hash_file(struct onp_cli_index *index, const struct onp_cli_session *session,
                      struct onp_cli_walked *entry) {
    entry->fresh = is_fresh(&entry->file);
    onp_cli_capture();
    enum onp_status status =
        onp_file_sha256(session->context, entry->file.path, 0, UINT64_MAX, entry->file.hash);
    const char *reason = onp_cli_release(status);
    entry->hashed = status == ONP_OK;
    if (entry->hashed) return;
    index->unreadable++;
    onp_cli_fail("%s; it is left out", reason);
}

// The files that were read since the last step, in one transaction: each takes whole pages.
static int put_step(struct onp_cli_index *index, struct onp_cli_walked **step, size_t *count) {
    int code = *count > 0 ? onp_cli_db_begin(index->db) : ONP_CLI_OK;
    for (size_t i = 0; i < *count && code == ONP_CLI_OK; i++) {
        struct onp_cli_db_file kept = step[i]->file;
        if (step[i]->fresh) kept.mtime_ns = INT64_MIN;
        code = step[i]->hashed ? onp_cli_db_put_file(index->db, &kept)
                               : onp_cli_db_drop_file(index->db, kept.path);
    }
    if (*count > 0 && code == ONP_CLI_OK) code = onp_cli_db_commit(index->db);
    *count = 0;
    return code;
}

// No lock is held while files are read: that may take long.
static int hash_files(struct onp_cli_index *index, const struct onp_cli_session *session) {
    struct onp_cli_walk *walk = &index->walk;
    struct onp_cli_walked *step[STEP_FILES];
    size_t count = 0;
    uint64_t bytes = 0;
    int code = ONP_CLI_OK;
    onp_cli_progress_start("reading", walk->count, !session->settings->quiet);
    for (size_t i = 0; i < walk->count && code == ONP_CLI_OK; i++) {
        if (i % STEP_FILES == 0) onp_cli_progress_step(i);
        if (walk->files[i].hashed) continue;
        hash_file(index, session, &walk->files[i]);
        bytes += walk->files[i].file.size;
        step[count++] = &walk->files[i];
        if (count < STEP_FILES && bytes < STEP_BYTES) continue;
        code = put_step(index, step, &count);
        bytes = 0;
    }
    if (code == ONP_CLI_OK) code = put_step(index, step, &count);
    onp_cli_progress_end();
    return code;
}

// --- What is to be embedded --------------------------------------------------------------------

static int note_bad(struct onp_cli_index *index, const char *path, const char *reason) {
    index->damaged++;
    onp_cli_say(ONP_LOG_DEBUG, "%s: damaged, known from an earlier run: %s", path, reason);
    return ONP_CLI_OK;
}

static int by_content(const void *a, const void *b) {
    const struct onp_cli_walked *x = *(struct onp_cli_walked *const *)a;
    const struct onp_cli_walked *y = *(struct onp_cli_walked *const *)b;
    int order = memcmp(x->file.hash, y->file.hash, sizeof x->file.hash);
    if (order == 0) order = (x->file.kind > y->file.kind) - (x->file.kind < y->file.kind);
    return order ? order : strcmp(x->file.path, y->file.path);
}

static int by_path(const void *a, const void *b) {
    return strcmp((*(struct onp_cli_walked *const *)a)->file.path,
                  (*(struct onp_cli_walked *const *)b)->file.path);
}

// Copies of one content are embedded once.
static void drop_copies(struct onp_cli_index *index) {
    if (index->pending_count == 0) return;
    qsort(index->pending, index->pending_count, sizeof *index->pending, by_content);
    size_t kept = 1;
    for (size_t i = 1; i < index->pending_count; i++) {
        const struct onp_cli_db_file *a = &index->pending[kept - 1]->file,
                                     *b = &index->pending[i]->file;
        if (memcmp(a->hash, b->hash, sizeof a->hash) != 0 || a->kind != b->kind)
            index->pending[kept++] = index->pending[i];
    }
    index->known += index->pending_count - kept;
    index->pending_count = kept;
    qsort(index->pending, kept, sizeof *index->pending, by_path);
}

static int sort_out(struct onp_cli_index *index, struct onp_cli_walked *entry, unsigned branches) {
    enum onp_cli_content content;
    char *reason = NULL;
    if (!entry->hashed) return ONP_CLI_OK;
    *(entry->file.kind == ONP_IMAGE ? &index->pictures : &index->sounds) += 1;
    if (!(branches & ONP_BIT(entry->file.kind))) {
        index->left_out++;
        return ONP_CLI_OK;
    }
    if (entry->file.embedded) {
        index->known++;
        return ONP_CLI_OK;
    }
    int code = onp_cli_db_content(index->db, &entry->file, &content, &reason);
    if (code != ONP_CLI_OK) return code;
    if (content == ONP_CLI_CONTENT_BAD) note_bad(index, entry->file.path, reason ? reason : "");
    if (content == ONP_CLI_CONTENT_DONE) index->known++;
    if (content == ONP_CLI_CONTENT_NEW) {
        index->pending[index->pending_count++] = entry;
        index->pending_modalities |= ONP_BIT(entry->file.kind);
    }
    free(reason);
    return ONP_CLI_OK;
}

static int find_pending(struct onp_cli_index *index, const struct onp_cli_session *session) {
    struct onp_cli_walk *walk = &index->walk;
    index->pending = calloc(walk->count + 1, sizeof(*index->pending));
    if (!index->pending) return onp_cli_fail("out of memory");
    int code = onp_cli_db_begin_read(index->db);
    for (size_t i = 0; i < walk->count && code == ONP_CLI_OK; i++)
        code = sort_out(index, &walk->files[i], session->info.modalities);
    if (code == ONP_CLI_OK) code = onp_cli_db_commit(index->db);
    drop_copies(index);
    if (index->left_out > 0)
        onp_cli_say(ONP_LOG_WARNING, "%zu files left out: %s has no branch for them",
                    index->left_out, session->info.path);
    return code;
}

static int check_empty(const struct onp_cli_walk *walk) {
    int code = ONP_CLI_OK;
    for (size_t i = 0; i < walk->folder_count; i++)
        if (walk->folders[i].count == 0)
            code = onp_cli_fail("no pictures (.jpg .jpeg .png .bmp) and no sounds (.wav .flac .ogg "
                                ".opus .aiff .aif) in %s",
                                walk->folders[i].given);
    return code;
}

int onp_cli_index_scan(struct onp_cli_index *index, struct onp_cli_session *session, char **folders,
                       size_t count) {
    struct paths vanished = {0};
    int code = onp_cli_walk(folders, count, &index->walk);
    if (code == ONP_CLI_OK) code = check_empty(&index->walk);
    if (code == ONP_CLI_OK) code = compare(index, &vanished);
    if (code == ONP_CLI_OK) code = hash_files(index, session);
    if (code == ONP_CLI_OK) code = drop_vanished(index, &vanished);
    if (code == ONP_CLI_OK && index->dropped + index->changed > 0)
        code = onp_cli_db_prune(index->db);
    if (code == ONP_CLI_OK) code = find_pending(index, session);
    for (size_t i = 0; i < vanished.count; i++) free(vanished.list[i]);
    free(vanished.list);
    return code;
}

// --- Embedding ---------------------------------------------------------------------------------

struct embedding {
    struct onp_cli_index *index;
    bool in_transaction;
};

// The content was read twice, once for its hash: what changed in between would be a wrong entry.
static bool is_unchanged(const struct onp_cli_db_file *file) {
    struct onp_cli_db_file now = {0};
    if (onp_cli_stat_file(file->path, &now) && now.size == file->size && now.inode == file->inode &&
        now.mtime_ns == file->mtime_ns)
        return true;
    onp_cli_say(ONP_LOG_WARNING, "%s changed while it was read; it is left to the next run",
                file->path);
    return false;
}

static bool put_row(void *user, size_t at, const float *row) {
    struct embedding *e = user;
    const struct onp_cli_db_file *file = &e->index->pending[at]->file;
    if (!is_unchanged(file)) return true;
    if (!e->in_transaction && onp_cli_db_begin(e->index->db) != ONP_CLI_OK) return false;
    e->in_transaction = true;
    e->index->embedded++;
    return onp_cli_db_put_row(e->index->db, file, row) == ONP_CLI_OK;
}

static bool end_chunk(void *user) {
    struct embedding *e = user;
    if (!e->in_transaction) return true;
    e->in_transaction = false;
    return onp_cli_db_commit(e->index->db) == ONP_CLI_OK;
}

// Only faults of the content are remembered; one of the machine may be gone at the next run.
static bool put_bad(void *user, size_t at, enum onp_status status, const char *reason) {
    struct embedding *e = user;
    const struct onp_cli_db_file *file = &e->index->pending[at]->file;
    bool of_content =
        status == ONP_ERR_FORMAT || status == ONP_ERR_UNSUPPORTED || status == ONP_ERR_MISMATCH;
    // The library's reasons mostly name the file already.
    if (strstr(reason, file->path))
        onp_cli_say(ONP_LOG_WARNING, "left out: %s", reason);
    else
        onp_cli_say(ONP_LOG_WARNING, "left out: %s: %s", file->path, reason);
    if (!of_content) {
        e->index->unreadable++;
        return true;
    }
    e->index->damaged++;
    if (!is_unchanged(file)) return true;
    return onp_cli_db_put_bad(e->index->db, file, reason) == ONP_CLI_OK;
}

static int embed_pending(struct onp_cli_index *index, struct onp_cli_session *session) {
    struct embedding e = {.index = index};
    const struct onp_cli_sink sink = {
        .row = put_row, .user = &e, .bad = put_bad, .chunk = COMMIT_ROWS, .chunk_end = end_chunk};
    struct onp_cli_items items = {.count = index->pending_count,
                                  .modalities = index->pending_modalities};
    size_t rows;
    items.list = calloc(items.count, sizeof *items.list);
    if (!items.list) return onp_cli_fail("out of memory");
    for (size_t i = 0; i < items.count; i++) {
        const struct onp_cli_db_file *file = &index->pending[i]->file;
        items.list[i] = (struct onp_cli_item){
            .kind = file->kind, .value = file->path, .bytes = strlen(file->path), .line = i + 1};
    }
    int code = onp_cli_embed(session, session->info.path, &items, &sink, &rows);
    free(items.list);
    return code;
}

int onp_cli_index_embed(struct onp_cli_index *index, struct onp_cli_session *session) {
    int code = index->pending_count ? embed_pending(index, session) : ONP_CLI_OK;
    if (code != ONP_CLI_OK) return code;
    onp_cli_say(ONP_LOG_INFO,
                "index %s: %zu pictures, %zu sounds: %zu embedded, %zu known, %zu damaged, %zu "
                "dropped",
                onp_cli_db_path(index->db), index->pictures, index->sounds, index->embedded,
                index->known, index->damaged, index->dropped);
    return ONP_CLI_OK;
}

int onp_cli_index_code(const struct onp_cli_index *index) {
    bool all_read = index->unreadable == 0 && index->walk.unreadable_count == 0;
    return all_read ? ONP_CLI_OK : ONP_CLI_FAILED;
}

void onp_cli_index_end(struct onp_cli_index *index) {
    onp_cli_db_close(index->db);
    onp_cli_walk_free(&index->walk);
    free(index->pending);
    memset(index, 0, sizeof *index);
}
