// SPDX-License-Identifier: Apache-2.0
// Hidden states after every stage of the small model against upstream's, on the device under test
// and on the reference. Runs the graph itself, with every named tensor kept.
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "api/internal.h"
#include "base/checked.h"
#include "exec/exec.h"
#include "models/family.h"
#include "tests/golden/golden.h"

#define STATE_TOLERANCE 5e-5
#define EMB_TOLERANCE   5e-6

struct stage_case {
    const char *label;
    enum onp_modality modality;
    const char *input;  // array of the items
    const char *prefix; // stages lie at PREFIX<stage>.npy
    int required;       // at least as many stages are compared
    bool complete_set;  // lies only in the complete set
    int32_t count;      // items used, from the first on
};

static const struct stage_case cases[] = {
    {"text", ONP_TEXT, "micro/golden/text/src_tokens.npy", "micro/golden/text/", 7, false, 4},
    {"audio", ONP_AUDIO, "micro/golden/audio/src_audios.npy", "micro/golden/audio/", 10, false, 3},
    {"scene", ONP_IMAGE, NULL, "own/image_", 7, false, 1},
    {"image", ONP_IMAGE, "micro/golden/image/src_images.npy", "micro/golden/image/", 8, true, 2},
    {"audio, 15 s", ONP_AUDIO, "micro/golden/audio15/src_audios.npy", "micro/golden/audio15/", 6,
     true, 1},
};

static const char *const stages[] = {
    "patch_embed",
    "conv_out",
    "feat",
    "pos_embed",
    "adapter_out",
    "l0_ln1",
    "l0_attn_before_ln",
    "l0_mid",
    "l0_ln2",
    "l0_geglu",
    "layer0",
    "layer1",
    "layer2",
    "final",
    "proj",
    "emb",
};

// --- A model on a device, without the encoder around it --------------------------------------

struct loaded {
    struct onp_device *device;
    struct onp_model_file *file;
    const struct onp_family *family;
    struct onp_hparams *hparams;
    struct onp_weights *weights;
    struct onp_graph *graph;
    struct onp_exec *exec;
};

static enum onp_status fill_weight(void *user, int64_t first, int64_t count, float *rows) {
    const struct onp_weight *weight = user;
    return weight->fill(weight, first, count, rows);
}

static struct loaded load(struct onp_device *device, const char *path, unsigned modalities) {
    struct loaded m = {.device = device};
    const struct onp_log *log = &onp_golden.log;
    onp_golden_ok(onp_model_file_open(path, log, &m.file), path);
    m.family = onp_family_find(m.file);
    assert_non_null(m.family);
    onp_golden_ok(m.family->open(m.file, log, &m.hparams), "hparams");
    onp_golden_ok(m.family->weights_create(m.hparams, m.file, modalities, log, &m.weights),
                  "weights");
    size_t count;
    struct onp_weight *list = m.family->weights_list(m.weights, &count);
    for (size_t i = 0; i < count; i++) {
        struct onp_tensor *t = &list[i].tensor;
        onp_weight_place(&list[i], device, ONP_F32);
        onp_golden_ok(onp_weight_upload(device, t, fill_weight, &list[i]), t->name);
    }
    onp_golden_ok(onp_graph_create(log, &m.graph), "graph");
    onp_golden_ok(onp_exec_create(device, &m.exec), "exec");
    return m;
}

static void unload(struct loaded *m) {
    size_t count;
    struct onp_weight *list = m->family->weights_list(m->weights, &count);
    onp_exec_destroy(m->exec);
    onp_graph_destroy(m->graph);
    for (size_t i = 0; i < count; i++) m->device->backend->buffer_destroy(list[i].tensor.buffer);
    m->family->weights_destroy(m->weights);
    m->family->close(m->hparams);
    onp_model_file_close(m->file);
}

// --- Comparing a stage -----------------------------------------------------------------------

// Positions of each item that are not padding, CLS included.
static void valid_positions(const struct stage_case *c, const struct onp_golden_items *items,
                            int32_t valid[ONP_GOLDEN_ITEMS]) {
    for (int32_t b = 0; b < items->count; b++) {
        if (c->modality == ONP_TEXT) valid[b] = items->length[b] + 1;
        if (c->modality == ONP_IMAGE)
            valid[b] = items->length[b] / 16 * (items->length[b] / 16) + 1;
        if (c->modality == ONP_AUDIO) valid[b] = (items->length[b] - 400) / 320 + 2;
    }
}

// Golden row of each row of the ragged tensor; B x T rows go one to one.
static void compare_rows(const char *what, const struct onp_tensor *x, const float *got,
                         const struct onp_npy *want, size_t batch, const int32_t *valid,
                         double tolerance) {
    const size_t cols = (size_t)x->cols;
    assert_true(batch <= want->shape[0]);
    const size_t positions = want->dims == 3 ? want->shape[1] : 1;
    const bool whole = (size_t)x->rows == batch * positions;
    size_t row = 0;
    for (size_t b = 0; b < batch; b++) {
        const size_t count = whole ? positions : (size_t)valid[b];
        assert_true(row + count <= (size_t)x->rows && count <= positions);
        onp_golden_near(what, got + row * cols, (const float *)want->data + b * positions * cols,
                        count * cols, tolerance);
        row += count;
    }
    assert_int_equal(row, x->rows);
}

// Upstream keeps the convolutions' result as [B][C][T].
static void transpose(struct onp_npy *npy) {
    const size_t batch = npy->shape[0], rows = npy->shape[1], cols = npy->shape[2];
    float *out = malloc(npy->count * sizeof *out);
    assert_non_null(out);
    for (size_t b = 0; b < batch; b++)
        for (size_t r = 0; r < rows; r++)
            for (size_t c = 0; c < cols; c++)
                out[(b * cols + c) * rows + r] = ((float *)npy->data)[(b * rows + r) * cols + c];
    memcpy(npy->data, out, npy->count * sizeof *out);
    free(out);
    npy->shape[1] = cols;
    npy->shape[2] = rows;
}

static bool compare_stage(struct loaded *m, const struct stage_case *c, const char *stage,
                          const int32_t *valid) {
    char path[ONP_GOLDEN_PATH], what[128];
    if (!onp_golden_find(path, "%s%s.npy", c->prefix, stage)) return false;
    const struct onp_tensor *x = onp_graph_find(m->graph, stage);
    if (!x) fail_msg("the graph has no tensor named %s", stage);
    float *got = malloc((size_t)(x->rows * x->cols) * sizeof *got);
    assert_non_null(got);
    onp_golden_ok(onp_exec_read(m->exec, x, got), stage);
    struct onp_npy want = onp_golden_array(path);
    if (strcmp(stage, "conv_out") == 0) transpose(&want);
    assert_int_equal(want.shape[want.dims - 1], x->cols);
    snprintf(what, sizeof what, "%s: %s", c->label, stage);
    const double tolerance = strcmp(stage, "emb") == 0 ? EMB_TOLERANCE : STATE_TOLERANCE;
    compare_rows(what, x, got, &want, (size_t)c->count, valid, tolerance);
    onp_npy_free(&want);
    free(got);
    return true;
}

// --- The tests -------------------------------------------------------------------------------

struct run {
    const struct stage_case *c;
    struct onp_device *device;
    char name[96];
};

static struct onp_golden_items case_items(const struct stage_case *c) {
    char path[ONP_GOLDEN_PATH];
    struct onp_golden_items items;
    if (!c->input) {
        items = onp_golden_own_pictures();
    } else {
        assert_true(onp_golden_find(path, "%s", c->input));
        items = c->modality == ONP_TEXT    ? onp_golden_texts(path)
                : c->modality == ONP_IMAGE ? onp_golden_pixels(path)
                                           : onp_golden_sounds(path);
    }
    assert_true(items.count >= c->count);
    items.count = c->count;
    return items;
}

static void test_stages(void **state) {
    const struct run *run = *state;
    const struct stage_case *c = run->c;
    char path[ONP_GOLDEN_PATH];
    int32_t valid[ONP_GOLDEN_ITEMS] = {0};
    assert_true(onp_golden_find(path, "micro/ckpt/retrieval_fp32.pt"));
    struct loaded m = load(run->device, path, ONP_BIT(c->modality));
    struct onp_golden_items items = case_items(c);
    const struct onp_batch batch = {
        .modality = c->modality,
        .count = items.count,
        .items = items.data,
        .lengths = c->modality == ONP_IMAGE ? NULL : items.length,
        .upstream_padding = true,
    };
    valid_positions(c, &items, valid);
    onp_graph_keep_named(m.graph, true);
    assert_non_null(m.family->build(m.hparams, m.weights, m.graph, &batch));
    onp_golden_ok(onp_graph_status(m.graph), "build");
    onp_golden_ok(onp_exec_prepare(m.exec, m.graph, false), "prepare");
    onp_golden_ok(onp_exec_run(m.exec), "run");
    int compared = 0;
    for (size_t i = 0; i < ONP_COUNT(stages); i++)
        compared += compare_stage(&m, c, stages[i], valid);
    assert_true(compared >= c->required);
    onp_golden_items_free(&items);
    unload(&m);
}

static struct run runs[2 * ONP_COUNT(cases)];
static struct CMUnitTest tests[2 * ONP_COUNT(cases)];

int main(void) {
    if (onp_golden_open()) return 1;
    size_t count = 0;
    for (size_t i = 0; i < ONP_COUNT(cases); i++)
        for (int d = 0; d < 2 && onp_golden.device[d]; d++) {
            if (cases[i].complete_set && !onp_golden.shared[0]) continue;
            struct run *run = &runs[count];
            *run = (struct run){.c = &cases[i], .device = onp_golden.device[d]};
            snprintf(run->name, sizeof run->name, "stages: %s on %s", cases[i].label,
                     onp_device_get_info(run->device)->backend);
            tests[count++] = (struct CMUnitTest){run->name, test_stages, NULL, NULL, run};
        }
    const int failed = _cmocka_run_group_tests("stages", tests, count, NULL, NULL);
    onp_golden_close();
    return failed;
}
