// SPDX-License-Identifier: Apache-2.0
// Kernel launches, waiting, and times of commands.
#include <stdlib.h>
#include <string.h>

#include "backend/opencl/opencl.h"
#include "base/checked.h"

static cl_int set_arg(cl_kernel kernel, cl_uint index, const struct onp_arg *arg) {
    cl_mem memory;
    switch (arg->kind) {
    case ONP_ARG_BUFFER:
        memory = arg->value.buffer ? onp_cl_mem(arg->value.buffer) : NULL;
        return clSetKernelArg(kernel, index, sizeof(cl_mem), &memory);
    case ONP_ARG_I32:
        return clSetKernelArg(kernel, index, sizeof(cl_int), &arg->value.i32);
    case ONP_ARG_U32:
        return clSetKernelArg(kernel, index, sizeof(cl_uint), &arg->value.u32);
    case ONP_ARG_F32:
        return clSetKernelArg(kernel, index, sizeof(cl_float), &arg->value.f32);
    case ONP_ARG_LOCAL:
        return clSetKernelArg(kernel, index, (size_t)arg->value.local_bytes, NULL);
    }
    return CL_INVALID_ARG_VALUE;
}

static enum onp_status launch_failed(const struct onp_device *device,
                                     const struct onp_launch *launch, cl_int error) {
    const size_t *g = launch->global, *l = launch->local;
    return onp_cl_fail(&device->context->log, error,
                       "cannot launch %s (global %zu x %zu x %zu, local %zu x %zu x %zu) on %s",
                       launch->kernel->name, g[0], launch->dims > 1 ? g[1] : 1,
                       launch->dims > 2 ? g[2] : 1, l[0], launch->dims > 1 ? l[1] : 1,
                       launch->dims > 2 ? l[2] : 1, device->info.name);
}

// NULL: the driver chooses.
static const size_t *work_group(const struct onp_cl_device *device,
                                const struct onp_launch *launch) {
    static const size_t one[3] = {1, 1, 1};
    if (launch->local[0]) return launch->local;
    return device->quirks.one_item ? one : NULL;
}

enum onp_status onp_cl_launch(struct onp_device *base, const struct onp_launch *launch,
                              uint32_t tag) {
    struct onp_cl_device *device = onp_cl_device(base);
    const cl_kernel kernel = launch->kernel->handle;
    // An empty range is an error before OpenCL 2.1, and has crashed drivers that should allow it.
    for (uint32_t d = 0; d < launch->dims; d++)
        if (launch->global[d] == 0) return ONP_OK;
    for (cl_uint i = 0; i < launch->arg_count; i++) {
        const cl_int error = set_arg(kernel, i, &launch->args[i]);
        if (error != CL_SUCCESS)
            return onp_cl_fail(&base->context->log, error, "argument %u of %s", (unsigned)i,
                               launch->kernel->name);
    }
    if (device->base.profiling) ONP_TRY(onp_cl_events_reserve(device));
    cl_event event = NULL;
    const cl_int error = clEnqueueNDRangeKernel(device->queue, kernel, launch->dims, NULL,
                                                launch->global, work_group(device, launch), 0, NULL,
                                                device->base.profiling ? &event : NULL);
    if (error != CL_SUCCESS) return launch_failed(base, launch, error);
    if (event) onp_cl_events_push(device, tag, NULL, event);
    return ONP_OK;
}

enum onp_status onp_cl_flush(struct onp_device *base) {
    const cl_int error = clFlush(onp_cl_device(base)->queue);
    return error == CL_SUCCESS ? ONP_OK
                               : onp_cl_fail(&base->context->log, error,
                                             "cannot start the queued work on %s", base->info.name);
}

// --- Stages and marks ----------------------------------------------------------------------------

static void let_go(cl_event *event) {
    if (*event) clReleaseEvent(*event);
    *event = NULL;
}

void onp_cl_stage_forget(struct onp_cl_device *device) {
    let_go(&device->uploaded);
    let_go(&device->computed);
    device->stage = ONP_STAGE_COMPUTE;
}

// What is queued on `to` from now on waits for `event` on `from`, which must be flushed: nothing
// else promises that it ever begins.
static cl_int wait_across(cl_command_queue from, cl_event event, cl_command_queue to) {
    const cl_int error = clFlush(from);
    return error == CL_SUCCESS ? clEnqueueBarrierWithWaitList(to, 1, &event, NULL) : error;
}

enum onp_status onp_cl_stage(struct onp_device *base, enum onp_stage stage) {
    struct onp_cl_device *device = onp_cl_device(base);
    const cl_command_queue uploads = device->copies[ONP_CL_UPLOADS];
    const cl_command_queue downloads = device->copies[ONP_CL_DOWNLOADS];
    cl_int error = CL_SUCCESS;
    if (!uploads) return ONP_OK;
    if (stage == ONP_STAGE_UPLOAD) onp_cl_stage_forget(device);
    if (stage == ONP_STAGE_COMPUTE && device->uploaded)
        error = wait_across(uploads, device->uploaded, device->queue);
    if (stage == ONP_STAGE_DOWNLOAD) {
        let_go(&device->computed);
        error = clEnqueueMarkerWithWaitList(device->queue, 0, NULL, &device->computed);
        if (error == CL_SUCCESS) error = wait_across(device->queue, device->computed, downloads);
    }
    device->stage = stage;
    if (error == CL_SUCCESS) return ONP_OK;
    return onp_cl_fail(&base->context->log, error, "cannot put a run's stages in order on %s",
                       base->info.name);
}

enum onp_status onp_cl_mark(struct onp_device *base, struct onp_mark **out) {
    struct onp_cl_device *device = onp_cl_device(base);
    const bool beside = device->stage == ONP_STAGE_DOWNLOAD;
    const cl_command_queue queue = beside ? device->copies[ONP_CL_DOWNLOADS] : device->queue;
    struct onp_mark *mark = calloc(1, sizeof *mark);
    if (!mark) return onp_fail(&base->context->log, ONP_ERR_MEMORY, "no memory for a mark");
    cl_int error = clEnqueueMarkerWithWaitList(queue, 0, NULL, &mark->event);
    if (error != CL_SUCCESS) {
        free(mark);
        return onp_cl_fail(&base->context->log, error, "cannot mark the queued work on %s",
                           base->info.name);
    }
    mark->uploaded = device->uploaded;
    mark->computed = device->computed;
    mark->events = device->events_taken + device->event_count;
    device->uploaded = device->computed = NULL;
    device->stage = ONP_STAGE_COMPUTE;
    *out = mark;
    error = clFlush(queue);
    return error == CL_SUCCESS ? ONP_OK
                               : onp_cl_fail(&base->context->log, error,
                                             "cannot start the queued work on %s", base->info.name);
}

// Of a command that is over: what it failed with, if it did.
static cl_int outcome(cl_event event) {
    cl_int state = CL_COMPLETE;
    const cl_int error =
        clGetEventInfo(event, CL_EVENT_COMMAND_EXECUTION_STATUS, sizeof state, &state, NULL);
    return error == CL_SUCCESS && state < 0 ? state : error;
}

enum onp_status onp_cl_wait(struct onp_device *base, struct onp_mark *mark) {
    struct onp_cl_device *device = onp_cl_device(base);
    if (!mark) return ONP_OK;
    cl_int error = clWaitForEvents(1, &mark->event);
    // Whether a failure spreads to what waited for it is the driver's affair.
    cl_event *const ends[] = {&mark->uploaded, &mark->computed, &mark->event};
    for (size_t i = 0; i < ONP_COUNT(ends); i++) {
        if (error == CL_SUCCESS && *ends[i]) error = outcome(*ends[i]);
        let_go(ends[i]);
    }
    const uint64_t before = mark->events;
    free(mark);
    if (error != CL_SUCCESS)
        return onp_cl_fail(&base->context->log, error, "the queued work on %s failed",
                           base->info.name);
    if (before > device->events_taken + device->events_finished)
        device->events_finished = (size_t)(before - device->events_taken);
    return ONP_OK;
}

// clFinish alone does not tell whether the commands succeeded; a marker behind them does.
static cl_int finish_queue(cl_command_queue queue) {
    cl_event marker = NULL;
    cl_int error = clEnqueueMarkerWithWaitList(queue, 0, NULL, &marker);
    if (error == CL_SUCCESS) error = clFinish(queue);
    if (error == CL_SUCCESS) error = outcome(marker);
    let_go(&marker);
    return error;
}

enum onp_status onp_cl_finish(struct onp_device *base) {
    struct onp_cl_device *device = onp_cl_device(base);
    const cl_command_queue queues[] = {device->copies[ONP_CL_UPLOADS], device->queue,
                                       device->copies[ONP_CL_DOWNLOADS]};
    cl_int first = CL_SUCCESS;
    for (size_t i = 0; i < ONP_COUNT(queues); i++) { // all of them, also after a failure
        const cl_int error = queues[i] ? finish_queue(queues[i]) : CL_SUCCESS;
        if (first == CL_SUCCESS) first = error;
    }
    onp_cl_stage_forget(device);
    if (first == CL_SUCCESS) {
        device->events_finished = device->event_count;
        return ONP_OK;
    }
    return onp_cl_fail(&base->context->log, first, "the queued work on %s failed", base->info.name);
}

// --- Times ---------------------------------------------------------------------------------------

enum onp_status onp_cl_profile(struct onp_device *base, bool on) {
    struct onp_cl_device *device = onp_cl_device(base);
    if (on == device->base.profiling) return ONP_OK;
    if (!device->owns_queue)
        return onp_fail(&base->context->log, ONP_ERR_UNSUPPORTED,
                        "profiling needs a command queue of its own");
    ONP_TRY(onp_cl_finish(base));
    if (on && !device->stamp) {
        cl_int error;
        device->stamp = clCreateBuffer(device->context, CL_MEM_READ_WRITE, 4, NULL, &error);
        if (error != CL_SUCCESS)
            return onp_cl_fail(&base->context->log, error, "cannot prepare profiling");
    }
    // A queue cannot change its properties, and one with profiling may be slower.
    ONP_TRY(onp_cl_queues_create(device, on));
    device->base.profiling = on;
    return ONP_OK;
}

enum onp_status onp_cl_events_reserve(struct onp_cl_device *device) {
    if (device->event_count < device->event_capacity) return ONP_OK;
    const size_t capacity = device->event_capacity ? device->event_capacity * 2 : 256;
    struct onp_cl_event *grown = realloc(device->events, capacity * sizeof *grown);
    if (!grown)
        return onp_fail(&device->base.context->log, ONP_ERR_MEMORY, "no memory for %zu timings",
                        capacity);
    device->events = grown;
    device->event_capacity = capacity;
    return ONP_OK;
}

void onp_cl_events_push(struct onp_cl_device *device, uint32_t tag, cl_event before,
                        cl_event event) {
    device->events[device->event_count++] = (struct onp_cl_event){tag, before, event};
}

static void release(const struct onp_cl_event *event) {
    if (event->before) clReleaseEvent(event->before);
    clReleaseEvent(event->event);
}

void onp_cl_events_free(struct onp_cl_device *device) {
    for (size_t i = 0; i < device->event_count; i++) release(&device->events[i]);
    free(device->events);
    device->events = NULL;
    device->event_count = device->event_capacity = 0;
}

// Some drivers leave the state of an event as it was even after clFinish, so what a finish has
// covered is not asked for again.
static bool complete(const struct onp_cl_device *device, size_t index) {
    cl_int state = CL_QUEUED;
    if (index < device->events_finished) return true;
    return clGetEventInfo(device->events[index].event, CL_EVENT_COMMAND_EXECUTION_STATUS,
                          sizeof state, &state, NULL) != CL_SUCCESS ||
           state <= CL_COMPLETE; // a failed command counts as over
}

static bool time_of(const struct onp_cl_event *event, struct onp_timing *timing) {
    cl_ulong start = 0, end = 0;
    if (clGetEventProfilingInfo(event->event, CL_PROFILING_COMMAND_END, sizeof end, &end, NULL) !=
        CL_SUCCESS)
        return false;
    const bool from_marker =
        event->before && clGetEventProfilingInfo(event->before, CL_PROFILING_COMMAND_END,
                                                 sizeof start, &start, NULL) == CL_SUCCESS;
    if (!from_marker && clGetEventProfilingInfo(event->event, CL_PROFILING_COMMAND_START,
                                                sizeof start, &start, NULL) != CL_SUCCESS)
        return false;
    if (end < start) end = start;
    *timing = (struct onp_timing){event->tag, (double)(end - start) * 1e-9, start, end};
    return true;
}

enum onp_status onp_cl_timings(struct onp_device *base, struct onp_timing **timings,
                               size_t *count) {
    struct onp_cl_device *device = onp_cl_device(base);
    *timings = NULL;
    *count = 0;
    if (device->event_count == 0) return ONP_OK;
    struct onp_timing *list = calloc(device->event_count, sizeof *list);
    if (!list)
        return onp_fail(&base->context->log, ONP_ERR_MEMORY, "no memory for %zu timings",
                        device->event_count);
    // The queue keeps its order, so what follows a command that still runs is not over either.
    size_t taken = 0;
    for (; taken < device->event_count && complete(device, taken); taken++) {
        if (time_of(&device->events[taken], &list[*count])) (*count)++;
        release(&device->events[taken]);
    }
    device->event_count -= taken;
    memmove(device->events, device->events + taken, device->event_count * sizeof *device->events);
    device->events_taken += taken;
    device->events_finished -= taken < device->events_finished ? taken : device->events_finished;
    *timings = list;
    return ONP_OK;
}
