// SPDX-License-Identifier: Apache-2.0
// Writing safetensors. The bytes depend on the arguments only: members are sorted, numbers are
// written in one way, the header is padded with spaces to a multiple of 8.
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/checked.h"
#include "base/file.h"
#include "base/half.h"
#include "io/model_table.h"
#include "io/safetensors.h"

#define CHUNK 65536 // elements converted at a time

struct job {
    const char *path;
    const struct onp_log *log;
    const struct onp_tensor_out **tensors; // sorted by name
    size_t tensor_count;
    const struct onp_metadata **metadata; // sorted by key
    size_t metadata_count;
    struct onp_buf header;
};

static enum onp_status no_memory(const struct job *job) {
    return onp_fail(job->log, ONP_ERR_MEMORY, "no memory to write %s", job->path);
}

// --- Order -----------------------------------------------------------------------------------

static int compare_tensors(const void *a, const void *b) {
    const struct onp_tensor_out *const *x = a, *const *y = b;
    return strcmp((*x)->name, (*y)->name);
}

static int compare_metadata(const void *a, const void *b) {
    const struct onp_metadata *const *x = a, *const *y = b;
    return strcmp((*x)->key, (*y)->key);
}

static enum onp_status sort_members(struct job *job, const struct onp_tensor_out *tensors,
                                    const struct onp_metadata *metadata) {
    job->tensors = calloc(job->tensor_count + 1, sizeof *job->tensors);
    job->metadata = calloc(job->metadata_count + 1, sizeof *job->metadata);
    if (!job->tensors || !job->metadata) return no_memory(job);
    for (size_t i = 0; i < job->tensor_count; i++) job->tensors[i] = &tensors[i];
    for (size_t i = 0; i < job->metadata_count; i++) job->metadata[i] = &metadata[i];
    qsort(job->tensors, job->tensor_count, sizeof *job->tensors, compare_tensors);
    qsort(job->metadata, job->metadata_count, sizeof *job->metadata, compare_metadata);
    const char *twice = NULL;
    for (size_t i = 1; i < job->tensor_count; i++)
        if (compare_tensors(&job->tensors[i - 1], &job->tensors[i]) == 0)
            twice = job->tensors[i]->name;
    for (size_t i = 1; i < job->metadata_count; i++)
        if (compare_metadata(&job->metadata[i - 1], &job->metadata[i]) == 0)
            twice = job->metadata[i]->key;
    if (!twice) return ONP_OK;
    return onp_fail(job->log, ONP_ERR_ARGUMENT, "cannot write %s: %s is given twice", job->path,
                    twice);
}

// --- Header ----------------------------------------------------------------------------------

static enum onp_status put_string(struct job *job, const char *data, size_t size,
                                  const char *what) {
    json_t *string = json_stringn(data, size);
    char *text = json_dumps(string, JSON_ENCODE_ANY);
    json_decref(string);
    if (!text)
        return onp_fail(job->log, ONP_ERR_ARGUMENT, "cannot write %s: %s is not UTF-8 text",
                        job->path, what);
    onp_buf_append(&job->header, text, strlen(text));
    free(text);
    return ONP_OK;
}

static enum onp_status put_metadata(struct job *job) {
    if (job->metadata_count == 0) return ONP_OK;
    onp_buf_printf(&job->header, "\"__metadata__\":{");
    for (size_t i = 0; i < job->metadata_count; i++) {
        const struct onp_metadata *entry = job->metadata[i];
        if (i > 0) onp_buf_printf(&job->header, ",");
        ONP_TRY(put_string(job, entry->key, strlen(entry->key), "a metadata key"));
        onp_buf_printf(&job->header, ":");
        ONP_TRY(put_string(job, entry->value.data, entry->value.size, entry->key));
    }
    onp_buf_printf(&job->header, job->tensor_count > 0 ? "}," : "}");
    return ONP_OK;
}

static bool is_float(enum onp_dtype dtype) {
    return dtype == ONP_F32 || dtype == ONP_F16 || dtype == ONP_BF16 || dtype == ONP_F64;
}

static enum onp_status check_tensor(const struct job *job, const struct onp_tensor_out *tensor) {
    const enum onp_dtype from = tensor->source->dtype, to = tensor->dtype;
    if (!onp_tensor_name_ok(tensor->name, strlen(tensor->name)) ||
        strcmp(tensor->name, "__metadata__") == 0)
        return onp_fail(job->log, ONP_ERR_ARGUMENT, "cannot write %s: a tensor's name is not valid",
                        job->path);
    if (from == to || (is_float(from) && is_float(to) && to != ONP_F64)) return ONP_OK;
    return onp_fail(job->log, ONP_ERR_ARGUMENT, "cannot write %s: tensor %s cannot become %s",
                    job->path, tensor->name, onp_dtype_name(to));
}

static enum onp_status put_tensor(struct job *job, const struct onp_tensor_out *tensor,
                                  uint64_t *offset) {
    struct onp_buf *h = &job->header;
    uint64_t bytes = 0, end = 0;
    ONP_TRY(check_tensor(job, tensor));
    if (!onp_mul_u64(tensor->source->count, onp_dtype_size(tensor->dtype), &bytes) ||
        !onp_add_u64(*offset, bytes, &end))
        return onp_fail(job->log, ONP_ERR_ARGUMENT, "cannot write %s: it would be too large",
                        job->path);
    ONP_TRY(put_string(job, tensor->name, strlen(tensor->name), "a tensor's name"));
    onp_buf_printf(h, ":{\"dtype\":\"%s\",\"shape\":[", onp_safetensors_dtype(tensor->dtype));
    for (int i = 0; i < tensor->source->dims; i++)
        onp_buf_printf(h, "%s%lld", i > 0 ? "," : "", (long long)tensor->source->shape[i]);
    onp_buf_printf(h, "],\"data_offsets\":[%llu,%llu]}", (unsigned long long)*offset,
                   (unsigned long long)end);
    *offset = end;
    return ONP_OK;
}

static enum onp_status build_header(struct job *job) {
    uint64_t offset = 0;
    onp_buf_printf(&job->header, "{");
    ONP_TRY(put_metadata(job));
    for (size_t i = 0; i < job->tensor_count; i++) {
        if (i > 0) onp_buf_printf(&job->header, ",");
        ONP_TRY(put_tensor(job, job->tensors[i], &offset));
    }
    onp_buf_printf(&job->header, "}");
    while (!job->header.failed && job->header.size % 8 != 0) onp_buf_append(&job->header, " ", 1);
    if (job->header.failed) return no_memory(job);
    if (job->header.size <= ONP_SAFETENSORS_MAX_HEADER) return ONP_OK;
    return onp_fail(job->log, ONP_ERR_ARGUMENT,
                    "cannot write %s: its header would be larger than the format allows",
                    job->path);
}

// --- Data ------------------------------------------------------------------------------------

static void narrow(const float *in, size_t count, enum onp_dtype dtype, void *out) {
    uint16_t *half = out;
    if (dtype == ONP_F32) memcpy(out, in, count * sizeof *in);
    for (size_t i = 0; dtype == ONP_F16 && i < count; i++) half[i] = onp_float_to_half(in[i]);
    for (size_t i = 0; dtype == ONP_BF16 && i < count; i++) half[i] = onp_float_to_bf16(in[i]);
}

struct scratch {
    float floats[CHUNK];
    uint64_t bytes[CHUNK]; // room for the widest type, aligned for all
};

static enum onp_status write_tensor(struct onp_writer *writer, const struct onp_tensor_out *tensor,
                                    struct scratch *scratch) {
    const struct onp_file_tensor *source = tensor->source;
    for (uint64_t first = 0; first < source->count; first += CHUNK) {
        const uint64_t left = source->count - first;
        const size_t n = left < CHUNK ? (size_t)left : CHUNK;
        if (tensor->dtype == source->dtype) {
            onp_tensor_gather(source, first, n, scratch->bytes);
        } else {
            onp_file_tensor_read(source, first, n, scratch->floats);
            narrow(scratch->floats, n, tensor->dtype, scratch->bytes);
        }
        ONP_TRY(onp_writer_write(writer, scratch->bytes, n * onp_dtype_size(tensor->dtype)));
    }
    return ONP_OK;
}

static enum onp_status write_all(const struct job *job, const struct onp_model_file *from,
                                 struct onp_writer *writer, struct scratch *scratch) {
    unsigned char length[8];
    for (int i = 0; i < 8; i++) length[i] = (unsigned char)((uint64_t)job->header.size >> 8 * i);
    ONP_TRY(onp_writer_write(writer, length, sizeof length));
    ONP_TRY(onp_writer_write(writer, job->header.data, job->header.size));
    for (size_t i = 0; i < job->tensor_count; i++) {
        ONP_TRY(write_tensor(writer, job->tensors[i], scratch));
        if (from) onp_model_file_release(from, job->tensors[i]->source);
    }
    return ONP_OK;
}

static enum onp_status write_file(const struct job *job, bool overwrite,
                                  const struct onp_model_file *from) {
    struct onp_writer *writer = NULL;
    struct scratch *scratch = malloc(sizeof *scratch);
    if (!scratch) return no_memory(job);
    enum onp_status status = onp_writer_open(job->path, overwrite, job->log, &writer);
    if (status == ONP_OK) {
        status = write_all(job, from, writer, scratch);
        if (status == ONP_OK)
            status = onp_writer_commit(writer);
        else
            onp_writer_discard(writer);
    }
    free(scratch);
    return status;
}

enum onp_status onp_safetensors_write(const char *path, bool overwrite,
                                      const struct onp_model_file *from,
                                      const struct onp_tensor_out *tensors, size_t tensor_count,
                                      const struct onp_metadata *metadata, size_t metadata_count,
                                      const struct onp_log *log) {
    struct job job = {
        .path = path, .log = log, .tensor_count = tensor_count, .metadata_count = metadata_count};
    enum onp_status status = sort_members(&job, tensors, metadata);
    if (status == ONP_OK) status = build_header(&job);
    if (status == ONP_OK) status = write_file(&job, overwrite, from);
    onp_buf_free(&job.header);
    free(job.metadata);
    free(job.tensors);
    return status;
}
