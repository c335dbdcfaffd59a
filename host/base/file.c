// SPDX-License-Identifier: Apache-2.0
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

// Opens a regular file for reading. O_NONBLOCK keeps a FIFO from blocking before it is refused.
static enum onp_status open_regular(const char *path, const struct onp_log *log, int *fd,
                                    size_t *size) {
    *fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (*fd < 0) return onp_fail(log, ONP_ERR_IO, "cannot open %s: %s", path, strerror(errno));
    struct stat st;
    enum onp_status status = ONP_OK;
    if (fstat(*fd, &st) != 0)
        status = onp_fail(log, ONP_ERR_IO, "cannot examine %s: %s", path, strerror(errno));
    else if (!S_ISREG(st.st_mode))
        status = onp_fail(log, ONP_ERR_IO, "%s is not a regular file", path);
    else if ((uintmax_t)st.st_size > SIZE_MAX / 2)
        status = onp_fail(log, ONP_ERR_IO, "%s is too large for this system", path);
    else
        *size = (size_t)st.st_size;
    if (status != ONP_OK) close(*fd);
    return status;
}

enum onp_status onp_map_open(const char *path, const struct onp_log *log, struct onp_map *map) {
    *map = (struct onp_map){0};
    int fd;
    size_t size = 0;
    ONP_TRY(open_regular(path, log, &fd, &size));
    if (size == 0) {
        close(fd);
        return ONP_OK;
    }
    void *data = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
    const int error = errno;
    close(fd);
    if (data == MAP_FAILED)
        return onp_fail(log, ONP_ERR_IO, "cannot map %s: %s", path, strerror(error));
    map->data = data;
    map->size = size;
    return ONP_OK;
}

void onp_map_close(struct onp_map *map) {
    if (map->data) munmap((void *)(uintptr_t)map->data, map->size);
    *map = (struct onp_map){0};
}

void onp_map_release(const struct onp_map *map, const void *start, size_t bytes) {
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    const uintptr_t base = (uintptr_t)map->data;
    const uintptr_t from = ((uintptr_t)start + page - 1) / page * page;
    const uintptr_t to = ((uintptr_t)start + bytes) / page * page;
    if (from < to && from >= base && to <= base + map->size)
        madvise((void *)from, to - from, MADV_DONTNEED);
}

void onp_map_expect(const struct onp_map *map, const void *start, size_t bytes) {
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    const uintptr_t base = (uintptr_t)map->data, at = (uintptr_t)start;
    if (at < base || bytes > map->size || at - base > map->size - bytes) return;
    const uintptr_t from = at / page * page;
    madvise((void *)from, at + bytes - from, MADV_WILLNEED);
}

static enum onp_status read_all(int fd, const char *path, const struct onp_log *log, char *data,
                                size_t size) {
    for (size_t done = 0; done < size;) {
        const ssize_t n = read(fd, data + done, size - done);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return onp_fail(log, ONP_ERR_IO, "cannot read %s: %s", path, strerror(errno));
        if (n == 0) return onp_fail(log, ONP_ERR_IO, "%s became shorter while being read", path);
        done += (size_t)n;
    }
    return ONP_OK;
}

enum onp_status onp_file_read(const char *path, size_t limit, const struct onp_log *log,
                              char **data, size_t *size) {
    int fd;
    ONP_TRY(open_regular(path, log, &fd, size));
    enum onp_status status = ONP_OK;
    *data = NULL;
    if (*size > limit)
        status = onp_fail(log, ONP_ERR_FORMAT, "%s has %zu bytes, more than the %zu allowed", path,
                          *size, limit);
    else if (!(*data = malloc(*size + 1)))
        status = onp_fail(log, ONP_ERR_MEMORY, "no memory for the %zu bytes of %s", *size, path);
    else
        status = read_all(fd, path, log, *data, *size);
    close(fd);
    if (status != ONP_OK) {
        free(*data);
        *data = NULL;
        return status;
    }
    (*data)[*size] = '\0';
    return ONP_OK;
}

enum onp_status onp_make_dirs(const char *path, const struct onp_log *log) {
    char partial[PATH_MAX];
    const size_t size = strlen(path);
    if (size == 0 || size >= sizeof partial)
        return onp_fail(log, ONP_ERR_IO, "cannot create the folder %.80s: its name has %zu bytes",
                        path, size);
    memcpy(partial, path, size + 1);
    for (char *p = partial + 1;; p++) {
        if (*p != '/' && *p != '\0') continue;
        const char end = *p;
        *p = '\0';
        if (mkdir(partial, 0700) != 0 && errno != EEXIST)
            return onp_fail(log, ONP_ERR_IO, "cannot create %s: %s", partial, strerror(errno));
        *p = end;
        if (end == '\0') break;
    }
    struct stat st;
    if (stat(path, &st) != 0 || !S_ISDIR(st.st_mode))
        return onp_fail(log, ONP_ERR_IO, "cannot create %s: a file has this name", path);
    return ONP_OK;
}
