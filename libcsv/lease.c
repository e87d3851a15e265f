/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* lease.c - sanlock's areas on the volume: making them, finding them, reading who holds one. */

/*
 * The only file of this library that knows sanlock. Areas are written by libsanlock's
 * "direct" functions, which need no daemon; nothing here takes or gives a lease. Reading
 * the leader record is done here, since libsanlock offers no function for it: the layout is that of
 * sanlock's disk version 6 (paxos leases), unchanged since 2012 and checked before use.
 *
 * Areas are 1 MiB for both sector sizes: sanlock allows that with 4096 byte sectors for up to
 * 250 hosts, which is where CSV_MAX_NODES comes from.
 */

#include "volume.h"

#include "crc32c.h"
#include "error.h"

#include <endian.h>
#include <errno.h>
#include <sanlock.h>
#include <sanlock_admin.h>
#include <sanlock_direct.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ALIGN_BYTES  (1u << 20)
#define LEASES_FIXED 2 /* coordinator and registry, in front of the VMs' */

#define COORDINATOR ".coordinator"
#define REGISTRY    ".registry"

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
#define DBLOCKS_AT     2 /* sectors */
#define DBLOCK_CHECKED offsetof(struct disk_dblock, checksum)

_Static_assert(DBLOCK_CHECKED == 48, "ballot");

_Static_assert(offsetof(struct disk_leader, lver) == 48, "leader record");
_Static_assert(offsetof(struct disk_leader, resource_name) == 104, "leader record");
_Static_assert(LEADER_CHECKED == 168, "leader record");
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

static int
write_lockspace(struct csv_dev *dev, const struct csv_super *super, struct csv_error *error)
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
    result = write_lockspace(dev, super, error);
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

/* What is wrong with a leader record of this kind; NULL: nothing. */
static const char *
leader_problem(const struct disk_leader *leader, uint32_t magic, const struct csv_super *super)
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
static const char *
area_problem(const uint8_t *area, uint64_t sector_bytes, const struct disk_leader *leader)
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

/* bytes: of the lease's area; ALIGN_BYTES are all, and then what is behind its leader record is
 * looked at, too. */
static int
read_lease(struct csv_volume *volume, enum csv_lease_kind kind, uint32_t index, size_t bytes,
           struct csv_lease_owner *owner, struct csv_error *error)
{
    struct csv_lease lease;
    struct disk_leader leader;
    const char *problem;
    uint8_t *area;
    int result = csv_lease_locate(volume, kind, index, &lease, error);

    if (result)
        return result;
    area = csv_dev_buffer(bytes);
    if (!area)
        return csv_fail(error, CSV_E_SYS, ENOMEM, "cannot read a lease");
    result = volume->dev->ops->read(volume->dev, lease.offset_bytes, area, bytes);
    memcpy(&leader, area, sizeof(leader));
    problem = result ? NULL : leader_problem(&leader, LEADER_MAGIC, &volume->super);
    if (!result && !problem && bytes == ALIGN_BYTES)
        problem = area_problem(area, volume->super.sector_bytes, &leader);
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

/* One sector of the lockspace is one host's delta lease. */
static int
read_delta(struct csv_volume *volume, uint64_t offset, uint8_t *sector, struct disk_leader *leader,
           struct csv_error *error)
{
    const char *problem;
    int result = volume->dev->ops->read(volume->dev, offset, sector, volume->super.sector_bytes);

    if (result)
        return csv_fail(error, CSV_E_IO, -result, "cannot read the host lease at %llu",
                        (unsigned long long)offset);
    memcpy(leader, sector, sizeof(*leader));
    problem = leader_problem(leader, DELTA_MAGIC, &volume->super);
    if (problem)
        return csv_fail(error, CSV_E_DAMAGED, 0, "host lease at %llu: %s",
                        (unsigned long long)offset, problem);
    return 0;
}

/* Finds the sector of a host, and reads it into a new buffer. */
static int
open_delta(struct csv_volume *volume, uint32_t host_id, uint64_t *offset, uint8_t **sector,
           struct disk_leader *leader, struct csv_error *error)
{
    int result;

    if (host_id < 1 || host_id > volume->super.max_nodes)
        return csv_fail(error, CSV_BAD_VALUE, 0, "host id %u: 1 to %u on volume %s", host_id,
                        volume->super.max_nodes, volume->super.name);
    *offset = volume->super.lockspace_offset + (uint64_t)(host_id - 1) * volume->super.sector_bytes;
    *sector = csv_dev_buffer(volume->super.sector_bytes);
    if (!*sector)
        return csv_fail(error, CSV_E_SYS, ENOMEM, "cannot read a host lease");
    result = read_delta(volume, *offset, *sector, leader, error);
    if (!result && leader->owner_id && le64toh(leader->owner_id) != host_id)
        result = csv_fail(error, CSV_E_DAMAGED, 0, "host lease at %llu: that of another host",
                          (unsigned long long)*offset);
    else if (!result && !leader->owner_id)
        result = csv_fail(error, CSV_NOT_FOUND, 0, "host %u was never on volume %s", host_id,
                          volume->super.name);
    if (result)
        free(*sector);
    return result;
}

int
csv_lockspace_read(struct csv_volume *volume, uint32_t host_id, struct csv_host_lease *lease,
                   struct csv_error *error)
{
    struct disk_leader leader;
    uint64_t offset;
    uint8_t *sector;
    int result = open_delta(volume, host_id, &offset, &sector, &leader, error);

    if (result)
        return result;
    free(sector);
    lease->host_generation = le64toh(leader.owner_generation);
    lease->is_free = leader.timestamp == 0;
    lease->renewed_s = le64toh(leader.timestamp);
    return 0;
}

/* Exactly one sector is written: the neighbours are other hosts' leases, renewed all the time. */
static int
write_leader(struct csv_volume *volume, uint64_t offset, uint8_t *sector,
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

static int
write_free(struct csv_volume *volume, uint64_t offset, uint8_t *sector, struct disk_leader *leader,
           struct csv_error *error)
{
    int result;

    leader->timestamp = 0;
    result = write_leader(volume, offset, sector, leader, error);
    if (result)
        return result;
    return read_delta(volume, offset, sector, leader, error);
}

int
csv_lockspace_alive(struct csv_volume *volume, uint32_t *alive, struct csv_error *error)
{
    struct csv_host_lease lease;
    uint32_t most =
        volume->super.max_nodes < CSV_MAX_NODES ? volume->super.max_nodes : CSV_MAX_NODES;

    *alive = 0;
    for (uint32_t host_id = 1; volume->dev->path && host_id <= most; host_id++) {
        int result = csv_lockspace_read(volume, host_id, &lease, error);

        if (result == CSV_E_IO)
            return result;
        /* one that cannot be understood is no proof that nobody is there */
        if (result == CSV_E_DAMAGED || (!result && !lease.is_free))
            *alive = host_id;
    }
    return 0;
}

int
csv_lockspace_release(struct csv_volume *volume, uint32_t host_id, uint64_t host_generation,
                      struct csv_error *error)
{
    struct disk_leader leader;
    uint64_t offset;
    uint8_t *sector;
    int result = csv_need_writable(volume, error);

    if (!result)
        result = open_delta(volume, host_id, &offset, &sector, &leader, error);
    if (result)
        return result;
    if (le64toh(leader.owner_generation) != host_generation) {
        result = csv_fail(error, CSV_NOT_FOUND, 0,
                          "host %u has been started anew since: its generation is %llu, not %llu",
                          host_id, (unsigned long long)le64toh(leader.owner_generation),
                          (unsigned long long)host_generation);
    } else if (leader.timestamp != 0) {
        result = write_free(volume, offset, sector, &leader, error);
        if (!result &&
            (leader.timestamp != 0 || le64toh(leader.owner_generation) != host_generation))
            result =
                csv_fail(error, CSV_BUSY, 0, "host %u writes its lease: it is not off", host_id);
    }
    free(sector);
    return result;
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

static int
write_taken(struct csv_volume *volume, uint64_t offset, uint8_t *sector, uint64_t lver,
            struct csv_error *error)
{
    struct disk_leader leader;

    memcpy(&leader, sector, sizeof(leader));
    if (le64toh(leader.lver) >= lver && !leader.timestamp)
        return 0;
    if (le64toh(leader.lver) < lver)
        leader.lver = htole64(lver);
    leader.timestamp = 0;
    return write_leader(volume, offset, sector, &leader, error);
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
    return !leader_problem(&leader, LEADER_MAGIC, super) &&
           strncmp((const char *)leader.resource_name, name, CSV_NAME_MAX) == 0;
}

int
csv_lease_remake(struct csv_volume *volume, enum csv_lease_kind kind, uint32_t index,
                 const char *name, uint64_t lver, struct csv_error *error)
{
    struct csv_dev *dev = volume->dev;
    uint32_t bytes = volume->super.sector_bytes;
    uint32_t number = kind == CSV_LEASE_VM ? LEASES_FIXED + index : kind == CSV_LEASE_REGISTRY;
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
    if (!result)
        result = write_taken(volume, lease.offset_bytes, sector, lver, error);
    if (!result && is_kept) /* last: before, a cut leaves what the next repair takes notice of */
        result = clear_behind(volume, lease.offset_bytes, error);
    free(sector);
    return result;
}

/* Whatever sound one there is: what sanlock writes into all of them alike. */
static int
find_delta(struct csv_volume *volume, uint8_t *sector, struct disk_leader *leader,
           struct csv_error *error)
{
    for (uint32_t host_id = 1; host_id <= volume->super.max_nodes; host_id++) {
        uint64_t offset =
            volume->super.lockspace_offset + (uint64_t)(host_id - 1) * volume->super.sector_bytes;

        if (read_delta(volume, offset, sector, leader, NULL) == 0)
            return 0;
    }
    /* not one, so there is nothing to lose */
    int result = write_lockspace(volume->dev, &volume->super, error);

    return result ? result
                  : read_delta(volume, volume->super.lockspace_offset, sector, leader, error);
}

int
csv_lockspace_remake(struct csv_volume *volume, uint32_t host_id, uint64_t host_generation,
                     struct csv_error *error)
{
    uint64_t offset =
        volume->super.lockspace_offset + (uint64_t)(host_id - 1) * volume->super.sector_bytes;
    struct disk_leader leader;
    uint8_t *sector;
    int result;

    if (!volume->dev->path)
        return 0;
    sector = csv_dev_buffer(volume->super.sector_bytes);
    if (!sector)
        return csv_fail(error, CSV_E_SYS, ENOMEM, "cannot read a host lease");
    result = find_delta(volume, sector, &leader, error);
    if (!result) {
        leader.owner_id = host_generation ? htole64(host_id) : 0;
        leader.owner_generation = htole64(host_generation);
        leader.timestamp = 0;
        memset(leader.resource_name, 0, sizeof(leader.resource_name));
        memset(sector, 0, volume->super.sector_bytes);
        result = write_leader(volume, offset, sector, &leader, error);
    }
    if (!result)
        result = read_delta(volume, offset, sector, &leader, error);
    free(sector);
    return result;
}
