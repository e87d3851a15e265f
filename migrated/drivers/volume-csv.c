/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* volume-csv.c - the volume itself: errors, format, open, leases, nodes. */
#include "drivers/volume-csv.h"

#include "drivers/volume-csv-private.h"

#include "base/error.h"

#include <stdlib.h>

#define LUN_PATH    "/dev/csv/%s/.lun"
#define SPARE_BYTES (1u << 20) /* a volume has whole MiB */

gboolean
mig_csv_ok(int result, const struct csv_error *reason, int not_found_code, GError **error)
{
    static const struct {
        int csv, code;
        const char *advice; /* for people; libcsv says what is wrong, not what migratectl can do */
    } map[] = {
        {CSV_EXISTS, MIG_ERROR_EXISTS, "take another name"},
        {CSV_FULL, MIG_ERROR_VOLUME_FULL,
         "delete images that nobody needs, or take another volume"},
        {CSV_NO_SLOT, MIG_ERROR_VOLUME_FULL, NULL},
        {CSV_FRAGMENTED, MIG_ERROR_VOLUME_FULL, NULL},
        {CSV_BAD_NAME, MIG_ERROR_BAD_NAME, NULL},
        {CSV_BAD_VALUE, MIG_ERROR_BAD_VALUE, NULL},
        {CSV_BUSY, MIG_ERROR_IMAGE_IN_USE, NULL},
        {CSV_IN_USE, MIG_ERROR_IMAGE_IN_USE, NULL},
        {CSV_STALE_EPOCH, MIG_ERROR_COORDINATOR_BUSY, NULL},
        {CSV_ALREADY_FORMATTED, MIG_ERROR_ALREADY_FORMATTED, NULL},
        {CSV_TOO_SMALL, MIG_ERROR_LUN_TOO_SMALL, "take a larger LUN"},
        {CSV_E_IO, MIG_ERROR_IO, "look at the LUN and its paths, then try again"},
        {CSV_E_SYS, MIG_ERROR_IO, NULL},
        {CSV_E_NO_VOLUME, MIG_ERROR_NOT_A_VOLUME,
         "'migratectl volume format' makes a volume of it, and destroys what is there"},
        {CSV_E_FUTURE, MIG_ERROR_FORMAT_FUTURE, "update migrated on this node"},
        {CSV_E_SECTOR, MIG_ERROR_SECTOR_SIZE,
         "attach it through a device of the sector size that it was formatted with"},
        {CSV_E_TRUNCATED, MIG_ERROR_LUN_TRUNCATED,
         "give the LUN its size back, or attach the whole device"},
        {CSV_E_MOUNT, MIG_ERROR_BAD_MOUNT, NULL},
        {CSV_E_DAMAGED, MIG_ERROR_DAMAGED, "'csvtool check' tells all that is wrong with it"},
    };
    int code = MIG_ERROR_FAILED;
    const char *advice = NULL;

    if (result == CSV_OK)
        return TRUE;
    if (result == CSV_NOT_FOUND)
        code = not_found_code;
    if (reason->sys == EBADE) { /* what the kernel makes of a reservation conflict */
        g_set_error(error, MIG_ERROR, MIG_ERROR_FENCED,
                    "%s; the LUN takes no writes of this host: its reservation key is not "
                    "registered there. If it was fenced, start the host anew",
                    reason->text);
        return FALSE;
    }
    for (guint i = 0; i < G_N_ELEMENTS(map); i++) {
        if (map[i].csv == result) {
            code = map[i].code;
            advice = map[i].advice;
        }
    }
    g_set_error(error, MIG_ERROR, code, "%s%s%s",
                reason->text[0] ? reason->text : csv_code_name(result), advice ? "; " : "",
                advice ? advice : "");
    return FALSE;
}

struct csv_epoch
mig_csv_epoch(const MigEpoch *epoch)
{
    struct csv_epoch to = {.lver = epoch->version,
                           .host_generation = epoch->host_generation,
                           .host_id = epoch->host_id};

    g_strlcpy(to.request, epoch->request ? epoch->request : "", sizeof to.request);
    return to;
}

gboolean
mig_csv_format(const char *device, const MigFormat *format, GError **error)
{
    struct csv_format_options options = {.name = format->name,
                                         .io_timeout_s = format->io_timeout_s,
                                         .max_nodes = format->max_nodes,
                                         .max_vms = format->max_vms,
                                         .max_images = format->max_images,
                                         .extent_bytes = format->extent_bytes,
                                         .force = format->force};
    struct csv_error reason = {0};
    struct csv_info info;

    return mig_csv_ok(csv_format(device, &options, &info, &reason), &reason, MIG_ERROR_FAILED,
                      error);
}

MigCsv *
mig_csv_open(const char *device, GError **error)
{
    g_autofree MigCsv *csv = g_new0(MigCsv, 1);
    struct csv_error reason = {0};

    if (!mig_csv_ok(csv_open(device, 0, &csv->volume, &reason), &reason, MIG_ERROR_FAILED, error))
        return NULL;
    csv->info = csv_volume_info(csv->volume);
    return g_steal_pointer(&csv);
}

void
mig_csv_close(MigCsv *csv)
{
    if (!csv)
        return;
    csv_close(csv->volume);
    g_free(csv);
}

const char *
mig_csv_name(MigCsv *csv)
{
    return csv->info->name;
}

const char *
mig_csv_uuid(MigCsv *csv)
{
    return csv->info->uuid;
}

const char *
mig_csv_device(MigCsv *csv)
{
    return csv->info->path;
}

guint32
mig_csv_io_timeout_s(MigCsv *csv)
{
    return csv->info->io_timeout_s;
}

static void
draw_map(const uint8_t cells[CSV_USAGE_CELLS], char map[MIG_MAP_CELLS + 1])
{
    G_STATIC_ASSERT(CSV_USAGE_CELLS == MIG_MAP_CELLS);

    for (int i = 0; i < CSV_USAGE_CELLS; i++)
        map[i] = cells[i] == 0 ? '.' : cells[i] < 50 ? '-' : cells[i] < 100 ? '+' : '#';
    map[CSV_USAGE_CELLS] = '\0';
}

MigVolumeInfo *
mig_csv_info(MigCsv *csv, GError **error)
{
    const struct csv_info *from = csv->info;
    struct csv_error reason = {0};
    struct csv_usage usage;

    if (!mig_csv_ok(csv_volume_usage(csv->volume, &usage, &reason), &reason, MIG_ERROR_FAILED,
                    error))
        return NULL;
    MigVolumeInfo *info = g_new0(MigVolumeInfo, 1);

    info->name = g_strdup(from->name);
    info->uuid = g_strdup(from->uuid);
    info->device = g_strdup(from->path);
    info->is_one_host = from->is_local;
    info->sector_bytes = from->sector_bytes;
    info->io_timeout_s = from->io_timeout_s;
    info->size_bytes = usage.total_bytes;
    info->used_bytes = usage.used_bytes;
    info->free_bytes = usage.free_bytes;
    info->largest_free_bytes = usage.largest_free_bytes;
    info->extent_bytes = from->extent_bytes;
    info->free_runs = usage.free_runs;
    if (usage.device_bytes >= from->size_bytes + SPARE_BYTES)
        info->spare_bytes = usage.device_bytes - from->size_bytes;
    draw_map(usage.cells, info->map);
    info->images = usage.images;
    info->vms = usage.vms;
    info->max_nodes = from->max_nodes;
    info->max_vms = from->max_vms;
    info->max_images = from->max_images;
    return info;
}

gboolean
mig_csv_grow(MigCsv *csv, const MigEpoch *epoch, GError **error)
{
    struct csv_epoch as = mig_csv_epoch(epoch);
    struct csv_error reason = {0};

    return mig_csv_ok(csv_volume_grow(csv->volume, &as, NULL, &reason), &reason, MIG_ERROR_FAILED,
                      error);
}

gboolean
mig_csv_backup(MigCsv *csv, int fd, GError **error)
{
    struct csv_error reason = {0};

    return mig_csv_ok(csv_backup(csv->volume, fd, &reason), &reason, MIG_ERROR_FAILED, error);
}

/* ---- leases ---- */

static MigLease *
make_lease(MigCsv *csv, const struct csv_lease *from, const char *resource)
{
    MigLease *lease = g_new0(MigLease, 1);

    lease->lockspace = g_strdup(from->lockspace);
    lease->resource = g_strdup(resource);
    lease->path = g_strdup_printf(LUN_PATH, csv->info->name);
    lease->offset_bytes = from->offset_bytes;
    lease->sector_bytes = from->sector_bytes;
    return lease;
}

MigLease *
mig_csv_lockspace(MigCsv *csv)
{
    struct csv_lease lease;

    csv_lockspace_locate(csv->volume, &lease);
    return make_lease(csv, &lease, "");
}

static MigLease *
locate(MigCsv *csv, enum csv_lease_kind kind, guint32 index, const char *resource)
{
    struct csv_lease lease;

    if (csv_lease_locate(csv->volume, kind, index, &lease, NULL) != CSV_OK)
        g_error("lease %d/%u is not on volume %s", kind, index, csv->info->name);
    return make_lease(csv, &lease, resource ? resource : lease.resource);
}

MigLease *
mig_csv_coordinator_lease(MigCsv *csv)
{
    return locate(csv, CSV_LEASE_COORDINATOR, 0, NULL);
}

MigLease *
mig_csv_registry_lease(MigCsv *csv)
{
    return locate(csv, CSV_LEASE_REGISTRY, 0, NULL);
}

MigLease *
mig_csv_vm_lease(MigCsv *csv, guint32 slot, const char *vm)
{
    return locate(csv, CSV_LEASE_VM, slot, vm);
}

static gboolean
read_owner(MigCsv *csv, enum csv_lease_kind kind, guint32 index, MigLeaseOwner *owner,
           GError **error)
{
    struct csv_lease_owner from = {0};
    struct csv_error reason = {0};

    if (!mig_csv_ok(csv_lease_read(csv->volume, kind, index, &from, &reason), &reason,
                    MIG_ERROR_VM_UNKNOWN, error))
        return FALSE;
    *owner = (MigLeaseOwner){.host_id = from.host_id,
                             .host_generation = from.host_generation,
                             .version = from.lver,
                             .last_host_id = from.last_host_id};
    return TRUE;
}

gboolean
mig_csv_vm_lease_owner(MigCsv *csv, guint32 slot, MigLeaseOwner *owner, GError **error)
{
    return read_owner(csv, CSV_LEASE_VM, slot, owner, error);
}

gboolean
mig_csv_vm_lease_is_named(MigCsv *csv, guint32 slot, const char *resource)
{
    struct csv_lease_owner owner = {0};

    return csv_lease_read(csv->volume, CSV_LEASE_VM, slot, &owner, NULL) == CSV_OK &&
           g_str_equal(owner.resource, resource);
}

gboolean
mig_csv_coordinator_owner(MigCsv *csv, MigLeaseOwner *owner, GError **error)
{
    return read_owner(csv, CSV_LEASE_COORDINATOR, 0, owner, error);
}

gboolean
mig_csv_host_is_free(MigCsv *csv, guint32 host_id, guint64 generation)
{
    struct csv_host_lease lease = {0};

    if (csv_lockspace_read(csv->volume, host_id, &lease, NULL) != CSV_OK)
        return FALSE;
    return lease.host_generation == generation && lease.is_free;
}

gboolean
mig_csv_host_has_ended(MigCsv *csv, guint32 host_id, guint64 generation)
{
    struct csv_host_lease lease = {0};

    if (csv_lockspace_read(csv->volume, host_id, &lease, NULL) != CSV_OK)
        return FALSE;
    return lease.host_generation == generation ? lease.is_free : lease.host_generation > generation;
}

gboolean
mig_csv_host_is_away(MigCsv *csv, guint32 host_id)
{
    struct csv_host_lease lease = {0};

    return csv_lockspace_read(csv->volume, host_id, &lease, NULL) == CSV_OK && lease.is_free;
}

gboolean
mig_csv_host_any(MigCsv *csv, guint32 *host_id, GError **error)
{
    struct csv_error reason = {0};

    return mig_csv_ok(csv_lockspace_alive(csv->volume, host_id, &reason), &reason, MIG_ERROR_FAILED,
                      error);
}

gboolean
mig_csv_host_renewed(MigCsv *csv, guint32 host_id, guint64 *generation, gint64 *renewed_us)
{
    struct csv_host_lease lease = {0};

    if (csv_lockspace_read(csv->volume, host_id, &lease, NULL) != CSV_OK || lease.is_free)
        return FALSE;
    *generation = lease.host_generation;
    *renewed_us = (gint64)MIN(lease.renewed_s, G_MAXINT32) * G_USEC_PER_SEC;
    return TRUE;
}

void
mig_csv_set_guard(MigCsv *csv, MigCsvGuard guard, gpointer user_data)
{
    csv_volume_set_guard(csv->volume, guard, user_data);
}

gboolean
mig_csv_request_find(MigCsv *csv, const char *request, gboolean *is_found, char **name,
                     GError **error)
{
    struct csv_request found = {0};
    struct csv_error reason = {0};
    int result = csv_request_find(csv->volume, request, &found, &reason);

    *is_found = result == CSV_OK;
    *name = result == CSV_OK && found.is_used ? g_strdup(found.name) : NULL;
    return result == CSV_NOT_FOUND || mig_csv_ok(result, &reason, MIG_ERROR_FAILED, error);
}

gboolean
mig_csv_request_is_undone(MigCsv *csv, const char *request)
{
    struct csv_request found = {0};

    return csv_request_find(csv->volume, request, &found, NULL) == CSV_OK && found.is_vm &&
           !found.is_used && found.is_last;
}

gboolean
mig_csv_host_release(MigCsv *csv, guint32 host_id, guint64 generation, GError **error)
{
    struct csv_error reason = {0};

    return mig_csv_ok(csv_lockspace_release(csv->volume, host_id, generation, &reason), &reason,
                      MIG_ERROR_NODE_UNKNOWN, error);
}

/* ---- nodes ---- */

G_STATIC_ASSERT(MIG_NODE_NOTES_MAX == CSV_NODE_NOTES_MAX);

static gboolean
fill_node(const MigNode *node, struct csv_node *to, GError **error)
{
    to->host_id = node->host_id;
    g_strlcpy(to->name, node->name, sizeof to->name);
    g_strlcpy(to->management, node->management, sizeof to->management);
    to->port = node->port;
    g_strlcpy(to->migration, node->migration ? node->migration : "", sizeof to->migration);
    g_strlcpy(to->cpu_vendor, node->cpu_vendor ? node->cpu_vendor : "", sizeof to->cpu_vendor);
    to->memory_bytes = node->memory_bytes;
    to->memory_free_bytes = node->memory_free_bytes;
    to->cpus = node->cpus;
    to->flags = (node->is_draining ? CSV_NODE_DRAINING : 0) |
                (node->has_watchdog ? CSV_NODE_WATCHDOG : 0) |
                (node->has_left ? CSV_NODE_LEFT : 0) | (node->encrypts ? CSV_NODE_ENCRYPTS : 0) |
                (node->is_passive ? CSV_NODE_PASSIVE : 0);
    to->heartbeat = node->heartbeat;
    to->host_generation = node->host_generation;
    to->written_ms = g_get_real_time() / 1000;
    g_strlcpy(to->version, node->version ? node->version : "", sizeof to->version);
    g_strlcpy(to->notes, node->notes ? node->notes : "", sizeof to->notes);
    memcpy(to->running, node->running, sizeof to->running);
    if (node->certificates) {
        gsize length = 0;
        const guint8 *data = g_bytes_get_data(node->certificates, &length);

        if (length > sizeof to->cert) {
            g_set_error(error, MIG_ERROR, MIG_ERROR_FAILED,
                        "the certificates of node %s do not fit into its slot", node->name);
            return FALSE;
        }
        memcpy(to->cert, data, length);
        to->cert_bytes = (uint16_t)length;
    }
    return TRUE;
}

gboolean
mig_csv_node_write(MigCsv *csv, MigNode *node, GError **error)
{
    g_autofree struct csv_node *to = g_new0(struct csv_node, 1);
    struct csv_error reason = {0};

    if (!fill_node(node, to, error) ||
        !mig_csv_ok(csv_node_write(csv->volume, to, &reason), &reason, MIG_ERROR_FAILED, error))
        return FALSE;
    node->heartbeat = to->heartbeat;
    return TRUE;
}

gboolean
mig_csv_node_beat(MigCsv *csv, MigNode *node, GError **error)
{
    g_autofree struct csv_node *to = g_new0(struct csv_node, 1);
    struct csv_error reason = {0};

    if (!fill_node(node, to, error) ||
        !mig_csv_ok(csv_node_beat(csv->volume, to, &reason), &reason, MIG_ERROR_NO_CLUSTER, error))
        return FALSE;
    node->heartbeat = to->heartbeat;
    return TRUE;
}

gboolean
mig_csv_node_leave(MigCsv *csv, guint32 host_id, const char *name, GError **error)
{
    struct csv_error reason = {0};
    int result = csv_node_leave(csv->volume, host_id, name, &reason);

    return result == CSV_NOT_FOUND || mig_csv_ok(result, &reason, MIG_ERROR_FAILED, error);
}

gboolean
mig_csv_node_clear(MigCsv *csv, guint32 host_id, GError **error)
{
    struct csv_error reason = {0};

    return mig_csv_ok(csv_node_clear(csv->volume, host_id, &reason), &reason, MIG_ERROR_FAILED,
                      error);
}

gboolean
mig_csv_node_is_gone(MigCsv *csv, guint32 host_id, const char *name)
{
    g_autofree struct csv_node *node = g_new0(struct csv_node, 1);
    int result = csv_node_read(csv->volume, host_id, node, NULL);

    return result == CSV_NOT_FOUND || (result == CSV_OK && !g_str_equal(node->name, name));
}

static MigNode *
node_from(const struct csv_node *from)
{
    MigNode *node = g_new0(MigNode, 1);

    node->host_id = from->host_id;
    node->name = g_strdup(from->name);
    node->management = g_strdup(from->management);
    node->port = from->port;
    node->migration = g_strdup(from->migration);
    node->cpu_vendor = g_strdup(from->cpu_vendor);
    node->memory_bytes = from->memory_bytes;
    node->memory_free_bytes = from->memory_free_bytes;
    node->cpus = from->cpus;
    node->is_draining = (from->flags & CSV_NODE_DRAINING) != 0;
    node->has_watchdog = (from->flags & CSV_NODE_WATCHDOG) != 0;
    node->is_passive = (from->flags & CSV_NODE_PASSIVE) != 0;
    node->has_left = (from->flags & CSV_NODE_LEFT) != 0;
    node->encrypts = (from->flags & CSV_NODE_ENCRYPTS) != 0;
    node->heartbeat = from->heartbeat;
    node->host_generation = from->host_generation;
    node->version = g_strdup(from->version);
    node->notes = *from->notes ? g_strdup(from->notes) : NULL;
    memcpy(node->running, from->running, sizeof node->running);
    if (from->cert_bytes)
        node->certificates = g_bytes_new(from->cert, from->cert_bytes);
    return node;
}

GPtrArray *
mig_csv_nodes(MigCsv *csv, GError **error)
{
    struct csv_node *from = NULL;
    size_t count = 0, damaged = 0;
    struct csv_error reason = {0};

    if (!mig_csv_ok(csv_node_list(csv->volume, &from, &count, &damaged, &reason), &reason,
                    MIG_ERROR_FAILED, error))
        return NULL;
    GPtrArray *nodes = g_ptr_array_new_with_free_func((GDestroyNotify)mig_node_free);

    for (size_t i = 0; i < count; i++)
        g_ptr_array_add(nodes, node_from(&from[i]));
    free(from);
    return nodes;
}
