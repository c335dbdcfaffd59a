// SPDX-License-Identifier: Apache-2.0
// What a device can do: read once into data.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/opencl/opencl.h"

// Queries of extensions, asked only of devices that name the extension.
#define DEVICE_UUID            0x106A // cl_khr_device_uuid
#define DEVICE_WARP_SIZE_NV    0x4003 // cl_nv_device_attribute_query
#define DEVICE_WAVEFRONT_AMD   0x4043 // cl_amd_device_attribute_query
#define DEVICE_SUB_GROUP_SIZES 0x4108 // cl_intel_required_subgroup_size

static void cut(char *to, size_t size, const char *from) {
    while (*from == ' ') from++; // some drivers pad names
    snprintf(to, size, "%s", from);
    for (size_t n = strlen(to); n > 0 && to[n - 1] == ' '; n--) to[n - 1] = '\0';
}

void onp_cl_platform_string(cl_platform_id id, cl_platform_info what, char *text, size_t size) {
    size_t bytes = 0;
    char *full = NULL;
    text[0] = '\0';
    if (clGetPlatformInfo(id, what, 0, NULL, &bytes) == CL_SUCCESS && bytes < 1u << 20)
        full = calloc(bytes + 1, 1);
    if (full && clGetPlatformInfo(id, what, bytes, full, NULL) == CL_SUCCESS) cut(text, size, full);
    free(full);
}

// The whole string, malloc'ed, or NULL.
static char *device_text(cl_device_id id, cl_device_info what) {
    size_t bytes = 0;
    if (clGetDeviceInfo(id, what, 0, NULL, &bytes) != CL_SUCCESS || bytes >= 1u << 20) return NULL;
    char *full = calloc(bytes + 1, 1);
    if (full && clGetDeviceInfo(id, what, bytes, full, NULL) == CL_SUCCESS) return full;
    free(full);
    return NULL;
}

void onp_cl_device_string(cl_device_id id, cl_device_info what, char *text, size_t size) {
    char *full = device_text(id, what);
    cut(text, size, full ? full : "");
    free(full);
}

// A word of the extension list, not a part of one.
static bool has_extension(const char *list, const char *name) {
    const size_t n = strlen(name);
    for (const char *at = list; (at = strstr(at, name)); at += n)
        if ((at == list || at[-1] == ' ') && (at[n] == ' ' || at[n] == '\0')) return true;
    return false;
}

static cl_uint get_uint(cl_device_id id, cl_device_info what) {
    cl_uint value = 0;
    return clGetDeviceInfo(id, what, sizeof value, &value, NULL) == CL_SUCCESS ? value : 0;
}
static bool get_bool(cl_device_id id, cl_device_info what) {
    cl_bool value = CL_FALSE;
    return clGetDeviceInfo(id, what, sizeof value, &value, NULL) == CL_SUCCESS && value;
}
static uint64_t get_ulong(cl_device_id id, cl_device_info what) {
    cl_ulong value = 0;
    return clGetDeviceInfo(id, what, sizeof value, &value, NULL) == CL_SUCCESS ? value : 0;
}
static uint64_t get_size(cl_device_id id, cl_device_info what) {
    size_t value = 0;
    return clGetDeviceInfo(id, what, sizeof value, &value, NULL) == CL_SUCCESS ? value : 0;
}

static enum onp_device_type device_type(cl_device_id id) {
    cl_device_type type = 0;
    clGetDeviceInfo(id, CL_DEVICE_TYPE, sizeof type, &type, NULL);
    if (type & CL_DEVICE_TYPE_GPU) return ONP_DEVICE_GPU;
    if (type & CL_DEVICE_TYPE_ACCELERATOR) return ONP_DEVICE_ACCELERATOR;
    return type & CL_DEVICE_TYPE_CPU ? ONP_DEVICE_CPU : ONP_DEVICE_OTHER;
}

static void read_uuid(cl_device_id id, const char *extensions, char hex[40]) {
    unsigned char uuid[16];
    hex[0] = '\0';
    if (!has_extension(extensions, "cl_khr_device_uuid")) return;
    if (clGetDeviceInfo(id, DEVICE_UUID, sizeof uuid, uuid, NULL) != CL_SUCCESS) return;
    for (size_t i = 0; i < sizeof uuid; i++) snprintf(hex + 2 * i, 3, "%02x", uuid[i]);
}

// The warp or wavefront, or the smallest size from 8 on that Intel's compiler offers (the one its
// matrix engine is tied to; that for CPUs offers 4 too). Other drivers decide per kernel and are
// not asked.
static uint32_t subgroup_size(cl_device_id id, const char *extensions) {
    if (has_extension(extensions, "cl_nv_device_attribute_query"))
        return get_uint(id, DEVICE_WARP_SIZE_NV);
    if (has_extension(extensions, "cl_amd_device_attribute_query"))
        return get_uint(id, DEVICE_WAVEFRONT_AMD);
    if (!has_extension(extensions, "cl_intel_required_subgroup_size")) return 0;
    size_t sizes[16] = {0}, bytes = 0;
    if (clGetDeviceInfo(id, DEVICE_SUB_GROUP_SIZES, sizeof sizes, sizes, &bytes) != CL_SUCCESS)
        return 0;
    size_t least = 0;
    for (size_t i = 0; i < bytes / sizeof *sizes; i++)
        if (sizes[i] >= 8 && (least == 0 || sizes[i] < least)) least = sizes[i];
    return (uint32_t)least;
}

// A CPU's registers are what the compiler really has, whatever width the driver would prefer.
static uint32_t vector_width(cl_device_id id, enum onp_device_type type) {
    cl_uint width = 0;
    if (type == ONP_DEVICE_CPU) width = get_uint(id, CL_DEVICE_NATIVE_VECTOR_WIDTH_FLOAT);
    if (width == 0) width = get_uint(id, CL_DEVICE_PREFERRED_VECTOR_WIDTH_FLOAT);
    return width ? width : 1;
}

const char *onp_cl_unusable(cl_device_id id) {
    if (!get_bool(id, CL_DEVICE_AVAILABLE)) return "the driver says it is not available";
    if (!get_bool(id, CL_DEVICE_COMPILER_AVAILABLE)) return "its driver has no compiler";
    if (!get_bool(id, CL_DEVICE_ENDIAN_LITTLE)) return "it is big-endian";
    return NULL;
}

// "OpenCL 1.1 ..." and "EMBEDDED_PROFILE": kernels are written for 1.2, full profile.
static const char *below_floor(cl_device_id id, const char *version) {
    unsigned major = 0, minor = 0;
    if (sscanf(version, "OpenCL %u.%u", &major, &minor) != 2) return "it names no OpenCL version";
    if (major < 1 || (major == 1 && minor < 2)) return "it is older than OpenCL 1.2";
    char profile[32];
    onp_cl_device_string(id, CL_DEVICE_PROFILE, profile, sizeof profile);
    return strcmp(profile, "EMBEDDED_PROFILE") == 0 ? "it has the embedded profile only" : NULL;
}

static void describe_names(const struct onp_cl_entry *entry, struct onp_device_info *info) {
    snprintf(info->backend, sizeof info->backend, "opencl");
    onp_cl_platform_string(entry->platform, CL_PLATFORM_NAME, info->platform,
                           sizeof info->platform);
    onp_cl_device_string(entry->id, CL_DEVICE_NAME, info->name, sizeof info->name);
    onp_cl_device_string(entry->id, CL_DEVICE_VENDOR, info->vendor, sizeof info->vendor);
    onp_cl_device_string(entry->id, CL_DRIVER_VERSION, info->driver, sizeof info->driver);
    onp_cl_device_string(entry->id, CL_DEVICE_VERSION, info->version, sizeof info->version);
}

static void describe_limits(cl_device_id id, struct onp_device_info *info) {
    char *extensions = device_text(id, CL_DEVICE_EXTENSIONS);
    const char *list = extensions ? extensions : "";
    read_uuid(id, list, info->uuid);
    info->subgroup_size = subgroup_size(id, list);
    info->fp16 = has_extension(list, "cl_khr_fp16");
    free(extensions);
    info->type = device_type(id);
    info->compute_units = get_uint(id, CL_DEVICE_MAX_COMPUTE_UNITS);
    info->clock_mhz = get_uint(id, CL_DEVICE_MAX_CLOCK_FREQUENCY);
    info->global_bytes = get_ulong(id, CL_DEVICE_GLOBAL_MEM_SIZE);
    info->max_alloc_bytes = get_ulong(id, CL_DEVICE_MAX_MEM_ALLOC_SIZE);
    info->local_bytes = get_ulong(id, CL_DEVICE_LOCAL_MEM_SIZE);
    info->max_work_group = get_size(id, CL_DEVICE_MAX_WORK_GROUP_SIZE);
    info->vector_width = vector_width(id, info->type);
    // Deprecated in 2.0, where every driver still answers it.
    info->unified_memory = get_bool(id, CL_DEVICE_HOST_UNIFIED_MEMORY);
}

void onp_cl_describe(const struct onp_cl_entry *entry, struct onp_device_info *info,
                     struct onp_cl_quirks *quirks) {
    *info = (struct onp_device_info){0};
    describe_names(entry, info);
    describe_limits(entry->id, info);
    char platform_version[128];
    onp_cl_platform_string(entry->platform, CL_PLATFORM_VERSION, platform_version,
                           sizeof platform_version);
    const struct onp_cl_identity identity = {.platform = info->platform,
                                             .platform_version = platform_version,
                                             .vendor = info->vendor,
                                             .device = info->name,
                                             .driver = info->driver};
    onp_cl_quirks_find(&identity, quirks);
    const char *why = onp_cl_unusable(entry->id);
    if (!why) why = below_floor(entry->id, info->version);
    info->refused = why || quirks->refused;
    snprintf(info->note, sizeof info->note, "%s", why ? why : quirks->note);
}

// Only clang on a CPU has this builtin, and only there does prefetching by hand help.
static bool has_prefetch(struct onp_cl_device *device) {
    static const char text[] = "__kernel void probe(__global const float *x) {\n"
                               "    __builtin_prefetch((const void *)(ulong)x, 0, 2);\n"
                               "}\n";
    return device->base.info.type == ONP_DEVICE_CPU && !device->quirks.no_prefetch &&
           onp_cl_compiles(device, "probe_prefetch", text, "");
}

// Whether kernels can use sub-groups of a known size, and the standard that the compiler has their
// functions in: Intel's in 1.2, AMD's from 2.0 on, others in 3.0 alone.
static bool has_sub_groups(struct onp_cl_device *device) {
    static const char text[] =
        "__kernel FULL_REGISTERS void probe(__global float *x) {\n"
        "    x[get_sub_group_local_id()] = sub_group_reduce_add(sub_group_broadcast(x[0], 1));\n"
        "}\n";
    static const char *const standards[] = {"CL1.2", "CL2.0", "CL3.0"};
    const uint32_t size = device->base.info.subgroup_size;
    char defines[64], *extensions = device_text(device->entry.id, CL_DEVICE_EXTENSIONS);
    const bool named = extensions && (has_extension(extensions, "cl_khr_subgroups") ||
                                      has_extension(extensions, "cl_intel_subgroups"));
    free(extensions);
    if (!named || size < 8 || size > 64 || (size & (size - 1)) != 0) return false;
    snprintf(defines, sizeof defines, ONP_SUB_GROUPS " -DSUB_GROUP=%u", (unsigned)size);
    for (size_t i = 0; i < sizeof standards / sizeof *standards; i++) {
        device->sub_group_standard = standards[i];
        if (onp_cl_compiles(device, "probe_sub_groups", text, defines)) return true;
    }
    device->sub_group_standard = NULL;
    return false;
}

static bool has_dot_product(cl_device_id id) {
    char *extensions = device_text(id, CL_DEVICE_EXTENSIONS);
    const bool has = extensions && has_extension(extensions, "cl_khr_integer_dot_product");
    free(extensions);
    return has;
}

static bool has_fma(cl_device_id id) {
    cl_device_fp_config config = 0;
    return clGetDeviceInfo(id, CL_DEVICE_SINGLE_FP_CONFIG, sizeof config, &config, NULL) ==
               CL_SUCCESS &&
           (config & CL_FP_FMA);
}

void onp_cl_probe(struct onp_cl_device *device) {
    const struct onp_device_info *info = &device->base.info;
    device->no_fma = !has_fma(device->entry.id); // first: the probes below compile
    size_t items[16] = {1, 1, 1};
    clGetDeviceInfo(device->entry.id, CL_DEVICE_MAX_WORK_ITEM_SIZES, sizeof items, items, NULL);
    device->base.caps = (struct onp_caps){
        .type = info->type,
        .vector_width = info->vector_width,
        .lanes = device->quirks.lanes,
        .mobile = device->quirks.mobile,
        .compute_units = info->compute_units,
        .max_work_group = info->max_work_group,
        .max_work_item = {items[0], items[1], items[2]},
        .local_bytes = info->local_bytes,
        .max_alloc_bytes = info->max_alloc_bytes,
        .global_bytes = info->global_bytes,
        .subgroup_size = info->subgroup_size,
        .subgroups = has_sub_groups(device),
        .dot_i8 = has_dot_product(device->entry.id),
        .cache_bytes = get_ulong(device->entry.id, CL_DEVICE_GLOBAL_MEM_CACHE_SIZE),
        .blas = onp_cl_has_blas(),
        .prefetch = has_prefetch(device),
        .unified_memory = info->unified_memory};
}
