// SPDX-License-Identifier: Apache-2.0
// What a device can do at most, measured: arithmetic, memory, launches and copies. The figures that
// kernels are compared with.
#ifndef ONEPEACE_PROBE_H
#define ONEPEACE_PROBE_H

#include "onepeace/device.h"

#ifdef __cplusplus
extern "C" {
#endif

// Units of work in brackets; the unit of onp_probe_value follows.
enum onp_probe {
    ONP_PROBE_FMA_F32 = 0,    // float32 fused multiply-add [FLOP, two each]      GFLOP/s
    ONP_PROBE_FMA_F16,        // the same in half, where the device has it [FLOP] GFLOP/s
    ONP_PROBE_DOT_I8,         // int8 products summed in int32 [operations, two each] GOP/s
    ONP_PROBE_READ,           // reading device memory [bytes]                    GB/s
    ONP_PROBE_WRITE,          // writing device memory [bytes]                    GB/s
    ONP_PROBE_COPY,           // copying inside it [bytes read + bytes written]   GB/s
    ONP_PROBE_LAUNCH,         // an empty kernel among many queued [launches]     microseconds
    ONP_PROBE_LAUNCH_FINISH,  // an empty kernel, and waiting for it [launches]   microseconds
    ONP_PROBE_HOST_TO_DEVICE, // from pageable host memory [bytes]                GB/s
    ONP_PROBE_DEVICE_TO_HOST, // to pageable host memory [bytes]                  GB/s
};
#define ONP_PROBE_COUNT 10
#define ONP_PROBE_RUNS  32 // samples of one call at most

// Its name in reports, which ends in the unit of onp_probe_value: "fma_f32_gflops",
// "fma_f16_gflops", "dot_i8_gops", "read_gbps", "write_gbps", "copy_gbps", "launch_us",
// "launch_finish_us", "host_to_device_gbps", "device_to_host_gbps". Giga is 1e9. NULL for a value
// that is no probe.
ONP_API const char *onp_probe_name(enum onp_probe probe);

struct onp_probe_result {
    bool measured;     // false: this device cannot do it, or not at the speed that counts
    char method[96];   // what ran: "float8 fma, 12 chains"; why it could not, if not measured
    bool device_clock; // seconds come from the device's events; else from the host's clock
    size_t count;      // samples
    double work;       // of one sample, in the probe's unit of work
    double seconds[ONP_PROBE_RUNS];   // of each sample, in the order taken, warm-up left out
    double processor[ONP_PROBE_RUNS]; // processor time that this process spent meanwhile: on a CPU
                                      // device, what counts when other work shares the machine
};

// Best and median of the samples in the unit that the name ends in; 0 if not measured.
ONP_API double onp_probe_best(enum onp_probe probe, const struct onp_probe_result *result);
ONP_API double onp_probe_median(enum onp_probe probe, const struct onp_probe_result *result);

// Keeps the probes' kernels and buffers, so that one can be repeated cheaply. Each is compiled and
// allocated when it first runs. The device must outlive it.
// Thread-safety: one thread at a time, and none of the device's other objects during a call.
struct onp_prober;
// ONP_ERR_UNSUPPORTED on the reference, which runs no kernels.
ONP_API enum onp_status onp_prober_create(struct onp_device *device, struct onp_prober **out);
ONP_API void onp_prober_destroy(struct onp_prober *prober); // NULL is allowed

// Runs one probe `runs` times (1 to ONP_PROBE_RUNS; 0: its default, 5 or 20) after a warm-up. One
// run takes about 20 ms, of launches and copies less. What a device lacks is no error: see
// result->measured. Errors are failures of the device. Waits for the device's queued work first;
// kernel times of encoders that were not yet read (onp_encoder_profile) are lost.
ONP_API enum onp_status onp_prober_run(struct onp_prober *prober, enum onp_probe probe, size_t runs,
                                       struct onp_probe_result *result);
// Gives the memory of the bandwidth and copy probes back, until they run again.
ONP_API void onp_prober_trim(struct onp_prober *prober);

#ifdef __cplusplus
}
#endif
#endif
