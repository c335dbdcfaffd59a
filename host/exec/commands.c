// SPDX-License-Identifier: Apache-2.0
#include "exec/commands.h"

#include <stdlib.h>

enum onp_status onp_commands_push(struct onp_commands *commands,
                                  const struct onp_command *command) {
    if (commands->count == commands->capacity) {
        const size_t capacity = commands->capacity ? commands->capacity * 2 : 64;
        struct onp_command *grown = realloc(commands->list, capacity * sizeof *grown);
        if (!grown)
            return onp_fail(commands->log, ONP_ERR_MEMORY, "no memory for %zu commands", capacity);
        commands->list = grown;
        commands->capacity = capacity;
    }
    struct onp_command *added = &commands->list[commands->count++];
    *added = *command;
    added->node = commands->node;
    added->first = !commands->started;
    commands->started = true;
    return ONP_OK;
}

enum onp_status onp_emit_launch(struct onp_emitter *emitter, const struct onp_launch *launch) {
    const struct onp_command command = {.kind = ONP_COMMAND_LAUNCH, .launch = *launch};
    return onp_commands_push(emitter->sink, &command);
}

enum onp_status onp_emit_gemm(struct onp_emitter *emitter, const struct onp_gemm *gemm) {
    const struct onp_command command = {.kind = ONP_COMMAND_GEMM, .gemm = *gemm};
    return onp_commands_push(emitter->sink, &command);
}
