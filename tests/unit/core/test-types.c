/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-types.c - what a node's version says. */
#include "core/types.h"

static void
test_hears_callers(void)
{
    static const struct {
        const char *version;
        gboolean hears;
    } cases[] = {{NULL, FALSE},    {"", FALSE},     {"0.1.0", FALSE}, {"0.2.0", TRUE},
                 {"0.10.1", TRUE}, {"1.0.0", TRUE}, {"2.1", TRUE},    {"x.y", FALSE},
                 {"1", FALSE},     {"-1.0", FALSE}, {".2", FALSE},    {"0.", FALSE},
                 {"0.2", TRUE}};

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        MigNode node = {.version = (char *)cases[i].version};

        g_test_message("%s", cases[i].version ? cases[i].version : "none");
        g_assert_cmpint(mig_node_hears_callers(&node), ==, cases[i].hears);
        g_assert_cmpint(mig_node_is_of_0_3(&node), ==,
                        cases[i].hears && !g_str_has_prefix(cases[i].version, "0.2"));
    }
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/types/hears-callers", test_hears_callers);
    return g_test_run();
}
