// SPDX-License-Identifier: Apache-2.0
// What the subcommands share: common options, and the context, model, device and encoder made from
// them.
#ifndef ONP_CLI_SESSION_H
#define ONP_CLI_SESSION_H

#include "cli/items.h"
#include "cli/log.h"
#include "cli/options.h"
#include "onepeace/onepeace.h"

struct onp_cli_settings {
    bool quiet, verbose;
    const char *model, *tokenizer; // NULL: ONEPEACE_MODEL, then the default; the model's own
    const char *device;            // NULL: ONEPEACE_DEVICE, then automatic
    bool force, no_cache;
    const char *cache_dir;
    const char *tuning; // NULL: ONEPEACE_TUNING, then the user's file for the device
    bool no_tuning;
    struct onp_cli_values disabled;
    int dtype; // 0 f32, 1 f16
    int mode;  // 0 hub, 1 dataset
    uint64_t batch;
    bool upstream_padding, explain, profile, keep_going;
};

// Parts of option tables.
#define ONP_CLI_LOG_OPTIONS(s)                                                                     \
    ONP_CLI_OPT_FLAG("quiet", 'q', &(s)->quiet, "errors only on standard error"),                  \
        ONP_CLI_OPT_FLAG("verbose", 'v', &(s)->verbose, "say more about what is done")

#define ONP_CLI_MODEL_OPTION(s)                                                                    \
    ONP_CLI_OPT("model", 'm', ONP_CLI_STRING, "FILE", &(s)->model,                                 \
                "model file (default: $ONEPEACE_MODEL, then the small\n"                           \
                "model that comes with the program)")

#define ONP_CLI_TOKENIZER_OPTION(s)                                                                \
    ONP_CLI_OPT("tokenizer", 0, ONP_CLI_STRING, "DIR", &(s)->tokenizer,                            \
                "folder with encoder.json, vocab.bpe and dict.txt\n"                               \
                "(default: what the model file holds)")

#define ONP_CLI_DEVICE_OPTIONS(s)                                                                  \
    ONP_CLI_OPT("device", 'd', ONP_CLI_STRING, "DEVICE", &(s)->device,                             \
                "auto, an index of 'onepeace devices', cpu, gpu,\n"                                \
                "accelerator, vendor:TEXT, uuid:HEX, ref, or a part\n"                             \
                "of the name (default: $ONEPEACE_DEVICE, then auto)"),                             \
        ONP_CLI_OPT_FLAG("force", 0, &(s)->force,                                                  \
                         "use a device that is refused for a known fault"),                        \
        ONP_CLI_OPT("disable-variant", 0, ONP_CLI_LIST, "NAMES", &(s)->disabled,                   \
                    "kernel variants not to use, comma-separated"),                                \
        ONP_CLI_OPT("cache-dir", 0, ONP_CLI_STRING, "DIR", &(s)->cache_dir,                        \
                    "folder of compiled kernels\n(default: $XDG_CACHE_HOME/onepeace)"),            \
        ONP_CLI_OPT_FLAG("no-cache", 0, &(s)->no_cache,                                            \
                         "neither read nor write compiled kernels"),                               \
        ONP_CLI_OPT("tuning", 0, ONP_CLI_STRING, "FILE", &(s)->tuning,                             \
                    "tuning file of the device (default:\n"                                        \
                    "$ONEPEACE_TUNING, which may be none, then the one\n"                          \
                    "that 'onepeace tune' wrote)"),                                                \
        ONP_CLI_OPT_FLAG("no-tuning", 0, &(s)->no_tuning,                                          \
                         "tiles of the device's class, no tuning files")

#define ONP_CLI_MODE_OPTION(s)                                                                     \
    ONP_CLI_OPT("mode", 0, ONP_CLI_CHOICE, "hub|dataset", &(s)->mode,                              \
                "how texts are cleaned: as upstream's API does (hub,\n"                            \
                "the default) or as its evaluation data sets")

#define ONP_CLI_STORAGE_OPTIONS(s)                                                                 \
    ONP_CLI_OPT("dtype", 0, ONP_CLI_CHOICE, "f32|f16", &(s)->dtype,                                \
                "storage of the weights on the device (default: f32)"),                            \
        ONP_CLI_OPT_NUMBER("batch", "N", &(s)->batch, 1, 65536,                                    \
                           "items per run at most (default: by device memory)")

#define ONP_CLI_REPORT_OPTIONS(s)                                                                  \
    ONP_CLI_OPT_FLAG("explain", 0, &(s)->explain,                                                  \
                     "say which kernel variant each operation takes, and\n"                        \
                     "why others are refused"),                                                    \
        ONP_CLI_OPT_FLAG("profile", 0, &(s)->profile, "print a table of kernel times")

#define ONP_CLI_ENCODE_OPTIONS(s)                                                                  \
    ONP_CLI_STORAGE_OPTIONS(s),                                                                    \
        ONP_CLI_OPT_FLAG("keep-going", 'k', &(s)->keep_going,                                      \
                         "skip bad items, report them, exit 1"),                                   \
        ONP_CLI_OPT_FLAG("upstream-padding", 0, &(s)->upstream_padding,                            \
                         "pad sounds to the longest of their batch, as\nupstream does"),           \
        ONP_CLI_REPORT_OPTIONS(s)

struct onp_cli_session {
    const struct onp_cli_settings *settings;
    struct onp_context *context;
    struct onp_model *model;
    struct onp_model_info info;
    struct onp_device *device;
    struct onp_encoder *encoder;
    unsigned loaded; // branches of the encoder
    // What a later run will need: its branches, and its items if they are more.
    unsigned more_modalities;
    size_t more_items;
};

// Each step returns an exit code and has said why. end frees everything made, in reverse order.
int onp_cli_session_begin(struct onp_cli_session *session, const struct onp_cli_settings *settings);
int onp_cli_session_model(struct onp_cli_session *session, const char *path);
int onp_cli_session_device(struct onp_cli_session *session);
void onp_cli_session_end(struct onp_cli_session *session);

// --model, or ONEPEACE_MODEL, or the model that comes with the program (the latter two are said on
// stderr). With none of these, NULL and a complaint of wrong use.
const char *onp_cli_model_path(const char *command, const struct onp_cli_settings *settings);
// --device or ONEPEACE_DEVICE (said on stderr), NULL if neither is given.
const char *onp_cli_device_selector(const struct onp_cli_settings *settings);

// "text,image" to a mask of modalities; an exit code. `command` is named in complaints.
int onp_cli_branches(const char *command, const char *list, unsigned *mask);

// Receives one embedding. Returns false to stop.
typedef bool (*onp_cli_row_fn)(void *user, size_t index, const float *row);

// Everything from the items to their rows: opens the model and the device, embeds chunk by chunk,
// so that memory is bounded whatever the number of items. Bad items end the run or, with
// keep_going, are reported and skipped. `begin` is called once before the first row, with the
// model's info. Returns an exit code; *rows counts the rows delivered. A second run in the same
// session takes the model, the device and (if it has the branches) the encoder of the first.
struct onp_cli_sink {
    bool (*begin)(void *user, const struct onp_model_info *info); // NULL: nothing to do
    onp_cli_row_fn row;
    void *user;
    // Receives bad items in place of a message and the end of the run; false stops. NULL: neither.
    bool (*bad)(void *user, size_t index, enum onp_status status, const char *reason);
    size_t chunk;                  // items prepared at a time at most; 0: the usual number
    bool (*chunk_end)(void *user); // after the rows of some items; false stops. NULL: not called
    // Before an item's row: the seconds that preparing it took and its equal share of the run on
    // the device that it was part of. NULL: not called.
    void (*time)(void *user, size_t index, double prepare, double encode);
};
int onp_cli_embed(struct onp_cli_session *session, const char *model_path,
                  const struct onp_cli_items *items, const struct onp_cli_sink *sink, size_t *rows);

#endif
