// SPDX-License-Identifier: Apache-2.0
// The op tables' cases on devices that are not there. Its back end holds buffers in host memory and
// hands every launch to the program at the other end of its pipes, which executes it; everything
// else is the self-test's own: the variants' choice, the poisoned arena, the C reference and the
// op's tolerance.
//
//   cases sources FOLDER             writes FOLDER/<source>.cl as a driver would be given it
//   cases list CLASS                 a line for each variant and case that the device class runs:
//                                    op, variant, case, label, FLOP, bytes, what it launches
//   cases run CLASS OP VARIANT CASE  runs one of them
//
// While running, stdout carries lines and stdin the answers:
//   buffer ID BYTES + content        before a launch, for each buffer that it takes
//   launch SOURCE FUNCTION, defines, sizes and arguments, one line each, then "end"
//                                    answer "ok" + the buffers' contents in their order, or
//                                    "error MESSAGE"
//   result STATUS ERROR TOLERANCE MESSAGE
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/backend.h"
#include "base/checked.h"
#include "exec/exec.h"
#include "ops/op.h"

// What the drivers of such devices tell. "small" and "minimal" are the least that their rows of the
// tuning table ask for. Pinned: the class's tile of the matrix product also where a lower one suits
// the few rows of a case better. The emulated devices have no sub-groups of 8.
static const struct {
    const char *name;
    uint64_t local_bytes, max_work_group;
    uint32_t subgroup_size;
    bool subgroups, pinned;
} classes[] = {
    {"wave32", 64 * 1024, 256, 32, true, false},  {"wave64", 64 * 1024, 256, 64, true, false},
    {"pinned32", 64 * 1024, 256, 32, true, true}, {"pinned64", 64 * 1024, 256, 64, true, true},
    {"simd8", 64 * 1024, 256, 8, false, true},    {"small", 8 * 1024, 64, 0, false, true},
    {"minimal", 1024, 16, 0, false, false}};

// --- The back end --------------------------------------------------------------------------------

static bool listing;        // nothing is executed, launches are noted
static char launched[1024]; // what the case launched
static bool broken;         // the other end is gone

static enum onp_status buffer_create(struct onp_device *device, uint64_t bytes,
                                     struct onp_buffer **out) {
    struct onp_buffer *buffer = calloc(1, sizeof *buffer);
    void *host = malloc(bytes);
    if (!buffer || !host) {
        free(buffer);
        free(host);
        return onp_fail(&device->context->log, ONP_ERR_MEMORY, "no memory");
    }
    *buffer = (struct onp_buffer){.device = device, .bytes = bytes, .host = host};
    *out = buffer;
    return ONP_OK;
}

static void buffer_destroy(struct onp_buffer *buffer) {
    if (buffer) free(buffer->host);
    free(buffer);
}

static enum onp_status buffer_write(struct onp_buffer *buffer, uint64_t offset, const void *data,
                                    uint64_t bytes) {
    memcpy((char *)buffer->host + offset, data, bytes);
    return ONP_OK;
}

static enum onp_status buffer_read(struct onp_buffer *buffer, uint64_t offset, void *data,
                                   uint64_t bytes) {
    memcpy(data, (const char *)buffer->host + offset, bytes);
    return ONP_OK;
}

static enum onp_status kernels_build(struct onp_device *device, struct onp_launch *const *launches,
                                     size_t count) {
    (void)device, (void)launches, (void)count;
    return ONP_OK;
}

static enum onp_status done(struct onp_device *device) {
    (void)device;
    return ONP_OK;
}

// The buffers of a launch, each once.
static size_t buffers_of(const struct onp_launch *launch, struct onp_buffer **list) {
    size_t count = 0;
    for (uint32_t i = 0; i < launch->arg_count; i++) {
        struct onp_buffer *buffer = launch->args[i].value.buffer;
        if (launch->args[i].kind != ONP_ARG_BUFFER || !buffer) continue;
        size_t at = 0;
        while (at < count && list[at] != buffer) at++;
        if (at == count) list[count++] = buffer;
    }
    return count;
}

static void send_argument(const struct onp_arg *arg, struct onp_buffer *const *buffers,
                          size_t count) {
    uint32_t bits = 0;
    size_t at = 0;
    switch (arg->kind) {
    case ONP_ARG_BUFFER:
        while (at < count && buffers[at] != arg->value.buffer) at++;
        if (at < count)
            printf("buffer %zu\n", at);
        else
            printf("null\n");
        break;
    case ONP_ARG_I32:
        printf("i32 %" PRId32 "\n", arg->value.i32);
        break;
    case ONP_ARG_U32:
        printf("u32 %" PRIu32 "\n", arg->value.u32);
        break;
    case ONP_ARG_F32:
        memcpy(&bits, &arg->value.f32, sizeof bits);
        printf("u32 %" PRIu32 "\n", bits);
        break;
    case ONP_ARG_LOCAL:
        printf("local %" PRIu64 "\n", arg->value.local_bytes);
        break;
    }
}

static void send(const struct onp_launch *launch, struct onp_buffer *const *buffers, size_t count) {
    for (size_t i = 0; i < count; i++) {
        printf("buffer %zu %" PRIu64 "\n", i, buffers[i]->bytes);
        fwrite(buffers[i]->host, 1, buffers[i]->bytes, stdout);
    }
    printf("launch %s %s\n%s\n", launch->source, launch->function, launch->defines);
    printf("%" PRIu32, launch->dims);
    for (uint32_t d = 0; d < 3; d++)
        printf(" %zu", d < launch->dims ? launch->global[d] : (size_t)1);
    for (uint32_t d = 0; d < 3; d++)
        printf(" %zu", d < launch->dims ? launch->local[d] : (size_t)1);
    putchar('\n');
    for (uint32_t i = 0; i < launch->arg_count; i++)
        send_argument(&launch->args[i], buffers, count);
    printf("end\n");
    fflush(stdout);
}

static enum onp_status receive(struct onp_device *device, struct onp_buffer *const *buffers,
                               size_t count) {
    const struct onp_log *log = &device->context->log;
    char line[1024];
    broken = !fgets(line, sizeof line, stdin);
    if (broken) return onp_fail(log, ONP_ERR_DEVICE, "the emulator ended");
    line[strcspn(line, "\n")] = '\0';
    if (strcmp(line, "ok") != 0) return onp_fail(log, ONP_ERR_DEVICE, "%s", line);
    for (size_t i = 0; i < count; i++)
        if (fread(buffers[i]->host, 1, buffers[i]->bytes, stdin) != buffers[i]->bytes)
            return onp_fail(log, ONP_ERR_DEVICE, "the emulator ended");
    return ONP_OK;
}

static void note(const struct onp_launch *launch) {
    const size_t used = strlen(launched);
    snprintf(launched + used, sizeof launched - used, "%s%s%s:%zux%zux%zu", used ? "; " : "",
             launch->function, launch->defines, launch->local[0], launch->local[1],
             launch->local[2]);
}

static enum onp_status launch(struct onp_device *device, const struct onp_launch *launch,
                              uint32_t tag) {
    struct onp_buffer *buffers[ONP_MAX_ARGS] = {NULL};
    (void)tag;
    if (listing) {
        note(launch);
        return ONP_OK;
    }
    if (broken) return onp_fail(&device->context->log, ONP_ERR_DEVICE, "the emulator ended");
    const size_t count = buffers_of(launch, buffers);
    send(launch, buffers, count);
    return receive(device, buffers, count);
}

static const struct onp_backend backend = {.name = "pipe",
                                           .buffer_create = buffer_create,
                                           .buffer_destroy = buffer_destroy,
                                           .buffer_write = buffer_write,
                                           .buffer_read = buffer_read,
                                           .buffer_send = buffer_write,
                                           .kernels_build = kernels_build,
                                           .launch = launch,
                                           .flush = done,
                                           .finish = done};

static bool open_class(const char *name, struct onp_context *context, struct onp_device *device) {
    size_t i = 0;
    while (i < ONP_COUNT(classes) && strcmp(classes[i].name, name) != 0) i++;
    if (i == ONP_COUNT(classes)) return false;
    const uint64_t group = classes[i].max_work_group;
    *device = (struct onp_device){.backend = &backend,
                                  .context = context,
                                  .info = {.name = "emulated", .global_bytes = (uint64_t)8 << 30},
                                  .caps = {.type = ONP_DEVICE_GPU,
                                           .vector_width = 1,
                                           .compute_units = 16,
                                           .max_work_group = group,
                                           .max_work_item = {group, group, group},
                                           .local_bytes = classes[i].local_bytes,
                                           .subgroup_size = classes[i].subgroup_size,
                                           .subgroups = classes[i].subgroups,
                                           .max_alloc_bytes = (uint64_t)2 << 30,
                                           .global_bytes = (uint64_t)8 << 30}};
    onp_tuning_choose(device);
    device->tuning.attention_subgroups = true; // also where the class does not take them
    device->tuning.subgroup_rows = 8;
    device->tuning.subgroup_cols = 4;
    if (classes[i].pinned) device->tuning.least_rows = device->tuning.group_rows;
    return true;
}

// --- Cases ---------------------------------------------------------------------------------------

static const struct onp_op *original;
static double flops, bytes; // that the case's formula needs

static struct onp_tensor *build_and_cost(struct onp_case_builder *b, const struct onp_op_case *c) {
    struct onp_tensor *dst = original->build_case(b, c);
    if (dst) original->cost(onp_graph_node(b->graph, 0), &flops, &bytes);
    return dst;
}

static void no_reference(const struct onp_node *node) {
    memset(onp_host_data(node->dst), 0,
           (size_t)(node->dst->rows * node->dst->cols) * sizeof(float));
}

static void on_result(void *user, const struct onp_selftest_result *r) {
    (void)user;
    if (listing) return;
    printf("result %d %.9g %.9g %s\n", (int)r->status, r->error, r->tolerance, r->message);
    fflush(stdout);
}

// One variant on one case: the op as it is, but for the list of its variants.
static enum onp_status check(struct onp_device *device, const struct onp_op *op,
                             const struct onp_variant *variant, size_t index,
                             struct onp_selftest_summary *summary) {
    const struct onp_variant *const only[] = {variant, NULL};
    struct onp_op narrowed = *op;
    narrowed.variants = only;
    narrowed.build_case = build_and_cost;
    if (listing) narrowed.reference = no_reference;
    original = op;
    launched[0] = '\0';
    return onp_check_case(device, &narrowed, &op->cases[index], 1 + index, on_result, NULL,
                          summary);
}

static enum onp_status list(struct onp_device *device) {
    for (const struct onp_op *const *op = onp_ops; *op; op++)
        for (const struct onp_variant *const *v = (*op)->variants; *v; v++)
            for (size_t i = 0; i < (*op)->case_count; i++) {
                struct onp_selftest_summary summary = {0};
                if ((*op)->cases[i].slow) continue;
                ONP_TRY(check(device, *op, *v, i, &summary));
                if (summary.passed + summary.failed == 0) continue;
                printf("%s\t%s\t%zu\t%s\t%.0f\t%.0f\t%s\n", (*op)->name, (*v)->name, i,
                       (*op)->cases[i].label, flops, bytes, launched);
            }
    return ONP_OK;
}

static enum onp_status run(struct onp_device *device, const char *op_name, const char *variant,
                           size_t index) {
    struct onp_selftest_summary summary = {0};
    for (const struct onp_op *const *op = onp_ops; *op; op++)
        for (const struct onp_variant *const *v = (*op)->variants; *v; v++)
            if (strcmp((*op)->name, op_name) == 0 && strcmp((*v)->name, variant) == 0 &&
                index < (*op)->case_count)
                ONP_TRY(check(device, *op, *v, index, &summary));
    return summary.passed + summary.failed > 0 ? ONP_OK : ONP_ERR_ARGUMENT;
}

static enum onp_status write_sources(const char *folder) {
    for (const struct onp_kernel_source *s = onp_kernel_sources; s->name; s++) {
        char path[1024];
        snprintf(path, sizeof path, "%s/%s.cl", folder, s->name);
        FILE *file = fopen(path, "w");
        if (!file) return ONP_ERR_IO;
        fprintf(file, "%s\n#line 1 \"%s.cl\"\n%s", onp_kernel_prelude, s->name, s->text);
        if (fclose(file)) return ONP_ERR_IO;
    }
    return ONP_OK;
}

static void print_message(void *user, enum onp_log_level level, const char *message) {
    (void)user, (void)level;
    fprintf(stderr, "%s\n", message);
}

int main(int argc, char **argv) {
    struct onp_context context = {.log = {.fn = print_message, .level = ONP_LOG_WARNING}};
    struct onp_device device;
    enum onp_status status = ONP_ERR_ARGUMENT;
    pthread_mutex_init(&context.log.mutex, NULL);
    if (argc == 3 && strcmp(argv[1], "sources") == 0) {
        status = write_sources(argv[2]);
    } else if (argc == 3 && strcmp(argv[1], "list") == 0 &&
               open_class(argv[2], &context, &device)) {
        listing = true;
        status = list(&device);
    } else if (argc == 6 && strcmp(argv[1], "run") == 0 && open_class(argv[2], &context, &device)) {
        status = run(&device, argv[3], argv[4], strtoul(argv[5], NULL, 10));
    } else {
        fprintf(stderr, "usage: %s sources FOLDER | list CLASS | run CLASS OP VARIANT CASE\n",
                argv[0]);
    }
    pthread_mutex_destroy(&context.log.mutex);
    return status != ONP_OK;
}
