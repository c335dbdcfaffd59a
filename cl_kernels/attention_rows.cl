// SPDX-License-Identifier: Apache-2.0
// dst_i = sum_j softmax_j(scale * q_i . k_j + bias(h, i, j)) v_j inside each item, for CPUs: a
// work-item owns ROWS query rows of one head and streams over the item's keys in blocks, with the
// running maximum and sum of each row (so nothing grows with the item's length).
//
// Build: -DHEAD: head size, a multiple of 4; -DROWS; -DVEC; -DNV: vectors of a panel of keys;
// -DVALUE_NV, -DCHUNKS: a row of packed values has VEC * VALUE_NV * CHUNKS >= HEAD floats;
// -DPANELS: panels of a key block.
//
// attention_pack, global {ceil(longest / KEYS), heads, items}, brings the keys of each head into
// panels [HEAD][KEYS] and its values into rows, and notes for each vector of keys how its bias lies
// in the table (splits, NV for each panel); attention_rows, global {ceil(longest / ROWS),
// heads, items}. Work-groups of one. Blocks beyond their item's length leave at once. qkv (R, 3 *
// width), q, k and v side by side; item b owns rows offsets[b] .. offsets[b + 1] - 1 and the panels
// from offsets[b] / KEYS + b on, of `panels` in each head. Bias lookup as in ops.h: the last three
// columns of `table` belong to position 0.

#define KEYS   (VEC * NV)
#define BLOCK  (KEYS * PANELS)
#define CHUNK  (VEC * VALUE_NV)
#define VALUES (CHUNK * CHUNKS)

// How the table entries of VEC neighbouring keys lie: lanes below the split follow the first lane's
// entry, the others lead up to the last lane's (a picture's row ends inside the vector); VEC: one
// run; 0: neither, or position 0 or the end of the item is among them.
static inline int find_split(__global const int *key_pos, int length, int key) {
    if (key == 0 || key + VEC > length) return 0;
    __global const int *p = key_pos + key;
    int split = 1;
    while (split < VEC && p[split] == p[0] + split) split++;
    for (int l = split; l < VEC; l++)
        if (p[l] != p[VEC - 1] - (VEC - 1 - l)) return 0;
    return split;
}

__attribute__((reqd_work_group_size(1, 1, 1))) __kernel void
attention_pack(__global const float *restrict qkv, uint qkv_offset, __global const int *offsets,
               uint offsets_offset, __global float *restrict keys, uint keys_offset,
               __global float *restrict values, uint values_offset, __global const int *key_pos,
               uint key_pos_offset, __global int *restrict splits, uint splits_offset, int width,
               int ld, int panels) {
    int block = (int)get_global_id(0), head = (int)get_global_id(1), item = (int)get_global_id(2);
    offsets += offsets_offset + item;
    int start = offsets[0], length = offsets[1] - start, first = block * KEYS;
    if (first >= length) return;
    int count = min(KEYS, length - first);
    size_t panel = (size_t)head * (size_t)panels + (size_t)(start / KEYS + item + block);
    splits += splits_offset + panel * NV;
    for (int j = 0; j < NV; j++)
        splits[j] = find_split(key_pos + key_pos_offset, length, first + j * VEC);
    keys += keys_offset + panel * (KEYS * HEAD);
    size_t rows = (size_t)panels * KEYS; // of values, in each head
    values += values_offset + (size_t)head * rows * VALUES +
              (size_t)(start / KEYS + item + block) * (KEYS * CHUNK);
    qkv += qkv_offset + (size_t)(start + first) * (size_t)ld + width + head * HEAD;

    for (int j = 0; j < KEYS; j++) {
        __global const float *k = qkv + (size_t)min(j, count - 1) * (size_t)ld;
        for (int c = 0; c < HEAD; c += 4) {
            float4 x = vload4(0, k + c);
            keys[(c + 0) * KEYS + j] = x.s0;
            keys[(c + 1) * KEYS + j] = x.s1;
            keys[(c + 2) * KEYS + j] = x.s2;
            keys[(c + 3) * KEYS + j] = x.s3;
            vstore4(vload4(0, k + width + c), 0,
                    values + (size_t)(c / CHUNK) * rows * CHUNK + j * CHUNK + c % CHUNK);
        }
        for (int c = HEAD; c < VALUES; c++)
            values[(size_t)(c / CHUNK) * rows * CHUNK + j * CHUNK + c % CHUNK] = 0.0f;
    }
}

// What the bias lookup needs of a head and its query rows.
struct bias {
    __global const float *table; // the head's row
    __global const int *key_pos;
    int cols, length, first; // first: number of the first query row
    int base[ROWS];          // query_pos of each row
};

__constant int lane_numbers[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

// Bias of row i for the keys from `key` on.
static inline vecf bias_of(const struct bias *b, int i, int key, int split) {
    if (split > 0 && i == 0 && b->first == 0) return (vecf)(b->table[b->cols - 2]);
    if (split > 0) {
        int head = b->base[i] + b->key_pos[key];
        if (split == VEC) return VLOAD(0, b->table + head);
        int tail = b->base[i] + b->key_pos[key + VEC - 1] - (VEC - 1);
        if (head + VEC <= b->cols && tail >= 0)
            return VLOAD(0, lane_numbers) < (veci)(split) ? VLOAD(0, b->table + head)
                                                          : VLOAD(0, b->table + tail);
    }
    float lane[VEC];
    UNROLL
    for (int l = 0; l < VEC; l++) {
        int k = min(key + l, b->length - 1), entry = b->base[i] + b->key_pos[k];
        if (k == 0) entry = b->cols - 1;
        if (i == 0 && b->first == 0) entry = b->cols - (k == 0 ? 3 : 2);
        lane[l] = b->table[entry];
    }
    return VLOAD(0, lane);
}

__attribute__((reqd_work_group_size(1, 1, 1))) __kernel void
attention_rows(__global const float *restrict qkv, uint qkv_offset, __global const int *offsets,
               uint offsets_offset, __global const float *restrict table, uint table_offset,
               __global const int *query_pos, uint query_pos_offset, __global const int *key_pos,
               uint key_pos_offset, __global float *restrict dst, uint dst_offset, int width,
               int ld, int table_cols, int ld_table, int ld_dst, float scale,
               __global const float *restrict keys, uint keys_offset,
               __global const float *restrict values, uint values_offset,
               __global const int *restrict splits, uint splits_offset, int panels) {
    int head = (int)get_global_id(1), item = (int)get_global_id(2);
    offsets += offsets_offset + item;
    int start = offsets[0], length = offsets[1] - start, first = (int)get_global_id(0) * ROWS;
    if (first >= length) return;
    size_t panel = (size_t)head * (size_t)panels + (size_t)(start / KEYS + item);
    keys += keys_offset + panel * (KEYS * HEAD);
    splits += splits_offset + panel * NV;
    size_t rows = (size_t)panels * KEYS; // of values, in each head
    values += values_offset + (size_t)head * rows * VALUES +
              (size_t)(start / KEYS + item) * (KEYS * CHUNK);
    qkv += qkv_offset + (size_t)start * (size_t)ld + head * HEAD;

    struct bias bias = {.table = table + table_offset + (size_t)head * (size_t)ld_table,
                        .key_pos = key_pos + key_pos_offset,
                        .cols = table_cols,
                        .length = length,
                        .first = first};
    float q[HEAD * ROWS], score[ROWS * BLOCK], out[ROWS * VALUES];
    float largest[ROWS], total[ROWS], shrink[ROWS];
    for (int i = 0; i < ROWS; i++) { // rows beyond the last repeat it and are not stored
        int row = min(first + i, length - 1);
        bias.base[i] = query_pos[query_pos_offset + row];
        for (int c = 0; c < HEAD; c++) q[c * ROWS + i] = qkv[(size_t)row * (size_t)ld + c] * scale;
        for (int c = 0; c < VALUES; c++) out[i * VALUES + c] = 0.0f;
        largest[i] = -INFINITY;
        total[i] = 0.0f;
    }

    for (int block = 0; block < length; block += BLOCK) {
        int count = min(BLOCK, length - block), used = (count + KEYS - 1) / KEYS * KEYS;
        // Keys beyond the last repeat it, so they do not disturb the maximum.
        vecf top[ROWS];
        UNROLL
        for (int i = 0; i < ROWS; i++) top[i] = (vecf)(-INFINITY);
        for (int key = 0; key < used; key += KEYS) {
            __global const float *k = keys + (size_t)(block + key) * HEAD;
            vecf acc[ROWS][NV];
            UNROLL
            for (int i = 0; i < ROWS; i++) {
                UNROLL
                for (int j = 0; j < NV; j++) acc[i][j] = (vecf)(0.0f);
            }
            for (int c = 0; c < HEAD; c++) {
                vecf kv[NV];
                UNROLL
                for (int j = 0; j < NV; j++) kv[j] = VLOAD(c * NV + j, k);
                UNROLL
                for (int i = 0; i < ROWS; i++) {
                    vecf a = (vecf)(q[c * ROWS + i]);
                    UNROLL
                    for (int j = 0; j < NV; j++) acc[i][j] = fma(a, kv[j], acc[i][j]);
                }
            }
            UNROLL
            for (int j = 0; j < NV; j++) {
                int at = key + j * VEC;
                int split = splits[(block + at) / VEC];
                if (split == VEC && first > 0) { // by far the most
                    __global const float *entry = bias.table + bias.key_pos[block + at];
                    UNROLL
                    for (int i = 0; i < ROWS; i++) {
                        vecf s = vlimit_score(acc[i][j] + VLOAD(0, entry + bias.base[i]));
                        top[i] = max(top[i], s);
                        VSTORE_PRIVATE(s, 0, score + i * BLOCK + at);
                    }
                    continue;
                }
                UNROLL
                for (int i = 0; i < ROWS; i++) {
                    vecf s = vlimit_score(acc[i][j] + bias_of(&bias, i, block + at, split));
                    top[i] = max(top[i], s);
                    VSTORE_PRIVATE(s, 0, score + i * BLOCK + at);
                }
            }
        }

        for (int i = 0; i < ROWS; i++) {
            for (int k = count; k < used; k++) score[i * BLOCK + k] = -INFINITY;
        }
        vecf sum[ROWS];
        UNROLL
        for (int i = 0; i < ROWS; i++) {
            float now = max(largest[i], vmax(top[i]));
            shrink[i] = exp_negative(largest[i] - now);
            largest[i] = now;
            sum[i] = (vecf)(0.0f);
        }
        for (int k = 0; k < used; k += VEC) {
            UNROLL
            for (int i = 0; i < ROWS; i++) {
                vecf p = vexp_negative(VLOAD(0, score + i * BLOCK + k) - largest[i]);
                sum[i] += p;
                VSTORE_PRIVATE(p, 0, score + i * BLOCK + k);
            }
        }
        UNROLL
        for (int i = 0; i < ROWS; i++) total[i] = fma(total[i], shrink[i], vsum(sum[i]));

        for (int chunk = 0; chunk < CHUNKS; chunk++) {
            __global const float *v = values + ((size_t)chunk * rows + (size_t)block) * CHUNK;
            float *o = out + chunk * CHUNK;
            vecf acc[ROWS][VALUE_NV];
            UNROLL
            for (int i = 0; i < ROWS; i++) {
                UNROLL
                for (int j = 0; j < VALUE_NV; j++) acc[i][j] = VLOAD(j, o + i * VALUES) * shrink[i];
            }
            for (int k = 0; k < count; k++, v += CHUNK) {
                vecf vv[VALUE_NV];
                UNROLL
                for (int j = 0; j < VALUE_NV; j++) vv[j] = VLOAD(j, v);
                UNROLL
                for (int i = 0; i < ROWS; i++) {
                    vecf p = (vecf)(score[i * BLOCK + k]);
                    UNROLL
                    for (int j = 0; j < VALUE_NV; j++) acc[i][j] = fma(p, vv[j], acc[i][j]);
                }
            }
            UNROLL
            for (int i = 0; i < ROWS; i++) {
                UNROLL
                for (int j = 0; j < VALUE_NV; j++) VSTORE_PRIVATE(acc[i][j], j, o + i * VALUES);
            }
        }
    }

    for (int i = 0; i < min(ROWS, length - first); i++) {
        __global float *d =
            dst + dst_offset + (size_t)(start + first + i) * (size_t)ld_dst + head * HEAD;
        for (int c = 0; c < HEAD; c++) d[c] = out[i * VALUES + c] / total[i];
    }
}
