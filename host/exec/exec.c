// SPDX-License-Identifier: Apache-2.0
#include "exec/exec.h"

#include <stdlib.h>
#include <string.h>

#include "exec/commands.h"
#include "exec/profile.h"
#include "exec/select.h"
#include "graph/plan.h"

// Two graphs take turns: one is prepared while the other still runs. The queue keeps its order, so
// they share the arena. Where copies go beside the computation, each has memory of its own for what
// is copied: an upload may fill one's while the other's is read.
#define PROGRAMS 2
#define TAG_BITS 31 // of a command's tag are its index, the rest says whose command it is

struct onp_program {
    struct onp_graph *graph; // prepared, owned by the caller; NULL: none
    struct onp_commands commands;
    struct onp_buffer *staged; // inputs and kept tensors, if they lie apart from the arena
    // Per node of the graph.
    const struct onp_variant **variants;
    uint64_t *workspace, *workspace_offset;
    size_t node_capacity;
};

struct onp_exec {
    struct onp_device *device;
    struct onp_buffer *arena;
    uint64_t arena_bytes, staged_bytes; // of the graph prepared last
    bool overlap;
    struct onp_program programs[PROGRAMS], *program;
    struct onp_launch **launches; // scratch for kernels_build
    size_t launch_capacity;
    struct onp_profile profile;
};

enum onp_status onp_exec_create(struct onp_device *device, struct onp_exec **out) {
    struct onp_exec *exec = calloc(1, sizeof *exec);
    if (!exec) return onp_fail(&device->context->log, ONP_ERR_MEMORY, "no memory for a runner");
    exec->device = device;
    for (int i = 0; i < PROGRAMS; i++) exec->programs[i].commands.log = &device->context->log;
    exec->program = exec->programs;
    *out = exec;
    return ONP_OK;
}

void onp_exec_overlap(struct onp_exec *exec) { exec->overlap = exec->device->caps.overlap; }

static void free_program(struct onp_program *program) {
    if (program->staged) program->staged->device->backend->buffer_destroy(program->staged);
    free(program->commands.list);
    free(program->variants);
    free(program->workspace);
    free(program->workspace_offset);
}

void onp_exec_destroy(struct onp_exec *exec) {
    if (!exec) return;
    exec->device->backend->finish(exec->device);
    if (exec->arena) exec->device->backend->buffer_destroy(exec->arena);
    onp_profile_free(&exec->profile);
    for (int i = 0; i < PROGRAMS; i++) free_program(&exec->programs[i]);
    free(exec->launches);
    free(exec);
}

static enum onp_status no_memory(const struct onp_exec *exec) {
    return onp_fail(&exec->device->context->log, ONP_ERR_MEMORY, "no memory for the command list");
}

static enum onp_status reserve_nodes(const struct onp_exec *exec, struct onp_program *program,
                                     size_t count) {
    if (count <= program->node_capacity) return ONP_OK;
    const struct onp_variant **variants = realloc(program->variants, count * sizeof *variants);
    if (variants) program->variants = variants;
    uint64_t *workspace = realloc(program->workspace, count * sizeof *workspace);
    if (workspace) program->workspace = workspace;
    uint64_t *offset = realloc(program->workspace_offset, count * sizeof *offset);
    if (offset) program->workspace_offset = offset;
    if (!variants || !workspace || !offset) return no_memory(exec);
    program->node_capacity = count;
    return ONP_OK;
}

// True if an earlier node is of the same op and shape: its choice has been told already.
static bool told_before(struct onp_graph *graph, size_t index) {
    const struct onp_node *node = onp_graph_node(graph, index);
    char shape[64] = "", earlier[64];
    node->op->describe(node, shape, sizeof shape);
    for (size_t i = 0; i < index; i++) {
        const struct onp_node *other = onp_graph_node(graph, i);
        if (other->op != node->op) continue;
        other->op->describe(other, earlier, sizeof earlier);
        if (strcmp(shape, earlier) == 0) return true;
    }
    return false;
}

// Fills variants[] and workspace[]; a reference device has neither.
static enum onp_status choose_variants(const struct onp_device *device, struct onp_graph *graph,
                                       bool explain, const struct onp_variant **variants,
                                       uint64_t *workspace) {
    for (size_t i = 0; i < onp_graph_node_count(graph); i++) {
        const struct onp_node *node = onp_graph_node(graph, i);
        variants[i] = NULL;
        workspace[i] = 0;
        if (device->caps.reference) continue;
        const bool tell = explain && !told_before(graph, i);
        if (!(variants[i] = onp_select(node, device, tell))) return ONP_ERR_UNSUPPORTED;
        if (variants[i]->workspace) workspace[i] = variants[i]->workspace(node, device);
    }
    return ONP_OK;
}

// Makes a buffer anew if it is too small. The other graph may run in it.
static enum onp_status grow(const struct onp_exec *exec, struct onp_buffer **buffer,
                            uint64_t bytes) {
    if (*buffer && (*buffer)->bytes >= bytes) return ONP_OK;
    if (*buffer) {
        ONP_TRY(exec->device->backend->finish(exec->device));
        exec->device->backend->buffer_destroy(*buffer);
    }
    *buffer = NULL;
    return exec->device->backend->buffer_create(exec->device, bytes, buffer);
}

static enum onp_status reserve_memory(struct onp_exec *exec) {
    const struct onp_log *log = &exec->device->context->log;
    // Kernels receive element offsets as 32-bit integers.
    if (exec->arena_bytes / sizeof(float) > UINT32_MAX ||
        exec->staged_bytes / sizeof(float) > UINT32_MAX)
        return onp_fail(log, ONP_ERR_DEVICE_MEMORY,
                        "a batch needs %.1f GiB of activations, more than the 16 GiB that can be "
                        "addressed: use a smaller batch",
                        (double)(exec->arena_bytes + exec->staged_bytes) / 0x1p30);
    // Both programs': a list's second run takes as much as its first.
    for (int i = 0; i < PROGRAMS && exec->staged_bytes > 0; i++)
        ONP_TRY(grow(exec, &exec->programs[i].staged, exec->staged_bytes));
    return exec->arena_bytes > 0 ? grow(exec, &exec->arena, exec->arena_bytes) : ONP_OK;
}

static void place(struct onp_exec *exec) {
    for (size_t i = 0; i < onp_graph_tensor_count(exec->program->graph); i++) {
        struct onp_tensor *x = onp_graph_tensor(exec->program->graph, i);
        if (x->role != ONP_ROLE_WEIGHT)
            x->buffer = exec->overlap && onp_plan_stages(x) ? exec->program->staged : exec->arena;
    }
}

static enum onp_status emit_node(struct onp_exec *exec, size_t index) {
    struct onp_program *program = exec->program;
    const struct onp_node *node = onp_graph_node(program->graph, index);
    program->commands.node = index;
    program->commands.started = false;
    if (exec->device->caps.reference) {
        const struct onp_command command = {.kind = ONP_COMMAND_REFERENCE, .reference = node};
        return onp_commands_push(&program->commands, &command);
    }
    struct onp_emitter emitter = {
        .device = exec->device,
        .workspace = exec->arena,
        .workspace_offset = program->workspace[index] ? program->workspace_offset[index] : 0,
        .sink = &program->commands,
    };
    return program->variants[index]->emit(node, &emitter);
}

static enum onp_status build_kernels(struct onp_exec *exec) {
    if (exec->device->caps.reference) return ONP_OK;
    struct onp_command *commands = exec->program->commands.list;
    const size_t count = exec->program->commands.count;
    if (count > exec->launch_capacity) {
        struct onp_launch **grown = realloc(exec->launches, count * sizeof(*grown));
        if (!grown) return no_memory(exec);
        exec->launches = grown;
        exec->launch_capacity = count;
    }
    size_t launches = 0;
    for (size_t i = 0; i < count; i++)
        if (commands[i].kind == ONP_COMMAND_LAUNCH)
            exec->launches[launches++] = &commands[i].launch;
    return exec->device->backend->kernels_build(exec->device, exec->launches, launches);
}

static enum onp_status collect_times(struct onp_exec *exec) {
    if (!exec->profile.enabled) return ONP_OK;
    const struct onp_log *log = &exec->device->context->log;
    struct onp_timing *timings = NULL;
    size_t count = 0;
    ONP_TRY(exec->device->backend->timings(exec->device, &timings, &count));
    enum onp_status status = ONP_OK;
    for (size_t i = 0; i < count && status == ONP_OK; i++) {
        const struct onp_program *p = &exec->programs[timings[i].tag >> TAG_BITS];
        const uint32_t index = timings[i].tag & (((uint32_t)1 << TAG_BITS) - 1);
        onp_profile_busy(&exec->profile, &timings[i]);
        if (p->graph && index < p->commands.count)
            status = onp_profile_add(&exec->profile, log, p->graph, &p->commands.list[index],
                                     p->variants, timings[i].seconds);
    }
    free(timings);
    return status;
}

// Plans, reserves and emits; the variants and their workspaces are chosen already.
static enum onp_status prepare_chosen(struct onp_exec *exec, struct onp_graph *graph) {
    struct onp_program *program = exec->program;
    ONP_TRY(onp_plan(graph, program->workspace, program->workspace_offset, &exec->arena_bytes,
                     exec->overlap ? &exec->staged_bytes : NULL));
    ONP_TRY(reserve_memory(exec));
    program->graph = graph;
    place(exec);
    program->commands.count = 0;
    for (size_t i = 0; i < onp_graph_node_count(graph); i++) ONP_TRY(emit_node(exec, i));
    return build_kernels(exec);
}

// Lets go of the graph prepared before the last: its memory may be gone already.
static enum onp_status begin_prepare(struct onp_exec *exec, struct onp_graph *graph) {
    ONP_TRY(onp_graph_status(graph));
    exec->program = &exec->programs[exec->program == exec->programs];
    for (int i = 0; i < PROGRAMS; i++) // one that was recorded anew is no longer what it was
        if (exec->programs[i].graph == graph) exec->programs[i].graph = NULL;
    exec->program->graph = NULL;
    return reserve_nodes(exec, exec->program, onp_graph_node_count(graph));
}

enum onp_status onp_exec_prepare(struct onp_exec *exec, struct onp_graph *graph, bool explain) {
    ONP_TRY(begin_prepare(exec, graph));
    ONP_TRY(choose_variants(exec->device, graph, explain, exec->program->variants,
                            exec->program->workspace));
    return prepare_chosen(exec, graph);
}

enum onp_status onp_exec_prepare_variant(struct onp_exec *exec, struct onp_graph *graph,
                                         const struct onp_variant *variant) {
    ONP_TRY(begin_prepare(exec, graph));
    for (size_t i = 0; i < onp_graph_node_count(graph); i++) {
        const struct onp_node *node = onp_graph_node(graph, i);
        exec->program->variants[i] = variant;
        exec->program->workspace[i] =
            variant->workspace ? variant->workspace(node, exec->device) : 0;
    }
    return prepare_chosen(exec, graph);
}

static enum onp_status upload(struct onp_exec *exec, bool wait) {
    const struct onp_backend *backend = exec->device->backend;
    struct onp_graph *graph = exec->program->graph;
    for (size_t i = 0; i < onp_graph_tensor_count(graph); i++) {
        const struct onp_tensor *x = onp_graph_tensor(graph, i);
        if (x->role != ONP_ROLE_INPUT || x->root != x) continue;
        const uint64_t size = onp_dtype_size(x->dtype);
        ONP_TRY((wait ? backend->buffer_write : backend->buffer_send)(
            x->buffer, (uint64_t)x->offset * size, x->host, (uint64_t)(x->rows * x->cols) * size));
    }
    return ONP_OK;
}

enum onp_status onp_exec_upload(struct onp_exec *exec) { return upload(exec, true); }

static enum onp_status run_command(struct onp_exec *exec, size_t index) {
    const struct onp_command *command = &exec->program->commands.list[index];
    const struct onp_backend *backend = exec->device->backend;
    const uint32_t tag = (uint32_t)(exec->program - exec->programs) << TAG_BITS | (uint32_t)index;
    switch (command->kind) {
    case ONP_COMMAND_LAUNCH:
        return backend->launch(exec->device, &command->launch, tag);
    case ONP_COMMAND_GEMM:
        return backend->gemm(exec->device, &command->gemm, tag);
    case ONP_COMMAND_REFERENCE:
        command->reference->op->reference(command->reference);
        break;
    }
    return ONP_OK;
}

static enum onp_status compute(struct onp_exec *exec) {
    for (size_t i = 0; i < exec->program->commands.count; i++) ONP_TRY(run_command(exec, i));
    return ONP_OK;
}

static enum onp_status run(struct onp_exec *exec, bool wait) {
    ONP_TRY(upload(exec, wait));
    return compute(exec);
}

enum onp_status onp_exec_run(struct onp_exec *exec) { return run(exec, true); }

enum onp_status onp_exec_start(struct onp_exec *exec) {
    ONP_TRY(run(exec, false));
    return exec->device->backend->flush(exec->device);
}

// Copies a tensor's rows without what lies between them; `read` waits or queues.
static enum onp_status read_rows(const struct onp_tensor *x, float *out,
                                 enum onp_status (*read)(struct onp_buffer *, uint64_t, void *,
                                                         uint64_t)) {
    if (x->ld == x->cols)
        return read(x->buffer, (uint64_t)x->offset * sizeof *out, out,
                    (uint64_t)(x->rows * x->cols) * sizeof *out);
    for (int64_t r = 0; r < x->rows; r++)
        ONP_TRY(read(x->buffer, (uint64_t)(x->offset + r * x->ld) * sizeof *out, out + r * x->cols,
                     (uint64_t)x->cols * sizeof *out));
    return ONP_OK;
}

enum onp_status onp_exec_read(struct onp_exec *exec, const struct onp_tensor *x, float *out) {
    const struct onp_backend *backend = exec->device->backend;
    ONP_TRY(backend->finish(exec->device));
    ONP_TRY(collect_times(exec));
    return read_rows(x, out, backend->buffer_read);
}

enum onp_status onp_exec_submit(struct onp_exec *exec, const struct onp_tensor *x, float *out,
                                struct onp_mark **mark) {
    const struct onp_backend *backend = exec->device->backend;
    if (exec->overlap) ONP_TRY(backend->stage(exec->device, ONP_STAGE_UPLOAD));
    ONP_TRY(upload(exec, false));
    if (exec->overlap) ONP_TRY(backend->stage(exec->device, ONP_STAGE_COMPUTE));
    ONP_TRY(compute(exec));
    if (exec->overlap) ONP_TRY(backend->stage(exec->device, ONP_STAGE_DOWNLOAD));
    ONP_TRY(read_rows(x, out, backend->buffer_fetch));
    return backend->mark(exec->device, mark);
}

enum onp_status onp_exec_wait(struct onp_exec *exec, struct onp_mark *mark) {
    ONP_TRY(exec->device->backend->wait(exec->device, mark));
    return collect_times(exec);
}

struct onp_buffer *onp_exec_arena(const struct onp_exec *exec) {
    return exec->arena;
}

uint64_t onp_exec_arena_bytes(const struct onp_exec *exec) {
    return exec->arena ? exec->arena->bytes : 0;
}

uint64_t onp_exec_bytes(const struct onp_exec *exec) {
    uint64_t bytes = onp_exec_arena_bytes(exec);
    for (int i = 0; i < PROGRAMS; i++)
        if (exec->programs[i].staged) bytes += exec->programs[i].staged->bytes;
    return bytes;
}

enum onp_status onp_exec_measure(const struct onp_device *device, struct onp_graph *graph,
                                 uint64_t *bytes) {
    uint64_t staged = 0;
    ONP_TRY(onp_graph_status(graph));
    const size_t nodes = onp_graph_node_count(graph);
    const struct onp_variant **variants = calloc(nodes, sizeof(*variants));
    uint64_t *workspace = calloc(nodes, sizeof *workspace);
    uint64_t *offset = calloc(nodes, sizeof *offset);
    enum onp_status status = ONP_OK;
    if (!variants || !workspace || !offset)
        status = onp_fail(&device->context->log, ONP_ERR_MEMORY, "no memory for a plan");
    else if ((status = choose_variants(device, graph, false, variants, workspace)) == ONP_OK)
        status = onp_plan(graph, workspace, offset, bytes, device->caps.overlap ? &staged : NULL);
    if (status == ONP_OK) *bytes += PROGRAMS * staged;
    free(variants);
    free(workspace);
    free(offset);
    return status;
}

enum onp_status onp_exec_profile_enable(struct onp_exec *exec, bool on) {
    ONP_TRY(exec->device->backend->profile(exec->device, on));
    exec->profile.enabled = on;
    return ONP_OK;
}

enum onp_status onp_exec_profile(struct onp_exec *exec, struct onp_kernel_time **list,
                                 size_t *count) {
    ONP_TRY(exec->device->backend->finish(exec->device));
    ONP_TRY(collect_times(exec));
    return onp_profile_copy(&exec->profile, &exec->device->context->log, list, count);
}

void onp_exec_profile_reset(struct onp_exec *exec) {
    exec->profile.count = 0;
    exec->profile.busy_ns = 0;
}

double onp_exec_busy_seconds(const struct onp_exec *exec) {
    return 1e-9 * (double)exec->profile.busy_ns;
}
