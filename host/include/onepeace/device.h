// SPDX-License-Identifier: Apache-2.0
// Devices: listing, choosing, describing.
#ifndef ONEPEACE_DEVICE_H
#define ONEPEACE_DEVICE_H

#include "onepeace/status.h"

#ifdef __cplusplus
extern "C" {
#endif

enum onp_device_type { ONP_DEVICE_CPU, ONP_DEVICE_GPU, ONP_DEVICE_ACCELERATOR, ONP_DEVICE_OTHER };

// What is known of one device. Strings are NUL-terminated, cut if too long.
struct onp_device_info {
    int index;          // position in onp_device_list, the number that a selector names
    char backend[16];   // "opencl" or "ref"
    char platform[128]; // OpenCL platform name
    char name[256];     // device name
    char vendor[128];   // device vendor
    char driver[128];   // driver version
    char version[128];  // OpenCL device version
    char uuid[40];      // 32 lower-case hex digits if the driver gives one, else ""
    enum onp_device_type type;
    uint32_t compute_units;
    uint32_t clock_mhz;       // as the driver reports it, 0 if it does not
    uint64_t global_bytes;    // global memory
    uint64_t max_alloc_bytes; // largest single buffer
    uint64_t local_bytes;     // local memory of a work-group
    uint64_t max_work_group;  // work-items in a work-group
    uint32_t vector_width;    // preferred float vector width
    uint32_t subgroup_size;   // 0 if unknown or unsupported
    bool unified_memory;      // host and device share memory
    bool fp16;                // reports cl_khr_fp16 (arithmetic stays float32 either way)
    bool refused;             // a known fault: needs force
    bool chosen;              // what a NULL selector picks
    char note[256];           // quirks in force, why refused, or why chosen; "" if nothing to say
};

// Lists every usable device of every platform, the reference back end last. The list belongs to the
// caller (onp_device_list_free). An empty OpenCL installation is not an error: the list then holds
// the reference back end alone.
ONP_API enum onp_status onp_device_list(struct onp_context *context, struct onp_device_info **list,
                                        size_t *count);
ONP_API void onp_device_list_free(struct onp_device_info *list);

// Opens a device. `selector` is one of
//   NULL, "" or "auto"   best device: GPU (own memory before shared), then accelerator, then CPU;
//                        the reference is never picked
//   "3"                  index in onp_device_list; digits that are no index are part of a name
//   "gpu" "cpu" "accelerator"   first usable device of a type
//   "vendor:TEXT"        case-insensitive substring of the vendor or platform
//   "uuid:HEX"           device UUID
//   "ref"                the reference back end (plain C, slow, the referee)
//   other text           case-insensitive substring of the device name
// Ambiguity picks the first and logs the others. `force` opens a device that is refused for a known
// fault. Logs (INFO) the chosen device and why. Thread-safety: one thread at a time per device.
struct onp_device;
ONP_API enum onp_status onp_device_open(struct onp_context *context, const char *selector,
                                        bool force, struct onp_device **out);
ONP_API void onp_device_close(struct onp_device *device); // NULL is allowed
ONP_API const struct onp_device_info *onp_device_get_info(const struct onp_device *device);

// Runs every kernel variant that the device accepts against the C reference on its case table.
struct onp_selftest_result {
    const char *op;         // "matmul"
    const char *variant;    // "matmul_panel"
    const char *label;      // the case
    enum onp_status status; // ONP_OK, ONP_ERR_MISMATCH, or why it did not run
    double error;           // worst error, in units of the tolerance's scale
    double tolerance;
    uint64_t seed;
    const char *message; // detail for a failure, "" otherwise
};
typedef void (*onp_selftest_fn)(void *user, const struct onp_selftest_result *result);
// Summary of the run.
struct onp_selftest_summary {
    size_t passed, failed, declined; // cases; declined: the variant does not serve this device
};
// `op_filter`: substring of op or variant names, NULL for all. `quick` leaves out the slow cases.
// Returns ONP_ERR_MISMATCH if a case failed. Strings in results are valid during the callback.
ONP_API enum onp_status onp_selftest(struct onp_device *device, const char *op_filter, bool quick,
                                     uint64_t seed, onp_selftest_fn fn, void *user,
                                     struct onp_selftest_summary *summary);

// Switches kernel variants of this device off, by name, comma-separated. An unknown name is
// ONP_ERR_ARGUMENT and lists the known ones. Affects encoders created afterwards.
ONP_API enum onp_status onp_device_disable_variants(struct onp_device *device, const char *names);

#ifdef __cplusplus
}
#endif
#endif
