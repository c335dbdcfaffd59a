// SPDX-License-Identifier: Apache-2.0
// Half and bfloat16 conversion. Widening is exact; narrowing rounds to nearest even (IEEE 754).
#ifndef ONP_BASE_HALF_H
#define ONP_BASE_HALF_H

#include <stddef.h>
#include <stdint.h>

float onp_half_to_float(uint16_t h);
uint16_t onp_float_to_half(float f);
float onp_bf16_to_float(uint16_t b);
uint16_t onp_float_to_bf16(float f);

// The same for many; the halves may lie in the memory of the floats, from its start on.
void onp_floats_to_halves(const float *floats, size_t count, uint16_t *halves);

#endif
