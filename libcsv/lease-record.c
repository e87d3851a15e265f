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

/* What sanlock would say of a ballot: one that it does not understand, or of a later owner than the
 * next one, and it takes that lease for nobody. */
static const char *
dblock_problem(const struct disk_dblock *dblock, uint64_t lver)
{
    if (!dblock->checksum && !dblock->mbal && !dblock->bal && !dblock->inp && !dblock->lver)
        return NULL;
    if (le32toh(dblock->checksum) != csv_crc32c_raw(~1u, dblock, DBLOCK_CHECKED))
        return "bad checksum of a ballot";
    return le64toh(dblock->lver) > lver + 1 ? "a ballot of a later owner" : NULL;
}

/* The first one in a whole area, behind its leader record. */
const char *
csv_area_problem(const uint8_t *area, uint64_t sector_bytes, const struct disk_leader *leader)
{
    uint64_t most = ALIGN_BYTES / sector_bytes - DBLOCKS_AT;
    struct disk_request request;
    const char *problem = NULL;

    memcpy(&request, area + REQUEST_AT * sector_bytes, sizeof(request));
    if (le32toh(request.magic) != REQUEST_MAGIC ||
        (le32toh(request.version) & REQUEST_MAJOR) != (REQUEST_VERSION & REQUEST_MAJOR))
        return "no request record";
    for (uint64_t i = 0; !problem && i < most && i < le64toh(leader->num_hosts); i++) {
        struct disk_dblock dblock;

        memcpy(&dblock, area + (DBLOCKS_AT + i) * sector_bytes, sizeof(dblock));
        problem = dblock_problem(&dblock, le64toh(leader->lver));
    }
    return problem;
}

/* A lease taken a thousand times a second for 49 days. */
#define FARTHEST (1ull << 32)

uint64_t
csv_area_lver(const uint8_t *area, uint64_t sector_bytes, const struct disk_leader *leader)
{
    uint64_t most = ALIGN_BYTES / sector_bytes - DBLOCKS_AT;
    uint64_t lver = 0;

    for (uint64_t i = 0; i < most && i < le64toh(leader->num_hosts); i++) {
        struct disk_dblock dblock;

        memcpy(&dblock, area + (DBLOCKS_AT + i) * sector_bytes, sizeof(dblock));
        if (!dblock_problem(&dblock, UINT64_MAX - 1) && le64toh(dblock.lver) > lver &&
            le64toh(dblock.lver) - le64toh(leader->lver) < FARTHEST)
            lver = le64toh(dblock.lver);
    }
    return lver;
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
