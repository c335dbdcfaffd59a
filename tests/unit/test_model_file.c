// SPDX-License-Identifier: Apache-2.0
// Good model files: every format, every dtype, writing, and that opening stays cheap.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/half.h"
#include "base/sha256.h"
#include "io/model_table.h"
#include "model_bytes.h"

static const struct onp_log quiet = {0};

static const char *data_path(const char *name) {
    static char path[4096];
    const bool derived = strncmp(name, "derived/", 8) == 0; // written when the tests were built
    snprintf(path, sizeof path, "%s/%s", getenv(derived ? "ONP_TEST_DERIVED" : "ONP_TEST_DATA"),
             derived ? name + 8 : name);
    return path;
}

static const char *temporary(const char *name) {
    static char path[256];
    snprintf(path, sizeof path, "test_model_file.%d.%s", (int)getpid(), name);
    return path;
}

static struct onp_model_file *open_path(const char *path) {
    struct onp_model_file *file = NULL;
    const enum onp_status status = onp_model_file_open(path, &quiet, &file);
    if (status != ONP_OK) fail_msg("%s", onp_last_error());
    return file;
}

// --- Checkpoints -----------------------------------------------------------------------------

static void hash_hex(const void *data, size_t size, char hex[65]) {
    struct onp_sha256 sha;
    unsigned char digest[32];
    onp_sha256_init(&sha);
    onp_sha256_update(&sha, data, size);
    onp_sha256_final(&sha, digest);
    onp_sha256_hex(digest, hex);
}

// One line per tensor as tensor_digest.py has it, hashed.
static void digest_file(const struct onp_model_file *file, char hex[65]) {
    struct onp_buf lines = {0};
    for (size_t i = 0; i < onp_model_file_count(file); i++) {
        const struct onp_file_tensor *t = onp_model_file_at(file, i);
        const size_t bytes = t->count * onp_dtype_size(t->dtype);
        char data[65];
        void *raw = malloc(bytes + 1);
        onp_tensor_gather(t, 0, t->count, raw);
        hash_hex(raw, bytes, data);
        free(raw);
        onp_buf_printf(&lines, "%s %s ", t->name, onp_dtype_name(t->dtype));
        for (int k = 0; k < t->dims; k++)
            onp_buf_printf(&lines, "%s%lld", k ? "," : "", (long long)t->shape[k]);
        onp_buf_printf(&lines, " %s\n", data);
        assert_ptr_equal(onp_model_file_find(file, t->name), t);
        onp_model_file_release(file, t);
    }
    hash_hex(lines.data, lines.size, hex);
    onp_buf_free(&lines);
}

static const struct {
    const char *name, *format, *model, *digest;
    size_t count;
} checkpoints[] = {
    {"derived/retrieval_bf16.pt", "torch-zip", "one_peace_retrieval",
     "d0f616375d41b9c5a130d9badbb1585b32b4ce5cb333898954164cebb1fce0ee", 170},
    {"derived/retrieval_fp16.pt", "torch-zip", "one_peace_retrieval",
     "34c581da63108058b4723a8d0b364ff3f294f74356046d22c201bca103cfeeaf", 170},
    {"golden/micro/ckpt/retrieval_fp32.pt", "torch-zip", "one_peace_retrieval",
     "6649009e88467bc2986782fc60827d3826a45339f6aa5f63a4d174203bacff0c", 170},
    {"derived/audio_only_bf16.pt", "torch-zip", "one_peace_retrieval",
     "34832a7314de02fc5e05c10a5119e4eeaa963040bc2e8a3e1e6edfb5f1ec77d4", 108},
    {"golden/micro_extra/ckpt/one-peace-vision_bf16.pkl", "pickle", NULL,
     "8a2baa48fec93d14f3d0e2d3a84d0c33d1fcbef3c449a93b62733d0679f03da8", 78},
    {"golden/micro_extra/ckpt/retrieval_al_perlayer_bf16.pt", "torch-zip", "one_peace_retrieval",
     "348d45e05a6a67101ff27d4a333d775328f440aa37b21e21e55223d752d558bc", 138},
};

static void checkpoints_equal_what_python_reads(void **state) {
    (void)state;
    for (size_t i = 0; i < ONP_COUNT(checkpoints); i++) {
        struct onp_model_file *file = open_path(data_path(checkpoints[i].name));
        const char *model = NULL;
        char hex[65];
        assert_string_equal(onp_model_file_format(file), checkpoints[i].format);
        assert_int_equal(onp_model_file_count(file), checkpoints[i].count);
        digest_file(file, hex);
        assert_string_equal(hex, checkpoints[i].digest);
        const struct onp_config *config = onp_model_file_config(file);
        assert_int_equal(onp_config_string(config, "model._name", &model),
                         checkpoints[i].model != NULL);
        if (model) assert_string_equal(model, checkpoints[i].model);
        assert_null(onp_model_file_find(file, "no such tensor"));
        assert_true(onp_model_file_bytes(file) > 100000);
        onp_model_file_close(file);
    }
}

static void configurations_are_typed(void **state) {
    (void)state;
    struct onp_model_file *file = open_path(data_path("golden/micro/ckpt/retrieval_fp32.pt"));
    const struct onp_config *config = onp_model_file_config(file);
    const char *text;
    int64_t integer;
    double real;
    bool flag;
    assert_true(onp_config_int(config, "model.encoder.embed_dim", &integer));
    assert_int_equal(integer, 64);
    assert_true(onp_config_double(config, "model.encoder.embed_dim", &real));
    assert_true(real == 64.0);
    assert_true(onp_config_string(config, "task.head_type", &text));
    assert_string_equal(text, "val");
    assert_true(onp_config_bool(config, "model.encoder.use_layer_scale", &flag) && flag);
    assert_false(onp_config_int(config, "task.head_type", &integer));
    assert_false(onp_config_string(config, "model.encoder.embed_dim", &text));
    assert_false(onp_config_string(config, "model.encoder", &text));
    assert_false(onp_config_int(config, "model.nothing.here", &integer));
    assert_false(onp_config_int(NULL, "model", &integer));
    onp_model_file_close(file);
}

// --- Small files -----------------------------------------------------------------------------

static void every_form_reads_strides(void **state) {
    (void)state;
    static const char *const formats[] = {"torch-zip", "torch-zip", "torch-legacy", "pickle"};
    for (enum form form = ZIP; form <= PLAIN; form++) {
        struct onp_buf buf = {0};
        struct onp_model_file *file = NULL;
        make_file(&buf, form, two_tensors, 2);
        if (onp_model_file_open_memory("small", buf.data, buf.size, &quiet, &file) != ONP_OK)
            fail_msg("%s", onp_last_error());
        assert_string_equal(onp_model_file_format(file), formats[form]);
        const struct onp_file_tensor *a = onp_model_file_find(file, "a.weight");
        const struct onp_file_tensor *b = onp_model_file_find(file, "b.turned");
        float out[6];
        onp_file_tensor_read(a, 0, 6, out);
        for (int i = 0; i < 6; i++) assert_true(out[i] == (float)(i + 1));
        onp_file_tensor_read(a, 4, 2, out);
        assert_true(out[0] == 5 && out[1] == 6);
        onp_file_tensor_read(b, 0, 4, out); // rows (2, 5) and (3, 6)
        assert_true(out[0] == 2 && out[1] == 5 && out[2] == 3 && out[3] == 6);
        onp_file_tensor_read(b, 3, 1, out);
        assert_true(out[0] == 6);
        onp_model_file_close(file);
        onp_buf_free(&buf);
    }
}

static void every_dtype_is_known(void **state) {
    (void)state;
    static const struct {
        const char *type;
        enum onp_dtype dtype;
    } types[] = {
        {"FloatStorage", ONP_F32},  {"HalfStorage", ONP_F16}, {"BFloat16Storage", ONP_BF16},
        {"DoubleStorage", ONP_F64}, {"LongStorage", ONP_I64}, {"IntStorage", ONP_I32},
        {"ShortStorage", ONP_I16},  {"CharStorage", ONP_I8},  {"ByteStorage", ONP_U8},
        {"BoolStorage", ONP_BOOL},
    };
    for (size_t i = 0; i < ONP_COUNT(types); i++) {
        struct spec spec = {"x", types[i].type, "0", 3, 0, 1, {3}, {1}};
        struct onp_buf buf = {0};
        struct onp_model_file *file = NULL;
        make_file(&buf, ZIP, &spec, 1);
        assert_int_equal(onp_model_file_open_memory("small", buf.data, buf.size, &quiet, &file),
                         ONP_OK);
        assert_int_equal(onp_model_file_at(file, 0)->dtype, types[i].dtype);
        onp_model_file_close(file);
        onp_buf_free(&buf);
    }
}

// Scalars, empty tensors, parameters, a state dict at the top level, values that are no tensors.
static void odd_but_valid_shapes_open(void **state) {
    (void)state;
    const struct spec specs[] = {
        {"scalar", "FloatStorage", "0", 6, 5, 0, {0}, {0}},
        {"empty", "FloatStorage", "0", 6, 6, 2, {0, 7}, {7, 1}},
        {"deep", "FloatStorage", "0", 6, 0, 8, {1, 1, 1, 2, 1, 1, 3, 1}, {9, 9, 9, 3, 9, 9, 1, 9}},
    };
    struct onp_buf buf = {0};
    struct onp_model_file *file = NULL;
    float out[6];
    make_file(&buf, LEGACY, specs, 3);
    if (onp_model_file_open_memory("small", buf.data, buf.size, &quiet, &file) != ONP_OK)
        fail_msg("%s", onp_last_error());
    onp_file_tensor_read(onp_model_file_find(file, "scalar"), 0, 1, out);
    assert_true(out[0] == 6);
    assert_int_equal(onp_model_file_find(file, "empty")->count, 0);
    onp_file_tensor_read(onp_model_file_find(file, "deep"), 0, 6, out);
    for (int i = 0; i < 6; i++) assert_true(out[i] == (float)(i + 1));
    onp_model_file_close(file);
    onp_buf_free(&buf);
}

static void objects_in_a_configuration_become_data(void **state) {
    (void)state;
    static const char cfg[] =
        "\x80\x02}(X\x05\0\0\0model}X\x01\0\0\0wctorch._utils\n_rebuild_parameter\n("
        "ctorch._utils\n_rebuild_tensor_v2\n(ctorch.storage\n_load_from_bytes\n";
    // cfg = Namespace(lr=[0.5, None], kind=Enum(3), node=AnyNode(_val=7), cls=os.system, big=2**80)
    static const char rest[] =
        "X\x03\0\0\0cfgcargparse\nNamespace\n)\x81}(X\x02\0\0\0lr](G\x3f\xe0\0\0\0\0\0\0Ne"
        "X\x04\0\0\0kindcm\nEnum\nK\x03\x85RX\x04\0\0\0nodecomegaconf\nAnyNode\n)\x81}"
        "X\x04\0\0\0_valK\x07sbX\x03\0\0\0clscos\nsystem\nX\x03\0\0\0big\x8a\x0b\0\0\0\0\0\0\0\0"
        "\0\0\x01K\x05\x88ubu.";
    const struct spec spec = {"w", "FloatStorage", "0", 6, 0, 1, {6}, {1}};
    struct onp_buf buf = {0}, nested = {0};
    struct onp_model_file *file = NULL;
    pk_nested(&nested, &spec);
    onp_buf_append(&buf, cfg, sizeof cfg - 1 - strlen("ctorch.storage\n_load_from_bytes\n"));
    put_buf(&buf, &nested);
    PUT(&buf, "K\0(K\x06t(K\x01t\x89}tR\x88}tRs");
    onp_buf_append(&buf, rest, sizeof rest - 1);
    if (onp_model_file_open_memory("small", buf.data, buf.size, &quiet, &file) != ONP_OK)
        fail_msg("%s", onp_last_error());
    assert_int_equal(onp_model_file_find(file, "w")->count, 6);
    char *json = onp_config_json(onp_model_file_config(file));
    assert_string_equal(
        json, "{\"5\":true,\"big\":null,\"cls\":null,\"kind\":3,\"lr\":[0.5,null],\"node\":7}");
    free(json);
    onp_model_file_close(file);
    onp_buf_free(&nested);
    onp_buf_free(&buf);
}

static void widening_is_exact(void **state) {
    (void)state;
    static uint16_t bits[65536];
    static float out[65536];
    for (uint32_t i = 0; i < 65536; i++) bits[i] = (uint16_t)i;
    for (int half = 0; half < 2; half++) {
        const struct onp_file_tensor t = {
            "x", half ? ONP_F16 : ONP_BF16, 1, {65536}, {1}, bits, 65536, {0}};
        onp_file_tensor_read(&t, 0, t.count, out);
        for (uint32_t i = 0; i < 65536; i++) {
            const float want = half ? onp_half_to_float(bits[i]) : onp_bf16_to_float(bits[i]);
            assert_memory_equal(&out[i], &want, sizeof want);
        }
    }
}

// One of every opcode that protocols 4 and 5 write beside the common ones.
static void newer_protocols_are_read(void **state) {
    (void)state;
    static const char cfg[] =
        "\x8c\x03set\x8f(K\x01K\x02\x90" // EMPTY_SET, ADDITEMS
        "\x8c\x06"
        "frozen(K\x03\x91"                      // FROZENSET
        "\x8d\4\0\0\0\0\0\0\0long\x94K\xff\x85" // BINUNICODE8, MEMOIZE, TUPLE1
        "U\3oldT\3\0\0\0new"                    // SHORT_BINSTRING, BINSTRING
        "\x8c\5bytesC\2ab"                      // SHORT_BINBYTES
        "\x8c\5array\x96\2\0\0\0\0\0\0\0ab"     // BYTEARRAY8
        "\x8c\2ex\x8c\1m\x8c\1C\x93)}\x92N}\x8c\1ah\0s\x86"
        "b" // slots: state (None, dict)
        "\x8c\5slots\x8c\1m\x8c\1C\x93)\x81}\x8c\1aK\7sN\x86"
        "b"
        "\x8c\3neg\x8a\1\xfe\x8c\4zero\x8a\0\x8c\3intJ\xfd\xff\xff\xff"
        "\x8c\3nanG\x7f\xf8\0\0\0\0\0\0\x8c\4half"
        "G\x3f\xe0\0\0\0\0\0\0"
        "\x8c\3badX\1\0\0\0\xff"
        "C\1kK\1" // no UTF-8; a key that is no text
        "\x8c\4dropN2000(NN1";
    struct onp_buf buf = {0};
    struct onp_model_file *file = NULL;
    make_file(&buf, PLAIN, two_tensors, 1);
    buf.size--;
    PUT(&buf, "\x95\0\0\0\0\0\0\0\0X\3\0\0\0cfg}(");
    onp_buf_append(&buf, cfg, sizeof cfg - 1);
    PUT(&buf, "us.");
    if (onp_model_file_open_memory("small", buf.data, buf.size, &quiet, &file) != ONP_OK)
        fail_msg("%s", onp_last_error());
    char *json = onp_config_json(onp_model_file_config(file));
    assert_string_equal(json,
                        "{\"array\":null,\"bad\":null,\"bytes\":null,\"ex\":null,\"frozen\":[3]"
                        ",\"half\":0.5,\"int\":-3,\"long\":[255],\"nan\":null,\"neg\":-2,"
                        "\"old\":\"new\",\"set\":[1,2],\"slots\":{\"a\":7},\"zero\":0}");
    free(json);
    onp_model_file_close(file);
    onp_buf_free(&buf);
}

static void doubles_are_rounded(void **state) {
    (void)state;
    static const double values[3] = {0.1, -1e300, 3.0};
    const struct onp_file_tensor t = {"x", ONP_F64, 1, {3}, {1}, values, 3, {0}};
    float out[3];
    onp_file_tensor_read(&t, 0, 3, out);
    assert_true(out[0] == 0.1f && out[1] == -INFINITY && out[2] == 3.0f);
}

// --- Writing ---------------------------------------------------------------------------------

static const struct onp_metadata metadata[] = {
    {ONP_META_FORMAT, {"1", 1}},
    {ONP_META_ENCODER, {"{\"a\": \"\xc3\xa9\\n\"}", 13}},
    {ONP_META_MERGES, {"#v\n\xc4\xa0 t\n", 8}},
    {ONP_META_DICT, {"1 1\n", 4}},
    {ONP_META_CONFIG, {"{\"model\":{\"_name\":\"m\"}}", 23}},
};

// Writes all tensors of `from` in reverse order with floating ones as `dtype`.
static enum onp_status rewrite(const struct onp_model_file *from, const char *path, bool overwrite,
                               const enum onp_dtype *dtype) {
    const size_t count = onp_model_file_count(from);
    struct onp_tensor_out *out = calloc(count, sizeof *out);
    for (size_t i = 0; i < count; i++) {
        const struct onp_file_tensor *t = onp_model_file_at(from, count - 1 - i);
        out[i] = (struct onp_tensor_out){t->name, t, t->dtype};
        if (dtype && t->dtype <= ONP_F64) out[i].dtype = *dtype;
    }
    const enum onp_status status = onp_safetensors_write(path, overwrite, from, out, count,
                                                         metadata, ONP_COUNT(metadata), &quiet);
    free(out);
    return status;
}

static void writing_keeps_every_bit(void **state) {
    (void)state;
    struct onp_model_file *from = open_path(data_path(checkpoints[2].name));
    const char *path = temporary("safetensors");
    struct onp_tokenizer_blobs blobs;
    const char *name;
    char hex[65];
    assert_int_equal(rewrite(from, path, false, NULL), ONP_OK);
    struct onp_model_file *copy = open_path(path);
    assert_string_equal(onp_model_file_format(copy), "safetensors");
    digest_file(copy, hex);
    assert_string_equal(hex, checkpoints[2].digest);
    assert_true(onp_model_file_tokenizer(copy, &blobs));
    assert_int_equal(blobs.vocab_bpe.size, 8);
    assert_memory_equal(blobs.vocab_bpe.data, metadata[2].value.data, 8);
    assert_int_equal(blobs.encoder_json.size, 13);
    assert_memory_equal(blobs.encoder_json.data, metadata[1].value.data, 13);
    assert_true(onp_config_string(onp_model_file_config(copy), "model._name", &name));
    assert_string_equal(name, "m");
    assert_int_equal(((uintptr_t)onp_model_file_at(copy, 0)->data) % 8, 0);
    onp_model_file_close(copy);
    assert_false(onp_model_file_tokenizer(from, &blobs));
    assert_int_equal(rewrite(from, path, false, NULL), ONP_ERR_IO); // exists
    onp_model_file_close(from);
    unlink(path);
}

// Narrowing gives what PyTorch made of the same weights, whatever format they came from.
static void converting_equals_the_reference(void **state) {
    (void)state;
    static const enum onp_dtype dtypes[2] = {ONP_BF16, ONP_F16};
    struct onp_model_file *from = open_path(data_path(checkpoints[2].name));
    const char *path = temporary("safetensors");
    for (int i = 0; i < 2; i++) {
        char hex[65];
        assert_int_equal(rewrite(from, path, true, &dtypes[i]), ONP_OK);
        struct onp_model_file *copy = open_path(path);
        digest_file(copy, hex);
        assert_string_equal(hex, checkpoints[i].digest);
        onp_model_file_close(copy);
    }
    onp_model_file_close(from);
    unlink(path);
}

static void writing_refuses_nonsense(void **state) {
    (void)state;
    const struct onp_file_tensor floats = {"x", ONP_F32, 1, {6}, {1}, six_floats, 6, {0}};
    const struct onp_tensor_out twice[] = {{"x", &floats, ONP_F32}, {"x", &floats, ONP_F32}};
    const struct onp_tensor_out to_int = {"x", &floats, ONP_I32};
    const struct onp_tensor_out reserved = {"__metadata__", &floats, ONP_F32};
    const struct onp_metadata bad = {"k", {"\xff", 1}};
    const char *path = temporary("none");
    assert_int_equal(onp_safetensors_write(path, true, NULL, twice, 2, NULL, 0, &quiet),
                     ONP_ERR_ARGUMENT);
    assert_int_equal(onp_safetensors_write(path, true, NULL, &to_int, 1, NULL, 0, &quiet),
                     ONP_ERR_ARGUMENT);
    assert_int_equal(onp_safetensors_write(path, true, NULL, &reserved, 1, NULL, 0, &quiet),
                     ONP_ERR_ARGUMENT);
    assert_int_equal(onp_safetensors_write(path, true, NULL, twice, 1, &bad, 1, &quiet),
                     ONP_ERR_ARGUMENT);
    assert_int_equal(
        onp_safetensors_write("no/such/folder/x", true, NULL, twice, 1, NULL, 0, &quiet),
        ONP_ERR_IO);
    assert_int_not_equal(access(path, F_OK), 0);
}

// --- Size ------------------------------------------------------------------------------------

// A zip64 archive with one storage of 5 GiB, nearly all of it a hole in the file.
static bool make_large(const char *path, uint64_t elements) {
    struct spec spec = {"w", "FloatStorage",      "0", (int64_t)elements, 0,
                        1,   {(int64_t)elements}, {1}};
    struct onp_buf object = {0}, head = {0}, tail = {0};
    pk_model(&object, &spec, 1, pk_persistent);
    struct zip_entry entries[] = {{"m/data.pkl", object.data, object.size, .zip64 = true},
                                  {"m/data/0", NULL, 0, .zip64 = true, .lie = 4 * elements}};
    put_zip_entry(&head, &entries[0], true);
    put_buf(&head, &object);
    entries[1].header = head.size;
    put_zip_entry(&head, &entries[1], true);
    const uint64_t start = head.size + 4 * elements;
    put_zip_entry(&tail, &entries[0], false);
    put_zip_entry(&tail, &entries[1], false);
    put_zip_end(&tail, start, tail.size, 2, true);
    FILE *file = fopen(path, "wb");
    const float last = 42;
    const bool ok = file && fwrite(head.data, 1, head.size, file) == head.size &&
                    fseeko(file, (off_t)(start - 4), SEEK_SET) == 0 &&
                    fwrite(&last, 1, 4, file) == 4 &&
                    fwrite(tail.data, 1, tail.size, file) == tail.size;
    if (file) fclose(file);
    onp_buf_free(&object);
    onp_buf_free(&head);
    onp_buf_free(&tail);
    return ok;
}

static void opening_a_large_file_touches_little(void **state) {
    (void)state;
    const uint64_t elements = 5ull << 28;
    const char *path = temporary("large");
    struct rusage before, after;
    assert_true(make_large(path, elements));
    getrusage(RUSAGE_SELF, &before);
    struct onp_model_file *file = open_path(path);
    getrusage(RUSAGE_SELF, &after);
    unlink(path);
    assert_true(after.ru_maxrss - before.ru_maxrss < 8192); // KiB
    assert_true(onp_model_file_bytes(file) > 5ull << 30);
    const struct onp_file_tensor *w = onp_model_file_find(file, "w");
    float out[2];
    assert_int_equal(w->count, elements);
    onp_file_tensor_read(w, elements - 2, 2, out);
    assert_true(out[0] == 0 && out[1] == 42);
    onp_model_file_release(file, w);
    onp_model_file_close(file);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(checkpoints_equal_what_python_reads),
        cmocka_unit_test(configurations_are_typed),
        cmocka_unit_test(every_form_reads_strides),
        cmocka_unit_test(every_dtype_is_known),
        cmocka_unit_test(odd_but_valid_shapes_open),
        cmocka_unit_test(objects_in_a_configuration_become_data),
        cmocka_unit_test(newer_protocols_are_read),
        cmocka_unit_test(widening_is_exact),
        cmocka_unit_test(doubles_are_rounded),
        cmocka_unit_test(writing_keeps_every_bit),
        cmocka_unit_test(converting_equals_the_reference),
        cmocka_unit_test(writing_refuses_nonsense),
        cmocka_unit_test(opening_a_large_file_touches_little),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
