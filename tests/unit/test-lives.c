/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-lives.c - a node that has lost one of its volumes loses the VMs of that one only. */
#include "lives.h"

#define YOUNG 500
#define OLD   100000

static const MigWatcher watcher = {.watched_ms = 60000,
                                   .is_network_here = TRUE,
                                   .network_seen_ms = 60000,
                                   .renewal_ms = 2000,
                                   .suspect_ms = 3000};

static void
seat_clear(gpointer data)
{
    g_free(((MigSeat *)data)->volume);
}

static MigNodeLife *
add(GPtrArray *lives, const char *name, gboolean is_self)
{
    MigNodeLife *life = g_new0(MigNodeLife, 1);

    life->name = g_strdup(name);
    life->host_id = lives->len + 1;
    life->seats = g_array_new(FALSE, FALSE, sizeof(MigSeat));
    g_array_set_clear_func(life->seats, seat_clear);
    life->evidence = (MigEvidence){.is_self = is_self,
                                   .is_armed = TRUE,
                                   .heartbeat_ms = YOUNG,
                                   .steady_ms = 60000,
                                   .peer_ms = YOUNG,
                                   .volumes = 1,
                                   .management_ms = YOUNG,
                                   .migration_ms = YOUNG,
                                   .word = MIG_WORD_LIVE};
    g_ptr_array_add(lives, life);
    return life;
}

static MigEvidence *
seat(MigNodeLife *life, const char *volume, gint64 heartbeat_ms, MigWord word)
{
    MigSeat one = {.volume = g_strdup(volume),
                   .evidence = {.is_self = life->evidence.is_self,
                                .is_armed = TRUE,
                                .heartbeat_ms = heartbeat_ms,
                                .heartbeat_old_ms = heartbeat_ms,
                                .steady_ms = 60000,
                                .word = word}};

    g_array_append_val(life->seats, one);
    life->evidence.heartbeat_old_ms = MAX(life->evidence.heartbeat_old_ms, heartbeat_ms);
    return &g_array_index(life->seats, MigSeat, life->seats->len - 1).evidence;
}

static void
test_one_lost(void)
{
    g_autoptr(GPtrArray) lives = g_ptr_array_new_with_free_func((GDestroyNotify)mig_node_life_free);
    g_autoptr(GPtrArray) copy = NULL;
    MigNodeLife *self = add(lives, "a", TRUE), *other = add(lives, "b", FALSE);
    MigEvidence *lost;

    seat(self, "v1", YOUNG, MIG_WORD_LIVE);
    seat(self, "v2", YOUNG, MIG_WORD_LIVE);
    seat(other, "v2", YOUNG, MIG_WORD_LIVE);
    lost = seat(other, "v1", OLD, MIG_WORD_DEAD);
    mig_lives_judge(lives, &watcher);
    g_assert_cmpint(other->finding.life, ==, MIG_LIFE_DISK_LOST);
    g_assert_false(other->finding.should_fence);
    g_assert_true(mig_life_is_proven_dead(other, "v1"));
    g_assert_false(mig_life_is_proven_dead(other, "v2"));
    g_assert_false(mig_life_is_proven_dead(other, "v3"));
    copy = mig_lives_copy(lives);
    g_assert_true(mig_life_is_proven_dead(mig_lives_find(copy, "b"), "v1"));
    /* no watchdog, so no proof; and no reason to fence what lives on v2 */
    lost->is_armed = FALSE;
    mig_lives_judge(lives, &watcher);
    g_assert_false(other->finding.should_fence);
    g_assert_false(mig_life_is_proven_dead(other, "v1"));
    lost->is_armed = lost->has_left = TRUE;
    mig_lives_judge(lives, &watcher);
    g_assert_false(mig_life_is_proven_dead(other, "v1"));
}

/* Whoever does not see its own heartbeat on a volume concludes nothing from it. */
static void
test_lost_here(void)
{
    g_autoptr(GPtrArray) lives = g_ptr_array_new_with_free_func((GDestroyNotify)mig_node_life_free);
    MigNodeLife *self = add(lives, "a", TRUE), *other = add(lives, "b", FALSE);

    seat(self, "v1", OLD, MIG_WORD_LIVE);
    seat(other, "v1", OLD, MIG_WORD_DEAD);
    seat(other, "v2", OLD, MIG_WORD_DEAD); /* where this node is not */
    mig_lives_judge(lives, &watcher);
    g_assert_false(mig_life_is_proven_dead(other, "v1"));
    g_assert_false(mig_life_is_proven_dead(other, "v2"));
}

/* A source whose half serves the rest of the memory without the LUN: dead for its leases, and
 * alive. */
static void
test_off(void)
{
    g_autoptr(GPtrArray) lives = g_ptr_array_new_with_free_func((GDestroyNotify)mig_node_life_free);
    MigNodeLife *self = add(lives, "a", TRUE), *source = add(lives, "b", FALSE);
    MigNodeLife *third = add(lives, "c", FALSE);
    MigWatcher as = watcher;
    MigEvidence *seen;

    seat(self, "v1", YOUNG, MIG_WORD_LIVE);
    seat(third, "v1", YOUNG, MIG_WORD_LIVE);
    seen = seat(source, "v1", OLD, MIG_WORD_DEAD);
    mig_lives_judge(lives, &as);
    g_assert_true(mig_life_is_proven_dead(source, "v1"));
    g_assert_false(mig_life_is_off(source, "v1"));
    seen->word = MIG_WORD_FREE; /* the lockspace is given up, as nothing of it holds a lease */
    mig_lives_judge(lives, &as);
    g_assert_false(mig_life_is_off(source, "v1"));
    source->evidence.peer_ms = source->evidence.management_ms = OLD;
    mig_lives_judge(lives, &as);
    g_assert_false(mig_life_is_off(source, "v1")); /* the other network answers */
    source->evidence.migration_ms = OLD;
    mig_lives_judge(lives, &as);
    g_assert_true(mig_life_is_off(source, "v1"));
    g_assert_false(mig_life_is_off(source, "v2"));
    /* nobody answers this node: the silence may be its own */
    third->evidence.peer_ms = third->evidence.management_ms = third->evidence.migration_ms = OLD;
    mig_lives_judge(lives, &as);
    g_assert_false(mig_life_is_off(source, "v1"));
    third->evidence.peer_ms = YOUNG;
    as.network_seen_ms = 5999;
    mig_lives_judge(lives, &as);
    g_assert_false(mig_life_is_off(source, "v1"));
    as.network_seen_ms = 6000;
    as.is_network_here = FALSE;
    mig_lives_judge(lives, &as);
    g_assert_false(mig_life_is_off(source, "v1"));
    source->evidence.peer_ms = YOUNG;
    seen->is_fenced = TRUE;
    mig_lives_judge(lives, &as);
    g_assert_true(mig_life_is_off(source, "v1"));
}

/* A volume that is slow for this node hides those only that are on it. */
static void
test_slow(void)
{
    g_autoptr(GPtrArray) lives = g_ptr_array_new_with_free_func((GDestroyNotify)mig_node_life_free);
    MigNodeLife *self = add(lives, "a", TRUE), *other = add(lives, "b", FALSE);
    MigEvidence *both;

    seat(self, "v1", YOUNG, MIG_WORD_LIVE);
    seat(self, "v2", YOUNG, MIG_WORD_LIVE)->steady_ms = 2000;
    seat(other, "v1", OLD, MIG_WORD_LIVE);
    other->evidence.heartbeat_ms = other->evidence.peer_ms = OLD;
    other->evidence.management_ms = other->evidence.migration_ms = OLD;
    mig_lives_judge(lives, &watcher);
    g_assert_true(other->finding.should_fence);
    both = seat(other, "v2", OLD, MIG_WORD_LIVE);
    mig_lives_judge(lives, &watcher);
    g_assert_false(other->finding.should_fence);
    both->has_left = TRUE;
    mig_lives_judge(lives, &watcher);
    g_assert_true(other->finding.should_fence);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/lives/one-lost", test_one_lost);
    g_test_add_func("/lives/lost-here", test_lost_here);
    g_test_add_func("/lives/off", test_off);
    g_test_add_func("/lives/slow", test_slow);
    return g_test_run();
}
