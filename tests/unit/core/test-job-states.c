/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-job-states.c - the table of a move's states is whole, and its picture shows all of it. */
#include "core/job-states.h"

#include <string.h>

static void
test_every_state(void)
{
    guint initial = 0, final = 0;

    for (guint i = 0; i < mig_job_sm.count; i++) {
        const MigSmState *state = &mig_job_sm.states[i];

        g_assert_nonnull(state->name);
        g_assert_cmpstr(mig_job_state_name(i), ==, state->name);
        g_assert_cmpuint(mig_sm_find(&mig_job_sm, state->name), ==, i);
        g_assert_true(state->is_final == (state->allowed == 0));
        g_assert_cmpuint(state->allowed >> mig_job_sm.count, ==, 0);
        g_assert_false(mig_sm_is_allowed(&mig_job_sm, i, i));
        initial += state->is_initial;
        final += state->is_final;
    }
    g_assert_cmpuint(initial, ==, 1);
    g_assert_true(mig_job_sm.states[MIG_JOB_STATE_BEGIN].is_initial);
    g_assert_cmpuint(final, ==, 3);
}

static guint32
reachable_from(guint from)
{
    guint32 seen = MIG_SM_BIT(from), before;

    do {
        before = seen;
        for (guint i = 0; i < mig_job_sm.count; i++) {
            if (seen & MIG_SM_BIT(i))
                seen |= mig_job_sm.states[i].allowed;
        }
    } while (seen != before);
    return seen;
}

static void
test_reachable(void)
{
    const guint32 ends = MIG_SM_BIT(MIG_JOB_STATE_DONE) | MIG_SM_BIT(MIG_JOB_STATE_FAILED) |
                         MIG_SM_BIT(MIG_JOB_STATE_CANCELLED);

    g_assert_cmphex(reachable_from(MIG_JOB_STATE_BEGIN), ==, MIG_SM_BIT(mig_job_sm.count) - 1);
    for (guint i = 0; i < mig_job_sm.count; i++) {
        g_assert_cmphex(reachable_from(i) & ends, !=, 0);
        /* no way back, but to where the halves of a post-copy find each other again */
        for (guint k = 0; k < i; k++)
            g_assert_true(!mig_sm_is_allowed(&mig_job_sm, i, k) ||
                          (k == MIG_JOB_STATE_POSTCOPY && i <= MIG_JOB_STATE_CONFIRM));
    }
}

/* Once the target may have been touched, an end is reached by asking both sides only. */
static void
test_confirm_is_the_only_way_out(void)
{
    for (guint i = MIG_JOB_STATE_PREPARE; i < MIG_JOB_STATE_CONFIRM; i++) {
        for (guint end = MIG_JOB_STATE_DONE; end <= MIG_JOB_STATE_CANCELLED; end++)
            g_assert_false(mig_sm_is_allowed(&mig_job_sm, i, end));
        g_assert_true(mig_sm_is_allowed(&mig_job_sm, i, MIG_JOB_STATE_CONFIRM));
    }
    g_assert_false(mig_sm_is_allowed(&mig_job_sm, MIG_JOB_STATE_BEGIN, MIG_JOB_STATE_DONE));
}

static void
test_restart_rule(void)
{
    static const MigJobResume rules[] = {
        [MIG_JOB_STATE_BEGIN] = MIG_JOB_RESUME_CLOSE,
        [MIG_JOB_STATE_WAITING] = MIG_JOB_RESUME_WAIT_TURN,
        [MIG_JOB_STATE_PREPARE] = MIG_JOB_RESUME_CLEAN,
        [MIG_JOB_STATE_PERFORM] = MIG_JOB_RESUME_WAIT_CONFIRM,
        [MIG_JOB_STATE_POSTCOPY] = MIG_JOB_RESUME_WAIT_CONFIRM,
        [MIG_JOB_STATE_POSTCOPY_PAUSED] = MIG_JOB_RESUME_WAIT_CONFIRM,
        [MIG_JOB_STATE_CONFIRM] = MIG_JOB_RESUME_WAIT_CONFIRM,
        [MIG_JOB_STATE_DONE] = MIG_JOB_RESUME_NOTHING,
        [MIG_JOB_STATE_FAILED] = MIG_JOB_RESUME_NOTHING,
        [MIG_JOB_STATE_CANCELLED] = MIG_JOB_RESUME_NOTHING,
    };

    g_assert_cmpuint(G_N_ELEMENTS(rules), ==, mig_job_sm.count);
    for (guint i = 0; i < mig_job_sm.count; i++) {
        g_assert_cmpint(mig_job_state_resume(i), ==, rules[i]);
        g_assert_true((rules[i] == MIG_JOB_RESUME_NOTHING) == mig_job_sm.states[i].is_final);
    }
}

/* The header's comment is the documentation: picture and table name every state. */
static void
test_picture(void)
{
    g_autofree char *text = NULL;
    g_autoptr(GError) error = NULL;

    g_file_get_contents(JOB_STATES_H, &text, NULL, &error);
    g_assert_no_error(error);
    char *table = strstr(text, "state     |"), *code = strstr(text, "typedef enum");

    g_assert_nonnull(table);
    g_assert_nonnull(code);
    *code = '\0';
    for (guint i = 0; i < mig_job_sm.count; i++) {
        g_autofree char *in_table = g_strdup(table);

        g_assert_nonnull(strstr(in_table, mig_job_sm.states[i].name));
        *table = '\0';
        g_assert_nonnull(strstr(text, mig_job_sm.states[i].name));
        *table = 's';
    }
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/job-states/every-state", test_every_state);
    g_test_add_func("/job-states/reachable", test_reachable);
    g_test_add_func("/job-states/confirm", test_confirm_is_the_only_way_out);
    g_test_add_func("/job-states/restart", test_restart_rule);
    g_test_add_func("/job-states/picture", test_picture);
    return g_test_run();
}
