// SPDX-License-Identifier: Apache-2.0
// The part of Unicode that the tokenizer needs: strict UTF-8, character classes, lower-casing.
// Everything follows Unicode 14, as the reference tokenizer does.
#ifndef ONP_TEXT_UNICODE_H
#define ONP_TEXT_UNICODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

// Bytes (1 to 4) of the code point at the start of text[0 .. size), or 0 if it is not valid UTF-8:
// cut short, overlong, a surrogate or above U+10FFFF. *code is set unless 0 is returned.
size_t onp_utf8_decode(const char *text, size_t size, uint32_t *code);
// Writes a code point (not checked) and returns its bytes.
size_t onp_utf8_encode(uint32_t code, char out[4]);
// Offset of the first byte that does not begin valid UTF-8, or size if all of it is valid.
size_t onp_utf8_invalid_at(const char *text, size_t size);

bool onp_is_letter(uint32_t code); // general category L
bool onp_is_number(uint32_t code); // general category N
bool onp_is_space(uint32_t code);  // property White_Space
bool onp_is_cased(uint32_t code);
bool onp_is_case_ignorable(uint32_t code);

// Writes the lower case of one code point without regard to its context and returns how many code
// points it has: 2 for U+0130, else 1. U+03A3 gives U+03C3.
size_t onp_lower_code(uint32_t code, uint32_t out[2]);
// Appends the lower case of valid UTF-8: the full mapping, and U+03A3 becomes U+03C2 at the end of
// a word (Final_Sigma, Unicode chapter 3.13). A failed append shows in buf->failed.
void onp_lower_append(struct onp_buf *buf, const char *text, size_t size);

// Tables of unicode_tables.c: inclusive ranges in ascending order.
struct onp_code_range {
    uint32_t first, last;
};
// Code points first, first + step .. last lower to themselves plus delta.
struct onp_lower_run {
    uint32_t first, last;
    uint32_t step;
    int32_t delta;
};
extern const struct onp_code_range onp_unicode_letter[], onp_unicode_number[], onp_unicode_space[],
    onp_unicode_cased[], onp_unicode_case_ignorable[];
extern const struct onp_lower_run onp_unicode_lower[];
extern const size_t onp_unicode_letter_count, onp_unicode_number_count, onp_unicode_space_count,
    onp_unicode_cased_count, onp_unicode_case_ignorable_count, onp_unicode_lower_count;

#endif
