/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-queue.c - one move per pair of nodes, and who waits goes in order. */
#include "core/queue.h"

#include "core/timeouts.h"

static gint64 now_ms;

static gboolean
ask_as(MigQueue *queue, const char *job, const char *source, const char *target, guint priority,
       gint64 waited_ms, guint position, const char *waits_for)
{
    const MigWish wish = {.job = job,
                          .source = source,
                          .target = target,
                          .priority = priority,
                          .waited_ms = waited_ms};
    g_auto(MigTurn) turn = {0};

    mig_queue_ask(queue, &wish, now_ms, &turn);
    g_assert_true(turn.is_granted == (turn.waits_for == NULL));
    g_assert_true(turn.is_granted == (turn.position == 0));
    if (position)
        g_assert_cmpuint(turn.position, ==, position);
    if (waits_for)
        g_assert_cmpstr(turn.waits_for, ==, waits_for);
    return turn.is_granted;
}

static gboolean
ask(MigQueue *queue, const char *job, const char *source, const char *target)
{
    return ask_as(queue, job, source, target, 500, 0, 0, NULL);
}

static void
append(const char *job, const char *source, gpointer user_data)
{
    g_string_append_printf(user_data, "%s ", job);
}

/* "A-1 B-2 " */
static char *
ready(MigQueue *queue)
{
    GString *text = g_string_new(NULL);

    mig_queue_ready(queue, now_ms, append, text);
    return g_string_free(text, FALSE);
}

static void
is_ready(MigQueue *queue, const char *wanted)
{
    g_autofree char *got = ready(queue);

    g_assert_cmpstr(got, ==, wanted);
}

static void
test_one_per_pair(void)
{
    MigQueue *queue = mig_queue_new("A", 4);

    g_assert_true(ask(queue, "A-1", "A", "B"));
    g_assert_true(ask(queue, "A-1", "A", "B")); /* asked again */
    g_assert_false(ask_as(queue, "A-2", "A", "B", 500, 0, 1, "move A-1 between A and B"));
    g_assert_false(ask_as(queue, "B-1", "B", "A", 500, 0, 2, "move A-1 between A and B"));
    g_assert_true(ask(queue, "A-3", "A", "C"));
    g_assert_false(mig_queue_has(queue, "B-1"));
    mig_queue_release(queue, "unknown");
    g_assert_true(mig_queue_has(queue, "A-1"));
    is_ready(queue, "");
    mig_queue_release(queue, "A-1");
    g_assert_false(mig_queue_has(queue, "A-1"));
    is_ready(queue, "A-2 ");
    /* whoever asks first: the place counts */
    g_assert_false(
        ask_as(queue, "B-1", "B", "A", 500, 0, 2, "move A-2 between A and B, which goes first"));
    g_assert_true(ask(queue, "A-2", "A", "B"));
    mig_queue_release(queue, "A-2");
    g_assert_true(ask(queue, "B-1", "B", "A"));
    mig_queue_free(queue);
    mig_queue_free(NULL);
}

static void
test_priority_then_age(void)
{
    MigQueue *queue = mig_queue_new("A", 4);

    g_assert_true(ask(queue, "A-1", "A", "B"));
    g_assert_false(ask_as(queue, "A-2", "A", "B", 500, 10, 1, NULL));
    g_assert_false(ask_as(queue, "A-3", "A", "B", 500, 20, 1, NULL)); /* older */
    g_assert_false(ask_as(queue, "A-4", "A", "B", 501, 0, 1, NULL));
    g_assert_false(ask_as(queue, "A-5", "A", "B", 1, 99999, 4, NULL));
    g_assert_false(ask_as(queue, "A-2", "A", "B", 500, 10, 3, NULL));
    /* an age from the future and one from before the flood are no way to the front */
    g_assert_false(ask_as(queue, "A-6", "A", "B", 500, -5, 4, NULL));
    g_assert_false(ask_as(queue, "A-7", "A", "B", 400, G_MAXINT64, 5, NULL));
    g_assert_false(ask_as(queue, "A-8", "A", "B", G_MAXUINT, 0, 1, NULL)); /* 1000 at most */
    g_assert_false(ask_as(queue, "A-9", "A", "B", MIG_PRIORITY_MAX, 1, 1, NULL));
    mig_queue_release(queue, "A-8");
    mig_queue_release(queue, "A-9");
    mig_queue_release(queue, "A-1");
    is_ready(queue, "A-4 ");
    mig_queue_release(queue, "A-4"); /* cancelled */
    is_ready(queue, "A-3 ");
    mig_queue_free(queue);
}

static void
test_limit(void)
{
    MigQueue *queue = mig_queue_new("A", 2);

    g_assert_true(ask(queue, "A-1", "A", "B"));
    g_assert_true(ask(queue, "C-1", "C", "A"));
    g_assert_false(ask_as(queue, "A-2", "A", "D", 500, 0, 1,
                          "A, which takes part in 2 moves already (max_per_node)"));
    g_assert_false(ask_as(queue, "A-3", "A", "E", 600, 0, 1, NULL));
    g_assert_false(ask_as(queue, "A-4", "A", "B", 900, 0, 1, "move A-1 between A and B"));
    mig_queue_release(queue, "C-1");
    /* A-4's pair is taken: it holds nobody up. A-3 goes before A-2 */
    is_ready(queue, "A-3 ");
    g_assert_false(
        ask_as(queue, "A-2", "A", "D", 500, 0, 2, "A, where move A-3 goes first (max_per_node)"));
    g_assert_true(ask_as(queue, "A-3", "A", "E", 600, 0, 0, NULL));
    mig_queue_release(queue, "A-1");
    is_ready(queue, "A-4 ");
    mig_queue_free(queue);
}

/* Important moves of other pairs go before, but not for ever. */
static void
test_not_starved(void)
{
    MigQueue *queue = mig_queue_new("A", 1);
    g_autofree char *last = g_strdup("A-1");
    guint overtaken = 0;

    g_assert_true(ask(queue, last, "A", "B"));
    for (guint i = 2; i < 200; i++) {
        g_autofree char *next = g_strdup_printf("A-%u", i);

        g_assert_false(ask_as(queue, "C-1", "C", "A", 1, i * 10000, 0, NULL));
        g_assert_false(ask_as(queue, next, "A", i % 2 ? "B" : "D", 900, 0, 0, NULL));
        mig_queue_release(queue, last);
        if (ask_as(queue, "C-1", "C", "A", 1, i * 10000, 0, NULL))
            break;
        g_assert_true(ask_as(queue, next, "A", i % 2 ? "B" : "D", 900, 0, 0, NULL));
        g_free(last);
        last = g_strdup(next);
        overtaken++;
    }
    g_assert_cmpuint(overtaken, ==, MIG_OVERTAKE_MS / 10000 - 2);
    mig_queue_free(queue);
}

/* A source that died keeps its place for a while only. */
static void
test_silent(void)
{
    MigQueue *queue = mig_queue_new("A", 2);

    g_assert_true(ask(queue, "A-1", "A", "B"));
    g_assert_false(ask_as(queue, "B-1", "B", "A", 900, 0, 1, NULL));
    g_assert_false(ask_as(queue, "A-2", "A", "B", 500, 0, 2, NULL));
    mig_queue_release(queue, "A-1");
    now_ms += MIG_PLACE_MS;
    is_ready(queue, "B-1 ");
    g_assert_false(ask(queue, "A-2", "A", "B"));
    now_ms++;
    is_ready(queue, "A-2 ");
    g_assert_true(ask(queue, "A-2", "A", "B"));
    now_ms += 100 * MIG_PLACE_MS; /* a turn has no end but its own */
    g_assert_false(ask(queue, "B-1", "B", "A"));
    g_assert_true(mig_queue_has(queue, "A-2"));
    mig_queue_free(queue);
}

/* What was granted before a restart is known before anything is granted. */
static void
test_restore(void)
{
    MigQueue *queue = mig_queue_new("A", 1);
    g_autoptr(GString) text = g_string_new(NULL);

    mig_queue_restore(queue, "B-7", "B", "A");
    mig_queue_restore(queue, "B-7", "B", "A");
    mig_queue_restore(queue, "A-9", "A", "C"); /* more than the limit, that was another one then */
    mig_queue_turns(queue, append, text);
    g_assert_cmpstr(text->str, ==, "B-7 A-9 ");
    g_assert_false(ask_as(queue, "A-1", "A", "B", 500, 0, 1, "move B-7 between B and A"));
    g_assert_true(ask(queue, "B-7", "B", "A"));
    mig_queue_release(queue, "B-7");
    g_assert_false(ask(queue, "A-1", "A", "B"));
    mig_queue_release(queue, "A-9");
    g_assert_true(ask(queue, "A-1", "A", "B"));
    mig_queue_free(queue);
}

static void
test_first_end(void)
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

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/queue/one-per-pair", test_one_per_pair);
    g_test_add_func("/queue/priority-then-age", test_priority_then_age);
    g_test_add_func("/queue/limit", test_limit);
    g_test_add_func("/queue/not-starved", test_not_starved);
    g_test_add_func("/queue/silent", test_silent);
    g_test_add_func("/queue/restore", test_restore);
    g_test_add_func("/queue/first-end", test_first_end);
    return g_test_run();
}
