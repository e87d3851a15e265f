/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* queue.h - whose turn is it? At most one move on a pair of nodes, and who waits goes in order. */
#pragma once

#include <glib.h>

/*
 * One queue per node: the moves that this node takes part in, as either end, and those that wait
 * for it. A move needs a turn at both ends. It asks the node with the lower host id first, and the
 * other one only once it has that turn. So two opposite requests meet at the same door, and as
 * turns are taken in one order by everybody, no circle of moves can wait for one another.
 *
 * Who is told to wait has a place here, as long as it asks again within MIG_PLACE_MS. Whoever is
 * next is decided by places, not by who happens to ask first:
 *
 *   - on its pair, the higher priority goes first, then the one that has waited longer;
 *   - the first of each free pair are candidates for what is left of max_moves, in the same order,
 *     but those that have waited for MIG_OVERTAKE_MS are not overtaken by candidates of other pairs
 *     any more, whatever their priority.
 *
 * A place of a pair that is taken holds up nobody on another pair. Pure: time comes from the caller
 * and is this node's own; ages travel as durations. Not locked: the owner does that.
 */
typedef struct MigQueue MigQueue;

#define MIG_PRIORITY_MAX     1000
#define MIG_PRIORITY_DEFAULT 500

/* A move, as far as its place is concerned. */
typedef struct {
    const char *job, *source, *target;
    guint priority;   /* up to MIG_PRIORITY_MAX, higher goes first */
    gint64 waited_ms; /* since it was asked for */
} MigWish;

/* The answer. */
typedef struct {
    gboolean is_granted;
    guint position;  /* in its line, from 1; 0 once granted */
    char *waits_for; /* for people: "move nodeA-3 between nodeA and nodeB"; NULL once granted */
} MigTurn;

void mig_turn_clear(MigTurn *turn);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(MigTurn, mig_turn_clear)

MigQueue *mig_queue_new(const char *this_node, guint max_moves);
void mig_queue_free(MigQueue *queue);
/* Has it its turn now? Idempotent for the same job; a new wish of a job replaces its older one. */
void mig_queue_ask(MigQueue *queue, const MigWish *wish, gint64 now_ms, MigTurn *turn);
/* What a move that were asked for now would wait for; NULL: nothing. g_free(). */
char *mig_queue_peek(const MigQueue *queue, const char *source, const char *target, gint64 now_ms);
/* A turn that was granted in an earlier life: taken without asking. */
void mig_queue_restore(MigQueue *queue, const char *job, const char *source, const char *target);
/* Gives up turn or place. Unknown is fine. */
void mig_queue_release(MigQueue *queue, const char *job);
/* Has it a turn here? */
gboolean mig_queue_has(const MigQueue *queue, const char *job);
/* Who would get a turn if it asked now: calls found for each. Forgets places that nobody has asked
 * about for too long. */
void mig_queue_ready(MigQueue *queue, gint64 now_ms,
                     void (*found)(const char *job, const char *source, gpointer user_data),
                     gpointer user_data);
/* The turns: calls found for each. */
void mig_queue_turns(const MigQueue *queue,
                     void (*found)(const char *job, const char *source, gpointer user_data),
                     gpointer user_data);

/* Which end is asked first? host ids of both. */
gboolean mig_pair_source_first(guint32 source_host_id, guint32 target_host_id);
/* Does a go before b where both want the same? since: earlier is older; ids settle a tie. */
gboolean mig_queue_goes_before(guint a_priority, gint64 a_since_ms, const char *a_job,
                               guint b_priority, gint64 b_since_ms, const char *b_job);
