// SPDX-License-Identifier: Apache-2.0
// Opens arbitrary bytes as a model file and reads what it holds.
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
    if (onp_model_file_open_memory("input", data, size, &log, &file) == ONP_OK) {
        struct onp_tokenizer_blobs blobs;
        for (size_t i = 0; i < onp_model_file_count(file); i++)
            read_tensor(onp_model_file_at(file, i));
        onp_model_file_tokenizer(file, &blobs);
        free(onp_config_json(onp_model_file_config(file)));
        onp_model_file_close(file);
    } else if (!strstr(onp_last_error(), "input")) {
        abort(); // every refusal names the file
    }
    return 0;
}
