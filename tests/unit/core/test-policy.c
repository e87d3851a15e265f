/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-policy.c - the downtime limit follows the rounds, and never goes where it may not. */
#include "core/policy.h"

typedef struct {
    MigPolicy policy;
    gint64 now_ms;
    guint raised;
} Feed;

static void
feed_begin(Feed *feed, guint max_ms)
{
    *feed = (Feed){.now_ms = 1000};
    mig_policy_init(&feed->policy, max_ms, feed->now_ms);
}

static void
feed(Feed *feed, guint64 iteration, guint64 remaining)
{
    const MigProgress progress = {
        .is_active = TRUE, .iteration = iteration, .remaining_bytes = remaining};
    guint before = feed->policy.limit_ms;

    feed->now_ms += MIG_POLICY_POLL_MS;
    if (mig_policy_feed(&feed->policy, &progress, feed->now_ms)) {
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
    g_assert_cmpuint(f.raised, ==, 6); /* 5 10 20 40 80 160 300 */
}

/* 30 MB at 1 GB/s need 30 ms: 10 would be tried in vain, and a round costs more than the guess */
static void
test_stalled_far_above(void)
{
    Feed f;
    MigProgress progress = {.is_active = TRUE, .rate_bytes_s = 1000000000};

    feed_begin(&f, 0);
    for (guint i = 2; i < 5; i++) {
        f.now_ms += 200;
        progress.iteration = i;
        progress.remaining_bytes = 30000000;
        mig_policy_feed(&f.policy, &progress, f.now_ms);
        if (i == 2)
            g_assert_cmpuint(f.policy.limit_ms, ==, MIG_POLICY_FIRST_MS);
        else if (i == 3)
            g_assert_cmpuint(f.policy.limit_ms, ==, 31);
        else
            g_assert_cmpuint(f.policy.limit_ms, ==, 62);
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
    g_assert_false(mig_policy_feed(&f.policy, &idle, f.now_ms + 100000));
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
    return g_test_run();
}
