/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* world-physics.h - what ports.c may do to domains and lease of a World. */
#pragma once

#include "world.h"

/* Of incoming.c */
#define SWEEP_MS       5000
#define RESERVATION_MS 30000

/* FALSE: the other node has it. */
gboolean world_take_lease(World *world, int node);
/* CPUs run; a copy whose memory is older than the disk is a violation. */
void world_let_run(World *world, int node);
/* Whoever tells libvirt to: nothing happens where the guest does not run. */
void world_begin_move(World *world, guint limit_ms);
void world_remove(World *world, int node);
/* B died, and that is proven: nobody has to wait for its leases any more. */
gboolean world_is_target_dead(const World *world);
/* Does its guest write there, all of its memory or not? */
gboolean world_runs(const World *world, int node);
/* The halves of a post-copy whose link was lost go on; FALSE: one of them cannot. */
gboolean world_take_up(World *world);
/* Nothing goes over: QEMU gives the link up. */
void world_give_up_link(World *world);

/* libvirt's move, for the parts that it is in */
void world_enter_phase(World *world, Phase phase);
void world_end_move(World *world, gboolean succeeded);
void world_fail_move(World *world);
gboolean world_is_cut(const World *world);
gboolean world_is_reachable(const World *world);
void world_lose_link(World *world);
void world_step_postcopy_stop(World *world);
void world_step_postcopy(World *world);
void world_step_halves(World *world);

/* What the plan wants to happen at this call. */
void world_trigger(World *world);

void world_watch_switchover(gpointer self, const char *uuid);
/* Whoever asked for the move is told that it runs on the target. */
void world_arrived(World *world);
/* Of MigHv: when the guest was stopped. self: the world. */
void world_get_switchover(gpointer self, const char *uuid, guint wait_ms, MigSwitchSeen *seen);
void world_forecast(gpointer self, MigJob *job);

/* Of MigJobEnv, what is the same in all plans. */
void world_look_at_target(gpointer self, gboolean *is_known, gboolean *is_up);
char *world_look_at_encryption(gpointer self, MigSourceFacts *facts);
char *world_certificate(gpointer self);
gboolean world_may_ask(gpointer self, MigTurn *turn);

/* The move of all plans, as it is asked for. */
MigJob *world_new_job(const World *world);
