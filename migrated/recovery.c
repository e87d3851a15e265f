/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* recovery.c - what is down, where to, and the starts. */
#include "recovery.h"

#include "base/error.h"
#include "core/ended.h"
#include "core/timeouts.h"
#include "core/tries.h"
#include "events.h"
#include "looks.h"
#include "starts.h"
#include "vm-actions.h"

#include <string.h>

/* What is remembered of a VM that was found down. */
typedef struct {
    MigTry book;
    guint32 target; /* host id, while a start is under way and for a while behind it */
    guint64 memory_bytes;
    gboolean is_starting;
    guint64 serial;  /* of the start under way: an abandoned one reports in vain */
    const char *why; /* last line of the plan that was told */
} Try;

struct MigRecovery {
    MigDaemon *daemon;
    MigStarts *starts;
    MigLooks looks;
    GMutex lock; /* guards what follows */
    GCond wake;
    gboolean is_asked;
    GHashTable *tries; /* VM -> Try */
    guint64 serial;
};

/* All that one look at a volume needs. */
typedef struct {
    MigRecovery *recovery;
    MigAttached *attached;
    GPtrArray *lives, *views, *vms; /* MigNodeLife, MigNodeView, MigVm */
    MigPlaceNode *nodes;            /* one for each view */
    MigPlaceVm *places;             /* one for each VM */
    const char *without;            /* a node to be thought away */
} Look;

void
mig_plan_line_free(MigPlanLine *line)
{
    if (!line)
        return;
    g_free(line->vm);
    g_free(line->node);
    g_free(line);
}

/* The node of the lowest host id among those that are up on it and restart VMs at all. Not the
 * coordinator: that role may be nobody's when it is needed most. */
gboolean
mig_recovery_is_mine(MigDaemon *daemon, MigAttached *attached, GPtrArray *lives)
{
    g_autoptr(GPtrArray) views = mig_attached_nodes(attached);

    for (guint i = 0; i < lives->len; i++) {
        const MigNodeLife *life = g_ptr_array_index(lives, i);

        for (guint k = 0; k < views->len; k++) {
            const MigNodeView *view = g_ptr_array_index(views, k);

            if (view->node->host_id == life->host_id && view->state == MIG_NODE_UP &&
                !view->node->is_passive && life->finding.life == MIG_LIFE_UP)
                return life->evidence.is_self;
        }
    }
    return FALSE;
}

static gint64
now_ms(void)
{
    return g_get_monotonic_time() / 1000;
}

/* ---- what is down ---- */

static Try *
try_of(MigRecovery *recovery, const char *vm)
{
    Try *one = g_hash_table_lookup(recovery->tries, vm);

    if (!one) {
        one = g_new0(Try, 1);
        g_hash_table_insert(recovery->tries, g_strdup(vm), one);
    }
    return one;
}

static const MigNodeView *
view_of(const Look *look, guint64 host_id)
{
    for (guint i = 0; i < look->views->len; i++) {
        const MigNodeView *view = g_ptr_array_index(look->views, i);

        if (view->node->host_id == host_id)
            return view;
    }
    return NULL;
}

/* On this volume. */
static gboolean
is_proven_dead(const Look *look, const MigNodeView *view)
{
    const MigNodeLife *life = mig_lives_find(look->lives, view->node->name);

    if (look->without && g_str_equal(view->node->name, look->without))
        return TRUE;
    return life && mig_life_is_proven_dead(life, mig_attached_name(look->attached));
}

static MigLife
life_of(const Look *look, const MigNodeView *view)
{
    const MigNodeLife *life = mig_lives_find(look->lives, view->node->name);

    return life ? life->finding.life : MIG_LIFE_SUSPECT;
}

static gboolean
has_bit(const MigNodeView *view, guint32 slot)
{
    return slot < MIG_MAX_VM_SLOTS && (view->node->running[slot / 8] & (1u << (slot % 8)));
}

/* A node that publishes that it runs there, and is not proven dead. */
static const MigNodeView *
publisher(const Look *look, guint32 slot)
{
    for (guint i = 0; i < look->views->len; i++) {
        const MigNodeView *view = g_ptr_array_index(look->views, i);

        if (has_bit(view, slot) && !view->node->has_left && !is_proven_dead(look, view))
            return view;
    }
    return NULL;
}

/* Where nobody has the lease and nobody publishes it. FALSE: nobody can tell. */
static gboolean
how_it_ended(const Look *look, const MigVm *vm, guint32 last_host_id, const MigLeaseOwner *owner,
             MigDown *down)
{
    const MigNodeView *last = view_of(look, owner->host_id ? owner->host_id : last_host_id);
    MigEnded ended = {.is_lease_left = owner->host_id != 0,
                      .is_known = last != NULL,
                      .restarts_on_isolation = vm->restarts_on_isolation,
                      .cut = mig_failover_cut_now(look->recovery->daemon->failover)};

    if (last) {
        ended.is_dead = is_proven_dead(look, last);
        ended.has_bit = has_bit(last, vm->slot);
        ended.life = life_of(look, last);
    }
    return mig_ended_how(&ended, down);
}

/* Fills place; is_running unless it is sure that it runs nowhere. FALSE: nobody can tell. */
static gboolean
classify(const Look *look, const MigVm *vm, MigPlaceVm *place, guint64 *lease_version)
{
    MigLeaseOwner owner = {0};
    const MigNodeView *view;
    gboolean has_ended;

    place->is_running = TRUE;
    if (!vm->wants_running)
        place->is_running = FALSE; /* and is not wanted: never placed either way */
    if (!mig_csv_vm_lease_owner(mig_attached_csv(look->attached), vm->slot, &owner, NULL))
        return FALSE;
    *lease_version = owner.version;
    /* the volume knows of its starts; the lease of its moves, too */
    if (owner.last_host_id)
        place->last_host_id = (guint32)owner.last_host_id;
    view = owner.host_id ? view_of(look, owner.host_id) : NULL;
    if (owner.host_id && !view) {
        /* removed before it was started elsewhere (mig_members_remove() has seen to the proof) */
        place->down = MIG_DOWN_NODE;
        place->is_running = !mig_attached_is_removed(look->attached, &owner);
        return TRUE;
    }
    if (view && view->node->host_generation <= owner.host_generation) {
        place->node = view->node->name;
        place->down = MIG_DOWN_NODE;
        place->is_running = !is_proven_dead(look, view);
        place->cpu_vendor = view->node->cpu_vendor;
        return TRUE;
    }
    view = publisher(look, vm->slot);
    if (view) {
        place->node = view->node->name;
        return TRUE;
    }
    has_ended = how_it_ended(look, vm, place->last_host_id, &owner, &place->down);
    place->is_running = !has_ended;
    return has_ended;
}

/* ---- the plan ---- */

static gboolean
is_usable(const Look *look, const MigNodeView *view)
{
    const MigNodeLife *life = mig_lives_find(look->lives, view->node->name);

    return life && life->finding.life == MIG_LIFE_UP && view->state == MIG_NODE_UP &&
           !view->node->is_draining && g_strcmp0(view->node->name, look->without) != 0;
}

/* Starts under way, and those that the node's own figure does not show yet. lock held. */
static guint64
promised_bytes(MigRecovery *recovery, guint32 host_id)
{
    GHashTableIter iter;
    const Try *one;
    guint64 bytes = 0;

    g_hash_table_iter_init(&iter, recovery->tries);
    while (g_hash_table_iter_next(&iter, NULL, (gpointer *)&one)) {
        gboolean counts = one->is_starting || (one->book.done_ms && now_ms() - one->book.done_ms <
                                                                        MIG_RECOVERY_SETTLE_MS);

        if (one->target == host_id && counts)
            bytes += one->memory_bytes;
    }
    return bytes;
}

static void
describe_nodes(Look *look)
{
    MigRecovery *recovery = look->recovery;
    guint64 kept = (guint64)recovery->daemon->config->memory_reserve_mib << 20;

    look->nodes = g_new0(MigPlaceNode, look->views->len + 1);
    for (guint i = 0; i < look->views->len; i++) {
        const MigNodeView *view = g_ptr_array_index(look->views, i);
        const MigNodeLife *life = mig_lives_find(look->lives, view->node->name);
        guint64 taken = kept;

        g_mutex_lock(&recovery->lock);
        taken += promised_bytes(recovery, view->node->host_id);
        g_mutex_unlock(&recovery->lock);
        look->nodes[i] = (MigPlaceNode){
            .name = view->node->name,
            .host_id = view->node->host_id,
            .is_usable = is_usable(look, view),
            .is_last_resort = life && life->is_flapping,
            .memory_free_bytes =
                view->node->memory_free_bytes > taken ? view->node->memory_free_bytes - taken : 0,
            .cpus = view->node->cpus,
            .cpu_vendor =
                view->node->cpu_vendor && *view->node->cpu_vendor ? view->node->cpu_vendor : NULL};
    }
}

/* Is the start under way in the hands of a node that has died since? lock held. */
static void
abandon_if_dead(const Look *look, Try *one)
{
    const MigNodeView *view = one->is_starting ? view_of(look, one->target) : NULL;

    if (!view || !is_proven_dead(look, view))
        return;
    mig_starts_abandon(look->recovery->starts, one->serial);
    one->is_starting = FALSE;
    one->serial = 0;
    one->book.not_host_id = one->target;
}

static void
remember(const Look *look, const MigVm *vm, MigPlaceVm *place, guint64 lease_version)
{
    MigRecovery *recovery = look->recovery;
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&recovery->lock);
    Try *one;

    if (place->is_running || !vm->wants_running) {
        one = g_hash_table_lookup(recovery->tries, vm->name);
        if (one && !one->is_starting && mig_try_up(&one->book, now_ms()))
            g_hash_table_remove(recovery->tries, vm->name);
        return;
    }
    one = try_of(recovery, vm->name);
    abandon_if_dead(look, one);
    mig_try_down(&one->book, lease_version, (guint)recovery->daemon->config->restart_limit,
                 now_ms(), place);
    if (one->is_starting) {
        place->is_held = TRUE;
        place->node = view_of(look, one->target) ? view_of(look, one->target)->node->name : NULL;
    }
}

static void
describe_vms(Look *look, gboolean is_real)
{
    look->places = g_new0(MigPlaceVm, look->vms->len + 1);
    for (guint i = 0; i < look->vms->len; i++) {
        const MigVm *vm = g_ptr_array_index(look->vms, i);
        guint64 lease_version = 0;

        look->places[i] = (MigPlaceVm){.name = vm->name,
                                       .priority = vm->priority,
                                       .memory_bytes = vm->memory_bytes,
                                       .vcpus = vm->vcpus,
                                       .wants_running = vm->wants_running,
                                       .restart = vm->restart,
                                       .last_host_id = vm->last_host_id,
                                       .prefer_host_id = vm->prefer_host_id,
                                       .affinity = vm->affinity,
                                       .anti_affinity = vm->anti_affinity,
                                       .start_after = vm->start_after};
        /* what nobody can tell for a moment makes no tries undone */
        if ((classify(look, vm, &look->places[i], &lease_version) || !vm->wants_running) && is_real)
            remember(look, vm, &look->places[i], lease_version);
    }
}

static gboolean
look_begin(Look *look, MigRecovery *recovery, MigAttached *attached, GPtrArray *lives,
           const char *without, GError **error)
{
    *look = (Look){.recovery = recovery, .attached = attached, .lives = lives, .without = without};
    look->vms = mig_csv_vms(mig_attached_csv(attached), error);
    if (!look->vms)
        return FALSE;
    look->views = mig_attached_nodes(attached);
    describe_nodes(look);
    describe_vms(look, without == NULL);
    return TRUE;
}

static void
look_end(Look *look)
{
    if (!look->vms)
        return;
    g_ptr_array_unref(look->vms);
    g_ptr_array_unref(look->views);
    g_free(look->nodes);
    g_free(look->places);
}

/* ---- starting ---- */

static gboolean
start_at(const MigStart *start, gpointer data, GError **error)
{
    MigDaemon *daemon = ((MigRecovery *)data)->daemon;
    MigNameRequest request = {.name = start->vm};
    g_autoptr(MigVmReply) reply = NULL;

    if (g_str_equal(start->node, daemon->node))
        return mig_vm_recover(daemon, start->vm, error);
    reply = mig_peer_rpc_call(daemon->peer, start->node, "RecoverVm", &mig_type_NameRequest,
                              &request, &mig_type_VmReply, MIG_START_MS, error);
    return reply != NULL;
}

/* Not MIG_ERROR_VM_UNKNOWN: a node that has not attached the volume yet says that, too. */
static gboolean
is_not_wanted(const GError *error)
{
    return g_error_matches(error, MIG_ERROR, MIG_ERROR_VM_STOPPED);
}

/* FALSE: it has failed as the one before it. */
static gboolean
note_end(MigRecovery *recovery, const MigStart *start, const GError *error)
{
    gboolean is_locked = g_error_matches(error, MIG_ERROR, MIG_ERROR_IMAGE_LOCKED);
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&recovery->lock);
    Try *one = try_of(recovery, start->vm);

    if (one->serial != start->serial)
        return TRUE;
    if (is_not_wanted(error)) { /* it says nothing of the VM, nor of the node */
        g_hash_table_remove(recovery->tries, start->vm);
        return TRUE;
    }
    one->is_starting = FALSE;
    if (is_locked || g_error_matches(error, MIG_ERROR, MIG_ERROR_VM_BUSY))
        return mig_try_passing(&one->book, start->down, is_locked, start->host_id, now_ms());
    mig_try_done(&one->book, start->down, error == NULL, start->host_id, now_ms());
    return TRUE;
}

static void
report(const MigStart *start, const GError *error, gpointer data)
{
    MigRecovery *recovery = data;
    gboolean is_new = note_end(recovery, start, error);

    if (!error)
        mig_events_add(recovery->daemon->events, start->vm, start->node, "started", "on %s",
                       start->node);
    else if (is_not_wanted(error))
        mig_events_add(recovery->daemon->events, start->vm, start->node, "not-started", "%s",
                       error->message);
    else if (is_new)
        mig_events_add(recovery->daemon->events, start->vm, start->node, "start-failed",
                       "on %s: %s", start->node, error->message);
    else
        g_message("%s: it cannot be started on %s yet: %s", start->vm, start->node, error->message);
    mig_recovery_wake(recovery); /* others may start after it, or it elsewhere */
}

static const char *
text_of(MigDown down)
{
    switch (down) {
    case MIG_DOWN_NODE:
        return "with its node";
    case MIG_DOWN_DISK:
        return "with its disk, or its network";
    case MIG_DOWN_CRASH:
    default:
        return "by itself";
    }
}

static void
begin_start(MigRecovery *recovery, const MigPlaceVm *vm, const MigPlaceNode *node, const char *why)
{
    gboolean has_node = vm->down == MIG_DOWN_NODE && vm->node;
    MigStart *start = g_new0(MigStart, 1);
    gboolean is_told; /* it has failed for what passes, and is tried until it has */
    Try *one;

    start->vm = g_strdup(vm->name);
    start->node = g_strdup(node->name);
    start->host_id = node->host_id;
    start->down = vm->down;
    g_mutex_lock(&recovery->lock);
    one = try_of(recovery, vm->name);
    is_told = one->book.is_passing;
    start->serial = ++recovery->serial;
    one->serial = start->serial;
    one->is_starting = TRUE;
    one->target = node->host_id;
    one->memory_bytes = vm->memory_bytes;
    if (!is_told)
        one->why = NULL;
    g_mutex_unlock(&recovery->lock);
    mig_starts_begin(recovery->starts, start); /* what it says may wait for this host's disk */
    if (!is_told)
        mig_events_add(recovery->daemon->events, vm->name, node->name, "restart",
                       "it ended %s%s%s; it is started on %s: %s", text_of(vm->down),
                       has_node ? " " : "", has_node ? vm->node : "", node->name, why);
}

/* Why it is not started, told once for each reason. */
static void
tell_why_not(MigRecovery *recovery, const MigPlaceVm *vm, const char *why)
{
    gboolean is_new;

    g_mutex_lock(&recovery->lock);
    is_new = try_of(recovery, vm->name)->why != why;
    try_of(recovery, vm->name)->why = why;
    g_mutex_unlock(&recovery->lock);
    if (is_new)
        mig_events_add(recovery->daemon->events, vm->name, NULL, "not-started", "%s", why);
}

static void
look_at(MigRecovery *recovery, MigAttached *attached, GPtrArray *lives)
{
    g_autoptr(GError) error = NULL;
    Look look;

    if (look_begin(&look, recovery, attached, lives, NULL, &error)) {
        g_autofree MigPlace *places = g_new0(MigPlace, look.vms->len + 1);

        mig_place(look.nodes, look.views->len, look.places, look.vms->len,
                  (guint)recovery->daemon->config->restart_limit, places);
        /* A plan of before a hang is nobody's any more: others have restarted meanwhile. How long
         * the reading took is not asked: where that is slow for all, somebody has to start them. */
        mig_looks_begin(&recovery->looks);
        for (guint i = 0; i < look.vms->len && !mig_looks_hang(&recovery->looks); i++) {
            const MigPlaceVm *vm = &look.places[i];

            if (places[i].node >= 0)
                begin_start(recovery, vm, &look.nodes[places[i].node], places[i].why);
            else if (vm->wants_running && !vm->is_running && !vm->is_held &&
                     (vm->down != MIG_DOWN_CRASH || vm->restart == MIG_RESTART_ALWAYS))
                tell_why_not(recovery, vm, places[i].why);
        }
    } else {
        g_warning("%s", error->message);
    }
    look_end(&look);
}

static gpointer
recovery_thread(gpointer data)
{
    MigRecovery *recovery = data;
    MigDaemon *daemon = recovery->daemon;

    for (;;) {
        gint64 until = g_get_monotonic_time() + MIG_RECOVERY_LOOK_MS * 1000;
        g_autoptr(GPtrArray) volumes = NULL, lives = NULL;

        g_mutex_lock(&recovery->lock);
        while (!recovery->is_asked && g_cond_wait_until(&recovery->wake, &recovery->lock, until))
            ;
        recovery->is_asked = FALSE;
        g_mutex_unlock(&recovery->lock);
        mig_looks_begin(&recovery->looks);
        mig_starts_expire(recovery->starts, g_get_monotonic_time());
        if (mig_failover_is_isolated(daemon->failover))
            continue;
        volumes = mig_volumes_list(daemon->volumes);
        lives = mig_failover_lives(daemon->failover);
        for (guint i = 0; i < volumes->len; i++) {
            MigAttached *attached = g_ptr_array_index(volumes, i);

            mig_looks_begin(&recovery->looks);
            if (!g_str_equal(mig_attached_state(attached), "lost") &&
                !mig_attached_was_fenced(attached) && mig_recovery_is_mine(daemon, attached, lives))
                look_at(recovery, attached, lives);
        }
    }
    return NULL;
}

gboolean
mig_recovery_hangs(MigRecovery *recovery)
{
    return mig_looks_hang(&recovery->looks);
}

void
mig_recovery_wake(MigRecovery *recovery)
{
    g_mutex_lock(&recovery->lock);
    recovery->is_asked = TRUE;
    g_cond_signal(&recovery->wake);
    g_mutex_unlock(&recovery->lock);
}

void
mig_recovery_ask(MigRecovery *recovery, const char *vm, guint64 lease_version)
{
    g_mutex_lock(&recovery->lock);
    mig_try_ask(&try_of(recovery, vm)->book, lease_version, now_ms());
    g_mutex_unlock(&recovery->lock);
    mig_recovery_wake(recovery);
}

/* ---- what if ---- */

static void
add_lines(const Look *look, const char *node, const MigPlace *places, GPtrArray *lines)
{
    for (guint i = 0; i < look->vms->len; i++) {
        const MigPlaceVm *vm = &look->places[i];
        MigPlanLine *line;

        if (!vm->wants_running || g_strcmp0(vm->node, node) != 0)
            continue;
        line = g_new0(MigPlanLine, 1);
        line->vm = g_strdup(vm->name);
        line->priority = vm->priority;
        line->memory_bytes = vm->memory_bytes;
        line->node = places[i].node >= 0 ? g_strdup(look->nodes[places[i].node].name) : NULL;
        line->is_wanted = vm->restart != MIG_RESTART_NEVER;
        line->why = places[i].why;
        g_ptr_array_add(lines, line);
    }
}

GPtrArray *
mig_recovery_whatif(MigRecovery *recovery, const char *node, GError **error)
{
    g_autoptr(GPtrArray) volumes = mig_volumes_list(recovery->daemon->volumes);
    g_autoptr(GPtrArray) lives = mig_failover_lives(recovery->daemon->failover);
    g_autoptr(GPtrArray) lines = g_ptr_array_new_with_free_func((GDestroyNotify)mig_plan_line_free);

    for (guint i = 0; i < volumes->len; i++) {
        g_autofree MigPlace *places = NULL;
        Look look;

        if (!look_begin(&look, recovery, g_ptr_array_index(volumes, i), lives, node, error)) {
            look_end(&look);
            return NULL;
        }
        places = g_new0(MigPlace, look.vms->len + 1);
        mig_place_whole(look.nodes, look.views->len, look.places, look.vms->len,
                        (guint)recovery->daemon->config->restart_limit, places);
        add_lines(&look, node, places, lines);
        look_end(&look);
    }
    return g_steal_pointer(&lines);
}

MigRecovery *
mig_recovery_new(MigDaemon *daemon)
{
    MigRecovery *recovery = g_new0(MigRecovery, 1);

    recovery->daemon = daemon;
    mig_looks_begin(&recovery->looks);
    recovery->starts = mig_starts_new(start_at, report, recovery);
    recovery->tries = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    g_mutex_init(&recovery->lock);
    g_cond_init(&recovery->wake);
    return recovery;
}

void
mig_recovery_start(MigRecovery *recovery)
{
    g_thread_unref(g_thread_new("recovery", recovery_thread, recovery));
}
