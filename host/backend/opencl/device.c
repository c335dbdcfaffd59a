// SPDX-License-Identifier: Apache-2.0
// The OpenCL back end: lists the devices of all platforms behind the ICD loader, opens one.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/opencl/opencl.h"

#define PLATFORM_NOT_FOUND (-1001) // CL_PLATFORM_NOT_FOUND_KHR, cl_ext.h

static enum onp_status no_memory(const struct onp_context *context) {
    return onp_fail(&context->log, ONP_ERR_MEMORY, "no memory to list OpenCL devices");
}

// Appends the devices of one platform. A platform that lists nothing is no error; one that fails is
// passed over, since the others may work.
static enum onp_status add_platform(const struct onp_context *context, cl_platform_id platform,
                                    struct onp_cl_entry **list, size_t *count) {
    cl_uint found = 0;
    cl_int error = clGetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, 0, NULL, &found);
    if (error == CL_DEVICE_NOT_FOUND || (error == CL_SUCCESS && found == 0)) return ONP_OK;
    cl_device_id *ids = error == CL_SUCCESS ? calloc(found, sizeof(*ids)) : NULL;
    if (error == CL_SUCCESS && !ids) return no_memory(context);
    if (error == CL_SUCCESS) error = clGetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, found, ids, NULL);
    struct onp_cl_entry *grown = NULL;
    if (error == CL_SUCCESS) grown = realloc(*list, (*count + found) * sizeof *grown);
    if (grown) *list = grown;
    for (cl_uint i = 0; grown && i < found; i++)
        grown[(*count)++] = (struct onp_cl_entry){platform, ids[i]};
    free(ids);
    if (error == CL_SUCCESS) return grown ? ONP_OK : no_memory(context);
    char name[128];
    onp_cl_platform_string(platform, CL_PLATFORM_NAME, name, sizeof name);
    onp_log(&context->log, ONP_LOG_WARNING, "platform %s cannot list its devices: %s (%d)", name,
            onp_cl_error_name(error), (int)error);
    return ONP_OK;
}

// Every device of every platform, in the loader's order. *list is malloc'ed.
static enum onp_status enumerate(const struct onp_context *context, struct onp_cl_entry **list,
                                 size_t *count) {
    *list = NULL;
    *count = 0;
    cl_uint found = 0;
    cl_int error = clGetPlatformIDs(0, NULL, &found);
    if (error == PLATFORM_NOT_FOUND || (error == CL_SUCCESS && found == 0)) return ONP_OK;
    cl_platform_id *platforms = error == CL_SUCCESS ? calloc(found, sizeof(*platforms)) : NULL;
    if (error == CL_SUCCESS && !platforms) return no_memory(context);
    if (error == CL_SUCCESS) error = clGetPlatformIDs(found, platforms, NULL);
    if (error != CL_SUCCESS) {
        onp_log(&context->log, ONP_LOG_WARNING, "OpenCL platforms cannot be listed: %s (%d)",
                onp_cl_error_name(error), (int)error);
        free(platforms);
        return ONP_OK;
    }
    enum onp_status status = ONP_OK;
    for (cl_uint i = 0; i < found && status == ONP_OK; i++)
        status = add_platform(context, platforms[i], list, count);
    free(platforms);
    if (status == ONP_OK) return ONP_OK;
    free(*list);
    *list = NULL;
    *count = 0;
    return status;
}

static enum onp_status opencl_list(struct onp_context *context, struct onp_device_info **list,
                                   size_t *count) {
    struct onp_cl_entry *entries;
    size_t found;
    ONP_TRY(enumerate(context, &entries, &found));
    if (found == 0) return ONP_OK;
    struct onp_device_info *grown = realloc(*list, (*count + found) * sizeof *grown);
    if (!grown) {
        free(entries);
        return no_memory(context);
    }
    *list = grown;
    for (size_t i = 0; i < found; i++) {
        struct onp_cl_quirks quirks;
        onp_cl_describe(&entries[i], &grown[(*count)++], &quirks);
    }
    free(entries);
    return ONP_OK;
}

static bool same_device(const struct onp_device_info *a, const struct onp_device_info *b) {
    return strcmp(a->platform, b->platform) == 0 && strcmp(a->name, b->name) == 0 &&
           strcmp(a->driver, b->driver) == 0 && strcmp(a->uuid, b->uuid) == 0;
}

// Finds the device that info describes: at its index, or, if devices came or went, by its names.
static enum onp_status find(const struct onp_context *context, const struct onp_device_info *info,
                            struct onp_cl_entry *entry, struct onp_cl_quirks *quirks) {
    struct onp_cl_entry *entries;
    size_t count;
    ONP_TRY(enumerate(context, &entries, &count));
    bool found = false;
    for (size_t step = 0; step <= count && !found; step++) {
        const size_t i = step == 0 ? (size_t)info->index : step - 1;
        if (i >= count) continue;
        struct onp_device_info seen;
        onp_cl_describe(&entries[i], &seen, quirks);
        found = same_device(&seen, info);
        if (found) *entry = entries[i];
    }
    free(entries);
    if (found) return ONP_OK;
    return onp_fail(&context->log, ONP_ERR_NO_DEVICE,
                    "device %s is no longer there: list the devices again", info->name);
}

// Drivers report here what goes wrong behind the queue; some also send hints.
static void CL_CALLBACK notified(const char *message, const void *data, size_t size, void *user) {
    (void)data;
    (void)size;
    const struct onp_context *context = user;
    onp_log(&context->log, ONP_LOG_WARNING, "OpenCL driver: %s", message);
}

static cl_int create_queue(const struct onp_cl_device *device, bool profiling,
                           cl_command_queue *out) {
    cl_int error;
    // The 1.2 form: clCreateCommandQueueWithProperties does not exist on older drivers.
    *out = clCreateCommandQueue(device->context, device->entry.id,
                                profiling ? CL_QUEUE_PROFILING_ENABLE : 0, &error);
    if (error != CL_SUCCESS) *out = NULL;
    return error;
}

static void release_copies(struct onp_cl_device *device) {
    for (int i = 0; i < ONP_CL_COPIES; i++) {
        if (device->copies[i]) clReleaseCommandQueue(device->copies[i]);
        device->copies[i] = NULL;
    }
}

// One queue for each direction: in one for both, the upload of a run would wait behind the
// download of the run before it, which waits for that run's computation.
static void create_copies(struct onp_cl_device *device, bool profiling) {
    release_copies(device);
    for (int i = 0; i < ONP_CL_COPIES; i++) {
        const cl_int error = create_queue(device, profiling, &device->copies[i]);
        if (error == CL_SUCCESS) continue;
        onp_log(&device->base.context->log, ONP_LOG_WARNING,
                "cannot create command queues for copies on %s: %s (%d); copies and computation "
                "take turns",
                device->base.info.name, onp_cl_error_name(error), (int)error);
        release_copies(device);
        return;
    }
}

enum onp_status onp_cl_queues_create(struct onp_cl_device *device, bool profiling) {
    cl_command_queue queue;
    const cl_int error = create_queue(device, profiling, &queue);
    if (error != CL_SUCCESS)
        return onp_cl_fail(&device->base.context->log, error, "cannot create a command queue on %s",
                           device->base.info.name);
    if (device->owns_queue) clReleaseCommandQueue(device->queue);
    device->queue = queue;
    device->owns_queue = true;
    create_copies(device, profiling);
    return ONP_OK;
}

static enum onp_status open_context(struct onp_cl_device *device) {
    const struct onp_log *log = &device->base.context->log;
    const char *name = device->base.info.name;
    const char *why = onp_cl_unusable(device->entry.id);
    if (why) return onp_fail(log, ONP_ERR_UNSUPPORTED, "device %s cannot be used: %s", name, why);
    const cl_context_properties properties[] = {CL_CONTEXT_PLATFORM,
                                                (cl_context_properties)device->entry.platform, 0};
    cl_int error;
    device->context =
        clCreateContext(properties, 1, &device->entry.id, notified, device->base.context, &error);
    if (error != CL_SUCCESS) {
        device->context = NULL;
        return onp_cl_fail(log, error, "cannot create an OpenCL context on %s", name);
    }
    device->owns_context = true;
    return onp_cl_queues_create(device, false);
}

static void opencl_close(struct onp_device *base) {
    struct onp_cl_device *device = onp_cl_device(base);
    for (int i = 0; i < ONP_CL_COPIES; i++)
        if (device->copies[i]) clFinish(device->copies[i]);
    if (device->queue) clFinish(device->queue);
    onp_cl_stage_forget(device);
    onp_cl_events_free(device);
    onp_cl_programs_free(device);
    onp_cl_blas_forget(device);
    onp_cl_cache_close(&device->cache);
    if (device->stamp) clReleaseMemObject(device->stamp);
    release_copies(device);
    if (device->owns_queue) clReleaseCommandQueue(device->queue);
    if (device->owns_context) clReleaseContext(device->context);
    free(device);
}

static enum onp_status opencl_open(struct onp_context *context, const struct onp_device_info *info,
                                   struct onp_device **out) {
    struct onp_cl_device *device = calloc(1, sizeof *device);
    if (!device) return onp_fail(&context->log, ONP_ERR_MEMORY, "no memory for a device");
    device->base.backend = &onp_backend_opencl;
    device->base.context = context;
    device->base.info = *info;
    enum onp_status status;
    ONP_TRY_GOTO(status, find(context, info, &device->entry, &device->quirks), fail);
    onp_cl_platform_string(device->entry.platform, CL_PLATFORM_VERSION, device->platform_version,
                           sizeof device->platform_version);
    ONP_TRY_GOTO(status, open_context(device), fail);
    onp_cl_cache_open(&device->cache, context->cache_dir, &context->log);
    onp_cl_probe(device);
    device->base.caps.overlap = device->copies[0] != NULL;
    *out = &device->base;
    return ONP_OK;
fail:
    opencl_close(&device->base);
    return status;
}

const struct onp_backend onp_backend_opencl = {
    .name = "opencl",
    .list = opencl_list,
    .open = opencl_open,
    .close = opencl_close,
    .buffer_create = onp_cl_buffer_create,
    .buffer_destroy = onp_cl_buffer_destroy,
    .buffer_write = onp_cl_buffer_write,
    .buffer_read = onp_cl_buffer_read,
    .buffer_send = onp_cl_buffer_send,
    .buffer_fetch = onp_cl_buffer_fetch,
    .stage = onp_cl_stage,
    .kernels_build = onp_cl_kernels_build,
    .launch = onp_cl_launch,
    .gemm = onp_cl_gemm,
    .flush = onp_cl_flush,
    .finish = onp_cl_finish,
    .mark = onp_cl_mark,
    .wait = onp_cl_wait,
    .profile = onp_cl_profile,
    .timings = onp_cl_timings,
};
