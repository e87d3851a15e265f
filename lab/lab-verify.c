/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* lab-verify.c - judges a ring of records that was read out of a guest's disk. */

/*
 * lab-verify: judges a ring of records that was read out of a guest's disk, and makes empty ones.
 *
 * What it finds, of the records that are still in the ring (older ones were overwritten in order):
 * one that was acknowledged to a client and is not there (lost), at the newest end only where
 * --acked says what was; an older one in its place, one twice, two exchanged, bytes that are not
 * what was written (lost, doubled, reordered, corrupt); one that does not follow the one before it,
 * because two writers went on from the same end (chain); one of an older boot of the guest behind
 * one of a newer boot (interleaved); and the acknowledged one replaced by that of another boot
 * (epoch). The boot id is the epoch: a guest does not know its node, and each start has one.
 *
 * What it cannot find: that an older boot wrote while a newer one ran, where the newer one has
 * written the same slots after it; a second copy that wrote nothing, or nothing to the ring; on
 * which node a boot was, for that see tests/lib/copy-watch. A guest that moves keeps its boot id,
 * so copies at both ends of a move show as chain, not as interleaved, and where both wrote the
 * newest record only, not at all. An acknowledged record that was lost before the guest booted anew
 * and wrote that number again is not seen here but by lab-acks, whose client saw both.
 *
 * Findings, one a line, go to stderr; one line of JSON to stdout; exit status 0 = nothing found, 1
 * = findings, 2 = not to be judged. "lab verify IMAGE" takes the ring out of the disk image first.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "guest/ring.h"

static int
usage(void)
{
    fputs("usage: lab-verify RINGFILE [--acked SEQ[:BOOT]]   judge\n"
          "       lab-verify --make RINGFILE SLOTS           make an empty ring\n"
          "       lab-verify --fill RINGFILE N               write N records more, as a guest "
          "would\n",
          stderr);
    return 2;
}

static int
make_ring(const char *path, unsigned long slots)
{
    struct ring_record record;
    FILE *f = fopen(path, "we");

    for (unsigned long i = 0; f && i < slots; i++) {
        ring_make_empty(&record, i);
        fwrite(&record, sizeof(record), 1, f);
    }
    if (!f || fclose(f)) {
        fprintf(stderr, "lab-verify: cannot write %s: %s\n", path, strerror(errno));
        return 2;
    }
    return 0;
}

/* For tests of the judge: what to damage must first be made. */
static int
fill_ring(const char *path, unsigned long n)
{
    const char *who = getenv("MIGRATED_LAB_BOOT_ID");
    uint8_t boot_id[16] = "lab-verify";
    struct ring_report report;
    struct ring_record record;
    int fd = open(path, O_RDWR | O_CLOEXEC);

    if (fd < 0 || ring_check(fd, NULL, stderr, &report)) {
        fprintf(stderr, "lab-verify: cannot read a ring from %s: %s\n", path, strerror(errno));
        return 2;
    }
    if (who) {
        memset(boot_id, 0, sizeof(boot_id));
        snprintf((char *)boot_id, sizeof(boot_id), "%s", who);
    }
    for (; n; n--) {
        uint64_t seq = ++report.head;

        ring_make(&record, seq, report.head_crc, seq, boot_id);
        report.head_crc = record.crc;
        if (pwrite(fd, &record, sizeof(record), (seq - 1) % report.slots * sizeof(record)) !=
            sizeof(record)) {
            perror("lab-verify");
            return 2;
        }
    }
    return close(fd) ? 2 : 0;
}

static int
parse_acked(const char *text, struct ring_acked *acked)
{
    char *end;

    acked->seq = strtoull(text, &end, 10);
    return end == text || (*end && (*end != ':' || ring_boot_parse(end + 1, acked->boot))) ? -1 : 0;
}

int
main(int argc, char **argv)
{
    struct ring_acked acked = {0};
    struct ring_report report;
    int fd;

    if (argc == 4 && !strcmp(argv[1], "--make"))
        return make_ring(argv[2], strtoul(argv[3], NULL, 10));
    if (argc == 4 && !strcmp(argv[1], "--fill"))
        return fill_ring(argv[2], strtoul(argv[3], NULL, 10));
    if (argc != 2 && (argc != 4 || strcmp(argv[2], "--acked") || parse_acked(argv[3], &acked)))
        return usage();
    fd = open(argv[1], O_RDONLY | O_CLOEXEC);
    if (fd < 0 || ring_check(fd, &acked, stderr, &report)) {
        fprintf(stderr, "lab-verify: cannot read a ring from %s: %s\n", argv[1], strerror(errno));
        return 2;
    }
    close(fd);
    printf("{\"ok\":%s,\"findings\":%u,\"first\":%llu,\"head\":%llu,\"acked\":%llu,\"boots\":%u,"
           "\"torn_tail\":%s}\n",
           report.findings ? "false" : "true", report.findings, (unsigned long long)report.first,
           (unsigned long long)report.head, (unsigned long long)acked.seq, report.boots,
           report.torn_tail ? "true" : "false");
    return report.findings ? 1 : 0;
}
