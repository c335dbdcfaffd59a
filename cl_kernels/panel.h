// SPDX-License-Identifier: Apache-2.0
// Register tiles of MR rows and NV vectors on weights in panels, [K][NR], put behind the prelude
// before every kernel source (where these are set). Every sum is one chain of fma over ascending k.
#if defined(VEC) && defined(MR) && defined(NV)

#define NR (NV * VEC)

// What is left of a vector at the right edge.
static inline vecf load_some(__global const float *p, int count) {
    if (count >= VEC) return VLOAD(0, p);
    float part[VEC];
    for (int i = 0; i < VEC; i++) part[i] = i < count ? p[i] : 0.0f;
    return VLOAD(0, part);
}
static inline void store_some(vecf x, __global float *p, int count) {
    if (count >= VEC) {
        VSTORE(x, 0, p);
        return;
    }
    float part[VEC];
    VSTORE_PRIVATE(x, 0, part);
    for (int i = 0; i < VEC && i < count; i++) p[i] = part[i];
}

// One step of k: `k` counts from row[], w is at that step's weights.
static inline void panel_step(vecf sum[MR][NV], __global const float *const row[MR], int k,
                              __global const weight_t *w) {
    vecf b[NV];
    UNROLL for (int j = 0; j < NV; j++) { b[j] = VLOAD_WEIGHT(w + j * VEC); }
    UNROLL for (int i = 0; i < MR; i++) {
        const vecf x = (vecf)(row[i][k]);
        UNROLL for (int j = 0; j < NV; j++) { sum[i][j] = fma(x, b[j], sum[i][j]); }
    }
}

#define PANEL_CHUNK 16 // steps of k between two requests for the next weights: a line of a's rows
#define PANEL_LINE  64 // bytes

// Weights of the next panel that each chunk of each tile asks for, so that all have come when the
// tiles of `rows` rows are done.
static inline int panel_share(int rows) {
    const int tiles = (rows + MR - 1) / MR;
    return (PANEL_CHUNK * NR + tiles - 1) / tiles;
}

// Adds k_count steps of a panel to a tile's sums. Asks for the weights at `next` meanwhile; returns
// those to ask for by the next tile.
static inline __global const weight_t *
panel_products(vecf sum[MR][NV], __global const float *const row[MR], __global const weight_t *w,
               __global const weight_t *next, int k_count, int share) {
    int k = 0;
    for (; k + PANEL_CHUNK <= k_count; k += PANEL_CHUNK) {
#ifdef PREFETCH
        for (int at = 0; at < share; at += PANEL_LINE / (int)sizeof(weight_t))
            PREFETCH_READ(next + at);
        next += share;
#endif
        _Pragma("unroll 2") for (int u = 0; u < PANEL_CHUNK; u++, w += NR)
            panel_step(sum, row, k + u, w);
    }
    for (; k < k_count; k++, w += NR) panel_step(sum, row, k, w);
    return next;
}

#endif
