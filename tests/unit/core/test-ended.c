/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-ended.c - a VM goes down with its node, or did so before: only the first is a node's death.
 */
#include "core/ended.h"

#define UNTOLD (-1)

static void
expect(const MigEnded *ended, int down)
{
    MigDown told = MIG_DOWN_DISK;
    gboolean is_told = mig_ended_how(ended, &told);

    g_assert_cmpint(is_told ? (int)told : UNTOLD, ==, down);
}

static void
test_dead(void)
{
    MigEnded ended = {.is_known = TRUE, .is_dead = TRUE, .life = MIG_LIFE_DEAD};

    /* shut down by its guest; its node dies weeks later */
    expect(&ended, MIG_DOWN_CRASH);
    /* stood still without a lease, or was being moved */
    ended.has_bit = TRUE;
    expect(&ended, MIG_DOWN_NODE);
    /* ended by a cut-off node, which dies before anybody has started it */
    ended.has_bit = FALSE;
    ended.restarts_on_isolation = TRUE;
    expect(&ended, MIG_DOWN_NODE);
    /* died between the start of QEMU and the bit: the lease tells */
    ended.restarts_on_isolation = FALSE;
    ended.is_lease_left = TRUE;
    expect(&ended, MIG_DOWN_NODE);
    ended.life = MIG_LIFE_UP; /* and is back since */
    ended.is_dead = FALSE;
    expect(&ended, MIG_DOWN_NODE);
}

static void
test_living(void)
{
    MigEnded ended = {.is_known = TRUE};

    for (int life = MIG_LIFE_UP; life <= MIG_LIFE_LEFT; life++) {
        gboolean is_told = life == MIG_LIFE_UP || life == MIG_LIFE_LEFT;

        ended.life = life;
        ended.restarts_on_isolation = FALSE;
        expect(&ended, is_told ? MIG_DOWN_CRASH : UNTOLD);
        ended.restarts_on_isolation = TRUE;
        if (life == MIG_LIFE_CUT_OFF)
            expect(&ended, MIG_DOWN_NODE);
        else
            expect(&ended, is_told ? MIG_DOWN_CRASH : UNTOLD);
    }
}

/* One of two nodes whose links are up: the other one has ended none if its links are, too. */
static void
test_pair(void)
{
    MigEnded ended = {.is_known = TRUE,
                      .life = MIG_LIFE_CUT_OFF,
                      .restarts_on_isolation = TRUE,
                      .cut = MIG_CUT_SOMEWHERE};

    expect(&ended, UNTOLD);
    ended.life = MIG_LIFE_UP; /* heard again; asks for what it has ended */
    expect(&ended, MIG_DOWN_CRASH);
    ended.life = MIG_LIFE_DEAD;
    ended.is_dead = TRUE;
    expect(&ended, MIG_DOWN_NODE);
    ended.is_dead = FALSE;
    ended.life = MIG_LIFE_CUT_OFF;
    ended.cut = MIG_CUT_NONE;
    expect(&ended, MIG_DOWN_NODE);
}

static void
test_unknown(void)
{
    MigEnded ended = {.life = MIG_LIFE_SUSPECT};

    expect(&ended, MIG_DOWN_CRASH); /* its last node was removed, or it never ran */
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/ended/dead", test_dead);
    g_test_add_func("/ended/living", test_living);
    g_test_add_func("/ended/pair", test_pair);
    g_test_add_func("/ended/unknown", test_unknown);
    return g_test_run();
}
