// SPDX-License-Identifier: Apache-2.0
// The contract between the runtime and a device API. Only host/backend/<name> knows the API; all
// else speaks in buffers, kernel launches and plain products. Arguments are validated by the front,
// a back end may trust them. Every call reports failures through the device's log.
#ifndef ONP_BACKEND_BACKEND_H
#define ONP_BACKEND_BACKEND_H

#include "base/context.h"
#include "onepeace/device.h"
#include "onepeace/model.h"

// Facts about a device, probed once when it is opened. Data, not code: `quirks.c` edits it.
struct onp_caps {
    bool reference; // runs the C references instead of kernels
    enum onp_device_type type;
    uint32_t vector_width; // floats in a hardware vector, as the driver prefers (>= 1)
    uint32_t compute_units;
    uint64_t max_work_group; // work-items
    uint64_t max_work_item[3];
    uint64_t local_bytes;
    uint64_t max_alloc_bytes;
    uint64_t global_bytes;
    uint32_t subgroup_size; // 0: unknown or none
    bool subgroups;         // kernels can use the functions of sub-groups, of subgroup_size
    bool blas;              // a vendor product (CLBlast) is available
    bool prefetch;          // the compiler knows __builtin_prefetch (clang on a CPU)
    bool unified_memory;
    bool dot_i8;          // products of int8 have an instruction (cl_khr_integer_dot_product)
    uint64_t cache_bytes; // of global memory, as the driver says; 0 if it does not
    bool mobile;          // a phone's GPU: few registers, little local memory or none
    bool lanes;           // a CPU that runs work-items as the lanes of its vectors, like a GPU
    bool overlap;         // copies can go beside the computation, see stage()
};

// Which tile each op uses on this device. Filled from a table of device classes (tuning.c);
// measured rows replace it later. Ops read it, they never look at vendor strings.
struct onp_tuning {
    const char *row;       // name of the row in force, for --explain
    bool prefer_blas;      // plain products go to CLBlast
    int32_t vector;        // floats per OpenCL vector in register-tile kernels: 4, 8 or 16
    int32_t tile_rows;     // register tile: rows (6 for AVX2, 9 for AVX-512)
    int32_t tile_vectors;  // register tile: vectors (2 for AVX2, 3 for AVX-512)
    bool work_group_tiles; // local-memory kernels with work-groups (GPUs) before register tiles
    int32_t group_rows, group_cols, group_depth; // work-group tile of the local-memory product
    int32_t least_rows;           // of lower tiles where there are few rows; group_rows: none
    int32_t item_rows, item_cols; // of it, for a work-item: 4 or 8 each; less for lower tiles
    // Tile of the product by sub-groups, before the work-group tile: rows, and columns of a
    // work-item (half with a gate). 0 rows: not taken.
    int32_t subgroup_rows, subgroup_cols;
    bool attention_subgroups; // attention by sub-groups before that by work-groups
    int32_t attention_rows;   // query rows per work-item or work-group in attention
    int32_t attention_keys;   // keys per block in attention
};

// The ops that may have tiles of their own, measured on this device (exec/tuned.h): a row for all
// ops would let one op's best tile slow another one down.
enum onp_tuned_op {
    ONP_TUNED_MATMUL,
    ONP_TUNED_ATTENTION,
    ONP_TUNED_LAYERNORM,
    ONP_TUNED_GROUPED_CONV,
    ONP_TUNED_COUNT
};
struct onp_tuned {
    bool set; // else the op takes the device class's row
    struct onp_tuning tiles;
    char values[160]; // what differs from the class: "tile_rows=4 tile_vectors=3"
    char source[512]; // the file that it is from
};

// Device memory. `host` is set when the device's memory is directly addressable (reference).
struct onp_buffer {
    struct onp_device *device;
    uint64_t bytes;
    void *host;
};

enum onp_arg_kind { ONP_ARG_BUFFER, ONP_ARG_I32, ONP_ARG_U32, ONP_ARG_F32, ONP_ARG_LOCAL };
struct onp_arg {
    enum onp_arg_kind kind;
    union {
        struct onp_buffer *buffer; // NULL passes a null pointer
        int32_t i32;
        uint32_t u32;
        float f32;
        uint64_t local_bytes;
    } value;
};

#define ONP_MAX_ARGS 40

// The define of kernels that use the functions of sub-groups: the back end compiles them with what
// this device's compiler needs for that. -DSUB_GROUP=n goes with it (see prelude.h).
#define ONP_SUB_GROUPS "-DSUB_GROUPS"

// One kernel launch, complete. Sizes in work-items; local[0] == 0 leaves the choice to the driver.
// global is a multiple of local in every dimension.
struct onp_launch {
    const char *source;   // cl_kernels/<source>.cl
    const char *function; // kernel name in it
    char defines[256];    // "-DMR=6 -DNV=2"
    uint32_t dims;
    size_t global[3], local[3];
    uint32_t arg_count;
    struct onp_arg args[ONP_MAX_ARGS];
    struct onp_kernel *kernel; // resolved by kernels_build
};

// c[m][n] = sum_k a[m][k] * w[n][k], float32, row-major with row strides in elements; offsets too.
struct onp_gemm {
    int64_t m, n, k;
    struct onp_buffer *a, *w, *c;
    int64_t a_offset, w_offset, c_offset;
    int64_t lda, ldw, ldc;
};

// Time of one command, from the device's own clock.
struct onp_timing {
    uint32_t tag; // given at launch
    double seconds;
    uint64_t begin_ns, end_ns; // the same on that clock's scale
};

struct onp_mark; // a point in the queue; each back end's own, NULL where nothing is queued

// The parts of a run. Between them the run keeps its order; runs overlap as far as the device can.
enum onp_stage { ONP_STAGE_COMPUTE, ONP_STAGE_UPLOAD, ONP_STAGE_DOWNLOAD };

struct onp_device {
    const struct onp_backend *backend;
    struct onp_context *context;
    struct onp_device_info info;
    struct onp_caps caps;
    bool profiling;           // kept by the back end's profile()
    struct onp_tuning tuning; // of the device class
    struct onp_tuned tuned[ONP_TUNED_COUNT];
    char disabled[512]; // comma-separated variants switched off by the user
};

struct onp_backend {
    const char *name; // "opencl", "ref"
    // Appends this back end's devices to a list (index is filled in by the registry). No devices
    // or no driver is not an error. *list grows by realloc.
    enum onp_status (*list)(struct onp_context *context, struct onp_device_info **list,
                            size_t *count);
    // Opens the device that `info` describes (one from list). Fills info and caps of *out, which
    // starts with a struct onp_device. tuning is filled in by the registry.
    enum onp_status (*open)(struct onp_context *context, const struct onp_device_info *info,
                            struct onp_device **out);
    void (*close)(struct onp_device *device);

    // A buffer of at least `bytes` (> 0), uninitialised. ONP_ERR_DEVICE_MEMORY names the limit.
    enum onp_status (*buffer_create)(struct onp_device *device, uint64_t bytes,
                                     struct onp_buffer **out);
    void (*buffer_destroy)(struct onp_buffer *buffer);
    // Copies; return when the host memory may be reused (write) or is filled (read).
    enum onp_status (*buffer_write)(struct onp_buffer *buffer, uint64_t offset, const void *data,
                                    uint64_t bytes);
    enum onp_status (*buffer_read)(struct onp_buffer *buffer, uint64_t offset, void *data,
                                   uint64_t bytes);
    // Queues a copy to the device; `data` must stay as it is until finish or the next read.
    enum onp_status (*buffer_send)(struct onp_buffer *buffer, uint64_t offset, const void *data,
                                   uint64_t bytes);
    // Queues a copy from the device; `data` is filled once a mark made later has been waited for.
    enum onp_status (*buffer_fetch)(struct onp_buffer *buffer, uint64_t offset, void *data,
                                    uint64_t bytes);

    // What is queued from here on belongs to this stage of a run: upload, then compute, then
    // download, then a mark, which leads back to compute. Sends of an upload wait for nothing that
    // was queued before, so the memory they fill must be free; the computation waits for them and
    // for all computation before it; fetches of a download wait for all computation so far, which
    // later runs must not overwrite until the mark has been waited for. Without caps.overlap, and
    // outside these stages, everything is in the order in which it was queued. finish() leads back
    // to compute, also after a failure.
    enum onp_status (*stage)(struct onp_device *device, enum onp_stage stage);

    // Compiles every (source, defines) not yet compiled on this device, in parallel where the
    // driver allows it, through the disk cache, and sets launches[i]->kernel. NULL on `ref`.
    enum onp_status (*kernels_build)(struct onp_device *device, struct onp_launch *const *launches,
                                     size_t count);
    // Queues; does not wait. `tag` comes back in timings.
    enum onp_status (*launch)(struct onp_device *device, const struct onp_launch *launch,
                              uint32_t tag);
    enum onp_status (*gemm)(struct onp_device *device, const struct onp_gemm *gemm, uint32_t tag);
    enum onp_status (*flush)(struct onp_device *device);  // lets queued work begin; does not wait
    enum onp_status (*finish)(struct onp_device *device); // waits for all queued work
    // Marks the end of what is queued so far, and lets it begin. Waiting for the mark reports
    // failures of that work and frees the mark, also on failure.
    enum onp_status (*mark)(struct onp_device *device, struct onp_mark **mark);
    enum onp_status (*wait)(struct onp_device *device, struct onp_mark *mark);

    // Collects times of what is launched while on. Takes (and forgets) those finished so far;
    // *timings is malloc'ed.
    enum onp_status (*profile)(struct onp_device *device, bool on);
    enum onp_status (*timings)(struct onp_device *device, struct onp_timing **timings,
                               size_t *count);
};

// The tiles that an op takes on this device.
static inline const struct onp_tuning *onp_tiles(const struct onp_device *device,
                                                 enum onp_tuned_op op) {
    return device->tuned[op].set ? &device->tuned[op].tiles : &device->tuning;
}

extern const struct onp_backend onp_backend_ref;
extern const struct onp_backend onp_backend_opencl; // a stub when built without OpenCL

// Kernel sources, generated from cl_kernels/ at build time. Ends with a NULL name.
struct onp_kernel_source {
    const char *name; // "matmul_panel"
    const char *text;
};
extern const struct onp_kernel_source onp_kernel_sources[];
extern const char onp_kernel_prelude[]; // cl_kernels/prelude.h, put before every source

// --- Building launches -----------------------------------------------------------------------

static inline void onp_push(struct onp_launch *launch, struct onp_arg arg) {
    launch->args[launch->arg_count++] = arg;
}
static inline void onp_push_i32(struct onp_launch *launch, int64_t value) {
    onp_push(launch, (struct onp_arg){ONP_ARG_I32, {.i32 = (int32_t)value}});
}
static inline void onp_push_f32(struct onp_launch *launch, float value) {
    onp_push(launch, (struct onp_arg){ONP_ARG_F32, {.f32 = value}});
}
static inline void onp_push_local(struct onp_launch *launch, uint64_t bytes) {
    onp_push(launch, (struct onp_arg){ONP_ARG_LOCAL, {.local_bytes = bytes}});
}
// Two kernel arguments: the pointer and the first element (uint). Kernels write `x += x_offset`.
static inline void onp_push_buffer(struct onp_launch *launch, struct onp_buffer *buffer,
                                   uint64_t element) {
    onp_push(launch, (struct onp_arg){ONP_ARG_BUFFER, {.buffer = buffer}});
    onp_push(launch, (struct onp_arg){ONP_ARG_U32, {.u32 = (uint32_t)element}});
}

#endif
