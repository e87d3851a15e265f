/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* members.c - nodes go: this one by itself, a dead one by another's word. */
#include "members.h"

#include "base/error.h"
#include "base/io.h"
#include "core/timeouts.h"
#include "trusted.h"
#include "volumes.h"

#define REGISTRY_MS 30000

/* ---- this one ---- */

static gboolean
leave_volume(MigDaemon *daemon, MigAttached *attached, GError **error)
{
    MigCsv *csv = mig_attached_csv(attached);

    /* killed between the two: a slot that says "left", which the same node takes again */
    if (!mig_volumes_detach(daemon->volumes, mig_csv_name(csv), error))
        return FALSE;
    /* Detached it may be removed at any moment, and its host id be another's. sanlock gives the
     * registry lease to nobody outside of the lockspace: so it frees its slot as it beats, which
     * leaves another node's alone. */
    if (!mig_csv_node_leave(csv, daemon->host_id, daemon->node, error))
        return FALSE;
    mig_attached_forget(attached);
    return TRUE;
}

gboolean
mig_members_leave(MigDaemon *daemon, GError **error)
{
    static const MigConfigValue values[] = {
        {"node", "name", NULL},          {"node", "host_id", NULL},
        {"network", "management", NULL}, {"network", "migration", NULL},
        {"volumes", "devices", NULL},    {NULL}};
    g_autoptr(GPtrArray) list = mig_volumes_list(daemon->volumes);
    g_autofree char *key = g_build_filename(daemon->config->state_dir, "pki", "identity.pem", NULL);

    for (guint i = 0; i < list->len; i++) {
        if (!leave_volume(daemon, g_ptr_array_index(list, i), error))
            return FALSE;
    }
    mig_trusted_end(daemon->trusted);
    return mig_io_remove_file(key, error) && mig_config_set(daemon->config_path, values, error);
}

/* ---- another one ---- */

static gboolean
refuse_alive(const char *name, const char *why, GError **error)
{
    g_set_error(error, MIG_ERROR, MIG_ERROR_NODE_ALIVE,
                "%s may be alive: %s; a node that runs leaves by itself ('migratectl cluster "
                "leave' there), a dead one can be removed when sanlock calls it dead",
                name, why);
    return FALSE;
}

/* May this view be of a node that lives? A node that has detached holds no delta lease. */
static gboolean
is_dead(const MigNodeView *view, GError **error)
{
    const char *name = view->node->name;
    g_autofree char *why = NULL;

    if (view->is_local) {
        g_set_error(error, MIG_ERROR, MIG_ERROR_NODE_ALIVE,
                    "%s is this node, and alive; 'migratectl cluster leave' takes it out", name);
        return FALSE;
    }
    if (view->age_ms < MIG_SUSPECT_MS && !view->node->has_left)
        return refuse_alive(name, "its heartbeat moves", error);
    if (view->sanlock == MIG_HOST_STATE_DEAD || view->sanlock == MIG_HOST_STATE_FREE)
        return TRUE;
    why = g_strdup_printf("sanlock calls its host %s", mig_host_state_name(view->sanlock));
    return refuse_alive(name, why, error);
}

/* "dead" proves something of a host whose watchdog was armed. Without, a QEMU of it may hang and go
 * on later: as long as it has a VM's lease, its slot is what keeps others from starting that VM by
 * themselves. A person may, who knows that it is off. */
static gboolean
is_proven(MigDaemon *daemon, MigAttached *attached, const MigNodeView *view, GError **error)
{
    MigCsv *csv = mig_attached_csv(attached);
    g_autoptr(GPtrArray) vms = NULL;

    if (view->sanlock == MIG_HOST_STATE_FREE || view->node->has_watchdog ||
        daemon->config->unsafe_without_watchdog)
        return TRUE;
    vms = mig_csv_vms(csv, error);
    if (!vms)
        return FALSE;
    for (guint i = 0; i < vms->len; i++) {
        const MigVm *vm = g_ptr_array_index(vms, i);
        MigLeaseOwner owner = {0};

        if (!mig_csv_vm_lease_owner(csv, vm->slot, &owner, error))
            return FALSE;
        if (owner.host_id != view->node->host_id ||
            owner.host_generation < view->node->host_generation)
            continue;
        g_set_error(error, MIG_ERROR, MIG_ERROR_NODE_ALIVE,
                    "%s has the lease of %s, and nothing proves that it does not run there: no "
                    "watchdog was armed, and no fence agent has confirmed that it is off; if you "
                    "know that it is, start %s elsewhere first ('migratectl vm start %s')",
                    view->node->name, vm->name, vm->name, vm->name);
        return FALSE;
    }
    return TRUE;
}

static MigNodeView *
find(MigAttached *attached, const char *name)
{
    g_autoptr(GPtrArray) nodes = mig_attached_nodes(attached);

    for (guint i = 0; i < nodes->len; i++) {
        MigNodeView *view = g_ptr_array_index(nodes, i);

        if (g_str_equal(view->node->name, name)) {
            g_ptr_array_set_free_func(nodes, NULL);
            g_ptr_array_remove_index(nodes, i);
            g_ptr_array_set_free_func(nodes, (GDestroyNotify)mig_node_view_free);
            return view;
        }
    }
    return NULL;
}

/* Seen dead on every volume before it is taken off the first one. */
static gboolean
is_dead_everywhere(MigDaemon *daemon, GPtrArray *list, const char *name, GError **error)
{
    gboolean is_known = FALSE;

    for (guint i = 0; i < list->len; i++) {
        MigAttached *attached = g_ptr_array_index(list, i);
        g_autoptr(MigNodeView) view = NULL;

        mig_attached_look(attached);
        view = find(attached, name);
        if (view && (!is_dead(view, error) || !is_proven(daemon, attached, view, error)))
            return FALSE;
        is_known |= view != NULL;
    }
    if (!is_known) {
        g_autofree char *shown = g_strescape(name, NULL);

        g_set_error(error, MIG_ERROR, MIG_ERROR_NODE_UNKNOWN,
                    "no node '%s' is known here; see 'migratectl node list'", shown);
    }
    return is_known;
}

static gboolean
acquire(MigDaemon *daemon, const MigLease *lease, GError **error)
{
    gint64 deadline = g_get_monotonic_time() + REGISTRY_MS * 1000;

    for (;;) {
        g_autoptr(GError) refused = NULL;

        if (mig_sanlock_acquire(daemon->sanlock, lease, &refused))
            return TRUE;
        if (!g_error_matches(refused, MIG_ERROR, MIG_ERROR_LEASE_HELD) ||
            g_get_monotonic_time() > deadline) {
            g_propagate_error(error, g_steal_pointer(&refused));
            return FALSE;
        }
        g_usleep(100 * 1000);
    }
}

static gboolean
remove_from(MigDaemon *daemon, MigAttached *attached, const char *name, GError **error)
{
    MigCsv *csv = mig_attached_csv(attached);
    g_autoptr(MigLease) lease = mig_csv_registry_lease(csv);
    g_autoptr(MigNodeView) view = NULL;
    gboolean ok = TRUE;

    if (!acquire(daemon, lease, error))
        return FALSE;
    mig_attached_look(attached);
    view = find(attached, name);
    if (view) /* it may have come back while we waited */
        ok = is_dead(view, error) && is_proven(daemon, attached, view, error) &&
             mig_csv_node_clear(csv, view->node->host_id, error);
    mig_sanlock_release(daemon->sanlock, lease, NULL);
    mig_attached_look(attached);
    return ok;
}

gboolean
mig_members_remove(MigDaemon *daemon, const char *name, GError **error)
{
    static GMutex turn; /* the lease belongs to the process */
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&turn);
    g_autoptr(GPtrArray) list = mig_volumes_list(daemon->volumes);

    if (!is_dead_everywhere(daemon, list, name, error))
        return FALSE;
    for (guint i = 0; i < list->len; i++) {
        if (!remove_from(daemon, g_ptr_array_index(list, i), name, error))
            return FALSE;
    }
    g_message("node %s is removed", name);
    return TRUE;
}
