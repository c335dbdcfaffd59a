// SPDX-License-Identifier: Apache-2.0
// Kernels, sizes and buffers of the probes.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/probe.h"
#include "base/checked.h"

#define MIB        ((uint64_t)1 << 20)
#define HOST_BYTES (64 * MIB)
#define DOT_FACTOR 0x35353535 // four bytes of 53

// A CPU whose vectors are the kernels' own: one work-item keeps one core busy.
static bool is_plain_cpu(const struct onp_caps *caps) {
    return caps->type == ONP_DEVICE_CPU && !caps->lanes;
}

static size_t units(const struct onp_caps *caps) {
    return caps->compute_units ? caps->compute_units : 1;
}

static size_t group_size(const struct onp_caps *caps, size_t wanted) {
    if (is_plain_cpu(caps) || caps->max_work_group < wanted || caps->max_work_item[0] < wanted)
        return 1;
    return wanted;
}

// Floats of the vectors that suit the device.
static int vector_width(const struct onp_caps *caps) {
    if (!is_plain_cpu(caps)) return 4;
    return caps->vector_width >= 16 ? 16 : caps->vector_width >= 8 ? 8 : 4;
}

// Work-items that fill the device several times over.
static size_t arithmetic_items(const struct onp_caps *caps) {
    return (is_plain_cpu(caps) ? 8 : 64) * units(caps) * group_size(caps, 64);
}

static size_t memory_items(const struct onp_caps *caps) {
    return (is_plain_cpu(caps) ? 16 : 8) * units(caps) * group_size(caps, 256);
}

// Builds a launch without telling: what a device lacks is an answer here, not an error.
static enum onp_status build(struct onp_device *device, struct onp_launch *launch, bool silently) {
    struct onp_context silent = {.cache_dir = device->context->cache_dir};
    struct onp_context *const context = device->context;
    if (silently) device->context = &silent;
    const enum onp_status status = device->backend->kernels_build(device, &launch, 1);
    device->context = context;
    return status;
}

static enum onp_status need_sink(struct onp_prober *prober) {
    if (prober->sink) return ONP_OK;
    const struct onp_caps *caps = &prober->device->caps;
    const size_t a = arithmetic_items(caps), b = memory_items(caps);
    return prober->device->backend->buffer_create(prober->device, (a > b ? a : b) * 4,
                                                  &prober->sink);
}

// --- Arithmetic ---------------------------------------------------------------------------------

static struct onp_launch arithmetic_launch(struct onp_prober *prober, const char *name) {
    const struct onp_caps *caps = &prober->device->caps;
    struct onp_launch launch = {.source = name,
                                .function = name,
                                .dims = 1,
                                .global = {arithmetic_items(caps)},
                                .local = {group_size(caps, 64)}};
    onp_push_buffer(&launch, prober->sink, 0);
    onp_push_i32(&launch, 0); // steps
    return launch;
}

static enum onp_status prepare_fma(struct onp_prober *prober, struct onp_probe_state *s,
                                   bool half) {
    const struct onp_caps *caps = &prober->device->caps;
    const int width = vector_width(caps) * (half && is_plain_cpu(caps) ? 2 : 1);
    const int lanes = width > 16 ? 16 : width;
    if (half && !prober->device->info.fp16) {
        s->missing = true;
        snprintf(s->method, sizeof s->method, "the device has no half arithmetic (cl_khr_fp16)");
        return ONP_OK;
    }
    s->launch = arithmetic_launch(prober, "probe_fma");
    onp_push_f32(&s->launch, 0.5f);
    snprintf(s->launch.defines, sizeof s->launch.defines, "%s-DVEC=%d -DCHAINS=%d",
             half ? "-DHALF " : "", lanes, ONP_PROBE_CHAINS);
    s->work = 2.0 * 8.0 * ONP_PROBE_CHAINS * lanes * (double)s->launch.global[0];
    snprintf(s->method, sizeof s->method, "%s%d fma, %d chains", half ? "half" : "float", lanes,
             ONP_PROBE_CHAINS);
    const enum onp_status status = build(prober->device, &s->launch, half);
    s->missing = half && status != ONP_OK;
    if (!s->missing) return status;
    snprintf(s->method, sizeof s->method, "its compiler refuses half arithmetic");
    return ONP_OK;
}

static enum onp_status build_dot(struct onp_prober *prober, struct onp_probe_state *s, bool dot,
                                 int lanes) {
    s->launch = arithmetic_launch(prober, "probe_dot");
    onp_push_i32(&s->launch, DOT_FACTOR);
    if (dot)
        snprintf(s->launch.defines, sizeof s->launch.defines, "-DDOT -DCHAINS=%d",
                 ONP_PROBE_CHAINS);
    else
        snprintf(s->launch.defines, sizeof s->launch.defines, "-DVEC=%d -DCHAINS=%d", lanes,
                 ONP_PROBE_CHAINS);
    s->work = 2.0 * 4.0 * 8.0 * ONP_PROBE_CHAINS * (dot ? 1 : lanes) * (double)s->launch.global[0];
    snprintf(s->method, sizeof s->method,
             dot ? "char4 dot, cl_khr_integer_dot_product, %d chains"
                 : "int8 widened to int16, products added in pairs, %d chains of %d sums",
             ONP_PROBE_CHAINS, lanes);
    return build(prober->device, &s->launch, dot);
}

static enum onp_status prepare_dot(struct onp_prober *prober, struct onp_probe_state *s) {
    const struct onp_caps *caps = &prober->device->caps;
    if (caps->dot_i8 && build_dot(prober, s, true, 1) == ONP_OK) return ONP_OK;
    return build_dot(prober, s, false, vector_width(caps) >= 8 ? 8 : 4);
}

// What one lane of probe_dot holds in the end.
static uint32_t dot_chain(uint32_t x, int32_t steps) {
    for (int32_t s = 0; s < 8 * steps; s++) {
        int32_t sum = 0;
        for (int byte = 0; byte < 4; byte++) {
            const int32_t value = (int32_t)(x >> (8 * byte) & 0xff);
            sum += (value < 128 ? value : value - 256) * (DOT_FACTOR & 0xff);
        }
        x += (uint32_t)sum;
    }
    return x;
}

// Chains of fma run towards one, whatever they begin with.
enum onp_status onp_probe_right(struct onp_prober *prober, enum onp_probe probe, bool *right) {
    const struct onp_probe_state *s = &prober->state[probe];
    const double lanes = s->work / (8.0 * ONP_PROBE_CHAINS * (double)s->launch.global[0]);
    uint32_t bits;
    float value;
    ONP_TRY(prober->device->backend->buffer_read(prober->sink, 0, &bits, sizeof bits));
    memcpy(&value, &bits, sizeof value);
    const double expected = ONP_PROBE_CHAINS * lanes / 2.0;
    *right = fabs((double)value - expected) <= 0.01 * expected;
    if (probe != ONP_PROBE_DOT_I8) return ONP_OK;
    uint32_t sum = 0;
    for (uint32_t c = 0; c < ONP_PROBE_CHAINS; c++)
        sum += (uint32_t)(lanes / 8.0) * dot_chain(c, s->steps);
    *right = sum == bits;
    return ONP_OK;
}

// --- Memory -------------------------------------------------------------------------------------

// Four times the last cache that the driver tells of, within what the device can spare.
static uint64_t memory_bytes(const struct onp_caps *caps) {
    const uint64_t least = caps->type == ONP_DEVICE_GPU && !caps->unified_memory ? 512 : 128;
    uint64_t bytes = caps->cache_bytes < 128 * MIB ? 4 * caps->cache_bytes : 512 * MIB;
    if (bytes < least * MIB) bytes = least * MIB;
    if (bytes > caps->global_bytes / 8) bytes = caps->global_bytes / 8;
    return bytes > caps->max_alloc_bytes ? caps->max_alloc_bytes : bytes;
}

static enum onp_status create_pair(struct onp_prober *prober, uint64_t bytes) {
    const struct onp_backend *backend = prober->device->backend;
    ONP_TRY(backend->buffer_create(prober->device, bytes, &prober->memory[0]));
    const enum onp_status status =
        backend->buffer_create(prober->device, bytes, &prober->memory[1]);
    if (status == ONP_OK) return ONP_OK;
    backend->buffer_destroy(prober->memory[0]);
    prober->memory[0] = NULL;
    return status;
}

// A device that is full of weights gives less.
static enum onp_status need_memory(struct onp_prober *prober) {
    const struct onp_caps *caps = &prober->device->caps;
    if (prober->memory[0]) return ONP_OK;
    const uint64_t unit = 4 * memory_items(caps) * (uint64_t)vector_width(caps) * sizeof(float);
    uint64_t bytes = memory_bytes(caps) / unit * unit;
    struct onp_context silent = {.cache_dir = prober->device->context->cache_dir};
    struct onp_context *const context = prober->device->context;
    prober->device->context = &silent;
    enum onp_status status = ONP_ERR_DEVICE_MEMORY;
    for (; bytes >= 16 * MIB && status != ONP_OK; bytes = bytes / 2 / unit * unit)
        status = create_pair(prober, bytes);
    prober->device->context = context;
    if (status == ONP_OK) return ONP_OK;
    return onp_fail(&context->log, ONP_ERR_DEVICE_MEMORY,
                    "%s has no room for two buffers of 16 MiB to measure its memory with",
                    prober->device->info.name);
}

static enum onp_status build_memory(struct onp_prober *prober, struct onp_launch *launch,
                                    enum onp_probe probe) {
    static const char *const functions[] = {"probe_read", "probe_write", "probe_copy"};
    const struct onp_caps *caps = &prober->device->caps;
    const int width = vector_width(caps);
    *launch = (struct onp_launch){.source = "probe_memory",
                                  .function = functions[probe - ONP_PROBE_READ],
                                  .dims = 1,
                                  .global = {memory_items(caps)},
                                  .local = {group_size(caps, 256)}};
    snprintf(launch->defines, sizeof launch->defines, "-DVEC=%d%s", width,
             is_plain_cpu(caps) ? " -DSTRETCH" : "");
    onp_push_buffer(launch, prober->memory[0], 0);
    if (probe == ONP_PROBE_READ)
        onp_push_buffer(launch, prober->sink, 0);
    else if (probe == ONP_PROBE_WRITE)
        onp_push_f32(launch, 1.5f);
    else
        onp_push_buffer(launch, prober->memory[1], 0);
    onp_push_i32(launch, (int64_t)(prober->memory[0]->bytes / sizeof(float)) / width);
    return build(prober->device, launch, false);
}

// Memory that nothing was written to may all be one page of zeros, which is read from the cache.
static enum onp_status fill_memory(struct onp_prober *prober) {
    struct onp_launch launch;
    ONP_TRY(build_memory(prober, &launch, ONP_PROBE_WRITE));
    ONP_TRY(prober->device->backend->launch(prober->device, &launch, 0));
    return prober->device->backend->finish(prober->device);
}

static enum onp_status prepare_memory(struct onp_prober *prober, struct onp_probe_state *s,
                                      enum onp_probe probe) {
    ONP_TRY(need_memory(prober));
    if (probe != ONP_PROBE_WRITE) ONP_TRY(fill_memory(prober));
    const double bytes = (double)prober->memory[0]->bytes;
    s->work = bytes * (probe == ONP_PROBE_COPY ? 2.0 : 1.0);
    snprintf(s->method, sizeof s->method, "float%d over %.0f MiB",
             vector_width(&prober->device->caps), bytes / (double)MIB);
    return build_memory(prober, &s->launch, probe);
}

static enum onp_status prepare_launch(struct onp_prober *prober, struct onp_probe_state *s,
                                      enum onp_probe probe) {
    const struct onp_caps *caps = &prober->device->caps;
    s->launch = (struct onp_launch){.source = "probe_memory",
                                    .function = "probe_empty",
                                    .dims = 1,
                                    .global = {group_size(caps, 64)},
                                    .local = {group_size(caps, 64)}};
    snprintf(s->launch.defines, sizeof s->launch.defines, "-DVEC=%d%s", vector_width(caps),
             is_plain_cpu(caps) ? " -DSTRETCH" : "");
    onp_push_buffer(&s->launch, prober->sink, 0);
    snprintf(s->method, sizeof s->method,
             probe == ONP_PROBE_LAUNCH ? "empty kernel of one group, queued 512 times"
                                       : "empty kernel of one group, waited for each time");
    return build(prober->device, &s->launch, false);
}

static enum onp_status prepare_transfer(struct onp_prober *prober, struct onp_probe_state *s) {
    ONP_TRY(need_memory(prober));
    if (!prober->host) {
        const uint64_t bytes = prober->memory[0]->bytes;
        prober->host_bytes = (size_t)(bytes < HOST_BYTES ? bytes : HOST_BYTES);
        prober->host = malloc(prober->host_bytes);
        if (!prober->host)
            return onp_fail(&prober->device->context->log, ONP_ERR_MEMORY,
                            "no memory to measure copies with");
        memset(prober->host, 1, prober->host_bytes);
    }
    s->work = (double)prober->host_bytes;
    snprintf(s->method, sizeof s->method, "%.0f MiB of pageable memory", s->work / (double)MIB);
    return ONP_OK;
}

enum onp_status onp_probe_prepare(struct onp_prober *prober, enum onp_probe probe) {
    struct onp_probe_state *s = &prober->state[probe];
    if (s->ready || s->missing) return ONP_OK;
    ONP_TRY(need_sink(prober));
    switch (probe) {
    case ONP_PROBE_FMA_F32:
    case ONP_PROBE_FMA_F16:
        ONP_TRY(prepare_fma(prober, s, probe == ONP_PROBE_FMA_F16));
        break;
    case ONP_PROBE_DOT_I8:
        ONP_TRY(prepare_dot(prober, s));
        break;
    case ONP_PROBE_READ:
    case ONP_PROBE_WRITE:
    case ONP_PROBE_COPY:
        ONP_TRY(prepare_memory(prober, s, probe));
        break;
    case ONP_PROBE_LAUNCH:
    case ONP_PROBE_LAUNCH_FINISH:
        ONP_TRY(prepare_launch(prober, s, probe));
        break;
    case ONP_PROBE_HOST_TO_DEVICE:
    case ONP_PROBE_DEVICE_TO_HOST:
        ONP_TRY(prepare_transfer(prober, s));
        break;
    }
    s->ready = !s->missing;
    return ONP_OK;
}
