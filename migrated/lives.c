/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* lives.c - the evidence on all nodes, collected. */
#include "lives.h"

#include "core/recover.h"
#include "core/timeouts.h"
#include "signs.h"

void
mig_node_life_free(MigNodeLife *life)
{
    if (!life)
        return;
    g_array_unref(life->seats);
    g_free(life->name);
    g_free(life);
}

static void
seat_clear(gpointer data)
{
    g_free(((MigSeat *)data)->volume);
}

static GArray *
seats_new(void)
{
    GArray *seats = g_array_new(FALSE, FALSE, sizeof(MigSeat));

    g_array_set_clear_func(seats, seat_clear);
    return seats;
}

static MigSeat *
find_seat(const MigNodeLife *life, const char *volume)
{
    for (guint i = 0; i < life->seats->len; i++) {
        MigSeat *seat = &g_array_index(life->seats, MigSeat, i);

        if (g_str_equal(seat->volume, volume))
            return seat;
    }
    return NULL;
}

gboolean
mig_life_is_proven_dead(const MigNodeLife *life, const char *volume)
{
    const MigSeat *seat = find_seat(life, volume);

    return seat && seat->finding.may_restart && seat->finding.life != MIG_LIFE_LEFT;
}

gboolean
mig_life_is_off(const MigNodeLife *life, const char *volume)
{
    const MigSeat *seat = find_seat(life, volume);

    return seat && mig_recover_is_off(&seat->finding, seat->is_silent);
}

const MigNodeLife *
mig_lives_find(GPtrArray *lives, const char *node)
{
    for (guint i = 0; i < lives->len; i++) {
        const MigNodeLife *life = g_ptr_array_index(lives, i);

        if (g_strcmp0(life->name, node) == 0)
            return life;
    }
    return NULL;
}

GPtrArray *
mig_lives_copy(GPtrArray *lives)
{
    GPtrArray *copy = g_ptr_array_new_with_free_func((GDestroyNotify)mig_node_life_free);

    for (guint i = 0; i < lives->len; i++) {
        MigNodeLife *life = g_memdup2(g_ptr_array_index(lives, i), sizeof *life);

        life->name = g_strdup(life->name);
        life->seats = g_array_ref(life->seats); /* nobody changes them any more */
        g_ptr_array_add(copy, life);
    }
    return copy;
}

/* ---- evidence ---- */

typedef struct {
    MigDaemon *daemon;
    MigIsFenced is_fenced;
    gpointer self;
    gboolean is_seen; /* the volume that is being merged: our own heartbeat moves on it */
} Collecting;

static MigWord
word_of(MigHostState state)
{
    switch (state) {
    case MIG_HOST_STATE_LIVE:
        return MIG_WORD_LIVE;
    case MIG_HOST_STATE_FAIL:
        return MIG_WORD_FAIL;
    case MIG_HOST_STATE_DEAD:
        return MIG_WORD_DEAD;
    case MIG_HOST_STATE_FREE:
        return MIG_WORD_FREE;
    case MIG_HOST_STATE_UNKNOWN:
    default:
        return MIG_WORD_UNKNOWN;
    }
}

/* The least good word counts: a node may be dead on one volume and alive on another. */
static guint
word_rank(MigWord word)
{
    static const guint ranks[] = {[MIG_WORD_UNKNOWN] = 4,
                                  [MIG_WORD_LIVE] = 3,
                                  [MIG_WORD_FAIL] = 2,
                                  [MIG_WORD_DEAD] = 1,
                                  [MIG_WORD_FREE] = 0};

    return ranks[word];
}

MigWord
mig_lives_word_on(MigDaemon *daemon, MigAttached *attached, const MigNodeView *view)
{
    guint io_timeout_s = mig_csv_io_timeout_s(mig_attached_csv(attached));
    gboolean is_unsafe = daemon->config->unsafe_without_watchdog != 0;

    return mig_failover_word(word_of(view->sanlock), view->advanced_ms,
                             view->node->has_watchdog || is_unsafe,
                             mig_timeouts_host_dead_s(io_timeout_s) * G_GINT64_CONSTANT(1000));
}

static gboolean
is_lost_here(MigAttached *attached)
{
    return g_str_equal(mig_attached_state(attached), "lost");
}

static MigWord
word_on(const Collecting *collecting, MigAttached *attached, const MigNodeView *view)
{
    MigWord word = mig_lives_word_on(collecting->daemon, attached, view);

    /* sanlock looks at the others' leases only now and then: a free one can be seen at once */
    if (!view->is_local && view->age_ms >= MIG_SUSPECT_MS && word != MIG_WORD_FREE &&
        !is_lost_here(attached) &&
        mig_csv_host_is_free(mig_attached_csv(attached), view->node->host_id,
                             view->node->host_generation))
        word = MIG_WORD_FREE;
    return word;
}

static gboolean
is_elsewhere(const Collecting *collecting, MigAttached *attached, const MigNodeView *view)
{
    return collecting->is_seen && !view->is_local && view->age_ms >= MIG_SUSPECT_MS &&
           mig_signs_is_elsewhere(collecting->daemon->signs, view->node->name,
                                  mig_csv_uuid(mig_attached_csv(attached)), view->node->heartbeat);
}

static void
add_seat(const Collecting *collecting, MigNodeLife *life, MigAttached *attached,
         const MigNodeView *view, MigWord word)
{
    const char *volume = mig_attached_name(attached);
    const char *uuid = mig_csv_uuid(mig_attached_csv(attached));
    gint64 age_ms = MIN(view->age_ms, G_MAXINT32);
    MigSeat seat = {
        .volume = g_strdup(volume),
        .evidence = {.is_self = view->is_local,
                     .has_left = view->node->has_left,
                     .is_armed = view->node->has_watchdog,
                     .is_fenced = collecting->is_fenced(collecting->self, uuid, view->node),
                     .is_elsewhere = is_elsewhere(collecting, attached, view),
                     .heartbeat_ms = age_ms,
                     .heartbeat_old_ms = age_ms,
                     .steady_ms = view->is_local ? view->steady_ms : 0,
                     .word = word}};

    g_array_append_val(life->seats, seat);
}

/* What one volume says of a node, merged into what others have said. One that is lost to this node
 * comes behind those that are not, and is heard only where they say nothing: what was seen on it
 * last would hide the rest. */
static void
merge(const Collecting *collecting, GPtrArray *lives, MigAttached *attached,
      const MigNodeView *view, gboolean is_lost)
{
    MigNodeLife *life = (MigNodeLife *)mig_lives_find(lives, view->node->name);
    const char *uuid = mig_csv_uuid(mig_attached_csv(attached));
    MigWord word;
    gboolean is_new = life == NULL;
    MigEvidence *e;

    if (!is_new && is_lost && !life->evidence.is_unseen)
        return;
    if (is_new) {
        life = g_new0(MigNodeLife, 1);
        life->name = g_strdup(view->node->name);
        life->host_id = view->node->host_id;
        life->seats = seats_new();
        life->evidence = (MigEvidence){.is_self = view->is_local,
                                       .has_left = TRUE,
                                       .is_armed = TRUE,
                                       .is_fenced = TRUE,
                                       .is_unseen = TRUE,
                                       .heartbeat_ms = G_MAXINT32,
                                       .word = MIG_WORD_FREE};
        g_ptr_array_add(lives, life);
    }
    e = &life->evidence;
    word = word_on(collecting, attached, view);
    if (!is_lost)
        add_seat(collecting, life, attached, view, word);
    if (view->node->has_left)
        return; /* of this volume; says nothing of the others */
    e->has_left = FALSE;
    e->is_unseen = e->is_unseen && is_lost;
    e->is_armed = e->is_armed && view->node->has_watchdog;
    e->is_passive = e->is_passive || view->node->is_passive;
    e->is_elsewhere = e->is_elsewhere || is_elsewhere(collecting, attached, view);
    e->is_fenced = e->is_fenced && collecting->is_fenced(collecting->self, uuid, view->node);
    e->heartbeat_ms = MIN(e->heartbeat_ms, MIN(view->age_ms, G_MAXINT32));
    e->heartbeat_old_ms = MAX(e->heartbeat_old_ms, MIN(view->age_ms, G_MAXINT32));
    /* FREE of one and LIVE of another volume: it lives */
    if (word_rank(word) > word_rank(e->word))
        e->word = word;
}

static void
merge_all(Collecting *collecting, GPtrArray *lives, MigAttached *attached, gboolean is_lost)
{
    g_autoptr(GPtrArray) views = NULL;

    mig_attached_ask_of_failing(attached);
    views = mig_attached_nodes(attached);
    collecting->is_seen = FALSE;
    for (guint i = 0; !is_lost && i < views->len; i++) {
        const MigNodeView *view = g_ptr_array_index(views, i);

        if (view->is_local)
            collecting->is_seen = view->age_ms < MIG_SUSPECT_MS;
    }
    for (guint i = 0; i < views->len; i++)
        merge(collecting, lives, attached, g_ptr_array_index(views, i), is_lost);
}

static gint
by_host_id(gconstpointer a, gconstpointer b)
{
    const MigNodeLife *left = *(MigNodeLife *const *)a, *right = *(MigNodeLife *const *)b;

    return (gint)left->host_id - (gint)right->host_id;
}

GPtrArray *
mig_lives_collect(MigDaemon *daemon, MigIsFenced is_fenced, gpointer self)
{
    Collecting collecting = {.daemon = daemon, .is_fenced = is_fenced, .self = self};
    g_autoptr(GPtrArray) volumes = mig_volumes_list(daemon->volumes);
    g_autoptr(GPtrArray) lost = g_ptr_array_new();
    GPtrArray *lives = g_ptr_array_new_with_free_func((GDestroyNotify)mig_node_life_free);

    for (guint i = 0; i < volumes->len; i++) {
        if (is_lost_here(g_ptr_array_index(volumes, i)))
            g_ptr_array_add(lost, g_ptr_array_index(volumes, i));
        else
            merge_all(&collecting, lives, g_ptr_array_index(volumes, i), FALSE);
    }
    for (guint i = 0; i < lost->len; i++)
        merge_all(&collecting, lives, g_ptr_array_index(lost, i), TRUE);
    for (guint i = 0; i < lives->len; i++) {
        MigNodeLife *life = g_ptr_array_index(lives, i);
        MigSignAges ages;

        mig_signs_ages(daemon->signs, life->name, &ages);
        life->evidence.peer_ms = ages.peer_ms;
        life->evidence.volumes = ages.volumes;
        life->evidence.management_ms = ages.management_ms;
        life->evidence.migration_ms = ages.migration_ms;
    }
    g_ptr_array_sort(lives, by_host_id);
    return lives;
}

/* ---- judging ---- */

/* What this node has seen of another one hangs on the volumes that both are on, not on a slow one
 * that only this one has. */
static void
spread_steadiness(GPtrArray *lives)
{
    const MigNodeLife *self = NULL;

    for (guint i = 0; i < lives->len; i++) {
        if (((MigNodeLife *)g_ptr_array_index(lives, i))->evidence.is_self)
            self = g_ptr_array_index(lives, i);
    }
    for (guint i = 0; self && i < lives->len; i++) {
        MigNodeLife *life = g_ptr_array_index(lives, i);
        gint64 least_ms = G_MAXINT64;

        for (guint k = 0; k < life->seats->len; k++) {
            MigSeat *seat = &g_array_index(life->seats, MigSeat, k);
            const MigSeat *own = find_seat(self, seat->volume);

            seat->evidence.steady_ms = own ? own->evidence.steady_ms : 0;
            if (!seat->evidence.has_left)
                least_ms = MIN(least_ms, seat->evidence.steady_ms);
        }
        life->evidence.steady_ms = least_ms == G_MAXINT64 ? 0 : least_ms;
    }
}

static void
judge_all(GPtrArray *lives, const MigWatcher *watcher)
{
    g_autofree MigEvidence *nodes = g_new0(MigEvidence, lives->len + 1);
    g_autofree MigFinding *findings = g_new0(MigFinding, lives->len + 1);

    for (guint i = 0; i < lives->len; i++)
        nodes[i] = ((MigNodeLife *)g_ptr_array_index(lives, i))->evidence;
    mig_failover_judge(watcher, nodes, lives->len, findings);
    for (guint i = 0; i < lives->len; i++)
        ((MigNodeLife *)g_ptr_array_index(lives, i))->finding = findings[i];
}

/* As if there were no other volume: the VMs of one that a node has lost are not kept by another one
 * on which it lives. */
static void
judge_volume(GPtrArray *lives, const MigWatcher *watcher, const char *volume)
{
    g_autofree MigEvidence *nodes = g_new0(MigEvidence, lives->len + 1);
    g_autofree MigFinding *findings = g_new0(MigFinding, lives->len + 1);
    g_autofree MigSeat **seats = g_new0(MigSeat *, lives->len + 1);
    guint count = 0;

    for (guint i = 0; i < lives->len; i++) {
        const MigNodeLife *life = g_ptr_array_index(lives, i);
        MigSeat *seat = find_seat(life, volume);

        if (!seat)
            continue;
        seat->evidence.peer_ms = life->evidence.peer_ms;
        seat->evidence.volumes = life->evidence.volumes;
        seat->evidence.management_ms = life->evidence.management_ms;
        seat->evidence.migration_ms = life->evidence.migration_ms;
        nodes[count] = seat->evidence;
        seats[count++] = seat;
    }
    mig_failover_judge(watcher, nodes, count, findings);
    for (guint i = 0; i < count; i++) {
        seats[i]->finding = findings[i];
        seats[i]->finding.should_fence = FALSE;
        seats[i]->is_silent = mig_failover_is_silent(watcher, nodes, count, i);
    }
}

void
mig_lives_judge(GPtrArray *lives, const MigWatcher *watcher)
{
    spread_steadiness(lives);
    judge_all(lives, watcher);
    for (guint i = 0; i < lives->len; i++) {
        const MigNodeLife *life = g_ptr_array_index(lives, i);

        for (guint k = 0; life->evidence.is_self && k < life->seats->len; k++)
            judge_volume(lives, watcher, g_array_index(life->seats, MigSeat, k).volume);
    }
}
