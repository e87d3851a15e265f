/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-turn.c - which end a move asks first, also where it does not know yet whom it asks. */
#include "core/job-turn.h"

#include "base/error.h"
#include "core/timeouts.h"

typedef struct {
    gint64 now_ms, known_at_ms;
    guint32 target_host_id; /* from then on */
    GString *asked;
} World;

static guint32
target_host_id(gpointer self)
{
    World *world = self;

    return world->now_ms < world->known_at_ms ? 0 : world->target_host_id;
}

static gboolean
reserve(gpointer self, const char *node, const MigJob *job, gint64 waited_ms, MigTurn *turn,
        GError **error)
{
    World *world = self;

    g_string_append(world->asked, node);
    turn->is_granted = TRUE;
    return TRUE;
}

static gboolean
save(gpointer self, const MigJob *job, GError **error)
{
    return TRUE;
}

static gint64
get_ms(gpointer self)
{
    World *world = self;

    return world->now_ms;
}

static void
sleep_ms(gpointer self, guint ms)
{
    World *world = self;

    world->now_ms += ms;
}

static gboolean
may_ask(gpointer self, MigTurn *turn)
{
    return TRUE;
}

static gboolean
is_cancelled(gpointer self)
{
    return FALSE;
}

static void
nothing(gpointer self)
{
}

/* A job from A, whose host id is 5, to B. g_string_free(world->asked) */
static gboolean
run(World *world, MigJobState state, gboolean is_under_way, GError **error)
{
    const MigPeer peer = {.self = world, .reserve = reserve};
    const MigStore store = {.self = world, .save = save};
    const MigClock clock = {
        .self = world, .wall_ms = get_ms, .monotonic_ms = get_ms, .sleep_ms = sleep_ms};
    const MigJobEnv env = {.peer = &peer,
                           .store = &store,
                           .clock = &clock,
                           .host_id = 5,
                           .target_host_id = target_host_id,
                           .may_ask = may_ask,
                           .lock = nothing,
                           .unlock_and_tell = nothing,
                           .is_cancelled = is_cancelled,
                           .self = world};
    g_autoptr(MigJob) job = mig_job_new("A-1");
    gboolean ok = TRUE;

    job->source = g_strdup("A");
    job->target = g_strdup("B");
    job->state = state;
    world->asked = g_string_new(NULL);
    if (is_under_way)
        mig_job_take_turn_again(job, &env);
    else
        ok = mig_job_get_turn(job, &env, error);
    return ok;
}

static void
test_order(void)
{
    for (guint k = 0; k < 2; k++) {
        World world = {.target_host_id = k ? 6 : 4};
        g_autoptr(GError) error = NULL;

        g_assert_true(run(&world, MIG_JOB_STATE_BEGIN, FALSE, &error));
        g_assert_cmpstr(world.asked->str, ==, k ? "AB" : "BA");
        g_string_free(world.asked, TRUE);
    }
}

/* A daemon that was restarted sees the others only by and by: the wrong order would have it wait
 * with one half of the pair, and a move the other way with the other one. */
static void
test_unknown_at_first(void)
{
    World world = {.target_host_id = 6, .known_at_ms = MIG_AWAY_MS / 2};
    g_autoptr(GError) error = NULL;

    g_assert_true(run(&world, MIG_JOB_STATE_WAITING, FALSE, &error));
    g_assert_cmpstr(world.asked->str, ==, "AB");
    g_assert_cmpint(world.now_ms, >=, world.known_at_ms);
    g_string_free(world.asked, TRUE);
}

static void
test_never_known(void)
{
    World world = {.known_at_ms = G_MAXINT64};
    g_autoptr(GError) error = NULL;

    g_assert_false(run(&world, MIG_JOB_STATE_WAITING, FALSE, &error));
    g_assert_error(error, MIG_ERROR, MIG_ERROR_NODE_UNREACHABLE);
    g_assert_cmpint(world.now_ms, >, MIG_AWAY_MS);
    g_assert_cmpstr(world.asked->str, ==, "");
    g_string_free(world.asked, TRUE);
    /* what is under way waits for nobody, and asks both nevertheless */
    run(&world, MIG_JOB_STATE_PERFORM, TRUE, NULL);
    g_assert_cmpstr(world.asked->str, ==, "BA");
    g_string_free(world.asked, TRUE);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/turn/order", test_order);
    g_test_add_func("/turn/unknown-at-first", test_unknown_at_first);
    g_test_add_func("/turn/never-known", test_never_known);
    return g_test_run();
}
