// SPDX-License-Identifier: Apache-2.0
// Running the probes and reading their samples.
#include "api/probe.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/checked.h"
#include "base/clock.h"

#define SAMPLE_SECONDS 0.02
#define LAUNCHES       512

// --- Results ------------------------------------------------------------------------------------

static const struct kind {
    const char *name;
    size_t runs;    // by default
    bool time;      // the value is a time, in microseconds; else a rate, in 1e9 a second
    bool by_device; // its time is one kernel's
} kinds[ONP_PROBE_COUNT] = {
    [ONP_PROBE_FMA_F32] = {"fma_f32_gflops", 5, false, true},
    [ONP_PROBE_FMA_F16] = {"fma_f16_gflops", 5, false, true},
    [ONP_PROBE_DOT_I8] = {"dot_i8_gops", 5, false, true},
    [ONP_PROBE_READ] = {"read_gbps", 5, false, true},
    [ONP_PROBE_WRITE] = {"write_gbps", 5, false, true},
    [ONP_PROBE_COPY] = {"copy_gbps", 5, false, true},
    [ONP_PROBE_LAUNCH] = {"launch_us", 5, true, false},
    [ONP_PROBE_LAUNCH_FINISH] = {"launch_finish_us", 20, true, false},
    [ONP_PROBE_HOST_TO_DEVICE] = {"host_to_device_gbps", 5, false, false},
    [ONP_PROBE_DEVICE_TO_HOST] = {"device_to_host_gbps", 5, false, false},
};

static bool is_probe(enum onp_probe probe) { return (unsigned)probe < ONP_PROBE_COUNT; }

const char *onp_probe_name(enum onp_probe probe) {
    return is_probe(probe) ? kinds[probe].name : NULL;
}

static int ascending(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

// Sorted seconds; how many.
static size_t sorted(const struct onp_probe_result *result, double *seconds) {
    if (!result->measured || result->count > ONP_PROBE_RUNS) return 0;
    memcpy(seconds, result->seconds, result->count * sizeof *seconds);
    qsort(seconds, result->count, sizeof *seconds, ascending);
    return result->count;
}

static double value(enum onp_probe probe, const struct onp_probe_result *result, double seconds) {
    if (!(seconds > 0.0) || !(result->work > 0.0)) return 0.0;
    return kinds[probe].time ? seconds / result->work * 1e6 : result->work / seconds * 1e-9;
}

double onp_probe_best(enum onp_probe probe, const struct onp_probe_result *result) {
    double seconds[ONP_PROBE_RUNS];
    if (!is_probe(probe) || !result || sorted(result, seconds) == 0) return 0.0;
    return value(probe, result, seconds[0]);
}

double onp_probe_median(enum onp_probe probe, const struct onp_probe_result *result) {
    double seconds[ONP_PROBE_RUNS];
    const size_t count = is_probe(probe) && result ? sorted(result, seconds) : 0;
    if (count == 0) return 0.0;
    return value(probe, result, 0.5 * (seconds[(count - 1) / 2] + seconds[count / 2]));
}

// --- A prober -----------------------------------------------------------------------------------

enum onp_status onp_prober_create(struct onp_device *device, struct onp_prober **out) {
    if (!device || !out)
        return onp_fail(NULL, ONP_ERR_ARGUMENT, "onp_prober_create: an argument is NULL");
    const struct onp_log *log = &device->context->log;
    if (device->caps.reference)
        return onp_fail(log, ONP_ERR_UNSUPPORTED,
                        "the reference device runs no kernels, so it has no peaks to measure: "
                        "choose another device");
    struct onp_prober *prober = calloc(1, sizeof *prober);
    if (!prober) return onp_fail(log, ONP_ERR_MEMORY, "no memory to measure the device");
    prober->device = device;
    *out = prober;
    return ONP_OK;
}

void onp_prober_trim(struct onp_prober *prober) {
    if (!prober) return;
    for (size_t i = 0; i < ONP_COUNT(prober->memory); i++)
        if (prober->memory[i]) prober->device->backend->buffer_destroy(prober->memory[i]);
    memset(prober->memory, 0, sizeof prober->memory);
    free(prober->host);
    prober->host = NULL;
    for (int i = 0; i < ONP_PROBE_COUNT; i++)
        if (i != ONP_PROBE_LAUNCH && i != ONP_PROBE_LAUNCH_FINISH && i >= ONP_PROBE_READ)
            prober->state[i].ready = false; // it names the buffers
}

void onp_prober_destroy(struct onp_prober *prober) {
    if (!prober) return;
    onp_prober_trim(prober);
    if (prober->sink) prober->device->backend->buffer_destroy(prober->sink);
    free(prober);
}

// --- Running ------------------------------------------------------------------------------------

struct sample {
    double seconds, processor;
    bool by_device;
};

static double processor_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

// The device's own time of the one kernel that ran, if it gives one.
static enum onp_status device_time(struct onp_device *device, struct sample *sample) {
    struct onp_timing *timings = NULL;
    size_t count = 0;
    ONP_TRY(device->backend->timings(device, &timings, &count));
    if (count == 1 && timings[0].seconds > 0.0) {
        sample->seconds = timings[0].seconds;
        sample->by_device = true;
    }
    free(timings);
    return ONP_OK;
}

static enum onp_status queue(struct onp_prober *prober, enum onp_probe probe) {
    struct onp_device *device = prober->device;
    const struct onp_probe_state *s = &prober->state[probe];
    if (probe == ONP_PROBE_HOST_TO_DEVICE)
        return device->backend->buffer_write(prober->memory[0], 0, prober->host,
                                             prober->host_bytes);
    if (probe == ONP_PROBE_DEVICE_TO_HOST)
        return device->backend->buffer_read(prober->memory[0], 0, prober->host, prober->host_bytes);
    const int count = probe == ONP_PROBE_LAUNCH ? LAUNCHES : 1;
    for (int i = 0; i < count; i++) ONP_TRY(device->backend->launch(device, &s->launch, 0));
    return device->backend->finish(device);
}

static enum onp_status take(struct onp_prober *prober, enum onp_probe probe,
                            struct sample *sample) {
    const double processor = processor_now(), start = onp_seconds_now();
    ONP_TRY(queue(prober, probe));
    *sample = (struct sample){onp_seconds_now() - start, processor_now() - processor, false};
    return kinds[probe].by_device ? device_time(prober->device, sample) : ONP_OK;
}

static void set_steps(struct onp_probe_state *s, double steps) {
    s->steps = steps < 1.0 ? 1 : steps > 1e8 ? 100000000 : (int32_t)steps;
    s->launch.args[2].value.i32 = s->steps; // after the sink and its offset
}

// Finds how many steps take the time of a sample, and looks once whether they are done rightly.
static enum onp_status calibrate(struct onp_prober *prober, enum onp_probe probe) {
    struct onp_probe_state *s = &prober->state[probe];
    struct sample sample;
    set_steps(s, 16);
    ONP_TRY(take(prober, probe, &sample)); // may still load the kernel
    bool right;
    ONP_TRY(onp_probe_right(prober, probe, &right));
    if (!right && probe != ONP_PROBE_FMA_F32) {
        s->missing = true;
        strcpy(s->method, "the device computes it wrongly");
        return ONP_OK;
    }
    if (!right)
        return onp_fail(&prober->device->context->log, ONP_ERR_DEVICE,
                        "%s computes fused multiply-adds wrongly: run its self-test",
                        prober->device->info.name);
    for (;;) {
        ONP_TRY(take(prober, probe, &sample));
        if (sample.seconds >= 0.1 * SAMPLE_SECONDS || s->steps >= 100000000) break;
        set_steps(s, 8.0 * s->steps);
    }
    set_steps(s, s->steps * SAMPLE_SECONDS / sample.seconds);
    return ONP_OK;
}

static enum onp_status measure(struct onp_prober *prober, enum onp_probe probe, size_t runs,
                               struct onp_probe_result *result) {
    struct onp_probe_state *s = &prober->state[probe];
    const bool arithmetic = probe <= ONP_PROBE_DOT_I8;
    struct sample sample;
    ONP_TRY(onp_probe_prepare(prober, probe));
    if (arithmetic && s->ready && s->steps == 0) ONP_TRY(calibrate(prober, probe));
    memcpy(result->method, s->method, sizeof result->method);
    if (s->missing) return ONP_OK;
    result->work = arithmetic                         ? s->work * s->steps
                   : probe == ONP_PROBE_LAUNCH        ? LAUNCHES
                   : probe == ONP_PROBE_LAUNCH_FINISH ? 1.0
                                                      : s->work;
    ONP_TRY(take(prober, probe, &sample)); // warm-up
    result->device_clock = kinds[probe].by_device;
    for (size_t i = 0; i < runs; i++) {
        ONP_TRY(take(prober, probe, &sample));
        result->seconds[i] = sample.seconds;
        result->processor[i] = sample.processor;
        result->device_clock &= sample.by_device;
        result->count++;
    }
    result->measured = true;
    return ONP_OK;
}

enum onp_status onp_prober_run(struct onp_prober *prober, enum onp_probe probe, size_t runs,
                               struct onp_probe_result *result) {
    if (!prober || !result)
        return onp_fail(NULL, ONP_ERR_ARGUMENT, "onp_prober_run: an argument is NULL");
    struct onp_device *device = prober->device;
    if (!is_probe(probe) || runs > ONP_PROBE_RUNS)
        return onp_fail(&device->context->log, ONP_ERR_ARGUMENT,
                        "onp_prober_run: there is no such probe, or more than %d runs",
                        ONP_PROBE_RUNS);
    *result = (struct onp_probe_result){0};
    const bool profiling = device->profiling;
    struct onp_timing *old = NULL; // what is queued before must not be taken for a sample
    size_t count;
    ONP_TRY(device->backend->finish(device));
    ONP_TRY(device->backend->timings(device, &old, &count));
    free(old);
    ONP_TRY(device->backend->profile(device, kinds[probe].by_device));
    const enum onp_status status = measure(prober, probe, runs ? runs : kinds[probe].runs, result);
    const enum onp_status restored = device->backend->profile(device, profiling);
    return status != ONP_OK ? status : restored;
}
