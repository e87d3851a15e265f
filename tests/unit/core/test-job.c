/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-job.c - phases, elapsed time, and the plain structs beside it. */
#include "core/job.h"
#include "core/timeouts.h"

static void
test_phases(void)
{
    g_autoptr(MigJob) job = mig_job_new("A-1");
    const MigJobPhase *phase;

    mig_job_set_state(job, MIG_JOB_STATE_BEGIN, "asked for", 1000);
    g_assert_cmpint(job->started_ms, ==, 1000);
    mig_job_set_state(job, MIG_JOB_STATE_PREPARE, "checked", 1010);
    mig_job_set_state(job, MIG_JOB_STATE_PERFORM, "ready", 1030);
    mig_job_set_state(job, MIG_JOB_STATE_CONFIRM, "done", 1530);
    g_assert_false(mig_job_has_ended(job));
    g_assert_cmpint(job->elapsed_ms, ==, 0);
    mig_job_set_state(job, MIG_JOB_STATE_DONE, "there", 1540);
    g_assert_true(mig_job_has_ended(job));
    g_assert_cmpint(job->elapsed_ms, ==, 540);
    g_assert_cmpuint(job->phases->len, ==, 5);
    phase = g_ptr_array_index(job->phases, 2);
    g_assert_cmpint(phase->state, ==, MIG_JOB_STATE_PERFORM);
    g_assert_cmpint(phase->at_ms, ==, 1030);
    g_assert_cmpint(phase->took_ms, ==, 500);
    g_assert_cmpstr(phase->why, ==, "ready");
    phase = g_ptr_array_index(job->phases, 4);
    g_assert_cmpint(phase->took_ms, ==, 0);
}

/* The clock of a job that has been asked for earlier runs from there. */
static void
test_started(void)
{
    g_autoptr(MigJob) job = mig_job_new("A-1");

    job->started_ms = 900;
    mig_job_set_state(job, MIG_JOB_STATE_BEGIN, "asked for", 1000);
    mig_job_set_state(job, MIG_JOB_STATE_FAILED, "refused", 1100);
    g_assert_cmpint(job->elapsed_ms, ==, 200);
}

/* From a journal that has lost its phases: the state counts, and it goes on from there. */
static void
test_no_history(void)
{
    g_autoptr(MigJob) job = mig_job_new("A-1");

    job->state = MIG_JOB_STATE_PERFORM;
    job->started_ms = 1000;
    mig_job_set_state(job, MIG_JOB_STATE_CONFIRM, "restarted", 2000);
    g_assert_cmpint(job->state, ==, MIG_JOB_STATE_CONFIRM);
    g_assert_cmpuint(job->phases->len, ==, 1);
    mig_job_set_state(job, MIG_JOB_STATE_FAILED, "stayed", 3000);
    g_assert_cmpint(job->elapsed_ms, ==, 2000);
}

static void
test_new(void)
{
    g_autoptr(MigJob) job = mig_job_new("A-1");

    g_assert_cmpint(job->state, ==, MIG_JOB_STATE_BEGIN);
    g_assert_cmpint(job->progress.downtime_ms, ==, -1);
    g_assert_cmpint(job->blackout_ms, ==, -1);
    mig_job_free(NULL);
}

static void
test_domain_states(void)
{
    for (int i = MIG_DOMAIN_UNKNOWN; i <= MIG_DOMAIN_INCOMING; i++)
        g_assert_cmpint(mig_domain_state_from_name(mig_domain_state_name(i)), ==, i);
    g_assert_cmpint(mig_domain_state_from_name("flying"), ==, MIG_DOMAIN_UNKNOWN);
    g_assert_cmpint(mig_domain_state_from_name(NULL), ==, MIG_DOMAIN_UNKNOWN);
}

static void
test_types(void)
{
    MigNode *node = g_new0(MigNode, 1), *copy;

    node->name = g_strdup("A");
    node->migration = g_strdup("10.0.1.1/24");
    node->running[3] = 9;
    copy = mig_node_copy(node);
    mig_node_free(node);
    g_assert_cmpstr(copy->name, ==, "A");
    g_assert_cmpstr(copy->migration, ==, "10.0.1.1/24");
    g_assert_null(copy->cpu_vendor);
    g_assert_cmpuint(copy->running[3], ==, 9);
    mig_node_free(copy);
    mig_node_free(NULL);
    mig_vm_free(NULL);
    mig_image_free(NULL);
    mig_volume_info_free(NULL);
    mig_lease_free(NULL);
    mig_domain_free(NULL);
    mig_host_free(NULL);
}

/* The figures of the comment in timeouts.h, and the order that the rest relies on. */
static void
test_timeouts(void)
{
    g_assert_cmpuint(mig_timeouts_host_dead_s(1), ==, 68);
    g_assert_cmpuint(mig_timeouts_host_dead_s(2), ==, 76);
    g_assert_cmpuint(mig_timeouts_host_dead_s(5), ==, 100);
    g_assert_cmpuint(mig_timeouts_host_dead_s(10), ==, 140);
    for (guint io = 1; io <= 10; io++)
        g_assert_cmpuint(mig_timeouts_join_ms(io), >=, 4 * io * 1000);
    g_assert_cmpuint(MIG_SUSPECT_MS, >=, 2 * MIG_HEARTBEAT_MS);
    g_assert_cmpuint(MIG_RESERVATION_MS, >, MIG_PEER_CALL_MS + MIG_PEER_CONNECT_MS);
    g_assert_cmpuint(MIG_CONFIRM_MS, >, MIG_PEER_CALL_MS + MIG_PEER_CONNECT_MS);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/job/phases", test_phases);
    g_test_add_func("/job/started", test_started);
    g_test_add_func("/job/no-history", test_no_history);
    g_test_add_func("/job/new", test_new);
    g_test_add_func("/types/domain-states", test_domain_states);
    g_test_add_func("/types/structs", test_types);
    g_test_add_func("/timeouts", test_timeouts);
    return g_test_run();
}
