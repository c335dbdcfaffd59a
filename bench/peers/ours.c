// SPDX-License-Identifier: Apache-2.0
// Our side of the comparison with other frameworks: a process that keeps a model loaded and answers
// commands on stdin, one line each, with one line on stdout.
//
//   onepeace-bench-ours MODEL.safetensors|synthetic:SPEC [f32|f16] [DEVICE]
//
//   add NAME KIND COUNT LENGTH FILE  a case: COUNT items of LENGTH values each, raw float32 (pixels
//                                    or waveforms) or int32 (token ids) -> ok
//   run NAME                         embeds the case's items at once -> seconds
//   rows NAME FILE                   the same, and writes the rows as raw float32 -> seconds
//   flop NAME                        -> FLOP of one run, as onp_model_cost counts them
//   peak                             best rate of float32 fma of eight -> GFLOP/s
//   memory                           -> bytes of weights, bytes of the arena
//   profile NAME                     kernel times of one run to stderr (ONP_BENCH_PROFILE=1) -> ok
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "onepeace/onepeace.h"
#include "onepeace/probe.h"

#define MAX_CASES 32

struct item_case {
    char name[64];
    struct onp_input **inputs;
    size_t count;
    float *rows;
    double flops; // of all items
};

struct server {
    struct onp_context *context;
    struct onp_device *device;
    struct onp_model *model;
    struct onp_encoder *encoder;
    struct onp_model_info info;
    struct item_case cases[MAX_CASES];
    size_t case_count;
    struct onp_prober *prober;
};

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void print_message(void *user, enum onp_log_level level, const char *message) {
    (void)user;
    (void)level;
    fprintf(stderr, "ours: %s\n", message);
}

static enum onp_status bad(const char *what, const char *name) {
    fprintf(stderr, "ours: %s: %s\n", what, name);
    return ONP_ERR_ARGUMENT;
}

// --- Cases --------------------------------------------------------------------------------------

static void *read_values(const char *path, size_t count) {
    void *values = malloc(count * 4);
    FILE *file = fopen(path, "rb");
    if (!values || !file || fread(values, 4, count, file) != count) {
        free(values);
        values = NULL;
    }
    if (file) fclose(file);
    return values;
}

static enum onp_modality modality_of(const char *kind) {
    return strcmp(kind, "text") == 0    ? ONP_TEXT
           : strcmp(kind, "image") == 0 ? ONP_IMAGE
                                        : ONP_AUDIO;
}

static enum onp_status make_input(struct server *s, const char *kind, const void *values,
                                  size_t length, struct onp_input **out) {
    switch (modality_of(kind)) {
    case ONP_TEXT:
        return onp_input_tokens(s->model, values, length, out);
    case ONP_IMAGE:
        return onp_input_pixels(s->model, values, s->info.image_size, out);
    default:
        return onp_input_waveform(s->model, values, length, out);
    }
}

static enum onp_status add(struct server *s, const char *args) {
    char kind[16], path[512];
    struct item_case *c = &s->cases[s->case_count];
    size_t length = 0;
    if (s->case_count == MAX_CASES ||
        sscanf(args, "%63s %15s %zu %zu %511s", c->name, kind, &c->count, &length, path) != 5)
        return bad("not a case", args);
    if (c->count < 1 || c->count > 4096 || length < 1 || length > (1 << 24))
        return bad("not a size", args);
    unsigned char *values = read_values(path, c->count * length);
    c->inputs = calloc(c->count, sizeof *c->inputs);
    c->rows = calloc(c->count, s->info.embed_dim * sizeof *c->rows);
    enum onp_status status =
        values && c->inputs && c->rows ? ONP_OK : bad("cannot read the values", path);
    for (size_t i = 0; i < c->count && status == ONP_OK; i++)
        status = make_input(s, kind, values + 4 * i * length, length, &c->inputs[i]);
    free(values);
    double bytes;
    if (status == ONP_OK)
        status = onp_model_cost(s->model, modality_of(kind), length, &c->flops, &bytes);
    c->flops *= (double)c->count;
    s->case_count++; // freed at the end, complete or not
    if (status == ONP_OK) printf("ok\n");
    return status;
}

static struct item_case *find(struct server *s, const char *name) {
    for (size_t i = 0; i < s->case_count; i++)
        if (strcmp(s->cases[i].name, name) == 0) return &s->cases[i];
    return NULL;
}

static enum onp_status write_rows(const struct server *s, const struct item_case *c,
                                  const char *path) {
    FILE *file = fopen(path, "wb");
    if (!file) return bad("cannot write", path);
    const size_t count = c->count * s->info.embed_dim;
    const bool written = fwrite(c->rows, sizeof *c->rows, count, file) == count;
    return fclose(file) == 0 && written ? ONP_OK : bad("cannot write", path);
}

static enum onp_status run_case(struct server *s, const char *args) {
    char name[64] = "", path[512] = "";
    if (sscanf(args, "%63s %511s", name, path) < 1) return bad("not a case", args);
    struct item_case *c = find(s, name);
    if (!c) return bad("no such case", name);
    const double start = now();
    enum onp_status status = onp_encoder_embed(
        s->encoder, (const struct onp_input *const *)c->inputs, c->count, c->rows);
    const double seconds = now() - start;
    if (status == ONP_OK && path[0]) status = write_rows(s, c, path);
    if (status == ONP_OK) printf("%.9f\n", seconds);
    return status;
}

// --- Figures -------------------------------------------------------------------------------------

static enum onp_status flop(struct server *s, const char *name) {
    const struct item_case *c = find(s, name);
    if (!c) return bad("no such case", name);
    printf("%.0f\n", c->flops);
    return ONP_OK;
}

static enum onp_status peak(struct server *s) {
    struct onp_probe_result result;
    const enum onp_status status = onp_prober_run(s->prober, ONP_PROBE_FMA_F32, 8, &result);
    if (status == ONP_OK) printf("%.3f\n", onp_probe_best(ONP_PROBE_FMA_F32, &result));
    return status;
}

static enum onp_status memory(struct server *s) {
    struct onp_encoder_stats stats;
    const enum onp_status status = onp_encoder_get_stats(s->encoder, &stats);
    if (status == ONP_OK)
        printf("%llu %llu\n", (unsigned long long)stats.weight_bytes,
               (unsigned long long)stats.arena_bytes);
    return status;
}

static enum onp_status profile(struct server *s, const char *name) {
    struct item_case *c = find(s, name);
    if (!c) return bad("no such case", name);
    struct onp_kernel_time *list = NULL;
    size_t count = 0;
    onp_encoder_profile_reset(s->encoder);
    enum onp_status status = onp_encoder_embed(
        s->encoder, (const struct onp_input *const *)c->inputs, c->count, c->rows);
    if (status == ONP_OK) status = onp_encoder_profile(s->encoder, &list, &count);
    for (size_t i = 0; status == ONP_OK && i < count; i++)
        fprintf(stderr, "%-14s %-24s %-40s %4llu %9.3f ms %8.1f GFLOP/s\n", list[i].op,
                list[i].variant, list[i].shape, (unsigned long long)list[i].calls,
                list[i].seconds * 1e3, list[i].flops / list[i].seconds * 1e-9);
    onp_free(list);
    if (status == ONP_OK) printf("ok\n");
    return status;
}

static enum onp_status command(struct server *s, char *line) {
    char *args = strchr(line, ' ');
    if (args) *args++ = 0;
    if (args && strcmp(line, "add") == 0) return add(s, args);
    if (args && (strcmp(line, "run") == 0 || strcmp(line, "rows") == 0)) return run_case(s, args);
    if (args && strcmp(line, "profile") == 0) return profile(s, args);
    if (args && strcmp(line, "flop") == 0) return flop(s, args);
    if (strcmp(line, "peak") == 0) return peak(s);
    if (strcmp(line, "memory") == 0) return memory(s);
    return bad("no such command", line);
}

// --- Life ---------------------------------------------------------------------------------------

static enum onp_status open_model(struct server *s, const char *path) {
    static const char prefix[] = "synthetic:";
    if (strncmp(path, prefix, sizeof prefix - 1) == 0)
        return onp_model_synthetic(s->context, path + sizeof prefix - 1, &s->model);
    return onp_model_open(s->context, path, NULL, &s->model);
}

static enum onp_status serve(struct server *s, const char *path, const char *dtype,
                             const char *device) {
    const struct onp_context_params settings = {.log = print_message};
    const struct onp_encoder_params params = {
        .dtype = strcmp(dtype, "f16") == 0 ? ONP_F16 : ONP_F32,
        .profile = getenv("ONP_BENCH_PROFILE") != NULL,
    };
    enum onp_status status = onp_context_create(&settings, &s->context);
    if (status == ONP_OK) status = onp_device_open(s->context, device, false, &s->device);
    if (status == ONP_OK) status = open_model(s, path);
    if (status == ONP_OK) status = onp_model_get_info(s->model, &s->info);
    if (status == ONP_OK) status = onp_encoder_create(s->device, s->model, &params, &s->encoder);
    if (status == ONP_OK) status = onp_prober_create(s->device, &s->prober);
    if (status != ONP_OK) return status;
    const struct onp_device_info *device_info = onp_device_get_info(s->device);
    printf("onepeace %s, %s weights, %s, %s\n", onp_version(), dtype, device_info->name,
           device_info->driver);
    char line[1024];
    while (status == ONP_OK && fflush(stdout) == 0 && fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\n")] = 0;
        status = command(s, line);
    }
    return status;
}

static void free_case(struct item_case *c) {
    for (size_t i = 0; c->inputs && i < c->count; i++) onp_input_free(c->inputs[i]);
    free(c->inputs);
    free(c->rows);
}

int main(int argc, char **argv) {
    struct server s = {0};
    if (argc < 2 || argc > 4) {
        fprintf(stderr, "usage: %s MODEL.safetensors|synthetic:SPEC [f32|f16] [DEVICE]\n", argv[0]);
        return 2;
    }
    const char *device = argc > 3 ? argv[3] : getenv("ONEPEACE_DEVICE");
    const enum onp_status status = serve(&s, argv[1], argc > 2 ? argv[2] : "f32", device);
    for (size_t i = 0; i < s.case_count; i++) free_case(&s.cases[i]);
    onp_prober_destroy(s.prober);
    onp_encoder_destroy(s.encoder);
    onp_model_close(s.model);
    onp_device_close(s.device);
    onp_context_destroy(s.context);
    return status == ONP_OK ? 0 : 1;
}
