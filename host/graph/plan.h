// SPDX-License-Identifier: Apache-2.0
// Places every input, activation and workspace in one arena by lifetime; on request what is copied
// to and from the host apart from it, so that runs which share the arena can be copied meanwhile.
#ifndef ONP_GRAPH_PLAN_H
#define ONP_GRAPH_PLAN_H

#include "graph/graph.h"

#define ONP_ARENA_ALIGN 256u // bytes

// workspace[i]: bytes that node i needs while it runs (may be NULL: none). Writes the element
// offset of every tensor, the byte offset of every workspace (workspace_offset[i], may be NULL when
// workspace is) and the arena's size. With staged_bytes (may be NULL) inputs and kept tensors
// get places of their own, one after another in another buffer of that size. Buffers are left to
// the caller.
enum onp_status onp_plan(struct onp_graph *graph, const uint64_t *workspace,
                         uint64_t *workspace_offset, uint64_t *arena_bytes, uint64_t *staged_bytes);

// Whether a tensor lies in the second buffer, if there is one.
static inline bool onp_plan_stages(const struct onp_tensor *x) {
    return x->root->role == ONP_ROLE_INPUT || x->root->keep;
}

#endif
