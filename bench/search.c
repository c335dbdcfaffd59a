// SPDX-License-Identifier: Apache-2.0
// Search over a large index of random rows: time and memory of what 'onepeace search' does besides
// embedding its query.
//
//   onepeace-bench-search make FOLDER [--media FOLDER] [--rows N] [--dim D]
//   onepeace-bench-search run FOLDER [--media FOLDER] [--dim D] [--device SELECTOR] [--top K]
//                         [--check]
//
// `make` writes N empty files under a new folder (FOLDER/media) and their index,
// FOLDER/index.sqlite (4 N D bytes and a little), with unit rows: windows of seeded noise. `run`
// walks the files and compares them with the index, reads all rows once and drops them, then
// searches. --check computes every score again in double precision and compares the K best. Delete
// the folder afterwards.
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/rng.h"
#include "cli/index.h"
#include "cli/nearest.h"
#include "onepeace/onepeace.h"

enum { PER_FOLDER = 1000, PER_COMMIT = 20000, NOISE = 1 << 22 };
static const char model_key[] = "bench";

struct bench {
    const char *folder, *media, *device;
    size_t rows, dim;
    uint64_t top;
    bool check;
    char media_default[4096], index_file[4096];
    float *noise; // [NOISE]
    struct onp_cli_settings settings;
    struct onp_cli_session session;
    struct onp_cli_index index;
};

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

// Elapsed and processor seconds since the last report, and the largest memory so far.
static void report(const char *what, double bytes) {
    static double before, used_before;
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    const double used = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                        1e-6 * (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
    if (what) {
        printf("%-44s %8.2f s %8.2f s of processor %8.1f MB peak", what, now() - before,
               used - used_before, (double)usage.ru_maxrss / 1e3);
        if (bytes > 0.0) printf(" %6.2f GB/s", 1e-9 * bytes / (now() - before));
        printf("\n");
        fflush(stdout);
    }
    before = now();
    used_before = used;
}

static bool fail(const char *what) {
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    return false;
}

// --- Making ------------------------------------------------------------------------------------

static bool make_files(struct bench *b) {
    char path[4200];
    if (mkdir(b->folder, 0777) != 0 && errno != EEXIST) return fail(b->folder);
    if (mkdir(b->media, 0777) != 0) return fail(b->media);
    for (size_t i = 0; i < b->rows; i++) {
        snprintf(path, sizeof path, "%s/%04zu", b->media, i / PER_FOLDER);
        if (i % PER_FOLDER == 0 && mkdir(path, 0777) != 0) return fail(path);
        snprintf(path, sizeof path, "%s/%04zu/picture-%07zu.png", b->media, i / PER_FOLDER, i);
        const int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0666);
        if (fd < 0) return fail(path);
        close(fd);
    }
    return true;
}

static bool make_noise(struct bench *b) {
    struct onp_rng rng = {1};
    b->noise = calloc(NOISE, sizeof *b->noise);
    for (size_t i = 0; b->noise && i < NOISE; i++) b->noise[i] = onp_rng_normal(&rng);
    return b->noise != NULL;
}

static void random_unit(const struct bench *b, struct onp_rng *rng, float *row) {
    const size_t dim = b->dim;
    const float *noise = b->noise + onp_rng_next(rng) % (NOISE - dim);
    double sum = 0.0;
    for (size_t k = 0; k < dim; k++) {
        row[k] = noise[k];
        sum += (double)row[k] * (double)row[k];
    }
    const float scale = (float)(1.0 / sqrt(sum));
    for (size_t k = 0; k < dim; k++) row[k] *= scale;
}

static int put(struct bench *b, struct onp_cli_db_file *file, struct onp_rng *rng, float *row) {
    for (size_t i = 0; i < sizeof file->hash; i += 8) {
        const uint64_t bits = onp_rng_next(rng);
        memcpy(file->hash + i, &bits, 8);
    }
    random_unit(b, rng, row);
    int code = onp_cli_db_put_file(b->index.db, file);
    return code == ONP_CLI_OK ? onp_cli_db_put_row(b->index.db, file, row) : code;
}

static int make(struct bench *b) {
    struct onp_rng rng = {1};
    float *row = calloc(b->dim, sizeof *row);
    char *folders[] = {(char *)(uintptr_t)b->media};
    report(NULL, 0.0);
    if (!row || !make_noise(b) || !make_files(b)) return ONP_CLI_FAILED;
    report("files made", 0.0);
    int code = onp_cli_walk(folders, 1, &b->index.walk);
    if (code == ONP_CLI_OK) code = onp_cli_db_open(b->index_file, &b->index.db);
    if (code == ONP_CLI_OK) code = onp_cli_db_use(b->index.db, model_key, ONP_F32, b->dim);
    for (size_t i = 0; i < b->index.walk.count && code == ONP_CLI_OK; i++) {
        if (i % PER_COMMIT == 0) code = onp_cli_db_begin(b->index.db);
        if (code == ONP_CLI_OK) code = put(b, &b->index.walk.files[i].file, &rng, row);
        if (code == ONP_CLI_OK &&
            (i % PER_COMMIT == PER_COMMIT - 1 || i + 1 == b->index.walk.count))
            code = onp_cli_db_commit(b->index.db);
    }
    report("index made", 4.0 * (double)b->rows * (double)b->dim);
    free(row);
    return code;
}

// --- Searching ---------------------------------------------------------------------------------

static int read_all(struct bench *b, size_t *count) {
    struct onp_cli_db_entry entry;
    float *row = calloc(b->dim, sizeof *row);
    bool found = row != NULL;
    int code = onp_cli_db_scan_begin(b->index.db, b->index.walk.folders[0].path);
    for (*count = 0; code == ONP_CLI_OK && found; *count += found)
        code = onp_cli_db_scan_next(b->index.db, &entry, row, &found);
    free(row);
    return code;
}

static double dot(const float *a, const float *b, size_t dim) {
    double sum = 0.0;
    for (size_t k = 0; k < dim; k++) sum += (double)a[k] * (double)b[k];
    return sum;
}

// Every hit's score in double precision, and that no other row has a higher one.
static int check(struct bench *b, const float *query, const struct onp_cli_hit *hits,
                 size_t count) {
    struct onp_cli_db_entry entry;
    float *row = calloc(b->dim, sizeof *row);
    bool found = row != NULL;
    size_t seen = 0, better = 0;
    double worst = 0.0;
    int code = onp_cli_db_scan_begin(b->index.db, b->index.walk.folders[0].path);
    while (code == ONP_CLI_OK && found) {
        code = onp_cli_db_scan_next(b->index.db, &entry, row, &found);
        if (code != ONP_CLI_OK || !found) continue;
        const double score = dot(row, query, b->dim);
        size_t i = 0;
        while (i < count && (strlen(hits[i].path) != entry.bytes ||
                             memcmp(hits[i].path, entry.path, entry.bytes) != 0))
            i++;
        seen += i < count;
        if (i < count) worst = fmax(worst, fabs(score - (double)hits[i].score));
        if (i == count && count > 0 && score > (double)hits[count - 1].score + 2e-6) better++;
    }
    free(row);
    report("every score again in double precision", 0.0);
    printf("%zu of %zu hits checked, largest difference %.2e, %zu better rows missed\n", seen,
           count, worst, better);
    return seen == count && better == 0 && worst < 2e-6 ? code : ONP_CLI_FAILED;
}

static int search(struct bench *b) {
    struct onp_rng rng = {7};
    struct onp_cli_hit *hits = NULL;
    size_t count = 0;
    float *query = calloc(b->dim, sizeof *query);
    if (!query || !make_noise(b)) return ONP_CLI_FAILED;
    random_unit(b, &rng, query);
    report("query made", 0.0);
    const struct onp_cli_nearest wanted = {.db = b->index.db,
                                           .walk = &b->index.walk,
                                           .device = b->session.device,
                                           .query = query,
                                           .dim = b->dim,
                                           .top = b->top};
    int code = onp_cli_find_nearest(&wanted, &hits, &count);
    report("the nearest found", 4.0 * (double)b->rows * (double)b->dim);
    for (size_t i = 0; i < count && i < 3 && code == ONP_CLI_OK; i++)
        printf("%zu. %.6f %s\n", i + 1, (double)hits[i].score, strrchr(hits[i].path, '/') + 1);
    if (code == ONP_CLI_OK && b->check) code = check(b, query, hits, count);
    onp_cli_hits_free(hits, count);
    free(query);
    return code;
}

static int run(struct bench *b) {
    char *folders[] = {(char *)(uintptr_t)b->media};
    b->settings.device = b->device;
    int code = onp_cli_session_begin(&b->session, &b->settings);
    b->session.info.embed_dim = (uint32_t)b->dim;
    b->session.info.modalities = ONP_ALL_MODALITIES;
    report(NULL, 0.0);
    if (code == ONP_CLI_OK) code = onp_cli_session_device(&b->session);
    if (code == ONP_CLI_OK) code = onp_cli_db_open(b->index_file, &b->index.db);
    if (code == ONP_CLI_OK) code = onp_cli_db_use(b->index.db, model_key, ONP_F32, b->dim);
    report("device and index opened", 0.0);
    if (code == ONP_CLI_OK) code = onp_cli_index_scan(&b->index, &b->session, folders, 1);
    report("folder compared with the index", 0.0);
    if (code == ONP_CLI_OK && b->index.pending_count > 0) {
        fprintf(stderr, "%zu files are not in the index\n", b->index.pending_count);
        code = ONP_CLI_FAILED;
    }
    if (code == ONP_CLI_OK) code = read_all(b, &b->rows);
    report("all rows read and dropped", 4.0 * (double)b->rows * (double)b->dim);
    printf("%zu rows of %zu floats, %s\n", b->rows, b->dim,
           b->session.device ? onp_device_get_info(b->session.device)->name : "no device");
    return code == ONP_CLI_OK ? search(b) : code;
}

// --- The command line --------------------------------------------------------------------------

static bool parse(struct bench *b, int argc, char **argv) {
    for (int i = 3; i < argc; i++) {
        const bool value = i + 1 < argc;
        if (strcmp(argv[i], "--check") == 0)
            b->check = true;
        else if (value && strcmp(argv[i], "--rows") == 0)
            b->rows = (size_t)strtoull(argv[++i], NULL, 10);
        else if (value && strcmp(argv[i], "--dim") == 0)
            b->dim = (size_t)strtoull(argv[++i], NULL, 10);
        else if (value && strcmp(argv[i], "--top") == 0)
            b->top = strtoull(argv[++i], NULL, 10);
        else if (value && strcmp(argv[i], "--media") == 0)
            b->media = argv[++i];
        else if (value && strcmp(argv[i], "--device") == 0)
            b->device = argv[++i];
        else
            return false;
    }
    return argc > 2 && b->rows > 0 && b->dim > 0 && b->dim < 65536 && b->top > 0;
}

int main(int argc, char **argv) {
    struct bench b = {.rows = 1000000, .dim = 1536, .top = 10};
    const bool known = parse(&b, argc, argv);
    const bool making = known && strcmp(argv[1], "make") == 0;
    if (!known || (!making && strcmp(argv[1], "run") != 0)) {
        fprintf(stderr,
                "usage: %s make|run FOLDER [--media FOLDER] [--rows N] [--dim D] "
                "[--device SELECTOR] [--top K] [--check]\n",
                argv[0]);
        return ONP_CLI_USAGE;
    }
    b.folder = argv[2];
    snprintf(b.media_default, sizeof b.media_default, "%s/media", b.folder);
    if (!b.media) b.media = b.media_default;
    snprintf(b.index_file, sizeof b.index_file, "%s/index.sqlite", b.folder);
    const int code = making ? make(&b) : run(&b);
    onp_cli_index_end(&b.index);
    onp_cli_session_end(&b.session);
    free(b.noise);
    return code;
}
