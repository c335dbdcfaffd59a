// SPDX-License-Identifier: Apache-2.0
// Text to dictionary ids: clean-up, GPT-2 byte-level BPE, dictionary (SPEC section 4).
#ifndef ONP_TEXT_TOKENIZER_H
#define ONP_TEXT_TOKENIZER_H

#include "base/log.h"
#include "onepeace/model.h"

// Parses the three files' contents (copied as needed). `origin` names them in messages.
enum onp_status onp_tokenizer_parse(const char *origin, const char *encoder_json,
                                    size_t encoder_size, const char *vocab_bpe, size_t vocab_size,
                                    const char *dict_txt, size_t dict_size,
                                    const struct onp_log *log, struct onp_tokenizer **out);
enum onp_status onp_tokenizer_load_dir(const char *dir, const struct onp_log *log,
                                       struct onp_tokenizer **out);
void onp_tokenizer_destroy(struct onp_tokenizer *tokenizer); // NULL is allowed
// Entries of the dictionary, special ones included: ids are below this.
uint32_t onp_tokenizer_vocab(const struct onp_tokenizer *tokenizer);
// *ids is malloc'ed. At most 70 ids, then </s>.
enum onp_status onp_tokenizer_encode(const struct onp_tokenizer *tokenizer, const char *text,
                                     size_t bytes, enum onp_text_mode mode, int32_t **ids,
                                     size_t *count);

#endif
