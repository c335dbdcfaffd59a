// SPDX-License-Identifier: Apache-2.0
// Pictures and sounds against what upstream's preprocessing made of them.
#include "media_util.h"

// stb_image's inverse DCT and upsampling differ from libjpeg's; everything else is exact. These are
// the worst measured: 5 is a column at the right edge of jpeg_422, elsewhere it is 3.
#define STB_DECODED 5
#define STB_RESIZED 3

static bool inexact(const char *source) {
    return strstr(onp_image_decoders(), "JPEG: stb_image") &&
           (strstr(source, ".jpg") || strstr(source, ".JPEG"));
}

static void check_decoded(const char *source, const char *golden, const char *stem) {
    struct array want = array_read(golden);
    struct onp_image image = must_read_image(source);
    assert_int_equal(image.height, want.shape[0]);
    assert_int_equal(image.width, want.shape[1]);
    assert_int_equal(want.shape[2], 3);
    const int worst = worst_byte(image.rgb, want.data, want.count);
    if (worst > (inexact(source) ? STB_DECODED : 0)) fail_msg("%s: off by %d", stem, worst);
    if (inexact(source)) print_message("%s: stb within %d\n", stem, worst);
    onp_image_free(&image);
    free(want.data);
}

static void check_resized(const char *source, const char *golden, const char *stem) {
    struct array want = array_read(golden);
    struct onp_image image = must_read_image(source);
    unsigned char *got = malloc(want.count);
    assert_non_null(got);
    assert_int_equal(onp_resize_rgb(&image, (uint32_t)want.shape[0], &test_log, got), ONP_OK);
    const int worst = worst_byte(got, want.data, want.count);
    if (worst > (inexact(source) ? STB_RESIZED : 0)) fail_msg("%s: off by %d", stem, worst);
    onp_image_free(&image);
    free(got);
    free(want.data);
}

static void check_pixels(const char *source, const char *golden, const char *stem) {
    struct array want = array_read(golden);
    struct onp_image image = must_read_image(source);
    float *got = malloc(want.count * sizeof *got);
    assert_non_null(got);
    assert_int_equal(want.shape[0], 3);
    const uint32_t side = (uint32_t)want.shape[1];
    assert_int_equal(onp_image_to_pixels(&image, side, &test_log, got), ONP_OK);
    const double worst = worst_float(got, want.data, want.count);
    const double step =
        1.0 / 255.0 / 0.26130258; // of one level, in the channel where it is largest
    if (worst > (inexact(source) ? STB_RESIZED * step * 1.0001 : 0.0))
        fail_msg("%s: off by %g", stem, worst);
    onp_image_free(&image);
    free(got);
    free(want.data);
}

static void check_mono(const char *source, const char *golden, const char *stem) {
    struct array want = array_read(golden);
    struct onp_audio audio = must_read_audio(source);
    assert_int_equal(audio.count, want.count);
    if (memcmp(audio.samples, want.data, want.count * sizeof(float)) != 0)
        fail_msg("%s: off by %g", stem, worst_float(audio.samples, want.data, want.count));
    onp_audio_free(&audio);
    free(want.data);
}

// No difference was measured with libsoxr 0.1.3; another build of it may round otherwise.
static void check_resampled(const char *source, const char *golden, const char *stem) {
    struct array want = array_read(golden);
    struct onp_audio audio = must_read_audio(source);
    assert_int_equal(onp_audio_resample(&audio, ONP_SAMPLE_RATE, &test_log), ONP_OK);
    assert_int_equal(audio.count, want.count);
    assert_int_equal(audio.rate, ONP_SAMPLE_RATE);
    const double worst = worst_float(audio.samples, want.data, want.count);
    if (worst > 1e-6) fail_msg("%s: off by %g", stem, worst);
    onp_audio_free(&audio);
    free(want.data);
}

// 1.9e-6 is the worst measured: the goldens carry float32 sums, these are exact.
static void check_waveform(const char *source, const char *golden, bool head) {
    struct array want = array_read(golden);
    struct onp_audio audio = must_read_audio(source);
    float *samples = NULL;
    size_t count = 0;
    assert_int_equal(onp_audio_to_waveform(&audio, 15.0, &test_log, &samples, &count), ONP_OK);
    assert_true(head ? count > want.count : count == want.count);
    const double worst = worst_float(samples, want.data, want.count);
    if (worst > 1.9e-5) fail_msg("%s: off by %g", golden, worst);
    free(samples);
    onp_audio_free(&audio);
    free(want.data);
}

static void check_final(const char *source, const char *golden, const char *stem) {
    (void)stem;
    check_waveform(source, golden, false);
}

static void check_final_head(const char *source, const char *golden, const char *stem) {
    (void)stem;
    check_waveform(source, golden, true);
}

static void run(const char *kind, const char *goldens, golden_fn fn, size_t least) {
    for (int which = 0; which < 2; which++) {
        const char *root = golden_root(which);
        if (!root) break;
        const size_t done = each_golden(root, kind, "src", goldens, fn);
        print_message("%zu of %s/%s/%s\n", done, root, kind, goldens);
        if (which == 0) assert_in_range(done, least, 1000);
    }
}

static void test_decoded(void **state) {
    (void)state;
    run("preprocess/images", "decoded_u8", check_decoded, 34);
}
static void test_resized(void **state) {
    (void)state;
    run("preprocess/images", "resized_u8", check_resized, 8);
}
static void test_pixels(void **state) {
    (void)state;
    run("preprocess/images", "norm64_f32", check_pixels, 8);
}
static void test_mono(void **state) {
    (void)state;
    run("preprocess/audio", "mono", check_mono, 7);
}
static void test_resampled(void **state) {
    (void)state;
    run("preprocess/audio", "resampled", check_resampled, 6);
}
static void test_final(void **state) {
    (void)state;
    run("preprocess/audio", "final", check_final, 14);
}
static void test_final_head(void **state) {
    (void)state; // the repository has no golden of this kind, they belong to upstream's recordings
    for (int which = 0; which < 2 && golden_root(which); which++)
        each_golden(golden_root(which), "preprocess/audio", "src", "final_head", check_final_head);
}

// Every form of PNG and BMP, with Pillow's answer (tests/golden/make_picture_forms.py).
static void test_forms(void **state) {
    (void)state;
    assert_int_equal(each_golden(golden_root(0), "own/forms", ".", ".", check_decoded), 36);
}

static void test_max_seconds(void **state) {
    (void)state;
    char path[2300];
    snprintf(path, sizeof path, "%s/preprocess/audio/src/s16000_mono_u8.wav", golden_root(0));
    static const struct {
        double seconds;
        size_t count;
    } cases[] = {{15.0, 19200}, {1.1, 17600}, {1.0, 16000}, {0.5, 16000}, {INFINITY, 19200}};
    float *whole = NULL;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct onp_audio audio = must_read_audio(path);
        float *samples = NULL;
        size_t count = 0;
        assert_int_equal(
            onp_audio_to_waveform(&audio, cases[i].seconds, &test_log, &samples, &count), ONP_OK);
        assert_int_equal(count, cases[i].count);
        if (!whole) whole = samples;
        // The statistics are the whole clip's; what was cut below a second is repeated.
        for (size_t k = 0; k < count; k++)
            assert_true(samples[k] == whole[cases[i].seconds < 1.0 ? k % 8000 : k]);
        if (samples != whole) free(samples);
        onp_audio_free(&audio);
    }
    free(whole);
}

// A lossy file has no exact golden: it must have the length and rate of the WAV it was made from
// and correlate with it.
static void test_ogg(void **state) {
    (void)state;
    char path[2300];
    snprintf(path, sizeof path, "%s/own/chirps.wav", golden_root(0));
    struct onp_audio wav = must_read_audio(path);
    snprintf(path, sizeof path, "%s/own/chirps.ogg", golden_root(0));
    struct onp_audio ogg = must_read_audio(path);
    assert_int_equal(ogg.rate, wav.rate);
    assert_int_equal(ogg.count, wav.count);
    double cross = 0.0, own[2] = {0.0, 0.0};
    for (size_t i = 0; i < wav.count; i++) {
        cross += (double)wav.samples[i] * (double)ogg.samples[i];
        own[0] += (double)wav.samples[i] * (double)wav.samples[i];
        own[1] += (double)ogg.samples[i] * (double)ogg.samples[i];
    }
    assert_true(cross / sqrt(own[0] * own[1]) > 0.99);
    onp_audio_free(&wav);
    onp_audio_free(&ogg);
}

static void test_decoders(void **state) {
    (void)state;
    assert_non_null(strstr(onp_image_decoders(), "libpng 1."));
    assert_non_null(strstr(onp_image_decoders(), "JPEG: "));
    assert_non_null(strstr(onp_audio_decoders(), "libsndfile"));
    assert_non_null(strstr(onp_audio_decoders(), "soxr"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_decoded),     cmocka_unit_test(test_resized),
        cmocka_unit_test(test_pixels),      cmocka_unit_test(test_forms),
        cmocka_unit_test(test_mono),        cmocka_unit_test(test_resampled),
        cmocka_unit_test(test_final),       cmocka_unit_test(test_final_head),
        cmocka_unit_test(test_max_seconds), cmocka_unit_test(test_ogg),
        cmocka_unit_test(test_decoders),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
