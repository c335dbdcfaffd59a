// SPDX-License-Identifier: Apache-2.0
// Where the figures come from: the device, the host, and what was against the measurement.
#include <stdlib.h>
#include <string.h>

#include "cli/bench/report.h"

// Other processes or other guests took more than this part of all cores.
#define SHARED_MARGIN 0.05

extern char **environ;

static const char *type_name(enum onp_device_type type) {
    static const char *const names[] = {"cpu", "gpu", "accelerator", "other"};
    return names[type];
}

static json_t *device_json(const struct onp_bench *bench) {
    const struct onp_device_info *d = onp_device_get_info(bench->session.device);
    return json_pack("{s:s,s:s,s:o,s:o,s:o,s:o,s:o,s:i,s:i,s:I,s:I,s:I,s:i,s:i,s:b,s:b}", "backend",
                     d->backend, "type", type_name(d->type), "platform",
                     onp_bench_text(d->platform), "name", onp_bench_text(d->name), "vendor",
                     onp_bench_text(d->vendor), "driver", onp_bench_text(d->driver), "version",
                     onp_bench_text(d->version), "compute_units", (int)d->compute_units,
                     "clock_mhz", (int)d->clock_mhz, "memory_bytes", (json_int_t)d->global_bytes,
                     "max_alloc_bytes", (json_int_t)d->max_alloc_bytes, "local_bytes",
                     (json_int_t)d->local_bytes, "vector_width", (int)d->vector_width,
                     "subgroup_size", (int)d->subgroup_size, "fp16", (int)d->fp16, "unified_memory",
                     (int)d->unified_memory);
}

static json_t *known(double value) { return value < 0.0 ? json_null() : onp_bench_number(value); }

static json_t *host_json(const struct onp_bench *bench) {
    const struct onp_bench_machine *a = &bench->before, *b = &bench->after;
    return json_pack("{s:s,s:i,s:I,s:s,s:s,s:o,s:s,s:b,s:o,s:o,s:o,s:o,s:o}", "cpu", a->cpu,
                     "cores", (int)a->cores, "memory_bytes", (json_int_t)a->memory_bytes, "os",
                     a->os, "kernel", a->kernel, "clock_mhz", onp_bench_number(a->clock_mhz),
                     "product", a->product, "hypervisor", (int)a->hypervisor, "load_before",
                     known(a->load), "load_after", known(b->load), "others_share",
                     known(onp_bench_machine_others(a, b)), "stolen_share",
                     known(onp_bench_machine_stolen(a, b)), "run_s",
                     onp_bench_number(b->moment_s - a->moment_s));
}

// --- Flags -------------------------------------------------------------------------------------

static void flag(json_t *flags, const char *kind, json_t *detail) {
    json_array_append_new(flags, json_pack("{s:s,s:o}", "kind", kind, "detail", detail));
}

static bool names_virtual(const char *product) {
    static const char *const names[] = {"QEMU",  "KVM",       "VMware",     "VirtualBox",
                                        "Xen",   "Virtual",   "Amazon EC2", "Google Compute",
                                        "Bochs", "Parallels", "OpenStack",  "Cloud"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strstr(product, names[i])) return true;
    return false;
}

static void flag_peaks(const struct onp_bench *bench, json_t *flags) {
    double worst = 0.0, least = 0.0, most = 0.0;
    for (size_t i = 0; i < bench->cell_count; i++) {
        const struct onp_bench_cell *c = &bench->cells[i];
        const double low = c->peak_before < c->peak_after ? c->peak_before : c->peak_after;
        const double high = c->peak_before < c->peak_after ? c->peak_after : c->peak_before;
        if (high <= 0.0 || 1.0 - low / high <= worst) continue;
        worst = 1.0 - low / high;
        least = low;
        most = high;
    }
    if (worst > ONP_BENCH_PEAK_MARGIN)
        flag(flags, "throttled",
             json_sprintf("the float32 peak before and after a scenario differs by %.0f %% (%.1f "
                          "and %.1f GFLOP/s); %.0f %% are tolerated",
                          100.0 * worst, least, most, 100.0 * ONP_BENCH_PEAK_MARGIN));
}

static json_t *flags_json(const struct onp_bench *bench) {
    const struct onp_bench_machine *a = &bench->before, *b = &bench->after;
    const double others = onp_bench_machine_others(a, b), stolen = onp_bench_machine_stolen(a, b);
    json_t *flags = json_array();
    if (a->hypervisor || names_virtual(a->product))
        flag(flags, "virtual",
             json_sprintf("%s%s%s", a->hypervisor ? "the processor reports a hypervisor" : "",
                          a->hypervisor && a->product[0] ? "; " : "", a->product));
    if (others > SHARED_MARGIN)
        flag(flags, "shared",
             json_sprintf("other processes took %.0f %% of all cores during the run",
                          100.0 * others));
    if (stolen > SHARED_MARGIN)
        flag(flags, "shared",
             json_sprintf("the hypervisor gave %.0f %% of all cores to others", 100.0 * stolen));
    if (a->load > 0.5 * a->cores)
        flag(flags, "shared",
             json_sprintf("load average %.2f on %u cores before the run", a->load, a->cores));
    flag_peaks(bench, flags);
    return flags;
}

// --- Settings ----------------------------------------------------------------------------------

// Variables that drivers and this program read. A path is only said to be set.
static json_t *variables_json(void) {
    static const char *const prefixes[] = {"POCL_", "OCL_", "OPENCL_", "ONEPEACE_", "CUDA_",
                                           "GPU_",  "HSA_", "ROCR_",   "RUSTICL_",  "LP_",
                                           "MESA_", "IGC_", "NEO",     "OCLGRIND_", "INTEL_",
                                           "SYCL_", "ZE_"};
    json_t *variables = json_object();
    for (char **e = environ; *e; e++) {
        const size_t length = strcspn(*e, "=");
        char name[64];
        if (length >= sizeof name || !(*e)[length]) continue;
        snprintf(name, sizeof name, "%.*s", (int)length, *e);
        for (size_t i = 0; i < sizeof prefixes / sizeof prefixes[0]; i++)
            if (strncmp(name, prefixes[i], strlen(prefixes[i])) == 0) {
                const char *value = *e + length + 1;
                json_object_set_new(variables, name,
                                    onp_bench_text(strchr(value, '/') ? "(a path)" : value));
            }
    }
    return variables;
}

static json_t *tuning_json(const struct onp_bench *bench) {
    enum { OPS = 16 };
    struct onp_tuning_row rows[OPS];
    const size_t count = onp_device_get_tuning(bench->session.device, rows, OPS);
    json_t *array = json_array();
    for (size_t i = 0; i < count && i < OPS; i++) {
        const char *source = rows[i].source, *slash = strrchr(source, '/');
        if (slash && source[0] == '/') source = slash + 1;
        json_array_append_new(array, json_pack("{s:s,s:o,s:o}", "op", rows[i].op, "row",
                                               onp_bench_text(rows[i].row), "source",
                                               onp_bench_text(source)));
    }
    return array;
}

static json_t *variants_json(const struct onp_bench *bench) {
    json_t *array = json_array();
    for (size_t i = 0; i < bench->kernel_count; i++) {
        const char *variant = bench->kernels[i].key.variant;
        bool told = false;
        for (size_t j = 0; j < i && !told; j++)
            told = strcmp(bench->kernels[j].key.variant, variant) == 0;
        if (!told) json_array_append_new(array, json_string(variant));
    }
    return array;
}

json_t *onp_bench_environment_json(const struct onp_bench *bench) {
    const char *note = onp_device_get_info(bench->session.device)->note;
    const struct onp_cli_values *disabled = &bench->options.settings.disabled;
    json_t *off = json_array();
    for (size_t i = 0; i < disabled->count; i++)
        json_array_append_new(off, json_string(disabled->list[i].value));
    return json_pack("{s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:s}", "device", device_json(bench), "host",
                     host_json(bench), "flags", flags_json(bench), "quirks", onp_bench_text(note),
                     "tuning", tuning_json(bench), "variants", variants_json(bench),
                     "disabled_variants", off, "variables", variables_json(), "decoders",
                     onp_decoders());
}
