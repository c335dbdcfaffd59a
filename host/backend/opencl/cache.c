// SPDX-License-Identifier: Apache-2.0
// Compiled programs on disk. Each is a file named by its key: a header that repeats the key and
// gives length and hash of the payload, then the payload. Files appear by rename, so that any
// number of processes may share the folder; what they hold is checked before use.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "backend/opencl/opencl.h"
#include "base/file.h"
#include "base/sha256.h"

#define CAP        ((uint64_t)256 << 20)
#define MAGIC      "ONPCLB01"
#define SUFFIX     ".clbin"
#define STALE      3600 // seconds after which a temporary file is a crashed writer's
#define NAME_BYTES 64   // hex digits of a key
#define SLACK      1024 // readable bytes behind a payload

struct header {
    char magic[8];
    unsigned char key[32];
    unsigned char size[8]; // little-endian
    unsigned char hash[32];
};

static void warn(struct onp_cl_cache *cache, const char *dir, const char *what) {
    if (!cache->warned)
        onp_log(cache->log, ONP_LOG_WARNING,
                "kernel cache %s: %s; kernels will be compiled again at the next start", dir, what);
    cache->warned = true;
}

// Binaries are code: nobody else may be able to plant some.
static const char *refuse_folder(const char *dir) {
    struct stat st;
    if (stat(dir, &st) != 0) return strerror(errno);
    if (!S_ISDIR(st.st_mode)) return "not a folder";
    if (st.st_uid != geteuid()) return "belongs to another user";
    return st.st_mode & (S_IWGRP | S_IWOTH) ? "others may write to it" : NULL;
}

void onp_cl_cache_open(struct onp_cl_cache *cache, const char *dir, const struct onp_log *log) {
    *cache = (struct onp_cl_cache){.log = log, .cap = CAP};
    if (!dir || !dir[0]) return;
    const size_t size = strlen(dir) + sizeof "/opencl";
    char *path = malloc(size);
    if (!path) {
        warn(cache, dir, "no memory");
        return;
    }
    snprintf(path, size, "%s/opencl", dir);
    const struct onp_log quiet = {0}; // a missing cache is a warning, never an error
    const char *why =
        onp_make_dirs(path, &quiet) == ONP_OK ? refuse_folder(path) : "cannot be created";
    if (why) {
        warn(cache, path, why);
        free(path);
    } else {
        cache->dir = path;
    }
}

void onp_cl_cache_close(struct onp_cl_cache *cache) {
    free(cache->dir);
    cache->dir = NULL;
}

void onp_cl_cache_path(const struct onp_cl_cache *cache, const unsigned char key[32], char *path,
                       size_t size) {
    char hex[65];
    onp_sha256_hex(key, hex);
    snprintf(path, size, "%s/%s" SUFFIX, cache->dir, hex);
}

static bool read_exactly(int fd, void *data, size_t size) {
    for (size_t done = 0; done < size;) {
        const ssize_t n = read(fd, (char *)data + done, size - done);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return false;
        done += (size_t)n;
    }
    return true;
}

static bool write_exactly(int fd, const void *data, size_t size) {
    for (size_t done = 0; done < size;) {
        const ssize_t n = write(fd, (const char *)data + done, size - done);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return false;
        done += (size_t)n;
    }
    return true;
}

static void hash_of(const void *data, size_t size, unsigned char hash[32]) {
    struct onp_sha256 sha;
    onp_sha256_init(&sha);
    onp_sha256_update(&sha, data, size);
    onp_sha256_final(&sha, hash);
}

static uint64_t get_u64(const unsigned char bytes[8]) {
    uint64_t value = 0;
    for (int i = 7; i >= 0; i--) value = value << 8 | bytes[i];
    return value;
}

// The payload if the file is whole and is what its name says. Memory is bounded by the real size.
static void *read_entry(int fd, const unsigned char key[32], uint64_t cap, size_t *size) {
    struct stat st;
    struct header header;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size < (off_t)sizeof header ||
        (uint64_t)st.st_size > cap)
        return NULL;
    if (!read_exactly(fd, &header, sizeof header)) return NULL;
    *size = (size_t)st.st_size - sizeof header;
    if (memcmp(header.magic, MAGIC, sizeof header.magic) != 0 ||
        memcmp(header.key, key, sizeof header.key) != 0 || get_u64(header.size) != *size ||
        *size == 0)
        return NULL;
    // PoCL 3.1 reads its whole header before it looks at the size: zeros behind the payload.
    char *data = calloc(1, *size + SLACK);
    unsigned char hash[32];
    if (data && read_exactly(fd, data, *size)) {
        hash_of(data, *size, hash);
        if (memcmp(hash, header.hash, sizeof hash) == 0) return data;
    }
    free(data);
    return NULL;
}

void *onp_cl_cache_load(const struct onp_cl_cache *cache, const unsigned char key[32],
                        size_t *size) {
    if (!cache->dir) return NULL;
    char path[4096];
    onp_cl_cache_path(cache, key, path, sizeof path);
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
    if (fd < 0) return NULL;
    void *data = read_entry(fd, key, cache->cap, size);
    if (data) {
        futimens(fd, NULL); // marks it as recently used
    } else {
        onp_log(cache->log, ONP_LOG_DEBUG, "kernel cache: %s is damaged and will be rebuilt", path);
        unlink(path);
    }
    close(fd);
    return data;
}

static struct header make_header(const unsigned char key[32], const void *data, size_t size) {
    struct header header = {.magic = {0}};
    memcpy(header.magic, MAGIC, sizeof header.magic);
    memcpy(header.key, key, sizeof header.key);
    for (int i = 0; i < 8; i++) header.size[i] = (unsigned char)((uint64_t)size >> 8 * i);
    hash_of(data, size, header.hash);
    return header;
}

void onp_cl_cache_save(struct onp_cl_cache *cache, const unsigned char key[32], const void *data,
                       size_t size) {
    if (!cache->dir || size > cache->cap - sizeof(struct header)) return;
    char path[4096], temporary[4096 + 16];
    onp_cl_cache_path(cache, key, path, sizeof path);
    snprintf(temporary, sizeof temporary, "%s.XXXXXX", path);
    const int fd = mkstemp(temporary); // mode 0600
    if (fd < 0) {
        warn(cache, cache->dir, strerror(errno));
        return;
    }
    const struct header header = make_header(key, data, size);
    bool ok = write_exactly(fd, &header, sizeof header) && write_exactly(fd, data, size);
    int error = errno;
    if (close(fd) != 0 && ok) {
        ok = false;
        error = errno;
    }
    // No fsync: a file that a power cut has damaged fails its hash and is rebuilt.
    if (ok && rename(temporary, path) != 0) {
        ok = false;
        error = errno;
    }
    if (ok) return;
    unlink(temporary);
    warn(cache, cache->dir, strerror(error));
}

struct entry {
    char name[NAME_BYTES + sizeof SUFFIX];
    uint64_t bytes;
    struct timespec used;
};

static int older_first(const void *a, const void *b) {
    const struct timespec *x = &((const struct entry *)a)->used;
    const struct timespec *y = &((const struct entry *)b)->used;
    if (x->tv_sec != y->tv_sec) return x->tv_sec < y->tv_sec ? -1 : 1;
    return (x->tv_nsec > y->tv_nsec) - (x->tv_nsec < y->tv_nsec);
}

// Only files that this cache may have written are ever deleted.
static bool is_ours(const char *name, bool *temporary) {
    if (strspn(name, "0123456789abcdef") != NAME_BYTES) return false;
    const size_t n = NAME_BYTES + sizeof SUFFIX - 1;
    if (strncmp(name + NAME_BYTES, SUFFIX, sizeof SUFFIX - 1) != 0) return false;
    *temporary = name[n] == '.' && strlen(name + n) == 7;
    return *temporary || name[n] == '\0';
}

// Lists the entries; deletes what crashed writers left.
static struct entry *scan(DIR *dir, size_t *count) {
    struct entry *list = NULL;
    size_t capacity = 0;
    bool temporary;
    *count = 0;
    for (struct dirent *d; (d = readdir(dir));) {
        struct stat st;
        if (!is_ours(d->d_name, &temporary) ||
            fstatat(dirfd(dir), d->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0)
            continue;
        if (temporary) {
            if (time(NULL) - st.st_mtime > STALE) unlinkat(dirfd(dir), d->d_name, 0);
            continue;
        }
        if (*count == capacity) {
            capacity = capacity ? capacity * 2 : 64;
            struct entry *grown = realloc(list, capacity * sizeof *grown);
            if (!grown) break;
            list = grown;
        }
        struct entry *entry = &list[(*count)++];
        memcpy(entry->name, d->d_name, strlen(d->d_name) + 1); // is_ours has checked the length
        entry->bytes = (uint64_t)st.st_size;
        entry->used = st.st_mtim;
    }
    return list;
}

void onp_cl_cache_trim(struct onp_cl_cache *cache) {
    DIR *dir = cache->dir ? opendir(cache->dir) : NULL;
    if (!dir) return;
    size_t count;
    struct entry *list = scan(dir, &count);
    uint64_t total = 0;
    for (size_t i = 0; i < count; i++) total += list[i].bytes;
    if (total > cache->cap) qsort(list, count, sizeof *list, older_first);
    for (size_t i = 0; i < count && total > cache->cap; i++)
        if (unlinkat(dirfd(dir), list[i].name, 0) == 0) total -= list[i].bytes;
    free(list);
    closedir(dir);
}
