/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* jobs-forecast.c - what a move from here will take, by what is known on this node. */
#include "jobs-private.h"

#include "core/bandwidth.h"
#include "core/timeouts.h"
#include "link.h"
#include "meters.h"

/* But for the time that it waited in line: that is not the move's. */
gint64
mig_job_moving_ms(const MigApiJob *job)
{
    gint64 ms = job->elapsed_ms;

    for (guint i = 0; job->phases && i < job->phases->len; i++) {
        const MigApiPhase *phase = g_ptr_array_index(job->phases, i);

        if (g_str_equal(phase->state, mig_job_state_name(MIG_JOB_STATE_WAITING)))
            ms -= phase->took_ms;
    }
    return ms;
}

static gint64
waited_ms(const MigJob *job)
{
    gint64 ms = 0;

    for (guint i = 0; i < job->phases->len; i++) {
        const MigJobPhase *phase = g_ptr_array_index(job->phases, i);

        if (phase->state == MIG_JOB_STATE_WAITING)
            ms += phase->took_ms;
    }
    return ms;
}

static MigPast
past_of(const MigJob *job, const MigJob *old)
{
    const MigProgress *progress = &old->progress;
    guint64 sent = progress->transferred_bytes, rate = progress->rate_bytes_s;

    return (MigPast){.is_same_vm = g_ascii_strcasecmp(job->uuid, old->uuid) == 0,
                     .is_same_pair = g_str_equal(job->target, old->target),
                     .has_moved = old->forecast.has_moved,
                     .used_bytes = old->forecast.used_bytes,
                     .first_bytes = old->first_bytes,
                     .link_bytes_s = old->forecast.link_bytes_s,
                     .rate_bytes_s = rate,
                     .around_ms = rate ? MAX(old->elapsed_ms - waited_ms(old) -
                                                 (gint64)((double)sent * 1000 / (double)rate),
                                             0)
                                       : -1,
                     .blackout_ms = old->blackout_ms,
                     .limit_ms = old->downtime_limit_ms};
}

/* Moves from this node that went well, newest last; encrypted ones teach nothing about others. */
static GArray *
past_moves(MigJobs *jobs, const MigJob *job)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&jobs->lock);
    GArray *past = g_array_new(FALSE, TRUE, sizeof(MigPast));

    for (guint i = 0; i < jobs->entries->len; i++) {
        const MigJob *old = ((const MigJobEntry *)g_ptr_array_index(jobs->entries, i))->job;

        if (old->state == MIG_JOB_STATE_DONE && !old->by_virsh &&
            old->is_encrypted == job->is_encrypted) {
            MigPast one = past_of(job, old);

            g_array_append_val(past, one);
        }
    }
    return past;
}

static guint64
limit_of(MigDaemon *daemon, const MigJob *job)
{
    guint64 cap = (guint64)daemon->config->migration_mib_s << 20;

    return mig_bandwidth_lower(mig_bandwidth_lower(job->bandwidth_bytes_s, job->granted_bytes_s),
                               cap);
}

void
mig_job_forecast(MigJobs *jobs, const MigJob *job, gboolean is_patient, MigForecast *forecast)
{
    MigDaemon *daemon = jobs->daemon;
    g_autoptr(GArray) past = past_moves(jobs, job);
    MigUse use; /* all 0 where nothing is known */

    mig_meters_get(daemon->meters, job->vm, job->uuid,
                   is_patient ? MIG_METER_FRESH_MS : MIG_METER_OLD_MS, is_patient, &use);
    *forecast =
        (MigForecast){.is_made = TRUE,
                      .used_bytes = use.used_bytes,
                      .dirtied = use.dirtied,
                      .later = use.later,
                      .busy_percent = use.busy_percent,
                      .has_moved = use.has_moved,
                      .link_bytes_s = mig_bandwidth_lower(mig_link_speed(daemon->link, job->target),
                                                          limit_of(daemon, job))};
    MigPredictFacts facts = {.memory_bytes = job->memory_bytes,
                             .used_bytes = forecast->used_bytes,
                             .dirtied = forecast->dirtied,
                             .later = forecast->later,
                             .busy_percent = forecast->busy_percent,
                             .has_moved = forecast->has_moved,
                             .link_bytes_s = forecast->link_bytes_s,
                             .is_encrypted = job->is_encrypted,
                             .policy = job->policy,
                             .can_postcopy = job->can_postcopy,
                             .max_downtime_ms = job->max_downtime_ms,
                             .past = (const MigPast *)(gconstpointer)past->data,
                             .n_past = past->len};

    if (is_patient && mig_predict_is_shaky(&facts)) {
        mig_meters_refine(daemon->meters, job->vm, job->uuid, &use);
        facts.later = forecast->later = use.later;
    }
    mig_predict(&facts, &forecast->expected);
}
