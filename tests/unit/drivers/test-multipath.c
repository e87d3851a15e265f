/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-multipath.c - what multipathd says is understood; what is not understood is not "off". */
#include "drivers/multipath.h"

#include "core/timeouts.h"

static const char listing[] = "name   queueing\n"
                              "mpatha 12 chk  \n"
                              "mpathb off     \n"
                              "mpathc on      \n"
                              "mpathd -       \n"
                              "mpathe 37 sec  \n"
                              "mpathf 3 moons \n"
                              "mpathg x chk   \n"
                              "mpathh\n";

static void
test_queueing(void)
{
    static const struct {
        const char *map;
        gint64 seconds;
    } cases[] = {
        {"mpatha", 60},
        {"mpathb", MIG_QUEUES_NOT},
        {"mpathc", MIG_QUEUES_FOR_EVER},
        {"mpathd", MIG_QUEUES_UNKNOWN},
        {"mpathe", 37},
        {"mpathf", MIG_QUEUES_UNKNOWN},
        {"mpathg", MIG_QUEUES_UNKNOWN},
        {"mpathh", MIG_QUEUES_UNKNOWN},
        {"mpath", MIG_QUEUES_UNKNOWN}, /* no map of that name */
    };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++)
        g_assert_cmpint(mig_multipath_queueing(listing, cases[i].map, 5), ==, cases[i].seconds);
    g_assert_cmpint(mig_multipath_queueing("", "mpatha", 5), ==, MIG_QUEUES_UNKNOWN);
}

static void
test_polling(void)
{
    g_assert_cmpuint(mig_multipath_polling_s("defaults {\n\tpolling_interval 10\n\tx y\n}\n"), ==,
                     10);
    g_assert_cmpuint(mig_multipath_polling_s("defaults {\n\tpolling_interval \"7\"\n}\n"), ==, 7);
    g_assert_cmpuint(mig_multipath_polling_s("defaults {\n}\n"), ==, 5);
    g_assert_cmpuint(mig_multipath_polling_s("defaults {\n\tpolling_interval many\n}\n"), ==, 5);
}

static void
test_no_map(void)
{
    g_assert_cmpint(mig_multipath_queue_s("/dev/null"), ==, MIG_QUEUES_NOT);
    g_assert_cmpint(mig_multipath_queue_s("/nowhere"), ==, MIG_QUEUES_NOT);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/multipath/queueing", test_queueing);
    g_test_add_func("/multipath/polling", test_polling);
    g_test_add_func("/multipath/no-map", test_no_map);
    return g_test_run();
}
