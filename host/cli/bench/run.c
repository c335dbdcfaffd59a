// SPDX-License-Identifier: Apache-2.0
// The order of the run: branches are loaded together if memory allows, else one after the other;
// what is loaded together is measured in rounds, a slice of every scenario in each, so that a drift
// of the machine meets all of them.
#include <inttypes.h>
#include <stdlib.h>

#include "cli/bench/bench.h"
#include "cli/progress.h"

enum { ROUNDS = 3 };

static double seconds_of(const struct onp_bench *bench) {
    if (bench->options.seconds) return (double)bench->options.seconds;
    return bench->options.quick ? 0.05 : 1.0;
}

static size_t rounds_of(const struct onp_bench *bench) { return bench->options.quick ? 1 : ROUNDS; }

// --- Loading -----------------------------------------------------------------------------------

static int first_embedding(struct onp_bench *bench, enum onp_modality kind) {
    struct onp_bench_branch *branch = &bench->branches[kind];
    for (size_t i = 0; i < bench->input_count; i++) {
        const struct onp_bench_lane lane = {.input = &bench->inputs[i], .batch = 1};
        if (lane.input->kind == kind)
            return onp_bench_lane_run(bench, &lane, 0, 1, &branch->first_embedding_s);
    }
    return ONP_CLI_OK;
}

static int load(struct onp_bench *bench, enum onp_modality kind) {
    const struct onp_cli_settings *s = &bench->options.settings;
    struct onp_bench_branch *branch = &bench->branches[kind];
    const struct onp_encoder_params params = {.modalities = ONP_BIT(kind),
                                              .dtype = s->dtype ? ONP_F16 : ONP_F32,
                                              .max_batch = (uint32_t)s->batch};
    struct onp_encoder_stats stats;
    const double start = onp_cli_now();
    int code = onp_cli_status(
        onp_encoder_create(bench->session.device, bench->session.model, &params, &branch->encoder));
    branch->create_s = onp_cli_now() - start;
    if (code == ONP_CLI_OK) code = first_embedding(bench, kind);
    if (code == ONP_CLI_OK) code = onp_cli_status(onp_encoder_get_stats(branch->encoder, &stats));
    if (code != ONP_CLI_OK) return code;
    branch->measured = true;
    branch->compile_s = stats.compile_seconds;
    branch->upload_s = stats.load_seconds;
    branch->weight_bytes = stats.weight_bytes;
    branch->arena_bytes = stats.arena_bytes;
    branch->max_batch = stats.max_batch[kind];
    return onp_bench_accuracy_keep(bench, kind);
}

static void unload(struct onp_bench *bench) {
    for (int m = 0; m < ONP_MODALITY_COUNT; m++) {
        onp_encoder_destroy(bench->branches[m].encoder);
        bench->branches[m].encoder = NULL;
    }
}

// --- Batches -----------------------------------------------------------------------------------

static int try_batch(struct onp_bench *bench, struct onp_bench_input *input, uint32_t batch,
                     double bound, double *took) {
    const struct onp_bench_lane lane = {.input = input, .batch = batch};
    double again;
    int code = onp_bench_lane_run(bench, &lane, 0, batch, took);
    for (int i = 0; i < 2 && code == ONP_CLI_OK && *took < bound; i++) {
        code = onp_bench_lane_run(bench, &lane, 0, batch, &again);
        if (i == 0 || again < *took) *took = again;
    }
    input->tried[input->tried_count].batch = batch;
    input->tried[input->tried_count++].items_per_s = *took > 0.0 ? batch / *took : 0.0;
    return code;
}

// How many items of this input one run takes.
static uint32_t most_items(const struct onp_bench *bench, const struct onp_bench_input *input) {
    const struct onp_encoder *encoder = bench->branches[input->kind].encoder;
    const struct onp_input *list[ONP_BENCH_LIST_MOST];
    for (size_t i = 0; i < ONP_BENCH_LIST_MOST; i++) list[i] = input->prepared[i % ONP_BENCH_POOL];
    return (uint32_t)onp_encoder_fitting(encoder, list, ONP_BENCH_LIST_MOST);
}

// The smallest batch within 2 % of the best rate. Batches that would take more than four times the
// time of a scenario are not tried.
static int find_best(struct onp_bench *bench, struct onp_bench_input *input) {
    const double bound = 4.0 * seconds_of(bench);
    double best = 0.0, took = 0.0;
    int code = onp_cli_status(
        onp_encoder_limit_batch(bench->branches[input->kind].encoder, input->kind, 0));
    const uint32_t most = most_items(bench, input);
    input->best_batch = 1;
    for (uint32_t batch = 1; code == ONP_CLI_OK && batch <= most;) {
        if (batch > 1 && 2.0 * took > bound) break;
        code = try_batch(bench, input, batch, bound, &took);
        if (batch == most) break;
        batch = batch > most / 2 ? most : batch * 2;
    }
    for (size_t i = 0; i < input->tried_count; i++)
        if (input->tried[i].items_per_s > best) best = input->tried[i].items_per_s;
    for (size_t i = input->tried_count; i-- > 0;)
        if (input->tried[i].items_per_s >= 0.98 * best) input->best_batch = input->tried[i].batch;
    return code;
}

// --- Lanes and cells ---------------------------------------------------------------------------

static void add_cells(struct onp_bench *bench, struct onp_bench_lane *lane) {
    for (int s = ONP_BENCH_SINGLE_STREAM; s <= ONP_BENCH_SERVER; s++) {
        const enum onp_bench_scenario scenario = (enum onp_bench_scenario)s;
        if (!(bench->options.scenarios & (1u << s))) continue;
        if (scenario == ONP_BENCH_SINGLE_STREAM && lane->batch > 1) continue;
        bench->cells[bench->cell_count++] =
            (struct onp_bench_cell){.scenario = scenario, .lane = lane, .warmup = lane->warmup};
    }
}

static int add_lane(struct onp_bench *bench, struct onp_bench_input *input,
                    enum onp_bench_scope scope, uint32_t batch) {
    struct onp_bench_lane *lane = &bench->lanes[bench->lane_count++];
    *lane = (struct onp_bench_lane){.input = input, .scope = scope, .batch = batch};
    int code = onp_bench_lane_warm(bench, lane, seconds_of(bench) / (double)rounds_of(bench));
    if (code == ONP_CLI_OK) add_cells(bench, lane);
    return code;
}

static int add_input(struct onp_bench *bench, struct onp_bench_input *input) {
    int code = ONP_CLI_OK;
    if (bench->options.settings.batch)
        input->best_batch = (uint32_t)bench->options.settings.batch;
    else
        code = find_best(bench, input);
    for (int s = ONP_BENCH_ENCODER; s <= ONP_BENCH_END_TO_END && code == ONP_CLI_OK; s++) {
        if (s == ONP_BENCH_END_TO_END && input->missing[0]) continue;
        code = add_lane(bench, input, (enum onp_bench_scope)s, 1);
        if (code == ONP_CLI_OK && input->best_batch > 1)
            code = add_lane(bench, input, (enum onp_bench_scope)s, input->best_batch);
    }
    return code;
}

// --- Rounds ------------------------------------------------------------------------------------

static int slice(struct onp_bench *bench, struct onp_bench_cell *cell, double *peak,
                 uint64_t *random) {
    const size_t rounds = rounds_of(bench);
    const size_t least = (size_t)((bench->options.min_samples + rounds - 1) / rounds);
    if (*peak > cell->peak_before) cell->peak_before = *peak;
    int code = onp_bench_cell_slice(bench, cell, seconds_of(bench) / (double)rounds, least, random);
    if (code == ONP_CLI_OK) code = onp_bench_probe_fma(bench, peak);
    if (*peak > cell->peak_after) cell->peak_after = *peak;
    return code;
}

static int profile_round(struct onp_bench *bench, size_t lane, size_t cell) {
    int code = ONP_CLI_OK;
    for (size_t i = lane; i < bench->lane_count && code == ONP_CLI_OK; i++) {
        struct onp_bench_lane *l = &bench->lanes[i];
        code = onp_bench_profile(bench, l, l->list, &l->busy, l->scope == ONP_BENCH_ENCODER);
    }
    for (size_t i = cell; i < bench->cell_count && code == ONP_CLI_OK; i++) {
        struct onp_bench_cell *c = &bench->cells[i];
        if (c->scenario == ONP_BENCH_SINGLE_STREAM)
            code = onp_bench_profile(bench, c->lane, 1, &c->busy, false);
    }
    return code;
}

// Rounds begin at different cells, so that none always follows the same one.
static int rounds(struct onp_bench *bench, size_t first_lane, size_t first_cell) {
    const size_t count = bench->cell_count - first_cell, total = rounds_of(bench);
    uint64_t random = bench->options.seed;
    double peak = 0.0;
    int code = onp_bench_probe_fma(bench, &peak);
    onp_cli_progress_start("measuring", total * count, !bench->options.settings.quiet);
    for (size_t r = 0; r < total && code == ONP_CLI_OK; r++) {
        for (size_t i = 0; i < count && code == ONP_CLI_OK; i++) {
            const size_t c = first_cell + (i + r * count / total) % count;
            code = slice(bench, &bench->cells[c], &peak, &random);
            onp_cli_progress_step(r * count + i + 1);
        }
        if (code == ONP_CLI_OK) code = profile_round(bench, first_lane, first_cell);
    }
    onp_cli_progress_end();
    return code;
}

static int measure(struct onp_bench *bench, unsigned kinds) {
    const size_t first_lane = bench->lane_count, first_cell = bench->cell_count;
    int code = ONP_CLI_OK;
    for (int m = 0; m < ONP_MODALITY_COUNT && code == ONP_CLI_OK; m++)
        if (kinds & ONP_BIT(m)) code = load(bench, (enum onp_modality)m);
    for (size_t i = 0; i < bench->input_count && code == ONP_CLI_OK; i++)
        if (kinds & ONP_BIT(bench->inputs[i].kind)) code = add_input(bench, &bench->inputs[i]);
    if (code == ONP_CLI_OK) code = rounds(bench, first_lane, first_cell);
    unload(bench);
    return code;
}

// All branches at a time need at most a quarter of what the device and the host have.
static int fit_together(const struct onp_bench *bench, bool *together) {
    const struct onp_device_info *info = onp_device_get_info(bench->session.device);
    uint64_t limit = info->global_bytes / 4, sum = 0;
    if (bench->before.available_bytes && bench->before.available_bytes / 4 < limit)
        limit = bench->before.available_bytes / 4;
    for (int m = 0; m < ONP_MODALITY_COUNT; m++) {
        uint64_t weights = 0, arena = 0;
        if (!(bench->options.kinds & ONP_BIT(m))) continue;
        int code = onp_cli_status(onp_model_memory(
            bench->session.model, ONP_BIT(m), bench->options.settings.dtype ? ONP_F16 : ONP_F32, 1,
            &weights, &arena));
        if (code != ONP_CLI_OK) return code;
        sum += weights + arena;
    }
    *together = sum <= limit;
    return ONP_CLI_OK;
}

int onp_bench_run(struct onp_bench *bench) {
    const unsigned kinds = bench->options.kinds;
    bool together;
    int code = fit_together(bench, &together);
    if (code != ONP_CLI_OK) return code;
    if (together) return measure(bench, kinds);
    for (int m = 0; m < ONP_MODALITY_COUNT && code == ONP_CLI_OK; m++)
        if (kinds & ONP_BIT(m)) code = measure(bench, ONP_BIT(m));
    return code;
}
