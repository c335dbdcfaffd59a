// SPDX-License-Identifier: Apache-2.0
// dst[r] = (token[r] < 0 ? special : table[token[r]] + addend[token[r]])
//          + (position[r] < 0 ? 0 : positions[position[r]])
//
// Build: -DVEC=4|8|16; -DWEIGHT_HALF: the table is half; -DSPECIAL, -DADDEND, -DPOSITIONS: these
// terms are present (absent ones are zero, their pointers null).
// Launch: global {ceil(cols / run), rows}: a work-item makes `run` columns of a row.

__kernel void gather(__global const weight_t *table, uint table_offset, __global const int *token,
                     uint token_offset, __global const float *special, uint special_offset,
                     __global const float *addend, uint addend_offset,
                     __global const float *positions, uint positions_offset,
                     __global const int *position, uint position_offset, __global float *dst,
                     uint dst_offset, int cols, int run, int ld_table, int ld_addend,
                     int ld_positions, int ld_dst) {
    size_t row = get_global_id(1);
    int first = (int)get_global_id(0) * run, last = first + min(run, cols - first);
    int t = token[token_offset + row];
    table += table_offset + (size_t)max(t, 0) * (size_t)ld_table;
    dst += dst_offset + row * (size_t)ld_dst;
#ifdef SPECIAL
    special += special_offset;
#endif
#ifdef ADDEND
    addend += addend_offset + (size_t)max(t, 0) * (size_t)ld_addend;
#endif
#ifdef POSITIONS
    int p = position[position_offset + row];
    positions += positions_offset + (size_t)max(p, 0) * (size_t)ld_positions;
#endif

    int c = first;
    for (; c + VEC <= last; c += VEC) {
        vecf v = (vecf)(0.0f);
        if (t >= 0) {
            v = VLOAD_WEIGHT(table + c);
#ifdef ADDEND
            v += VLOAD(0, addend + c);
#endif
        }
#ifdef SPECIAL
        if (t < 0) v = VLOAD(0, special + c);
#endif
#ifdef POSITIONS
        if (p >= 0) v += VLOAD(0, positions + c);
#endif
        VSTORE(v, 0, dst + c);
    }
    for (; c < last; c++) {
        float v = 0.0f;
        if (t >= 0) {
            v = LOAD_WEIGHT(table, c);
#ifdef ADDEND
            v += addend[c];
#endif
        }
#ifdef SPECIAL
        if (t < 0) v = special[c];
#endif
#ifdef POSITIONS
        if (p >= 0) v += positions[c];
#endif
        dst[c] = v;
    }
}
