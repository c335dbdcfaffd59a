// SPDX-License-Identifier: Apache-2.0
// Tensors and a recorded list of nodes. Knows sizes, not what an op means.
//
// A graph is rebuilt for every batch shape (cheap: a few hundred nodes in reused memory), then
// planned, then run. Building calls never fail loudly: the first error is kept in the graph and
// later calls do nothing, so a model's forward pass stays a plain list of calls.
#ifndef ONP_GRAPH_GRAPH_H
#define ONP_GRAPH_GRAPH_H

#include "base/log.h"
#include "onepeace/model.h"

struct onp_buffer;
struct onp_op;

enum onp_role {
    ONP_ROLE_INPUT,      // uploaded before each run from `host`
    ONP_ROLE_WEIGHT,     // lives with the model
    ONP_ROLE_ACTIVATION, // gets a place in the arena
};

enum onp_layout {
    ONP_LAYOUT_ROWS,   // element (r, c) at r * ld + c
    ONP_LAYOUT_PANELS, // weight matrix [N][K] as [ceil(N / panel)][K][panel], padded with zeros
};

// A matrix [rows][cols]; vectors have rows = 1. Views share the storage of `root`.
struct onp_tensor {
    char name[48]; // for messages, taps and tests; may be empty
    enum onp_dtype dtype;
    enum onp_role role;
    int64_t rows, cols, ld;
    enum onp_layout layout;
    int32_t panel;             // width of a panel, 0 for ROWS
    struct onp_tensor *root;   // the tensor that owns the storage: itself unless a view
    int64_t offset;            // first element, counted from the start of the buffer once planned,
                               // from the start of the root before
    struct onp_buffer *buffer; // set by the planner, the loader or the caller
    const void *host;          // ROLE_INPUT: contiguous data to upload
    int first_use, last_use;   // node indices, kept on the root by the planner
    bool keep;                 // survives to the end of the run (outputs, taps)
};

#define ONP_MAX_SRC     8
#define ONP_PARAMS_SIZE 48

struct onp_node {
    const struct onp_op *op;
    struct onp_tensor *dst;
    struct onp_tensor *src[ONP_MAX_SRC]; // meaning by the op's enum; NULL: absent
    _Alignas(8) unsigned char params[ONP_PARAMS_SIZE];
};

struct onp_graph;
enum onp_status onp_graph_create(const struct onp_log *log, struct onp_graph **out);
void onp_graph_destroy(struct onp_graph *graph); // NULL is allowed
void onp_graph_reset(struct onp_graph *graph);   // empties it, keeps its memory
enum onp_status onp_graph_status(const struct onp_graph *graph);
const struct onp_log *onp_graph_log(const struct onp_graph *graph);
// Records a building error (the first one wins) and returns NULL for the builder to pass on.
struct onp_tensor *onp_graph_error(struct onp_graph *graph, enum onp_status status, const char *fmt,
                                   ...) __attribute__((format(printf, 3, 4)));
// With keep_named set every tensor that gets a name is kept (golden tests read all stages).
void onp_graph_keep_named(struct onp_graph *graph, bool keep);

size_t onp_graph_node_count(const struct onp_graph *graph);
struct onp_node *onp_graph_node(struct onp_graph *graph, size_t index);
size_t onp_graph_tensor_count(const struct onp_graph *graph);
struct onp_tensor *onp_graph_tensor(struct onp_graph *graph, size_t index);
struct onp_tensor *onp_graph_find(struct onp_graph *graph, const char *name); // NULL if absent

// Host memory that lives until the next reset (row maps and the like). NULL after an error.
void *onp_graph_alloc(struct onp_graph *graph, size_t bytes);
// An input whose data the caller keeps alive until the run has uploaded it.
struct onp_tensor *onp_graph_input(struct onp_graph *graph, const char *name, enum onp_dtype dtype,
                                   int64_t rows, int64_t cols, const void *host);
// A float32 activation. Unless contiguous, ld may exceed cols to keep rows from sharing cache sets.
struct onp_tensor *onp_graph_activation(struct onp_graph *graph, int64_t rows, int64_t cols,
                                        bool contiguous);
// rows x cols with row stride ld, starting `offset` elements into x (contiguous rows are required
// when ld or cols differ from x's). May overlap itself: a strided convolution's windows are a view.
struct onp_tensor *onp_graph_view(struct onp_graph *graph, struct onp_tensor *x, int64_t offset,
                                  int64_t rows, int64_t cols, int64_t ld);
// Records a node. The caller (an op's builder) has checked the shapes.
struct onp_tensor *onp_graph_record(struct onp_graph *graph, const struct onp_op *op,
                                    struct onp_tensor *dst, struct onp_tensor *const *src,
                                    size_t src_count, const void *params, size_t params_size);
// Names a tensor (printf) and returns it.
struct onp_tensor *onp_named(struct onp_graph *graph, struct onp_tensor *x, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#endif
