// SPDX-License-Identifier: Apache-2.0
// Device times added up per op, variant and shape.
#ifndef ONP_EXEC_PROFILE_H
#define ONP_EXEC_PROFILE_H

#include "exec/commands.h"
#include "onepeace/encoder.h"

struct onp_profile {
    bool enabled;
    struct onp_kernel_time *list;
    size_t count, capacity;
    uint64_t busy_ns, last_ns; // union of the commands' intervals; where it ends
};

// Adds the time of one command of a graph; variants as chosen, one per node.
enum onp_status onp_profile_add(struct onp_profile *profile, const struct onp_log *log,
                                struct onp_graph *graph, const struct onp_command *command,
                                const struct onp_variant *const *variants, double seconds);
// Adds a command's interval to the union; commands come in the order of the queue.
void onp_profile_busy(struct onp_profile *profile, const struct onp_timing *timing);
// A malloc'ed copy of the table, longest total first.
enum onp_status onp_profile_copy(const struct onp_profile *profile, const struct onp_log *log,
                                 struct onp_kernel_time **list, size_t *count);
void onp_profile_free(struct onp_profile *profile);

#endif
