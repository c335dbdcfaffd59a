// SPDX-License-Identifier: Apache-2.0
// The tokenizer against the reference's ids, and against damaged or hostile vocabularies.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/log.h"
#include "base/rng.h"
#include "text/tokenizer.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const struct onp_log quiet = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static const char *data_path(const char *name) {
    static char path[4096];
    const char *data = getenv("ONP_TEST_DATA");
    snprintf(path, sizeof path, "%s/%s", data ? data : "ONP_TEST_DATA is not set", name);
    return path;
}

// "bpe" is the published vocabulary, which is whole among the derived files only.
static struct onp_tokenizer *load(const char *folder) {
    struct onp_tokenizer *tokenizer = NULL;
    const char *derived = getenv("ONP_TEST_DERIVED");
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", derived ? derived : "ONP_TEST_DERIVED is not set", folder);
    if (onp_tokenizer_load_dir(strcmp(folder, "bpe") ? data_path(folder) : path, &quiet,
                               &tokenizer) != ONP_OK)
        fail_msg("%s", onp_last_error());
    return tokenizer;
}

// --- Against the reference -------------------------------------------------------------------

static void check_ids(const struct onp_tokenizer *tokenizer, const json_t *text,
                      enum onp_text_mode mode, const json_t *want) {
    int32_t *ids;
    size_t count;
    assert_non_null(want);
    assert_int_equal(onp_tokenizer_encode(tokenizer, json_string_value(text),
                                          json_string_length(text), mode, &ids, &count),
                     ONP_OK);
    bool same = count == json_array_size(want);
    for (size_t i = 0; i < count && same; i++)
        same = ids[i] == json_integer_value(json_array_get(want, i));
    if (!same) fail_msg("mode %d: other ids for \"%s\"", (int)mode, json_string_value(text));
    free(ids);
}

static void check_golden(const char *file, const char *folder) {
    json_t *root = json_load_file(data_path(file), JSON_ALLOW_NUL, NULL);
    assert_non_null(root);
    struct onp_tokenizer *tokenizer = load(folder);
    assert_int_equal(onp_tokenizer_vocab(tokenizer),
                     json_integer_value(json_object_get(root, "dictionary_size")));
    const json_t *strings = json_object_get(root, "strings");
    assert_true(json_array_size(strings) > 50);
    for (size_t i = 0; i < json_array_size(strings); i++) {
        const json_t *item = json_array_get(strings, i), *text = json_object_get(item, "text");
        check_ids(tokenizer, text, ONP_TEXT_HUB, json_object_get(item, "hub"));
        check_ids(tokenizer, text, ONP_TEXT_DATASET, json_object_get(item, "dataset"));
        // Clean text stays as it is.
        check_ids(tokenizer, json_object_get(item, "dataset_clean"), ONP_TEXT_HUB,
                  json_object_get(item, "dataset"));
    }
    onp_tokenizer_destroy(tokenizer);
    json_decref(root);
}

static void test_golden_real(void **state) {
    (void)state;
    check_golden("golden/tokenizer/gpt2.json", "bpe");
}

static void test_golden_micro(void **state) {
    (void)state;
    check_golden("golden/tokenizer/micro.json", "golden/micro/bpe");
}

// The tokens that the model's goldens were computed from: int64 [texts, longest], padded with 1.
static void test_golden_model_tokens(void **state) {
    (void)state;
    json_t *root = json_load_file(data_path("golden/micro/manifest.json"), 0, NULL);
    const json_t *texts = json_object_get(root, "texts");
    assert_true(json_array_size(texts) > 0);
    char *npy;
    size_t size, count;
    assert_int_equal(onp_file_read(data_path("golden/micro/golden/text/src_tokens.npy"), 1 << 20,
                                   &quiet, &npy, &size),
                     ONP_OK);
    // A version 1 header of 128 bytes, then the rows.
    assert_true(size > 128 && memcmp(npy, "\x93NUMPY\x01\x00\x76\x00", 10) == 0);
    const size_t longest = (size - 128) / 8 / json_array_size(texts);
    struct onp_tokenizer *tokenizer = load("golden/micro/bpe");
    for (size_t i = 0; i < json_array_size(texts); i++) {
        const json_t *text = json_array_get(texts, i);
        int32_t *ids;
        assert_int_equal(onp_tokenizer_encode(tokenizer, json_string_value(text),
                                              json_string_length(text), ONP_TEXT_HUB, &ids, &count),
                         ONP_OK);
        assert_true(count <= longest);
        for (size_t k = 0; k < longest; k++) {
            int64_t want;
            memcpy(&want, npy + 128 + (i * longest + k) * 8, 8);
            assert_int_equal(k < count ? ids[k] : 1, want);
        }
        free(ids);
    }
    free(npy);
    onp_tokenizer_destroy(tokenizer);
    json_decref(root);
}

// --- Texts -----------------------------------------------------------------------------------

static void test_empty_text(void **state) {
    (void)state;
    struct onp_tokenizer *tokenizer = load("bpe");
    static const char *const empty[] = {"", "...", " \n\t "};
    for (size_t i = 0; i < COUNT(empty); i++) {
        int32_t *ids;
        size_t count;
        const enum onp_text_mode mode = i == 0 ? ONP_TEXT_HUB : ONP_TEXT_DATASET;
        assert_int_equal(
            onp_tokenizer_encode(tokenizer, empty[i], strlen(empty[i]), mode, &ids, &count),
            ONP_OK);
        assert_int_equal(count, 2);
        assert_int_equal(ids[0], 1437);
        assert_int_equal(ids[1], 2);
        free(ids);
    }
    onp_tokenizer_destroy(tokenizer);
}

static void test_bad_utf8(void **state) {
    (void)state;
    struct onp_tokenizer *tokenizer = load("golden/micro/bpe");
    static const struct {
        const char *text, *where;
    } cases[] = {
        {"\x80", "byte 0 "},          {"ab\xc0\x80", "byte 2 "},
        {"a\xed\xa0\x80", "byte 1 "}, {"\xf4\x90\x80\x80", "byte 0 "},
        {"good \xe2\x82", "byte 5 "}, {"\xc3\xa9\xff", "byte 2 "},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        int32_t *ids = NULL;
        size_t count;
        assert_int_equal(onp_tokenizer_encode(tokenizer, cases[i].text, strlen(cases[i].text),
                                              ONP_TEXT_HUB, &ids, &count),
                         ONP_ERR_ARGUMENT);
        assert_null(ids);
        assert_non_null(strstr(onp_last_error(), cases[i].where));
    }
    onp_tokenizer_destroy(tokenizer);
}

// The text after the 70th id must not matter, however long it is.
static void test_limit(void **state) {
    (void)state;
    struct onp_tokenizer *tokenizer = load("golden/micro/bpe");
    enum { BYTES = 300000 };
    char *text = malloc(BYTES);
    assert_non_null(text);
    memset(text, 'x', BYTES);
    for (size_t i = 1; i < BYTES; i += 2) text[i] = ' ';
    int32_t *longer, *shorter;
    size_t long_count, short_count;
    assert_int_equal(
        onp_tokenizer_encode(tokenizer, text, BYTES, ONP_TEXT_HUB, &longer, &long_count), ONP_OK);
    assert_int_equal(
        onp_tokenizer_encode(tokenizer, text, 400, ONP_TEXT_HUB, &shorter, &short_count), ONP_OK);
    assert_int_equal(long_count, 71);
    assert_int_equal(short_count, 71);
    assert_memory_equal(longer, shorter, 71 * sizeof *longer);
    assert_int_equal(longer[70], 2);
    free(longer);
    free(shorter);
    free(text);
    onp_tokenizer_destroy(tokenizer);
}

static void test_random_text_stays_in_the_dictionary(void **state) {
    (void)state;
    struct onp_tokenizer *tokenizer = load("golden/micro/bpe");
    struct onp_rng rng = {4};
    static const char *const parts[] = {" ",
                                        "  ",
                                        "\t",
                                        "\n",
                                        "\x1c",
                                        "'s",
                                        "'",
                                        "Ab",
                                        "17",
                                        "!?",
                                        "\xce\xa3",
                                        "\xc4\xb0",
                                        "e\xcc\x81",
                                        "#",
                                        "\xc2\xa0",
                                        "\xe3\x80\x80",
                                        "\xf0\x9f\x90\x98"};
    for (int round = 0; round < 2000; round++) {
        char text[128] = "";
        for (uint64_t n = onp_rng_next(&rng) % 20; n > 0; n--)
            strcat(text, parts[onp_rng_next(&rng) % COUNT(parts)]);
        for (int mode = ONP_TEXT_HUB; mode <= ONP_TEXT_DATASET; mode++) {
            int32_t *ids;
            size_t count;
            assert_int_equal(onp_tokenizer_encode(tokenizer, text, strlen(text),
                                                  (enum onp_text_mode)mode, &ids, &count),
                             ONP_OK);
            assert_in_range(count, 2, 71);
            for (size_t i = 0; i + 1 < count; i++)
                assert_true(ids[i] > 2 && (uint32_t)ids[i] < onp_tokenizer_vocab(tokenizer));
            assert_int_equal(ids[count - 1], 2);
            free(ids);
        }
    }
    onp_tokenizer_destroy(tokenizer);
}

// --- Vocabularies ----------------------------------------------------------------------------

static const char *const names[3] = {"encoder.json", "vocab.bpe", "dict.txt"};
enum { ENCODER, MERGES, DICT };

struct files {
    char *data[3];
    size_t size[3];
};

static void read_files(struct files *files) {
    for (int i = 0; i < 3; i++) {
        char name[64];
        snprintf(name, sizeof name, "golden/micro/bpe/%s", names[i]);
        assert_int_equal(
            onp_file_read(data_path(name), 1 << 20, &quiet, &files->data[i], &files->size[i]),
            ONP_OK);
    }
}

static void free_files(struct files *files) {
    for (int i = 0; i < 3; i++) free(files->data[i]);
}

static enum onp_status parse(const struct files *f, struct onp_tokenizer **out) {
    *out = NULL;
    return onp_tokenizer_parse("origin", f->data[0], f->size[0], f->data[1], f->size[1], f->data[2],
                               f->size[2], &quiet, out);
}

// Puts `text` in the place of the first `old`, or of the whole file if old is NULL.
static void replace(struct files *files, int file, const char *old, const char *text,
                    size_t text_size) {
    struct onp_buf buf = {0};
    const char *data = files->data[file];
    const char *at = old ? strstr(data, old) : data;
    assert_non_null(at);
    const char *rest = old ? at + strlen(old) : data + files->size[file];
    onp_buf_append(&buf, data, (size_t)(at - data));
    onp_buf_append(&buf, text, text_size);
    onp_buf_append(&buf, rest, (size_t)(data + files->size[file] - rest));
    assert_false(buf.failed);
    free(files->data[file]);
    files->data[file] = buf.data;
    files->size[file] = buf.size;
}

// One change to one file: refused, and the message names the file and what is wrong.
#define TEXT(literal) literal, sizeof literal - 1
static const struct {
    int file;
    const char *old, *text;
    size_t size;
    const char *message;
} damages[] = {
    {ENCODER, NULL, TEXT(""), "encoder.json is not valid JSON"},
    {ENCODER, NULL, TEXT("{\"!\": 0, \"\\\"\": 1"), "encoder.json is not valid JSON"},
    {ENCODER, NULL, TEXT("[1, 2]"), "encoder.json is not a JSON object"},
    {ENCODER, NULL, TEXT("{}"), "no token for the byte 0x00"},
    {ENCODER, "\"!\": 0", TEXT("\"!\": 1"), "gives two tokens the number 1"},
    {ENCODER, "\"!\": 0", TEXT("\"!\": 2147483648"), "2147483648, outside"},
    {ENCODER, "\"!\": 0", TEXT("\"!\": -1"), "-1, outside"},
    {ENCODER, "\"!\": 0", TEXT("\"!\": 99999999999999999999"), "encoder.json is not valid JSON"},
    {ENCODER, "\"!\": 0", TEXT("\"!\": 0.5"), "is not an integer"},
    {ENCODER, "\"!\": 0", TEXT("\"!\": \"0\""), "is not an integer"},
    {ENCODER, "\"!\": 0", TEXT("\"!!\": 0"), "no token for the byte 0x21"},
    {ENCODER, "\"!\": 0", TEXT("\"!\": 0, \"!\": 7000"), "encoder.json is not valid JSON"},
    {ENCODER, "\"!\": 0", TEXT("\"!\": 0, \"\\u0000\": 7000"), "encoder.json is not valid JSON"},
    {ENCODER, "\"!\": 0", TEXT("\"!\": 0, \"\xff\": 7000"), "encoder.json is not valid JSON"},
    {ENCODER, "{", TEXT("{\0"), "encoder.json is not valid JSON"},
    {MERGES, NULL, TEXT(""), "vocab.bpe does not begin with"},
    {MERGES, NULL, TEXT("#version: 0.2"), "line 1 has no line end"},
    {MERGES, "#version", TEXT("version"), "vocab.bpe does not begin with"},
    {MERGES, "#version: 0.2\n", TEXT("#version: 0.2\na b c\n"), "line 2 is not two tokens"},
    {MERGES, "#version: 0.2\n", TEXT("#version: 0.2\nab\n"), "line 2 is not two tokens"},
    {MERGES, "#version: 0.2\n", TEXT("#version: 0.2\n\n"), "line 2 is not two tokens"},
    {MERGES, "#version: 0.2\n", TEXT("#version: 0.2\n a\n"), "line 2 is not two tokens"},
    {MERGES, "#version: 0.2\n", TEXT("#version: 0.2\na \n"), "line 2 is not two tokens"},
    {MERGES, "#version: 0.2\n", TEXT("#version: 0.2\na\0 b\n"), "line 2 is not UTF-8"},
    {MERGES, "#version: 0.2\n", TEXT("#version: 0.2\n\xff b\n"), "line 2 is not UTF-8"},
    {MERGES, "#version: 0.2\n", TEXT("#version: 0.2\nz\xc3\xa9 b\n"), "line 2 needs the token"},
    {MERGES, "#version: 0.2\n", TEXT("#version: 0.2\nz q\n"), "line 2 needs the token \"zq\""},
    {MERGES, "#version: 0.2\n", TEXT("#version: 0.2\n\xc4\xa0 t\n"), "line 3 repeats line 2"},
    {DICT, NULL, TEXT(""), "dict.txt is empty"},
    {DICT, NULL, TEXT("220\n"), "dict.txt, line 1 is not a word"},
    {DICT, NULL, TEXT("220 \n"), "dict.txt, line 1 is not a word"},
    {DICT, NULL, TEXT(" 220\n"), "dict.txt, line 1 is not a word"},
    {DICT, NULL, TEXT("220 5\n\n"), "dict.txt, line 2 is not a word"},
    {DICT, NULL, TEXT("220 five\n"), "dict.txt, line 1 is not a word"},
    {DICT, NULL, TEXT("220 -5\n"), "dict.txt, line 1 is not a word"},
    {DICT, NULL, TEXT("220 5\n221 5\n220 5\n"), "dict.txt, line 3 repeats the word \"220\""},
    {DICT, NULL, TEXT("220 5\n</s> 5\n"), "dict.txt, line 2 repeats the word \"</s>\""},
    {DICT, NULL, TEXT("22\0 5\n"), "dict.txt, line 1 is not UTF-8"},
    {DICT, NULL, TEXT("\xed\xa0\x80 5\n"), "dict.txt, line 1 is not UTF-8"},
};

static void test_damaged_vocabularies(void **state) {
    (void)state;
    for (size_t i = 0; i < COUNT(damages); i++) {
        struct files files;
        struct onp_tokenizer *tokenizer;
        read_files(&files);
        assert_int_equal(parse(&files, &tokenizer), ONP_OK);
        onp_tokenizer_destroy(tokenizer);
        replace(&files, damages[i].file, damages[i].old, damages[i].text, damages[i].size);
        const enum onp_status status = parse(&files, &tokenizer);
        const char *message = onp_last_error();
        if (status != ONP_ERR_FORMAT || tokenizer || !strstr(message, damages[i].message) ||
            !strstr(message, names[damages[i].file]) || !strstr(message, "origin"))
            fail_msg("damage %zu: status %d, \"%s\"", i, (int)status, message);
        free_files(&files);
    }
}

// Cut anywhere: refused, except that a dict.txt cut at a line is a shorter dictionary.
static void test_cut_files(void **state) {
    (void)state;
    for (int file = 0; file < 3; file++) {
        struct files files;
        struct onp_tokenizer *tokenizer;
        read_files(&files);
        const size_t whole = files.size[file];
        for (size_t size = 0; size < whole; size += 1 + size / 40) {
            files.size[file] = size;
            const enum onp_status status = parse(&files, &tokenizer);
            const bool line = file == MERGES && size > 0 && files.data[file][size - 1] == '\n';
            if (file != DICT && !line) assert_int_equal(status, ONP_ERR_FORMAT);
            onp_tokenizer_destroy(tokenizer);
        }
        free_files(&files);
    }
}

static void test_long_lines_and_files(void **state) {
    (void)state;
    enum { LINE = 5000, FILE_BYTES = (16 << 20) + 1 };
    char *big = malloc(FILE_BYTES);
    assert_non_null(big);
    memset(big, 'a', FILE_BYTES);
    for (int file = MERGES; file <= DICT; file++) {
        struct files files;
        struct onp_tokenizer *tokenizer;
        read_files(&files);
        replace(&files, file, "\n", big, LINE);
        assert_int_equal(parse(&files, &tokenizer), ONP_ERR_FORMAT);
        assert_non_null(strstr(onp_last_error(), "line 1"));
        free_files(&files);
    }
    for (int file = 0; file < 3; file++) {
        struct files files;
        struct onp_tokenizer *tokenizer;
        read_files(&files);
        replace(&files, file, NULL, big, FILE_BYTES);
        assert_int_equal(parse(&files, &tokenizer), ONP_ERR_FORMAT);
        assert_non_null(strstr(onp_last_error(), "more than the"));
        free_files(&files);
    }
    free(big);
}

// CR LF line ends and words that are no numbers are harmless; a token that the dictionary lacks is
// <unk>.
static void test_lenient_forms(void **state) {
    (void)state;
    struct files files;
    struct onp_tokenizer *tokenizer;
    read_files(&files);
    replace(&files, MERGES, "#version: 0.2\n", TEXT("#version: 0.2\r\n"));
    replace(&files, DICT, NULL, TEXT("two words 7\r\n0220 1\n220 5\r\nmadeupword0000 0"));
    assert_int_equal(parse(&files, &tokenizer), ONP_OK);
    assert_int_equal(onp_tokenizer_vocab(tokenizer), 8);
    int32_t *ids;
    size_t count;
    assert_int_equal(onp_tokenizer_encode(tokenizer, "", 0, ONP_TEXT_HUB, &ids, &count), ONP_OK);
    assert_int_equal(ids[0], 6);
    free(ids);
    assert_int_equal(onp_tokenizer_encode(tokenizer, "q", 1, ONP_TEXT_HUB, &ids, &count), ONP_OK);
    assert_int_equal(ids[0], 6);
    assert_int_equal(ids[1], 3);
    free(ids);
    onp_tokenizer_destroy(tokenizer);
    free_files(&files);
}

static void test_missing_files(void **state) {
    (void)state;
    struct files files;
    read_files(&files);
    char dir[] = "/tmp/onp_test_text.XXXXXX", path[64];
    assert_non_null(mkdtemp(dir));
    struct onp_tokenizer *tokenizer = NULL;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(onp_tokenizer_load_dir(dir, &quiet, &tokenizer), ONP_ERR_IO);
        assert_null(tokenizer);
        assert_non_null(strstr(onp_last_error(), names[i]));
        snprintf(path, sizeof path, "%s/%s", dir, names[i]);
        FILE *file = fopen(path, "wb");
        assert_non_null(file);
        assert_int_equal(fwrite(files.data[i], 1, files.size[i], file), files.size[i]);
        assert_int_equal(fclose(file), 0);
    }
    assert_int_equal(onp_tokenizer_load_dir(dir, &quiet, &tokenizer), ONP_OK);
    onp_tokenizer_destroy(tokenizer);
    onp_tokenizer_destroy(NULL);
    for (int i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s/%s", dir, names[i]);
        assert_int_equal(unlink(path), 0);
    }
    assert_int_equal(rmdir(dir), 0);
    free_files(&files);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden_real),
        cmocka_unit_test(test_golden_micro),
        cmocka_unit_test(test_golden_model_tokens),
        cmocka_unit_test(test_empty_text),
        cmocka_unit_test(test_bad_utf8),
        cmocka_unit_test(test_limit),
        cmocka_unit_test(test_random_text_stays_in_the_dictionary),
        cmocka_unit_test(test_damaged_vocabularies),
        cmocka_unit_test(test_cut_files),
        cmocka_unit_test(test_long_lines_and_files),
        cmocka_unit_test(test_lenient_forms),
        cmocka_unit_test(test_missing_files),
    };
    return cmocka_run_group_tests_name("text", tests, NULL, NULL);
}
