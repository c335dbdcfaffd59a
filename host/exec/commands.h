// SPDX-License-Identifier: Apache-2.0
// The command list that a prepared graph becomes.
#ifndef ONP_EXEC_COMMANDS_H
#define ONP_EXEC_COMMANDS_H

#include "ops/op.h"

enum onp_command_kind { ONP_COMMAND_LAUNCH, ONP_COMMAND_GEMM, ONP_COMMAND_REFERENCE };

struct onp_command {
    enum onp_command_kind kind;
    size_t node; // index in the graph
    bool first;  // first command of its node
    union {
        struct onp_launch launch;
        struct onp_gemm gemm;
        const struct onp_node *reference;
    };
};

// Grows; memory is kept when emptied.
struct onp_commands {
    struct onp_command *list;
    size_t count, capacity;
    size_t node;  // node being emitted
    bool started; // this node has emitted before
    const struct onp_log *log;
};

enum onp_status onp_commands_push(struct onp_commands *commands, const struct onp_command *command);

#endif
