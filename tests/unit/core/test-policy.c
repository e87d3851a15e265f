/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-policy.c - the downtime limit follows the rounds, and never goes where it may not. */
#include "rounds.h"

typedef struct {
    MigPolicy policy;
    gint64 now_ms;
    guint raised;
} Feed;

static void
feed_begin(Feed *feed, guint max_ms)
{
    *feed = (Feed){.now_ms = 1000};
    mig_policy_init(&feed->policy, MIG_POLICY_UNSET, max_ms, feed->now_ms);
}

static void
feed(Feed *feed, guint64 iteration, guint64 remaining)
{
    const MigProgress progress = {
        .is_active = TRUE, .iteration = iteration, .remaining_bytes = remaining};
    guint before = feed->policy.limit_ms;

    feed->now_ms += MIG_POLICY_POLL_MS;
    if (mig_policy_feed(&feed->policy, &progress, feed->now_ms) == MIG_POLICY_RAISED) {
        feed->raised++;
        g_assert_cmpuint(feed->policy.limit_ms, ==, MIN(before * 2, feed->policy.max_ms));
        g_assert_cmpuint(feed->policy.limit_ms, >, before);
    } else {
        g_assert_cmpuint(feed->policy.limit_ms, ==, before);
    }
    g_assert_cmpuint(feed->policy.limit_ms, <=, feed->policy.max_ms);
}

static void
test_begin(void)
{
    Feed f;

    feed_begin(&f, 0);
    g_assert_cmpuint(f.policy.limit_ms, ==, MIG_POLICY_FIRST_MS);
    g_assert_cmpuint(f.policy.max_ms, ==, MIG_POLICY_MAX_MS);
    feed_begin(&f, 3);
    g_assert_cmpuint(f.policy.limit_ms, ==, 3);
    for (guint i = 2; i < 1000; i++)
        feed(&f, i, 1000);
    g_assert_cmpuint(f.raised, ==, 0);
}

static void
test_converging(void)
{
    Feed f;
    guint64 remaining = 1 << 30;

    feed_begin(&f, 0);
    for (guint i = 2; i < 40; i++, remaining = remaining * 2 / 3)
        feed(&f, i, remaining);
    g_assert_cmpuint(f.raised, ==, 0);
}

static void
test_stalled(void)
{
    Feed f;

    feed_begin(&f, 0);
    for (guint i = 0; i < 60; i++) /* rounds of 100 ms, none smaller than the first */
        feed(&f, 2 + i / 2, 1000);
    g_assert_cmpuint(f.policy.limit_ms, ==, MIG_POLICY_MAX_MS);
    g_assert_cmpuint(f.raised, ==, 4); /* 30 60 120 240 300 */
}

/* 90 MB at 1 GB/s need 90 ms: 60 would be tried in vain, and a round costs more than the guess */
static void
test_stalled_far_above(void)
{
    Feed f;
    MigProgress progress = {.is_active = TRUE, .rate_bytes_s = 1000000000};

    feed_begin(&f, 0);
    for (guint i = 2; i < 5; i++) {
        f.now_ms += 200;
        progress.iteration = i;
        progress.remaining_bytes = 90000000;
        mig_policy_feed(&f.policy, &progress, f.now_ms);
        if (i == 2)
            g_assert_cmpuint(f.policy.limit_ms, ==, MIG_POLICY_FIRST_MS);
        else if (i == 3)
            g_assert_cmpuint(f.policy.limit_ms, ==, 91);
        else
            g_assert_cmpuint(f.policy.limit_ms, ==, 182);
    }
    /* and never above what is allowed, whatever is reported */
    progress.remaining_bytes = G_MAXUINT64;
    progress.rate_bytes_s = 1;
    for (guint i = 5; i < 9; i++) {
        f.now_ms += 200;
        progress.iteration = i;
        mig_policy_feed(&f.policy, &progress, f.now_ms);
        g_assert_cmpuint(f.policy.limit_ms, <=, MIG_POLICY_MAX_MS);
    }
}

static void
test_slow_first_round(void)
{
    Feed f;
    const MigProgress idle = {.iteration = 9};

    feed_begin(&f, 0);
    for (guint i = 0; i < 2000; i++)
        feed(&f, 1, 1000);
    g_assert_cmpuint(f.raised, ==, 0);
    /* and the time it took counts for nothing afterwards */
    feed(&f, 2, 1000);
    feed(&f, 3, 100);
    g_assert_cmpuint(f.raised, ==, 0);
    g_assert_cmpint(mig_policy_feed(&f.policy, &idle, f.now_ms + 1000000), ==, MIG_POLICY_STAY);
}

static void
test_long_round(void)
{
    Feed f;

    feed_begin(&f, 0);
    for (guint i = 0; i < 5500 / MIG_POLICY_POLL_MS; i++)
        feed(&f, 2, 1000 - i);
    g_assert_cmpuint(f.raised, ==, 1);
}

static void
test_any_feed(void)
{
    for (guint32 seed = 1; seed <= 200; seed++) {
        g_autoptr(GRand) random = g_rand_new_with_seed(seed);
        guint max_ms = (guint)g_rand_int_range(random, 0, 1000);
        Feed f;
        guint64 iteration = 0;

        feed_begin(&f, max_ms);
        for (guint i = 0; i < 500; i++) {
            iteration += (guint64)g_rand_int_range(random, 0, 3);
            feed(&f, iteration, g_rand_int(random));
        }
        g_assert_cmpuint(f.policy.limit_ms, <=, max_ms ? max_ms : MIG_POLICY_MAX_MS);
    }
}

/* ---- the four policies ---- */

static void
test_names(void)
{
    MigPolicyKind kind = MIG_POLICY_GENTLE;

    for (guint i = 0; i < MIG_POLICY_COUNT; i++) {
        g_assert_true(mig_policy_kind_from_name(mig_policy_kind_name(i), &kind));
        g_assert_cmpint(kind, ==, i);
        /* each ends: by giving up, or by allowing what any guest needs */
        g_assert_cmpuint(mig_policy_rule(i)->patience_ms, >, 0);
        g_assert_cmpint(mig_policy_rule(i)->throttle_first == 0, ==, i == MIG_POLICY_GENTLE);
        g_assert_cmpint(mig_policy_rule(i)->beyond_ms == 0, ==, i != MIG_POLICY_MUST_FINISH);
    }
    g_assert_null(mig_policy_kind_name(MIG_POLICY_UNSET));
    g_assert_false(mig_policy_kind_from_name("", &kind));
    g_assert_false(mig_policy_kind_from_name("Fast", &kind));
    g_assert_true(mig_policy_rule(MIG_POLICY_UNSET) == mig_policy_rule(MIG_POLICY_FAST));
}

/* The first round takes first_ms, each later one a second, and leaves the same: until it is given
 * up, or for ten hours. The time, from the end of the first round; -1: never. */
static gint64
gives_up_after_ms(MigPolicyKind kind, gint64 first_ms, guint *limit_ms)
{
    MigPolicy policy;
    MigProgress progress = {.is_active = TRUE, .iteration = 1, .remaining_bytes = 1000};
    gint64 now_ms = 5000, end_ms = now_ms + first_ms;

    mig_policy_init(&policy, kind, 0, now_ms);
    for (; now_ms < end_ms + 36000000; now_ms += MIG_POLICY_POLL_MS) {
        progress.iteration = now_ms < end_ms ? 1 : 2 + (guint64)(now_ms - end_ms) / 1000;
        if (mig_policy_feed(&policy, &progress, now_ms) == MIG_POLICY_GIVE_UP)
            break;
    }
    *limit_ms = policy.limit_ms;
    return now_ms < end_ms + 36000000 ? now_ms - end_ms : -1;
}

static void
test_gives_up(void)
{
    static const struct {
        MigPolicyKind kind;
        gint64 first_ms, least_ms;
    } cases[] = {
        {MIG_POLICY_FAST, 1000, 120000},          {MIG_POLICY_GENTLE, 1000, 20000},
        {MIG_POLICY_NEVER_POSTCOPY, 1000, 60000}, {MIG_POLICY_FAST, 60000, 360000},
        {MIG_POLICY_GENTLE, 60000, 180000},       {MIG_POLICY_NEVER_POSTCOPY, 60000, 240000},
    };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        guint limit_ms = 0;
        gint64 took_ms = gives_up_after_ms(cases[i].kind, cases[i].first_ms, &limit_ms);

        g_test_message("%s: %" G_GINT64_FORMAT " ms", mig_policy_kind_name(cases[i].kind), took_ms);
        g_assert_cmpint(took_ms, >=, cases[i].least_ms);
        /* and the steps to the highest limit, each within a second or two */
        g_assert_cmpint(took_ms, <=, cases[i].least_ms + 15000);
        g_assert_cmpuint(limit_ms, ==, MIG_POLICY_MAX_MS); /* not before all was tried */
    }
}

static void
test_must_finish(void)
{
    guint limit_ms = 0;
    MigPolicy policy;
    MigProgress progress = {.is_active = TRUE, .iteration = 1};

    g_assert_cmpint(gives_up_after_ms(MIG_POLICY_MUST_FINISH, 1000, &limit_ms), ==, -1);
    g_assert_cmpuint(limit_ms, ==, mig_policy_rule(MIG_POLICY_MUST_FINISH)->beyond_ms);
    /* what was asked for is kept as long as there is hope, and a time limit ends that */
    mig_policy_init(&policy, MIG_POLICY_MUST_FINISH, 50, 0);
    mig_policy_feed(&policy, &progress, 1000);
    for (gint64 now_ms = 1000; now_ms < 9000; now_ms += 500) {
        progress.iteration++;
        progress.remaining_bytes = 1000;
        mig_policy_feed(&policy, &progress, now_ms);
        g_assert_cmpuint(policy.limit_ms, <=, 50);
    }
    g_assert_cmpint(mig_policy_expire(&policy, 9000), ==, MIG_POLICY_RAISED);
    g_assert_cmpuint(policy.limit_ms, ==, 30000);
    g_assert_cmpint(mig_policy_expire(&policy, 9100), ==, MIG_POLICY_STAY);
    mig_policy_init(&policy, MIG_POLICY_FAST, 50, 0);
    g_assert_cmpint(mig_policy_expire(&policy, 9000), ==, MIG_POLICY_GIVE_UP);
}

/* After rounds that do not get smaller, however much the guest is slowed; and where it can be. */
static void
test_postcopy(void)
{
    static const struct {
        MigPolicyKind kind;
        gint64 first_ms, least_ms; /* 0: never */
    } cases[] = {
        {MIG_POLICY_MUST_FINISH, 1000, 5000}, {MIG_POLICY_MUST_FINISH, 60000, 120000},
        {MIG_POLICY_FAST, 1000, 0},           {MIG_POLICY_FAST, 60000, 0},
        {MIG_POLICY_GENTLE, 1000, 0},         {MIG_POLICY_NEVER_POSTCOPY, 1000, 0},
    };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        MigPolicy policy;
        MigProgress progress = {.is_active = TRUE, .iteration = 1, .remaining_bytes = 1000};
        MigPolicyStep step = MIG_POLICY_STAY;
        gint64 now_ms = 0;

        mig_policy_init(&policy, cases[i].kind, 0, 0);
        policy.can_postcopy = TRUE;
        while (step != MIG_POLICY_POSTCOPY && step != MIG_POLICY_GIVE_UP) {
            now_ms += MIG_POLICY_POLL_MS;
            if (now_ms > cases[i].first_ms)
                progress.iteration = 2 + (guint64)(now_ms - cases[i].first_ms) / 1000;
            progress.throttle_percent = (guint)MIN(now_ms / 2000, 99);
            step = mig_policy_feed(&policy, &progress, now_ms);
        }
        g_assert_true((step == MIG_POLICY_POSTCOPY) == (cases[i].least_ms > 0));
        if (cases[i].least_ms) {
            g_assert_cmpint(now_ms - cases[i].first_ms, >=, cases[i].least_ms);
            g_assert_cmpint(now_ms - cases[i].first_ms, <=, cases[i].least_ms + 15000);
            g_assert_cmpuint(policy.limit_ms, ==, MIG_POLICY_MAX_MS);
        }
    }
    for (MigPolicyKind kind = MIG_POLICY_FAST; kind < MIG_POLICY_COUNT; kind++)
        g_assert_true(mig_policy_rule(kind)->allows_postcopy ==
                      (kind != MIG_POLICY_NEVER_POSTCOPY));
}

/* Each of these is worth another wait: less is left, or the guest is slowed further. */
static void
test_progress(void)
{
    for (guint with_throttle = 0; with_throttle < 2; with_throttle++) {
        MigPolicy policy;
        MigProgress progress = {.is_active = TRUE, .remaining_bytes = 1u << 30};
        gint64 now_ms = 0, last_ms = 0;

        mig_policy_init(&policy, MIG_POLICY_GENTLE, 5, 0);
        for (progress.iteration = 1; progress.iteration < 400; progress.iteration++) {
            now_ms += 1000;
            if (progress.iteration % 15 == 0 && progress.iteration < 200) {
                last_ms = now_ms;
                if (with_throttle)
                    progress.throttle_percent += 5;
                else
                    progress.remaining_bytes -= progress.remaining_bytes / 8;
            }
            if (mig_policy_feed(&policy, &progress, now_ms) == MIG_POLICY_GIVE_UP)
                break;
        }
        g_assert_cmpint(last_ms, ==, 195000);
        g_assert_cmpint(now_ms - last_ms, ==, 20000);
    }
}

static void
test_retune(void)
{
    Feed f;

    feed_begin(&f, 0);
    for (guint i = 0; i < 60; i++)
        feed(&f, 2 + i / 2, 1000);
    g_assert_cmpuint(f.policy.limit_ms, ==, 300);
    /* less: at once; more: where rounds ask for it */
    g_assert_cmpint(mig_policy_retune(&f.policy, 100, f.now_ms), ==, MIG_POLICY_RAISED);
    g_assert_cmpuint(f.policy.limit_ms, ==, 100);
    g_assert_cmpint(mig_policy_retune(&f.policy, 1000, f.now_ms), ==, MIG_POLICY_STAY);
    g_assert_cmpuint(f.policy.limit_ms, ==, 100);
    for (guint i = 60; i < 120; i++)
        feed(&f, 2 + i / 2, 1000);
    g_assert_cmpuint(f.policy.limit_ms, ==, 1000);
    /* and the wait begins again */
    f.now_ms += 119000;
    feed(&f, 100, 1000);
    mig_policy_retune(&f.policy, 1000, f.now_ms);
    f.now_ms += 119000;
    g_assert_cmpint(f.policy.progress_ms, ==, f.now_ms - 119000);
}

#define MIB 1048576.0

static void
test_model(void)
{
    guint gave_up[MIG_POLICY_COUNT] = {0};

    for (guint32 seed = 1; seed <= 300; seed++) {
        g_autoptr(GRand) random = g_rand_new_with_seed(seed);
        double memory = MIB * g_rand_int_range(random, 256, 16384);
        double link_s = MIB * g_rand_int_range(random, 10, 1200);
        double dirty_s = link_s * g_rand_double_range(random, 0.1, 3);
        double set = memory * g_rand_double_range(random, 0.05, 1);

        for (MigPolicyKind kind = MIG_POLICY_FAST; kind < MIG_POLICY_COUNT; kind++) {
            const MigPolicyRule *rule = mig_policy_rule(kind);
            RoundsOutcome o = rounds_run(kind, memory, set, dirty_s, link_s);

            g_test_message("%s: dirty %.2f of the link, %s after %.1f s (first round %.1f s), "
                           "blackout %d ms, slowed %u %%",
                           mig_policy_kind_name(kind), dirty_s / link_s,
                           o.ended ? "ended" : "given up", (double)o.took_ms / 1000,
                           (double)o.first_round_ms / 1000, (int)o.blackout_ms, o.throttle);
            gave_up[kind] += !o.ended;
            g_assert_cmpint(o.blackout_ms, <=, MAX(MIG_POLICY_MAX_MS, rule->beyond_ms));
            if (kind == MIG_POLICY_GENTLE)
                g_assert_cmpuint(o.throttle, ==, 0);
            /* a guest that dirties less than half of what the link carries is never slowed */
            if (dirty_s < link_s * 0.45)
                g_assert_true(o.ended && o.throttle == 0 && o.blackout_ms <= MIG_POLICY_MAX_MS);
            /* what cannot be had is given up within a bound: every step and percent, each after
             * the longest wait, would be 40 of them; two suffice for a guest that never changes */
            if (!o.ended)
                g_assert_cmpint(
                    o.took_ms, <=,
                    o.first_round_ms +
                        2 * MAX(rule->patience_ms, rule->patience_rounds * o.first_round_ms) +
                        20000);
        }
    }
    /* whoever may slow the guest ends with any of these; who may not, gives up on some */
    g_assert_cmpuint(gave_up[MIG_POLICY_FAST], ==, 0);
    g_assert_cmpuint(gave_up[MIG_POLICY_NEVER_POSTCOPY], ==, 0);
    g_assert_cmpuint(gave_up[MIG_POLICY_MUST_FINISH], ==, 0);
    g_assert_cmpuint(gave_up[MIG_POLICY_GENTLE], >, 50);
    /* ten times what the link carries, where QEMU cannot slow it enough */
    g_assert_true(
        rounds_run(MIG_POLICY_MUST_FINISH, 1024 * MIB, 256 * MIB, 30000 * MIB, 100 * MIB).ended);
    g_assert_false(
        rounds_run(MIG_POLICY_FAST, 1024 * MIB, 256 * MIB, 30000 * MIB, 100 * MIB).ended);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/policy/begin", test_begin);
    g_test_add_func("/policy/converging", test_converging);
    g_test_add_func("/policy/stalled", test_stalled);
    g_test_add_func("/policy/stalled-far-above", test_stalled_far_above);
    g_test_add_func("/policy/slow-first-round", test_slow_first_round);
    g_test_add_func("/policy/long-round", test_long_round);
    g_test_add_func("/policy/any-feed", test_any_feed);
    g_test_add_func("/policy/names", test_names);
    g_test_add_func("/policy/gives-up", test_gives_up);
    g_test_add_func("/policy/must-finish", test_must_finish);
    g_test_add_func("/policy/postcopy", test_postcopy);
    g_test_add_func("/policy/progress", test_progress);
    g_test_add_func("/policy/retune", test_retune);
    g_test_add_func("/policy/model", test_model);
    return g_test_run();
}
