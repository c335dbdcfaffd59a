// SPDX-License-Identifier: Apache-2.0
// A report as one self-contained page.
#ifndef ONP_CLI_BENCH_HTML_H
#define ONP_CLI_BENCH_HTML_H

#include <jansson.h>

// Writes the page in place of `path`. The page draws what the document has; its texts are not
// trusted. Returns an exit code.
int onp_bench_html_write(const json_t *report, const char *path);
// The same of a report that was kept as a file, which is not trusted either.
int onp_bench_html_convert(const char *report, const char *path);

#endif
