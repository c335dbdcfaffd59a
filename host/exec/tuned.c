// SPDX-License-Identifier: Apache-2.0
#include "exec/tuned.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/checked.h"
#include "base/file.h"
#include "base/sha256.h"
#include "exec/exec.h"
#include "ops/op.h"

#define PATH_BYTES 4096

// One file to take rows from.
struct source {
    const char *name, *text;
    size_t size;
};

static const struct onp_op *op_of(enum onp_tuned_op op) {
    for (const struct onp_op *const *o = onp_ops; *o; o++)
        if (strcmp((*o)->name, onp_tuned_op_name(op)) == 0) return *o;
    return NULL;
}

// --- Do they fit --------------------------------------------------------------------------------

static bool is_plain(const char *variant) {
    const size_t n = strlen(variant), tail = strlen("_simple");
    return n > tail && strcmp(variant + n - tail, "_simple") == 0;
}

static enum onp_status choice(struct onp_device *device, enum onp_tuned_op op,
                              const struct onp_op_case *c, const struct onp_tuning *tiles,
                              const char **variant, char why[ONP_TUNING_WHY]) {
    const struct onp_tuned before = device->tuned[op];
    device->tuned[op] = (struct onp_tuned){.set = tiles != NULL};
    if (tiles) device->tuned[op].tiles = *tiles;
    const enum onp_status status =
        onp_check_choice(device, op_of(op), c, variant, why, ONP_TUNING_WHY);
    device->tuned[op] = before;
    if (status != ONP_OK) snprintf(why, ONP_TUNING_WHY, "%.600s", onp_last_error());
    return status;
}

bool onp_tuned_fits(struct onp_device *device, enum onp_tuned_op op, const struct onp_tuning *tiles,
                    char why[ONP_TUNING_WHY]) {
    const struct onp_op *o = op_of(op);
    for (size_t i = 0; o && i < o->case_count; i++) {
        const char *usual = "", *chosen = "";
        if (o->cases[i].slow) continue;
        if (choice(device, op, &o->cases[i], NULL, &usual, why) != ONP_OK ||
            choice(device, op, &o->cases[i], tiles, &chosen, why) != ONP_OK)
            return false;
        if (is_plain(chosen) && !is_plain(usual)) return false; // why has the refusals
        if (op != ONP_TUNED_MATMUL) break; // other heads and groups need other sizes: fall back
    }
    return true;
}

static enum onp_status check_op(struct onp_device *device, const struct onp_op *op,
                                char why[ONP_TUNING_WHY]) {
    struct onp_selftest_summary summary = {0};
    for (size_t i = 0; i < op->case_count; i++) {
        if (op->cases[i].slow) continue;
        const enum onp_status status =
            onp_check_case(device, op, &op->cases[i], 1 + i, NULL, NULL, &summary);
        if (status != ONP_OK) {
            snprintf(why, ONP_TUNING_WHY, "%.600s", onp_last_error());
            return status;
        }
        if (summary.failed == 0) continue;
        snprintf(why, ONP_TUNING_WHY, "case \"%s\" of %s differs from the C reference",
                 op->cases[i].label, op->name);
        return ONP_ERR_MISMATCH;
    }
    return ONP_OK;
}

enum onp_status onp_tuned_selftest(struct onp_device *device, enum onp_tuned_op op,
                                   char why[ONP_TUNING_WHY]) {
    for (const struct onp_op *const *o = onp_ops; *o; o++) {
        enum onp_tuned_op tiles;
        if (onp_tuned_op_of((*o)->name, &tiles) && tiles == op) ONP_TRY(check_op(device, *o, why));
    }
    return ONP_OK;
}

// --- What is remembered of self-tests -----------------------------------------------------------

// Everything that the outcome depends on: the file, the device, its driver, and our kernels.
static void memory_path(const struct onp_device *device, const char *cache_dir,
                        const struct source *source, enum onp_tuned_op op, char *path,
                        size_t size) {
    char tiles[512];
    onp_tuning_describe(&device->tuned[op].tiles, NULL, op, tiles, sizeof tiles);
    struct onp_sha256 sha;
    unsigned char digest[32];
    char hex[65];
    onp_sha256_init(&sha);
    onp_sha256_update(&sha, source->text, source->size);
    const char *const parts[] = {device->info.name,
                                 device->info.vendor,
                                 device->info.platform,
                                 device->info.driver,
                                 ONP_VERSION,
                                 onp_tuned_op_name(op),
                                 tiles,
                                 onp_kernel_prelude};
    for (size_t i = 0; i < ONP_COUNT(parts); i++)
        onp_sha256_update(&sha, parts[i], strlen(parts[i]) + 1);
    for (const struct onp_kernel_source *k = onp_kernel_sources; k->name; k++)
        onp_sha256_update(&sha, k->text, strlen(k->text) + 1);
    onp_sha256_final(&sha, digest);
    onp_sha256_hex(digest, hex);
    snprintf(path, size, "%s/tuning/%s", cache_dir, hex);
}

// 1 passed, 0 failed, -1 not remembered.
static int recall(const char *path) {
    const struct onp_log quiet = {0};
    char *text = NULL;
    size_t size;
    struct stat st;
    if (stat(path, &st) != 0 || onp_file_read(path, 64, &quiet, &text, &size) != ONP_OK) return -1;
    const int outcome = strcmp(text, "passed\n") == 0 ? 1 : strcmp(text, "failed\n") == 0 ? 0 : -1;
    free(text);
    return outcome;
}

// A cache that cannot be written is no reason to say anything: the test is run again next time.
static void remember(const char *path, bool passed) {
    const struct onp_log quiet = {0};
    char dir[PATH_BYTES];
    struct onp_writer *writer;
    snprintf(dir, sizeof dir, "%s", path);
    char *slash = strrchr(dir, '/');
    if (!slash) return;
    *slash = '\0';
    if (onp_make_dirs(dir, &quiet) != ONP_OK ||
        onp_writer_open(path, true, &quiet, &writer) != ONP_OK)
        return;
    if (onp_writer_write(writer, passed ? "passed\n" : "failed\n", 7) == ONP_OK)
        onp_writer_commit(writer);
    else
        onp_writer_discard(writer);
}

// Looks at the tiles in force: what is remembered of them, else whether they fit and compute
// rightly. Only a wrong result is remembered against them.
static bool trusted(struct onp_device *device, const struct onp_tuned_sources *sources,
                    const struct source *source, enum onp_tuned_op op, char why[ONP_TUNING_WHY]) {
    char path[PATH_BYTES] = "", what[ONP_TUNING_WHY] = "";
    if (sources->cache_dir) memory_path(device, sources->cache_dir, source, op, path, sizeof path);
    const int before = *path ? recall(path) : -1;
    if (before == 1) return true;
    if (before == 0) {
        snprintf(why, ONP_TUNING_WHY,
                 "failed their self-test earlier (without %.500s they are tested again)", path);
        return false;
    }
    const struct onp_tuning tiles = device->tuned[op].tiles;
    if (!onp_tuned_fits(device, op, &tiles, what)) {
        snprintf(why, ONP_TUNING_WHY, "do not fit this device (%.600s)", what);
        return false;
    }
    onp_log(&device->context->log, ONP_LOG_INFO, "testing the %s tiles of %s on this device, once",
            onp_tuned_op_name(op), source->name);
    const enum onp_status status = sources->check(device, op, what);
    if (*path && (status == ONP_OK || status == ONP_ERR_MISMATCH)) remember(path, status == ONP_OK);
    if (status == ONP_OK) return true;
    snprintf(why, ONP_TUNING_WHY, "failed their self-test (%.600s)", what);
    return false;
}

// --- Taking rows --------------------------------------------------------------------------------

static void take_section(struct onp_device *device, const struct onp_tuned_sources *sources,
                         const struct source *source, const struct onp_tuning_section *section,
                         enum onp_tuned_op op) {
    const struct onp_log *log = &device->context->log;
    const char *name = onp_tuned_op_name(op);
    char why[ONP_TUNING_WHY] = "";
    struct onp_tuned row = {.set = true, .tiles = device->tuning};
    for (size_t i = 0; i < onp_tuning_field_count; i++)
        if (section->given >> i & 1u)
            onp_tuning_set(&row.tiles, &onp_tuning_fields[i],
                           onp_tuning_get(&section->tiles, &onp_tuning_fields[i]));
    row.tiles.row = "tuned";
    onp_tuning_describe(&row.tiles, &device->tuning, op, row.values, sizeof row.values);
    snprintf(row.source, sizeof row.source, "%s", source->name);
    device->tuned[op] = row;
    if (trusted(device, sources, source, op, why)) {
        onp_log(log, ONP_LOG_INFO, "%s tiles from %s: %s", name, source->name,
                row.values[0] ? row.values : "as the device's class");
        return;
    }
    device->tuned[op].set = false;
    onp_log(log, ONP_LOG_WARNING,
            "%s:%d: the %s tiles %s; they are dropped, 'onepeace tune --op %s' finds others",
            source->name, section->line, name, why, name);
}

static void take_file(struct onp_device *device, const struct onp_tuned_sources *sources,
                      const struct source *source, const struct onp_tuning_file *file) {
    for (size_t i = 0; i < ONP_TUNED_COUNT; i++)
        if (file->op[i].line > 0 && !device->tuned[i].set)
            take_section(device, sources, source, &file->op[i], (enum onp_tuned_op)i);
}

static void take_user(struct onp_device *device, const struct onp_tuned_sources *sources,
                      const char *path) {
    const struct onp_log *log = &device->context->log, quiet = {0};
    struct source source = {.name = path};
    struct onp_tuning_file file;
    char why[ONP_TUNING_WHY], *text;
    if (onp_file_read(path, ONP_TUNING_FILE_BYTES, &quiet, &text, &source.size) != ONP_OK) {
        onp_log(log, ONP_LOG_WARNING, "%s; it is not used, --no-tuning does without",
                onp_last_error());
        return;
    }
    source.text = text;
    if (!onp_tuning_parse(path, text, source.size, &file, why) ||
        !onp_tuning_matches(&file, path, &device->info, why))
        onp_log(log, ONP_LOG_WARNING, "%s; the file is not used", why);
    else
        take_file(device, sources, &source, &file);
    free(text);
}

// Rows for this very driver before those for any.
static void take_contributed(struct onp_device *device, const struct onp_tuned_sources *sources,
                             bool any_driver) {
    for (const struct onp_contributed *c = sources->contributed; c && c->name; c++) {
        const struct source source = {.name = c->name, .text = c->text, .size = strlen(c->text)};
        struct onp_tuning_file file;
        char why[ONP_TUNING_WHY];
        if (onp_tuning_parse(c->name, c->text, source.size, &file, why) &&
            (strcmp(file.head[ONP_TUNING_DRIVER], "*") == 0) == any_driver &&
            onp_tuning_matches(&file, c->name, &device->info, why))
            take_file(device, sources, &source, &file);
    }
}

static bool user_path(const struct onp_device *device, const char *config_dir, char *path,
                      size_t size) {
    char name[128];
    onp_tuning_file_name(&device->info, name, sizeof name);
    return config_dir && (size_t)snprintf(path, size, "%s/tuning/%s", config_dir, name) < size;
}

void onp_tuned_load(struct onp_device *device, const struct onp_tuned_sources *sources) {
    char path[PATH_BYTES];
    struct stat st;
    for (size_t i = 0; i < ONP_TUNED_COUNT; i++) device->tuned[i].set = false;
    if (device->caps.reference) return;
    if (sources->file)
        take_user(device, sources, sources->file);
    else if (user_path(device, sources->config_dir, path, sizeof path) && stat(path, &st) == 0)
        take_user(device, sources, path);
    take_contributed(device, sources, false);
    take_contributed(device, sources, true);
}

void onp_tuned_load_default(struct onp_device *device) {
    const struct onp_context *context = device->context;
    if (context->no_tuning) return;
    const struct onp_tuned_sources sources = {.file = context->tuning_file,
                                              .config_dir = context->config_dir,
                                              .cache_dir = context->cache_dir,
                                              .contributed = onp_contributed,
                                              .check = onp_tuned_selftest};
    onp_tuned_load(device, &sources);
}

enum onp_status onp_tuned_path(const struct onp_device *device, char *path, size_t size) {
    if (user_path(device, device->context->config_dir, path, size)) return ONP_OK;
    return onp_fail(&device->context->log, ONP_ERR_IO,
                    "there is no folder for settings: set XDG_CONFIG_HOME or HOME, or name a file");
}
