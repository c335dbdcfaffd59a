// SPDX-License-Identifier: Apache-2.0
// Runs a fuzz target without libFuzzer: over every file given and every file directly inside a
// folder given, whole and in seeded damaged forms (bytes changed, cut, doubled).
//
//     fuzz_X [-m FORMS] [-s SEED] PATH...
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/log.h"
#include "base/rng.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct replay {
    struct onp_log log;
    struct onp_rng rng;
    unsigned forms;
    unsigned long runs;
};

// A copy of exactly the size, so that a sanitizer sees any read beyond it.
static void run_copy(struct replay *replay, const char *data, size_t size) {
    uint8_t *copy = malloc(size ? size : 1);
    if (!copy) return;
    memcpy(copy, data, size);
    LLVMFuzzerTestOneInput(copy, size);
    replay->runs++;
    free(copy);
}

static size_t below(struct replay *replay, size_t limit) {
    return (size_t)(onp_rng_next(&replay->rng) % limit);
}

// Headers deserve more than their share of the damage.
static size_t position(struct replay *replay, size_t size) {
    return below(replay, onp_rng_next(&replay->rng) % 2 && size > 128 ? 128 : size);
}

static void run_damaged(struct replay *replay, const char *data, size_t size) {
    char *copy = malloc(2 * size);
    if (!copy) return;
    memcpy(copy, data, size);
    size_t new_size = size;
    for (size_t n = below(replay, 6) + 1; n > 0; n--) {
        static const unsigned char special[] = {0, 1, 0x7f, 0x80, 0xff};
        const size_t at = position(replay, size);
        const unsigned char bit = (unsigned char)(1u << below(replay, 8));
        copy[at] = (char)(below(replay, 2) ? copy[at] ^ bit : special[below(replay, 5)]);
    }
    const size_t form = below(replay, 8);
    if (form == 0) new_size = below(replay, size);
    if (form == 1) {
        const size_t at = below(replay, size);
        memmove(copy + size, copy + at, size - at);
        new_size = 2 * size - at;
    }
    run_copy(replay, copy, new_size);
    free(copy);
}

static bool replay_file(struct replay *replay, const char *path) {
    char *data = NULL;
    size_t size = 0;
    if (onp_file_read(path, (size_t)1 << 26, &replay->log, &data, &size) != ONP_OK) {
        fprintf(stderr, "%s\n", onp_last_error());
        return false;
    }
    run_copy(replay, data, size);
    for (unsigned i = 0; i < replay->forms && size > 0; i++) run_damaged(replay, data, size);
    free(data);
    return true;
}

static bool replay_path(struct replay *replay, const char *path) {
    struct dirent **names = NULL;
    const int count = scandir(path, &names, NULL, alphasort);
    if (count < 0) return replay_file(replay, path);
    bool ok = true;
    for (int i = 0; i < count; i++) {
        char name[4096];
        struct stat st;
        snprintf(name, sizeof name, "%s/%s", path, names[i]->d_name);
        if (stat(name, &st) == 0 && S_ISREG(st.st_mode)) ok = replay_file(replay, name) && ok;
        free(names[i]);
    }
    free(names);
    return ok;
}

int main(int argc, char **argv) {
    struct replay replay = {.log = {.level = ONP_LOG_ERROR}, .rng = {.state = 1}, .forms = 20};
    pthread_mutex_init(&replay.log.mutex, NULL);
    int arg = 1;
    for (; arg + 1 < argc && argv[arg][0] == '-'; arg += 2) {
        const unsigned long value = strtoul(argv[arg + 1], NULL, 0);
        if (argv[arg][1] == 'm') replay.forms = (unsigned)value;
        if (argv[arg][1] == 's') replay.rng.state = value;
    }
    printf("seed %llu, %u damaged forms a file\n", (unsigned long long)replay.rng.state,
           replay.forms);
    bool ok = true;
    for (; arg < argc; arg++) ok = replay_path(&replay, argv[arg]) && ok;
    printf("%lu inputs\n", replay.runs);
    return ok && replay.runs > 0 ? 0 : 1;
}
