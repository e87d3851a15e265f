/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-recover.c - every combination of what can be found leads to what recover.h's table says. */
#include "core/recover.h"

#include <string.h>

enum { UNREADABLE, FREE, OURS, THEIRS, LEASES };

static const char *const lease_names[] = {"unreadable", "free", "ours", "theirs"};

/* recover.h's table, once more and in another way: rows of patterns, the first that fits counts. */
static const struct {
    const char *moving, *arrived, *sent, *dead, *source, *target, *lease, *newer;
    MigRecover decision;
} table[] = {
    {"y", "*", "*", "*", "*", "*", "*", "*", MIG_RECOVER_WAIT},
    {"n", "*", "*", "*", "unknown incoming", "*", "*", "*", MIG_RECOVER_WAIT},
    {"n", "y", "*", "*", "absent", "*", "*", "*", MIG_RECOVER_MOVED},
    {"n", "y", "*", "*", "*", "*", "*", "*", MIG_RECOVER_DESTROY_SOURCE},
    {"n", "n", "n", "*", "running", "*", "*", "*", MIG_RECOVER_STAYED},
    {"n", "n", "y", "*", "running", "*", "unreadable", "*", MIG_RECOVER_WAIT},
    {"n", "n", "y", "*", "running", "*", "theirs", "n", MIG_RECOVER_WAIT},
    {"n", "n", "y", "n", "running", "*", "theirs", "y", MIG_RECOVER_DESTROY_SOURCE},
    {"n", "n", "y", "*", "running", "*", "*", "y", MIG_RECOVER_END_SOURCE},
    {"n", "n", "y", "*", "running", "*", "*", "n", MIG_RECOVER_STAYED},
    {"n", "*", "*", "*", "absent", "running", "*", "*", MIG_RECOVER_MOVED},
    {"n", "*", "*", "y", "absent", "*", "*", "*", MIG_RECOVER_START},
    {"n", "*", "*", "*", "absent", "postcopy-failed", "*", "*", MIG_RECOVER_LOST},
    {"n", "*", "*", "*", "paused io-error", "running io-error", "theirs", "*",
     MIG_RECOVER_DESTROY_SOURCE},
    {"n", "*", "*", "y", "paused io-error", "*", "theirs", "*", MIG_RECOVER_END_SOURCE},
    {"n", "*", "*", "*", "absent paused", "paused", "theirs", "*", MIG_RECOVER_RESUME_TARGET},
    {"n", "*", "*", "*", "paused io-error", "io-error", "ours free", "y",
     MIG_RECOVER_DESTROY_SOURCE},
    {"n", "*", "*", "*", "paused io-error", "absent unknown", "ours free", "y",
     MIG_RECOVER_END_SOURCE},
    {"n", "*", "*", "*", "paused", "absent unknown", "ours free", "n", MIG_RECOVER_RESUME_SOURCE},
    {"n", "*", "*", "*", "io-error", "absent unknown", "ours free", "n", MIG_RECOVER_STAYED},
    {"n", "*", "*", "*", "absent", "absent", "free", "*", MIG_RECOVER_START},
    {"*", "*", "*", "*", "*", "*", "*", "*", MIG_RECOVER_WAIT},
};

static const MigDomainState states[] = {
    MIG_DOMAIN_UNKNOWN,  MIG_DOMAIN_ABSENT,   MIG_DOMAIN_RUNNING,  MIG_DOMAIN_PAUSED,
    MIG_DOMAIN_INCOMING, MIG_DOMAIN_IO_ERROR, MIG_DOMAIN_POSTCOPY, MIG_DOMAIN_POSTCOPY_FAILED};
#define STATES G_N_ELEMENTS(states)

static gboolean
fits(const char *pattern, const char *word)
{
    g_auto(GStrv) words = g_strsplit(pattern, " ", 0);

    return g_str_equal(pattern, "*") || g_strv_contains((const char *const *)words, word);
}

static MigRecover
by_table(const MigRecoverFacts *facts, const char *lease)
{
    const char *source = mig_domain_state_name(facts->source);
    const char *target = mig_domain_state_name(facts->target);
    guint i = 0;

    while (!fits(table[i].moving, facts->is_moving ? "y" : "n") ||
           !fits(table[i].arrived, facts->has_arrived ? "y" : "n") ||
           !fits(table[i].sent, facts->was_sent ? "y" : "n") ||
           !fits(table[i].dead, facts->is_target_dead ? "y" : "n") ||
           !fits(table[i].source, source) || !fits(table[i].target, target) ||
           !fits(table[i].lease, lease) || !fits(table[i].newer, facts->is_lease_newer ? "y" : "n"))
        i++;
    return table[i].decision;
}

static void
check_safety(const MigRecoverFacts *facts, MigRecover decision)
{
    switch (decision) {
    case MIG_RECOVER_RESUME_SOURCE:
        g_assert_true(facts->is_lease_known && !facts->has_target_lease);
        g_assert_false(facts->is_lease_newer);
        g_assert_true(facts->target == MIG_DOMAIN_ABSENT || facts->target == MIG_DOMAIN_UNKNOWN);
        g_assert_cmpint(facts->source, ==, MIG_DOMAIN_PAUSED);
        break;
    case MIG_RECOVER_START:
        g_assert_cmpint(facts->source, ==, MIG_DOMAIN_ABSENT);
        if (facts->is_target_dead)
            break;
        g_assert_true(facts->is_lease_known && !facts->has_target_lease &&
                      !facts->has_source_lease);
        g_assert_cmpint(facts->target, ==, MIG_DOMAIN_ABSENT);
        break;
    case MIG_RECOVER_LOST:
        g_assert_cmpint(facts->source, ==, MIG_DOMAIN_ABSENT);
        g_assert_cmpint(facts->target, ==, MIG_DOMAIN_POSTCOPY_FAILED);
        break;
    case MIG_RECOVER_DESTROY_SOURCE:
        /* it runs there, or has done so */
        g_assert_true(facts->has_arrived || facts->has_target_lease || facts->is_lease_newer);
        g_assert_true(facts->source != MIG_DOMAIN_RUNNING || facts->has_arrived ||
                      facts->is_lease_newer);
        break;
    case MIG_RECOVER_END_SOURCE:
        g_assert_true(facts->is_lease_known);
        g_assert_true(facts->is_lease_newer || (facts->has_target_lease && facts->is_target_dead));
        g_assert_true(facts->source == MIG_DOMAIN_RUNNING || facts->source == MIG_DOMAIN_PAUSED ||
                      facts->source == MIG_DOMAIN_IO_ERROR);
        break;
    case MIG_RECOVER_RESUME_TARGET:
        g_assert_true(facts->has_target_lease);
        g_assert_cmpint(facts->target, ==, MIG_DOMAIN_PAUSED);
        g_assert_cmpint(facts->source, !=, MIG_DOMAIN_RUNNING);
        break;
    case MIG_RECOVER_MOVED:
        g_assert_true(facts->target == MIG_DOMAIN_RUNNING || facts->has_arrived);
        g_assert_cmpint(facts->source, ==, MIG_DOMAIN_ABSENT);
        break;
    case MIG_RECOVER_STAYED:
        g_assert_true(facts->source == MIG_DOMAIN_RUNNING || facts->source == MIG_DOMAIN_IO_ERROR);
        g_assert_true(!facts->was_sent || !facts->is_lease_newer);
        g_assert_true(!facts->was_sent || !facts->has_target_lease);
        break;
    case MIG_RECOVER_WAIT:
        return;
    }
    g_assert_false(facts->is_moving);
}

static void
test_all(void)
{
    guint seen = 0;

    /* halves of a post-copy are on the target; on the source one is incoming */
    for (guint i = 0; i < STATES * STATES * LEASES << 5; i++) {
        guint k = i / (STATES * STATES), lease = k % LEASES;
        const MigRecoverFacts facts = {.source = states[i % STATES],
                                       .target = states[i / STATES % STATES],
                                       .is_lease_known = lease != UNREADABLE,
                                       .has_source_lease = lease == OURS,
                                       .has_target_lease = lease == THEIRS,
                                       .is_lease_newer = k / LEASES % 2,
                                       .is_moving = k / LEASES / 2 % 2,
                                       .is_target_dead = k / LEASES / 4 % 2,
                                       .was_sent = k / LEASES / 8 % 2,
                                       .has_arrived = k / LEASES / 16};
        if (facts.source == MIG_DOMAIN_POSTCOPY || facts.source == MIG_DOMAIN_POSTCOPY_FAILED)
            continue;
        const char *source = mig_domain_state_name(facts.source);
        const char *target = mig_domain_state_name(facts.target);
        MigRecover decision = mig_recover_decide(&facts);
        MigRecover expected = by_table(&facts, lease_names[lease]);

        if (decision != expected)
            g_error("moving %d, arrived %d, sent %d, dead %d, source %s, target %s, lease %s%s: "
                    "%s, not %s",
                    facts.is_moving, facts.has_arrived, facts.was_sent, facts.is_target_dead,
                    source, target, lease_names[lease], facts.is_lease_newer ? " (newer)" : "",
                    mig_recover_name(decision), mig_recover_name(expected));
        check_safety(&facts, decision);
        seen |= 1u << decision;
    }
    g_assert_cmphex(seen, ==, (1u << (MIG_RECOVER_WAIT + 1)) - 1);
}

/* Before the move it was of version 7. */
static void
test_version(void)
{
    g_assert_false(mig_recover_is_outrun(7, 7, TRUE, FALSE));
    g_assert_false(mig_recover_is_outrun(7, 7, FALSE, FALSE));
    /* libvirt has let it go on here */
    g_assert_false(mig_recover_is_outrun(7, 8, TRUE, FALSE));
    /* the target has it, or had it; and then it was let go on here */
    g_assert_true(mig_recover_is_outrun(7, 8, FALSE, FALSE));
    g_assert_true(mig_recover_is_outrun(7, 9, TRUE, FALSE));
    /* which did nothing with it */
    g_assert_false(mig_recover_is_outrun(7, 8, FALSE, TRUE));
    g_assert_false(mig_recover_is_outrun(7, 9, TRUE, TRUE));
    g_assert_false(mig_recover_is_outrun(0, 9, FALSE, FALSE));
}

/* A half is kept for as long as the other one may be there. */
static void
test_halves(void)
{
    for (guint i = 0; i < STATES; i++) {
        g_assert_true(mig_recover_is_half_useless(states[i], FALSE) ==
                      (states[i] == MIG_DOMAIN_ABSENT || states[i] == MIG_DOMAIN_RUNNING));
        g_assert_true(mig_recover_is_half_useless(states[i], TRUE));
    }
}

/* The node of the other half is always among those that are asked; one that is silent for reasons
 * of its own is not, if there is any way to know. */
static void
test_whose_half(void)
{
    enum { SOURCE, OTHER, N };

    for (guint bits = 0; bits < 1u << 5; bits++) {
        /* the source may have restarted and given its half up, or be silent; OTHER never had one,
         * but an old run of the VM may stand in its slot */
        const MigHalfNode nodes[N] = {
            [SOURCE] = {.is_source = bits & 1,
                        .is_up = bits >> 1 & 1,
                        .is_published = bits >> 2 & 1},
            [OTHER] = {.is_up = bits >> 3 & 1, .is_published = bits >> 4 & 1}};
        gboolean has_half = nodes[SOURCE].is_published; /* published for as long as it is there */

        if (nodes[SOURCE].is_source || has_half)
            g_assert_true(mig_recover_may_have_half(nodes, N, SOURCE));
        if (nodes[SOURCE].is_source)
            g_assert_false(mig_recover_may_have_half(nodes, N, OTHER));
        else if (has_half && !nodes[OTHER].is_up && !nodes[OTHER].is_published)
            g_assert_false(mig_recover_may_have_half(nodes, N, OTHER));
        else if (nodes[OTHER].is_up || nodes[OTHER].is_published || !has_half)
            g_assert_true(mig_recover_may_have_half(nodes, N, OTHER));
    }
}

/* Whoever reads the header is told of every decision. */
static void
test_header(void)
{
    g_autofree char *text = NULL;
    g_autoptr(GError) error = NULL;

    g_file_get_contents(RECOVER_H, &text, NULL, &error);
    g_assert_no_error(error);
    *strstr(text, "typedef enum") = '\0';
    for (int i = MIG_RECOVER_MOVED; i <= MIG_RECOVER_WAIT; i++)
        g_assert_nonnull(strstr(text, mig_recover_name(i)));
}

/* Known by the move, else by the slots, and dead; whoever is dead beside it says nothing. */
static void
test_source_dead(void)
{
    const MigHalfNode alive = {.is_source = TRUE, .is_published = TRUE, .is_up = TRUE};
    const MigHalfNode dead = {.is_source = TRUE, .is_off = TRUE};
    const MigHalfNode slot_dead = {.is_published = TRUE, .is_off = TRUE};
    const MigHalfNode slot_silent = {.is_published = TRUE};
    const MigHalfNode other_dead = {.is_off = TRUE};
    const struct {
        MigHalfNode nodes[2];
        gboolean is_dead;
    } cases[] = {
        {{alive, other_dead}, FALSE},         {{dead, {.is_up = TRUE}}, TRUE},
        {{dead, slot_silent}, TRUE},          {{alive, slot_dead}, FALSE},
        {{slot_dead, {.is_up = TRUE}}, TRUE}, {{slot_dead, slot_silent}, FALSE},
        {{other_dead, other_dead}, FALSE},    {{{0}, {.is_up = TRUE}}, FALSE},
    };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_test_message("%u", i);
        g_assert_true(mig_recover_is_source_dead(cases[i].nodes, 2) == cases[i].is_dead);
    }
    g_assert_false(mig_recover_is_source_dead(NULL, 0));
}

/* sanlock's word is about leases, and the source's half of a post-copy has none. */
static void
test_off(void)
{
    for (int life = MIG_LIFE_UP; life <= MIG_LIFE_LEFT; life++) {
        for (guint bits = 0; bits < 4; bits++) {
            const MigFinding finding = {.life = life, .may_restart = bits & 1};
            gboolean is_silent = bits >> 1;
            gboolean is_dead = life == MIG_LIFE_DEAD && finding.may_restart;

            g_assert_true(mig_recover_is_off(&finding, is_silent) ==
                          (life == MIG_LIFE_FENCED || (is_dead && is_silent)));
        }
    }
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/recover/all", test_all);
    g_test_add_func("/recover/version", test_version);
    g_test_add_func("/recover/halves", test_halves);
    g_test_add_func("/recover/whose-half", test_whose_half);
    g_test_add_func("/recover/header", test_header);
    g_test_add_func("/recover/source-dead", test_source_dead);
    g_test_add_func("/recover/off", test_off);
    return g_test_run();
}
