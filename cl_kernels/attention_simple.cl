// SPDX-License-Identifier: Apache-2.0
// dst_i = sum_j softmax_j(scale * q_i . k_j + bias(h, i, j)) v_j inside each item: the fallback for
// any device and head size.
//
// Build: -DHEAD: head size.
// Launch: global {at least the longest item, heads, items}: a work-item owns one query row of a
// head; those beyond their item's length leave at once.
// qkv (R, 3 * width), q, k and v side by side; item b owns rows offsets[b] .. offsets[b + 1] - 1;
// bias lookup as in ops.h: the last three columns of `table` belong to position 0.

__kernel void attention_simple(__global const float *qkv, uint qkv_offset,
                               __global const int *offsets, uint offsets_offset,
                               __global const float *table, uint table_offset,
                               __global const int *query_pos, uint query_pos_offset,
                               __global const int *key_pos, uint key_pos_offset,
                               __global float *dst, uint dst_offset, int width, int ld,
                               int table_cols, int ld_table, int ld_dst, float scale) {
    int i = (int)get_global_id(0), head = (int)get_global_id(1);
    offsets += offsets_offset + get_global_id(2);
    int start = offsets[0], length = offsets[1] - start;
    if (i >= length) return;
    qkv += qkv_offset + (size_t)start * (size_t)ld + head * HEAD;
    table += table_offset + (size_t)head * (size_t)ld_table;
    key_pos += key_pos_offset;
    int base = query_pos[query_pos_offset + i];
    dst += dst_offset + (size_t)(start + i) * (size_t)ld_dst + head * HEAD;

    float q[HEAD], o[HEAD], largest = -INFINITY, total = 0.0f;
    for (int c = 0; c < HEAD; c++) {
        q[c] = qkv[(size_t)i * (size_t)ld + c] * scale;
        o[c] = 0.0f;
    }
    for (int j = 0; j < length; j++) {
        __global const float *k = qkv + (size_t)j * (size_t)ld + width, *v = k + width;
        float s = 0.0f;
        for (int c = 0; c < HEAD; c++) s = fma(q[c], k[c], s);
        int entry = base + key_pos[j];
        if (j == 0) entry = table_cols - 1;
        if (i == 0) entry = table_cols - (j == 0 ? 3 : 2);
        s = limit_score(s + table[entry]);
        if (s > largest) {
            float shrink = exp_negative(largest - s);
            for (int c = 0; c < HEAD; c++) o[c] *= shrink;
            total *= shrink;
            largest = s;
        }
        float p = exp_negative(s - largest);
        total += p;
        for (int c = 0; c < HEAD; c++) o[c] = fma(p, v[c], o[c]);
    }
    for (int c = 0; c < HEAD; c++) dst[c] = o[c] / total;
}
