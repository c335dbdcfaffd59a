// SPDX-License-Identifier: Apache-2.0
#include "text/unicode.h"

#define CAPITAL_SIGMA   0x3a3u
#define FINAL_SIGMA     0x3c2u
#define CAPITAL_I_DOT   0x130u
#define COMBINING_DOT   0x307u
#define IS_TRAIL(byte)  (((unsigned char)(byte)&0xc0u) == 0x80u)
#define IN(table, code) in_ranges(table, table##_count, code)

size_t onp_utf8_decode(const char *text, size_t size, uint32_t *code) {
    static const uint32_t smallest[5] = {0, 0, 0x80, 0x800, 0x10000};
    if (size == 0) return 0;
    const unsigned char lead = (unsigned char)text[0];
    if (lead < 0x80) {
        *code = lead;
        return 1;
    }
    const size_t length = lead < 0xc0 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : lead < 0xf8 ? 4 : 0;
    if (length == 0 || length > size) return 0;
    uint32_t value = lead & (0x7fu >> length);
    for (size_t i = 1; i < length; i++) {
        if (!IS_TRAIL(text[i])) return 0;
        value = value << 6 | ((unsigned char)text[i] & 0x3fu);
    }
    if (value < smallest[length] || value > 0x10ffff || (value >= 0xd800 && value < 0xe000))
        return 0;
    *code = value;
    return length;
}

size_t onp_utf8_encode(uint32_t code, char out[4]) {
    static const unsigned char lead[5] = {0, 0, 0xc0, 0xe0, 0xf0};
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    const size_t length = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (size_t i = length - 1; i > 0; i--) {
        out[i] = (char)(0x80u | (code & 0x3fu));
        code >>= 6;
    }
    out[0] = (char)(lead[length] | code);
    return length;
}

size_t onp_utf8_invalid_at(const char *text, size_t size) {
    uint32_t code;
    for (size_t at = 0; at < size;) {
        const size_t length = onp_utf8_decode(text + at, size - at, &code);
        if (length == 0) return at;
        at += length;
    }
    return size;
}

static bool in_ranges(const struct onp_code_range *table, size_t count, uint32_t code) {
    size_t low = 0, high = count;
    while (low < high) {
        const size_t middle = (low + high) / 2;
        if (code > table[middle].last)
            low = middle + 1;
        else
            high = middle;
    }
    return low < count && code >= table[low].first;
}

bool onp_is_letter(uint32_t code) {
    if (code < 0x80) return (code | 0x20) >= 'a' && (code | 0x20) <= 'z';
    return IN(onp_unicode_letter, code);
}

bool onp_is_number(uint32_t code) {
    if (code < 0x80) return code >= '0' && code <= '9';
    return IN(onp_unicode_number, code);
}

bool onp_is_space(uint32_t code) { return IN(onp_unicode_space, code); }
bool onp_is_cased(uint32_t code) { return IN(onp_unicode_cased, code); }
bool onp_is_case_ignorable(uint32_t code) { return IN(onp_unicode_case_ignorable, code); }

static uint32_t lower_simple(uint32_t code) {
    size_t low = 0, high = onp_unicode_lower_count;
    while (low < high) {
        const size_t middle = (low + high) / 2;
        if (code > onp_unicode_lower[middle].last)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == onp_unicode_lower_count) return code;
    const struct onp_lower_run *run = &onp_unicode_lower[low];
    if (code < run->first || (code - run->first) % run->step != 0) return code;
    return (uint32_t)((int32_t)code + run->delta);
}

size_t onp_lower_code(uint32_t code, uint32_t out[2]) {
    if (code == CAPITAL_I_DOT) {
        out[0] = 'i';
        out[1] = COMBINING_DOT;
        return 2;
    }
    out[0] = lower_simple(code);
    return 1;
}

// Whether a cased character stands before text[end], over any case-ignorable ones. A run of
// case-ignorable characters ends at the next sigma, so all calls together are linear.
static bool cased_before(const char *text, size_t end) {
    while (end > 0) {
        size_t start = end - 1;
        while (IS_TRAIL(text[start])) start--;
        uint32_t code = 0;
        onp_utf8_decode(text + start, end - start, &code);
        if (!onp_is_case_ignorable(code)) return onp_is_cased(code);
        end = start;
    }
    return false;
}

static bool cased_after(const char *text, size_t size, size_t at) {
    while (at < size) {
        uint32_t code = 0;
        at += onp_utf8_decode(text + at, size - at, &code);
        if (!onp_is_case_ignorable(code)) return onp_is_cased(code);
    }
    return false;
}

void onp_lower_append(struct onp_buf *buf, const char *text, size_t size) {
    for (size_t at = 0; at < size && !buf->failed;) {
        uint32_t code, lower[2];
        const size_t length = onp_utf8_decode(text + at, size - at, &code);
        if (length == 0) return; // the caller has checked the text
        size_t count = onp_lower_code(code, lower);
        if (code == CAPITAL_SIGMA && cased_before(text, at) &&
            !cased_after(text, size, at + length))
            lower[0] = FINAL_SIGMA;
        char bytes[8];
        size_t used = 0;
        for (size_t i = 0; i < count; i++) used += onp_utf8_encode(lower[i], bytes + used);
        onp_buf_append(buf, bytes, used);
        at += length;
    }
}
