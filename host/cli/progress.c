// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>
#include <unistd.h>

#include "cli/clock.h"
#include "cli/progress.h"

enum { BAR_COLUMNS = 30 };

static struct {
    bool shown, visible;
    const char *what;
    size_t total;
    double started;
} bar;

void onp_cli_progress_start(const char *what, size_t total, bool enabled) {
    bar.shown = enabled && total > 1 && isatty(STDERR_FILENO);
    bar.visible = false;
    bar.what = what;
    bar.total = total;
    bar.started = onp_cli_now();
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
    double seconds = onp_cli_now() - bar.started;
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
