/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* role.c - the coordinator lease of a volume, and who may write under it. */
#include "role.h"

#include "role-private.h"

#include "base/error.h"
#include "core/timeouts.h"

#define POLL_MS 20

/* ---- the guard ---- */

bool
mig_role_may_write(gpointer user_data)
{
    MigRole *role = user_data;

    if (!g_atomic_int_get(&role->is_held) || g_atomic_int_get(&role->is_leaving))
        return false;
    g_mutex_lock(&role->valid_lock);
    gint64 valid_us = role->valid_us;

    g_mutex_unlock(&role->valid_lock);
    return g_get_monotonic_time() < valid_us;
}

static void
set_valid(MigRole *role, gint64 valid_us)
{
    g_mutex_lock(&role->valid_lock);
    role->valid_us = valid_us;
    g_mutex_unlock(&role->valid_lock);
}

/* ---- turns ---- */

gboolean
mig_role_lock_turn(MigRole *role, guint wait_ms)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&role->lock);
    gint64 until = g_get_monotonic_time() + (gint64)wait_ms * 1000;

    while (role->is_entered) {
        if (!g_cond_wait_until(&role->wake, &role->lock, until))
            return FALSE;
    }
    role->is_entered = TRUE;
    return TRUE;
}

/* Turn held: what was dropped meanwhile is given back now, for nothing is being written. */
static void
end_dropped(MigRole *role)
{
    if (!g_atomic_int_compare_and_exchange(&role->is_dropped, TRUE, FALSE))
        return;
    g_atomic_int_set(&role->is_held, FALSE);
    set_valid(role, 0);
    mig_sanlock_release(role->daemon->sanlock, role->lease,
                        NULL); /* it may think that we have it */
}

void
mig_role_unlock_turn(MigRole *role)
{
    end_dropped(role);
    g_mutex_lock(&role->lock);
    role->is_entered = FALSE;
    g_cond_broadcast(&role->wake);
    g_mutex_unlock(&role->lock);
}

/* ---- the lease ---- */

static void
set_owner(MigRole *role, char *name_take)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&role->lock);

    g_free(role->owner);
    role->owner = name_take;
    if (role->owner)
        role->free_us = 0;
    else if (!role->free_us)
        role->free_us = g_get_monotonic_time();
}

void
mig_role_drop(MigRole *role, const char *why)
{
    if (!g_atomic_int_compare_and_exchange(&role->is_held, TRUE, FALSE))
        return;
    set_valid(role, 0);
    g_atomic_int_set(&role->is_dropped, TRUE);
    g_message("this node is not coordinator of volume %s any more: %s",
              mig_attached_name(role->attached), why);
}

/* Until when no other host may take what we hold: sanlock kills its holders here by then. */
static gboolean
renew_valid(MigRole *role, guint64 host_generation)
{
    MigCsv *csv = mig_attached_csv(role->attached);
    guint64 generation = 0;
    gint64 renewed_us = 0;

    if (!mig_csv_host_renewed(csv, role->daemon->host_id, &generation, &renewed_us) ||
        generation != host_generation)
        return FALSE;
    set_valid(role, renewed_us + mig_timeouts_lease_ms(mig_csv_io_timeout_s(csv)) * 1000);
    return TRUE;
}

static gboolean
is_epoch(const MigRole *role, const MigLeaseOwner *owner)
{
    return owner->host_id == role->epoch.host_id && owner->version == role->epoch.version &&
           owner->host_generation == role->epoch.host_generation;
}

gboolean
mig_role_verify(MigRole *role)
{
    MigLeaseOwner owner = {0};

    if (!g_atomic_int_get(&role->is_held))
        return FALSE;
    if (!mig_csv_coordinator_owner(mig_attached_csv(role->attached), &owner, NULL))
        return FALSE; /* nothing can be written either; the clock runs out by itself */
    if (!is_epoch(role, &owner)) {
        mig_role_drop(role, "the LUN says so");
        return FALSE;
    }
    return renew_valid(role, role->epoch.host_generation) && mig_role_may_write(role);
}

void
mig_role_look_on(MigRole *role)
{
    MigLeaseOwner owner = {0};

    if (!g_atomic_int_get(&role->is_held) ||
        !mig_csv_coordinator_owner(mig_attached_csv(role->attached), &owner, NULL))
        return;
    if (is_epoch(role, &owner))
        renew_valid(role, role->epoch.host_generation);
    else if (owner.version >= role->epoch.version) /* else it was read before we took it again */
        mig_role_drop(role, "the LUN says so");
}

gboolean
mig_role_acquire(MigRole *role, GError **error)
{
    g_autoptr(GError) refused = NULL;
    MigLeaseOwner owner = {0};

    end_dropped(role);
    if (!mig_sanlock_acquire(role->daemon->sanlock, role->lease, &refused)) {
        if (!g_error_matches(refused, MIG_ERROR, MIG_ERROR_LEASE_HELD))
            g_propagate_error(error, g_steal_pointer(&refused));
        return FALSE;
    }
    if (!mig_csv_coordinator_owner(mig_attached_csv(role->attached), &owner, error)) {
        mig_sanlock_release(role->daemon->sanlock, role->lease, NULL);
        return FALSE;
    }
    role->epoch = (MigEpoch){.version = owner.version,
                             .host_generation = owner.host_generation,
                             .host_id = role->daemon->host_id};
    g_atomic_int_set(&role->is_leaving, FALSE);
    g_atomic_int_set(&role->is_held, TRUE);
    if (!renew_valid(role, owner.host_generation) || owner.host_id != role->daemon->host_id) {
        mig_role_release(role);
        g_set_error(error, MIG_ERROR, MIG_ERROR_IO, "the lease of volume %s cannot be seen",
                    mig_attached_name(role->attached));
        return FALSE;
    }
    g_atomic_int_set(&role->has_failed, FALSE);
    set_owner(role, g_strdup(role->daemon->node));
    return TRUE;
}

void
mig_role_release(MigRole *role)
{
    g_autoptr(GError) error = NULL;

    g_atomic_int_set(&role->is_held, FALSE);
    g_atomic_int_set(&role->is_dropped, FALSE);
    set_valid(role, 0);
    if (!mig_sanlock_release(role->daemon->sanlock, role->lease, &error))
        g_warning("coordinator lease of %s: %s", mig_attached_name(role->attached), error->message);
    set_owner(role, NULL);
    g_atomic_int_set(&role->is_leaving, FALSE);
}

/* ---- for changes ---- */

gboolean
mig_role_is_held(MigRole *role)
{
    return g_atomic_int_get(&role->is_held);
}

guint64
mig_role_version(MigRole *role)
{
    return g_atomic_int_get(&role->is_held) ? role->epoch.version : 0;
}

gboolean
mig_role_enter(MigRole *role, guint wait_ms, gboolean for_the_moment, MigEpoch *epoch,
               GError **error)
{
    gint64 until = g_get_monotonic_time() + (gint64)wait_ms * 1000;

    for (;;) {
        g_autoptr(GError) failed = NULL;

        if (!mig_role_lock_turn(role, wait_ms))
            return FALSE;
        if (mig_role_verify(role) || (for_the_moment && !g_atomic_int_get(&role->is_held) &&
                                      !role->is_ending && mig_role_acquire(role, &failed))) {
            *epoch = role->epoch;
            return TRUE;
        }
        mig_role_unlock_turn(role);
        if (failed || !for_the_moment || g_get_monotonic_time() > until) {
            if (failed)
                g_propagate_error(error, g_steal_pointer(&failed));
            return FALSE;
        }
        /* not in step with the others that wait */
        g_usleep((gulong)(POLL_MS + g_random_int_range(0, POLL_MS)) * 1000);
    }
}

void
mig_role_leave(MigRole *role)
{
    if (!mig_role_may_stand(role))
        mig_role_release(role);
    mig_role_unlock_turn(role);
}

void
mig_role_lost(MigRole *role)
{
    MigLeaseOwner owner = {0};

    /* our own hand-over may have stopped it: that one ends in order */
    if (g_atomic_int_get(&role->is_leaving))
        return;
    if (!mig_csv_coordinator_owner(mig_attached_csv(role->attached), &owner, NULL) ||
        !is_epoch(role, &owner))
        mig_role_drop(role, "a write was refused");
}

gboolean
mig_role_take(MigRole *role, guint wait_ms, GError **error)
{
    MigEpoch epoch;
    g_autoptr(GError) failed = NULL;
    gboolean was_held = mig_role_is_held(role);

    if (mig_role_may_stand(role) && mig_role_enter(role, wait_ms, TRUE, &epoch, &failed)) {
        mig_role_leave(role);
        if (!was_held) /* who gave it may have broken off a change for that */
            mig_role_settle(role);
        return TRUE;
    }
    if (failed)
        g_propagate_error(error, g_steal_pointer(&failed));
    else
        g_set_error(error, MIG_ERROR, MIG_ERROR_COORDINATOR_BUSY,
                    "%s did not get the coordinator lease of volume %s: %s", role->daemon->node,
                    mig_attached_name(role->attached),
                    mig_role_may_stand(role)
                        ? "another node has it; try again"
                        : "nobody stays coordinator: [volumes] standing_coordinator=no, a node of "
                          "an older version is up, or this one is cut off from all others");
    return FALSE;
}

static void
note_given(MigRole *role, const char *node)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&role->lock);

    g_free(role->given_to);
    role->given_to = g_strdup(node);
    role->given_us = g_get_monotonic_time();
}

gboolean
mig_role_give(MigRole *role, const char *node, GError **error)
{
    MigNameRequest request = {.name = (char *)mig_attached_name(role->attached)};
    g_autoptr(MigEmpty) reply = NULL;

    /* a change is nearly always through by then; one that zeroes much is broken off, which changes
     * nothing, and is asked for again at the new coordinator */
    if (!mig_role_lock_turn(role, MIG_COORDINATOR_YIELD_MS)) {
        g_atomic_int_set(&role->is_leaving, TRUE);
        if (!mig_role_lock_turn(role, MIG_PEER_CALL_MS)) {
            g_atomic_int_set(&role->is_leaving, FALSE);
            g_set_error(error, MIG_ERROR, MIG_ERROR_COORDINATOR_BUSY,
                        "a change of volume %s does not end; look at its LUN",
                        mig_attached_name(role->attached));
            return FALSE;
        }
    }
    if (!g_atomic_int_get(&role->is_held)) {
        g_atomic_int_set(&role->is_leaving, FALSE);
        mig_role_unlock_turn(role);
        return FALSE;
    }
    note_given(role, node);
    mig_role_release(role);
    mig_role_unlock_turn(role);
    reply = mig_peer_rpc_call(role->daemon->peer, node, "TakeCoordinator", &mig_type_NameRequest,
                              &request, &mig_type_Empty, MIG_PEER_CONNECT_MS, error);
    if (!reply)
        note_given(role, NULL);
    return reply != NULL;
}

/* ---- life ---- */

MigRole *
mig_role_start(MigDaemon *daemon, MigAttached *attached)
{
    MigRole *role = g_new0(MigRole, 1);

    role->daemon = daemon;
    role->attached = attached; /* which ends after its role */
    role->lease = mig_csv_coordinator_lease(mig_attached_csv(attached));
    g_mutex_init(&role->lock);
    g_mutex_init(&role->valid_lock);
    g_cond_init(&role->wake);
    mig_csv_set_guard(mig_attached_csv(attached), mig_role_may_write, role);
    role->thread = g_thread_new("coordinator", mig_role_watch, role);
    return role;
}

/* FALSE: a change does not end, and has the lease. */
static gboolean
stop(MigRole *role)
{
    g_autofree char *heir = NULL;

    g_mutex_lock(&role->lock);
    role->is_ending = TRUE;
    g_cond_broadcast(&role->wake);
    g_mutex_unlock(&role->lock);
    heir = g_atomic_int_get(&role->is_held) ? mig_role_heir(role) : NULL;
    if (heir)
        mig_role_give(role, heir, NULL);
    else if (mig_role_lock_turn(role, MIG_PEER_CONNECT_MS)) {
        if (g_atomic_int_get(&role->is_held))
            mig_role_release(role);
        mig_role_unlock_turn(role);
    }
    return !g_atomic_int_get(&role->is_held);
}

static gpointer
stop_thread(gpointer data)
{
    MigRole *role = data;

    stop(role);
    g_atomic_int_set(&role->has_stopped, TRUE);
    return NULL;
}

gboolean
mig_role_end(MigRole *role, GError **error)
{
    gboolean ok;

    if (!role)
        return TRUE;
    ok = stop(role);
    g_thread_join(role->thread);
    role->thread = NULL;
    if (!ok)
        g_set_error(error, MIG_ERROR, MIG_ERROR_COORDINATOR_BUSY,
                    "a change of volume %s, which this node coordinates, does not end; try again, "
                    "or look at its LUN",
                    mig_attached_name(role->attached));
    return ok;
}

void
mig_role_resume(MigRole *role)
{
    role->is_ending = FALSE;
    role->thread = g_thread_new("coordinator", mig_role_watch, role);
}

void
mig_role_free(MigRole *role)
{
    if (!role)
        return;
    mig_lease_free(role->lease);
    g_free(role->owner);
    g_free(role->given_to);
    g_mutex_clear(&role->lock);
    g_mutex_clear(&role->valid_lock);
    g_cond_clear(&role->wake);
    g_free(role);
}

void
mig_role_end_all(MigDaemon *daemon)
{
    g_autoptr(GPtrArray) list = mig_volumes_list(daemon->volumes);
    gint64 until = g_get_monotonic_time() + MIG_COORDINATOR_STOP_MS * 1000;

    for (guint i = 0; i < list->len; i++) {
        MigRole *role = mig_attached_role(g_ptr_array_index(list, i));

        if (role)
            g_thread_unref(g_thread_new("handover", stop_thread, role));
    }
    for (guint i = 0; i < list->len; i++) {
        MigRole *role = mig_attached_role(g_ptr_array_index(list, i));

        /* given back is not enough: the other one is told after that */
        while (role && !g_atomic_int_get(&role->has_stopped) && g_get_monotonic_time() < until)
            g_usleep(POLL_MS * 1000);
    }
}
