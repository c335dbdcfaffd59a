// SPDX-License-Identifier: Apache-2.0
#include <math.h>
#include <string.h>

#include "onepeace/encoder.h"

static double norm(const float *row, size_t dim) {
    double sum = 0.0;
    for (size_t k = 0; k < dim; k++) sum += (double)row[k] * (double)row[k];
    return sqrt(sum);
}

void onp_combine(const float *rows, size_t count, size_t dim, float *out) {
    double total = 0.0;
    // The mean of unit rows and their sum differ by a factor that the last step removes.
    for (size_t k = 0; k < dim; k++) out[k] = 0.0f;
    for (size_t i = 0; i < count; i++) {
        const double length = fmax(norm(rows + i * dim, dim), 1e-12);
        for (size_t k = 0; k < dim; k++)
            out[k] += (float)((double)rows[i * dim + k] / length / (double)count);
    }
    total = norm(out, dim);
    for (size_t k = 0; k < dim && total > 1e-12; k++) out[k] = (float)((double)out[k] / total);
}

void onp_similarity(const float *a, size_t na, const float *b, size_t nb, size_t dim, float *out) {
    for (size_t i = 0; i < na; i++)
        for (size_t j = 0; j < nb; j++) {
            double sum = 0.0;
            for (size_t k = 0; k < dim; k++) sum += (double)a[i * dim + k] * (double)b[j * dim + k];
            out[i * nb + j] = (float)sum;
        }
}
