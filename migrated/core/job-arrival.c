/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* job-arrival.c - what job-arrival.h says. */
#include "core/job-arrival.h"

#include "core/job-postcopy.h"

gboolean
mig_job_arrive(MigJob *job, const MigJobEnv *env, GError **error)
{
    MigOutcome outcome = {.downtime_ms = -1};
    MigSwitchSeen seen = {0};

    env->hv->get_switchover(env->hv->self, job->uuid, 0, &seen);
    if (!env->peer->finish(env->peer->self, job, TRUE, &outcome, error))
        return FALSE;
    env->lock(env->self);
    job->has_arrived = TRUE;
    /* in post-copy it runs there before its memory has come in */
    job->was_booted_there =
        outcome.was_booted ||
        (outcome.there.running.to_us && !outcome.there.arrived.to_us && !mig_postcopy_was(job));
    job->elapsed_ms = env->clock->wall_ms(env->clock->self) - job->started_ms;
    job->progress.downtime_ms = outcome.downtime_ms;
    if (outcome.rate_bytes_s) { /* what was seen of it is older than its end */
        job->progress.transferred_bytes = outcome.transferred_bytes;
        job->progress.rate_bytes_s = outcome.rate_bytes_s;
    }
    if (!job->first_bytes) /* over before it was seen to end */
        job->first_bytes = job->progress.transferred_bytes;
    g_array_set_size(job->switchover, 0);
    mig_switchover_line(&seen, &outcome.there, job->switchover, &job->blackout_ms,
                        &job->blackout_within_ms);
    env->unlock_and_tell(env->self);
    return TRUE;
}

/* Stopped for good, as far as it is known; one that failed runs again. -1: it runs. */
static gint64
still_for_ms(const MigJob *job, const MigJobEnv *env)
{
    MigSwitchSeen seen = {0};

    env->hv->get_switchover(env->hv->self, job->uuid, 0, &seen);
    if (!seen.stopped_us || seen.running_us >= seen.stopped_us)
        return -1;
    return MAX(env->clock->monotonic_ms(env->clock->self) - seen.stopped_us / 1000, 0);
}

gboolean
mig_job_look_for_arrival(MigJob *job, const MigJobEnv *env)
{
    MigDomainState there = MIG_DOMAIN_UNKNOWN;
    gint64 still_ms = job->has_arrived ? -1 : still_for_ms(job, env);
    gboolean is_known = FALSE, is_up = FALSE;

    if (still_ms < MIG_ARRIVAL_QUIET_MS)
        return still_ms >= 0;
    /* whoever waits for an answer that cannot come would see late that libvirt is through */
    env->look_at_target(env->self, &is_known, &is_up);
    if (!is_up)
        return FALSE;
    if (!env->peer->get_domain(env->peer->self, job->target, job->vm, job->uuid, &there, NULL))
        return FALSE;
    /* libvirt lets it run there only after it has taken the lease */
    if (there == MIG_DOMAIN_RUNNING && mig_job_arrive(job, env, NULL)) {
        g_autoptr(GError) error = NULL;

        /* what somebody has been told holds in the next life of this daemon, too */
        if (!env->store->save(env->store->self, job, &error))
            g_warning("job %s: cannot write the journal: %s", job->id, error->message);
        return FALSE;
    }
    return still_ms < MIG_ARRIVAL_LATE_MS;
}
