// SPDX-License-Identifier: Apache-2.0
// All back ends as one list of devices, and the choice among them.
#ifndef ONP_BACKEND_REGISTRY_H
#define ONP_BACKEND_REGISTRY_H

#include "backend/backend.h"

// As onp_device_list in onepeace/device.h; *list is freed with free().
enum onp_status onp_registry_list(struct onp_context *context, struct onp_device_info **list,
                                  size_t *count);
// As onp_device_open in onepeace/device.h, but `tuning` is left zero: the caller fills it in
// (onp_tuning_choose), since back ends know nothing of ops. info.note says why it was chosen.
enum onp_status onp_registry_open(struct onp_context *context, const char *selector, bool force,
                                  struct onp_device **out);
void onp_registry_close(struct onp_device *device); // NULL is allowed

// What a selector picks from a list, and why. Pure.
struct onp_choice {
    size_t index;
    char why[128];      // "first GPU"
    char others[512];   // "2 (NAME), 3 (NAME)": matched too, as well suited; "" if unambiguous
    char problem[1536]; // what to tell the user when nothing is picked
};
// False: nothing matches, or only refused devices do and force is not given; see problem.
bool onp_registry_choose(const struct onp_device_info *list, size_t count, const char *selector,
                         bool force, struct onp_choice *choice);

#endif
