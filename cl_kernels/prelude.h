// SPDX-License-Identifier: Apache-2.0
// Put before every kernel source. The only place with an #if on vendor or extension.
//
// Conventions of all kernels: OpenCL C 1.2; each tensor is a pointer and a first element
// (`x += x_offset`); row strides are in elements; float32 arithmetic; weights float or half,
// chosen by -DWEIGHT_HALF. vload_half/vstore_half are core, so half storage needs no extension.

#define CAT_(a, b) a##b
#define CAT(a, b)  CAT_(a, b)
#define UNROLL     _Pragma("unroll")

#ifdef WEIGHT_HALF
typedef half weight_t;
#define LOAD_WEIGHT(p, i) vload_half((i), (p))
#else
typedef float weight_t;
#define LOAD_WEIGHT(p, i) ((p)[i])
#endif

// -DVEC=2|4|8|16: floats of the vector type used by register tiles.
#ifdef VEC
typedef CAT(float, VEC) vecf;
typedef CAT(int, VEC) veci;
#define VLOAD CAT(vload, VEC)

// VSTORE to global, VSTORE_PRIVATE to private memory. PoCL's vstore8 and vstore16 write four floats
// at a time, and a load of the whole vector must then wait until all have reached the cache.
#if VEC > 4
typedef vecf vecf_unaligned __attribute__((aligned(4)));
#define VSTORE(x, i, p)         (*(__global vecf_unaligned *)((p) + (i)*VEC) = (x))
#define VSTORE_PRIVATE(x, i, p) (*(__private vecf_unaligned *)((p) + (i)*VEC) = (x))
#else
#define VSTORE         CAT(vstore, VEC)
#define VSTORE_PRIVATE VSTORE
#endif

#ifdef WEIGHT_HALF
#define VLOAD_WEIGHT(p) CAT(vload_half, VEC)(0, (p))
#else
#define VLOAD_WEIGHT(p) VLOAD(0, (p))
#endif
#endif

// -DPREFETCH: the compiler is clang on a CPU.
#ifdef PREFETCH
#define PREFETCH_READ(p)  __builtin_prefetch((const void *)(ulong)(p), 0, 2)
#define PREFETCH_WRITE(p) __builtin_prefetch((const void *)(ulong)(p), 1, 3)
#else
#define PREFETCH_READ(p)
#define PREFETCH_WRITE(p)
#endif

// -DSUB_GROUPS: the kernel uses the functions of sub-groups, all of SUB_GROUP work-items. Compilers
// that declare them without the pragma, or under cl_intel_subgroups, do not know its name.
#ifdef SUB_GROUPS
#ifdef cl_khr_subgroups
#pragma OPENCL EXTENSION cl_khr_subgroups : enable
#endif
#if defined(__AMDGCN_WAVEFRONT_SIZE) && __AMDGCN_WAVEFRONT_SIZE != SUB_GROUP
#error "the compiler's wavefront is not SUB_GROUP work-items"
#endif
#endif

// -DNO_FMA: the device has no fused multiply-add; what its driver offers instead is a long routine.
// Never fused here, so that all programs round alike.
#ifdef NO_FMA
#pragma OPENCL FP_CONTRACT OFF
#define fma(a, b, c) ((a) * (b) + (c))
#endif

// Before a kernel that fills the registers or uses sub-groups. -DSUB_GROUP=n: the compiler shall
// take sub-groups of n. Without it, Intel's for GPUs with sub-groups of 16 and 32 prefers 32
// work-items a thread and spills.
#ifdef SUB_GROUP
#define FULL_REGISTERS __attribute__((intel_reqd_sub_group_size(SUB_GROUP)))
#else
#define FULL_REGISTERS
#endif

// Parts of a product's epilogue, bits of an int argument: see onp_matmul.
#define EPILOGUE_BIAS     1
#define EPILOGUE_GELU     2
#define EPILOGUE_GATE     4
#define EPILOGUE_RESIDUAL 8
