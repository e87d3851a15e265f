/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* attached-join.c - this node in the lockspace of an attached volume: joins, stays, leaves. */
#include "attached-private.h"

#include "base/error.h"
#include "core/timeouts.h"
#include "events.h"

/* Looks in a row that find this start's host lease gone. */
#define LOOKS_FENCED 2

/* sanlock may have been restarted, or have given the lockspace up: then this node can take no
 * lease. */
static gboolean
is_joined(MigAttached *attached, GError **error)
{
    g_autoptr(MigLease) lockspace = mig_csv_lockspace(attached->csv);

    return mig_sanlock_is_joined(attached->daemon->sanlock, lockspace, attached->daemon->host_id,
                                 error);
}

/* Of this start of this node, as sanlock has it. FALSE: it does not know yet. */
static gboolean
read_generation(MigAttached *attached, const GArray *hosts)
{
    for (guint i = 0; i < hosts->len; i++) {
        const MigSanlockHost *host = &g_array_index(hosts, MigSanlockHost, i);

        if (host->host_id != attached->daemon->host_id)
            continue;
        g_mutex_lock(&attached->write_lock);
        attached->generation = host->generation;
        g_mutex_unlock(&attached->write_lock);
        attached->is_joining = FALSE;
        return TRUE;
    }
    return FALSE;
}

gboolean
mig_attached_join(MigAttached *attached, GError **error)
{
    MigDaemon *daemon = attached->daemon;
    g_autoptr(MigLease) lockspace = mig_csv_lockspace(attached->csv);
    g_autoptr(GArray) hosts = NULL;

    attached->is_joining = TRUE;
    g_mutex_lock(&attached->lock);
    attached->fenced_looks = 0; /* what runs from here on is another start's */
    g_mutex_unlock(&attached->lock);
    if (!mig_sanlock_join(daemon->sanlock, lockspace, daemon->host_id,
                          mig_csv_io_timeout_s(attached->csv), error))
        return FALSE;
    /* sanlock knows of no hosts until its first look at all delta leases, a renewal after joining
     */
    for (guint waited_ms = 0;; waited_ms += 100) {
        g_autoptr(GError) refused = NULL;

        hosts = mig_sanlock_hosts(daemon->sanlock, lockspace->lockspace, &refused);
        if (hosts)
            break;
        if (waited_ms > mig_timeouts_join_ms(mig_csv_io_timeout_s(attached->csv))) {
            g_propagate_error(error, g_steal_pointer(&refused));
            return FALSE;
        }
        g_usleep(100 * 1000);
    }
    read_generation(attached, hosts);
    return TRUE;
}

/* A join that was cut short has made a new generation all the same, and the old one must not be
 * told as ours. */
static gboolean
end_join(MigAttached *attached, GError **error)
{
    g_autoptr(MigLease) lockspace = mig_csv_lockspace(attached->csv);
    g_autoptr(GArray) hosts =
        mig_sanlock_hosts(attached->daemon->sanlock, lockspace->lockspace, error);

    if (!hosts)
        return FALSE;
    if (read_generation(attached, hosts))
        return TRUE;
    g_set_error(error, MIG_ERROR, MIG_ERROR_FAILED,
                "sanlock does not list this node in lockspace %s yet", lockspace->lockspace);
    return FALSE;
}

gboolean
mig_attached_stay_joined(MigAttached *attached, gboolean *is_outside, GError **error)
{
    g_autofree char *vm = NULL;
    g_autoptr(GError) gone = NULL;
    g_autoptr(GMutexLocker) locker = NULL;

    if (is_joined(attached, &gone))
        return !attached->is_joining || end_join(attached, error);
    locker = g_mutex_locker_new(&attached->join_lock);
    if (attached->is_leaving)
        return TRUE; /* what sanlock says is what the leaving has come to */
    /* what sanlock does not answer is no reason to end anything */
    *is_outside = g_error_matches(gone, MIG_ERROR, MIG_ERROR_NO_CLUSTER);
    if (!*is_outside) {
        g_propagate_error(error, g_steal_pointer(&gone));
        return FALSE;
    }
    vm = attached->hooks.first_running(attached->hooks.self, mig_csv_name(attached->csv));
    if (!vm) { /* from here on what runs here may have a lease again */
        g_mutex_lock(&attached->lock);
        attached->is_outside = FALSE;
        g_mutex_unlock(&attached->lock);
    }
    if (vm || !mig_attached_join(attached, error)) {
        if (error && !*error)
            g_propagate_error(error, g_steal_pointer(&gone));
        return FALSE;
    }
    g_message("volume %s: joined again, generation %" G_GUINT64_FORMAT, mig_csv_name(attached->csv),
              attached->generation);
    return mig_attached_write(attached, mig_csv_node_beat, FALSE, error);
}

void
mig_attached_set_leaving(MigAttached *attached, gboolean is_leaving)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&attached->join_lock);

    attached->is_leaving = is_leaving;
}

static gboolean
is_leaving(MigAttached *attached)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&attached->join_lock);

    return attached->is_leaving;
}

/* sanlock frees its host lease itself where it leaves, gives the lockspace up or ends: so it is
 * asked whether it is still in, after the lease was read. A LUN that refuses this host's writes has
 * not been written by its sanlock, either. */
static gboolean
is_freed_by_others(MigAttached *attached, const GError *beat)
{
    return !attached->is_joining && !is_leaving(attached) &&
           mig_csv_host_has_ended(attached->csv, attached->daemon->host_id, attached->generation) &&
           (g_error_matches(beat, MIG_ERROR, MIG_ERROR_FENCED) || is_joined(attached, NULL)) &&
           !is_leaving(attached);
}

void
mig_attached_look_for_fence(MigAttached *attached, const GError *beat)
{
    MigDaemon *daemon = attached->daemon;
    gboolean is_freed = is_freed_by_others(attached, beat), is_news;

    g_mutex_lock(&attached->lock);
    is_news = is_freed && attached->fenced_looks + 1 == LOOKS_FENCED;
    if (attached->fenced_looks < LOOKS_FENCED) /* found, it stays so */
        attached->fenced_looks = is_freed ? attached->fenced_looks + 1 : 0;
    g_mutex_unlock(&attached->lock);
    if (is_news)
        mig_events_add(daemon->events, daemon->node, NULL, "was-fenced",
                       "another node has freed this host's lease on volume %s: what runs here is "
                       "ended; start the host anew",
                       mig_csv_name(attached->csv));
}

gboolean
mig_attached_was_fenced(MigAttached *attached)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&attached->lock);

    return attached->fenced_looks >= LOOKS_FENCED;
}

gboolean
mig_attached_owns(MigAttached *attached, const MigLeaseOwner *owner)
{
    return owner->host_id == attached->daemon->host_id &&
           owner->host_generation == mig_attached_generation(attached);
}
