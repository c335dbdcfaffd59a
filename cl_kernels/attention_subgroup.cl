// SPDX-License-Identifier: Apache-2.0
// dst_i = sum_j softmax_j(scale * q_i . k_j + bias(h, i, j)) v_j inside each item: a sub-group owns
// ROWS query rows of one head and takes SUB_GROUP keys at a time, without local memory and
// barriers.
//
// Build: -DSUB_GROUPS -DSUB_GROUP: work-items of a sub-group, 8 to 64; -DHEAD: head size, a
// multiple of 4; -DROWS: at most SUB_GROUP. Launch: global {ceil(longest / ROWS) * SUB_GROUP,
// heads, items}, local {SUB_GROUP, 1, 1}. A group beyond its item's length leaves as a whole.
// Operands as in attention_group.
//
// For the scores a work-item has a key, for the values a channel or several: what one holds of the
// query rows, and of the weights of its key, is handed to all.

#define CHANNELS ((HEAD + SUB_GROUP - 1) / SUB_GROUP) // of a work-item, SUB_GROUP apart
#define WHOLE    (HEAD % SUB_GROUP == 0)
#define STEPS    (CHANNELS > 2 ? 2 : 4) // keys of a round of values

// Channels of one key's values; zeros beyond the head.
static inline void read_values(__global const float *from, int lane, float *v) {
    UNROLL for (int p = 0; p < CHANNELS; p++) {
        const int c = p * SUB_GROUP + lane;
        v[p] = WHOLE || c < HEAD ? from[c] : 0.0f;
    }
}

__kernel __attribute__((reqd_work_group_size(SUB_GROUP, 1, 1))) FULL_REGISTERS void
attention_subgroup(__global const float *restrict qkv, uint qkv_offset,
                   __global const int *restrict offsets, uint offsets_offset,
                   __global const float *restrict table, uint table_offset,
                   __global const int *restrict query_pos, uint query_pos_offset,
                   __global const int *restrict key_pos, uint key_pos_offset,
                   __global float *restrict dst, uint dst_offset, int width, int ld, int table_cols,
                   int ld_table, int ld_dst, float scale) {
    const int lane = (int)get_sub_group_local_id(), head = (int)get_group_id(1);
    offsets += offsets_offset + get_group_id(2);
    const int start = offsets[0], length = offsets[1] - start;
    const int first = (int)get_group_id(0) * ROWS;
    // HEAD, unknown to compilers: they would unroll the loop over it and read ahead into all
    // registers.
    const int size = width / (int)get_num_groups(1);
    if (first >= length) return;
    qkv += qkv_offset + (size_t)start * (size_t)ld + head * HEAD;
    table += table_offset + (size_t)head * (size_t)ld_table;
    query_pos += query_pos_offset;
    key_pos += key_pos_offset;
    dst += dst_offset + (size_t)(start + first) * (size_t)ld_dst + head * HEAD;

    // Rows beyond the last repeat it: what they give is not written.
    const int own_row = min(first + lane % ROWS, length - 1);
    __global const float *query = qkv + (size_t)own_row * (size_t)ld;
    const int own_base = query_pos[own_row];
    float largest[ROWS], total[ROWS], out[ROWS][CHANNELS];
    UNROLL for (int i = 0; i < ROWS; i++) {
        largest[i] = -INFINITY;
        total[i] = 0.0f; // of this work-item's keys
        UNROLL for (int p = 0; p < CHANNELS; p++) out[i][p] = 0.0f;
    }

    for (int block = 0; block < length; block += SUB_GROUP) {
        const int key = block + lane;
        const bool inside = key < length;
        __global const float *k = qkv + (size_t)min(key, length - 1) * (size_t)ld + width;
        float weight[ROWS];
        UNROLL for (int i = 0; i < ROWS; i++) weight[i] = 0.0f;
        for (int c = 0; c < size; c += 4) {
            const float4 a = vload4(0, query + c), x = vload4(0, k + c);
            UNROLL for (int i = 0; i < ROWS; i++) {
                weight[i] = fma(sub_group_broadcast(a.s0, (uint)i), x.s0, weight[i]);
                weight[i] = fma(sub_group_broadcast(a.s1, (uint)i), x.s1, weight[i]);
                weight[i] = fma(sub_group_broadcast(a.s2, (uint)i), x.s2, weight[i]);
                weight[i] = fma(sub_group_broadcast(a.s3, (uint)i), x.s3, weight[i]);
            }
        }
        const int pos = key_pos[min(key, length - 1)];
        UNROLL for (int i = 0; i < ROWS; i++) {
            int entry = sub_group_broadcast(own_base, (uint)i) + pos;
            if (key == 0) entry = table_cols - 1;
            if (first + i == 0) entry = table_cols - (key == 0 ? 3 : 2);
            const float s = inside ? limit_score(fma(weight[i], scale, table[entry])) : -INFINITY;
            const float now = max(largest[i], sub_group_reduce_max(s));
            const float shrink = exp_negative(largest[i] - now);
            weight[i] = inside ? exp_negative(s - now) : 0.0f;
            largest[i] = now;
            total[i] = fma(total[i], shrink, weight[i]);
            UNROLL for (int p = 0; p < CHANNELS; p++) out[i][p] *= shrink;
        }

        // Keys beyond the last have no weight.
        __global const float *values = qkv + (size_t)block * (size_t)ld + 2 * width;
        for (int t = 0; t < min(SUB_GROUP, length - block); t += STEPS) {
            UNROLL for (int u = 0; u < STEPS; u++) {
                float v[CHANNELS];
                read_values(values + (size_t)min(t + u, length - 1 - block) * (size_t)ld, lane, v);
                UNROLL for (int i = 0; i < ROWS; i++) {
                    const float w = sub_group_broadcast(weight[i], (uint)(t + u));
                    UNROLL for (int p = 0; p < CHANNELS; p++) out[i][p] = fma(w, v[p], out[i][p]);
                }
            }
        }
    }

    UNROLL for (int i = 0; i < ROWS; i++) {
        const float sum = sub_group_reduce_add(total[i]);
        if (first + i < length) {
            UNROLL for (int p = 0; p < CHANNELS; p++) {
                const int c = p * SUB_GROUP + lane;
                if (WHOLE || c < HEAD) dst[(size_t)i * (size_t)ld_dst + c] = out[i][p] / sum;
            }
        }
    }
}
