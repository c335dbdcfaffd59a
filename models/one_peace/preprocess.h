// SPDX-License-Identifier: Apache-2.0
// From decoded media to what the model is fed (SPEC sections 11 and 12).
#ifndef ONP_MODELS_ONE_PEACE_PREPROCESS_H
#define ONP_MODELS_ONE_PEACE_PREPROCESS_H

#include "base/log.h"
#include "io/audio.h"
#include "io/image.h"

#define ONP_SAMPLE_RATE 16000u

// Pillow's bicubic resize (a = -0.5, antialiased, 22-bit fixed point, horizontal pass first, uint8
// between the passes) of [height][width][3] to [side][side][3].
enum onp_status onp_resize_rgb(const struct onp_image *image, uint32_t side,
                               const struct onp_log *log, unsigned char *out);
// The resize, then (u8 / 255 - mean) / std as planar float32 [3][side][side].
enum onp_status onp_image_to_pixels(const struct onp_image *image, uint32_t side,
                                    const struct onp_log *log, float *pixels);
// Resamples to 16 kHz, normalises the whole clip, then cuts to max_seconds or repeats up to 1 s.
// *samples is malloc'ed; the audio is used up (free it all the same).
enum onp_status onp_audio_to_waveform(struct onp_audio *audio, double max_seconds,
                                      const struct onp_log *log, float **samples, size_t *count);

#endif
