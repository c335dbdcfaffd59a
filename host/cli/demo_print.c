// SPDX-License-Identifier: Apache-2.0
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli/demo.h"
#include "cli/text.h"

enum { NAME = 11, WIDTH = 92 };

// A name of exactly so many columns.
static void print_name(const char *name, size_t columns) {
    char label[4 * (size_t)WIDTH + 1];
    const size_t width = onp_cli_label(label, name, strlen(name), columns, 0);
    printf("%s%*s", label, (int)(columns - width), "");
}

static const char *name_of(const struct onp_cli_demo *demo, size_t concept) {
    return demo->data.list[concept].name;
}

static double percent(size_t part, size_t whole) {
    return whole ? 100.0 * (double)part / (double)whole : 0.0;
}

// Words, broken at WIDTH.
static void print_wrapped(const char *text) {
    size_t column = 0;
    while (*(text += strspn(text, " "))) {
        const size_t bytes = strcspn(text, " ");
        if (column && column + 1 + bytes > WIDTH) {
            putchar('\n');
            column = 0;
        }
        if (column) putchar(' ');
        onp_cli_text_plain(stdout, text, bytes);
        column += bytes + (column > 0);
        text += bytes;
    }
    putchar('\n');
}

static void print_facts(const struct onp_cli_demo *demo) {
    const struct onp_device_info *device = onp_device_get_info(demo->session.device);
    const struct onp_model_info *model = &demo->session.info;
    const char *slash = strrchr(model->path, '/');
    fputs("Model   ", stdout);
    onp_cli_text_plain(stdout, slash ? slash + 1 : model->path,
                       strlen(slash ? slash + 1 : model->path));
    printf(": %" PRIu32 " values an embedding, %" PRIu32 " layers, weights kept as %s\n",
           model->embed_dim, model->layers, demo->settings.dtype ? "f16" : "f32");
    printf("Device  %s%s%s\n", device->name, *device->platform ? ", " : "", device->platform);
    printf("Table   %zu concepts, each a picture, a sound and a word\n", demo->count);
    if (demo->data.about) print_wrapped(demo->data.about);
    putchar('\n');
}

// A list of names, broken at WIDTH.
static void print_names(const struct onp_cli_demo *demo, const size_t *concepts, size_t count) {
    size_t column = 2;
    fputs("  ", stdout);
    for (size_t i = 0; i < count; i++) {
        char label[4 * (size_t)WIDTH + 1];
        const char *name = name_of(demo, concepts[i]);
        const size_t width = onp_cli_label(label, name, strlen(name), WIDTH - 8, 0);
        if (column + width + 1 > WIDTH) {
            fputs("\n  ", stdout);
            column = 2;
        }
        column += width + 2;
        printf("%s%s", label, i + 1 < count ? ", " : "\n");
    }
}

static void print_hits(const struct onp_cli_demo *demo) {
    printf("The right answer comes first, of %zu concepts (by chance: 1)\n", demo->count);
    for (int d = 0; d < ONP_CLI_DIRECTIONS; d++) {
        const size_t hits = onp_cli_demo_hits(demo, d);
        printf("  %-7s -> %-7s %4zu  %5.1f %%\n", onp_cli_kind_name(onp_cli_direction_from(d)),
               onp_cli_kind_name(onp_cli_direction_to(d)), hits, percent(hits, demo->count));
    }
    printf("In all six directions: %zu of %zu concepts\n", demo->right, demo->count);
    printf("Told apart from one another, in all six directions: these %zu\n", demo->group_count);
    print_names(demo, demo->group, demo->group_count);
}

static void print_choice(const struct onp_cli_demo *demo) {
    if (demo->shown_are_group)
        printf(
            "\nThe concepts shown next were chosen because the model gets them right: among these\n"
            "alone each finds its own in all six directions. The whole table, with what it gets\n"
            "wrong, stands below.\n");
    else
        printf("\nToo few concepts are told apart to show these alone: the concepts shown next are "
               "the\n"
               "ones with the best ranks. The whole table stands below.\n");
}

static void print_matrix(const struct onp_cli_demo *demo, enum onp_cli_pair pair) {
    const enum onp_modality *kinds = onp_cli_pair_kinds[pair];
    printf("\nSimilarity, %ss down, %ss across, * the right answers\n%*s",
           onp_cli_kind_name(kinds[0]), onp_cli_kind_name(kinds[1]), NAME + 4, "");
    for (size_t j = 0; j < demo->shown_count; j++) printf("%6zu ", j + 1);
    putchar('\n');
    for (size_t i = 0; i < demo->shown_count; i++) {
        const float *row = demo->scores[pair] + demo->shown[i] * demo->count;
        printf("%3zu ", i + 1);
        print_name(name_of(demo, demo->shown[i]), NAME);
        for (size_t j = 0; j < demo->shown_count; j++) {
            char value[16];
            snprintf(value, sizeof value, i == j ? "%.2f*" : "%.2f ", (double)row[demo->shown[j]]);
            printf("%7s", value);
        }
        putchar('\n');
    }
}

static void print_mixed(const struct onp_cli_demo *demo) {
    puts("\nMixed queries: a sound and the word of another concept, added; the nearest pictures");
    if (demo->mixed_count == 0) puts("  (a mixed query takes two concepts)");
    for (size_t i = 0; i < demo->mixed_count; i++) {
        const struct onp_cli_mixed *m = &demo->mixed[i];
        fputs("  ", stdout);
        print_name(name_of(demo, m->sound), 11);
        fputs(" + ", stdout);
        print_name(name_of(demo, m->word), 11);
        fputs(" :", stdout);
        for (size_t k = 0; k < ONP_CLI_MIXED_TOP && k < demo->count; k++) {
            const bool hit = m->found[k] == m->sound || m->found[k] == m->word;
            printf(" %s%.2f ", hit ? "*" : " ", (double)m->score[k]);
            print_name(name_of(demo, m->found[k]), 13);
        }
        putchar('\n');
    }
    if (demo->mixed_count == 0) return;
    printf(
        "  * one of the two. Of all %zu such queries of the table, both are among the first two\n"
        "  pictures in %.1f %%, among the first three in %.1f %%.\n",
        onp_cli_demo_pairs(demo), percent(demo->both[2], onp_cli_demo_pairs(demo)),
        percent(demo->both[3], onp_cli_demo_pairs(demo)));
}

static void print_table(const struct onp_cli_demo *demo) {
    printf("\nThe whole table: rank of the right answer among %zu, * right in all six directions\n"
           "  (p picture, s sound, w word)\n%*s",
           demo->count, 26, "");
    for (int d = 0; d < ONP_CLI_DIRECTIONS; d++)
        printf("  %c->%c", *onp_cli_kind_name(onp_cli_direction_from(d)),
               *onp_cli_kind_name(onp_cli_direction_to(d)));
    putchar('\n');
    for (size_t i = 0; i < demo->count; i++) {
        fputs(onp_cli_demo_is_right(demo, i) ? "* " : "  ", stdout);
        print_name(name_of(demo, i), 24);
        for (size_t d = 0; d < ONP_CLI_DIRECTIONS; d++)
            printf("%6zu", demo->ranks[i * ONP_CLI_DIRECTIONS + d]);
        putchar('\n');
    }
}

static int print_times(const struct onp_cli_demo *demo) {
    struct onp_encoder_stats stats = {0};
    printf("\nTime in ms        preparing         encoder (batches)    end to end\n"
           "                median     total    median     total    median     total\n");
    for (int m = ONP_MODALITY_COUNT - 1; m >= 0; m--) {
        static const enum onp_modality order[] = {ONP_TEXT, ONP_AUDIO, ONP_IMAGE};
        struct onp_cli_spread spread[3];
        int code = onp_cli_demo_times(demo, order[m], spread);
        if (code != ONP_CLI_OK) return code;
        printf("%4zu %ss%*s", demo->count, onp_cli_kind_name(order[m]),
               8 - (int)strlen(onp_cli_kind_name(order[m])), "");
        for (int part = 0; part < 3; part++)
            printf("%9.2f %9.1f ", 1e3 * spread[part].median, 1e3 * spread[part].total);
        putchar('\n');
    }
    onp_encoder_get_stats(demo->session.encoder, &stats);
    printf("Weights loaded in %.2f s, kernels ready in %.2f s, everything embedded after %.2f s\n",
           stats.load_seconds, stats.compile_seconds, demo->seconds);
    return ONP_CLI_OK;
}

int onp_cli_demo_print(const struct onp_cli_demo *demo) {
    print_facts(demo);
    print_hits(demo);
    print_choice(demo);
    for (int p = 0; p < ONP_CLI_PAIRS; p++) print_matrix(demo, (enum onp_cli_pair)p);
    print_mixed(demo);
    print_table(demo);
    return print_times(demo);
}
