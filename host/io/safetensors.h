// SPDX-License-Identifier: Apache-2.0
#ifndef ONP_IO_SAFETENSORS_H
#define ONP_IO_SAFETENSORS_H

#include "onepeace/model.h"

// The name of a dtype in a safetensors header.
const char *onp_safetensors_dtype(enum onp_dtype dtype);

#endif
