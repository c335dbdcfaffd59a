// SPDX-License-Identifier: Apache-2.0
// Opens arbitrary bytes as a model file and reads what it holds. Built with
// `clang -fsanitize=fuzzer,address -DONP_LIBFUZZER` it is a libFuzzer target; without, a program
// that replays the files and folders given to it.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "io/model_table.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// Reads every tensor in pieces, as the weight loader does.
static void read_tensor(const struct onp_file_tensor *tensor) {
    float values[300];
    uint64_t raw[300];
    for (uint64_t first = 0; first < tensor->count && first < 3000; first += 300) {
        const uint64_t left = tensor->count - first;
        const size_t n = left < 300 ? (size_t)left : 300;
        onp_tensor_gather(tensor, first, n, raw);
        if (tensor->dtype <= ONP_F64) onp_file_tensor_read(tensor, first, n, values);
    }
    if (tensor->count > 0) onp_tensor_gather(tensor, tensor->count - 1, 1, raw);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const struct onp_log log = {0};
    struct onp_model_file *file = NULL;
    unsigned char *copy = malloc(size ? size : 1);
    if (!copy) return 0;
    if (size > 0) memcpy(copy, data, size);
    if (onp_model_file_open_memory("input", copy, size, &log, &file) == ONP_OK) {
        struct onp_tokenizer_blobs blobs;
        for (size_t i = 0; i < onp_model_file_count(file); i++)
            read_tensor(onp_model_file_at(file, i));
        onp_model_file_tokenizer(file, &blobs);
        free(onp_config_json(onp_model_file_config(file)));
        onp_model_file_close(file);
    } else if (!strstr(onp_last_error(), "input")) {
        abort(); // every refusal names the file
    }
    free(copy);
    return 0;
}

#ifndef ONP_LIBFUZZER
#include <dirent.h>
#include <stdio.h>

static int replay(const char *path) {
    const struct onp_log log = {0};
    char *data;
    size_t size;
    if (onp_file_read(path, 1u << 30, &log, &data, &size) != ONP_OK) {
        fprintf(stderr, "%s\n", onp_last_error());
        return 1;
    }
    LLVMFuzzerTestOneInput((const uint8_t *)data, size);
    free(data);
    return 0;
}

int main(int argc, char **argv) {
    int failed = 0, count = 0;
    for (int i = 1; i < argc; i++) {
        DIR *dir = opendir(argv[i]);
        if (!dir) {
            failed |= replay(argv[i]);
            count++;
            continue;
        }
        for (const struct dirent *entry; (entry = readdir(dir));) {
            char path[4096];
            if (entry->d_name[0] == '.') continue;
            snprintf(path, sizeof path, "%s/%s", argv[i], entry->d_name);
            failed |= replay(path);
            count++;
        }
        closedir(dir);
    }
    printf("%d files replayed\n", count);
    return failed || count == 0;
}
#endif
