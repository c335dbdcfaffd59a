// SPDX-License-Identifier: Apache-2.0
// The subcommands. Each takes the arguments after its name and returns an exit code.
#ifndef ONP_CLI_COMMANDS_H
#define ONP_CLI_COMMANDS_H

int onp_cli_cmd_demo(int argc, char **argv);
int onp_cli_cmd_search(int argc, char **argv);
int onp_cli_cmd_index(int argc, char **argv);
int onp_cli_cmd_devices(int argc, char **argv);
int onp_cli_cmd_info(int argc, char **argv);
int onp_cli_cmd_tokenize(int argc, char **argv);
int onp_cli_cmd_preprocess(int argc, char **argv);
int onp_cli_cmd_embed(int argc, char **argv);
int onp_cli_cmd_similarity(int argc, char **argv);
int onp_cli_cmd_convert(int argc, char **argv);
int onp_cli_cmd_bench(int argc, char **argv);
int onp_cli_cmd_selftest(int argc, char **argv);
int onp_cli_cmd_warm(int argc, char **argv);
int onp_cli_cmd_tune(int argc, char **argv);

#endif
