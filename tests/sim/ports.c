/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* ports.c - core's ports as fakes over a World; every call can fail, be the last one, or take long.
 */
#include "ports.h"

#include "base/error.h"
#include "drivers/store-file.h"

#include <pthread.h>
#include <string.h>
#include <unistd.h>

static void
trace(World *world, const char *name)
{
    g_snprintf(world->trace[world->traced++ % G_N_ELEMENTS(world->trace)], sizeof world->trace[0],
               "%3u %6" G_GINT64_FORMAT " %-14s A %.8s B %.8s", world->calls,
               world->now_ms - 1000000, name, mig_domain_state_name(world->domain[SOURCE].state),
               mig_domain_state_name(world->domain[TARGET].state));
}

Call
port_call_begin(Process *process, const char *name)
{
    World *world = process->world;
    const Plan *plan = &world->plan;
    Call call = {0};

    pthread_mutex_lock(&process->lock);
    call.number = ++world->calls;
    trace(world, name);
    world_trigger(world);
    world_tick(world);
    if (call.number == plan->kill_at && !plan->kill_after)
        _exit(EXIT_KILLED);
    call.fails = call.number == plan->fail_at;
    call.kind = plan->fail_kind;
    if (plan->fail_percent && world_random(world, 100) < plan->fail_percent) {
        call.fails = TRUE;
        call.kind = world_random(world, FAIL_N);
    }
    if (call.fails) {
        world->triggered = TRUE;
        trace(world, call.kind == FAIL_BEFORE ? "  fails" : "  fails after");
    }
    return call;
}

/* TRUE: the caller is told that it went well. */
gboolean
port_call_end(Process *process, const Call *call, GError *why, GError **error)
{
    const Plan *plan = &process->world->plan;

    if (call->number == plan->kill_at && plan->kill_after)
        _exit(EXIT_KILLED);
    if (call->fails) {
        g_clear_error(&why);
        why = g_error_new(MIG_ERROR, MIG_ERROR_NODE_UNREACHABLE, "call %u was made to fail",
                          call->number);
    }
    pthread_mutex_unlock(&process->lock);
    if (!why)
        return TRUE;
    g_propagate_error(error, why);
    return FALSE;
}

gboolean
port_has_effect(const Call *call)
{
    return !call->fails || call->kind != FAIL_BEFORE;
}

GError *
port_stopped(void)
{
    return g_error_new(MIG_ERROR, MIG_ERROR_VM_STOPPED, "does not run here");
}

GError *
port_unreachable(void)
{
    return g_error_new(MIG_ERROR, MIG_ERROR_NODE_UNREACHABLE, "B does not answer");
}

gboolean
port_is_target_there(const World *world)
{
    return world->target_alive && world->now_ms >= world->cut_until_ms;
}

/* ---- peer ---- */

static int
end_of(const char *node)
{
    return g_str_equal(node, "A") ? SOURCE : TARGET;
}

static gboolean
peer_reserve(gpointer self, const char *node, const MigJob *job, gint64 waited_ms, MigTurn *turn,
             GError **error)
{
    Process *process = self;
    World *world = process->world;
    Call call = port_call_begin(process, "reserve");
    int which = end_of(node), first = world->plan.is_source_first ? SOURCE : TARGET;
    GError *why = NULL;

    /* the own table is a function call away: that cannot fail */
    if (which == SOURCE)
        call.fails = FALSE;
    if (waited_ms != world->now_ms - job->started_ms && waited_ms + TICK_MS * 2 < 0)
        world_violation(world, "has waited for %" G_GINT64_FORMAT " ms", waited_ms);
    if (which != first && !world->pair[first] && world->phase == PHASE_NONE &&
        job->state < MIG_JOB_STATE_PREPARE && first == SOURCE)
        world_violation(world, "asks the other end without a turn at the first");
    if (which == TARGET && !port_is_target_there(world)) {
        why = port_unreachable();
    } else if (port_has_effect(&call)) {
        gboolean is_busy =
            !world->pair[which] && world->now_ms < 1000000 + (gint64)world->plan.busy_ms[which];

        world->pair[which] = !is_busy;
        world->place_ms[which] = is_busy ? world->now_ms : 0;
        turn->is_granted = !is_busy;
        turn->position = is_busy;
        turn->waits_for = is_busy ? g_strdup("move X-1 between A and B") : NULL;
    }
    if (why || call.fails)
        world->reserve_failed = TRUE;
    if (call.fails)
        mig_turn_clear(turn);
    return port_call_end(process, &call, why, error);
}

static gboolean
peer_release(gpointer self, const char *node, const MigJob *job, GError **error)
{
    Process *process = self;
    World *world = process->world;
    Call call = port_call_begin(process, "release");
    int which = end_of(node);
    GError *why = NULL;

    if (which == SOURCE)
        call.fails = FALSE;
    if (which == TARGET && !port_is_target_there(world)) {
        why = port_unreachable();
    } else if (port_has_effect(&call)) {
        world->pair[which] = FALSE;
        world->place_ms[which] = 0;
    }
    return port_call_end(process, &call, why, error);
}

static gboolean
peer_prepare(gpointer self, const MigJob *job, const char *cpu_vendor, const char *migration,
             const char *certificate, GPtrArray *checks, MigReady *ready, GError **error)
{
    Process *process = self;
    World *world = process->world;
    Call call = port_call_begin(process, "prepare");
    GError *why = NULL;

    if (!port_is_target_there(world)) {
        why = port_unreachable();
    } else if (!world->pair[TARGET]) {
        why = g_error_new(MIG_ERROR, MIG_ERROR_BAD_VALUE, "no pair");
    } else if (port_has_effect(&call)) {
        world->reservation = world->images[TARGET] = TRUE;
        world->reserved_ms = world->now_ms;
        g_ptr_array_add(checks, mig_check_new("name-free", MIG_VERDICT_PASS, g_strdup("ok"), NULL));
    }
    if (!why && !call.fails)
        *ready = (MigReady){.ram_address = g_strdup("10.0.1.2"), .certificate = g_strdup("B's")};
    return port_call_end(process, &call, why, error);
}

/* As incoming.c does it. */
static gboolean
peer_finish(gpointer self, const MigJob *job, gboolean keep, MigOutcome *outcome, GError **error)
{
    Process *process = self;
    World *world = process->world;
    Call call = port_call_begin(process, keep ? "finish-keep" : "finish-drop");
    Domain *target = &world->domain[TARGET];
    GError *why = NULL;

    if (!port_is_target_there(world)) {
        why = port_unreachable();
    } else if (keep && port_has_effect(&call)) {
        if (target->state == MIG_DOMAIN_PAUSED && world_take_lease(world, TARGET))
            world_let_run(world, TARGET);
        world->reservation = world->pair[TARGET] = FALSE;
        if (outcome)
            outcome->was_booted = world->was_booted;
        if (target->state == MIG_DOMAIN_ABSENT)
            world->images[TARGET] = FALSE; /* its own event did that */
    } else if (!keep && target->state != MIG_DOMAIN_ABSENT) {
        why = g_error_new(MIG_ERROR, MIG_ERROR_VM_RUNNING, "nothing was removed");
    } else if (port_has_effect(&call)) {
        world->reservation = world->pair[TARGET] = world->images[TARGET] = FALSE;
    }
    return port_call_end(process, &call, why, error);
}

static gboolean
peer_get_domain(gpointer self, const char *node, const char *vm, const char *uuid,
                MigDomainState *state, GError **error)
{
    Process *process = self;
    World *world = process->world;
    Call call = port_call_begin(process, "get-domain");

    *state = world->domain[TARGET].state;
    return port_call_end(process, &call, port_is_target_there(world) ? NULL : port_unreachable(),
                         error);
}

static gboolean
peer_was_shut_down(gpointer self, const char *node, const char *vm, const char *uuid)
{
    Process *process = self;
    World *world = process->world;
    Call call = port_call_begin(process, "was-shut-down");
    gboolean was = world->was_shut_down && world->domain[TARGET].state == MIG_DOMAIN_ABSENT;

    return port_call_end(process, &call, port_is_target_there(world) ? NULL : port_unreachable(),
                         NULL) &&
           was;
}

/* As long as B knows what it was prepared for, and its daemon has lived since. */
static gboolean
peer_never_ran(gpointer self, const char *node, const char *vm, const char *uuid, gboolean *never,
               GError **error)
{
    Process *process = self;
    World *world = process->world;
    Call call = port_call_begin(process, "never-ran");

    *never = !call.fails && port_is_target_there(world) && !world->target_ran &&
             world->domain[TARGET].state == MIG_DOMAIN_ABSENT && world->reservation &&
             !world->target_died_ms;
    return port_call_end(process, &call, port_is_target_there(world) ? NULL : port_unreachable(),
                         error);
}

static gboolean
peer_is_stuck(gpointer self, const char *node, const char *vm, const char *uuid)
{
    Process *process = self;
    World *world = process->world;
    Call call = port_call_begin(process, "is-stuck");
    gboolean is = world->plan.is_stuck && world->domain[TARGET].state == MIG_DOMAIN_POSTCOPY_FAILED;

    return port_call_end(process, &call, port_is_target_there(world) ? NULL : port_unreachable(),
                         NULL) &&
           is;
}

static char *
peer_libvirt_uri(gpointer self, const char *node, GError **error)
{
    Process *process = self;
    Call call = port_call_begin(process, "libvirt-uri");

    return port_call_end(process, &call, NULL, error) ? g_strdup("qemu:///system") : NULL;
}

/* ---- volume ---- */

static gboolean
volume_deactivate(gpointer self, const char *const *images, GError **error)
{
    Process *process = self;
    World *world = process->world;
    Call call = port_call_begin(process, "deactivate");

    if (port_has_effect(&call) && world->domain[SOURCE].state == MIG_DOMAIN_ABSENT)
        world->images[SOURCE] = FALSE;
    return port_call_end(process, &call, NULL, error);
}

static gboolean
volume_lease_owner(gpointer self, const char *volume, guint32 slot, char **node, guint64 *version,
                   gboolean *is_last_here, GError **error)
{
    Process *process = self;
    World *world = process->world;
    Call call = port_call_begin(process, "lease-owner");

    call.fails |= world->move_ended_ms &&
                  world->now_ms - world->move_ended_ms < (gint64)world->plan.unread_ms;
    *version = call.fails ? 0 : world->lease_version;
    *is_last_here = world->last_taker == SOURCE;
    *node = call.fails || world->lease_owner == NOBODY
                ? NULL
                : g_strdup(world->lease_owner == SOURCE ? "A" : "B");
    return port_call_end(process, &call, NULL, error);
}

static gboolean
volume_publish(gpointer self, const char *volume, GError **error)
{
    Process *process = self;
    Call call = port_call_begin(process, "publish");

    return port_call_end(process, &call, NULL, error);
}

/* ---- journal and clock ---- */

static gboolean
store_save(gpointer self, const MigJob *job, GError **error)
{
    Process *process = self;
    World *world = process->world;
    g_autoptr(MigApiJob) message = mig_job_to_message(job, world->now_ms);
    g_autofree char *json = mig_message_encode(&mig_type_ApiJob, message, FALSE);
    g_autofree char *name = g_strdup_printf("save %s", mig_job_state_name(job->state));
    Call call = port_call_begin(process, name);

    world->done_call = job->state == MIG_JOB_STATE_DONE ? world->calls : 0;
    if (port_has_effect(&call) &&
        g_strlcpy(world->journal, json, sizeof world->journal) >= sizeof world->journal)
        world_violation(world, "the journal is too long");
    if (port_has_effect(&call) && job->has_arrived && !mig_job_has_ended(job))
        world->has_promised = TRUE; /* who was told so may rely on it from here on */
    if (job->by_virsh && job->state == MIG_JOB_STATE_PERFORM && port_has_effect(&call)) {
        /* also where the caller is told that it failed: the answer to the hook may be under way */
        if (world->target_alive && !world->target_died_ms && !world->reserve_failed &&
            (!world->reservation || !world->images[TARGET] || !world->pair[SOURCE]))
            world_violation(world, "virsh is let begin, and the target is not ready");
        if (!world->virsh_began) /* once, however often the journal says so */
            world_begin_move(world, VIRSH_LIMIT_MS);
        world->virsh_began = TRUE;
    }
    return port_call_end(process, &call, NULL, error);
}

static gint64
clock_ms(gpointer self)
{
    Process *process = self;
    gint64 now_ms;

    pthread_mutex_lock(&process->lock);
    now_ms = process->world->now_ms;
    pthread_mutex_unlock(&process->lock);
    return now_ms;
}

static void
monitor_sleeps(Process *process, guint ms)
{
    process->monitor_until_ms = process->world->now_ms + ms;
    process->is_monitor_asleep = TRUE;
    process->is_monitor_turn = FALSE;
    pthread_cond_broadcast(&process->turn);
    while (!process->is_monitor_turn && !process->is_monitor_woken)
        pthread_cond_wait(&process->turn, &process->lock);
    process->is_monitor_asleep = FALSE;
}

static void
clock_sleep(gpointer self, guint ms)
{
    Process *process = self;

    pthread_mutex_lock(&process->lock);
    if (g_thread_self() != process->job_thread)
        monitor_sleeps(process, ms);
    else
        for (guint i = 0; i < ms; i += TICK_MS)
            world_tick(process->world);
    if (g_thread_self() == process->job_thread)
        process->is_monitor_woken = FALSE; /* that one has ended; another one may follow */
    pthread_mutex_unlock(&process->lock);
}

static void
clock_wake(gpointer self)
{
    Process *process = self;

    pthread_mutex_lock(&process->lock);
    process->is_monitor_woken = TRUE;
    pthread_cond_broadcast(&process->turn);
    pthread_mutex_unlock(&process->lock);
}

/* ---- environment ---- */

static gboolean
env_trust_target(gpointer self, const char *certificate, GError **error)
{
    Process *process = self;
    Call call = port_call_begin(process, "trust-target");

    if (!g_str_equal(certificate, "B's"))
        world_violation(process->world, "trusts %s, not B", certificate);
    return port_call_end(process, &call, NULL, error);
}

static gboolean
env_check_target(gpointer self, MigJob *job, GPtrArray *checks, GError **error)
{
    Process *process = self;
    Call call = port_call_begin(process, "check-target");

    job->can_postcopy = process->world->plan.can_postcopy;
    return port_call_end(process, &call,
                         port_is_target_there(process->world) ? NULL : port_unreachable(), error);
}

/* Another move begins on the link. */
static guint64
env_bandwidth(gpointer self)
{
    Process *process = self;

    pthread_mutex_lock(&process->lock);
    guint64 bytes_s = process->world->iteration < 2 ? 2 << 20 : 1 << 20;
    pthread_mutex_unlock(&process->lock);
    return bytes_s;
}

static guint32
env_target_host_id(gpointer self)
{
    Process *process = self;

    return process->world->plan.is_source_first ? 2 : 1;
}

/* By sanlock's word, some time later. */
static gboolean
env_is_target_dead(gpointer self)
{
    Process *process = self;
    gboolean is_dead;

    pthread_mutex_lock(&process->lock);
    is_dead = world_is_target_dead(process->world);
    pthread_mutex_unlock(&process->lock);
    return is_dead;
}

static gboolean
env_restart(gpointer self, const MigJob *job)
{
    Process *process = self;
    World *world = process->world;

    if (world->domain[SOURCE].state != MIG_DOMAIN_ABSENT ||
        world->domain[TARGET].state == MIG_DOMAIN_RUNNING)
        world_violation(world, "a restart is asked for, and it is not gone");
    /* the LUN comes and goes: the policy cannot be read at first */
    if (world->restart_unread > 0) {
        world->restart_unread--;
        return FALSE;
    }
    world->restart_asked = TRUE;
    return TRUE;
}

static void
env_lock(gpointer self)
{
    Process *process = self;

    pthread_mutex_lock(&process->job_lock);
}

static void
env_unlock_and_tell(gpointer self)
{
    Process *process = self;

    if (process->job->has_arrived && !process->has_told_arrival) {
        process->has_told_arrival = TRUE;
        pthread_mutex_lock(&process->lock);
        world_arrived(process->world);
        pthread_mutex_unlock(&process->lock);
    }
    pthread_mutex_unlock(&process->job_lock);
}

static gboolean
env_is_cancelled(gpointer self)
{
    Process *process = self;
    gboolean cancelled;

    pthread_mutex_lock(&process->lock);
    cancelled = process->world->cancelled;
    pthread_mutex_unlock(&process->lock);
    pthread_mutex_lock(&process->job_lock);
    process->job->cancel_wanted = cancelled;
    pthread_mutex_unlock(&process->job_lock);
    return cancelled;
}

static MigJob *
load_job(World *world)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(MigApiJob) message =
        mig_message_decode(&mig_type_ApiJob, world->journal, strlen(world->journal), &error);
    MigJob *job = message ? mig_job_from_message(message, &error) : NULL;

    if (!job)
        world_violation(world, "the journal cannot be read: %s", error->message);
    return job;
}

MigJob *
world_run_job(World *world)
{
    Process process = {.world = world, .job_thread = g_thread_self()};
    const MigHv hv = world_hv(&process);
    const MigPeer peer = {.self = &process,
                          .reserve = peer_reserve,
                          .release = peer_release,
                          .prepare = peer_prepare,
                          .finish = peer_finish,
                          .get_domain = peer_get_domain,
                          .was_shut_down = peer_was_shut_down,
                          .never_ran = peer_never_ran,
                          .is_stuck = peer_is_stuck,
                          .libvirt_uri = peer_libvirt_uri};
    const MigVolumePort volume = {.self = &process,
                                  .deactivate = volume_deactivate,
                                  .lease_owner = volume_lease_owner,
                                  .publish = volume_publish};
    const MigStore store = {.self = &process, .save = store_save};
    const MigClock clock = {.self = &process,
                            .wall_ms = clock_ms,
                            .monotonic_ms = clock_ms,
                            .sleep_ms = clock_sleep,
                            .wake = clock_wake};
    const MigJobEnv env = {.hv = &hv,
                           .peer = &peer,
                           .volume = &volume,
                           .store = &store,
                           .clock = &clock,
                           .node = "A",
                           .host_id = world->plan.is_source_first ? 1 : 2,
                           .cpu_vendor = "AMD",
                           .migration = "10.0.1.1/24",
                           .check_target = env_check_target,
                           .bandwidth = env_bandwidth,
                           .channels = 4,
                           .is_target_dead = env_is_target_dead,
                           .restart = env_restart,
                           .forecast = world_forecast,
                           .target_host_id = env_target_host_id,
                           .look_at_target = world_look_at_target,
                           .look_at_encryption = world_look_at_encryption,
                           .certificate = world_certificate,
                           .trust_target = env_trust_target,
                           .may_ask = world_may_ask,
                           .lock = env_lock,
                           .unlock_and_tell = env_unlock_and_tell,
                           .is_cancelled = env_is_cancelled,
                           .self = &process};
    gboolean is_resumed = world->journal[0] != '\0';

    pthread_mutex_init(&process.lock, NULL);
    pthread_mutex_init(&process.job_lock, NULL);
    pthread_cond_init(&process.turn, NULL);
    world->life++;
    world->job_alive = TRUE;
    world->has_call = FALSE;
    world->pair[SOURCE] = FALSE; /* the table died with the old process */
    process.job = is_resumed ? load_job(world) : world_new_job(world);
    if (is_resumed)
        mig_job_resume(process.job, &env);
    else
        mig_job_run(process.job, &env);
    world->job_ended = TRUE;
    pthread_mutex_destroy(&process.lock);
    pthread_mutex_destroy(&process.job_lock);
    pthread_cond_destroy(&process.turn);
    return process.job;
}
