// SPDX-License-Identifier: Apache-2.0
// Programs: one per (source, defines), compiled in parallel or taken from the disk cache.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/opencl/opencl.h"
#include "base/clock.h"
#include "base/parallel.h"
#include "base/sha256.h"

// Kernels rely on infinities (masks) and on exact division, so nothing looser than mad is allowed.
#define OPTIONS      "-cl-std=%s -cl-mad-enable%s%s%s"
#define NO_FMA       " -DNO_FMA"
#define OPTIONS_SIZE (sizeof((struct onp_cl_program *)0)->defines + sizeof OPTIONS + sizeof NO_FMA)
// Changes whenever the same key would have to mean something else.
#define CACHE_FORMAT "onepeace opencl 1"

struct build {
    struct onp_cl_device *device;
    struct onp_cl_program *program;
    cl_int error;
    char *log; // of a failed build, malloc'ed, may be NULL
};

// The only kernels that may need more than OpenCL C 1.2 are those with sub-groups.
static void make_options(const struct onp_cl_device *device, const struct onp_cl_program *program,
                         char *options, size_t size) {
    const bool sub_groups = strstr(program->defines, ONP_SUB_GROUPS) != NULL;
    snprintf(options, size, OPTIONS,
             sub_groups && device->sub_group_standard ? device->sub_group_standard : "CL1.2",
             device->no_fma ? NO_FMA : "", program->defines[0] ? " " : "", program->defines);
}

static void make_key(const struct onp_cl_device *device, struct onp_cl_program *program) {
    char options[OPTIONS_SIZE];
    make_options(device, program, options, sizeof options);
    const struct onp_device_info *info = &device->base.info;
    const char *parts[] = {CACHE_FORMAT,
                           onp_kernel_prelude,
                           program->source,
                           program->text,
                           options,
                           info->name,
                           info->vendor,
                           info->version,
                           info->driver,
                           info->platform,
                           device->platform_version};
    struct onp_sha256 sha;
    onp_sha256_init(&sha);
    // The terminating zeros keep neighbouring parts apart.
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        onp_sha256_update(&sha, parts[i], strlen(parts[i]) + 1);
    onp_sha256_final(&sha, program->key);
}

static char *build_log(cl_program program, cl_device_id id) {
    size_t size = 0;
    if (clGetProgramBuildInfo(program, id, CL_PROGRAM_BUILD_LOG, 0, NULL, &size) != CL_SUCCESS)
        return NULL;
    char *log = calloc(size + 1, 1);
    if (log) clGetProgramBuildInfo(program, id, CL_PROGRAM_BUILD_LOG, size, log, NULL);
    return log;
}

static cl_int build_handle(struct build *build, cl_program handle, bool keep_log) {
    char options[OPTIONS_SIZE];
    make_options(build->device, build->program, options, sizeof options);
    const cl_device_id id = build->device->entry.id;
    const cl_int error = clBuildProgram(handle, 1, &id, options, NULL, NULL);
    if (error != CL_SUCCESS && keep_log) build->log = build_log(handle, id);
    return error;
}

// A driver may still refuse a binary that passed every check of the cache; then it is rebuilt.
static bool load_cached(struct build *build) {
    size_t size;
    if (build->device->quirks.own_cache) return false;
    unsigned char *binary = onp_cl_cache_load(&build->device->cache, build->program->key, &size);
    if (!binary) return false;
    const unsigned char *bytes = binary;
    cl_int error, state = CL_SUCCESS;
    cl_program handle = clCreateProgramWithBinary(
        build->device->context, 1, &build->device->entry.id, &size, &bytes, &state, &error);
    free(binary);
    if (error == CL_SUCCESS && state != CL_SUCCESS) error = state;
    if (error == CL_SUCCESS) error = build_handle(build, handle, false);
    if (error == CL_SUCCESS) {
        build->program->handle = handle;
        build->program->cached = true;
    } else if (handle) {
        clReleaseProgram(handle);
    }
    return error == CL_SUCCESS;
}

static void compile(struct build *build) {
    char line[128]; // so that the log names the file and the line in it
    snprintf(line, sizeof line, "\n#line 1 \"%s.cl\"\n", build->program->source);
    if (build->device->quirks.no_line) line[0] = '\0';
    const char *texts[] = {onp_kernel_prelude, line, build->program->text};
    cl_program handle =
        clCreateProgramWithSource(build->device->context, 3, texts, NULL, &build->error);
    if (build->error != CL_SUCCESS) return;
    build->error = build_handle(build, handle, true);
    if (build->error == CL_SUCCESS)
        build->program->handle = handle;
    else
        clReleaseProgram(handle);
}

static void build_one(void *user, size_t index) {
    struct build *build = (struct build *)user + index;
    make_key(build->device, build->program);
    if (!load_cached(build)) compile(build);
}

// A log may be longer than a message; the first errors are the telling ones.
static enum onp_status build_failed(const struct build *build) {
    char options[OPTIONS_SIZE];
    make_options(build->device, build->program, options, sizeof options);
    return onp_fail(&build->device->base.context->log, onp_cl_error_status(build->error),
                    "kernel source %s does not compile on %s with \"%s\": %s (%d); the driver's "
                    "log:\n%.3000s",
                    build->program->source, build->device->base.info.name, options,
                    onp_cl_error_name(build->error), (int)build->error,
                    build->log ? build->log : "(none)");
}

static void program_free(struct onp_cl_program *program) {
    while (program->kernels) {
        struct onp_kernel *kernel = program->kernels;
        program->kernels = kernel->next;
        clReleaseKernel(kernel->handle);
        free(kernel);
    }
    if (program->handle) clReleaseProgram(program->handle);
    free(program);
}

// Forgets programs from `first` on.
static void drop_programs(struct onp_cl_device *device, size_t first) {
    while (device->program_count > first) program_free(device->programs[--device->program_count]);
}

void onp_cl_programs_free(struct onp_cl_device *device) {
    drop_programs(device, 0);
    free(device->programs);
    device->programs = NULL;
}

static struct onp_cl_program *find_program(const struct onp_cl_device *device,
                                           const struct onp_launch *launch) {
    for (size_t i = 0; i < device->program_count; i++)
        if (strcmp(device->programs[i]->source, launch->source) == 0 &&
            strcmp(device->programs[i]->defines, launch->defines) == 0)
            return device->programs[i];
    return NULL;
}

static enum onp_status add_program(struct onp_cl_device *device,
                                   const struct onp_kernel_source *table,
                                   const struct onp_launch *launch) {
    const struct onp_log *log = &device->base.context->log;
    while (table->name && strcmp(table->name, launch->source) != 0) table++;
    if (!table->name)
        return onp_fail(log, ONP_ERR_BUILD, "there is no kernel source named %s", launch->source);
    struct onp_cl_program **grown =
        realloc(device->programs, (device->program_count + 1) * sizeof(*grown));
    struct onp_cl_program *program = calloc(1, sizeof *program);
    if (grown) device->programs = grown;
    if (!grown || !program) {
        free(program);
        return onp_fail(log, ONP_ERR_MEMORY, "no memory for a program");
    }
    program->source = table->name;
    program->text = table->text;
    snprintf(program->defines, sizeof program->defines, "%s", launch->defines);
    device->programs[device->program_count++] = program;
    return ONP_OK;
}

// Builds programs from `first` on, all at once, and reports the first that failed.
static enum onp_status build_programs(struct onp_cl_device *device, size_t first) {
    const size_t count = device->program_count - first;
    if (count == 0) return ONP_OK;
    const struct onp_log *log = &device->base.context->log;
    struct build *builds = calloc(count, sizeof *builds);
    if (!builds) return onp_fail(log, ONP_ERR_MEMORY, "no memory to build %zu programs", count);
    for (size_t i = 0; i < count; i++)
        builds[i] = (struct build){.device = device, .program = device->programs[first + i]};
    const double start = onp_seconds_now();
    onp_parallel_for(count, device->quirks.serial_build ? 1 : 0, build_one, builds);
    enum onp_status status = ONP_OK;
    size_t cached = 0;
    for (size_t i = 0; i < count; i++) {
        if (status == ONP_OK && !builds[i].program->handle) status = build_failed(&builds[i]);
        cached += builds[i].program->cached;
        free(builds[i].log);
    }
    free(builds);
    if (status == ONP_OK) {
        device->cache_hits += cached;
        device->compiled += count - cached;
        onp_log(log, ONP_LOG_DEBUG, "kernels: %zu programs in %.1f s (%zu compiled, %zu cached)",
                count, onp_seconds_now() - start, count - cached, cached);
    }
    return status;
}

// Kernel objects are shared by the launches of a program: their arguments are set at each launch,
// and a device belongs to one thread at a time.
static enum onp_status resolve(struct onp_cl_device *device, struct onp_launch *launch) {
    struct onp_cl_program *program = find_program(device, launch);
    char name[sizeof((struct onp_kernel *)0)->name];
    snprintf(name, sizeof name, "%s/%s", launch->source, launch->function);
    for (struct onp_kernel *kernel = program->kernels; kernel; kernel = kernel->next)
        if (strcmp(kernel->name, name) == 0) {
            launch->kernel = kernel;
            return ONP_OK;
        }
    const struct onp_log *log = &device->base.context->log;
    struct onp_kernel *kernel = calloc(1, sizeof *kernel);
    if (!kernel) return onp_fail(log, ONP_ERR_MEMORY, "no memory for a kernel");
    cl_int error;
    kernel->handle = clCreateKernel(program->handle, launch->function, &error);
    if (error != CL_SUCCESS) {
        free(kernel);
        return onp_cl_fail(log, error, "cannot create kernel %s (%s) on %s", name, launch->defines,
                           device->base.info.name);
    }
    memcpy(kernel->name, name, sizeof name);
    kernel->next = program->kernels;
    program->kernels = kernel;
    launch->kernel = kernel;
    return ONP_OK;
}

// Drivers that compile at kernel creation have something to save only now. A program for one device
// has one binary.
static void save(struct onp_cl_device *device, const struct onp_cl_program *program) {
    size_t size = 0;
    if (clGetProgramInfo(program->handle, CL_PROGRAM_BINARY_SIZES, sizeof size, &size, NULL) !=
            CL_SUCCESS ||
        size == 0)
        return;
    unsigned char *binary = malloc(size);
    if (binary && clGetProgramInfo(program->handle, CL_PROGRAM_BINARIES, sizeof(binary), &binary,
                                   NULL) == CL_SUCCESS)
        onp_cl_cache_save(&device->cache, program->key, binary, size);
    free(binary);
}

static void save_new(struct onp_cl_device *device, size_t first) {
    if (!device->cache.dir || device->quirks.own_cache) return;
    bool saved = false;
    for (size_t i = first; i < device->program_count; i++)
        if (!device->programs[i]->cached) {
            save(device, device->programs[i]);
            saved = true;
        }
    if (saved) onp_cl_cache_trim(&device->cache);
}

enum onp_status onp_cl_build_from(struct onp_cl_device *device,
                                  const struct onp_kernel_source *table,
                                  struct onp_launch *const *launches, size_t count) {
    const size_t first = device->program_count;
    enum onp_status status = ONP_OK;
    for (size_t i = 0; i < count && status == ONP_OK; i++)
        if (!find_program(device, launches[i])) status = add_program(device, table, launches[i]);
    if (status == ONP_OK) status = build_programs(device, first);
    for (size_t i = 0; i < count && status == ONP_OK; i++) status = resolve(device, launches[i]);
    if (status == ONP_OK)
        save_new(device, first);
    else
        drop_programs(device, first); // so that a later call does not find half of them
    return status;
}

enum onp_status onp_cl_kernels_build(struct onp_device *device, struct onp_launch *const *launches,
                                     size_t count) {
    return onp_cl_build_from(onp_cl_device(device), onp_kernel_sources, launches, count);
}

bool onp_cl_compiles(struct onp_cl_device *device, const char *name, const char *text,
                     const char *defines) {
    struct onp_cl_program program = {.source = name, .text = text};
    snprintf(program.defines, sizeof program.defines, "%s", defines);
    struct build build = {.device = device, .program = &program};
    make_key(device, &program);
    size_t size;
    char *answer = onp_cl_cache_load(&device->cache, program.key, &size);
    const bool known = answer && size == 1;
    bool works = known && answer[0] == 'y';
    free(answer);
    if (known) return works;
    compile(&build);
    works = program.handle != NULL;
    if (works) clReleaseProgram(program.handle);
    free(build.log);
    onp_cl_cache_save(&device->cache, program.key, works ? "y" : "n", 1);
    return works;
}
