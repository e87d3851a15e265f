/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* lease-record.c - whether one of sanlock's records is sound, and writing one. */

#include "lease-record.h"

#include "crc32c.h"
#include "error.h"

#include <endian.h>
#include <string.h>

/* What is wrong with a leader record of this kind; NULL: nothing. */
const char *
csv_leader_problem(const struct disk_leader *leader, uint32_t magic, const struct csv_super *super)
{
    char space[sizeof(leader->space_name)] = {0};

    if (le32toh(leader->magic) != magic)
        return "no lease magic";
    if ((le32toh(leader->version) & LEADER_MAJOR_MASK) !=
        (magic == LEADER_MAGIC ? LEADER_MAJOR : DELTA_MAJOR))
        return "unknown lease version";
    /* sanlock starts its CRC-32C at the complement of one, and does not invert the end */
    if (le32toh(leader->checksum) != csv_crc32c_raw(~1u, leader, LEADER_CHECKED))
        return "bad lease checksum";
    if (le32toh(leader->sector_size) != super->sector_bytes)
        return "lease made for another sector size";
    memcpy(space, super->name, strnlen(super->name, sizeof(space)));
    if (memcmp(space, leader->space_name, sizeof(space)) != 0)
        return "lease of another lockspace";
    if (leader->resource_name[CSV_NAME_MAX])
        return "lease name too long";
    return NULL;
}

static const char *
dblock_problem(const struct disk_dblock *dblock)
{
    if (!dblock->checksum && !dblock->mbal && !dblock->bal && !dblock->inp && !dblock->lver)
        return NULL;
    return le32toh(dblock->checksum) != csv_crc32c_raw(~1u, dblock, DBLOCK_CHECKED)
               ? "bad checksum of a ballot"
               : NULL;
}

static void
read_dblock(const uint8_t *area, uint64_t sector_bytes, uint64_t host_id,
            struct disk_dblock *dblock)
{
    memcpy(dblock, area + (DBLOCKS_AT + host_id - 1) * sector_bytes, sizeof(*dblock));
}

/* Those that sanlock reads, and that an area has room for. */
static uint64_t
count_dblocks(uint64_t sector_bytes, const struct disk_leader *leader)
{
    uint64_t most = ALIGN_BYTES / sector_bytes - DBLOCKS_AT;

    return le64toh(leader->num_hosts) < most ? le64toh(leader->num_hosts) : most;
}

/* The first one in a whole area, behind its leader record. What sanlock would not understand, and a
 * ballot of a later owner than the next one: it takes that lease for nobody. */
const char *
csv_area_problem(const uint8_t *area, uint64_t sector_bytes, const struct disk_leader *leader)
{
    struct disk_request request;
    const char *problem = NULL;

    memcpy(&request, area + REQUEST_AT * sector_bytes, sizeof(request));
    if (le32toh(request.magic) != REQUEST_MAGIC ||
        (le32toh(request.version) & REQUEST_MAJOR) != (REQUEST_VERSION & REQUEST_MAJOR))
        return "no request record";
    for (uint64_t id = 1; !problem && id <= count_dblocks(sector_bytes, leader); id++) {
        struct disk_dblock dblock;

        read_dblock(area, sector_bytes, id, &dblock);
        problem = dblock_problem(&dblock);
        if (!problem && le64toh(dblock.lver) > le64toh(leader->lver) + 1)
            problem = "a ballot of a later owner";
    }
    return problem;
}

/* What a host leaves of its ballot that could not take a lease, for its storage failed. */
static bool
is_retracted(const struct disk_dblock *dblock)
{
    return dblock->checksum && le32toh(dblock->flags) & DBLOCK_RELEASED && !dblock->mbal &&
           !dblock->bal && !dblock->inp && !dblock->lver;
}

/* The record was written by its owner: so it says what that one's ballot says. sanlock flags the
 * ballot first as it gives a lease back. */
static const char *
owner_doubt(const struct disk_dblock *dblock, const struct disk_leader *leader)
{
    bool is_released = le32toh(dblock->flags) & DBLOCK_RELEASED;

    if (is_retracted(dblock))
        return NULL;
    if (dblock->lver != leader->lver || dblock->inp != leader->owner_id ||
        dblock->inp2 != leader->owner_generation ||
        (leader->timestamp && dblock->inp3 != leader->timestamp))
        return "the ballot of who took it last is not the one that it was taken with";
    if (leader->timestamp && is_released)
        return "by its ballot who took it last has given it back";
    return !leader->timestamp && !is_released
               ? "by its ballot who took it last has not given it back"
               : NULL;
}

const char *
csv_area_doubt(const uint8_t *area, uint64_t sector_bytes, const struct disk_leader *leader)
{
    uint64_t count = count_dblocks(sector_bytes, leader), owner = le64toh(leader->owner_id);
    struct disk_dblock dblock;

    for (uint64_t id = 1; id <= count; id++) {
        read_dblock(area, sector_bytes, id, &dblock);
        /* without a winner nobody took it: that host was about to, and was cut off */
        if (dblock.inp && le64toh(dblock.lver) > le64toh(leader->lver))
            return "by a ballot it was taken once more since";
    }
    if (!leader->lver || !owner || owner > count || leader->write_id != leader->owner_id)
        return NULL;
    read_dblock(area, sector_bytes, owner, &dblock);
    return owner_doubt(&dblock, leader);
}

/* A lease taken a thousand times a second for 49 days. */
#define FARTHEST (1ull << 32)

/* A ballot without a winner says that all takings before it came to an end. */
static void
read_taking(const struct disk_dblock *dblock, struct csv_taking *taking)
{
    uint64_t lver = le64toh(dblock->lver);

    if (dblock->inp)
        *taking = (struct csv_taking){lver, le64toh(dblock->inp), le64toh(dblock->inp2)};
    else
        *taking = (struct csv_taking){.lver = lver ? lver - 1 : 0};
}

void
csv_area_newest(const uint8_t *area, uint64_t sector_bytes, const struct disk_leader *leader,
                struct csv_taking *newest)
{
    uint64_t highest = 0;

    *newest = (struct csv_taking){0};
    for (uint64_t id = 1; id <= count_dblocks(sector_bytes, leader); id++) {
        struct disk_dblock dblock;
        struct csv_taking taking;

        read_dblock(area, sector_bytes, id, &dblock);
        read_taking(&dblock, &taking);
        if (dblock_problem(&dblock) || taking.lver < newest->lver ||
            taking.lver - le64toh(leader->lver) >= FARTHEST)
            continue;
        /* of several winners of one taking it is the one with the highest ballot */
        if (taking.lver > newest->lver || (taking.host_id && le64toh(dblock.bal) >= highest)) {
            *newest = taking;
            highest = taking.host_id ? le64toh(dblock.bal) : 0;
        }
    }
}

/* Exactly one sector is written: the neighbours are other hosts' leases, renewed all the time. */
int
csv_leader_write(struct csv_volume *volume, uint64_t offset, uint8_t *sector,
                 struct disk_leader *leader, struct csv_error *error)
{
    struct csv_dev *dev = volume->dev;
    int result;

    leader->checksum = htole32(csv_crc32c_raw(~1u, leader, LEADER_CHECKED));
    memcpy(sector, leader, sizeof(*leader));
    result = dev->ops->write(dev, offset, sector, volume->super.sector_bytes);
    if (!result)
        result = dev->ops->flush(dev);
    return result ? csv_fail(error, CSV_E_IO, -result, "cannot write the lease at %llu",
                             (unsigned long long)offset)
                  : 0;
}
