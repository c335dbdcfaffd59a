// SPDX-License-Identifier: Apache-2.0
// list_programs FOLDER: every program that our GPU tunings launch, without a GPU or a driver. An
// encoder is made on a device that does nothing but note what it is told to compile, for each GPU
// row of the tuning table, for f32 and f16 weights, for the published widths (head size 64) and for
// a small model (head size 16).
//
// Writes FOLDER/<source>.cl, the text that a driver would be given, and FOLDER/programs: one line
// "source<TAB>function<TAB>defines<TAB>work-items of a group<TAB>device classes that launch it".
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backend/backend.h"
#include "base/checked.h"
#include "exec/exec.h"
#include "onepeace/onepeace.h"
#include "tests/golden/make_model.h"

// The least that each row of the tuning table for GPUs takes.
static const struct {
    const char *row;
    uint64_t local_bytes, max_work_group;
    uint32_t subgroup_size;
    bool subgroups; // NVIDIA's compiler has no functions for them
} classes[] = {{"gpu", 32 * 1024, 256, 0, false},          {"gpu-small", 8 * 1024, 64, 0, false},
               {"gpu-wave64", 32 * 1024, 256, 64, true},   {"gpu-wave32", 32 * 1024, 256, 32, true},
               {"gpu-warp32", 48 * 1024, 1024, 32, false}, {"gpu-simd8", 32 * 1024, 256, 8, true},
               {"gpu-simd16", 32 * 1024, 256, 16, true}};

// --- What was launched --------------------------------------------------------------------------

#define MAX_PROGRAMS 256

struct program {
    char source[48], function[48], defines[256];
    size_t items;
    unsigned classes; // bits
};

static struct program programs[MAX_PROGRAMS];
static size_t program_count;

static struct program *find(const struct onp_launch *launch, const char *defines) {
    for (size_t i = 0; i < program_count; i++)
        if (strcmp(programs[i].source, launch->source) == 0 &&
            strcmp(programs[i].function, launch->function) == 0 &&
            strcmp(programs[i].defines, defines) == 0)
            return &programs[i];
    if (program_count == MAX_PROGRAMS) return NULL;
    struct program *p = &programs[program_count++];
    snprintf(p->source, sizeof p->source, "%s", launch->source);
    snprintf(p->function, sizeof p->function, "%s", launch->function);
    snprintf(p->defines, sizeof p->defines, "%s", defines);
    p->items = 1;
    for (uint32_t d = 0; d < launch->dims; d++) p->items *= launch->local[d];
    return p;
}

static bool note(const struct onp_launch *launch, size_t class_index) {
    struct program *p = find(launch, launch->defines + strspn(launch->defines, " "));
    if (p) p->classes |= 1u << class_index;
    return p != NULL;
}

// --- A device that does nothing -----------------------------------------------------------------

static enum onp_status buffer_create(struct onp_device *device, uint64_t bytes,
                                     struct onp_buffer **out) {
    struct onp_buffer *buffer = calloc(1, sizeof *buffer);
    if (!buffer) return onp_fail(&device->context->log, ONP_ERR_MEMORY, "no memory");
    *buffer = (struct onp_buffer){.device = device, .bytes = bytes};
    *out = buffer;
    return ONP_OK;
}

static void buffer_destroy(struct onp_buffer *buffer) { free(buffer); }

static enum onp_status buffer_write(struct onp_buffer *buffer, uint64_t offset, const void *data,
                                    uint64_t bytes) {
    (void)buffer, (void)offset, (void)data, (void)bytes;
    return ONP_OK;
}

static size_t class_of(const struct onp_device *device) {
    size_t i = 0;
    while (i + 1 < ONP_COUNT(classes) && strcmp(classes[i].row, device->tuning.row) != 0) i++;
    return i;
}

static enum onp_status kernels_build(struct onp_device *device, struct onp_launch *const *launches,
                                     size_t count) {
    for (size_t i = 0; i < count; i++)
        if (!note(launches[i], class_of(device)))
            return onp_fail(&device->context->log, ONP_ERR_MEMORY, "more than %d programs",
                            MAX_PROGRAMS);
    return ONP_OK;
}

static enum onp_status finish(struct onp_device *device) {
    (void)device;
    return ONP_OK;
}

// Preparing an encoder runs nothing, so there is no launch, no product and no reading.
static const struct onp_backend backend = {.name = "none",
                                           .buffer_create = buffer_create,
                                           .buffer_destroy = buffer_destroy,
                                           .buffer_write = buffer_write,
                                           .buffer_send = buffer_write,
                                           .kernels_build = kernels_build,
                                           .flush = finish,
                                           .finish = finish};

// Products of few rows take lower tiles: with `halvings` every product takes the tile that is so
// many times halved; with less than 0, sub-groups are used where there are some.
static bool open_class(size_t index, int halvings, struct onp_context *context,
                       struct onp_device *device) {
    const uint64_t group = classes[index].max_work_group;
    *device = (struct onp_device){.backend = &backend,
                                  .context = context,
                                  .info = {.name = "none", .global_bytes = (uint64_t)16 << 30},
                                  .caps = {.type = ONP_DEVICE_GPU,
                                           .vector_width = 1,
                                           .compute_units = 16,
                                           .max_work_group = group,
                                           .max_work_item = {group, group, group},
                                           .local_bytes = classes[index].local_bytes,
                                           .subgroup_size = classes[index].subgroup_size,
                                           .subgroups = halvings < 0 && classes[index].subgroups,
                                           .max_alloc_bytes = (uint64_t)4 << 30,
                                           .global_bytes = (uint64_t)16 << 30}};
    onp_tuning_choose(device);
    device->tuning.attention_subgroups = true; // also where the class does not take them
    device->tuning.subgroup_rows = 8;
    device->tuning.subgroup_cols = 4;
    for (; halvings > 0 && device->tuning.group_rows > 16; halvings--)
        device->tuning.group_rows /= 2;
    device->tuning.least_rows = device->tuning.group_rows;
    return strcmp(device->tuning.row, classes[index].row) == 0;
}

// --- Models -------------------------------------------------------------------------------------

// One layer has the programs of all; a short vocabulary keeps the file small.
static struct onp_test_model published_widths(void) {
    struct onp_test_model model = onp_test_model_full();
    model.layers = 1;
    model.vocab = 64;
    return model;
}

static struct onp_test_model small_heads(void) {
    struct onp_test_model model = published_widths();
    model.embed_dim = 96;
    model.ffn_dim = 160;
    model.heads = 6;
    model.image_size = 64;
    model.channels = 24;
    return model;
}

static enum onp_status prepare(const struct onp_model *model, size_t class_index, int halvings,
                               enum onp_dtype dtype, struct onp_context *context) {
    struct onp_device device;
    const struct onp_encoder_params params = {.modalities = ONP_ALL_MODALITIES, .dtype = dtype};
    struct onp_encoder *encoder = NULL;
    if (!open_class(class_index, halvings, context, &device))
        return onp_fail(&context->log, ONP_ERR_UNSUPPORTED, "row %s was not chosen",
                        classes[class_index].row);
    ONP_TRY(onp_encoder_create(&device, model, &params, &encoder));
    onp_encoder_destroy(encoder);
    return ONP_OK;
}

static enum onp_status walk_model(const char *folder, const struct onp_test_model *settings,
                                  struct onp_context *context) {
    char path[1024];
    struct onp_model *model = NULL;
    snprintf(path, sizeof path, "%s/model.safetensors", folder);
    enum onp_status status = onp_make_model(path, settings, &context->log);
    if (status == ONP_OK) status = onp_model_open(context, path, NULL, &model);
    for (size_t i = 0; i < ONP_COUNT(classes) && status == ONP_OK; i++) {
        for (int halvings = -1; halvings < 4 && status == ONP_OK; halvings++) {
            status = prepare(model, i, halvings, ONP_F32, context);
            if (status == ONP_OK) status = prepare(model, i, halvings, ONP_F16, context);
        }
    }
    onp_model_close(model);
    unlink(path);
    return status;
}

// --- Output -------------------------------------------------------------------------------------

static FILE *create(const char *folder, const char *name, const char *suffix) {
    char path[1024];
    snprintf(path, sizeof path, "%s/%s%s", folder, name, suffix);
    return fopen(path, "w");
}

static bool write_sources(const char *folder) {
    for (const struct onp_kernel_source *s = onp_kernel_sources; s->name; s++) {
        FILE *file = create(folder, s->name, ".cl");
        if (!file) return false;
        fprintf(file, "%s\n#line 1 \"%s.cl\"\n%s", onp_kernel_prelude, s->name, s->text);
        if (fclose(file)) return false;
    }
    return true;
}

static bool write_programs(const char *folder) {
    FILE *file = create(folder, "programs", "");
    if (!file) return false;
    for (size_t i = 0; i < program_count; i++) {
        const struct program *p = &programs[i];
        fprintf(file, "%s\t%s\t%s\t%zu\t", p->source, p->function, p->defines, p->items);
        const char *comma = "";
        for (size_t c = 0; c < ONP_COUNT(classes); c++) {
            if (!(p->classes & 1u << c)) continue;
            fprintf(file, "%s%s", comma, classes[c].row);
            comma = ",";
        }
        fputc('\n', file);
    }
    return fclose(file) == 0;
}

static void print_message(void *user, enum onp_log_level level, const char *message) {
    (void)user, (void)level;
    fprintf(stderr, "%s\n", message);
}

int main(int argc, char **argv) {
    const struct onp_context_params params = {.log = print_message, .log_level = ONP_LOG_WARNING};
    const struct onp_test_model models[] = {published_widths(), small_heads()};
    struct onp_context *context = NULL;
    if (argc != 2) {
        fprintf(stderr, "usage: %s FOLDER\n", argv[0]);
        return 2;
    }
    if (onp_context_create(&params, &context) != ONP_OK) return 1;
    enum onp_status status = ONP_OK;
    for (size_t i = 0; i < ONP_COUNT(models) && status == ONP_OK; i++)
        status = walk_model(argv[1], &models[i], context);
    onp_context_destroy(context);
    if (status != ONP_OK) return 1;
    if (write_sources(argv[1]) && write_programs(argv[1])) return 0;
    fprintf(stderr, "cannot write to %s\n", argv[1]);
    return 1;
}
