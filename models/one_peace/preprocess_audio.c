// SPDX-License-Identifier: Apache-2.0
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "models/one_peace/preprocess.h"

// Mean 0 and variance 1 over the whole clip. The epsilon keeps silence silent and quiet clips
// quiet. Sums are kept in double: an hour of samples has no accurate float32 mean.
static enum onp_status normalise(struct onp_audio *audio, const struct onp_log *log) {
    double sum = 0.0, squares = 0.0;
    for (size_t i = 0; i < audio->count; i++) sum += (double)audio->samples[i];
    const double mean = sum / (double)audio->count;
    for (size_t i = 0; i < audio->count; i++) {
        const double d = (double)audio->samples[i] - mean;
        squares += d * d;
    }
    const double scale = 1.0 / sqrt(squares / (double)audio->count + 1e-5);
    if (!isfinite(scale))
        return onp_fail(log, ONP_ERR_FORMAT, "a sound's samples are too large to be normalised");
    for (size_t i = 0; i < audio->count; i++)
        audio->samples[i] = (float)(((double)audio->samples[i] - mean) * scale);
    return ONP_OK;
}

// Repeats the clip end to end until it fills a second.
static enum onp_status repeat(struct onp_audio *audio, const struct onp_log *log) {
    float *longer = malloc(ONP_SAMPLE_RATE * sizeof *longer);
    if (!longer) return onp_fail(log, ONP_ERR_MEMORY, "no memory for a second of sound");
    for (size_t i = 0; i < ONP_SAMPLE_RATE; i++) longer[i] = audio->samples[i % audio->count];
    free(audio->samples);
    audio->samples = longer;
    audio->count = ONP_SAMPLE_RATE;
    return ONP_OK;
}

enum onp_status onp_audio_to_waveform(struct onp_audio *audio, double max_seconds,
                                      const struct onp_log *log, float **samples, size_t *count) {
    if (!(max_seconds > 0.0))
        return onp_fail(log, ONP_ERR_ARGUMENT, "the longest duration must be above 0 seconds");
    if (audio->count == 0) return onp_fail(log, ONP_ERR_ARGUMENT, "a sound has no samples");
    ONP_TRY(onp_audio_resample(audio, ONP_SAMPLE_RATE, log));
    ONP_TRY(normalise(audio, log));
    const double limit = max_seconds * ONP_SAMPLE_RATE;
    if ((double)audio->count > limit) audio->count = (size_t)limit < 1 ? 1 : (size_t)limit;
    if (audio->count < ONP_SAMPLE_RATE) ONP_TRY(repeat(audio, log));
    *samples = audio->samples;
    *count = audio->count;
    *audio = (struct onp_audio){0};
    return ONP_OK;
}
