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
};

// Takes the device's finished timings; their tags index `commands`.
enum onp_status onp_profile_collect(struct onp_profile *profile, struct onp_device *device,
                                    struct onp_graph *graph, const struct onp_commands *commands,
                                    const struct onp_variant *const *variants);
// A malloc'ed copy of the table, longest total first.
enum onp_status onp_profile_copy(const struct onp_profile *profile, const struct onp_log *log,
                                 struct onp_kernel_time **list, size_t *count);
void onp_profile_free(struct onp_profile *profile);

#endif
