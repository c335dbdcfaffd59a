// SPDX-License-Identifier: Apache-2.0
// Known faults and oddities of OpenCL drivers. The only place that matches vendor, platform or
// driver strings.
#ifndef ONP_BACKEND_OPENCL_QUIRKS_H
#define ONP_BACKEND_OPENCL_QUIRKS_H

#include <stdbool.h>
#include <stddef.h>

// What names a driver.
struct onp_cl_identity {
    const char *platform;         // CL_PLATFORM_NAME
    const char *platform_version; // CL_PLATFORM_VERSION
    const char *vendor;           // CL_DEVICE_VENDOR
    const char *device;           // CL_DEVICE_NAME
    const char *driver;           // CL_DRIVER_VERSION
};

// What the rows in force ask for. Zero: an ordinary driver.
struct onp_cl_quirks {
    bool refused;      // needs force
    bool serial_build; // one clBuildProgram at a time
    bool no_prefetch;  // do not probe for __builtin_prefetch
    bool own_cache;    // the driver keeps machine code on disk: do not store binaries
    bool alloc_early;  // ask for host memory, or a failed allocation ends the process later
    bool no_line;      // no #line before a source
    bool one_item;     // work-groups of one where the size is left to the driver
    bool lanes;        // a CPU that runs work-items as vector lanes
    bool mobile;       // a phone's GPU: small tiles
    char note[256];    // sentences of the rows in force, "" if none
};

// Applies every row that matches. Pure.
void onp_cl_quirks_find(const struct onp_cl_identity *identity, struct onp_cl_quirks *out);

// Compares the first dotted number in `version` with "major.minor" in `bound`: <0, 0, >0. Exposed
// for tests.
int onp_cl_version_compare(const char *version, const char *bound);

#endif
