// SPDX-License-Identifier: Apache-2.0
#include "backend/opencl/quirks.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/checked.h"

enum effect {
    REFUSE = 1,
    SERIAL_BUILD = 2,
    NO_PREFETCH = 4,
    NO_LINE = 8,
    OWN_CACHE = 16,
    ALLOC_EARLY = 32,
    NOTE = 64,
    LANES = 128,
    ONE_ITEM = 256,
    MOBILE = 512,
};

// A row is in force when every field that is not NULL matches: names by substring without regard to
// case, the driver version from `first` up to but not including `before`.
struct row {
    const char *platform, *vendor, *device;
    const char *first, *before;
    unsigned effects;
    const char *note;     // for the user; NULL: nothing to say
    const char *evidence; // who saw it, and where
};

static const struct row rows[] = {
    {.platform = "Portable Computing Language",
     .before = "1.5",
     .effects = REFUSE,
     .note = "PoCL before 1.5 fails to compile kernels",
     .evidence =
         "hashcat d3983ed, src/backend.c (its other bound, 1.9, concerns include paths with "
         "spaces, pocl issue 962; none is passed here)"},
    {.platform = "Portable Computing Language",
     .first = "7.1",
     .before = "7.2",
     .effects = NOTE,
     .note = "PoCL 7.1 is known to fail some three-dimensional kernels: run the self-test",
     .evidence = "own trial of PoCL 7.1 in Debian unstable, 2026-11: one 3-D kernel failed"},
    {.platform = "Portable Computing Language",
     .effects = OWN_CACHE,
     .evidence = "own trial of PoCL 3.1, 8 programs: handing out binaries compiles every kernel a "
                 "second time (first start 45 s instead of 20), and a loaded binary still leaves "
                 "the machine code to the first launch, where PoCL's own cache has it"},
    {.platform = "Portable Computing Language",
     .effects = ALLOC_EARLY,
     .evidence = "own trial of PoCL 3.1 short of memory: a buffer is allocated at its first use, "
                 "where failure is an assertion; with CL_MEM_ALLOC_HOST_PTR creation fails"},
    {.platform = "Portable Computing Language",
     .effects = ONE_ITEM,
     .evidence =
         "own trial of PoCL 3.1: left to itself it takes a work-group that follows from the "
         "range and compiles the kernel again for each, 0.3 s for every new batch size"},
    {.platform = "Clover",
     .effects = REFUSE,
     .note = "Mesa's Clover fails kernels or gives wrong results, and is gone from Mesa 25: use "
             "rusticl",
     .evidence = "hashcat d3983ed, src/backend.c, and hashcat issue 2269; darktable issue 16564"},
    {.platform = "Intel Gen OCL Driver",
     .effects = REFUSE,
     .note = "beignet fails kernels or gives wrong results: use Intel's compute runtime",
     .evidence = "hashcat d3983ed, src/backend.c, and hashcat issue 2243"},
    {.platform = "AMD Accelerated Parallel Processing",
     .first = "2236",
     .before = "2237",
     .effects = REFUSE,
     .note = "AMDGPU-PRO 16.50 is broken: use another driver",
     .evidence = "hashcat d3983ed, src/backend.c"},
    {.platform = "AMD Accelerated Parallel Processing",
     .first = "2264",
     .before = "2265",
     .effects = REFUSE,
     .note = "AMDGPU-PRO 16.60 is broken: use another driver",
     .evidence = "hashcat d3983ed, src/backend.c"},
    {.platform = "AMD Accelerated Parallel Processing",
     .first = "2348",
     .before = "2349",
     .effects = REFUSE,
     .note = "AMDGPU-PRO 17.10 is broken: use another driver",
     .evidence = "hashcat d3983ed, src/backend.c"},
    {.platform = "rusticl",
     .first = "26.2",
     .before = "26.3",
     .effects = REFUSE,
     .note = "rusticl of Mesa 26.2 fails to build most kernels: use another Mesa",
     .evidence = "own trial of Mesa 26.2 in Debian unstable, 2026-11"},
    {.platform = "rusticl",
     .effects = NO_PREFETCH,
     .evidence = "own trial of rusticl 22.3.6 on llvmpipe: the SPIR-V translator does not know "
                 "llvm.prefetch and ends the process"},
    {.platform = "rusticl",
     .first = "22.3",
     .before = "22.4",
     .effects = NOTE,
     .note = "its event times are not usable",
     .evidence =
         "own trial of rusticl 22.3.6 on llvmpipe: every kernel starts at 2 ns and ends at 3"},
    {.platform = "rusticl",
     .device = "llvmpipe",
     .effects = LANES,
     .evidence = "own trial of rusticl 22.3.6: register tiles iterate too often for the row below, "
                 "and are slow there"},
    {.platform = "rusticl",
     .device = "llvmpipe",
     .first = "22.3",
     .before = "22.4",
     .effects = REFUSE,
     .note = "llvmpipe leaves long loops early, so large models come out wrong: use PoCL on a CPU",
     .evidence = "own trial of rusticl 22.3.6: a work-item's loops end after 65535 iterations in "
                 "all, without an error"},
    {.platform = "QUALCOMM",
     .effects = MOBILE,
     .evidence = "an assumption: no Adreno was tried and no source was found"},
    {.platform = "ARM Platform",
     .effects = MOBILE,
     .evidence = "Arm, Mali GPU OpenCL developer guide (100614), memory model: local and private "
                 "memory lie in global memory; not tried"},
    {.platform = "Oclgrind",
     .effects = SERIAL_BUILD | NO_PREFETCH | NO_LINE | NOTE,
     .note = "Oclgrind interprets kernels to check them: very slow",
     .evidence =
         "own trial of 21.10: an interpreter of LLVM code without the prefetch builtin, which "
         "quotes the wrong line after #line; its API is not thread-safe, Oclgrind issue 28"},
};

// Reads the first "digits.digits" of a text; a missing minor counts as 0.
static bool parse_version(const char *text, unsigned *major, unsigned *minor) {
    text += strcspn(text, "0123456789");
    *minor = 0;
    return sscanf(text, "%9u.%9u", major, minor) >= 1;
}

int onp_cl_version_compare(const char *version, const char *bound) {
    unsigned a[2] = {0}, b[2] = {0};
    parse_version(version, &a[0], &a[1]);
    parse_version(bound, &b[0], &b[1]);
    if (a[0] != b[0]) return a[0] < b[0] ? -1 : 1;
    return (a[1] > b[1]) - (a[1] < b[1]);
}

static bool contains(const char *text, const char *part) {
    const size_t n = strlen(part);
    for (; *text; text++)
        if (strncasecmp(text, part, n) == 0) return true;
    return n == 0;
}

static bool matches(const struct row *row, const struct onp_cl_identity *id) {
    if (row->platform && !contains(id->platform, row->platform)) return false;
    if (row->vendor && !contains(id->vendor, row->vendor)) return false;
    if (row->device && !contains(id->device, row->device)) return false;
    if (row->first && onp_cl_version_compare(id->driver, row->first) < 0) return false;
    return !row->before || onp_cl_version_compare(id->driver, row->before) < 0;
}

void onp_cl_quirks_find(const struct onp_cl_identity *identity, struct onp_cl_quirks *out) {
    *out = (struct onp_cl_quirks){0};
    for (size_t i = 0; i < ONP_COUNT(rows); i++) {
        if (!matches(&rows[i], identity)) continue;
        out->refused |= (rows[i].effects & REFUSE) != 0;
        out->serial_build |= (rows[i].effects & SERIAL_BUILD) != 0;
        out->no_prefetch |= (rows[i].effects & NO_PREFETCH) != 0;
        out->own_cache |= (rows[i].effects & OWN_CACHE) != 0;
        out->alloc_early |= (rows[i].effects & ALLOC_EARLY) != 0;
        out->lanes |= (rows[i].effects & LANES) != 0;
        out->mobile |= (rows[i].effects & MOBILE) != 0;
        out->one_item |= (rows[i].effects & ONE_ITEM) != 0;
        out->no_line |= (rows[i].effects & NO_LINE) != 0;
        const size_t used = strlen(out->note);
        if (rows[i].note)
            snprintf(out->note + used, sizeof out->note - used, "%s%s", used ? "; " : "",
                     rows[i].note);
    }
}
