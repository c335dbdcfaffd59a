// SPDX-License-Identifier: Apache-2.0
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/session.h"
#include "cli/text.h"

struct memory {
    uint64_t weights, arena;
};

struct branch {
    const char *name;
    bool present, partial;
    uint64_t parameters;
    struct memory f32, f16; // for one item of the largest size
    char *lacks;            // why a partial branch cannot embed, owned; lines
};

struct info {
    struct onp_cli_settings settings;
    bool json;
    struct onp_cli_session session;
    struct branch branches[ONP_MODALITY_COUNT];
};

// What the library says of a branch that is only partly there, cut after a few weights.
static int read_lack(struct branch *b, const struct onp_model *model, unsigned bit) {
    enum { LINES = 6 };
    struct memory unused;
    onp_cli_capture();
    enum onp_status status =
        onp_model_memory(model, bit, ONP_F32, 1, &unused.weights, &unused.arena);
    const char *reason = onp_cli_release(status), *end = reason;
    for (int line = 0; line < LINES && *end; line++) end += strcspn(end + 1, "\n") + 1;
    const size_t size = (size_t)(end - reason) + sizeof "\n  ...";
    b->lacks = malloc(size);
    if (!b->lacks) return onp_cli_fail("out of memory");
    snprintf(b->lacks, size, "%.*s%s", (int)(end - reason), reason, *end ? "\n  ..." : "");
    return ONP_CLI_OK;
}

static int read_branch(struct info *i, int m) {
    const struct onp_model *model = i->session.model;
    struct branch *b = &i->branches[m];
    unsigned bit = ONP_BIT(m);
    b->name = onp_modality_name((enum onp_modality)m);
    b->present = (i->session.info.modalities & bit) != 0;
    b->partial = (i->session.info.partial & bit) != 0;
    b->parameters = i->session.info.parameters[m];
    if (b->partial) return read_lack(b, model, bit);
    if (!b->present) return ONP_CLI_OK;
    enum onp_status status =
        onp_model_memory(model, bit, ONP_F32, 1, &b->f32.weights, &b->f32.arena);
    if (status == ONP_OK)
        status = onp_model_memory(model, bit, ONP_F16, 1, &b->f16.weights, &b->f16.arena);
    return onp_cli_status(status);
}

// --- JSON --------------------------------------------------------------------------------------

static void json_string_field(const char *name, const char *value) {
    printf("\"%s\":", name);
    onp_cli_json_cstring(stdout, value ? value : "");
    putchar(',');
}

static void json_number(const char *name, uint64_t value) {
    printf("\"%s\":%" PRIu64 ",", name, value);
}

static void json_bool(const char *name, bool value) {
    printf("\"%s\":%s,", name, value ? "true" : "false");
}

static void json_names(const char *name, unsigned mask) {
    printf("\"%s\":[", name);
    bool first = true;
    for (int m = 0; m < ONP_MODALITY_COUNT; m++) {
        if (!(mask & ONP_BIT(m))) continue;
        printf("%s\"%s\"", first ? "" : ",", onp_modality_name((enum onp_modality)m));
        first = false;
    }
    fputs("],", stdout);
}

static void json_memory(const char *name, const struct memory *memory) {
    printf("\"%s\":{\"weight_bytes\":%" PRIu64 ",\"arena_bytes\":%" PRIu64 "}", name,
           memory->weights, memory->arena);
}

static void json_branches(const struct info *i) {
    fputs("\"branches\":{", stdout);
    for (int m = 0; m < ONP_MODALITY_COUNT; m++) {
        const struct branch *b = &i->branches[m];
        printf("%s\"%s\":{", m ? "," : "", b->name);
        json_bool("can_embed", b->present);
        json_bool("partial", b->partial);
        printf("\"parameters\":%" PRIu64, b->parameters);
        if (b->lacks) {
            fputs(",\"lacks\":", stdout);
            onp_cli_json_cstring(stdout, b->lacks);
        }
        if (b->present) {
            fputs(",\"memory\":{", stdout);
            json_memory("f32", &b->f32);
            putchar(',');
            json_memory("f16", &b->f16);
            putchar('}');
        }
        putchar('}');
    }
    fputs("}", stdout);
}

static void print_json(const struct info *i) {
    const struct onp_model_info *m = &i->session.info;
    putchar('{');
    json_string_field("path", m->path);
    json_string_field("format", m->format);
    json_string_field("family", m->family);
    json_string_field("name", m->name);
    json_string_field("head_type", m->head_type);
    json_string_field("dtype", onp_dtype_name(m->dtype));
    json_bool("has_tokenizer", m->has_tokenizer);
    json_names("modalities", m->modalities);
    json_names("partial", m->partial);
    json_number("embed_dim", m->embed_dim);
    json_number("ffn_dim", m->ffn_dim);
    json_number("layers", m->layers);
    json_number("heads", m->heads);
    json_number("head_dim", m->head_dim);
    json_number("vocab", m->vocab);
    json_number("max_text_tokens", m->max_text_tokens);
    json_number("image_size", m->image_size);
    json_number("patches", m->patches);
    json_number("audio_channels", m->audio_channels);
    json_number("sample_rate", m->sample_rate);
    printf("\"max_audio_seconds\":%.9g,", (double)m->max_audio_seconds);
    json_bool("table_per_layer", m->table_per_layer);
    printf("\"logit_scale\":%.9g,", m->logit_scale);
    json_number("file_bytes", m->file_bytes);
    json_number("tensors", m->tensors);
    json_number("ignored_tensors", m->ignored_tensors);
    json_branches(i);
    fputs("}\n", stdout);
}

// --- For people --------------------------------------------------------------------------------

static void row(const char *name, const char *value) {
    printf("%-16s", name);
    onp_cli_text_plain(stdout, value, strlen(value));
    putchar('\n');
}

static void row_number(const char *name, uint64_t value) {
    printf("%-16s%" PRIu64 "\n", name, value);
}

static void print_lack(const struct branch *b) {
    printf("  %-6s in the file, but it cannot embed:\n", b->name);
    for (const char *line = b->lacks; *line;) {
        const size_t length = strcspn(line, "\n");
        printf("%9s", "");
        onp_cli_text_plain(stdout, line, length);
        putchar('\n');
        line += length + (line[length] == '\n');
    }
}

static void print_branch(const struct branch *b) {
    char f32w[24], f32a[24], f16w[24], f16a[24];
    if (b->present)
        printf("  %-6s %14" PRIu64 "   %10s + %-10s   %10s + %s\n", b->name, b->parameters,
               onp_cli_bytes(f32w, b->f32.weights), onp_cli_bytes(f32a, b->f32.arena),
               onp_cli_bytes(f16w, b->f16.weights), onp_cli_bytes(f16a, b->f16.arena));
    else if (b->lacks)
        print_lack(b);
    else
        printf("  %-6s not in the file\n", b->name);
}

static void print_sizes(const struct onp_model_info *m) {
    row_number("embedding", m->embed_dim);
    row_number("feed-forward", m->ffn_dim);
    row_number("layers", m->layers);
    printf("%-16s%" PRIu32 " of size %" PRIu32 "\n", "heads", m->heads, m->head_dim);
    if (m->vocab)
        printf("%-16s%" PRIu32 " token rows, at most %" PRIu32 " positions, tokenizer %s\n", "text",
               m->vocab, m->max_text_tokens,
               m->has_tokenizer ? "present" : "absent (give --tokenizer)");
    if (m->image_size)
        printf("%-16s%" PRIu32 " pixels per side, %" PRIu32 " patches\n", "pictures", m->image_size,
               m->patches);
    if (m->audio_channels)
        printf("%-16s%" PRIu32 " Hz, at most %g s, %" PRIu32 " wave channels\n", "sounds",
               m->sample_rate, (double)m->max_audio_seconds, m->audio_channels);
}

static void print_table(const struct info *i) {
    const struct onp_model_info *m = &i->session.info;
    char size[24];
    row("file", m->path);
    printf("%-16s%s, %s, %zu tensors (%zu not needed)\n", "format", m->format,
           onp_cli_bytes(size, m->file_bytes), m->tensors, m->ignored_tensors);
    row("family", m->family);
    if (m->name && m->name[0]) row("name", m->name);
    if (m->head_type && m->head_type[0]) row("head", m->head_type);
    row("dtype", onp_dtype_name(m->dtype));
    print_sizes(m);
    row("bias tables", m->table_per_layer ? "one per layer" : "one for all layers");
    printf("%-16s%.6g\n", "logit scale", m->logit_scale);
    printf("\nbranches     parameters   device memory (weights + work space for one item)\n"
           "                         as f32                    as f16\n");
    for (int b = 0; b < ONP_MODALITY_COUNT; b++) print_branch(&i->branches[b]);
}

static int run(struct info *i) {
    int code = onp_cli_session_begin(&i->session, &i->settings);
    if (code != ONP_CLI_OK) return code;
    const char *path = onp_cli_model_path("info", &i->settings);
    if (!path) return ONP_CLI_USAGE;
    code = onp_cli_session_model(&i->session, path);
    for (int m = 0; m < ONP_MODALITY_COUNT && code == ONP_CLI_OK; m++) code = read_branch(i, m);
    if (code != ONP_CLI_OK) return code;
    if (i->json)
        print_json(i);
    else
        print_table(i);
    return ONP_CLI_OK;
}

int onp_cli_cmd_info(int argc, char **argv) {
    struct info i = {0};
    const struct onp_cli_option options[] = {
        ONP_CLI_OPT_FLAG("json", 0, &i.json, "print JSON"),
        ONP_CLI_LOG_OPTIONS(&i.settings),
    };
    const struct onp_cli_usage usage = {
        .command = "info",
        .synopsis = "[MODEL] [--json]",
        .about =
            "Prints what a model file holds: sizes, branches, head, dtype, and the device memory\n"
            "that each branch needs. No weights are loaded and no device is used. Without MODEL\n"
            "it is about $ONEPEACE_MODEL, or else the small model that comes with the program.",
        .options = options,
        .option_count = sizeof options / sizeof options[0],
        .min_positional = 0,
        .max_positional = 1,
        .positional = "MODEL"};
    size_t positional;
    int code;
    if (onp_cli_parse(&usage, argc, argv, &positional, &code)) {
        i.settings.model = positional ? argv[0] : NULL;
        code = run(&i);
    }
    for (int m = 0; m < ONP_MODALITY_COUNT; m++) free(i.branches[m].lacks);
    onp_cli_session_end(&i.session);
    return code;
}
