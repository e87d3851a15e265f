/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-failover.c - silence is not death, and what is proof is never guessed. */
#include "core/failover.h"

#define YOUNG 500
#define OLD   3500

static const MigWatcher watcher = {.watched_ms = 60000,
                                   .is_network_here = TRUE,
                                   .network_seen_ms = 60000,
                                   .renewal_ms = 20000,
                                   .suspect_ms = 3000};

static MigEvidence
healthy(void)
{
    return (MigEvidence){.heartbeat_ms = YOUNG,
                         .heartbeat_old_ms = YOUNG,
                         .steady_ms = 60000,
                         .peer_ms = YOUNG,
                         .management_ms = YOUNG,
                         .migration_ms = YOUNG,
                         .word = MIG_WORD_LIVE};
}

static MigEvidence
silent(void)
{
    return (MigEvidence){.heartbeat_ms = OLD,
                         .heartbeat_old_ms = OLD,
                         .steady_ms = 60000,
                         .peer_ms = OLD,
                         .management_ms = OLD,
                         .migration_ms = OLD,
                         .word = MIG_WORD_LIVE};
}

static MigFinding
judge(const MigWatcher *as, const MigEvidence *other)
{
    MigEvidence nodes[2] = {healthy(), *other};
    MigFinding findings[2];

    nodes[0].is_self = TRUE;
    mig_failover_judge(as, nodes, 2, findings);
    g_assert_cmpint(findings[0].life, ==, MIG_LIFE_UP);
    g_assert_nonnull(findings[1].rule);
    return findings[1];
}

static void
expect(const MigEvidence *other, MigLife life, gboolean fence, gboolean restart)
{
    MigFinding finding = judge(&watcher, other);

    g_test_message("%s: %s", mig_life_name(finding.life), finding.rule);
    g_assert_cmpstr(mig_life_name(finding.life), ==, mig_life_name(life));
    g_assert_cmpint(finding.should_fence, ==, fence);
    g_assert_cmpint(finding.may_restart, ==, restart);
}

static void
test_table(void)
{
    MigEvidence node = healthy();

    expect(&node, MIG_LIFE_UP, FALSE, FALSE);
    node = silent();
    expect(&node, MIG_LIFE_SUSPECT, TRUE, FALSE);
    node.migration_ms = MIG_NEVER_ASKED; /* has no such address */
    expect(&node, MIG_LIFE_SUSPECT, TRUE, FALSE);
    /* one sign of the machine, on any network, is enough */
    node = silent();
    node.management_ms = YOUNG;
    expect(&node, MIG_LIFE_SUSPECT, FALSE, FALSE);
    node = silent();
    node.migration_ms = YOUNG;
    expect(&node, MIG_LIFE_SUSPECT, FALSE, FALSE);
    node = silent();
    node.peer_ms = YOUNG;
    expect(&node, MIG_LIFE_DISK_LOST, FALSE, FALSE);
    /* cut off: the disk speaks for it */
    node = silent();
    node.heartbeat_ms = node.heartbeat_old_ms = YOUNG;
    expect(&node, MIG_LIFE_CUT_OFF, FALSE, FALSE);
    node = healthy();
    node.heartbeat_old_ms = OLD;
    expect(&node, MIG_LIFE_DISK_LOST, FALSE, FALSE);
    node = silent();
    node.has_left = TRUE;
    expect(&node, MIG_LIFE_LEFT, FALSE, TRUE);
    node = silent();
    node.is_fenced = TRUE;
    expect(&node, MIG_LIFE_FENCED, FALSE, TRUE);
    node = silent();
    node.word = MIG_WORD_FREE;
    expect(&node, MIG_LIFE_DEAD, FALSE, TRUE);
}

/* Its leases have run out: sanlock there has ended its VMs, or cannot, and the machine answers or
 * is frozen. Nobody waits for a watchdog where it can be switched off. */
static void
test_disk_failed(void)
{
    MigEvidence node = silent();
    MigWatcher as = watcher;

    node.word = MIG_WORD_FAIL;
    expect(&node, MIG_LIFE_SUSPECT, TRUE, FALSE);
    node.management_ms = YOUNG; /* frozen, its kernel answers */
    expect(&node, MIG_LIFE_SUSPECT, TRUE, FALSE);
    node.volumes = 1; /* as it said when it still answered */
    expect(&node, MIG_LIFE_SUSPECT, TRUE, FALSE);
    /* it answers: only one that says that it has no volume left has nothing to lose by a fence */
    node.peer_ms = YOUNG;
    expect(&node, MIG_LIFE_DISK_LOST, FALSE, FALSE);
    node.volumes = -1;
    expect(&node, MIG_LIFE_DISK_LOST, FALSE, FALSE);
    node.word = MIG_WORD_DEAD; /* no watchdog, so no proof */
    expect(&node, MIG_LIFE_DISK_LOST, FALSE, FALSE);
    node.volumes = 0;
    expect(&node, MIG_LIFE_DEAD, TRUE, FALSE);
    node.word = MIG_WORD_FAIL;
    expect(&node, MIG_LIFE_DISK_LOST, TRUE, FALSE);
    /* it writes again: sanlock's word is late */
    node.heartbeat_ms = node.heartbeat_old_ms = YOUNG;
    expect(&node, MIG_LIFE_UP, FALSE, FALSE);
    node = silent();
    node.word = MIG_WORD_FAIL;
    as.watched_ms = 5999;
    g_assert_false(judge(&as, &node).should_fence);
}

static void
test_watchdog(void)
{
    MigEvidence node = silent();
    MigWatcher unsafe = watcher;

    unsafe.is_unsafe = TRUE;
    node.word = MIG_WORD_DEAD;
    expect(&node, MIG_LIFE_DEAD, TRUE, FALSE); /* no proof, but an agent could bring one */
    node.management_ms = YOUNG;
    expect(&node, MIG_LIFE_DEAD, TRUE, FALSE);
    g_assert_true(judge(&unsafe, &node).may_restart);
    g_assert_false(judge(&unsafe, &node).should_fence);
    node.is_armed = TRUE;
    expect(&node, MIG_LIFE_DEAD, FALSE, TRUE);
    /* it writes: its watchdog cannot have fired, armed or not */
    node.heartbeat_ms = node.heartbeat_old_ms = YOUNG;
    expect(&node, MIG_LIFE_SUSPECT, FALSE, FALSE);
    g_assert_false(judge(&unsafe, &node).may_restart);
    /* fenced, and back */
    node = healthy();
    node.is_fenced = TRUE;
    expect(&node, MIG_LIFE_UP, FALSE, FALSE);
}

static void
test_fault_here(void)
{
    MigEvidence node = silent();
    MigWatcher as = watcher;

    as.is_network_here = FALSE;
    g_assert_false(judge(&as, &node).should_fence);
    as = watcher;
    as.watched_ms = 5999; /* just started, or just thawed */
    g_assert_false(judge(&as, &node).should_fence);
    node.word = MIG_WORD_DEAD;
    node.is_armed = TRUE;
    g_assert_false(judge(&as, &node).may_restart);
    as = watcher;
    as.fence_delay_ms = 10000;
    node = silent();
    g_assert_false(judge(&as, &node).should_fence);
    node.heartbeat_ms = node.peer_ms = node.management_ms = node.migration_ms = 13000;
    g_assert_true(judge(&as, &node).should_fence);
}

/* Its own disk away: nobody's heartbeat moves, and nobody is touched, not even the fenced. */
static void
test_own_disk(void)
{
    MigEvidence nodes[3] = {silent(), silent(), silent()};
    MigFinding findings[3];

    nodes[0].is_self = TRUE;
    nodes[1].is_fenced = TRUE;
    nodes[2].word = MIG_WORD_DEAD;
    nodes[2].is_armed = TRUE;
    mig_failover_judge(&watcher, nodes, 3, findings);
    g_assert_cmpint(findings[0].life, ==, MIG_LIFE_DISK_LOST);
    for (guint i = 0; i < 3; i++) {
        g_assert_false(findings[i].should_fence);
        g_assert_false(findings[i].may_restart);
    }
}

static guint
count_fenced(const MigWatcher *as, const MigEvidence *nodes, guint count)
{
    MigFinding findings[8];
    guint fenced = 0;

    mig_failover_judge(as, nodes, count, findings);
    for (guint i = 0; i < count; i++) {
        g_assert_false(findings[i].may_restart);
        fenced += findings[i].should_fence;
    }
    return fenced;
}

/* Disk or network were away for all, and are back here a moment before they are elsewhere: all that
 * is old then is what this node has not seen. */
static void
test_blind(void)
{
    MigEvidence nodes[3] = {healthy(), silent(), silent()};
    MigWatcher as = watcher;

    nodes[0].is_self = TRUE;
    nodes[1].steady_ms = 5999;
    g_assert_cmpuint(count_fenced(&as, nodes, 2), ==, 0);
    nodes[1].steady_ms = 6000;
    g_assert_cmpuint(count_fenced(&as, nodes, 2), ==, 1);
    as.network_seen_ms = 5999;
    g_assert_cmpuint(count_fenced(&as, nodes, 2), ==, 0);
    as = watcher;
    as.fence_delay_ms = 10000;
    as.network_seen_ms = 12999;
    nodes[1].steady_ms = 60000;
    nodes[1].heartbeat_ms = nodes[1].peer_ms = 50000;
    nodes[1].management_ms = nodes[1].migration_ms = 50000;
    g_assert_cmpuint(count_fenced(&as, nodes, 2), ==, 0);
    as.network_seen_ms = 13000;
    g_assert_cmpuint(count_fenced(&as, nodes, 2), ==, 1);
    /* sanlock's words are as old as what it could read */
    as = watcher;
    nodes[1] = silent();
    for (guint i = 0; i < 2; i++) {
        nodes[1].word = i ? MIG_WORD_FAIL : MIG_WORD_DEAD;
        nodes[1].peer_ms = YOUNG;
        nodes[1].steady_ms = 39999;
        g_assert_cmpuint(count_fenced(&as, nodes, 2), ==, 0);
        nodes[1].steady_ms = 40000;
        g_assert_cmpuint(count_fenced(&as, nodes, 2), ==, 1);
    }
    /* and too many at once are the LUN's fault */
    nodes[2].word = MIG_WORD_FAIL;
    g_assert_cmpuint(count_fenced(&as, nodes, 3), ==, 0);
    nodes[2] = healthy();
    g_assert_cmpuint(count_fenced(&as, nodes, 3), ==, 1);
}

/* Nothing is done about it, whatever else is said of it. */
static void
expect_suspect_always(MigEvidence node)
{
    for (guint word = MIG_WORD_UNKNOWN; word <= MIG_WORD_FREE; word++) {
        MigEvidence beats = node;

        node.is_armed = beats.is_armed = TRUE;
        node.is_fenced = beats.is_fenced = word == MIG_WORD_LIVE;
        node.word = beats.word = (MigWord)word;
        expect(&node, MIG_LIFE_SUSPECT, FALSE, FALSE);
        beats.heartbeat_ms = beats.heartbeat_old_ms = YOUNG; /* not for long yet, or elsewhere */
        g_assert_false(judge(&watcher, &beats).may_restart);
    }
}

/* What this node saw last on a volume that it has lost says nothing, whatever it was. */
static void
test_unseen(void)
{
    MigEvidence node = silent();

    node.is_unseen = TRUE;
    expect_suspect_always(node);
}

/* Where a snapshot of the LUN is attached here, another node's heartbeat is on the LUN itself. */
static void
test_elsewhere(void)
{
    static const char *const beats[] = {"", "u", "u1 ", "u1 x", "u1 -5", "u2 20", "u1 18", NULL};
    MigEvidence node = silent();

    g_assert_true(mig_failover_is_elsewhere(beats, "u1", 8));
    g_assert_false(mig_failover_is_elsewhere(beats, "u1", 9));
    g_assert_false(mig_failover_is_elsewhere(beats, "u1", 100));
    g_assert_false(mig_failover_is_elsewhere(beats, "u3", 0));
    g_assert_false(mig_failover_is_elsewhere(NULL, "u1", 0));
    node.is_elsewhere = TRUE;
    expect_suspect_always(node);
}

static void
test_storm(void)
{
    static const struct {
        guint count, silent, fenced;
    } cases[] = {{2, 1, 1}, {3, 1, 1}, {3, 2, 0}, {4, 2, 2}, {5, 2, 2}, {5, 3, 0}, {8, 7, 0}};

    for (guint c = 0; c < G_N_ELEMENTS(cases); c++) {
        MigEvidence nodes[8];

        for (guint i = 0; i < cases[c].count; i++)
            nodes[i] = i > 0 && i <= cases[c].silent ? silent() : healthy();
        nodes[0].is_self = TRUE;
        g_assert_cmpuint(count_fenced(&watcher, nodes, cases[c].count), ==, cases[c].fenced);
    }
}

/* Who is gone for good, and its slot still there, is none of those of whom half must be seen. */
static void
test_storm_and_gone(void)
{
    for (guint kind = 0; kind < 3; kind++) {
        MigEvidence nodes[8];
        MigFinding findings[8];

        for (guint i = 0; i < 8; i++)
            nodes[i] = i == 0 ? healthy() : silent();
        nodes[0].is_self = TRUE;
        for (guint i = 4; i < 8; i++) {
            nodes[i].has_left = kind == 0;
            nodes[i].is_fenced = kind == 1;
            nodes[i].word = kind == 2 ? MIG_WORD_FREE : nodes[i].word;
        }
        mig_failover_judge(&watcher, nodes, 8, findings);
        for (guint i = 0; i < 8; i++)
            g_assert_false(findings[i].should_fence);
        nodes[3] = healthy(); /* two of four */
        mig_failover_judge(&watcher, nodes, 8, findings);
        for (guint i = 0; i < 8; i++)
            g_assert_cmpint(findings[i].should_fence, ==, i == 1 || i == 2);
    }
}

/* sanlock there was killed and started again, its QEMUs run on, and migrated has not said so yet.
 */
static void
test_advanced(void)
{
    static const MigWord words[] = {MIG_WORD_UNKNOWN, MIG_WORD_LIVE, MIG_WORD_FAIL, MIG_WORD_DEAD,
                                    MIG_WORD_FREE};

    for (guint i = 0; i < G_N_ELEMENTS(words); i++) {
        MigEvidence node = silent();

        node.management_ms = YOUNG;
        g_assert_cmpint(mig_failover_word(words[i], MIG_NEVER_ADVANCED, FALSE, 140000), ==,
                        words[i]);
        node.word = mig_failover_word(words[i], 1000000, FALSE, 140000);
        g_assert_false(judge(&watcher, &node).may_restart);
        node.is_armed = words[i] != MIG_WORD_DEAD; /* dead and armed: proof of any start */
        node.word = mig_failover_word(words[i], 139999, TRUE, 140000);
        g_assert_false(judge(&watcher, &node).may_restart);
        /* the watchdog has fired since */
        node.word = mig_failover_word(words[i], 140000, TRUE, 140000);
        expect(&node, MIG_LIFE_DEAD, FALSE, TRUE);
    }
}

/* Between two levels of a fence: an answer stops it, and no gap of whoever fences. */
static void
test_back(void)
{
    const MigHeard judged = {.peer_ms = 9000, .management_ms = 5000, .migration_ms = YOUNG};
    MigHeard now = {.peer_ms = 70000, .management_ms = 66000, .migration_ms = 61000};

    g_assert_false(mig_failover_is_back(&judged, &judged, 3000));
    g_assert_false(mig_failover_is_back(&judged, &now, 3000));
    now.migration_ms = 0; /* it answered so all along */
    g_assert_false(mig_failover_is_back(&judged, &now, 3000));
    now.management_ms = YOUNG;
    g_assert_true(mig_failover_is_back(&judged, &now, 3000));
    now.management_ms = 66000;
    now.peer_ms = 8999;
    g_assert_true(mig_failover_is_back(&judged, &now, 3000));
}

/* Whatever the evidence: a restart needs proof, a fence needs silence, and never both. */
static void
test_property(void)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(20260101);

    for (guint round = 0; round < 200000; round++) {
        MigEvidence nodes[4];
        MigFinding findings[4];
        MigWatcher as = watcher;
        const gint64 ages[] = {0, YOUNG, 2999, 3000, OLD, 100000};

        as.watched_ms = ages[g_rand_int_range(rand, 0, 6)] * 2;
        as.is_network_here = g_rand_boolean(rand);
        as.network_seen_ms = ages[g_rand_int_range(rand, 0, 6)] * 2;
        as.is_unsafe = g_rand_boolean(rand);
        for (guint i = 0; i < 4; i++) {
            nodes[i] = (MigEvidence){.is_self = i == 0,
                                     .has_left = g_rand_int_range(rand, 0, 8) == 0,
                                     .is_armed = g_rand_boolean(rand),
                                     .is_fenced = g_rand_int_range(rand, 0, 4) == 0,
                                     .heartbeat_ms = ages[g_rand_int_range(rand, 0, 6)],
                                     .peer_ms = ages[g_rand_int_range(rand, 0, 6)],
                                     .management_ms = ages[g_rand_int_range(rand, 0, 6)],
                                     .migration_ms = ages[g_rand_int_range(rand, 0, 6)],
                                     .word = (MigWord)g_rand_int_range(rand, 0, 5)};
            nodes[i].heartbeat_old_ms = nodes[i].heartbeat_ms;
            nodes[i].steady_ms = ages[g_rand_int_range(rand, 0, 6)] * 2;
        }
        mig_failover_judge(&as, nodes, 4, findings);
        for (guint i = 0; i < 4; i++) {
            const MigEvidence *node = &nodes[i];

            g_assert_false(findings[i].should_fence && findings[i].may_restart);
            if (findings[i].should_fence)
                g_assert_true(i > 0 && node->heartbeat_ms >= 3000 && as.watched_ms >= 6000 &&
                              nodes[0].heartbeat_ms < 3000 && node->steady_ms >= 6000);
            if (findings[i].should_fence && node->word != MIG_WORD_FAIL &&
                node->word != MIG_WORD_DEAD)
                g_assert_true(node->peer_ms >= 3000 && node->management_ms >= 3000 &&
                              node->migration_ms >= 3000 && as.is_network_here &&
                              as.network_seen_ms >= 6000);
            if (findings[i].may_restart)
                g_assert_true(i > 0 && nodes[0].heartbeat_ms < 3000 &&
                              (node->has_left || node->heartbeat_ms >= 3000) &&
                              (node->has_left || node->is_fenced || node->word == MIG_WORD_FREE ||
                               (node->word == MIG_WORD_DEAD && (node->is_armed || as.is_unsafe))));
        }
    }
}

static void
test_flapping(void)
{
    const gint64 deaths[] = {1000, 60000, MIG_FLAP_MS + 1, MIG_FLAP_MS - 1};

    g_assert_false(mig_failover_is_flapping(deaths, 3));
    g_assert_true(mig_failover_is_flapping(deaths, 4));
    g_assert_false(mig_failover_is_flapping(NULL, 0));
}

/* limit_ms is 10000 in all of them */
static void
expect_cut(const MigWatcher *as, const MigEvidence *others, guint count, MigCut cut)
{
    MigEvidence nodes[4] = {healthy()};

    nodes[0].is_self = TRUE;
    g_assert_cmpuint(count, <, G_N_ELEMENTS(nodes));
    for (guint i = 0; i < count; i++)
        nodes[i + 1] = others[i];
    g_assert_cmpint(mig_failover_cut(as, nodes, count + 1, 10000), ==, cut);
}

static MigEvidence
cut_off(void)
{
    MigEvidence node = healthy();

    node.peer_ms = node.management_ms = node.migration_ms = 10000;
    return node;
}

static void
test_cut(void)
{
    MigWatcher unplugged = watcher;
    MigEvidence others[3] = {cut_off(), cut_off(), cut_off()};

    unplugged.is_network_here = FALSE;
    expect_cut(&watcher, others, 0, MIG_CUT_NONE);
    expect_cut(&watcher, others, 3, MIG_CUT_HERE);
    expect_cut(&watcher, others, 2, MIG_CUT_HERE);
    /* one cable between two nodes: both see this, and both would end what they run */
    expect_cut(&watcher, others, 1, MIG_CUT_SOMEWHERE);
    expect_cut(&unplugged, others, 1, MIG_CUT_HERE);
    /* any answer of anybody */
    others[1].peer_ms = 9999;
    expect_cut(&unplugged, others, 3, MIG_CUT_NONE);
    others[1] = cut_off();
    others[1].migration_ms = 9999;
    expect_cut(&unplugged, others, 3, MIG_CUT_NONE);
    others[1].migration_ms = MIG_NEVER_ASKED;
    expect_cut(&unplugged, others, 3, MIG_CUT_HERE);
    /* the dead, and who has left, could not answer: they are no second opinion */
    others[1] = others[2] = silent();
    others[2].has_left = TRUE;
    expect_cut(&watcher, others, 3, MIG_CUT_SOMEWHERE);
    others[0].heartbeat_ms = OLD;
    expect_cut(&unplugged, others, 3, MIG_CUT_NONE);
}

static void
test_ends_for_cut(void)
{
    MigVm vm = {.restarts_on_isolation = TRUE, .wants_running = TRUE};

    for (int cut = MIG_CUT_NONE; cut <= MIG_CUT_HERE; cut++) {
        vm.restart = MIG_RESTART_ON_NODE_DEATH;
        g_assert_cmpint(mig_failover_ends_for_cut(cut, &vm), ==, cut == MIG_CUT_HERE);
        vm.restart = MIG_RESTART_NEVER; /* nobody would start it */
        g_assert_false(mig_failover_ends_for_cut(cut, &vm));
    }
    vm.restart = MIG_RESTART_ALWAYS;
    g_assert_true(mig_failover_ends_for_cut(MIG_CUT_HERE, &vm));
    vm.restarts_on_isolation = FALSE;
    g_assert_false(mig_failover_ends_for_cut(MIG_CUT_HERE, &vm));
    vm.restarts_on_isolation = TRUE;
    vm.wants_running = FALSE;
    g_assert_false(mig_failover_ends_for_cut(MIG_CUT_HERE, &vm));
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/failover/table", test_table);
    g_test_add_func("/failover/disk-failed", test_disk_failed);
    g_test_add_func("/failover/watchdog", test_watchdog);
    g_test_add_func("/failover/fault-here", test_fault_here);
    g_test_add_func("/failover/own-disk", test_own_disk);
    g_test_add_func("/failover/storm", test_storm);
    g_test_add_func("/failover/storm-and-gone", test_storm_and_gone);
    g_test_add_func("/failover/blind", test_blind);
    g_test_add_func("/failover/unseen", test_unseen);
    g_test_add_func("/failover/elsewhere", test_elsewhere);
    g_test_add_func("/failover/advanced", test_advanced);
    g_test_add_func("/failover/back", test_back);
    g_test_add_func("/failover/property", test_property);
    g_test_add_func("/failover/flapping", test_flapping);
    g_test_add_func("/failover/cut", test_cut);
    g_test_add_func("/failover/ends-for-cut", test_ends_for_cut);
    return g_test_run();
}
