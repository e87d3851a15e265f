/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* job-turn.h - the waiting of a move; used by job-source.c alone, and what it lends for that. */
#pragma once

#include "core/job-source.h"

/* Until both ends have given it a turn: in state begin, or in waiting where it has to wait. While
 * it waits, an end that is away for a moment is no reason to give up. */
gboolean mig_job_get_turn(MigJob *job, const MigJobEnv *env, GError **error);
/* What the job is shown to wait for; NULL: it waits no more. */
void mig_job_tell_turn(MigJob *job, const MigJobEnv *env, const MigTurn *turn);
/* A daemon that has just come up sees the others only with their next heartbeats. */
void mig_job_wait_for_target(const MigJobEnv *env);
/* Of a move that was under way when the old process ended: this end's turn may have gone with it.
 * It is asked for but not waited for, as what is under way cannot stand in line. */
void mig_job_take_turn_again(MigJob *job, const MigJobEnv *env);

/* Intent first: the state is on disk before anything is done in it. A journal that cannot be
 * written stops a move from going on, but never one that has to be brought to its end. */
gboolean mig_job_enter(MigJob *job, const MigJobEnv *env, MigJobState state, const char *why,
                       GError **error);
gboolean mig_job_is_cancelled(MigJob *job, const MigJobEnv *env, GError **error);
