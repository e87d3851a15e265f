/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* plan-sim.h - what a given rule of starting moves leads to, by the model of plan.h. */
#pragma once

#include "core/plan.h"

/* The rule: of the moves that may begin now, the one with the highest sum. */
typedef struct {
    double load_weight;   /* x what is still before the busier of its nodes, as part of the bound */
    double length_weight; /* x what it takes alone, as part of the bound */
    double least_share; /* of its rate alone; with less it waits, unless nothing else runs there */
    const double *offsets; /* + one for each move; NULL: none */
    const double
        *shares; /* least_share of each move, kept while it is under way; NULL: all alike */
} MigPlanRule;

/* Holds what does not change between two runs over the same moves, whose targets are all known. */
typedef struct MigPlanSim MigPlanSim;

MigPlanSim *mig_plan_sim_new(const MigPlanNode *nodes, guint n_nodes, const MigPlanMove *moves,
                             guint n_moves, double bound_s);
void mig_plan_sim_free(MigPlanSim *sim);
/* start_s, end_s: one for each move, negative where memory never came free for it; NULL: not asked.
 * The makespan; stops early and says infinity once it is clear that it is not below worst_s. */
double mig_plan_sim_run(MigPlanSim *sim, const MigPlanRule *rule, double worst_s, double *start_s,
                        double *end_s);

/* How often a move was looked at in all runs: a measure of time that is the same everywhere. */
guint64 mig_plan_sim_looked_at(const MigPlanSim *sim);

/* Bytes per second by which a move gets on at this rate. */
double mig_plan_net_rate(const MigPlanMove *move, double rate);
/* The rate of a move that is alone. */
double mig_plan_full_rate(const MigPlanNode *nodes, const MigPlanMove *move, guint target);
/* Even parts of what a link carries, but nobody gets more than it wants. wants is sorted in place
 * of a copy; n is small. */
void mig_plan_share(double carries, const double *wants, guint n, double *gets);
