// SPDX-License-Identifier: Apache-2.0
// Damaged and lying model files. Each must be refused with a message that names the file, without
// a crash, without executing anything, and without memory beyond what the file's size justifies.
// The bytes lie in malloc'ed memory of exactly their size, so that the sanitizers see any overread.
#define _GNU_SOURCE // memmem
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/rng.h"
#include "io/model_table.h"
#include "model_bytes.h"

static const struct onp_log quiet = {0};

#if defined(__SANITIZE_ADDRESS__)
#define ADDRESS_SANITIZER 1
#elif defined(__has_feature)
#define ADDRESS_SANITIZER __has_feature(address_sanitizer)
#else
#define ADDRESS_SANITIZER 0
#endif

// Opens the bytes and, if that works, reads everything.
static enum onp_status try_bytes(const void *data, size_t size) {
    struct onp_model_file *file = NULL;
    void *copy = malloc(size ? size : 1);
    assert_non_null(copy);
    if (size > 0) memcpy(copy, data, size);
    const enum onp_status status =
        onp_model_file_open_memory("hostile.pt", copy, size, &quiet, &file);
    if (status == ONP_OK) {
        for (size_t i = 0; i < onp_model_file_count(file); i++) {
            const struct onp_file_tensor *t = onp_model_file_at(file, i);
            assert_true(t->count * onp_dtype_size(t->dtype) <= size);
            void *out = malloc(t->count * 8 + 1);
            onp_tensor_gather(t, 0, t->count, out);
            if (t->dtype <= ONP_F64) onp_file_tensor_read(t, 0, t->count, out);
            free(out);
        }
        free(onp_config_json(onp_model_file_config(file)));
        onp_model_file_close(file);
    } else {
        assert_non_null(strstr(onp_last_error(), "hostile.pt"));
    }
    free(copy);
    return status;
}

// The bytes must be refused with this status and a message that has `words`. Frees the buffer.
static void refuse(struct onp_buf *buf, enum onp_status status, const char *words) {
    assert_false(buf->failed);
    const enum onp_status got = try_bytes(buf->data, buf->size);
    if (got != status || !strstr(onp_last_error(), words))
        fail_msg("wanted %s with '%s', got %s: %s", onp_status_name(status), words,
                 onp_status_name(got), got ? onp_last_error() : "");
    onp_buf_free(buf);
}

// A pickle of protocol 2 with this body.
static void refuse_pickle(const char *body, size_t size, const char *words) {
    struct onp_buf buf = {0};
    PUT(&buf, "\x80\x02");
    onp_buf_append(&buf, body, size);
    refuse(&buf, ONP_ERR_FORMAT, words);
}
#define REFUSE_PICKLE(body, words) refuse_pickle(body, sizeof(body) - 1, words)

// --- Damage ----------------------------------------------------------------------------------

static void every_cut_is_noticed(void **state) {
    (void)state;
    for (enum form form = ZIP; form < FORMS; form++) {
        struct onp_buf buf = {0};
        make_file(&buf, form, two_tensors, 2);
        assert_int_equal(try_bytes(buf.data, buf.size), ONP_OK);
        for (size_t size = 0; size < buf.size; size++)
            assert_int_not_equal(try_bytes(buf.data, size), ONP_OK);
        onp_buf_free(&buf);
    }
}

static void change_bytes(struct onp_rng *rng, unsigned char *data, size_t from, size_t to) {
    for (uint64_t n = 1 + onp_rng_next(rng) % 4; n > 0; n--) {
        const uint64_t r = onp_rng_next(rng);
        unsigned char *byte = &data[from + (r >> 16) % (to - from)];
        if (r & 1)
            *byte = (unsigned char)(*byte ^ 1u << (r >> 1 & 7));
        else
            *byte = (unsigned char)(r & 2 ? 0xff : r >> 8);
    }
}

static void changed_bytes_do_no_harm(void **state) {
    (void)state;
    struct onp_rng rng = {4711};
    for (enum form form = ZIP; form < FORMS; form++) {
        struct onp_buf buf = {0};
        make_file(&buf, form, two_tensors, 2);
        for (int i = 0; i < 3000; i++) {
            char *copy = malloc(buf.size);
            memcpy(copy, buf.data, buf.size);
            change_bytes(&rng, (unsigned char *)copy, 0, buf.size);
            try_bytes(copy, buf.size);
            free(copy);
        }
        onp_buf_free(&buf);
    }
}

static void a_damaged_checkpoint_does_no_harm(void **state) {
    (void)state;
    struct onp_rng rng = {42};
    char path[4096], *data;
    size_t size;
    snprintf(path, sizeof path, "%s/audio_only_bf16.pt", getenv("ONP_TEST_DERIVED"));
    assert_int_equal(onp_file_read(path, 1 << 24, &quiet, &data, &size), ONP_OK);
    for (size_t cut = 1; cut < size; cut += size / 61)
        assert_int_not_equal(try_bytes(data, cut), ONP_OK);
    for (int i = 0; i < 150; i++) {
        char *copy = malloc(size);
        memcpy(copy, data, size);
        // The pickle is at the start, the directory at the end.
        const bool head = i % 2 == 0;
        change_bytes(&rng, (unsigned char *)copy, head ? 0 : size - 12000, head ? 45000 : size);
        try_bytes(copy, size);
        free(copy);
    }
    free(data);
}

// --- Tensors that lie ------------------------------------------------------------------------

static const struct {
    struct spec spec;
    enum onp_status status;
    const char *words;
} lies[] = {
    {{"w", "FloatStorage", "0", 6, 1, 1, {6}, {1}}, ONP_ERR_FORMAT, "w reaches beyond"},
    {{"w", "FloatStorage", "0", 6, 7, 1, {0}, {1}}, ONP_ERR_FORMAT, "w reaches beyond"},
    {{"w", "FloatStorage", "0", 6, -1, 1, {1}, {1}}, ONP_ERR_FORMAT, "tensor w are not valid"},
    {{"w", "FloatStorage", "0", 6, INT64_MAX, 1, {2}, {1}}, ONP_ERR_FORMAT, "w reaches beyond"},
    {{"w", "FloatStorage", "0", 6, 0, 1, {-6}, {1}}, ONP_ERR_FORMAT, "tensor w are not valid"},
    {{"w", "FloatStorage", "0", 6, 5, 1, {6}, {-1}}, ONP_ERR_FORMAT, "tensor w are not valid"},
    {{"w", "FloatStorage", "0", 6, 0, 2, {1ll << 33, 1ll << 33}, {1, 1}},
     ONP_ERR_FORMAT,
     "w is impossibly large"},
    {{"w", "FloatStorage", "0", 6, 0, 2, {3, 3}, {1ll << 62, 1ll << 62}},
     ONP_ERR_FORMAT,
     "w is impossibly large"},
    {{"w", "FloatStorage", "0", 6, 0, 2, {5, 1}, {INT64_MAX, 1}},
     ONP_ERR_FORMAT,
     "w is impossibly large"},
    {{"w", "FloatStorage", "0", 6, 0, 1, {1ll << 40}, {0}}, ONP_ERR_FORMAT, "w has more elements"},
    {{"w", "FloatStorage", "0", 6, 0, 2, {4, 3}, {1, 1}}, ONP_ERR_FORMAT, "w has more elements"},
    {{"w", "FloatStorage", "0", 6, 0, 9, {1, 1, 1, 1, 1, 1, 1, 1, 1}, {1}},
     ONP_ERR_FORMAT,
     "tensor w are not valid"},
    {{"", "FloatStorage", "0", 6, 0, 1, {6}, {1}}, ONP_ERR_FORMAT, "name"},
    {{"a\x1b[2J", "FloatStorage", "0", 6, 0, 1, {6}, {1}}, ONP_ERR_FORMAT, "name"},
    {{"w", "FloatStorage", "0", -6, 0, 1, {6}, {1}}, ONP_ERR_FORMAT, "record of a storage"},
    {{"w", "StringStorage", "0", 6, 0, 1, {6}, {1}}, ONP_ERR_UNSUPPORTED, "type"},
    {{"w", "ComplexFloatStorage", "0", 3, 0, 1, {3}, {1}}, ONP_ERR_UNSUPPORTED, "ComplexFloat"},
    {{"w", "FloatStorage", "0", 7, 0, 1, {6}, {1}}, ONP_ERR_FORMAT, "m/data/0 is shorter"},
    {{"w", "DoubleStorage", "0", 6, 0, 1, {6}, {1}}, ONP_ERR_FORMAT, "m/data/0 is shorter"},
    {{"w", "LongStorage", "0", INT64_MAX, 0, 1, {6}, {1}}, ONP_ERR_FORMAT, "m/data/0 is shorter"},
    {{"w", "FloatStorage", "1", 6, 0, 1, {6}, {1}}, ONP_ERR_FORMAT, "data/1 is not in the archive"},
    {{"w", "FloatStorage", "../x", 6, 0, 1, {6}, {1}}, ONP_ERR_FORMAT, "is not in the archive"},
};

static void lying_tensors_are_refused(void **state) {
    (void)state;
    for (size_t i = 0; i < ONP_COUNT(lies); i++) {
        struct onp_buf buf = {0};
        make_file(&buf, ZIP, &lies[i].spec, 1);
        refuse(&buf, lies[i].status, lies[i].words);
    }
    // The same in the other forms, where another check may come first.
    for (size_t i = 0; i < ONP_COUNT(lies); i++)
        for (enum form form = LEGACY; form <= PLAIN; form++) {
            struct onp_buf buf = {0};
            if (strcmp(lies[i].spec.key, "0") != 0) continue;
            make_file(&buf, form, &lies[i].spec, 1);
            assert_int_not_equal(try_bytes(buf.data, buf.size), ONP_OK);
            onp_buf_free(&buf);
        }
}

static void names_must_differ_and_be_short(void **state) {
    (void)state;
    const struct spec same[] = {two_tensors[0], two_tensors[0]};
    struct spec longer = two_tensors[0];
    char name[1026];
    struct onp_buf buf = {0};
    make_file(&buf, ZIP, same, 2);
    refuse(&buf, ONP_ERR_FORMAT, "a.weight occurs twice");
    memset(name, 'x', sizeof name);
    name[1025] = '\0';
    longer.name = name;
    make_file(&buf, ZIP, &longer, 1);
    refuse(&buf, ONP_ERR_FORMAT, "too long");
}

// --- Archives that lie -----------------------------------------------------------------------

// A good archive of three entries; `break_it` changes it before it is written.
static void zip_case(void (*break_it)(struct zip_entry *entries), bool zip64,
                     enum onp_status status, const char *words) {
    struct onp_buf buf = {0}, object = {0};
    pk_model(&object, two_tensors, 2, pk_persistent);
    struct zip_entry entries[] = {
        {"m/data.pkl", object.data, object.size, .zip64 = zip64},
        {"m/data/0", six_floats, sizeof six_floats, .zip64 = zip64},
        {"m/byteorder", "little", 6, .zip64 = zip64},
    };
    if (break_it) break_it(entries);
    put_zip(&buf, entries, 3, zip64);
    refuse(&buf, status, words);
    onp_buf_free(&object);
}

static void compress_weights(struct zip_entry *e) { e[1].method = 8; }
static void compress_pickle(struct zip_entry *e) { e[0].method = 8; }
static void encrypt(struct zip_entry *e) { e[1].flags = 1; }
static void longer_than_file(struct zip_entry *e) { e[1].lie = 1 << 20; }
static void longer_than_memory(struct zip_entry *e) { e[1].lie = UINT64_MAX - 100; }
static void shorter_entry(struct zip_entry *e) { e[1].lie = 23; }
static void second_pickle(struct zip_entry *e) { e[2].name = "n/data.pkl"; }
static void same_names(struct zip_entry *e) { e[2].name = "m/data/0"; }
static void no_pickle(struct zip_entry *e) { e[0].name = "m/data.txt"; }
static void big_endian(struct zip_entry *e) { e[2].data = "big   "; }
static void odd_folder(struct zip_entry *e) { e[0].name = "\x1b[2J/data.pkl"; }

static void lying_archives_are_refused(void **state) {
    (void)state;
    for (int zip64 = 0; zip64 < 2; zip64++) {
        zip_case(compress_weights, zip64, ONP_ERR_UNSUPPORTED, "m/data/0 is compressed");
        zip_case(compress_pickle, zip64, ONP_ERR_UNSUPPORTED, "m/data.pkl is compressed");
        zip_case(encrypt, zip64, ONP_ERR_UNSUPPORTED, "m/data/0 is encrypted");
        zip_case(longer_than_file, zip64, ONP_ERR_FORMAT, "m/data/0 is longer than the file");
        zip_case(shorter_entry, zip64, ONP_ERR_FORMAT, "m/data/0 is shorter");
        zip_case(second_pickle, zip64, ONP_ERR_FORMAT, "two entries end in /data.pkl");
        zip_case(same_names, zip64, ONP_ERR_FORMAT, "same name");
        zip_case(no_pickle, zip64, ONP_ERR_FORMAT, "no entry ends in /data.pkl");
        zip_case(odd_folder, zip64, ONP_ERR_FORMAT, "no entry ends in /data.pkl");
        zip_case(big_endian, zip64, ONP_ERR_UNSUPPORTED, "big-endian");
    }
    zip_case(longer_than_memory, true, ONP_ERR_FORMAT, "m/data/0 is longer than the file");
}

// Overwrites a number at `at` (from the end if negative) of a good archive.
static void patched(bool zip64, long at, uint64_t value, size_t bytes, const char *words) {
    struct onp_buf buf = {0};
    make_file(&buf, zip64 ? ZIP64 : ZIP, two_tensors, 2);
    char *place = buf.data + (at < 0 ? (long)buf.size + at : at);
    for (size_t i = 0; i < bytes; i++) place[i] = (char)(value >> 8 * i);
    refuse(&buf, ONP_ERR_FORMAT, words);
}

static void lying_directories_are_refused(void **state) {
    (void)state;
    patched(false, -22 + 16, UINT32_MAX, 4, "outside the file"); // place of the directory
    patched(false, -22 + 12, 1 << 30, 4, "outside the file");    // its size
    patched(false, -22 + 10, 60000, 2, "too short");             // its count
    patched(false, -22 + 10, 4, 2, "too short");
    patched(false, -22 + 10, 0, 2, "empty");
    patched(false, -22 + 16, 0, 4, "missing"); // points at the entries
    patched(true, -42 + 8, UINT64_MAX, 8, "zip64 record");
    patched(true, -42 + 8, 3, 8, "zip64 record");
    patched(true, -98 + 32, UINT64_MAX, 8, "too short");
    patched(true, -98 + 40, UINT64_MAX, 8, "outside the file");
    patched(true, -98 + 48, UINT64_MAX - 5, 8, "outside the file");
    patched(false, 26, 9, 2, "does not start where"); // name length in the local header
    patched(false, 28, 65535, 2, "does not start where");
    patched(false, 0, 0x04034b51, 4, "not a model file");
}

// --- Pickles ---------------------------------------------------------------------------------

static void nothing_is_ever_executed(void **state) {
    (void)state;
    static const char call[] = "cos\nsystem\n(X\x1a\0\0\0touch executed-by-a-picklet";
    struct onp_buf buf = {0};
    unlink("executed-by-a-pickle");
    // The whole file is the call, by each way to make one.
    static const char *const ways[] = {"R.", "\x81.", "}\x92."};
    for (size_t i = 0; i < 3; i++) {
        PUT(&buf, "\x80\x02");
        onp_buf_append(&buf, call, sizeof call - 1);
        onp_buf_append(&buf, ways[i], strlen(ways[i]));
        refuse(&buf, ONP_ERR_FORMAT, "holds no model");
    }
    // Beside a good tensor it is inert.
    struct onp_buf model = {0};
    make_file(&model, PLAIN, two_tensors, 2);
    PUT(&buf, "\x80\x02}X\x05\0\0\0model}(X\x04\0\0\0"
              "evil");
    onp_buf_append(&buf, call, sizeof call - 1);
    PUT(&buf, "R");
    onp_buf_append(&buf, model.data + 15, model.size - 15);
    assert_int_equal(try_bytes(buf.data, buf.size), ONP_OK);
    onp_buf_free(&buf);
    onp_buf_free(&model);
    // As the maker of a tensor's storage it is refused.
    PUT(&buf, "\x80\x02}X\x01\0\0\0wctorch._utils\n_rebuild_tensor_v2\n(");
    onp_buf_append(&buf, call, sizeof call - 1);
    PUT(&buf, "RK\0(K\x01t(K\x01t\x89}tRs.");
    refuse(&buf, ONP_ERR_UNSUPPORTED, "storage is not given as bytes");
    assert_int_not_equal(access("executed-by-a-pickle", F_OK), 0);
}

static void damaged_pickles_are_refused(void **state) {
    (void)state;
    REFUSE_PICKLE(".", "stack runs empty");
    REFUSE_PICKLE("", "ends too early");
    REFUSE_PICKLE("K", "ends too early");
    REFUSE_PICKLE("X\xff\xff\xff\xffx.", "ends too early");
    REFUSE_PICKLE("\x8d\xff\xff\xff\xff\xff\xff\xff\xffx.", "ends too early");
    REFUSE_PICKLE("\x8e\0\0\0\0\0\0\0\x80x.", "ends too early");
    REFUSE_PICKLE("\x8a\xff\x01.", "ends too early");             // LONG1
    REFUSE_PICKLE("\x8b\xff\xff\xff\xff\x01.", "ends too early"); // LONG4
    REFUSE_PICKLE("\x95\xff\xff\xff\xff\xff\xff\xff\xffN.", "frame");
    REFUSE_PICKLE("\x80\x09N.", "unknown protocol");
    REFUSE_PICKLE("a.", "stack runs empty");
    REFUSE_PICKLE("Na.", "stack runs empty");
    REFUSE_PICKLE("NNa.", "no container");
    REFUSE_PICKLE("}(Nu.", "no value");
    REFUSE_PICKLE("](Nu.", "no value");
    REFUSE_PICKLE("}(Ne.", "no container");
    REFUSE_PICKLE("(NNu.", "stack runs empty");
    REFUSE_PICKLE("Nu.", "mark is missing");
    REFUSE_PICKLE("t.", "mark is missing");
    REFUSE_PICKLE("N(\x85.", "stack runs empty"); // reaches below a mark
    REFUSE_PICKLE("NN\x87.", "stack runs empty");
    REFUSE_PICKLE("h\0.", "does not exist");
    REFUSE_PICKLE("Nr\xff\xff\xff\xff.", "far too large");
    REFUSE_PICKLE("q\0.", "stack runs empty");
    REFUSE_PICKLE("NNR.", "no tuple");
    REFUSE_PICKLE("NN\x93.", "no short string");
    REFUSE_PICKLE("cos\nsystem", "does not end");
    REFUSE_PICKLE("(cos\nsystem\no.", "opcode 0x6f"); // OBJ
    REFUSE_PICKLE("(ios\nsystem\n.", "opcode 0x69");  // INST
    REFUSE_PICKLE("\x82\x01.", "opcode 0x82");        // EXT1
    REFUSE_PICKLE("Pid\n.", "opcode 0x50");           // PERSID
    REFUSE_PICKLE("I5\n.", "opcode 0x49");
    REFUSE_PICKLE("\x97.", "opcode 0x97"); // out-of-band buffers
    REFUSE_PICKLE("N.", "holds no model");
    REFUSE_PICKLE("}X\x05\0\0\0modelNs.", "holds no model");
    REFUSE_PICKLE("cm\nNet\n)\x81}X\x01\0\0\0wK\x01sb.", "holds no model");
    REFUSE_PICKLE("}X\x01\0\0\0wctorch._utils\n_rebuild_tensor_v2\n)Rs.", "tensor w are not valid");
}

static void special_tensors_are_not_skipped(void **state) {
    (void)state;
    static const char body[] = "\x80\x02}X\x01\0\0\0wctorch._utils\n_rebuild_qtensor\n)Rs.";
    struct onp_buf buf = {0};
    onp_buf_append(&buf, body, sizeof body - 1);
    refuse(&buf, ONP_ERR_UNSUPPORTED, "tensor w is not a plain dense tensor");
}

// A pickle with one good tensor and this cfg.
static void with_cfg(struct onp_buf *buf, const struct onp_buf *cfg) {
    make_file(buf, PLAIN, two_tensors, 1);
    buf->size--; // the final STOP
    pk_string(buf, "cfg");
    put_buf(buf, cfg);
    PUT(buf, "s.");
}

static void configurations_cannot_explode(void **state) {
    (void)state;
    struct onp_buf cfg = {0}, buf = {0};
    for (int i = 0; i < 100000; i++) PUT(&cfg, "]"); // lists in lists
    for (int i = 1; i < 100000; i++) PUT(&cfg, "a");
    with_cfg(&buf, &cfg);
    refuse(&buf, ONP_ERR_FORMAT, "configuration is larger or deeper");
    onp_buf_free(&cfg);

    PUT(&cfg, "Nq\0"); // twenty levels of eight times the one before
    for (unsigned i = 0; i < 20; i++) {
        PUT(&cfg, "](");
        for (int k = 0; k < 8; k++) {
            PUT(&cfg, "h");
            put_uint(&cfg, i, 1);
        }
        PUT(&cfg, "eq");
        put_uint(&cfg, i + 1, 1);
    }
    struct onp_buf list = {0}; // the levels are leftovers on the stack: put them into one list
    PUT(&list, "](");
    put_buf(&list, &cfg);
    PUT(&list, "e");
    with_cfg(&buf, &list);
    refuse(&buf, ONP_ERR_FORMAT, "configuration is larger or deeper");
    onp_buf_free(&list);
    onp_buf_free(&cfg);

    PUT(&cfg, "](cm\nC\n)\x81}(X\4\0\0\0_valK\1"); // an object that is slow to search, often
    for (int i = 0; i < 100000; i++) PUT(&cfg, "K\1K\1");
    PUT(&cfg, "ubq\0");
    for (int i = 0; i < 100000; i++) PUT(&cfg, "h\0");
    PUT(&cfg, "e");
    with_cfg(&buf, &cfg);
    refuse(&buf, ONP_ERR_FORMAT, "configuration is larger or deeper");
    onp_buf_free(&cfg);

    PUT(&cfg, "]q\0h\0a"); // a list that holds itself
    with_cfg(&buf, &cfg);
    refuse(&buf, ONP_ERR_FORMAT, "configuration is larger or deeper");
    onp_buf_free(&cfg);

    PUT(&cfg, "](X");
    put_uint(&cfg, 1 << 20, 4);
    for (int i = 0; i < 1 << 20; i++) PUT(&cfg, "x");
    PUT(&cfg, "q\0");
    for (int i = 0; i < 5000; i++) PUT(&cfg, "h\0"); // 1 MB of text 5000 times
    PUT(&cfg, "e");
    with_cfg(&buf, &cfg);
    refuse(&buf, ONP_ERR_FORMAT, "configuration is larger or deeper");
    onp_buf_free(&cfg);
}

static void pickles_are_limited(void **state) {
    (void)state;
    struct onp_buf buf = {0};
    PUT(&buf, "\x80\x02(");
    char *many = malloc(1 << 23);
    memset(many, 'N', 1 << 23);
    onp_buf_append(&buf, many, 1 << 23);
    PUT(&buf, "t.");
    refuse(&buf, ONP_ERR_FORMAT, "more values");
    for (size_t i = 0; i < 1 << 23; i += 2) memcpy(many + i, "20", 2);
    PUT(&buf, "\x80\x02N");
    for (int i = 0; i < 3; i++) onp_buf_append(&buf, many, 1 << 23);
    PUT(&buf, ".");
    refuse(&buf, ONP_ERR_FORMAT, "more steps");
    free(many);
}

// --- Legacy files ----------------------------------------------------------------------------

// Replaces the first occurrence of `from` in a good legacy file.
static void legacy_case(const char *from, const char *to, size_t size, enum onp_status status,
                        const char *words) {
    struct onp_buf buf = {0};
    make_file(&buf, LEGACY, two_tensors, 2);
    char *place = memmem(buf.data, buf.size, from, size);
    assert_non_null(place);
    memcpy(place, to, size);
    refuse(&buf, status, words);
}

static void lying_legacy_files_are_refused(void **state) {
    (void)state;
    legacy_case("M\xe9\x03.", "M\xea\x03.", 4, ONP_ERR_FORMAT, "version 1001");
    legacy_case("endian\x88", "endian\x89", 7, ONP_ERR_UNSUPPORTED, "big-endian");
    legacy_case("](X\1\0\0\0000e", "](X\1\0\0\0001e", 9, ONP_ERR_FORMAT, "list of storages");
    legacy_case("\x02](X\1\0\0\0000e", "\x02}(NX\0\0\0\0u", 10, ONP_ERR_FORMAT,
                "list of storages is missing");
    legacy_case("e.\6\0\0\0", "e.\7\0\0\0", 6, ONP_ERR_FORMAT, "storage 0 has 7 elements");
    legacy_case("e.\6\0\0\0", "e.\6\0\0\1", 6, ONP_ERR_FORMAT, "storage 0 has");
    legacy_case("tQ", "NQ", 2, ONP_ERR_FORMAT, "hostile.pt");
    const struct spec differ[] = {two_tensors[0], {"b", "FloatStorage", "0", 5, 0, 1, {2}, {1}}};
    struct onp_buf buf = {0};
    make_file(&buf, LEGACY, differ, 2);
    refuse(&buf, ONP_ERR_FORMAT, "storage 0 disagree");
    const struct spec huge = {"w", "LongStorage", "0", INT64_MAX, 0, 1, {6}, {1}};
    make_file(&buf, LEGACY, &huge, 1);
    refuse(&buf, ONP_ERR_FORMAT, "ends inside storage 0");
}

// --- safetensors -----------------------------------------------------------------------------

#define T(dtype, shape, from, to)                                                                  \
    "{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":[" #from "," #to "]}"

static const struct {
    const char *header;
    size_t data;
    enum onp_status status;
    const char *words;
} headers[] = {
    {"{\"a\":" T("F32", "[2]", 0, 8) ",\"a\":" T("F32", "[2]", 8, 16) "}", 16, ONP_ERR_FORMAT,
     "duplicate"},
    {"{\"a\":" T("F32", "[2]", 0, 8) ",\"b\":" T("F32", "[2]", 4, 12) "}", 12, ONP_ERR_FORMAT,
     "b overlaps"},
    {"{\"a\":" T("F32", "[2]", 0, 8) ",\"b\":" T("F32", "[2]", 0, 8) "}", 8, ONP_ERR_FORMAT,
     "overlaps"},
    {"{\"a\":" T("F32", "[2]", 0, 8) ",\"b\":" T("F32", "[2]", 12, 20) "}", 20, ONP_ERR_FORMAT,
     "hole"},
    {"{\"a\":" T("F32", "[2]", 4, 12) "}", 12, ONP_ERR_FORMAT, "hole"},
    {"{\"a\":" T("F32", "[2]", 0, 8) "}", 9, ONP_ERR_FORMAT, "1 bytes behind"},
    {"{\"a\":" T("F32", "[2]", 0, 8) "}", 7, ONP_ERR_FORMAT, "a lies outside"},
    {"{\"a\":" T("F32", "[2]", 8, 0) "}", 8, ONP_ERR_FORMAT, "a lies outside"},
    {"{\"a\":" T("F32", "[2]", -8, 0) "}", 8, ONP_ERR_FORMAT, "a lies outside"},
    {"{\"a\":" T("F32", "[2]", 0, 8.0) "}", 8, ONP_ERR_FORMAT, "a lies outside"},
    {"{\"a\":" T("F32", "[2]", 0, 99999999999999999999) "}", 8, ONP_ERR_FORMAT, "JSON"},
    {"{\"a\":" T("F32", "[3]", 0, 8) "}", 8, ONP_ERR_FORMAT, "a has a shape that does not fit"},
    {"{\"a\":" T("F32", "[-2]", 0, 8) "}", 8, ONP_ERR_FORMAT, "a has an impossible shape"},
    {"{\"a\":" T("F32", "[4294967296,4294967296]", 0, 8) "}", 8, ONP_ERR_FORMAT,
     "a has an impossible shape"},
    {"{\"a\":" T("F64", "[2305843009213693953]", 0, 8) "}", 8, ONP_ERR_FORMAT,
     "a has a shape that does not fit"}, // 8 bytes each: the product wraps to 8
    {"{\"a\":" T("F32", "[1,1,1,1,1,1,1,1,2]", 0, 8) "}", 8, ONP_ERR_UNSUPPORTED, "8 dimensions"},
    {"{\"a\":" T("F8_E4M3", "[8]", 0, 8) "}", 8, ONP_ERR_UNSUPPORTED, "a has a dtype"},
    {"{\"a\":{\"shape\":[2],\"data_offsets\":[0,8]}}", 8, ONP_ERR_FORMAT, "a has no dtype"},
    {"{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,8]}}", 8, ONP_ERR_FORMAT, "a has no shape"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2]}}", 8, ONP_ERR_FORMAT, "a lies outside"},
    {"{\"a\":[1]}", 8, ONP_ERR_FORMAT, "a has no dtype"},
    {"{\"\\u001b\":" T("F32", "[2]", 0, 8) "}", 8, ONP_ERR_FORMAT, "name"},
    {"{\"\":" T("F32", "[2]", 0, 8) "}", 8, ONP_ERR_FORMAT, "name"},
    {"{\"a\":" T("F32", "[2]", 0, 8) "} x", 8, ONP_ERR_FORMAT, "JSON"},
    {"{\"a\":" T("F32", "[2]", 0, 8), 8, ONP_ERR_FORMAT, "JSON"},
    {"{\"__metadata__\":{\"k\":1},\"a\":" T("F32", "[2]", 0, 8) "}", 8, ONP_ERR_FORMAT, "strings"},
    {"{\"__metadata__\":[],\"a\":" T("F32", "[2]", 0, 8) "}", 8, ONP_ERR_FORMAT, "strings"},
    {"{\"__metadata__\":{\"onepeace.config\":\"{\"},\"a\":" T("F32", "[2]", 0, 8) "}", 8,
     ONP_ERR_FORMAT, "configuration is not valid JSON"},
};

static void lying_safetensors_are_refused(void **state) {
    (void)state;
    struct onp_buf buf = {0};
    for (size_t i = 0; i < ONP_COUNT(headers); i++) {
        put_safetensors(&buf, headers[i].header, headers[i].data);
        refuse(&buf, headers[i].status, headers[i].words);
    }
    for (int deep = 0; deep < 2; deep++) { // nested without end; and a header longer than the file
        put_uint(&buf, deep ? 100001 : 1000, 8);
        PUT(&buf, "{\"a\":");
        for (int i = 0; deep && i < 100000 - 4; i++) PUT(&buf, "[");
        refuse(&buf, ONP_ERR_FORMAT, deep ? "JSON" : "header would have 1000 bytes");
    }
    put_uint(&buf, 7 + (4 << 20), 8); // 4 MB that would take 100 MB when parsed
    PUT(&buf, "{\"a\":[0");
    for (int i = 0; i < 2 << 20; i++) PUT(&buf, ",0");
    refuse(&buf, ONP_ERR_FORMAT, "too many values");
    put_uint(&buf, UINT64_MAX, 8);
    PUT(&buf, "{}");
    refuse(&buf, ONP_ERR_FORMAT, "header would have");
}

// --- What is no model ------------------------------------------------------------------------

static const struct {
    const char *bytes;
    size_t size;
    const char *words;
} others[] = {
    {"", 0, "empty"},
    {"x", 1, "neither"},
    {"version https://git-lfs.github.com/spec/v1\n", 43, "git lfs pull"},
    {"\3757zXZ\0\0\0\0\0", 10, "xz -d"},
    {"\37\213\10\0\0\0\0\0\0\0", 10, "gzip -d"},
    {"(\265/\375\0\0\0\0\0\0", 10, "zstd -d"},
    {"<!DOCTYPE html>", 15, "web page"},
    {"PK", 2, "zip"},
};

static void other_files_are_named(void **state) {
    (void)state;
    char tar[512] = "folder/data.pkl";
    struct onp_buf buf = {0};
    for (size_t i = 0; i < ONP_COUNT(others); i++) {
        onp_buf_append(&buf, others[i].bytes, others[i].size);
        refuse(&buf, ONP_ERR_FORMAT, others[i].words);
    }
    memcpy(tar + 257, "ustar", 5);
    onp_buf_append(&buf, tar, sizeof tar);
    refuse(&buf, ONP_ERR_FORMAT, "tar archive");
}

static void paths_that_are_no_files_fail(void **state) {
    (void)state;
    struct onp_model_file *file = NULL;
    char name[64];
    snprintf(name, sizeof name, "test_model_hostile.%d", (int)getpid());
    assert_int_equal(onp_model_file_open(name, &quiet, &file), ONP_ERR_IO);
    assert_non_null(strstr(onp_last_error(), name));
    assert_int_equal(mkdir(name, 0700), 0);
    assert_int_equal(onp_model_file_open(name, &quiet, &file), ONP_ERR_IO);
    assert_non_null(strstr(onp_last_error(), name));
    rmdir(name);
    fclose(fopen(name, "w"));
    assert_int_equal(onp_model_file_open(name, &quiet, &file), ONP_ERR_FORMAT);
    assert_non_null(strstr(onp_last_error(), "empty"));
    unlink(name);
    assert_int_equal(mkfifo(name, 0600), 0); // must not wait for a writer
    assert_int_equal(onp_model_file_open(name, &quiet, &file), ONP_ERR_IO);
    unlink(name);
    assert_null(file);
}

// Runs after the lies and before the files that are large themselves.
static void memory_has_stayed_small(void **state) {
    (void)state;
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    if (!ADDRESS_SANITIZER) assert_true(usage.ru_maxrss < 64 << 10); // KiB
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_cut_is_noticed),
        cmocka_unit_test(changed_bytes_do_no_harm),
        cmocka_unit_test(a_damaged_checkpoint_does_no_harm),
        cmocka_unit_test(lying_tensors_are_refused),
        cmocka_unit_test(names_must_differ_and_be_short),
        cmocka_unit_test(lying_archives_are_refused),
        cmocka_unit_test(lying_directories_are_refused),
        cmocka_unit_test(nothing_is_ever_executed),
        cmocka_unit_test(damaged_pickles_are_refused),
        cmocka_unit_test(special_tensors_are_not_skipped),
        cmocka_unit_test(lying_legacy_files_are_refused),
        cmocka_unit_test(lying_safetensors_are_refused),
        cmocka_unit_test(other_files_are_named),
        cmocka_unit_test(paths_that_are_no_files_fail),
        cmocka_unit_test(memory_has_stayed_small),
        cmocka_unit_test(configurations_cannot_explode),
        cmocka_unit_test(pickles_are_limited),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
