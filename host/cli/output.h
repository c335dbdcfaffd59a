// SPDX-License-Identifier: Apache-2.0
// Result files. They are written under a temporary name in the same folder and renamed when
// complete; whatever ends the program before that, a signal included, leaves nothing behind.
#ifndef ONP_CLI_OUTPUT_H
#define ONP_CLI_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum onp_cli_format { ONP_CLI_NPY, ONP_CLI_JSONL, ONP_CLI_CSV };

// The format that a file name ends in.
bool onp_cli_format_of(const char *path, enum onp_cli_format *format);

// Opens the temporary file. Fails (with a message) if the folder is missing or not writable, or if
// `path` is there and not a regular file. A symbolic link is followed. One file may be open at a
// time. Returns an exit code.
struct onp_cli_output;
int onp_cli_output_open(const char *path, struct onp_cli_output **out);
// The same checks alone, for files that the library writes.
int onp_cli_output_check(const char *path);

// Rows of embeddings. begin comes before the first row.
struct onp_cli_row {
    size_t index; // position among the items
    const char *kind;
    const char *source;
    size_t source_bytes;
    const float *values;
};
void onp_cli_output_begin_rows(struct onp_cli_output *output, enum onp_cli_format format,
                               size_t dim);
void onp_cli_output_row(struct onp_cli_output *output, const struct onp_cli_row *row);

// A whole float32 array as .npy. dims is 1 to 3.
void onp_cli_output_array(struct onp_cli_output *output, const float *values, const uint64_t *shape,
                          int dims);

// The file itself, for what is none of these.
FILE *onp_cli_output_stream(struct onp_cli_output *output);

// Puts the file in place and frees `output`; write errors of every earlier call are reported here.
// Returns an exit code.
int onp_cli_output_commit(struct onp_cli_output *output);
// Removes the temporary file and frees. NULL is allowed.
void onp_cli_output_discard(struct onp_cli_output *output);

// True once a write has failed; the run may stop early, commit tells why.
bool onp_cli_output_failed(const struct onp_cli_output *output);

// Ends standard output: returns `code`, or ONP_CLI_FAILED if something could not be written. A
// reader that went away (a closed pipe) is not worth a message.
int onp_cli_stdout_end(int code);

#endif
