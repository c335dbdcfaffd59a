// SPDX-License-Identifier: Apache-2.0
// Searching a device's tiles for a model's shapes, and writing what wins.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "api/internal.h"
#include "backend/backend.h"
#include "base/file.h"
#include "exec/exec.h"
#include "exec/tune.h"
#include "onepeace/tune.h"

struct onp_tune {
    struct onp_device *device;
    char model[160]; // what was tuned for
    struct onp_tune_winner winner[ONP_TUNED_COUNT];
};

const char *onp_tune_verdict_name(enum onp_tune_verdict verdict) {
    static const char *const names[] = {"noise", "refused", "wrong",  "slower",
                                        "close", "kept",    "skipped"};
    return (size_t)verdict < sizeof names / sizeof *names ? names[verdict] : "unknown";
}

// --- The model's graphs -------------------------------------------------------------------------

struct graphs {
    struct onp_weights *weights;
    struct onp_blank_batch blank[ONP_MODALITY_COUNT];
    struct onp_graph *list[ONP_MODALITY_COUNT];
};

static void graphs_free(const struct onp_model *model, struct graphs *graphs) {
    for (int m = 0; m < ONP_MODALITY_COUNT; m++) {
        onp_graph_destroy(graphs->list[m]);
        onp_blank_batch_free(&graphs->blank[m]);
    }
    if (graphs->weights) model->family->weights_destroy(graphs->weights);
}

// One item of each branch at its longest; no weight is loaded.
static enum onp_status graphs_make(const struct onp_model *model, const struct onp_device *device,
                                   const struct onp_tune_params *params, struct graphs *graphs) {
    const struct onp_log *log = &device->context->log;
    const struct onp_family *family = model->family;
    const unsigned modalities = params->modalities ? params->modalities : model->info.modalities;
    ONP_TRY(family->weights_create(model->hparams, model->file, modalities, log, &graphs->weights));
    size_t count;
    struct onp_weight *list = family->weights_list(graphs->weights, &count);
    for (size_t i = 0; i < count; i++) onp_weight_place(&list[i], device, params->dtype);
    for (int m = 0; m < ONP_MODALITY_COUNT; m++) {
        const enum onp_modality modality = (enum onp_modality)m;
        if (!(modalities & ONP_BIT(m))) continue;
        const int64_t longest = family->longest_item(model->hparams, modality);
        ONP_TRY(onp_blank_batch_create(model, modality, 1, longest, &graphs->blank[m]));
        ONP_TRY(onp_graph_create(log, &graphs->list[m]));
        family->build(model->hparams, graphs->weights, graphs->list[m], &graphs->blank[m].batch);
        ONP_TRY(onp_graph_status(graphs->list[m]));
    }
    return ONP_OK;
}

// --- Searching ----------------------------------------------------------------------------------

// Shares of the time; those of the ops asked for count.
static const double shares[ONP_TUNED_COUNT] = {[ONP_TUNED_MATMUL] = 6.0,
                                               [ONP_TUNED_ATTENTION] = 3.0,
                                               [ONP_TUNED_LAYERNORM] = 1.0,
                                               [ONP_TUNED_GROUPED_CONV] = 1.5};

static bool wanted(const struct onp_tune_params *params, size_t op) {
    return !params->op || strstr(onp_tuned_op_name((enum onp_tuned_op)op), params->op);
}

static enum onp_status search(struct onp_tune *tune, const struct graphs *graphs,
                              const struct onp_tune_params *params) {
    struct onp_tune_search s = {
        .device = tune->device, .seed = params->seed, .fn = params->fn, .user = params->user};
    const double end = onp_seconds_now() + (params->seconds > 0.0 ? params->seconds : 300.0);
    bool any = false;
    memcpy(s.graphs, graphs->list, sizeof s.graphs);
    for (size_t op = 0; op < ONP_TUNED_COUNT; op++) {
        double left = 0.0;
        for (size_t later = op; later < ONP_TUNED_COUNT; later++)
            if (wanted(params, later)) left += shares[later];
        if (!wanted(params, op)) continue;
        any = true;
        const double now = onp_seconds_now();
        s.clock.deadline = now + (end - now) * shares[op] / left;
        ONP_TRY(onp_tune_op(&s, (enum onp_tuned_op)op, &tune->winner[op]));
        s.clock.stopped = s.clock.stopped && onp_seconds_now() < s.clock.deadline; // by the caller
        if (s.clock.stopped) break;
    }
    if (any) return ONP_OK;
    return onp_fail(&tune->device->context->log, ONP_ERR_ARGUMENT,
                    "no op with tiles has \"%.40s\" in its name; there are matmul, attention, "
                    "layernorm and grouped_conv",
                    params->op);
}

enum onp_status onp_tune_run(struct onp_device *device, const struct onp_model *model,
                             const struct onp_tune_params *params, struct onp_tune **out) {
    static const struct onp_tune_params defaults = {0};
    if (!device || !model || !out)
        return onp_fail(NULL, ONP_ERR_ARGUMENT, "onp_tune_run: an argument is NULL");
    const struct onp_log *log = &device->context->log;
    if (!params) params = &defaults;
    if (device->caps.reference)
        return onp_fail(log, ONP_ERR_UNSUPPORTED,
                        "the reference device has no tiles to tune: choose another");
    if ((params->dtype != ONP_F32 && params->dtype != ONP_F16) ||
        (params->modalities & ~ONP_ALL_MODALITIES) || !(params->seconds <= 1e6))
        return onp_fail(log, ONP_ERR_ARGUMENT, "tuning: dtype is f32 or f16, at most 1e6 seconds");
    struct onp_tune *tune = calloc(1, sizeof *tune);
    if (!tune) return onp_fail(log, ONP_ERR_MEMORY, "no memory for a search");
    tune->device = device;
    snprintf(tune->model, sizeof tune->model, "%s, width %u, feed-forward %u, %s",
             model->info.family ? model->info.family : "unknown", model->info.embed_dim,
             model->info.ffn_dim, onp_dtype_name(params->dtype));
    struct graphs graphs = {0};
    enum onp_status status = graphs_make(model, device, params, &graphs);
    if (status == ONP_OK) status = search(tune, &graphs, params);
    graphs_free(model, &graphs);
    if (status == ONP_OK)
        *out = tune;
    else
        onp_tune_free(tune);
    return status;
}

void onp_tune_free(struct onp_tune *tune) { free(tune); }

size_t onp_tune_kept(const struct onp_tune *tune) {
    size_t kept = 0;
    for (size_t i = 0; tune && i < ONP_TUNED_COUNT; i++) kept += tune->winner[i].kept;
    return kept;
}

// --- Writing ------------------------------------------------------------------------------------

enum onp_status onp_tune_path(const struct onp_device *device, char *path, size_t size) {
    if (!device || !path)
        return onp_fail(NULL, ONP_ERR_ARGUMENT, "onp_tune_path: an argument is NULL");
    return onp_tuned_path(device, path, size);
}

// What the file has now, if it is there, good and for this device; else nothing.
static bool read_present(const struct onp_tune *tune, const char *path,
                         struct onp_tuning_file *file) {
    const struct onp_log quiet = {0};
    char *text, why[ONP_TUNING_WHY];
    size_t size;
    *file = (struct onp_tuning_file){0};
    if (access(path, F_OK) != 0 ||
        onp_file_read(path, ONP_TUNING_FILE_BYTES, &quiet, &text, &size) != ONP_OK)
        return false;
    const bool good = onp_tuning_parse(path, text, size, file, why) &&
                      onp_tuning_matches(file, path, &tune->device->info, why);
    if (!good) *file = (struct onp_tuning_file){0};
    free(text);
    return good;
}

static void put_section(const struct onp_tune_winner *winner, enum onp_tuned_op op,
                        struct onp_tuning_section *section) {
    *section = (struct onp_tuning_section){.line = winner->kept,
                                           .tiles = winner->tiles,
                                           .gain = winner->gain,
                                           .bound = winner->bound,
                                           .pairs = winner->pairs};
    for (size_t i = 0; winner->kept && i < onp_tuning_field_count; i++) {
        const struct onp_tuning_field *field = &onp_tuning_fields[i];
        const int32_t value = onp_tuning_get(&winner->tiles, field);
        // A class without a work-group tile has zeros there, which no file may ask for.
        if (onp_tuning_reads(field, op) && value >= field->low) section->given |= 1u << i;
    }
}

static enum onp_status write_file(const struct onp_log *log, const char *path,
                                  const struct onp_tuning_file *file) {
    struct onp_buf text = {0};
    struct onp_writer *writer;
    onp_tuning_print(file, &text);
    enum onp_status status = text.failed
                                 ? onp_fail(log, ONP_ERR_MEMORY, "no memory to write %s", path)
                                 : onp_writer_open(path, true, log, &writer);
    if (status == ONP_OK) {
        status = onp_writer_write(writer, text.data, text.size);
        if (status == ONP_OK)
            status = onp_writer_commit(writer);
        else
            onp_writer_discard(writer);
    }
    onp_buf_free(&text);
    return status;
}

static enum onp_status make_folder(const struct onp_log *log, const char *path) {
    char dir[4096];
    snprintf(dir, sizeof dir, "%s", path);
    char *slash = strrchr(dir, '/');
    if (!slash || slash == dir) return ONP_OK;
    *slash = '\0';
    return onp_make_dirs(dir, log);
}

enum onp_status onp_tune_write(const struct onp_tune *tune, const char *path) {
    char own[4096];
    struct onp_tuning_file file;
    if (!tune) return onp_fail(NULL, ONP_ERR_ARGUMENT, "onp_tune_write: no search");
    const struct onp_log *log = &tune->device->context->log;
    if (!path) {
        ONP_TRY(onp_tuned_path(tune->device, own, sizeof own));
        path = own;
    }
    const bool present = read_present(tune, path, &file);
    size_t sections = 0;
    onp_tuning_identify(&tune->device->info, &file);
    snprintf(file.head[ONP_TUNING_PROGRAM], sizeof file.head[0], "%s", onp_version());
    snprintf(file.head[ONP_TUNING_MODEL], sizeof file.head[0], "%s", tune->model);
    const time_t now = time(NULL);
    struct tm utc;
    if (gmtime_r(&now, &utc))
        strftime(file.head[ONP_TUNING_DATE], sizeof file.head[0], "%Y-%m-%dT%H:%M:%SZ", &utc);
    for (size_t i = 0; i < ONP_TUNED_COUNT; i++) {
        if (tune->winner[i].searched)
            put_section(&tune->winner[i], (enum onp_tuned_op)i, &file.op[i]);
        sections += file.op[i].line > 0;
    }
    if (sections == 0) {
        if (!present || unlink(path) == 0) return ONP_OK;
        return onp_fail(log, ONP_ERR_IO, "cannot remove %s, whose tiles no longer win", path);
    }
    if (path == own) ONP_TRY(make_folder(log, path));
    return write_file(log, path, &file);
}
