// SPDX-License-Identifier: Apache-2.0
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/session.h"
#include "cli/text.h"

struct devices {
    struct onp_cli_settings settings;
    bool json;
    struct onp_cli_session session;
    struct onp_device_info *list;
    size_t count;
    int chosen; // index, or -1
};

static const char *type_name(enum onp_device_type type) {
    static const char *const name[] = {"cpu", "gpu", "accelerator", "other"};
    return name[type <= ONP_DEVICE_OTHER ? type : ONP_DEVICE_OTHER];
}

static void json_string_field(const char *name, const char *value) {
    printf("\"%s\":", name);
    onp_cli_json_cstring(stdout, value);
    putchar(',');
}

static void json_device(const struct onp_device_info *d, bool chosen) {
    printf("{\"index\":%d,", d->index);
    json_string_field("backend", d->backend);
    json_string_field("platform", d->platform);
    json_string_field("name", d->name);
    json_string_field("vendor", d->vendor);
    json_string_field("driver", d->driver);
    json_string_field("version", d->version);
    json_string_field("uuid", d->uuid);
    json_string_field("type", type_name(d->type));
    printf("\"compute_units\":%" PRIu32 ",\"clock_mhz\":%" PRIu32 ",\"global_bytes\":%" PRIu64
           ",\"max_alloc_bytes\":%" PRIu64 ",\"local_bytes\":%" PRIu64
           ",\"max_work_group\":%" PRIu64 ",\"vector_width\":%" PRIu32 ",\"subgroup_size\":%" PRIu32
           ",",
           d->compute_units, d->clock_mhz, d->global_bytes, d->max_alloc_bytes, d->local_bytes,
           d->max_work_group, d->vector_width, d->subgroup_size);
    printf("\"unified_memory\":%s,\"fp16\":%s,\"refused\":%s,\"chosen\":%s,",
           d->unified_memory ? "true" : "false", d->fp16 ? "true" : "false",
           d->refused ? "true" : "false", chosen ? "true" : "false");
    fputs("\"note\":", stdout);
    onp_cli_json_cstring(stdout, d->note);
    putchar('}');
}

static void print_json(const struct devices *d) {
    fputs("{\"devices\":[", stdout);
    for (size_t i = 0; i < d->count; i++) {
        if (i) putchar(',');
        json_device(&d->list[i], d->list[i].index == d->chosen);
    }
    if (d->chosen >= 0)
        printf("],\"chosen\":%d}\n", d->chosen);
    else
        fputs("],\"chosen\":null}\n", stdout);
}

static void row(const char *name, const char *value) {
    if (!value[0]) return;
    printf("    %-14s", name);
    onp_cli_text_plain(stdout, value, strlen(value));
    putchar('\n');
}

static void print_numbers(const struct onp_device_info *d) {
    char global[24], alloc[24], local[24];
    printf("    %-14s%" PRIu32 " units", "compute", d->compute_units);
    if (d->clock_mhz) printf(" at %" PRIu32 " MHz", d->clock_mhz);
    printf(", vector width %" PRIu32, d->vector_width);
    if (d->subgroup_size) printf(", sub-group %" PRIu32, d->subgroup_size);
    printf(", work-group up to %" PRIu64 "\n", d->max_work_group);
    printf("    %-14s%s, one buffer up to %s, local %s%s\n", "memory",
           onp_cli_bytes(global, d->global_bytes), onp_cli_bytes(alloc, d->max_alloc_bytes),
           onp_cli_bytes(local, d->local_bytes), d->unified_memory ? ", shared with the host" : "");
    row("half floats", d->fp16 ? "cl_khr_fp16" : "storage only");
}

static void print_device(const struct onp_device_info *d, bool chosen) {
    printf("%c %d  ", chosen ? '*' : ' ', d->index);
    onp_cli_text_plain(stdout, d->name, strlen(d->name));
    printf(" (%s, %s)%s\n", type_name(d->type), d->backend,
           d->refused ? " REFUSED: needs --force" : "");
    row("platform", d->platform);
    row("vendor", d->vendor);
    row("driver", d->driver);
    row("version", d->version);
    row("uuid", d->uuid);
    print_numbers(d);
    row("note", d->note);
}

static void print_list(const struct devices *d) {
    for (size_t i = 0; i < d->count; i++) print_device(&d->list[i], d->list[i].index == d->chosen);
    if (d->chosen >= 0)
        printf("\n* is what would be chosen now; --device or ONEPEACE_DEVICE picks another.\n");
    else if (d->count > 1)
        printf("\nNo device would be chosen; --device or ONEPEACE_DEVICE picks one.\n");
    else
        printf("\nThere is no OpenCL device: install the driver of your GPU, or PoCL\n"
               "(pocl-opencl-icd) for the CPU. --device ref runs the slow reference.\n");
}

// With a selector the library itself says which device it means, and why.
static int find_chosen(struct devices *d) {
    d->chosen = -1;
    const char *selector = onp_cli_device_selector(&d->settings);
    if (!selector) {
        for (size_t i = 0; i < d->count; i++)
            if (d->list[i].chosen) d->chosen = d->list[i].index;
        return ONP_CLI_OK;
    }
    enum onp_status status =
        onp_device_open(d->session.context, selector, d->settings.force, &d->session.device);
    if (status == ONP_OK) d->chosen = onp_device_get_info(d->session.device)->index;
    return onp_cli_status(status);
}

static int run(struct devices *d) {
    int code = onp_cli_session_begin(&d->session, &d->settings);
    if (code != ONP_CLI_OK) return code;
    code = onp_cli_status(onp_device_list(d->session.context, &d->list, &d->count));
    if (code != ONP_CLI_OK) return code;
    code = find_chosen(d);
    if (d->json)
        print_json(d);
    else
        print_list(d);
    return code;
}

int onp_cli_cmd_devices(int argc, char **argv) {
    struct devices d = {0};
    const struct onp_cli_option options[] = {
        ONP_CLI_OPT_FLAG("json", 0, &d.json, "print JSON"),
        ONP_CLI_OPT("device", 'd', ONP_CLI_STRING, "DEVICE", &d.settings.device,
                    "mark what this selector picks\n(default: $ONEPEACE_DEVICE, then auto)"),
        ONP_CLI_OPT_FLAG("force", 0, &d.settings.force,
                         "let it pick a device that is refused for a fault"),
        ONP_CLI_LOG_OPTIONS(&d.settings),
    };
    const struct onp_cli_usage usage = {
        .command = "devices",
        .synopsis = "[--json]",
        .about =
            "Lists every device of every OpenCL platform and the reference back end, with its\n"
            "capabilities, which one would be chosen, and why.",
        .options = options,
        .option_count = sizeof options / sizeof options[0]};
    size_t positional;
    int code;
    if (onp_cli_parse(&usage, argc, argv, &positional, &code)) code = run(&d);
    onp_device_list_free(d.list);
    onp_cli_session_end(&d.session);
    return code;
}
