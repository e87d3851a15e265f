/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* plan-world.h - a second reckoning of the model in core/plan.h, simple and slow. */
#pragma once

#include "core/plan.h"

#include <math.h>

#define MAX_MOVES 4000
#define MAX_NODES 64
#define GIB       1073741824.0

typedef struct {
    MigPlanNode nodes[MAX_NODES];
    MigPlanMove moves[MAX_MOVES];
    guint n_nodes, n_moves;
} Cluster;

typedef struct {
    const Cluster *cluster;
    guint target[MAX_MOVES];
    guint active[256], n_active;
    double left[MAX_MOVES], rate[MAX_MOVES];
    double memory[MAX_NODES], now_s;
    guint at[MAX_NODES]; /* moves under way at a node */
} PlanWorld;

PlanWorld *plan_world_new(const Cluster *cluster);
double plan_full_rate(const PlanWorld *world, guint j);
double plan_net_rate(const MigPlanMove *move, double rate);
/* By every rule of plan.h, and with at most cap moves at a node. */
gboolean plan_may_start(const PlanWorld *world, guint j, guint cap);
void plan_start(PlanWorld *world, guint j);
/* Goes on to the next end, or to until_s; the move that ended, or -1. */
int plan_advance(PlanWorld *world, double until_s);
/* The plan, move by move, with nothing believed: every rule holds at every start, and every end is
 * where this second reckoning has it. */
void plan_check(const Cluster *cluster, const MigPlan *plan);
