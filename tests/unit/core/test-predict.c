/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-predict.c - what is said before a move is near what comes of it, or its range is wide. */
#include "core/predict.h"
#include "rounds.h"

#define MIB   1048576.0
#define SEEDS 300

/* As if four moves of that VM had gone by the book: nothing but the sending takes time. */
static const MigPast *
ideal_past(guint64 used, guint64 link)
{
    static MigPast past[4];

    for (guint i = 0; i < G_N_ELEMENTS(past); i++)
        past[i] = (MigPast){.is_same_vm = TRUE,
                            .is_same_pair = TRUE,
                            .used_bytes = used,
                            .first_bytes = used,
                            .link_bytes_s = link,
                            .rate_bytes_s = i % 2 ? link : link / 2,
                            .limit_ms = MIG_POLICY_FIRST_MS};
    past[0].link_bytes_s = past[2].link_bytes_s = G_MAXINT64;
    past[0].rate_bytes_s = past[2].rate_bytes_s = link * 2;
    return past;
}

typedef struct {
    guint count, outside;
    GArray *errors; /* of the likely time, percent */
} Score;

static int
by_value(gconstpointer a, gconstpointer b)
{
    double left = *(const double *)a, right = *(const double *)b;

    return left < right ? -1 : left > right;
}

static double
error_at(Score *score, double part)
{
    g_array_sort(score->errors, by_value);
    return g_array_index(score->errors, double, (guint)(part * (score->errors->len - 1)));
}

/* A guest whose dirty pages were counted, and the same guest on the move. */
static void
compare(GRand *random, MigPolicyKind kind, double most_dirty, Score *score)
{
    double memory = MIB * g_rand_int_range(random, 256, 16384);
    double link_s = MIB * g_rand_int_range(random, 10, 1200);
    double dirty_s = link_s * g_rand_double_range(random, 0.05, most_dirty);
    double set = memory * g_rand_double_range(random, 0.05, 1);
    RoundsOutcome o = rounds_run(kind, memory, set, dirty_s, link_s);
    const MigPredictFacts facts = {.memory_bytes = (guint64)memory,
                                   .used_bytes = (guint64)memory,
                                   .dirtied = {1000, (guint64)MIN(dirty_s, set)},
                                   .later = {4000, (guint64)MIN(dirty_s * 4, set)},
                                   .link_bytes_s = (guint64)link_s,
                                   .policy = kind,
                                   .past = ideal_past((guint64)memory, (guint64)link_s),
                                   .n_past = 4};
    MigPrediction p;
    double took = (double)o.took_ms + (double)o.blackout_ms, error;

    mig_predict(&facts, &p);
    error = ABS((double)p.duration_ms.likely - took) / took * 100;
    g_array_append_val(score->errors, error);
    score->count++;
    /* the simulation moves on by its polls: each round is over a little late */
    score->outside += took < (double)p.duration_ms.least * 0.95 - 200 ||
                      took > (double)p.duration_ms.most * 1.05 + 500;
    g_assert_cmpint(p.duration_ms.least, <=, p.duration_ms.likely);
    g_assert_cmpint(p.duration_ms.likely, <=, p.duration_ms.most);
    g_assert_cmpint(p.bytes.most, >=, p.bytes.least);
    /* and what was on its way when the guest was stopped */
    g_assert_cmpint(p.downtime_ms.most, <=,
                    MAX(MIG_POLICY_MAX_MS, mig_policy_rule(kind)->beyond_ms) + 250);
}

static void
test_rounds(void)
{
    for (MigPolicyKind kind = MIG_POLICY_FAST; kind < MIG_POLICY_COUNT; kind++) {
        for (guint calm = 0; calm < 2; calm++) {
            Score score = {.errors = g_array_new(FALSE, FALSE, sizeof(double))};

            for (guint32 seed = 1; seed <= SEEDS; seed++) {
                g_autoptr(GRand) random = g_rand_new_with_seed(seed);

                compare(random, kind, calm ? 0.45 : 2, &score);
            }
            g_test_message("%s, %s: off by %.0f %% in the median, %.0f %% in 19 of 20; %u of %u "
                           "outside of the range",
                           mig_policy_kind_name(kind), calm ? "calm" : "any", error_at(&score, 0.5),
                           error_at(&score, 0.95), score.outside, score.count);
            g_assert_cmpfloat(error_at(&score, 0.5), <, calm ? 12 : 25);
            if (calm)
                g_assert_cmpfloat(error_at(&score, 0.95), <, 35);
            g_assert_cmpuint(score.outside * 10, <=, score.count);
            g_array_unref(score.errors);
        }
    }
}

static MigPredictFacts
plain_facts(void)
{
    return (MigPredictFacts){.memory_bytes = 1u << 30,
                             .used_bytes = 400 << 20,
                             .dirtied = {1000, 1 << 20},
                             .link_bytes_s = 100 << 20};
}

static void
test_nothing_known(void)
{
    MigPredictFacts facts = {.memory_bytes = 1u << 30};
    MigPrediction p;

    mig_predict(&facts, &p);
    g_assert_cmpuint(p.n_past, ==, 0);
    g_assert_false(p.gives_up);
    g_assert_cmpint(p.bytes.most, >=, 1 << 30); /* all of it may be in use */
    g_assert_cmpint(p.duration_ms.most, >, 3 * p.duration_ms.least);
    g_assert_cmpint(p.downtime_ms.likely, >, 0);
}

/* Each fact pulls the way it should. */
static void
test_directions(void)
{
    MigPredictFacts facts = plain_facts();
    MigPrediction p, other;

    mig_predict(&facts, &p);
    facts.link_bytes_s /= 10;
    mig_predict(&facts, &other);
    g_assert_cmpint(other.duration_ms.likely, >, 5 * p.duration_ms.likely);
    g_assert_cmpint(other.bytes.likely, >=, p.bytes.likely);
    facts = plain_facts();
    facts.used_bytes /= 4;
    mig_predict(&facts, &other);
    g_assert_cmpint(other.bytes.likely, <, p.bytes.likely / 2);
    facts = plain_facts();
    facts.dirtied.bytes = 50 << 20;
    mig_predict(&facts, &other);
    g_assert_cmpint(other.bytes.likely, >, p.bytes.likely * 5 / 4);
    g_assert_cmpint(other.duration_ms.likely, >, p.duration_ms.likely);
    /* a guest that was not measured may dirty a good deal */
    facts.dirtied.ms = 0;
    mig_predict(&facts, &other);
    g_assert_cmpint(other.bytes.most, >, p.bytes.most * 5 / 4);
}

/*
 * A guest with more memory in use, one that dirties more of it, and a slower link: each makes a
 * move no shorter, and sends no less. One that is slowed may: so not where the policy does that.
 */
static void
test_monotone(void)
{
    static const guint mib[] = {1, 10, 16, 24, 40, 64, 100, 1000};
    gint64 before[3][G_N_ELEMENTS(mib)][G_N_ELEMENTS(mib)] = {0};

    for (guint m = 0; m < G_N_ELEMENTS(mib); m++) {
        for (guint d = 0; d < G_N_ELEMENTS(mib); d++) {
            gint64 wider_ms = G_MAXINT64;

            for (guint l = 0; l < G_N_ELEMENTS(mib); l++) {
                MigPredictFacts facts = {.memory_bytes = G_GUINT64_CONSTANT(4) << 30,
                                         .used_bytes = (guint64)mib[m] << 20,
                                         .dirtied = {1000, (guint64)mib[d] << 17},
                                         .later = {4000, (guint64)mib[d] << 18},
                                         .policy = MIG_POLICY_GENTLE,
                                         .link_bytes_s = (guint64)mib[l] << 20};
                MigPrediction p;

                if (facts.later.bytes > facts.used_bytes)
                    continue; /* it cannot be */
                mig_predict(&facts, &p);
                if (p.gives_up) /* that takes what the policy's patience does */
                    p.duration_ms.likely = p.bytes.likely = G_MAXINT64 / 2;
                /* a round less at the end may be one in which the guest stops a little later */
                g_assert_cmpint(p.duration_ms.likely, <=, wider_ms);
                g_assert_cmpint(p.bytes.likely + (1 << 20), >=, before[0][d][l]);
                g_assert_cmpint(p.duration_ms.likely + 100, >=, before[1][d][l]);
                if (d > 0)
                    g_assert_cmpint(p.duration_ms.likely + 100, >=, before[2][d - 1][l]);
                wider_ms = p.duration_ms.likely;
                before[0][d][l] = p.bytes.likely;
                before[1][d][l] = p.duration_ms.likely;
                before[2][d][l] = before[1][d][l];
            }
        }
    }
}

/* What a guest writes to over and over is not what it would write to at that rate. */
static void
test_saturated(void)
{
    MigPredictFacts facts = {.memory_bytes = 1u << 30,
                             .used_bytes = 200 << 20,
                             .dirtied = {1000, 12 << 20},
                             .later = {4000, 48 << 20},
                             .has_moved = TRUE,
                             .link_bytes_s = 16 << 20,
                             .policy = MIG_POLICY_GENTLE};
    MigPrediction even, bent;

    mig_predict(&facts, &even);
    facts.later.bytes = 16 << 20;
    mig_predict(&facts, &bent);
    g_assert_cmpint(bent.bytes.likely, <, even.bytes.likely * 3 / 4);
    /* 150 MiB, 16, 13, 10 ...: as a move went that was held against it */
    g_assert_cmpint(bent.bytes.likely >> 20, >, 190);
    g_assert_cmpint(bent.bytes.likely >> 20, <, 260);
    /* over a link that is faster than the guest a bend that was seen leaves less to guess */
    facts.link_bytes_s = 32 << 20;
    mig_predict(&facts, &bent);
    facts.later.bytes = 48 << 20;
    mig_predict(&facts, &even);
    g_assert_cmpint(bent.bytes.most, <, even.bytes.most * 3 / 4);
}

/* Who lets his processors idle dirties as much when he is slowed. */
static void
test_idle_processors(void)
{
    MigPredictFacts facts = {.memory_bytes = 1u << 30,
                             .used_bytes = 200 << 20,
                             .dirtied = {1000, 12 << 20},
                             .later = {4000, 48 << 20},
                             .has_moved = TRUE,
                             .link_bytes_s = 16 << 20};
    MigPrediction unknown, busy, idle;

    mig_predict(&facts, &unknown);
    facts.busy_percent = 100;
    mig_predict(&facts, &busy);
    g_assert_cmpint(busy.bytes.likely, ==, unknown.bytes.likely);
    facts.busy_percent = 10;
    mig_predict(&facts, &idle);
    g_assert_cmpint(idle.bytes.likely, >, busy.bytes.likely * 5 / 4);
    g_assert_cmpint(idle.duration_ms.likely, >, busy.duration_ms.likely * 5 / 4);
}

/* Counted again only where it matters: much for the link, and few pages. */
static void
test_shaky(void)
{
    MigPredictFacts facts = plain_facts(); /* a link of 100 MiB/s */

    g_assert_false(mig_predict_is_shaky(&facts)); /* there is nothing to be counted again */
    facts.later = (MigDirtied){4000, 120 << 20};
    g_assert_true(mig_predict_is_shaky(&facts));
    facts.later.bytes = 90 << 20;
    g_assert_false(mig_predict_is_shaky(&facts));
    facts.later.bytes = 300 << 20;
    g_assert_false(mig_predict_is_shaky(&facts));
    facts.later.bytes = 120 << 20;
    facts.link_bytes_s = 0;
    g_assert_false(mig_predict_is_shaky(&facts));
}

static void
test_gives_up(void)
{
    MigPredictFacts facts = plain_facts();
    MigPrediction p;

    facts.dirtied.bytes = 390 << 20;
    facts.policy = MIG_POLICY_GENTLE;
    mig_predict(&facts, &p);
    g_assert_true(p.gives_up);
    facts.policy = MIG_POLICY_MUST_FINISH;
    mig_predict(&facts, &p);
    g_assert_false(p.gives_up);
    g_assert_cmpint(p.downtime_ms.most, <=, 31000);
}

/* What this VM did counts more than what another one did, and what any did more than a guess; but
 * how fast a host sends it shows with any VM, and what it did lately counts. */
static void
test_learns(void)
{
    MigPast past[12];
    MigPredictFacts facts = plain_facts();
    MigPrediction p;

    for (guint i = 0; i < G_N_ELEMENTS(past); i++) {
        past[i] = (MigPast){.around_ms = 3000,
                            .blackout_ms = 500,
                            .limit_ms = MIG_POLICY_FIRST_MS,
                            .used_bytes = 100,
                            .first_bytes = 100,
                            .is_same_pair = TRUE,
                            .link_bytes_s = 1 << 30,
                            .rate_bytes_s = 20 << 20};
        if (i >= 8) {
            past[i].is_same_vm = TRUE;
            past[i].blackout_ms = 40;
        }
    }
    facts.past = past;
    facts.n_past = 8;
    mig_predict(&facts, &p);
    /* 400 MiB by 20 MiB/s, not by the 100 that the link has */
    g_assert_cmpint(p.duration_ms.likely, >, 22000);
    g_assert_cmpint(p.duration_ms.likely, <, 27000);
    g_assert_cmpint(ABS(p.downtime_ms.likely - 500), <=, 5);
    g_assert_cmpuint(p.n_past, ==, 3);
    facts.n_past = G_N_ELEMENTS(past);
    mig_predict(&facts, &p);
    g_assert_cmpint(p.downtime_ms.likely, <, 120);
    /* the host has less to do since: three moves of another VM say so */
    for (guint i = 0; i < 3; i++) {
        past[9 + i].is_same_vm = FALSE;
        past[9 + i].rate_bytes_s = 80 << 20;
    }
    mig_predict(&facts, &p);
    g_assert_cmpint(p.duration_ms.likely, <, 10000);
    /* what was never known teaches nothing */
    for (guint i = 0; i < G_N_ELEMENTS(past); i++)
        past[i] = (MigPast){.is_same_vm = TRUE, .around_ms = -1, .blackout_ms = -1};
    mig_predict(&facts, &p);
    g_assert_cmpuint(p.n_past, ==, 0);
}

/* Over 400 MiB and a link of so much, after moves like these, newest first, nothing around it. */
static gint64
takes_ms(guint64 link_mib_s, const guint links_and_rates[][2], guint count)
{
    MigPast past[4];
    MigPredictFacts facts = plain_facts();
    MigPrediction p;

    for (guint i = 0; i < count; i++)
        past[count - 1 - i] = (MigPast){.is_same_pair = TRUE,
                                        .used_bytes = 100,
                                        .first_bytes = 100,
                                        .link_bytes_s = (guint64)links_and_rates[i][0] << 20,
                                        .rate_bytes_s = (guint64)links_and_rates[i][1] << 20,
                                        .blackout_ms = -1};
    facts.dirtied.bytes = 0;
    facts.link_bytes_s = link_mib_s << 20;
    facts.is_encrypted = TRUE;
    facts.past = past;
    facts.n_past = count;
    mig_predict(&facts, &p);
    return p.duration_ms.likely;
}

/* What a link says of another one: a move that its link held up would have been faster over a wider
 * one, and one that its hosts held up would not. */
static void
test_links(void)
{
    static const guint bound[][2] = {{20, 18}, {20, 18}, {20, 18}};
    static const guint slow[][2] = {{100, 10}, {100, 10}, {100, 10}};
    /* the hosts had much to do, and have no more: two that were held up by their links say so */
    static const guint since[][2] = {{20, 19}, {20, 19}, {100, 10}, {100, 10}};
    static const guint narrow[][2] = {{0, 100}, {40, 10}, {10, 9}};

    g_assert_cmpint(ABS(takes_ms(20, bound, 3) - 400000 / 18), <, 300);
    g_assert_cmpint(ABS(takes_ms(10, bound, 3) - 400000 / 9), <, 500);
    g_assert_cmpint(ABS(takes_ms(100, bound, 3) - 400000 / 94), <, 300);
    g_assert_cmpint(ABS(takes_ms(100, slow, 3) - 40000), <, 300);
    g_assert_cmpint(ABS(takes_ms(8, slow, 3) - 400000 / 8 * 100 / 94), <, 500);
    g_assert_cmpint(ABS(takes_ms(100, since, 4) - 400000 / 94), <, 300);
    /* over 50 they would send 47, 10 and 47 */
    g_assert_cmpint(ABS(takes_ms(50, narrow, 3) - 400000 / 47), <, 300);
}

/* What a QEMU that moved here has of its own is the same each time, in mebibytes, not in percent.
 * One that was started here has more, and teaches nothing about the other. */
static void
test_overhead(void)
{
    MigPast past[3];
    MigPredictFacts facts = {.memory_bytes = G_GUINT64_CONSTANT(1) << 30,
                             .used_bytes = 500 << 20,
                             .dirtied = {1000, 0},
                             .has_moved = TRUE,
                             .link_bytes_s = 100 << 20,
                             .past = past,
                             .n_past = G_N_ELEMENTS(past)};
    MigPrediction p;

    for (guint i = 0; i < G_N_ELEMENTS(past); i++)
        past[i] = (MigPast){.has_moved = TRUE,
                            .used_bytes = 160 << 20,
                            .first_bytes = 100 << 20,
                            .around_ms = -1,
                            .blackout_ms = -1};
    mig_predict(&facts, &p);
    g_assert_cmpint(p.bytes.likely, ==, 440 << 20);
    g_assert_cmpint(p.bytes.least, <, p.bytes.likely);
    facts.n_past = 0;
    mig_predict(&facts, &p);
    g_assert_cmpint(p.bytes.likely, <, 460 << 20); /* a guess */
    g_assert_cmpint(p.bytes.likely, >, 440 << 20);
    facts.n_past = G_N_ELEMENTS(past);
    facts.has_moved = FALSE;
    mig_predict(&facts, &p);
    g_assert_cmpint(p.bytes.likely, ==, 450 << 20); /* another guess */
    for (guint i = 0; i < G_N_ELEMENTS(past); i++)
        past[i].has_moved = FALSE;
    mig_predict(&facts, &p);
    g_assert_cmpint(p.bytes.likely, >, 300 << 20);
    g_assert_cmpint(p.bytes.likely, <, 320 << 20);
}

static void
test_score(void)
{
    static const gint64 actual[] = {100, 200, 400, 1000};
    MigRange expected[4];
    MigMisses misses;

    for (guint i = 0; i < G_N_ELEMENTS(actual); i++)
        expected[i] = (MigRange){.likely = actual[i] + 10, .least = actual[i], .most = actual[i]};
    expected[3] = (MigRange){.likely = 500, .least = 400, .most = 600};
    mig_predict_score(expected, actual, 4, &misses);
    g_assert_cmpuint(misses.count, ==, 4);
    g_assert_cmpuint(misses.in_range, ==, 3);
    g_assert_cmpint(misses.median_percent, ==, 10); /* of 3, 5, 10, 50: the upper one */
    g_assert_cmpint(misses.p95_percent, ==, 50);
    g_assert_cmpint(misses.p95_ms, ==, 500);
    mig_predict_score(expected, actual, 0, &misses);
    g_assert_cmpint(misses.median_percent, ==, -1);
    g_assert_cmpuint(misses.count, ==, 0);
}

/* Whatever the facts: it ends, and soon. */
static void
test_any_facts(void)
{
    static const guint64 values[] = {0, 1, 4096, 1 << 20, G_GUINT64_CONSTANT(1) << 44, G_MAXINT64};

    const guint n = G_N_ELEMENTS(values);

    /* each seventh: all values, and all pairs, and not half a minute of computing */
    for (guint i = 0; i < n * n * n * 24; i += 7) {
        const MigPredictFacts facts = {.memory_bytes = G_GUINT64_CONSTANT(1) << 44,
                                       .used_bytes = values[i / 4 % n],
                                       .dirtied = {i & 1 ? 1000 : 0, values[i / 24 % n]},
                                       .later = {i & 2 ? 4000 : 0, values[i / 24 % n]},
                                       .link_bytes_s = values[i / 144 % n],
                                       .policy = MIG_POLICY_FAST + i % 4};
        MigPrediction p;

        mig_predict(&facts, &p);
        g_assert_cmpint(p.duration_ms.least, >=, 0);
        g_assert_cmpint(p.duration_ms.most, <=, G_MAXINT64 / 2);
    }
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/predict/rounds", test_rounds);
    g_test_add_func("/predict/nothing-known", test_nothing_known);
    g_test_add_func("/predict/directions", test_directions);
    g_test_add_func("/predict/monotone", test_monotone);
    g_test_add_func("/predict/saturated", test_saturated);
    g_test_add_func("/predict/idle-processors", test_idle_processors);
    g_test_add_func("/predict/shaky", test_shaky);
    g_test_add_func("/predict/gives-up", test_gives_up);
    g_test_add_func("/predict/learns", test_learns);
    g_test_add_func("/predict/links", test_links);
    g_test_add_func("/predict/overhead", test_overhead);
    g_test_add_func("/predict/score", test_score);
    g_test_add_func("/predict/any-facts", test_any_facts);
    return g_test_run();
}
