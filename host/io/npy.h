// SPDX-License-Identifier: Apache-2.0
// NumPy .npy arrays, versions 1 to 3, C order, little-endian.
#ifndef ONP_IO_NPY_H
#define ONP_IO_NPY_H

#include "base/log.h"
#include "onepeace/model.h"

struct onp_npy {
    enum onp_dtype dtype;
    int dims;
    uint64_t shape[8];
    uint64_t count; // elements
    void *data;     // free with onp_npy_free
};
enum onp_status onp_npy_read(const char *path, const struct onp_log *log, struct onp_npy *out);
void onp_npy_free(struct onp_npy *npy);

#endif
