// SPDX-License-Identifier: Apache-2.0
// Runs a graph on a device: choose variants, plan the arena, compile, then run the command list.
#ifndef ONP_EXEC_EXEC_H
#define ONP_EXEC_EXEC_H

#include "backend/backend.h"
#include "graph/graph.h"
#include "onepeace/encoder.h"

struct onp_exec;
enum onp_status onp_exec_create(struct onp_device *device, struct onp_exec **out);
void onp_exec_destroy(struct onp_exec *exec); // NULL is allowed

// Lets the copies of one submitted run go beside the computation of another, where the device can
// (caps.overlap): inputs and kept tensors then lie in memory of each run's own instead of the
// arena. Before anything is prepared.
void onp_exec_overlap(struct onp_exec *exec);

// Chooses a variant for every node, plans, grows the arena if it is too small, compiles what is not
// yet compiled and builds the command list. `explain` logs every choice with the refusals before
// it.
enum onp_status onp_exec_prepare(struct onp_exec *exec, struct onp_graph *graph, bool explain);
// The same with every node's variant given (checks and benchmarks).
struct onp_variant;
enum onp_status onp_exec_prepare_variant(struct onp_exec *exec, struct onp_graph *graph,
                                         const struct onp_variant *variant);
// Uploads the inputs and queues all commands. Allocates and compiles nothing.
enum onp_status onp_exec_run(struct onp_exec *exec);
// The same without waiting for the copies: the inputs' host memory must stay as it is until
// onp_exec_read returns, and nothing else may be run before.
enum onp_status onp_exec_start(struct onp_exec *exec);
// A run whose result is copied to `out` (x is kept, rows packed) without waiting for either. The
// graph, the inputs' host memory and `out` must stay until onp_exec_wait has returned. Meanwhile
// one more graph, recorded in memory of its own, may be prepared and submitted. After a failure the
// device must be finished before any of them is touched.
enum onp_status onp_exec_submit(struct onp_exec *exec, const struct onp_tensor *x, float *out,
                                struct onp_mark **mark);
// Waits for one submitted run and no later one; frees the mark.
enum onp_status onp_exec_wait(struct onp_exec *exec, struct onp_mark *mark);
// The first half of a run alone: brings the inputs to the device. For checks.
enum onp_status onp_exec_upload(struct onp_exec *exec);
// Waits and reads a kept tensor, rows packed (ld = cols).
enum onp_status onp_exec_read(struct onp_exec *exec, const struct onp_tensor *x, float *out);
// The arena of the prepared graph; for checks.
struct onp_buffer *onp_exec_arena(const struct onp_exec *exec);
uint64_t onp_exec_arena_bytes(const struct onp_exec *exec);
// The arena and what lies apart from it.
uint64_t onp_exec_bytes(const struct onp_exec *exec);
// Bytes that overlapping runs of the graph would need on this device, without allocating or
// compiling anything.
enum onp_status onp_exec_measure(const struct onp_device *device, struct onp_graph *graph,
                                 uint64_t *bytes);
// Adds the times taken since the last call to a table keyed by op, variant and shape.
enum onp_status onp_exec_profile(struct onp_exec *exec, struct onp_kernel_time **list,
                                 size_t *count);
enum onp_status onp_exec_profile_enable(struct onp_exec *exec, bool on);
void onp_exec_profile_reset(struct onp_exec *exec);
// Time in which the device executed commands, overlaps counted once, as far as profiled.
double onp_exec_busy_seconds(const struct onp_exec *exec);

// Weights: a buffer for `tensor` (its dtype, layout and shape decide the size), filled row by row.
// fill writes rows [first, first + count) of [rows][cols] as float32. It is called from several
// threads at once, in any order, in chunks that keep host memory below 32 MiB.
typedef enum onp_status (*onp_fill_fn)(void *user, int64_t first, int64_t count, float *rows);
enum onp_status onp_weight_upload(struct onp_device *device, struct onp_tensor *tensor,
                                  onp_fill_fn fill, void *user);
uint64_t onp_weight_bytes(const struct onp_tensor *tensor);

// Fills device->tuning from the table of device classes.
void onp_tuning_choose(struct onp_device *device);

// Runs case `c` of `op` against its C reference with every variant that the device accepts, in the
// weight layouts that its variants read. Reports each to fn (may be NULL) and counts them.
// Only failures to check at all (memory, a broken case) are returned; see onp_selftest.
struct onp_op;
struct onp_op_case;
enum onp_status onp_check_case(struct onp_device *device, const struct onp_op *op,
                               const struct onp_op_case *c, uint64_t seed, onp_selftest_fn fn,
                               void *user, struct onp_selftest_summary *summary);
// Which variant the device takes for a case; `why` (size bytes) gets the refusals before it.
enum onp_status onp_check_choice(struct onp_device *device, const struct onp_op *op,
                                 const struct onp_op_case *c, const char **variant, char *why,
                                 size_t size);
// Every case of every op whose name or variant contains `filter` (NULL: all).
enum onp_status onp_check_all(struct onp_device *device, const char *filter, bool quick,
                              uint64_t seed, onp_selftest_fn fn, void *user,
                              struct onp_selftest_summary *summary);

#endif
