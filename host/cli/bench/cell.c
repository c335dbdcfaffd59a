// SPDX-License-Identifier: Apache-2.0
// The scenarios, after MLPerf inference: one query at a time, all at once, and queries that arrive
// when they like.
#include <stdlib.h>
#include <time.h>

#include "cli/bench/bench.h"

#define SERVER_LOAD 0.7 // arrivals as a fraction of the offline rate

enum { SERVER_MOST = 2000, SERVER_WARMUP = 10 }; // queries of a slice; one of ten is warm-up

const char *onp_bench_scenario_name(enum onp_bench_scenario scenario) {
    static const char *const names[] = {"single_stream", "offline", "server"};
    return names[scenario];
}

const char *onp_bench_scope_name(enum onp_bench_scope scope) {
    return scope == ONP_BENCH_ENCODER ? "encoder" : "end_to_end";
}

static int add(struct onp_bench_samples *samples, double value) {
    return onp_bench_samples_add(samples, value) ? ONP_CLI_OK : onp_cli_fail("out of memory");
}

// Queries of one item, or passes over a list, until the slice's time is over.
static int passes(struct onp_bench *bench, struct onp_bench_cell *cell, double seconds,
                  size_t least, uint64_t *random) {
    const size_t count = cell->scenario == ONP_BENCH_OFFLINE ? cell->lane->list : 1;
    double used = 0.0;
    int code = ONP_CLI_OK;
    for (size_t n = 0; code == ONP_CLI_OK && (n < least || used < seconds); n++) {
        double took = 0.0;
        const size_t first = (size_t)(onp_bench_random(random) % ONP_BENCH_POOL);
        code = onp_bench_lane_run(bench, cell->lane, first, count, &took);
        if (code == ONP_CLI_OK) code = add(&cell->seconds, took);
        used += took;
        cell->items += count;
    }
    cell->elapsed += used;
    return code;
}

// --- Server ------------------------------------------------------------------------------------

static void sleep_until(double moment) {
    const double left = moment - onp_cli_now();
    if (left <= 0.0) return;
    struct timespec t = {.tv_sec = (time_t)left};
    t.tv_nsec = (long)((left - (double)t.tv_sec) * 1e9);
    nanosleep(&t, NULL);
}

static size_t arrived(const double *arrivals, size_t first, size_t count, double now) {
    size_t end = first;
    while (end < count && arrivals[end] <= now) end++;
    return end - first;
}

// Takes what waits, at most a batch, as soon as the one before is done.
static int serve(struct onp_bench *bench, struct onp_bench_cell *cell, const double *arrivals,
                 size_t count, size_t warmup) {
    const double start = onp_cli_now();
    int code = ONP_CLI_OK;
    for (size_t i = 0; i < count && code == ONP_CLI_OK;) {
        double took;
        sleep_until(start + arrivals[i]);
        size_t waiting = arrived(arrivals, i, count, onp_cli_now() - start);
        if (waiting == 0) continue; // woken early
        if (waiting > cell->lane->batch) waiting = cell->lane->batch;
        code = onp_bench_lane_run(bench, cell->lane, i, waiting, &took);
        const double done = onp_cli_now() - start;
        for (size_t q = i; q < i + waiting && code == ONP_CLI_OK; q++)
            if (q >= warmup) code = add(&cell->seconds, done - arrivals[q]);
        i += waiting;
    }
    cell->elapsed += onp_cli_now() - start - (warmup ? arrivals[warmup - 1] : 0.0);
    cell->items += count - warmup;
    cell->warmup += warmup;
    return code;
}

static int server(struct onp_bench *bench, struct onp_bench_cell *cell, double seconds,
                  size_t least, uint64_t *random) {
    const double rate = SERVER_LOAD / (cell->lane->item_s > 1e-7 ? cell->lane->item_s : 1e-7);
    size_t count = rate * seconds < SERVER_MOST ? (size_t)(rate * seconds) : SERVER_MOST;
    if (count < least) count = least;
    const size_t warmup = count / SERVER_WARMUP;
    cell->arrivals_per_s = rate;
    double *arrivals = malloc((count + warmup) * sizeof *arrivals);
    if (!arrivals) return onp_cli_fail("out of memory");
    onp_bench_arrivals(random, rate, arrivals, count + warmup);
    int code = serve(bench, cell, arrivals, count + warmup, warmup);
    free(arrivals);
    return code;
}

int onp_bench_cell_slice(struct onp_bench *bench, struct onp_bench_cell *cell, double seconds,
                         size_t least, uint64_t *random) {
    return (cell->scenario == ONP_BENCH_SERVER ? server : passes)(bench, cell, seconds, least,
                                                                  random);
}
