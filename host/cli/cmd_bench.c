// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE // nftw
#include <errno.h>
#include <ftw.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/bench/compare.h"
#include "cli/bench/html.h"
#include "cli/bench/report.h"
#include "cli/commands.h"
#include "cli/output.h"

// --- Options -----------------------------------------------------------------------------------

static bool has_name(const char *name, const char *word, size_t length) {
    return strlen(name) == length && memcmp(name, word, length) == 0;
}

// Names separated by commas to bits.
static int parse_names(const char *option, const char *text, const char *const *names, size_t count,
                       unsigned *bits) {
    for (const char *p = text; p && *p;) {
        const size_t length = strcspn(p, ",");
        size_t i = 0;
        while (i < count && !has_name(names[i], p, length)) i++;
        if (i == count)
            return onp_cli_wrong("bench", "--%s '%.*s' is unknown; it can be %s, %s or %s", option,
                                 (int)(length < 40 ? length : 40), p, names[0], names[1], names[2]);
        *bits |= 1u << i;
        p += length + (p[length] == ',');
    }
    if (text && !*bits) return onp_cli_wrong("bench", "--%s names nothing", option);
    return ONP_CLI_OK;
}

static int check_options(struct onp_bench_options *o) {
    static const char *const kinds[] = {"text", "image", "audio"}; // as enum onp_modality
    static const char *const scenarios[] = {"single_stream", "offline", "server"};
    int code = parse_names("kind", o->kind, kinds, 3, &o->kinds);
    if (code == ONP_CLI_OK)
        code = parse_names("scenario", o->scenario, scenarios, 3, &o->scenarios);
    if (code != ONP_CLI_OK) return code;
    if (o->synthetic && o->settings.model)
        return onp_cli_wrong("bench", "give --model or --synthetic, not both");
    if (o->cold && (o->settings.no_cache || o->settings.cache_dir))
        return onp_cli_wrong("bench", "--cold has a cache of its own: leave out --cache-dir and "
                                      "--no-cache");
    if (!o->scenarios) o->scenarios = 7;
    if (!o->min_samples) o->min_samples = o->quick ? 2 : 3;
    return ONP_CLI_OK;
}

// --- A cache of its own ------------------------------------------------------------------------

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *place) {
    (void)st;
    (void)type;
    (void)place;
    return remove(path);
}

// The driver's own cache would hide what a first run costs; only PoCL's can be moved from here.
static int make_cold(struct onp_bench *bench) {
    char path[] = "/tmp/onepeace-cold-XXXXXX";
    if (!bench->options.cold) return ONP_CLI_OK;
    if (!mkdtemp(path))
        return onp_cli_fail("cannot make a folder like %s: %s", path, strerror(errno));
    bench->cold_cache = strdup(path);
    if (!bench->cold_cache || setenv("POCL_CACHE_DIR", path, 1) != 0)
        return onp_cli_fail("out of memory");
    bench->options.settings.cache_dir = bench->cold_cache;
    return ONP_CLI_OK;
}

static void remove_cold(struct onp_bench *bench) {
    if (bench->cold_cache) nftw(bench->cold_cache, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    free(bench->cold_cache);
}

// --- The run -----------------------------------------------------------------------------------

static int open_model(struct onp_bench *bench) {
    struct onp_cli_session *session = &bench->session;
    const char *path = bench->options.synthetic;
    bench->synthetic = path != NULL;
    if (!path && !(path = onp_cli_model_path("bench", &bench->options.settings)))
        return ONP_CLI_USAGE;
    const double start = onp_cli_now();
    int code;
    if (bench->synthetic) {
        const enum onp_status status = onp_model_synthetic(session->context, path, &session->model);
        code = onp_cli_status(status);
        if (status == ONP_ERR_ARGUMENT) return ONP_CLI_USAGE;
        if (code == ONP_CLI_OK)
            code = onp_cli_status(onp_model_get_info(session->model, &session->info));
    } else {
        code = onp_cli_session_model(session, path);
    }
    bench->open_model_s = onp_cli_now() - start;
    if (code != ONP_CLI_OK) return code;
    const char *name = strrchr(session->info.path, '/');
    snprintf(bench->model_name, sizeof bench->model_name, "%s",
             name ? name + 1 : session->info.path);
    return ONP_CLI_OK;
}

static int check_kinds(struct onp_bench *bench) {
    const unsigned has = bench->session.info.modalities, asked = bench->options.kinds;
    for (int m = 0; m < ONP_MODALITY_COUNT; m++)
        if (asked & ~has & ONP_BIT(m))
            return onp_cli_fail("%s has no %s branch; leave it out of --kind",
                                bench->session.info.path, onp_modality_name((enum onp_modality)m));
    if (!has) return onp_cli_fail("%s can embed nothing", bench->session.info.path);
    if (!asked) bench->options.kinds = has;
    return ONP_CLI_OK;
}

static int open_device(struct onp_bench *bench) {
    const double start = onp_cli_now();
    int code = onp_cli_session_device(&bench->session);
    bench->open_device_s = onp_cli_now() - start;
    return code;
}

static int measure(struct onp_bench *bench) {
    int code = open_model(bench);
    if (code == ONP_CLI_OK) code = check_kinds(bench);
    if (code == ONP_CLI_OK) code = open_device(bench);
    if (code != ONP_CLI_OK) return code;
    onp_bench_machine_read(&bench->before);
    code = onp_bench_inputs_create(bench);
    if (code == ONP_CLI_OK) code = onp_bench_probe_all(bench);
    if (code == ONP_CLI_OK) code = onp_bench_run(bench);
    onp_bench_machine_read(&bench->after);
    return code == ONP_CLI_OK ? onp_bench_accuracy_run(bench) : code;
}

static int report(const struct onp_bench *bench) {
    json_t *document = onp_bench_report(bench);
    if (!document) return onp_cli_fail("out of memory");
    int code = ONP_CLI_OK;
    if (bench->options.json) code = onp_bench_report_write(document, bench->options.json);
    if (code == ONP_CLI_OK && bench->options.html)
        code = onp_bench_html_write(document, bench->options.html);
    if (code == ONP_CLI_OK) onp_bench_report_print(document);
    json_decref(document);
    return code;
}

static int run(struct onp_bench *bench) {
    int code = check_options(&bench->options);
    // A run of minutes is not to end at a folder that is not there.
    if (code == ONP_CLI_OK && bench->options.json) code = onp_cli_output_check(bench->options.json);
    if (code == ONP_CLI_OK && bench->options.html) code = onp_cli_output_check(bench->options.html);
    if (code == ONP_CLI_OK) code = make_cold(bench);
    if (code == ONP_CLI_OK) code = onp_cli_session_begin(&bench->session, &bench->options.settings);
    if (code == ONP_CLI_OK) code = measure(bench);
    return code == ONP_CLI_OK ? report(bench) : code;
}

static void clean(struct onp_bench *bench) {
    onp_bench_accuracy_free(bench);
    onp_bench_kernels_free(bench);
    for (size_t i = 0; i < bench->cell_count; i++) {
        onp_bench_samples_free(&bench->cells[i].seconds);
        onp_bench_samples_free(&bench->cells[i].busy);
    }
    for (size_t i = 0; i < bench->lane_count; i++) onp_bench_samples_free(&bench->lanes[i].busy);
    onp_bench_peaks_free(&bench->peaks);
    onp_bench_inputs_free(bench);
    onp_cli_session_end(&bench->session);
    remove_cold(bench);
    free(bench->options.settings.disabled.list);
    free(bench);
}

static int parse(struct onp_bench_options *o, int argc, char **argv, size_t *positional,
                 bool *go_on) {
    const struct onp_cli_option options[] = {
        ONP_CLI_OPT("synthetic", 0, ONP_CLI_STRING, "SIZE", &o->synthetic,
                    "a model without a file: full, micro, or width,\n"
                    "feed-forward,layers,heads"),
        ONP_CLI_MODEL_OPTION(&o->settings),
        ONP_CLI_TOKENIZER_OPTION(&o->settings),
        ONP_CLI_OPT("kind", 0, ONP_CLI_STRING, "KINDS", &o->kind,
                    "of image, audio, text, comma-separated\n(default: all that the model has)"),
        ONP_CLI_OPT("scenario", 0, ONP_CLI_STRING, "NAMES", &o->scenario,
                    "of single_stream, offline, server (default: all)"),
        ONP_CLI_OPT("dtype", 0, ONP_CLI_CHOICE, "f32|f16", &o->settings.dtype,
                    "storage of the weights on the device (default: f32)"),
        ONP_CLI_OPT_NUMBER("batch", "N", &o->settings.batch, 1, ONP_BENCH_LIST_MOST,
                           "batch beside 1 (default: the best, found by trying)"),
        ONP_CLI_OPT_NUMBER("seconds", "S", &o->seconds, 1, 3600,
                           "time of each scenario (default: 1)"),
        ONP_CLI_OPT_NUMBER("min-samples", "N", &o->min_samples, 1, 100000,
                           "samples of each scenario at least (default: 3)"),
        ONP_CLI_OPT_NUMBER("seed", "N", &o->seed, 0, UINT64_MAX / 2,
                           "seed of inputs and arrivals (default: 1)"),
        ONP_CLI_OPT_FLAG("quick", 0, &o->quick, "a look: one short round of everything"),
        ONP_CLI_OPT_FLAG("cold", 0, &o->cold,
                         "start with an empty kernel cache, to see what a first\n"
                         "run costs"),
        ONP_CLI_OPT("accuracy", 0, ONP_CLI_CHOICE, "quick|off|all", &o->accuracy,
                    "compare embeddings with the reference: what takes\n"
                    "seconds (the default), nothing, whatever it takes"),
        ONP_CLI_OPT("json", 0, ONP_CLI_STRING, "FILE", &o->json,
                    "write the report with all samples; an existing file\nis replaced"),
        ONP_CLI_OPT("html", 0, ONP_CLI_STRING, "FILE", &o->html, "write it as a page with plots"),
        ONP_CLI_OPT("report", 0, ONP_CLI_STRING, "FILE", &o->kept,
                    "with --html: measure nothing, show this JSON report"),
        ONP_CLI_OPT_FLAG("compare", 0, &o->compare, "measure nothing, compare two JSON reports"),
        ONP_CLI_DEVICE_OPTIONS(&o->settings),
        ONP_CLI_LOG_OPTIONS(&o->settings),
    };
    const struct onp_cli_usage usage = {
        .command = "bench",
        .synopsis = "[--synthetic SIZE | --model FILE] [--quick] [--json FILE] [--html FILE] ...\n"
                    "--compare A.json B.json",
        .positional = "REPORT",
        .max_positional = 2,
        .about =
            "Measures a device with this model: what it can do at most, how near each kernel\n"
            "comes, and what a user gets: one query at a time, lists, and queries that arrive\n"
            "at random, of prepared inputs and of files. Takes a minute or two with the\n"
            "model that comes with the program. bench/README.md describes the report.",
        .options = options,
        .option_count = sizeof options / sizeof options[0]};
    int code;
    *go_on = onp_cli_parse(&usage, argc, argv, positional, &code);
    return code;
}

// Measures, or looks at what was measured before.
static int act(struct onp_bench *bench, size_t positional) {
    const struct onp_bench_options *o = &bench->options;
    if (o->compare && positional != 2)
        return onp_cli_wrong("bench", "--compare takes two reports: A.json B.json");
    if (o->compare) return onp_bench_compare(o->argv[0], o->argv[1]);
    if (positional > 0) return onp_cli_wrong("bench", "unexpected argument '%s'", o->argv[0]);
    if (o->kept && !o->html)
        return onp_cli_wrong("bench", "--report shows a report as a page: name it with --html");
    return o->kept ? onp_bench_html_convert(o->kept, o->html) : run(bench);
}

int onp_cli_cmd_bench(int argc, char **argv) {
    struct onp_bench *bench = calloc(1, sizeof *bench);
    if (!bench) return onp_cli_fail("out of memory");
    bench->options.seed = 1;
    bench->options.argc = argc;
    bench->options.argv = argv;
    bool go_on;
    size_t positional;
    int code = parse(&bench->options, argc, argv, &positional, &go_on);
    if (go_on) code = act(bench, positional);
    clean(bench);
    return code;
}
