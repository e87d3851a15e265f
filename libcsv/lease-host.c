/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* lease-host.c - the hosts' leases: reading one, giving it back, making it anew. */

#include "volume.h"

#include "error.h"
#include "lease-record.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

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
    problem = csv_leader_problem(leader, DELTA_MAGIC, &volume->super);
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

static int
write_free(struct csv_volume *volume, uint64_t offset, uint8_t *sector, struct disk_leader *leader,
           struct csv_error *error)
{
    int result;

    leader->timestamp = 0;
    result = csv_leader_write(volume, offset, sector, leader, error);
    if (result)
        return result;
    return read_delta(volume, offset, sector, leader, error);
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
    int result = csv_lockspace_write(volume->dev, &volume->super, error);

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
        result = csv_leader_write(volume, offset, sector, &leader, error);
    }
    if (!result)
        result = read_delta(volume, offset, sector, &leader, error);
    free(sector);
    return result;
}
