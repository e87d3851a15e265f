/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* world.c - the physics of world.h: hypervisors, lease, network, and the rules of safety. */
#include "world-physics.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

/* Connections notice a dead peer after this long. */
#define KEEPALIVE_MS 15000
/* A dead target comes back, with another host generation. */
#define REBOOT_MS 120000
/* By sanlock's word alone. */
#define DEAD_MS 80000
/* The tunnel for libvirt's control breaks so long after its other end has died. */
#define TCP_DEAD_MS 6000
/* An old copy that libvirt has let run is ended by then. */
#define STALE_MS      1500
#define ISOLATED_MS   10000
#define PLACE_MS      10000
#define NEVER_ENDS_MS (20 * 60 * 1000)

guint
world_random(World *world, guint below)
{
    /* xorshift64*: the same everywhere */
    world->random ^= world->random >> 12;
    world->random ^= world->random << 25;
    world->random ^= world->random >> 27;
    return (guint)((world->random * 0x2545F4914F6CDD1Dull) >> 33) % below;
}

World *
world_new_shared(void)
{
    World *world =
        mmap(NULL, sizeof *world, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    g_assert_true(world != MAP_FAILED);
    return world;
}

void
world_reset(World *world, const Plan *plan)
{
    memset(world, 0, sizeof *world);
    world->plan = *plan;
    world->random = plan->seed * 0x9E3779B97F4A7C15ull + 1;
    world->now_ms = 1000000;
    world->domain[SOURCE].state = MIG_DOMAIN_RUNNING;
    world->domain[TARGET].state = MIG_DOMAIN_ABSENT;
    world->lease_owner = SOURCE;
    world->lease_version = 7;
    world->images[SOURCE] = TRUE;
    world->target_alive = TRUE;
}

void
world_violation(World *world, const char *format, ...)
{
    const Plan *plan = &world->plan;
    g_autofree char *text = NULL;
    va_list arguments;
    guint first = world->traced > G_N_ELEMENTS(world->trace)
                      ? world->traced - (guint)G_N_ELEMENTS(world->trace)
                      : 0;

    va_start(arguments, format);
    text = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    for (guint i = first; i < world->traced; i++)
        fprintf(stderr, "# %s\n", world->trace[i % G_N_ELEMENTS(world->trace)]);
    fprintf(stderr,
            "# VIOLATION: %s\n"
            "# seed %" G_GUINT64_FORMAT
            " postcopy %d/%d libvirt %d cannot-resume %d needs %u timeout %u policy %u first %d "
            "fail %u/%d kill %u/%d cancel %u die %u cut %u/%u off %u dead %u busy %u/%u "
            "no-wait %d percent %u permille %u\n"
            "# life %u call %u at %" G_GINT64_FORMAT " ms: A %s, B %s, lease %d v%" G_GUINT64_FORMAT
            ", phase %d, B %s\n",
            text, plan->seed, plan->can_postcopy, plan->postcopy, plan->libvirt,
            plan->source_cannot_resume, plan->needs_downtime_ms, plan->timeout_ms, plan->policy,
            plan->is_source_first, plan->fail_at, plan->fail_kind, plan->kill_at, plan->kill_after,
            plan->cancel_at, plan->die_at, plan->cut_at, plan->cut_ms, plan->off_at, plan->dead_ms,
            plan->busy_ms[SOURCE], plan->busy_ms[TARGET], plan->no_wait, plan->fail_percent,
            plan->event_permille, world->life, world->calls, world->now_ms,
            mig_domain_state_name(world->domain[SOURCE].state),
            mig_domain_state_name(world->domain[TARGET].state), world->lease_owner,
            world->lease_version, world->phase, world->target_alive ? "alive" : "dead");
    fflush(stderr);
    abort();
}

/* ---- domains and their lease ---------------------------------------------------------------- */

gboolean
world_is_cut(const World *world)
{
    return world->now_ms < world->cut_until_ms;
}

gboolean
world_is_reachable(const World *world)
{
    return world->target_alive && !world_is_cut(world);
}

gboolean
world_is_target_dead(const World *world)
{
    gint64 dead_ms = world->now_ms - world->target_died_ms;
    guint fence_ms = world->plan.fence_ms;

    return !world->target_alive && (dead_ms > DEAD_MS || (fence_ms && dead_ms > fence_ms));
}

gboolean
world_take_lease(World *world, int node)
{
    if (world->lease_owner == TARGET && world_is_target_dead(world))
        world->lease_owner = NOBODY;
    if (world->lease_owner != NOBODY && world->lease_owner != node)
        return FALSE;
    if (world->lease_owner == NOBODY)
        world->lease_version++;
    world->lease_owner = world->last_taker = node;
    world->target_had_lease |= node == TARGET;
    return TRUE;
}

void
world_let_run(World *world, int node)
{
    Domain *domain = &world->domain[node];

    if (domain->epoch != world->disk_epoch)
        world_violation(world,
                        "an old copy is let run on %c: memory %" G_GUINT64_FORMAT
                        ", disk %" G_GUINT64_FORMAT,
                        "AB"[node], domain -> epoch, world -> disk_epoch);
    domain->state = MIG_DOMAIN_RUNNING;
    domain->epoch = ++world->disk_epoch; /* from its first instruction on */
    world->target_ran |= node == TARGET;
}

/* libvirt compares no versions: the one thing that nobody can keep it from. */
static void
let_half_run(World *world)
{
    Domain *source = &world->domain[SOURCE];

    if (source->epoch == world->disk_epoch) {
        world_let_run(world, SOURCE);
        return;
    }
    source->state = MIG_DOMAIN_RUNNING;
    world->is_stale = TRUE;
    world->stale_ms = world->now_ms;
}

void
world_remove(World *world, int node)
{
    if (node == SOURCE)
        world->is_stale = FALSE;
    world->domain[node].state = MIG_DOMAIN_ABSENT;
    if (world->lease_owner == node)
        world->lease_owner = NOBODY;
}

gboolean
world_runs(const World *world, int node)
{
    MigDomainState state = world->domain[node].state;

    return state == MIG_DOMAIN_RUNNING || state == MIG_DOMAIN_POSTCOPY ||
           state == MIG_DOMAIN_POSTCOPY_FAILED;
}

/* The guest powers itself off, or its QEMU crashes. */
static void
go_off(World *world)
{
    for (int node = SOURCE; node <= TARGET; node++) {
        if (world_runs(world, node)) {
            world_remove(world, node);
            world->images[node] = FALSE; /* its migrated sees the event */
            world->went_off = TRUE;
        }
    }
}

static void
target_dies(World *world)
{
    world->target_alive = FALSE;
    world->target_died_ms = world->now_ms;
    /* its lease stays where it is: nobody has given it back */
    world->domain[TARGET].state = MIG_DOMAIN_ABSENT;
    world->images[TARGET] = world->pair[TARGET] = world->reservation = FALSE;
    world->place_ms[TARGET] = 0;
    world->later = LATER_NOTHING;
}

static void
cancel(World *world)
{
    if (!world->cancelled)
        world->cancelled_call = world->calls;
    world->cancelled = world->triggered = TRUE;
}

void
world_trigger(World *world)
{
    const Plan *plan = &world->plan;
    guint call = world->calls;
    gboolean mix = plan->event_permille > 0;

    if (call == plan->die_at || (mix && world_random(world, 4000) < plan->event_permille)) {
        if (world->target_alive)
            target_dies(world);
        world->triggered = TRUE;
    }
    if (call == plan->cut_at || (mix && world_random(world, 2000) < plan->event_permille)) {
        world->cut_since_ms = world->now_ms;
        world->cut_until_ms = world->now_ms + plan->cut_ms;
        world->triggered = TRUE;
    }
    if (call == plan->off_at || (mix && world_random(world, 4000) < plan->event_permille)) {
        go_off(world);
        world->triggered = TRUE;
    }
    if (call == plan->cancel_at || (mix && world_random(world, 2000) < plan->event_permille))
        cancel(world);
}

/* ---- libvirt's move ------------------------------------------------------------------------- */

void
world_enter_phase(World *world, Phase phase)
{
    world->phase = phase;
    world->phase_ticks = 0;
}

void
world_end_move(World *world, gboolean succeeded)
{
    world_enter_phase(world, PHASE_NONE);
    world->succeeded = succeeded;
    world->move_ended_ms = world->now_ms;
}

static void
do_later(World *world, int what, guint ms)
{
    world->later = what;
    world->later_ms = world->now_ms + ms;
}

/* Finish with "cancelled", or the lost connection: the target half goes. */
static void
clean_target(World *world)
{
    if (world->domain[TARGET].state != MIG_DOMAIN_INCOMING)
        return;
    if (world_is_reachable(world))
        world_remove(world, TARGET);
    else if (world->target_alive)
        do_later(world, LATER_CLEAN, KEEPALIVE_MS);
}

/* libvirt: "the lock manager takes care of safety in this scenario". */
static void
source_goes_on(World *world)
{
    Domain *source = &world->domain[SOURCE];

    if (source->state != MIG_DOMAIN_INCOMING)
        return;
    if (!world->plan.source_cannot_resume && world_take_lease(world, SOURCE))
        let_half_run(world);
    else
        source->state = MIG_DOMAIN_PAUSED;
}

void
world_fail_move(World *world)
{
    clean_target(world);
    source_goes_on(world);
    world_end_move(world, FALSE);
}

void
world_begin_move(World *world, guint limit_ms)
{
    if (world->domain[SOURCE].state != MIG_DOMAIN_RUNNING)
        return;
    world->phase = PHASE_BEGIN;
    world->phase_ticks = 0;
    world->abort = world->succeeded = world->postcopy_asked = world->postcopy_broken = FALSE;
    world->limit_ms = limit_ms;
}

static void
step_begin(World *world)
{
    if (world->phase_ticks < 2)
        return;
    if (!world_is_reachable(world) || !world->images[TARGET] ||
        world->domain[TARGET].state != MIG_DOMAIN_ABSENT ||
        world->plan.libvirt == LV_FAIL_IN_PREPARE) {
        world_end_move(world, FALSE);
        return;
    }
    world->domain[TARGET].state = MIG_DOMAIN_INCOMING;
    world->iteration = 1;
    world_enter_phase(world, PHASE_COPY);
}

static void
step_copy(World *world)
{
    gboolean is_stalled = world_is_cut(world);

    if (world->plan.libvirt == LV_DISK_FAILS && world->iteration == 2) {
        world->domain[SOURCE].state = MIG_DOMAIN_INCOMING; /* libvirt is not through with it */
        world->lease_owner = NOBODY;
        world_fail_move(world);
        world->disk_fails_ms = world->now_ms + 30;
        return;
    }
    if (world->abort || !world->target_alive ||
        (world->plan.libvirt == LV_FAIL_IN_COPY && world->iteration == 2) ||
        (is_stalled && world->now_ms - world->cut_since_ms > KEEPALIVE_MS)) {
        world_fail_move(world);
        return;
    }
    if (is_stalled)
        return;
    if (world->phase_ticks % 8 == 0)
        world->iteration++;
    if (world->postcopy_asked && world->iteration >= 2)
        world_enter_phase(world, PHASE_POSTCOPY_STOP);
    else if (world->iteration >= 3 && world->limit_ms >= world->plan.needs_downtime_ms)
        world_enter_phase(world, PHASE_STOP);
}

static void
step_target_lease(World *world)
{
    Domain *target = &world->domain[TARGET];
    LvFault fault = world->plan.libvirt;

    if (!world->target_alive) {
        world_fail_move(world);
        return;
    }
    if (fault == LV_TARGET_LEASE || !world_take_lease(world, TARGET)) {
        world_remove(world, TARGET);
        world_fail_move(world);
        return;
    }
    target->epoch = world->domain[SOURCE].epoch;
    if (fault == LV_TARGET_CONT) {
        world_remove(world, TARGET);
        world_fail_move(world);
    } else if (fault == LV_LOST_WITH_LEASE || world_is_cut(world)) {
        source_goes_on(world);
        world_end_move(world, FALSE);
        do_later(world, LATER_RUN, 300);
    } else if (fault == LV_TARGET_PAUSED) {
        target->state = MIG_DOMAIN_PAUSED;
        source_goes_on(world);
        world_end_move(world, FALSE);
    } else {
        world_enter_phase(world, PHASE_TARGET_RUN);
    }
}

/* How long libvirt looks for the source's QEMU to have ended. */
#define CONFIRM_MS 200

static void
step_target_run(World *world)
{
    LvFault fault = world->plan.libvirt;

    if (!world->target_alive) {
        if (world->now_ms - world->target_died_ms < TCP_DEAD_MS)
            return;
        source_goes_on(world);
        world_end_move(world, FALSE);
        return;
    }
    world_let_run(world, TARGET);
    if (fault == LV_TARGET_DIES) {
        target_dies(world);
        return;
    }
    if (fault == LV_TARGET_GONE_FIRST) {
        world_remove(world, TARGET);
        world->images[TARGET] = FALSE;
        world->went_off = TRUE;
    }
    if (fault == LV_TARGET_ISOLATED) {
        world->cut_since_ms = world->now_ms;
        world->cut_until_ms = world->now_ms + 4 * ISOLATED_MS;
        do_later(world, LATER_GONE, ISOLATED_MS);
    }
    if (fault == LV_TARGET_GONE_FIRST || fault == LV_ANSWER_LOST ||
        fault == LV_TARGET_RAN_AND_GONE || world_is_cut(world)) {
        source_goes_on(world);
        world_end_move(world, FALSE);
        if (fault == LV_TARGET_RAN_AND_GONE)
            do_later(world, LATER_GONE, 30);
    } else {
        world_enter_phase(world, PHASE_CONFIRM);
    }
}

static void
step_move(World *world)
{
    Domain *source = &world->domain[SOURCE];
    LvFault fault = world->plan.libvirt;

    world->phase_ticks++;
    if (source->state == MIG_DOMAIN_ABSENT && world->phase >= PHASE_POSTCOPY) { /* destroyed */
        world_lose_link(world);
        world_end_move(world, FALSE);
    } else if (source->state == MIG_DOMAIN_ABSENT && world->phase != PHASE_NONE) { /* went off */
        clean_target(world);
        world_end_move(world, FALSE);
    }
    switch (world->phase) {
    case PHASE_NONE:
        break;
    case PHASE_BEGIN:
        step_begin(world);
        break;
    case PHASE_COPY:
        step_copy(world);
        break;
    case PHASE_STOP:
        source->state = MIG_DOMAIN_INCOMING;
        world->stopped_ms = world->now_ms;
        world->lease_owner = NOBODY;
        world_enter_phase(world, PHASE_DEVICE);
        break;
    case PHASE_DEVICE:
        if (fault == LV_FAIL_IN_DEVICE || !world->target_alive)
            world_fail_move(world);
        else if (world->phase_ticks >= 2)
            world_enter_phase(world, PHASE_FINISH);
        break;
    case PHASE_FINISH:
        if (fault == LV_FINISH_LOST || !world_is_reachable(world)) {
            source_goes_on(world);
            if (world->target_alive)
                do_later(world, LATER_CLEAN, 500);
            world_end_move(world, FALSE);
        } else {
            world_enter_phase(world, PHASE_TARGET_LEASE);
        }
        break;
    case PHASE_TARGET_LEASE:
        step_target_lease(world);
        break;
    case PHASE_TARGET_RUN:
        step_target_run(world);
        break;
    case PHASE_CONFIRM:
        if (world->phase_ticks < CONFIRM_MS / TICK_MS)
            break;
        if (fault == LV_HALF_LEFT)
            source->state = MIG_DOMAIN_PAUSED;
        else
            world_remove(world, SOURCE);
        world_end_move(world, TRUE);
        break;
    case PHASE_POSTCOPY_STOP:
        world_step_postcopy_stop(world);
        break;
    case PHASE_POSTCOPY:
        world_step_postcopy(world);
        break;
    case PHASE_POSTCOPY_PAUSED:
        break;
    }
}

static void
step_later(World *world)
{
    Domain *target = &world->domain[TARGET];

    if (world->later == LATER_NOTHING || world->now_ms < world->later_ms)
        return;
    switch (world->later) {
    case LATER_NOTHING:
        break;
    case LATER_CLEAN:
        if (target->state == MIG_DOMAIN_INCOMING)
            world_remove(world, TARGET);
        break;
    case LATER_RUN:
        if (target->state == MIG_DOMAIN_INCOMING)
            world_let_run(world, TARGET);
        break;
    case LATER_GONE:
        if (target->state == MIG_DOMAIN_RUNNING) {
            world_remove(world, TARGET);
            world->images[TARGET] = FALSE;
            world->went_off = TRUE;
        }
        break;
    }
    world->later = LATER_NOTHING;
}

/* ---- incoming.c on B ------------------------------------------------------------------------- */

static void
step_sweep(World *world)
{
    gboolean is_over = world->job_ended || !world->job_alive || world_is_cut(world);
    MigDomainState state = world->domain[TARGET].state;

    if (!world->target_alive || world->now_ms % SWEEP_MS != 0 || !is_over)
        return;
    if (world->reservation) {
        if (world->now_ms - world->reserved_ms < RESERVATION_MS || state == MIG_DOMAIN_INCOMING ||
            state == MIG_DOMAIN_POSTCOPY || state == MIG_DOMAIN_POSTCOPY_FAILED)
            return;
        if (state == MIG_DOMAIN_ABSENT)
            world->images[TARGET] = FALSE;
        world->reservation = FALSE;
    }
    world->pair[TARGET] = FALSE;
}

/* Places that nobody asks about any more. */
static void
step_places(World *world)
{
    for (int node = SOURCE; node <= TARGET; node++) {
        if (world->place_ms[node] && world->now_ms - world->place_ms[node] > PLACE_MS)
            world->place_ms[node] = 0;
    }
}

/* ---- the tick ---- */

static void
check_rules(World *world)
{
    const Domain *source = &world->domain[SOURCE], *target = &world->domain[TARGET];

    if (source->state == MIG_DOMAIN_RUNNING && world_runs(world, TARGET))
        world_violation(world, "runs twice");
    if (target->state == MIG_DOMAIN_POSTCOPY && source->state != MIG_DOMAIN_INCOMING)
        world_violation(world, "half of it runs on B, and the other half is not on A");
    for (int node = SOURCE; node <= TARGET; node++) {
        if (world_runs(world, node) && world->lease_owner != node)
            world_violation(world, "runs on %c without its lease", "AB"[node]);
        if (world_runs(world, node) && !world->images[node])
            world_violation(world, "runs on %c without its images", "AB"[node]);
    }
    if (!world->job_alive)
        world->stale_ms = world->now_ms;
    if (world->is_stale && world->now_ms - world->stale_ms > STALE_MS)
        world_violation(world, "an old copy runs on A for long");
    if (world->phase != PHASE_NONE && world->job_ended && world->job_alive)
        world_violation(world, "the job has ended, and libvirt is still moving");
    if (world->now_ms > 1000000 + NEVER_ENDS_MS)
        world_violation(world, "the job does not end");
}

void
world_tick(World *world)
{
    world->now_ms += TICK_MS;
    for (int node = SOURCE; node <= TARGET; node++) {
        if (world_runs(world, node) && (node == TARGET || !world->is_stale))
            world->domain[node].epoch = ++world->disk_epoch;
    }
    step_move(world);
    step_later(world);
    if (world->disk_fails_ms && world->now_ms >= world->disk_fails_ms) {
        world->disk_fails_ms = 0;
        if (world->domain[SOURCE].state == MIG_DOMAIN_RUNNING) {
            world->domain[SOURCE].state = MIG_DOMAIN_IO_ERROR;
            world->lease_owner = NOBODY;
        }
    }
    world_step_halves(world);
    step_sweep(world);
    step_places(world);
    if (!world->target_alive && world->now_ms - world->target_died_ms >
                                    (world->plan.reboot_ms ? world->plan.reboot_ms : REBOOT_MS)) {
        world->target_alive = TRUE;
        if (world->lease_owner == TARGET)
            world->lease_owner = NOBODY;
    }
    check_rules(world);
}

void
world_arrived(World *world)
{
    if (world->phase != PHASE_NONE)
        world->arrived_early = TRUE;
    if (!world->target_ran || (world->domain[TARGET].state != MIG_DOMAIN_RUNNING &&
                               world->target_died_ms == 0 && !world->went_off))
        world_violation(world, "told that it runs on B, which is not true");
}

void
world_look_at_target(gpointer self, gboolean *is_known, gboolean *is_up)
{
    *is_known = *is_up = TRUE;
}

/* The sim's moves are encrypted; how, is the drivers' business. */
char *
world_look_at_encryption(gpointer self, MigSourceFacts *facts)
{
    facts->encrypts = facts->target_encrypts = TRUE;
    return NULL;
}

char *
world_certificate(gpointer self)
{
    return g_strdup("A's");
}

/* The line of one's own node is jobs-run.c's. */
gboolean
world_may_ask(gpointer self, MigTurn *turn)
{
    return TRUE;
}

void
world_watch_switchover(gpointer self, const char *uuid)
{
}

void
world_get_switchover(gpointer self, const char *uuid, guint wait_ms, MigSwitchSeen *seen)
{
    const World *world = self;

    *seen = (MigSwitchSeen){.stopped_us = world->stopped_ms * 1000};
}

void
world_forecast(gpointer self, MigJob *job)
{
}

MigJob *
world_new_job(const World *world)
{
    static const char *const images[] = {"vol/disk", NULL};
    MigJob *job = mig_job_new("A-1");

    job->vm = g_strdup("web");
    job->uuid = g_strdup("5a1f0c3e-6f0c-4d3b-9c59-2f6c8c1f7f11");
    job->volume = g_strdup("vol");
    job->source = g_strdup("A");
    job->target = g_strdup("B");
    job->memory_bytes = 1 << 29;
    job->images = g_strdupv((char **)images);
    job->timeout_ms = world->plan.timeout_ms;
    job->policy = world->plan.policy;
    job->by_virsh = world->plan.by_virsh;
    job->no_wait = world->plan.no_wait || job->by_virsh;
    job->priority = 500;
    return job;
}
