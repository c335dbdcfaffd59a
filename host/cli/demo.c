// SPDX-License-Identifier: Apache-2.0
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli/demo.h"
#include "cli/group.h"

// Items of a run on the device: enough for batches, few enough for a median that means something.
enum { CHUNK = 16, SHOWN = 12, SMALLEST_GROUP = 4, MIXED = 6 };

const enum onp_modality onp_cli_pair_kinds[ONP_CLI_PAIRS][2] = {
    {ONP_IMAGE, ONP_TEXT}, {ONP_AUDIO, ONP_TEXT}, {ONP_AUDIO, ONP_IMAGE}};

enum onp_modality onp_cli_direction_from(int direction) {
    return onp_cli_pair_kinds[direction / 2][direction % 2];
}

enum onp_modality onp_cli_direction_to(int direction) {
    return onp_cli_pair_kinds[direction / 2][1 - direction % 2];
}

const char *onp_cli_kind_name(enum onp_modality kind) {
    return kind == ONP_IMAGE ? "picture" : kind == ONP_AUDIO ? "sound" : "word";
}

// --- Embedding ---------------------------------------------------------------------------------

struct target {
    struct onp_cli_demo *demo;
    enum onp_modality kind;
};

static bool keep_row(void *user, size_t index, const float *row) {
    const struct target *t = user;
    memcpy(t->demo->rows[t->kind] + index * t->demo->dim, row, t->demo->dim * sizeof *row);
    return true;
}

static void keep_time(void *user, size_t index, double prepare, double encode) {
    const struct target *t = user;
    t->demo->times[t->kind][index] = (struct onp_cli_seconds){prepare, encode};
}

// The concepts as items of one kind; messages name the table and the line.
static void list_items(const struct onp_cli_demo *demo, enum onp_modality kind,
                       struct onp_cli_items *items) {
    for (size_t i = 0; i < demo->count; i++) {
        const struct onp_cli_concept *concept = &demo->data.list[i];
        const char *value = kind == ONP_TEXT ? concept->name : concept->path[kind];
        items->list[i] = (struct onp_cli_item){.kind = kind,
                                               .value = value,
                                               .bytes = strlen(value),
                                               .list = demo->data.path,
                                               .line = concept->line};
    }
    items->count = demo->count;
    items->modalities = ONP_BIT(kind);
}

static int embed_kind(struct onp_cli_demo *demo, enum onp_modality kind, const char *model) {
    struct target target = {demo, kind};
    const struct onp_cli_sink sink = {
        .row = keep_row, .time = keep_time, .user = &target, .chunk = CHUNK};
    struct onp_cli_items items = {.list = calloc(demo->count, sizeof *items.list)};
    demo->rows[kind] = calloc(demo->count, demo->dim * sizeof *demo->rows[kind]);
    demo->times[kind] = calloc(demo->count, sizeof *demo->times[kind]);
    int code = ONP_CLI_OK;
    size_t rows;
    if (items.list && demo->rows[kind] && demo->times[kind]) {
        list_items(demo, kind, &items);
        code = onp_cli_embed(&demo->session, model, &items, &sink, &rows);
    } else {
        code = onp_cli_fail("out of memory");
    }
    free(items.list);
    return code;
}

static int embed(struct onp_cli_demo *demo, const char *model) {
    struct timespec start, end;
    clock_gettime(CLOCK_MONOTONIC, &start);
    int code = onp_cli_session_model(&demo->session, model);
    if (code != ONP_CLI_OK) return code;
    demo->dim = demo->session.info.embed_dim;
    // One encoder for all three kinds.
    demo->session.more_modalities = ONP_ALL_MODALITIES;
    demo->session.more_items = CHUNK;
    for (int m = 0; m < ONP_MODALITY_COUNT && code == ONP_CLI_OK; m++)
        code = embed_kind(demo, (enum onp_modality)m, model);
    clock_gettime(CLOCK_MONOTONIC, &end);
    demo->seconds =
        (double)(end.tv_sec - start.tv_sec) + 1e-9 * (double)(end.tv_nsec - start.tv_nsec);
    return code;
}

// --- Ranks -------------------------------------------------------------------------------------

static int score(struct onp_cli_demo *demo) {
    const size_t n = demo->count;
    for (int p = 0; p < ONP_CLI_PAIRS; p++) {
        demo->scores[p] = calloc(n, n * sizeof *demo->scores[p]);
        if (!demo->scores[p]) return onp_cli_fail("out of memory");
        onp_similarity(demo->rows[onp_cli_pair_kinds[p][0]], n,
                       demo->rows[onp_cli_pair_kinds[p][1]], n, demo->dim, demo->scores[p]);
    }
    return ONP_CLI_OK;
}

// The right answer lies on the diagonal. What scores as high counts against it, so that a model
// that gives everything the same score gets nothing right.
static size_t rank_of(const struct onp_cli_demo *demo, int direction, size_t concept) {
    const size_t n = demo->count;
    const float *scores = demo->scores[direction / 2];
    const float *at = direction % 2 ? scores + concept : scores + concept * n;
    const size_t step = direction % 2 ? n : 1;
    size_t rank = 1;
    for (size_t i = 0; i < n; i++) rank += i != concept && at[i * step] >= at[concept * step];
    return rank;
}

static int rank(struct onp_cli_demo *demo) {
    demo->ranks = calloc(demo->count, ONP_CLI_DIRECTIONS * sizeof *demo->ranks);
    if (!demo->ranks) return onp_cli_fail("out of memory");
    for (size_t i = 0; i < demo->count; i++)
        for (int d = 0; d < ONP_CLI_DIRECTIONS; d++)
            demo->ranks[i * ONP_CLI_DIRECTIONS + (size_t)d] = rank_of(demo, d, i);
    for (size_t i = 0; i < demo->count; i++) demo->right += onp_cli_demo_is_right(demo, i);
    return ONP_CLI_OK;
}

static size_t rank_sum(const struct onp_cli_demo *demo, size_t concept) {
    size_t sum = 0;
    for (size_t d = 0; d < ONP_CLI_DIRECTIONS; d++)
        sum += demo->ranks[concept * ONP_CLI_DIRECTIONS + d];
    return sum;
}

bool onp_cli_demo_is_right(const struct onp_cli_demo *demo, size_t concept) {
    return rank_sum(demo, concept) == ONP_CLI_DIRECTIONS;
}

size_t onp_cli_demo_hits(const struct onp_cli_demo *demo, int direction) {
    size_t hits = 0;
    for (size_t i = 0; i < demo->count; i++)
        hits += demo->ranks[i * ONP_CLI_DIRECTIONS + (size_t)direction] == 1;
    return hits;
}

// The concepts of the group with the best ranks in the whole table; if the group is too small for a
// matrix, those of the table.
static int choose_shown(struct onp_cli_demo *demo) {
    bool *taken = calloc(demo->count, sizeof *taken);
    demo->group = calloc(demo->count, sizeof *demo->group);
    demo->shown = calloc(demo->count, sizeof *demo->shown);
    if (!taken || !demo->group || !demo->shown ||
        !onp_cli_group((const float *const *)demo->scores, ONP_CLI_PAIRS, demo->count, demo->group,
                       &demo->group_count)) {
        free(taken);
        return onp_cli_fail("out of memory");
    }
    demo->shown_are_group = demo->group_count >= SMALLEST_GROUP || demo->group_count == demo->count;
    size_t most = demo->count;
    if (demo->shown_are_group) {
        most = demo->group_count;
        memset(taken, true, demo->count * sizeof *taken);
        for (size_t i = 0; i < demo->group_count; i++) taken[demo->group[i]] = false;
    }
    while (demo->shown_count < most && demo->shown_count < SHOWN) {
        size_t best = demo->count;
        for (size_t i = 0; i < demo->count; i++)
            if (!taken[i] && (best == demo->count || rank_sum(demo, i) < rank_sum(demo, best)))
                best = i;
        taken[best] = true;
        demo->shown[demo->shown_count++] = best;
    }
    free(taken);
    return ONP_CLI_OK;
}

// --- Mixed queries -----------------------------------------------------------------------------

static void take_best(struct onp_cli_mixed *mixed, const float *scores, size_t count) {
    for (size_t k = 0; k < ONP_CLI_MIXED_TOP && k < count; k++) {
        size_t best = count;
        for (size_t i = 0; i < count; i++) {
            bool taken = false;
            for (size_t j = 0; j < k; j++) taken |= mixed->found[j] == i;
            if (!taken && (best == count || scores[i] > scores[best])) best = i;
        }
        mixed->found[k] = best;
        mixed->score[k] = scores[best];
    }
}

// The normalised sum of a sound and the word of a concept half the list away.
static int mix_shown(struct onp_cli_demo *demo) {
    const size_t n = demo->shown_count, dim = demo->dim;
    if (n < 2) return ONP_CLI_OK;
    float *rows = calloc(3 * dim, sizeof *rows), *scores = calloc(demo->count, sizeof *scores);
    demo->mixed = calloc(MIXED, sizeof *demo->mixed);
    int code = rows && scores && demo->mixed ? ONP_CLI_OK : onp_cli_fail("out of memory");
    for (size_t i = 0; i < n && i < MIXED && code == ONP_CLI_OK; i++) {
        struct onp_cli_mixed *mixed = &demo->mixed[demo->mixed_count++];
        mixed->sound = demo->shown[i];
        mixed->word = demo->shown[(i + n / 2) % n];
        memcpy(rows, demo->rows[ONP_AUDIO] + mixed->sound * dim, dim * sizeof *rows);
        memcpy(rows + dim, demo->rows[ONP_TEXT] + mixed->word * dim, dim * sizeof *rows);
        onp_combine(rows, 2, dim, rows + 2 * dim);
        onp_similarity(rows + 2 * dim, 1, demo->rows[ONP_IMAGE], demo->count, dim, scores);
        take_best(mixed, scores, demo->count);
    }
    free(rows);
    free(scores);
    return code;
}

size_t onp_cli_demo_pairs(const struct onp_cli_demo *demo) {
    return demo->count * (demo->count - 1);
}

// Whether both pictures are among the first `k`: the worse of them has fewer than k - 1 others
// before it. The length of the sum is the same for all pictures and left out.
static void count_both(struct onp_cli_demo *demo, const float *to_sound, size_t sound,
                       size_t word) {
    const size_t n = demo->count;
    const float *to_word = demo->scores[ONP_CLI_IMAGE_TEXT] + word; // a column
    const float a = to_sound[sound] + to_word[sound * n], b = to_sound[word] + to_word[word * n];
    const float worse = a < b ? a : b;
    size_t before = 0;
    for (size_t i = 0; i < n && before < ONP_CLI_MIXED_TOP; i++)
        before += i != sound && i != word && to_sound[i] + to_word[i * n] >= worse;
    for (size_t k = before + 2; k <= ONP_CLI_MIXED_TOP; k++) demo->both[k]++;
}

static void mix_all(struct onp_cli_demo *demo) {
    for (size_t s = 0; s < demo->count; s++)
        for (size_t w = 0; w < demo->count; w++)
            if (s != w) count_both(demo, demo->scores[ONP_CLI_AUDIO_IMAGE] + s * demo->count, s, w);
}

// --- Times -------------------------------------------------------------------------------------

static int by_value(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int onp_cli_demo_times(const struct onp_cli_demo *demo, enum onp_modality kind,
                       struct onp_cli_spread spread[3]) {
    const size_t n = demo->count;
    double *values = calloc(n, sizeof *values);
    if (!values) return onp_cli_fail("out of memory");
    for (int part = 0; part < 3; part++) {
        spread[part].total = 0.0;
        for (size_t i = 0; i < n; i++) {
            const struct onp_cli_seconds *t = &demo->times[kind][i];
            values[i] = (part != 1 ? t->prepare : 0.0) + (part != 0 ? t->encode : 0.0);
            spread[part].total += values[i];
        }
        qsort(values, n, sizeof *values, by_value);
        spread[part].median = 0.5 * (values[(n - 1) / 2] + values[n / 2]);
    }
    free(values);
    return ONP_CLI_OK;
}

// --- The whole run -----------------------------------------------------------------------------

int onp_cli_demo_run(struct onp_cli_demo *demo, const char *model) {
    demo->count = demo->data.count;
    int code = embed(demo, model);
    if (code == ONP_CLI_OK) code = score(demo);
    if (code == ONP_CLI_OK) code = rank(demo);
    if (code == ONP_CLI_OK) code = choose_shown(demo);
    if (code == ONP_CLI_OK) code = mix_shown(demo);
    if (code == ONP_CLI_OK) mix_all(demo);
    return code;
}

void onp_cli_demo_end(struct onp_cli_demo *demo) {
    onp_cli_session_end(&demo->session);
    onp_cli_demo_data_free(&demo->data);
    for (int m = 0; m < ONP_MODALITY_COUNT; m++) {
        free(demo->rows[m]);
        free(demo->times[m]);
    }
    for (int p = 0; p < ONP_CLI_PAIRS; p++) free(demo->scores[p]);
    free(demo->ranks);
    free(demo->group);
    free(demo->shown);
    free(demo->mixed);
    free(demo->settings.disabled.list);
}
