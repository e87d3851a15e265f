/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-tries.c - what ends again and again is slowed down and given up. */
#include "core/timeouts.h"
#include "core/tries.h"

#define LIMIT 3
#define HERE  7

static const gint64 begun_ms = 1000000;

static MigPlaceVm
down(MigTry *one, MigDown how, guint64 version, gint64 now_ms)
{
    MigPlaceVm vm = {.name = "web", .wants_running = TRUE, .down = how};

    mig_try_down(one, version, LIMIT, now_ms, &vm);
    return vm;
}

/* Each start succeeds, is seen to run, and the VM ends again a little later. */
static void
test_crash_loop(void)
{
    MigTry one = {0};
    gint64 now_ms = begun_ms, waited_ms = 0;
    guint starts = 0;

    for (guint64 version = 1; version < 20; version++) {
        MigPlaceVm vm = down(&one, MIG_DOWN_CRASH, version, now_ms);

        g_assert_true(vm.is_held); /* its start may be under way by hand */
        now_ms += MIG_RECOVERY_CRASH_MS;
        vm = down(&one, MIG_DOWN_CRASH, version, now_ms);
        g_assert_false(vm.is_held);
        if (vm.attempts >= LIMIT)
            break;
        g_assert_cmpint(vm.wait_ms, >=, waited_ms);
        waited_ms = vm.wait_ms;
        now_ms += vm.wait_ms;
        g_assert_cmpint(down(&one, MIG_DOWN_CRASH, version, now_ms).wait_ms, ==, 0);
        mig_try_done(&one, MIG_DOWN_CRASH, TRUE, HERE, now_ms);
        starts++;
        g_assert_false(mig_try_up(&one, now_ms + 1)); /* not forgotten, the last one included */
        now_ms += 2;
    }
    g_assert_cmpuint(starts, ==, LIMIT);
    g_assert_cmpint(waited_ms, >, 0);
    g_assert_true(mig_try_up(&one, now_ms)); /* it runs all the same: a person has started it */
}

/* A node's death is no fault of its VMs. */
static void
test_node(void)
{
    MigTry one = {0};

    for (guint i = 0; i < 2 * LIMIT; i++) {
        MigPlaceVm vm = down(&one, MIG_DOWN_NODE, i, begun_ms + i);

        g_assert_false(vm.is_held);
        g_assert_cmpuint(vm.attempts, ==, 0);
        g_assert_cmpint(vm.wait_ms, ==, 0);
        mig_try_done(&one, MIG_DOWN_NODE, TRUE, HERE, begun_ms + i);
    }
}

static void
test_failed(void)
{
    MigTry one = {0};
    MigPlaceVm vm = down(&one, MIG_DOWN_NODE, 1, begun_ms);

    mig_try_done(&one, MIG_DOWN_NODE, FALSE, HERE, begun_ms);
    vm = down(&one, MIG_DOWN_NODE, 1, begun_ms + 1);
    g_assert_cmpuint(vm.attempts, ==, 1);
    g_assert_cmpuint(vm.not_host_id, ==, HERE);
    g_assert_cmpint(vm.wait_ms, ==, mig_place_backoff_ms(1) - 1);
    mig_try_done(&one, MIG_DOWN_NODE, TRUE, HERE + 1, begun_ms + 2);
    vm = down(&one, MIG_DOWN_NODE, 2, begun_ms + 3);
    g_assert_cmpuint(vm.not_host_id, ==, 0);
}

static void
test_forget(void)
{
    MigTry one = {0};

    g_assert_true(mig_try_up(&one, begun_ms)); /* nothing to remember */
    mig_try_done(&one, MIG_DOWN_CRASH, TRUE, HERE, begun_ms);
    g_assert_false(mig_try_up(&one, begun_ms + MIG_RECOVERY_FORGET_MS));
    g_assert_true(mig_try_up(&one, begun_ms + MIG_RECOVERY_FORGET_MS + 1));
}

/* Ended with its disk: as by its node's death, at once, but it counts; and only while it is said.
 */
static void
test_disk(void)
{
    MigTry one = {0};
    MigPlaceVm vm;

    mig_try_ask(&one, 0, begun_ms);
    vm = down(&one, MIG_DOWN_CRASH, 1, begun_ms + 1);
    g_assert_cmpint(vm.down, ==, MIG_DOWN_DISK);
    g_assert_false(vm.is_held);
    g_assert_cmpint(down(&one, MIG_DOWN_NODE, 1, begun_ms + 1).down, ==, MIG_DOWN_NODE);
    vm = down(&one, MIG_DOWN_CRASH, 1, begun_ms + MIG_AGAIN_VALID_MS + 1);
    g_assert_cmpint(vm.down, ==, MIG_DOWN_CRASH);
    mig_try_ask(&one, 0, begun_ms);
    mig_try_done(&one, MIG_DOWN_DISK, TRUE, HERE, begun_ms + 1);
    vm = down(&one, MIG_DOWN_CRASH, 2, begun_ms + 2);
    g_assert_cmpint(vm.down, ==, MIG_DOWN_CRASH); /* what was asked for is done */
    g_assert_cmpuint(vm.attempts, ==, 1);
    mig_try_ask(&one, 0, begun_ms + 3);
    mig_try_up(&one, begun_ms + 4); /* or somebody else has done it */
    g_assert_cmpint(down(&one, MIG_DOWN_CRASH, 3, begun_ms + 5).down, ==, MIG_DOWN_CRASH);
    mig_try_ask(&one, 3, begun_ms + 6); /* of that run, and of no later one */
    g_assert_cmpint(down(&one, MIG_DOWN_CRASH, 3, begun_ms + 7).down, ==, MIG_DOWN_DISK);
    g_assert_cmpint(down(&one, MIG_DOWN_CRASH, 4, begun_ms + 7).down, ==, MIG_DOWN_CRASH);
}

/* A lock that a dead host has left falls by itself: nobody is to blame meanwhile. */
static void
test_locked(void)
{
    MigTry one = {0};
    gint64 now_ms = begun_ms;
    guint tries = 0;
    MigPlaceVm vm = down(&one, MIG_DOWN_NODE, 1, now_ms);

    g_assert_false(vm.is_locked);
    while (now_ms <= begun_ms + MIG_RECOVERY_PASSING_MS) {
        g_assert_true(mig_try_passing(&one, MIG_DOWN_NODE, TRUE, HERE, now_ms) == (tries == 0));
        g_assert_true(one.is_passing);
        vm = down(&one, MIG_DOWN_NODE, 1, now_ms);
        g_assert_true(vm.is_locked);
        g_assert_cmpuint(vm.attempts, ==, 0);
        g_assert_cmpuint(vm.not_host_id, ==, 0); /* no other node would fare better */
        g_assert_cmpint(vm.wait_ms, >, 0);
        g_assert_cmpint(vm.wait_ms, <=, MIG_RECOVERY_PASSING_AGAIN_MS);
        now_ms += vm.wait_ms;
        tries++;
    }
    g_assert_cmpuint(tries, >, 2 * LIMIT);
    g_assert_cmpuint(tries, <, 40); /* each is a QEMU that is started */
    /* somebody tries by hand meanwhile: that is not what is waited for, and counts as little */
    g_assert_true(
        mig_try_passing(&one, MIG_DOWN_NODE, FALSE, HERE, begun_ms + MIG_RECOVERY_PASSING_MS));
    g_assert_false(
        mig_try_passing(&one, MIG_DOWN_NODE, FALSE, HERE, begun_ms + MIG_RECOVERY_PASSING_MS));
    vm = down(&one, MIG_DOWN_NODE, 1, now_ms);
    g_assert_false(vm.is_locked);
    g_assert_cmpuint(vm.attempts, ==, 0);
    /* that is no dead host's any more: it counts, and each one is told */
    g_assert_true(mig_try_passing(&one, MIG_DOWN_NODE, TRUE, HERE, now_ms));
    g_assert_false(one.is_passing);
    vm = down(&one, MIG_DOWN_NODE, 1, now_ms);
    g_assert_true(vm.is_locked);
    g_assert_cmpuint(vm.attempts, ==, 1);
    /* it fails for another reason: that is what is told */
    mig_try_done(&one, MIG_DOWN_NODE, FALSE, HERE, now_ms);
    g_assert_false(down(&one, MIG_DOWN_NODE, 1, now_ms).is_locked);
    g_assert_cmpuint(down(&one, MIG_DOWN_NODE, 1, now_ms).attempts, ==, 2);
}

/* The next host that dies leaves locks for as long again. */
static void
test_locked_again(void)
{
    MigTry one = {0};
    gint64 later_ms = begun_ms + 2 * MIG_RECOVERY_PASSING_MS;

    mig_try_passing(&one, MIG_DOWN_NODE, TRUE, HERE, begun_ms);
    mig_try_done(&one, MIG_DOWN_NODE, TRUE, HERE, begun_ms + 1);
    g_assert_false(one.is_passing);
    g_assert_true(mig_try_passing(&one, MIG_DOWN_NODE, TRUE, HERE, later_ms));
    g_assert_cmpuint(down(&one, MIG_DOWN_NODE, 2, later_ms).attempts, ==, 0);
    mig_try_up(&one, later_ms); /* somebody has started it */
    g_assert_false(down(&one, MIG_DOWN_NODE, 3, later_ms).is_locked);
    g_assert_false(one.is_passing);
    later_ms += 2 * MIG_RECOVERY_PASSING_MS;
    g_assert_true(mig_try_passing(&one, MIG_DOWN_NODE, TRUE, HERE, later_ms));
    g_assert_cmpuint(down(&one, MIG_DOWN_NODE, 3, later_ms).attempts, ==, 0);
}

/* The QEMU of a failed start had the lease: by that it ended by itself, on a node that lives. */
static void
test_failed_with_lease(void)
{
    static const MigDown reasons[] = {MIG_DOWN_NODE, MIG_DOWN_DISK};
    gint64 now_ms;

    for (guint i = 0; i < G_N_ELEMENTS(reasons); i++) {
        MigTry one = {0};

        g_assert_cmpint(down(&one, reasons[i], 1, begun_ms).down, ==, reasons[i]);
        now_ms = begun_ms + 1;
        mig_try_done(&one, reasons[i], FALSE, HERE, now_ms);
        mig_try_up(&one, ++now_ms); /* its lease is seen for a moment more */
        g_assert_cmpint(down(&one, MIG_DOWN_CRASH, 2, ++now_ms).down, ==, reasons[i]);
        mig_try_passing(&one, reasons[i], FALSE, HERE, ++now_ms);
        g_assert_cmpint(down(&one, MIG_DOWN_CRASH, 3, ++now_ms).down, ==, reasons[i]);
        /* a start that succeeds, and one by a person, make it one that ends by itself */
        mig_try_done(&one, reasons[i], TRUE, HERE + 1, ++now_ms);
        g_assert_cmpint(down(&one, MIG_DOWN_CRASH, 4, ++now_ms).down, ==, MIG_DOWN_CRASH);
        mig_try_done(&one, reasons[i], FALSE, HERE, ++now_ms);
        now_ms += MIG_RECOVERY_SETTLE_MS + 1;
        mig_try_up(&one, now_ms);
        g_assert_cmpint(down(&one, MIG_DOWN_CRASH, 5, ++now_ms).down, ==, MIG_DOWN_CRASH);
    }
}

/* While another node restarted for that volume it ran, and nobody told this one. */
static void
test_long_ago(void)
{
    MigTry one = {0};
    gint64 now_ms = begun_ms;

    for (guint i = 0; i < LIMIT; i++)
        mig_try_done(&one, MIG_DOWN_CRASH, FALSE, HERE, ++now_ms);
    /* given up for good, as long as it does not run */
    g_assert_cmpuint(down(&one, MIG_DOWN_CRASH, 1, ++now_ms).attempts, ==, LIMIT);
    now_ms += 2 * MIG_RECOVERY_FORGET_MS;
    g_assert_cmpuint(down(&one, MIG_DOWN_CRASH, 1, now_ms).attempts, ==, LIMIT);
    /* it has had its lease since: what was tried that long ago is of no matter */
    MigPlaceVm vm = down(&one, MIG_DOWN_NODE, 2, ++now_ms);

    g_assert_cmpuint(vm.attempts, ==, 0);
    g_assert_cmpuint(vm.not_host_id, ==, 0);
    g_assert_cmpint(vm.wait_ms, ==, 0);
    /* nor is for how long its disk was locked then */
    mig_try_passing(&one, MIG_DOWN_NODE, TRUE, HERE, ++now_ms);
    now_ms += 2 * MIG_RECOVERY_FORGET_MS;
    down(&one, MIG_DOWN_NODE, 3, now_ms);
    g_assert_true(mig_try_passing(&one, MIG_DOWN_NODE, TRUE, HERE, ++now_ms));
    g_assert_cmpuint(down(&one, MIG_DOWN_NODE, 3, ++now_ms).attempts, ==, 0);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/tries/crash-loop", test_crash_loop);
    g_test_add_func("/tries/node", test_node);
    g_test_add_func("/tries/failed", test_failed);
    g_test_add_func("/tries/forget", test_forget);
    g_test_add_func("/tries/long-ago", test_long_ago);
    g_test_add_func("/tries/disk", test_disk);
    g_test_add_func("/tries/locked", test_locked);
    g_test_add_func("/tries/locked-again", test_locked_again);
    g_test_add_func("/tries/failed-with-lease", test_failed_with_lease);
    return g_test_run();
}
