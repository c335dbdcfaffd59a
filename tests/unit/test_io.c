// SPDX-License-Identifier: Apache-2.0
// The small readers: JSON maps of integers and .npy arrays.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/checked.h"
#include "base/rng.h"
#include "io/json.h"
#include "io/npy.h"

static const struct onp_log quiet = {0};

// --- JSON ------------------------------------------------------------------------------------

struct pairs {
    char text[256];
    int limit; // refuse the pair after this many
};

static enum onp_status collect(void *user, const char *key, size_t key_size, int64_t value) {
    struct pairs *pairs = user;
    const size_t used = strlen(pairs->text);
    if (pairs->limit-- == 0) return ONP_ERR_MISMATCH;
    snprintf(pairs->text + used, sizeof pairs->text - used, "%s/%zu=%lld;", key, key_size,
             (long long)value);
    return ONP_OK;
}

static enum onp_status walk(const char *json, struct pairs *pairs) {
    return onp_json_int_map(json, strlen(json), "some.json", &quiet, collect, pairs);
}

static void pairs_come_in_order(void **state) {
    (void)state;
    struct pairs pairs = {.limit = 100};
    assert_int_equal(walk(" {\"b\": 1, \"\\u0120a\": -2, \"\": 9007199254740993} ", &pairs),
                     ONP_OK);
    assert_string_equal(pairs.text, "b/1=1;\xc4\xa0"
                                    "a/3=-2;/0=9007199254740993;");
    pairs = (struct pairs){.limit = 1};
    assert_int_equal(walk("{\"a\": 1, \"b\": 2}", &pairs), ONP_ERR_MISMATCH);
    assert_string_equal(pairs.text, "a/1=1;");
}

static void bad_maps_are_refused(void **state) {
    (void)state;
    static const char *const bad[] = {
        "",
        "{",
        "[1]",
        "1",
        "{\"a\":1.0}",
        "{\"a\":\"1\"}",
        "{\"a\":null}",
        "{\"a\":{}}",
        "{\"a\":1}x",
        "{\"a\":1,}",
        "{\"a\":1,\"a\":1}",
        "{\"\xff\":1}",
        "{a:1}",
        "{\"a\":99999999999999999999}",
    };
    for (size_t i = 0; i < ONP_COUNT(bad); i++) {
        struct pairs pairs = {.limit = 100};
        assert_int_equal(walk(bad[i], &pairs), ONP_ERR_FORMAT);
        assert_string_equal(pairs.text, "");
        assert_non_null(strstr(onp_last_error(), "some.json"));
    }
}

// --- npy -------------------------------------------------------------------------------------

static char path[64];

static enum onp_status read_bytes(const void *data, size_t size, struct onp_npy *npy) {
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, size, file), size);
    fclose(file);
    const enum onp_status status = onp_npy_read(path, &quiet, npy);
    if (status != ONP_OK) {
        assert_null(npy->data);
        assert_non_null(strstr(onp_last_error(), path));
    }
    return status;
}

static void make_npy(struct onp_buf *buf, int version, const char *header, size_t data) {
    const size_t size = strlen(header);
    const unsigned char length[4] = {(unsigned char)size, (unsigned char)(size >> 8), 0, 0};
    onp_buf_printf(buf, "\x93NUMPY%c", version);
    onp_buf_append(buf, "", 1);
    onp_buf_append(buf, length, version == 1 ? 2 : 4);
    onp_buf_append(buf, header, size);
    for (size_t i = 0; i < data; i++) {
        const unsigned char byte = (unsigned char)i;
        onp_buf_append(buf, &byte, 1);
    }
}

static void arrays_of_every_version_and_type(void **state) {
    (void)state;
    static const struct {
        const char *descr;
        enum onp_dtype dtype;
    } types[] = {
        {"<f4", ONP_F32}, {"<f2", ONP_F16}, {"<f8", ONP_F64}, {"<i8", ONP_I64},  {"<i4", ONP_I32},
        {"<i2", ONP_I16}, {"|i1", ONP_I8},  {"|u1", ONP_U8},  {"|b1", ONP_BOOL},
    };
    for (int version = 1; version <= 3; version++)
        for (size_t i = 0; i < ONP_COUNT(types); i++) {
            struct onp_buf buf = {0};
            struct onp_npy npy;
            char header[128];
            const size_t bytes = 6 * onp_dtype_size(types[i].dtype);
            snprintf(header, sizeof header,
                     "{'descr': '%s', 'fortran_order': False, 'shape': (2, 3), }   \n",
                     types[i].descr);
            make_npy(&buf, version, header, bytes);
            assert_int_equal(read_bytes(buf.data, buf.size, &npy), ONP_OK);
            assert_int_equal(npy.dtype, types[i].dtype);
            assert_true(npy.dims == 2 && npy.shape[0] == 2 && npy.shape[1] == 3 && npy.count == 6);
            assert_memory_equal(npy.data, buf.data + buf.size - bytes, bytes);
            onp_npy_free(&npy);
            onp_buf_free(&buf);
        }
}

static void scalars_and_empty_arrays(void **state) {
    (void)state;
    struct onp_buf buf = {0};
    struct onp_npy npy;
    make_npy(&buf, 1, "{\"shape\":(),\"fortran_order\":False,\"descr\":\"<f4\"}", 4);
    assert_int_equal(read_bytes(buf.data, buf.size, &npy), ONP_OK);
    assert_true(npy.dims == 0 && npy.count == 1);
    onp_npy_free(&npy);
    onp_buf_free(&buf);
    make_npy(&buf, 1, "{'descr':'<i8','fortran_order':False,'shape':(5,0)}", 0);
    assert_int_equal(read_bytes(buf.data, buf.size, &npy), ONP_OK);
    assert_true(npy.dims == 2 && npy.count == 0);
    onp_npy_free(&npy);
    onp_buf_free(&buf);
}

static void a_golden_array_opens(void **state) {
    (void)state;
    char name[4096];
    struct onp_npy npy;
    snprintf(name, sizeof name, "%s/golden/micro/golden/text/src_tokens.npy",
             getenv("ONP_TEST_DATA"));
    assert_int_equal(onp_npy_read(name, &quiet, &npy), ONP_OK);
    assert_int_equal(npy.dtype, ONP_I64);
    assert_true(npy.dims == 2 && npy.shape[0] == 4 && npy.shape[1] == 71);
    int64_t sum = 0;
    for (uint64_t i = 0; i < npy.count; i++) sum += ((const int64_t *)npy.data)[i];
    assert_int_equal(sum, 45767); // as numpy has it
    onp_npy_free(&npy);
}

#define SHAPE(shape) "{'descr':'<f4','fortran_order':False,'shape':" shape "}"

static const struct {
    const char *header;
    size_t data;
    enum onp_status status;
    const char *words;
} bad_arrays[] = {
    {"{'descr':'<f4','fortran_order':True,'shape':(2,2)}", 16, ONP_ERR_UNSUPPORTED, "Fortran"},
    {"{'descr':'>f4','fortran_order':False,'shape':(2,)}", 8, ONP_ERR_UNSUPPORTED, ">f4"},
    {"{'descr':'<c8','fortran_order':False,'shape':(2,)}", 16, ONP_ERR_UNSUPPORTED, "<c8"},
    {"{'descr':'|O','fortran_order':False,'shape':(2,)}", 16, ONP_ERR_UNSUPPORTED, "|O"},
    {"{'descr':[('a','<f4')],'fortran_order':False,'shape':(2,)}", 8, ONP_ERR_UNSUPPORTED,
     "structured"},
    {"{'descr':'<f4','shape':(2,)}", 8, ONP_ERR_FORMAT, "lacks a key"},
    {"{'descr':'<f4','descr':'<f4','fortran_order':False,'shape':(2,)}", 8, ONP_ERR_FORMAT,
     "strange key"},
    {"{'descr':'<f4','fortran_order':False,'shape':(2,),'more':1}", 8, ONP_ERR_FORMAT,
     "strange key"},
    {"{'descr':'<f4','fortran_order':0,'shape':(2,)}", 8, ONP_ERR_FORMAT, "fortran_order"},
    {SHAPE("2"), 8, ONP_ERR_FORMAT, "no tuple"},
    {SHAPE("(2"), 8, ONP_ERR_FORMAT, "shape is not valid"},
    {SHAPE("(2 2)"), 8, ONP_ERR_FORMAT, "shape is not valid"},
    {SHAPE("(-2,)"), 8, ONP_ERR_FORMAT, "shape is not valid"},
    {SHAPE("(1,1,1,1,1,1,1,1,2)"), 8, ONP_ERR_FORMAT, "8 dimensions"},
    {SHAPE("(99999999999999999999,)"), 8, ONP_ERR_FORMAT, "shape is not valid"},
    {SHAPE("(4294967296,4294967296)"), 8, ONP_ERR_FORMAT, "shape is not valid"},
    {SHAPE("(4611686018427387904,)"), 8, ONP_ERR_FORMAT, "does not fit"},
    {SHAPE("(3,)"), 8, ONP_ERR_FORMAT, "does not fit"},
    {SHAPE("(1,)"), 8, ONP_ERR_FORMAT, "does not fit"},
    {"{", 0, ONP_ERR_FORMAT, "no key"},
    {"", 0, ONP_ERR_FORMAT, "dictionary"},
};

static void bad_arrays_are_refused(void **state) {
    (void)state;
    struct onp_npy npy;
    for (size_t i = 0; i < ONP_COUNT(bad_arrays); i++) {
        struct onp_buf buf = {0};
        make_npy(&buf, 2, bad_arrays[i].header, bad_arrays[i].data);
        assert_int_equal(read_bytes(buf.data, buf.size, &npy), bad_arrays[i].status);
        if (!strstr(onp_last_error(), bad_arrays[i].words))
            fail_msg("wanted '%s': %s", bad_arrays[i].words, onp_last_error());
        onp_buf_free(&buf);
    }
    assert_int_equal(read_bytes("", 0, &npy), ONP_ERR_FORMAT);
    assert_int_equal(read_bytes("\x93NUMPY\1\0\xff\xff{}", 12, &npy), ONP_ERR_FORMAT);
    assert_int_equal(read_bytes("\x93NUMPY\4\0\2\0{} ", 13, &npy), ONP_ERR_FORMAT);
    assert_int_equal(read_bytes("not an array at all", 19, &npy), ONP_ERR_FORMAT);
    unlink(path);
    assert_int_equal(onp_npy_read(path, &quiet, &npy), ONP_ERR_IO);
}

static void damaged_arrays_do_no_harm(void **state) {
    (void)state;
    struct onp_rng rng = {7};
    struct onp_buf buf = {0};
    struct onp_npy npy;
    make_npy(&buf, 1, SHAPE("(2,3)"), 24);
    for (size_t size = 0; size < buf.size; size++)
        assert_int_not_equal(read_bytes(buf.data, size, &npy), ONP_OK);
    for (int i = 0; i < 500; i++) {
        char copy[256];
        memcpy(copy, buf.data, buf.size);
        copy[onp_rng_next(&rng) % (buf.size - 24)] = (char)onp_rng_next(&rng);
        if (read_bytes(copy, buf.size, &npy) != ONP_OK) continue;
        assert_true(npy.count * onp_dtype_size(npy.dtype) <= buf.size);
        onp_npy_free(&npy);
    }
    onp_buf_free(&buf);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pairs_come_in_order),
        cmocka_unit_test(bad_maps_are_refused),
        cmocka_unit_test(arrays_of_every_version_and_type),
        cmocka_unit_test(scalars_and_empty_arrays),
        cmocka_unit_test(a_golden_array_opens),
        cmocka_unit_test(damaged_arrays_do_no_harm),
        cmocka_unit_test(bad_arrays_are_refused),
    };
    snprintf(path, sizeof path, "test_io.%d.npy", (int)getpid());
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(path);
    return failed;
}
