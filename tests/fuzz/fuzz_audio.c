// SPDX-License-Identifier: Apache-2.0
// Sound decoding, resampling and normalising on arbitrary bytes.
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "models/one_peace/preprocess.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const struct onp_log log;
    struct onp_audio audio;
    if (onp_audio_decode(data, size, "fuzz", &log, &audio) == ONP_OK) {
        float *samples = NULL;
        size_t count = 0;
        // Short sounds only, so that an input takes milliseconds.
        if (audio.count < 1u << 16 &&
            onp_audio_to_waveform(&audio, 15.0, &log, &samples, &count) == ONP_OK)
            free(samples);
        onp_audio_free(&audio);
    }
    return 0;
}
