/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-bandwidth.c - moves on one link never get more than it has, and share it evenly. */
#include "core/bandwidth.h"

#define MOST 8

static void
expect(guint64 cap, const guint64 *wishes, const guint64 *wanted, guint count)
{
    guint64 shares[MOST];

    mig_bandwidth_share(cap, wishes, count, shares);
    for (guint i = 0; i < count; i++)
        g_assert_cmpuint(shares[i], ==, wanted[i]);
}

#define CASE(cap, count, ...)                          \
    do {                                               \
        const guint64 table[2][count] = {__VA_ARGS__}; \
        expect(cap, table[0], table[1], count);        \
    } while (0)

static void
test_table(void)
{
    CASE(0, 2, {0, 7}, {0, 7});
    CASE(100, 1, {0}, {100});
    CASE(100, 1, {30}, {30});
    CASE(100, 1, {300}, {100});
    CASE(100, 2, {0, 0}, {50, 50});
    CASE(100, 2, {10, 0}, {10, 90});
    CASE(100, 3, {10, 0, 0}, {10, 45, 45});
    CASE(100, 3, {10, 40, 0}, {10, 40, 50});
    CASE(100, 3, {90, 80, 0}, {33, 33, 33});
    CASE(100, 2, {50, 50}, {50, 50});
    CASE(1, 2, {0, 0}, {1, 1}); /* nobody stands still */
    mig_bandwidth_share(100, NULL, 0, NULL);
}

static void
test_ends(void)
{
    g_assert_cmpuint(mig_bandwidth_even(0, 3), ==, 0);
    g_assert_cmpuint(mig_bandwidth_even(100, 0), ==, 100);
    g_assert_cmpuint(mig_bandwidth_even(100, 1), ==, 100);
    g_assert_cmpuint(mig_bandwidth_even(100, 3), ==, 33);
    g_assert_cmpuint(mig_bandwidth_even(1, 3), ==, 1); /* 0 would lift it */
    g_assert_cmpuint(mig_bandwidth_lower(0, 0), ==, 0);
    g_assert_cmpuint(mig_bandwidth_lower(7, 0), ==, 7);
    g_assert_cmpuint(mig_bandwidth_lower(0, 7), ==, 7);
    g_assert_cmpuint(mig_bandwidth_lower(8, 7), ==, 7);
}

static void
test_any(void)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(7);

    for (guint round = 0; round < 20000; round++) {
        guint count = (guint)g_rand_int_range(rand, 1, MOST + 1);
        guint64 cap = (guint64)g_rand_int_range(rand, 1000, 100000), sum = 0;
        guint64 wishes[MOST], shares[MOST], most = 0;

        for (guint i = 0; i < count; i++)
            wishes[i] = g_rand_boolean(rand) ? 0 : (guint64)g_rand_int_range(rand, 1, 50000);
        mig_bandwidth_share(cap, wishes, count, shares);
        for (guint i = 0; i < count; i++) {
            sum += shares[i];
            most = MAX(most, shares[i]);
            g_assert_cmpuint(shares[i], >, 0);
            g_assert_true(wishes[i] == 0 || shares[i] <= wishes[i]);
        }
        g_assert_cmpuint(sum, <=, cap);
        /* who has less than another one has all that it wants */
        for (guint i = 0; i < count; i++)
            g_assert_true(shares[i] == most || shares[i] == wishes[i]);
    }
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/bandwidth/table", test_table);
    g_test_add_func("/bandwidth/ends", test_ends);
    g_test_add_func("/bandwidth/any", test_any);
    return g_test_run();
}
