/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* ring.c - making and judging the ring of records: see ring.h for its layout and why. */
#include "guest/ring.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guest/crc32c.h"

#define MAGIC_RECORD "LABREC01"
#define MAGIC_EMPTY  "LABEMPTY"
#define READ_CHUNK   (1 << 20)

enum slot_state {
    SLOT_BAD,
    SLOT_EMPTY,
    SLOT_RECORD,
};

struct slot {
    enum slot_state state;
    uint64_t seq;
    uint32_t prev_crc;
    uint32_t crc;
    uint8_t boot[RING_BOOT_SIZE];
};

static void
fill_payload(struct ring_record *r)
{
    uint64_t x = r->seq * 0x9e3779b97f4a7c15ULL + 1;
    size_t i;

    for (i = 0; i + 8 <= sizeof(r->payload); i += 8) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        memcpy(r->payload + i, &x, 8);
    }
    memset(r->payload + i, 0x5a, sizeof(r->payload) - i);
}

static void
seal(struct ring_record *r)
{
    fill_payload(r);
    r->crc = lab_crc32c(r, RING_RECORD_SIZE - sizeof(r->crc));
}

void
ring_make(struct ring_record *r, uint64_t seq, uint32_t prev_crc, uint64_t time_ns,
          const uint8_t boot_id[RING_BOOT_SIZE])
{
    memcpy(r->magic, MAGIC_RECORD, sizeof(r->magic));
    r->seq = seq;
    r->time_ns = time_ns;
    memcpy(r->boot_id, boot_id, sizeof(r->boot_id));
    r->prev_crc = prev_crc;
    r->pad = 0;
    seal(r);
}

void
ring_make_empty(struct ring_record *r, uint64_t slot)
{
    memset(r, 0, sizeof(*r));
    memcpy(r->magic, MAGIC_EMPTY, sizeof(r->magic));
    r->seq = slot;
    seal(r);
}

static struct slot
look_at(const struct ring_record *r)
{
    struct slot s = {.state = SLOT_BAD};

    if (r->crc != lab_crc32c(r, RING_RECORD_SIZE - sizeof(r->crc)))
        return s;
    s.seq = r->seq;
    s.prev_crc = r->prev_crc;
    s.crc = r->crc;
    memcpy(s.boot, r->boot_id, sizeof(s.boot));
    if (!memcmp(r->magic, MAGIC_RECORD, sizeof(r->magic)) && r->seq > 0)
        s.state = SLOT_RECORD;
    else if (!memcmp(r->magic, MAGIC_EMPTY, sizeof(r->magic)))
        s.state = SLOT_EMPTY;
    return s;
}

static struct slot *
load(int fd, uint64_t *n_slots)
{
    struct stat st;
    struct slot *slots;
    struct ring_record *chunk;
    off_t at = 0;

    if (fstat(fd, &st))
        return NULL;
    *n_slots = st.st_size / RING_RECORD_SIZE;
    if (*n_slots < 2) {
        errno = EINVAL;
        return NULL;
    }
    slots = calloc(*n_slots, sizeof(*slots));
    /* Aligned, since the guest reads with O_DIRECT: it is the disk that is to be judged. */
    if (!slots || posix_memalign((void **)&chunk, RING_RECORD_SIZE, READ_CHUNK)) {
        free(slots);
        return NULL;
    }
    while ((uint64_t)at < *n_slots * RING_RECORD_SIZE) {
        ssize_t n = pread(fd, chunk, READ_CHUNK, at);

        if (n < RING_RECORD_SIZE) {
            if (n >= 0)
                errno = EIO;
            free(chunk);
            free(slots);
            return NULL;
        }
        n -= n % RING_RECORD_SIZE;
        for (ssize_t i = 0; i < n / RING_RECORD_SIZE; i++)
            if ((uint64_t)(at / RING_RECORD_SIZE + i) < *n_slots)
                slots[at / RING_RECORD_SIZE + i] = look_at(&chunk[i]);
        at += n;
    }
    free(chunk);
    return slots;
}

static int
is_in_place(const struct slot *slots, uint64_t n, uint64_t seq)
{
    const struct slot *s = &slots[(seq - 1) % n];

    return s->state == SLOT_RECORD && s->seq == seq;
}

/* Says what is wrong with the slot that should hold `seq`; NULL where nothing is. */
static const char *
judge(const struct slot *slots, uint64_t n, uint64_t seq)
{
    const struct slot *s = &slots[(seq - 1) % n];

    if (s->state == SLOT_BAD)
        return "corrupt";
    if (s->state == SLOT_EMPTY)
        return "lost";
    if (s->seq == seq)
        return NULL;
    if ((s->seq - 1) % n == (seq - 1) % n)
        return "lost"; /* an older round: the newer write never arrived */
    return is_in_place(slots, n, s->seq) ? "doubled" : "reordered";
}

static void
report_finding(FILE *out, struct ring_report *report, const char *name, uint64_t n, uint64_t seq,
               uint64_t found)
{
    report->findings++;
    if (out)
        fprintf(out, "%s slot=%llu: record %llu is expected there, %llu found\n", name,
                (unsigned long long)((seq - 1) % n), (unsigned long long)seq,
                (unsigned long long)found);
}

void
ring_boot_text(const uint8_t boot[RING_BOOT_SIZE], char text[RING_BOOT_TEXT])
{
    for (size_t i = 0; i < RING_BOOT_SIZE; i++)
        snprintf(text + 2 * i, 3, "%02x", boot[i]);
}

int
ring_boot_parse(const char *text, uint8_t boot[RING_BOOT_SIZE])
{
    if (strlen(text) != RING_BOOT_TEXT - 1 || strspn(text, "0123456789abcdef") != strlen(text))
        return -1;
    for (size_t i = 0; i < RING_BOOT_SIZE; i++) {
        char digits[] = {text[2 * i], text[2 * i + 1], '\0'};

        boot[i] = strtoul(digits, NULL, 16);
    }
    return 0;
}

static int
is_boot(const struct slot *s, const uint8_t *boot)
{
    return !memcmp(s->boot, boot, RING_BOOT_SIZE);
}

static void
report_boot(FILE *out, struct ring_report *report, const char *name, uint64_t seq,
            const struct slot *s, const char *text, const uint8_t *other)
{
    char boot[RING_BOOT_TEXT], other_boot[RING_BOOT_TEXT];

    ring_boot_text(s->boot, boot);
    ring_boot_text(other, other_boot);
    report->findings++;
    if (out)
        fprintf(out, "%s slot=%llu: record %llu is of boot %s, %s boot %s\n", name,
                (unsigned long long)((seq - 1) % report->slots), (unsigned long long)seq, boot,
                text, other_boot);
}

/* A guest's boots are its epochs: once a newer one has written, an older one must not write any
 * more. Their order is that in which they appear. */
static int
check_boots(const struct slot *slots, FILE *out, struct ring_report *report)
{
    const struct slot **firsts = NULL; /* of each boot, in that order */
    const struct slot *last = NULL;

    for (uint64_t seq = report->first; seq <= report->head; seq++) {
        const struct slot *s = &slots[(seq - 1) % report->slots];
        unsigned i = 0;

        if (!is_in_place(slots, report->slots, seq) || (last && is_boot(s, last->boot)))
            continue;
        while (i < report->boots && !is_boot(s, firsts[i]->boot))
            i++;
        if (i < report->boots) {
            report_boot(out, report, "interleaved", seq, s, "after records of the newer",
                        last->boot);
        } else {
            const struct slot **more = realloc(firsts, (i + 1) * sizeof(*firsts));

            if (!more) {
                free(firsts);
                return -1;
            }
            firsts = more;
            firsts[report->boots++] = s;
        }
        last = s;
    }
    free(firsts);
    return 0;
}

static void
check_acked(const struct slot *slots, const struct ring_acked *acked, FILE *out,
            struct ring_report *report)
{
    static const uint8_t unknown[RING_BOOT_SIZE];
    const struct slot *s = &slots[(acked->seq - 1) % report->slots];

    if (acked->seq > report->head) {
        report->findings++;
        if (out)
            fprintf(out, "lost slot=%llu: record %llu was acknowledged, the newest one is %llu\n",
                    (unsigned long long)((acked->seq - 1) % report->slots),
                    (unsigned long long)acked->seq, (unsigned long long)report->head);
    } else if (acked->seq && memcmp(acked->boot, unknown, sizeof(unknown)) &&
               is_in_place(slots, report->slots, acked->seq) && !is_boot(s, acked->boot)) {
        report_boot(out, report, "epoch", acked->seq, s, "acknowledged was that of", acked->boot);
    }
}

static void
check_records(const struct slot *slots, uint64_t acked, FILE *out, struct ring_report *report)
{
    uint64_t n = report->slots, head = report->head;

    for (uint64_t seq = report->first; seq <= head; seq++) {
        const struct slot *s = &slots[(seq - 1) % n];
        const char *name = judge(slots, n, seq);

        /* The oldest record's slot is where the write after head goes: that one may have been cut
         * in the middle. */
        if (name && s->state == SLOT_BAD && seq + n == head + 1 && acked <= head) {
            report->torn_tail = 1;
        } else if (name) {
            report_finding(out, report, name, n, seq, s->seq);
        } else if (seq > 1 && seq > report->first && is_in_place(slots, n, seq - 1) &&
                   slots[(seq - 2) % n].crc != s->prev_crc) {
            report_finding(out, report, "chain", n, seq, s->seq);
        }
    }
    if (head < n && slots[head].state == SLOT_BAD)
        report->torn_tail = 1; /* first round: the slot after head was empty before */
}

int
ring_check(int fd, const struct ring_acked *acked, FILE *out, struct ring_report *report)
{
    static const struct ring_acked none;
    struct slot *slots;
    int rc;

    memset(report, 0, sizeof(*report));
    slots = load(fd, &report->slots);
    if (!slots)
        return -1;
    for (uint64_t i = 0; i < report->slots; i++)
        if (slots[i].state == SLOT_RECORD && (slots[i].seq - 1) % report->slots == i &&
            slots[i].seq > report->head) {
            report->head = slots[i].seq;
            report->head_crc = slots[i].crc;
            memcpy(report->head_boot, slots[i].boot, sizeof(report->head_boot));
        }
    report->first = report->head > report->slots ? report->head - report->slots + 1 : 1;
    if (!acked)
        acked = &none;
    check_records(slots, acked->seq, out, report);
    check_acked(slots, acked, out, report);
    rc = check_boots(slots, out, report);
    /* Slots beyond a head that never went round must be untouched. */
    for (uint64_t i = report->head + 1; i < report->slots; i++)
        if (slots[i].state != SLOT_EMPTY)
            report_finding(out, report, slots[i].state == SLOT_BAD ? "corrupt" : "doubled",
                           report->slots, i + 1, slots[i].seq);
    free(slots);
    return rc;
}
