// SPDX-License-Identifier: Apache-2.0
// out[i] = in[mirror of i in its group] + in[64 further on in its group], through local memory:
// right as it stands. Each -D plants a fault that the emulator has to find.

__kernel __attribute__((reqd_work_group_size(256, 1, 1))) void
reverse_and_add(__global const float *in, __global float *out) {
    __local float tile[256];
    const uint item = (uint)get_local_id(0);
    const size_t at = get_global_id(0);
    float x = in[at];
#ifndef UNWRITTEN_LOCAL
    tile[item] = x;
#else
    if (item != 3) tile[item] = x;
#endif
#ifndef NO_BARRIER_BEFORE_READING
    barrier(CLK_LOCAL_MEM_FENCE);
#endif
    float sum = tile[255 - item];
#ifndef NO_BARRIER_BEFORE_WRITING
    barrier(CLK_LOCAL_MEM_FENCE);
#endif
    tile[(item + 192) % 256] = x;
    barrier(CLK_LOCAL_MEM_FENCE);
    sum += tile[item];
#ifdef WRITE_BEHIND_LOCAL
    ((volatile __local float *)tile)[item + 1] = x;
#endif
    out[at] = sum;
#ifdef WRITE_BEHIND_BUFFER
    if (at == 511) out[at + 1] = sum;
#endif
#ifdef WRITE_BEFORE_BUFFER
    if (at == 0) out[-1] = sum;
#endif
#ifdef WRITE_FAR_OUTSIDE
    if (at == 7) out[1u << 24] = sum;
#endif
#ifdef READ_FAR_OUTSIDE
    if (at == 7) out[at] = sum + ((volatile __global const float *)in)[1u << 24];
#endif
#ifdef ENDLESS
    while (((volatile __global const float *)in)[at] >= 0.0f) out[at] += 1.0f;
#endif
}
