// SPDX-License-Identifier: Apache-2.0
#include <stdlib.h>
#include <string.h>

#include "api/internal.h"
#include "text/tokenizer.h"

static enum onp_status load_tokenizer(struct onp_model *model, const char *dir) {
    const struct onp_log *log = &model->context->log;
    if (dir) return onp_tokenizer_load_dir(dir, log, &model->tokenizer);
    struct onp_tokenizer_blobs blobs;
    if (!onp_model_file_tokenizer(model->file, &blobs)) return ONP_OK;
    return onp_tokenizer_parse(onp_model_file_path(model->file), blobs.encoder_json.data,
                               blobs.encoder_json.size, blobs.vocab_bpe.data, blobs.vocab_bpe.size,
                               blobs.dict_txt.data, blobs.dict_txt.size, log, &model->tokenizer);
}

// Elements of the file that a set of branches uses; false if weights are missing.
static bool count_used(const struct onp_model *model, unsigned modalities, size_t *tensors,
                       uint64_t *elements) {
    static const struct onp_log silent = {0};
    struct onp_weights *weights;
    *tensors = 0;
    *elements = 0;
    if (model->family->weights_create(model->hparams, model->file, modalities, &silent, &weights) !=
        ONP_OK)
        return false;
    size_t count;
    const struct onp_weight *list = model->family->weights_list(weights, &count);
    for (size_t i = 0; i < count; i++)
        for (int s = 0; s < ONP_MAX_SOURCES && list[i].source[s]; s++) {
            (*tensors)++;
            *elements += list[i].source[s]->count;
        }
    model->family->weights_destroy(weights);
    return true;
}

// A branch with missing weights is only partly there: it is described, but cannot embed.
static void find_usable_branches(struct onp_model *model) {
    struct onp_model_info *info = &model->info;
    size_t used = 0;
    uint64_t elements;
    for (int m = 0; m < ONP_MODALITY_COUNT; m++) {
        if (!(info->modalities & ONP_BIT(m))) continue;
        if (count_used(model, ONP_BIT(m), &used, &info->parameters[m])) continue;
        info->modalities &= ~ONP_BIT(m);
        info->partial |= ONP_BIT(m);
    }
    used = 0;
    if (info->modalities) count_used(model, info->modalities, &used, &elements);
    const bool scale = onp_model_file_find(model->file, "logit_scale") != NULL;
    info->ignored_tensors = info->tensors - used - (scale ? 1 : 0);
}

static void describe(struct onp_model *model) {
    struct onp_model_info *info = &model->info;
    info->path = onp_model_file_path(model->file);
    info->format = onp_model_file_format(model->file);
    info->family = model->family->name;
    info->has_tokenizer = model->tokenizer != NULL;
    info->file_bytes = onp_model_file_bytes(model->file);
    info->tensors = onp_model_file_count(model->file);
    model->family->describe(model->hparams, info);
    find_usable_branches(model);
    if (info->ignored_tensors > 0)
        onp_log(&model->context->log, ONP_LOG_DEBUG,
                "%s: %zu of %zu tensors are not needed for embedding and are ignored", info->path,
                info->ignored_tensors, info->tensors);
}

static enum onp_status check_vocabulary(const struct onp_model *model) {
    if (!model->tokenizer || !(model->info.modalities & ONP_BIT(ONP_TEXT))) return ONP_OK;
    const uint32_t ids = onp_tokenizer_vocab(model->tokenizer);
    if (ids <= model->info.vocab) return ONP_OK;
    return onp_fail(&model->context->log, ONP_ERR_FORMAT,
                    "the tokenizer has %u ids but %s has only %u token embeddings: they do not "
                    "belong together",
                    ids, model->info.path, model->info.vocab);
}

static enum onp_status finish_open(struct onp_model *model, const char *tokenizer_dir) {
    const struct onp_log *log = &model->context->log;
    model->family = onp_family_find(model->file);
    if (!model->family)
        return onp_fail(log, ONP_ERR_UNSUPPORTED,
                        "%s holds no ONE-PEACE encoder: none of its %zu tensors is named "
                        "encoder_wrapper.fusion_model.layers.0.gamma_1",
                        onp_model_file_path(model->file), onp_model_file_count(model->file));
    ONP_TRY(model->family->open(model->file, log, &model->hparams));
    ONP_TRY(load_tokenizer(model, tokenizer_dir));
    describe(model);
    return check_vocabulary(model);
}

// Takes ownership of the file.
static enum onp_status create(struct onp_context *context, struct onp_model_file *file,
                              const char *tokenizer_dir, struct onp_model **out) {
    struct onp_model *model = calloc(1, sizeof *model);
    if (!model) {
        onp_model_file_close(file);
        return onp_fail(&context->log, ONP_ERR_MEMORY, "no memory to open a model");
    }
    model->context = context;
    model->file = file;
    const enum onp_status status = finish_open(model, tokenizer_dir);
    if (status == ONP_OK)
        *out = model;
    else
        onp_model_close(model);
    return status;
}

enum onp_status onp_model_open(struct onp_context *context, const char *path,
                               const struct onp_model_params *params, struct onp_model **out) {
    if (!context || !path || !out)
        return onp_fail(NULL, ONP_ERR_ARGUMENT, "onp_model_open: an argument is NULL");
    struct onp_model_file *file;
    ONP_TRY(onp_model_file_open(path, &context->log, &file));
    return create(context, file, params ? params->tokenizer_dir : NULL, out);
}

enum onp_status onp_model_synthetic(struct onp_context *context, const char *spec,
                                    struct onp_model **out) {
    if (!context || !spec || !out)
        return onp_fail(NULL, ONP_ERR_ARGUMENT, "onp_model_synthetic: an argument is NULL");
    struct onp_model_file *file;
    ONP_TRY(onp_family_one_peace.synthetic(spec, &context->log, &file));
    return create(context, file, NULL, out);
}

void onp_model_close(struct onp_model *model) {
    if (!model) return;
    onp_tokenizer_destroy(model->tokenizer);
    if (model->hparams) model->family->close(model->hparams);
    onp_model_file_close(model->file);
    free(model);
}

enum onp_status onp_model_get_info(const struct onp_model *model, struct onp_model_info *info) {
    if (!model || !info)
        return onp_fail(NULL, ONP_ERR_ARGUMENT, "onp_model_get_info: an argument is NULL");
    *info = model->info;
    return ONP_OK;
}

// --- Tokenizer --------------------------------------------------------------------------------

enum onp_status onp_tokenizer_open(struct onp_context *context, const char *dir,
                                   struct onp_tokenizer **out) {
    if (!context || !dir || !out)
        return onp_fail(NULL, ONP_ERR_ARGUMENT, "onp_tokenizer_open: an argument is NULL");
    return onp_tokenizer_load_dir(dir, &context->log, out);
}

void onp_tokenizer_close(struct onp_tokenizer *tokenizer) { onp_tokenizer_destroy(tokenizer); }

const struct onp_tokenizer *onp_model_tokenizer(const struct onp_model *model) {
    return model ? model->tokenizer : NULL;
}

enum onp_status onp_tokenize(const struct onp_tokenizer *tokenizer, const char *text, size_t bytes,
                             enum onp_text_mode mode, int32_t **ids, size_t *count) {
    if (!tokenizer || (!text && bytes > 0) || !ids || !count)
        return onp_fail(NULL, ONP_ERR_ARGUMENT, "onp_tokenize: an argument is NULL");
    return onp_tokenizer_encode(tokenizer, text ? text : "", bytes, mode, ids, count);
}
