// SPDX-License-Identifier: Apache-2.0
// Two reports of `onepeace bench`, figure by figure.
#ifndef ONP_CLI_BENCH_COMPARE_H
#define ONP_CLI_BENCH_COMPARE_H

// Reads two JSON reports and prints on standard output how fast the second is against the first,
// for every peak, kernel and scenario that both have, with confidence intervals from their samples.
// Says on stderr where the environments differ. The files are not trusted. Returns an exit code;
// a difference is no failure.
int onp_bench_compare(const char *a, const char *b);

#endif
