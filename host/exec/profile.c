// SPDX-License-Identifier: Apache-2.0
#include "exec/profile.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void onp_profile_free(struct onp_profile *profile) {
    free(profile->list);
    *profile = (struct onp_profile){0};
}

static struct onp_kernel_time *find(struct onp_profile *profile,
                                    const struct onp_kernel_time *key) {
    for (size_t i = 0; i < profile->count; i++) {
        struct onp_kernel_time *t = &profile->list[i];
        if (strcmp(t->op, key->op) == 0 && strcmp(t->variant, key->variant) == 0 &&
            strcmp(t->shape, key->shape) == 0)
            return t;
    }
    if (profile->count == profile->capacity) {
        const size_t capacity = profile->capacity ? profile->capacity * 2 : 64;
        struct onp_kernel_time *grown = realloc(profile->list, capacity * sizeof *grown);
        if (!grown) return NULL;
        profile->list = grown;
        profile->capacity = capacity;
    }
    profile->list[profile->count] = *key;
    return &profile->list[profile->count++];
}

static double *latest(struct onp_kernel_time *t) {
    return &t->samples[(t->calls - 1) % ONP_KERNEL_SAMPLES];
}

static void close_sample(struct onp_kernel_time *t) {
    if (t->calls == 0) return;
    if (t->calls == 1 || *latest(t) < t->best_seconds) t->best_seconds = *latest(t);
}

// Called before the call is counted: the commands after a call's first add to the latest sample.
static void add_sample(struct onp_kernel_time *t, bool first, double seconds) {
    if (!first) {
        if (t->calls > 0) *latest(t) += seconds;
        return;
    }
    close_sample(t);
    t->samples[t->calls % ONP_KERNEL_SAMPLES] = seconds;
    if (t->sample_count < ONP_KERNEL_SAMPLES) t->sample_count++;
}

static enum onp_status add(struct onp_profile *profile, const struct onp_log *log,
                           const struct onp_node *node, const struct onp_variant *variant,
                           bool first, double seconds) {
    struct onp_kernel_time key = {0};
    snprintf(key.op, sizeof key.op, "%s", node->op->name);
    snprintf(key.variant, sizeof key.variant, "%s", variant ? variant->name : "reference");
    node->op->describe(node, key.shape, sizeof key.shape);
    struct onp_kernel_time *t = find(profile, &key);
    if (!t) return onp_fail(log, ONP_ERR_MEMORY, "no memory for the profile");
    t->seconds += seconds;
    add_sample(t, first, seconds);
    if (!first) return ONP_OK; // a node's work counts once, however many commands it took
    double flops = 0.0, bytes = 0.0;
    node->op->cost(node, &flops, &bytes);
    t->calls++;
    t->flops += flops;
    t->bytes += bytes;
    return ONP_OK;
}

enum onp_status onp_profile_add(struct onp_profile *profile, const struct onp_log *log,
                                struct onp_graph *graph, const struct onp_command *command,
                                const struct onp_variant *const *variants, double seconds) {
    return add(profile, log, onp_graph_node(graph, command->node), variants[command->node],
               command->first, seconds);
}

void onp_profile_busy(struct onp_profile *profile, const struct onp_timing *timing) {
    const uint64_t begin =
        timing->begin_ns > profile->last_ns ? timing->begin_ns : profile->last_ns;
    if (timing->end_ns <= begin) return;
    profile->busy_ns += timing->end_ns - begin;
    profile->last_ns = timing->end_ns;
}

static int longest_first(const void *a, const void *b) {
    const struct onp_kernel_time *x = a, *y = b;
    return x->seconds > y->seconds ? -1 : x->seconds < y->seconds;
}

enum onp_status onp_profile_copy(const struct onp_profile *profile, const struct onp_log *log,
                                 struct onp_kernel_time **list, size_t *count) {
    const size_t bytes = profile->count * sizeof **list;
    *list = malloc(bytes ? bytes : 1);
    if (!*list) return onp_fail(log, ONP_ERR_MEMORY, "no memory for the profile");
    if (bytes) memcpy(*list, profile->list, bytes);
    *count = profile->count;
    for (size_t i = 0; i < *count; i++) close_sample(&(*list)[i]);
    qsort(*list, *count, sizeof **list, longest_first);
    return ONP_OK;
}
