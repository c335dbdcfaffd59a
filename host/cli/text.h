// SPDX-License-Identifier: Apache-2.0
// Texts of unknown origin written safely: as JSON, as CSV, on a terminal.
#ifndef ONP_CLI_TEXT_H
#define ONP_CLI_TEXT_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

// Length of the UTF-8 sequence at `s` (1 to 4) with its code point, or 0 if it is not valid UTF-8
// (cut, overlong, a surrogate, above U+10FFFF). `bytes` is at least 1.
size_t onp_cli_utf8(const char *s, size_t bytes, uint32_t *code);

// A JSON string with its quotes. A byte that is not valid UTF-8 becomes U+FFFD.
void onp_cli_json_string(FILE *file, const char *s, size_t bytes);
void onp_cli_json_cstring(FILE *file, const char *s);

// A CSV field, quoted as RFC 4180 asks where it must be. Invalid bytes become U+FFFD.
void onp_cli_csv_field(FILE *file, const char *s, size_t bytes);

// For people: control characters (but not line feed and tab) and invalid bytes become '?'.
void onp_cli_text_plain(FILE *file, const char *s, size_t bytes);

// A label of at most `columns` characters and no control characters, "..." at the end (or at the
// start, with `keep_end`) if it was cut. `out` has at least 4 * columns + 1 bytes. Returns its
// characters.
size_t onp_cli_label(char *out, const char *s, size_t bytes, size_t columns, int keep_end);

// 1536 -> "1.5 KiB". `out` has at least 24 bytes.
const char *onp_cli_bytes(char *out, uint64_t bytes);

#endif
