/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* failover.c - judging the evidence (lives.h), fencing. */
#include "failover.h"

#include "base/error.h"
#include "core/timeouts.h"
#include "deaths.h"
#include "drivers/fence-agent.h"
#include "events.h"
#include "halves.h"
#include "link.h"
#include "looks.h"
#include "net.h"
#include "recovery.h"
#include "self.h"
#include "signs.h"
#include "unfence.h"

#include <string.h>

/* What is remembered of a node between two looks. */
typedef struct {
    MigLife life;
    gint64 silent_us;     /* since when it should be fenced, 0: it should not */
    gint64 next_fence_us; /* not before, after one that failed */
    gboolean is_fencing;
    guint restartable; /* on how many of its volumes it was proven dead */
    gboolean was_up;   /* since it died last: what is found dead has not died again */
    gboolean is_elsewhere;
    /* used by the one fence that is under way, or about to be */
    GHashTable *shown; /* levels that it was seen to be in by, see drivers/fence-agent.h */
    GHashTable *lived; /* in which starts of it: volume's uuid -> generation (guint64) */
} Memory;

static void
memory_free(gpointer data)
{
    Memory *memory = data;

    g_clear_pointer(&memory->shown, g_hash_table_unref);
    g_clear_pointer(&memory->lived, g_hash_table_unref);
    g_free(memory);
}

struct MigFailover {
    MigDaemon *daemon;
    MigSelf *self; /* used by the thread alone */
    MigDeaths *deaths;
    MigLooks looks;
    GMutex lock; /* guards what follows */
    GCond wake;
    gboolean is_asked; /* to look at once */
    GPtrArray *lives;
    GHashTable *memories; /* node -> Memory */
    GHashTable *fenced;   /* "volume uuid/host id" -> generation (guint64) that a fence has ended */
    gint64 network_lost_us; /* used by the thread alone: when a link of ours was seen down last */
    MigCut cut;
};

GPtrArray *
mig_failover_lives(MigFailover *failover)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&failover->lock);

    return mig_lives_copy(failover->lives);
}

MigCut
mig_failover_cut_now(MigFailover *failover)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&failover->lock);

    return failover->cut;
}

gboolean
mig_failover_is_isolated(MigFailover *failover)
{
    return mig_failover_cut_now(failover) == MIG_CUT_HERE;
}

gboolean
mig_failover_ends_for_cut_now(MigFailover *failover, const MigVm *vm)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&failover->lock);

    return mig_failover_ends_for_cut(failover->cut, vm);
}

gboolean
mig_failover_can_fence(MigDaemon *daemon, const char *node)
{
    gboolean is_missing;
    g_autoptr(GPtrArray) levels =
        mig_fence_levels(daemon->config->fence_dir, node, &is_missing, NULL);
    g_autoptr(GPtrArray) own = mig_unfence_done(daemon->config, daemon->node);

    return levels && mig_fence_can(levels, own);
}

/* ---- evidence ---- */

static gboolean
is_fenced(gpointer self, const char *uuid, const MigNode *node)
{
    MigFailover *failover = self;
    g_autofree char *key = g_strdup_printf("%s/%u", uuid, node->host_id);
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&failover->lock);
    const guint64 *generation = g_hash_table_lookup(failover->fenced, key);

    return generation && *generation == node->host_generation;
}

/* Our own links: a cable that is out here is no sign of anybody's death. */
static gboolean
is_network_here(MigDaemon *daemon)
{
    const char *migration = mig_link_address(daemon->link);

    return mig_net_is_link_up(daemon->config->management) &&
           (!migration || mig_net_is_link_up(migration));
}

static gint64
renewal_ms(MigDaemon *daemon)
{
    g_autoptr(GPtrArray) volumes = mig_volumes_list(daemon->volumes);
    gint64 longest_ms = 0;

    for (guint i = 0; i < volumes->len; i++) {
        MigCsv *csv = mig_attached_csv(g_ptr_array_index(volumes, i));

        longest_ms = MAX(longest_ms, mig_timeouts_renewal_ms(mig_csv_io_timeout_s(csv)));
    }
    return longest_ms;
}

static MigCut
judge(MigFailover *failover, GPtrArray *lives)
{
    const MigConfig *config = failover->daemon->config;
    g_autofree MigEvidence *nodes = g_new0(MigEvidence, lives->len + 1);
    MigWatcher watcher = {.watched_ms = mig_signs_watched_ms(failover->daemon->signs),
                          .is_network_here = is_network_here(failover->daemon),
                          .renewal_ms = renewal_ms(failover->daemon),
                          .is_unsafe = config->unsafe_without_watchdog != 0,
                          .suspect_ms = config->suspect_after_ms,
                          .fence_delay_ms = config->fence_delay_s * 1000};

    if (!watcher.is_network_here)
        failover->network_lost_us = g_get_monotonic_time();
    watcher.network_seen_ms = (g_get_monotonic_time() - failover->network_lost_us) / 1000;
    mig_lives_judge(lives, &watcher);
    for (guint i = 0; i < lives->len; i++)
        nodes[i] = ((MigNodeLife *)g_ptr_array_index(lives, i))->evidence;
    return mig_failover_cut(&watcher, nodes, lives->len, config->isolated_after_ms);
}

/* ---- fencing ---- */

typedef struct {
    MigFailover *failover;
    char *node;
    GPtrArray *volumes;  /* MigAttached that it was on */
    GArray *generations; /* guint64, its start on each of them as it was judged */
    GArray *heartbeats;  /* guint64, of that start then */
    guint32 host_id;
    GHashTable *shown;
    MigHeard heard;  /* then */
    gint64 heard_us; /* its last sign of life, of whatever kind; 0: it still gave some */
} Fence;

/* What a confirmed fence allows: nobody has to wait for that host's leases any more. */
static gboolean
free_leases(const Fence *fence, GError **error)
{
    MigFailover *failover = fence->failover;
    gboolean ok = TRUE;

    for (guint i = 0; i < fence->volumes->len; i++) {
        MigAttached *attached = g_ptr_array_index(fence->volumes, i);
        guint64 generation = g_array_index(fence->generations, guint64, i);
        char *key =
            g_strdup_printf("%s/%u", mig_csv_uuid(mig_attached_csv(attached)), fence->host_id);
        g_autoptr(GError) refused = NULL;

        mig_halves_wait(attached, fence->host_id, generation, fence->heard_us);
        /* a later start has the host lease: the one that was judged has ended all the same */
        if (!mig_csv_host_release(mig_attached_csv(attached), fence->host_id, generation,
                                  &refused) &&
            !g_error_matches(refused, MIG_ERROR, MIG_ERROR_NODE_UNKNOWN)) {
            if (ok)
                g_propagate_prefixed_error(error, g_steal_pointer(&refused),
                                           "volume %s: ", mig_attached_name(attached));
            ok = FALSE;
            g_free(key);
            continue; /* the others' VMs need not wait for it */
        }
        g_mutex_lock(&failover->lock);
        g_hash_table_replace(failover->fenced, key, g_memdup2(&generation, sizeof generation));
        g_mutex_unlock(&failover->lock);
    }
    return ok;
}

/* Is it on that volume what it was as it was judged? */
static gboolean
is_as_judged(const Fence *fence, guint which)
{
    MigAttached *attached = g_ptr_array_index(fence->volumes, which);
    g_autoptr(GPtrArray) views = mig_attached_nodes(attached);

    for (guint i = 0; i < views->len; i++) {
        const MigNodeView *view = g_ptr_array_index(views, i);

        if (view->node->host_id == fence->host_id)
            return !view->node->has_left &&
                   view->node->host_generation ==
                       g_array_index(fence->generations, guint64, which) &&
                   view->node->heartbeat == g_array_index(fence->heartbeats, guint64, which);
    }
    return FALSE;
}

/* Asked before and between the levels: a level can take a minute, and what was dead be back. Only
 * signs of the node itself count: a moment that this node did not see makes the looks begin anew,
 * and a node whose first level hangs each time would never get the second one. */
static gboolean
is_fence_due(gpointer data, GError **error)
{
    const Fence *fence = data;
    MigDaemon *daemon = fence->failover->daemon;
    gboolean is_cut = mig_failover_cut_now(fence->failover) != MIG_CUT_NONE, is_due;
    MigHeard now;

    mig_signs_heard(daemon->signs, fence->node, &now);
    is_due = !mig_failover_is_back(&fence->heard, &now, daemon->config->suspect_after_ms);
    for (guint i = 0; is_due && i < fence->volumes->len; i++) {
        is_due = is_as_judged(fence, i);
        is_cut = is_cut || mig_attached_was_fenced(g_ptr_array_index(fence->volumes, i));
    }
    if (!is_due)
        g_set_error(error, MIG_ERROR, MIG_ERROR_FAILED, "it has given a sign of life since");
    else if (is_cut)
        g_set_error(error, MIG_ERROR, MIG_ERROR_FAILED,
                    "nobody answers this node any more, or it was fenced itself");
    return is_due && !is_cut;
}

static gboolean
fence_now(Fence *fence, char **level, GError **error)
{
    const MigConfig *config = fence->failover->daemon->config;
    gboolean is_missing;
    g_autoptr(GPtrArray) levels =
        mig_fence_levels(config->fence_dir, fence->node, &is_missing, error);
    g_autoptr(GPtrArray) own = mig_unfence_done(config, fence->failover->daemon->node);

    return levels && is_fence_due(fence, error) &&
           mig_fence_node(levels, own, fence->shown, fence->node,
                          (guint)config->fence_timeout_s * 1000, is_fence_due, fence, level, error);
}

static gpointer
fence_thread(gpointer data)
{
    Fence *fence = data;
    MigFailover *failover = fence->failover;
    MigEvents *events = failover->daemon->events;
    gint64 began_us = g_get_monotonic_time();
    g_autofree char *level = NULL;
    g_autoptr(GError) error = NULL;
    gboolean ok = fence_now(fence, &level, &error);
    gint64 took_ms = (g_get_monotonic_time() - began_us) / 1000;
    Memory *memory;

    if (ok)
        mig_events_add(events, fence->node, NULL, "fence-confirmed",
                       "confirmed by level %s after %" G_GINT64_FORMAT " ms", level, took_ms);
    else
        mig_events_add(events, fence->node, NULL, "not-fenced",
                       "after %" G_GINT64_FORMAT " ms: %s; none of its VMs is started for this",
                       took_ms, error->message);
    if (ok && !free_leases(fence, &error)) {
        mig_events_add(events, fence->node, NULL, "leases-not-freed", "%s", error->message);
        ok = FALSE;
    } else if (ok) {
        mig_events_add(events, fence->node, NULL, "leases-freed",
                       "host id %u, generation %" G_GUINT64_FORMAT " of its first volume",
                       fence->host_id,
                       fence->generations->len ? g_array_index(fence->generations, guint64, 0) : 0);
    }
    g_mutex_lock(&failover->lock);
    memory = g_hash_table_lookup(failover->memories, fence->node);
    memory->is_fencing = FALSE;
    memory->next_fence_us = ok ? 0 : g_get_monotonic_time() + MIG_FENCE_AGAIN_MS * 1000;
    failover->is_asked = TRUE;
    g_cond_signal(&failover->wake);
    g_mutex_unlock(&failover->lock);
    g_ptr_array_unref(fence->volumes);
    g_array_unref(fence->generations);
    g_array_unref(fence->heartbeats);
    g_free(fence->node);
    g_free(fence);
    return NULL;
}

/* Whose turn it is: of the living nodes that fence the one of the lowest id goes first, each later
 * one waits longer, and looks again before it acts. */
static guint
own_rank(GPtrArray *lives)
{
    guint rank = 0;

    for (guint i = 0; i < lives->len; i++) {
        const MigNodeLife *life = g_ptr_array_index(lives, i);

        if (life->evidence.is_self)
            break;
        rank += life->finding.life == MIG_LIFE_UP && !life->evidence.is_passive;
    }
    return rank;
}

static gint64
heard_us(MigFailover *failover, const MigEvidence *e)
{
    gint64 age_ms = MIN(MIN(e->heartbeat_ms, e->peer_ms), e->management_ms);

    if (e->migration_ms != MIG_NEVER_ASKED)
        age_ms = MIN(age_ms, e->migration_ms);
    return age_ms < failover->daemon->config->suspect_after_ms
               ? 0
               : g_get_monotonic_time() - age_ms * 1000;
}

/* Is it the life of the node that was remembered? A volume may have come or gone here meanwhile. */
static gboolean
is_same_life(const Memory *memory, const Fence *fence)
{
    guint common = 0;

    for (guint i = 0; i < fence->volumes->len; i++) {
        const char *uuid = mig_csv_uuid(mig_attached_csv(g_ptr_array_index(fence->volumes, i)));
        const guint64 *then = g_hash_table_lookup(memory->lived, uuid);

        if (then && *then != g_array_index(fence->generations, guint64, i))
            return FALSE;
        common += then != NULL;
    }
    return common > 0;
}

/* By which levels it was seen to be in, in the life that the fence is about: in another one it has
 * let itself in anew, perhaps otherwise. No other fence of it is under way. */
static GHashTable *
shown_of(Memory *memory, const Fence *fence)
{
    if (!memory->shown) {
        memory->shown = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
        memory->lived = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    }
    if (!is_same_life(memory, fence)) {
        g_hash_table_remove_all(memory->shown);
        g_hash_table_remove_all(memory->lived);
    }
    for (guint i = 0; i < fence->volumes->len; i++) {
        const char *uuid = mig_csv_uuid(mig_attached_csv(g_ptr_array_index(fence->volumes, i)));

        g_hash_table_replace(
            memory->lived, g_strdup(uuid),
            g_memdup2(&g_array_index(fence->generations, guint64, i), sizeof(guint64)));
    }
    return memory->shown;
}

/* The starts that the fence is about are those that were judged: one that is back is another. */
static Fence *
fence_new(MigFailover *failover, const MigNodeLife *life, Memory *memory)
{
    g_autoptr(GPtrArray) volumes = mig_volumes_list(failover->daemon->volumes);
    Fence *fence = g_new0(Fence, 1);

    fence->failover = failover;
    fence->node = g_strdup(life->name);
    fence->host_id = life->host_id;
    mig_signs_heard(failover->daemon->signs, life->name, &fence->heard);
    fence->heard_us = heard_us(failover, &life->evidence);
    fence->volumes = g_ptr_array_new_with_free_func((GDestroyNotify)mig_attached_unref);
    fence->generations = g_array_new(FALSE, FALSE, sizeof(guint64));
    fence->heartbeats = g_array_new(FALSE, FALSE, sizeof(guint64));
    for (guint i = 0; i < volumes->len; i++) {
        MigAttached *attached = g_ptr_array_index(volumes, i);
        g_autoptr(GPtrArray) views = mig_attached_nodes(attached);

        /* nothing can be freed there; whoever has that volume fences for itself */
        for (guint k = 0; !g_str_equal(mig_attached_state(attached), "lost") && k < views->len;
             k++) {
            const MigNodeView *view = g_ptr_array_index(views, k);

            if (view->node->host_id != life->host_id || view->node->has_left)
                continue;
            g_ptr_array_add(fence->volumes, mig_attached_ref(attached));
            g_array_append_val(fence->generations, view->node->host_generation);
            g_array_append_val(fence->heartbeats, view->node->heartbeat);
        }
    }
    fence->shown = shown_of(memory, fence);
    return fence;
}

/* lock not held */
static void
fence_if_due(MigFailover *failover, const MigNodeLife *life, Memory *memory, guint rank)
{
    gint64 now_us = g_get_monotonic_time();
    gboolean is_missing = FALSE, is_due;
    Fence *fence;

    g_mutex_lock(&failover->lock);
    if (!life->finding.should_fence)
        memory->silent_us = 0;
    else if (!memory->silent_us)
        memory->silent_us = now_us;
    is_due = life->finding.should_fence && !memory->is_fencing && now_us >= memory->next_fence_us &&
             now_us - memory->silent_us >= (gint64)rank * MIG_FENCE_TURN_MS * 1000;
    memory->is_fencing = memory->is_fencing || is_due;
    g_mutex_unlock(&failover->lock);
    if (!is_due)
        return;
    g_autoptr(GError) error = NULL;
    g_autoptr(GPtrArray) levels =
        mig_fence_levels(failover->daemon->config->fence_dir, life->name, &is_missing, &error);

    if (!levels) {
        mig_events_add(failover->daemon->events, life->name, NULL, "not-fenced",
                       "%s; its VMs wait for sanlock to call it dead", error->message);
        g_mutex_lock(&failover->lock);
        memory->is_fencing = FALSE;
        memory->next_fence_us = now_us + (gint64)MIG_FENCE_AGAIN_MS * 10 * 1000;
        g_mutex_unlock(&failover->lock);
        return;
    }
    /* before anything is waited for: it is about what was judged */
    fence = fence_new(failover, life, memory);
    mig_events_add(failover->daemon->events, life->name, NULL, "fencing", "%s", life->finding.rule);
    g_thread_unref(g_thread_new("fence", fence_thread, fence));
}

/* ---- the look ---- */

static Memory *
memory_of(MigFailover *failover, const char *node)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&failover->lock);
    Memory *memory = g_hash_table_lookup(failover->memories, node);

    if (!memory) {
        memory = g_new0(Memory, 1);
        g_hash_table_insert(failover->memories, g_strdup(node), memory);
    }
    return memory;
}

static void
note_change(MigFailover *failover, MigNodeLife *life, Memory *memory)
{
    const MigEvidence *e = &life->evidence;

    if (life->finding.life != memory->life) {
        mig_events_add(failover->daemon->events, life->name, NULL,
                       mig_life_name(life->finding.life),
                       "%s (heartbeat %" G_GINT64_FORMAT " ms, daemon %" G_GINT64_FORMAT
                       " ms, ping management %" G_GINT64_FORMAT " ms, migration %" G_GINT64_FORMAT
                       " ms ago; sanlock's word %d; watchdog %s)",
                       life->finding.rule, e->heartbeat_ms, e->peer_ms, e->management_ms,
                       e->migration_ms, e->word, e->is_armed ? "armed" : "not armed");
        if (memory->was_up &&
            (life->finding.life == MIG_LIFE_DEAD || life->finding.life == MIG_LIFE_FENCED)) {
            mig_deaths_add(failover->deaths, life->name);
            memory->was_up = FALSE;
        }
        memory->life = life->finding.life;
    }
    /* also where its life has the same name as before */
    if (e->is_elsewhere && !memory->is_elsewhere)
        mig_events_add(
            failover->daemon->events, life->name, NULL, "copy-attached",
            "its daemon writes its heartbeat, and not on the LUN that this node has: one "
            "of the two is a copy; detach it here ('migratectl volume detach')");
    memory->is_elsewhere = e->is_elsewhere;
    memory->was_up = memory->was_up || life->finding.life == MIG_LIFE_UP;
    life->is_flapping = mig_deaths_is_flapping(failover->deaths, life->name);
}

static guint
count_dead(const MigNodeLife *life)
{
    guint dead = 0;

    for (guint i = 0; i < life->seats->len; i++)
        dead += mig_life_is_proven_dead(life, g_array_index(life->seats, MigSeat, i).volume);
    return dead;
}

static void
look(MigFailover *failover)
{
    MigDaemon *daemon = failover->daemon;
    GPtrArray *lives = mig_lives_collect(failover->daemon, is_fenced, failover);
    MigCut cut = judge(failover, lives);
    gboolean wakes = FALSE, isolated = cut != MIG_CUT_NONE;
    g_autoptr(GPtrArray) mine = NULL;
    guint rank = own_rank(lives);

    for (guint i = 0; i < lives->len; i++) {
        MigNodeLife *life = g_ptr_array_index(lives, i);
        Memory *memory = memory_of(failover, life->name);

        note_change(failover, life, memory);
        wakes = wakes || count_dead(life) > memory->restartable;
        memory->restartable = count_dead(life);
        /* what was judged before a hang may be another life by now */
        if (daemon->config->failover_enabled && !isolated && !mig_looks_hang(&failover->looks))
            fence_if_due(failover, life, memory, rank);
    }
    if (isolated && failover->cut == MIG_CUT_NONE) /* nobody else writes it */
        mig_events_add(daemon->events, daemon->node, NULL, "isolated",
                       cut == MIG_CUT_HERE
                           ? "no other node answers on any network, and their heartbeats move"
                           : "the only other node answers on no network, and its heartbeat moves; "
                             "the links here are up, so no VM is ended for it");
    g_mutex_lock(&failover->lock);
    mine = failover->lives;
    failover->lives = lives;
    failover->cut = cut;
    g_mutex_unlock(&failover->lock);
    if (wakes)
        mig_recovery_wake(daemon->recovery);
}

static gpointer
failover_thread(gpointer data)
{
    MigFailover *failover = data;

    for (;;) {
        gint64 until_us;

        mig_looks_begin(&failover->looks);
        look(failover);
        until_us = g_get_monotonic_time() + MIG_FAILOVER_LOOK_MS * 1000;
        g_mutex_lock(&failover->lock);
        while (!failover->is_asked && g_cond_wait_until(&failover->wake, &failover->lock, until_us))
            ;
        failover->is_asked = FALSE;
        g_mutex_unlock(&failover->lock);
    }
    return NULL;
}

gboolean
mig_failover_hangs(MigFailover *failover)
{
    return mig_looks_hang(&failover->looks);
}

MigFailover *
mig_failover_new(MigDaemon *daemon)
{
    MigFailover *failover = g_new0(MigFailover, 1);

    failover->daemon = daemon;
    mig_looks_begin(&failover->looks);
    failover->self = mig_self_new(daemon);
    failover->deaths = mig_deaths_new(daemon);
    failover->lives = g_ptr_array_new_with_free_func((GDestroyNotify)mig_node_life_free);
    failover->memories = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, memory_free);
    failover->fenced = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    g_mutex_init(&failover->lock);
    g_cond_init(&failover->wake);
    return failover;
}

/* Apart from the other one: libvirt and a LUN that is half back can make it wait for long, and the
 * others are judged meanwhile. */
static gpointer
self_thread(gpointer data)
{
    MigFailover *failover = data;

    for (;;) {
        mig_self_look(failover->self);
        g_usleep(MIG_SELF_LOOK_MS * 1000);
    }
    return NULL;
}

void
mig_failover_start(MigFailover *failover)
{
    g_thread_unref(g_thread_new("failover", failover_thread, failover));
    g_thread_unref(g_thread_new("self", self_thread, failover));
}

void
mig_failover_pardon(MigFailover *failover, const char *node)
{
    mig_deaths_pardon(failover->deaths, node);
    mig_recovery_wake(failover->daemon->recovery);
}
