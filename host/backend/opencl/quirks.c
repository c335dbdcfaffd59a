// SPDX-License-Identifier: Apache-2.0
#include "backend/opencl/quirks.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/checked.h"

enum effect { REFUSE = 1, SERIAL_BUILD = 2, NO_PREFETCH = 4, NOTE = 8 };

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
     .before = "1.9",
     .effects = REFUSE,
     .note = "PoCL before 1.9 fails to build kernels",
     .evidence = "hashcat src/backend.c refuses pocl < 1.9: builds fail where the path has spaces, "
                 "before 1.5 in general"},
    {.platform = "Portable Computing Language",
     .first = "7.1",
     .before = "7.2",
     .effects = NOTE,
     .note = "PoCL 7.1 is known to fail some three-dimensional kernels: run the self-test",
     .evidence = "own trial of PoCL 7.1 in Debian unstable, 2026-11: one 3-D kernel failed"},
    {.platform = "Clover",
     .effects = REFUSE,
     .note = "Mesa's Clover is unmaintained and gives wrong results: use rusticl",
     .evidence = "hashcat src/backend.c refuses Mesa's driver (false negatives); Clover left Mesa "
                 "in 25.x, darktable issue 16564"},
    {.platform = "Intel Gen OCL Driver",
     .effects = REFUSE,
     .note = "beignet is unmaintained and gives wrong results: use Intel's compute runtime",
     .evidence = "hashcat src/backend.c refuses beignet (false negatives)"},
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
    {.platform = "Oclgrind",
     .effects = NO_PREFETCH | NOTE,
     .note = "Oclgrind interprets kernels to check them: very slow",
     .evidence = "own trial of Oclgrind 21.10: an interpreter of LLVM code without the prefetch "
                 "builtin"},
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
        const size_t used = strlen(out->note);
        if (rows[i].note)
            snprintf(out->note + used, sizeof out->note - used, "%s%s", used ? "; " : "",
                     rows[i].note);
    }
}
