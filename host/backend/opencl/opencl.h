// SPDX-License-Identifier: Apache-2.0
// Inside of the OpenCL back end. Only this folder includes OpenCL headers.
#ifndef ONP_BACKEND_OPENCL_OPENCL_H
#define ONP_BACKEND_OPENCL_OPENCL_H

#define CL_TARGET_OPENCL_VERSION 120
#include <CL/cl.h>

#include "backend/backend.h"
#include "backend/opencl/quirks.h"

// One device as the loader shows it.
struct onp_cl_entry {
    cl_platform_id platform;
    cl_device_id id;
};

// Folder of compiled programs. An empty dir means that nothing is read or written.
struct onp_cl_cache {
    const struct onp_log *log;
    char *dir;
    uint64_t cap; // bytes that the folder may hold
    bool warned;  // one warning per device, not one per kernel
};

struct onp_kernel {
    struct onp_kernel *next;
    cl_kernel handle;
    char name[128]; // for messages
};

struct onp_cl_program {
    const char *source;    // name, points into the kernel table
    const char *text;      // its text
    char defines[256];     // as in the launch
    cl_program handle;     // NULL: not built yet
    bool cached;           // came from the disk cache
    unsigned char key[32]; // of the disk cache
    struct onp_kernel *kernels;
};

// A profiled command: seconds run from the end of `before` (if there is one) or the start of
// `event` to the end of `event`.
struct onp_cl_event {
    uint32_t tag;
    cl_event before, event;
};

// Queues that copies have to themselves.
enum onp_cl_copies { ONP_CL_UPLOADS, ONP_CL_DOWNLOADS, ONP_CL_COPIES };

// What lies behind a mark: the end of a run's stages (uploaded and computed may be NULL), and how
// many profiled commands came before it in all.
struct onp_mark {
    cl_event uploaded, computed, event;
    uint64_t events;
};

struct onp_cl_device {
    struct onp_device base; // first: backend.h casts
    struct onp_cl_entry entry;
    struct onp_cl_quirks quirks;
    char platform_version[128];
    bool no_fma;                    // kernels are compiled with products and sums instead
    const char *sub_group_standard; // -cl-std of kernels with sub-groups; NULL: as all others
    cl_context context;
    cl_command_queue queue;
    cl_command_queue copies[ONP_CL_COPIES]; // NULL: all goes through `queue`
    enum onp_stage stage;
    cl_event uploaded, computed;   // of the run that is being queued
    bool owns_context, owns_queue; // false: handed in by a caller, never released here
    cl_mem stamp;                  // four bytes, while profiling: filled to take the time
    bool blas_used;
    uint64_t allocated; // bytes of all buffers alive
    struct onp_cl_program **programs;
    size_t program_count;
    struct onp_cl_event *events;
    size_t event_count, event_capacity;
    size_t events_finished; // the first ones that a finish or a mark has waited for
    uint64_t events_taken;  // how many have left the front of the list
    struct onp_cl_cache cache;
    size_t cache_hits, compiled; // programs since open
};

struct onp_cl_buffer {
    struct onp_buffer base; // first
    cl_mem handle;
};

static inline struct onp_cl_device *onp_cl_device(struct onp_device *device) {
    return (struct onp_cl_device *)device;
}
static inline cl_mem onp_cl_mem(const struct onp_buffer *buffer) {
    return ((const struct onp_cl_buffer *)buffer)->handle;
}

// names.c: "CL_INVALID_VALUE"; the status that a driver error maps to; one logged failure
// "<message>: CL_..._NAME (-30)".
const char *onp_cl_error_name(cl_int error);
enum onp_status onp_cl_error_status(cl_int error);
enum onp_status onp_cl_fail(const struct onp_log *log, cl_int error, const char *fmt, ...)
    ONP_PRINTF(3, 4);

// caps.c: describes a device; entry is a valid device. Quirks are applied to info.
void onp_cl_describe(const struct onp_cl_entry *entry, struct onp_device_info *info,
                     struct onp_cl_quirks *quirks);
void onp_cl_platform_string(cl_platform_id id, cl_platform_info what, char *text, size_t size);
void onp_cl_device_string(cl_device_id id, cl_device_info what, char *text, size_t size);
// Reason why even force cannot open the device, NULL if there is none.
const char *onp_cl_unusable(cl_device_id id);
// Fills caps of an opened device (context exists).
void onp_cl_probe(struct onp_cl_device *device);

// program.c
enum onp_status onp_cl_kernels_build(struct onp_device *device, struct onp_launch *const *launches,
                                     size_t count);
// The same with sources of the caller's own (tests); the table ends with a NULL name and outlives
// the device.
enum onp_status onp_cl_build_from(struct onp_cl_device *device,
                                  const struct onp_kernel_source *table,
                                  struct onp_launch *const *launches, size_t count);
void onp_cl_programs_free(struct onp_cl_device *device);
// Whether a source compiles here; the answer is cached, nothing is logged.
bool onp_cl_compiles(struct onp_cl_device *device, const char *name, const char *text,
                     const char *defines);

// cache.c
// Creates the folder; on failure (or NULL) the cache stays off and warns.
void onp_cl_cache_open(struct onp_cl_cache *cache, const char *dir, const struct onp_log *log);
void onp_cl_cache_close(struct onp_cl_cache *cache);
// The payload stored under a key, malloc'ed, checked; NULL if there is none or it is damaged (which
// deletes it). Thread-safe.
void *onp_cl_cache_load(const struct onp_cl_cache *cache, const unsigned char key[32],
                        size_t *size);
void onp_cl_cache_save(struct onp_cl_cache *cache, const unsigned char key[32], const void *data,
                       size_t size);
// Deletes the least recently used entries until the folder keeps to its cap.
void onp_cl_cache_trim(struct onp_cl_cache *cache);
// The file of a key.
void onp_cl_cache_path(const struct onp_cl_cache *cache, const unsigned char key[32], char *path,
                       size_t size);

// buffer.c, launch.c, gemm.c: see backend.h
enum onp_status onp_cl_buffer_create(struct onp_device *device, uint64_t bytes,
                                     struct onp_buffer **out);
void onp_cl_buffer_destroy(struct onp_buffer *buffer);
enum onp_status onp_cl_buffer_write(struct onp_buffer *buffer, uint64_t offset, const void *data,
                                    uint64_t bytes);
enum onp_status onp_cl_buffer_read(struct onp_buffer *buffer, uint64_t offset, void *data,
                                   uint64_t bytes);
enum onp_status onp_cl_buffer_send(struct onp_buffer *buffer, uint64_t offset, const void *data,
                                   uint64_t bytes);
enum onp_status onp_cl_buffer_fetch(struct onp_buffer *buffer, uint64_t offset, void *data,
                                    uint64_t bytes);
enum onp_status onp_cl_stage(struct onp_device *device, enum onp_stage stage);
enum onp_status onp_cl_launch(struct onp_device *device, const struct onp_launch *launch,
                              uint32_t tag);
enum onp_status onp_cl_gemm(struct onp_device *device, const struct onp_gemm *gemm, uint32_t tag);
enum onp_status onp_cl_flush(struct onp_device *device);
enum onp_status onp_cl_finish(struct onp_device *device);
enum onp_status onp_cl_mark(struct onp_device *device, struct onp_mark **mark);
enum onp_status onp_cl_wait(struct onp_device *device, struct onp_mark *mark);
enum onp_status onp_cl_profile(struct onp_device *device, bool on);
enum onp_status onp_cl_timings(struct onp_device *device, struct onp_timing **timings,
                               size_t *count);
// Makes room for one more profiled command, so that recording it cannot fail.
enum onp_status onp_cl_events_reserve(struct onp_cl_device *device);
void onp_cl_events_push(struct onp_cl_device *device, uint32_t tag, cl_event before,
                        cl_event event);
void onp_cl_events_free(struct onp_cl_device *device);
// Forgets the run that is being queued.
void onp_cl_stage_forget(struct onp_cl_device *device);
// gemm.c: whether CLBlast is compiled in; forgets what it keeps for closed contexts.
bool onp_cl_has_blas(void);
void onp_cl_blas_forget(struct onp_cl_device *device);

// device.c: replaces the device's own queues, which are finished, by new ones. Without queues for
// copies it warns and does with one.
enum onp_status onp_cl_queues_create(struct onp_cl_device *device, bool profiling);

#endif
