// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/commands.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "cli/session.h"

struct tune {
    struct onp_cli_settings settings;
    const char *op, *output, *synthetic, *branches;
    uint64_t minutes, seconds, seed;
    bool dry_run;
    struct onp_cli_session session;
    char running[32]; // the operation whose candidates arrive now
};

static void print_number(double value, int decimals) {
    if (value > 0.0)
        printf("  %7.*f", decimals, value);
    else
        printf("  %7s", "-");
}

static bool on_result(void *user, const struct onp_tune_result *r) {
    struct tune *t = user;
    onp_cli_progress_hide();
    if (strcmp(t->running, r->op) != 0) {
        snprintf(t->running, sizeof t->running, "%s", r->op);
        printf("%-8s  %-12s  %5s  %7s  %7s  tiles\n", "result", r->op, "pairs", "ratio", "bound");
    }
    printf("%-8s  %5zu of %-3zu  %5u", onp_tune_verdict_name(r->verdict), r->tried, r->total,
           r->pairs);
    print_number(r->ratio, 4);
    print_number(r->bound, 4);
    printf("  %s%s%s\n", r->tiles, r->tiles[0] && r->message[0] ? ": " : "", r->message);
    fflush(stdout);
    return true;
}

static int open_model(struct tune *t) {
    if (t->synthetic)
        return onp_cli_status(
            onp_model_synthetic(t->session.context, t->synthetic, &t->session.model));
    const char *path = onp_cli_model_path("tune", &t->settings);
    return path ? onp_cli_session_model(&t->session, path) : ONP_CLI_USAGE;
}

// Says which tiles are in force before, so that a table is never read without them.
static void say_rows(const struct onp_device *device) {
    struct onp_tuning_row rows[32];
    const size_t count = onp_device_get_tuning(device, rows, 32);
    for (size_t i = 0; i < count && i < 32; i++)
        if (strcmp(rows[i].source, "class") != 0)
            onp_cli_say(ONP_LOG_INFO, "in force now: %s %s (%s)", rows[i].op, rows[i].row,
                        rows[i].source);
}

static int write_result(struct tune *t, const struct onp_tune *found) {
    char own[4096];
    const char *path = t->output;
    if (!path) {
        int code = onp_cli_status(onp_tune_path(t->session.device, own, sizeof own));
        if (code != ONP_CLI_OK) return code;
        path = own;
        onp_cli_say(ONP_LOG_INFO, "the user's file is %s", path);
    }
    if (t->dry_run) {
        onp_cli_say(ONP_LOG_INFO, "%zu operations would be written (--dry-run)",
                    onp_tune_kept(found));
        return ONP_CLI_OK;
    }
    int code = onp_cli_status(onp_tune_write(found, path));
    if (code != ONP_CLI_OK) return code;
    if (access(path, F_OK) == 0)
        onp_cli_say(ONP_LOG_INFO, "%s has what wins: %zu operations of this search", path,
                    onp_tune_kept(found));
    else
        onp_cli_say(ONP_LOG_INFO, "nothing wins by more than the noise: no file is written");
    return ONP_CLI_OK;
}

static int run(struct tune *t) {
    struct onp_tune *found = NULL;
    int code = onp_cli_session_begin(&t->session, &t->settings);
    if (code == ONP_CLI_OK) code = open_model(t);
    if (code == ONP_CLI_OK) code = onp_cli_session_device(&t->session);
    if (code != ONP_CLI_OK) return code;
    unsigned modalities = 0;
    if (t->branches) code = onp_cli_branches("tune", t->branches, &modalities);
    if (code != ONP_CLI_OK) return code;
    say_rows(t->session.device);
    const struct onp_tune_params params = {.op = t->op,
                                           .seconds = t->seconds ? (double)t->seconds
                                                                 : 60.0 * (double)t->minutes,
                                           .modalities = modalities,
                                           .dtype = t->settings.dtype ? ONP_F16 : ONP_F32,
                                           .seed = t->seed,
                                           .fn = on_result,
                                           .user = t};
    code = onp_cli_status(onp_tune_run(t->session.device, t->session.model, &params, &found));
    if (code == ONP_CLI_OK) code = write_result(t, found);
    onp_tune_free(found);
    return code;
}

int onp_cli_cmd_tune(int argc, char **argv) {
    struct tune t = {.minutes = 5, .seed = 1};
    const struct onp_cli_option options[] = {
        ONP_CLI_MODEL_OPTION(&t.settings),
        ONP_CLI_OPT("synthetic", 0, ONP_CLI_STRING, "SPEC", &t.synthetic,
                    "shapes of a model without a file: full, micro, or\n"
                    "D,F,L,H (width, feed-forward, layers, heads)"),
        ONP_CLI_OPT("op", 0, ONP_CLI_STRING, "TEXT", &t.op,
                    "only operations with TEXT in their name, of matmul,\n"
                    "attention, layernorm, grouped_conv"),
        ONP_CLI_OPT("branch", 0, ONP_CLI_STRING, "LIST", &t.branches,
                    "branches whose shapes count, some of text,image,audio\n(default: all)"),
        ONP_CLI_OPT_NUMBER("minutes", "N", &t.minutes, 1, 10000, "how long to search (default: 5)"),
        ONP_CLI_OPT_NUMBER("seconds", "N", &t.seconds, 1, 600000, "the same, finer"),
        ONP_CLI_OPT("dtype", 0, ONP_CLI_CHOICE, "f32|f16", &t.settings.dtype,
                    "storage of the weights to tune for (default: f32)"),
        ONP_CLI_OPT_NUMBER("seed", "N", &t.seed, 0, UINT64_MAX,
                           "seed of the random operands (default: 1)"),
        ONP_CLI_OPT_FLAG("dry-run", 'n', &t.dry_run, "search and print, write nothing"),
        ONP_CLI_OPT("output", 'o', ONP_CLI_STRING, "FILE", &t.output,
                    "tuning file to write (default: the one that is used\n"
                    "whenever this device and driver are opened)"),
        ONP_CLI_DEVICE_OPTIONS(&t.settings),
        ONP_CLI_LOG_OPTIONS(&t.settings),
    };
    const struct onp_cli_usage usage = {
        .command = "tune",
        .synopsis = "[--model FILE | --synthetic SPEC] [--device DEVICE] [--op TEXT]\n"
                    "[--branch LIST] [--minutes N] [--dry-run] [-o FILE]",
        .about =
            "Searches the tiles of the kernels for this device, its driver and the shapes of a\n"
            "model. Each candidate is compared with the C reference, then timed in turn with the\n"
            "tiles of the device's class. ratio: time of the class's tiles / time of the\n"
            "candidate, median of the pairs; bound: what it exceeds with 97.5 % confidence. The\n"
            "best one is measured again and kept if its bound exceeds 1 by more than the noise,\n"
            "which is the class's tiles against themselves, and 1 % at least. Let nothing else\n"
            "run on the machine meanwhile.",
        .options = options,
        .option_count = sizeof options / sizeof options[0]};
    size_t positional;
    int code;
    if (onp_cli_parse(&usage, argc, argv, &positional, &code)) {
        if (t.synthetic && t.settings.model)
            code = onp_cli_wrong("tune", "--model and --synthetic exclude each other");
        else
            code = run(&t);
    }
    onp_cli_session_end(&t.session);
    free(t.settings.disabled.list);
    return code;
}
