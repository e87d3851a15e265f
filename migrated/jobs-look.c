/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* jobs-look.c - what others ask about this node's moves of a VM; any thread, see jobs.h. */
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

/* Lock held. NULL: none. One that was waited for in vain hangs, and is not waited for again and
 * again: who asks has his own deadline. */
static MigJobEntry *
cleaned_up_behind(MigJobs *jobs, const char *vm)
{
    for (guint i = 0; i < jobs->entries->len; i++) {
        MigJobEntry *entry = g_ptr_array_index(jobs->entries, i);

        if (entry->job->has_arrived && !mig_job_has_ended(entry->job) && !entry->is_slow &&
            g_str_equal(entry->job->vm, vm))
            return entry;
    }
    return NULL;
}

void
mig_jobs_await_arrived(MigJobs *jobs, const char *vm)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&jobs->lock);
    gint64 until_us = g_get_monotonic_time() + MIG_ARRIVED_WAIT_MS * 1000;
    MigJobEntry *entry;

    while ((entry = cleaned_up_behind(jobs, vm))) {
        if (!g_cond_wait_until(&jobs->changed, &jobs->lock, until_us) &&
            (entry = cleaned_up_behind(jobs, vm)))
            entry->is_slow = TRUE;
    }
}
