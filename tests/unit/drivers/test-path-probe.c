/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-path-probe.c - pings and a stream over the loopback device. */
#include "drivers/path-probe.h"

#include <unistd.h>

#define HERE "127.0.0.1"
#define WORD "0123456789abcdef0123456789abcdef"
#define NOT  "0123456789abcdef0123456789abcdeF"

static void
test_ping(void)
{
    if (geteuid() != 0) {
        g_test_skip("needs root");
        return;
    }
    g_assert_cmpuint(mig_path_ping(HERE, HERE, 1500, 5, 2000), ==, 5);
    g_assert_cmpuint(mig_path_ping(HERE, HERE, 0, 3, 2000), ==, 3);
    /* larger than the device takes, and not to be fragmented */
    g_assert_cmpuint(mig_path_ping(HERE, HERE, 65537, 3, 100), ==, 0);
    g_assert_cmpuint(mig_path_ping("no address", HERE, 100, 1, 100), ==, 0);
}

static void
test_speed(void)
{
    g_autoptr(GError) error = NULL;
    guint16 port = mig_path_await(HERE, HERE, WORD);

    g_assert_cmpuint(port, >=, 49200);
    g_assert_cmpuint(mig_path_speed(HERE, HERE, port, WORD, 50, 1, &error), >, 1 << 20);
    g_assert_no_error(error);
}

/* Who does not know the word, or comes from elsewhere, gets nothing. */
static void
test_stranger(void)
{
    g_autoptr(GError) error = NULL, other = NULL;
    guint16 port = mig_path_await(HERE, HERE, WORD);

    g_assert_cmpuint(mig_path_speed(HERE, HERE, port, NOT, 10, 0, &error), ==, 0);
    g_assert_nonnull(error);
    port = mig_path_await(HERE, HERE, WORD);
    g_assert_cmpuint(mig_path_speed("127.0.0.2", HERE, port, WORD, 10, 0, &other), ==, 0);
    g_assert_nonnull(other);
}

static void
test_nobody(void)
{
    g_autoptr(GError) error = NULL;

    g_assert_cmpuint(mig_path_speed(HERE, HERE, 1, WORD, 10, 0, &error), ==, 0);
    g_assert_nonnull(error);
    g_assert_cmpuint(mig_path_await("192.0.2.1", HERE, WORD), ==, 0);
    g_assert_cmpuint(mig_path_await(HERE, HERE, "short"), ==, 0);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/path-probe/ping", test_ping);
    g_test_add_func("/path-probe/speed", test_speed);
    g_test_add_func("/path-probe/stranger", test_stranger);
    g_test_add_func("/path-probe/nobody", test_nobody);
    return g_test_run();
}
