/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* job-states.c - the table that job-states.h draws. */
#include "core/job-states.h"

#define TO(state) MIG_SM_BIT(MIG_JOB_STATE_##state)

static const MigSmState job_states[] = {
    [MIG_JOB_STATE_BEGIN] = {"begin", TO(WAITING) | TO(PREPARE) | TO(FAILED) | TO(CANCELLED), TRUE,
                             FALSE},
    [MIG_JOB_STATE_WAITING] = {"waiting", TO(PREPARE) | TO(FAILED) | TO(CANCELLED), FALSE, FALSE},
    [MIG_JOB_STATE_PREPARE] = {"prepare", TO(PERFORM) | TO(CONFIRM), FALSE, FALSE},
    [MIG_JOB_STATE_PERFORM] = {"perform", TO(POSTCOPY) | TO(CONFIRM), FALSE, FALSE},
    [MIG_JOB_STATE_POSTCOPY] = {"postcopy", TO(POSTCOPY_PAUSED) | TO(CONFIRM), FALSE, FALSE},
    [MIG_JOB_STATE_POSTCOPY_PAUSED] = {"postcopy-paused", TO(POSTCOPY) | TO(CONFIRM), FALSE, FALSE},
    [MIG_JOB_STATE_CONFIRM] = {"confirm", TO(POSTCOPY) | TO(DONE) | TO(FAILED) | TO(CANCELLED),
                               FALSE, FALSE},
    [MIG_JOB_STATE_DONE] = {"done", 0, FALSE, TRUE},
    [MIG_JOB_STATE_FAILED] = {"failed", 0, FALSE, TRUE},
    [MIG_JOB_STATE_CANCELLED] = {"cancelled", 0, FALSE, TRUE},
};

const MigSm mig_job_sm = {"job", job_states, G_N_ELEMENTS(job_states)};

MigJobResume
mig_job_state_resume(MigJobState state)
{
    switch (state) {
    case MIG_JOB_STATE_BEGIN:
        return MIG_JOB_RESUME_CLOSE;
    case MIG_JOB_STATE_WAITING:
        return MIG_JOB_RESUME_WAIT_TURN;
    case MIG_JOB_STATE_PREPARE:
        return MIG_JOB_RESUME_CLEAN;
    case MIG_JOB_STATE_PERFORM:
    case MIG_JOB_STATE_POSTCOPY:
    case MIG_JOB_STATE_POSTCOPY_PAUSED:
    case MIG_JOB_STATE_CONFIRM:
        return MIG_JOB_RESUME_WAIT_CONFIRM;
    case MIG_JOB_STATE_DONE:
    case MIG_JOB_STATE_FAILED:
    case MIG_JOB_STATE_CANCELLED:
        break;
    }
    return MIG_JOB_RESUME_NOTHING;
}

const char *
mig_job_state_name(MigJobState state)
{
    g_return_val_if_fail(state < mig_job_sm.count, "?");
    return mig_job_sm.states[state].name;
}

gboolean
mig_job_state_is_postcopy(MigJobState state)
{
    return state == MIG_JOB_STATE_POSTCOPY || state == MIG_JOB_STATE_POSTCOPY_PAUSED;
}
