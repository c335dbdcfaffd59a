// SPDX-License-Identifier: Apache-2.0
// Places every input, activation and workspace in one arena by lifetime.
#ifndef ONP_GRAPH_PLAN_H
#define ONP_GRAPH_PLAN_H

#include "graph/graph.h"

#define ONP_ARENA_ALIGN 256u // bytes

// workspace[i]: bytes that node i needs while it runs (may be NULL: none). Writes the element
// offset of every tensor, the byte offset of every workspace (workspace_offset[i], may be NULL when
// workspace is) and the arena's size. Buffers are left to the caller.
enum onp_status onp_plan(struct onp_graph *graph, const uint64_t *workspace,
                         uint64_t *workspace_offset, uint64_t *arena_bytes);

#endif
