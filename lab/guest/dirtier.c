/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* dirtier.c - The memory dirtier: writes to pages of a working set at a settable rate. */

/*
 * Pages are written one after the other, some every few milliseconds, so that the load is even both
 * over time and over the set. After a standstill it does not catch up: a burst right after a move
 * would look like something the move did.
 */
#include "guest/guest.h"

#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#define PAGE       4096
#define TICK_NS    5000000
#define MAX_LAG_NS 50000000ULL
#define MIB        1048576.0
#define WINDOW_NS  1000000000ULL

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char *memory;
static size_t pages, next_page;
static double rate_mib, achieved_mib;
static int running;
static uint64_t total_pages;

/* Under the lock. Touches what is due since `last`; returns the pages written. */
static size_t
dirty_due(uint64_t elapsed_ns, double *owed)
{
    size_t n;

    if (elapsed_ns > MAX_LAG_NS)
        elapsed_ns = MAX_LAG_NS;
    *owed += rate_mib * MIB / PAGE * elapsed_ns / 1e9;
    n = *owed;
    *owed -= n;
    for (size_t i = 0; i < n; i++) {
        /* A value never seen before, or the page would be equal to its sent copy. */
        ((volatile uint64_t *)(memory + next_page * PAGE))[next_page % 512] = ++total_pages;
        next_page = next_page + 1 < pages ? next_page + 1 : 0;
    }
    return n;
}

static void *
dirtier_thread(void *arg)
{
    uint64_t last = guest_monotonic_ns(), window = last, done = 0;
    struct timespec tick = {.tv_nsec = TICK_NS};
    double owed = 0;

    (void)arg;
    for (;;) {
        uint64_t now;

        nanosleep(&tick, NULL);
        now = guest_monotonic_ns();
        pthread_mutex_lock(&lock);
        if (rate_mib > 0 && pages)
            done += dirty_due(now - last, &owed);
        last = now;
        if (now - window >= WINDOW_NS) {
            achieved_mib = done * PAGE / MIB / ((now - window) / 1e9);
            window = now;
            done = 0;
        }
        pthread_mutex_unlock(&lock);
    }
    return NULL;
}

/* Under the lock. Not zeros and all different: neither zero page detection nor compression may make
 * it cheap. */
static int
resize(size_t wanted)
{
    uint64_t x = 88172645463325252ULL;

    if (wanted == pages)
        return 0;
    if (memory)
        munmap(memory, pages * PAGE);
    pages = 0;
    memory = mmap(NULL, wanted * PAGE, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (memory == MAP_FAILED) {
        memory = NULL;
        return -1;
    }
    for (size_t i = 0; i < wanted * PAGE / 8; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        ((uint64_t *)memory)[i] = x;
    }
    pages = wanted;
    next_page = 0;
    return 0;
}

int
dirtier_set(double rate, unsigned set_mib)
{
    size_t wanted = (size_t)set_mib * (1048576 / PAGE);
    int rc = 0;

    pthread_mutex_lock(&lock);
    rate_mib = 0;
    if (rate > 0)
        rc = set_mib > 0 ? resize(wanted) : -1;
    if (rc == 0)
        rate_mib = rate;
    if (!running) {
        running = 1;
        guest_thread(dirtier_thread, NULL);
    }
    pthread_mutex_unlock(&lock);
    return rc;
}

void
dirtier_stats(FILE *out)
{
    pthread_mutex_lock(&lock);
    fprintf(out,
            "\"load\":{\"rate_mib_s\":%.2f,\"achieved_mib_s\":%.2f,\"set_mib\":%zu,\"pages\":%llu}",
            rate_mib, achieved_mib, pages * PAGE / 1048576, (unsigned long long)total_pages);
    pthread_mutex_unlock(&lock);
}
