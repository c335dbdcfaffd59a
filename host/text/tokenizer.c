// SPDX-License-Identifier: Apache-2.0
#include "text/tokenizer.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "text/unicode.h"
#include "text/vocab.h"

#define MAX_IDS    70u // </s> comes on top
#define TEXT_LIMIT ((size_t)1 << 30)

// --- Clean-up --------------------------------------------------------------------------------

// What Python's re module calls white space: U+001C to U+001F too.
static bool is_re_space(uint32_t code) {
    return onp_is_space(code) || (code >= 0x1c && code <= 0x1f);
}

// Replaces each run of two or more spaces of any kind, and each tab, by one space, in place.
static size_t fold_spaces(char *text, size_t size) {
    size_t kept = 0;
    for (size_t at = 0; at < size;) {
        size_t end = at, run = 0;
        uint32_t code = 0;
        for (size_t length; (length = onp_utf8_decode(text + end, size - end, &code)) > 0; run++) {
            if (!is_re_space(code)) break;
            end += length;
        }
        if (run == 0) end += onp_utf8_decode(text + at, size - at, &code);
        if (run > 1 || text[at] == '\t') {
            text[kept++] = ' ';
        } else {
            memmove(text + kept, text + at, end - at);
            kept += end - at;
        }
        at = end;
    }
    return kept;
}

// The data sets' clean-up of lower-cased text, in place; returns the new size.
static size_t clean(char *text, size_t size) {
    size_t start = 0;
    while (start < size && text[start] != '\0' && strchr(",.!?*#:;~", text[start])) start++;
    size_t end = fold_spaces(text + start, size - start) + start;
    while (end > start && text[end - 1] == '\n') end--;
    while (end > start && text[end - 1] == ' ') end--;
    while (start < end && text[start] == ' ') start++;
    memmove(text, text + start, end - start);
    return end - start;
}

// One space, then the text in the form that is tokenised.
static enum onp_status normalise(const struct onp_tokenizer *tokenizer, const char *text,
                                 size_t bytes, enum onp_text_mode mode, struct onp_buf *out) {
    if (bytes > TEXT_LIMIT)
        return onp_fail(tokenizer->log, ONP_ERR_ARGUMENT,
                        "a text of %zu bytes is longer than the %zu allowed", bytes, TEXT_LIMIT);
    const size_t invalid = onp_utf8_invalid_at(text, bytes);
    if (invalid != bytes)
        return onp_fail(tokenizer->log, ONP_ERR_ARGUMENT,
                        "the text is not valid UTF-8 at byte %zu (counted from 0)", invalid);
    onp_buf_append(out, " ", 1);
    onp_lower_append(out, text, bytes);
    if (out->failed)
        return onp_fail(tokenizer->log, ONP_ERR_MEMORY, "no memory for a text of %zu bytes", bytes);
    if (mode == ONP_TEXT_DATASET) out->size = 1 + clean(out->data + 1, out->size - 1);
    return ONP_OK;
}

// --- Pieces ----------------------------------------------------------------------------------

enum kind { LETTER, NUMBER, SPACE, OTHER };

static enum kind kind_of(uint32_t code) {
    if (onp_is_letter(code)) return LETTER;
    if (onp_is_number(code)) return NUMBER;
    return onp_is_space(code) ? SPACE : OTHER;
}

static size_t contraction(const char *text, size_t size) {
    static const char endings[][3] = {"s", "t", "re", "ve", "m", "ll", "d"};
    if (text[0] != '\'') return 0;
    for (size_t i = 0; i < sizeof endings / sizeof endings[0]; i++) {
        const size_t length = strlen(endings[i]);
        if (length < size && memcmp(text + 1, endings[i], length) == 0) return length + 1;
    }
    return 0;
}

// End of the run of characters of one kind that starts at `at`; *last is where its last starts.
static size_t run_end(const char *text, size_t size, size_t at, enum kind kind, size_t *last) {
    uint32_t code;
    while (at < size) {
        const size_t length = onp_utf8_decode(text + at, size - at, &code);
        if (kind_of(code) != kind) break;
        *last = at;
        at += length;
    }
    return at;
}

// Bytes of the piece at the start of valid, non-empty text: GPT-2's pattern
//   's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
static size_t piece_size(const char *text, size_t size) {
    size_t last = 0;
    const size_t ending = contraction(text, size);
    if (ending > 0) return ending;
    uint32_t code = 0;
    const size_t skip = text[0] == ' ' ? 1 : 0;
    const size_t length = onp_utf8_decode(text + skip, size - skip, &code);
    if (length > 0 && kind_of(code) != SPACE)
        return run_end(text, size, skip, kind_of(code), &last);
    // White space: a run before a word leaves its last character to the next piece.
    const size_t end = run_end(text, size, 0, SPACE, &last);
    return end < size && last > 0 ? last : end;
}

static enum onp_status encode_piece(const struct onp_tokenizer *tokenizer, struct onp_bpe *bpe,
                                    const char *text, size_t *count) {
    if (onp_bpe_reserve(bpe, *count)) {
        for (size_t i = 0; i < *count; i++)
            bpe->symbol[i] = tokenizer->byte_symbol[(unsigned char)text[i]];
        if (onp_bpe_merge(bpe, &tokenizer->merges, count)) return ONP_OK;
    }
    return onp_fail(tokenizer->log, ONP_ERR_MEMORY, "no memory for a word of %zu bytes", *count);
}

// Pieces do not depend on each other, so the rest is left alone once there are enough ids.
static enum onp_status encode_pieces(const struct onp_tokenizer *tokenizer, const char *text,
                                     size_t size, int32_t *ids, size_t *count) {
    struct onp_bpe bpe = {0};
    enum onp_status status = ONP_OK;
    *count = 0;
    for (size_t at = 0; at < size && *count < MAX_IDS && status == ONP_OK;) {
        const size_t length = piece_size(text + at, size - at);
        size_t symbols = length;
        status = encode_piece(tokenizer, &bpe, text + at, &symbols);
        for (size_t i = 0; status == ONP_OK && i < symbols && *count < MAX_IDS; i++)
            ids[(*count)++] = tokenizer->dict_id[bpe.symbol[i]];
        at += length;
    }
    onp_bpe_free(&bpe);
    return status;
}

enum onp_status onp_tokenizer_encode(const struct onp_tokenizer *tokenizer, const char *text,
                                     size_t bytes, enum onp_text_mode mode, int32_t **ids,
                                     size_t *count) {
    struct onp_buf buf = {0};
    int32_t *list = calloc(MAX_IDS + 1, sizeof *list);
    enum onp_status status = ONP_OK;
    if (!list) status = onp_fail(tokenizer->log, ONP_ERR_MEMORY, "no memory for token ids");
    if (status == ONP_OK) status = normalise(tokenizer, text, bytes, mode, &buf);
    if (status == ONP_OK) status = encode_pieces(tokenizer, buf.data, buf.size, list, count);
    onp_buf_free(&buf);
    if (status != ONP_OK) {
        free(list);
        return status;
    }
    list[(*count)++] = ONP_DICT_EOS;
    *ids = list;
    return ONP_OK;
}
