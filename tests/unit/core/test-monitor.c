/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-monitor.c - a move that is changed as it runs: what QEMU is told, and when. */
#include "core/job-monitor.h"

#include "base/error.h"

typedef struct {
    MigJob *job;
    guint quiet;       /* so many looks in which no memory has gone over */
    guint polls, last; /* libvirt is through after the last one */
    guint change_at, new_downtime_ms;
    guint64 share, new_share; /* what env->bandwidth says, until and from change_at */
    gboolean has_call;        /* libvirt sets what its call said as memory begins to go over */
    guint64 call_bytes_s;
    gboolean is_quietly_shared; /* by other moves, by nobody's wish */
    guint64 told_bytes_s;
    guint told_limit_ms, bandwidth_calls, limit_calls, saves, saves_before_limit;
    guint cancel_at, aborts, saves_before_abort;
    guint asked, begun; /* the target, and post-copy */
    gboolean answers;
    gint64 full_until_ms; /* the journal cannot be written; */
    gboolean is_postcopy_saved;
    gint64 now_ms;
} World;

static gboolean
get_progress(gpointer self, const char *vm, MigProgress *progress, GError **error)
{
    World *world = self;

    /* asked twice a turn: by who waits, and by who watches */
    *progress = (MigProgress){.is_active = world->polls < world->last,
                              .iteration = 2 + world->polls / 10,
                              .remaining_bytes = 1000,
                              .transferred_bytes = world->polls < world->quiet ? 0 : 1000,
                              /* gone with the last sample, as QEMU has it */
                              .throttle_percent = world->polls + 1 < world->last ? 30 : 0,
                              .downtime_ms = -1};
    return TRUE;
}

static gboolean
set_max_downtime(gpointer self, const char *vm, guint ms, GError **error)
{
    World *world = self;

    world->limit_calls++;
    world->told_limit_ms = ms;
    if (world->saves && !world->saves_before_limit)
        world->saves_before_limit = world->saves;
    return TRUE;
}

static gboolean
set_bandwidth(gpointer self, const char *vm, guint64 bytes_s, GError **error)
{
    World *world = self;

    world->bandwidth_calls++;
    world->told_bytes_s = bytes_s;
    return TRUE;
}

static gboolean
save(gpointer self, const MigJob *job, GError **error)
{
    World *world = self;

    if (world->now_ms < world->full_until_ms) {
        g_set_error(error, MIG_ERROR, MIG_ERROR_IO, "no space is left");
        return FALSE;
    }
    world->is_postcopy_saved |= job->state == MIG_JOB_STATE_POSTCOPY;
    world->saves++;
    return TRUE;
}

static gboolean
abort_move(gpointer self, const char *vm, GError **error)
{
    World *world = self;

    if (!world->aborts++)
        world->saves_before_abort = world->saves;
    return FALSE; /* too early for it */
}

/* A target that waits for it, or says nothing. */
static gboolean
get_domain(gpointer self, const char *node, const char *vm, const char *uuid, MigDomainState *state,
           GError **error)
{
    World *world = self;

    world->asked++;
    if (world->answers) {
        *state = MIG_DOMAIN_INCOMING;
        return TRUE;
    }
    g_set_error(error, MIG_ERROR, MIG_ERROR_IO, "no answer");
    return FALSE;
}

static gboolean
start_postcopy(gpointer self, const char *vm, GError **error)
{
    World *world = self;

    g_assert_true(world->is_postcopy_saved);
    world->begun++;
    return TRUE;
}

static gint64
monotonic_ms(gpointer self)
{
    World *world = self;

    return world->now_ms;
}

static void
sleep_ms(gpointer self, guint ms)
{
    World *world = self;

    world->now_ms += ms;
    if (++world->polls == world->change_at) {
        world->share = world->new_share;
        if (world->new_downtime_ms)
            world->job->max_downtime_ms = world->new_downtime_ms;
        if (!world->is_quietly_shared)
            world->job->retuned++;
    }
    if (world->has_call && world->polls == world->quiet)
        world->told_bytes_s = world->call_bytes_s;
}

static guint64
bandwidth(gpointer self)
{
    World *world = self;

    return world->share;
}

static void
nothing(gpointer self)
{
}

static gboolean
is_cancelled(gpointer self)
{
    World *world = self;

    world->job->cancel_wanted = world->cancel_at && world->polls >= world->cancel_at;
    return world->job->cancel_wanted;
}

static void
run(World *world)
{
    const MigHv hv = {.self = world,
                      .get_progress = get_progress,
                      .set_max_downtime = set_max_downtime,
                      .set_bandwidth = set_bandwidth,
                      .abort = abort_move,
                      .start_postcopy = start_postcopy};
    const MigPeer peer = {.self = world, .get_domain = get_domain};
    const MigStore store = {.self = world, .save = save};
    const MigClock clock = {
        .self = world, .wall_ms = monotonic_ms, .monotonic_ms = monotonic_ms, .sleep_ms = sleep_ms};
    const MigJobEnv env = {.hv = &hv,
                           .store = &store,
                           .peer = &peer,
                           .clock = &clock,
                           .bandwidth = bandwidth,
                           .lock = nothing,
                           .unlock_and_tell = nothing,
                           .is_cancelled = is_cancelled,
                           .self = world};
    MigMonitor monitor;

    mig_monitor_init(&monitor, world->job, &env);
    world->call_bytes_s = world->share;
    if (world->job->can_postcopy || world->has_call)
        mig_monitor_set_call(&monitor, world->call_bytes_s);
    g_assert_true(mig_monitor_wait(&monitor));
}

static MigJob *
new_job(guint max_downtime_ms)
{
    MigJob *job = mig_job_new("A-1");

    job->vm = g_strdup("web");
    job->max_downtime_ms = max_downtime_ms;
    return job;
}

static void
test_downtime(void)
{
    for (guint k = 0; k < 2; k++) {
        g_autoptr(MigJob) job = new_job(300);
        World world = {.job = job, .last = 200, .change_at = 100, .new_downtime_ms = k ? 20 : 1000};

        run(&world);
        g_assert_cmpuint(world.told_limit_ms, ==, k ? 20 : 1000);
        g_assert_cmpuint(job->downtime_limit_ms, ==, k ? 20 : 1000);
        g_assert_cmpuint(job->progress.throttle_percent, ==, 30);
        g_assert_cmpuint(world.saves, ==, 1);
        g_assert_cmpuint(world.saves_before_limit, ==, 1); /* the journal knows it first */
        g_assert_cmpuint(world.bandwidth_calls, ==, 1);    /* none before, and none is told once */
    }
}

/* virsh sets its own limit as memory begins to go over: ours is told until then, and once behind.
 */
static void
test_bandwidth_again(void)
{
    g_autoptr(MigJob) job = new_job(300);
    World world = {.job = job, .last = 60, .quiet = 20, .share = 10 << 20};

    run(&world);
    g_assert_cmpuint(world.told_bytes_s, ==, 10 << 20);
    g_assert_cmpuint(world.bandwidth_calls, >=, 20);
    g_assert_cmpuint(world.bandwidth_calls, <=, 21);
}

/* Another move begins or ends between the call and the first byte of memory: told then it would be
 * lost. Told it is once, behind that byte; also that there is no limit any more, for which nobody
 * asked. */
static void
test_bandwidth_early(void)
{
    static const struct {
        guint64 share, new_share, told;
        guint change_at;
    } cases[] = {{2 << 20, 1 << 20, 1 << 20, 10},
                 {1 << 20, 2 << 20, 2 << 20, 10},
                 {0, 1 << 20, 1 << 20, 10},
                 {1 << 20, 0, G_MAXINT64, 10},
                 {1 << 20, 0, G_MAXINT64, 30}};
    g_autoptr(MigJob) job = new_job(300);

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        World world = {.job = job,
                       .last = 60,
                       .quiet = 20,
                       .change_at = cases[i].change_at,
                       .has_call = TRUE,
                       .is_quietly_shared = TRUE,
                       .share = cases[i].share,
                       .new_share = cases[i].new_share};

        run(&world);
        g_assert_cmpuint(world.told_bytes_s, ==, cases[i].told);
        g_assert_cmpuint(world.bandwidth_calls, ==, 1);
    }
}

static void
test_bandwidth(void)
{
    g_autoptr(MigJob) job = new_job(300);
    World world = {
        .job = job, .last = 60, .change_at = 30, .share = 10 << 20, .new_share = 50 << 20};

    run(&world);
    g_assert_cmpuint(world.told_bytes_s, ==, 50 << 20);
    g_assert_cmpuint(world.bandwidth_calls, ==, 2);
    /* none any more: QEMU has to be told, too */
    world = (World){.job = job, .last = 60, .change_at = 30, .share = 10 << 20};
    run(&world);
    g_assert_cmpuint(world.told_bytes_s, ==, G_MAXINT64);
    g_assert_cmpuint(world.bandwidth_calls, ==, 2);
    /* and one that never had any is left alone */
    world = (World){.job = job, .last = 60};
    run(&world);
    g_assert_cmpuint(world.bandwidth_calls, ==, 0);
}

static void
test_by_virsh(void)
{
    g_autoptr(MigJob) job = new_job(300);
    World world = {.job = job, .last = 60, .change_at = 30, .new_downtime_ms = 20};

    job->by_virsh = TRUE;
    run(&world);
    g_assert_cmpuint(world.limit_calls + world.bandwidth_calls + world.saves, ==, 0);
}

/* What was asked for is in the journal before QEMU hears of it, once. */
static void
test_cancel(void)
{
    g_autoptr(MigJob) job = new_job(300);
    World world = {.job = job, .last = 60, .cancel_at = 30};

    run(&world);
    g_assert_cmpuint(world.aborts, >, 1);
    g_assert_cmpuint(world.saves_before_abort, ==, 1);
    g_assert_cmpuint(world.saves, ==, 1);
}

/* Post-copy is not begun towards a target that is silent; it is asked now and then, and the move
 * goes on by what its policy has besides: also where it was about to begin. */
static void
test_silent_target(void)
{
    static const MigJobState states[] = {MIG_JOB_STATE_PERFORM, MIG_JOB_STATE_POSTCOPY};

    for (guint i = 0; i < G_N_ELEMENTS(states); i++) {
        g_autoptr(MigJob) job = new_job(300);
        World world = {.job = job, .last = 900};

        job->state = states[i];
        job->can_postcopy = TRUE;
        job->policy = MIG_POLICY_MUST_FINISH;
        run(&world);
        g_assert_cmpuint(world.begun, ==, 0);
        g_assert_cmpuint(world.asked, >, 1);
        g_assert_cmpuint(world.told_limit_ms, >, 300);
    }
}

/* Nor is it begun where the journal cannot be written: a daemon that was restarted behind it would
 * take a half for the whole. It begins once that can be; until then the policy goes on. */
static void
test_full_journal(void)
{
    for (guint k = 0; k < 2; k++) {
        g_autoptr(MigJob) job = new_job(300);
        World world = {
            .job = job, .last = 900, .answers = TRUE, .full_until_ms = k ? 60 * 1000 : G_MAXINT64};

        job->state = MIG_JOB_STATE_PERFORM;
        job->can_postcopy = TRUE;
        job->policy = MIG_POLICY_MUST_FINISH;
        run(&world);
        g_assert_cmpuint(world.asked, >, 1);
        g_assert_cmpuint(world.told_limit_ms, >, 300);
        g_assert_true((world.begun > 0) == (k == 1));
    }
}

static void
be_silent(const char *domain, GLogLevelFlags level, const char *message, gpointer user_data)
{
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    /* a journal that fails is told with warnings */
    g_log_set_always_fatal(G_LOG_LEVEL_ERROR | G_LOG_LEVEL_CRITICAL);
    g_log_set_handler("migrated", G_LOG_LEVEL_WARNING, be_silent, NULL);
    g_test_add_func("/monitor/downtime", test_downtime);
    g_test_add_func("/monitor/bandwidth", test_bandwidth);
    g_test_add_func("/monitor/bandwidth-again", test_bandwidth_again);
    g_test_add_func("/monitor/bandwidth-early", test_bandwidth_early);
    g_test_add_func("/monitor/by-virsh", test_by_virsh);
    g_test_add_func("/monitor/cancel", test_cancel);
    g_test_add_func("/monitor/silent-target", test_silent_target);
    g_test_add_func("/monitor/full-journal", test_full_journal);
    return g_test_run();
}
