// SPDX-License-Identifier: Apache-2.0
// Rows of a 4x4 stride-4 convolution: pixels (B, 3 * side * side) planar -> dst (rows, 48), columns
// by channel, y, x. Rows go by picture, 16 x 16 patch, 8 x 8 block and 4 x 4 block, row-major each.
//
// Launch: global {ceil(rows / count)}: a work-item makes `count` rows.

__kernel void patchify(__global const float *restrict pixels, uint pixels_offset,
                       __global float *restrict dst, uint dst_offset, int side, int ld_pixels,
                       int ld_dst, int rows, int count) {
    const int per_picture = (side / 4) * (side / 4), width = side / 16;
    const int first = (int)get_global_id(0) * count, end = min(first + count, rows);
    pixels += pixels_offset;
    dst += dst_offset;
    for (int row = first; row < end; row++) {
        const int picture = row / per_picture, r = row % per_picture;
        const int patch = r / 16, block = r / 4 % 4, small = r % 4;
        const int y = patch / width * 16 + block / 2 * 8 + small / 2 * 4;
        const int x = patch % width * 16 + block % 2 * 8 + small % 2 * 4;
        __global const float *p = pixels + (size_t)picture * (size_t)ld_pixels + y * side + x;
        __global float *d = dst + (size_t)row * (size_t)ld_dst;
        UNROLL for (int c = 0; c < 3; c++) {
            UNROLL for (int i = 0; i < 4; i++) {
                vstore4(vload4(0, p + (c * side + i) * side), c * 4 + i, d);
            }
        }
    }
}
