// SPDX-License-Identifier: Apache-2.0
// The tokenizer on arbitrary text, and on an arbitrary file of its vocabulary beside two good ones.
// The first byte says what the rest is: e(ncoder.json), m(erges of vocab.bpe), d(ict.txt), else
// text.
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "text/tokenizer.h"
#include "text/unicode.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ENCODER, MERGES, DICT };

struct vocabulary {
    struct onp_buf file[3];
};

static const struct onp_log quiet = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static void add_token(struct vocabulary *v, const char *name, size_t size, int id) {
    const char *quoted = *name == '"' || *name == '\\' ? "\\" : "";
    onp_buf_printf(&v->file[ENCODER], "%s\"%s%.*s\": %d", id ? ", " : "{", quoted, (int)size, name,
                   id);
    if (id % 7) onp_buf_printf(&v->file[DICT], "%d 1\n", id); // some ids stay unknown
}

// All bytes and a few merges, one of which brings up a lower rank.
static void make_vocabulary(struct vocabulary *v) {
    static const char *const merged[] = {"aa", "ab", "aba", "aaaa", "th", "the", "\u0120the"};
    uint32_t moved = 0x100;
    int id = 0;
    for (uint32_t byte = 0; byte < 256; byte++) {
        const bool printable = (byte > 0x20 && byte < 0x7f) || (byte > 0xa0 && byte != 0xad);
        char name[4];
        add_token(v, name, onp_utf8_encode(printable ? byte : moved++, name), id++);
    }
    for (size_t i = 0; i < sizeof merged / sizeof *merged; i++)
        add_token(v, merged[i], strlen(merged[i]), id++);
    onp_buf_printf(&v->file[ENCODER], "}");
    onp_buf_printf(&v->file[MERGES], "#version: 0.2\nab a\na b\na a\naa aa\nt h\nth e\n"
                                     "\xc4\xa0 the\n");
}

static struct onp_tokenizer *parse(const struct vocabulary *v) {
    const struct onp_buf *f = v->file;
    struct onp_tokenizer *tokenizer = NULL;
    const enum onp_status status =
        onp_tokenizer_parse("fuzz", f[0].data, f[0].size, f[1].data, f[1].size, f[2].data,
                            f[2].size, &quiet, &tokenizer);
    if ((status == ONP_OK) != (tokenizer != NULL)) abort();
    return tokenizer;
}

static void encode(const struct onp_tokenizer *tokenizer, const char *text, size_t size) {
    for (int mode = ONP_TEXT_HUB; mode <= ONP_TEXT_DATASET; mode++) {
        int32_t *ids;
        size_t count;
        const enum onp_status status =
            onp_tokenizer_encode(tokenizer, text, size, (enum onp_text_mode)mode, &ids, &count);
        if ((status == ONP_OK) != (onp_utf8_invalid_at(text, size) == size)) abort();
        if (status != ONP_OK) continue;
        if (count < 2 || count > 71 || ids[count - 1] != 2) abort();
        for (size_t i = 0; i + 1 < count; i++)
            if (ids[i] < 3 || (uint32_t)ids[i] >= onp_tokenizer_vocab(tokenizer)) abort();
        free(ids);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct vocabulary good;
    static struct onp_tokenizer *tokenizer;
    if (!tokenizer) {
        make_vocabulary(&good);
        tokenizer = parse(&good);
        if (!tokenizer) abort();
    }
    if (size == 0) return 0;
    const char *kind = memchr("emd", data[0], 3), *text = (const char *)data + 1;
    if (!kind) {
        encode(tokenizer, text, size - 1);
        return 0;
    }
    static const char sample[] = "ababa aaaaaaa The the\xc3\xa9 17!";
    struct vocabulary v = good;
    const int file = *kind == 'e' ? ENCODER : *kind == 'm' ? MERGES : DICT;
    v.file[file] = (struct onp_buf){.data = (char *)(uintptr_t)text, .size = size - 1};
    struct onp_tokenizer *damaged = parse(&v);
    if (damaged) encode(damaged, sample, sizeof sample - 1);
    onp_tokenizer_destroy(damaged);
    return 0;
}
