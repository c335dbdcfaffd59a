// SPDX-License-Identifier: Apache-2.0
// The report as a document: bench/README.md describes every field.
#ifndef ONP_CLI_BENCH_REPORT_H
#define ONP_CLI_BENCH_REPORT_H

#include <jansson.h>

#include "cli/bench/bench.h"

#define ONP_BENCH_SCHEMA  "onepeace-bench"
#define ONP_BENCH_VERSION 1

// Two FMA peaks, before and after a scenario, that differ by more than this part of the better one
// show a throttled or disturbed machine.
#define ONP_BENCH_PEAK_MARGIN 0.10

// Values of a document. A number that is not finite becomes null, as JSON has none.
json_t *onp_bench_number(double value);
json_t *onp_bench_numbers(const double *list, size_t count);
// Text of any origin; bytes that are not valid UTF-8 become '?'.
json_t *onp_bench_text(const char *text);

// Parts of the document; NULL if memory is short. A new reference.
json_t *onp_bench_environment_json(const struct onp_bench *bench);
json_t *onp_bench_peaks_json(const struct onp_bench *bench);
json_t *onp_bench_kernels_json(const struct onp_bench *bench);
json_t *onp_bench_scenarios_json(const struct onp_bench *bench);
json_t *onp_bench_report(const struct onp_bench *bench);

// Writes the document in place of `path`. Returns an exit code.
int onp_bench_report_write(const json_t *report, const char *path);
// The same figures for people, on standard output.
void onp_bench_report_print(const json_t *report);

#endif
