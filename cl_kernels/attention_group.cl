// SPDX-License-Identifier: Apache-2.0
// dst_i = sum_j softmax_j(scale * q_i . k_j + bias(h, i, j)) v_j inside each item, for GPUs: a
// work-group owns ROWS query rows of one head; keys, then values, of KEYS positions at a time pass
// through local memory, with the running maximum and sum of each row.
//
// Build: -DHEAD: head size, a multiple of 4; -DROWS: even; -DKEYS: a multiple of 4; -DLANES.
// Launch: global {ceil(longest / ROWS) * LANES, heads, items}, local {LANES, 1, 1}. A group beyond
// its item's length leaves as a whole, before the first barrier.
// qkv (R, 3 * width), q, k and v side by side; item b owns rows offsets[b] .. offsets[b + 1] - 1;
// bias lookup as in ops.h: the last three columns of `table` belong to position 0.

#define QUADS (HEAD / 4)
#define LD    (HEAD + 4) // four banks apart, so that neighbouring keys do not collide
#define SPLIT (KEYS / 4) // a task's four keys are this far apart: neighbours read neighbours
#define OWN   ((ROWS * QUADS + LANES - 1) / LANES)

// Copies up to `count` rows of HEAD floats into `to`; the rest of `rows` rows becomes zero.
static inline void load_rows(__local float *to, __global const float *from, int ld, int rows,
                             int count, int lane) {
    for (int e = lane; e < rows * QUADS; e += LANES) {
        int row = e / QUADS, c = e % QUADS * 4;
        float4 x = (float4)(0.0f);
        if (row < count) x = vload4(0, from + (size_t)row * (size_t)ld + c);
        vstore4(x, 0, to + row * LD + c);
    }
}

__attribute__((reqd_work_group_size(LANES, 1, 1))) FULL_REGISTERS __kernel void
attention_group(__global const float *qkv, uint qkv_offset, __global const int *offsets,
                uint offsets_offset, __global const float *table, uint table_offset,
                __global const int *query_pos, uint query_pos_offset, __global const int *key_pos,
                uint key_pos_offset, __global float *dst, uint dst_offset, int width, int ld,
                int table_cols, int ld_table, int ld_dst, float scale) {
    __local float q[ROWS * LD], kv[KEYS * LD], score[ROWS * (KEYS + 1)];
    __local float largest[ROWS], total[ROWS], shrink[ROWS];
    int lane = (int)get_local_id(0), head = (int)get_group_id(1);
    offsets += offsets_offset + get_group_id(2);
    int start = offsets[0], length = offsets[1] - start, first = (int)get_group_id(0) * ROWS;
    if (first >= length) return;
    qkv += qkv_offset + (size_t)start * (size_t)ld + head * HEAD;
    table += table_offset + (size_t)head * (size_t)ld_table;
    query_pos += query_pos_offset;
    key_pos += key_pos_offset;
    dst += dst_offset + (size_t)(start + first) * (size_t)ld_dst + head * HEAD;

    load_rows(q, qkv + (size_t)first * (size_t)ld, ld, ROWS, length - first, lane);
    for (int r = lane; r < ROWS; r += LANES) {
        largest[r] = -INFINITY;
        total[r] = 0.0f;
    }
    float4 out[OWN];
    UNROLL
    for (int t = 0; t < OWN; t++) out[t] = (float4)(0.0f);

    for (int block = 0; block < length; block += KEYS) {
        int count = min(KEYS, length - block);
        __global const float *keys = qkv + (size_t)block * (size_t)ld + width;
        barrier(CLK_LOCAL_MEM_FENCE); // the values of the block before are used up
        load_rows(kv, keys, ld, KEYS, count, lane);
        barrier(CLK_LOCAL_MEM_FENCE);

        // Tasks of two rows by four keys.
        for (int e = lane; e < ROWS / 2 * SPLIT; e += LANES) {
            int r = e / SPLIT * 2, k = e % SPLIT;
            float sum[2][4] = {{0.0f}};
            for (int c = 0; c < HEAD; c += 4) {
                float4 a = vload4(0, q + r * LD + c), b = vload4(0, q + (r + 1) * LD + c);
                UNROLL
                for (int j = 0; j < 4; j++) {
                    float4 x = vload4(0, kv + (k + j * SPLIT) * LD + c);
                    sum[0][j] += dot(a, x);
                    sum[1][j] += dot(b, x);
                }
            }
            UNROLL
            for (int i = 0; i < 2; i++) {
                int row = min(first + r + i, length - 1), base = query_pos[row];
                UNROLL
                for (int j = 0; j < 4; j++) {
                    int at = k + j * SPLIT, key = block + at;
                    float s = -INFINITY;
                    if (at < count) {
                        int entry = base + key_pos[key];
                        if (key == 0) entry = table_cols - 1;
                        if (row == 0) entry = table_cols - (key == 0 ? 3 : 2);
                        s = limit_score(fma(sum[i][j], scale, table[entry]));
                    }
                    score[(r + i) * (KEYS + 1) + at] = s;
                }
            }
        }
        barrier(CLK_LOCAL_MEM_FENCE);

        for (int r = lane; r < ROWS; r += LANES) {
            float now = largest[r];
            for (int k = 0; k < count; k++) now = max(now, score[r * (KEYS + 1) + k]);
            shrink[r] = exp_negative(largest[r] - now);
            largest[r] = now;
        }
        load_rows(kv, keys + width, ld, KEYS, count, lane);
        barrier(CLK_LOCAL_MEM_FENCE);

        for (int e = lane; e < ROWS * KEYS; e += LANES) {
            int r = e / KEYS, at = r * (KEYS + 1) + e % KEYS;
            score[at] = exp_negative(score[at] - largest[r]);
        }
        barrier(CLK_LOCAL_MEM_FENCE);

        for (int r = lane; r < ROWS; r += LANES) {
            float sum = 0.0f;
            for (int k = 0; k < count; k++) sum += score[r * (KEYS + 1) + k];
            total[r] = fma(total[r], shrink[r], sum);
        }
        UNROLL
        for (int t = 0; t < OWN; t++) {
            int e = lane + t * LANES, r = e / QUADS, c = e % QUADS * 4;
            if (e >= ROWS * QUADS) break;
            float4 o = out[t] * shrink[r];
            for (int k = 0; k < count; k++)
                o = fma((float4)(score[r * (KEYS + 1) + k]), vload4(0, kv + k * LD + c), o);
            out[t] = o;
        }
    }

    barrier(CLK_LOCAL_MEM_FENCE);
    UNROLL
    for (int t = 0; t < OWN; t++) {
        int e = lane + t * LANES, r = e / QUADS, c = e % QUADS * 4;
        if (e < ROWS * QUADS && first + r < length)
            vstore4(out[t] / total[r], 0, dst + (size_t)r * (size_t)ld_dst + c);
    }
}
