// SPDX-License-Identifier: Apache-2.0
// Items prepared ahead of the device by threads of their own, handed out in the items' order.
#ifndef ONP_CLI_PREPARE_H
#define ONP_CLI_PREPARE_H

#include "cli/session.h"

struct onp_cli_prepared {
    struct onp_input *input;   // NULL if the item is bad
    enum onp_status status;    // why
    char *reason;              // of a bad item; NULL without memory for it
    struct onp_cli_said *said; // what the library said meanwhile
    double seconds;            // that preparing it took
    size_t bytes;              // to be given back with onp_cli_preparer_release
};

// Prepares at most `ahead` items beyond those taken, and no more than about 100 MB of them unless
// `together` items at a time need more. A single item is prepared by the caller's own thread, which
// also does it where threads cannot be had.
struct onp_cli_preparer;
int onp_cli_preparer_start(const struct onp_cli_session *session, const struct onp_cli_items *items,
                           size_t ahead, size_t together, struct onp_cli_preparer **out);
// The next item in order, which belongs to the caller. False if there is none: with `wait`, because
// all are taken or memory is full until some is given back; without, also because it isn't ready.
bool onp_cli_preparer_take(struct onp_cli_preparer *p, bool wait, struct onp_cli_prepared *out);
void onp_cli_preparer_release(struct onp_cli_preparer *p, size_t bytes);
// From now on give way to whatever else runs on the processor: it is the device, too.
void onp_cli_preparer_yield(struct onp_cli_preparer *p);
// Waits for the threads and frees what was not taken. NULL is allowed.
void onp_cli_preparer_stop(struct onp_cli_preparer *p);
void onp_cli_prepared_free(struct onp_cli_prepared *prepared);

#endif
