// SPDX-License-Identifier: Apache-2.0
// The published model's widths with four layers: the device under test equals the reference, with
// float32 storage to rounding and with float16 storage in direction.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/golden/golden.h"
#include "tests/golden/make_model.h"
#include "tests/golden/random_items.h"

#define TOLERANCE   2e-5
#define MIN_COSINE  0.9999
#define DIM         1536
#define SPACE_BYTES (2500ull * 1000 * 1000)

static char path[512];
static struct onp_model *model;

static int make(void **state) {
    (void)state;
    struct statvfs space;
    const char *folder = getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp";
    if (statvfs(folder, &space) != 0 || space.f_bavail * space.f_frsize < SPACE_BYTES) {
        fprintf(stderr, "%s has less than 2.5 GB free: set TMPDIR\n", folder);
        return 1;
    }
    snprintf(path, sizeof path, "%s/onepeace-full-width-%ld.safetensors", folder, (long)getpid());
    struct onp_test_model full = onp_test_model_full();
    full.dtype = ONP_F32; // so that float16 storage has something to lose
    if (onp_make_model(path, &full, &onp_golden.log) != ONP_OK) return 1;
    return onp_model_open(onp_golden.context, path, NULL, &model) == ONP_OK ? 0 : 1;
}

static int drop(void **state) {
    (void)state;
    onp_model_close(model);
    unlink(path);
    return 0;
}

static double cosine(const float *a, const float *b) {
    double dot = 0.0;
    for (int i = 0; i < DIM; i++) dot += (double)a[i] * (double)b[i];
    return dot;
}

static void compare(enum onp_modality modality, int32_t length) {
    struct onp_encoder_params params = {.modalities = ONP_BIT(modality), .max_batch = 1};
    struct onp_random_items items = {0};
    float want[DIM], got[DIM], half[DIM];
    onp_random_item(&items, model, modality, length, 5);
    onp_random_embed(onp_golden.device[0], model, &params, &items, got);
    params.dtype = ONP_F16;
    onp_random_embed(onp_golden.device[0], model, &params, &items, half);
    assert_non_null(onp_golden.device[1]); // comparing the reference with itself proves nothing
    params.dtype = ONP_F32;
    onp_random_embed(onp_golden.device[1], model, &params, &items, want);
    fprintf(stderr, "%s: distance %.2e, cosine with f16 storage %.7f\n",
            onp_modality_name(modality), onp_golden_distance(got, want, DIM), cosine(half, want));
    onp_golden_near(onp_modality_name(modality), got, want, DIM, TOLERANCE);
    assert_true(cosine(half, want) > MIN_COSINE);
    onp_random_items_free(&items);
}

static void test_text(void **state) {
    (void)state;
    compare(ONP_TEXT, 71); // 72 positions with CLS
}

static void test_image(void **state) {
    (void)state;
    compare(ONP_IMAGE, 0); // 257 positions
}

static void test_audio(void **state) {
    (void)state;
    compare(ONP_AUDIO, 15 * 16000); // 750 positions
}

int main(void) {
    if (onp_golden_open()) return 1;
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_text), cmocka_unit_test(test_image),
                                       cmocka_unit_test(test_audio)};
    const int failed = cmocka_run_group_tests_name("full width", tests, make, drop);
    onp_golden_close();
    return failed;
}
