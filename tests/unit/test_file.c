// SPDX-License-Identifier: Apache-2.0
// Maps, whole reads, files that appear whole or not at all, folders.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"

static const struct onp_log quiet = {.mutex = PTHREAD_MUTEX_INITIALIZER};
static char folder[64];

static const char *in_folder(const char *name) {
    static char path[4][256];
    static unsigned next;
    char *out = path[next++ % 4];
    snprintf(out, sizeof path[0], "%s/%s", folder, name);
    return out;
}

static int make_folder(void **state) {
    (void)state;
    strcpy(folder, "/tmp/onp_test_file.XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

// Every test leaves the folder empty: what it did not remove itself is a leftover.
static int remove_folder(void **state) {
    (void)state;
    return rmdir(folder);
}

static size_t entries(void) {
    DIR *dir = opendir(folder);
    assert_non_null(dir);
    size_t count = 0;
    for (const struct dirent *entry; (entry = readdir(dir));) count += entry->d_name[0] != '.';
    closedir(dir);
    return count;
}

static void put(const char *path, const char *text) {
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, strlen(text), file), strlen(text));
    assert_int_equal(fclose(file), 0);
}

static void assert_content(const char *path, const char *want) {
    char *data;
    size_t size;
    assert_int_equal(onp_file_read(path, 1 << 20, &quiet, &data, &size), ONP_OK);
    assert_int_equal(size, strlen(want));
    assert_string_equal(data, want); // NUL-terminated beyond size
    free(data);
}

// --- Reading ---------------------------------------------------------------------------------

static void test_map(void **state) {
    (void)state;
    const char *path = in_folder("file");
    struct onp_map map;
    char *text = malloc(100001);
    assert_non_null(text);
    for (int i = 0; i < 100000; i++) text[i] = (char)('a' + i % 26);
    text[100000] = '\0';
    put(path, text);
    assert_int_equal(onp_map_open(path, &quiet, &map), ONP_OK);
    assert_int_equal(map.size, 100000);
    assert_memory_equal(map.data, text, map.size);
    // Released pages, whatever their borders, read the same again.
    onp_map_release(&map, map.data, map.size);
    onp_map_release(&map, map.data + 1, 50000);
    onp_map_release(&map, map.data + 99999, 1);
    onp_map_release(&map, map.data, 0);
    assert_memory_equal(map.data, text, map.size);
    onp_map_close(&map);
    assert_null(map.data);
    onp_map_close(&map);
    unlink(path);
    free(text);
}

static void test_map_of_empty_missing_and_other(void **state) {
    (void)state;
    struct onp_map map;
    put(in_folder("empty"), "");
    assert_int_equal(onp_map_open(in_folder("empty"), &quiet, &map), ONP_OK);
    assert_null(map.data);
    assert_int_equal(map.size, 0);
    onp_map_close(&map);
    assert_content(in_folder("empty"), "");
    unlink(in_folder("empty"));
    assert_int_equal(mkfifo(in_folder("fifo"), 0600), 0);
    static const char *const refused[] = {"missing", "", "fifo"}; // "" is the folder itself
    for (size_t i = 0; i < 3; i++) {
        char *data = NULL;
        size_t size;
        assert_int_equal(onp_map_open(in_folder(refused[i]), &quiet, &map), ONP_ERR_IO);
        assert_non_null(strstr(onp_last_error(), folder));
        assert_null(map.data);
        assert_int_equal(onp_file_read(in_folder(refused[i]), 100, &quiet, &data, &size),
                         ONP_ERR_IO);
        assert_null(data);
    }
    unlink(in_folder("fifo"));
}

static void test_read_limit(void **state) {
    (void)state;
    char *data;
    size_t size;
    put(in_folder("ten"), "0123456789");
    assert_int_equal(onp_file_read(in_folder("ten"), 10, &quiet, &data, &size), ONP_OK);
    free(data);
    assert_int_equal(onp_file_read(in_folder("ten"), 9, &quiet, &data, &size), ONP_ERR_FORMAT);
    assert_null(data);
    unlink(in_folder("ten"));
}

// --- Writing ---------------------------------------------------------------------------------

static struct onp_writer *open_writer(const char *path, bool overwrite, const char *text) {
    struct onp_writer *writer = NULL;
    assert_int_equal(onp_writer_open(path, overwrite, &quiet, &writer), ONP_OK);
    assert_int_equal(onp_writer_write(writer, text, strlen(text)), ONP_OK);
    return writer;
}

static void test_commit(void **state) {
    (void)state;
    const char *path = in_folder("out");
    struct onp_writer *writer = open_writer(path, false, "first ");
    assert_int_equal(access(path, F_OK), -1); // not there before it is whole
    assert_int_equal(onp_writer_write(writer, "second", 6), ONP_OK);
    assert_int_equal(onp_writer_write(writer, NULL, 0), ONP_OK);
    assert_int_equal(onp_writer_commit(writer), ONP_OK);
    assert_content(path, "first second");
    assert_int_equal(entries(), 1);
    struct stat st;
    const mode_t mask = umask(0);
    umask(mask);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777u, 0666u & ~mask);
    unlink(path);
}

static void test_discard(void **state) {
    (void)state;
    onp_writer_discard(open_writer(in_folder("out"), false, "never seen"));
    assert_int_equal(entries(), 0);
    put(in_folder("out"), "old");
    onp_writer_discard(open_writer(in_folder("out"), true, "never seen"));
    assert_content(in_folder("out"), "old");
    assert_int_equal(entries(), 1);
    unlink(in_folder("out"));
    onp_writer_discard(NULL);
}

static void test_overwrite(void **state) {
    (void)state;
    const char *path = in_folder("out");
    struct onp_writer *writer = NULL;
    put(path, "old");
    assert_int_equal(onp_writer_open(path, false, &quiet, &writer), ONP_ERR_IO);
    assert_null(writer);
    assert_int_equal(entries(), 1);
    writer = open_writer(path, true, "new");
    assert_content(path, "old");
    assert_int_equal(onp_writer_commit(writer), ONP_OK);
    assert_content(path, "new");
    assert_int_equal(entries(), 1);
    unlink(path);
}

// A file that appears between open and commit is not replaced either.
static void test_no_overwrite_at_commit(void **state) {
    (void)state;
    const char *path = in_folder("out");
    struct onp_writer *writer = open_writer(path, false, "mine");
    put(path, "theirs");
    assert_int_equal(onp_writer_commit(writer), ONP_ERR_IO);
    assert_content(path, "theirs");
    assert_int_equal(entries(), 1);
    unlink(path);
}

static void test_unwritable(void **state) {
    (void)state;
    struct onp_writer *writer = NULL;
    put(in_folder("file"), "x");
    // Below a regular file, in a missing folder, over a folder.
    static const char *const refused[] = {"file/out", "missing/out", ""};
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(onp_writer_open(in_folder(refused[i]), true, &quiet, &writer), ONP_ERR_IO);
        assert_null(writer);
        assert_non_null(strstr(onp_last_error(), folder));
    }
    assert_content(in_folder("file"), "x");
    assert_int_equal(entries(), 1);
    unlink(in_folder("file"));
}

// The temporary file is gone at commit: the error must come up and nothing may stay.
static void test_folder_vanishes(void **state) {
    (void)state;
    assert_int_equal(mkdir(in_folder("sub"), 0700), 0);
    struct onp_writer *writer = open_writer(in_folder("sub/out"), true, "lost");
    DIR *dir = opendir(in_folder("sub"));
    assert_non_null(dir);
    for (const struct dirent *entry; (entry = readdir(dir));)
        if (entry->d_name[0] != '.') assert_int_equal(unlinkat(dirfd(dir), entry->d_name, 0), 0);
    closedir(dir);
    assert_int_equal(rmdir(in_folder("sub")), 0);
    assert_int_equal(onp_writer_commit(writer), ONP_ERR_IO);
    assert_int_equal(entries(), 0);
}

static void test_make_dirs(void **state) {
    (void)state;
    struct stat st;
    assert_int_equal(onp_make_dirs(in_folder("a/b/c"), &quiet), ONP_OK);
    assert_int_equal(onp_make_dirs(in_folder("a/b/c"), &quiet), ONP_OK);
    assert_int_equal(onp_make_dirs(in_folder("a/b/c/"), &quiet), ONP_OK);
    assert_int_equal(stat(in_folder("a/b/c"), &st), 0);
    assert_true(S_ISDIR(st.st_mode));
    assert_int_equal(st.st_mode & 0777u, 0700);
    put(in_folder("a/file"), "x");
    assert_int_equal(onp_make_dirs(in_folder("a/file"), &quiet), ONP_ERR_IO);
    assert_int_equal(onp_make_dirs(in_folder("a/file/d"), &quiet), ONP_ERR_IO);
    assert_int_equal(onp_make_dirs("", &quiet), ONP_ERR_IO);
    char *longer = calloc(1, 100000);
    assert_non_null(longer);
    memset(longer, 'x', 99999);
    assert_int_equal(onp_make_dirs(longer, &quiet), ONP_ERR_IO);
    free(longer);
    unlink(in_folder("a/file"));
    rmdir(in_folder("a/b/c"));
    rmdir(in_folder("a/b"));
    rmdir(in_folder("a"));
}

#define FILE_TEST(name) cmocka_unit_test_setup_teardown(name, make_folder, remove_folder)

int main(void) {
    const struct CMUnitTest tests[] = {
        FILE_TEST(test_map),
        FILE_TEST(test_map_of_empty_missing_and_other),
        FILE_TEST(test_read_limit),
        FILE_TEST(test_commit),
        FILE_TEST(test_discard),
        FILE_TEST(test_overwrite),
        FILE_TEST(test_no_overwrite_at_commit),
        FILE_TEST(test_unwritable),
        FILE_TEST(test_folder_vanishes),
        FILE_TEST(test_make_dirs),
    };
    return cmocka_run_group_tests_name("file", tests, NULL, NULL);
}
