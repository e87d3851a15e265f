/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* role-watch.c - who should coordinate a volume: looking, taking over, balancing. */
#include "role-private.h"

#include "base/error.h"
#include "core/coordinator.h"
#include "core/timeouts.h"
#include "failover.h"

/* One hand-over of this node at a time, and a moment between two: what it coordinates is counted
 * anew. */
static GMutex balance_lock;
static gint64 balanced_us;

/* ---- what is seen ---- */

/* Has this very start of our host the lease, and we have not? A release did not get through to the
 * LUN; sanlock gives it to who asks here, unless another process has it. */
static gboolean
is_left_over(MigRole *role, const MigLeaseOwner *owner)
{
    return owner->host_id && owner->host_id == role->daemon->host_id &&
           owner->host_generation == mig_attached_generation(role->attached) &&
           !g_atomic_int_get(&role->is_held);
}

/* sanlock looks at the others' leases only now and then: one that was freed after a fence can be
 * seen at once. */
static gboolean
is_dead(MigRole *role, const MigLeaseOwner *owner, const MigNodeView *view)
{
    return view->state != MIG_NODE_UP &&
           (view->sanlock == MIG_HOST_STATE_DEAD || view->sanlock == MIG_HOST_STATE_FREE ||
            mig_csv_host_has_ended(mig_attached_csv(role->attached), (guint32)owner->host_id,
                                   owner->host_generation));
}

/* Name of the owner, NULL: free, or dead by sanlock's verdict, which gives the lease to who asks.
 */
static char *
read_owner(MigRole *role, MigLeaseOwner *owner, MigNodeView **view)
{
    char *name;

    if (!mig_csv_coordinator_owner(mig_attached_csv(role->attached), owner, NULL)) {
        g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&role->lock);

        return g_strdup(role->owner ? role->owner : ""); /* unreadable: as it was */
    }
    name = mig_attached_owner_name(role->attached, owner, view);
    if (name && (is_left_over(role, owner) || (*view && is_dead(role, owner, *view))))
        g_clear_pointer(&name, g_free);
    return name;
}

static void
remember_owner(MigRole *role, const char *name)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&role->lock);

    g_free(role->owner);
    role->owner = g_strdup(name);
    if (name)
        role->free_us = 0;
    else if (!role->free_us)
        role->free_us = g_get_monotonic_time();
    if (name && role->given_to && g_str_equal(name, role->given_to))
        g_clear_pointer(&role->given_to, g_free);
}

char *
mig_role_coordinator(MigRole *role)
{
    MigLeaseOwner owner = {0};
    g_autoptr(MigNodeView) view = NULL;
    g_autofree char *name = read_owner(role, &owner, &view);

    remember_owner(role, name && *name ? name : NULL);
    g_mutex_lock(&role->lock);
    if (!name && role->given_to &&
        g_get_monotonic_time() - role->given_us < MIG_COORDINATOR_GRACE_MS * 1000)
        name = g_strdup(role->given_to);
    g_mutex_unlock(&role->lock);
    return name && *name ? g_steal_pointer(&name) : NULL;
}

gboolean
mig_role_is_cut_off(MigRole *role)
{
    /* volumes are attached before the failover starts to look */
    return role->daemon->failover && mig_failover_cut_now(role->daemon->failover) != MIG_CUT_NONE;
}

/* NULL: nothing keeps this node from staying coordinator */
static const char *
obstacle(MigRole *role)
{
    g_autoptr(GPtrArray) views = NULL;

    if (!role->daemon->config->standing_coordinator)
        return "[volumes] standing_coordinator=no";
    if (mig_role_is_cut_off(role))
        return "it is cut off";
    views = mig_attached_nodes(role->attached);
    for (guint i = 0; i < views->len; i++) {
        const MigNodeView *view = g_ptr_array_index(views, i);

        if ((view->state == MIG_NODE_UP || view->state == MIG_NODE_SUSPECT) &&
            !mig_node_is_of_0_3(view->node))
            return "a node of an older version is there";
    }
    return NULL;
}

gboolean
mig_role_may_stand(MigRole *role)
{
    return obstacle(role) == NULL;
}

static void
count_volumes(MigDaemon *daemon, MigCoordinatorNode *nodes, guint count)
{
    g_autoptr(GPtrArray) list = mig_volumes_list(daemon->volumes);

    for (guint i = 0; i < list->len; i++) {
        MigRole *role = mig_attached_role(g_ptr_array_index(list, i));

        if (!role)
            continue;
        g_mutex_lock(&role->lock);
        for (guint k = 0; k < count; k++)
            nodes[k].volumes += role->owner && g_str_equal(role->owner, nodes[k].name);
        g_mutex_unlock(&role->lock);
    }
}

/* Nodes with the volume; their names belong to views. */
static MigCoordinatorNode *
candidates(MigRole *role, GPtrArray *views)
{
    MigCoordinatorNode *nodes = g_new0(MigCoordinatorNode, views->len + 1);

    for (guint i = 0; i < views->len; i++) {
        const MigNodeView *view = g_ptr_array_index(views, i);

        nodes[i] = (MigCoordinatorNode){
            .name = view->node->name,
            .host_id = view->node->host_id,
            .is_usable = view->state == MIG_NODE_UP && !view->node->is_draining &&
                         !(view->is_local && role->is_ending),
            .is_draining = view->state == MIG_NODE_UP && view->node->is_draining &&
                           !(view->is_local && role->is_ending)};
    }
    count_volumes(role->daemon, nodes, views->len);
    return nodes;
}

/* ---- taking over ---- */

/* The first in rank at once, each further one a step later: the first may not have seen it yet. */
static gboolean
is_our_turn(MigRole *role)
{
    g_autoptr(GPtrArray) views = mig_attached_nodes(role->attached);
    g_autofree MigCoordinatorNode *nodes = candidates(role, views);
    gint rank = mig_coordinator_rank(nodes, views->len, role->daemon->node);
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&role->lock);
    gint64 now = g_get_monotonic_time();

    if (rank < 0 || role->is_ending)
        return FALSE;
    if (role->given_to && now - role->given_us < MIG_COORDINATOR_GRACE_MS * 1000)
        return FALSE;
    return role->free_us &&
           now - role->free_us >=
               MIG_COORDINATOR_FREE_MS * 1000 + (gint64)rank * MIG_COORDINATOR_STEP_MS * 1000;
}

/* What waits for a coordinator comes first, and each change settles by itself: then there is
 * nothing to do here. A thread of its own: it reads all of the catalogue, and the watch's clock
 * must go on.
 */
static gpointer
settle(gpointer data)
{
    g_autoptr(MigAttached) attached = data;
    MigRole *role = mig_attached_role(attached);
    g_autoptr(GError) error = NULL;
    MigEpoch epoch = {0};

    g_usleep(MIG_COORDINATOR_SETTLES_MS * 1000);
    if (!role || !mig_role_is_held(role) || !mig_role_enter(role, 0, FALSE, &epoch, NULL))
        return NULL;
    if (!mig_csv_settle(mig_attached_csv(attached), &epoch, &error) && mig_role_is_held(role))
        g_warning("volume %s: what its last coordinator wrote cannot be made whole: %s",
                  mig_attached_name(attached), error->message);
    mig_role_leave(role);
    return NULL;
}

void
mig_role_settle(MigRole *role)
{
    g_thread_unref(g_thread_new("settle", settle, mig_attached_ref(role->attached)));
}

static void
take(MigRole *role)
{
    g_autoptr(GError) error = NULL;
    gboolean is_taken = FALSE;

    if (!mig_role_lock_turn(role, 0))
        return;
    if (!g_atomic_int_get(&role->is_held) && !role->is_ending) {
        is_taken = mig_role_acquire(role, &error);
        if (is_taken)
            g_message("this node is coordinator of volume %s, lease version %" G_GUINT64_FORMAT,
                      mig_attached_name(role->attached), role->epoch.version);
        else if (error && !g_atomic_int_compare_and_exchange(&role->has_failed, FALSE, TRUE))
            ; /* told already */
        else if (error)
            g_warning("cannot become coordinator of volume %s: %s",
                      mig_attached_name(role->attached), error->message);
    }
    mig_role_unlock_turn(role);
    if (is_taken)
        mig_role_settle(role);
}

void
mig_role_need(MigRole *role)
{
    if (mig_role_may_stand(role) && is_our_turn(role))
        take(role);
}

/* Counts how often the owner's host has renewed its lease since its heartbeat stands still: only
 * one that reaches the LUN does. */
static void
count_renewals(MigRole *role, const MigLeaseOwner *owner)
{
    guint64 generation = 0;
    gint64 renewed_us = 0;

    if (!mig_csv_host_renewed(mig_attached_csv(role->attached), (guint32)owner->host_id,
                              &generation, &renewed_us) ||
        generation != owner->host_generation)
        return;
    if (role->still_renewed_us && role->still_renewed_us != renewed_us)
        role->still_renewals++;
    role->still_renewed_us = renewed_us;
}

/* For how long its heartbeat has stood still under our own eyes: one that has just come, or was
 * stopped itself, has seen nothing yet. */
static gint64
stands_still_ms(MigRole *role, const MigLeaseOwner *owner, const MigNodeView *view)
{
    gint64 now = g_get_monotonic_time();

    if (now - role->looked_us > MIG_SIGN_GAP_MS * 1000 || role->still_version != owner->version ||
        role->still_heartbeat != view->node->heartbeat) {
        role->still_us = now;
        role->still_version = owner->version;
        role->still_heartbeat = view->node->heartbeat;
        role->still_renewed_us = 0;
        role->still_renewals = 0;
    } else {
        count_renewals(role, owner);
    }
    role->looked_us = now;
    return (now - role->still_us) / 1000;
}

/* Its sanlock lives and its heartbeat does not come: the process hangs, with the lease. Its own
 * sanlock ends it, which frees the lease; VMs have leases of their own and run on. Where its paths
 * to the LUN stall sanlock calls it alive for long, yet renews nothing: that is not for us to end.
 */
static void
ask_for_its_end(MigRole *role, const MigLeaseOwner *owner, const MigNodeView *view)
{
    g_autoptr(GPtrArray) views = mig_attached_nodes(role->attached);
    g_autofree MigCoordinatorNode *nodes = candidates(role, views);
    gint rank = mig_coordinator_rank(nodes, views->len, role->daemon->node);
    gint64 now = g_get_monotonic_time();
    gint64 still_ms = stands_still_ms(role, owner, view);
    g_autoptr(GError) error = NULL;

    if (view->is_local || view->sanlock != MIG_HOST_STATE_LIVE || rank < 0 ||
        role->still_renewals < MIG_COORDINATOR_HUNG_RENEWALS ||
        still_ms < MIG_COORDINATOR_HUNG_MS + (gint64)rank * MIG_COORDINATOR_STEP_MS ||
        (role->hung_us && now - role->hung_us < MIG_COORDINATOR_HUNG_AGAIN_MS * 1000))
        return;
    role->hung_us = now;
    if (mig_sanlock_request(role->daemon->sanlock, role->lease, owner->version, &error))
        g_message("migrated on %s hangs as coordinator of volume %s: its sanlock is asked to end "
                  "it",
                  view->node->name, mig_attached_name(role->attached));
    else
        g_warning("migrated on %s hangs as coordinator of volume %s: %s", view->node->name,
                  mig_attached_name(role->attached), error->message);
}

/* ---- balancing ---- */

char *
mig_role_heir(MigRole *role)
{
    g_autoptr(GPtrArray) views = mig_attached_nodes(role->attached);
    g_autofree MigCoordinatorNode *nodes = candidates(role, views);

    return g_strdup(mig_coordinator_surplus(nodes, views->len, role->daemon->node));
}

static void
balance(MigRole *role, guint *members, gint64 *changed_us)
{
    g_autoptr(GPtrArray) views = mig_attached_nodes(role->attached);
    gint64 now = g_get_monotonic_time();
    g_autofree char *heir = NULL;
    g_autoptr(GError) error = NULL;
    guint seen = 0;

    for (guint i = 0; i < views->len; i++) {
        const MigNodeView *view = g_ptr_array_index(views, i);

        if (view->state == MIG_NODE_UP)
            seen = seen * 31 + view->node->host_id + (view->node->is_draining ? 7919 : 0);
    }
    if (seen != *members) { /* who comes may go at once, and the other way round */
        *members = seen;
        *changed_us = now;
    }
    /* who coordinates what is known of those volumes only that are attached here: before all are,
     * those who coordinate the rest seem to have nothing to do */
    *changed_us = MAX(*changed_us, mig_volumes_changed_us(role->daemon->volumes));
    if (now - *changed_us < MIG_COORDINATOR_SETTLE_MS * 1000 || !g_mutex_trylock(&balance_lock))
        return;
    heir = now - balanced_us < MIG_COORDINATOR_BALANCE_MS * 1000 ? NULL : mig_role_heir(role);
    if (heir) {
        g_message("%s is to coordinate volume %s from now on", heir,
                  mig_attached_name(role->attached));
        if (!mig_role_give(role, heir, &error) && error)
            g_warning("%s does not become coordinator of volume %s: %s", heir,
                      mig_attached_name(role->attached), error->message);
        balanced_us = g_get_monotonic_time();
    }
    g_mutex_unlock(&balance_lock);
}

/* ---- the thread ---- */

static void
look_held(MigRole *role, guint *members, gint64 *changed_us)
{
    const char *why_not;

    if (!mig_role_lock_turn(role, 0)) {
        /* a change is under way: only the clock goes on, which reads no more than the LUN */
        mig_role_look_on(role);
        return;
    }
    why_not = mig_role_verify(role) ? obstacle(role) : NULL;
    if (why_not) {
        g_message("this node is not coordinator of volume %s any more: %s",
                  mig_attached_name(role->attached), why_not);
        mig_role_release(role);
    }
    mig_role_unlock_turn(role);
    if (g_atomic_int_get(&role->is_held))
        balance(role, members, changed_us);
}

/* Only the clock is looked at, which the watch of a change under way sets anew whenever no
 * heartbeat is late: the LUN may not answer here. */
static gboolean
gives_up(MigRole *role)
{
    guint io_timeout_s = mig_csv_io_timeout_s(mig_attached_csv(role->attached));
    MigCoordinatorBeat beat = {.has_failed = mig_attached_has_failed(role->attached),
                               .is_late = TRUE,
                               .lease_ms = mig_timeouts_lease_ms(io_timeout_s)};

    g_mutex_lock(&role->lock);
    beat.is_changing = role->is_entered;
    g_mutex_unlock(&role->lock);
    g_mutex_lock(&role->valid_lock);
    beat.left_ms = (role->valid_us - g_get_monotonic_time()) / 1000;
    g_mutex_unlock(&role->valid_lock);
    return mig_coordinator_gives_up(&beat);
}

static void
look(MigRole *role, guint *members, gint64 *changed_us)
{
    MigLeaseOwner owner = {0};
    g_autoptr(MigNodeView) view = NULL;
    g_autofree char *name = NULL;

    if (g_atomic_int_get(&role->is_held)) {
        /* sanlock would end this process with its lease, which is of no use now */
        if (g_str_equal(mig_attached_state(role->attached), "lost")) {
            if (!gives_up(role))
                return;
            mig_role_drop(role, "its LUN does not answer");
            if (mig_role_lock_turn(role, 0))
                mig_role_unlock_turn(role);
            return;
        }
        look_held(role, members, changed_us);
        return;
    }
    name = read_owner(role, &owner, &view);
    if (name && !*name)
        return;
    remember_owner(role, name);
    if (!name)
        mig_role_need(role);
    else if (view && mig_role_may_stand(role))
        ask_for_its_end(role, &owner, view);
}

gpointer
mig_role_watch(gpointer data)
{
    MigRole *role = data;
    guint members = 0;
    gint64 changed_us = g_get_monotonic_time();

    g_mutex_lock(&role->lock);
    while (!role->is_ending) {
        gint64 until = g_get_monotonic_time() + MIG_COORDINATOR_LOOK_MS * 1000;

        g_mutex_unlock(&role->lock);
        look(role, &members, &changed_us);
        g_mutex_lock(&role->lock);
        while (!role->is_ending && g_cond_wait_until(&role->wake, &role->lock, until))
            ;
    }
    g_mutex_unlock(&role->lock);
    return NULL;
}
