// SPDX-License-Identifier: Apache-2.0
#include "graph/graph.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"

// Memory comes from blocks that are kept across resets; pointers stay valid until then.
struct block {
    struct block *next;
    size_t used, size;
    _Alignas(16) unsigned char data[];
};

struct onp_graph {
    const struct onp_log *log;
    enum onp_status status;
    bool keep_named;
    struct block *first, *current;
    struct onp_node **nodes;
    size_t node_count, node_capacity;
    struct onp_tensor **tensors;
    size_t tensor_count, tensor_capacity;
};

#define BLOCK_SIZE (256u * 1024u)

enum onp_status onp_graph_create(const struct onp_log *log, struct onp_graph **out) {
    struct onp_graph *graph = calloc(1, sizeof *graph);
    if (!graph) return onp_fail(log, ONP_ERR_MEMORY, "no memory for a graph");
    graph->log = log;
    *out = graph;
    return ONP_OK;
}

void onp_graph_destroy(struct onp_graph *graph) {
    if (!graph) return;
    for (struct block *b = graph->first, *next; b; b = next) {
        next = b->next;
        free(b);
    }
    free(graph->nodes);
    free(graph->tensors);
    free(graph);
}

void onp_graph_reset(struct onp_graph *graph) {
    graph->status = ONP_OK;
    graph->node_count = 0;
    graph->tensor_count = 0;
    for (struct block *b = graph->first; b; b = b->next) b->used = 0;
    graph->current = graph->first;
}

enum onp_status onp_graph_status(const struct onp_graph *graph) { return graph->status; }

const struct onp_log *onp_graph_log(const struct onp_graph *graph) { return graph->log; }

struct onp_tensor *onp_graph_error(struct onp_graph *graph, enum onp_status status, const char *fmt,
                                   ...) {
    if (graph->status != ONP_OK) return NULL;
    char message[512];
    va_list args;
    va_start(args, fmt);
    vsnprintf(message, sizeof message, fmt, args);
    va_end(args);
    graph->status = onp_fail(graph->log, status, "%s", message);
    return NULL;
}

void onp_graph_keep_named(struct onp_graph *graph, bool keep) { graph->keep_named = keep; }

size_t onp_graph_node_count(const struct onp_graph *graph) { return graph->node_count; }
struct onp_node *onp_graph_node(struct onp_graph *graph, size_t index) {
    return graph->nodes[index];
}
size_t onp_graph_tensor_count(const struct onp_graph *graph) { return graph->tensor_count; }
struct onp_tensor *onp_graph_tensor(struct onp_graph *graph, size_t index) {
    return graph->tensors[index];
}

struct onp_tensor *onp_graph_find(struct onp_graph *graph, const char *name) {
    for (size_t i = 0; i < graph->tensor_count; i++)
        if (strcmp(graph->tensors[i]->name, name) == 0) return graph->tensors[i];
    return NULL;
}

static struct block *new_block(size_t bytes) {
    const size_t size = bytes > BLOCK_SIZE ? bytes : BLOCK_SIZE;
    struct block *b = malloc(sizeof *b + size);
    if (b) *b = (struct block){.size = size};
    return b;
}

void *onp_graph_alloc(struct onp_graph *graph, size_t bytes) {
    if (graph->status != ONP_OK) return NULL;
    bytes = (size_t)onp_round_up(bytes ? bytes : 1, 16);
    while (graph->current && graph->current->size - graph->current->used < bytes &&
           graph->current->next)
        graph->current = graph->current->next;
    if (!graph->current || graph->current->size - graph->current->used < bytes) {
        struct block *b = new_block(bytes);
        if (!b) {
            onp_graph_error(graph, ONP_ERR_MEMORY, "no memory for %zu bytes of a graph", bytes);
            return NULL;
        }
        if (graph->current)
            graph->current->next = b;
        else
            graph->first = b;
        graph->current = b;
    }
    void *data = graph->current->data + graph->current->used;
    graph->current->used += bytes;
    return data;
}

// Appends a pointer to a growing list of pointers.
static bool push_pointer(struct onp_graph *graph, void ***list, size_t *count, size_t *capacity,
                         void *item) {
    if (*count == *capacity) {
        const size_t larger = *capacity ? *capacity * 2 : 256;
        void **grown = realloc(*list, larger * sizeof *grown);
        if (!grown) {
            onp_graph_error(graph, ONP_ERR_MEMORY, "no memory for a graph of %zu parts", larger);
            return false;
        }
        *list = grown;
        *capacity = larger;
    }
    (*list)[(*count)++] = item;
    return true;
}

static struct onp_tensor *new_tensor(struct onp_graph *graph, enum onp_dtype dtype,
                                     enum onp_role role, int64_t rows, int64_t cols, int64_t ld) {
    if (graph->status == ONP_OK && (rows < 1 || cols < 1 || ld < 1))
        return onp_graph_error(graph, ONP_ERR_ARGUMENT, "empty tensor (%lld x %lld)",
                               (long long)rows, (long long)cols);
    struct onp_tensor *x = onp_graph_alloc(graph, sizeof *x);
    if (!x) return NULL;
    *x = (struct onp_tensor){
        .dtype = dtype, .role = role, .rows = rows, .cols = cols, .ld = ld, .root = x};
    if (!push_pointer(graph, (void ***)&graph->tensors, &graph->tensor_count,
                      &graph->tensor_capacity, x))
        return NULL;
    return x;
}

struct onp_tensor *onp_graph_input(struct onp_graph *graph, const char *name, enum onp_dtype dtype,
                                   int64_t rows, int64_t cols, const void *host) {
    struct onp_tensor *x = new_tensor(graph, dtype, ONP_ROLE_INPUT, rows, cols, cols);
    if (!x) return NULL;
    x->host = host;
    return onp_named(graph, x, "%s", name);
}

struct onp_tensor *onp_graph_activation(struct onp_graph *graph, int64_t rows, int64_t cols,
                                        bool contiguous) {
    // Rows a multiple of 4 KiB apart compete for the same cache sets; 16 floats move them apart.
    const bool pad = !contiguous && rows > 1 && cols % 1024 == 0;
    return new_tensor(graph, ONP_F32, ONP_ROLE_ACTIVATION, rows, cols, pad ? cols + 16 : cols);
}

struct onp_tensor *onp_graph_view(struct onp_graph *graph, struct onp_tensor *x, int64_t offset,
                                  int64_t rows, int64_t cols, int64_t ld) {
    if (!x || graph->status != ONP_OK) return NULL;
    const bool same_rows = ld == x->ld && cols <= x->cols;
    const int64_t extent = (x->rows - 1) * x->ld + x->cols;
    if (!same_rows && x->ld != x->cols)
        return onp_graph_error(graph, ONP_ERR_ARGUMENT, "view of %s needs contiguous rows",
                               x->name);
    if (offset < 0 || rows < 1 || ld < 1 || offset + (rows - 1) * ld + cols > extent)
        return onp_graph_error(graph, ONP_ERR_ARGUMENT, "view of %s is out of its bounds", x->name);
    struct onp_tensor *view = new_tensor(graph, x->dtype, x->role, rows, cols, ld);
    if (!view) return NULL;
    view->root = x->root;
    view->offset = x->offset + offset;
    return view;
}

struct onp_tensor *onp_graph_record(struct onp_graph *graph, const struct onp_op *op,
                                    struct onp_tensor *dst, struct onp_tensor *const *src,
                                    size_t src_count, const void *params, size_t params_size) {
    if (!dst || graph->status != ONP_OK) return NULL;
    if (src_count > ONP_MAX_SRC || params_size > ONP_PARAMS_SIZE)
        return onp_graph_error(graph, ONP_ERR_ARGUMENT, "node with too many sources");
    struct onp_node *node = onp_graph_alloc(graph, sizeof *node);
    if (!node) return NULL;
    memset(node, 0, sizeof *node);
    node->op = op;
    node->dst = dst;
    for (size_t i = 0; i < src_count; i++) node->src[i] = src[i];
    if (params_size) memcpy(node->params, params, params_size);
    if (!push_pointer(graph, (void ***)&graph->nodes, &graph->node_count, &graph->node_capacity,
                      node))
        return NULL;
    return dst;
}

struct onp_tensor *onp_named(struct onp_graph *graph, struct onp_tensor *x, const char *fmt, ...) {
    if (!x) return NULL;
    va_list args;
    va_start(args, fmt);
    vsnprintf(x->name, sizeof x->name, fmt, args);
    va_end(args);
    if (graph->keep_named) x->root->keep = true;
    return x;
}
