/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* job.c - the life of the MigJob struct. */
#include "core/job.h"

static void
phase_free(gpointer data)
{
    MigJobPhase *phase = data;

    g_free(phase->why);
    g_free(phase);
}

MigJob *
mig_job_new(const char *id)
{
    MigJob *job = g_new0(MigJob, 1);

    job->id = g_strdup(id);
    job->state = MIG_JOB_STATE_BEGIN;
    job->phases = g_ptr_array_new_with_free_func(phase_free);
    job->checks = g_ptr_array_new_with_free_func((GDestroyNotify)mig_check_free);
    job->progress.downtime_ms = -1;
    job->blackout_ms = job->blackout_within_ms = -1;
    job->switchover = g_array_new(FALSE, TRUE, sizeof(MigMoment));
    return job;
}

void
mig_job_free(MigJob *job)
{
    if (!job)
        return;
    g_free(job->id);
    g_free(job->vm);
    g_free(job->uuid);
    g_free(job->volume);
    g_free(job->source);
    g_free(job->target);
    g_free(job->waits_for);
    g_free(job->ram_address);
    g_strfreev(job->images);
    g_ptr_array_unref(job->phases);
    g_ptr_array_unref(job->checks);
    g_array_unref(job->switchover);
    g_clear_error(&job->error);
    g_free(job);
}

static void
open_phase(MigJob *job, const char *why, gint64 now_ms)
{
    MigJobPhase *phase = g_new0(MigJobPhase, 1);

    phase->state = job->state;
    phase->at_ms = now_ms;
    phase->why = g_strdup(why);
    g_ptr_array_add(job->phases, phase);
}

void
mig_job_set_state(MigJob *job, MigJobState state, const char *why, gint64 now_ms)
{
    if (job->phases->len == 0 && state == job->state) { /* the first one is entered, not moved to */
        job->started_ms = job->started_ms ? job->started_ms : now_ms;
        open_phase(job, why, now_ms);
        return;
    }
    if (job->phases->len > 0) { /* a journal may have lost its history, but never its state */
        MigJobPhase *last = g_ptr_array_index(job->phases, job->phases->len - 1);

        last->took_ms = now_ms - last->at_ms;
    }
    mig_sm_move(&mig_job_sm, job->id, &job->state, state, why);
    open_phase(job, why, now_ms);
    if (mig_job_has_ended(job) && !job->has_arrived)
        job->elapsed_ms = now_ms - job->started_ms;
}

gboolean
mig_job_has_ended(const MigJob *job)
{
    return mig_job_sm.states[job->state].is_final;
}
