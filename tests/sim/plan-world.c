/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* plan-world.c - see plan-world.h. */
#include "plan-world.h"

#define SAME_S 1e-5 /* two reckonings of one time differ by less */

double
plan_full_rate(const PlanWorld *world, guint j)
{
    const MigPlanMove *move = &world->cluster->moves[j];
    double rate = MIN(world->cluster->nodes[move->source].out_bytes_s,
                      world->cluster->nodes[world->target[j]].in_bytes_s);

    return move->rate_bytes_s > 0 ? MIN(move->rate_bytes_s, rate) : rate;
}

double
plan_net_rate(const MigPlanMove *move, double rate)
{
    return MAX(rate - move->dirty_bytes_s, 0.1 * rate);
}

/* Who is under way on which way of whose link. */
typedef struct {
    guint move[16], n;
} Link;

/* The level that, as everybody's most, uses up the link: found by halving. */
static double
get_level(const PlanWorld *world, const Link *link, double carries)
{
    double low = 0, high = carries * 2, sum = 0;

    for (guint i = 0; i < link->n; i++)
        sum += plan_full_rate(world, link->move[i]);
    if (sum <= carries)
        return high;
    for (guint step = 0; step < 50; step++) {
        double middle = (low + high) / 2;

        sum = 0;
        for (guint i = 0; i < link->n; i++)
            sum += MIN(middle, plan_full_rate(world, link->move[i]));
        if (sum > carries)
            high = middle;
        else
            low = middle;
    }
    return high;
}

static void
set_rates(PlanWorld *world)
{
    const Cluster *cluster = world->cluster;
    Link out[MAX_NODES], in[MAX_NODES];
    double out_level[MAX_NODES], in_level[MAX_NODES];

    for (guint i = 0; i < cluster->n_nodes; i++)
        out[i].n = in[i].n = 0;
    for (guint a = 0; a < world->n_active; a++) {
        guint j = world->active[a];
        Link *from = &out[cluster->moves[j].source], *to = &in[world->target[j]];

        from->move[from->n++] = j;
        to->move[to->n++] = j;
    }
    for (guint i = 0; i < cluster->n_nodes; i++) {
        out_level[i] = get_level(world, &out[i], cluster->nodes[i].out_bytes_s);
        in_level[i] = get_level(world, &in[i], cluster->nodes[i].in_bytes_s);
    }
    for (guint a = 0; a < world->n_active; a++) {
        guint j = world->active[a];

        world->rate[j] = MIN(plan_full_rate(world, j),
                             MIN(out_level[cluster->moves[j].source], in_level[world->target[j]]));
    }
}

void
plan_start(PlanWorld *world, guint j)
{
    const MigPlanMove *move = &world->cluster->moves[j];

    world->left[j] = move->bytes;
    world->active[world->n_active++] = j;
    world->at[move->source]++;
    world->at[world->target[j]]++;
    world->memory[world->target[j]] -= (double)move->memory_bytes;
}

gboolean
plan_may_start(const PlanWorld *world, guint j, guint cap)
{
    const Cluster *cluster = world->cluster;
    guint source = cluster->moves[j].source, target = world->target[j];

    for (guint a = 0; a < world->n_active; a++) {
        guint s = cluster->moves[world->active[a]].source, t = world->target[world->active[a]];

        if ((s == source && t == target) || (s == target && t == source))
            return FALSE;
    }
    return world->at[source] < MIN(cap, cluster->nodes[source].max_moves) &&
           world->at[target] < MIN(cap, cluster->nodes[target].max_moves) &&
           world->memory[target] >= (double)cluster->moves[j].memory_bytes;
}

int
plan_advance(PlanWorld *world, double until_s)
{
    double best_s = until_s + SAME_S;
    int best = -1;

    set_rates(world);
    for (guint a = 0; a < world->n_active; a++) {
        guint j = world->active[a];
        double end_s = world->now_s +
                       world->left[j] / plan_net_rate(&world->cluster->moves[j], world->rate[j]);

        if (end_s < best_s) {
            best_s = end_s;
            best = (int)a;
        }
    }
    best_s = MIN(best_s, until_s);
    for (guint a = 0; a < world->n_active; a++) {
        guint j = world->active[a];

        world->left[j] -=
            plan_net_rate(&world->cluster->moves[j], world->rate[j]) * (best_s - world->now_s);
    }
    world->now_s = best_s;
    if (best < 0)
        return -1;

    guint j = world->active[best];

    world->active[best] = world->active[--world->n_active];
    world->at[world->cluster->moves[j].source]--;
    world->at[world->target[j]]--;
    world->memory[world->cluster->moves[j].source] += (double)world->cluster->moves[j].memory_bytes;
    return (int)j;
}

PlanWorld *
plan_world_new(const Cluster *cluster)
{
    PlanWorld *world = g_new0(PlanWorld, 1);

    world->cluster = cluster;
    for (guint i = 0; i < cluster->n_nodes; i++)
        world->memory[i] = (double)cluster->nodes[i].memory_free_bytes;
    for (guint j = 0; j < cluster->n_moves; j++)
        world->target[j] = cluster->moves[j].target;
    return world;
}

void
plan_check(const Cluster *cluster, const MigPlan *plan)
{
    PlanWorld *world = plan_world_new(cluster);
    g_autofree double *ends = g_new0(double, cluster->n_moves + 1);
    g_autofree guint8 *seen = g_new0(guint8, cluster->n_moves + 1);
    double last_s = 0;

    g_assert_cmpuint(plan->n_steps + plan->n_unplaced, ==, cluster->n_moves);
    for (guint i = 0; i < plan->n_unplaced; i++)
        seen[plan->unplaced[i]]++;
    for (guint i = 0; i < plan->n_steps; i++) {
        const MigPlanStep *step = &plan->steps[i];
        const MigPlanMove *move = &cluster->moves[step->move];
        int ended;

        seen[step->move]++;
        world->target[step->move] = step->target;
        g_assert_cmpuint(step->source, ==, move->source);
        g_assert_cmpuint(step->target, !=, move->source);
        if (move->target != MIG_PLAN_ANY)
            g_assert_cmpuint(step->target, ==, move->target);
        else
            g_assert_true(cluster->nodes[step->target].takes_moves &&
                          (!move->allowed || move->allowed[step->target]));
        while ((ended = plan_advance(world, step->start_s)) >= 0)
            ends[ended] = world->now_s;
        g_assert_true(plan_may_start(world, step->move, G_MAXUINT));
        plan_start(world, step->move);
    }
    while (world->n_active > 0)
        ends[plan_advance(world, INFINITY)] = world->now_s;
    for (guint i = 0; i < plan->n_steps; i++) {
        g_assert_cmpfloat(fabs(ends[plan->steps[i].move] - plan->steps[i].end_s), <,
                          1e-3 * (1 + plan->steps[i].end_s));
        last_s = MAX(last_s, plan->steps[i].end_s);
    }
    for (guint j = 0; j < cluster->n_moves; j++)
        g_assert_cmpuint(seen[j], ==, 1);
    g_assert_cmpfloat(fabs(last_s - plan->makespan_s), <, 1e-6 * (1 + last_s));
    g_assert_cmpfloat(plan->makespan_s, >=, plan->bound_s * (1 - 1e-6));
    g_free(world);
}
