/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-coordinator.c - volumes are spread evenly, from any start, and then nothing moves. */
#include "core/coordinator.h"

#include <glib.h>

#define NODES   8
#define VOLUMES 40

typedef struct {
    MigCoordinatorNode nodes[NODES];
    guint count;
    gint owner[VOLUMES]; /* index, -1: free */
    guint volumes;
} World;

static const char *const names[NODES] = {"n1", "n2", "n3", "n4", "n5", "n6", "n7", "n8"};

static void
world_init(World *world, guint nodes, guint volumes)
{
    *world = (World){.count = nodes, .volumes = volumes};
    for (guint i = 0; i < nodes; i++)
        world->nodes[i] =
            (MigCoordinatorNode){.name = names[i], .host_id = i + 1, .is_usable = TRUE};
    for (guint i = 0; i < volumes; i++)
        world->owner[i] = -1;
}

static void
count(World *world)
{
    for (guint i = 0; i < world->count; i++) {
        world->nodes[i].volumes = 0;
        for (guint k = 0; k < world->volumes; k++)
            world->nodes[i].volumes += world->owner[k] == (gint)i;
    }
}

static gint
index_of(const char *name)
{
    for (gint i = 0; i < NODES; i++) {
        if (g_str_equal(names[i], name))
            return i;
    }
    return -1;
}

/* One round: each free volume goes to the node of the first rank, then each node hands over what
 * the rule says, one volume. How many moved. */
static guint
round_of(World *world)
{
    guint moved = 0;

    for (guint k = 0; k < world->volumes; k++) {
        count(world);
        for (guint i = 0; world->owner[k] < 0 && i < world->count; i++) {
            if (mig_coordinator_rank(world->nodes, world->count, names[i]) == 0) {
                world->owner[k] = (gint)i;
                moved++;
            }
        }
    }
    count(world);
    for (guint i = 0; i < world->count; i++) {
        const char *to = mig_coordinator_surplus(world->nodes, world->count, names[i]);

        for (guint k = 0; to && k < world->volumes; k++) {
            if (world->owner[k] != (gint)i)
                continue;
            world->owner[k] = index_of(to);
            moved++;
            break;
        }
    }
    return moved;
}

/* Evenly, and then no more of it. */
static void
assert_settles(World *world)
{
    guint rounds = 0, least = G_MAXUINT, most = 0;

    while (round_of(world) > 0)
        g_assert_cmpuint(++rounds, <=, VOLUMES * 2);
    count(world);
    for (guint i = 0; i < world->count; i++) {
        if (!world->nodes[i].is_usable) {
            g_assert_cmpuint(world->nodes[i].volumes, ==, 0);
            continue;
        }
        least = MIN(least, world->nodes[i].volumes);
        most = MAX(most, world->nodes[i].volumes);
    }
    g_assert_cmpuint(most - least, <=, 1);
}

static void
test_ten_on_five(void)
{
    World world;

    world_init(&world, 5, 10);
    assert_settles(&world);
    for (guint i = 0; i < 5; i++)
        g_assert_cmpuint(world.nodes[i].volumes, ==, 2);
    /* one dies: its two go to others; it comes back: it gets two again */
    for (guint k = 0; k < 10; k++)
        world.owner[k] = world.owner[k] == 1 ? -1 : world.owner[k];
    world.nodes[1].is_usable = FALSE;
    assert_settles(&world);
    world.nodes[1].is_usable = TRUE;
    assert_settles(&world);
    g_assert_cmpuint(world.nodes[1].volumes, ==, 2);
}

static void
test_all_on_one(void)
{
    World world;

    world_init(&world, 5, 10);
    for (guint k = 0; k < 10; k++)
        world.owner[k] = 2;
    assert_settles(&world);
    /* a node that drains gives all it has */
    world.nodes[2].is_usable = FALSE;
    assert_settles(&world);
}

static void
test_any_start(void)
{
    for (guint seed = 0; seed < 500; seed++) {
        g_autoptr(GRand) rand = g_rand_new_with_seed(seed);
        World world;

        world_init(&world, (guint)g_rand_int_range(rand, 1, NODES + 1),
                   (guint)g_rand_int_range(rand, 0, VOLUMES + 1));
        for (guint k = 0; k < world.volumes; k++)
            world.owner[k] = g_rand_int_range(rand, -1, (gint)world.count);
        for (guint i = 1; i < world.count; i++)
            world.nodes[i].is_usable = g_rand_int_range(rand, 0, 4) > 0;
        assert_settles(&world);
    }
}

/* A difference of one is none. */
static void
test_no_to_and_fro(void)
{
    MigCoordinatorNode nodes[] = {{"n1", 1, TRUE, 1, FALSE}, {"n2", 2, TRUE, 0, FALSE}};

    g_assert_null(mig_coordinator_surplus(nodes, 2, "n1"));
    g_assert_null(mig_coordinator_surplus(nodes, 2, "n2"));
    nodes[0].volumes = 2;
    g_assert_cmpstr(mig_coordinator_surplus(nodes, 2, "n1"), ==, "n2");
    nodes[1].is_usable = FALSE;
    g_assert_null(mig_coordinator_surplus(nodes, 2, "n1"));
    nodes[0].is_usable = FALSE; /* nobody there: it keeps what it has */
    g_assert_null(mig_coordinator_surplus(nodes, 2, "n1"));
}

static void
test_rank(void)
{
    const MigCoordinatorNode nodes[] = {
        {"n1", 1, TRUE, 2, FALSE}, {"n2", 2, TRUE, 0, FALSE}, {"n3", 3, FALSE, 0, FALSE},
        {"n4", 4, TRUE, 0, FALSE}, {"n5", 5, FALSE, 1, TRUE}, {"n6", 6, FALSE, 0, TRUE},
    };

    g_assert_cmpint(mig_coordinator_rank(nodes, 4, "n2"), ==, 0);
    g_assert_cmpint(mig_coordinator_rank(nodes, 4, "n4"), ==, 1);
    g_assert_cmpint(mig_coordinator_rank(nodes, 4, "n1"), ==, 2);
    g_assert_cmpint(mig_coordinator_rank(nodes, 4, "n3"), ==, -1);
    g_assert_cmpint(mig_coordinator_rank(nodes, 4, "n9"), ==, -1);
    /* who drains comes last, and where all drain one of them has to */
    g_assert_cmpint(mig_coordinator_rank(nodes, 6, "n1"), ==, 2);
    g_assert_cmpint(mig_coordinator_rank(nodes, 6, "n6"), ==, 3);
    g_assert_cmpint(mig_coordinator_rank(nodes, 6, "n5"), ==, 4);
    g_assert_cmpint(mig_coordinator_rank(&nodes[4], 1, "n5"), ==, 0);
}

/* Lateness alone breaks no change off, as long as there is time; whatever else it is gives up. */
static void
test_late(void)
{
    static const struct {
        MigCoordinatorBeat beat;
        gboolean gives_up;
    } cases[] = {
        {{FALSE, FALSE, FALSE, 60000, 79000}, FALSE}, {{FALSE, FALSE, TRUE, 60000, 79000}, FALSE},
        {{FALSE, TRUE, FALSE, 79000, 79000}, TRUE},   {{FALSE, TRUE, TRUE, 79000, 79000}, FALSE},
        {{FALSE, TRUE, TRUE, 19750, 79000}, FALSE},   {{FALSE, TRUE, TRUE, 19749, 79000}, TRUE},
        {{FALSE, TRUE, TRUE, -1, 79000}, TRUE},       {{TRUE, FALSE, TRUE, 79000, 79000}, TRUE},
        {{TRUE, TRUE, TRUE, 79000, 79000}, TRUE},     {{FALSE, TRUE, TRUE, 1749, 7000}, TRUE},
        {{FALSE, FALSE, TRUE, -1, 79000}, FALSE}, /* its guard stops it */
    };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++)
        g_assert_cmpint(mig_coordinator_gives_up(&cases[i].beat), ==, cases[i].gives_up);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/coordinator/ten-on-five", test_ten_on_five);
    g_test_add_func("/coordinator/all-on-one", test_all_on_one);
    g_test_add_func("/coordinator/any-start", test_any_start);
    g_test_add_func("/coordinator/no-to-and-fro", test_no_to_and_fro);
    g_test_add_func("/coordinator/rank", test_rank);
    g_test_add_func("/coordinator/late", test_late);
    return g_test_run();
}
