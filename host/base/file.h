// SPDX-License-Identifier: Apache-2.0
// Files: read-only maps, whole reads with a limit, and writes that appear whole or not at all.
#ifndef ONP_BASE_FILE_H
#define ONP_BASE_FILE_H

#include "base/log.h"

// A read-only map of a regular file.
struct onp_map {
    const unsigned char *data; // NULL for an empty file
    size_t size;
};
enum onp_status onp_map_open(const char *path, const struct onp_log *log, struct onp_map *map);
void onp_map_close(struct onp_map *map);
// Tells the system that these bytes are no longer needed, to keep resident memory low.
void onp_map_release(const struct onp_map *map, const void *start, size_t bytes);
// Tells it that these bytes are needed soon: it begins to read them, which a mapping alone does
// only page by page.
void onp_map_expect(const struct onp_map *map, const void *start, size_t bytes);

// Reads a whole file of at most `limit` bytes; *data is malloc'ed and NUL-terminated beyond *size.
enum onp_status onp_file_read(const char *path, size_t limit, const struct onp_log *log,
                              char **data, size_t *size);

// A file being written under a temporary name beside its final one. commit renames it (with fsync),
// discard removes it. Nothing with the final name is ever half-written. With overwrite false an
// existing file is refused at open and never replaced at commit.
struct onp_writer;
enum onp_status onp_writer_open(const char *path, bool overwrite, const struct onp_log *log,
                                struct onp_writer **out);
enum onp_status onp_writer_write(struct onp_writer *writer, const void *data, size_t size);
enum onp_status onp_writer_commit(struct onp_writer *writer); // frees the writer in any case
void onp_writer_discard(struct onp_writer *writer);           // NULL is allowed

// Creates a folder and its parents, mode 0700.
enum onp_status onp_make_dirs(const char *path, const struct onp_log *log);

#endif
