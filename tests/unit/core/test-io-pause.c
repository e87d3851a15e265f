/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-io-pause.c - a VM goes on only where nobody else can have had its disk. */
#include "core/io-pause.h"

static void
test_table(void)
{
    MigIoPause pause = {.is_volume_here = TRUE, .is_lease_known = TRUE, .is_ours = TRUE};

    g_assert_cmpint(mig_io_pause_decide(&pause), ==, MIG_IO_PAUSE_RESUME);
    pause.is_volume_here = FALSE;
    g_assert_cmpint(mig_io_pause_decide(&pause), ==, MIG_IO_PAUSE_WAIT);
    pause.is_volume_here = TRUE;
    pause.is_lease_known = FALSE;
    g_assert_cmpint(mig_io_pause_decide(&pause), ==, MIG_IO_PAUSE_WAIT);
    pause.is_lease_known = TRUE;
    /* given back, and nobody has had it since: or nobody knows */
    pause.is_ours = FALSE;
    pause.is_free = TRUE;
    g_assert_cmpint(mig_io_pause_decide(&pause), ==, MIG_IO_PAUSE_END);
    pause.is_as_held = TRUE;
    g_assert_cmpint(mig_io_pause_decide(&pause), ==, MIG_IO_PAUSE_RESUME);
    pause.failed = MIG_IO_PAUSE_RESUMES;
    g_assert_cmpint(mig_io_pause_decide(&pause), ==, MIG_IO_PAUSE_END);
}

/* Seen held with version 5; whoever takes it makes it one more. */
static void
test_held(void)
{
    g_assert_true(mig_io_pause_is_as_held(5, 5, TRUE));
    g_assert_true(mig_io_pause_is_as_held(5, 6, TRUE)); /* went on, and failed within a look */
    g_assert_false(mig_io_pause_is_as_held(5, 6, FALSE));
    g_assert_false(mig_io_pause_is_as_held(5, 7, TRUE)); /* another one may have had the 6th */
    g_assert_false(mig_io_pause_is_as_held(0, 0, TRUE));
    g_assert_false(mig_io_pause_is_as_held(0, 1, TRUE));
}

/* Half a VM stays, whatever its disk does and whoever has forgotten its lease. */
static void
test_half(void)
{
    MigIoPause pause = {.is_half = TRUE,
                        .is_volume_here = TRUE,
                        .is_lease_known = TRUE,
                        .is_free = TRUE,
                        .failed = MIG_IO_PAUSE_RESUMES};

    g_assert_cmpint(mig_io_pause_decide(&pause), ==, MIG_IO_PAUSE_WAIT);
    pause.is_as_held = TRUE;
    g_assert_cmpint(mig_io_pause_decide(&pause), ==, MIG_IO_PAUSE_WAIT);
    pause.failed = 0; /* not let go on, either */
    g_assert_cmpint(mig_io_pause_decide(&pause), ==, MIG_IO_PAUSE_WAIT);
    pause.is_free = FALSE;
    pause.is_ours = TRUE;
    g_assert_cmpint(mig_io_pause_decide(&pause), ==, MIG_IO_PAUSE_WAIT);
    pause.is_ours = FALSE; /* somebody else runs it */
    g_assert_cmpint(mig_io_pause_decide(&pause), ==, MIG_IO_PAUSE_END);
}

/* A disk that is broken for good: later each time, and never given up for that. */
static void
test_again(void)
{
    MigIoPause pause = {.is_volume_here = TRUE, .is_lease_known = TRUE, .is_ours = TRUE};
    gint64 wait_ms = MIG_IO_PAUSE_AGAIN_MS;

    for (pause.resumed = 1; pause.resumed < 100; pause.resumed++) {
        pause.since_ms = wait_ms - 1;
        g_assert_cmpint(mig_io_pause_decide(&pause), ==, MIG_IO_PAUSE_WAIT);
        pause.since_ms = wait_ms;
        g_assert_cmpint(mig_io_pause_decide(&pause), ==, MIG_IO_PAUSE_RESUME);
        wait_ms = MIN(2 * wait_ms, MIG_IO_PAUSE_AGAIN_MAX_MS);
    }
    pause.since_ms = 0;
    pause.is_lockspace_gone = TRUE; /* that does not wait */
    g_assert_cmpint(mig_io_pause_decide(&pause), ==, MIG_IO_PAUSE_END);
}

/* Whatever is said: never on against another owner, an unknown lease, or without the volume. */
static void
test_property(void)
{
    for (guint bits = 0; bits < 1u << 6; bits++) {
        MigIoPause pause = {.is_volume_here = bits & 1,
                            .is_lockspace_gone = (bits >> 1) & 1,
                            .is_lease_known = (bits >> 2) & 1,
                            .is_free = (bits >> 3) & 1,
                            .is_ours = (bits >> 4) & 1,
                            .is_as_held = (bits >> 5) & 1};

        if (mig_io_pause_decide(&pause) == MIG_IO_PAUSE_RESUME)
            g_assert_true(pause.is_volume_here && !pause.is_lockspace_gone &&
                          pause.is_lease_known &&
                          (pause.is_free ? pause.is_as_held : pause.is_ours));
    }
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/io-pause/table", test_table);
    g_test_add_func("/io-pause/held", test_held);
    g_test_add_func("/io-pause/again", test_again);
    g_test_add_func("/io-pause/half", test_half);
    g_test_add_func("/io-pause/property", test_property);
    return g_test_run();
}
