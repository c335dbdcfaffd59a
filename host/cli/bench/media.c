// SPDX-License-Identifier: Apache-2.0
// The files that the end-to-end scope reads: like photographs and recordings in size and in what
// decoding them costs, and the same for one seed everywhere.
#include <errno.h>
#include <math.h>
#include <png.h>
#include <stdlib.h>
#include <string.h>

#include "cli/bench/bench.h"

#define PICTURE_WIDTH  640
#define PICTURE_HEIGHT 480
#define SOUND_RATE     44100

static int cannot_write(const char *path) {
    return onp_cli_fail("cannot write %s: %s", path, strerror(errno));
}

// Slow waves of colour under noise of a few levels, as a camera gives them.
static void draw(unsigned char *rgb, uint64_t seed) {
    uint64_t random = seed;
    const double phase = 6.0 * onp_bench_uniform(&random);
    for (int y = 0; y < PICTURE_HEIGHT; y++)
        for (int x = 0; x < PICTURE_WIDTH; x++)
            for (int c = 0; c < 3; c++) {
                const double wave = sin(0.013 * x + phase + c) * cos(0.017 * y - phase);
                const double noise = 8.0 * onp_bench_uniform(&random) - 4.0;
                const double level = 128.0 + 100.0 * wave + noise;
                rgb[(y * PICTURE_WIDTH + x) * 3 + c] = (unsigned char)level;
            }
}

int onp_bench_write_png(const char *path, uint64_t seed) {
    png_image image = {.version = PNG_IMAGE_VERSION,
                       .width = PICTURE_WIDTH,
                       .height = PICTURE_HEIGHT,
                       .format = PNG_FORMAT_RGB};
    unsigned char *rgb = malloc((size_t)PICTURE_WIDTH * PICTURE_HEIGHT * 3);
    if (!rgb) return onp_cli_fail("out of memory");
    draw(rgb, seed);
    const int done = png_image_write_to_file(&image, path, 0, rgb, 0, NULL);
    free(rgb);
    return done ? ONP_CLI_OK : onp_cli_fail("cannot write %s: %s", path, image.message);
}

static void put_le(unsigned char *out, uint32_t value, int bytes) {
    for (int i = 0; i < bytes; i++) out[i] = (unsigned char)(value >> (8 * i));
}

static void wav_header(unsigned char header[44], uint32_t frames) {
    memcpy(header, "RIFF\0\0\0\0WAVEfmt ", 16);
    put_le(header + 4, 36 + frames * 4, 4);
    put_le(header + 16, 16, 4);
    put_le(header + 20, 1, 2); // PCM
    put_le(header + 22, 2, 2); // channels
    put_le(header + 24, SOUND_RATE, 4);
    put_le(header + 28, SOUND_RATE * 4, 4);
    put_le(header + 32, 4, 2);
    put_le(header + 34, 16, 2);
    memcpy(header + 36, "data", 4);
    put_le(header + 40, frames * 4, 4);
}

// A tone that wanders under noise, another on each side.
static void sound_samples(unsigned char *out, uint32_t frames, uint64_t seed) {
    uint64_t random = seed;
    for (uint32_t i = 0; i < frames; i++)
        for (int side = 0; side < 2; side++) {
            const double t = (double)i / SOUND_RATE;
            const double tone = sin(2513.0 * t + 40.0 * sin(1.7 * t + side));
            const double level = 9000.0 * tone + 2000.0 * (onp_bench_uniform(&random) - 0.5);
            put_le(out + (size_t)i * 4 + (size_t)side * 2, (uint32_t)(int32_t)level, 2);
        }
}

int onp_bench_write_wav(const char *path, uint64_t seed, double seconds) {
    const uint32_t frames = (uint32_t)(seconds * SOUND_RATE);
    const size_t bytes = 44 + (size_t)frames * 4;
    unsigned char *wav = malloc(bytes);
    if (!wav) return onp_cli_fail("out of memory");
    wav_header(wav, frames);
    sound_samples(wav + 44, frames, seed);
    FILE *file = fopen(path, "wb");
    bool done = file && fwrite(wav, 1, bytes, file) == bytes;
    if (file) done = fclose(file) == 0 && done;
    free(wav);
    return done ? ONP_CLI_OK : cannot_write(path);
}
