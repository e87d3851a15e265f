/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* turns.h - this node's queue: which moves have their turn here, and who waits. */
#pragma once

#include "core/queue.h"
#include "daemon.h"

/*
 * The owner of core/queue.h in a running daemon. Turns are in files under the run directory before
 * they are granted, so a daemon that is started again knows what may be under way before it grants
 * anything; places are not, who waits asks again. When a turn is given up, those that are next are
 * woken: jobs of this node at once, others by a call to their node.
 *
 * A turn ends with its job. If its source cannot say so any more, the sweep finds out.
 */
MigTurns *mig_turns_new(MigDaemon *daemon, GError **error);
void mig_turns_free(MigTurns *turns);

/* Any thread, quick. FALSE: the wish makes no sense, or the turn cannot be kept on disk. */
gboolean mig_turns_ask(MigTurns *turns, const MigWish *wish, MigTurn *turn, GError **error);
/* What that job (NULL or "": one that is not there yet) would wait for at this node; NULL: nothing,
 * or it has its turn. g_free(). */
char *mig_turns_peek(MigTurns *turns, const char *job, const char *source, const char *target);
/* Turn or place; unknown is fine. */
void mig_turns_release(MigTurns *turns, const char *job);
gboolean mig_turns_has(MigTurns *turns, const char *job);
/* How many moves have their turn here. */
guint mig_turns_count(MigTurns *turns);

/* A move that comes here and has its turn. */
typedef struct {
    char *job, *source;
    gboolean is_restored; /* since before this daemon started */
} MigTurnHolder;

void mig_turn_holder_free(MigTurnHolder *holder);
/* All of them, to be unreffed. Any thread, quick. */
GPtrArray *mig_turns_incoming(MigTurns *turns);

/* Takes back turns whose job is over. Blocks: asks their sources. has_prepared: those are the
 * business of incoming.h. */
void mig_turns_sweep(MigTurns *turns, gboolean (*has_prepared)(MigIncoming *, const char *job));

/* What a job's source says of it. */
typedef enum { MIG_JOB_GOES_ON, MIG_JOB_IS_OVER, MIG_JOB_NOBODY_KNOWS } MigJobFate;
/* Blocks. NOBODY_KNOWS: its source does not answer. */
MigJobFate mig_turns_ask_fate(MigDaemon *daemon, const char *source, const char *job);
