// SPDX-License-Identifier: Apache-2.0
// Files that appear whole or not at all. Where the system offers files without a name (O_TMPFILE)
// even a killed process leaves nothing behind; elsewhere a temporary name is used.
#define _GNU_SOURCE // O_TMPFILE

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"

struct onp_writer {
    const struct onp_log *log;
    FILE *file;
    bool overwrite, nameless;
    char *path, *temporary; // temporary: path and a suffix of at most SUFFIX bytes
};

#define SUFFIX 32

static void writer_free(struct onp_writer *writer) {
    free(writer->path);
    free(writer->temporary);
    free(writer);
}

// A file without a name in the folder of `path`; -1 where the system has none.
static int open_nameless(const char *path) {
#ifdef O_TMPFILE
    const char *slash = strrchr(path, '/');
    char *folder = slash ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");
    const int fd = folder ? open(folder, O_TMPFILE | O_WRONLY | O_CLOEXEC, 0666) : -1;
    free(folder);
    return fd;
#else
    (void)path;
    return -1;
#endif
}

static int open_named(struct onp_writer *writer) {
    snprintf(writer->temporary, strlen(writer->path) + SUFFIX, "%s.XXXXXX", writer->path);
    const int fd = mkstemp(writer->temporary);
    if (fd < 0) return -1;
    const mode_t mask = umask(0);
    umask(mask);
    fchmod(fd, 0666 & ~mask); // mkstemp gives 0600; the result should be an ordinary file
    return fd;
}

static enum onp_status create(struct onp_writer *writer, const char *path) {
    writer->path = strdup(path);
    writer->temporary = malloc(strlen(path) + SUFFIX);
    if (!writer->path || !writer->temporary)
        return onp_fail(writer->log, ONP_ERR_MEMORY, "no memory to write %s", path);
    int fd = open_nameless(path);
    writer->nameless = fd >= 0;
    if (fd < 0) fd = open_named(writer);
    if (fd < 0)
        return onp_fail(writer->log, ONP_ERR_IO, "cannot create a file beside %s: %s", path,
                        strerror(errno));
    writer->file = fdopen(fd, "wb");
    if (writer->file) return ONP_OK;
    close(fd);
    if (!writer->nameless) unlink(writer->temporary);
    return onp_fail(writer->log, ONP_ERR_MEMORY, "no memory to write %s", path);
}

enum onp_status onp_writer_open(const char *path, bool overwrite, const struct onp_log *log,
                                struct onp_writer **out) {
    struct stat st;
    const bool exists = stat(path, &st) == 0;
    if (exists && !S_ISREG(st.st_mode))
        return onp_fail(log, ONP_ERR_IO, "cannot write %s: it is not a regular file", path);
    if (exists && !overwrite)
        return onp_fail(log, ONP_ERR_IO, "%s exists already; remove it or allow overwriting", path);
    struct onp_writer *writer = calloc(1, sizeof *writer);
    if (!writer) return onp_fail(log, ONP_ERR_MEMORY, "no memory to write %s", path);
    writer->log = log;
    writer->overwrite = overwrite;
    const enum onp_status status = create(writer, path);
    if (status != ONP_OK)
        writer_free(writer);
    else
        *out = writer;
    return status;
}

enum onp_status onp_writer_write(struct onp_writer *writer, const void *data, size_t size) {
    if (size == 0 || fwrite(data, 1, size, writer->file) == size) return ONP_OK;
    return onp_fail(writer->log, ONP_ERR_IO, "cannot write %s: %s", writer->path, strerror(errno));
}

// Gives the nameless file a name that nothing has yet.
static bool link_nameless(const struct onp_writer *writer, const char *name) {
    char self[64];
    snprintf(self, sizeof self, "/proc/self/fd/%d", fileno(writer->file));
    return linkat(AT_FDCWD, self, AT_FDCWD, name, AT_SYMLINK_FOLLOW) == 0;
}

// A link never replaces a file, a rename does; so a replacement needs a name in between.
static bool name_temporarily(struct onp_writer *writer) {
    for (unsigned i = 0; i < 100; i++) {
        snprintf(writer->temporary, strlen(writer->path) + SUFFIX, "%s.%ld-%u", writer->path,
                 (long)getpid(), i);
        if (link_nameless(writer, writer->temporary)) return true;
        if (errno != EEXIST) return false;
    }
    return false;
}

static bool publish(struct onp_writer *writer) {
    if (!writer->overwrite && writer->nameless) return link_nameless(writer, writer->path);
    if (writer->nameless && !name_temporarily(writer)) return false;
    writer->nameless = false;
    if (writer->overwrite) return rename(writer->temporary, writer->path) == 0;
    if (link(writer->temporary, writer->path) != 0) return false;
    unlink(writer->temporary);
    return true;
}

enum onp_status onp_writer_commit(struct onp_writer *writer) {
    const bool ok =
        fflush(writer->file) == 0 && fsync(fileno(writer->file)) == 0 && publish(writer);
    enum onp_status status = ONP_OK;
    if (!ok)
        status =
            onp_fail(writer->log, ONP_ERR_IO, "cannot write %s: %s", writer->path, strerror(errno));
    fclose(writer->file); // flushed and synchronised: nothing is left that could fail
    if (!ok && !writer->nameless) unlink(writer->temporary);
    writer_free(writer);
    return status;
}

void onp_writer_discard(struct onp_writer *writer) {
    if (!writer) return;
    fclose(writer->file);
    if (!writer->nameless) unlink(writer->temporary);
    writer_free(writer);
}
