// SPDX-License-Identifier: Apache-2.0
// Scores of any number of rows with a few queries: the heart of a search.
#ifndef ONEPEACE_SCORER_H
#define ONEPEACE_SCORER_H

#include "onepeace/device.h"

#ifdef __cplusplus
extern "C" {
#endif

// Queries on a device, and two blocks of host memory through which rows are streamed past them.
// Each block is one matrix product: scores[i][j] = sum over k of rows[i][k] * queries[j][k], in
// float32. While the device has one block, the caller fills the other:
//
//     for (size_t count; (count = fill(onp_scorer_rows(s), onp_scorer_block(s))) > 0;) {
//         onp_scorer_collect(s, &scores, &before); // of the block before; none at first
//         onp_scorer_submit(s, count);
//         use(scores, before);                     // while the device computes
//     }
//     onp_scorer_collect(s, &scores, &before);
//
// The device must outlive it. Thread-safety: one thread at a time, and none of the device's other
// objects between submit and collect.
struct onp_scorer;
// queries: float32 [count, dim], copied. block: rows of a block, 0: about 4 MiB of them. Needs two
// blocks of host memory and one on the device, whatever the number of rows.
ONP_API enum onp_status onp_scorer_create(struct onp_device *device, const float *queries,
                                          size_t count, size_t dim, size_t block,
                                          struct onp_scorer **out);
ONP_API void onp_scorer_destroy(struct onp_scorer *scorer); // waits; NULL is allowed

ONP_API size_t onp_scorer_block(const struct onp_scorer *scorer);
// Where the next block's rows go: float32 [block, dim]. Valid until submitted.
ONP_API float *onp_scorer_rows(struct onp_scorer *scorer);
// Starts the product of the first `count` (1 to block) rows there and returns; the memory belongs
// to the scorer until they are collected. ONP_ERR_ARGUMENT if a block is not collected yet.
ONP_API enum onp_status onp_scorer_submit(struct onp_scorer *scorer, size_t count);
// Waits for what was submitted. *scores: float32 [*rows, queries], valid until the next collect; a
// score does not depend on the other rows. *rows is 0 if nothing was submitted.
ONP_API enum onp_status onp_scorer_collect(struct onp_scorer *scorer, const float **scores,
                                           size_t *rows);

#ifdef __cplusplus
}
#endif
#endif
