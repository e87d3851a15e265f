/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-move.c - a move is safe whatever fails, whoever dies, and whenever. */
#include "world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* More calls than any run has; a loop that gets here has a bug of its own. */
#define MANY_CALLS 20000

static World *world;
static guint runs;

static void
live_to_the_end(void)
{
    MigJob *job = world_run_job(world);

    world_check_end(world, job);
    mig_job_free(job);
}

/* One life, which is killed, in a process of its own; the next one, which nobody kills, in this. */
static void
run_with_kill(const Plan *plan)
{
    int status;
    pid_t pid = fork();

    g_assert_cmpint(pid, >=, 0);
    if (pid == 0) {
        live_to_the_end();
        _exit(0);
    }
    g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
    if (!WIFEXITED(status) || (WEXITSTATUS(status) != 0 && WEXITSTATUS(status) != EXIT_KILLED))
        g_error("the run above broke (wait status %d)", status);
    if (WEXITSTATUS(status) == 0)
        return; /* it was through before */
    world->triggered = TRUE;
    world->job_alive = FALSE;
    world->plan.kill_at = 0;
    /* killed before anything was written: nobody knows of a job, and nothing may be left */
    if (world->journal[0] == '\0')
        return;
    for (guint ms = 0; ms < plan->dead_ms; ms += TICK_MS)
        world_tick(world);
    live_to_the_end();
}

/* TRUE: what the plan had in store has happened. */
static gboolean
run(const Plan *plan)
{
    runs++;
    world_reset(world, plan);
    if (plan->kill_at)
        run_with_kill(plan);
    else
        live_to_the_end();
    return world->triggered;
}

static const Plan scenarios[] = {
    {.needs_downtime_ms = 5},
    {.needs_downtime_ms = 5, .is_source_first = TRUE},
    {.needs_downtime_ms = 5, .busy_ms = {7000, 0}},
    {.needs_downtime_ms = 5, .busy_ms = {0, 7000}},
    {.needs_downtime_ms = 5, .is_source_first = TRUE, .busy_ms = {3000, 9000}},
    {.needs_downtime_ms = 100},                      /* only after the limit was raised */
    {.needs_downtime_ms = 1000, .timeout_ms = 3000}, /* never */
    {.needs_downtime_ms = 5, .libvirt = LV_FAIL_IN_PREPARE},
    {.needs_downtime_ms = 5, .libvirt = LV_FAIL_IN_COPY},
    {.needs_downtime_ms = 5, .libvirt = LV_FAIL_IN_DEVICE},
    {.needs_downtime_ms = 5, .libvirt = LV_FAIL_IN_DEVICE, .source_cannot_resume = TRUE},
    {.needs_downtime_ms = 5, .libvirt = LV_FINISH_LOST},
    {.needs_downtime_ms = 5, .libvirt = LV_FINISH_LOST, .source_cannot_resume = TRUE},
    {.needs_downtime_ms = 5, .libvirt = LV_TARGET_LEASE},
    {.needs_downtime_ms = 5, .libvirt = LV_TARGET_LEASE, .source_cannot_resume = TRUE},
    {.needs_downtime_ms = 5, .libvirt = LV_TARGET_CONT},
    {.needs_downtime_ms = 5, .libvirt = LV_TARGET_CONT, .source_cannot_resume = TRUE},
    {.needs_downtime_ms = 5, .libvirt = LV_LOST_WITH_LEASE},
    {.needs_downtime_ms = 5, .libvirt = LV_TARGET_PAUSED},
    {.needs_downtime_ms = 5, .libvirt = LV_ANSWER_LOST},
    {.needs_downtime_ms = 5, .libvirt = LV_TARGET_RAN_AND_GONE},
    {.needs_downtime_ms = 5, .libvirt = LV_TARGET_GONE_FIRST},
    {.needs_downtime_ms = 5, .libvirt = LV_TARGET_DIES, .fence_ms = 3300},
    {.needs_downtime_ms = 5, .libvirt = LV_TARGET_DIES, .fence_ms = 9000},
    {.needs_downtime_ms = 5, .libvirt = LV_TARGET_DIES, .reboot_ms = 30000},
    {.needs_downtime_ms = 5, .libvirt = LV_TARGET_ISOLATED},
    {.needs_downtime_ms = 5, .libvirt = LV_DISK_FAILS},
    {.needs_downtime_ms = 5, .libvirt = LV_HALF_LEFT},
    {.needs_downtime_ms = 1000, .policy = MIG_POLICY_MUST_FINISH, .can_postcopy = TRUE},
    {.needs_downtime_ms = 1000,
     .policy = MIG_POLICY_MUST_FINISH,
     .can_postcopy = TRUE,
     .postcopy = PC_LINK_LOST},
    {.needs_downtime_ms = 1000,
     .policy = MIG_POLICY_MUST_FINISH,
     .can_postcopy = TRUE,
     .postcopy = PC_TARGET_GONE},
    {.needs_downtime_ms = 1000,
     .policy = MIG_POLICY_MUST_FINISH,
     .can_postcopy = TRUE,
     .postcopy = PC_SOURCE_GONE},
    {.needs_downtime_ms = 1000,
     .policy = MIG_POLICY_MUST_FINISH,
     .can_postcopy = TRUE,
     .libvirt = LV_ANSWER_LOST},
    {.needs_downtime_ms = 1000,
     .policy = MIG_POLICY_MUST_FINISH,
     .can_postcopy = TRUE,
     .libvirt = LV_FINISH_LOST},
    {.needs_downtime_ms = 5, .by_virsh = TRUE},
    {.needs_downtime_ms = 5, .by_virsh = TRUE, .libvirt = LV_FINISH_LOST},
    {.needs_downtime_ms = 5, .by_virsh = TRUE, .libvirt = LV_LOST_WITH_LEASE},
    {.needs_downtime_ms = 5, .by_virsh = TRUE, .libvirt = LV_HALF_LEFT},
};

/* The scenario, with what change() makes of it at call 1, 2, 3... until a run ends before that. */
static void
at_every_call(void (*change)(Plan *plan, guint call))
{
    for (guint i = 0; i < G_N_ELEMENTS(scenarios); i++) {
        guint call = 0;
        gboolean happened;

        do {
            Plan plan = scenarios[i];

            plan.seed = 1;
            /* far out it is the same wait, again and again: 7 has no part in its length */
            call += call >= 100 ? 7 : plan.can_postcopy ? 3 : 1;
            if (plan.can_postcopy && call >= 200)
                call += 24;
            change(&plan, call);
            happened = run(&plan);
            g_assert_cmpuint(call, <, MANY_CALLS);
        } while (happened);
        g_assert_cmpuint(call, >, 10);
    }
}

static void
told(MigJobState state, const char *text)
{
    MigJob *job = world_run_job(world);

    g_assert_cmpstr(mig_job_state_name(job->state), ==, mig_job_state_name(state));
    if (text && (!job->error || !strstr(job->error->message, text)))
        g_error("told '%s', not '%s'", job->error ? job->error->message : "nothing", text);
    world_check_end(world, job);
    mig_job_free(job);
}

/* With nothing but libvirt's own failures: what comes of it is known exactly. */
static void
test_outcomes(void)
{
    static const struct {
        LvFault libvirt;
        gboolean source_cannot_resume;
        MigJobState state;
        const char *text;
        MigDomainState source, target;
    } expected[] = {
        {LV_FINE, FALSE, MIG_JOB_STATE_DONE, NULL, MIG_DOMAIN_ABSENT, MIG_DOMAIN_RUNNING},
        {LV_FAIL_IN_PREPARE, FALSE, MIG_JOB_STATE_FAILED, "libvirt says no; web runs on A",
         MIG_DOMAIN_RUNNING, MIG_DOMAIN_ABSENT},
        {LV_FAIL_IN_COPY, FALSE, MIG_JOB_STATE_FAILED, "libvirt says no; web runs on A",
         MIG_DOMAIN_RUNNING, MIG_DOMAIN_ABSENT},
        {LV_FAIL_IN_DEVICE, FALSE, MIG_JOB_STATE_FAILED, "web runs on A", MIG_DOMAIN_RUNNING,
         MIG_DOMAIN_ABSENT},
        {LV_FAIL_IN_DEVICE, TRUE, MIG_JOB_STATE_FAILED, "web runs on A", MIG_DOMAIN_RUNNING,
         MIG_DOMAIN_ABSENT},
        {LV_FINISH_LOST, FALSE, MIG_JOB_STATE_FAILED, "web runs on A", MIG_DOMAIN_RUNNING,
         MIG_DOMAIN_ABSENT},
        {LV_FINISH_LOST, TRUE, MIG_JOB_STATE_FAILED, "web runs on A", MIG_DOMAIN_RUNNING,
         MIG_DOMAIN_ABSENT},
        {LV_TARGET_LEASE, TRUE, MIG_JOB_STATE_FAILED, "web runs on A", MIG_DOMAIN_RUNNING,
         MIG_DOMAIN_ABSENT},
        {LV_TARGET_CONT, FALSE, MIG_JOB_STATE_FAILED, "web runs on A", MIG_DOMAIN_RUNNING,
         MIG_DOMAIN_ABSENT},
        /* B had the lease, and says that it did nothing with it */
        {LV_TARGET_CONT, TRUE, MIG_JOB_STATE_FAILED, "web runs on A", MIG_DOMAIN_RUNNING,
         MIG_DOMAIN_ABSENT},
        {LV_DISK_FAILS, FALSE, MIG_JOB_STATE_FAILED, "stands still until its disk answers",
         MIG_DOMAIN_IO_ERROR, MIG_DOMAIN_ABSENT},
        {LV_LOST_WITH_LEASE, FALSE, MIG_JOB_STATE_DONE, NULL, MIG_DOMAIN_ABSENT,
         MIG_DOMAIN_RUNNING},
        {LV_TARGET_PAUSED, FALSE, MIG_JOB_STATE_DONE, NULL, MIG_DOMAIN_ABSENT, MIG_DOMAIN_RUNNING},
        {LV_ANSWER_LOST, FALSE, MIG_JOB_STATE_DONE, NULL, MIG_DOMAIN_ABSENT, MIG_DOMAIN_RUNNING},
        {LV_HALF_LEFT, FALSE, MIG_JOB_STATE_DONE, NULL, MIG_DOMAIN_ABSENT, MIG_DOMAIN_RUNNING},
    };

    for (guint i = 0; i < G_N_ELEMENTS(expected); i++) {
        const Plan plan = {.seed = 1,
                           .needs_downtime_ms = 5,
                           .libvirt = expected[i].libvirt,
                           .source_cannot_resume = expected[i].source_cannot_resume};

        g_test_message("libvirt fault %d", expected[i].libvirt);
        world_reset(world, &plan);
        told(expected[i].state, expected[i].text);
        g_assert_cmpint(world->arrived_early, ==,
                        expected[i].libvirt == LV_FINE || expected[i].libvirt == LV_HALF_LEFT);
        g_assert_cmpint(world->domain[SOURCE].state, ==, expected[i].source);
        g_assert_cmpint(world->domain[TARGET].state, ==, expected[i].target);
    }
}

/* B runs it, and it ends there, before A is told so. What is left on A, running or not, is older
 * than its disk: it is ended, soon, and somebody is asked to start the VM anew. */
static void
test_outrun(void)
{
    static const struct {
        LvFault libvirt;
        guint fence_ms, reboot_ms;
        gint64 within_ms; /* of the move's end */
    } cases[] = {
        {LV_TARGET_RAN_AND_GONE, 0, 0, 3000}, /* A's half stands still: the lease was B's */
        {LV_TARGET_GONE_FIRST, 0, 0, 1000},   /* A's half was let run */
        {LV_TARGET_DIES, 3300, 0, 1000},      /* the same */
        {LV_TARGET_DIES, 9000, 0, 4000},      /* stands still */
        {LV_TARGET_DIES, 0, 30000, 26000},    /* B is back, and its old start is over */
        {LV_TARGET_ISOLATED, 0, 0, 12000},
    };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        const Plan plan = {.seed = 1,
                           .needs_downtime_ms = 5,
                           .libvirt = cases[i].libvirt,
                           .fence_ms = cases[i].fence_ms,
                           .reboot_ms = cases[i].reboot_ms};

        g_test_message("case %u", i);
        world_reset(world, &plan);
        world->restart_unread = cases[i].reboot_ms ? 3 : 0; /* the LUN comes and goes */
        MigJob *job = world_run_job(world);

        g_assert_cmpstr(mig_job_state_name(job->state), ==, "failed");
        g_assert_nonnull(strstr(job->error->message, "had been taken over by B"));
        g_assert_nonnull(strstr(job->error->message, "it is started again"));
        g_assert_true(world->restart_asked);
        g_assert_cmpint(world->domain[SOURCE].state, ==, MIG_DOMAIN_ABSENT);
        g_assert_cmpint(world->now_ms - world->move_ended_ms, <, cases[i].within_ms);
        world_check_end(world, job);
        mig_job_free(job);
    }
}

/* Nobody but the job would let it go on again: it waits for as long as it takes. */
static void
test_silent(void)
{
    Plan plan = {.seed = 1,
                 .needs_downtime_ms = 5,
                 .libvirt = LV_FINISH_LOST,
                 .source_cannot_resume = TRUE,
                 .silent_ms = 200000};

    world_reset(world, &plan);
    told(MIG_JOB_STATE_FAILED, "web runs on A");
    g_assert_cmpint(world->domain[SOURCE].state, ==, MIG_DOMAIN_RUNNING);
    plan.silent_ms = 0;
    plan.unread_ms = 100000;
    world_reset(world, &plan);
    told(MIG_JOB_STATE_FAILED, "web runs on A");
    g_assert_cmpint(world->domain[SOURCE].state, ==, MIG_DOMAIN_RUNNING);
}

/* Whoever was told that it is done has been told the truth, in the next life of the daemon, too. */
static void
test_promise(void)
{
    Plan plan = {.seed = 1, .needs_downtime_ms = 5};
    guint promised = 0;

    for (plan.kill_at = 1; run(&plan); plan.kill_at++) {
        if (!world->has_promised)
            continue;
        promised++;
        for (plan.off_at = plan.kill_at; plan.off_at < plan.kill_at + 6; plan.off_at++)
            run(&plan); /* what is promised is checked at its end */
        plan.off_at = 0;
    }
    g_assert_cmpuint(promised, >, 0);
}

static void
test_waiting(void)
{
    Plan plan = {.seed = 1, .needs_downtime_ms = 5, .busy_ms = {7000, 13000}};

    world_reset(world, &plan);
    told(MIG_JOB_STATE_DONE, NULL);
    g_assert_cmpint(world->now_ms, >, 1000000 + 13000);
    /* killed while it waits, it goes on waiting; away for longer than its places are kept, too */
    plan.kill_at = 12;
    g_assert_true(run(&plan));
    g_assert_cmpint(world->domain[TARGET].state, ==, MIG_DOMAIN_RUNNING);
    plan.dead_ms = 20000;
    g_assert_true(run(&plan));
    g_assert_cmpint(world->domain[TARGET].state, ==, MIG_DOMAIN_RUNNING);
    /* a target that is away for longer than for a restart is not waited for */
    plan = (Plan){.seed = 1, .needs_downtime_ms = 5, .busy_ms = {0, 100000}, .cut_at = 12};
    plan.cut_ms = 20000;
    world_reset(world, &plan);
    told(MIG_JOB_STATE_DONE, NULL);
    plan.cut_ms = 200000;
    world_reset(world, &plan);
    told(MIG_JOB_STATE_FAILED, "B does not answer");
}

static void
test_no_wait(void)
{
    Plan plan = {.seed = 1, .needs_downtime_ms = 5, .busy_ms = {7000, 0}, .no_wait = TRUE};

    world_reset(world, &plan);
    told(MIG_JOB_STATE_FAILED, "pair-free: it would wait for move X-1 between A and B");
    g_assert_cmpint(world->now_ms, <, 1000000 + 7000 + 60000);
    g_assert_cmpint(world->domain[SOURCE].state, ==, MIG_DOMAIN_RUNNING);
    plan.busy_ms[SOURCE] = 0;
    world_reset(world, &plan);
    told(MIG_JOB_STATE_DONE, NULL);
}

/* One that somebody else begins: followed to the same ends, never begun or hurried by us. */
static void
test_by_virsh(void)
{
    Plan plan = {.seed = 1, .needs_downtime_ms = 5, .by_virsh = TRUE};

    world_reset(world, &plan);
    told(MIG_JOB_STATE_DONE, NULL);
    g_assert_cmpint(world->domain[TARGET].state, ==, MIG_DOMAIN_RUNNING);
    plan.libvirt = LV_FAIL_IN_COPY;
    world_reset(world, &plan);
    told(MIG_JOB_STATE_FAILED, "the move did not happen; web runs on A");
    plan.libvirt = LV_FINE;
    plan.busy_ms[TARGET] = 7000;
    world_reset(world, &plan);
    told(MIG_JOB_STATE_FAILED, "'migratectl move' does");
    g_assert_cmpint(world->domain[SOURCE].state, ==, MIG_DOMAIN_RUNNING);
}

static void
test_not_converging(void)
{
    Plan plan = {.seed = 1, .needs_downtime_ms = 1000, .timeout_ms = 3000};

    world_reset(world, &plan);
    told(MIG_JOB_STATE_FAILED, "did not converge within 3 s");
    /* and the same after a restart: policy and time limit outlive the process */
    plan.kill_at = 18;
    g_assert_true(run(&plan));
    plan.needs_downtime_ms = 100;
    g_assert_true(run(&plan));
    g_assert_cmpint(world->domain[TARGET].state, ==, MIG_DOMAIN_RUNNING);
}

static void
test_policies(void)
{
    Plan plan = {.seed = 1, .needs_downtime_ms = 1000};

    for (plan.policy = MIG_POLICY_FAST; plan.policy < MIG_POLICY_COUNT; plan.policy++) {
        gboolean ends = plan.policy == MIG_POLICY_MUST_FINISH;

        /* one that gives up leaves it where it runs; must-finish lets it stand for long enough */
        plan.kill_at = 0;
        world_reset(world, &plan);
        told(ends ? MIG_JOB_STATE_DONE : MIG_JOB_STATE_FAILED, ends ? NULL : "take --policy must");
        /* a restarted daemon knows the policy, and begins to wait anew */
        for (plan.kill_at = 18; plan.kill_at < 60; plan.kill_at += 20) {
            g_assert_true(run(&plan));
            g_assert_cmpint(world->domain[ends ? TARGET : SOURCE].state, ==, MIG_DOMAIN_RUNNING);
        }
    }
    plan = (Plan){
        .seed = 1, .needs_downtime_ms = 1000, .timeout_ms = 3000, .policy = MIG_POLICY_MUST_FINISH};
    world_reset(world, &plan);
    MigJob *job = world_run_job(world);

    g_assert_cmpint(job->state, ==, MIG_JOB_STATE_DONE);
    g_assert_cmpint(job->elapsed_ms, >=, 3000);
    g_assert_cmpint(job->elapsed_ms, <, 5000);
    world_check_end(world, job);
    mig_job_free(job);
}

static void
test_postcopy(void)
{
    static const struct {
        PcFault fault;
        MigJobState state;
        const char *text;
        MigDomainState source, target;
        gboolean restart_asked, is_stuck;
    } expected[] = {
        {PC_FINE, MIG_JOB_STATE_DONE, NULL, MIG_DOMAIN_ABSENT, MIG_DOMAIN_RUNNING, FALSE, FALSE},
        {PC_LINK_LOST, MIG_JOB_STATE_DONE, NULL, MIG_DOMAIN_ABSENT, MIG_DOMAIN_RUNNING, FALSE,
         FALSE},
        {PC_TARGET_GONE, MIG_JOB_STATE_FAILED, "one half of web was lost", MIG_DOMAIN_ABSENT,
         MIG_DOMAIN_ABSENT, TRUE, FALSE},
        {PC_SOURCE_GONE, MIG_JOB_STATE_FAILED, "one half of web was lost", MIG_DOMAIN_ABSENT,
         MIG_DOMAIN_ABSENT, TRUE, FALSE},
        {PC_LINK_AT_END, MIG_JOB_STATE_DONE, NULL, MIG_DOMAIN_ABSENT, MIG_DOMAIN_RUNNING, FALSE,
         FALSE},
        {PC_TARGET_OFF, MIG_JOB_STATE_FAILED, "web stopped during the move", MIG_DOMAIN_ABSENT,
         MIG_DOMAIN_ABSENT, FALSE, FALSE},
        {PC_LINK_LOST, MIG_JOB_STATE_FAILED, "one half of web was lost", MIG_DOMAIN_ABSENT,
         MIG_DOMAIN_ABSENT, TRUE, TRUE},
        {PC_SOURCE_DIES, MIG_JOB_STATE_FAILED, "web runs on B, where it was started anew",
         MIG_DOMAIN_ABSENT, MIG_DOMAIN_RUNNING, FALSE, FALSE},
    };

    for (guint i = 0; i < G_N_ELEMENTS(expected); i++) {
        const Plan plan = {.seed = 1,
                           .needs_downtime_ms = 1000,
                           .policy = MIG_POLICY_MUST_FINISH,
                           .can_postcopy = TRUE,
                           .postcopy = expected[i].fault,
                           .is_stuck = expected[i].is_stuck};

        g_test_message("fault %d", expected[i].fault);
        world_reset(world, &plan);
        world->restart_unread = expected[i].restart_asked ? 2 : 0;
        told(expected[i].state, expected[i].text);
        g_assert_cmpint(world->domain[SOURCE].state, ==, expected[i].source);
        g_assert_cmpint(world->domain[TARGET].state, ==, expected[i].target);
        g_assert_true(world->restart_asked == expected[i].restart_asked);
        g_assert_cmpuint(world->postcopy_bytes_s, ==, 600); /* a quarter of the link stays free */
    }
}

static void
fail_before(Plan *plan, guint call)
{
    plan->fail_at = call;
    plan->fail_kind = FAIL_BEFORE;
}

static void
fail_after(Plan *plan, guint call)
{
    plan->fail_at = call;
    plan->fail_kind = FAIL_AFTER;
}

static void
fail_lost(Plan *plan, guint call)
{
    plan->fail_at = call;
    plan->fail_kind = FAIL_LOST;
}

static void
kill_before(Plan *plan, guint call)
{
    plan->kill_at = call;
}

static void
kill_after(Plan *plan, guint call)
{
    plan->kill_at = call;
    plan->kill_after = TRUE;
}

static void
kill_for_long(Plan *plan, guint call)
{
    plan->kill_at = call;
    plan->dead_ms = 50000;
}

static void
cancel(Plan *plan, guint call)
{
    plan->cancel_at = call;
}

static void
kill_and_cancel(Plan *plan, guint call)
{
    plan->kill_at = call;
    plan->cancel_at = call + 3;
}

static void
die(Plan *plan, guint call)
{
    plan->die_at = call;
}

static void
cut_short(Plan *plan, guint call)
{
    plan->cut_at = call;
    plan->cut_ms = 2000;
}

static void
cut_long(Plan *plan, guint call)
{
    plan->cut_at = call;
    plan->cut_ms = 40000;
}

static void
guest_off(Plan *plan, guint call)
{
    plan->off_at = call;
}

static void
test_at_every_call(gconstpointer change)
{
    guint before = runs;

    at_every_call((void (*)(Plan *, guint))change);
    g_test_message("%u runs", runs - before);
}

static void
run_seed(guint64 seed)
{
    Plan plan = {.seed = seed};

    world->random = seed * 0x9E3779B97F4A7C15ull + 12345;
    plan.libvirt = world_random(world, LV_N);
    plan.source_cannot_resume = world_random(world, 4) == 0;
    plan.needs_downtime_ms = world_random(world, 4) == 0 ? 100 : 5;
    plan.timeout_ms = world_random(world, 3) == 0 ? 2000 : 0;
    plan.policy = world_random(world, MIG_POLICY_COUNT);
    plan.can_postcopy = plan.policy != MIG_POLICY_NEVER_POSTCOPY && world_random(world, 2);
    if (plan.can_postcopy && world_random(world, 2))
        plan.needs_downtime_ms = 1000;
    plan.postcopy = world_random(world, PC_N);
    plan.is_source_first = world_random(world, 2);
    plan.fail_percent = world_random(world, 3) * 5;
    plan.event_permille = world_random(world, 3) * 20;
    plan.cut_ms = 100 + world_random(world, 30000);
    for (int end = SOURCE; end <= TARGET; end++)
        plan.busy_ms[end] = world_random(world, 3) == 0 ? world_random(world, 20000) : 0;
    if (world_random(world, 2)) {
        plan.kill_at = 1 + world_random(world, 60);
        plan.kill_after = world_random(world, 2);
        plan.dead_ms =
            world_random(world, 4) == 0 ? world_random(world, 60000) : world_random(world, 500);
    }
    /* one that never converges ends only by whoever began it */
    plan.by_virsh = world_random(world, 4) == 0 && plan.needs_downtime_ms <= VIRSH_LIMIT_MS;
    if (plan.by_virsh)
        plan.timeout_ms = 0;
    if (world_random(world, 3) == 0)
        plan.fence_ms = 3000 + world_random(world, 8000);
    if (world_random(world, 3) == 0)
        plan.reboot_ms = 20000 + world_random(world, 60000);
    run(&plan);
}

/* MIG_SIM_SEED runs one of them again. */
static void
test_seeds(void)
{
    const char *one = g_getenv("MIG_SIM_SEED");

    if (one)
        run_seed(g_ascii_strtoull(one, NULL, 10));
    for (guint64 seed = 1; !one && seed <= 2000; seed++)
        run_seed(seed);
}

static void
be_silent(const char *domain, GLogLevelFlags level, const char *message, gpointer user_data)
{
}

int
main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*change)(Plan *plan, guint call);
    } tests[] = {
        {"/sim/move/fails-before", fail_before}, {"/sim/move/fails-after", fail_after},
        {"/sim/move/call-lost", fail_lost},      {"/sim/move/killed-before", kill_before},
        {"/sim/move/killed-after", kill_after},  {"/sim/move/killed-for-long", kill_for_long},
        {"/sim/move/cancelled", cancel},         {"/sim/move/killed-cancelled", kill_and_cancel},
        {"/sim/move/target-dies", die},          {"/sim/move/cut-short", cut_short},
        {"/sim/move/cut-long", cut_long},        {"/sim/move/guest-off", guest_off},
    };

    g_test_init(&argc, &argv, NULL);
    /* warnings are what a failing journal is told with */
    g_log_set_always_fatal(G_LOG_LEVEL_ERROR | G_LOG_LEVEL_CRITICAL);
    g_log_set_handler("migrated",
                      G_LOG_LEVEL_WARNING | G_LOG_LEVEL_MESSAGE | G_LOG_LEVEL_INFO |
                          G_LOG_LEVEL_DEBUG,
                      be_silent, NULL);
    world = world_new_shared();
    g_test_add_func("/sim/move/outcomes", test_outcomes);
    g_test_add_func("/sim/move/outrun", test_outrun);
    g_test_add_func("/sim/move/silent", test_silent);
    g_test_add_func("/sim/move/promise", test_promise);
    g_test_add_func("/sim/move/waiting", test_waiting);
    g_test_add_func("/sim/move/no-wait", test_no_wait);
    g_test_add_func("/sim/move/by-virsh", test_by_virsh);
    g_test_add_func("/sim/move/not-converging", test_not_converging);
    g_test_add_func("/sim/move/policies", test_policies);
    g_test_add_func("/sim/move/postcopy", test_postcopy);
    for (guint i = 0; i < G_N_ELEMENTS(tests); i++)
        g_test_add_data_func(tests[i].name, (gconstpointer)tests[i].change, test_at_every_call);
    g_test_add_func("/sim/move/seeds", test_seeds);
    return g_test_run();
}
