/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* writer.c - The record writer: proves that no acknowledged write is lost. */

/*
 * A record counts as acknowledged when its O_DIRECT|O_DSYNC write has returned, not before.
 * Acknowledgements go to whoever is connected to the port for them, as lines "ack SEQ BOOT" (the
 * newest one, older are implied; BOOT is that of the record). A guest that boots anew reads where
 * the chain ended and goes on from there.
 */
#include "guest/guest.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "guest/ring.h"

#define MAX_LAG_NS 100000000ULL

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int ring_fd = -1;
static struct ring_report state; /* head and head_crc go on from here */
static struct ring_acked acked;
static double rate;
static uint64_t timed, took_ns, slowest_ns; /* of the writes since the rate was set */
static unsigned long long errors;
static int stopping;

/* Under the lock: one record, to the disk, then acknowledged. */
static void
write_one(struct ring_record *record)
{
    uint64_t seq = state.head + 1;
    off_t at = (off_t)((seq - 1) % state.slots) * RING_RECORD_SIZE;
    uint64_t begun_ns, ns;

    ring_make(record, seq, state.head_crc, guest_wall_ns(), guest_facts.boot_id);
    begun_ns = guest_monotonic_ns();
    if (pwrite(ring_fd, record, RING_RECORD_SIZE, at) != RING_RECORD_SIZE) {
        errors++;
        return; /* may have landed or not: the same record is written again */
    }
    ns = guest_monotonic_ns() - begun_ns;
    timed++;
    took_ns += ns;
    slowest_ns = ns > slowest_ns ? ns : slowest_ns;
    state.head = seq;
    state.head_crc = record->crc;
    acked.seq = seq;
    memcpy(acked.boot, guest_facts.boot_id, sizeof(acked.boot));
    pthread_cond_broadcast(&changed);
}

static void *
writer_thread(void *arg)
{
    struct ring_record *record;
    uint64_t due = guest_monotonic_ns();

    (void)arg;
    if (posix_memalign((void **)&record, RING_RECORD_SIZE, RING_RECORD_SIZE))
        return NULL;
    for (;;) {
        uint64_t now, period;

        pthread_mutex_lock(&lock);
        while (rate <= 0 || stopping)
            pthread_cond_wait(&changed, &lock);
        write_one(record);
        period = 1e9 / rate;
        pthread_mutex_unlock(&lock);

        now = guest_monotonic_ns();
        due += period;
        if (due + MAX_LAG_NS < now)
            due = now;
        if (due > now) {
            struct timespec ts = {(due - now) / 1000000000, (due - now) % 1000000000};

            nanosleep(&ts, NULL);
        }
    }
    return NULL;
}

static void *
ack_connection(void *arg)
{
    int fd = (int)(intptr_t)arg;
    struct ring_acked seen = {0};
    char line[80], boot[RING_BOOT_TEXT];

    for (;;) {
        int len;

        pthread_mutex_lock(&lock);
        while (acked.seq == seen.seq)
            pthread_cond_wait(&changed, &lock);
        seen = acked;
        pthread_mutex_unlock(&lock);
        ring_boot_text(seen.boot, boot);
        len = snprintf(line, sizeof(line), "ack %llu %s\n", (unsigned long long)seen.seq, boot);
        if (write(fd, line, len) != len)
            break;
    }
    close(fd);
    return NULL;
}

static void *
ack_thread(void *arg)
{
    int listener = guest_listen(SOCK_STREAM, GUEST_PORT_ACKS);

    (void)arg;
    while (listener >= 0) {
        int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

        if (fd >= 0)
            guest_thread(ack_connection, (void *)(intptr_t)fd);
    }
    return NULL;
}

/* Finds the end of the chain, beside the start of all else: under emulation this takes a moment. */
static void *
recover_thread(void *arg)
{
    (void)arg;
    pthread_mutex_lock(&lock);
    ring_fd = open(RING_PATH, O_RDWR | O_DIRECT | O_DSYNC | O_CLOEXEC);
    if (ring_fd < 0 || ring_check(ring_fd, NULL, stderr, &state)) {
        fprintf(stderr, "lab-guest: no ring of records: %s\n", strerror(errno));
        pthread_mutex_unlock(&lock);
        return NULL;
    }
    acked.seq = state.head;
    memcpy(acked.boot, state.head_boot, sizeof(acked.boot));
    pthread_mutex_unlock(&lock);
    guest_thread(ack_thread, NULL);
    return writer_thread(NULL);
}

void
writer_start(void)
{
    guest_thread(recover_thread, NULL);
}

void
writer_set(double new_rate)
{
    pthread_mutex_lock(&lock);
    rate = new_rate;
    timed = took_ns = slowest_ns = 0;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

void
writer_stats(FILE *out)
{
    pthread_mutex_lock(&lock);
    fprintf(out, "\"writer\":{\"rate\":%.1f,\"acked\":%llu,\"errors\":%llu,\"slots\":%llu,", rate,
            (unsigned long long)acked.seq, errors, (unsigned long long)state.slots);
    fprintf(out, "\"timed\":%llu,\"mean_us\":%llu,\"slowest_us\":%llu}", (unsigned long long)timed,
            (unsigned long long)(timed ? took_ns / timed / 1000 : 0),
            (unsigned long long)slowest_ns / 1000);
    pthread_mutex_unlock(&lock);
}

int
writer_verify(FILE *out)
{
    struct ring_report report;
    int rc;

    pthread_mutex_lock(&lock);
    rc = ring_fd < 0 ? -1 : ring_check(ring_fd, &acked, out, &report);
    pthread_mutex_unlock(&lock);
    return rc ? -1 : (int)report.findings;
}

void
writer_shutdown(void)
{
    pthread_mutex_lock(&lock);
    stopping = 1;
    pthread_mutex_unlock(&lock);
}
