// SPDX-License-Identifier: Apache-2.0
// Stands in for the OpenCL back end when the library is built without it: it lists nothing, so
// that nothing else of it is ever called.
#include "backend/backend.h"

static enum onp_status no_devices(struct onp_context *context, struct onp_device_info **list,
                                  size_t *count) {
    (void)context;
    (void)list;
    (void)count;
    return ONP_OK;
}

const struct onp_backend onp_backend_opencl = {.name = "opencl", .list = no_devices};
