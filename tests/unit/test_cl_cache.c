// SPDX-License-Identifier: Apache-2.0
// The disk cache of compiled programs: alone, and behind a device.
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cl_fixture.h"

static int setup(void **state) {
    static struct fixture fixture;
    make_fixture(&fixture);
    *state = &fixture;
    return 0;
}

static int teardown(void **state) {
    remove_fixture(*state);
    return 0;
}

static struct onp_cl_cache open_cache(struct fixture *f) {
    struct onp_cl_cache cache;
    onp_cl_cache_open(&cache, f->cache_dir, &f->context.log);
    assert_non_null(cache.dir);
    return cache;
}

static void make_key(unsigned char key[32], int seed) {
    for (int i = 0; i < 32; i++) key[i] = (unsigned char)(seed * 31 + i);
}

static size_t count_files(const struct onp_cl_cache *cache) {
    DIR *dir = opendir(cache->dir);
    assert_non_null(dir);
    size_t count = 0;
    while (readdir(dir)) count++;
    closedir(dir);
    return count - 2; // "." and ".."
}

static void save_then_load(void **state) {
    struct fixture *f = *state;
    struct onp_cl_cache cache = open_cache(f);
    unsigned char key[32], other[32];
    make_key(key, 1);
    make_key(other, 2);
    size_t size = 0;
    assert_null(onp_cl_cache_load(&cache, key, &size));
    onp_cl_cache_save(&cache, key, "binary", 6);
    char *data = onp_cl_cache_load(&cache, key, &size);
    assert_non_null(data);
    assert_int_equal(size, 6);
    assert_memory_equal(data, "binary", 6);
    free(data);
    assert_null(onp_cl_cache_load(&cache, other, &size));
    onp_cl_cache_save(&cache, key, "replaced", 8);
    data = onp_cl_cache_load(&cache, key, &size);
    assert_int_equal(size, 8);
    free(data);
    struct stat st;
    assert_int_equal(stat(cache.dir, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    char path[256];
    onp_cl_cache_path(&cache, key, path, sizeof path);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(f->warnings, 0);
    onp_cl_cache_close(&cache);
}

// Writes `size` bytes at `offset` of an entry, or cuts it there if bytes is NULL.
static void damage(const struct onp_cl_cache *cache, const unsigned char key[32], off_t offset,
                   const void *bytes, size_t size) {
    char path[256];
    onp_cl_cache_path(cache, key, path, sizeof path);
    const int fd = open(path, O_WRONLY);
    assert_true(fd >= 0);
    if (bytes)
        assert_int_equal(pwrite(fd, bytes, size, offset), size);
    else
        assert_int_equal(ftruncate(fd, offset), 0);
    close(fd);
}

static void damaged_entries_are_dropped(void **state) {
    struct fixture *f = *state;
    struct onp_cl_cache cache = open_cache(f);
    static const struct {
        off_t offset;
        const char *bytes;
        size_t size;
    } table[] = {
        {0, "X", 1},         // magic
        {7, "9", 1},         // format version
        {10, "X", 1},        // key
        {40, "\xff", 1},     // length
        {46, "\xff\xff", 2}, // length beyond any file
        {50, "X", 1},        // hash
        {82, "X", 1},        // payload
        {86, "X", 1},        // a byte too many
        {85, NULL, 0},       // a byte too few
        {80, NULL, 0},       // no payload
        {79, NULL, 0},       // cut in the header
        {0, NULL, 0},        // empty
    };
    unsigned char key[32];
    make_key(key, 3);
    size_t size;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        onp_cl_cache_save(&cache, key, "binary", 6);
        damage(&cache, key, table[i].offset, table[i].bytes, table[i].size);
        void *data = onp_cl_cache_load(&cache, key, &size);
        if (data) fail_msg("damage %zu was not seen", i);
        assert_int_equal(count_files(&cache), 0);
    }
    onp_cl_cache_close(&cache);
}

static void odd_files_are_harmless(void **state) {
    struct fixture *f = *state;
    struct onp_cl_cache cache = open_cache(f);
    unsigned char key[32];
    make_key(key, 4);
    char path[256];
    onp_cl_cache_path(&cache, key, path, sizeof path);
    size_t size;
    assert_int_equal(mkfifo(path, 0600), 0); // must not block
    assert_null(onp_cl_cache_load(&cache, key, &size));
    assert_int_equal(symlink("/etc/passwd", path), 0);
    assert_null(onp_cl_cache_load(&cache, key, &size));
    onp_cl_cache_save(&cache, key, "binary", 6); // replaces the link, not its target
    free(onp_cl_cache_load(&cache, key, &size));
    assert_int_equal(size, 6);
    onp_cl_cache_close(&cache);
}

static void useless_folders_warn_once(void **state) {
    struct fixture *f = *state;
    struct onp_cl_cache cache;
    unsigned char key[32];
    size_t size;
    make_key(key, 5);
    onp_cl_cache_open(&cache, NULL, &f->context.log);
    assert_null(cache.dir);
    assert_int_equal(f->warnings, 0);
    onp_cl_cache_open(&cache, "/proc/self/nowhere", &f->context.log);
    assert_null(cache.dir);
    onp_cl_cache_save(&cache, key, "binary", 6);
    onp_cl_cache_trim(&cache);
    assert_null(onp_cl_cache_load(&cache, key, &size));
    assert_int_equal(f->warnings, 1);
    // A folder that others may write to holds code that others may have written.
    forget_messages(f);
    char path[128];
    snprintf(path, sizeof path, "%s/opencl", f->cache_dir);
    assert_int_equal(mkdir(f->cache_dir, 0700), 0);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(chmod(path, 0777), 0);
    onp_cl_cache_open(&cache, f->cache_dir, &f->context.log);
    assert_null(cache.dir);
    assert_int_equal(f->warnings, 1);
}

static void full_disk_warns_once(void **state) {
    struct fixture *f = *state;
    struct onp_cl_cache cache = open_cache(f);
    unsigned char key[32];
    make_key(key, 6);
    struct rlimit old, small;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    small = old;
    small.rlim_cur = 100; // writing more fails, as on a full disk
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    char big[4096] = {0};
    onp_cl_cache_save(&cache, key, big, sizeof big);
    onp_cl_cache_save(&cache, key, big, sizeof big);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    signal(SIGXFSZ, SIG_DFL);
    assert_int_equal(f->warnings, 1);
    assert_int_equal(count_files(&cache), 0);
    onp_cl_cache_close(&cache);
}

static void least_recently_used_goes_first(void **state) {
    struct fixture *f = *state;
    struct onp_cl_cache cache = open_cache(f);
    cache.cap = 3500; // three entries of 80 + 1000 bytes
    char data[1000] = {0}, path[256];
    unsigned char key[32];
    for (int i = 0; i < 4; i++) {
        make_key(key, i);
        onp_cl_cache_save(&cache, key, data, sizeof data);
        onp_cl_cache_path(&cache, key, path, sizeof path);
        const struct timespec times[2] = {{1000 + i, 0}, {1000 + i, 0}};
        assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
    }
    size_t size;
    make_key(key, 0);
    free(onp_cl_cache_load(&cache, key, &size)); // used now
    snprintf(path, sizeof path, "%s/readme", cache.dir);
    FILE *file = fopen(path, "w"); // not ours, neither counted nor deleted
    assert_non_null(file);
    fclose(file);
    onp_cl_cache_trim(&cache);
    assert_int_equal(count_files(&cache), 4);
    for (int i = 0; i < 4; i++) {
        make_key(key, i);
        void *found = onp_cl_cache_load(&cache, key, &size);
        if ((found == NULL) != (i == 1)) fail_msg("entry %d", i);
        free(found);
    }
    onp_cl_cache_save(&cache, key, data, 4000); // larger than the cap: never written
    assert_int_equal(count_files(&cache), 4);
    onp_cl_cache_close(&cache);
}

static void crashed_writers_are_cleared_away(void **state) {
    struct fixture *f = *state;
    struct onp_cl_cache cache = open_cache(f);
    unsigned char key[32];
    char path[256], old[264], fresh[264];
    make_key(key, 7);
    onp_cl_cache_path(&cache, key, path, sizeof path);
    snprintf(old, sizeof old, "%s.abc123", path);
    snprintf(fresh, sizeof fresh, "%s.def456", path);
    close(open(old, O_CREAT | O_WRONLY, 0600));
    close(open(fresh, O_CREAT | O_WRONLY, 0600));
    const struct timespec times[2] = {{1000, 0}, {1000, 0}};
    assert_int_equal(utimensat(AT_FDCWD, old, times, 0), 0);
    onp_cl_cache_trim(&cache);
    assert_int_not_equal(access(old, F_OK), 0);
    assert_int_equal(access(fresh, F_OK), 0);
    onp_cl_cache_close(&cache);
}

#define RACE_BYTES 20000

struct racer {
    struct fixture *f;
    int seed;
    bool good;
};

static void *race(void *user) {
    struct racer *r = user;
    struct onp_cl_cache cache;
    onp_cl_cache_open(&cache, r->f->cache_dir, &r->f->context.log);
    unsigned char key[32], *data = malloc(RACE_BYTES);
    make_key(key, 8);
    r->good = data && cache.dir;
    for (int round = 0; round < 50 && r->good; round++) {
        memset(data, r->seed + round, RACE_BYTES);
        onp_cl_cache_save(&cache, key, data, RACE_BYTES);
        size_t size;
        unsigned char *found = onp_cl_cache_load(&cache, key, &size);
        r->good = found && size == RACE_BYTES && found[0] == found[RACE_BYTES - 1];
        free(found);
        onp_cl_cache_trim(&cache);
    }
    free(data);
    onp_cl_cache_close(&cache);
    return NULL;
}

static void writers_may_race(void **state) {
    struct fixture *f = *state;
    struct racer racers[3] = {{f, 0, false}, {f, 60, false}, {f, 120, false}};
    pthread_t threads[3];
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, race, &racers[i]), 0);
    for (int i = 0; i < 3; i++) pthread_join(threads[i], NULL);
    for (int i = 0; i < 3; i++) assert_true(racers[i].good);
    assert_int_equal(f->warnings, 0);
}

// Opens a device anew, runs, and tells how many programs came from the cache and from the compiler.
static void run_once(struct fixture *f, size_t *hits, size_t *compiled) {
    open_device(f);
    onp_cl_device(f->device)->quirks.own_cache = false; // PoCL would do without
    run_scale(f->device, "-DFACTOR=2.0f", 2.0f, true);
    *hits = onp_cl_device(f->device)->cache_hits;
    *compiled = onp_cl_device(f->device)->compiled;
}

static void close_device(struct fixture *f) {
    onp_registry_close(f->device);
    f->device = NULL;
}

static void second_start_compiles_nothing(void **state) {
    struct fixture *f = *state;
    size_t hits, compiled;
    run_once(f, &hits, &compiled);
    assert_true(hits == 0 && compiled == 1);
    const bool prefetch = f->device->caps.prefetch;
    close_device(f);
    run_once(f, &hits, &compiled);
    assert_true(hits == 1 && compiled == 0);
    assert_int_equal(f->device->caps.prefetch, prefetch);
    run_scale(f->device, "-DFACTOR=3.0f", 3.0f, true); // other options, another entry
    assert_int_equal(onp_cl_device(f->device)->compiled, 1);
    close_device(f);
    f->context.cache_dir = NULL; // switched off
    run_once(f, &hits, &compiled);
    assert_true(hits == 0 && compiled == 1);
}

static void driver_with_a_cache_gets_no_second_one(void **state) {
    struct fixture *f = *state;
    for (int start = 0; start < 2; start++) {
        open_device(f);
        onp_cl_device(f->device)->quirks.own_cache = true;
        const size_t before = count_files(&onp_cl_device(f->device)->cache);
        run_scale(f->device, "-DFACTOR=2.0f", 2.0f, true);
        assert_int_equal(onp_cl_device(f->device)->compiled, 1);
        assert_int_equal(count_files(&onp_cl_device(f->device)->cache), before);
        close_device(f);
    }
}

static void bad_binary_is_rebuilt_and_replaced(void **state) {
    struct fixture *f = *state;
    size_t hits, compiled;
    run_once(f, &hits, &compiled);
    struct onp_cl_device *device = onp_cl_device(f->device);
    unsigned char key[32];
    memcpy(key, device->programs[0]->key, sizeof key);
    damage(&device->cache, key, 200, "damage", 6);
    close_device(f);
    run_once(f, &hits, &compiled);
    assert_true(hits == 0 && compiled == 1);
    close_device(f);
    run_once(f, &hits, &compiled);
    assert_true(hits == 1 && compiled == 0);
}

// Every check passes, but the driver does not know the binary.
static void foreign_binary_is_rebuilt_and_replaced(void **state) {
    struct fixture *f = *state;
    size_t hits, compiled;
    run_once(f, &hits, &compiled);
    // rusticl 22.3.6 ends the process when it meets a binary of another format.
    if (strcmp(f->device->info.platform, "rusticl") == 0) skip();
    struct onp_cl_device *device = onp_cl_device(f->device);
    onp_cl_cache_save(&device->cache, device->programs[0]->key, "no binary of any driver", 23);
    close_device(f);
    run_once(f, &hits, &compiled);
    assert_true(hits == 0 && compiled == 1);
    close_device(f);
    run_once(f, &hits, &compiled);
    assert_true(hits == 1 && compiled == 0);
}

static void vanished_folder_is_one_warning(void **state) {
    struct fixture *f = *state;
    open_device(f);
    onp_cl_device(f->device)->quirks.own_cache = false;
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", f->cache_dir);
    assert_int_equal(system(command), 0);
    forget_messages(f);
    run_scale(f->device, "-DFACTOR=2.0f", 2.0f, false);
    run_scale(f->device, "-DFACTOR=4.0f", 4.0f, false);
    assert_int_equal(f->warnings, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(save_then_load),
        TEST(damaged_entries_are_dropped),
        TEST(odd_files_are_harmless),
        TEST(useless_folders_warn_once),
        TEST(full_disk_warns_once),
        TEST(least_recently_used_goes_first),
        TEST(crashed_writers_are_cleared_away),
        TEST(writers_may_race),
        TEST(second_start_compiles_nothing),
        TEST(driver_with_a_cache_gets_no_second_one),
        TEST(bad_binary_is_rebuilt_and_replaced),
        TEST(foreign_binary_is_rebuilt_and_replaced),
        TEST(vanished_folder_is_one_warning),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
