/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-plan.c - large plans are feasible, and near the best there is; the figures are printed. */
#include "plan-world.h"

#include <string.h>
#include <time.h>

/* A build with sanitizers looks for other mistakes: fewer runs, and more time. */
#ifdef __SANITIZE_ADDRESS__
#define CLUSTERS 60
#define SMALL    40
#define SLOWER   20
#else
#define CLUSTERS 500
#define SMALL    250 /* instances that are solved exactly */
#define SLOWER   1
#endif

/* ---- clusters ---- */

static void
random_nodes(GRand *rand, Cluster *cluster, guint n_nodes)
{
    static const double links[] = {1.1e9, 1.1e9, 2.8e9, 4.5e9}; /* 10, 25, 40 Gbit/s, as they net */
    gboolean is_mixed = g_rand_boolean(rand);
    double same = links[g_rand_int_range(rand, 0, 4)];
    guint max_moves = (guint)g_rand_int_range(rand, 2, 7);

    cluster->n_nodes = n_nodes;
    for (guint i = 0; i < n_nodes; i++) {
        double link = is_mixed ? links[g_rand_int_range(rand, 0, 4)] : same;

        cluster->nodes[i] = (MigPlanNode){.out_bytes_s = link,
                                          .in_bytes_s = link,
                                          .max_moves = max_moves,
                                          .memory_free_bytes = 0,
                                          .takes_moves = TRUE};
    }
}

static void
random_guest(GRand *rand, MigPlanMove *move)
{
    double gib = exp2(g_rand_double_range(rand, 0, 6));

    move->memory_bytes = (guint64)(gib * GIB);
    move->bytes = gib * GIB * g_rand_double_range(rand, 0.2, 1.1);
    move->dirty_bytes_s = g_rand_double(rand) < 0.8 ? g_rand_double_range(rand, 0, 50e6)
                                                    : g_rand_double_range(rand, 50e6, 400e6);
    move->rate_bytes_s = 0;
    move->allowed = NULL;
}

/* kind 0: one node is drained; 1: some are; 2: VMs go from anywhere to where they were told. */
static void
random_cluster(GRand *rand, Cluster *cluster, guint n_nodes, guint n_vms, guint kind)
{
    guint drained = kind == 0 ? 1 : (guint)g_rand_int_range(rand, 1, (gint)MAX(n_nodes / 3, 2));
    double need = 0;

    random_nodes(rand, cluster, n_nodes);
    cluster->n_moves = 0;
    for (guint i = 0; kind < 2 && i < drained; i++)
        cluster->nodes[i].takes_moves = FALSE;
    for (guint vm = 0; vm < n_vms; vm++) {
        MigPlanMove *move = &cluster->moves[cluster->n_moves];
        guint node = (guint)g_rand_int_range(rand, 0, (gint)n_nodes);

        if (kind < 2 && node >= drained)
            continue; /* stays where it is */
        random_guest(rand, move);
        move->source = node;
        move->target = MIG_PLAN_ANY;
        if (kind == 2)
            move->target =
                (node + 1 + (guint)g_rand_int_range(rand, 0, (gint)n_nodes - 1)) % n_nodes;
        need += (double)move->memory_bytes;
        cluster->n_moves++;
    }
    /* room for twice what comes, and for the largest one */
    for (guint i = 0; i < n_nodes; i++)
        if (cluster->nodes[i].takes_moves)
            cluster->nodes[i].memory_free_bytes =
                (guint64)(kind == 2 ? need : 2 * need / (n_nodes - drained) + 64 * GIB);
}

/* What many do: two at a time for each node, in the order asked for, to the node with most memory
 * free. may_overtake: what cannot begin lets others go first; else it keeps its place at both of
 * its nodes. */
static double
first_come(const Cluster *cluster, gboolean may_overtake)
{
    PlanWorld *world = plan_world_new(cluster);
    g_autofree guint *queue = g_new(guint, cluster->n_moves + 1);
    guint left = cluster->n_moves;
    double makespan_s;
    double memory[MAX_NODES];

    memcpy(memory, world->memory, sizeof memory);
    for (guint j = 0; j < cluster->n_moves; j++) {
        queue[j] = j;
        if (world->target[j] != MIG_PLAN_ANY)
            continue;
        for (guint t = 0; t < cluster->n_nodes; t++)
            if (t != cluster->moves[j].source && cluster->nodes[t].takes_moves &&
                (world->target[j] == MIG_PLAN_ANY || memory[t] > memory[world->target[j]]))
                world->target[j] = t;
        memory[world->target[j]] -= (double)cluster->moves[j].memory_bytes;
    }
    while (left > 0 || world->n_active > 0) {
        gboolean is_waited_for[MAX_NODES] = {FALSE};
        guint kept = 0;

        for (guint i = 0; i < left; i++) {
            guint j = queue[i], source = cluster->moves[j].source, target = world->target[j];

            if (!is_waited_for[source] && !is_waited_for[target] && plan_may_start(world, j, 2)) {
                plan_start(world, j);
                continue;
            }
            queue[kept++] = j;
            if (!may_overtake)
                is_waited_for[source] = is_waited_for[target] = TRUE;
        }
        left = kept;
        g_assert_cmpuint(world->n_active, >, 0);
        plan_advance(world, INFINITY);
    }
    makespan_s = world->now_s;
    g_free(world);
    return makespan_s;
}

/* ---- tests ---- */

static double
cpu_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static int
compare_doubles(gconstpointer a, gconstpointer b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y ? 1 : 0;
}

static void
test_clusters(void)
{
    GRand *rand = g_rand_new_with_seed(7);
    Cluster *cluster = g_new0(Cluster, 1);
    double ratios[CLUSTERS], worst_ms = 0, saved = 0, saved_overtaken = 0;
    guint compared = 0;

    for (guint run = 0; run < CLUSTERS; run++) {
        guint n_nodes = (guint)g_rand_int_range(rand, 4, 65);
        guint n_vms = (guint)exp(g_rand_double_range(rand, log(10), log(4000.9)));

        random_cluster(rand, cluster, n_nodes, n_vms, run % 3);
        double before_ms = cpu_ms();
        g_autoptr(MigPlan) plan = mig_plan_make(cluster->nodes, n_nodes, cluster->moves,
                                                cluster->n_moves, MIG_PLAN_EFFORT);

        worst_ms = MAX(worst_ms, cpu_ms() - before_ms);
        g_assert_cmpuint(plan->n_unplaced, ==, 0);
        ratios[run] = plan->bound_s > 0 ? plan->makespan_s / plan->bound_s : 1;
        if (run % 5 == 0 || cluster->n_moves < 50)
            plan_check(cluster, plan);
        if (run % 5 < 2 && cluster->n_moves > 1) {
            saved += 1 - plan->makespan_s / first_come(cluster, FALSE);
            saved_overtaken += 1 - plan->makespan_s / first_come(cluster, TRUE);
            compared++;
        }
    }
    qsort(ratios, CLUSTERS, sizeof *ratios, compare_doubles);
    g_test_message("%u clusters: makespan by bound: median %.4f, 99th of 100 %.4f, worst %.4f; "
                   "longest planning %.1f ms",
                   CLUSTERS, ratios[CLUSTERS / 2], ratios[CLUSTERS * 99 / 100],
                   ratios[CLUSTERS - 1], worst_ms);
    g_test_message("%u of them against two a node, first come first served: shorter by %.1f %% "
                   "(mean); by %.1f %% where those that must wait are overtaken",
                   compared, 100 * saved / compared, 100 * saved_overtaken / compared);
    g_assert_cmpfloat(ratios[CLUSTERS - 1], <=, 1.05);
    g_assert_cmpfloat(saved / compared, >=, 0.20);
    g_assert_cmpfloat(saved_overtaken / compared, >=, 0.10);
    g_free(cluster);
    g_rand_free(rand);
}

/* ---- the best there is ---- */

typedef struct {
    double best_s;
    guint64 visited;
} Exact;

/* Of a world of few moves, without the room for many. */
static void
copy_small(PlanWorld *to, const PlanWorld *from)
{
    to->cluster = from->cluster;
    to->n_active = from->n_active;
    to->now_s = from->now_s;
    for (guint i = 0; i < from->cluster->n_nodes; i++) {
        to->memory[i] = from->memory[i];
        to->at[i] = from->at[i];
    }
    for (guint j = 0; j < from->cluster->n_moves; j++) {
        to->target[j] = from->target[j];
        to->active[j] = from->active[j];
        to->left[j] = from->left[j];
        to->rate[j] = from->rate[j];
    }
}

/* Moves begin when one ends, or at once; every choice of which and when is tried. */
static void
solve(Exact *exact, const PlanWorld *world, guint waiting, guint from)
{
    exact->visited++;
    if (waiting == 0) {
        PlanWorld end;

        copy_small(&end, world);
        while (end.n_active > 0)
            plan_advance(&end, INFINITY);
        exact->best_s = MIN(exact->best_s, end.now_s);
        return;
    }
    /* nothing gets below what the link of one source still has to send */
    for (guint i = 0; i < world->cluster->n_nodes; i++) {
        double out_s = 0, in_s = 0;

        for (guint j = 0; j < world->cluster->n_moves; j++) {
            const MigPlanMove *move = &world->cluster->moves[j];
            double rate = plan_full_rate(world, j);

            if (!(waiting & (1u << j)))
                continue;
            double bytes = rate * move->bytes / plan_net_rate(move, rate);

            if (move->source == i)
                out_s += bytes / world->cluster->nodes[i].out_bytes_s;
            if (world->target[j] == i)
                in_s += bytes / world->cluster->nodes[i].in_bytes_s;
        }
        if (world->now_s + MAX(out_s, in_s) >= exact->best_s * (1 - 1e-9))
            return;
    }
    for (guint j = from; j < world->cluster->n_moves; j++) {
        if (!(waiting & (1u << j)) || !plan_may_start(world, j, G_MAXUINT))
            continue;
        PlanWorld next;

        copy_small(&next, world);
        plan_start(&next, j);
        solve(exact, &next, waiting & ~(1u << j), j + 1);
    }
    if (world->n_active > 0) {
        PlanWorld next;

        copy_small(&next, world);
        plan_advance(&next, INFINITY);
        solve(exact, &next, waiting, 0);
    }
}

/* Every choice of targets, too. */
static void
solve_targets(Exact *exact, PlanWorld *world, guint j)
{
    const Cluster *cluster = world->cluster;

    if (j == cluster->n_moves) {
        solve(exact, world, (1u << cluster->n_moves) - 1, 0);
        return;
    }
    if (cluster->moves[j].target != MIG_PLAN_ANY) {
        solve_targets(exact, world, j + 1);
        return;
    }
    for (guint t = 0; t < cluster->n_nodes; t++) {
        if (t == cluster->moves[j].source || !cluster->nodes[t].takes_moves)
            continue;
        world->target[j] = t;
        solve_targets(exact, world, j + 1);
    }
    world->target[j] = MIG_PLAN_ANY;
}

static void
test_exact(void)
{
    GRand *rand = g_rand_new_with_seed(11);
    Cluster *cluster = g_new0(Cluster, 1);
    double sum = 0, worst = 0;
    guint64 visited = 0;

    for (guint run = 0; run < SMALL; run++) {
        guint n_nodes = (guint)g_rand_int_range(rand, 3, 6), kind = run % 3;
        gboolean is_drain = kind < 2;

        random_cluster(rand, cluster, n_nodes, 400, kind);
        if (kind == 1)
            for (guint i = 0; i < n_nodes; i++)
                cluster->nodes[i].takes_moves = i > 0;
        cluster->n_moves = 0;
        for (guint j = 0, n = (guint)g_rand_int_range(rand, 2, is_drain ? 6 : 9); j < n; j++) {
            MigPlanMove *move = &cluster->moves[cluster->n_moves++];

            random_guest(rand, move);
            if (g_rand_double(rand) < 0.3)
                move->rate_bytes_s = 0.8e9;
            move->source = is_drain ? 0 : (guint)g_rand_int_range(rand, 0, (gint)n_nodes);
            move->target =
                is_drain
                    ? MIG_PLAN_ANY
                    : (move->source + 1 + (guint)g_rand_int_range(rand, 0, (gint)n_nodes - 1)) %
                          n_nodes;
        }
        for (guint i = 0; i < n_nodes; i++)
            cluster->nodes[i].memory_free_bytes = (guint64)(1000 * GIB);

        Exact exact = {.best_s = INFINITY};
        PlanWorld *world = plan_world_new(cluster);

        solve_targets(&exact, world, 0);
        g_free(world);
        g_autoptr(MigPlan) plan = mig_plan_make(cluster->nodes, n_nodes, cluster->moves,
                                                cluster->n_moves, MIG_PLAN_EFFORT);
        double ratio = plan->makespan_s / exact.best_s;

        plan_check(cluster, plan);
        g_assert_cmpfloat(plan->bound_s, <=, exact.best_s * (1 + 1e-6));
        sum += ratio;
        worst = MAX(worst, ratio);
        visited += exact.visited;
    }
    g_test_message("%u instances of at most 8 moves against the best there is: mean %.4f, worst "
                   "%.4f (%" G_GUINT64_FORMAT " cases looked at)",
                   SMALL, sum / SMALL, worst, visited);
    g_assert_cmpfloat(sum / SMALL, <=, 1.01);
    g_assert_cmpfloat(worst, <=, 1.10);
    g_free(cluster);
    g_rand_free(rand);
}

static void
test_largest(void)
{
    Cluster *cluster = g_new0(Cluster, 1);
    GRand *rand = g_rand_new_with_seed(3);
    double best_ms = INFINITY;

    /* The same three times: others that use the machine only ever add to what it takes. */
    random_cluster(rand, cluster, 64, MAX_MOVES, 2);
    for (guint run = 0; run < 3; run++) {
        double before_ms = cpu_ms();
        g_autoptr(MigPlan) plan =
            mig_plan_make(cluster->nodes, 64, cluster->moves, cluster->n_moves, MIG_PLAN_EFFORT);

        best_ms = MIN(best_ms, cpu_ms() - before_ms);
        g_assert_cmpfloat(plan->makespan_s, <=, 1.05 * plan->bound_s);
        if (run == 0)
            plan_check(cluster, plan);
    }
    g_test_message("64 nodes, %u moves: planned in %.1f ms", MAX_MOVES, best_ms);
    g_assert_cmpfloat(best_ms, <, 100 * SLOWER);
    g_free(cluster);
    g_rand_free(rand);
}

static void
test_same_answer(void)
{
    GRand *rand = g_rand_new_with_seed(5);
    Cluster *cluster = g_new0(Cluster, 1);

    random_cluster(rand, cluster, 8, 60, 1);
    g_autoptr(MigPlan) one =
        mig_plan_make(cluster->nodes, 8, cluster->moves, cluster->n_moves, MIG_PLAN_EFFORT);
    g_autoptr(MigPlan) two =
        mig_plan_make(cluster->nodes, 8, cluster->moves, cluster->n_moves, MIG_PLAN_EFFORT);

    g_assert_cmpuint(one->n_steps, ==, two->n_steps);
    g_assert_cmpmem(one->steps, one->n_steps * sizeof *one->steps, two->steps,
                    two->n_steps * sizeof *two->steps);
    g_free(cluster);
    g_rand_free(rand);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/sim/plan/same-answer", test_same_answer);
    g_test_add_func("/sim/plan/largest", test_largest);
    g_test_add_func("/sim/plan/clusters", test_clusters);
    g_test_add_func("/sim/plan/exact", test_exact);
    return g_test_run();
}
