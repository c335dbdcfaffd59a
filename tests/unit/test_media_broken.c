// SPDX-License-Identifier: Apache-2.0
// Broken, hostile and lying pictures and sounds: each must end in an error that names the file, or
// decode, and never do more than that. Meant to run under the sanitizers as well.
#include "base/rng.h"
#include "media_util.h"

struct bytes {
    unsigned char *data;
    size_t size;
};

static struct bytes load(const char *relative) {
    char path[2600];
    char *data = NULL;
    size_t size = 0;
    snprintf(path, sizeof path, "%s/preprocess/%s", golden_root(0), relative);
    if (onp_file_read(path, (size_t)1 << 26, &test_log, &data, &size) != ONP_OK)
        fail_msg("%s", onp_last_error());
    return (struct bytes){(unsigned char *)data, size};
}

// Decodes a copy of exactly `size` bytes; an error must name the source.
static enum onp_status decode(bool picture, const unsigned char *data, size_t size) {
    unsigned char *copy = malloc(size ? size : 1);
    struct onp_image image = {0};
    struct onp_audio audio = {0};
    assert_non_null(copy);
    if (size) memcpy(copy, data, size);
    const enum onp_status status =
        picture ? onp_image_decode(copy, size, "the-file", &test_log, &image)
                : onp_audio_decode(copy, size, "the-file", &test_log, &audio);
    if (status != ONP_OK) {
        assert_non_null(strstr(onp_last_error(), "the-file"));
        assert_null(image.rgb);
        assert_null(audio.samples);
    }
    onp_image_free(&image);
    onp_audio_free(&audio);
    free(copy);
    return status;
}

// `tail`: bytes at the end without which the file still holds every pixel.
static void check_cuts(const char *name, bool picture, size_t tail) {
    struct bytes file = load(name);
    struct onp_rng rng = {.state = 7};
    assert_int_equal(decode(picture, file.data, file.size), ONP_OK);
    for (size_t i = 0; i < 60; i++) {
        const size_t range = i < 20 ? 64 : file.size - tail;
        const size_t size = (size_t)(onp_rng_next(&rng) % range);
        if (decode(picture, file.data, size) == ONP_OK)
            fail_msg("%s: the first %zu of %zu bytes are accepted", name, size, file.size);
    }
    free(file.data);
}

static void test_cut(void **state) {
    (void)state;
    check_cuts("images/src/jpeg_420_odd.jpg", true, 1);
    check_cuts("images/src/jpeg_progressive_444.jpg", true, 1);
    check_cuts("images/src/jpeg_restart_420.jpg", true, 1);
    check_cuts("images/src/jpeg_cmyk.jpg", true, 1);
    check_cuts("images/src/png_rgb.png", true, 12); // IEND
    check_cuts("images/src/png_gray2_interlaced.png", true, 12);
    check_cuts("images/src/png_palette_4bit_trns.png", true, 12);
    check_cuts("images/src/bmp_rgb.bmp", true, 1);
    check_cuts("audio/src/s22050_mono_16.flac", false, 1);
    check_cuts("audio/src/s16000_6ch.flac", false, 1);
}

// A WAV that is cut gives what it has, as upstream reads it: many writers never fill in the sizes.
static void test_cut_wav(void **state) {
    (void)state;
    struct bytes file = load("audio/src/s8000_mono_16.wav");
    struct onp_audio audio;
    assert_int_equal(onp_audio_decode(file.data, 44 + 2000, "x", &test_log, &audio), ONP_OK);
    assert_int_equal(audio.count, 1000);
    onp_audio_free(&audio);
    memset(file.data + 4, 0xff, 4);
    memset(file.data + 40, 0xff, 4);
    assert_int_equal(onp_audio_decode(file.data, file.size, "x", &test_log, &audio), ONP_OK);
    assert_int_equal(audio.count, 9600);
    onp_audio_free(&audio);
    assert_int_equal(decode(false, file.data, 44), ONP_ERR_FORMAT); // no samples
    assert_int_equal(decode(false, file.data, 20), ONP_ERR_FORMAT);
    free(file.data);
}

// Flipped bits: PNG has checksums, so all are found; elsewhere it is enough not to crash.
static void test_flipped(void **state) {
    (void)state;
    static const char *const names[] = {
        "images/src/jpeg_420_odd.jpg",      "images/src/jpeg_progressive_444.jpg",
        "images/src/jpeg_cmyk.jpg",         "images/src/bmp_rgb.bmp",
        "images/src/png_noise_61x47.png",   "images/src/png_gray2_interlaced.png",
        "audio/src/s16000_6ch.flac",        "audio/src/s16000_stereo_float.wav",
        "audio/src/s16000_stereo_wavex.wav"};
    const uint64_t seed = 11;
    print_message("seed %llu\n", (unsigned long long)seed);
    struct onp_rng rng = {.state = seed};
    for (size_t n = 0; n < sizeof names / sizeof names[0]; n++) {
        struct bytes file = load(names[n]);
        const bool picture = names[n][0] == 'i', checksums = strstr(names[n], ".png") != NULL;
        for (int i = 0; i < 200; i++) {
            const size_t range = i % 2 && file.size > 200 ? 200 : file.size;
            const size_t at = (size_t)(onp_rng_next(&rng) % range);
            const unsigned char old = file.data[at];
            file.data[at] = (unsigned char)(old ^ 1u << onp_rng_next(&rng) % 8);
            const enum onp_status status = decode(picture, file.data, file.size);
            // The last chunk has no content that could be damaged.
            if (checksums && at < file.size - 12 && status == ONP_OK)
                fail_msg("%s: a flip at byte %zu is not seen", names[n], at);
            file.data[at] = old;
        }
        free(file.data);
    }
}

static uint32_t crc32_of(const unsigned char *data, size_t size) {
    uint32_t crc = ~0u;
    for (size_t i = 0; i < size; i++) {
        crc ^= data[i];
        for (int k = 0; k < 8; k++) crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
    }
    return ~crc;
}

static void put_be(unsigned char *out, uint32_t value, size_t bytes) {
    for (size_t i = 0; i < bytes; i++) out[i] = (unsigned char)(value >> 8 * (bytes - 1 - i));
}

static void put_le(unsigned char *out, uint32_t value, size_t bytes) {
    for (size_t i = 0; i < bytes; i++) out[i] = (unsigned char)(value >> 8 * i);
}

struct lie {
    uint32_t width, height;
    enum onp_status status;
};
static const struct lie lies[] = {
    {0, 77, ONP_ERR_FORMAT},
    {131, 0, ONP_ERR_FORMAT},
    {30000, 30000, ONP_ERR_UNSUPPORTED},
    {65000, 65000, ONP_ERR_UNSUPPORTED},
    {8192, 8192, ONP_ERR_FORMAT},
    {40000, 1500, ONP_ERR_FORMAT},
};

static void test_lying_png(void **state) {
    (void)state;
    struct bytes file = load("images/src/png_noise_61x47.png");
    for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
        put_be(file.data + 16, lies[i].width, 4);
        put_be(file.data + 20, lies[i].height, 4);
        put_be(file.data + 29, crc32_of(file.data + 12, 17), 4);
        assert_int_equal(decode(true, file.data, file.size),
                         lies[i].width && lies[i].height ? lies[i].status : ONP_ERR_FORMAT);
    }
    put_be(file.data + 16, 0x7fffffff, 4);
    put_be(file.data + 20, 0x7fffffff, 4);
    put_be(file.data + 29, crc32_of(file.data + 12, 17), 4);
    assert_int_not_equal(decode(true, file.data, file.size), ONP_OK);
    free(file.data);
}

static void test_lying_jpeg(void **state) {
    (void)state;
    static const char *const names[] = {"images/src/jpeg_420_odd.jpg",
                                        "images/src/jpeg_progressive_444.jpg"};
    for (size_t n = 0; n < 2; n++) {
        struct bytes file = load(names[n]);
        size_t at = 0;
        while (!(file.data[at] == 0xff && (file.data[at + 1] == 0xc0 || file.data[at + 1] == 0xc2)))
            at++;
        for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
            put_be(file.data + at + 5, lies[i].height, 2);
            put_be(file.data + at + 7, lies[i].width, 2);
            assert_int_equal(decode(true, file.data, file.size), lies[i].status);
        }
        free(file.data);
    }
}

static void test_lying_bmp(void **state) {
    (void)state;
    struct bytes file = load("images/src/bmp_rgb.bmp");
    for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
        put_le(file.data + 18, lies[i].width, 4);
        put_le(file.data + 22, lies[i].height, 4);
        assert_int_equal(decode(true, file.data, file.size), lies[i].status);
    }
    put_le(file.data + 18, 100, 4);
    put_le(file.data + 22, 0x80000000u, 4); // the most negative height
    assert_int_equal(decode(true, file.data, file.size), ONP_ERR_UNSUPPORTED);
    put_le(file.data + 22, 80, 4);
    assert_int_equal(decode(true, file.data, file.size), ONP_OK);
    put_le(file.data + 10, 0xfffffff0u, 4); // pixels far behind the end
    assert_int_equal(decode(true, file.data, file.size), ONP_ERR_FORMAT);
    put_le(file.data + 10, 54, 4);
    put_le(file.data + 28, 8, 2);
    put_le(file.data + 46, 0xffffffffu, 4); // as many colours
    assert_int_equal(decode(true, file.data, file.size), ONP_ERR_FORMAT);
    put_le(file.data + 30, 1, 4); // RLE
    assert_int_equal(decode(true, file.data, file.size), ONP_ERR_UNSUPPORTED);
    free(file.data);
}

// A WAV header for 32-bit floats.
static struct bytes float_wav(const float *samples, size_t count, uint32_t channels,
                              uint32_t rate) {
    struct bytes file = {calloc(1, 44 + count * 4), 44 + count * 4};
    assert_non_null(file.data);
    memcpy(file.data, "RIFF....WAVEfmt ", 16);
    put_le(file.data + 4, (uint32_t)file.size - 8, 4);
    put_le(file.data + 16, 16, 4);
    put_le(file.data + 20, 3, 2);
    put_le(file.data + 22, channels, 2);
    put_le(file.data + 24, rate, 4);
    put_le(file.data + 28, rate * channels * 4, 4);
    put_le(file.data + 32, channels * 4, 2);
    put_le(file.data + 34, 32, 2);
    memcpy(file.data + 36, "data", 4);
    put_le(file.data + 40, (uint32_t)(count * 4), 4);
    if (count) memcpy(file.data + 44, samples, count * 4);
    return file;
}

static enum onp_status decode_wav(const float *samples, size_t count, uint32_t channels,
                                  uint32_t rate) {
    struct bytes file = float_wav(samples, count, channels, rate);
    const enum onp_status status = decode(false, file.data, file.size);
    free(file.data);
    return status;
}

static void test_wav_values(void **state) {
    (void)state;
    float samples[192] = {0.5f, -0.25f};
    assert_int_equal(decode_wav(samples, 192, 1, 16000), ONP_OK);
    assert_int_equal(decode_wav(samples, 192, 64, 16000), ONP_OK);
    assert_int_equal(decode_wav(samples, 0, 1, 16000), ONP_ERR_FORMAT);
    assert_int_equal(decode_wav(samples, 192, 65, 16000), ONP_ERR_UNSUPPORTED);
    assert_int_not_equal(decode_wav(samples, 192, 0, 16000), ONP_OK);
    assert_int_not_equal(decode_wav(samples, 192, 1, 0), ONP_OK);
    assert_int_equal(decode_wav(samples, 192, 1, 768001), ONP_ERR_UNSUPPORTED);
    assert_int_not_equal(decode_wav(samples, 192, 1, 0xffffffffu), ONP_OK);
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    for (size_t i = 0; i < 3; i++) {
        samples[191] = bad[i];
        assert_int_equal(decode_wav(samples, 192, 1, 16000), ONP_ERR_FORMAT);
        assert_non_null(strstr(onp_last_error(), "sample 191"));
    }
}

// Rates at the ends of the range resample; what lasts more than an hour does not get that far.
static void test_rates(void **state) {
    (void)state;
    static float samples[4000];
    for (size_t i = 0; i < 4000; i++) samples[i] = (float)(i % 7) - 3.0f;
    static const uint32_t rates[] = {1, 50, 7999, 15999, 16001, 192000, 768000};
    for (size_t i = 0; i < sizeof rates / sizeof rates[0]; i++) {
        const size_t frames = rates[i] == 1 ? 20 : 4000;
        struct bytes file = float_wav(samples, frames, 1, rates[i]);
        struct onp_audio audio;
        float *waveform = NULL;
        size_t count = 0;
        assert_int_equal(onp_audio_decode(file.data, file.size, "x", &test_log, &audio), ONP_OK);
        assert_int_equal(onp_audio_to_waveform(&audio, 15.0, &test_log, &waveform, &count), ONP_OK);
        const size_t resampled = (frames * 16000 + rates[i] - 1) / rates[i];
        assert_int_equal(count, resampled < 16000    ? 16000
                                : resampled > 240000 ? 240000
                                                     : resampled);
        for (size_t k = 0; k < count; k++) assert_true(isfinite(waveform[k]));
        free(waveform);
        onp_audio_free(&audio);
        free(file.data);
    }
    assert_int_equal(decode_wav(samples, 3600, 1, 1), ONP_OK);
    assert_int_equal(decode_wav(samples, 3601, 1, 1), ONP_ERR_UNSUPPORTED);
    // Finite, but the variance has no place in a float.
    struct onp_audio loud = {.count = 2, .rate = 16000};
    loud.samples = calloc(2, sizeof(float));
    assert_non_null(loud.samples);
    loud.samples[0] = 3e38f;
    loud.samples[1] = -3e38f;
    float *waveform = NULL;
    size_t count = 0;
    assert_int_equal(onp_audio_to_waveform(&loud, 15.0, &test_log, &waveform, &count), ONP_OK);
    assert_true(fabsf(waveform[0] - 1.0f) < 1e-6f && fabsf(waveform[1] + 1.0f) < 1e-6f);
    free(waveform);
    onp_audio_free(&loud);
}

static char folder[64];

static void write_file(const char *name, const void *data, size_t size, char *path, size_t room) {
    snprintf(path, room, "%s/%s", folder, name);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

static void expect_both_fail(const char *path, const char *words) {
    struct onp_image image;
    struct onp_audio audio;
    assert_int_not_equal(onp_image_read(path, &test_log, &image), ONP_OK);
    assert_non_null(strstr(onp_last_error(), path));
    if (words && !strstr(onp_last_error(), words)) fail_msg("%s", onp_last_error());
    assert_int_not_equal(onp_audio_read(path, &test_log, &audio), ONP_OK);
    assert_non_null(strstr(onp_last_error(), path));
    if (words && !strstr(onp_last_error(), words)) fail_msg("%s", onp_last_error());
}

static void test_files(void **state) {
    (void)state;
    char path[256];
    expect_both_fail(folder, "not a regular file");
    expect_both_fail("/dev/zero", "not a regular file");
    snprintf(path, sizeof path, "%s/fifo", folder);
    assert_int_equal(mkfifo(path, 0600), 0);
    expect_both_fail(path, "not a regular file");
    assert_int_equal(unlink(path), 0);
    snprintf(path, sizeof path, "%s/missing", folder);
    expect_both_fail(path, "No such file");
    static const char *const contents[] = {"",
                                           "x",
                                           "hello, this is text, not media\n",
                                           "\xff\xd8",
                                           "BM",
                                           "OggS and some more bytes",
                                           "ID3 and some more",
                                           "GIF89a and some more"};
    for (size_t i = 0; i < sizeof contents / sizeof contents[0]; i++) {
        write_file("content", contents[i], strlen(contents[i]), path, sizeof path);
        expect_both_fail(path, i == 0 ? "is empty" : NULL);
        if (i == 2) assert_non_null(strstr(onp_last_error(), "WAV, FLAC"));
        assert_int_equal(unlink(path), 0);
    }
}

// The content decides, not the name; and a sound is not a picture.
static void test_wrong_names(void **state) {
    (void)state;
    char path[256];
    struct bytes png = load("images/src/png_1x1.png"), flac = load("audio/src/s16000_6ch.flac");
    write_file("picture.jpg", png.data, png.size, path, sizeof path);
    struct onp_image image = must_read_image(path);
    assert_int_equal(image.width * image.height, 1);
    onp_image_free(&image);
    struct onp_audio audio;
    assert_int_equal(onp_audio_read(path, &test_log, &audio), ONP_ERR_UNSUPPORTED);
    assert_int_equal(unlink(path), 0);
    write_file("sound.wav", flac.data, flac.size, path, sizeof path);
    audio = must_read_audio(path);
    assert_int_equal(audio.count, 6000);
    onp_audio_free(&audio);
    assert_int_equal(onp_image_read(path, &test_log, &image), ONP_ERR_UNSUPPORTED);
    assert_non_null(strstr(onp_last_error(), "JPEG, PNG and BMP"));
    assert_int_equal(unlink(path), 0);
    free(png.data);
    free(flac.data);
}

static void test_arguments(void **state) {
    (void)state;
    unsigned char pixel[3] = {1, 2, 3}, out[3 * 4];
    const struct onp_image image = {1, 1, pixel}, none = {0, 0, pixel};
    assert_int_equal(onp_resize_rgb(&image, 2, &test_log, out), ONP_OK);
    assert_memory_equal(out + 9, pixel, 3);
    assert_int_equal(onp_resize_rgb(&image, 0, &test_log, out), ONP_ERR_ARGUMENT);
    assert_int_equal(onp_resize_rgb(&none, 2, &test_log, out), ONP_ERR_ARGUMENT);
    float sample = 1.0f, *samples = NULL;
    size_t count = 0;
    struct onp_audio audio = {&sample, 1, 16000}, empty = {&sample, 0, 16000};
    static const double seconds[] = {0.0, -1.0, NAN};
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(onp_audio_to_waveform(&audio, seconds[i], &test_log, &samples, &count),
                         ONP_ERR_ARGUMENT);
    assert_int_equal(onp_audio_to_waveform(&empty, 15.0, &test_log, &samples, &count),
                     ONP_ERR_ARGUMENT);
}

static int make_folder(void **state) {
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/onp-media-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state) {
    (void)state;
    return rmdir(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cut),        cmocka_unit_test(test_cut_wav),
        cmocka_unit_test(test_flipped),    cmocka_unit_test(test_lying_png),
        cmocka_unit_test(test_lying_jpeg), cmocka_unit_test(test_lying_bmp),
        cmocka_unit_test(test_wav_values), cmocka_unit_test(test_rates),
        cmocka_unit_test(test_files),      cmocka_unit_test(test_wrong_names),
        cmocka_unit_test(test_arguments),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
