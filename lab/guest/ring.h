/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* ring.h - the ring of numbered records on the guest's disk. */

/*
 * The ring of numbered records by which a lost, doubled or reordered write is found out.
 *
 * A file of slots of 4 KiB. Record `seq` (from 1) lies in slot (seq - 1) % slots, carries the
 * checksum of record seq - 1, and its own at the end. The chain goes on over reboots. Slots never
 * written hold a marker, not zeros: every block of the file is allocated when the image is made, so
 * writing a record changes no metadata, and the file can be read out of an image whose journal was
 * not replayed. Shared by the guest, which writes, and lab-verify, which judges.
 */
#pragma once

#include <stdint.h>
#include <stdio.h>

#define RING_RECORD_SIZE 4096
#define RING_BOOT_SIZE   16
#define RING_BOOT_TEXT   (2 * RING_BOOT_SIZE + 1)
#define RING_PATH        "/ring/records"

struct ring_record {
    char magic[8];
    uint64_t seq;
    uint64_t time_ns; /* wall clock of the writer */
    uint8_t boot_id[RING_BOOT_SIZE];
    uint32_t prev_crc; /* checksum of record seq - 1, 0 for the first */
    uint32_t pad;
    uint8_t payload[RING_RECORD_SIZE -
                    52]; /* derived from seq, so that parts of two records can't pass as one */
    uint32_t crc;        /* CRC32C of all before it */
} __attribute__((packed));

_Static_assert(sizeof(struct ring_record) == RING_RECORD_SIZE, "a record is one 4 KiB block");

/* What a check found. */
struct ring_report {
    uint64_t slots;
    uint64_t first;    /* oldest record that must be there */
    uint64_t head;     /* newest one, 0 for an empty ring */
    uint32_t head_crc; /* the next record's prev_crc */
    int torn_tail;     /* the write after head was cut: allowed, it was never acknowledged */
    uint8_t head_boot[RING_BOOT_SIZE]; /* of the boot that wrote the newest one */
    unsigned boots;                    /* that have written what is there */
    unsigned findings;
};

/* What a client saw acknowledged last. */
struct ring_acked {
    uint64_t seq;
    uint8_t boot[RING_BOOT_SIZE]; /* of the boot that wrote it; all 0: not known */
};

/* Builds a record; prev_crc is the previous one's crc. */
void ring_make(struct ring_record *r, uint64_t seq, uint32_t prev_crc, uint64_t time_ns,
               const uint8_t boot_id[RING_BOOT_SIZE]);

/* Builds the marker of a slot never written. */
void ring_make_empty(struct ring_record *r, uint64_t slot);

/*
 * Judges the ring in `fd` (whole file). Every finding is a line "NAME slot=S ...: text" on `out`
 * (may be NULL); names are corrupt, lost, doubled, reordered, chain, interleaved, epoch. Records up
 * to acked.seq must be there, and that one be of its boot; acked may be NULL. 0, or -1 with errno
 * when it can't be read.
 */
int ring_check(int fd, const struct ring_acked *acked, FILE *out, struct ring_report *report)
    __attribute__((warn_unused_result));

/* A boot id as 32 digits, and back: 0, or -1 where the text is none. */
void ring_boot_text(const uint8_t boot[RING_BOOT_SIZE], char text[RING_BOOT_TEXT]);
int ring_boot_parse(const char *text, uint8_t boot[RING_BOOT_SIZE]);
