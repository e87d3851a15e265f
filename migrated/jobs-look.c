/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* jobs-look.c - what is asked of a VM whose moves this node has: does one go on, and how far is it?
 */
#include "core/timeouts.h"
#include "jobs-private.h"

gboolean
mig_jobs_has_vm(MigJobs *jobs, const char *vm)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&jobs->lock);

    for (guint i = 0; i < jobs->entries->len; i++) {
        const MigJobEntry *entry = g_ptr_array_index(jobs->entries, i);

        if (!mig_job_has_ended(entry->job) && !mig_job_entry_is_waiting(entry) &&
            g_str_equal(entry->job->vm, vm))
            return TRUE;
    }
    return FALSE;
}

guint64
mig_jobs_lease_version(MigJobs *jobs, const char *uuid)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&jobs->lock);
    guint64 version = 0;

    for (guint i = 0; i < jobs->entries->len; i++) {
        const MigJob *job = ((const MigJobEntry *)g_ptr_array_index(jobs->entries, i))->job;

        if (mig_job_has_ended(job) && g_strcmp0(job->uuid, uuid) == 0)
            version = MAX(version, job->lease_version);
    }
    return version;
}

/* Lock held. One that is at it for longer hangs, and is not waited for again and again: who asks
 * has his own deadline. */
static gboolean
is_cleaned_up_behind(MigJobs *jobs, const char *vm)
{
    gint64 now_ms = mig_jobs_now_ms();

    for (guint i = 0; i < jobs->entries->len; i++) {
        const MigJob *job = ((const MigJobEntry *)g_ptr_array_index(jobs->entries, i))->job;

        if (job->has_arrived && !mig_job_has_ended(job) && g_str_equal(job->vm, vm) &&
            now_ms - job->started_ms - job->elapsed_ms < MIG_ARRIVED_WAIT_MS)
            return TRUE;
    }
    return FALSE;
}

void
mig_jobs_await_arrived(MigJobs *jobs, const char *vm)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&jobs->lock);
    gint64 until_us = g_get_monotonic_time() + MIG_ARRIVED_WAIT_MS * 1000;

    while (is_cleaned_up_behind(jobs, vm) &&
           g_cond_wait_until(&jobs->changed, &jobs->lock, until_us))
        ;
}
