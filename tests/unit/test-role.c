/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-role.c - what lets a coordinator write, each part of it alone. */
#include "role-private.h"

#include "core/timeouts.h"

#define SECOND_US G_USEC_PER_SEC

/* Held, not on its way to another node, and its time has not run out. */
static void
set_up(MigRole *role, gconstpointer data)
{
    g_mutex_init(&role->lock);
    g_mutex_init(&role->valid_lock);
    role->is_held = TRUE;
    role->valid_us = g_get_monotonic_time() + 60 * SECOND_US;
}

static void
tear_down(MigRole *role, gconstpointer data)
{
    g_mutex_clear(&role->lock);
    g_mutex_clear(&role->valid_lock);
}

static void
test_may(MigRole *role, gconstpointer data)
{
    g_assert_true(mig_role_may_write(role));
}

static void
test_not_held(MigRole *role, gconstpointer data)
{
    role->is_held = FALSE;
    g_assert_false(mig_role_may_write(role));
}

/* A long change is broken off for a hand-over. */
static void
test_leaving(MigRole *role, gconstpointer data)
{
    role->is_leaving = TRUE;
    g_assert_false(mig_role_may_write(role));
}

/* Whoever was frozen wakes with a lease that another host may have by now. */
static void
test_late(MigRole *role, gconstpointer data)
{
    role->valid_us = g_get_monotonic_time();
    g_assert_false(mig_role_may_write(role));
    role->valid_us = g_get_monotonic_time() - SECOND_US;
    g_assert_false(mig_role_may_write(role));
    role->valid_us = 0;
    g_assert_false(mig_role_may_write(role));
}

#define ADD(name, test) g_test_add("/role/" name, MigRole, NULL, set_up, test, tear_down)

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD("may-write", test_may);
    ADD("not-held", test_not_held);
    ADD("leaving", test_leaving);
    ADD("late", test_late);
    return g_test_run();
}
