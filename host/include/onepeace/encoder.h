// SPDX-License-Identifier: Apache-2.0
// Inputs (a prepared picture, sound or text) and the encoder that embeds them.
#ifndef ONEPEACE_ENCODER_H
#define ONEPEACE_ENCODER_H

#include "onepeace/device.h"
#include "onepeace/model.h"

#ifdef __cplusplus
extern "C" {
#endif

// --- Inputs ----------------------------------------------------------------------------------
// One item as the model is fed it: token ids, normalised pixels or a normalised 16 kHz waveform.
// Made from a model (its size, tokenizer and limits apply). Thread-safety: several inputs may be
// made from one model at the same time.
struct onp_input;

ONP_API enum onp_status onp_input_text(const struct onp_model *model, const char *text,
                                       size_t bytes, enum onp_text_mode mode,
                                       struct onp_input **out);
// Token ids of the dictionary, </s> included, without <s>; 1 .. max_text_tokens - 1 of them.
ONP_API enum onp_status onp_input_tokens(const struct onp_model *model, const int32_t *ids,
                                         size_t count, struct onp_input **out);
// Decodes, resizes and normalises a picture (JPEG, PNG, BMP). A file named .npy is read as the
// normalised pixels themselves: float32 [3, side, side].
ONP_API enum onp_status onp_input_image_file(const struct onp_model *model, const char *path,
                                             struct onp_input **out);
// Decodes, mixes down, resamples, normalises and cuts a sound (WAV, FLAC, Ogg, AIFF). A file named
// .npy is read as the normalised 16 kHz waveform itself: float32 [samples].
ONP_API enum onp_status onp_input_audio_file(const struct onp_model *model, const char *path,
                                             struct onp_input **out);
// Normalised pixels, planar RGB float32 [3, side, side]; side must be the model's image size.
ONP_API enum onp_status onp_input_pixels(const struct onp_model *model, const float *pixels,
                                         uint32_t side, struct onp_input **out);
// Normalised waveform at 16 kHz.
ONP_API enum onp_status onp_input_waveform(const struct onp_model *model, const float *samples,
                                           size_t count, struct onp_input **out);
ONP_API void onp_input_free(struct onp_input *input); // NULL is allowed

ONP_API enum onp_modality onp_input_modality(const struct onp_input *input);
// What the model is fed: *dtype ONP_I32 (text) or ONP_F32; shape of `dims` entries (at most 3).
ONP_API const void *onp_input_data(const struct onp_input *input, enum onp_dtype *dtype,
                                   uint64_t shape[3], int *dims);

// The same preprocessing without a model: pixels [3, side, side], or a waveform. For inspection.
ONP_API enum onp_status onp_preprocess_image(struct onp_context *context, const char *path,
                                             uint32_t side, float **pixels);
ONP_API enum onp_status onp_preprocess_audio(struct onp_context *context, const char *path,
                                             float max_seconds, float **samples, size_t *count);
// Decoders in use, for example "libjpeg-turbo 2.1.5, stb_image 2.27, libsndfile 1.2.0, soxr 0.1.3".
ONP_API const char *onp_decoders(void);

// --- Encoder ---------------------------------------------------------------------------------

struct onp_encoder_params {
    unsigned modalities;   // branches to load; 0: all that the file can embed with
    enum onp_dtype dtype;  // storage of the matrices on the device: ONP_F32 or ONP_F16
    uint32_t max_batch;    // items per run at most; 0: chosen from the device's memory
    bool upstream_padding; // audio: pad each run of at most max_batch clips (64, memory permitting)
                           // to its longest, as upstream does
    bool profile;          // collect per-kernel times (onp_encoder_profile)
    bool explain;          // log, for every op, the variant taken and why others were refused
};

// Weights on a device and everything needed to run. Creating it loads the weights, compiles the
// kernels and reserves the arena; embedding allocates and compiles nothing more for sizes seen.
// The model and the device must outlive it.
// Thread-safety: one thread at a time.
struct onp_encoder;
ONP_API enum onp_status onp_encoder_create(struct onp_device *device, const struct onp_model *model,
                                           const struct onp_encoder_params *params,
                                           struct onp_encoder **out);
ONP_API void onp_encoder_destroy(struct onp_encoder *encoder); // NULL is allowed

// Embeds `count` inputs of any mix of modalities. rows: float32 [count, embed_dim], row i belongs
// to inputs[i], L2-normalised. Blocks until done. On failure the content of rows is undefined. A
// row does not depend on the other inputs, unless upstream_padding is set.
ONP_API enum onp_status onp_encoder_embed(struct onp_encoder *encoder,
                                          const struct onp_input *const *inputs, size_t count,
                                          float *rows);

// The same without waiting, for a stream of inputs: while the device computes one run, the next is
// recorded and queued behind it, so that the device never waits for the host. Two runs may be on
// their way. *taken: how many of the leading inputs the run took: those of the first one's modality
// that one run holds, at least 1. They must live until the run is collected. If submit or collect
// fails, every run on its way is lost.
ONP_API enum onp_status onp_encoder_submit(struct onp_encoder *encoder,
                                           const struct onp_input *const *inputs, size_t count,
                                           size_t *taken);
// How many a submission would take now; 0 for none. A result below count means a full run, as far
// as the modality does not change there.
ONP_API size_t onp_encoder_fitting(const struct onp_encoder *encoder,
                                   const struct onp_input *const *inputs, size_t count);
// Waits for the oldest run on its way; rows has room for its inputs. *count is 0 if there is none.
ONP_API enum onp_status onp_encoder_collect(struct onp_encoder *encoder, float *rows,
                                            size_t *count);

struct onp_encoder_stats {
    uint64_t weight_bytes, arena_bytes; // on the device
    double load_seconds, compile_seconds;
    // Items of the longest kind per run. A run takes more short ones, up to the same sum of rows,
    // unless the batch was given.
    uint32_t max_batch[ONP_MODALITY_COUNT];
    // Since creation or onp_encoder_profile_reset: seconds from the first submission to the last
    // collection, and in how many of them the device executed commands (if profiled; from its own
    // events, overlaps counted once).
    double span_seconds, busy_seconds;
};
ONP_API enum onp_status onp_encoder_get_stats(const struct onp_encoder *encoder,
                                              struct onp_encoder_stats *stats);

// Items of a modality per run from now on: 1 to what the encoder was created for (0: that again).
ONP_API enum onp_status onp_encoder_limit_batch(struct onp_encoder *encoder,
                                                enum onp_modality modality, uint32_t most);

// Times per kernel since creation or the last reset, from the device's own events.
#define ONP_KERNEL_SAMPLES 64
struct onp_kernel_time {
    char op[32], variant[48], shape[64];
    uint64_t calls;
    double seconds, flops, bytes;       // totals; flops and bytes as the op's formula gives them
    double best_seconds;                // of one call, all commands that it took together
    uint32_t sample_count;              // the latest calls: at most ONP_KERNEL_SAMPLES
    double samples[ONP_KERNEL_SAMPLES]; // seconds of one call each, in no particular order
};
ONP_API enum onp_status onp_encoder_profile(struct onp_encoder *encoder,
                                            struct onp_kernel_time **list, size_t *count);
ONP_API void onp_encoder_profile_reset(struct onp_encoder *encoder);
// Switches the collecting on or off after creation; what was collected is kept. A device without
// a clock of its own (the reference) is ONP_ERR_UNSUPPORTED.
ONP_API enum onp_status onp_encoder_profile_enable(struct onp_encoder *encoder, bool on);

// Normalised mean of normalised rows: upstream's way to combine modalities into one query.
// rows [count, dim] to out [dim]. A zero mean gives zeros.
ONP_API void onp_combine(const float *rows, size_t count, size_t dim, float *out);
// Dot products of a [na, dim] and b [nb, dim]: out [na, nb], accumulated in double precision.
ONP_API void onp_similarity(const float *a, size_t na, const float *b, size_t nb, size_t dim,
                            float *out);

// SHA-256 of `bytes` bytes of a regular file from `first` on, or of as many as it has: a key under
// which embeddings can be kept. UINT64_MAX means to the end.
ONP_API enum onp_status onp_file_sha256(struct onp_context *context, const char *path,
                                        uint64_t first, uint64_t bytes, unsigned char digest[32]);

#ifdef __cplusplus
}
#endif
#endif
