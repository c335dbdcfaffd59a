// SPDX-License-Identifier: Apache-2.0
// Every code point against the reference's tables, the final sigma, strict UTF-8.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "text/unicode.h"

#define CODES        0x110000u
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static json_t *tables;

static int load_tables(void **state) {
    (void)state;
    const char *data = getenv("ONP_TEST_DATA");
    char path[4096];
    snprintf(path, sizeof path, "%s/golden/tokenizer/unicode_tables.json", data ? data : "");
    tables = json_load_file(path, 0, NULL);
    return tables ? 0 : -1;
}

static int free_tables(void **state) {
    (void)state;
    json_decref(tables);
    return 0;
}

static void check_class(const char *name, bool (*is)(uint32_t)) {
    unsigned char *want = calloc(CODES, 1);
    assert_non_null(want);
    size_t i, marked = 0;
    json_t *range;
    json_array_foreach(json_object_get(tables, name), i, range) {
        const json_int_t first = json_integer_value(json_array_get(range, 0));
        const json_int_t last = json_integer_value(json_array_get(range, 1));
        for (json_int_t code = first; code <= last; code++, marked++) want[code] = 1;
    }
    assert_true(marked > 0);
    for (uint32_t code = 0; code < CODES; code++)
        if (is(code) != want[code]) fail_msg("%s differs at U+%04X", name, code);
    free(want);
}

static void test_classes(void **state) {
    (void)state;
    check_class("letter", onp_is_letter);
    check_class("number", onp_is_number);
    check_class("space", onp_is_space);
    check_class("cased", onp_is_cased);
    check_class("case_ignorable", onp_is_case_ignorable);
}

static void test_lower_of_every_code_point(void **state) {
    (void)state;
    const json_t *lower = json_object_get(tables, "lower");
    assert_true(json_object_size(lower) > 1000);
    for (uint32_t code = 0; code < CODES; code++) {
        char key[16];
        snprintf(key, sizeof key, "%X", code);
        const json_t *want = json_object_get(lower, key);
        const size_t size = want ? json_array_size(want) : 1;
        uint32_t got[2] = {0, 0};
        if (onp_lower_code(code, got) != size) fail_msg("U+%04X: other length", code);
        for (size_t i = 0; i < size; i++) {
            const uint32_t expected =
                want ? (uint32_t)strtoul(json_string_value(json_array_get(want, i)), NULL, 16)
                     : code;
            if (got[i] != expected) fail_msg("U+%04X lowers to U+%04X", code, got[i]);
        }
    }
}

static void check_lower(const char *text, const char *want) {
    struct onp_buf buf = {0};
    onp_buf_append(&buf, "", 0);
    onp_lower_append(&buf, text, strlen(text));
    assert_false(buf.failed);
    assert_string_equal(buf.data, want);
    onp_buf_free(&buf);
}

// What Python's str.lower gives for each.
static void test_lower_in_context(void **state) {
    (void)state;
    check_lower("", "");
    check_lower("ABC xyz 123", "abc xyz 123");
    check_lower("\u03a3", "\u03c3");                           // nothing before it
    check_lower("A\u03a3", "a\u03c2");                         // end of a word
    check_lower("A\u03a3 B", "a\u03c2 b");                     // end before a space
    check_lower("A\u03a3B", "a\u03c3b");                       // inside a word
    check_lower("\u03a3A", "\u03c3a");                         // start of a word
    check_lower("A\u03a3\u03a3", "a\u03c3\u03c2");             // a sigma is cased
    check_lower("A'\u03a3", "a'\u03c2");                       // ignorable before
    check_lower("A\u03a3'B", "a\u03c3'b");                     // ignorable, then cased
    check_lower("A\u03a3':.B", "a\u03c3':.b");                 // several of them
    check_lower("A\u03a3'", "a\u03c2'");                       // ignorable, then the end
    check_lower("1\u03a3", "1\u03c3");                         // a digit is not cased
    check_lower("A1\u03a3", "a1\u03c3");                       // and not ignorable
    check_lower("''\u03a3", "''\u03c3");                       // only ignorable before
    check_lower("A\u0301\u03a3\u0301", "a\u0301\u03c2\u0301"); // marks are ignorable
    check_lower("\U00010400\u03a3", "\U00010428\u03c2");       // four bytes before
    check_lower("A\u03a3\U00010400", "a\u03c3\U00010428");     // four bytes after
    check_lower("\u0130\u03a3", "i\u0307\u03c2");              // one to two code points
    check_lower("\u023a\u1e9e\u2167", "\u2c65\u00df\u2177");   // longer, shorter, a number
}

static void test_utf8_round_trip(void **state) {
    (void)state;
    for (uint32_t code = 0; code < CODES; code++) {
        char bytes[4];
        const size_t size = onp_utf8_encode(code, bytes);
        uint32_t back = 0;
        const bool surrogate = code >= 0xd800 && code < 0xe000;
        if (onp_utf8_decode(bytes, size, &back) != (surrogate ? 0 : size))
            fail_msg("U+%04X: wrong length", code);
        if (!surrogate && back != code) fail_msg("U+%04X comes back as U+%04X", code, back);
        for (size_t cut = 0; cut < size; cut++)
            if (onp_utf8_decode(bytes, cut, &back) != 0) fail_msg("U+%04X cut is accepted", code);
    }
}

static void test_utf8_errors(void **state) {
    (void)state;
    static const struct {
        const char *text;
        size_t size, at;
    } cases[] = {
        {"\x80", 1, 0},             // a trail byte alone
        {"ab\xbf", 3, 2},           //
        {"\xc0\x80", 2, 0},         // overlong NUL
        {"\xc1\xbf", 2, 0},         // overlong, largest
        {"\xe0\x9f\xbf", 3, 0},     // overlong, three bytes
        {"\xf0\x8f\xbf\xbf", 4, 0}, // overlong, four bytes
        {"\xed\xa0\x80", 3, 0},     // first surrogate
        {"\xed\xbf\xbf", 3, 0},     // last surrogate
        {"\xf4\x90\x80\x80", 4, 0}, // U+110000
        {"\xf5\x80\x80\x80", 4, 0}, // beyond
        {"\xf8\x88\x80\x80\x80", 5, 0},
        {"\xfc\x84\x80\x80\x80\x80", 6, 0},
        {"\xfe", 1, 0},
        {"\xff", 1, 0},
        {"ok \xe2\x82", 5, 3},         // cut short
        {"ok \xe2\x82 x", 7, 3},       // a space instead of a trail byte
        {"\xc3\xc3\xa9", 3, 0},        // lead byte after lead byte
        {"\xc3\xa9\xf0\x9f\x90", 5, 2} // a good one, then a cut one
    };
    for (size_t i = 0; i < COUNT(cases); i++)
        assert_int_equal(onp_utf8_invalid_at(cases[i].text, cases[i].size), cases[i].at);
    const char good[] = "a\0\xc2\x80\xdf\xbf\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xf4\x8f\xbf\xbf";
    assert_int_equal(onp_utf8_invalid_at(good, sizeof good - 1), sizeof good - 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_classes),          cmocka_unit_test(test_lower_of_every_code_point),
        cmocka_unit_test(test_lower_in_context), cmocka_unit_test(test_utf8_round_trip),
        cmocka_unit_test(test_utf8_errors),
    };
    return cmocka_run_group_tests_name("unicode", tests, load_tables, free_tables);
}
