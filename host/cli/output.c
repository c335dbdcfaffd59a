// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/log.h"
#include "cli/output.h"
#include "cli/text.h"

struct onp_cli_output {
    FILE *file;
    char *path, *temporary;
    enum onp_cli_format format;
    size_t dim, rows;
    int error; // errno of the first failure
};

// --- Signals -----------------------------------------------------------------------------------

// What a signal must remove. Written only while the signals are blocked.
static char doomed[PATH_MAX];

static void remove_and_die(int number) {
    if (doomed[0]) unlink(doomed);
    signal(number, SIG_DFL);
    raise(number);
}

static void fatal_signals(sigset_t *set) {
    sigemptyset(set);
    sigaddset(set, SIGINT);
    sigaddset(set, SIGTERM);
    sigaddset(set, SIGHUP);
}

static void watch_signals(void) {
    static bool watching;
    if (watching) return;
    watching = true;
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
    for (size_t i = 0; i < 3; i++) {
        struct sigaction old, action = {.sa_handler = remove_and_die};
        fatal_signals(&action.sa_mask);
        // A parent that ignores a signal (nohup) means it.
        if (sigaction(numbers[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN)
            sigaction(numbers[i], &action, NULL);
    }
}

static void block_signals(sigset_t *before) {
    sigset_t set;
    fatal_signals(&set);
    sigprocmask(SIG_BLOCK, &set, before);
}

// --- Opening -----------------------------------------------------------------------------------

bool onp_cli_format_of(const char *path, enum onp_cli_format *format) {
    static const char *const extension[] = {".npy", ".jsonl", ".csv"};
    size_t length = strlen(path);
    for (size_t i = 0; i < 3; i++) {
        size_t n = strlen(extension[i]);
        if (length > n && strcasecmp(path + length - n, extension[i]) == 0) {
            *format = (enum onp_cli_format)i;
            return true;
        }
    }
    return false;
}

// The file that a link leads to is replaced, not the link. The result is malloc'ed.
static char *final_path(const char *path) {
    char *real = realpath(path, NULL);
    return real ? real : strdup(path);
}

static char *temporary_path(const char *path) {
    static const char name[] = ".onepeace-XXXXXX";
    const char *slash = strrchr(path, '/');
    size_t folder = slash ? (size_t)(slash - path) + 1 : 0;
    char *out = malloc(folder + sizeof name);
    if (!out) return NULL;
    memcpy(out, path, folder);
    memcpy(out + folder, name, sizeof name);
    return out;
}

static int check_target(const char *path) {
    struct stat st;
    if (stat(path, &st) != 0) {
        if (errno == ENOENT) return ONP_CLI_OK;
        return onp_cli_fail("cannot write %s: %s", path, strerror(errno));
    }
    if (S_ISDIR(st.st_mode)) return onp_cli_fail("%s is a folder; name a file in it", path);
    if (!S_ISREG(st.st_mode))
        return onp_cli_fail("%s is not a regular file and is not replaced", path);
    return ONP_CLI_OK;
}

static int create_temporary(struct onp_cli_output *output) {
    sigset_t before;
    watch_signals();
    block_signals(&before);
    int fd = mkstemp(output->temporary), error = errno;
    if (fd >= 0) snprintf(doomed, sizeof doomed, "%s", output->temporary);
    sigprocmask(SIG_SETMASK, &before, NULL);
    if (fd < 0)
        return onp_cli_fail("cannot write %s: %s; name a writable folder", output->path,
                            strerror(error));
    struct stat st;
    mode_t mask = umask(0);
    umask(mask);
    mode_t mode = stat(output->path, &st) == 0 ? st.st_mode & 0777 : 0666 & ~mask;
    if (fchmod(fd, mode) == 0) output->file = fdopen(fd, "w+b");
    if (output->file) return ONP_CLI_OK;
    error = errno;
    close(fd);
    return onp_cli_fail("cannot write %s: %s", output->path, strerror(error));
}

int onp_cli_output_open(const char *path, struct onp_cli_output **out) {
    *out = NULL;
    int code = check_target(path);
    if (code != ONP_CLI_OK) return code;
    struct onp_cli_output *output = calloc(1, sizeof *output);
    if (output) output->path = final_path(path);
    if (output && output->path) output->temporary = temporary_path(output->path);
    if (!output || !output->temporary)
        code = onp_cli_fail("out of memory");
    else if (strlen(output->temporary) >= sizeof doomed)
        code = onp_cli_fail("cannot write %s: the path is too long", path);
    else
        code = create_temporary(output);
    if (code != ONP_CLI_OK) {
        onp_cli_output_discard(output);
        return code;
    }
    *out = output;
    return ONP_CLI_OK;
}

int onp_cli_output_check(const char *path) {
    struct onp_cli_output *output;
    int code = onp_cli_output_open(path, &output);
    onp_cli_output_discard(output);
    return code;
}

// --- Writing -----------------------------------------------------------------------------------

static void note_error(struct onp_cli_output *output, bool failed) {
    if (failed && output->error == 0) output->error = errno ? errno : EIO;
}

#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#define NPY_FLOAT ">f4"
#else
#define NPY_FLOAT "<f4"
#endif

// Version 1.0, always 128 bytes, so that the count of rows can be put in when it is known.
static void write_npy_header(struct onp_cli_output *output, const uint64_t *shape, int dims) {
    enum { HEADER = 128, PREFIX = 10 };
    char header[HEADER + 1], text[96] = "";
    int n = 0;
    for (int i = 0; i < dims; i++)
        n += snprintf(text + n, sizeof text - (size_t)n, "%s%" PRIu64, i ? ", " : "", shape[i]);
    if (dims == 1) snprintf(text + n, sizeof text - (size_t)n, ",");
    memset(header, ' ', HEADER);
    memcpy(header, "\x93NUMPY\x01\x00\x76\x00", PREFIX);
    n = snprintf(header + PREFIX, HEADER - PREFIX,
                 "{'descr': '" NPY_FLOAT "', 'fortran_order': False, 'shape': (%s), }", text);
    header[PREFIX + n] = ' ';
    header[HEADER - 1] = '\n';
    note_error(output, fwrite(header, 1, HEADER, output->file) != HEADER);
}

void onp_cli_output_array(struct onp_cli_output *output, const float *values, const uint64_t *shape,
                          int dims) {
    size_t count = 1;
    for (int i = 0; i < dims; i++) count *= (size_t)shape[i];
    output->format = ONP_CLI_JSONL; // the header is final: commit must not write it again
    write_npy_header(output, shape, dims);
    note_error(output, fwrite(values, sizeof(float), count, output->file) != count);
}

static void write_rows_header(struct onp_cli_output *output) {
    const uint64_t shape[2] = {output->rows, output->dim};
    write_npy_header(output, shape, 2);
}

void onp_cli_output_begin_rows(struct onp_cli_output *output, enum onp_cli_format format,
                               size_t dim) {
    output->format = format;
    output->dim = dim;
    if (format == ONP_CLI_NPY) write_rows_header(output);
    if (format != ONP_CLI_CSV) return;
    fputs("index,kind,source", output->file);
    for (size_t i = 0; i < dim; i++) fprintf(output->file, ",e%zu", i);
    note_error(output, fputc('\n', output->file) == EOF);
}

static void write_json_row(struct onp_cli_output *output, const struct onp_cli_row *row) {
    FILE *f = output->file;
    fprintf(f, "{\"index\":%zu,\"kind\":\"%s\",\"source\":", row->index, row->kind);
    onp_cli_json_string(f, row->source, row->source_bytes);
    fputs(",\"embedding\":[", f);
    for (size_t i = 0; i < output->dim; i++)
        fprintf(f, "%s%.9g", i ? "," : "", (double)row->values[i]);
    fputs("]}\n", f);
}

static void write_csv_row(struct onp_cli_output *output, const struct onp_cli_row *row) {
    FILE *f = output->file;
    fprintf(f, "%zu,%s,", row->index, row->kind);
    onp_cli_csv_field(f, row->source, row->source_bytes);
    for (size_t i = 0; i < output->dim; i++) fprintf(f, ",%.9g", (double)row->values[i]);
    fputc('\n', f);
}

void onp_cli_output_row(struct onp_cli_output *output, const struct onp_cli_row *row) {
    errno = 0;
    output->rows++;
    if (output->format == ONP_CLI_NPY)
        fwrite(row->values, sizeof(float), output->dim, output->file);
    else if (output->format == ONP_CLI_JSONL)
        write_json_row(output, row);
    else
        write_csv_row(output, row);
    note_error(output, ferror(output->file));
}

bool onp_cli_output_failed(const struct onp_cli_output *output) { return output->error != 0; }

FILE *onp_cli_output_stream(struct onp_cli_output *output) {
    output->format = ONP_CLI_JSONL; // no header to be written again by commit
    return output->file;
}

// --- Ending ------------------------------------------------------------------------------------

static void forget(struct onp_cli_output *output, bool in_place) {
    sigset_t before;
    block_signals(&before);
    if (!in_place && output->temporary && doomed[0]) unlink(output->temporary);
    doomed[0] = '\0';
    sigprocmask(SIG_SETMASK, &before, NULL);
    if (output->file) fclose(output->file);
    free(output->path);
    free(output->temporary);
    free(output);
}

int onp_cli_output_commit(struct onp_cli_output *output) {
    if (output->format == ONP_CLI_NPY && !output->error) {
        note_error(output, fseeko(output->file, 0, SEEK_SET) != 0);
        write_rows_header(output);
    }
    note_error(output, ferror(output->file) != 0);
    note_error(output, fflush(output->file) != 0);
    note_error(output, fsync(fileno(output->file)) != 0);
    bool done = false;
    if (!output->error) {
        done = rename(output->temporary, output->path) == 0;
        note_error(output, !done);
    }
    int code = ONP_CLI_OK;
    if (output->error)
        code = onp_cli_fail("cannot write %s: %s", output->path, strerror(output->error));
    forget(output, done);
    return code;
}

void onp_cli_output_discard(struct onp_cli_output *output) {
    if (output) forget(output, false);
}

int onp_cli_stdout_end(int code) {
    errno = 0;
    bool failed = ferror(stdout) != 0;
    failed |= fflush(stdout) != 0;
    if (!failed) return code;
    int error = errno;
    struct pollfd gone = {.fd = STDOUT_FILENO, .events = POLLOUT};
    bool closed_pipe = error == EPIPE || (poll(&gone, 1, 0) == 1 && (gone.revents & POLLERR) != 0);
    if (!closed_pipe)
        onp_cli_fail("cannot write to standard output: %s", error ? strerror(error) : "failed");
    return ONP_CLI_FAILED;
}
