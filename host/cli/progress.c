// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "cli/progress.h"

enum { BAR_COLUMNS = 30 };

static struct {
    bool shown, visible;
    const char *what;
    size_t total;
    double started;
} bar;

static double now_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

void onp_cli_progress_start(const char *what, size_t total, bool enabled) {
    bar.shown = enabled && total > 1 && isatty(STDERR_FILENO);
    bar.visible = false;
    bar.what = what;
    bar.total = total;
    bar.started = now_seconds();
    onp_cli_progress_step(0);
}

void onp_cli_progress_step(size_t done) {
    if (!bar.shown) return;
    double part = (double)done / (double)bar.total;
    size_t filled = (size_t)(part * BAR_COLUMNS);
    char columns[BAR_COLUMNS + 1];
    for (size_t i = 0; i < BAR_COLUMNS; i++) columns[i] = i < filled ? '#' : '.';
    columns[BAR_COLUMNS] = '\0';
    fprintf(stderr, "\r\033[K%s [%s] %zu/%zu", bar.what, columns, done, bar.total);
    double seconds = now_seconds() - bar.started;
    if (done > 0 && seconds > 0.0) {
        double rate = (double)done / seconds;
        fprintf(stderr, ", %.1f/s, %.0f s left", rate, (double)(bar.total - done) / rate);
    }
    fflush(stderr);
    bar.visible = true;
}

void onp_cli_progress_hide(void) {
    if (!bar.visible) return;
    fputs("\r\033[K", stderr);
    fflush(stderr);
    bar.visible = false;
}

void onp_cli_progress_end(void) {
    onp_cli_progress_hide();
    bar.shown = false;
}
