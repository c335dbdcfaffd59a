// SPDX-License-Identifier: Apache-2.0
// The machine under the program: what it is, and what else it did meanwhile.
#ifndef ONP_CLI_BENCH_MACHINE_H
#define ONP_CLI_BENCH_MACHINE_H

#include <stdbool.h>
#include <stdint.h>

struct onp_bench_machine {
    char cpu[128], os[128], kernel[128]; // "" if unknown
    uint32_t cores;
    double clock_mhz; // of the first core at this moment, 0 if unknown
    uint64_t memory_bytes, available_bytes, peak_rss_bytes;
    double load; // average of the last minute, < 0 if unknown
    bool hypervisor;
    char product[128]; // maker and product as the firmware names them
    // Processor seconds since the start of the machine, all cores; < 0 if unknown.
    double busy_s, steal_s;
    double own_s;    // processor seconds of this process
    double moment_s; // when this was read
};

// Reads what there is to read; what cannot be read is left empty.
void onp_bench_machine_read(struct onp_bench_machine *machine);

// Of all cores' time between two readings: what other processes took, and what the hypervisor
// gave to other guests. < 0 if unknown.
double onp_bench_machine_others(const struct onp_bench_machine *before,
                                const struct onp_bench_machine *after);
double onp_bench_machine_stolen(const struct onp_bench_machine *before,
                                const struct onp_bench_machine *after);

#endif
