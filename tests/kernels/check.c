// SPDX-License-Identifier: Apache-2.0
// Every variant of the ops whose name contains argv[1] against its C reference, on the device that
// ONP_TEST_DEVICE selects (default: a CPU). argv[2] forces what the device's tuning would not
// choose: "group" tiles of work-groups and sub-groups, "register" register tiles of AVX2, "blas"
// CLBlast. argv[3] is another size of sub-groups, for drivers that offer several. ONP_TEST_FULL=1
// runs the slow cases too.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/registry.h"
#include "exec/exec.h"

static void print_message(void *user, enum onp_log_level level, const char *message) {
    (void)user;
    (void)level;
    fprintf(stderr, "%s\n", message);
}

static void print_result(void *user, const struct onp_selftest_result *r) {
    double *worst = user;
    if (r->error > *worst) *worst = r->error;
    printf("%s %s / %s: error %.3g of %.3g, seed %llu %s\n", r->status == ONP_OK ? "ok  " : "FAIL",
           r->variant, r->label, r->error, r->tolerance, (unsigned long long)r->seed, r->message);
}

static bool force(struct onp_device *device, const char *what) {
    struct onp_tuning *tuning = &device->tuning;
    if (strcmp(what, "group") == 0) {
        tuning->work_group_tiles = true;
        tuning->attention_subgroups = true;
        tuning->subgroup_rows = 8;
        tuning->subgroup_cols = 4;
    } else if (strcmp(what, "register") == 0) {
        device->caps.type = ONP_DEVICE_CPU;
        device->caps.lanes = false;
        device->caps.vector_width = 8;
        onp_tuning_choose(device);
    } else if (strcmp(what, "blas") == 0)
        tuning->prefer_blas = true;
    else
        return false;
    return true;
}

int main(int argc, char **argv) {
    const char *selector = getenv("ONP_TEST_DEVICE");
    struct onp_context context = {.log = {.fn = print_message, .level = ONP_LOG_WARNING}};
    pthread_mutex_init(&context.log.mutex, NULL);
    struct onp_device *device = NULL;
    if (argc < 2 || argc > 4) {
        fprintf(stderr, "usage: %s OP [group|register|blas] [SUB-GROUP]\n", argv[0]);
        return 2;
    }
    if (onp_registry_open(&context, selector ? selector : "cpu", true, &device) != ONP_OK) return 1;
    onp_tuning_choose(device);
    if (argc > 3) device->caps.subgroup_size = (uint32_t)strtoul(argv[3], NULL, 10);
    if (argc > 2 && !force(device, argv[2])) return 2;
    struct onp_selftest_summary summary;
    double worst = 0.0;
    const enum onp_status status =
        onp_check_all(device, argv[1], !getenv("ONP_TEST_FULL"), 1, print_result, &worst, &summary);
    printf("%s: %zu passed, %zu failed, %zu declined, worst error %.3g\n", device->info.name,
           summary.passed, summary.failed, summary.declined, worst);
    onp_registry_close(device);
    pthread_mutex_destroy(&context.log.mutex);
    return status == ONP_OK && summary.failed == 0 && summary.passed > 0 ? 0 : 1;
}
