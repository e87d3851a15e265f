/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* lease-record.h - sanlock's records as they lie on the disk (private). */

/*
 * Reading them is done here, since libsanlock offers no function for it: the layout is that of
 * sanlock's disk versions 6 (paxos leases) and 3 (delta leases), unchanged since 2012 and checked
 * before use. Areas are 1 MiB for both sector sizes: sanlock allows that with 4096 byte sectors for
 * up to 250 hosts, which is where CSV_MAX_NODES comes from.
 */
#pragma once

#include "volume.h"

#include <stddef.h>
#include <stdint.h>

#define ALIGN_BYTES (1u << 20)

/* sanlock's paxos leader record, as it lies on the disk (little-endian) */
struct disk_leader {
    uint32_t magic;
    uint32_t version;
    uint32_t flags;
    uint32_t sector_size;
    uint64_t num_hosts;
    uint64_t max_hosts;
    uint64_t owner_id;
    uint64_t owner_generation;
    uint64_t lver;
    uint8_t space_name[48];
    uint8_t resource_name[48];
    uint64_t timestamp; /* 0: free */
    uint64_t unused1;
    uint32_t checksum;
    uint32_t unused2;
    uint64_t write_id; /* who wrote the record: its owner, or who found the owner's ballot won */
};
#define LEADER_MAGIC      0x06152010u
#define DELTA_MAGIC       0x12212010u
#define DELTA_MAJOR       0x00030000u
#define LEADER_MAJOR      0x00060000u
#define LEADER_MAJOR_MASK 0xffff0000u
#define LEADER_CHECKED    offsetof(struct disk_leader, checksum)

/* behind it, a sector: what another host asks of the owner, by sanlock_request() */
struct disk_request {
    uint32_t magic;
    uint32_t version;
    uint64_t lver;
    uint8_t force_mode;
};
#define REQUEST_AT      1 /* sectors */
#define REQUEST_MAGIC   0x08292011u
#define REQUEST_VERSION 0x00010001u
#define REQUEST_MAJOR   0xffff0000u

/* one host's ballot, a sector each behind that */
struct disk_dblock {
    uint64_t mbal, bal, inp, inp2, inp3, lver;
    uint32_t checksum;
    uint32_t flags;
};
#define DBLOCK_RELEASED 1u /* its host has given back what it took with it */
#define DBLOCKS_AT      2  /* sectors */
#define DBLOCK_CHECKED  offsetof(struct disk_dblock, checksum)

_Static_assert(DBLOCK_CHECKED == 48, "ballot");

_Static_assert(offsetof(struct disk_leader, lver) == 48, "leader record");
_Static_assert(offsetof(struct disk_leader, resource_name) == 104, "leader record");
_Static_assert(LEADER_CHECKED == 168, "leader record");
_Static_assert(offsetof(struct disk_leader, write_id) == 176, "leader record");

/* What is wrong with a leader record of this kind; NULL: nothing. */
const char *
csv_leader_problem(const struct disk_leader *leader, uint32_t magic, const struct csv_super *super);

/* The first problem of a whole paxos area, behind its leader record; NULL: none. */
const char *
csv_area_problem(const uint8_t *area, uint64_t sector_bytes, const struct disk_leader *leader);

/* Where none has: what they say against the leader record all the same, as where it is an older
 * version of itself; NULL: nothing. sanlock can be at it: then it is not so a moment later. */
const char *
csv_area_doubt(const uint8_t *area, uint64_t sector_bytes, const struct disk_leader *leader);

/* One taking of a lease. */
struct csv_taking {
    uint64_t lver;    /* which one it was; 0: none is known */
    uint64_t host_id; /* whose; 0: not known */
    uint64_t host_generation;
};

/* The newest one that any sound ballot of that area speaks of. One so far from the record's that no
 * host can have come there in its life counts for nothing. */
void csv_area_newest(const uint8_t *area, uint64_t sector_bytes, const struct disk_leader *leader,
                     struct csv_taking *newest);

/* Writes exactly one sector, with the record's checksum, and flushes. The sector's other bytes are
 * as the caller left them. 0 or CSV_E_IO. */
int csv_leader_write(struct csv_volume *volume, uint64_t offset, uint8_t *sector,
                     struct disk_leader *leader, struct csv_error *error);

/* All of a lockspace's host leases, free, by libsanlock. 0, CSV_E_IO, or CSV_BAD_VALUE for a path
 * that is too long for it. */
int
csv_lockspace_write(struct csv_dev *dev, const struct csv_super *super, struct csv_error *error);
