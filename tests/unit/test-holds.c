/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-holds.c - who cleans up behind a move takes no image away from the next one. */
#include "holds.h"

#define MANY_ROUNDS 2000

static const char *const both[] = {"vol1/a", "vol1/b", NULL};
static const char *const other[] = {"vol2/a", NULL};

static void
test_held(void)
{
    MigHolds *holds = mig_holds_new();

    g_assert_true(mig_holds_begin_letting_go(holds, "vol1/a"));
    mig_holds_end_letting_go(holds, "vol1/a");
    mig_holds_take(holds, "A-1", both);
    mig_holds_take(holds, "A-2", both);
    mig_holds_drop(holds, "A-1");
    mig_holds_drop(holds, "A-1");
    g_assert_false(mig_holds_begin_letting_go(holds, "vol1/a"));
    g_assert_false(mig_holds_begin_letting_go(holds, "vol1/b"));
    g_assert_true(mig_holds_begin_letting_go(holds, "vol2/a"));
    mig_holds_end_letting_go(holds, "vol2/a");
    mig_holds_take(holds, "A-2", other); /* another disk of it by now */
    g_assert_true(mig_holds_begin_letting_go(holds, "vol1/a"));
    g_assert_false(mig_holds_begin_letting_go(holds, "vol2/a"));
    mig_holds_drop(holds, "A-2");
    g_assert_true(mig_holds_begin_letting_go(holds, "vol2/a"));
    mig_holds_free(holds);
}

typedef struct {
    MigHolds *holds;
    gint has_it;       /* atomic */
    gboolean is_there; /* the device of vol1/a, used by one at a time if this works */
} World;

static gpointer
take(gpointer data)
{
    World *world = data;

    mig_holds_take(world->holds, "A-2", both);
    g_atomic_int_set(&world->has_it, 1);
    return NULL;
}

/* Two that let go of it at once, too: the last one counts. */
static void
test_waits(void)
{
    World world = {.holds = mig_holds_new()};
    GThread *thread;

    g_assert_true(mig_holds_begin_letting_go(world.holds, "vol1/b"));
    g_assert_true(mig_holds_begin_letting_go(world.holds, "vol1/b"));
    thread = g_thread_new("take", take, &world);
    g_usleep(50 * 1000);
    g_assert_cmpint(g_atomic_int_get(&world.has_it), ==, 0);
    mig_holds_end_letting_go(world.holds, "vol1/b");
    g_usleep(50 * 1000);
    g_assert_cmpint(g_atomic_int_get(&world.has_it), ==, 0);
    mig_holds_end_letting_go(world.holds, "vol1/b");
    g_thread_join(thread);
    g_assert_cmpint(g_atomic_int_get(&world.has_it), ==, 1);
    mig_holds_free(world.holds);
}

static gpointer
clean_up(gpointer data)
{
    World *world = data;

    for (guint i = 0; i < MANY_ROUNDS; i++) {
        if (!mig_holds_begin_letting_go(world->holds, "vol1/a"))
            continue;
        world->is_there = FALSE;
        mig_holds_end_letting_go(world->holds, "vol1/a");
    }
    return NULL;
}

/* However they come: who holds it has it. */
static void
test_race(void)
{
    World world = {.holds = mig_holds_new()};
    GThread *thread = g_thread_new("clean-up", clean_up, &world);

    for (guint i = 0; i < MANY_ROUNDS; i++) {
        mig_holds_take(world.holds, "A-2", both);
        world.is_there = TRUE;
        g_thread_yield();
        g_assert_true(world.is_there);
        mig_holds_drop(world.holds, "A-2");
    }
    g_thread_join(thread);
    mig_holds_free(world.holds);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/holds/held", test_held);
    g_test_add_func("/holds/waits", test_waits);
    g_test_add_func("/holds/race", test_race);
    return g_test_run();
}
