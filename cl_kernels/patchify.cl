// SPDX-License-Identifier: Apache-2.0
// Rows of a 4x4 stride-4 convolution: pixels (B, 3 * side * side) planar -> dst (rows, 48), columns
// by channel, y, x. Rows go by picture, 16 x 16 patch, 8 x 8 block and 4 x 4 block, row-major each.
//
// Launch: global {B * (side / 4)^2}: a work-item makes one row.

__kernel void patchify(__global const float *pixels, uint pixels_offset, __global float *dst,
                       uint dst_offset, int side, int ld_pixels, int ld_dst) {
    size_t row = get_global_id(0);
    int per_picture = (side / 4) * (side / 4), width = side / 16;
    int picture = (int)(row / (size_t)per_picture), r = (int)(row % (size_t)per_picture);
    int patch = r / 16, block = r / 4 % 4, small = r % 4;
    int y = patch / width * 16 + block / 2 * 8 + small / 2 * 4;
    int x = patch % width * 16 + block % 2 * 8 + small % 2 * 4;
    pixels += pixels_offset + (size_t)picture * (size_t)ld_pixels;
    dst += dst_offset + row * (size_t)ld_dst;
    for (int c = 0; c < 3; c++) {
        UNROLL
        for (int i = 0; i < 4; i++)
            vstore4(vload4(0, pixels + (c * side + y + i) * side + x), c * 4 + i, dst);
    }
}
