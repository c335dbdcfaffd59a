// SPDX-License-Identifier: Apache-2.0
// Sound decoding to a mono float waveform (mean of the channels) and resampling with libsoxr's HQ
// recipe (SPEC section 12.1-2).
#ifndef ONP_IO_AUDIO_H
#define ONP_IO_AUDIO_H

#include "base/log.h"

// Longer sounds are refused; memory never runs ahead of what has been decoded.
#define ONP_AUDIO_MAX_SECONDS  3600u
#define ONP_AUDIO_MAX_FRAMES   ((uint64_t)ONP_AUDIO_MAX_SECONDS * 48000u)
#define ONP_AUDIO_MAX_RATE     768000u
#define ONP_AUDIO_MAX_CHANNELS 64

struct onp_audio {
    float *samples; // free with onp_audio_free
    size_t count;
    uint32_t rate; // Hz
};
// On success there is at least one sample and all are finite. On failure *out is all zero and the
// message names the file.
enum onp_status onp_audio_read(const char *path, const struct onp_log *log, struct onp_audio *out);
// The same from memory; `name` stands for the path in messages.
enum onp_status onp_audio_decode(const void *data, size_t size, const char *name,
                                 const struct onp_log *log, struct onp_audio *out);
// Resamples in place to `rate`; count becomes ceil(count * rate / old rate). No-op at equal rates.
enum onp_status onp_audio_resample(struct onp_audio *audio, uint32_t rate,
                                   const struct onp_log *log);
void onp_audio_free(struct onp_audio *audio);
const char *onp_audio_decoders(void);

#endif
