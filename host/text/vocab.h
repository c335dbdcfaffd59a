// SPDX-License-Identifier: Apache-2.0
// The tokenizer's tables, read from encoder.json, vocab.bpe and dict.txt.
#ifndef ONP_TEXT_VOCAB_H
#define ONP_TEXT_VOCAB_H

#include "text/bpe.h"
#include "text/tokenizer.h"

// Ids that the dictionary reserves before the lines of dict.txt.
enum { ONP_DICT_BOS = 0, ONP_DICT_PAD, ONP_DICT_EOS, ONP_DICT_UNK, ONP_DICT_SPECIALS };

// A symbol is the index of a token of encoder.json, in the byte order of their names.
struct onp_tokenizer {
    const struct onp_log *log;
    uint32_t byte_symbol[256]; // the symbol of each byte of UTF-8
    struct onp_merges merges;
    int32_t *dict_id; // [symbols]
    uint32_t symbols;
    uint32_t vocab; // ids of the dictionary
};

#endif
