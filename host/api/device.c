// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/internal.h"
#include "backend/backend.h"
#include "backend/registry.h"
#include "base/buf.h"
#include "exec/exec.h"
#include "exec/tuned.h"
#include "ops/op.h"

enum onp_status onp_device_list(struct onp_context *context, struct onp_device_info **list,
                                size_t *count) {
    if (!context || !list || !count)
        return onp_fail(NULL, ONP_ERR_ARGUMENT, "onp_device_list: an argument is NULL");
    return onp_registry_list(context, list, count);
}

void onp_device_list_free(struct onp_device_info *list) { free(list); }

enum onp_status onp_device_open(struct onp_context *context, const char *selector, bool force,
                                struct onp_device **out) {
    if (!context || !out)
        return onp_fail(NULL, ONP_ERR_ARGUMENT, "onp_device_open: an argument is NULL");
    ONP_TRY(onp_registry_open(context, selector, force, out));
    onp_tuning_choose(*out);
    onp_tuned_load_default(*out);
    return ONP_OK;
}

void onp_device_close(struct onp_device *device) {
    if (device) onp_registry_close(device);
}

const struct onp_device_info *onp_device_get_info(const struct onp_device *device) {
    return device ? &device->info : NULL;
}

static bool known_variant(const char *name, size_t length) {
    for (const struct onp_op *const *op = onp_ops; *op; op++)
        for (const struct onp_variant *const *v = (*op)->variants; *v; v++)
            if (strlen((*v)->name) == length && memcmp((*v)->name, name, length) == 0) return true;
    return false;
}

static enum onp_status unknown_variant(const struct onp_log *log, const char *name, size_t length) {
    struct onp_buf known = {0};
    for (const struct onp_op *const *op = onp_ops; *op; op++)
        for (const struct onp_variant *const *v = (*op)->variants; *v; v++)
            onp_buf_printf(&known, "%s%s", known.size ? ", " : "", (*v)->name);
    const enum onp_status status =
        onp_fail(log, ONP_ERR_ARGUMENT, "there is no kernel variant \"%.*s\"; there are: %s",
                 (int)(length > 64 ? 64 : length), name, known.data ? known.data : "none");
    onp_buf_free(&known);
    return status;
}

enum onp_status onp_device_disable_variants(struct onp_device *device, const char *names) {
    if (!device) return onp_fail(NULL, ONP_ERR_ARGUMENT, "onp_device_disable_variants: no device");
    const struct onp_log *log = &device->context->log;
    if (!names) names = "";
    if (strlen(names) >= sizeof device->disabled)
        return onp_fail(log, ONP_ERR_ARGUMENT, "the list of variants to switch off is too long");
    for (const char *p = names; *p;) {
        const size_t length = strcspn(p, ",");
        if (!known_variant(p, length)) return unknown_variant(log, p, length);
        p += length + (p[length] == ',');
    }
    snprintf(device->disabled, sizeof device->disabled, "%s", names);
    return ONP_OK;
}

enum onp_status onp_selftest(struct onp_device *device, const char *op_filter, bool quick,
                             uint64_t seed, onp_selftest_fn fn, void *user,
                             struct onp_selftest_summary *summary) {
    struct onp_selftest_summary own;
    if (!device) return onp_fail(NULL, ONP_ERR_ARGUMENT, "onp_selftest: no device");
    if (!summary) summary = &own;
    const struct onp_log *log = &device->context->log;
    if (device->caps.reference)
        return onp_fail(log, ONP_ERR_UNSUPPORTED,
                        "the reference device is what a self-test compares with: choose another");
    ONP_TRY(onp_check_all(device, op_filter, quick, seed, fn, user, summary));
    if (summary->failed > 0)
        return onp_fail(log, ONP_ERR_MISMATCH, "%zu of %zu self-test cases failed", summary->failed,
                        summary->failed + summary->passed);
    if (summary->passed == 0)
        return onp_fail(log, ONP_ERR_ARGUMENT, "no kernel matches \"%s\"",
                        op_filter ? op_filter : "");
    return ONP_OK;
}
