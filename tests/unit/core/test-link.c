/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-link.c - each fact of the migration network makes its own check what it is, at either end.
 */
#include "core/link.h"

#include "core/checks.h"
#include "core/timeouts.h"

static char *nothing[] = {NULL};
static char *something[] = {NULL, NULL};
static MigLinkFacts ends[2];
static MigPathFacts path;

static void
good(void)
{
    something[0] = (char *)"10.0.1.9";
    for (guint i = 0; i < 2; i++)
        ends[i] = (MigLinkFacts){.address = (char *)(i ? "10.0.1.2/24" : "10.0.1.1/24"),
                                 .interface = (char *)"mig0",
                                 .is_up = TRUE,
                                 .mtu = 9000,
                                 .guests = nothing,
                                 .clients = nothing};
    path = (MigPathFacts){
        .packet_bytes = 9000, .sent = 20, .answered = 20, .bytes_s = (guint64)1 << 30};
}

/* name NULL: all pass. */
static void
expect(const char *name, MigVerdict verdict, guint count)
{
    g_autoptr(GPtrArray) checks = g_ptr_array_new_with_free_func((GDestroyNotify)mig_check_free);
    gboolean is_there = name == NULL;

    mig_checks_link("A", &ends[0], "B", &ends[1], &path, checks);
    for (guint i = 0; i < checks->len; i++) {
        const MigCheck *check = g_ptr_array_index(checks, i);
        gboolean is_it = g_strcmp0(check->name, name) == 0;

        is_there |= is_it;
        g_test_message("%s: %s", check->name, check->text);
        g_assert_cmpint(check->verdict, ==, is_it ? verdict : MIG_VERDICT_PASS);
        g_assert_true((check->verdict == MIG_VERDICT_PASS) == (check->advice == NULL));
    }
    g_assert_true(is_there);
    g_assert_cmpuint(checks->len, ==, count);
}

#define CASE(change, name, verdict, count) \
    do {                                   \
        good();                            \
        change;                            \
        expect(name, verdict, count);      \
    } while (0)

static void
test_ends(void)
{
    CASE(, NULL, MIG_VERDICT_PASS, 8);
    for (guint i = 0; i < 2; i++) {
        CASE(ends[i].is_up = FALSE, "migration-link-up", MIG_VERDICT_FAIL, 8);
        CASE(ends[i].mtu = 1500, "migration-mtu", MIG_VERDICT_FAIL, 8);
        CASE(ends[i].has_default_route = TRUE, "migration-no-default-route", MIG_VERDICT_FAIL, 8);
        CASE(ends[i].guests = something, "migration-no-guests", MIG_VERDICT_FAIL, 8);
        CASE(ends[i].clients = something, "migration-no-clients", MIG_VERDICT_WARN, 8);
        CASE(ends[i].address = NULL, NULL, MIG_VERDICT_PASS, 0);
    }
}

static void
test_path(void)
{
    CASE(path.answered = 19, "migration-loss", MIG_VERDICT_WARN, 8);
    CASE(path.answered = 16, "migration-loss", MIG_VERDICT_FAIL, 8);
    CASE(path.bytes_s = MIG_LINK_SLOW_BYTES_S - 1, "migration-speed", MIG_VERDICT_WARN, 8);
    CASE(path.bytes_s = MIG_LINK_HOPELESS_BYTES_S - 1, "migration-speed", MIG_VERDICT_FAIL, 8);
    CASE(path.bytes_s = 0, NULL, MIG_VERDICT_PASS, 8); /* other moves were in the way */
    CASE((path.bytes_s = 0, path.not_measured = (char *)"no"), "migration-speed", MIG_VERDICT_WARN,
         8);
    /* full ones do not pass, none do, and none are answered */
    CASE((path.answered = 0, path.small_answered = 3, path.bytes_s = 0), "migration-path",
         MIG_VERDICT_FAIL, 6);
    CASE((path.answered = 0, path.bytes_s = 0), "migration-path", MIG_VERDICT_FAIL, 6);
    CASE(path.answered = 0, "migration-path", MIG_VERDICT_WARN, 7);
}

static void
test_can_send(void)
{
    good();
    g_assert_true(mig_link_can_send(&ends[0], &ends[1]));
    for (guint i = 0; i < 2; i++) {
        good();
        ends[i].is_up = FALSE;
        g_assert_false(mig_link_can_send(&ends[0], &ends[1]));
        good();
        ends[i].address = NULL;
        g_assert_false(mig_link_can_send(&ends[0], &ends[1]));
        good();
        ends[i].address = (char *)"10.0.2.1/24";
        g_assert_false(mig_link_can_send(&ends[0], &ends[1]));
    }
}

/* A node that looks at its own end says each thing once. */
static void
test_own_end(void)
{
    g_autoptr(GPtrArray) checks = g_ptr_array_new_with_free_func((GDestroyNotify)mig_check_free);

    good();
    ends[0].has_default_route = TRUE;
    mig_checks_link("A", &ends[0], "A", &ends[0], NULL, checks);
    g_assert_cmpuint(checks->len, ==, 5);
    g_assert_cmpstr(mig_checks_first_failure(checks)->text, ==, "A: a default route on mig0");
}

/* A target that takes longer to answer than a turn lasts. */
static void
test_turns_to_measure(void)
{
    MigProbeTurn turn = {0};
    gint64 now_ms = 1000;
    guint64 first, second;

    first = mig_probe_begin(&turn, now_ms);
    g_assert_cmpuint(first, !=, 0);
    g_assert_cmpuint(mig_probe_begin(&turn, now_ms), ==, 0);
    now_ms += MIG_PROBE_TURN_MS - 1;
    g_assert_cmpuint(mig_probe_begin(&turn, now_ms), ==, 0);
    g_assert_true(mig_probe_go_on(&turn, first, now_ms)); /* nobody has asked for it meanwhile */
    now_ms += MIG_PROBE_TURN_MS - 1;
    g_assert_cmpuint(mig_probe_begin(&turn, now_ms), ==, 0);
    now_ms++;
    second = mig_probe_begin(&turn, now_ms);
    g_assert_cmpuint(second, !=, 0);
    g_assert_cmpuint(second, !=, first);
    /* who comes late neither measures beside that one nor ends its turn */
    g_assert_false(mig_probe_go_on(&turn, first, now_ms));
    mig_probe_end(&turn, first);
    g_assert_cmpuint(mig_probe_begin(&turn, now_ms), ==, 0);
    mig_probe_end(&turn, second);
    g_assert_false(mig_probe_go_on(&turn, second, now_ms));
    g_assert_cmpuint(mig_probe_begin(&turn, now_ms), !=, 0);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/link/ends", test_ends);
    g_test_add_func("/link/path", test_path);
    g_test_add_func("/link/can-send", test_can_send);
    g_test_add_func("/link/own-end", test_own_end);
    g_test_add_func("/link/turns-to-measure", test_turns_to_measure);
    return g_test_run();
}
