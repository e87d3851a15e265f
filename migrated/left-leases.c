/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* left-leases.c - giving back what sanlock could not. */
#include "left-leases.h"

#include "incoming.h"
#include "jobs.h"
#include "vm-actions.h"

/* sanlock gives a lease back a moment after its process has ended. */
#define LEFT_TRIES 5
#define LEFT_MS    200

/* A VM that has ended here. */
typedef struct {
    char *uuid, *volume;
    guint32 slot;
    gboolean is_here;
} Left;

struct MigLeftLeases {
    MigDaemon *daemon;
    GHashTable *vms; /* VM -> Left: all that run here, and those that have ended with their lease */
};

static void
left_free(gpointer data)
{
    Left *left = data;

    g_free(left->uuid);
    g_free(left->volume);
    g_free(left);
}

MigLeftLeases *
mig_left_leases_new(MigDaemon *daemon)
{
    MigLeftLeases *left = g_new0(MigLeftLeases, 1);

    left->daemon = daemon;
    left->vms = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, left_free);
    return left;
}

gboolean
mig_left_leases_give_back(MigDaemon *daemon, MigAttached *attached, const char *vm, guint32 slot)
{
    g_autoptr(MigLease) lease = mig_csv_vm_lease(mig_attached_csv(attached), slot, vm);

    for (guint i = 0; i < LEFT_TRIES; i++) {
        MigLeaseOwner owner = {0};
        g_autoptr(GError) error = NULL;

        if (!mig_csv_vm_lease_owner(mig_attached_csv(attached), slot, &owner, NULL) ||
            !mig_attached_owns(attached, &owner))
            return FALSE;
        if (mig_sanlock_acquire(daemon->sanlock, lease, &error)) {
            g_message("the lease of %s was left on the LUN by what has ended here", vm);
            return mig_sanlock_release(daemon->sanlock, lease, NULL);
        }
        g_usleep(LEFT_MS * 1000); /* it may be on its way */
    }
    return FALSE;
}

/* FALSE: to be looked at again. */
static gboolean
is_done_with(MigDaemon *daemon, const char *vm, const Left *left)
{
    g_autoptr(MigAttached) attached = mig_volumes_get(daemon->volumes, left->volume, NULL);
    MigDomainState state = MIG_DOMAIN_UNKNOWN;
    MigLeaseOwner owner = {0};

    if (!attached)
        return TRUE;
    /* a LUN that hangs is not waited for */
    if (!g_str_equal(mig_attached_state(attached), "attached") ||
        !mig_csv_vm_lease_owner(mig_attached_csv(attached), left->slot, &owner, NULL))
        return FALSE;
    if (!mig_attached_owns(attached, &owner))
        return TRUE;
    /* it may be about to start here again, or to arrive */
    if (mig_jobs_has_vm(daemon->jobs, vm) || mig_jobs_is_held(daemon->jobs, vm) ||
        mig_incoming_expects(daemon->incoming, vm, left->uuid) ||
        !daemon->hv->get_state(daemon->hv->self, vm, left->uuid, &state, NULL) ||
        state != MIG_DOMAIN_ABSENT)
        return FALSE;
    return mig_left_leases_give_back(daemon, attached, vm, left->slot);
}

void
mig_left_leases_look(MigLeftLeases *left, const GPtrArray *running)
{
    GHashTableIter iter;
    gpointer vm, value;

    g_hash_table_iter_init(&iter, left->vms);
    while (g_hash_table_iter_next(&iter, NULL, &value))
        ((Left *)value)->is_here = FALSE;
    for (guint i = 0; i < running->len; i++) {
        const MigRunning *one = g_ptr_array_index(running, i);
        Left *now = g_new0(Left, 1);

        *now = (Left){.uuid = g_strdup(one->uuid),
                      .volume = g_strdup(one->volume),
                      .slot = one->slot,
                      .is_here = TRUE};
        g_hash_table_replace(left->vms, g_strdup(one->name), now);
    }
    g_hash_table_iter_init(&iter, left->vms);
    while (g_hash_table_iter_next(&iter, &vm, &value)) {
        if (!((Left *)value)->is_here && is_done_with(left->daemon, vm, value))
            g_hash_table_iter_remove(&iter);
    }
}
