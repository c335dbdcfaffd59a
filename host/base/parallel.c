// SPDX-License-Identifier: Apache-2.0
#include "base/parallel.h"

#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#define MAX_THREADS 64u

struct job {
    atomic_size_t next;
    size_t count;
    void (*fn)(void *, size_t);
    void *user;
};

static void *work(void *opaque) {
    struct job *job = opaque;
    for (size_t i; (i = atomic_fetch_add(&job->next, 1)) < job->count;) job->fn(job->user, i);
    return NULL;
}

static unsigned core_count(void) {
    const long cores = sysconf(_SC_NPROCESSORS_ONLN);
    return cores < 1 ? 1u : (unsigned)cores;
}

void onp_parallel_for(size_t count, unsigned threads, void (*fn)(void *user, size_t index),
                      void *user) {
    struct job job = {.count = count, .fn = fn, .user = user};
    pthread_t thread[MAX_THREADS];
    if (threads == 0) threads = core_count();
    if (threads > MAX_THREADS) threads = MAX_THREADS;
    if (threads > count) threads = (unsigned)count;
    unsigned started = 0;
    while (started + 1 < threads && pthread_create(&thread[started], NULL, work, &job) == 0)
        started++;
    work(&job); // the calling thread works too
    for (unsigned i = 0; i < started; i++) pthread_join(thread[i], NULL);
}
