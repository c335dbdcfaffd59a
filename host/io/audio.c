// SPDX-License-Identifier: Apache-2.0
#include "io/audio.h"

#include <math.h>
#include <pthread.h>
#include <sndfile.h>
#include <soxr.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/file.h"

#define CHUNK_SAMPLES 65536 // decoded at a time, all channels together

// A file in memory as libsndfile sees it.
struct memory {
    const unsigned char *data;
    sf_count_t size, position;
};

static sf_count_t memory_size(void *user) { return ((struct memory *)user)->size; }

static sf_count_t memory_tell(void *user) { return ((struct memory *)user)->position; }

static sf_count_t memory_seek(sf_count_t offset, int whence, void *user) {
    struct memory *memory = user;
    const sf_count_t base = whence == SEEK_SET   ? 0
                            : whence == SEEK_CUR ? memory->position
                                                 : memory->size;
    sf_count_t target = 0;
    if (__builtin_add_overflow(base, offset, &target) || target < 0) return -1;
    memory->position = target < memory->size ? target : memory->size;
    return memory->position;
}

static sf_count_t memory_read(void *out, sf_count_t count, void *user) {
    struct memory *memory = user;
    const sf_count_t left = memory->size - memory->position;
    if (count > left) count = left;
    if (count <= 0) return 0;
    memcpy(out, memory->data + memory->position, (size_t)count);
    memory->position += count;
    return count;
}

static sf_count_t memory_write(const void *data, sf_count_t count, void *user) {
    (void)data;
    (void)count;
    (void)user;
    return 0;
}

static SF_VIRTUAL_IO memory_io = {memory_size, memory_seek, memory_read, memory_write, memory_tell};

struct reader {
    const char *name;
    const struct onp_log *log;
    SNDFILE *file;
    SF_INFO info;
    size_t capacity;
};

// libsndfile knows some thirty formats, several of them hardly ever tested; only what people have
// is let through to it. Not MP3: libmpg123 behind it prints to stderr. (On damaged Ogg files
// libsndfile 1.2.0 loses some kilobytes of memory, which is worse than nothing but not harmful.)
static bool known_format(const unsigned char *data, size_t size) {
    static const char magic[][5] = {"RIFF", "RIFX", "RF64", "fLaC", "FORM", "OggS"};
    if (size < 12) return false;
    for (size_t i = 0; i < ONP_COUNT(magic); i++)
        if (memcmp(data, magic[i], 4) == 0) return true;
    return false;
}

// WAV and AIFF can wrap any codec; those with a decoder worth trusting.
static bool known_encoding(int format) {
    switch (format & SF_FORMAT_SUBMASK) {
    case SF_FORMAT_PCM_S8:
    case SF_FORMAT_PCM_U8:
    case SF_FORMAT_PCM_16:
    case SF_FORMAT_PCM_24:
    case SF_FORMAT_PCM_32:
    case SF_FORMAT_FLOAT:
    case SF_FORMAT_DOUBLE:
    case SF_FORMAT_ULAW:
    case SF_FORMAT_ALAW:
    case SF_FORMAT_IMA_ADPCM:
    case SF_FORMAT_MS_ADPCM:
    case SF_FORMAT_VORBIS:
    case SF_FORMAT_OPUS:
        return true;
    default:
        return false;
    }
}

// The library keeps the reason of a failed opening in a global.
static enum onp_status open_memory(struct reader *reader, struct memory *memory) {
    static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    pthread_mutex_lock(&mutex);
    reader->file = sf_open_virtual(&memory_io, SFM_READ, &reader->info, memory);
    enum onp_status status = ONP_OK;
    if (!reader->file)
        status = onp_fail(reader->log, ONP_ERR_FORMAT, "cannot decode %s: %s", reader->name,
                          sf_strerror(NULL));
    pthread_mutex_unlock(&mutex);
    return status;
}

static enum onp_status check_info(const struct reader *reader) {
    if (!known_encoding(reader->info.format))
        return onp_fail(reader->log, ONP_ERR_UNSUPPORTED,
                        "%s has an encoding that is not read: convert it to 16-bit PCM",
                        reader->name);
    if (reader->info.channels < 1 || reader->info.channels > ONP_AUDIO_MAX_CHANNELS)
        return onp_fail(reader->log, ONP_ERR_UNSUPPORTED, "%s has %d channels; at most %d are read",
                        reader->name, reader->info.channels, ONP_AUDIO_MAX_CHANNELS);
    if (reader->info.samplerate < 1 || reader->info.samplerate > (int)ONP_AUDIO_MAX_RATE)
        return onp_fail(reader->log, ONP_ERR_UNSUPPORTED,
                        "%s has a sampling rate of %d Hz; the range is 1 to %u", reader->name,
                        reader->info.samplerate, ONP_AUDIO_MAX_RATE);
    return ONP_OK;
}

// The header may lie about the length, so room is made as samples come.
static enum onp_status grow(struct reader *reader, struct onp_audio *out, size_t more) {
    const uint64_t limit = (uint64_t)ONP_AUDIO_MAX_SECONDS * out->rate;
    const uint64_t most = limit < ONP_AUDIO_MAX_FRAMES ? limit : ONP_AUDIO_MAX_FRAMES;
    const uint64_t needed = (uint64_t)out->count + more;
    if (needed > most)
        return onp_fail(reader->log, ONP_ERR_UNSUPPORTED,
                        "%s is longer than %u seconds (or %llu samples); cut it first",
                        reader->name, ONP_AUDIO_MAX_SECONDS,
                        (unsigned long long)ONP_AUDIO_MAX_FRAMES);
    if (needed <= reader->capacity) return ONP_OK;
    const size_t capacity = (size_t)needed + reader->capacity;
    float *samples = realloc(out->samples, capacity * sizeof *samples);
    if (!samples) return onp_fail(reader->log, ONP_ERR_MEMORY, "no memory for %s", reader->name);
    out->samples = samples;
    reader->capacity = capacity;
    return ONP_OK;
}

// Float32 sum in channel order, then a division: upstream's mean, bit for bit below 8 channels.
static enum onp_status append(struct reader *reader, const float *chunk, size_t frames,
                              struct onp_audio *out) {
    const size_t channels = (size_t)reader->info.channels;
    ONP_TRY(grow(reader, out, frames));
    for (size_t i = 0; i < frames; i++) {
        float sum = chunk[i * channels];
        for (size_t c = 1; c < channels; c++) sum += chunk[i * channels + c];
        const float mean = sum / (float)channels;
        if (!isfinite(mean))
            return onp_fail(reader->log, ONP_ERR_FORMAT,
                            "cannot use %s: sample %zu is infinite or not a number", reader->name,
                            out->count);
        out->samples[out->count++] = mean;
    }
    return ONP_OK;
}

// A FLAC file states its length exactly. Other headers only guess it (streamed WAV, MP3), and
// there upstream takes what is found.
static bool is_cut(const struct reader *reader, size_t frames) {
    return (reader->info.format & SF_FORMAT_TYPEMASK) == SF_FORMAT_FLAC &&
           reader->info.frames != SF_COUNT_MAX && (uint64_t)reader->info.frames > frames;
}

// Not beyond the stated length: tags behind the sound are not damage.
static sf_count_t next_step(const struct reader *reader, size_t done) {
    const sf_count_t step = CHUNK_SAMPLES / reader->info.channels;
    const sf_count_t left = reader->info.frames - (sf_count_t)done;
    return left < step ? left : step;
}

static enum onp_status read_all(struct reader *reader, float *chunk, struct onp_audio *out) {
    for (sf_count_t step; (step = next_step(reader, out->count)) > 0;) {
        const sf_count_t frames = sf_readf_float(reader->file, chunk, step);
        if (frames <= 0) break;
        ONP_TRY(append(reader, chunk, (size_t)frames, out));
    }
    if (sf_error(reader->file) != SF_ERR_NO_ERROR)
        return onp_fail(reader->log, ONP_ERR_FORMAT, "cannot decode %s: %s", reader->name,
                        sf_strerror(reader->file));
    if (is_cut(reader, out->count))
        return onp_fail(reader->log, ONP_ERR_FORMAT,
                        "cannot decode %s: it ends after %zu of %lld samples", reader->name,
                        out->count, (long long)reader->info.frames);
    if (out->count == 0)
        return onp_fail(reader->log, ONP_ERR_FORMAT, "%s holds no samples", reader->name);
    return ONP_OK;
}

static enum onp_status decode(struct reader *reader, struct memory *memory, struct onp_audio *out) {
    ONP_TRY(open_memory(reader, memory));
    ONP_TRY(check_info(reader));
    out->rate = (uint32_t)reader->info.samplerate;
    float *chunk = malloc(CHUNK_SAMPLES * sizeof *chunk);
    if (!chunk)
        return onp_fail(reader->log, ONP_ERR_MEMORY, "no memory to decode %s", reader->name);
    const enum onp_status status = read_all(reader, chunk, out);
    free(chunk);
    return status;
}

enum onp_status onp_audio_decode(const void *data, size_t size, const char *name,
                                 const struct onp_log *log, struct onp_audio *out) {
    *out = (struct onp_audio){0};
    if (size == 0) return onp_fail(log, ONP_ERR_FORMAT, "%s is empty, not a sound", name);
    if (!known_format(data, size))
        return onp_fail(log, ONP_ERR_UNSUPPORTED,
                        "%s is not a sound that can be read; the formats are WAV, FLAC, "
                        "Ogg (Vorbis, Opus) and AIFF: convert it to one of them",
                        name);
    struct reader reader = {.name = name, .log = log};
    struct memory memory = {.data = data, .size = (sf_count_t)size};
    const enum onp_status status = decode(&reader, &memory, out);
    if (reader.file) sf_close(reader.file);
    if (status != ONP_OK) onp_audio_free(out);
    return status;
}

enum onp_status onp_audio_read(const char *path, const struct onp_log *log, struct onp_audio *out) {
    *out = (struct onp_audio){0};
    struct onp_map map;
    ONP_TRY(onp_map_open(path, log, &map));
    const enum onp_status status = onp_audio_decode(map.data, map.size, path, log, out);
    onp_map_close(&map);
    return status;
}

void onp_audio_free(struct onp_audio *audio) {
    free(audio->samples);
    *audio = (struct onp_audio){0};
}

// librosa's soxr_hq: the library rounds the length, what it leaves of the ceiling is silence.
static enum onp_status resample(const struct onp_audio *audio, uint32_t rate, float *out,
                                size_t count, const struct onp_log *log) {
    const soxr_io_spec_t io = soxr_io_spec(SOXR_FLOAT32_I, SOXR_FLOAT32_I);
    const soxr_quality_spec_t quality = soxr_quality_spec(SOXR_HQ, 0);
    const soxr_runtime_spec_t runtime = soxr_runtime_spec(1);
    size_t consumed = 0, produced = 0;
    const soxr_error_t error =
        soxr_oneshot(audio->rate, rate, 1, audio->samples, audio->count, &consumed, out, count,
                     &produced, &io, &quality, &runtime);
    if (error)
        return onp_fail(log, ONP_ERR_UNSUPPORTED, "cannot resample from %u Hz to %u Hz: %s",
                        audio->rate, rate, soxr_strerror(error));
    return ONP_OK;
}

enum onp_status onp_audio_resample(struct onp_audio *audio, uint32_t rate,
                                   const struct onp_log *log) {
    if (audio->rate == rate || audio->count == 0) {
        audio->rate = rate;
        return ONP_OK;
    }
    uint64_t scaled = 0;
    if (audio->rate == 0 || !onp_mul_u64(audio->count, rate, &scaled))
        return onp_fail(log, ONP_ERR_ARGUMENT, "cannot resample from %u Hz to %u Hz", audio->rate,
                        rate);
    const uint64_t count = scaled / audio->rate + (scaled % audio->rate != 0);
    if (count > ONP_AUDIO_MAX_FRAMES)
        return onp_fail(log, ONP_ERR_UNSUPPORTED, "the sound is too long to resample to %u Hz",
                        rate);
    float *out = calloc((size_t)count, sizeof *out);
    if (!out) return onp_fail(log, ONP_ERR_MEMORY, "no memory to resample a sound");
    const enum onp_status status = resample(audio, rate, out, (size_t)count, log);
    if (status != ONP_OK) {
        free(out);
        return status;
    }
    free(audio->samples);
    *audio = (struct onp_audio){.samples = out, .count = (size_t)count, .rate = rate};
    return ONP_OK;
}

static char decoders[128];

static void describe(void) {
    char sndfile[64] = "";
    sf_command(NULL, SFC_GET_LIB_VERSION, sndfile, sizeof sndfile);
    snprintf(decoders, sizeof decoders, "decoding: %s; resampling: %s", sndfile, soxr_version());
}

const char *onp_audio_decoders(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, describe);
    return decoders;
}
