// SPDX-License-Identifier: Apache-2.0
// onepeace: the command table.
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/log.h"
#include "cli/options.h"
#include "cli/output.h"

struct command {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *summary;
};

static const struct command commands[] = {
    {"demo", onp_cli_cmd_demo, "what a model finds among some pictures, sounds and words"},
    {"embed", onp_cli_cmd_embed, "embed texts, pictures and sounds into a file"},
    {"similarity", onp_cli_cmd_similarity, "how near texts, pictures and sounds are to each other"},
    {"search", onp_cli_cmd_search, "the nearest pictures and sounds in folders"},
    {"index", onp_cli_cmd_index, "embed the pictures and sounds of folders for later searches"},
    {"devices", onp_cli_cmd_devices, "the devices of this machine, and which would be chosen"},
    {"info", onp_cli_cmd_info, "what a model file holds and the memory it needs"},
    {"tokenize", onp_cli_cmd_tokenize, "the token ids of texts"},
    {"preprocess", onp_cli_cmd_preprocess, "what the model is fed for a picture or a sound"},
    {"convert", onp_cli_cmd_convert, "write a model file as safetensors"},
    {"warm", onp_cli_cmd_warm, "compile what a model needs on a device, ahead of its first use"},
    {"bench", onp_cli_cmd_bench, "measure a device: peaks, kernels, latencies, rates"},
    {"selftest", onp_cli_cmd_selftest, "check a device against the C reference"},
    {"tune", onp_cli_cmd_tune, "find faster tiles for a device and a model"},
};
enum { COMMAND_COUNT = sizeof commands / sizeof commands[0] };

static void print_usage(FILE *file) {
    fputs("usage: onepeace COMMAND [options]\n\n"
          "ONE-PEACE embeddings of pictures, sounds and text on any OpenCL device.\n\nCommands:\n",
          file);
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        fprintf(file, "  %-12s%s\n", commands[i].name, commands[i].summary);
    fputs("\n'onepeace COMMAND --help' tells more about a command, 'onepeace --version' the\n"
          "version. ONEPEACE_MODEL and ONEPEACE_DEVICE are the defaults of --model and --device;\n"
          "with neither --model nor ONEPEACE_MODEL, the small model that comes with the program\n"
          "is used. ONEPEACE_DATADIR is the folder of that model, for unusual installations.\n"
          "ONEPEACE_TUNING is the default of --tuning, or none for --no-tuning.\n"
          "\nExit status: 0 success, 1 failed, 2 wrong use.\n",
          file);
}

static int print_version(void) {
    printf("onepeace %s (%s)\n", onp_version(), onp_decoders());
    return ONP_CLI_OK;
}

static int unknown_command(const char *name) {
    const char *near = onp_cli_nearest(name, commands, COMMAND_COUNT, sizeof commands[0]);
    const char *what = name[0] == '-' ? "option" : "command";
    if (near && name[0] != '-')
        return onp_cli_wrong("", "unknown command '%s'; did you mean '%s'?", name, near);
    return onp_cli_wrong("", "unknown %s '%s'", what, name);
}

static int run_command(int argc, char **argv) {
    if (argc < 2) {
        print_usage(stderr);
        return ONP_CLI_USAGE;
    }
    const char *name = argv[1];
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) {
        print_usage(stdout);
        return ONP_CLI_OK;
    }
    if (strcmp(name, "--version") == 0) return print_version();
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        if (strcmp(name, commands[i].name) == 0) return commands[i].run(argc - 2, argv + 2);
    return unknown_command(name);
}

// A closed standard stream would be replaced by the next file opened, and messages would then be
// written into that file.
static void fill_standard_streams(void) {
    for (int fd = 0; fd < 3; fd++)
        if (fcntl(fd, F_GETFD) < 0) (void)!open("/dev/null", fd == 2 ? O_WRONLY : O_RDONLY);
}

int main(int argc, char **argv) {
    fill_standard_streams();
    signal(SIGPIPE, SIG_IGN);
    setvbuf(stderr, NULL, _IOLBF, 0); // a message in one write, not a write for each character
    return onp_cli_stdout_end(run_command(argc, argv));
}
