/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* plan.h - the order of many moves: who goes where, and when, so that the last one ends soonest. */
#pragma once

#include <glib.h>

/*
 * The problem. A move takes its source and its target at once, for as long as it takes; a pair of
 * nodes carries one move at a time, a node at most max_moves, and each node's link to the migration
 * network so many bytes a second out and so many in. That is an open shop whose jobs are edges of a
 * graph (colour the edges so that the longest colour sequence is short), with machines that can be
 * shared: NP-hard, so this is a good order, not always the best one.
 *
 * How long one move takes. It sends at rate r, its guest dirties d meanwhile, so it gets on by
 * r - d and takes bytes / (r - d): half the rate costs more than twice the time. Alone its rate is
 * the least of its own limit, the source's link and the target's; on a link that is wanted by more
 * than it carries each gets an even part, and what one of them cannot use goes to the others of
 * that link. Convergence policies end a move that does not converge: it gets on by a tenth of its
 * rate at least. What a move needs besides (checks, switch-over) is charged as bytes to send.
 *
 * Memory: a target must have what the guest needs when its move begins; a source gives it back when
 * the move has ended.
 *
 * The bound. No schedule is shorter than
 *   - what a pair's moves take one after another, each alone;
 *   - for a node: the bytes through its link by what that carries (at full rate, where a guest has
 *     the least time to dirty pages), out and in; what its moves take on max_moves machines, that
 *     is the sum divided by them, and, of the k x max_moves + 1 longest ones, the k + 1 shortest of
 *     these, which share a machine at the latest then;
 *   - for moves whose target may be chosen: the same over all nodes that take one, together.
 *
 * The plan. Targets first, the longest move first, each to the node that is through with it
 * soonest. Then list scheduling: whenever a move ends, of those that may begin now, the one whose
 * nodes have most before them, or that takes longest itself. How much of its rate a move must get
 * to be begun at all, and how much each rule counts, is tried out in the simulation, and the best
 * order is then changed here and there, as long as the work allowed lasts (counted, not timed: the
 * same question has the same answer). All pure, no locks; times are seconds from now.
 */
#define MIG_PLAN_ANY G_MAXUINT /* a target to be chosen */

typedef struct {
    double out_bytes_s, in_bytes_s; /* the link, each way; > 0 */
    guint max_moves;                /* as either end; > 0 */
    guint64 memory_free_bytes;
    gboolean takes_moves; /* may be chosen as a target */
} MigPlanNode;

typedef struct {
    guint source, target; /* indices of nodes */
    double bytes;         /* to send, if the guest stood still; > 0 */
    double dirty_bytes_s;
    double rate_bytes_s; /* the most it sends; 0: what the links carry */
    guint64 memory_bytes;
    const guint8 *allowed; /* a byte per node: may be chosen; NULL: all. Not owned. */
} MigPlanMove;

typedef struct {
    guint move; /* index */
    guint source, target;
    double start_s, end_s;
} MigPlanStep;

typedef struct {
    MigPlanStep *steps; /* by start; each feasible when its turn comes */
    guint n_steps;
    guint *unplaced; /* moves that no node has memory for or may take */
    guint n_unplaced;
    double makespan_s, bound_s;
} MigPlan;

/* How much is tried: how often a move is looked at whether it shall begin. The default keeps 4,000
 * moves between 64 nodes below 100 ms on one core. */
#define MIG_PLAN_EFFORT 1200000

MigPlan *mig_plan_make(const MigPlanNode *nodes, guint n_nodes, const MigPlanMove *moves,
                       guint n_moves, guint effort);
void mig_plan_free(MigPlan *plan);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(MigPlan, mig_plan_free)

/* May this step begin now? Real moves take as long as they take: what counts is that those which
 * end before it by the plan, and share a node with it, have ended. has_ended: a byte per step. */
gboolean mig_plan_is_ready(const MigPlan *plan, guint step, const guint8 *has_ended);

/* See above; targets may be MIG_PLAN_ANY. */
double
mig_plan_bound(const MigPlanNode *nodes, guint n_nodes, const MigPlanMove *moves, guint n_moves);
/* One move with nothing else under way; target MIG_PLAN_ANY: to the fastest link. */
double mig_plan_alone_s(const MigPlanNode *nodes, guint n_nodes, const MigPlanMove *move);
