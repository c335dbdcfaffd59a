// SPDX-License-Identifier: Apache-2.0
// Any readable checkpoint to our native form: safetensors with configuration and tokenizer inside.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/internal.h"
#include "base/file.h"
#include "text/tokenizer.h"

#define MAX_VOCABULARY_FILE (16u << 20) // what the parser takes

struct conversion {
    const struct onp_log *log;
    struct onp_model_file *file;
    const struct onp_family *family;
    struct onp_tensor_out *tensors;
    size_t tensor_count;
    struct onp_metadata metadata[5];
    size_t metadata_count;
    char *config, *vocabulary[3]; // owned
};

static void add_metadata(struct conversion *c, const char *key, const char *data, size_t size) {
    c->metadata[c->metadata_count++] = (struct onp_metadata){key, {data, size}};
}

static enum onp_dtype output_dtype(const struct onp_file_tensor *t,
                                   const struct onp_convert_params *params) {
    const bool floating = t->dtype <= ONP_F64;
    if (!floating || params->keep_dtype) return t->dtype;
    return params->dtype;
}

static enum onp_status choose_tensors(struct conversion *c,
                                      const struct onp_convert_params *params) {
    const size_t count = onp_model_file_count(c->file);
    const unsigned modalities = params->modalities ? params->modalities : ONP_ALL_MODALITIES;
    c->tensors = calloc(count ? count : 1, sizeof *c->tensors);
    if (!c->tensors) return onp_fail(c->log, ONP_ERR_MEMORY, "no memory for a conversion");
    for (size_t i = 0; i < count; i++) {
        const struct onp_file_tensor *t = onp_model_file_at(c->file, i);
        if (!c->family->keeps(t->name, modalities)) continue;
        c->tensors[c->tensor_count++] =
            (struct onp_tensor_out){.name = t->name, .source = t, .dtype = output_dtype(t, params)};
    }
    return ONP_OK;
}

// Checks that every branch asked for is in the input.
static enum onp_status check_branches(struct conversion *c, unsigned modalities) {
    struct onp_hparams *hparams;
    struct onp_model_info info = {0};
    ONP_TRY(c->family->open(c->file, c->log, &hparams));
    c->family->describe(hparams, &info);
    c->family->close(hparams);
    for (int m = 0; m < ONP_MODALITY_COUNT; m++)
        if (modalities & ~(info.modalities | info.partial) & ONP_BIT(m))
            return onp_fail(c->log, ONP_ERR_MISSING, "%s has no %s branch to convert",
                            onp_model_file_path(c->file), onp_modality_name((enum onp_modality)m));
    return ONP_OK;
}

static enum onp_status read_vocabulary(struct conversion *c, const char *dir) {
    static const char *const names[] = {"encoder.json", "vocab.bpe", "dict.txt"};
    static const char *const keys[] = {ONP_META_ENCODER, ONP_META_MERGES, ONP_META_DICT};
    size_t size[3] = {0, 0, 0};
    for (int i = 0; i < 3; i++) {
        const size_t length = strlen(dir) + strlen(names[i]) + 2;
        char *path = malloc(length);
        if (!path) return onp_fail(c->log, ONP_ERR_MEMORY, "no memory for a conversion");
        snprintf(path, length, "%s/%s", dir, names[i]);
        const enum onp_status status =
            onp_file_read(path, MAX_VOCABULARY_FILE, c->log, &c->vocabulary[i], &size[i]);
        free(path);
        ONP_TRY(status);
        add_metadata(c, keys[i], c->vocabulary[i], size[i]);
    }
    struct onp_tokenizer *tokenizer; // the very bytes that are written, parsed to be sure of them
    ONP_TRY(onp_tokenizer_parse(dir, c->vocabulary[0], size[0], c->vocabulary[1], size[1],
                                c->vocabulary[2], size[2], c->log, &tokenizer));
    onp_tokenizer_destroy(tokenizer);
    return ONP_OK;
}

static enum onp_status collect_metadata(struct conversion *c, const char *tokenizer_dir) {
    add_metadata(c, ONP_META_FORMAT, "1", 1);
    const struct onp_config *config = onp_model_file_config(c->file);
    if (config) {
        c->config = onp_config_json(config);
        if (!c->config) return onp_fail(c->log, ONP_ERR_MEMORY, "no memory for a configuration");
        add_metadata(c, ONP_META_CONFIG, c->config, strlen(c->config));
    }
    if (tokenizer_dir) return read_vocabulary(c, tokenizer_dir);
    struct onp_tokenizer_blobs blobs;
    if (!onp_model_file_tokenizer(c->file, &blobs)) return ONP_OK;
    add_metadata(c, ONP_META_ENCODER, blobs.encoder_json.data, blobs.encoder_json.size);
    add_metadata(c, ONP_META_MERGES, blobs.vocab_bpe.data, blobs.vocab_bpe.size);
    add_metadata(c, ONP_META_DICT, blobs.dict_txt.data, blobs.dict_txt.size);
    return ONP_OK;
}

static enum onp_status convert(struct conversion *c, const char *input, const char *output,
                               const struct onp_convert_params *params) {
    ONP_TRY(onp_model_file_open(input, c->log, &c->file));
    c->family = onp_family_find(c->file);
    if (!c->family)
        return onp_fail(c->log, ONP_ERR_UNSUPPORTED, "%s holds no ONE-PEACE encoder", input);
    ONP_TRY(check_branches(c, params->modalities));
    ONP_TRY(choose_tensors(c, params));
    ONP_TRY(collect_metadata(c, params->tokenizer_dir));
    ONP_TRY(onp_safetensors_write(output, params->overwrite, c->file, c->tensors, c->tensor_count,
                                  c->metadata, c->metadata_count, c->log));
    onp_log(c->log, ONP_LOG_INFO, "%s: %zu tensors kept, %zu left out", output, c->tensor_count,
            onp_model_file_count(c->file) - c->tensor_count);
    return ONP_OK;
}

enum onp_status onp_convert(struct onp_context *context, const char *input, const char *output,
                            const struct onp_convert_params *params) {
    if (!context || !input || !output || !params)
        return onp_fail(NULL, ONP_ERR_ARGUMENT, "onp_convert: an argument is NULL");
    if (!params->keep_dtype && params->dtype > ONP_BF16)
        return onp_fail(&context->log, ONP_ERR_ARGUMENT,
                        "a model is converted to f32, f16 or bf16, not %s",
                        onp_dtype_name(params->dtype));
    struct conversion c = {.log = &context->log};
    const enum onp_status status = convert(&c, input, output, params);
    onp_model_file_close(c.file);
    free(c.tensors);
    free(c.config);
    for (int i = 0; i < 3; i++) free(c.vocabulary[i]);
    return status;
}
