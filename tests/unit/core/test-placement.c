/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-placement.c - in order, once each, never above memory, and nothing that was stopped. */
#include "core/placement.h"

#define MIB (1ull << 20)

static MigPlaceNode
node(const char *name, guint32 host_id, guint64 free_mib)
{
    return (MigPlaceNode){.name = name,
                          .host_id = host_id,
                          .is_usable = TRUE,
                          .memory_free_bytes = free_mib * MIB,
                          .cpus = 8,
                          .cpu_vendor = "AMD"};
}

static MigPlaceVm
vm(const char *name, guint32 priority, guint64 memory_mib)
{
    return (MigPlaceVm){.name = name,
                        .priority = priority,
                        .memory_bytes = memory_mib * MIB,
                        .vcpus = 1,
                        .wants_running = TRUE};
}

static void
test_priority(void)
{
    MigPlaceNode nodes[] = {node("A", 1, 1000)};
    MigPlaceVm vms[] = {vm("low", 100, 600), vm("high", 900, 600), vm("small", 50, 300)};
    MigPlace places[3];

    mig_place(nodes, 1, vms, 3, 5, places);
    g_assert_cmpint(places[1].node, ==, 0);
    g_assert_cmpint(places[0].node, ==, -1); /* no room left */
    g_assert_cmpint(places[2].node, ==, 0);  /* but for a smaller one behind it */
    g_assert_nonnull(places[0].why);
}

static void
test_spread(void)
{
    MigPlaceNode nodes[] = {node("A", 1, 1000), node("B", 2, 1000)};
    MigPlaceVm vms[] = {vm("a", 500, 400), vm("b", 500, 400), vm("c", 500, 400)};
    MigPlace places[3];

    mig_place(nodes, 2, vms, 3, 5, places);
    g_assert_cmpint(places[0].node, !=, places[1].node);
    nodes[1].is_usable = FALSE;
    mig_place(nodes, 2, vms, 3, 5, places);
    g_assert_cmpint(places[0].node, ==, 0);
    g_assert_cmpint(places[2].node, ==, -1);
}

static void
test_obstacles(void)
{
    MigPlaceNode nodes[] = {node("A", 1, 10000)};
    MigPlaceVm one = vm("a", 500, 100);
    MigPlace place;

    mig_place(nodes, 1, &one, 1, 5, &place);
    g_assert_cmpint(place.node, ==, 0);
#define REFUSED(member, value)                     \
    {                                              \
        MigPlaceVm other = one;                    \
        other.member = value;                      \
        mig_place(nodes, 1, &other, 1, 5, &place); \
        g_assert_cmpint(place.node, ==, -1);       \
        g_assert_nonnull(place.why);               \
    }
    REFUSED(wants_running, FALSE)
    REFUSED(is_running, TRUE)
    REFUSED(is_held, TRUE)
    REFUSED(restart, MIG_RESTART_NEVER)
    REFUSED(down, MIG_DOWN_CRASH) /* on-node-death is the default */
    REFUSED(attempts, 5)
    REFUSED(wait_ms, 1)
    REFUSED(vcpus, 9)
    REFUSED(memory_bytes, 10001 * MIB)
    REFUSED(cpu_vendor, "Intel")
    one.wait_ms = 1;
    mig_place(nodes, 1, &one, 1, 5, &place);
    g_assert_null(strstr(place.why, "locked"));
    one.is_locked = TRUE; /* what is waited for is said */
    mig_place(nodes, 1, &one, 1, 5, &place);
    g_assert_nonnull(strstr(place.why, "locked"));
    one.wait_ms = 0;
    one.restart = MIG_RESTART_ALWAYS;
    one.down = MIG_DOWN_CRASH;
    mig_place(nodes, 1, &one, 1, 5, &place);
    g_assert_cmpint(place.node, ==, 0);
}

static void
test_choice(void)
{
    MigPlaceNode nodes[] = {node("A", 1, 3000), node("B", 2, 2000), node("C", 3, 1000)};
    MigPlaceVm vms[] = {vm("a", 500, 100), vm("other", 500, 100)};
    char *with[] = {(char *)"other", NULL};
    MigPlace places[2];

    vms[1].is_running = TRUE;
    vms[1].node = "C";
    mig_place(nodes, 3, vms, 2, 5, places);
    g_assert_cmpint(places[0].node, ==, 0); /* most memory */
    vms[0].prefer_host_id = 2;
    mig_place(nodes, 3, vms, 2, 5, places);
    g_assert_cmpint(places[0].node, ==, 1);
    vms[0].affinity = with;
    mig_place(nodes, 3, vms, 2, 5, places);
    g_assert_cmpint(places[0].node, ==, 2);
    vms[0].not_host_id = 3; /* it failed there */
    mig_place(nodes, 3, vms, 2, 5, places);
    g_assert_cmpint(places[0].node, ==, 1);
    /* a crash: the same node first, unless it failed there */
    vms[0].not_host_id = 0;
    vms[0].restart = MIG_RESTART_ALWAYS;
    vms[0].down = MIG_DOWN_CRASH;
    vms[0].last_host_id = 1;
    mig_place(nodes, 3, vms, 2, 5, places);
    g_assert_cmpint(places[0].node, ==, 0);
    vms[0].not_host_id = 1;
    mig_place(nodes, 3, vms, 2, 5, places);
    g_assert_cmpint(places[0].node, !=, 0);
    vms[0].not_host_id = 0;
    nodes[0].memory_free_bytes = 99 * MIB; /* or there is no room for it any more */
    mig_place(nodes, 3, vms, 2, 5, places);
    g_assert_cmpint(places[0].node, !=, 0);
    nodes[0].memory_free_bytes = 3000 * MIB;
    nodes[0].is_usable = FALSE; /* or its volume is lost there */
    mig_place(nodes, 3, vms, 2, 5, places);
    g_assert_cmpint(places[0].node, !=, 0);
}

/* Its disk has failed where it ran: anywhere else, its policy being that for a node's death. */
static void
test_disk(void)
{
    MigPlaceNode nodes[] = {node("A", 1, 3000), node("B", 2, 2000)};
    MigPlaceVm one = vm("a", 500, 100);
    MigPlace place;

    one.restart = MIG_RESTART_ON_NODE_DEATH;
    one.down = MIG_DOWN_DISK;
    one.last_host_id = one.prefer_host_id = 1;
    mig_place(nodes, 2, &one, 1, 5, &place);
    g_assert_cmpint(place.node, ==, 1);
    nodes[1].is_usable = FALSE; /* there is nowhere else */
    mig_place(nodes, 2, &one, 1, 5, &place);
    g_assert_cmpint(place.node, ==, 0);
    one.restart = MIG_RESTART_NEVER;
    mig_place(nodes, 2, &one, 1, 5, &place);
    g_assert_cmpint(place.node, ==, -1);
}

/* A node that dies again and again gets what fits nowhere else, for that is better than nothing. */
static void
test_last_resort(void)
{
    MigPlaceNode nodes[] = {node("A", 1, 3000), node("B", 2, 500)};
    MigPlaceVm vms[] = {vm("small", 500, 400), vm("large", 400, 400)};
    MigPlace places[2];

    nodes[0].is_last_resort = TRUE;
    vms[0].prefer_host_id = 1;
    mig_place(nodes, 2, vms, 2, 5, places);
    g_assert_cmpint(places[0].node, ==, 1);
    g_assert_cmpint(places[1].node, ==, 0);
    g_assert_cmpstr(places[0].why, !=, places[1].why);
    vms[0].not_host_id = 2; /* and what has failed where it should go */
    mig_place(nodes, 2, vms, 1, 5, places);
    g_assert_cmpint(places[0].node, ==, 0);
}

static void
test_apart(void)
{
    MigPlaceNode nodes[] = {node("A", 1, 3000), node("B", 2, 2000)};
    MigPlaceVm vms[] = {vm("a", 500, 100), vm("b", 400, 100), vm("c", 300, 100)};
    char *not_a[] = {(char *)"a", NULL};
    char *not_b[] = {(char *)"b", (char *)"a", NULL};
    MigPlace places[3];

    vms[1].anti_affinity = not_a;
    mig_place(nodes, 2, vms, 2, 5, places);
    g_assert_cmpint(places[0].node, ==, 0);
    g_assert_cmpint(places[1].node, ==, 1);
    vms[1].anti_affinity = NULL;
    vms[0].anti_affinity = not_b; /* said by the first one only */
    mig_place(nodes, 2, vms, 2, 5, places);
    g_assert_cmpint(places[0].node, !=, places[1].node);
    vms[2].anti_affinity = not_b; /* nowhere left */
    mig_place(nodes, 2, vms, 3, 5, places);
    g_assert_cmpint(places[2].node, ==, -1);
}

static void
test_start_after(void)
{
    MigPlaceNode nodes[] = {node("A", 1, 3000)};
    MigPlaceVm vms[] = {vm("web", 900, 100), vm("db", 100, 100)};
    char *db[] = {(char *)"db", NULL};
    char *gone[] = {(char *)"nobody", NULL};
    MigPlace places[2];

    vms[0].start_after = db;
    mig_place(nodes, 1, vms, 2, 5, places);
    g_assert_cmpint(places[0].node, ==, -1);
    g_assert_cmpint(places[1].node, ==, 0);
    vms[1].is_running = TRUE;
    mig_place(nodes, 1, vms, 2, 5, places);
    g_assert_cmpint(places[0].node, ==, 0);
    vms[1].is_running = FALSE;
    vms[1].wants_running = FALSE; /* nobody will start it */
    mig_place(nodes, 1, vms, 2, 5, places);
    g_assert_cmpint(places[0].node, ==, 0);
    vms[1].wants_running = TRUE;
    vms[1].restart = MIG_RESTART_ON_NODE_DEATH;
    vms[1].down = MIG_DOWN_CRASH; /* it ended by itself, and stays so */
    mig_place(nodes, 1, vms, 2, 5, places);
    g_assert_cmpint(places[0].node, ==, 0);
    vms[1].down = MIG_DOWN_NODE;
    vms[1].is_held = TRUE; /* its start is under way */
    mig_place(nodes, 1, vms, 2, 5, places);
    g_assert_cmpint(places[0].node, ==, -1);
    vms[1].is_held = FALSE;
    vms[1].attempts = 5; /* given up */
    mig_place(nodes, 1, vms, 2, 5, places);
    g_assert_cmpint(places[0].node, ==, 0);
    vms[0].start_after = gone;
    mig_place(nodes, 1, vms, 2, 5, places);
    g_assert_cmpint(places[0].node, ==, 0);
}

/* A plan to its end has what comes after others, too, and the memory of all of them. */
static void
test_whole(void)
{
    MigPlaceNode nodes[] = {node("A", 1, 250)};
    MigPlaceVm vms[] = {vm("web", 900, 100), vm("app", 800, 100), vm("db", 100, 100)};
    char *db[] = {(char *)"db", NULL}, *app[] = {(char *)"app", NULL};
    MigPlace places[3];

    vms[0].start_after = app;
    vms[1].start_after = db;
    mig_place_whole(nodes, 1, vms, 3, 5, places);
    g_assert_cmpint(places[2].node, ==, 0);
    g_assert_cmpint(places[1].node, ==, 0);
    g_assert_cmpint(places[0].node, ==, -1); /* no memory is left */
    nodes[0].memory_free_bytes = 300 * MIB;
    mig_place_whole(nodes, 1, vms, 3, 5, places);
    g_assert_cmpint(places[0].node, ==, 0);
    vms[2].start_after = app; /* a circle from former times: it ends, without a start */
    mig_place_whole(nodes, 1, vms, 3, 5, places);
    g_assert_cmpint(places[0].node, ==, -1);
}

/* A start under way counts where it is going to. */
static void
test_held(void)
{
    MigPlaceNode nodes[] = {node("A", 1, 3000), node("B", 2, 2000)};
    MigPlaceVm vms[] = {vm("a", 500, 100), vm("b", 400, 100)};
    char *not_b[] = {(char *)"b", NULL};
    MigPlace places[2];

    vms[0].anti_affinity = not_b;
    vms[1].is_held = TRUE;
    vms[1].node = "A";
    mig_place(nodes, 2, vms, 2, 5, places);
    g_assert_cmpint(places[0].node, ==, 1);
}

static void
test_backoff(void)
{
    gint64 before = 0;

    g_assert_cmpint(mig_place_backoff_ms(0), ==, 0);
    for (guint i = 1; i < 20; i++) {
        g_assert_cmpint(mig_place_backoff_ms(i), >=, before);
        before = mig_place_backoff_ms(i);
    }
    g_assert_cmpint(before, ==, 5 * 60 * 1000);
}

/* Never above memory, never a VM that runs or is not wanted, never together against the rule; and
 * the same plan for the same input. */
static void
test_property(void)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(42);
    static const char *const names[] = {"a", "b", "c", "d", "e", "f", "g", "h"};

    for (guint round = 0; round < 20000; round++) {
        MigPlaceNode nodes[4];
        MigPlaceVm vms[8];
        MigPlace places[8], again[8];
        char *apart[8][2] = {0};
        guint64 used[4] = {0};

        for (guint i = 0; i < 4; i++) {
            nodes[i] = node(names[i], i + 1, (guint64)g_rand_int_range(rand, 0, 2000));
            nodes[i].is_usable = g_rand_int_range(rand, 0, 4) > 0;
        }
        for (guint i = 0; i < 8; i++) {
            vms[i] = vm(names[i], (guint32)g_rand_int_range(rand, 0, 3),
                        (guint64)g_rand_int_range(rand, 1, 900));
            vms[i].wants_running = g_rand_int_range(rand, 0, 4) > 0;
            vms[i].is_running = g_rand_int_range(rand, 0, 4) == 0;
            vms[i].node = vms[i].is_running ? names[g_rand_int_range(rand, 0, 4)] : NULL;
            vms[i].restart = (MigRestart)g_rand_int_range(rand, 0, 3);
            apart[i][0] = g_rand_boolean(rand) ? (char *)names[g_rand_int_range(rand, 0, 8)] : NULL;
            vms[i].anti_affinity = apart[i];
        }
        mig_place(nodes, 4, vms, 8, 5, places);
        mig_place(nodes, 4, vms, 8, 5, again);
        for (guint i = 0; i < 8; i++) {
            g_assert_cmpint(places[i].node, ==, again[i].node);
            g_assert_nonnull(places[i].why);
            if (places[i].node < 0)
                continue;
            g_assert_true(vms[i].wants_running && !vms[i].is_running &&
                          vms[i].restart != MIG_RESTART_NEVER);
            g_assert_true(nodes[places[i].node].is_usable);
            used[places[i].node] += vms[i].memory_bytes;
            for (guint k = 0; k < 8; k++) {
                if (k != i && places[k].node == places[i].node)
                    g_assert_cmpstr(apart[i][0], !=, names[k]);
            }
        }
        for (guint i = 0; i < 4; i++)
            g_assert_cmpuint(used[i], <=, nodes[i].memory_free_bytes);
    }
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/placement/priority", test_priority);
    g_test_add_func("/placement/spread", test_spread);
    g_test_add_func("/placement/obstacles", test_obstacles);
    g_test_add_func("/placement/choice", test_choice);
    g_test_add_func("/placement/disk", test_disk);
    g_test_add_func("/placement/last-resort", test_last_resort);
    g_test_add_func("/placement/apart", test_apart);
    g_test_add_func("/placement/start-after", test_start_after);
    g_test_add_func("/placement/whole", test_whole);
    g_test_add_func("/placement/held", test_held);
    g_test_add_func("/placement/backoff", test_backoff);
    g_test_add_func("/placement/property", test_property);
    return g_test_run();
}
