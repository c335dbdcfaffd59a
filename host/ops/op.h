// SPDX-License-Identifier: Apache-2.0
// What an op is to the runtime: a C reference, an ordered list of variants, a case table.
#ifndef ONP_OPS_OP_H
#define ONP_OPS_OP_H

#include "backend/backend.h"
#include "base/rng.h"
#include "graph/graph.h"

// Where a variant puts its commands. Kernels are resolved after all nodes have emitted.
struct onp_emitter {
    struct onp_device *device;
    struct onp_buffer *workspace; // the arena
    uint64_t workspace_offset;    // bytes, aligned to ONP_ARENA_ALIGN
    void *sink;                   // private to exec
};
// Copies the launch into the command list.
enum onp_status onp_emit_launch(struct onp_emitter *emitter, const struct onp_launch *launch);
enum onp_status onp_emit_gemm(struct onp_emitter *emitter, const struct onp_gemm *gemm);

// Pushes a tensor: buffer and element offset; NULL tensors push a null pointer and 0.
static inline void onp_push_tensor(struct onp_launch *launch, const struct onp_tensor *x) {
    onp_push_buffer(launch, x ? x->buffer : NULL, x ? (uint64_t)x->offset : 0);
}
// For kernels marked FULL_REGISTERS (see prelude.h). Only Intel GPUs have a least sub-group of 16.
static inline const char *onp_sub_group_define(const struct onp_device *device) {
    return device->caps.subgroup_size == 16 ? " -DSUB_GROUP=16" : "";
}
// First element of a tensor in directly addressable memory (C references).
static inline void *onp_host_data(const struct onp_tensor *x) {
    return (char *)x->buffer->host + (size_t)x->offset * onp_dtype_size(x->dtype);
}

#define ONP_WHY 160 // bytes of a refusal's reason

struct onp_variant {
    const char *name; // "matmul_panel": cl_kernels/<name>.cl
    // NULL layout fields are never needed: dtype and layout of the weight that this variant reads
    // are checked here too. On refusal writes the reason (ONP_WHY bytes).
    bool (*accepts)(const struct onp_node *node, const struct onp_device *device, char *why);
    // Bytes of scratch for this node; NULL: none.
    uint64_t (*workspace)(const struct onp_node *node, const struct onp_device *device);
    enum onp_status (*emit)(const struct onp_node *node, struct onp_emitter *emitter);
};

// True if the user switched this variant off on this device.
bool onp_variant_disabled(const struct onp_device *device, const char *name);
// Asks one variant; on refusal writes the reason (ONP_WHY bytes).
bool onp_variant_accepts(const struct onp_variant *variant, const struct onp_node *node,
                         const struct onp_device *device, char *why);

// One case of an op's table. p is read by the op's own build_case.
struct onp_op_case {
    const char *label;
    bool slow; // left out of a quick self-test
    int32_t p[12];
};

// Hands out random tensors to build_case. Weights come in every layout that the device's variants
// may want: the checker runs the case once per distinct layout (see onp_case_weight).
struct onp_case_builder {
    struct onp_graph *graph;
    const struct onp_device *device; // whose layouts to use
    struct onp_rng rng;
    int layout_choice; // 0: the device's preferred layout, 1: ROWS
    void *sink;        // private to exec
};
// Random normal values times scale, float32.
struct onp_tensor *onp_case_input(struct onp_case_builder *b, int64_t rows, int64_t cols,
                                  float scale);
// Integers uniform in [low, high].
struct onp_tensor *onp_case_indices(struct onp_case_builder *b, int64_t count, int32_t low,
                                    int32_t high);
// An int32 input with the given content (copied).
struct onp_tensor *onp_case_int(struct onp_case_builder *b, const int32_t *values, int64_t count);
// A vector or table weight, float32, ROWS.
struct onp_tensor *onp_case_vector(struct onp_case_builder *b, int64_t rows, int64_t cols,
                                   float mean, float scale);
// A product's weight matrix [n][k] in dtype (F32 or F16), in the layout under test. The reference
// reads the same values.
struct onp_tensor *onp_case_weight(struct onp_case_builder *b, enum onp_dtype dtype, int64_t n,
                                   int64_t k, float scale);

struct onp_op {
    const char *name; // "matmul"
    // Computes node->dst from node->src in host memory, in plain C, float32 in and out. Sums run in
    // double where the op has a long reduction, so that the referee's own error is negligible.
    // Weights are ROWS layout here, F32 or F16.
    void (*reference)(const struct onp_node *node);
    const struct onp_variant *const *variants; // best first, NULL-terminated
    const struct onp_op_case *cases;
    size_t case_count;
    // Records exactly one node of this op and returns its dst.
    struct onp_tensor *(*build_case)(struct onp_case_builder *b, const struct onp_op_case *c);
    // Largest |got - want| / max(1, largest |want|) over the table: 10x the measured worst.
    double tolerance;
    // Floating-point operations and bytes that the formula needs, for rooflines.
    void (*cost)(const struct onp_node *node, double *flops, double *bytes);
    // Shape for listings, "M=257 N=1536 K=6144".
    void (*describe)(const struct onp_node *node, char *text, size_t size);
};

// Every op, NULL-terminated (registry.c: one line each).
extern const struct onp_op *const onp_ops[];

#endif
