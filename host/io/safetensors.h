// SPDX-License-Identifier: Apache-2.0
// What reading and writing safetensors share.
#ifndef ONP_IO_SAFETENSORS_H
#define ONP_IO_SAFETENSORS_H

#include "onepeace/model.h"

#define ONP_SAFETENSORS_MAX_HEADER 100000000u // bytes, as in the reference implementation

// The name of a dtype in a header.
const char *onp_safetensors_dtype(enum onp_dtype dtype);

#endif
