// SPDX-License-Identifier: Apache-2.0
// The reference back end: host memory, and the ops' plain C references instead of kernels. It is
// the referee that every kernel is compared with, and it always works.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backend/backend.h"

static uint64_t physical_bytes(void) {
    const long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    return pages > 0 && page > 0 ? (uint64_t)pages * (uint64_t)page : (uint64_t)1 << 32;
}

static struct onp_device_info describe(void) {
    struct onp_device_info info = {.type = ONP_DEVICE_CPU, .compute_units = 1};
    snprintf(info.backend, sizeof info.backend, "ref");
    snprintf(info.platform, sizeof info.platform, "onepeace");
    snprintf(info.name, sizeof info.name, "reference (plain C)");
    snprintf(info.vendor, sizeof info.vendor, "onepeace");
    snprintf(info.driver, sizeof info.driver, "%s", onp_version());
    snprintf(info.version, sizeof info.version, "C11");
    snprintf(info.note, sizeof info.note, "slow, the referee; only on request");
    info.global_bytes = info.max_alloc_bytes = physical_bytes();
    info.max_work_group = 1;
    info.vector_width = 1;
    info.unified_memory = true;
    return info;
}

static enum onp_status ref_list(struct onp_context *context, struct onp_device_info **list,
                                size_t *count) {
    struct onp_device_info *grown = realloc(*list, (*count + 1) * sizeof *grown);
    if (!grown) return onp_fail(&context->log, ONP_ERR_MEMORY, "no memory to list devices");
    *list = grown;
    grown[(*count)++] = describe();
    return ONP_OK;
}

static enum onp_status ref_open(struct onp_context *context, const struct onp_device_info *info,
                                struct onp_device **out) {
    struct onp_device *device = calloc(1, sizeof *device);
    if (!device) return onp_fail(&context->log, ONP_ERR_MEMORY, "no memory for a device");
    device->backend = &onp_backend_ref;
    device->context = context;
    device->info = *info;
    device->caps = (struct onp_caps){.reference = true,
                                     .type = ONP_DEVICE_CPU,
                                     .vector_width = 1,
                                     .compute_units = 1,
                                     .max_work_group = 1,
                                     .max_work_item = {1, 1, 1},
                                     .max_alloc_bytes = info->max_alloc_bytes,
                                     .global_bytes = info->global_bytes,
                                     .unified_memory = true};
    *out = device;
    return ONP_OK;
}

static void ref_close(struct onp_device *device) { free(device); }

static enum onp_status ref_buffer_create(struct onp_device *device, uint64_t bytes,
                                         struct onp_buffer **out) {
    struct onp_buffer *buffer = calloc(1, sizeof *buffer);
    void *host = bytes <= device->caps.max_alloc_bytes ? malloc(bytes) : NULL;
    if (!buffer || !host) {
        free(buffer);
        free(host);
        return onp_fail(&device->context->log, ONP_ERR_DEVICE_MEMORY,
                        "no host memory for a buffer of %llu bytes", (unsigned long long)bytes);
    }
    *buffer = (struct onp_buffer){.device = device, .bytes = bytes, .host = host};
    *out = buffer;
    return ONP_OK;
}

static void ref_buffer_destroy(struct onp_buffer *buffer) {
    if (!buffer) return;
    free(buffer->host);
    free(buffer);
}

static enum onp_status ref_buffer_write(struct onp_buffer *buffer, uint64_t offset,
                                        const void *data, uint64_t bytes) {
    memcpy((char *)buffer->host + offset, data, bytes);
    return ONP_OK;
}

static enum onp_status ref_buffer_read(struct onp_buffer *buffer, uint64_t offset, void *data,
                                       uint64_t bytes) {
    memcpy(data, (char *)buffer->host + offset, bytes);
    return ONP_OK;
}

static enum onp_status ref_stage(struct onp_device *device, enum onp_stage stage) {
    (void)device;
    (void)stage;
    return ONP_OK;
}

static enum onp_status ref_flush(struct onp_device *device) {
    (void)device;
    return ONP_OK;
}

static enum onp_status ref_finish(struct onp_device *device) {
    (void)device;
    return ONP_OK;
}

static enum onp_status ref_mark(struct onp_device *device, struct onp_mark **mark) {
    (void)device;
    *mark = NULL;
    return ONP_OK;
}

static enum onp_status ref_wait(struct onp_device *device, struct onp_mark *mark) {
    (void)device;
    (void)mark;
    return ONP_OK;
}

static enum onp_status ref_profile(struct onp_device *device, bool on) {
    if (!on) return ONP_OK;
    return onp_fail(&device->context->log, ONP_ERR_UNSUPPORTED,
                    "the reference device has no clock of its own: profile another device");
}

static enum onp_status ref_timings(struct onp_device *device, struct onp_timing **timings,
                                   size_t *count) {
    (void)device;
    *timings = NULL;
    *count = 0;
    return ONP_OK;
}

const struct onp_backend onp_backend_ref = {
    .name = "ref",
    .list = ref_list,
    .open = ref_open,
    .close = ref_close,
    .buffer_create = ref_buffer_create,
    .buffer_destroy = ref_buffer_destroy,
    .buffer_write = ref_buffer_write,
    .buffer_read = ref_buffer_read,
    .buffer_send = ref_buffer_write,
    .buffer_fetch = ref_buffer_read,
    .stage = ref_stage,
    .flush = ref_flush,
    .finish = ref_finish,
    .mark = ref_mark,
    .wait = ref_wait,
    .profile = ref_profile,
    .timings = ref_timings,
};
