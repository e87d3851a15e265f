/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* left-leases.c - giving back what sanlock could not. */
#include "left-leases.h"

#include "incoming.h"
#include "jobs.h"

/* sanlock gives a lease back a moment after its process has ended. */
#define LEFT_MS 200

/* How often all VMs' leases are read, and how many at a time: VMs that run wait for that. */
#define SWEEP_MS   (60 * 1000)
#define SWEEP_MANY 32

/* A VM that has ended here. */
typedef struct {
    char *uuid, *volume;
    guint32 slot;
    gboolean is_here;
} Left;

/* A reading of a volume's leases. */
typedef struct {
    guint64 generation;
    gint64 at_us;
    GPtrArray *vms; /* MigVm, those from next on are still to be looked at; NULL: it is through */
    guint next;
} Sweep;

static void
sweep_free(gpointer data)
{
    Sweep *sweep = data;

    g_clear_pointer(&sweep->vms, g_ptr_array_unref);
    g_free(sweep);
}

struct MigLeftLeases {
    MigDaemon *daemon;
    GHashTable *vms; /* VM -> Left: all that run here, and those that have ended with their lease */
    GHashTable *swept; /* volume -> Sweep */
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
    left->swept = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, sweep_free);
    return left;
}

gboolean
mig_left_leases_give_back(MigDaemon *daemon, MigAttached *attached, const char *vm, guint32 slot,
                          guint tries, guint64 *version)
{
    g_autoptr(MigLease) lease = mig_csv_vm_lease(mig_attached_csv(attached), slot, vm);

    for (guint i = 0; i < tries && !mig_attached_was_fenced(attached); i++) {
        MigLeaseOwner owner = {0};
        g_autoptr(GError) error = NULL;

        if (i > 0)
            g_usleep(LEFT_MS * 1000); /* it may be on its way */
        if (!mig_csv_vm_lease_owner(mig_attached_csv(attached), slot, &owner, NULL) ||
            !mig_attached_owns(attached, &owner))
            return FALSE;
        if (mig_sanlock_acquire(daemon->sanlock, lease, &error)) {
            g_message("the lease of %s was left on the LUN by what has ended here", vm);
            *version = owner.version + 1;
            return mig_sanlock_release(daemon->sanlock, lease, NULL);
        }
    }
    return FALSE;
}

/* A LUN that hangs is not waited for. */
static gboolean
is_at_hand(MigAttached *attached)
{
    return g_str_equal(mig_attached_state(attached), "attached");
}

/* FALSE: to be looked at again. */
static gboolean
is_done_with(MigDaemon *daemon, const char *vm, const Left *left)
{
    g_autoptr(MigAttached) attached = mig_volumes_get(daemon->volumes, left->volume, NULL);
    MigDomainState state = MIG_DOMAIN_UNKNOWN;
    MigLeaseOwner owner = {0};
    guint64 version = 0;

    if (!attached)
        return TRUE;
    if (!is_at_hand(attached) ||
        !mig_csv_vm_lease_owner(mig_attached_csv(attached), left->slot, &owner, NULL))
        return FALSE;
    if (!mig_attached_owns(attached, &owner) ||
        !mig_csv_vm_lease_is_named(mig_attached_csv(attached), left->slot, vm)) /* of another VM */
        return TRUE;
    /* it may be about to start here again, or to arrive */
    if (mig_jobs_has_vm(daemon->jobs, vm) || mig_jobs_is_held(daemon->jobs, vm) ||
        mig_incoming_expects(daemon->incoming, vm, left->uuid) ||
        !daemon->hv->get_state(daemon->hv->self, vm, left->uuid, &state, NULL) ||
        state != MIG_DOMAIN_ABSENT)
        return FALSE;
    return mig_left_leases_give_back(daemon, attached, vm, left->slot, 1, &version);
}

static Left *
left_new(const char *uuid, const char *volume, guint32 slot, gboolean is_here)
{
    Left *left = g_new0(Left, 1);

    *left = (Left){
        .uuid = g_strdup(uuid), .volume = g_strdup(volume), .slot = slot, .is_here = is_here};
    return left;
}

/* NULL: none is due. */
static Sweep *
sweep_of(MigLeftLeases *left, MigAttached *attached)
{
    const char *volume = mig_attached_name(attached);
    Sweep *one = g_hash_table_lookup(left->swept, volume);
    guint64 generation = mig_attached_generation(attached);
    gint64 now_us = g_get_monotonic_time();
    GPtrArray *vms;

    if (one && one->generation == generation && (one->vms || now_us - one->at_us < SWEEP_MS * 1000))
        return one->vms ? one : NULL;
    vms = mig_csv_vms(mig_attached_csv(attached), NULL);
    if (!vms)
        return NULL;
    one = g_new0(Sweep, 1);
    *one = (Sweep){.generation = generation, .at_us = now_us, .vms = vms};
    g_hash_table_replace(left->swept, g_strdup(volume), one);
    return one;
}

static void
sweep(MigLeftLeases *left, MigAttached *attached)
{
    Sweep *one = is_at_hand(attached) ? sweep_of(left, attached) : NULL;

    for (guint i = 0; one && i < SWEEP_MANY && one->next < one->vms->len; i++) {
        const MigVm *vm = g_ptr_array_index(one->vms, one->next);
        MigLeaseOwner owner = {0};

        if (!is_at_hand(attached))
            return;
        one->next++;
        if (!g_hash_table_contains(left->vms, vm->name) &&
            mig_csv_vm_lease_owner(mig_attached_csv(attached), vm->slot, &owner, NULL) &&
            mig_attached_owns(attached, &owner))
            g_hash_table_insert(left->vms, g_strdup(vm->name),
                                left_new(vm->uuid, mig_attached_name(attached), vm->slot, FALSE));
    }
    if (one && one->next >= one->vms->len)
        g_clear_pointer(&one->vms, g_ptr_array_unref);
}

void
mig_left_leases_look(MigLeftLeases *left, const GPtrArray *running)
{
    g_autoptr(GPtrArray) volumes = mig_volumes_list(left->daemon->volumes);
    GHashTableIter iter;
    gpointer vm, value;

    g_hash_table_iter_init(&iter, left->vms);
    while (g_hash_table_iter_next(&iter, NULL, &value))
        ((Left *)value)->is_here = FALSE;
    for (guint i = 0; i < running->len; i++) {
        const MigRunning *one = g_ptr_array_index(running, i);

        g_hash_table_replace(left->vms, g_strdup(one->name),
                             left_new(one->uuid, one->volume, one->slot, TRUE));
    }
    for (guint i = 0; i < volumes->len; i++)
        sweep(left, g_ptr_array_index(volumes, i));
    g_hash_table_iter_init(&iter, left->vms);
    while (g_hash_table_iter_next(&iter, &vm, &value)) {
        if (!((Left *)value)->is_here && is_done_with(left->daemon, vm, value))
            g_hash_table_iter_remove(&iter);
    }
}
