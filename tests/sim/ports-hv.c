/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* ports-hv.c - the hypervisor's port over a World. */
#include "ports.h"

#include "base/error.h"

#include <string.h>

static gboolean
is_silent(const World *world)
{
    return world->move_ended_ms &&
           world->now_ms - world->move_ended_ms < (gint64)world->plan.silent_ms;
}

static gboolean
hv_destroy(gpointer self, const char *vm, const char *uuid, GError **error)
{
    Process *process = self;
    World *world = process->world;
    Call call = port_call_begin(process, "destroy");

    if (port_has_effect(&call)) {
        /* B may die in this very moment; then what is here is old, and no copy to keep */
        gboolean could_tell = port_is_target_there(world) && !world->target_died_ms &&
                              world->reservation && !world->plan.fail_percent;

        /* nor what B may have run, if nobody can tell any more */
        if (world->domain[TARGET].state != MIG_DOMAIN_RUNNING &&
            world->domain[SOURCE].epoch == world->disk_epoch &&
            (could_tell || !world->target_had_lease))
            world_violation(world, "the only good copy is destroyed");
        if (world->domain[TARGET].state == MIG_DOMAIN_POSTCOPY ||
            world->domain[TARGET].state == MIG_DOMAIN_POSTCOPY_FAILED)
            world_violation(world, "half a VM is destroyed, and the other half is there");
        world_remove(world, SOURCE);
    }
    return port_call_end(process, &call, NULL, error);
}

static gboolean
hv_resume(gpointer self, const char *vm, const char *uuid, GError **error)
{
    Process *process = self;
    World *world = process->world;
    Call call = port_call_begin(process, "resume");
    GError *why = NULL;

    if (port_has_effect(&call)) {
        if (world->domain[SOURCE].state != MIG_DOMAIN_PAUSED)
            why = port_stopped();
        else if (world->lease_owner == TARGET)
            world_violation(world, "the source is resumed while B has the lease");
        else if (world_take_lease(world, SOURCE))
            world_let_run(world, SOURCE);
    }
    return port_call_end(process, &call, why, error);
}

static gboolean
hv_get_state(gpointer self, const char *vm, const char *uuid, MigDomainState *state, GError **error)
{
    Process *process = self;
    Call call = port_call_begin(process, "get-state");

    call.fails |= is_silent(process->world);
    *state = process->world->domain[SOURCE].state;
    return port_call_end(process, &call, NULL, error);
}

/* The monitor's sleep is over: its turn, until it sleeps again. */
static void
give_turn(Process *process)
{
    process->is_monitor_turn = TRUE;
    pthread_cond_broadcast(&process->turn);
    while (process->is_monitor_turn)
        pthread_cond_wait(&process->turn, &process->lock);
}

/* Until libvirt answers: it is through with the move, or the link of a post-copy is lost. */
static void
let_move(Process *process, guint patience)
{
    World *world = process->world;

    while (world->phase != PHASE_NONE && world->phase != PHASE_POSTCOPY_PAUSED && patience-- > 0) {
        world_tick(world);
        if (process->monitor_until_ms <= world->now_ms)
            give_turn(process);
    }
}

static gboolean
hv_migrate(gpointer self, const MigMigration *migration, GError **error)
{
    Process *process = self;
    World *world = process->world;

    /* when the monitor falls asleep first decides when it wakes: not a matter of luck */
    pthread_mutex_lock(&process->lock);
    while (!process->is_monitor_asleep)
        pthread_cond_wait(&process->turn, &process->lock);
    pthread_mutex_unlock(&process->lock);

    Call call = port_call_begin(process, "migrate");
    GError *why = NULL;

    if (world->plan.by_virsh)
        world_violation(world, "what virsh moves is moved by us, too");
    if (g_strcmp0(migration->tls_name, "B") != 0)
        world_violation(world, "the memory goes in clear text");
    guint patience = call.fails && call.kind == FAIL_LOST ? 12 : G_MAXUINT;

    if (migration->may_postcopy && !world->plan.can_postcopy)
        world_violation(world, "post-copy is prepared, and it cannot or may not be");
    if (migration->may_postcopy && migration->channels)
        world_violation(world, "post-copy over more than one connection");
    if (migration->is_recovery) {
        if (world->plan.is_stuck)
            world_violation(world, "libvirt is asked for what it never answers");
        if (world->phase == PHASE_NONE)
            why = port_stopped();
        else if (port_has_effect(&call) && !world_take_up(world))
            why = port_unreachable();
        else if (port_has_effect(&call))
            let_move(process, patience);
        if (!why && !world->succeeded)
            why = g_error_new(MIG_ERROR, MIG_ERROR_FAILED, "libvirt says no");
    } else if (port_has_effect(&call)) {
        g_autofree char *journal = g_strdup(world->journal);

        if (!world->reserve_failed && (!world->pair[SOURCE] || !world->pair[TARGET]) &&
            world->target_alive && !world->target_died_ms)
            world_violation(world, "libvirt is told to move, and it is not the job's turn");
        if (!strstr(journal, "\"perform\""))
            world_violation(world, "libvirt is told to move, the journal knows nothing of it");
        world_begin_move(world, migration->downtime_ms);
        world->has_call = TRUE;
        let_move(process, patience);
        world->has_call = FALSE;
        if (!world->succeeded)
            why = g_error_new(MIG_ERROR, world->abort ? MIG_ERROR_CANCELLED : MIG_ERROR_FAILED,
                              "libvirt says no");
    }
    return port_call_end(process, &call, why, error);
}

static gboolean
hv_get_progress(gpointer self, const char *vm, MigProgress *progress, GError **error)
{
    Process *process = self;
    World *world = process->world;
    Call call = port_call_begin(process, "get-progress");
    GError *why = NULL;

    call.fails |= is_silent(world);

    /* an operator who reads what the job says, and waits for the network */
    if (world->phase == PHASE_POSTCOPY_PAUSED && port_is_target_there(world) &&
        world->now_ms - world->silent_ms > 5000 &&
        process->job->state == MIG_JOB_STATE_POSTCOPY_PAUSED)
        process->job->resume_wanted = TRUE;
    /* who is told that it cannot be, and gives it up by hand */
    if (world->phase == PHASE_POSTCOPY_PAUSED && world->plan.is_stuck &&
        world->now_ms - world->silent_ms > 30000 &&
        world->domain[TARGET].state != MIG_DOMAIN_ABSENT) {
        if (!process->job->error || !strstr(process->job->error->message, "hears no order"))
            world_violation(world, "nobody is told that B's half hears nobody");
        world_remove(world, TARGET);
        world->images[TARGET] = FALSE;
        world->went_off = TRUE;
    }
    *progress = (MigProgress){.downtime_ms = -1};
    if (world->domain[SOURCE].state == MIG_DOMAIN_ABSENT)
        why = port_stopped();
    if (world->phase != PHASE_NONE) {
        progress->is_active = TRUE;
        progress->iteration = world->iteration;
        progress->total_bytes = 1000;
        progress->remaining_bytes = world->is_all_sent ? 0 : 100;
        progress->is_postcopy = world->phase >= PHASE_POSTCOPY_STOP &&
                                world->domain[SOURCE].state == MIG_DOMAIN_INCOMING;
        if (world->plan.can_postcopy && !progress->is_postcopy)
            progress->rate_bytes_s = 400 + world->iteration % 2 * 400;
        progress->is_broken = progress->is_postcopy && world->postcopy_broken;
        progress->transferred_bytes = world->sent;
        if (!world->pair[SOURCE] && !world->reserve_failed)
            world_violation(world, "libvirt moves, and the pair is not reserved");
    }
    return port_call_end(process, &call, why, error);
}

static gboolean
hv_set_max_downtime(gpointer self, const char *vm, guint ms, GError **error)
{
    Process *process = self;
    Call call = port_call_begin(process, "set-downtime");

    if (process->world->plan.by_virsh)
        world_violation(process->world, "limits of a move by hand are changed");
    if (port_has_effect(&call))
        process->world->limit_ms = ms;
    return port_call_end(process, &call, NULL, error);
}

static gboolean
hv_set_bandwidth(gpointer self, const char *vm, guint64 bytes_s, GError **error)
{
    Process *process = self;
    Call call = port_call_begin(process, "set-bandwidth");

    return port_call_end(process, &call, NULL, error);
}

static gboolean
hv_set_postcopy_bandwidth(gpointer self, const char *vm, guint64 bytes_s, GError **error)
{
    Process *process = self;
    Call call = port_call_begin(process, "limit-postcopy");

    if (port_has_effect(&call))
        process->world->postcopy_bytes_s = bytes_s;
    return port_call_end(process, &call, NULL, error);
}

static gboolean
hv_abort(gpointer self, const char *vm, GError **error)
{
    Process *process = self;
    World *world = process->world;
    Call call = port_call_begin(process, "abort");
    GError *why = NULL;

    /* too early and too late are errors of libvirt's */
    if (world->phase != PHASE_COPY)
        why = port_stopped();
    else if (port_has_effect(&call))
        world->abort = TRUE;
    return port_call_end(process, &call, why, error);
}

static gboolean
hv_start_postcopy(gpointer self, const char *vm, GError **error)
{
    Process *process = self;
    World *world = process->world;
    Call call = port_call_begin(process, "start-postcopy");

    if (!world->plan.can_postcopy)
        world_violation(world, "post-copy begins, and it cannot or may not be");
    if (!world->has_call)
        world_violation(world, "post-copy begins, and libvirt has lost its way to B");
    if (world->now_ms < world->cut_until_ms && world->now_ms - world->cut_since_ms > 10 * TICK_MS)
        world_violation(world, "post-copy begins, and B does not answer");
    if (!strstr(world->journal, "\"postcopy\""))
        world_violation(world, "post-copy begins, the journal knows nothing of it");
    if (port_has_effect(&call) && world->phase == PHASE_COPY)
        world->postcopy_asked = TRUE;
    return port_call_end(process, &call, NULL, error);
}

static gboolean
hv_pause_postcopy(gpointer self, const char *vm, GError **error)
{
    Process *process = self;
    Call call = port_call_begin(process, "pause-postcopy");

    if (process->world->is_all_sent)
        world_violation(process->world, "QEMU gives a link up that it can never take up again");
    if (port_has_effect(&call))
        world_give_up_link(process->world);
    return port_call_end(process, &call, NULL, error);
}

static void
hv_get_switchover(gpointer self, const char *uuid, guint wait_ms, MigSwitchSeen *seen)
{
    Process *process = self;

    pthread_mutex_lock(&process->lock);
    world_get_switchover(process->world, uuid, wait_ms, seen);
    pthread_mutex_unlock(&process->lock);
}

MigHv
world_hv(Process *process)
{
    return (MigHv){.self = process,
                   .destroy = hv_destroy,
                   .resume = hv_resume,
                   .get_state = hv_get_state,
                   .migrate = hv_migrate,
                   .get_progress = hv_get_progress,
                   .set_max_downtime = hv_set_max_downtime,
                   .set_bandwidth = hv_set_bandwidth,
                   .set_postcopy_bandwidth = hv_set_postcopy_bandwidth,
                   .abort = hv_abort,
                   .start_postcopy = hv_start_postcopy,
                   .pause_postcopy = hv_pause_postcopy,
                   .watch_switchover = world_watch_switchover,
                   .get_switchover = hv_get_switchover};
}
