// SPDX-License-Identifier: Apache-2.0
// One way of embedding items: prepared ones by the encoder alone, or files and texts as every other
// command embeds them.
#include <stdlib.h>
#include <string.h>

#include "cli/bench/bench.h"

static int run_prepared(struct onp_bench *bench, const struct onp_bench_lane *lane, size_t first,
                        size_t count, double *seconds) {
    const struct onp_input **list = calloc(count, sizeof(*list));
    float *rows = calloc(count * bench->session.info.embed_dim, sizeof *rows);
    int code = list && rows ? ONP_CLI_OK : onp_cli_fail("out of memory");
    for (size_t i = 0; i < count && code == ONP_CLI_OK; i++)
        list[i] = lane->input->prepared[(first + i) % ONP_BENCH_POOL];
    if (code == ONP_CLI_OK) {
        const double start = onp_cli_now();
        code = onp_cli_status(
            onp_encoder_embed(bench->branches[lane->input->kind].encoder, list, count, rows));
        *seconds = onp_cli_now() - start;
    }
    free(list);
    free(rows);
    return code;
}

static bool ignore_row(void *user, size_t index, const float *row) {
    (void)user;
    (void)index;
    (void)row;
    return true;
}

// A session of its own, with the branch's encoder in it and no progress bar.
static int run_sources(struct onp_bench *bench, const struct onp_bench_lane *lane, size_t first,
                       size_t count, double *seconds) {
    const struct onp_bench_input *input = lane->input;
    struct onp_cli_settings settings = bench->options.settings;
    struct onp_cli_session session = bench->session;
    struct onp_cli_items items = {.count = count, .modalities = ONP_BIT(input->kind)};
    const struct onp_cli_sink sink = {.row = ignore_row};
    size_t rows = 0;
    items.list = calloc(count, sizeof *items.list);
    if (!items.list) return onp_cli_fail("out of memory");
    for (size_t i = 0; i < count; i++) {
        const char *source = input->source[(first + i) % ONP_BENCH_POOL];
        items.list[i] = (struct onp_cli_item){
            .kind = input->kind, .value = source, .bytes = strlen(source), .line = i + 1};
    }
    settings.quiet = true;
    settings.batch = 0;
    session.settings = &settings;
    session.encoder = bench->branches[input->kind].encoder;
    session.loaded = ONP_BIT(input->kind);
    const double start = onp_cli_now();
    int code = onp_cli_embed(&session, bench->session.info.path, &items, &sink, &rows);
    *seconds = onp_cli_now() - start;
    free(items.list);
    return code;
}

int onp_bench_lane_run(struct onp_bench *bench, const struct onp_bench_lane *lane, size_t first,
                       size_t count, double *seconds) {
    struct onp_encoder *encoder = bench->branches[lane->input->kind].encoder;
    int code = onp_cli_status(onp_encoder_limit_batch(encoder, lane->input->kind, lane->batch));
    if (code != ONP_CLI_OK) return code;
    return (lane->scope == ONP_BENCH_ENCODER ? run_prepared : run_sources)(bench, lane, first,
                                                                           count, seconds);
}

// Items of an offline pass: so many that a slice holds two passes, in full batches.
static size_t list_of(const struct onp_bench_lane *lane, double slice_s) {
    const double fit = lane->item_s > 0.0 ? 0.5 * slice_s / lane->item_s : 0.0;
    const size_t batch = lane->batch, most = ONP_BENCH_LIST_MOST / batch * batch;
    const size_t count = fit > (double)ONP_BENCH_LIST_MOST ? most : (size_t)fit / batch * batch;
    return count < batch ? batch : count;
}

int onp_bench_lane_warm(struct onp_bench *bench, struct onp_bench_lane *lane, double slice_s) {
    double first = 0.0, second = 0.0;
    int code = onp_bench_lane_run(bench, lane, 0, lane->batch, &first);
    lane->warmup = lane->batch;
    lane->item_s = first / lane->batch;
    // The first pass compiles and fills caches; where it took long already, it is estimate enough.
    if (code == ONP_CLI_OK && first < 4.0 * slice_s) {
        code = onp_bench_lane_run(bench, lane, 0, lane->batch, &second);
        lane->warmup += lane->batch;
        lane->item_s = second / lane->batch;
    }
    lane->list = list_of(lane, slice_s);
    if (code != ONP_CLI_OK || lane->list == lane->batch) return code;
    // Lists run faster than a batch alone where work overlaps.
    code = onp_bench_lane_run(bench, lane, 0, lane->list, &second);
    lane->warmup += lane->list;
    lane->item_s = second / (double)lane->list;
    lane->list = list_of(lane, slice_s);
    return code;
}
