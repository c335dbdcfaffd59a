// SPDX-License-Identifier: Apache-2.0
// Reading the elements of a tensor in a mapped file.
#include <string.h>

#include "io/model_table.h"

void onp_tensor_set_strides(struct onp_file_tensor *tensor) {
    int64_t stride = 1;
    for (int i = tensor->dims; i-- > 0;) {
        tensor->stride[i] = stride;
        if (tensor->shape[i] > 0) stride *= tensor->shape[i];
    }
}

bool onp_tensor_contiguous(const struct onp_file_tensor *tensor) {
    int64_t stride = 1;
    for (int i = tensor->dims; i-- > 0;) {
        if (tensor->shape[i] != 1 && tensor->stride[i] != stride) return false;
        stride *= tensor->shape[i];
    }
    return true;
}

// Steps through a tensor in row-major order.
struct cursor {
    int64_t at[ONP_MAX_DIMS];
    int64_t element; // where that is in the storage
};

static void seek(const struct onp_file_tensor *t, uint64_t index, struct cursor *c) {
    c->element = 0;
    for (int i = t->dims; i-- > 0;) {
        c->at[i] = (int64_t)(index % (uint64_t)t->shape[i]);
        index /= (uint64_t)t->shape[i];
        c->element += c->at[i] * t->stride[i];
    }
}

static void advance(const struct onp_file_tensor *t, struct cursor *c) {
    for (int i = t->dims; i-- > 0;) {
        c->element += t->stride[i];
        if (++c->at[i] < t->shape[i]) return;
        c->element -= t->shape[i] * t->stride[i];
        c->at[i] = 0;
    }
}

void onp_tensor_gather(const struct onp_file_tensor *tensor, uint64_t first, uint64_t count,
                       void *out) {
    const size_t size = onp_dtype_size(tensor->dtype);
    const unsigned char *data = tensor->data;
    unsigned char *to = out;
    if (count == 0) return;
    if (onp_tensor_contiguous(tensor)) {
        memcpy(to, data + first * size, count * size);
        return;
    }
    struct cursor c;
    seek(tensor, first, &c);
    for (uint64_t i = 0; i < count; i++, to += size) {
        memcpy(to, data + (size_t)c.element * size, size);
        advance(tensor, &c);
    }
}

static float float_of(uint32_t bits) {
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

// Branch-free so that the compiler makes vectors of it: a checkpoint has billions of elements. The
// product moves the exponent's bias and is exact for subnormals too.
static float widen_half(uint16_t h) {
    const float magnitude = float_of((uint32_t)(h & 0x7fffu) << 13) * 0x1p112f;
    uint32_t bits;
    memcpy(&bits, &magnitude, sizeof bits);
    const uint32_t special = (h & 0x7c00u) == 0x7c00u ? 0x7f800000u : 0u;
    return float_of(bits | special | (uint32_t)(h & 0x8000u) << 16);
}

static void widen(enum onp_dtype dtype, const unsigned char *in, size_t count, float *out) {
    switch (dtype) {
    case ONP_F32:
        memcpy(out, in, count * sizeof *out);
        return;
    case ONP_F16:
        for (size_t i = 0; i < count; i++) {
            uint16_t h;
            memcpy(&h, in + 2 * i, sizeof h);
            out[i] = widen_half(h);
        }
        return;
    case ONP_BF16:
        for (size_t i = 0; i < count; i++) {
            uint16_t h;
            memcpy(&h, in + 2 * i, sizeof h);
            out[i] = float_of((uint32_t)h << 16);
        }
        return;
    case ONP_F64:
        for (size_t i = 0; i < count; i++) {
            double d;
            memcpy(&d, in + 8 * i, sizeof d);
            out[i] = (float)d;
        }
        return;
    default: // the caller asks for floating tensors only
        memset(out, 0, count * sizeof *out);
    }
}

void onp_file_tensor_read(const struct onp_file_tensor *tensor, uint64_t first, uint64_t count,
                          float *out) {
    const size_t size = onp_dtype_size(tensor->dtype);
    if (count == 0) return;
    if (tensor->computed.on) {
        onp_computed_read(&tensor->computed, first, count, out);
        return;
    }
    if (onp_tensor_contiguous(tensor)) {
        widen(tensor->dtype, (const unsigned char *)tensor->data + first * size, count, out);
        return;
    }
    unsigned char chunk[8 * 512];
    while (count > 0) {
        const uint64_t n = count < 512 ? count : 512;
        onp_tensor_gather(tensor, first, n, chunk);
        widen(tensor->dtype, chunk, n, out);
        first += n;
        out += n;
        count -= n;
    }
}
