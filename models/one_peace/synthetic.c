// SPDX-License-Identifier: Apache-2.0
// The tensors of a model of given sizes, computed instead of read.
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "models/one_peace/tensors.h"

#define MOST_WIDTH  16384
#define MOST_FFN    65536
#define MOST_LAYERS 512
#define MOST_HEADS  1024

#define SIZES(D, F, L, H, V, C)                                                                    \
    {                                                                                              \
        .dim = (D), .ffn = (F), .layers = (L), .heads = (H), .vocab = (V), .channels = (C),        \
        .kernels = {10, 3, 3, 3, 3, 2, 2}, .conv_count = 7, .pos_convs = 5, .pos_kernel = 19,      \
        .patches_per_side = 16, .modalities = ONP_ALL_MODALITIES, .query_gain = 1.0f               \
    }
static const struct onp_one_peace_sizes full = SIZES(1536, 6144, 40, 24, 50264, 512);
static const struct onp_one_peace_sizes micro = SIZES(64, 256, 3, 4, 856, 32);

// --- The spec -----------------------------------------------------------------------------------

static enum onp_status bad_spec(const struct onp_log *log, const char *spec, const char *what) {
    return onp_fail(log, ONP_ERR_ARGUMENT,
                    "synthetic model \"%.64s\": %s; give full, micro or D,F,L,H, for example "
                    "1536,6144,4,24",
                    spec, what);
}

// Up to eight digits, and nothing else, up to a comma or the end.
static bool read_number(const char **text, int64_t *out) {
    const char *at = *text;
    *out = 0;
    while (isdigit((unsigned char)*at) && at - *text < 8) *out = 10 * *out + (*at++ - '0');
    const bool read = at > *text && (*at == ',' || *at == '\0');
    *text = *at == ',' ? at + 1 : at;
    return read;
}

static enum onp_status check_sizes(const struct onp_log *log, const char *spec,
                                   const struct onp_one_peace_sizes *s) {
    if (s->dim < 16 || s->dim > MOST_WIDTH || s->dim % 16 != 0)
        return bad_spec(log, spec, "the width D must be a multiple of 16 from 16 to 16384");
    if (s->ffn < 1 || s->ffn > MOST_FFN)
        return bad_spec(log, spec, "the feed-forward width F must be 1 to 65536");
    if (s->layers < 1 || s->layers > MOST_LAYERS)
        return bad_spec(log, spec, "the number of layers L must be 1 to 512");
    if (s->heads < 1 || s->heads > MOST_HEADS || s->dim % s->heads != 0 ||
        s->dim / s->heads % 4 != 0)
        return bad_spec(log, spec,
                        "the number of heads H must divide D into head sizes that are multiples "
                        "of 4");
    return ONP_OK;
}

static enum onp_status parse_spec(const struct onp_log *log, const char *spec,
                                  struct onp_one_peace_sizes *s) {
    *s = strcmp(spec, "micro") == 0 ? micro : full;
    if (strcmp(spec, "full") == 0 || strcmp(spec, "micro") == 0) return ONP_OK;
    int64_t *const numbers[] = {&s->dim, &s->ffn, &s->layers, &s->heads};
    const char *at = spec;
    for (int i = 0; i < 4; i++)
        if (!read_number(&at, numbers[i]) || (at[-1] == ',') != (i < 3))
            return bad_spec(log, spec, "this is no list of four whole numbers");
    return check_sizes(log, spec, s);
}

static enum onp_status add(void *user, const char *name, const int64_t *shape, int dims, float mean,
                           float scale) {
    return onp_model_file_add_computed(user, name, shape, dims, mean, scale);
}

enum onp_status onp_one_peace_synthetic(const char *spec, const struct onp_log *log,
                                        struct onp_model_file **out) {
    struct onp_one_peace_sizes sizes;
    char name[64], config[512];
    ONP_TRY(parse_spec(log, spec, &sizes));
    snprintf(name, sizeof name, "synthetic:%d,%d,%d,%d", (int)sizes.dim, (int)sizes.ffn,
             (int)sizes.layers, (int)sizes.heads);
    snprintf(config, sizeof config,
             "{\"model\": {\"_name\": \"one_peace_retrieval\", \"encoder\": {\"audio_adapter\": "
             "{\"feature_encoder_spec\": \"[(%d, 10, 5)] + [(%d, 3, 2)] * 4 + [(%d, 2, 2)] * 2\"}"
             "}}, \"task\": {\"head_type\": \"val\"}}",
             (int)sizes.channels, (int)sizes.channels, (int)sizes.channels);
    struct onp_model_file *file = NULL;
    ONP_TRY(onp_model_file_computed(name, config, log, &file));
    enum onp_status status = onp_one_peace_tensors(&sizes, add, file);
    if (status == ONP_OK) status = onp_model_file_sort(file);
    if (status == ONP_OK)
        *out = file;
    else
        onp_model_file_close(file);
    return status;
}
