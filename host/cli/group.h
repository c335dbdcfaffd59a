// SPDX-License-Identifier: Apache-2.0
// Concepts that are told apart from one another.
#ifndef ONP_CLI_GROUP_H
#define ONP_CLI_GROUP_H

#include <stdbool.h>
#include <stddef.h>

// Finds a large set of items such that in every matrix each row's and each column's largest score
// within the set is the one on the diagonal, alone. scores: `matrices` of float32 [n, n], the right
// answers on the diagonals. members: room for n, in ascending order on return; *count of them, at
// least 1 for n > 0. The largest set there is, unless the search takes too long (then the largest
// one found; always the same one for the same scores). False when memory is short.
bool onp_cli_group(const float *const *scores, size_t matrices, size_t n, size_t *members,
                   size_t *count);

#endif
