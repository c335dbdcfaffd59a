// SPDX-License-Identifier: Apache-2.0
// A progress bar on stderr, shown only if stderr is a terminal.
#ifndef ONP_CLI_PROGRESS_H
#define ONP_CLI_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>

// Starts a bar for `total` steps. With `enabled` false, or without a terminal, nothing is shown.
void onp_cli_progress_start(const char *what, size_t total, bool enabled);
void onp_cli_progress_step(size_t done);
// Clears the bar's line before other output; the next step draws it again.
void onp_cli_progress_hide(void);
void onp_cli_progress_end(void);

#endif
