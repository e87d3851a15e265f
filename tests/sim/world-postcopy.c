/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* world-postcopy.c - the post-copy phase of world.h: a VM in two halves. */
#include "world-physics.h"

void
world_lose_link(World *world)
{
    world_enter_phase(world, PHASE_POSTCOPY_PAUSED);
    world->postcopy_broken = TRUE;
    world->silent_ms = world->now_ms;
    if (world->domain[TARGET].state == MIG_DOMAIN_POSTCOPY)
        world->domain[TARGET].state = MIG_DOMAIN_POSTCOPY_FAILED;
}

gboolean
world_take_up(World *world)
{
    if (world->phase != PHASE_POSTCOPY_PAUSED || !world_is_reachable(world) ||
        world->domain[TARGET].state != MIG_DOMAIN_POSTCOPY_FAILED)
        return FALSE;
    world->domain[TARGET].state = MIG_DOMAIN_POSTCOPY;
    world->postcopy_broken = FALSE;
    world->silent_ms = 0;
    world_enter_phase(world, PHASE_POSTCOPY);
    return TRUE;
}

void
world_give_up_link(World *world)
{
    if (world->phase == PHASE_POSTCOPY)
        world_lose_link(world);
}

void
world_step_postcopy_stop(World *world)
{
    Domain *source = &world->domain[SOURCE], *target = &world->domain[TARGET];

    if (source->state == MIG_DOMAIN_RUNNING) {
        source->state = MIG_DOMAIN_INCOMING;
        world->lease_owner = NOBODY;
    }
    if (world->phase_ticks < 2)
        return;
    /* not there yet: libvirt cancels, the target has not run */
    if (!world_is_reachable(world) || world->plan.libvirt == LV_FINISH_LOST ||
        !world_take_lease(world, TARGET)) {
        world_fail_move(world);
        return;
    }
    target->epoch = source->epoch;
    world_let_run(world, TARGET);
    target->state = MIG_DOMAIN_POSTCOPY;
    world_enter_phase(world, PHASE_POSTCOPY);
}

/* What A's job finds once its node is up again. */
static void
boot_on_target(World *world)
{
    world_lose_link(world);
    world_remove(world, SOURCE);
    world_end_move(world, FALSE);
    if (!world->target_alive || world->domain[TARGET].state == MIG_DOMAIN_ABSENT)
        return;
    world_remove(world, TARGET);
    if (!world_take_lease(world, TARGET))
        return;
    world->domain[TARGET].epoch = world->disk_epoch;
    world_let_run(world, TARGET);
    world->was_booted = TRUE;
}

static void
fault_of_postcopy(World *world)
{
    world->postcopy_faulted = TRUE;
    switch (world->plan.postcopy) {
    case PC_FINE:
    case PC_N:
        break;
    case PC_TARGET_GONE:
    case PC_LINK_AND_TARGET:
    case PC_TARGET_OFF:
        world->was_shut_down = world->plan.postcopy == PC_TARGET_OFF;
        if (world->domain[TARGET].state != MIG_DOMAIN_ABSENT) {
            world_remove(world, TARGET);
            world->images[TARGET] = FALSE;
            world->went_off = TRUE;
        }
        world_lose_link(world);
        break;
    case PC_LINK_LOST:
        world_lose_link(world);
        break;
    case PC_LINK_AT_END:
        world->is_all_sent = TRUE;
        world->cut_since_ms = world->now_ms;
        world->cut_until_ms = world->now_ms + 40000;
        break;
    case PC_SOURCE_GONE:
        world_lose_link(world);
        world_remove(world, SOURCE);
        world_end_move(world, FALSE);
        break;
    case PC_SOURCE_DIES:
        boot_on_target(world);
        break;
    }
}

void
world_step_postcopy(World *world)
{
    /* libvirt hears of its own connection only */
    if (!world->job_alive || (world->plan.libvirt == LV_ANSWER_LOST && world->phase_ticks > 10))
        world->postcopy_broken = TRUE;
    if (world->domain[TARGET].state == MIG_DOMAIN_ABSENT && world->target_alive) { /* went off */
        world_lose_link(world);
        return;
    }
    if (!world_is_reachable(world)) { /* nobody is told, until somebody gives the link up */
        if (!world->silent_ms)
            world->silent_ms = world->now_ms;
        return;
    }
    world->silent_ms = 0;
    world->sent++;
    if (world->phase_ticks == 20 && !world->postcopy_faulted)
        fault_of_postcopy(world);
    if (world->phase == PHASE_POSTCOPY && world->phase_ticks > 40) {
        world->domain[TARGET].state = MIG_DOMAIN_RUNNING;
        world_remove(world, SOURCE);
        world_end_move(world, TRUE);
    }
}

/* halves.c on B: the other half is gone for good. */
void
world_step_halves(World *world)
{
    if (world->target_alive && world->domain[TARGET].state == MIG_DOMAIN_POSTCOPY_FAILED &&
        !world_is_cut(world) && world->domain[SOURCE].state == MIG_DOMAIN_ABSENT &&
        world->now_ms % SWEEP_MS == 0) {
        world_remove(world, TARGET);
        world->images[TARGET] = FALSE;
        world->went_off = TRUE;
    }
}
