// SPDX-License-Identifier: Apache-2.0
// onepeace-make-model OUT.safetensors [key=value ...]: a model with seeded, untrained weights.
// Without keys: the published model's widths with four layers, float16.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "tests/golden/make_model.h"

struct key {
    const char *name;
    int32_t *value;
    int32_t unit; // the value must be a multiple of this
};

static int usage(const struct key *keys, size_t count) {
    fprintf(stderr, "usage: onepeace-make-model OUT.safetensors [key=value ...]\nkeys:\n");
    for (size_t i = 0; i < count; i++)
        fprintf(stderr, "  %s (default %d)\n", keys[i].name, *keys[i].value);
    fprintf(stderr, "  convs (kernel:stride,...; default 10:5,3:2,3:2,3:2,3:2,2:2,2:2)\n");
    fprintf(stderr, "  dtype (f32, f16 or bf16; default f16)\n");
    return 2;
}

static bool parse_dtype(const char *text, enum onp_dtype *dtype) {
    for (int i = ONP_F32; i <= ONP_BF16; i++)
        if (strcmp(text, onp_dtype_name((enum onp_dtype)i)) == 0) {
            *dtype = (enum onp_dtype)i;
            return true;
        }
    return false;
}

// "10:5,3:2": kernel and stride of each wave convolution.
static bool parse_convs(const char *text, struct onp_test_model *model) {
    for (model->conv_count = 0; model->conv_count < ONP_TEST_CONVS; text++) {
        struct onp_test_conv *c = &model->convs[model->conv_count++];
        int used = 0;
        if (sscanf(text, "%d:%d%n", &c->kernel, &c->stride, &used) != 2) return false;
        if (c->kernel < 1 || c->stride < 1) return false;
        text += used;
        if (*text != ',') return *text == 0;
    }
    return false;
}

static bool parse(const char *arg, const struct key *keys, size_t count,
                  struct onp_test_model *model) {
    const char *equals = strchr(arg, '=');
    if (!equals) return false;
    const size_t length = (size_t)(equals - arg);
    if (length == 5 && strncmp(arg, "dtype", 5) == 0) return parse_dtype(equals + 1, &model->dtype);
    if (length == 5 && strncmp(arg, "convs", 5) == 0) return parse_convs(equals + 1, model);
    for (size_t i = 0; i < count; i++) {
        if (strlen(keys[i].name) != length || strncmp(arg, keys[i].name, length) != 0) continue;
        char *end;
        const long value = strtol(equals + 1, &end, 10);
        *keys[i].value = (int32_t)value;
        return *end == 0 && value > 0 && value <= 1000000 && value % keys[i].unit == 0;
    }
    return false;
}

static void print_log(void *user, enum onp_log_level level, const char *message) {
    (void)user;
    (void)level;
    fprintf(stderr, "%s\n", message);
}

int main(int argc, char **argv) {
    struct onp_test_model model = onp_test_model_full();
    int32_t seed = 1, per_layer = 1, modalities = ONP_ALL_MODALITIES;
    const struct key keys[] = {
        {"embed_dim", &model.embed_dim, 16},
        {"ffn_dim", &model.ffn_dim, 4},
        {"layers", &model.layers, 1},
        {"heads", &model.heads, 1},
        {"vocab", &model.vocab, 1},
        {"channels", &model.channels, 4},
        {"image_size", &model.image_size, 16},
        {"seed", &seed, 1},
        {"modalities", &modalities, 1}, // 1 text, 2 image, 4 audio, added up
        {"pos_convs", &model.pos_convs, 1},
        {"pos_kernel", &model.pos_kernel, 1},
        {"table_per_layer", &per_layer, 1}, // 1: one for all layers, 2: one per layer
    };
    const size_t count = ONP_COUNT(keys);
    if (argc < 2 || argv[1][0] == '-') return usage(keys, count);
    for (int i = 2; i < argc; i++)
        if (!parse(argv[i], keys, count, &model)) return usage(keys, count);
    model.seed = (uint64_t)seed;
    model.table_per_layer = per_layer > 1;
    model.modalities = (unsigned)modalities & ONP_ALL_MODALITIES;
    const struct onp_log log = {.fn = print_log, .mutex = PTHREAD_MUTEX_INITIALIZER};
    return onp_make_model(argv[1], &model, &log) == ONP_OK ? 0 : 1;
}
