// SPDX-License-Identifier: Apache-2.0
// Device memory and copies.
#include <stdlib.h>

#include "backend/opencl/opencl.h"

// Some drivers stage a whole transfer in pinned memory, so large ones go in pieces.
#define CHUNK ((uint64_t)64 << 20)

static double mib(uint64_t bytes) { return (double)bytes / 0x1p20; }

// Drivers may allocate lazily and fail, or be killed by the system, long after creation: what can
// be told from the reported sizes is refused here.
static enum onp_status check_size(const struct onp_cl_device *device, uint64_t bytes) {
    const struct onp_log *log = &device->base.context->log;
    const struct onp_caps *caps = &device->base.caps;
    const char *name = device->base.info.name;
    if (bytes > caps->max_alloc_bytes || bytes > SIZE_MAX)
        return onp_fail(log, ONP_ERR_DEVICE_MEMORY,
                        "a buffer of %.1f MiB is larger than %s allows (%.1f MiB): use a smaller "
                        "batch, f16 weights or another device",
                        mib(bytes), name, mib(caps->max_alloc_bytes));
    if (bytes > caps->global_bytes || device->allocated > caps->global_bytes - bytes)
        return onp_fail(log, ONP_ERR_DEVICE_MEMORY,
                        "%s has no room for %.1f MiB more: %.1f of its %.1f MiB are in use; use a "
                        "smaller batch, f16 weights, fewer branches or another device",
                        name, mib(bytes), mib(device->allocated), mib(caps->global_bytes));
    return ONP_OK;
}

enum onp_status onp_cl_buffer_create(struct onp_device *base, uint64_t bytes,
                                     struct onp_buffer **out) {
    struct onp_cl_device *device = onp_cl_device(base);
    const struct onp_log *log = &base->context->log;
    ONP_TRY(check_size(device, bytes));
    struct onp_cl_buffer *buffer = calloc(1, sizeof *buffer);
    if (!buffer) return onp_fail(log, ONP_ERR_MEMORY, "no memory for a buffer");
    cl_int error;
    const cl_mem_flags flags = device->quirks.alloc_early ? CL_MEM_ALLOC_HOST_PTR : 0;
    buffer->handle =
        clCreateBuffer(device->context, CL_MEM_READ_WRITE | flags, (size_t)bytes, NULL, &error);
    if (error != CL_SUCCESS) {
        free(buffer);
        return onp_fail(log, ONP_ERR_DEVICE_MEMORY,
                        "cannot create a buffer of %.1f MiB on %s (largest %.1f MiB, %.1f MiB in "
                        "use): %s (%d); use a smaller batch, f16 weights or another device",
                        mib(bytes), base->info.name, mib(base->caps.max_alloc_bytes),
                        mib(device->allocated), onp_cl_error_name(error), (int)error);
    }
    buffer->base = (struct onp_buffer){.device = base, .bytes = bytes};
    device->allocated += bytes;
    *out = &buffer->base;
    return ONP_OK;
}

void onp_cl_buffer_destroy(struct onp_buffer *base) {
    if (!base) return;
    onp_cl_device(base->device)->allocated -= base->bytes;
    clReleaseMemObject(onp_cl_mem(base));
    free(base);
}

static enum onp_status copy_failed(const struct onp_buffer *buffer, cl_int error, const char *verb,
                                   uint64_t bytes) {
    return onp_cl_fail(&buffer->device->context->log, error, "cannot %s %.1f MiB on %s", verb,
                       mib(bytes), buffer->device->info.name);
}

// The event of a run's last upload stands for all before it: their queue keeps its order.
static void keep_last(cl_event *kept, cl_event event) {
    if (*kept) clReleaseEvent(*kept);
    *kept = event;
}

static enum onp_status write_pieces(struct onp_buffer *buffer, uint64_t offset, const void *data,
                                    uint64_t bytes, cl_bool wait) {
    struct onp_cl_device *device = onp_cl_device(buffer->device);
    const bool beside =
        !wait && device->stage == ONP_STAGE_UPLOAD && device->copies[ONP_CL_UPLOADS];
    const cl_command_queue queue = beside ? device->copies[ONP_CL_UPLOADS] : device->queue;
    for (uint64_t done = 0; done < bytes; done += CHUNK) {
        const size_t part = (size_t)(bytes - done < CHUNK ? bytes - done : CHUNK);
        cl_event event = NULL;
        const cl_int error =
            clEnqueueWriteBuffer(queue, onp_cl_mem(buffer), wait, (size_t)(offset + done), part,
                                 (const char *)data + done, 0, NULL, beside ? &event : NULL);
        if (error != CL_SUCCESS) return copy_failed(buffer, error, "write", bytes);
        if (beside) keep_last(&device->uploaded, event);
    }
    return ONP_OK;
}

enum onp_status onp_cl_buffer_write(struct onp_buffer *buffer, uint64_t offset, const void *data,
                                    uint64_t bytes) {
    return write_pieces(buffer, offset, data, bytes, CL_TRUE);
}

enum onp_status onp_cl_buffer_send(struct onp_buffer *buffer, uint64_t offset, const void *data,
                                   uint64_t bytes) {
    return write_pieces(buffer, offset, data, bytes, CL_FALSE);
}

static enum onp_status read_pieces(struct onp_buffer *buffer, uint64_t offset, void *data,
                                   uint64_t bytes, cl_bool wait) {
    const struct onp_cl_device *device = onp_cl_device(buffer->device);
    const bool beside =
        !wait && device->stage == ONP_STAGE_DOWNLOAD && device->copies[ONP_CL_DOWNLOADS];
    const cl_command_queue queue = beside ? device->copies[ONP_CL_DOWNLOADS] : device->queue;
    for (uint64_t done = 0; done < bytes; done += CHUNK) {
        const size_t part = (size_t)(bytes - done < CHUNK ? bytes - done : CHUNK);
        const cl_int error =
            clEnqueueReadBuffer(queue, onp_cl_mem(buffer), wait, (size_t)(offset + done), part,
                                (char *)data + done, 0, NULL, NULL);
        if (error != CL_SUCCESS) return copy_failed(buffer, error, "read", bytes);
    }
    return ONP_OK;
}

enum onp_status onp_cl_buffer_read(struct onp_buffer *buffer, uint64_t offset, void *data,
                                   uint64_t bytes) {
    return read_pieces(buffer, offset, data, bytes, CL_TRUE);
}

enum onp_status onp_cl_buffer_fetch(struct onp_buffer *buffer, uint64_t offset, void *data,
                                    uint64_t bytes) {
    return read_pieces(buffer, offset, data, bytes, CL_FALSE);
}
