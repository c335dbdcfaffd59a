// SPDX-License-Identifier: Apache-2.0
// Reports as files of unknown origin: read within bounds, checked, and only then looked at.
#ifndef ONP_CLI_BENCH_COMPARE_READ_H
#define ONP_CLI_BENCH_COMPARE_READ_H

#include <jansson.h>
#include <stddef.h>

// What one probe, kernel or scenario is, and its samples.
struct onp_bench_figure {
    char *what;     // the same text in both reports names the same thing
    char *detail;   // may differ: a kernel's variant, a server's rate; "" if there is none
    double *values; // seconds, or of probes what their names say; positive
    size_t count;
};

struct onp_bench_document {
    const char *path;
    json_t *root;
    struct onp_bench_figure *peaks, *kernels, *scenarios;
    size_t peak_count, kernel_count, scenario_count;
};

// Returns an exit code and has said what is wrong. A document is freed in either case.
int onp_bench_document_read(const char *path, struct onp_bench_document *document);
void onp_bench_document_free(struct onp_bench_document *document);

// A text inside the document by a path of names, "" if it is not there.
const char *onp_bench_document_text(const struct onp_bench_document *document,
                                    const char *const *names);

#endif
