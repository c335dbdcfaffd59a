// SPDX-License-Identifier: Apache-2.0
// Plain products through CLBlast, where it was found at build time.
#include "backend/opencl/opencl.h"

#ifdef ONP_HAVE_CLBLAST
#include <clblast_c.h>

bool onp_cl_has_blas(void) { return true; }

static enum onp_status gemm_failed(const struct onp_device *device, const struct onp_gemm *gemm,
                                   int error) {
    // CLBlast passes OpenCL's codes through and has its own below -1000.
    return onp_cl_fail(&device->context->log, (cl_int)error,
                       "CLBlast product M=%lld N=%lld K=%lld on %s", (long long)gemm->m,
                       (long long)gemm->n, (long long)gemm->k, device->info.name);
}

enum onp_status onp_cl_gemm(struct onp_device *base, const struct onp_gemm *gemm, uint32_t tag) {
    struct onp_cl_device *device = onp_cl_device(base);
    cl_event before = NULL, event = NULL;
    if (device->base.profiling) {
        ONP_TRY(onp_cl_events_reserve(device));
        // A product may be several kernels, and the event is the last one's. A small fill before
        // them shows where they begin; Intel stamps a marker before earlier work is done.
        const cl_int zero = 0;
        const cl_int error = clEnqueueFillBuffer(device->queue, device->stamp, &zero, sizeof zero,
                                                 0, sizeof zero, 0, NULL, &before);
        if (error != CL_SUCCESS) return gemm_failed(base, gemm, error);
    }
    device->blas_used = true;
    const CLBlastStatusCode code = CLBlastSgemm(
        CLBlastLayoutRowMajor, CLBlastTransposeNo, CLBlastTransposeYes, (size_t)gemm->m,
        (size_t)gemm->n, (size_t)gemm->k, 1.0f, onp_cl_mem(gemm->a), (size_t)gemm->a_offset,
        (size_t)gemm->lda, onp_cl_mem(gemm->w), (size_t)gemm->w_offset, (size_t)gemm->ldw, 0.0f,
        onp_cl_mem(gemm->c), (size_t)gemm->c_offset, (size_t)gemm->ldc, &device->queue,
        device->base.profiling ? &event : NULL);
    if (code == CLBlastSuccess && event) {
        onp_cl_events_push(device, tag, before, event);
        return ONP_OK;
    }
    if (before) clReleaseEvent(before);
    return code == CLBlastSuccess ? ONP_OK : gemm_failed(base, gemm, (int)code);
}

void onp_cl_blas_forget(struct onp_cl_device *device) {
    // Its cache holds on to the context of every product.
    if (device->blas_used) CLBlastClearCache();
}

#else

bool onp_cl_has_blas(void) { return false; }

enum onp_status onp_cl_gemm(struct onp_device *device, const struct onp_gemm *gemm, uint32_t tag) {
    (void)gemm;
    (void)tag;
    return onp_fail(&device->context->log, ONP_ERR_UNSUPPORTED,
                    "this library was built without CLBlast");
}

void onp_cl_blas_forget(struct onp_cl_device *device) { (void)device; }

#endif
