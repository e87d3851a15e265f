/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-net.c - finding one's own address in a network. */
#include "net.h"

static void
test_loopback(void)
{
    g_autofree char *by_network = mig_net_own_address("127.0.0.0/8");
    g_autofree char *by_address = mig_net_own_address("127.5.6.7/8");

    g_assert_cmpstr(by_network, ==, "127.0.0.1/8");
    g_assert_cmpstr(by_address, ==, "127.0.0.1/8");
}

static void
test_none(void)
{
    static const char *const networks[] = {
        "198.51.100.0/24", "127.0.0.0/9", "127.0.0.1",  "::1/128",
        "0.0.0.0/0",       "rubbish",     "127.0.0.1/", ""};

    for (guint i = 0; i < G_N_ELEMENTS(networks); i++)
        g_assert_null(mig_net_own_address(networks[i]));
    g_assert_null(mig_net_own_address(NULL));
}

/* A slot has the address as somebody has written it, a socket as it is written usually. */
static void
test_same(void)
{
    static const struct {
        const char *a, *b;
        gboolean is_same;
    } cases[] = {
        {"FD00::1", "fd00::1", TRUE},
        {"fd00:0::1", "fd00::1", TRUE},
        {"fd00:0:0:0:0:0:0:1", "fd00::1", TRUE},
        {"10.77.0.1", "10.77.0.1", TRUE},
        {"fd00::1", "fd00::11", FALSE},
        {"10.77.0.1", "10.77.0.11", FALSE},
        {"10.77.0.1", "::ffff:10.77.0.1", FALSE},
        {"rubbish", "rubbish", FALSE},
        {"", "", FALSE},
        {NULL, NULL, FALSE},
        {"fd00::1", NULL, FALSE},
    };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_assert_cmpint(mig_net_is_same(cases[i].a, cases[i].b), ==, cases[i].is_same);
        g_assert_cmpint(mig_net_is_same(cases[i].b, cases[i].a), ==, cases[i].is_same);
    }
    g_assert_cmpint(mig_net_is_link_up("0:0:0:0:0:0:0:1"), ==, mig_net_is_link_up("::1"));
    g_assert_true(mig_net_is_link_up("127.0.0.1"));
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/net/loopback", test_loopback);
    g_test_add_func("/net/none", test_none);
    g_test_add_func("/net/same", test_same);
    return g_test_run();
}
