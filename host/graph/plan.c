// SPDX-License-Identifier: Apache-2.0
#include "graph/plan.h"

#include <stdlib.h>

#include "base/checked.h"

// Something that needs `bytes` of the arena from node `first` to node `last`.
struct block {
    uint64_t bytes, offset;
    int first, last;
    struct onp_tensor *tensor; // NULL for a workspace
    size_t node;               // of a workspace
};

static bool planned(const struct onp_tensor *x) {
    return x->root == x && x->role != ONP_ROLE_WEIGHT && !x->buffer;
}

static void touch(struct onp_tensor *x, int node) {
    if (!x) return;
    struct onp_tensor *root = x->root;
    if (root->first_use < 0 || node < root->first_use) root->first_use = node;
    if (node > root->last_use) root->last_use = node;
}

static void find_lifetimes(struct onp_graph *graph) {
    const size_t nodes = onp_graph_node_count(graph), tensors = onp_graph_tensor_count(graph);
    for (size_t i = 0; i < tensors; i++) {
        struct onp_tensor *x = onp_graph_tensor(graph, i);
        x->first_use = x->last_use = -1;
    }
    for (size_t i = 0; i < nodes; i++) {
        struct onp_node *node = onp_graph_node(graph, i);
        touch(node->dst, (int)i);
        for (int s = 0; s < ONP_MAX_SRC; s++) touch(node->src[s], (int)i);
    }
    for (size_t i = 0; i < tensors; i++) {
        struct onp_tensor *x = onp_graph_tensor(graph, i);
        if (x->root != x) continue;
        // Inputs are uploaded before the first node; kept tensors are read after the last.
        if (x->role == ONP_ROLE_INPUT) x->first_use = 0;
        if (x->role == ONP_ROLE_INPUT && x->last_use < 0) x->last_use = 0;
        if (x->keep) x->last_use = (int)nodes;
    }
}

static bool tensor_bytes(const struct onp_tensor *x, uint64_t *bytes) {
    uint64_t elements;
    return onp_mul_u64((uint64_t)x->rows, (uint64_t)x->ld, &elements) &&
           onp_mul_u64(elements, onp_dtype_size(x->dtype), bytes) && *bytes < UINT64_MAX / 4;
}

static int larger_first(const void *a, const void *b) {
    const struct block *x = a, *y = b;
    if (x->bytes != y->bytes) return x->bytes > y->bytes ? -1 : 1;
    return x->first - y->first;
}

static int lower_first(const void *a, const void *b) {
    const struct block *const *x = a, *const *y = b;
    return (*x)->offset < (*y)->offset ? -1 : (*x)->offset > (*y)->offset;
}

// Puts block `index` into the lowest gap between the already placed blocks that live at the same
// time (largest first: a good greedy order for this kind of packing).
static void place(struct block *blocks, size_t index, struct block **scratch) {
    struct block *b = &blocks[index];
    size_t count = 0;
    for (size_t i = 0; i < index; i++)
        if (blocks[i].first <= b->last && b->first <= blocks[i].last) scratch[count++] = &blocks[i];
    qsort(scratch, count, sizeof *scratch, lower_first);
    uint64_t offset = 0;
    for (size_t i = 0; i < count; i++) {
        if (scratch[i]->offset >= offset + b->bytes) break;
        const uint64_t end = scratch[i]->offset + scratch[i]->bytes;
        if (end > offset) offset = end;
    }
    b->offset = offset;
}

static void stage(struct onp_tensor *x, uint64_t bytes, uint64_t *staged_bytes) {
    x->offset = (int64_t)(*staged_bytes / onp_dtype_size(x->dtype));
    *staged_bytes += onp_round_up(bytes, ONP_ARENA_ALIGN);
}

static enum onp_status collect(struct onp_graph *graph, const uint64_t *workspace,
                               struct block *blocks, size_t *count, uint64_t *staged_bytes) {
    for (size_t i = 0; i < onp_graph_tensor_count(graph); i++) {
        struct onp_tensor *x = onp_graph_tensor(graph, i);
        if (!planned(x) || x->first_use < 0) continue;
        uint64_t bytes;
        if (!tensor_bytes(x, &bytes))
            return onp_fail(onp_graph_log(graph), ONP_ERR_ARGUMENT, "tensor %s is too large",
                            x->name);
        if (staged_bytes && onp_plan_stages(x)) {
            stage(x, bytes, staged_bytes);
            continue;
        }
        blocks[(*count)++] = (struct block){.bytes = onp_round_up(bytes, ONP_ARENA_ALIGN),
                                            .first = x->first_use,
                                            .last = x->last_use,
                                            .tensor = x};
    }
    for (size_t i = 0; workspace && i < onp_graph_node_count(graph); i++)
        if (workspace[i] > 0)
            blocks[(*count)++] =
                (struct block){.bytes = onp_round_up(workspace[i], ONP_ARENA_ALIGN),
                               .first = (int)i,
                               .last = (int)i,
                               .node = i};
    return ONP_OK;
}

static void publish(struct onp_graph *graph, const struct block *blocks, size_t count,
                    uint64_t *workspace_offset, uint64_t *arena_bytes) {
    *arena_bytes = 0;
    for (size_t i = 0; i < count; i++) {
        const struct block *b = &blocks[i];
        if (b->offset + b->bytes > *arena_bytes) *arena_bytes = b->offset + b->bytes;
        if (b->tensor)
            b->tensor->offset = (int64_t)(b->offset / onp_dtype_size(b->tensor->dtype));
        else
            workspace_offset[b->node] = b->offset;
    }
    // Views were recorded relative to their root.
    for (size_t i = 0; i < onp_graph_tensor_count(graph); i++) {
        struct onp_tensor *x = onp_graph_tensor(graph, i);
        if (x->root != x) x->offset += x->root->offset;
    }
}

enum onp_status onp_plan(struct onp_graph *graph, const uint64_t *workspace,
                         uint64_t *workspace_offset, uint64_t *arena_bytes,
                         uint64_t *staged_bytes) {
    ONP_TRY(onp_graph_status(graph));
    find_lifetimes(graph);
    if (staged_bytes) *staged_bytes = 0;
    const size_t most = onp_graph_tensor_count(graph) + onp_graph_node_count(graph) + 1;
    struct block *blocks = calloc(most, sizeof *blocks);
    struct block **scratch = calloc(most, sizeof *scratch);
    size_t count = 0;
    enum onp_status status = ONP_OK;
    if (!blocks || !scratch)
        status = onp_fail(onp_graph_log(graph), ONP_ERR_MEMORY, "no memory for a plan");
    else
        status = collect(graph, workspace, blocks, &count, staged_bytes);
    if (status == ONP_OK) {
        qsort(blocks, count, sizeof *blocks, larger_first);
        for (size_t i = 0; i < count; i++) place(blocks, i, scratch);
        publish(graph, blocks, count, workspace_offset, arena_bytes);
    }
    free(blocks);
    free(scratch);
    return status;
}
