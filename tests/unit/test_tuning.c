// SPDX-License-Identifier: Apache-2.0
// Tuning files: parsing, printing, which source wins, and what is dropped. No driver is needed: the
// device is the reference with the capabilities of a CPU, and the self-test is the test's own.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backend/registry.h"
#include "base/checked.h"
#include "base/rng.h"
#include "exec/exec.h"
#include "exec/tune.h"
#include "onepeace/onepeace.h"

#define HEAD                                                                                       \
    "format = 1\ndevice = Test = CPU #1\nvendor = Maker\nplatform = Platform\ndriver = 1.2\n"
#define ANY_DRIVER                                                                                 \
    "format = 1\ndevice = Test = CPU #1\nvendor = Maker\nplatform = Platform\ndriver = *\n"

// --- Parsing ------------------------------------------------------------------------------------

static bool parse(const char *text, struct onp_tuning_file *file, char *why) {
    return onp_tuning_parse("f.txt", text, strlen(text), file, why);
}

static void reads_a_file(void **state) {
    (void)state;
    struct onp_tuning_file file;
    char why[ONP_TUNING_WHY];
    assert_true(parse("# note\r\n" HEAD "date = 2026-11-24\n\n[matmul]\n vector = 16\ntile_rows=4\n"
                      "prefer_blas = 1\ngain = 1.25\nbound = 1.125\npairs = 15\n[attention]\n"
                      "attention_keys = 32",
                      &file, why));
    assert_string_equal(file.head[ONP_TUNING_DEVICE], "Test = CPU #1");
    assert_string_equal(file.head[ONP_TUNING_DATE], "2026-11-24");
    assert_int_equal(file.op[ONP_TUNED_MATMUL].line, 9);
    assert_int_equal(file.op[ONP_TUNED_MATMUL].tiles.vector, 16);
    assert_int_equal(file.op[ONP_TUNED_MATMUL].tiles.tile_rows, 4);
    assert_true(file.op[ONP_TUNED_MATMUL].tiles.prefer_blas);
    assert_true(file.op[ONP_TUNED_MATMUL].gain == 1.25);
    assert_true(file.op[ONP_TUNED_MATMUL].bound == 1.125);
    assert_int_equal(file.op[ONP_TUNED_MATMUL].pairs, 15);
    assert_int_equal(file.op[ONP_TUNED_ATTENTION].tiles.attention_keys, 32);
    assert_int_equal(file.op[ONP_TUNED_LAYERNORM].line, 0);
}

struct bad {
    const char *text, *place, *message;
};

static void refuses_what_is_wrong(void **state) {
    (void)state;
    static const struct bad bad[] = {
        {"", "f.txt:0:", "lacks \"device\""},
        {"device = a\n", "f.txt:1:", "lacks \"vendor\""},
        {"device = a\nvendor = b\nplatform = c\ndriver = d\n", "f.txt:4:", "lacks \"format\""},
        {HEAD "format = 1\n", "f.txt:6:", "there twice"},
        {"format = 2\n", "f.txt:1:", "format 2"},
        {"nonsense\n", "f.txt:1:", "neither"},
        {"device =\n", "f.txt:1:", "missing"},
        {"= x\n", "f.txt:1:", "missing"},
        {"colour = blue\n", "f.txt:1:", "no key of the header"},
        {"device = a\ndevice = b\n", "f.txt:2:", "there twice"},
        {"device = a\x01\n", "f.txt:1:", "control character"},
        {HEAD "[matmul\n", "f.txt:6:", "is written [op]"},
        {HEAD "[softmax]\n", "f.txt:6:", "no op \"softmax\""},
        {HEAD "[matmul]\n", "f.txt:6:", "gives no tile"},
        {HEAD "[matmul]\nvector = 8\n[matmul]\n", "f.txt:8:", "first in line 6"},
        {HEAD "[matmul]\nvector = 8\nvector = 8\n", "f.txt:8:", "there twice"},
        {HEAD "[matmul]\nvector = 12\n", "f.txt:7:", "power of 2"},
        {HEAD "[matmul]\nvector = 32\n", "f.txt:7:", "4 to 16"},
        {HEAD "[matmul]\nvector = 8.5\n", "f.txt:7:", "4 to 16"},
        {HEAD "[matmul]\nvector = -8\n", "f.txt:7:", "no number"},
        {HEAD "[matmul]\nvector = 0x8\n", "f.txt:7:", "no number"},
        {HEAD "[matmul]\nvector = 8 8\n", "f.txt:7:", "no number"},
        {HEAD "[matmul]\nvector = 99999999999999999999\n", "f.txt:7:", "no number"},
        {HEAD "[matmul]\nvector = 999999999\n", "f.txt:7:", "4 to 16"},
        {HEAD "[matmul]\ngroup_rows = 6\n", "f.txt:7:", "multiple of 4"},
        {HEAD "[matmul]\nattention_rows = 4\n", "f.txt:7:", "does not read"},
        {HEAD "[matmul]\nspeed = 4\n", "f.txt:7:", "no number of the tile table"},
        {HEAD "[matmul]\nvector = 16\ntile_rows = 16\ntile_vectors = 8\n", "f.txt:6:", "2048"},
        {HEAD "[matmul]\nvector = 8\ngain = 1.0e9\n", "f.txt:8:", "no number"},
    };
    for (size_t i = 0; i < ONP_COUNT(bad); i++) {
        struct onp_tuning_file file;
        char why[ONP_TUNING_WHY];
        if (parse(bad[i].text, &file, why)) fail_msg("case %zu was taken", i);
        if (!strstr(why, bad[i].place) || !strstr(why, bad[i].message) ||
            !strstr(why, "onepeace tune"))
            fail_msg("case %zu: %s", i, why);
    }
}

static void bounds_its_input(void **state) {
    (void)state;
    struct onp_tuning_file file;
    char why[ONP_TUNING_WHY];
    char *large = malloc(ONP_TUNING_FILE_BYTES + 1);
    assert_non_null(large);
    memset(large, '\n', ONP_TUNING_FILE_BYTES + 1);
    assert_false(onp_tuning_parse("f", large, ONP_TUNING_FILE_BYTES + 1, &file, why));
    assert_non_null(strstr(why, "too many"));
    memset(large, 'x', 2000);
    assert_false(onp_tuning_parse("f", large, 2000, &file, why));
    assert_non_null(strstr(why, "the line has more than"));
    free(large);
    assert_false(onp_tuning_parse("f", "device\0= a\n", 11, &file, why));
    assert_non_null(strstr(why, "control character"));
}

// A whole file, damaged at random: nothing may be read out of bounds (sanitizers watch), and what
// is taken stays in range.
static void survives_damage(void **state) {
    (void)state;
    static const char good[] = ANY_DRIVER
        "program = 0.1.0\n[matmul]\nvector = 8\ntile_rows = 4\ntile_vectors = 3\ngain = 1.05\n"
        "[layernorm]\nvector = 4\nwork_group_tiles = 0\n[grouped_conv]\ntile_rows = 6\n";
    struct onp_rng rng = {20261124};
    size_t taken = 0;
    for (int round = 0; round < 20000; round++) {
        char text[sizeof good], why[ONP_TUNING_WHY];
        struct onp_tuning_file file;
        memcpy(text, good, sizeof good);
        for (uint64_t n = onp_rng_next(&rng) % 4; n-- > 0;) {
            static const char pieces[] = "0123456789[]=\n# .*\t\xff";
            text[onp_rng_next(&rng) % (sizeof good - 1)] =
                pieces[onp_rng_next(&rng) % (sizeof pieces - 1)];
        }
        const size_t size =
            onp_rng_next(&rng) % 8 ? sizeof good - 1 : onp_rng_next(&rng) % sizeof good;
        if (!onp_tuning_parse("f", text, size, &file, why)) {
            assert_true(strncmp(why, "f:", 2) == 0);
            continue;
        }
        taken++;
        for (size_t op = 0; op < ONP_TUNED_COUNT; op++)
            for (size_t i = 0; i < onp_tuning_field_count; i++) {
                const struct onp_tuning_field *field = &onp_tuning_fields[i];
                const int32_t value = onp_tuning_get(&file.op[op].tiles, field);
                if (file.op[op].given >> i & 1u)
                    assert_in_range(value, field->low, field->high);
                else
                    assert_int_equal(value, 0);
            }
    }
    assert_true(taken > 100);
}

static void prints_what_it_reads(void **state) {
    (void)state;
    struct onp_tuning_file file, again;
    char why[ONP_TUNING_WHY];
    struct onp_buf first = {0}, second = {0};
    assert_true(parse(HEAD "model = m\n[grouped_conv]\nvector = 4\ntile_rows = 5\ngain = 1.5\n"
                           "[matmul]\nwork_group_tiles = 1\ngroup_cols = 64\nbound = 1.01\n",
                      &file, why));
    onp_tuning_print(&file, &first);
    assert_false(first.failed);
    assert_true(onp_tuning_parse("g", first.data, first.size, &again, why));
    onp_tuning_print(&again, &second);
    assert_string_equal(first.data, second.data);
    for (size_t i = 0; i < ONP_TUNED_COUNT; i++) {
        assert_int_equal(file.op[i].given, again.op[i].given);
        assert_true(onp_tuning_equal(&file.op[i].tiles, &again.op[i].tiles, (enum onp_tuned_op)i));
        assert_true(file.op[i].gain == again.op[i].gain && file.op[i].bound == again.op[i].bound);
    }
    onp_buf_free(&first);
    onp_buf_free(&second);
}

static void names_files_by_device_and_driver(void **state) {
    (void)state;
    struct onp_device_info info = {.name = "Ge/../Force  (TM)", .driver = "1.2"}, other = info;
    char a[128], b[128];
    onp_tuning_file_name(&info, a, sizeof a);
    assert_int_equal(strncmp(a, "ge-force-tm-1-2-", 16), 0);
    assert_null(strchr(a, '/'));
    snprintf(other.driver, sizeof other.driver, "1-2"); // the same letters, another driver
    onp_tuning_file_name(&other, b, sizeof b);
    assert_string_not_equal(a, b);
    memset(info.name, '\xff', sizeof info.name - 1); // nothing that a name may have
    onp_tuning_file_name(&info, a, sizeof a);
    assert_int_equal(strncmp(a, "1-2-", 4), 0);
}

// --- Sources ------------------------------------------------------------------------------------

struct fixture {
    struct onp_context context;
    struct onp_device *device;
    char dir[64], config[128], cache[128];
    char said[8192]; // warnings and information
    struct onp_tuned_sources sources;
};

static void on_log(void *user, enum onp_log_level level, const char *message) {
    struct fixture *f = user;
    const size_t used = strlen(f->said);
    snprintf(f->said + used, sizeof f->said - used, "%d %s\n", (int)level, message);
}

static int checks; // calls of the test's self-test
static enum onp_status verdict;

static enum onp_status check(struct onp_device *device, enum onp_tuned_op op,
                             char why[ONP_TUNING_WHY]) {
    assert_true(device->tuned[op].set); // the tiles in question are in force
    checks++;
    snprintf(why, ONP_TUNING_WHY, "wrong by design");
    return verdict;
}

static int setup(void **state) {
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    f->context.log = (struct onp_log){.fn = on_log, .user = f, .level = ONP_LOG_INFO};
    pthread_mutex_init(&f->context.log.mutex, NULL);
    assert_int_equal(onp_registry_open(&f->context, "ref", false, &f->device), ONP_OK);
    struct onp_device_info *info = &f->device->info;
    snprintf(info->name, sizeof info->name, "Test = CPU #1");
    snprintf(info->vendor, sizeof info->vendor, "Maker");
    snprintf(info->platform, sizeof info->platform, "Platform");
    snprintf(info->driver, sizeof info->driver, "1.2");
    f->device->caps.reference = false;
    f->device->caps.type = ONP_DEVICE_CPU;
    f->device->caps.vector_width = 8;
    f->device->caps.max_work_group = f->device->caps.max_work_item[0] = 64;
    f->device->caps.local_bytes = 16384;
    onp_tuning_choose(f->device);
    snprintf(f->dir, sizeof f->dir, "/tmp/onepeace-tuning-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    snprintf(f->config, sizeof f->config, "%s/config", f->dir);
    snprintf(f->cache, sizeof f->cache, "%s/cache", f->dir);
    f->sources =
        (struct onp_tuned_sources){.config_dir = f->config, .cache_dir = f->cache, .check = check};
    f->said[0] = '\0';
    checks = 0;
    verdict = ONP_OK;
    *state = f;
    return 0;
}

static int teardown(void **state) {
    struct fixture *f = *state;
    char command[128];
    f->device->caps.reference = true;
    onp_registry_close(f->device);
    pthread_mutex_destroy(&f->context.log.mutex);
    snprintf(command, sizeof command, "rm -rf '%s'", f->dir);
    const int code = system(command);
    free(f);
    return code;
}

// The user's file for the device; returns its path.
static const char *write_user(struct fixture *f, const char *text) {
    static char path[512];
    char name[128], dir[256];
    snprintf(dir, sizeof dir, "%s/tuning", f->config);
    mkdir(f->config, 0700);
    mkdir(dir, 0700);
    onp_tuning_file_name(&f->device->info, name, sizeof name);
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    return path;
}

static void load(struct fixture *f) {
    f->said[0] = '\0';
    onp_tuned_load(f->device, &f->sources);
}

static int32_t rows_of(const struct fixture *f) {
    return onp_tiles(f->device, ONP_TUNED_MATMUL)->tile_rows;
}

static void without_files_the_class_decides(void **state) {
    struct fixture *f = *state;
    load(f);
    assert_int_equal(rows_of(f), 6);
    assert_string_equal(f->said, "");
    struct onp_tuning_row rows[32];
    const size_t count = onp_device_get_tuning(f->device, rows, ONP_COUNT(rows));
    assert_in_range(count, ONP_TUNED_COUNT, ONP_COUNT(rows));
    for (size_t i = 0; i < count; i++) {
        assert_string_equal(rows[i].source, "class");
        assert_string_equal(rows[i].row, "cpu-256");
    }
}

static void the_users_file_comes_first(void **state) {
    struct fixture *f = *state;
    static const struct onp_contributed contributed[] = {
        {"bench/tuned/any.txt", ANY_DRIVER "[matmul]\ntile_rows = 3\n[attention]\n"
                                           "attention_rows = 4\n[layernorm]\nvector = 4\n"},
        {"bench/tuned/this.txt", HEAD "[matmul]\ntile_rows = 5\n[attention]\nattention_rows = 8\n"},
        {0, 0}};
    f->sources.contributed = contributed;
    load(f);
    assert_int_equal(rows_of(f), 5); // this driver before any
    assert_int_equal(onp_tiles(f->device, ONP_TUNED_ATTENTION)->attention_rows, 8);
    assert_int_equal(onp_tiles(f->device, ONP_TUNED_LAYERNORM)->vector, 4); // from the other
    const char *path = write_user(f, HEAD "[matmul]\ntile_rows = 4\n");
    load(f);
    assert_int_equal(rows_of(f), 4);
    assert_int_equal(onp_tiles(f->device, ONP_TUNED_MATMUL)->tile_vectors, 2); // the class's
    assert_int_equal(onp_tiles(f->device, ONP_TUNED_ATTENTION)->attention_rows, 8);
    assert_int_equal(onp_tiles(f->device, ONP_TUNED_GROUPED_CONV)->tile_rows, 6);
    assert_non_null(strstr(f->said, path));
    struct onp_tuning_row rows[32];
    const size_t count = onp_device_get_tuning(f->device, rows, ONP_COUNT(rows));
    for (size_t i = 0; i < count; i++)
        if (strcmp(rows[i].op, "matmul") == 0) {
            assert_string_equal(rows[i].source, path);
            assert_string_equal(rows[i].row, "tile_rows=4");
        } else if (strcmp(rows[i].op, "attention") == 0) {
            assert_string_equal(rows[i].source, "bench/tuned/this.txt");
        }
    char named[256]; // a named file is in place of the user's
    snprintf(named, sizeof named, "%s/named.txt", f->dir);
    FILE *file = fopen(named, "w");
    assert_non_null(file);
    fputs(HEAD "[matmul]\ntile_rows = 7\n", file);
    fclose(file);
    f->sources.file = named;
    load(f);
    assert_int_equal(rows_of(f), 7);
}

static void a_bad_file_is_dropped(void **state) {
    struct fixture *f = *state;
    static const struct onp_contributed contributed[] = {
        {"bench/tuned/this.txt", HEAD "[matmul]\ntile_rows = 5\n"}, {0, 0}};
    f->sources.contributed = contributed;
    static const struct bad bad[] = {
        {"junk\n", ":1:", "neither"},
        {"format = 1\ndevice = Other\nvendor = Maker\nplatform = Platform\ndriver = 1.2\n[matmul]\n"
         "tile_rows = 4\n",
         ":2:", "is for the device \"Other\""},
        {"format = 1\ndevice = Test = CPU #1\nvendor = Maker\nplatform = Platform\ndriver = 1.3\n",
         ":5:", "driver"},
        {HEAD "[matmul]\nwork_group_tiles = 1\ngroup_rows = 256\ngroup_cols = 256\n",
         ":6:", "groups of"}, // more work-items than the device takes
        {HEAD
         "[matmul]\nwork_group_tiles = 1\ngroup_rows = 8\ngroup_cols = 32\ngroup_depth = 128\n",
         ":6:", "local memory"},
        {HEAD "[attention]\nattention_rows = 40\n", ":6:", "do not fit"},
    };
    for (size_t i = 0; i < ONP_COUNT(bad); i++) {
        const char *path = write_user(f, bad[i].text);
        char place[600];
        snprintf(place, sizeof place, "1 %s%s", path, bad[i].place); // 1: a warning
        load(f);
        if (!strstr(f->said, place) || !strstr(f->said, bad[i].message))
            fail_msg("case %zu said: %s", i, f->said);
        assert_int_equal(rows_of(f), 5); // the next source
        assert_int_equal(onp_tiles(f->device, ONP_TUNED_ATTENTION)->attention_rows, 6);
    }
    f->sources.file = "/nonexistent/tuning.txt";
    load(f);
    assert_non_null(strstr(f->said, "1 cannot open /nonexistent/tuning.txt"));
    assert_int_equal(rows_of(f), 5);
}

static void a_self_test_is_remembered(void **state) {
    struct fixture *f = *state;
    write_user(f, HEAD "[matmul]\ntile_rows = 4\n[layernorm]\nvector = 4\n");
    load(f);
    assert_int_equal(checks, 2);
    load(f);
    assert_int_equal(checks, 2);
    snprintf(f->device->info.driver, sizeof f->device->info.driver, "1.2.1"); // now another file's
    write_user(f, ANY_DRIVER "[matmul]\ntile_rows = 4\n");
    load(f);
    load(f);
    assert_int_equal(checks, 3);
    f->sources.cache_dir = NULL; // nothing is remembered
    load(f);
    load(f);
    assert_int_equal(checks, 5);
    assert_int_equal(rows_of(f), 4);
}

static void a_failed_self_test_drops_the_row(void **state) {
    struct fixture *f = *state;
    const char *path = write_user(f, HEAD "[layernorm]\nvector = 4\n[matmul]\ntile_rows = 4\n");
    verdict = ONP_ERR_MISMATCH;
    load(f);
    assert_int_equal(rows_of(f), 6);
    assert_int_equal(onp_tiles(f->device, ONP_TUNED_LAYERNORM)->vector, 8);
    char place[600];
    snprintf(place, sizeof place, "1 %s:8: the matmul tiles failed", path);
    assert_non_null(strstr(f->said, place));
    assert_non_null(strstr(f->said, "wrong by design"));
    assert_non_null(strstr(f->said, "onepeace tune --op matmul"));
    verdict = ONP_OK;
    load(f); // remembered
    assert_int_equal(checks, 2);
    assert_int_equal(rows_of(f), 6);
    assert_non_null(strstr(f->said, "earlier"));
    write_user(f, HEAD "[matmul]\ntile_rows = 5\n"); // another file
    load(f);
    assert_int_equal(checks, 3);
    assert_int_equal(rows_of(f), 5);
    verdict = ONP_ERR_DEVICE_MEMORY; // could not be checked: dropped, but not held against it
    write_user(f, HEAD "[matmul]\ntile_rows = 3\n");
    load(f);
    assert_int_equal(rows_of(f), 6);
    verdict = ONP_OK;
    load(f);
    assert_int_equal(checks, 5);
    assert_int_equal(rows_of(f), 3);
}

// --- The search ---------------------------------------------------------------------------------

static void medians_and_their_intervals(void **state) {
    (void)state;
    double odd[] = {3.0, 1.0, 2.0}, even[] = {4.0, 1.0, 3.0, 2.0}, same[9], wide[21];
    assert_true(onp_tune_median(odd, 3) == 2.0);
    assert_true(onp_tune_median(even, 4) == 2.5);
    for (size_t i = 0; i < ONP_COUNT(same); i++) same[i] = 1.25;
    struct onp_tune_estimate e = onp_tune_bootstrap(same, ONP_COUNT(same), 1);
    assert_true(e.median == 1.25 && e.low == 1.25 && e.high == 1.25);
    for (size_t i = 0; i < ONP_COUNT(wide); i++) wide[i] = 1.0 + 0.01 * (double)((i * 8) % 21);
    e = onp_tune_bootstrap(wide, ONP_COUNT(wide), 1);
    assert_true(fabs(e.median - 1.10) < 1e-9);
    assert_true(e.low < e.median && e.median < e.high);
    // The median of 21 lies between the 6th and the 16th with 97.3 % confidence (binomial), so the
    // bootstrap's interval of 95 % cannot be far from them.
    assert_true(e.low >= 1.03 && e.low <= 1.08 && e.high >= 1.12 && e.high <= 1.17);
    const struct onp_tune_estimate again = onp_tune_bootstrap(wide, ONP_COUNT(wide), 1);
    assert_true(e.low == again.low && e.high == again.high);
}

// Every candidate differs from the class and from the others, is what a file can hold, and comes
// nearest first.
static void candidates_are_worth_trying(void **state) {
    struct fixture *f = *state;
    static const enum onp_device_type types[] = {ONP_DEVICE_CPU, ONP_DEVICE_GPU, ONP_DEVICE_GPU};
    for (size_t t = 0; t < ONP_COUNT(types); t++) {
        f->device->caps.type = types[t];
        f->device->caps.max_work_group = 256;
        f->device->caps.local_bytes = 65536;
        f->device->caps.subgroups = t == 2;
        f->device->caps.subgroup_size = t == 2 ? 8 : 0;
        onp_tuning_choose(f->device);
        for (size_t op = 0; op < ONP_TUNED_COUNT; op++) {
            const enum onp_tuned_op which = (enum onp_tuned_op)op;
            struct onp_tuning list[ONP_TUNE_CANDIDATES];
            const size_t count = onp_tune_space(f->device, which, list);
            assert_in_range(count, 3, ONP_TUNE_CANDIDATES - 1);
            for (size_t i = 0; i < count; i++) {
                assert_false(onp_tuning_equal(&list[i], &f->device->tuning, which));
                for (size_t j = 0; j < i; j++)
                    assert_false(onp_tuning_equal(&list[i], &list[j], which));
                for (size_t k = 0; k < onp_tuning_field_count; k++) {
                    const struct onp_tuning_field *field = &onp_tuning_fields[k];
                    const int32_t value = onp_tuning_get(&list[i], field);
                    if (onp_tuning_reads(field, which) && value != 0)
                        assert_in_range(value, field->low, field->high);
                }
            }
        }
    }
    f->device->caps.type = ONP_DEVICE_CPU;
    f->device->caps.subgroups = false;
    f->device->caps.subgroup_size = 0;
}

// --- Contributed files --------------------------------------------------------------------------

static void contributed_files_are_good(void **state) {
    (void)state;
    for (const struct onp_contributed *c = onp_contributed; c->name; c++) {
        struct onp_tuning_file file;
        char why[ONP_TUNING_WHY];
        if (!onp_tuning_parse(c->name, c->text, strlen(c->text), &file, why)) fail_msg("%s", why);
        for (size_t i = 0; i < ONP_TUNED_COUNT; i++)
            if (file.op[i].line > 0 && !(file.op[i].bound > 1.0))
                fail_msg("%s:%d: a row without a measured gain", c->name, file.op[i].line);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_a_file),
        cmocka_unit_test(refuses_what_is_wrong),
        cmocka_unit_test(bounds_its_input),
        cmocka_unit_test(survives_damage),
        cmocka_unit_test(prints_what_it_reads),
        cmocka_unit_test(names_files_by_device_and_driver),
        cmocka_unit_test(contributed_files_are_good),
        cmocka_unit_test(medians_and_their_intervals),
        cmocka_unit_test_setup_teardown(candidates_are_worth_trying, setup, teardown),
        cmocka_unit_test_setup_teardown(without_files_the_class_decides, setup, teardown),
        cmocka_unit_test_setup_teardown(the_users_file_comes_first, setup, teardown),
        cmocka_unit_test_setup_teardown(a_bad_file_is_dropped, setup, teardown),
        cmocka_unit_test_setup_teardown(a_self_test_is_remembered, setup, teardown),
        cmocka_unit_test_setup_teardown(a_failed_self_test_drops_the_row, setup, teardown),
    };
    return cmocka_run_group_tests_name("tuning", tests, NULL, NULL);
}
