// SPDX-License-Identifier: Apache-2.0
#include "base/buf.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void onp_buf_free(struct onp_buf *buf) {
    free(buf->data);
    *buf = (struct onp_buf){0};
}

// Makes room for `more` bytes and the terminating NUL.
static bool reserve(struct onp_buf *buf, size_t more) {
    if (buf->failed) return false;
    if (more >= SIZE_MAX / 2 - buf->size) return !(buf->failed = true);
    const size_t need = buf->size + more + 1;
    if (need <= buf->capacity) return true;
    size_t capacity = buf->capacity ? buf->capacity : 64;
    while (capacity < need) capacity *= 2;
    char *data = realloc(buf->data, capacity);
    if (!data) return !(buf->failed = true);
    buf->data = data;
    buf->capacity = capacity;
    return true;
}

bool onp_buf_append(struct onp_buf *buf, const void *data, size_t size) {
    if (!reserve(buf, size)) return false;
    if (size > 0) memcpy(buf->data + buf->size, data, size);
    buf->size += size;
    buf->data[buf->size] = '\0';
    return true;
}

bool onp_buf_printf(struct onp_buf *buf, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    const int size = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    if (size < 0) return !(buf->failed = true);
    if (!reserve(buf, (size_t)size)) return false;
    va_start(args, fmt);
    vsnprintf(buf->data + buf->size, (size_t)size + 1, fmt, args);
    va_end(args);
    buf->size += (size_t)size;
    return true;
}
