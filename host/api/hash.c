// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/context.h"
#include "base/sha256.h"
#include "onepeace/encoder.h"

enum { BLOCK = 1 << 16 };

static enum onp_status hash_part(int fd, const char *path, uint64_t first, uint64_t bytes,
                                 const struct onp_log *log, unsigned char digest[32]) {
    unsigned char *block = malloc(BLOCK);
    if (!block) return onp_fail(log, ONP_ERR_MEMORY, "no memory to read %s", path);
    struct onp_sha256 sha;
    onp_sha256_init(&sha);
    ssize_t got = 1;
    while (bytes > 0 && got > 0) {
        got = pread(fd, block, bytes < BLOCK ? (size_t)bytes : BLOCK, (off_t)first);
        if (got < 0 && errno == EINTR)
            got = 1;
        else if (got > 0) {
            onp_sha256_update(&sha, block, (size_t)got);
            first += (uint64_t)got;
            bytes -= (uint64_t)got;
        }
    }
    free(block);
    if (got < 0) return onp_fail(log, ONP_ERR_IO, "cannot read %s: %s", path, strerror(errno));
    onp_sha256_final(&sha, digest);
    return ONP_OK;
}

enum onp_status onp_file_sha256(struct onp_context *context, const char *path, uint64_t first,
                                uint64_t bytes, unsigned char digest[32]) {
    if (!context || !path || !digest || first > INT64_MAX)
        return onp_fail(context ? &context->log : NULL, ONP_ERR_ARGUMENT,
                        "onp_file_sha256: context, path or digest is NULL, or first too large");
    const struct onp_log *log = &context->log;
    // Without O_NONBLOCK a FIFO that took the file's place would wait for a writer.
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return onp_fail(log, ONP_ERR_IO, "cannot open %s: %s", path, strerror(errno));
    struct stat st;
    enum onp_status status;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
        status = onp_fail(log, ONP_ERR_IO, "%s is not a regular file", path);
    else
        status = hash_part(fd, path, first, bytes, log, digest);
    close(fd);
    return status;
}
