// SPDX-License-Identifier: Apache-2.0
// The search: noise, a few pairs for every candidate, more for the fastest, fresh ones for the
// best.
#include "exec/tune.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/checked.h"
#include "exec/exec.h"

#define NOISE_PAIRS  9
#define FIRST_PAIRS  3
#define SECOND_PAIRS 5
#define FINAL_PAIRS  15
#define FINALISTS    3
#define LEAST_GAIN   0.01 // below this a gain is not worth a file
#define MAIN_SHARE   0.8  // of the class's time: the shapes of the first look
#define HOPELESS     0.93 // ratio below which the first look ends early
#define FIRST_SHARE  0.6  // of the time, for the first look at every candidate

struct candidate {
    struct onp_tuning tiles;
    double ratio; // 0: has not been timed
};

struct op_search {
    struct onp_tune_search *search;
    enum onp_tuned_op op;
    struct onp_tune_shapes shapes;
    struct candidate list[ONP_TUNE_CANDIDATES + 1];
    size_t total, tried;
    double noise;
    uint64_t seed;
};

static void report(struct op_search *s, const struct onp_tuning *tiles,
                   enum onp_tune_verdict verdict, const struct onp_tune_estimate *estimate,
                   size_t pairs, const char *message) {
    struct onp_tune_search *search = s->search;
    char text[160] = "";
    if (tiles) onp_tuning_describe(tiles, &search->device->tuning, s->op, text, sizeof text);
    const struct onp_tune_result result = {.op = onp_tuned_op_name(s->op),
                                           .tiles = text,
                                           .verdict = verdict,
                                           .ratio = estimate ? estimate->median : 0.0,
                                           .bound = estimate ? estimate->low : 0.0,
                                           .pairs = (uint32_t)pairs,
                                           .message = message,
                                           .tried = s->tried,
                                           .total = s->total};
    if (search->fn && !search->fn(search->user, &result)) search->clock.stopped = true;
}

// Fresh pairs of the class's tiles and these. *pairs is 0 if the time was over.
static enum onp_status measure(struct op_search *s, const struct onp_tuning *tiles, size_t wanted,
                               const struct onp_tune_clock *clock,
                               struct onp_tune_estimate *estimate, size_t *pairs) {
    double ratios[ONP_TUNE_PAIRS];
    struct onp_device *device = s->search->device;
    s->seed += 1000;
    const bool first = wanted == FIRST_PAIRS;
    const struct onp_tune_plan plan = {.a = &device->tuning,
                                       .b = tiles,
                                       .pairs = wanted,
                                       .share = first ? MAIN_SHARE : 1.0 - 1e-9,
                                       .least = first ? HOPELESS : 0.0,
                                       .seed = s->seed};
    ONP_TRY(onp_tune_pairs(device, s->op, &s->shapes, &plan, clock, ratios, pairs));
    if (*pairs > 0) *estimate = onp_tune_bootstrap(ratios, *pairs, s->seed);
    return ONP_OK;
}

// The class's tiles against themselves.
static enum onp_status measure_noise(struct op_search *s) {
    struct onp_device *device = s->search->device;
    struct onp_tune_estimate estimate;
    size_t pairs;
    char why[ONP_TUNING_WHY] = "";
    const enum onp_status status = onp_tuned_selftest(device, s->op, why);
    if (status != ONP_OK)
        return onp_fail(&device->context->log, status,
                        "the %s tiles of this device's class are wrong (%s): there is nothing to "
                        "compare with; see 'onepeace selftest'",
                        onp_tuned_op_name(s->op), why);
    const enum onp_status measured =
        measure(s, &device->tuning, NOISE_PAIRS, &s->search->clock, &estimate, &pairs);
    if (measured == ONP_ERR_MISMATCH)
        return onp_fail(&device->context->log, measured,
                        "the %s tiles of this device's class give two results for one input",
                        onp_tuned_op_name(s->op));
    ONP_TRY(measured);
    if (pairs == 0) {
        report(s, NULL, ONP_TUNE_SKIPPED, NULL, 0, "the time was over before the first candidate");
        s->search->clock.stopped = true;
        return ONP_OK;
    }
    s->noise = fmax(LEAST_GAIN, fmax(1.0 - estimate.low, estimate.high - 1.0));
    char text[96];
    snprintf(text, sizeof text, "a gain must exceed %.1f %%", 100.0 * s->noise);
    report(s, NULL, ONP_TUNE_NOISE, &estimate, pairs, text);
    return ONP_OK;
}

// Failures of one candidate, which say nothing against the next.
static bool is_refusal(enum onp_status status) {
    return status == ONP_ERR_BUILD || status == ONP_ERR_DEVICE || status == ONP_ERR_UNSUPPORTED ||
           status == ONP_ERR_DEVICE_MEMORY;
}

// Fits the device and equals the C reference? Says so if not.
static bool is_right(struct op_search *s, const struct onp_tuning *tiles) {
    struct onp_device *device = s->search->device;
    char why[ONP_TUNING_WHY] = "";
    if (!onp_tuned_fits(device, s->op, tiles, why)) {
        report(s, tiles, ONP_TUNE_REFUSED, NULL, 0, why);
        return false;
    }
    device->tuned[s->op] = (struct onp_tuned){.set = true, .tiles = *tiles};
    const enum onp_status status = onp_tuned_selftest(device, s->op, why);
    device->tuned[s->op].set = false;
    if (status == ONP_OK) return true;
    report(s, tiles, status == ONP_ERR_MISMATCH ? ONP_TUNE_WRONG : ONP_TUNE_REFUSED, NULL, 0, why);
    return false;
}

// Measures, and says what went wrong if it is the candidate's fault; *pairs is 0 then.
static enum onp_status try_out(struct op_search *s, const struct onp_tuning *tiles, size_t wanted,
                               const struct onp_tune_clock *clock,
                               struct onp_tune_estimate *estimate, size_t *pairs) {
    const enum onp_status status = measure(s, tiles, wanted, clock, estimate, pairs);
    if (status == ONP_OK) return ONP_OK;
    *pairs = 0;
    if (status == ONP_ERR_MISMATCH)
        report(s, tiles, ONP_TUNE_WRONG, NULL, 0, "differs from the default on the model's shapes");
    else if (is_refusal(status))
        report(s, tiles, ONP_TUNE_REFUSED, NULL, 0, onp_last_error());
    else
        return status;
    return ONP_OK;
}

static enum onp_status first_look(struct op_search *s) {
    struct onp_tune_clock clock = s->search->clock;
    clock.deadline -= (1.0 - FIRST_SHARE) * (clock.deadline - onp_seconds_now());
    for (size_t i = 0; i < s->total && !s->search->clock.stopped; i++) {
        struct candidate *c = &s->list[i];
        struct onp_tune_estimate estimate;
        size_t pairs;
        if (onp_tune_late(&clock)) break;
        s->tried++;
        if (!is_right(s, &c->tiles)) continue;
        ONP_TRY(try_out(s, &c->tiles, FIRST_PAIRS, &clock, &estimate, &pairs));
        if (pairs == 0) continue;
        c->ratio = estimate.median;
        if (c->ratio < 1.0 - s->noise) report(s, &c->tiles, ONP_TUNE_SLOWER, &estimate, pairs, "");
    }
    if (s->tried < s->total) report(s, NULL, ONP_TUNE_SKIPPED, NULL, 0, "the time was over");
    return ONP_OK;
}

// The fastest few that are not slower than the class's, fastest first. Reports those left out.
static size_t choose_finalists(struct op_search *s, struct candidate *finalists) {
    size_t count = 0;
    for (size_t i = 0; i < s->total; i++) {
        struct candidate c = s->list[i];
        if (c.ratio <= 0.0 || c.ratio < 1.0 - s->noise) continue;
        for (size_t j = 0; j < count; j++)
            if (c.ratio > finalists[j].ratio) {
                const struct candidate t = finalists[j];
                finalists[j] = c;
                c = t;
            }
        if (count < FINALISTS) {
            finalists[count++] = c;
            continue;
        }
        const struct onp_tune_estimate estimate = {.median = c.ratio};
        report(s, &c.tiles, ONP_TUNE_SLOWER, &estimate, FIRST_PAIRS, "");
    }
    return count;
}

// Measures the finalists again and returns the best one's index; count if none was measured.
static enum onp_status second_look(struct op_search *s, struct candidate *finalists, size_t count,
                                   size_t *best) {
    *best = count;
    for (size_t i = 0; i < count; i++) {
        struct onp_tune_estimate estimate = {0};
        size_t pairs = 0;
        if (count > 1)
            ONP_TRY(try_out(s, &finalists[i].tiles, SECOND_PAIRS, &s->search->clock, &estimate,
                            &pairs));
        if (count > 1 && pairs == 0) continue;
        if (pairs > 0) finalists[i].ratio = estimate.median;
        if (*best < count && finalists[*best].ratio >= finalists[i].ratio) {
            report(s, &finalists[i].tiles, ONP_TUNE_CLOSE, &estimate, pairs, "another was faster");
            continue;
        }
        if (*best < count) {
            const struct onp_tune_estimate beaten = {.median = finalists[*best].ratio};
            report(s, &finalists[*best].tiles, ONP_TUNE_CLOSE, &beaten, SECOND_PAIRS,
                   "another was faster");
        }
        *best = i;
    }
    return ONP_OK;
}

static enum onp_status decide(struct op_search *s, const struct candidate *best,
                              struct onp_tune_winner *winner) {
    struct onp_tune_estimate estimate = {.median = best->ratio};
    size_t pairs;
    ONP_TRY(try_out(s, &best->tiles, FINAL_PAIRS, &s->search->clock, &estimate, &pairs));
    if (pairs == 0) {
        report(s, &best->tiles, ONP_TUNE_CLOSE, &estimate, 0, "the time was over before the proof");
        return ONP_OK;
    }
    winner->kept = estimate.low > 1.0 + s->noise;
    winner->tiles = best->tiles;
    winner->gain = estimate.median;
    winner->bound = estimate.low;
    winner->pairs = (int32_t)pairs;
    report(s, &best->tiles, winner->kept ? ONP_TUNE_KEPT : ONP_TUNE_CLOSE, &estimate, pairs,
           winner->kept ? "" : "not by more than the noise");
    return ONP_OK;
}

static void list_candidates(struct op_search *s, const struct onp_tuned *present) {
    const struct onp_device *device = s->search->device;
    struct onp_tuning space[ONP_TUNE_CANDIDATES];
    const size_t count = onp_tune_space(device, s->op, space);
    const bool tuned = present->set && !onp_tuning_equal(&present->tiles, &device->tuning, s->op);
    if (tuned) s->list[s->total++].tiles = present->tiles; // what is in force now
    for (size_t i = 0; i < count; i++)
        if (!tuned || !onp_tuning_equal(&space[i], &present->tiles, s->op))
            s->list[s->total++].tiles = space[i];
}

static enum onp_status search_op(struct op_search *s, struct onp_tune_winner *winner) {
    struct candidate finalists[FINALISTS + 1];
    size_t best;
    ONP_TRY(measure_noise(s));
    if (s->search->clock.stopped) return ONP_OK;
    winner->searched = true;
    ONP_TRY(first_look(s));
    const size_t count = choose_finalists(s, finalists);
    ONP_TRY(second_look(s, finalists, count, &best));
    return best < count ? decide(s, &finalists[best], winner) : ONP_OK;
}

enum onp_status onp_tune_op(struct onp_tune_search *search, enum onp_tuned_op op,
                            struct onp_tune_winner *winner) {
    struct op_search s = {.search = search, .op = op, .seed = search->seed};
    const struct onp_tuned present = search->device->tuned[op];
    *winner = (struct onp_tune_winner){0};
    onp_tune_collect(op, search->graphs, &s.shapes);
    if (s.shapes.count == 0) return ONP_OK;
    list_candidates(&s, &present);
    search->device->tuned[op].set = false;
    const enum onp_status status = search_op(&s, winner);
    search->device->tuned[op] = present;
    search->device->backend->profile(search->device, false);
    return status;
}
