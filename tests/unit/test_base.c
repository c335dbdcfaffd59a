// SPDX-License-Identifier: Apache-2.0
// What everything rests on: numbers, hashing, growing strings, logging, the parallel loop.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <math.h>
#include <stdatomic.h>

#include "base/buf.h"
#include "base/checked.h"
#include "base/half.h"
#include "base/log.h"
#include "base/parallel.h"
#include "base/sha256.h"

static uint32_t bits_of(float f) {
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    return u;
}

static float float_of(uint32_t u) {
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}

// --- Half and bfloat16 -----------------------------------------------------------------------

// IEEE 754 binary16 by its definition; exponent 31 must be sorted out before.
static double half_value(uint32_t h) {
    const int exponent = (int)(h >> 10 & 31u), mantissa = (int)(h & 1023u);
    const double magnitude =
        exponent ? ldexp(1024 + mantissa, exponent - 25) : ldexp(mantissa, -24);
    return h & 0x8000u ? -magnitude : magnitude;
}

static void test_half_widens_exactly(void **state) {
    (void)state;
    for (uint32_t h = 0; h < 65536; h++) {
        const float f = onp_half_to_float((uint16_t)h);
        const uint32_t sign = (h & 0x8000u) << 16;
        if ((h & 0x7fffu) > 0x7c00u) {
            if (!isnan(f)) fail_msg("0x%04x is a NaN", h);
        } else if ((h & 0x7fffu) == 0x7c00u) {
            assert_int_equal(bits_of(f), sign | 0x7f800000u);
        } else if ((double)f != half_value(h) || (bits_of(f) & 0x80000000u) != sign) {
            fail_msg("0x%04x widens to %a", h, (double)f);
        }
        const uint16_t back = onp_float_to_half(f);
        const bool nan = (h & 0x7fffu) > 0x7c00u;
        if (nan ? (back & 0x7fffu) <= 0x7c00u : back != h) fail_msg("0x%04x comes back", h);
    }
}

// Between each two neighbours: the middle goes to the even one, a hair beside it to the nearer.
// Above the largest, 65536 stands for infinity.
static void test_half_rounds_to_nearest_even(void **state) {
    (void)state;
    for (uint32_t low = 0; low < 0x7c00u; low++) {
        const uint32_t high = low + 1;
        const double top = high == 0x7c00u ? 65536.0 : half_value(high);
        const float middle = (float)((half_value(low) + top) / 2); // exact
        const uint32_t even = low % 2 ? high : low;
        for (uint32_t sign = 0; sign <= 0x8000u; sign += 0x8000u) {
            const float s = sign ? -1.0f : 1.0f;
            if (onp_float_to_half(s * middle) != (sign | even) ||
                onp_float_to_half(s * float_of(bits_of(middle) - 1)) != (sign | low) ||
                onp_float_to_half(s * float_of(bits_of(middle) + 1)) != (sign | high))
                fail_msg("rounding above 0x%04x, sign 0x%04x", low, sign);
        }
    }
}

// Every exponent and sign, with mantissas around the rounding points, and in place.
static void test_many_floats_narrow_as_one(void **state) {
    (void)state;
    enum { COUNT = 1 << 16 };
    float *floats = malloc(COUNT * sizeof *floats);
    uint16_t *halves = malloc(COUNT * sizeof *halves);
    assert_non_null(floats);
    assert_non_null(halves);
    for (uint32_t low = 0; low < 3; low++) {
        for (uint32_t i = 0; i < COUNT; i++) floats[i] = float_of((i << 16) + 0xfffu + low);
        for (uint32_t i = 0; i < COUNT; i++) halves[i] = onp_float_to_half(floats[i]);
        onp_floats_to_halves(floats, COUNT, (uint16_t *)floats);
        assert_memory_equal(floats, halves, COUNT * sizeof *halves);
    }
    for (uint32_t i = 0; i < COUNT; i++) floats[i] = float_of(i << 16);
    for (uint32_t i = 0; i < 67; i++) halves[i] = onp_float_to_half(floats[i + 32700]);
    uint16_t some[67];
    onp_floats_to_halves(floats + 32700, 67, some);
    assert_memory_equal(some, halves, sizeof some);
    free(floats);
    free(halves);
}

static void test_half_extremes(void **state) {
    (void)state;
    assert_int_equal(onp_float_to_half(0x1.fffffep127f), 0x7c00);
    assert_int_equal(onp_float_to_half(-0x1.fffffep127f), 0xfc00);
    assert_int_equal(onp_float_to_half(INFINITY), 0x7c00);
    assert_int_equal(onp_float_to_half(-INFINITY), 0xfc00);
    assert_int_equal(onp_float_to_half(float_of(1)), 0); // the smallest subnormal float
    assert_int_equal(onp_float_to_half(-0.0f), 0x8000);
    // NaNs whose payload lies only in bits that are cut off must not turn into infinity.
    static const uint32_t nans[] = {0x7f800001u, 0x7fc00000u, 0xff800001u, 0xffffffffu};
    for (size_t i = 0; i < ONP_COUNT(nans); i++) {
        assert_true((onp_float_to_half(float_of(nans[i])) & 0x7fffu) > 0x7c00u);
        assert_true((onp_float_to_bf16(float_of(nans[i])) & 0x7fffu) > 0x7f80u);
    }
}

static void test_bf16(void **state) {
    (void)state;
    for (uint32_t b = 0; b < 65536; b++) {
        const float f = onp_bf16_to_float((uint16_t)b);
        assert_int_equal(bits_of(f), b << 16);
        const uint32_t magnitude = b & 0x7fffu;
        if (magnitude > 0x7f80u) continue; // NaNs: above
        if (onp_float_to_bf16(f) != b) fail_msg("0x%04x comes back", b);
        if (magnitude == 0x7f80u) continue; // infinity has no neighbour above
        // The first of these is the middle; past the largest number it is infinity's.
        const uint32_t even = b % 2 ? b + 1 : b;
        if (onp_float_to_bf16(float_of(b << 16 | 0x8000u)) != even ||
            onp_float_to_bf16(float_of(b << 16 | 0x7fffu)) != b ||
            onp_float_to_bf16(float_of(b << 16 | 0x8001u)) != b + 1)
            fail_msg("rounding above 0x%04x", b);
    }
}

// --- SHA-256 ---------------------------------------------------------------------------------

static void check_hash(const void *data, size_t size, const char *want) {
    struct onp_sha256 sha;
    unsigned char digest[32];
    char hex[65];
    onp_sha256_init(&sha);
    onp_sha256_update(&sha, data, size);
    onp_sha256_final(&sha, digest);
    onp_sha256_hex(digest, hex);
    assert_string_equal(hex, want);
}

// The examples of FIPS 180-4 (NIST, SHA256.pdf and SHA2_Additional.pdf).
static void test_sha256_vectors(void **state) {
    (void)state;
    static const char two[] = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
    static const char three[] = "abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmno"
                                "ijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu";
    check_hash("", 0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    check_hash("abc", 3, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    check_hash(two, sizeof two - 1,
               "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    check_hash(three, sizeof three - 1,
               "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1");
    char *million = malloc(1000000);
    assert_non_null(million);
    memset(million, 'a', 1000000);
    check_hash(million, 1000000,
               "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    free(million);
}

// Every length around the block boundaries; the hash of all hashes is what Python's hashlib gives.
static void test_sha256_lengths(void **state) {
    (void)state;
    unsigned char digests[131][32], message[131];
    for (size_t size = 0; size < 131; size++) {
        struct onp_sha256 sha;
        for (size_t i = 0; i < size; i++) message[i] = (unsigned char)(i * 7 + size);
        onp_sha256_init(&sha);
        onp_sha256_update(&sha, message, size);
        onp_sha256_final(&sha, digests[size]);
    }
    check_hash(digests, sizeof digests,
               "969b9f993f9c27e8424a46288c5b7999eee502a7befa92cad6cfef1034d76c51");
}

static void test_sha256_split_updates(void **state) {
    (void)state;
    unsigned char message[200], whole[32], split[32];
    struct onp_sha256 sha;
    for (size_t i = 0; i < sizeof message; i++) message[i] = (unsigned char)(i * 31);
    onp_sha256_init(&sha);
    onp_sha256_update(&sha, message, sizeof message);
    onp_sha256_final(&sha, whole);
    for (size_t first = 0; first <= sizeof message; first++) {
        for (size_t second = 0; first + second <= sizeof message; second += 13) {
            onp_sha256_init(&sha);
            onp_sha256_update(&sha, message, first);
            onp_sha256_update(&sha, message + first, second);
            onp_sha256_update(&sha, message + first + second, sizeof message - first - second);
            onp_sha256_final(&sha, split);
            assert_memory_equal(split, whole, 32);
        }
    }
}

// --- Checked arithmetic, growing strings, logging --------------------------------------------

static void test_checked_arithmetic(void **state) {
    (void)state;
    uint64_t u = 7;
    size_t z = 7;
    assert_true(onp_add_u64(UINT64_MAX - 1, 1, &u));
    assert_true(u == UINT64_MAX);
    u = 7;
    assert_false(onp_add_u64(UINT64_MAX, 1, &u));
    assert_false(onp_mul_u64((uint64_t)1 << 32, (uint64_t)1 << 32, &u));
    assert_int_equal(u, 7);
    assert_true(onp_mul_u64((uint64_t)1 << 32, ((uint64_t)1 << 32) - 1, &u));
    assert_true(u == UINT64_MAX - UINT32_MAX);
    assert_false(onp_mul_size(SIZE_MAX / 2 + 1, 2, &z));
    assert_int_equal(z, 7);
    assert_true(onp_mul_size(SIZE_MAX / 2, 2, &z));
    assert_true(z == SIZE_MAX - 1);
    assert_int_equal(onp_round_up(0, 64), 0);
    assert_int_equal(onp_round_up(1, 64), 64);
    assert_int_equal(onp_round_up(64, 64), 64);
    assert_int_equal(onp_div_up(0, 3), 0);
    assert_int_equal(onp_div_up(3, 3), 1);
    assert_int_equal(onp_div_up(4, 3), 2);
}

static void test_buf_grows(void **state) {
    (void)state;
    struct onp_buf buf = {0};
    for (int i = 0; i < 10000; i++) {
        const unsigned char byte = (unsigned char)i;
        if (i % 2)
            assert_true(onp_buf_append(&buf, &byte, 1));
        else
            assert_true(onp_buf_printf(&buf, "%c", i & 0x7f ? i & 0x7f : 1));
        assert_true(buf.capacity > buf.size && buf.data[buf.size] == '\0');
    }
    assert_int_equal(buf.size, 10000);
    for (int i = 1; i < 10000; i += 2) assert_int_equal((unsigned char)buf.data[i], i & 0xff);
    assert_true(onp_buf_append(&buf, NULL, 0));
    assert_true(onp_buf_printf(&buf, "%0300d|", 5)); // more than the buffer has left or not
    assert_int_equal(buf.size, 10301);
    assert_string_equal(buf.data + 10299, "5|");
    onp_buf_free(&buf);
    assert_null(buf.data);
    assert_int_equal(buf.size + buf.capacity, 0);
}

static void test_buf_failure_sticks(void **state) {
    (void)state;
    struct onp_buf buf = {0};
    assert_true(onp_buf_append(&buf, "ab", 2));
    assert_false(onp_buf_append(&buf, "x", SIZE_MAX - 1));
    assert_true(buf.failed);
    assert_false(onp_buf_append(&buf, "c", 1));
    assert_false(onp_buf_printf(&buf, "c"));
    assert_int_equal(buf.size, 2);
    assert_string_equal(buf.data, "ab");
    onp_buf_free(&buf);
    assert_false(buf.failed);
}

static void keep_message(void *user, enum onp_log_level level, const char *message) {
    onp_buf_printf(user, "%d:%s;", (int)level, message);
}

static void test_log(void **state) {
    (void)state;
    struct onp_buf heard = {0};
    const struct onp_log log = {.fn = keep_message,
                                .user = &heard,
                                .level = ONP_LOG_WARNING,
                                .mutex = PTHREAD_MUTEX_INITIALIZER};
    onp_log(&log, ONP_LOG_INFO, "dropped");
    onp_log(&log, ONP_LOG_WARNING, "warned %d", 1);
    assert_int_equal(onp_fail(&log, ONP_ERR_IO, "failed %s", "x"), ONP_ERR_IO);
    assert_string_equal(onp_last_error(), "failed x");
    onp_log(&log, ONP_LOG_WARNING, "no error");
    assert_string_equal(onp_last_error(), "failed x");
    assert_string_equal(heard.data, "1:warned 1;0:failed x;1:no error;");
    onp_buf_free(&heard);
    const struct onp_log silent = {.mutex = PTHREAD_MUTEX_INITIALIZER};
    assert_int_equal(onp_fail(&silent, ONP_ERR_FORMAT, "%5000s", "y"), ONP_ERR_FORMAT);
    assert_in_range(strlen(onp_last_error()), 1000, 4999); // cut, not overrun
    for (int status = ONP_OK; status <= ONP_ERR_MISMATCH; status++)
        assert_string_not_equal(onp_status_name((enum onp_status)status), "unknown status");
    assert_string_equal(onp_status_name((enum onp_status)999), "unknown status");
}

// --- Parallel loop ---------------------------------------------------------------------------

struct visits {
    size_t count;
    atomic_int seen[1000];
    atomic_int outside;
};

static void visit(void *user, size_t index) {
    struct visits *visits = user;
    if (index < visits->count)
        atomic_fetch_add(&visits->seen[index], 1);
    else
        atomic_fetch_add(&visits->outside, 1);
}

static void test_parallel_for(void **state) {
    (void)state;
    static const size_t counts[] = {0, 1, 2, 7, 1000};
    static const unsigned threads[] = {0, 1, 2, 3, 64, 1000};
    for (size_t c = 0; c < ONP_COUNT(counts); c++) {
        for (size_t t = 0; t < ONP_COUNT(threads); t++) {
            static struct visits visits;
            memset(&visits, 0, sizeof visits);
            visits.count = counts[c];
            onp_parallel_for(counts[c], threads[t], visit, &visits);
            for (size_t i = 0; i < counts[c]; i++) assert_int_equal(visits.seen[i], 1);
            assert_int_equal(visits.outside, 0);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_half_widens_exactly),
        cmocka_unit_test(test_half_rounds_to_nearest_even),
        cmocka_unit_test(test_half_extremes),
        cmocka_unit_test(test_many_floats_narrow_as_one),
        cmocka_unit_test(test_bf16),
        cmocka_unit_test(test_sha256_vectors),
        cmocka_unit_test(test_sha256_lengths),
        cmocka_unit_test(test_sha256_split_updates),
        cmocka_unit_test(test_checked_arithmetic),
        cmocka_unit_test(test_buf_grows),
        cmocka_unit_test(test_buf_failure_sticks),
        cmocka_unit_test(test_log),
        cmocka_unit_test(test_parallel_for),
    };
    return cmocka_run_group_tests_name("base", tests, NULL, NULL);
}
