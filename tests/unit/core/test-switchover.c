/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-switchover.c - two clocks that have nothing to do with each other give one time line. */

#include "core/switchover.h"

/* The source's clock and the target's, at the same moment. */
#define SOURCE_US (G_GINT64_CONSTANT(5000) * 1000000)
#define TARGET_US (G_GINT64_CONSTANT(77) * 1000000)

typedef struct {
    GArray *moments;
    gint64 blackout_ms, within_ms;
} Line;

static const MigMoment *
find(const Line *line, const char *what)
{
    for (guint i = 0; i < line->moments->len; i++) {
        const MigMoment *moment = &g_array_index(line->moments, MigMoment, i);

        if (g_str_equal(moment->what, what))
            return moment;
    }
    return NULL;
}

/* Stop at 0, libvirt tells of it 8 ms later, all arrived after 40 ms, it runs after 90 ms; 200 ms
 * after the stop the source asks, the question takes there_us, the target took_us, the answer
 * back_us. */
static Line
line_of(gint64 there_us, gint64 took_us, gint64 back_us)
{
    const MigSwitchSeen source = {.stopped_us = SOURCE_US, .released_us = SOURCE_US + 8000};
    const MigSwitchSeen target = {.arrived_us = TARGET_US + 40000, .running_us = TARGET_US + 90000};
    const gint64 asked_us = 200000, came_us = asked_us + there_us, left_us = came_us + took_us;
    const MigSwitchTold told =
        mig_switchover_tell(&target, TARGET_US + came_us, TARGET_US + left_us);
    const MigSwitchThere there =
        mig_switchover_there(&told, SOURCE_US + asked_us, SOURCE_US + left_us + back_us);
    Line line = {.moments = g_array_new(FALSE, TRUE, sizeof(MigMoment))};

    mig_switchover_line(&source, &there, line.moments, &line.blackout_ms, &line.within_ms);
    return line;
}

static void
assert_holds(const Line *line, const char *what, gint64 at_us)
{
    const MigMoment *moment = find(line, what);

    g_assert_nonnull(moment);
    g_assert_cmpint(moment->after.from_us, <=, at_us);
    g_assert_cmpint(moment->after.to_us, >=, at_us);
}

/* However unequal the ways: the truth is within what is said, and that is as wide as they are long.
 */
static void
test_bounds(void)
{
    static const gint64 ways_us[][2] = {{100, 100}, {0, 30000}, {30000, 0}, {700, 1900}, {0, 0}};

    for (guint i = 0; i < G_N_ELEMENTS(ways_us); i++) {
        for (gint64 took_us = 0; took_us <= 50000; took_us += 25000) {
            gint64 way_us = ways_us[i][0] + ways_us[i][1];
            Line line = line_of(ways_us[i][0], took_us, ways_us[i][1]);
            const MigMoment *running = find(&line, "running");

            assert_holds(&line, "running", 90000);
            assert_holds(&line, "arrived", 40000);
            g_assert_cmpint(running->after.to_us - running->after.from_us, ==, way_us);
            g_assert_true(running->on_target);
            g_assert_cmpint(ABS(line.blackout_ms - 90), <=, line.within_ms);
            g_assert_cmpint(line.within_ms, <=, way_us / 2000 + 1);
            g_array_unref(line.moments);
        }
    }
}

static void
test_lease(void)
{
    Line line = line_of(500, 3000, 500);
    const MigMoment *released = find(&line, "lease-released"), *taken = find(&line, "lease-taken");

    g_assert_cmpint(released->after.from_us, ==, 0);
    g_assert_cmpint(released->after.to_us, ==, 8000);
    g_assert_false(released->on_target);
    /* no better known than between the two events around it */
    g_assert_cmpint(taken->after.from_us, <=, 40000);
    g_assert_cmpint(taken->after.to_us, >=, 90000);
    g_assert_cmpstr(mig_moment_name("lease-taken"), ==, "lease-taken");
    g_assert_null(mig_moment_name("flying"));
    g_assert_null(mig_moment_name(NULL));
    g_array_unref(line.moments);
}

static void
test_unknown(void)
{
    g_autoptr(GArray) moments = g_array_new(FALSE, TRUE, sizeof(MigMoment));
    MigSwitchSeen seen = {0};
    MigSwitchThere there = {.running = {SOURCE_US, SOURCE_US + 10}};
    gint64 blackout_ms = 0, within_ms = 0;

    /* a daemon that was restarted after the stop */
    mig_switchover_line(&seen, &there, moments, &blackout_ms, &within_ms);
    g_assert_cmpint(blackout_ms, ==, -1);
    g_assert_cmpuint(moments->len, ==, 0);
    /* a target that does not tell */
    seen.stopped_us = SOURCE_US;
    there = (MigSwitchThere){0};
    mig_switchover_line(&seen, &there, moments, &blackout_ms, &within_ms);
    g_assert_cmpint(blackout_ms, ==, -1);
    g_assert_cmpint(within_ms, ==, -1);
    g_assert_cmpuint(moments->len, ==, 1);
    /* what it tells is from before */
    there.running = (MigSpan){SOURCE_US - 2000000, SOURCE_US - 1000000};
    mig_switchover_line(&seen, &there, moments, &blackout_ms, &within_ms);
    g_assert_cmpint(blackout_ms, ==, -1);
}

/* On the target, to whom a late question comes: what happened to the guest after it had come is no
 * part of how it came. */
static void
test_seen_there(void)
{
    MigSwitchSeen seen = {.is_complete = TRUE};

    mig_switchover_arrived(&seen, 100);
    g_assert_false(seen.has_run);
    mig_switchover_running(&seen, 110);
    g_assert_true(seen.has_run);
    mig_switchover_stopped(&seen, 500); /* suspended, or its disk failed */
    mig_switchover_running(&seen, 900);
    g_assert_cmpint(seen.arrived_us, ==, 100);
    g_assert_cmpint(seen.running_us, ==, 110);
    g_assert_cmpint(seen.stopped_us, ==, 0);
    /* stopped before anybody had let it run: it has come all the same */
    seen = (MigSwitchSeen){.is_complete = TRUE};
    mig_switchover_arrived(&seen, 100);
    mig_switchover_stopped(&seen, 105);
    mig_switchover_running(&seen, 110);
    g_assert_cmpint(seen.arrived_us, ==, 100);
    g_assert_cmpint(seen.running_us, ==, 110);
    g_assert_true(seen.is_complete);
}

/* On the source the last stop counts, and that it ran at any time is not forgotten. */
static void
test_seen_here(void)
{
    MigSwitchSeen seen = {.is_complete = TRUE};

    mig_switchover_stopped(&seen, 100);
    mig_switchover_running(&seen, 200);
    mig_switchover_stopped(&seen, 300);
    g_assert_cmpint(seen.stopped_us, ==, 300);
    g_assert_cmpint(seen.running_us, ==, 0);
    g_assert_true(seen.has_run);
    mig_switchover_arrived(&seen, 310); /* all was sent */
    mig_switchover_running(&seen, 400); /* and it came to nothing */
    g_assert_cmpint(seen.running_us, ==, 400);
}

/* A peer may say what it likes. */
static void
test_hostile(void)
{
    static const gint64 values[] = {G_MININT64, -1, 0, 1, 200000, G_MAXINT64};

    for (guint i = 0; i < G_N_ELEMENTS(values); i++) {
        for (guint k = 0; k < G_N_ELEMENTS(values); k++) {
            const MigSwitchTold told = {values[i], values[i], values[k]};
            MigSwitchThere there = mig_switchover_there(&told, SOURCE_US, SOURCE_US + 1000);

            g_assert_cmpint(there.running.from_us, >=, 0);
            g_assert_cmpint(there.running.from_us, <=, there.running.to_us);
            g_assert_cmpint(there.running.to_us, <=, SOURCE_US + 1000);
        }
    }
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/switchover/bounds", test_bounds);
    g_test_add_func("/switchover/lease", test_lease);
    g_test_add_func("/switchover/unknown", test_unknown);
    g_test_add_func("/switchover/seen-there", test_seen_there);
    g_test_add_func("/switchover/seen-here", test_seen_here);
    g_test_add_func("/switchover/hostile", test_hostile);
    return g_test_run();
}
