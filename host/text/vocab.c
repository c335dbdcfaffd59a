// SPDX-License-Identifier: Apache-2.0
#include "text/vocab.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/checked.h"
#include "base/file.h"
#include "io/json.h"
#include "text/unicode.h"

// The published files have 1 MB at most. The limit bounds what a hostile one can cost.
#define FILE_LIMIT ((size_t)16 << 20)
#define LINE_LIMIT ((size_t)4096)

// A string with its first 8 bytes as a big-endian number, which settles most comparisons.
struct name {
    uint64_t prefix;
    const char *text;
    uint32_t size;
    int32_t id; // encoder.json: the token's id; dict.txt: the line
};

struct names {
    struct name *list;
    size_t count, capacity;
};

// Everything that is needed only while the files are read.
struct parser {
    const char *origin;
    const struct onp_log *log;
    struct onp_tokenizer *out;
    struct onp_buf pool; // names of encoder.json
    struct names tokens, words;
};

static uint64_t prefix_of(const char *text, size_t size) {
    uint64_t prefix = 0;
    for (size_t i = 0; i < 8; i++) prefix = prefix << 8 | (i < size ? (unsigned char)text[i] : 0);
    return prefix;
}

static int compare_names(const void *a, const void *b) {
    const struct name *x = a, *y = b;
    if (x->prefix != y->prefix) return x->prefix < y->prefix ? -1 : 1;
    const int order = memcmp(x->text, y->text, x->size < y->size ? x->size : y->size);
    if (order != 0) return order;
    return x->size < y->size ? -1 : x->size > y->size;
}

static bool add_name(struct names *names, const char *text, size_t size, int32_t id) {
    if (names->count == names->capacity) {
        const size_t capacity = names->capacity ? names->capacity * 2 : 1024;
        struct name *list = realloc(names->list, capacity * sizeof *list);
        if (!list) return false;
        names->list = list;
        names->capacity = capacity;
    }
    names->list[names->count++] = (struct name){.text = text, .size = (uint32_t)size, .id = id};
    return true;
}

static void sort_names(struct names *names) {
    for (size_t i = 0; i < names->count; i++)
        names->list[i].prefix = prefix_of(names->list[i].text, names->list[i].size);
    if (names->count > 0) qsort(names->list, names->count, sizeof *names->list, compare_names);
}

static const struct name *find_name(const struct names *names, const char *text, size_t size) {
    const struct name key = {prefix_of(text, size), text, (uint32_t)size, 0};
    if (names->count == 0) return NULL;
    return bsearch(&key, names->list, names->count, sizeof key, compare_names);
}

static enum onp_status no_memory(const struct parser *parser) {
    return onp_fail(parser->log, ONP_ERR_MEMORY, "no memory for the tokenizer of %s",
                    parser->origin);
}

// --- Lines -----------------------------------------------------------------------------------

struct lines {
    const char *at, *end;
    size_t number; // of the line last read, from 1
};

// A line without its end, LF or CR LF. False behind the last one.
static bool next_line(struct lines *lines, const char **line, size_t *size) {
    if (lines->at == lines->end) return false;
    const char *end = memchr(lines->at, '\n', (size_t)(lines->end - lines->at));
    *line = lines->at;
    *size = (size_t)((end ? end : lines->end) - lines->at);
    if (*size > 0 && (*line)[*size - 1] == '\r') --*size;
    lines->at = end ? end + 1 : lines->end;
    lines->number++;
    return true;
}

static enum onp_status check_line(const struct parser *parser, const char *file,
                                  const struct lines *lines, const char *line, size_t size) {
    if (size > LINE_LIMIT)
        return onp_fail(parser->log, ONP_ERR_FORMAT,
                        "%s: %s, line %zu is longer than the %zu bytes allowed", parser->origin,
                        file, lines->number, LINE_LIMIT);
    if (memchr(line, '\0', size) || onp_utf8_invalid_at(line, size) != size)
        return onp_fail(parser->log, ONP_ERR_FORMAT, "%s: %s, line %zu is not UTF-8 text",
                        parser->origin, file, lines->number);
    return ONP_OK;
}

// --- encoder.json ----------------------------------------------------------------------------

static enum onp_status add_token(void *user, const char *key, size_t key_size, int64_t value) {
    struct parser *parser = user;
    if (value < 0 || value > INT32_MAX)
        return onp_fail(parser->log, ONP_ERR_FORMAT,
                        "%s: encoder.json gives \"%.80s\" the number %lld, outside 0 .. 2147483647",
                        parser->origin, key, (long long)value);
    if (!onp_buf_append(&parser->pool, key, key_size) ||
        !add_name(&parser->tokens, NULL, key_size, (int32_t)value))
        return no_memory(parser);
    return ONP_OK;
}

static int compare_ids(const void *a, const void *b) {
    const int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return x < y ? -1 : x > y;
}

static enum onp_status check_ids_differ(const struct parser *parser) {
    const struct names *tokens = &parser->tokens;
    int32_t *ids = calloc(tokens->count + 1, sizeof *ids);
    if (!ids) return no_memory(parser);
    for (size_t i = 0; i < tokens->count; i++) ids[i] = tokens->list[i].id;
    qsort(ids, tokens->count, sizeof *ids, compare_ids);
    enum onp_status status = ONP_OK;
    for (size_t i = 1; i < tokens->count && status == ONP_OK; i++)
        if (ids[i] == ids[i - 1])
            status = onp_fail(parser->log, ONP_ERR_FORMAT,
                              "%s: encoder.json gives two tokens the number %d", parser->origin,
                              (int)ids[i]);
    free(ids);
    return status;
}

// GPT-2 shows each byte as a printable character: the printable ones of Latin-1 as themselves, the
// others from U+0100 on in ascending order.
static enum onp_status find_bytes(const struct parser *parser) {
    uint32_t moved = 0x100;
    for (uint32_t byte = 0; byte < 256; byte++) {
        const bool printable = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) ||
                               (byte >= 0xae && byte <= 0xff);
        char text[4];
        const size_t size = onp_utf8_encode(printable ? byte : moved++, text);
        const struct name *token = find_name(&parser->tokens, text, size);
        if (!token)
            return onp_fail(parser->log, ONP_ERR_FORMAT,
                            "%s: encoder.json has no token for the byte 0x%02X (\"%.*s\")",
                            parser->origin, byte, (int)size, text);
        parser->out->byte_symbol[byte] = (uint32_t)(token - parser->tokens.list);
    }
    return ONP_OK;
}

static enum onp_status parse_encoder(struct parser *parser, const char *data, size_t size) {
    char name[512];
    snprintf(name, sizeof name, "%s: encoder.json", parser->origin);
    ONP_TRY(onp_json_int_map(data, size, name, parser->log, add_token, parser));
    size_t offset = 0;
    for (size_t i = 0; i < parser->tokens.count; i++) {
        parser->tokens.list[i].text = parser->pool.data + offset;
        offset += parser->tokens.list[i].size;
    }
    sort_names(&parser->tokens);
    ONP_TRY(check_ids_differ(parser));
    return find_bytes(parser);
}

// --- vocab.bpe -------------------------------------------------------------------------------

static enum onp_status find_token(const struct parser *parser, size_t line, const char *text,
                                  size_t size, uint32_t *symbol) {
    const struct name *token = find_name(&parser->tokens, text, size);
    if (!token)
        return onp_fail(
            parser->log, ONP_ERR_FORMAT,
            "%s: vocab.bpe, line %zu needs the token \"%.*s\", which encoder.json lacks",
            parser->origin, line, size < 80 ? (int)size : 80, text);
    *symbol = (uint32_t)(token - parser->tokens.list);
    return ONP_OK;
}

static enum onp_status parse_merge(const struct parser *parser, size_t number, const char *line,
                                   size_t size, struct onp_merge *merge) {
    const char *gap = memchr(line, ' ', size);
    const size_t left = gap ? (size_t)(gap - line) : size;
    if (!gap || left == 0 || left + 1 == size || memchr(gap + 1, ' ', size - left - 1))
        return onp_fail(parser->log, ONP_ERR_FORMAT,
                        "%s: vocab.bpe, line %zu is not two tokens with one space between them",
                        parser->origin, number);
    char joined[LINE_LIMIT];
    memcpy(joined, line, left);
    memcpy(joined + left, gap + 1, size - left - 1);
    ONP_TRY(find_token(parser, number, line, left, &merge->left));
    ONP_TRY(find_token(parser, number, gap + 1, size - left - 1, &merge->right));
    return find_token(parser, number, joined, size - 1, &merge->result);
}

static size_t count_lines(const char *data, size_t size) {
    size_t count = 1;
    for (size_t i = 0; i < size; i++) count += data[i] == '\n';
    return count;
}

static enum onp_status check_merges_differ(const struct parser *parser) {
    const struct onp_merges *merges = &parser->out->merges;
    for (uint32_t i = 1; i < merges->count; i++) {
        const struct onp_merge *a = &merges->list[i - 1], *b = &merges->list[i];
        if (a->left == b->left && a->right == b->right)
            return onp_fail(parser->log, ONP_ERR_FORMAT, "%s: vocab.bpe, line %u repeats line %u",
                            parser->origin, b->rank + 2, a->rank + 2);
    }
    return ONP_OK;
}

static enum onp_status read_merges(struct parser *parser, struct lines *lines) {
    struct onp_merges *merges = &parser->out->merges;
    const char *line;
    size_t size;
    while (next_line(lines, &line, &size)) {
        struct onp_merge *merge = &merges->list[merges->count];
        ONP_TRY(check_line(parser, "vocab.bpe", lines, line, size));
        ONP_TRY(parse_merge(parser, lines->number, line, size, merge));
        merge->rank = merges->count++;
    }
    return ONP_OK;
}

static enum onp_status parse_merges(struct parser *parser, const char *data, size_t size) {
    static const char header[] = "#version:";
    struct onp_merges *merges = &parser->out->merges;
    struct lines lines = {data, data + size, 0};
    const char *line = data;
    size_t line_size = 0;
    if (size < sizeof header - 1 || memcmp(data, header, sizeof header - 1) != 0)
        return onp_fail(parser->log, ONP_ERR_FORMAT, "%s: vocab.bpe does not begin with \"%s\"",
                        parser->origin, header);
    // The reference drops what follows the last line end, so a cut file would lose a merge quietly.
    if (data[size - 1] != '\n')
        return onp_fail(parser->log, ONP_ERR_FORMAT,
                        "%s: vocab.bpe, line %zu has no line end; the file was cut short",
                        parser->origin, count_lines(data, size));
    next_line(&lines, &line, &line_size);
    ONP_TRY(check_line(parser, "vocab.bpe", &lines, line, line_size));
    merges->list = calloc(count_lines(data, size), sizeof *merges->list);
    if (!merges->list) return no_memory(parser);
    ONP_TRY(read_merges(parser, &lines));
    if (!onp_merges_build(merges, (uint32_t)parser->tokens.count)) return no_memory(parser);
    return check_merges_differ(parser);
}

// --- dict.txt --------------------------------------------------------------------------------

static bool is_number(const char *text, size_t size) {
    for (size_t i = 0; i < size; i++)
        if (text[i] < '0' || text[i] > '9') return false;
    return size > 0;
}

// "word count", where the word ends at the last space.
static enum onp_status parse_word(struct parser *parser, size_t number, const char *line,
                                  size_t size) {
    size_t word = size;
    while (word > 0 && line[word - 1] != ' ') word--;
    if (word < 2 || !is_number(line + word, size - word))
        return onp_fail(parser->log, ONP_ERR_FORMAT,
                        "%s: dict.txt, line %zu is not a word, a space and a count", parser->origin,
                        number);
    if (!add_name(&parser->words, line, word - 1, (int32_t)parser->words.count))
        return no_memory(parser);
    return ONP_OK;
}

static enum onp_status check_words_differ(const struct parser *parser) {
    const struct names *words = &parser->words;
    for (size_t i = 1; i < words->count; i++) {
        if (compare_names(&words->list[i - 1], &words->list[i]) != 0) continue;
        int line = words->list[i].id, other = words->list[i - 1].id;
        if (line < other) line = other;
        return onp_fail(
            parser->log, ONP_ERR_FORMAT, "%s: dict.txt, line %d repeats the word \"%.*s\"",
            parser->origin, line - ONP_DICT_SPECIALS + 1,
            words->list[i].size < 80 ? (int)words->list[i].size : 80, words->list[i].text);
    }
    return ONP_OK;
}

static enum onp_status parse_dict(struct parser *parser, const char *data, size_t size) {
    static const char *const specials[ONP_DICT_SPECIALS] = {"<s>", "<pad>", "</s>", "<unk>"};
    for (int i = 0; i < ONP_DICT_SPECIALS; i++)
        if (!add_name(&parser->words, specials[i], strlen(specials[i]), i))
            return no_memory(parser);
    struct lines lines = {data, data + size, 0};
    const char *line;
    size_t line_size;
    while (next_line(&lines, &line, &line_size)) {
        ONP_TRY(check_line(parser, "dict.txt", &lines, line, line_size));
        ONP_TRY(parse_word(parser, lines.number, line, line_size));
    }
    if (lines.number == 0)
        return onp_fail(parser->log, ONP_ERR_FORMAT, "%s: dict.txt is empty", parser->origin);
    sort_names(&parser->words);
    return check_words_differ(parser);
}

// The dictionary knows a token by its number in decimal.
static enum onp_status map_tokens(struct parser *parser) {
    struct onp_tokenizer *out = parser->out;
    out->symbols = (uint32_t)parser->tokens.count;
    out->vocab = (uint32_t)parser->words.count;
    out->dict_id = calloc(out->symbols, sizeof *out->dict_id);
    if (!out->dict_id) return no_memory(parser);
    for (uint32_t i = 0; i < out->symbols; i++) {
        char decimal[16];
        const int size = snprintf(decimal, sizeof decimal, "%d", (int)parser->tokens.list[i].id);
        const struct name *word = find_name(&parser->words, decimal, (size_t)size);
        out->dict_id[i] = word ? word->id : ONP_DICT_UNK;
    }
    return ONP_OK;
}

// --- All three -------------------------------------------------------------------------------

static enum onp_status check_size(const struct parser *parser, const char *file, size_t size) {
    if (size <= FILE_LIMIT) return ONP_OK;
    return onp_fail(parser->log, ONP_ERR_FORMAT, "%s: %s has %zu bytes, more than the %zu allowed",
                    parser->origin, file, size, FILE_LIMIT);
}

enum onp_status onp_tokenizer_parse(const char *origin, const char *encoder_json,
                                    size_t encoder_size, const char *vocab_bpe, size_t vocab_size,
                                    const char *dict_txt, size_t dict_size,
                                    const struct onp_log *log, struct onp_tokenizer **out) {
    struct parser parser = {.origin = origin, .log = log};
    parser.out = calloc(1, sizeof *parser.out);
    if (!parser.out) return no_memory(&parser);
    parser.out->log = log;
    enum onp_status status;
    ONP_TRY_GOTO(status, check_size(&parser, "encoder.json", encoder_size), done);
    ONP_TRY_GOTO(status, check_size(&parser, "vocab.bpe", vocab_size), done);
    ONP_TRY_GOTO(status, check_size(&parser, "dict.txt", dict_size), done);
    ONP_TRY_GOTO(status, parse_encoder(&parser, encoder_json, encoder_size), done);
    ONP_TRY_GOTO(status, parse_merges(&parser, vocab_bpe, vocab_size), done);
    ONP_TRY_GOTO(status, parse_dict(&parser, dict_txt, dict_size), done);
    ONP_TRY_GOTO(status, map_tokens(&parser), done);
    *out = parser.out;
    parser.out = NULL;
done:
    onp_tokenizer_destroy(parser.out);
    onp_buf_free(&parser.pool);
    free(parser.tokens.list);
    free(parser.words.list);
    return status;
}

static enum onp_status read_file(const char *dir, const char *file, const struct onp_log *log,
                                 char **data, size_t *size) {
    struct onp_buf path = {0};
    enum onp_status status;
    if (onp_buf_printf(&path, "%s/%s", dir, file))
        status = onp_file_read(path.data, FILE_LIMIT, log, data, size);
    else
        status = onp_fail(log, ONP_ERR_MEMORY, "no memory for the tokenizer of %s", dir);
    onp_buf_free(&path);
    return status;
}

enum onp_status onp_tokenizer_load_dir(const char *dir, const struct onp_log *log,
                                       struct onp_tokenizer **out) {
    static const char *const files[3] = {"encoder.json", "vocab.bpe", "dict.txt"};
    char *data[3] = {NULL, NULL, NULL};
    size_t size[3] = {0, 0, 0};
    enum onp_status status = ONP_OK;
    for (int i = 0; i < 3 && status == ONP_OK; i++)
        status = read_file(dir, files[i], log, &data[i], &size[i]);
    if (status == ONP_OK)
        status = onp_tokenizer_parse(dir, data[0], size[0], data[1], size[1], data[2], size[2], log,
                                     out);
    for (int i = 0; i < 3; i++) free(data[i]);
    return status;
}

void onp_tokenizer_destroy(struct onp_tokenizer *tokenizer) {
    if (!tokenizer) return;
    onp_merges_free(&tokenizer->merges);
    free(tokenizer->dict_id);
    free(tokenizer);
}

uint32_t onp_tokenizer_vocab(const struct onp_tokenizer *tokenizer) { return tokenizer->vocab; }
