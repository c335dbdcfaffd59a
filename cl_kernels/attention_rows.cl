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
// panels [HEAD][KEYS] and its values into rows; attention_rows, global {ceil(longest / ROWS), heads,
// items}. Work-groups of one. Blocks beyond their item's length leave at once.
// qkv (R, 3 * width), q, k and v side by side; item b owns rows offsets[b] .. offsets[b + 1] - 1 and
// the panels from offsets[b] / KEYS + b on, of `panels` in each head. Bias lookup as in ops.h: the
// last three columns of `table` belong to position 0.

#define KEYS   (VEC * NV)
#define BLOCK  (KEYS * PANELS)
#define CHUNK  (VEC * VALUE_NV)
#define VALUES (CHUNK * CHUNKS)

__attribute__((reqd_work_group_size(1, 1, 1))) __kernel void
attention_pack(__global const float *restrict qkv, uint qkv_offset, __global const int *offsets,
               uint offsets_offset, __global float *restrict keys, uint keys_offset,
               __global float *restrict values, uint values_offset, int width, int ld,
               int panels) {
    int block = (int)get_global_id(0), head = (int)get_global_id(1), item = (int)get_global_id(2);
    offsets += offsets_offset + item;
    int start = offsets[0], length = offsets[1] - start, first = block * KEYS;
    if (first >= length) return;
    int count = min(KEYS, length - first);
    size_t panel = (size_t)head * (size_t)panels + (size_t)(start / KEYS + item + block);
    keys += keys_offset + panel * (KEYS * HEAD);
    values += values_offset + panel * (KEYS * VALUES);
    qkv += qkv_offset + (size_t)(start + first) * (size_t)ld + width + head * HEAD;

    for (int j = 0; j < KEYS; j++) {
        __global const float *k = qkv + (size_t)min(j, count - 1) * (size_t)ld;
        for (int c = 0; c < HEAD; c += 4) {
            float4 x = vload4(0, k + c);
            keys[(c + 0) * KEYS + j] = x.s0;
            keys[(c + 1) * KEYS + j] = x.s1;
            keys[(c + 2) * KEYS + j] = x.s2;
            keys[(c + 3) * KEYS + j] = x.s3;
            vstore4(vload4(0, k + width + c), 0, values + j * VALUES + c);
        }
        for (int c = HEAD; c < VALUES; c++) values[j * VALUES + c] = 0.0f;
    }
}

// What the bias lookup needs of a head and its query rows.
struct bias {
    __global const float *table; // the head's row
    __global const int *key_pos;
    int cols, length, first; // first: number of the first query row
    int base[ROWS];          // query_pos of each row
};

// Bias of row i for the keys from `key` on; `run`: their table entries follow each other.
static inline vecf bias_of(const struct bias *b, int i, int key, bool run) {
    if (run) {
        if (b->first + i == 0) return (vecf)(b->table[b->cols - 2]);
        return VLOAD(0, b->table + b->base[i] + b->key_pos[key]);
    }
    float lane[VEC];
    UNROLL
    for (int l = 0; l < VEC; l++) {
        int k = min(key + l, b->length - 1), entry = b->base[i] + b->key_pos[k];
        if (k == 0) entry = b->cols - 1;
        if (b->first + i == 0) entry = b->cols - (k == 0 ? 3 : 2);
        lane[l] = b->table[entry];
    }
    return VLOAD(0, lane);
}

// True if the VEC keys from `key` on exist, leave out position 0 and are neighbours in the table.
static inline bool is_run(const struct bias *b, int key) {
    if (key == 0 || key + VEC > b->length) return false;
    int p = b->key_pos[key], differ = 0;
    UNROLL
    for (int l = 1; l < VEC; l++) differ |= b->key_pos[key + l] ^ (p + l);
    return differ == 0;
}

__attribute__((reqd_work_group_size(1, 1, 1))) __kernel void
attention_rows(__global const float *restrict qkv, uint qkv_offset, __global const int *offsets,
               uint offsets_offset, __global const float *restrict table, uint table_offset,
               __global const int *query_pos, uint query_pos_offset, __global const int *key_pos,
               uint key_pos_offset, __global float *restrict dst, uint dst_offset, int width,
               int ld, int table_cols, int ld_table, int ld_dst, float scale,
               __global const float *restrict keys, uint keys_offset,
               __global const float *restrict values, uint values_offset, int panels) {
    int head = (int)get_global_id(1), item = (int)get_global_id(2);
    offsets += offsets_offset + item;
    int start = offsets[0], length = offsets[1] - start, first = (int)get_global_id(0) * ROWS;
    if (first >= length) return;
    size_t panel = (size_t)head * (size_t)panels + (size_t)(start / KEYS + item);
    keys += keys_offset + panel * (KEYS * HEAD);
    values += values_offset + panel * (KEYS * VALUES);
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
        for (int c = 0; c < HEAD; c++)
            q[c * ROWS + i] = qkv[(size_t)row * (size_t)ld + c] * scale;
        for (int c = 0; c < VALUES; c++) out[i * VALUES + c] = 0.0f;
        largest[i] = -INFINITY;
        total[i] = 0.0f;
    }

    for (int block = 0; block < length; block += BLOCK) {
        int count = min(BLOCK, length - block), used = (count + KEYS - 1) / KEYS * KEYS;
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
                bool run = is_run(&bias, block + at);
                UNROLL
                for (int i = 0; i < ROWS; i++)
                    VSTORE(vlimit_score(acc[i][j] + bias_of(&bias, i, block + at, run)), 0,
                           score + i * BLOCK + at);
            }
        }

        for (int i = 0; i < ROWS; i++) {
            float *s = score + i * BLOCK;
            for (int k = count; k < used; k++) s[k] = -INFINITY;
            vecf top = VLOAD(0, s), sum = (vecf)(0.0f);
            for (int k = VEC; k < used; k += VEC) top = max(top, VLOAD(0, s + k));
            float now = max(largest[i], vmax(top));
            for (int k = 0; k < used; k += VEC) {
                vecf p = vexp_negative(VLOAD(0, s + k) - now);
                sum += p;
                VSTORE(p, 0, s + k);
            }
            shrink[i] = exp_negative(largest[i] - now);
            total[i] = fma(total[i], shrink[i], vsum(sum));
            largest[i] = now;
        }

        for (int chunk = 0; chunk < CHUNKS; chunk++) {
            __global const float *v = values + (size_t)block * VALUES + chunk * CHUNK;
            float *o = out + chunk * CHUNK;
            vecf acc[ROWS][VALUE_NV];
            UNROLL
            for (int i = 0; i < ROWS; i++) {
                UNROLL
                for (int j = 0; j < VALUE_NV; j++)
                    acc[i][j] = VLOAD(j, o + i * VALUES) * shrink[i];
            }
            for (int k = 0; k < count; k++, v += VALUES) {
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
                for (int j = 0; j < VALUE_NV; j++) VSTORE(acc[i][j], j, o + i * VALUES);
            }
        }
    }

    for (int i = 0; i < min(ROWS, length - first); i++) {
        __global float *d =
            dst + dst_offset + (size_t)(start + first + i) * (size_t)ld_dst + head * HEAD;
        for (int c = 0; c < HEAD; c++) d[c] = out[i * VALUES + c] / total[i];
    }
}
