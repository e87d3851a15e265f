/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-dirtied.c - two counts of dirty pages make a curve that holds between and beyond them. */
#include "core/dirtied.h"

#include <math.h>

#define MIB 1048576.0

static MigDirtyCurve
curve_of(double first_mib, double last_mib)
{
    const MigDirtied shorter = {1000, (guint64)(first_mib * MIB)};
    const MigDirtied longer = {4000, (guint64)(last_mib * MIB)};

    return mig_dirty_curve(&shorter, &longer);
}

static double
mib_at(const MigDirtyCurve *curve, double s)
{
    return mig_dirty_curve_at(curve, s) / MIB;
}

static void
assert_near(double value, double wanted, double within)
{
    if (fabs(value - wanted) > within)
        g_error("%f is not %f", value, wanted);
}

static void
test_nothing(void)
{
    const MigDirtied none = {0};
    MigDirtyCurve curve = mig_dirty_curve(&none, &none);

    g_assert_cmpfloat(curve.even_s, ==, 0);
    g_assert_cmpfloat(mig_dirty_curve_at(&curve, 100), ==, 0);
    curve = curve_of(0, 0);
    g_assert_cmpfloat(mig_dirty_curve_at(&curve, 1e6), ==, 0);
    g_assert_cmpfloat(mig_dirty_curve_at(&curve, 0), ==, 0);
}

/* One of them is enough for a rate, and says no more. */
static void
test_one(void)
{
    const MigDirtied none = {0}, one = {1000, (guint64)(6 * MIB)},
                     four = {4000, (guint64)(24 * MIB)};
    MigDirtyCurve curve = mig_dirty_curve(&one, &none);

    assert_near(mib_at(&curve, 0.5), 3, 0.01);
    assert_near(mib_at(&curve, 1), 6, 0.01);
    g_assert_false(curve.is_bent);
    g_assert_cmpfloat(mib_at(&curve, 3), >, 12);
    curve = mig_dirty_curve(&none, &four);
    assert_near(mib_at(&curve, 1), 6, 0.01);
    assert_near(mib_at(&curve, 4), 24, 0.01);
}

static void
test_even(void)
{
    /* a handful of pages each: what was seen in four seconds says more of one than one does */
    static const double firsts[] = {2, 4, 6, 8};

    for (guint i = 0; i < G_N_ELEMENTS(firsts); i++) {
        MigDirtyCurve curve = curve_of(firsts[i], 24);

        g_assert_false(curve.is_bent);
        assert_near(mib_at(&curve, 1), 6, 0.01);
        assert_near(mib_at(&curve, 4), 24, 0.01);
        g_assert_cmpfloat(mib_at(&curve, 10), >, 36);
        g_assert_cmpfloat(mib_at(&curve, 1e6), <, 24 * 4);
    }
}

static void
test_bent(void)
{
    /* {in a second, in four, in the long run} */
    static const double sets[][3] = {{12, 16, 16.1}, {48, 48, 48}, {12, 12, 12}, {12, 26, 27.5}};

    for (guint i = 0; i < G_N_ELEMENTS(sets); i++) {
        MigDirtyCurve curve = curve_of(sets[i][0], sets[i][1]);

        g_assert_true(curve.is_bent);
        assert_near(mib_at(&curve, 0.5), sets[i][0] / 2, 0.01);
        assert_near(mib_at(&curve, 1), sets[i][0], 0.01);
        assert_near(mib_at(&curve, 4), sets[i][1], 0.1);
        assert_near(mib_at(&curve, 1e6), sets[i][2], 0.5);
    }
}

static void
test_rises(void)
{
    for (guint i = 0; i < 30 * 40; i++) {
        MigDirtyCurve curve = curve_of(i % 30, i / 30 * 3);
        double before = 0;

        for (double s = 0; s < 30; s += 0.05) {
            double now = mig_dirty_curve_at(&curve, s);

            g_assert_cmpfloat(now + 0.5, >=, before);
            g_assert_true(isfinite(now));
            before = now;
        }
        g_assert_cmpfloat(before, <=, curve.set_bytes + 0.5);
    }
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/dirtied/nothing", test_nothing);
    g_test_add_func("/dirtied/one", test_one);
    g_test_add_func("/dirtied/even", test_even);
    g_test_add_func("/dirtied/bent", test_bent);
    g_test_add_func("/dirtied/rises", test_rises);
    return g_test_run();
}
