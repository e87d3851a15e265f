/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-pair.c - one move per pair of nodes, and opposite requests never block each other. */
#include "core/pair.h"

#include "base/error.h"

static gboolean
reserve(MigPairs *pairs, const char *job, const char *source, const char *target)
{
    g_autoptr(GError) error = NULL;
    gboolean ok = mig_pairs_reserve(pairs, job, source, target, 0, &error);

    g_assert_true(ok == (error == NULL));
    if (!ok)
        g_assert_error(error, MIG_ERROR, MIG_ERROR_CHECK_REFUSED);
    return ok;
}

static void
test_one_per_pair(void)
{
    MigPairs *pairs = mig_pairs_new("A", 4);

    g_assert_true(reserve(pairs, "A-1", "A", "B"));
    g_assert_true(reserve(pairs, "A-1", "A", "B")); /* asked again */
    g_assert_false(reserve(pairs, "A-2", "A", "B"));
    g_assert_false(reserve(pairs, "B-1", "B", "A"));
    g_assert_true(reserve(pairs, "A-3", "A", "C"));
    g_assert_false(mig_pairs_has(pairs, "B-1"));
    mig_pairs_release(pairs, "A-2"); /* has nothing: takes nothing away */
    mig_pairs_release(pairs, "unknown");
    g_assert_true(mig_pairs_has(pairs, "A-1"));
    mig_pairs_release(pairs, "A-1");
    g_assert_false(mig_pairs_has(pairs, "A-1"));
    g_assert_true(reserve(pairs, "B-1", "B", "A"));
    mig_pairs_free(pairs);
}

static void
test_limit(void)
{
    MigPairs *pairs = mig_pairs_new("A", 2);

    g_assert_true(reserve(pairs, "A-1", "A", "B"));
    g_assert_true(reserve(pairs, "C-1", "C", "A"));
    g_assert_false(reserve(pairs, "A-2", "A", "D"));
    g_assert_true(reserve(pairs, "A-1", "A", "B")); /* is one of the two */
    mig_pairs_release(pairs, "C-1");
    g_assert_true(reserve(pairs, "A-2", "A", "D"));
    mig_pairs_free(pairs);
    mig_pairs_free(NULL);
}

static void
test_order(void)
{
    g_assert_true(mig_pair_source_first(1, 2));
    g_assert_false(mig_pair_source_first(2, 1));
    /* both ends of both directions name the same first one */
    for (guint32 a = 1; a < 5; a++) {
        for (guint32 b = 1; b < 5; b++) {
            if (a != b)
                g_assert_true((mig_pair_source_first(a, b) ? a : b) ==
                              (mig_pair_source_first(b, a) ? b : a));
        }
    }
}

/* One side of two opposite moves: what job-source.c does, a step at a time. */
typedef struct {
    const char *job, *source, *target;
    guint32 source_id, target_id;
    enum { ASK_FIRST, ASK_SECOND, HOLDS, REFUSED } at;
} Mover;

static void
step(Mover *mover, MigPairs *tables[3])
{
    gboolean source_first = mig_pair_source_first(mover->source_id, mover->target_id);
    guint32 first = source_first ? mover->source_id : mover->target_id;
    guint32 second = source_first ? mover->target_id : mover->source_id;

    if (mover->at >= HOLDS)
        return;
    if (reserve(tables[mover->at == ASK_FIRST ? first : second], mover->job, mover->source,
                mover->target)) {
        mover->at++;
        return;
    }
    mig_pairs_release(tables[first], mover->job);
    mig_pairs_release(tables[second], mover->job);
    mover->at = REFUSED;
}

/* Every order in which the two can take their (at most two) steps each. */
static void
test_opposite_moves(void)
{
    for (guint order = 0; order < 16; order++) {
        MigPairs *tables[3] = {NULL, mig_pairs_new("A", 4), mig_pairs_new("B", 4)};
        Mover movers[2] = {{"A-1", "A", "B", 1, 2, ASK_FIRST}, {"B-1", "B", "A", 2, 1, ASK_FIRST}};

        for (guint i = 0; i < 4; i++)
            step(&movers[order >> i & 1], tables);
        for (guint i = 0; i < 4; i++)
            step(&movers[i & 1], tables);
        /* one of them, and one only */
        g_assert_true((movers[0].at == HOLDS) != (movers[1].at == HOLDS));
        g_assert_true((movers[0].at == REFUSED) != (movers[1].at == REFUSED));
        const Mover *loser = &movers[movers[0].at == HOLDS];

        g_assert_false(mig_pairs_has(tables[1], loser->job));
        g_assert_false(mig_pairs_has(tables[2], loser->job));
        mig_pairs_free(tables[1]);
        mig_pairs_free(tables[2]);
    }
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/pair/one-per-pair", test_one_per_pair);
    g_test_add_func("/pair/limit", test_limit);
    g_test_add_func("/pair/order", test_order);
    g_test_add_func("/pair/opposite-moves", test_opposite_moves);
    return g_test_run();
}
