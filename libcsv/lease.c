/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* lease.c - sanlock's areas on the volume: making them, finding them, reading who holds one. */

/*
 * The only file of this library that knows libsanlock: areas are written by its "direct" functions,
 * which need no daemon, and nothing here takes or gives a lease. Records that it has no function
 * for are in lease-record.h.
 */

#include "volume.h"

#include "error.h"
#include "lease-record.h"

#include <endian.h>
#include <errno.h>
#include <sanlock.h>
#include <sanlock_admin.h>
#include <sanlock_direct.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LEASES_FIXED 2 /* coordinator and registry, in front of the VMs' */

#define COORDINATOR ".coordinator"
#define REGISTRY    ".registry"

_Static_assert(SANLK_NAME_LEN == CSV_NAME_MAX + 1, "names are sanlock's");

static uint64_t
lease_offset(const struct csv_super *super, uint32_t number)
{
    return super->leases_offset + (uint64_t)number * ALIGN_BYTES;
}

/* sanlock says less in its own codes (-200 and below) than in errno, but says it. */
static int
sanlock_failed(int result, const char *what, struct csv_error *error)
{
    if (result <= -200)
        return csv_fail(error, CSV_E_IO, 0, "%s: sanlock error %d", what, result);
    return csv_fail(error, CSV_E_IO, -result, "%s", what);
}

/* Copies into a field that sanlock does not need terminated. */
static void
put_name(char field[SANLK_NAME_LEN], const char *name)
{
    memcpy(field, name, strnlen(name, SANLK_NAME_LEN));
}

/* sanlock wants the colon of a path escaped only in its text form, not here. */
static int
put_disk(struct sanlk_disk *disk, const struct csv_dev *dev, uint64_t offset,
         struct csv_error *error)
{
    if (strlen(dev->path) >= sizeof(disk->path))
        return csv_fail(error, CSV_BAD_VALUE, 0, "path too long for sanlock");
    memcpy(disk->path, dev->path, strlen(dev->path) + 1);
    disk->offset = offset;
    return 0;
}

int
csv_lockspace_write(struct csv_dev *dev, const struct csv_super *super, struct csv_error *error)
{
    struct sanlk_lockspace lockspace = {0};
    int result;

    put_name(lockspace.name, super->name);
    lockspace.flags = SANLK_LSF_ALIGN1M |
                      (super->sector_bytes == 4096 ? SANLK_LSF_SECTOR4K : SANLK_LSF_SECTOR512);
    result = put_disk(&lockspace.host_id_disk, dev, super->lockspace_offset, error);
    if (result)
        return result;
    result = sanlock_direct_write_lockspace(&lockspace, 0, 0, super->io_timeout_s);
    return result < 0 ? sanlock_failed(result, "cannot write sanlock's lockspace", error) : 0;
}

static int
write_resource(struct csv_dev *dev, const struct csv_super *super, uint32_t number,
               const char *name, uint32_t flags, struct csv_error *error)
{
    struct {
        struct sanlk_resource resource;
        struct sanlk_disk disk;
    } lease = {0};
    int result;

    put_name(lease.resource.lockspace_name, super->name);
    put_name(lease.resource.name, name);
    lease.resource.flags = SANLK_RES_ALIGN1M |
                           (super->sector_bytes == 4096 ? SANLK_RES_SECTOR4K : SANLK_RES_SECTOR512);
    lease.resource.num_disks = 1;
    result = put_disk(&lease.disk, dev, lease_offset(super, number), error);
    if (result)
        return result;
    result = sanlock_direct_write_resource(&lease.resource, 0, 0, flags);
    return result < 0 ? sanlock_failed(result, "cannot write a sanlock lease", error) : 0;
}

int
csv_lease_format(struct csv_dev *dev, const struct csv_super *super, struct csv_error *error)
{
    int result;

    if (!dev->path)
        return 0;
    result = csv_lockspace_write(dev, super, error);
    if (!result)
        result = write_resource(dev, super, 0, COORDINATOR, 0, error);
    if (!result)
        result = write_resource(dev, super, 1, REGISTRY, 0, error);
    return result;
}

int
csv_lease_reset(struct csv_volume *volume, uint32_t slot, const char *resource,
                struct csv_error *error)
{
    int result = csv_guard_ask(volume, error);

    if (result || !volume->dev->path)
        return result;
    return write_resource(volume->dev, &volume->super, LEASES_FIXED + slot, resource, 0, error);
}

int
csv_lease_write(struct csv_dev *dev, const struct csv_super *super, uint32_t slot,
                const char *resource, struct csv_error *error)
{
    return dev->path ? write_resource(dev, super, LEASES_FIXED + slot, resource, 0, error) : 0;
}

void
csv_lease_free_name(uint32_t slot, char name[CSV_NAME_MAX + 1])
{
    snprintf(name, CSV_NAME_MAX + 1, ".free-%u", slot);
}

void
csv_lockspace_locate(const struct csv_volume *volume, struct csv_lease *lease)
{
    memset(lease, 0, sizeof(*lease));
    memcpy(lease->lockspace, volume->super.name, sizeof(lease->lockspace));
    lease->offset_bytes = volume->super.lockspace_offset;
    lease->sector_bytes = volume->super.sector_bytes;
    lease->align_bytes = ALIGN_BYTES;
}

int
csv_lease_locate(const struct csv_volume *volume, enum csv_lease_kind kind, uint32_t index,
                 struct csv_lease *lease, struct csv_error *error)
{
    const char *name = "";
    uint32_t number = 0;

    switch (kind) {
    case CSV_LEASE_COORDINATOR:
        name = COORDINATOR;
        break;
    case CSV_LEASE_REGISTRY:
        name = REGISTRY;
        number = 1;
        break;
    case CSV_LEASE_VM:
        if (index >= volume->super.max_vms)
            return csv_fail(error, CSV_BAD_VALUE, 0, "VM slot %u: volume %s has %u", index,
                            volume->super.name, volume->super.max_vms);
        number = LEASES_FIXED + index;
        break;
    }
    csv_lockspace_locate(volume, lease);
    snprintf(lease->resource, sizeof(lease->resource), "%s", name);
    lease->offset_bytes = lease_offset(&volume->super, number);
    return 0;
}

/* bytes: of the lease's area; ALIGN_BYTES are all, and then what is behind its leader record is
 * looked at, too. */
static int
read_lease(struct csv_volume *volume, enum csv_lease_kind kind, uint32_t index, size_t bytes,
           struct csv_lease_owner *owner, struct csv_error *error)
{
    struct csv_lease lease;
    struct disk_leader leader;
    const char *problem, *doubt = NULL;
    uint8_t *area;
    int result = csv_lease_locate(volume, kind, index, &lease, error);

    if (result)
        return result;
    area = csv_dev_buffer(bytes);
    if (!area)
        return csv_fail(error, CSV_E_SYS, ENOMEM, "cannot read a lease");
    result = volume->dev->ops->read(volume->dev, lease.offset_bytes, area, bytes);
    memcpy(&leader, area, sizeof(leader));
    problem = result ? NULL : csv_leader_problem(&leader, LEADER_MAGIC, &volume->super);
    if (!result && !problem && bytes == ALIGN_BYTES)
        problem = csv_area_problem(area, volume->super.sector_bytes, &leader);
    if (!result && !problem && bytes == ALIGN_BYTES)
        doubt = csv_area_doubt(area, volume->super.sector_bytes, &leader);
    free(area);
    if (result)
        return csv_fail(error, CSV_E_IO, -result, "cannot read the lease at %llu",
                        (unsigned long long)lease.offset_bytes);
    if (leader.magic == 0)
        return csv_fail(error, CSV_NOT_FOUND, 0, "no lease at %llu: that slot was never used",
                        (unsigned long long)lease.offset_bytes);
    if (problem)
        return csv_fail(error, CSV_E_DAMAGED, 0, "lease at %llu: %s",
                        (unsigned long long)lease.offset_bytes, problem);
    memset(owner, 0, sizeof(*owner));
    memcpy(owner->resource, leader.resource_name, sizeof(owner->resource));
    owner->host_id = leader.timestamp ? le64toh(leader.owner_id) : 0;
    owner->host_generation = le64toh(leader.owner_generation);
    owner->lver = le64toh(leader.lver);
    owner->last_host_id = le64toh(leader.owner_id); /* which sanlock leaves there */
    owner->doubt = doubt;
    return 0;
}

int
csv_lease_read(struct csv_volume *volume, enum csv_lease_kind kind, uint32_t index,
               struct csv_lease_owner *owner, struct csv_error *error)
{
    return read_lease(volume, kind, index, 4096, owner, error);
}

int
csv_lease_check(struct csv_volume *volume, enum csv_lease_kind kind, uint32_t index,
                struct csv_lease_owner *owner, struct csv_error *error)
{
    return read_lease(volume, kind, index, ALIGN_BYTES, owner, error);
}

/* ---- made anew, where nobody is there ---- */

/* A write of a whole area can be torn, and then there is a new leader record before what was there.
 * So the area is made one first that nobody takes, and only with nothing behind it one that is
 * free.
 */
static int
rewrite_resource(struct csv_dev *dev, const struct csv_super *super, uint32_t number,
                 const char *name, struct csv_error *error)
{
    int result = write_resource(dev, super, number, name, SANLK_WRITE_CLEAR, error);

    return result ? result : write_resource(dev, super, number, name, 0, error);
}

/* Free, taken lver times at least; newest: what the ballots say, NULL: none are left. */
static int
write_taken(struct csv_volume *volume, uint64_t offset, uint8_t *sector, uint64_t lver,
            const struct csv_taking *newest, struct csv_error *error)
{
    struct disk_leader leader;

    memcpy(&leader, sector, sizeof(leader));
    if (newest && newest->lver > le64toh(leader.lver)) {
        leader.lver = htole64(newest->lver);
        leader.owner_id = htole64(newest->host_id);
        leader.owner_generation = htole64(newest->host_generation);
    } else if (le64toh(leader.lver) >= lver && !leader.timestamp && !leader.write_id) {
        return 0;
    }
    if (le64toh(leader.lver) < lver)
        leader.lver = htole64(lver);
    leader.timestamp = 0;
    leader.write_id = 0; /* no ballot stands behind this one */
    return csv_leader_write(volume, offset, sector, &leader, error);
}

/* The leader record stays: at no moment it is not there. */
static int
clear_behind(struct csv_volume *volume, uint64_t offset, struct csv_error *error)
{
    const struct disk_request request = {.magic = htole32(REQUEST_MAGIC),
                                         .version = htole32(REQUEST_VERSION)};
    struct csv_dev *dev = volume->dev;
    uint32_t bytes = volume->super.sector_bytes;
    uint64_t before = DBLOCKS_AT * (uint64_t)bytes;
    uint8_t *sector = csv_dev_buffer(bytes);
    int result;

    if (!sector)
        return csv_fail(error, CSV_E_SYS, ENOMEM, "cannot clear a lease");
    memset(sector, 0, bytes);
    memcpy(sector, &request, sizeof(request));
    result = dev->ops->write(dev, offset + REQUEST_AT * (uint64_t)bytes, sector, bytes);
    free(sector);
    if (!result)
        result = dev->ops->zero(dev, offset + before, ALIGN_BYTES - before);
    if (!result)
        result = dev->ops->flush(dev);
    return result ? csv_fail(error, CSV_E_IO, -result, "cannot clear the ballots at %llu",
                             (unsigned long long)(offset + before))
                  : 0;
}

static bool
is_of_name(const uint8_t *sector, const char *name, const struct csv_super *super)
{
    struct disk_leader leader;

    memcpy(&leader, sector, sizeof(leader));
    return !csv_leader_problem(&leader, LEADER_MAGIC, super) &&
           strncmp((const char *)leader.resource_name, name, CSV_NAME_MAX) == 0;
}

/* A leader record that is older than its ballots was written before them, and counts too little.
 * Sectors that cannot be read say nothing. */
static int
read_newest(struct csv_volume *volume, uint64_t offset, struct csv_taking *newest,
            struct csv_error *error)
{
    struct csv_dev *dev = volume->dev;
    uint32_t bytes = volume->super.sector_bytes;
    struct disk_leader leader;
    uint8_t *area = csv_dev_buffer(ALIGN_BYTES);

    if (!area)
        return csv_fail(error, CSV_E_SYS, ENOMEM, "cannot read a lease");
    if (dev->ops->read(dev, offset, area, ALIGN_BYTES))
        for (uint32_t at = 0; at < ALIGN_BYTES; at += bytes)
            if (dev->ops->read(dev, offset + at, area + at, bytes))
                memset(area + at, 0, bytes);
    memcpy(&leader, area, sizeof(leader));
    csv_area_newest(area, bytes, &leader, newest);
    free(area);
    return 0;
}

int
csv_lease_remake(struct csv_volume *volume, enum csv_lease_kind kind, uint32_t index,
                 const char *name, uint64_t lver, struct csv_error *error)
{
    struct csv_dev *dev = volume->dev;
    uint32_t bytes = volume->super.sector_bytes;
    uint32_t number = kind == CSV_LEASE_VM ? LEASES_FIXED + index : kind == CSV_LEASE_REGISTRY;
    struct csv_taking newest;
    struct csv_lease lease;
    uint8_t *sector;
    bool is_kept;
    int result = csv_lease_locate(volume, kind, index, &lease, error);

    if (result || !dev->path)
        return result;
    sector = csv_dev_buffer(bytes);
    if (!sector)
        return csv_fail(error, CSV_E_SYS, ENOMEM, "cannot read a lease");
    result = dev->ops->read(dev, lease.offset_bytes, sector, bytes);
    is_kept = !result && is_of_name(sector, name, &volume->super);
    result = is_kept ? 0 : rewrite_resource(dev, &volume->super, number, name, error);
    if (!result && !is_kept) {
        result = dev->ops->read(dev, lease.offset_bytes, sector, bytes);
        if (result)
            result = csv_fail(error, CSV_E_IO, -result, "cannot read the lease at %llu",
                              (unsigned long long)lease.offset_bytes);
    }
    if (!result && is_kept)
        result = read_newest(volume, lease.offset_bytes, &newest, error);
    if (!result)
        result =
            write_taken(volume, lease.offset_bytes, sector, lver, is_kept ? &newest : NULL, error);
    /* last: cut before, what sanlock would not take is there for the next repair */
    if (!result && is_kept)
        result = clear_behind(volume, lease.offset_bytes, error);
    free(sector);
    return result;
}
