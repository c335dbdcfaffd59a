// SPDX-License-Identifier: Apache-2.0
// A growable byte string. A failed growth sets `failed` and later appends do nothing, so a writer
// checks once at the end. `data` is NUL-terminated whenever it is not NULL.
#ifndef ONP_BASE_BUF_H
#define ONP_BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>

struct onp_buf {
    char *data;
    size_t size, capacity;
    bool failed;
};

void onp_buf_free(struct onp_buf *buf);
bool onp_buf_append(struct onp_buf *buf, const void *data, size_t size);
bool onp_buf_printf(struct onp_buf *buf, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

#endif
