/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* attached.c - one attached volume: lockspace, heartbeat, and what the other nodes write. */
#include "attached.h"

#include "attached-private.h"

#include "base/error.h"
#include "base/io.h"
#include "core/failover.h"
#include "core/timeouts.h"
#include "events.h"
#include "failover.h"
#include "link.h"
#include "lives.h"
#include "recovery.h"
#include "role.h"
#include "times.h"
#include "unfence.h"

static const char *const node_state_names[] = {"up", "suspect", "down", "left"};

const char *
mig_node_state_name(MigNodeState state)
{
    return node_state_names[state];
}

void
mig_node_view_free(MigNodeView *view)
{
    if (!view)
        return;
    mig_node_free(view->node);
    g_free(view);
}

static void
seen_free(gpointer data)
{
    Seen *seen = data;

    mig_node_free(seen->node);
    g_free(seen);
}

static gint64
now_ms(void)
{
    return g_get_monotonic_time() / 1000;
}

/* ---- our own slot ---- */

/* Another node may have removed us while we were taken for dead: for good, whatever the slot says
 * later. */
gboolean
mig_attached_refuse_removed(MigAttached *attached, GError **error)
{
    g_atomic_int_set(&attached->is_removed, TRUE);
    g_set_error(error, MIG_ERROR, MIG_ERROR_NO_CLUSTER,
                "this node was removed from it; 'migratectl cluster leave', then 'cluster join %s'",
                mig_csv_device(attached->csv));
    return FALSE;
}

/* What ran here when this process was ended runs on; until libvirt has been asked nobody may be
 * told that it does not: of a VM without its lease there is no other word. Write lock held. */
static void
fill_running(MigAttached *attached, MigNode *node)
{
    gboolean is_listed = g_atomic_int_get(&attached->is_listed); /* before the list is read */

    attached->hooks.running_bits(attached->hooks.self, mig_csv_name(attached->csv), node->running);
    /* sanlock may have been started anew alone: only a host that was has ended its VMs */
    if (is_listed || (!attached->is_same_boot && !attached->is_joining &&
                      attached->kept_generation != attached->generation))
        return;
    for (guint i = 0; i < G_N_ELEMENTS(attached->kept); i++)
        node->running[i] |= attached->kept[i];
}

/* A host that goes down ends its VMs and this process at once. Those whose end is seen until then
 * have ended with the host, not by themselves, and whoever looks at the slot shall know. Write lock
 * held. */
static void
keep_told(MigAttached *attached, MigNode *node)
{
    gboolean is_ending = g_atomic_int_get(&attached->is_ending);

    for (guint i = 0; i < G_N_ELEMENTS(attached->told); i++) {
        if (is_ending)
            node->running[i] |= attached->told[i];
        attached->told[i] = node->running[i];
    }
}

void
mig_attached_set_ending(MigAttached *attached)
{
    g_atomic_int_set(&attached->is_ending, TRUE);
}

void
mig_attached_set_listed(MigAttached *attached)
{
    g_atomic_int_set(&attached->is_listed, TRUE);
}

gboolean
mig_attached_write(MigAttached *attached, MigAttachedWrite write, gboolean has_left, GError **error)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&attached->write_lock);
    g_autoptr(GError) refused = NULL;
    MigDaemon *daemon = attached->daemon;
    g_autoptr(MigNode) node = g_new0(MigNode, 1);

    if (g_atomic_int_get(&attached->is_removed))
        return mig_attached_refuse_removed(attached, error);
    node->host_id = daemon->host_id;
    node->name = g_strdup(daemon->node);
    node->management = g_strdup(daemon->config->management);
    node->port = (guint16)daemon->config->port;
    node->migration = g_strdup(mig_link_address(daemon->link));
    node->version = g_strdup(MIG_VERSION);
    node->host_generation = attached->generation;
    node->has_left = has_left;
    node->encrypts = daemon->config->encrypt != 0;
    node->certificates = mig_identity_published(daemon->identity);
    node->notes = daemon->events ? mig_events_notes(daemon->events) : NULL;
    mig_volumes_fill_host(daemon->volumes, node);
    if (mig_attached_was_fenced(attached)) /* others restart, and not here */
        node->is_passive = node->is_draining = TRUE;
    if (mig_failover_hangs(daemon->failover) || mig_recovery_hangs(daemon->recovery))
        node->is_passive = TRUE;
    fill_running(attached, node);
    keep_told(attached, node);
    node->heartbeat = attached->heartbeat;
    if (!write(attached->csv, node, &refused)) {
        if (g_error_matches(refused, MIG_ERROR, MIG_ERROR_NO_CLUSTER))
            return mig_attached_refuse_removed(attached, error);
        g_propagate_error(error, g_steal_pointer(&refused));
        return FALSE;
    }
    attached->heartbeat = node->heartbeat;
    g_mutex_lock(&attached->lock);
    attached->written = node->heartbeat;
    g_mutex_unlock(&attached->lock);
    return TRUE;
}

guint64
mig_attached_heartbeat(MigAttached *attached)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&attached->lock);

    return attached->written;
}

gboolean
mig_attached_publish(MigAttached *attached, GError **error)
{
    return mig_attached_write(attached, mig_csv_node_beat, FALSE, error);
}

/* ---- everybody's slots ---- */

static Seen *
find_seen(GPtrArray *seen, guint32 host_id)
{
    for (guint i = 0; i < seen->len; i++) {
        Seen *one = g_ptr_array_index(seen, i);

        if (one->node->host_id == host_id)
            return one;
    }
    return NULL;
}

/* sanlock lists no host whose lease is free: of those the LUN tells. generation: the start that
 * is asked about, which ends with the next one; 0: whichever it is in. Blocks on the LUN. */
static MigHostState
state_of_host(MigAttached *attached, const GArray *hosts, guint32 host_id, guint64 generation)
{
    for (guint i = 0; hosts && i < hosts->len; i++) {
        const MigSanlockHost *host = &g_array_index(hosts, MigSanlockHost, i);

        if (host->host_id == host_id)
            return generation && host->generation > generation ? MIG_HOST_STATE_FREE : host->state;
    }
    return hosts && mig_csv_host_is_away(attached->csv, host_id) ? MIG_HOST_STATE_FREE
                                                                 : MIG_HOST_STATE_UNKNOWN;
}

/* Has a later start of its host the host lease than the one that its slot names? A slot that no
 * migrated has written yet, or that says that it has left, is of none that could have left QEMUs.
 */
static gboolean
has_advanced(MigAttached *attached, const GArray *hosts, const Seen *seen)
{
    const MigNode *node = seen->node;

    if (node->has_left || !node->host_generation)
        return FALSE;
    for (guint i = 0; hosts && i < hosts->len; i++) {
        const MigSanlockHost *host = &g_array_index(hosts, MigSanlockHost, i);

        if (host->host_id == node->host_id)
            return host->generation > node->host_generation;
    }
    return seen->sanlock == MIG_HOST_STATE_FREE &&
           !mig_csv_host_is_free(attached->csv, node->host_id, node->host_generation);
}

/* What counts is when the start of the slot was seen to have ended. */
static void
keep_advanced(const Seen *before, Seen *seen)
{
    if (seen->advanced_since_ms && before && before->advanced_since_ms &&
        before->node->host_generation == seen->node->host_generation)
        seen->advanced_since_ms = before->advanced_since_ms;
}

/* When a counter was seen to move, and without a gap. One that is seen for the first time may be
 * years old: it has to move before it counts. */
static void
keep_moved(const Seen *before, Seen *seen, gboolean is_local, gint64 suspect_ms)
{
    gint64 now = now_ms();

    if (!before) {
        seen->moved_ms = is_local ? now : G_MININT32;
        seen->steady_since_ms = now;
        return;
    }
    seen->moved_ms = before->node->heartbeat == seen->node->heartbeat ? before->moved_ms : now;
    seen->steady_since_ms =
        seen->moved_ms - before->moved_ms < suspect_ms ? before->steady_since_ms : now;
}

static void
read_slots(MigAttached *attached)
{
    g_autoptr(GPtrArray) nodes = mig_csv_nodes(attached->csv, NULL);
    g_autoptr(GArray) hosts =
        mig_sanlock_hosts(attached->daemon->sanlock, mig_csv_name(attached->csv), NULL);
    g_autoptr(GPtrArray) old = NULL;
    GPtrArray *seen;

    if (!nodes)
        return; /* the old view stays, and grows old */
    seen = g_ptr_array_new_with_free_func(seen_free);
    g_ptr_array_set_free_func(nodes, NULL);
    for (guint i = 0; i < nodes->len; i++) {
        Seen *one = g_new0(Seen, 1);

        one->node = g_ptr_array_index(nodes, i);
        one->sanlock = state_of_host(attached, hosts, one->node->host_id, 0);
        one->advanced_since_ms = has_advanced(attached, hosts, one) ? now_ms() : 0;
        g_ptr_array_add(seen, one);
    }
    g_mutex_lock(&attached->lock);
    for (guint i = 0; i < seen->len; i++) {
        Seen *one = g_ptr_array_index(seen, i);
        const Seen *before;

        before = find_seen(attached->seen, one->node->host_id);
        keep_moved(before, one, one->node->host_id == attached->daemon->host_id,
                   attached->daemon->config->suspect_after_ms);
        keep_advanced(before, one);
    }
    old = attached->seen;
    attached->seen = seen;
    g_clear_pointer(&attached->hosts, g_array_unref);
    attached->hosts = g_steal_pointer(&hosts);
    g_mutex_unlock(&attached->lock);
}

static gboolean
has_failing(MigAttached *attached)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&attached->lock);

    for (guint i = 0; i < attached->seen->len; i++) {
        if (((const Seen *)g_ptr_array_index(attached->seen, i))->sanlock == MIG_HOST_STATE_FAIL)
            return TRUE;
    }
    return FALSE;
}

void
mig_attached_ask_of_failing(MigAttached *attached)
{
    g_autoptr(GArray) hosts =
        has_failing(attached)
            ? mig_sanlock_hosts(attached->daemon->sanlock, mig_csv_name(attached->csv), NULL)
            : NULL;
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&attached->lock);

    for (guint i = 0; hosts && i < hosts->len; i++) {
        const MigSanlockHost *host = &g_array_index(hosts, MigSanlockHost, i);
        Seen *one = find_seen(attached->seen, host->host_id);

        if (!one || one->sanlock != MIG_HOST_STATE_FAIL)
            continue;
        one->sanlock = host->state;
        if (!one->advanced_since_ms && has_advanced(attached, hosts, one))
            one->advanced_since_ms = now_ms();
    }
}

static gpointer
heartbeat_thread(gpointer data)
{
    MigAttached *attached = data;
    gint64 next = g_get_monotonic_time();

    g_mutex_lock(&attached->lock);
    while (!attached->should_stop) {
        g_autoptr(GError) error = NULL;
        gboolean ok, is_outside = FALSE;

        attached->beat_since_ms = now_ms();
        g_mutex_unlock(&attached->lock);
        ok = mig_attached_write(attached, mig_csv_node_beat, FALSE, &error) &&
             mig_attached_stay_joined(attached, &is_outside, &error);
        mig_attached_look_for_fence(attached, error);
        read_slots(attached);
        attached->hooks.nodes_seen(attached->hooks.self);
        g_mutex_lock(&attached->lock);
        attached->beat_since_ms = 0;
        attached->is_outside = is_outside && !ok;
        if (!ok && !attached->is_lost)
            g_warning("volume %s is lost to this node: %s", mig_csv_name(attached->csv),
                      error->message);
        if (ok && attached->is_lost)
            g_message("volume %s is back", mig_csv_name(attached->csv));
        attached->is_lost = !ok;
        next = MAX(next + MIG_HEARTBEAT_MS * 1000, g_get_monotonic_time());
        while (!attached->should_stop && g_cond_wait_until(&attached->wake, &attached->lock, next))
            ;
    }
    g_mutex_unlock(&attached->lock);
    return NULL;
}

/* What its slot says to run is believed until its own start is done for, not a later one. */
static MigNodeState
node_state(MigAttached *attached, const MigNodeView *view)
{
    MigWord word;

    if (view->node->has_left)
        return MIG_NODE_LEFT;
    if (view->age_ms < MIG_SUSPECT_MS)
        return MIG_NODE_UP;
    word = mig_lives_word_on(attached->daemon, attached, view);
    return word == MIG_WORD_DEAD || word == MIG_WORD_FREE ? MIG_NODE_DOWN : MIG_NODE_SUSPECT;
}

static MigNodeView *
view_of(MigAttached *attached, const Seen *seen)
{
    MigNodeView *view = g_new0(MigNodeView, 1);

    view->node = mig_node_copy(seen->node);
    view->age_ms = now_ms() - seen->moved_ms;
    view->sanlock = seen->sanlock;
    view->advanced_ms =
        seen->advanced_since_ms ? now_ms() - seen->advanced_since_ms : MIG_NEVER_ADVANCED;
    view->steady_ms = now_ms() - seen->steady_since_ms;
    view->is_local = seen->node->host_id == attached->daemon->host_id;
    view->state = node_state(attached, view);
    return view;
}

void
mig_attached_look(MigAttached *attached)
{
    read_slots(attached);
    attached->hooks.nodes_seen(attached->hooks.self);
}

GPtrArray *
mig_attached_nodes(MigAttached *attached)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&attached->lock);
    GPtrArray *nodes = g_ptr_array_new_with_free_func((GDestroyNotify)mig_node_view_free);

    for (guint i = 0; i < attached->seen->len; i++)
        g_ptr_array_add(nodes, view_of(attached, g_ptr_array_index(attached->seen, i)));
    return nodes;
}

gboolean
mig_attached_is_removed(MigAttached *attached, const MigLeaseOwner *owner)
{
    guint32 host_id = (guint32)owner->host_id;
    g_autoptr(GArray) hosts = NULL;
    MigHostState state;

    /* an unreadable slot is a node all the same */
    if (!mig_csv_node_is_gone(attached->csv, host_id, ""))
        return FALSE;
    g_mutex_lock(&attached->lock);
    hosts = attached->hosts ? g_array_ref(attached->hosts) : NULL;
    g_mutex_unlock(&attached->lock);
    state = state_of_host(attached, hosts, host_id, owner->host_generation);
    return state == MIG_HOST_STATE_FREE || state == MIG_HOST_STATE_DEAD;
}

char *
mig_attached_owner_name(MigAttached *attached, const MigLeaseOwner *owner, MigNodeView **view)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&attached->lock);
    const Seen *seen = owner->host_id ? find_seen(attached->seen, (guint32)owner->host_id) : NULL;

    if (view)
        *view = NULL;
    if (owner->host_id == 0)
        return NULL;
    if (!seen) {
        g_clear_pointer(&locker, g_mutex_locker_free);
        return mig_attached_is_removed(attached, owner)
                   ? NULL
                   : g_strdup_printf("host-%" G_GUINT64_FORMAT, owner->host_id);
    }
    /* the host has been started anew since: what it held then it holds no more */
    if (seen->node->host_generation > owner->host_generation)
        return NULL;
    if (view)
        *view = view_of(attached, seen);
    return g_strdup(seen->node->name);
}

/* ---- life ---- */

MigAttached *
mig_attached_ref(MigAttached *attached)
{
    g_atomic_int_inc(&attached->references);
    return attached;
}

void
mig_attached_unref(MigAttached *attached)
{
    if (!attached || !g_atomic_int_dec_and_test(&attached->references))
        return;
    mig_csv_close(attached->csv);
    mig_role_free(attached->role);
    g_ptr_array_unref(attached->seen);
    g_clear_pointer(&attached->hosts, g_array_unref);
    g_mutex_clear(&attached->lock);
    g_mutex_clear(&attached->write_lock);
    g_mutex_clear(&attached->join_lock);
    g_cond_clear(&attached->wake);
    g_free(attached);
}

MigRole *
mig_attached_role(MigAttached *attached)
{
    return attached->role;
}

MigCsv *
mig_attached_csv(MigAttached *attached)
{
    return attached->csv;
}

const char *
mig_attached_name(MigAttached *attached)
{
    return mig_csv_name(attached->csv);
}

const char *
mig_attached_state(MigAttached *attached)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&attached->lock);
    gboolean is_late =
        attached->beat_since_ms && now_ms() - attached->beat_since_ms > MIG_BEAT_LATE_MS;

    return attached->is_lost || is_late ? "lost" : "attached";
}

gboolean
mig_attached_is_gone(MigAttached *attached)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&attached->lock);

    return attached->is_lost ||
           (attached->beat_since_ms && now_ms() - attached->beat_since_ms > MIG_BEAT_GONE_MS);
}

gboolean
mig_attached_has_failed(MigAttached *attached)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&attached->lock);

    return attached->is_lost;
}

gboolean
mig_attached_is_outside(MigAttached *attached)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&attached->lock);

    return attached->is_outside;
}

guint64
mig_attached_generation(MigAttached *attached)
{
    return attached->generation;
}

MigAttached *
mig_attached_start(MigDaemon *daemon, const MigVolumesHooks *hooks, MigCsv *csv, GError **error)
{
    g_autoptr(MigAttached) attached = g_new0(MigAttached, 1);
    gboolean was_joined;

    attached->references = 1;
    attached->daemon = daemon;
    attached->hooks = *hooks;
    attached->csv = csv;
    attached->seen = g_ptr_array_new_with_free_func(seen_free);
    g_mutex_init(&attached->lock);
    g_mutex_init(&attached->write_lock);
    g_mutex_init(&attached->join_lock);
    g_cond_init(&attached->wake);
    if (!mig_times_check_volume(daemon->config, csv, error) ||
        !mig_attached_may_enter(attached, error) ||
        !mig_unfence(daemon->config, daemon->node, error) || !mig_csv_devices_attach(csv, error))
        return NULL;
    was_joined = mig_sanlock_joined_as(daemon->sanlock, mig_csv_name(csv)) != 0;
    if (!mig_attached_join(attached, error)) {
        g_autoptr(MigLease) lockspace = mig_csv_lockspace(csv);

        /* it may have joined, and not been heard of in time; nobody would leave it */
        if (!was_joined)
            mig_sanlock_leave(daemon->sanlock, lockspace, daemon->host_id, NULL);
        mig_csv_devices_detach(csv, NULL);
        return NULL;
    }
    if (!mig_attached_enter(attached, error)) {
        g_autoptr(MigLease) lockspace = mig_csv_lockspace(csv);

        mig_sanlock_leave(daemon->sanlock, lockspace, daemon->host_id, NULL);
        mig_csv_devices_detach(csv, NULL);
        return NULL;
    }
    /* said by an earlier life of this process, whose copies ended with it */
    mig_sanlock_set_used(daemon->sanlock, mig_csv_name(csv), FALSE, NULL);
    read_slots(attached);
    attached->thread = g_thread_new("heartbeat", heartbeat_thread, attached);
    attached->role = mig_role_start(daemon, attached);
    g_message("volume %s attached from %s", mig_csv_name(csv), mig_csv_device(csv));
    return g_steal_pointer(&attached);
}

void
mig_attached_stop(MigAttached *attached, gboolean has_left)
{
    if (!attached->thread)
        return;
    g_mutex_lock(&attached->lock);
    attached->should_stop = TRUE;
    g_cond_signal(&attached->wake);
    g_mutex_unlock(&attached->lock);
    g_thread_join(attached->thread);
    attached->thread = NULL;
    if (has_left)
        mig_attached_write(attached, mig_csv_node_beat, TRUE, NULL);
}

gboolean
mig_attached_leave(MigAttached *attached, GError **error)
{
    MigDaemon *daemon = attached->daemon;
    g_autoptr(MigLease) lockspace = mig_csv_lockspace(attached->csv);
    g_autoptr(GError) leftover = NULL;
    g_autofree char *vm =
        attached->hooks.first_running(attached->hooks.self, mig_csv_name(attached->csv));

    if (vm) {
        g_set_error(error, MIG_ERROR, MIG_ERROR_VOLUME_IN_USE,
                    "%s is in use here, from volume %s; move or stop it first", vm,
                    mig_csv_name(attached->csv));
        return FALSE;
    }
    /* a heartbeat that finds the lockspace left would join it again, and nobody would leave it */
    mig_attached_set_leaving(attached, TRUE);
    /* sanlock has the last word: it knows of leases that we do not */
    if (!mig_role_end(attached->role, error) ||
        !mig_sanlock_leave(daemon->sanlock, lockspace, daemon->host_id, error)) {
        mig_attached_set_leaving(attached, FALSE);
        mig_role_resume(attached->role);
        return FALSE;
    }
    mig_attached_stop(attached, TRUE);
    /* the lockspace is left: from here on the volume is detached, whatever links remain */
    if (!mig_csv_devices_detach(attached->csv, &leftover))
        g_warning("volume %s: %s", mig_csv_name(attached->csv), leftover->message);
    return TRUE;
}
