/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* lease-sanlock.c - the daemon's home of libsanlock_client. */
#include "drivers/lease-sanlock.h"

#include "base/error.h"

#include <errno.h>
#include <stdint.h> /* sanlock's headers do not include what they use */
#include <stdlib.h>
#include <string.h>
#include <sanlock.h>
#include <sanlock_admin.h>
#include <sanlock_resource.h>
#include <sanlock_rv.h>
#include <unistd.h>

struct MigSanlock {
    GMutex lock; /* one registered connection, one call at a time on it (sanlock_resource.h) */
    int socket;  /* -1: not registered yet */
};

static const char *const host_state_names[] = {"unknown", "free", "live", "fail", "dead"};

const char *
mig_host_state_name(MigHostState state)
{
    return host_state_names[state];
}

MigSanlock *
mig_sanlock_new(void)
{
    MigSanlock *sanlock = g_new0(MigSanlock, 1);

    g_mutex_init(&sanlock->lock);
    sanlock->socket = -1;
    return sanlock;
}

void
mig_sanlock_free(MigSanlock *sanlock)
{
    if (!sanlock)
        return;
    if (sanlock->socket >= 0)
        close(sanlock->socket);
    g_mutex_clear(&sanlock->lock);
    g_free(sanlock);
}

/* -errno, or one of sanlock_rv.h's -200 and below */
static void
set_error(GError **error, int rv, MigErrorCode code, const char *doing, const char *what)
{
    if (rv > -200)
        g_set_error(error, MIG_ERROR, code, "sanlock, %s %s: %s", doing, what, g_strerror(-rv));
    else if (rv == SANLK_WD_ERROR)
        g_set_error(error, MIG_ERROR, code,
                    "sanlock, %s %s: its watchdog daemon does not run or has no watchdog; see "
                    "'systemctl status wdmd'",
                    doing, what);
    else
        g_set_error(error, MIG_ERROR, code, "sanlock, %s %s: error %d (sanlock_rv.h)", doing, what,
                    rv);
}

/* Set explicitly: for 4096 byte sectors sanlock's own default would be 8 MiB areas. */
static guint32
geometry(guint32 sector_bytes)
{
    return sector_bytes == 4096 ? SANLK_LSF_ALIGN1M | SANLK_LSF_SECTOR4K
                                : SANLK_LSF_ALIGN1M | SANLK_LSF_SECTOR512;
}

static void
fill_lockspace(struct sanlk_lockspace *ls, const MigLease *lockspace, guint32 host_id)
{
    *ls = (struct sanlk_lockspace){.host_id = host_id, .flags = geometry(lockspace->sector_bytes)};
    g_strlcpy(ls->name, lockspace->lockspace, sizeof ls->name);
    g_strlcpy(ls->host_id_disk.path, lockspace->path, sizeof ls->host_id_disk.path);
    ls->host_id_disk.offset = lockspace->offset_bytes;
}

gboolean
mig_sanlock_join(MigSanlock *sanlock, const MigLease *lockspace, guint32 host_id,
                 guint io_timeout_s, GError **error)
{
    struct sanlk_lockspace ls;
    int rv;

    fill_lockspace(&ls, lockspace, host_id);
    rv = sanlock_add_lockspace_timeout(&ls, 0, io_timeout_s);
    if (rv == -EINPROGRESS || rv == -EAGAIN) /* being added or removed by an earlier life of ours */
        rv = sanlock_inq_lockspace(&ls, SANLK_INQ_WAIT);
    if (rv == 0 || rv == -EEXIST)
        return TRUE;
    if (rv == SANLK_HOSTID_BUSY)
        g_set_error(error, MIG_ERROR, MIG_ERROR_LEASE_HELD,
                    "host id %u is in use by another node on %s; give this node its own [node] "
                    "host_id",
                    host_id, lockspace->lockspace);
    else if (rv == -ECONNREFUSED || rv == -ENOENT)
        g_set_error(error, MIG_ERROR, MIG_ERROR_FAILED,
                    "sanlock does not answer; start it: 'systemctl start sanlock'");
    else
        set_error(error, rv, MIG_ERROR_FAILED, "joining", lockspace->lockspace);
    return FALSE;
}

gboolean
mig_sanlock_is_joined(MigSanlock *sanlock, const MigLease *lockspace, guint32 host_id,
                      GError **error)
{
    struct sanlk_lockspace ls;
    int rv;

    fill_lockspace(&ls, lockspace, host_id);
    rv = sanlock_inq_lockspace(&ls, 0);
    if (rv == 0)
        return TRUE;
    if (rv != -ENOENT) {
        set_error(error, rv, MIG_ERROR_FAILED, "asking for", lockspace->lockspace);
        return FALSE;
    }
    g_set_error(error, MIG_ERROR, MIG_ERROR_NO_CLUSTER,
                "sanlock is not in lockspace %s any more (%s); this node joins it again by itself "
                "once none "
                "of the VMs on it is left here",
                lockspace->lockspace, g_strerror(-rv));
    return FALSE;
}

gboolean
mig_sanlock_leave(MigSanlock *sanlock, const MigLease *lockspace, guint32 host_id, GError **error)
{
    struct sanlk_lockspace ls;
    int rv;

    fill_lockspace(&ls, lockspace, host_id);
    rv = sanlock_rem_lockspace(&ls, SANLK_REM_UNUSED);
    if (rv == 0 || rv == -ENOENT)
        return TRUE;
    if (rv == -EBUSY)
        g_set_error(error, MIG_ERROR, MIG_ERROR_VOLUME_IN_USE,
                    "a VM on this node holds a lease of %s; move or stop its VMs first",
                    lockspace->lockspace);
    else
        set_error(error, rv, MIG_ERROR_FAILED, "leaving", lockspace->lockspace);
    return FALSE;
}

gboolean
mig_sanlock_set_used(MigSanlock *sanlock, const char *lockspace, gboolean is_used, GError **error)
{
    int rv =
        sanlock_set_config(lockspace, 0, is_used ? SANLK_CONFIG_USED : SANLK_CONFIG_UNUSED, NULL);

    if (rv == 0)
        return TRUE;
    if (rv == -ENOSPC || rv == -ENOENT) /* it is being given up; it was */
        g_set_error(error, MIG_ERROR, MIG_ERROR_IO,
                    "volume %s is lost to this node: its sanlock does not reach it any more",
                    lockspace);
    else
        set_error(error, rv, MIG_ERROR_IO, "asking for", lockspace);
    return FALSE;
}

guint32
mig_sanlock_joined_as(MigSanlock *sanlock, const char *lockspace)
{
    struct sanlk_lockspace *all = NULL;
    int count = 0;
    guint32 host_id = 0;

    if (sanlock_get_lockspaces(&all, &count, 0) < 0)
        return 0;
    for (int i = 0; i < count; i++) {
        if (strncmp(all[i].name, lockspace, sizeof all[i].name) == 0)
            host_id = (guint32)all[i].host_id;
    }
    free(all);
    return host_id;
}

GArray *
mig_sanlock_hosts(MigSanlock *sanlock, const char *lockspace, GError **error)
{
    struct sanlk_host *hosts = NULL;
    GArray *result;
    int count = 0, rv = sanlock_get_hosts(lockspace, 0, &hosts, &count, 0);

    if (rv < 0) {
        set_error(error, rv, MIG_ERROR_FAILED, "asking for the hosts of", lockspace);
        return NULL;
    }
    result = g_array_new(FALSE, TRUE, sizeof(MigSanlockHost));
    for (int i = 0; i < count; i++) {
        guint32 state = hosts[i].flags & SANLK_HOST_MASK;
        MigSanlockHost host = {.host_id = (guint32)hosts[i].host_id,
                               .generation = hosts[i].generation,
                               .state = state == SANLK_HOST_FREE   ? MIG_HOST_STATE_FREE
                                        : state == SANLK_HOST_LIVE ? MIG_HOST_STATE_LIVE
                                        : state == SANLK_HOST_FAIL ? MIG_HOST_STATE_FAIL
                                        : state == SANLK_HOST_DEAD ? MIG_HOST_STATE_DEAD
                                                                   : MIG_HOST_STATE_UNKNOWN};
        g_array_append_val(result, host);
    }
    free(hosts);
    return result;
}

/* struct sanlk_resource ends in a flexible array: room for one disk behind it. */
typedef union {
    struct sanlk_resource resource;
    char room[sizeof(struct sanlk_resource) + sizeof(struct sanlk_disk)];
} Resource;

static void
fill_resource(Resource *buffer, const MigLease *lease)
{
    struct sanlk_resource *resource = &buffer->resource;

    memset(buffer, 0, sizeof *buffer);
    g_strlcpy(resource->lockspace_name, lease->lockspace, sizeof resource->lockspace_name);
    g_strlcpy(resource->name, lease->resource, sizeof resource->name);
    resource->num_disks = 1;
    g_strlcpy(resource->disks[0].path, lease->path, sizeof resource->disks[0].path);
    resource->disks[0].offset = lease->offset_bytes;
}

static int
registered(MigSanlock *sanlock)
{
    if (sanlock->socket < 0)
        sanlock->socket = sanlock_register();
    return sanlock->socket;
}

/* Says in our words what sanlock said of taking the lease. */
static gboolean
acquired(int rv, const MigLease *lease, GError **error)
{
    if (rv == 0)
        return TRUE;
    if (rv == SANLK_ACQUIRE_IDLIVE || rv == SANLK_ACQUIRE_OWNED || rv == SANLK_ACQUIRE_OTHER ||
        rv == SANLK_ACQUIRE_OWNED_RETRY || rv == SANLK_DBLOCK_LVER || rv == SANLK_DBLOCK_MBAL ||
        rv == -EAGAIN || rv == -EBUSY ||
        rv == -EEXIST) /* somebody on *this* host: another call, or an earlier life of ours */
        set_error(error, rv, MIG_ERROR_LEASE_HELD, "somebody else has", lease->resource);
    else
        set_error(error, rv, MIG_ERROR_FAILED, "acquiring", lease->resource);
    return FALSE;
}

gboolean
mig_sanlock_acquire(MigSanlock *sanlock, const MigLease *lease, GError **error)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&sanlock->lock);
    Resource buffer;
    struct sanlk_resource *resources[] = {&buffer.resource};
    int rv = registered(sanlock);

    fill_resource(&buffer, lease);
    if (rv >= 0)
        rv = sanlock_acquire(sanlock->socket, -1, SANLK_ACQUIRE_OWNER_NOWAIT, 1, resources, NULL);
    if (rv == -EPIPE || rv == -ECONNRESET || rv == -ENOTCONN) { /* sanlock was restarted */
        close(sanlock->socket);
        sanlock->socket = -1;
    }
    return acquired(rv, lease, error);
}

gboolean
mig_sanlock_acquire_for(MigSanlock *sanlock, const MigLease *lease, int pid, GError **error)
{
    Resource buffer;
    struct sanlk_resource *resources[] = {&buffer.resource};

    fill_resource(&buffer, lease);
    return acquired(sanlock_acquire(-1, pid, SANLK_ACQUIRE_OWNER_NOWAIT, 1, resources, NULL), lease,
                    error);
}

static gboolean
released(int rv, const MigLease *lease, GError **error)
{
    if (rv == 0 || rv == -ENOENT)
        return TRUE;
    set_error(error, rv, MIG_ERROR_FAILED, "releasing", lease->resource);
    return FALSE;
}

gboolean
mig_sanlock_release_for(MigSanlock *sanlock, const MigLease *lease, int pid, GError **error)
{
    Resource buffer;
    struct sanlk_resource *resources[] = {&buffer.resource};

    fill_resource(&buffer, lease);
    return released(sanlock_release(-1, pid, 0, 1, resources), lease, error);
}

gboolean
mig_sanlock_release(MigSanlock *sanlock, const MigLease *lease, GError **error)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&sanlock->lock);
    Resource buffer;
    struct sanlk_resource *resources[] = {&buffer.resource};

    fill_resource(&buffer, lease);
    return released(sanlock_release(sanlock->socket, -1, 0, 1, resources), lease, error);
}

gboolean
mig_sanlock_request(MigSanlock *sanlock, const MigLease *lease, guint64 version, GError **error)
{
    Resource buffer;
    int rv;

    fill_resource(&buffer, lease);
    buffer.resource.lver = version + 1;
    rv = sanlock_request(0, SANLK_REQ_FORCE, &buffer.resource); /* a connection of its own */
    if (rv == 0)
        return TRUE;
    set_error(error, rv, MIG_ERROR_FAILED, "requesting", lease->resource);
    return FALSE;
}

gboolean
mig_sanlock_release_renamed(MigSanlock *sanlock, const MigLease *lease, const char *new_name,
                            GError **error)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&sanlock->lock);
    Resource old, renamed;
    struct sanlk_resource *resources[] = {&old.resource, &renamed.resource};
    int rv;

    fill_resource(&old, lease);
    fill_resource(&renamed, lease);
    memset(renamed.resource.name, 0, sizeof renamed.resource.name);
    g_strlcpy(renamed.resource.name, new_name, sizeof renamed.resource.name);
    rv = sanlock_release(sanlock->socket, -1, SANLK_REL_RENAME, 2, resources);
    if (rv == 0)
        return TRUE;
    set_error(error, rv, MIG_ERROR_FAILED, "retiring", lease->resource);
    return FALSE;
}

/* libsanlock has no call that tells the daemon's options, its command has. A sanlock that uses the
 * watchdog joins no lockspace without a wdmd that has one, so its option says enough. */
gboolean
mig_sanlock_is_armed(MigSanlock *sanlock, gboolean *is_armed)
{
    char *argv[] = {(char *)"sanlock", (char *)"client", (char *)"status", (char *)"-D", NULL};
    g_autofree char *said = NULL;
    g_auto(GStrv) lines = NULL;
    gboolean is_used = FALSE;
    int status = 0;

    if (!g_spawn_sync("/", argv, NULL, G_SPAWN_SEARCH_PATH | G_SPAWN_STDERR_TO_DEV_NULL, NULL, NULL,
                      &said, NULL, &status, NULL) ||
        status != 0)
        return FALSE;
    lines = g_strsplit(said, "\n", -1);
    for (guint i = 0; lines[i]; i++)
        is_used = is_used || g_str_equal(g_strstrip(lines[i]), "use_watchdog=1");
    *is_armed = is_used;
    return TRUE;
}
