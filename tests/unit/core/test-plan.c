/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-plan.c - plans of a few moves; how good large ones are is for tests/sim/test-plan.c. */
#include "core/plan.h"

#include <math.h>

static const MigPlanNode plain = {.out_bytes_s = 1e9,
                                  .in_bytes_s = 1e9,
                                  .max_moves = 4,
                                  .memory_free_bytes = 8,
                                  .takes_moves = TRUE};

static void
test_nothing(void)
{
    MigPlanNode nodes[2] = {plain, plain};
    g_autoptr(MigPlan) plan = mig_plan_make(nodes, 2, NULL, 0, MIG_PLAN_EFFORT);

    g_assert_cmpuint(plan->n_steps, ==, 0);
    g_assert_cmpuint(plan->n_unplaced, ==, 0);
    g_assert_cmpfloat(plan->makespan_s, ==, 0);
    mig_plan_free(NULL);
}

/* No room, nobody who takes it, nobody who may: named, and the others go all the same. */
static void
test_unplaced(void)
{
    MigPlanNode nodes[3] = {plain, plain, plain};
    guint8 nobody[3] = {0, 0, 0};
    MigPlanMove moves[3] = {
        {.source = 0, .target = MIG_PLAN_ANY, .bytes = 1e9, .memory_bytes = 9},
        {.source = 0, .target = MIG_PLAN_ANY, .bytes = 1e9, .memory_bytes = 5},
        {.source = 0, .target = MIG_PLAN_ANY, .bytes = 1e9, .memory_bytes = 1, .allowed = nobody}};

    nodes[2].takes_moves = FALSE;
    g_autoptr(MigPlan) plan = mig_plan_make(nodes, 3, moves, 3, MIG_PLAN_EFFORT);

    g_assert_cmpuint(plan->n_steps, ==, 1);
    g_assert_cmpuint(plan->steps[0].move, ==, 1);
    g_assert_cmpuint(plan->steps[0].target, ==, 1);
    g_assert_cmpuint(plan->n_unplaced, ==, 2);
    g_assert_cmpuint(plan->unplaced[0] + plan->unplaced[1], ==, 2);
}

/* Two nodes that are nearly full change guests: the small one must go before the large one comes.
 */
static void
test_swap(void)
{
    MigPlanNode nodes[2] = {plain, plain};
    MigPlanMove moves[2] = {{.source = 0, .target = 1, .bytes = 5e9, .memory_bytes = 10},
                            {.source = 1, .target = 0, .bytes = 1e9, .memory_bytes = 4}};

    nodes[0].memory_free_bytes = 4;
    g_autoptr(MigPlan) plan = mig_plan_make(nodes, 2, moves, 2, MIG_PLAN_EFFORT);

    g_assert_cmpuint(plan->n_steps, ==, 2);
    g_assert_cmpuint(plan->steps[0].move, ==, 1);
    g_assert_cmpfloat(plan->steps[1].start_s, >=, plan->steps[0].end_s);
    g_assert_cmpfloat(fabs(plan->makespan_s - 6), <, 1e-6);
}

/* What may begin now depends on what has ended, not on the clock of the plan. */
static void
test_ready(void)
{
    MigPlanNode nodes[3] = {plain, plain, plain};
    MigPlanMove moves[3] = {{.source = 0, .target = 1, .bytes = 3e9},
                            {.source = 0, .target = 1, .bytes = 2e9},
                            {.source = 1, .target = 2, .bytes = 1e9}};
    guint8 has_ended[3] = {0, 0, 0};
    g_autoptr(MigPlan) plan = mig_plan_make(nodes, 3, moves, 3, MIG_PLAN_EFFORT);
    guint first = G_MAXUINT, second = G_MAXUINT, other = G_MAXUINT;

    g_assert_cmpuint(plan->n_steps, ==, 3);
    for (guint i = 0; i < 3; i++) {
        if (plan->steps[i].target == 2)
            other = i;
        else if (first == G_MAXUINT)
            first = i;
        else
            second = i;
    }
    g_assert_true(mig_plan_is_ready(plan, first, has_ended));
    g_assert_true(mig_plan_is_ready(plan, other, has_ended));
    g_assert_false(mig_plan_is_ready(plan, second, has_ended));
    has_ended[other] = 1;
    g_assert_false(mig_plan_is_ready(plan, second, has_ended));
    has_ended[first] = 1;
    g_assert_true(mig_plan_is_ready(plan, second, has_ended));
}

/* Each of the rules of the bound, where it alone decides. */
static void
test_bound(void)
{
    MigPlanNode nodes[3] = {plain, plain, plain};
    MigPlanMove moves[3] = {{.source = 0, .target = 1, .bytes = 3e9},
                            {.source = 1, .target = 0, .bytes = 2e9},
                            {.source = 0, .target = 2, .bytes = 1e9}};

    g_assert_cmpfloat(fabs(mig_plan_bound(nodes, 3, moves, 2) - 5), <, 1e-9); /* pair */
    moves[1].target = 2;
    g_assert_cmpfloat(fabs(mig_plan_bound(nodes, 3, moves, 3) - 4), <, 1e-9); /* link out of 0 */
    nodes[0].out_bytes_s = 4e9;
    g_assert_cmpfloat(fabs(mig_plan_bound(nodes, 3, moves, 3) - 3), <, 1e-9); /* the longest, in */
    nodes[0].max_moves = 1;
    g_assert_cmpfloat(fabs(mig_plan_bound(nodes, 3, moves, 3) - 4), <, 1e-9); /* places of 0 */
    moves[0].dirty_bytes_s = 0.25e9;
    g_assert_cmpfloat(fabs(mig_plan_bound(nodes, 3, moves, 3) - 5), <,
                      1e-9); /* and what is dirtied */
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/plan/nothing", test_nothing);
    g_test_add_func("/plan/unplaced", test_unplaced);
    g_test_add_func("/plan/swap", test_swap);
    g_test_add_func("/plan/ready", test_ready);
    g_test_add_func("/plan/bound", test_bound);
    return g_test_run();
}
