// SPDX-License-Identifier: Apache-2.0
// The inside of a prober: how each probe lies on the device.
#ifndef ONP_API_PROBE_H
#define ONP_API_PROBE_H

#include "backend/backend.h"
#include "onepeace/probe.h"

// One probe, prepared.
struct onp_probe_state {
    bool ready, missing; // built; not to be had on this device, for the reason in method
    char method[96];
    struct onp_launch launch;
    double work;   // of one launch; of arithmetic, of one step
    int32_t steps; // arithmetic: of one launch, so that it takes about 20 ms
};

struct onp_prober {
    struct onp_device *device;
    struct onp_probe_state state[ONP_PROBE_COUNT];
    struct onp_buffer *sink;      // one number a work-item
    struct onp_buffer *memory[2]; // as large as each other, well above the caches
    void *host;                   // for copies
    size_t host_bytes;
};

#define ONP_PROBE_CHAINS 12 // more than latency times throughput of any fma unit

// Builds what a probe needs and sets `ready` or `missing`. Buffers are made here, too.
enum onp_status onp_probe_prepare(struct onp_prober *prober, enum onp_probe probe);
// Whether the first sum is what `steps` steps of an arithmetic probe must give.
enum onp_status onp_probe_right(struct onp_prober *prober, enum onp_probe probe, bool *right);

#endif
