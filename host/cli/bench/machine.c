// SPDX-License-Identifier: Apache-2.0
#include "cli/bench/machine.h"
#include "cli/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

// Of the system's names only ASCII is kept, so that they can stand in any document.
static void trim(char *text) {
    size_t length = strlen(text);
    while (length > 0 && (unsigned char)text[length - 1] <= ' ') text[--length] = '\0';
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)text[i] > 126 || (unsigned char)text[i] < ' ') text[i] = ' ';
}

// The first line of a small file; "" if there is none.
static void first_line(const char *path, char *out, size_t size) {
    FILE *file = fopen(path, "r");
    out[0] = '\0';
    if (!file) return;
    if (!fgets(out, (int)size, file)) out[0] = '\0';
    fclose(file);
    trim(out);
}

// The value of "name : value" if `line` has that name, else NULL.
static const char *value_of(const char *line, const char *name, char separator) {
    const size_t length = strlen(name);
    if (strncmp(line, name, length) != 0) return NULL;
    const char *p = line + length;
    p += strspn(p, " \t");
    if (*p != separator) return NULL;
    return p + 1 + strspn(p + 1, " \t");
}

static void read_cpuinfo(struct onp_bench_machine *m) {
    char line[4096];
    FILE *file = fopen("/proc/cpuinfo", "r");
    if (!file) return;
    while (fgets(line, sizeof line, file)) {
        const char *value;
        trim(line);
        if (!m->cpu[0] && (value = value_of(line, "model name", ':')))
            snprintf(m->cpu, sizeof m->cpu, "%.127s", value);
        else if (m->clock_mhz <= 0.0 && (value = value_of(line, "cpu MHz", ':')))
            m->clock_mhz = strtod(value, NULL);
        else if ((value = value_of(line, "flags", ':')) && strstr(value, " hypervisor"))
            m->hypervisor = true;
    }
    fclose(file);
}

static void read_memory(struct onp_bench_machine *m) {
    char line[256];
    FILE *file = fopen("/proc/meminfo", "r");
    if (!file) return;
    while (fgets(line, sizeof line, file)) {
        const char *value;
        if ((value = value_of(line, "MemTotal", ':')))
            m->memory_bytes = strtoull(value, NULL, 10) * 1024;
        else if ((value = value_of(line, "MemAvailable", ':')))
            m->available_bytes = strtoull(value, NULL, 10) * 1024;
    }
    fclose(file);
}

static void read_os(struct onp_bench_machine *m) {
    char line[256];
    struct utsname name;
    if (uname(&name) == 0)
        snprintf(m->kernel, sizeof m->kernel, "%.40s %.60s %.20s", name.sysname, name.release,
                 name.machine);
    FILE *file = fopen("/etc/os-release", "r");
    if (!file) return;
    while (fgets(line, sizeof line, file)) {
        const char *value = value_of(line, "PRETTY_NAME", '=');
        if (!value) continue;
        trim(line);
        value += *value == '"';
        snprintf(m->os, sizeof m->os, "%.*s", (int)strcspn(value, "\"\n"), value);
    }
    fclose(file);
}

static void read_product(struct onp_bench_machine *m) {
    char vendor[60], product[60];
    first_line("/sys/class/dmi/id/sys_vendor", vendor, sizeof vendor);
    first_line("/sys/class/dmi/id/product_name", product, sizeof product);
    snprintf(m->product, sizeof m->product, "%s%s%s", vendor, vendor[0] && product[0] ? " " : "",
             product);
}

// cpu user nice system idle iowait irq softirq steal: ticks, all cores together.
static void read_stat(struct onp_bench_machine *m) {
    char line[512];
    unsigned long long t[8] = {0};
    const long hz = sysconf(_SC_CLK_TCK);
    m->busy_s = m->steal_s = -1.0;
    first_line("/proc/stat", line, sizeof line);
    if (hz <= 0 || sscanf(line, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", &t[0], &t[1], &t[2],
                          &t[3], &t[4], &t[5], &t[6], &t[7]) < 8)
        return;
    m->busy_s = (double)(t[0] + t[1] + t[2] + t[5] + t[6]) / (double)hz;
    m->steal_s = (double)t[7] / (double)hz;
}

static double seconds_of(struct timeval t) { return (double)t.tv_sec + 1e-6 * (double)t.tv_usec; }

static void read_own(struct onp_bench_machine *m) {
    struct rusage usage;
    if (getrusage(RUSAGE_SELF, &usage) == 0) {
        m->own_s = seconds_of(usage.ru_utime) + seconds_of(usage.ru_stime);
        m->peak_rss_bytes = (uint64_t)usage.ru_maxrss * 1024;
    }
    m->moment_s = onp_cli_now();
}

void onp_bench_machine_read(struct onp_bench_machine *machine) {
    memset(machine, 0, sizeof *machine);
    const long cores = sysconf(_SC_NPROCESSORS_ONLN);
    machine->cores = cores > 0 ? (uint32_t)cores : 1;
    if (getloadavg(&machine->load, 1) != 1) machine->load = -1.0;
    read_cpuinfo(machine);
    read_memory(machine);
    read_os(machine);
    read_product(machine);
    read_stat(machine);
    read_own(machine);
}

static double share(const struct onp_bench_machine *before, const struct onp_bench_machine *after,
                    double seconds) {
    const double all = (after->moment_s - before->moment_s) * after->cores;
    if (all <= 0.0) return -1.0;
    return seconds < 0.0 ? 0.0 : seconds > all ? 1.0 : seconds / all;
}

double onp_bench_machine_others(const struct onp_bench_machine *before,
                                const struct onp_bench_machine *after) {
    if (before->busy_s < 0.0 || after->busy_s < 0.0) return -1.0;
    return share(before, after, (after->busy_s - before->busy_s) - (after->own_s - before->own_s));
}

double onp_bench_machine_stolen(const struct onp_bench_machine *before,
                                const struct onp_bench_machine *after) {
    if (before->steal_s < 0.0 || after->steal_s < 0.0) return -1.0;
    return share(before, after, after->steal_s - before->steal_s);
}
