// SPDX-License-Identifier: Apache-2.0
// Copies beside the computation: the order that a run's stages keep, that runs overlap where the
// device can, that nothing changes in what they compute, and that one queue does if there must be.
#define _GNU_SOURCE // RTLD_NEXT
#include <dlfcn.h>
#include <math.h>

#include "base/checked.h"
#include "cl_fixture.h"
#include "onepeace/onepeace.h"

// --- Queues that cannot be had -------------------------------------------------------------------

static int queues_left = -1; // that can be created; below 0: as many as the driver gives

CL_API_ENTRY cl_command_queue CL_API_CALL
clCreateCommandQueue(cl_context context, cl_device_id device,
                     cl_command_queue_properties properties, cl_int *error) {
    cl_command_queue(CL_API_CALL * real)(cl_context, cl_device_id, cl_command_queue_properties,
                                         cl_int *);
    *(void **)&real = dlsym(RTLD_NEXT, "clCreateCommandQueue");
    if (queues_left != 0) {
        if (queues_left > 0) queues_left--;
        return real(context, device, properties, error);
    }
    if (error) *error = CL_OUT_OF_RESOURCES;
    return NULL;
}

// --- Runs that take a while ----------------------------------------------------------------------

// `launches` launches of STEPS steps each carry numbers from one buffer to the next: from the run's
// own input through a buffer that all runs share to the run's own output.
enum { COUNT = 1 << 16, LAUNCHES = 8, STEPS = 200, SLOTS = 2, RUNS = 6 };
#define FACTOR 1664525u
#define ADDEND 1013904223u

static const struct onp_kernel_source slow_sources[] = {
    {"slow", "__kernel void slow(__global uint *y, uint y_offset, __global const uint *x,\n"
             "                   uint x_offset, int steps) {\n"
             "    uint v = x[x_offset + get_global_id(0)];\n"
             "    for (int i = 0; i < steps; i++) v = v * 1664525u + 1013904223u;\n"
             "    y[y_offset + get_global_id(0)] = v;\n"
             "}\n"},
    {NULL, NULL},
};

static uint32_t start_value(int run, uint32_t i) { return 7919u * (uint32_t)run + i; }

// All launches' steps at once: v -> factor * v + addend, by repeated doubling.
static uint32_t end_value(uint32_t v) {
    uint32_t factor = FACTOR, addend = ADDEND;
    for (uint32_t left = LAUNCHES * STEPS; left; left >>= 1) {
        if (left & 1) v = factor * v + addend;
        addend *= factor + 1;
        factor *= factor;
    }
    return v;
}

struct pipeline {
    struct onp_device *device;
    struct onp_buffer *in[SLOTS], *shared, *out[SLOTS];
    uint32_t *sent[SLOTS], *fetched[SLOTS];
    struct onp_mark *marks[SLOTS];
    cl_event uploaded[RUNS];
};

static void open_pipeline(struct pipeline *p, struct onp_device *device) {
    *p = (struct pipeline){.device = device, .shared = new_buffer(device, COUNT)};
    for (int i = 0; i < SLOTS; i++) {
        p->in[i] = new_buffer(device, COUNT);
        p->out[i] = new_buffer(device, COUNT);
        p->sent[i] = malloc(COUNT * sizeof **p->sent);
        p->fetched[i] = malloc(COUNT * sizeof **p->fetched);
        assert_true(p->sent[i] && p->fetched[i]);
    }
}

static void close_pipeline(struct pipeline *p) {
    const struct onp_backend *b = p->device->backend;
    for (int i = 0; i < SLOTS; i++) {
        b->buffer_destroy(p->in[i]);
        b->buffer_destroy(p->out[i]);
        free(p->sent[i]);
        free(p->fetched[i]);
    }
    for (int i = 0; i < RUNS; i++)
        if (p->uploaded[i]) clReleaseEvent(p->uploaded[i]);
    b->buffer_destroy(p->shared);
}

static void compute(const struct pipeline *p, int run) {
    for (int l = 0; l < LAUNCHES; l++) {
        struct onp_launch launch = {
            .source = "slow", .function = "slow", .dims = 1, .global = {COUNT}, .local = {64}};
        struct onp_launch *list = &launch;
        onp_push_buffer(&launch, l + 1 < LAUNCHES ? p->shared : p->out[run % SLOTS], 0);
        onp_push_buffer(&launch, l > 0 ? p->shared : p->in[run % SLOTS], 0);
        onp_push_i32(&launch, STEPS);
        assert_int_equal(onp_cl_build_from(onp_cl_device(p->device), slow_sources, &list, 1),
                         ONP_OK);
        assert_int_equal(
            p->device->backend->launch(p->device, &launch, (uint32_t)(run * LAUNCHES + l)), ONP_OK);
    }
}

static void submit(struct pipeline *p, int run) {
    const struct onp_backend *b = p->device->backend;
    const int slot = run % SLOTS;
    const uint64_t half = COUNT / 2 * sizeof(uint32_t);
    for (uint32_t i = 0; i < COUNT; i++) p->sent[slot][i] = start_value(run, i);
    memset(p->fetched[slot], 0, 2 * half);
    assert_int_equal(b->stage(p->device, ONP_STAGE_UPLOAD), ONP_OK);
    for (uint64_t at = 0; at < 2 * half; at += half)
        assert_int_equal(b->buffer_send(p->in[slot], at, (char *)p->sent[slot] + at, half), ONP_OK);
    assert_int_equal(b->stage(p->device, ONP_STAGE_COMPUTE), ONP_OK);
    compute(p, run);
    assert_int_equal(b->stage(p->device, ONP_STAGE_DOWNLOAD), ONP_OK);
    assert_int_equal(b->buffer_fetch(p->out[slot], 0, p->fetched[slot], 2 * half), ONP_OK);
    assert_int_equal(b->mark(p->device, &p->marks[slot]), ONP_OK);
    p->uploaded[run] = p->marks[slot]->uploaded;
    if (p->uploaded[run]) clRetainEvent(p->uploaded[run]);
}

static void collect(struct pipeline *p, int run) {
    const int slot = run % SLOTS;
    assert_int_equal(p->device->backend->wait(p->device, p->marks[slot]), ONP_OK);
    for (uint32_t i = 0; i < COUNT; i++)
        if (p->fetched[slot][i] != end_value(start_value(run, i)))
            fail_msg("element %u of run %d is wrong", i, run);
}

static void run_all(struct pipeline *p) {
    for (int run = 0; run < RUNS + SLOTS; run++) {
        if (run >= SLOTS) collect(p, run - SLOTS);
        if (run < RUNS) submit(p, run);
    }
}

static uint64_t moment(cl_event event, cl_profiling_info what) {
    cl_ulong ns = 0;
    assert_int_equal(clGetEventProfilingInfo(event, what, sizeof ns, &ns, NULL), CL_SUCCESS);
    return ns;
}

// --- Tests ---------------------------------------------------------------------------------------

static struct fixture fixture;

static int setup(void **state) {
    make_fixture(&fixture);
    open_device(&fixture);
    *state = &fixture;
    return 0;
}

static int teardown(void **state) {
    remove_fixture(*state);
    return 0;
}

static void uploads_go_beside_the_computation(void **state) {
    struct fixture *f = *state;
    const struct onp_backend *b = f->device->backend;
    // rusticl's times are of no use, and of other drivers it is not known that they execute two
    // queues at once.
    const bool timed = strstr(f->device->info.platform, "Portable Computing Language");
    struct onp_timing *timings;
    struct pipeline p;
    size_t count;
    int overlaps = 0;
    assert_true(onp_cl_device(f->device)->copies[ONP_CL_UPLOADS] != NULL);
    open_pipeline(&p, f->device);
    assert_int_equal(b->profile(f->device, true), ONP_OK);
    run_all(&p);
    assert_int_equal(b->timings(f->device, &timings, &count), ONP_OK);
    assert_int_equal(count, RUNS * LAUNCHES);
    for (int run = 0; run < RUNS; run++) assert_non_null(p.uploaded[run]);
    for (int run = 0; run < RUNS && timed; run++) {
        assert_int_equal(timings[run * LAUNCHES].tag, run * LAUNCHES);
        // The computation waits for its upload, and for the computation before it.
        assert_true(moment(p.uploaded[run], CL_PROFILING_COMMAND_END) <=
                    timings[run * LAUNCHES].begin_ns);
        if (run == 0) continue;
        const uint64_t before = timings[run * LAUNCHES - 1].end_ns;
        assert_true(before <= timings[run * LAUNCHES].begin_ns);
        overlaps += moment(p.uploaded[run], CL_PROFILING_COMMAND_START) < before;
    }
    free(timings);
    assert_int_equal(b->profile(f->device, false), ONP_OK);
    if (timed)
        print_message("%d of %d uploads began before the computation before them had ended\n",
                      overlaps, RUNS - 1);
    if (timed) assert_true(overlaps > 0);
    close_pipeline(&p);
}

// Without stages, and after a failure in the midst of one, all is in the order of the calls.
static void finish_leads_back_to_one_queue(void **state) {
    struct fixture *f = *state;
    const struct onp_backend *b = f->device->backend;
    struct pipeline p;
    uint32_t *got = malloc(COUNT * sizeof *got);
    assert_non_null(got);
    open_pipeline(&p, f->device);
    for (uint32_t i = 0; i < COUNT; i++) p.sent[0][i] = start_value(0, i), p.sent[1][i] = 0;
    const uint64_t bytes = COUNT * sizeof *got;
    assert_int_equal(b->stage(f->device, ONP_STAGE_UPLOAD), ONP_OK);
    assert_int_equal(b->buffer_send(p.in[0], 0, p.sent[1], bytes), ONP_OK);
    assert_int_equal(b->finish(f->device), ONP_OK);
    assert_int_equal(b->buffer_send(p.in[0], 0, p.sent[0], bytes), ONP_OK);
    compute(&p, 0);
    assert_int_equal(b->buffer_send(p.in[0], 0, p.sent[1], bytes), ONP_OK); // too late for it
    assert_int_equal(b->buffer_fetch(p.out[0], 0, got, bytes), ONP_OK);
    assert_int_equal(b->buffer_send(p.out[0], 0, p.sent[1], bytes), ONP_OK);
    assert_int_equal(b->mark(f->device, &p.marks[0]), ONP_OK);
    assert_null(p.marks[0]->uploaded);
    assert_int_equal(b->wait(f->device, p.marks[0]), ONP_OK);
    for (uint32_t i = 0; i < COUNT; i++) assert_int_equal(got[i], end_value(start_value(0, i)));
    close_pipeline(&p);
    free(got);
}

static size_t told(const struct fixture *f) {
    size_t count = 0;
    for (const char *at = f->log; (at = strstr(at, "copies and computation take turns")); at++)
        count++;
    return count;
}

static void one_queue_does(void **state) {
    (void)state;
    for (int queues = 1; queues <= 2; queues++) {
        struct fixture f;
        struct pipeline p;
        make_fixture(&f);
        queues_left = queues;
        open_device(&f);
        queues_left = -1;
        assert_int_equal(told(&f), 1);
        assert_non_null(strstr(f.log, "CL_OUT_OF_RESOURCES"));
        assert_false(f.device->caps.overlap);
        open_pipeline(&p, f.device);
        run_all(&p);
        close_pipeline(&p);
        remove_fixture(&f);
    }
    // Gone when profiling makes all queues anew.
    struct fixture f;
    struct pipeline p;
    make_fixture(&f);
    open_device(&f);
    assert_int_equal(told(&f), 0);
    queues_left = 1;
    assert_int_equal(f.device->backend->profile(f.device, true), ONP_OK);
    queues_left = -1;
    assert_int_equal(told(&f), 1);
    open_pipeline(&p, f.device);
    run_all(&p);
    close_pipeline(&p);
    remove_fixture(&f);
}

// --- The encoder ---------------------------------------------------------------------------------

enum { DIM = 64, TEXTS = 60, ITEMS_OF_ALL = TEXTS + 8 };

static void make_inputs(const struct onp_model *model, struct onp_input **in) {
    static const char words[] = "two cows on a hill by the sea";
    static float pixels[3 * 256 * 256], wave[16000];
    for (size_t i = 0; i < TEXTS; i++)
        assert_int_equal(
            onp_input_text(model, words, 3 + i % (sizeof words - 3), ONP_TEXT_HUB, &in[i]), ONP_OK);
    for (size_t n = 0; n < 4; n++) {
        for (size_t i = 0; i < ONP_COUNT(pixels); i++)
            pixels[i] = cosf((float)i * 0.01f * (float)(n + 1));
        for (size_t i = 0; i < ONP_COUNT(wave); i++)
            wave[i] = sinf((float)i * 0.05f * (float)(n + 1));
        assert_int_equal(onp_input_pixels(model, pixels, 256, &in[TEXTS + 2 * n]), ONP_OK);
        assert_int_equal(onp_input_waveform(model, wave, 8000 + 2000 * n, &in[TEXTS + 2 * n + 1]),
                         ONP_OK);
    }
}

static uint64_t embed(struct onp_device *device, const struct onp_model *model,
                      struct onp_input *const *in, bool overlap, float *rows) {
    const bool usual = device->caps.overlap;
    const struct onp_encoder_params params = {.max_batch = 3};
    const struct onp_input *const *list = (const struct onp_input *const *)in;
    struct onp_encoder *encoder;
    struct onp_encoder_stats stats;
    size_t taken;
    device->caps.overlap = overlap;
    assert_int_equal(onp_encoder_create(device, model, &params, &encoder), ONP_OK);
    assert_int_equal(onp_encoder_embed(encoder, list, ITEMS_OF_ALL, rows), ONP_OK);
    assert_int_equal(onp_encoder_get_stats(encoder, &stats), ONP_OK);
    // What is on its way when it ends is waited for.
    assert_int_equal(onp_encoder_submit(encoder, list, TEXTS, &taken), ONP_OK);
    assert_int_equal(onp_encoder_submit(encoder, list + TEXTS, 1, &taken), ONP_OK);
    onp_encoder_destroy(encoder);
    device->caps.overlap = usual;
    return stats.arena_bytes;
}

static void rows_are_the_same_bits(void **state) {
    (void)state;
    const char *data = getenv("ONP_TEST_DATA");
    char path[512], tokenizer[512];
    static float rows[2][ITEMS_OF_ALL * DIM];
    struct onp_context *context;
    struct onp_device *device;
    struct onp_model *model;
    struct onp_input *in[ITEMS_OF_ALL];
    snprintf(path, sizeof path, "%s/golden/micro/ckpt/retrieval_fp32.pt", data);
    snprintf(tokenizer, sizeof tokenizer, "%s/golden/micro/bpe", data);
    const struct onp_context_params quiet = {.disable_cache = true};
    const struct onp_model_params with = {.tokenizer_dir = tokenizer};
    assert_int_equal(onp_context_create(&quiet, &context), ONP_OK);
    assert_int_equal(onp_device_open(context, getenv("ONP_TEST_DEVICE"), true, &device), ONP_OK);
    assert_int_equal(onp_model_open(context, path, &with, &model), ONP_OK);
    make_inputs(model, in);
    const uint64_t one = embed(device, model, in, false, rows[0]);
    const uint64_t two = embed(device, model, in, true, rows[1]);
    assert_memory_equal(rows[0], rows[1], sizeof rows[0]);
    assert_true(two > one); // what is copied lies twice
    // Two runs of the largest batch: three pictures and their rows.
    assert_true(two < one + 2 * 3 * (3 * 256 * 256 + DIM) * sizeof(float) + 65536);
    for (int i = 0; i < ITEMS_OF_ALL; i++) onp_input_free(in[i]);
    onp_model_close(model);
    onp_device_close(device);
    onp_context_destroy(context);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(uploads_go_beside_the_computation),
        cmocka_unit_test(finish_leads_back_to_one_queue),
        cmocka_unit_test(one_queue_does),
        cmocka_unit_test(rows_are_the_same_bits),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
