/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-sm.c - a table machine moves along its table and aborts beside it. */
#include "core/sm.h"

static const MigSmState states[] = {
    {"off", MIG_SM_BIT(1), TRUE, FALSE},
    {"on", MIG_SM_BIT(0) | MIG_SM_BIT(2), FALSE, FALSE},
    {"broken", 0, FALSE, TRUE},
};
static const MigSm sm = {"lamp", states, G_N_ELEMENTS(states)};

static void
test_allowed(void)
{
    g_assert_true(mig_sm_is_allowed(&sm, 0, 1));
    g_assert_true(mig_sm_is_allowed(&sm, 1, 0));
    g_assert_false(mig_sm_is_allowed(&sm, 0, 2));
    g_assert_false(mig_sm_is_allowed(&sm, 2, 0));
    g_assert_false(mig_sm_is_allowed(&sm, 0, 0));
    g_assert_false(mig_sm_is_allowed(&sm, 3, 0));
    g_assert_false(mig_sm_is_allowed(&sm, 0, 3));
    g_assert_false(mig_sm_is_allowed(&sm, 0, 33)); /* the bit of 1, were it not looked at */
}

static void
test_move(void)
{
    guint state = 0;

    mig_sm_move(&sm, "x", &state, 1, "switched");
    g_assert_cmpuint(state, ==, 1);
    mig_sm_move(&sm, "x", &state, 2, "burnt out");
    g_assert_cmpuint(state, ==, 2);
}

static void
test_forbidden(void)
{
    if (g_test_subprocess()) {
        guint state = 2;

        mig_sm_move(&sm, "x", &state, 0, "mended");
        return;
    }
    g_test_trap_subprocess(NULL, 0, 0);
    g_test_trap_assert_failed();
    g_test_trap_assert_stderr("*lamp x: no way from state 2 to 0 (mended)*");
}

static void
test_find(void)
{
    g_assert_cmpuint(mig_sm_find(&sm, "broken"), ==, 2);
    g_assert_cmpuint(mig_sm_find(&sm, "Broken"), ==, sm.count);
    g_assert_cmpuint(mig_sm_find(&sm, ""), ==, sm.count);
    g_assert_cmpuint(mig_sm_find(&sm, NULL), ==, sm.count);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/sm/allowed", test_allowed);
    g_test_add_func("/sm/move", test_move);
    g_test_add_func("/sm/forbidden", test_forbidden);
    g_test_add_func("/sm/find", test_find);
    return g_test_run();
}
