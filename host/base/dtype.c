// SPDX-License-Identifier: Apache-2.0
// Names and sizes of the public enums.
#include "onepeace/model.h"

static const struct {
    const char *name;
    size_t size;
} dtypes[] = {
    [ONP_F32] = {"f32", 4},   [ONP_F16] = {"f16", 2}, [ONP_BF16] = {"bf16", 2},
    [ONP_F64] = {"f64", 8},   [ONP_I64] = {"i64", 8}, [ONP_I32] = {"i32", 4},
    [ONP_I16] = {"i16", 2},   [ONP_I8] = {"i8", 1},   [ONP_U8] = {"u8", 1},
    [ONP_BOOL] = {"bool", 1},
};

const char *onp_dtype_name(enum onp_dtype dtype) {
    return (unsigned)dtype < sizeof dtypes / sizeof dtypes[0] ? dtypes[dtype].name : "?";
}

size_t onp_dtype_size(enum onp_dtype dtype) {
    return (unsigned)dtype < sizeof dtypes / sizeof dtypes[0] ? dtypes[dtype].size : 0;
}

const char *onp_modality_name(enum onp_modality m) {
    switch (m) {
    case ONP_TEXT:
        return "text";
    case ONP_IMAGE:
        return "image";
    case ONP_AUDIO:
        return "audio";
    }
    return "?";
}
