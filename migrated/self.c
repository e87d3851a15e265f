/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* self.c - ending VMs on this node. */
#include "self.h"

#include "core/timeouts.h"
#include "events.h"
#include "jobs.h"
#include "vms.h"

/* In a row. One look may fall into the hand-over of a move. */
#define LOOKS_LOST 3

struct MigSelf {
    MigDaemon *daemon;
    gint64 next_us;
    GHashTable *lost; /* VM -> looks in a row that found its lease elsewhere */
};

/* Has another node, in the start that it has now, the lease? *owner: its name. */
static gboolean
is_lost(MigSelf *self, const MigRunning *running, MigAttached *attached, char **owner)
{
    MigLeaseOwner lease = {0};
    g_autoptr(MigNodeView) view = NULL;

    if (running->state == MIG_DOMAIN_INCOMING || running->state == MIG_DOMAIN_UNKNOWN ||
        mig_jobs_has_vm(self->daemon->jobs, running->name))
        return FALSE;
    if (!mig_csv_vm_lease_owner(mig_attached_csv(attached), running->slot, &lease, NULL) ||
        lease.host_id == 0 || lease.host_id == self->daemon->host_id)
        return FALSE;
    *owner = mig_attached_owner_name(attached, &lease, &view);
    return *owner && view && view->node->host_generation == lease.host_generation;
}

static void
end_lost(MigSelf *self, const MigRunning *running, const char *owner)
{
    guint looks = GPOINTER_TO_UINT(g_hash_table_lookup(self->lost, running->name)) + 1;
    g_autoptr(GError) error = NULL;
    gboolean ok;

    g_hash_table_replace(self->lost, g_strdup(running->name), GUINT_TO_POINTER(looks));
    if (looks < LOOKS_LOST)
        return;
    ok = self->daemon->hv->destroy(self->daemon->hv->self, running->name, running->uuid, &error);
    mig_events_add(self->daemon->events, running->name, self->daemon->node, "ended-here",
                   "%s has its lease: what was left of it on %s %s%s", owner, self->daemon->node,
                   ok ? "is ended" : "cannot be ended: ", ok ? "" : error->message);
    mig_vms_refresh_soon(self->daemon->vms);
}

static void
end_isolated(MigSelf *self, const MigRunning *running, MigAttached *attached)
{
    g_autoptr(MigVm) vm = mig_csv_vm(mig_attached_csv(attached), running->name, NULL);
    g_autoptr(GError) error = NULL;
    gboolean ok;

    if (!vm || !vm->restarts_on_isolation || !vm->wants_running ||
        running->state == MIG_DOMAIN_INCOMING || mig_jobs_has_vm(self->daemon->jobs, vm->name))
        return;
    ok = self->daemon->hv->destroy(self->daemon->hv->self, running->name, running->uuid, &error);
    mig_events_add(self->daemon->events, running->name, self->daemon->node, "ended-here",
                   "%s is cut off, and its policy is on_isolation=restart%s%s", self->daemon->node,
                   ok ? "" : ", but it cannot be ended: ", ok ? "" : error->message);
    mig_vms_refresh_soon(self->daemon->vms);
}

void
mig_self_look(MigSelf *self, gboolean is_isolated)
{
    g_autoptr(GPtrArray) all = NULL;

    if (g_get_monotonic_time() < self->next_us)
        return;
    self->next_us = g_get_monotonic_time() + MIG_SELF_LOOK_MS * 1000;
    all = mig_vms_list(self->daemon->vms);
    for (guint i = 0; i < all->len; i++) {
        const MigRunning *running = g_ptr_array_index(all, i);
        g_autoptr(MigAttached) attached =
            mig_volumes_get(self->daemon->volumes, running->volume, NULL);
        g_autofree char *owner = NULL;

        if (!attached || g_str_equal(mig_attached_state(attached), "lost"))
            continue; /* a LUN that does not answer is sanlock's case */
        if (is_lost(self, running, attached, &owner))
            end_lost(self, running, owner);
        else
            g_hash_table_remove(self->lost, running->name);
        if (is_isolated && !owner)
            end_isolated(self, running, attached);
    }
}

MigSelf *
mig_self_new(MigDaemon *daemon)
{
    MigSelf *self = g_new0(MigSelf, 1);

    self->daemon = daemon;
    self->lost = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    return self;
}
