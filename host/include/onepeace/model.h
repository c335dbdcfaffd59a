// SPDX-License-Identifier: Apache-2.0
// Model files: opening, describing, tokenizing, converting.
#ifndef ONEPEACE_MODEL_H
#define ONEPEACE_MODEL_H

#include "onepeace/status.h"

#ifdef __cplusplus
extern "C" {
#endif

enum onp_modality { ONP_TEXT = 0, ONP_IMAGE = 1, ONP_AUDIO = 2 };
#define ONP_MODALITY_COUNT 3
#define ONP_BIT(modality)  (1u << (modality))
#define ONP_ALL_MODALITIES 7u

enum onp_dtype {
    ONP_F32 = 0,
    ONP_F16,
    ONP_BF16,
    ONP_F64,
    ONP_I64,
    ONP_I32,
    ONP_I16,
    ONP_I8,
    ONP_U8,
    ONP_BOOL
};
ONP_API const char *onp_dtype_name(enum onp_dtype dtype);   // "f32", "f16", "bf16", "i64" ...
ONP_API size_t onp_dtype_size(enum onp_dtype dtype);        // bytes of one element
ONP_API const char *onp_modality_name(enum onp_modality m); // "text", "image", "audio"

struct onp_model_params {
    const char *tokenizer_dir; // encoder.json, vocab.bpe, dict.txt; NULL: the one inside the file
};

// An opened model file: mapped, checked, no weights loaded. Nothing in it is executed.
// Thread-safety: read-only after opening, may be shared.
struct onp_model;
ONP_API enum onp_status onp_model_open(struct onp_context *context, const char *path,
                                       const struct onp_model_params *params,
                                       struct onp_model **out);
ONP_API void onp_model_close(struct onp_model *model); // NULL is allowed

// A model without a file, for measuring: every weight is computed from its name and place while it
// is loaded, the same on every machine, at scales that keep activations finite in f32 and f16. It
// needs no memory beyond what an encoder of a file needs. `spec` is
//   "full"       the published sizes: width 1536, feed-forward 6144, 40 layers, 24 heads, pictures
//                of 256 pixels, 50264 token embeddings
//   "micro"      a small one, for trying things out
//   "D,F,L,H"    width, feed-forward, layers and heads; the rest as published
// ONP_ERR_ARGUMENT says what is wrong with another text. It has all three branches and no
// tokenizer: inputs are token ids, pixels and waveforms, or picture and sound files.
// info.path is "synthetic:D,F,L,H", info.format "synthetic", info.file_bytes 0.
ONP_API enum onp_status onp_model_synthetic(struct onp_context *context, const char *spec,
                                            struct onp_model **out);

struct onp_model_info {
    const char *path;
    const char *format;    // "torch-zip", "torch-legacy", "pickle", "safetensors", "synthetic"
    const char *family;    // "one-peace"
    const char *name;      // cfg.model._name, "" if absent
    const char *head_type; // cfg.task.head_type, "" if absent
    enum onp_dtype dtype;  // of the floating-point weights
    bool has_tokenizer;
    unsigned modalities; // ONP_BIT() of the branches that can embed
    unsigned partial;    // branches present that cannot embed (no final LayerNorm or projection)
    uint32_t embed_dim, ffn_dim, layers, heads, head_dim;
    uint32_t vocab, max_text_tokens;      // rows of the token table; text positions including CLS
    uint32_t image_size, patches;         // pixels per side; patches per image
    uint32_t audio_channels, sample_rate; // channels of the wave convolutions; Hz
    float max_audio_seconds;              // clips are cut here
    bool table_per_layer;                 // relative-position tables: one per layer or one for all
    double logit_scale;                   // exp(clamped parameter)
    uint64_t file_bytes;
    size_t tensors, ignored_tensors;         // in the file; of these, not needed for embedding
    uint64_t parameters[ONP_MODALITY_COUNT]; // weights needed per branch, shared ones included
};
ONP_API enum onp_status onp_model_get_info(const struct onp_model *model,
                                           struct onp_model_info *info);

// Device memory to embed `batch` items of the largest size with these branches: weights and the
// activation arena, in bytes. Needs no device. dtype is ONP_F32 or ONP_F16.
ONP_API enum onp_status onp_model_memory(const struct onp_model *model, unsigned modalities,
                                         enum onp_dtype dtype, uint32_t batch,
                                         uint64_t *weight_bytes, uint64_t *arena_bytes);

// Work of embedding one item: floating-point operations and bytes moved, as the ops' formulas give
// them, each counted once. `length`: ids (</s> included) or samples; ignored for pictures. Needs no
// device.
ONP_API enum onp_status onp_model_cost(const struct onp_model *model, enum onp_modality modality,
                                       uint64_t length, double *flops, double *bytes);

// --- Tokenizer -------------------------------------------------------------------------------

// Text paths of upstream: the hub API (lower-case, leading space) and the evaluation data sets
// (also strips leading punctuation and folds white space).
enum onp_text_mode { ONP_TEXT_HUB = 0, ONP_TEXT_DATASET };

struct onp_tokenizer;
// Reads encoder.json, vocab.bpe and dict.txt from a folder.
ONP_API enum onp_status onp_tokenizer_open(struct onp_context *context, const char *dir,
                                           struct onp_tokenizer **out);
ONP_API void onp_tokenizer_close(struct onp_tokenizer *tokenizer); // NULL is allowed
// The model's tokenizer; owned by the model. NULL if it has none.
ONP_API const struct onp_tokenizer *onp_model_tokenizer(const struct onp_model *model);
// Text (UTF-8, `bytes` long, not necessarily NUL-terminated) to dictionary ids, </s> included.
// *ids is allocated (onp_free). Invalid UTF-8 is ONP_ERR_ARGUMENT with the byte's position.
ONP_API enum onp_status onp_tokenize(const struct onp_tokenizer *tokenizer, const char *text,
                                     size_t bytes, enum onp_text_mode mode, int32_t **ids,
                                     size_t *count);
ONP_API void onp_free(void *memory); // frees what this library allocated for the caller

// --- Conversion ------------------------------------------------------------------------------

struct onp_convert_params {
    unsigned modalities;       // branches to keep; 0: all in the file
    bool keep_dtype;           // keep the file's own dtype
    enum onp_dtype dtype;      // ONP_F32, ONP_F16 or ONP_BF16, used unless keep_dtype
    const char *tokenizer_dir; // put into the metadata; NULL: the one inside the input, if any
    bool overwrite;            // replace an existing output
};
// Writes `output` (safetensors, config and tokenizer in its metadata) from any readable model file.
// Deterministic. Written to a temporary file in the same folder and renamed: never half-written.
ONP_API enum onp_status onp_convert(struct onp_context *context, const char *input,
                                    const char *output, const struct onp_convert_params *params);

#ifdef __cplusplus
}
#endif
#endif
