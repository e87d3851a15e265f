/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* world-end.c - what must be true, in world.h, when a job has ended. */
#include "world-physics.h"

#include <string.h>

static void
check_told(World *world, const MigJob *job)
{
    MigDomainState source = world->domain[SOURCE].state, target = world->domain[TARGET].state;
    gboolean is_settled = !world->went_off && world->target_alive && world->target_died_ms == 0;
    const char *text = job->error ? job->error->message : "";

    if (world->has_promised && job->state != MIG_JOB_STATE_DONE)
        world_violation(world, "was told to be done, and is not: %s", text);
    if (world->is_stale)
        world_violation(world, "an old copy runs on A, told: %s", text);
    /* an old half that is published keeps everybody from starting the VM */
    if (source == MIG_DOMAIN_PAUSED && target == MIG_DOMAIN_ABSENT && world->target_had_lease &&
        world->last_taker == TARGET && strstr(text, "held by nobody and was taken since"))
        world_violation(world, "an old half is left on A, told: %s", text);
    if (strstr(text, "it is started again") && !world->restart_asked)
        world_violation(world, "told '%s', and nobody was asked for that", text);
    if (job->state == MIG_JOB_STATE_DONE) {
        if (job->error)
            world_violation(world, "done, with an error: %s", text);
        if (!world->target_ran || source != MIG_DOMAIN_ABSENT)
            world_violation(world, "done, but it did not move");
        if (is_settled && target != MIG_DOMAIN_RUNNING)
            world_violation(world, "done, but it does not run on B");
        if (world->cancelled && world->cancelled_call < world->done_call && !job->cancel_wanted)
            world_violation(world, "done, and does not say that it was cancelled too late");
        return;
    }
    if (!job->error)
        world_violation(world, "failed without an error");
    if (job->waits_for || job->position)
        world_violation(world, "ended, and waits for %s still", job->waits_for);
    if (job->state == MIG_JOB_STATE_CANCELLED && !world->cancelled)
        world_violation(world, "cancelled by nobody: %s", text);
    if (!is_settled)
        return;
    if (strstr(text, "runs on A") && source != MIG_DOMAIN_RUNNING)
        world_violation(world, "told '%s', which is not true", text);
    if (strstr(text, "runs on B") && target != MIG_DOMAIN_RUNNING)
        world_violation(world, "told '%s', which is not true", text);
    if (source != MIG_DOMAIN_RUNNING && !strstr(text, "look at both nodes") &&
        !strstr(text, "it is started again") && !strstr(text, "started anew") &&
        !(source == MIG_DOMAIN_IO_ERROR && strstr(text, "until its disk answers")))
        world_violation(world, "does not run on A any more, but told '%s'", text);
}

void
world_check_end(World *world, const MigJob *job)
{
    const MigDomainState *source = &world->domain[SOURCE].state;
    const MigDomainState *target = &world->domain[TARGET].state;

    if (!mig_job_has_ended(job))
        world_violation(world, "returned in state %s", mig_job_state_name(job->state));
    check_told(world, job);
    /* the network heals, B's sweep has its time */
    while (world_is_cut(world) || !world->target_alive)
        world_tick(world);
    for (guint ms = 0; ms < RESERVATION_MS + 2 * SWEEP_MS; ms += TICK_MS)
        world_tick(world);
    if (*source == MIG_DOMAIN_ABSENT && *target == MIG_DOMAIN_ABSENT) {
        const char *text = job->error ? job->error->message : "";

        if (!world->went_off && world->target_died_ms == 0 && !world->restart_asked)
            world_violation(world, "the VM is lost");
        if (world->lease_owner != NOBODY)
            world_violation(world, "nobody runs it, its lease is taken");
        const MigJobPhase *before_end = g_ptr_array_index(job->phases, job->phases->len - 2);

        /* refused at begin or after a wait, or gone just after it was seen running: nothing else
         * can be told */
        if (before_end->state > MIG_JOB_STATE_WAITING && job->state != MIG_JOB_STATE_DONE &&
            !strstr(text, "runs nowhere") && !strstr(text, "it is started again") &&
            !strstr(text, "look at both nodes") && !strstr(text, "runs on"))
            world_violation(world, "the VM is gone, told: '%s'", text);
    }
    if (*source == MIG_DOMAIN_INCOMING || *target == MIG_DOMAIN_INCOMING)
        world_violation(world, "half a VM is left");
    if (world->pair[SOURCE] || world->pair[TARGET])
        world_violation(world, "a pair is left on %c", world->pair[SOURCE] ? 'A' : 'B');
    if (world->place_ms[SOURCE] || world->place_ms[TARGET])
        world_violation(world, "a place in the queue is left");
    if (world->reservation)
        world_violation(world, "the reservation is left on B");
    if (world->images[TARGET] && *target == MIG_DOMAIN_ABSENT)
        world_violation(world, "images are active on B, the VM is not there");
    if (world->images[SOURCE] && *source == MIG_DOMAIN_ABSENT && !world->went_off &&
        job->state == MIG_JOB_STATE_DONE && !world->plan.fail_percent && !world->plan.fail_at)
        world_violation(world, "images are active on A, the VM is not there");
}
