// SPDX-License-Identifier: Apache-2.0
// Dimensions from tensor shapes (SPEC section 1); the configuration only fills what no tensor says.
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "models/one_peace/one_peace.h"
#include "models/one_peace/preprocess.h"

#define MAX_LAYERS 512
#define MAX_SIDE   128 // patches: 2048 pixels, where attention over a picture takes minutes

// The file being read, with room for building names.
struct reader {
    const struct onp_model_file *file;
    const struct onp_log *log;
    struct onp_hparams *hp;
    const char *adapter, *encoder; // prefixes: of adapters, of layers
};

static const struct onp_file_tensor *find(const struct reader *r, const char *prefix,
                                          const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static const struct onp_file_tensor *find(const struct reader *r, const char *prefix,
                                          const char *fmt, ...) {
    char name[160];
    const int used = snprintf(name, sizeof name, "%s", prefix);
    va_list args;
    va_start(args, fmt);
    vsnprintf(name + used, sizeof name - (size_t)used, fmt, args);
    va_end(args);
    return onp_model_file_find(r->file, name);
}

static enum onp_status bad(const struct reader *r, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

static enum onp_status bad(const struct reader *r, const char *fmt, ...) {
    char what[256];
    va_list args;
    va_start(args, fmt);
    vsnprintf(what, sizeof what, fmt, args);
    va_end(args);
    return onp_fail(r->log, ONP_ERR_FORMAT, "%s: %s", onp_model_file_path(r->file), what);
}

bool onp_one_peace_probe(const struct onp_model_file *file) {
    return onp_model_file_find(file, "encoder_wrapper.fusion_model.layers.0.gamma_1") ||
           onp_model_file_find(file, "encoder.layers.0.gamma_1");
}

// A dimension of a tensor, within what the kernels' 32-bit indices hold.
static bool dimension(const struct onp_file_tensor *t, int axis, int32_t *out) {
    if (!t || axis >= t->dims || t->shape[axis] < 1 || t->shape[axis] > 1 << 24) return false;
    *out = (int32_t)t->shape[axis];
    return true;
}

static enum onp_status read_layers(struct reader *r) {
    struct onp_hparams *hp = r->hp;
    if (!dimension(find(r, r->encoder, "layers.0.gamma_1"), 0, &hp->embed_dim))
        return bad(r, "layers.0.gamma_1 has no usable shape");
    while (find(r, r->encoder, "layers.%d.gamma_1", hp->layers))
        if (++hp->layers > MAX_LAYERS) return bad(r, "more than %d layers", MAX_LAYERS);
    for (int m = 0; m < ONP_MODALITY_COUNT; m++) {
        const struct onp_file_tensor *t = find(r, r->encoder, "layers.0.%s_ffn.0.wi_0.weight",
                                               onp_modality_name((enum onp_modality)m));
        if (!t) continue;
        int32_t ffn;
        if (!dimension(t, 0, &ffn)) return bad(r, "%s has no usable shape", t->name);
        if (hp->ffn_dim && hp->ffn_dim != ffn)
            return bad(r, "the branches' FFNs differ in size (%d and %d)", hp->ffn_dim, ffn);
        hp->ffn_dim = ffn;
        hp->present |= ONP_BIT(m);
    }
    if (!hp->present) return bad(r, "it has layers but no text, image or audio FFN");
    static const char *const unsupported[] = {
        "layers.0.attn_ln.weight", "layers.0.self_attn.c_attn", "layernorm_embedding.weight"};
    for (size_t i = 0; i < sizeof unsupported / sizeof unsupported[0]; i++)
        if (find(r, r->encoder, "%s", unsupported[i]))
            return onp_fail(r->log, ONP_ERR_UNSUPPORTED,
                            "%s: it has %s, a variant of the architecture that no published model "
                            "uses and this version does not run",
                            onp_model_file_path(r->file), unsupported[i]);
    return ONP_OK;
}

// Heads and table rows from the relative-position tables; all branches must agree on the heads.
static enum onp_status read_table(struct reader *r, enum onp_modality m, int32_t *rows) {
    const char *name = onp_modality_name((enum onp_modality)m);
    const struct onp_file_tensor *t =
        find(r, r->adapter, "%s_adapter.rel_pos_table_list.0.weight", name);
    int32_t heads;
    if (!t) {
        *rows = 0;
        return ONP_OK; // reported with the other missing weights
    }
    if (!dimension(t, 0, rows) || !dimension(t, 1, &heads))
        return bad(r, "%s has no usable shape", t->name);
    if (r->hp->heads && r->hp->heads != heads)
        return bad(r, "relative-position tables differ in heads (%d and %d)", r->hp->heads, heads);
    r->hp->heads = heads;
    r->hp->per_layer[m] =
        find(r, r->adapter, "%s_adapter.rel_pos_table_list.1.weight", name) != NULL;
    return ONP_OK;
}

static enum onp_status read_sequence_table(struct reader *r, enum onp_modality m) {
    int32_t rows = 0;
    ONP_TRY(read_table(r, m, &rows));
    if (rows == 0) return ONP_OK;
    const int32_t b = (rows - 2) / 2;
    if (rows != 2 * b + 2 || b < 4 || b % 2 != 0 || b / 2 >= ONP_MAX_POSITIONS - 1)
        return bad(r, "the %s relative-position table has %d rows, which no bucket size gives",
                   onp_modality_name((enum onp_modality)m), rows);
    r->hp->bucket[m] = b;
    return ONP_OK;
}

static enum onp_status read_text(struct reader *r) {
    dimension(find(r, r->adapter, "text_adapter.embed_tokens.weight"), 0, &r->hp->vocab);
    dimension(find(r, r->adapter, "text_adapter.embed_positions.weight"), 0,
              &r->hp->text_positions);
    if (r->hp->text_positions == 1)
        return bad(r, "text_adapter.embed_positions.weight has one row, which leaves no token");
    if (r->hp->text_positions > ONP_MAX_POSITIONS) r->hp->text_positions = ONP_MAX_POSITIONS;
    return read_sequence_table(r, ONP_TEXT);
}

static int32_t whole_root(int64_t square) {
    const int32_t root = (int32_t)lrint(sqrt((double)square));
    return (int64_t)root * root == square ? root : 0;
}

static enum onp_status read_image(struct reader *r) {
    struct onp_hparams *hp = r->hp;
    int32_t rows = 0, positions = 0;
    ONP_TRY(read_table(r, ONP_IMAGE, &rows));
    if (rows > 0) {
        const int32_t side = rows > 3 ? whole_root((int64_t)rows - 3) : 0;
        if (side == 0 || side % 2 == 0)
            return bad(r,
                       "the image relative-position table has %d rows, which no picture size "
                       "gives",
                       rows);
        hp->patches_per_side = (side + 1) / 2;
        if (hp->patches_per_side > MAX_SIDE)
            return bad(
                r,
                "the image relative-position table is for pictures of %d pixels a side, this "
                "version takes at most %d",
                16 * hp->patches_per_side, 16 * MAX_SIDE);
    }
    if (dimension(find(r, r->adapter, "image_adapter.pos_embed"), 0, &positions)) {
        hp->pos_grid = whole_root((int64_t)positions - 1);
        if (hp->pos_grid == 0)
            return bad(r, "image_adapter.pos_embed has %d rows, not 1 + a square", positions);
    }
    return ONP_OK;
}

// The specification must fit the tensors, and the longest clip must give a frame.
static enum onp_status check_wave_convs(const struct reader *r) {
    const struct onp_hparams *hp = r->hp;
    int32_t in = 1;
    for (int32_t i = 0; i < hp->conv_count; i++) {
        const struct onp_wave_conv *c = &hp->convs[i];
        const struct onp_file_tensor *t =
            find(r, r->adapter, "audio_adapter.embed_audios.0.conv_layers.%d.0.weight", i);
        if (t && (t->dims != 3 || t->shape[0] != c->channels || t->shape[1] != in ||
                  t->shape[2] != c->kernel))
            return bad(r,
                       "feature_encoder_spec gives convolution %d the shape [%d, %d, %d], but %s "
                       "has another",
                       i, c->channels, in, c->kernel, t->name);
        in = c->channels;
    }
    const double samples = hp->max_audio_seconds * ONP_SAMPLE_RATE;
    if (onp_wave_frames(hp, (int64_t)samples) < 1)
        return bad(r, "feature_encoder_spec gives no frame even for a clip of %g s",
                   hp->max_audio_seconds);
    return ONP_OK;
}

// Strides are the one thing that no tensor tells.
static enum onp_status read_wave_convs(struct reader *r) {
    struct onp_hparams *hp = r->hp;
    const struct onp_config *config = onp_model_file_config(r->file);
    const char *text = NULL, *why;
    if (!onp_config_string(config, "model.encoder.audio_adapter.feature_encoder_spec", &text) &&
        !onp_config_string(config, "task.feature_encoder_spec", &text)) {
        onp_log(r->log, ONP_LOG_WARNING,
                "%s has no feature_encoder_spec: taking upstream's strides 5,2,2,2,2,2,2",
                onp_model_file_path(r->file));
        text = "[(512,10,5)] + [(512,3,2)] * 4 + [(512,2,2)] * 2";
        if (!onp_parse_wave_spec(text, hp->convs, &hp->conv_count, &why)) return bad(r, "%s", why);
        int32_t channels = 512;
        dimension(find(r, r->adapter, "audio_adapter.embed_audios.2.weight"), 0, &channels);
        for (int32_t i = 0; i < hp->conv_count; i++) hp->convs[i].channels = channels;
    } else if (!onp_parse_wave_spec(text, hp->convs, &hp->conv_count, &why)) {
        return bad(r, "feature_encoder_spec \"%.100s\" cannot be read: %s", text, why);
    }
    hp->wave_channels = hp->convs[hp->conv_count - 1].channels;
    return check_wave_convs(r);
}

static enum onp_status read_audio(struct reader *r) {
    struct onp_hparams *hp = r->hp;
    ONP_TRY(read_sequence_table(r, ONP_AUDIO));
    ONP_TRY(read_wave_convs(r));
    const struct onp_file_tensor *t;
    while (
        hp->pos_convs < ONP_MAX_CONVS &&
        (t = find(r, r->adapter, "audio_adapter.embed_positions.%d.0.weight", hp->pos_convs + 1))) {
        int32_t width, kernel;
        if (!dimension(t, 1, &width) || !dimension(t, 2, &kernel) || hp->embed_dim % width != 0)
            return bad(r, "%s has no usable shape", t->name);
        if (hp->pos_convs > 0 &&
            (hp->pos_groups != hp->embed_dim / width || hp->pos_kernel != kernel))
            return bad(r, "%s differs from the convolution before it", t->name);
        hp->pos_groups = hp->embed_dim / width;
        hp->pos_kernel = kernel;
        hp->pos_convs++;
    }
    return ONP_OK;
}

// A branch can embed if its final LayerNorm and projection are there.
static void find_complete(struct reader *r) {
    for (int m = 0; m < ONP_MODALITY_COUNT; m++) {
        char proj[32];
        snprintf(proj, sizeof proj, "%s_proj.weight", onp_modality_name((enum onp_modality)m));
        if ((r->hp->present & ONP_BIT(m)) && onp_model_file_find(r->file, proj) &&
            find(r, r->encoder, "%s_layer_norm.weight", onp_modality_name((enum onp_modality)m)))
            r->hp->complete |= ONP_BIT(m);
    }
}

static void read_scalars(struct reader *r) {
    struct onp_hparams *hp = r->hp;
    const struct onp_config *config = onp_model_file_config(r->file);
    const char *text;
    if (onp_config_string(config, "model._name", &text))
        snprintf(hp->name, sizeof hp->name, "%s", text);
    if (onp_config_string(config, "task.head_type", &text))
        snprintf(hp->head_type, sizeof hp->head_type, "%s", text);
    float scale = 2.6592600f; // ln(1 / 0.07), upstream's initial value
    const struct onp_file_tensor *t = onp_model_file_find(r->file, "logit_scale");
    if (t && t->count == 1 && t->dtype <= ONP_F64) onp_file_tensor_read(t, 0, 1, &scale);
    const double clamped = fmin(fmax((double)scale, 0.0), log(100.0));
    hp->logit_scale = exp(isnan((double)scale) ? log(1.0 / 0.07) : clamped);
    hp->dtype = find(r, r->encoder, "layers.0.gamma_1")->dtype;
}

static enum onp_status read_all(struct reader *r) {
    struct onp_hparams *hp = r->hp;
    ONP_TRY(read_layers(r));
    if (hp->present & ONP_BIT(ONP_TEXT)) ONP_TRY(read_text(r));
    if (hp->present & ONP_BIT(ONP_IMAGE)) ONP_TRY(read_image(r));
    if (hp->present & ONP_BIT(ONP_AUDIO)) ONP_TRY(read_audio(r));
    if (hp->heads == 0) return bad(r, "it has no relative-position table, so no head count");
    hp->head_dim = hp->embed_dim / hp->heads;
    if (hp->head_dim * hp->heads != hp->embed_dim || hp->head_dim % 4 != 0)
        return onp_fail(r->log, ONP_ERR_UNSUPPORTED,
                        "%s: width %d in %d heads gives no head size that is a multiple of 4",
                        onp_model_file_path(r->file), hp->embed_dim, hp->heads);
    find_complete(r);
    read_scalars(r);
    return ONP_OK;
}

enum onp_status onp_one_peace_open(const struct onp_model_file *file, const struct onp_log *log,
                                   struct onp_hparams **out) {
    struct onp_hparams *hp = calloc(1, sizeof *hp);
    if (!hp) return onp_fail(log, ONP_ERR_MEMORY, "no memory to open a model");
    hp->max_audio_seconds = 15.0; // the hub's limit, whatever max_duration a data set had
    hp->vision_names = onp_model_file_find(file, "encoder.layers.0.gamma_1") != NULL;
    struct reader r = {.file = file, .log = log, .hp = hp};
    r.adapter = hp->vision_names ? "" : "encoder_wrapper.";
    r.encoder = hp->vision_names ? "encoder." : "encoder_wrapper.fusion_model.";
    const enum onp_status status = read_all(&r);
    if (status == ONP_OK)
        *out = hp;
    else
        free(hp);
    return status;
}
