/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* jobs.c - the table of jobs.h. */
#include "jobs.h"

#include "jobs-private.h"

#include "base/error.h"
#include "base/log.h"
#include "core/job-postcopy.h"
#include "core/queue.h"
#include "core/timeouts.h"
#include "meters.h"
#include "volumes.h"

#include <string.h>

/* Ended jobs that stay in table and journal. */
#define KEEP 100

static void
entry_free(gpointer data)
{
    MigJobEntry *entry = data;

    mig_job_free(entry->job);
    mig_watchers_free(entry->watchers);
    g_cond_clear(&entry->wake);
    g_free(entry->cpu_vendor);
    g_free(entry);
}

static MigJobEntry *
entry_new(MigJobs *jobs, MigJob *job_take)
{
    MigJobEntry *entry = g_new0(MigJobEntry, 1);

    entry->jobs = jobs;
    entry->job = job_take;
    entry->is_cancelled = job_take->cancel_wanted; /* before this daemon was restarted */
    entry->watchers = mig_watchers_new();
    g_cond_init(&entry->wake);
    return entry;
}

/* Lock held. */
static MigJobEntry *
find(MigJobs *jobs, const char *id)
{
    for (guint i = 0; i < jobs->entries->len; i++) {
        MigJobEntry *entry = g_ptr_array_index(jobs->entries, i);

        if (g_strcmp0(entry->job->id, id) == 0)
            return entry;
    }
    return NULL;
}

static MigJobEntry *
find_or_error(MigJobs *jobs, const char *id, GError **error)
{
    MigJobEntry *entry = find(jobs, id);
    g_autofree char *shown = mig_log_escape(id);

    if (!entry)
        g_set_error(error, MIG_ERROR, MIG_ERROR_JOB_UNKNOWN,
                    "no job '%s' is known; see 'migratectl job list'", shown);
    return entry;
}

/* ---- a new move ---- */

/* Lock held: no two jobs for one VM. */
static gboolean
is_vm_free(MigJobs *jobs, const char *vm, GError **error)
{
    if (g_hash_table_contains(jobs->held, vm)) {
        g_set_error(error, MIG_ERROR, MIG_ERROR_VM_BUSY,
                    "%s is being started or stopped; wait until that is over", vm);
        return FALSE;
    }
    for (guint i = 0; i < jobs->entries->len; i++) {
        const MigJobEntry *entry = g_ptr_array_index(jobs->entries, i);

        if (!mig_job_has_ended(entry->job) && g_str_equal(entry->job->vm, vm)) {
            g_set_error(error, MIG_ERROR, MIG_ERROR_VM_BUSY,
                        "%s %s to %s already; see 'migratectl "
                        "job watch %s', or cancel it: 'migratectl job cancel %s'",
                        vm,
                        mig_job_entry_is_waiting(entry) ? "waits to be moved" : "is being moved",
                        entry->job->target, entry->job->id, entry->job->id);
            return FALSE;
        }
    }
    return TRUE;
}

static void
forget_old(MigJobs *jobs)
{
    for (guint i = 0; i < jobs->entries->len && jobs->entries->len > KEEP;) {
        const MigJobEntry *entry = g_ptr_array_index(jobs->entries, i);

        if (mig_job_has_ended(entry->job) && !entry->is_running)
            g_ptr_array_remove_index(jobs->entries, i);
        else
            i++;
    }
}

/* Lock held. */
static gboolean
has_room(MigJobs *jobs, GError **error)
{
    gint64 length = jobs->daemon->config->queue_length, waiting = 0;

    for (guint i = 0; i < jobs->entries->len; i++)
        waiting += mig_job_entry_is_waiting(g_ptr_array_index(jobs->entries, i));
    if (waiting < length)
        return TRUE;
    g_set_error(error, MIG_ERROR, MIG_ERROR_QUEUE_FULL,
                "%" G_GINT64_FORMAT " moves from %s wait already ([moves] queue_length); wait "
                "until some of them have begun, see 'migratectl job list'",
                waiting, jobs->daemon->node);
    return FALSE;
}

/* What is said nearest to the move counts. */
static MigPolicyKind
policy_of(const MigMoveVmRequest *request, const MigVm *vm, const MigConfig *config)
{
    MigPolicyKind kind = MIG_POLICY_UNSET;

    mig_policy_kind_from_name(request->policy, &kind);
    if (kind == MIG_POLICY_UNSET && vm->move_policy < MIG_POLICY_COUNT)
        kind = (MigPolicyKind)vm->move_policy;
    if (kind == MIG_POLICY_UNSET)
        mig_policy_kind_from_name(config->default_policy, &kind);
    return kind;
}

static MigJob *
job_from_request(MigJobs *jobs, const MigMoveVmRequest *request, const MigRunning *running,
                 const MigVm *vm)
{
    const MigConfig *config = jobs->daemon->config;
    MigJob *job = mig_job_new("");

    job->started_ms = mig_jobs_now_ms();
    job->vm = g_strdup(running->name);
    job->uuid = g_strdup(running->uuid);
    job->volume = g_strdup(running->volume);
    job->slot = running->slot;
    job->images = g_strdupv(running->images);
    job->memory_bytes = vm->memory_bytes;
    job->priority = request->priority ? (guint)request->priority : vm->priority;
    job->no_wait = request->no_wait;
    job->policy = policy_of(request, vm, config);
    job->source = g_strdup(jobs->daemon->node);
    job->target = g_strdup(request->node);
    job->bandwidth_bytes_s = request->bandwidth ? (guint64)request->bandwidth
                                                : (guint64)config->default_bandwidth_mib_s << 20;
    job->max_downtime_ms = (guint)(request->max_downtime_ms ? request->max_downtime_ms
                                                            : config->default_max_downtime_ms);
    job->timeout_ms =
        (guint)(request->timeout_ms ? request->timeout_ms : config->default_timeout_s * 1000);
    return job;
}

static gboolean
check_request(MigJobs *jobs, const MigMoveVmRequest *request, GError **error)
{
    g_autofree char *shown = mig_log_escape(request->node);
    MigPolicyKind policy;

    if (g_str_equal(request->node, jobs->daemon->node)) {
        g_set_error(error, MIG_ERROR, MIG_ERROR_MOVE_TO_ITSELF,
                    "%s runs on %s already; name another node ('migratectl node list')",
                    request->vm, shown);
        return FALSE;
    }
    if (request->bandwidth < 0 || request->max_downtime_ms < 0 ||
        request->max_downtime_ms > 60000 || request->timeout_ms < 0 ||
        request->timeout_ms > G_MAXINT) {
        g_set_error(error, MIG_ERROR, MIG_ERROR_BAD_VALUE,
                    "bandwidth, downtime (at most 60000 ms) and timeout are not negative");
        return FALSE;
    }
    if (request->priority < 0 || request->priority > MIG_PRIORITY_MAX) {
        g_set_error(error, MIG_ERROR, MIG_ERROR_BAD_VALUE, "a priority is a number from 1 to %d",
                    MIG_PRIORITY_MAX);
        return FALSE;
    }
    if (!mig_policy_kind_from_name(request->policy, &policy)) {
        g_set_error(error, MIG_ERROR, MIG_ERROR_BAD_VALUE,
                    "a policy is fast, gentle, must-finish or never-postcopy");
        return FALSE;
    }
    return TRUE;
}

static char *
begin(MigJobs *jobs, const MigMoveVmRequest *request, const MigRunning *running, const MigVm *vm,
      gboolean by_virsh, GError **error)
{
    MigDaemon *daemon = jobs->daemon;
    g_autoptr(MigNodeView) target = NULL;
    MigJobEntry *entry;
    char *id;

    if (!check_request(jobs, request, error))
        return NULL;
    target = mig_volumes_node(daemon->volumes, request->node, error);
    if (!target)
        return NULL;
    entry = entry_new(jobs, job_from_request(jobs, request, running, vm));
    entry->job->by_virsh = by_virsh;
    if (by_virsh) { /* its limits are virsh's; the cap of the link is everybody's */
        entry->job->timeout_ms = 0;
        entry->job->policy = MIG_POLICY_UNSET;
        entry->job->bandwidth_bytes_s = 0;
    }
    entry->cpu_vendor = mig_volumes_cpu_vendor(daemon->volumes);
    g_mutex_lock(&jobs->lock);
    if (!is_vm_free(jobs, request->vm, error) || !has_room(jobs, error)) {
        g_mutex_unlock(&jobs->lock);
        entry_free(entry);
        return NULL;
    }
    g_free(entry->job->id);
    entry->job->id = g_strdup_printf("%s-%" G_GUINT64_FORMAT, daemon->node, jobs->next++);
    id = g_strdup(entry->job->id);
    forget_old(jobs);
    g_ptr_array_add(jobs->entries, entry);
    mig_job_entry_run(entry);
    g_mutex_unlock(&jobs->lock);
    mig_log_event(MIG_ID_MOVE_STARTED,
                  MIG_FIELDS(.job = id, .domain = request->vm, .peer = request->node),
                  "%s is to move from %s to %s%s", request->vm, daemon->node, request->node,
                  by_virsh ? ", by virsh" : "");
    return id;
}

char *
mig_jobs_move(MigJobs *jobs, const MigMoveVmRequest *request, const MigRunning *running,
              const MigVm *vm, GError **error)
{
    return begin(jobs, request, running, vm, FALSE, error);
}

/* Is it performed, or has it ended before that? */
static gboolean
wait_for_perform(MigJobs *jobs, const char *id, GError **error)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&jobs->lock);
    gint64 until_us = g_get_monotonic_time() + MIG_FOLLOW_MS * G_GINT64_CONSTANT(1000);

    for (;;) {
        MigJobEntry *entry = find_or_error(jobs, id, error);

        if (!entry)
            return FALSE;
        if (mig_job_has_ended(entry->job)) {
            if (entry->job->error)
                g_propagate_error(error, g_error_copy(entry->job->error));
            else
                g_set_error(error, MIG_ERROR, MIG_ERROR_JOB_ENDED, "job %s has ended already", id);
            return FALSE;
        }
        if (entry->job->may_come)
            return TRUE;
        /* refused: it ends when libvirt's move has, which waits for who asks this */
        if (entry->job->error) {
            g_propagate_error(error, g_error_copy(entry->job->error));
            return FALSE;
        }
        if (!g_cond_wait_until(&jobs->changed, &jobs->lock, until_us)) {
            entry->is_cancelled = TRUE; /* who asked does not wait any longer */
            mig_job_entry_wake(entry);
            g_set_error(error, MIG_ERROR, MIG_ERROR_TIMEOUT,
                        "job %s was not ready within %d s; see 'migratectl job show %s'", id,
                        MIG_FOLLOW_MS / 1000, id);
            return FALSE;
        }
    }
}

char *
mig_jobs_follow(MigJobs *jobs, const char *target, const MigRunning *running, const MigVm *vm,
                GError **error)
{
    const MigMoveVmRequest request = {.vm = running->name, .node = (char *)target, .no_wait = TRUE};
    g_autofree char *id = begin(jobs, &request, running, vm, TRUE, error);

    return id && wait_for_perform(jobs, id, error) ? g_steal_pointer(&id) : NULL;
}

void
mig_jobs_forecast(MigJobs *jobs, const MigMoveVmRequest *request, const MigRunning *running,
                  const MigVm *vm, MigForecast *forecast)
{
    g_autoptr(MigJob) job = job_from_request(jobs, request, running, vm);

    job->is_encrypted = jobs->daemon->config->encrypt != 0;
    mig_job_forecast(jobs, job, FALSE, forecast);
}

GPtrArray *
mig_jobs_check(MigJobs *jobs, const MigMoveVmRequest *request, const MigRunning *running,
               const MigVm *vm, gboolean is_patient, MigForecast *forecast, GError **error)
{
    g_autoptr(MigNodeView) view = NULL;
    g_autoptr(GError) busy = NULL;
    GPtrArray *checks = NULL;
    MigJobEntry *entry;

    if (!check_request(jobs, request, error))
        return NULL;
    view = mig_volumes_node(jobs->daemon->volumes, request->node, error);
    if (!view)
        return NULL;
    if (is_patient) /* it goes on beside the checks */
        mig_meters_want(jobs->daemon->meters, running->name, running->uuid);
    entry = entry_new(jobs, job_from_request(jobs, request, running, vm));
    entry->job->wants_forecast = is_patient;
    entry->cpu_vendor = mig_volumes_cpu_vendor(jobs->daemon->volumes);
    checks = g_ptr_array_new_with_free_func((GDestroyNotify)mig_check_free);
    g_mutex_lock(&jobs->lock);
    is_vm_free(jobs, running->name, &busy);
    g_mutex_unlock(&jobs->lock);
    mig_checks_idle(running->name, busy ? busy->message : NULL, checks);
    mig_job_entry_check(entry, checks);
    if (!mig_checks_first_failure(checks)) /* else there will be no move */
        mig_job_forecast(jobs, entry->job, is_patient && !busy, forecast);
    entry_free(entry);
    return checks;
}

/* ---- looking ---- */

gboolean
mig_jobs_hold_vm(MigJobs *jobs, const char *vm, GError **error)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&jobs->lock);

    if (!is_vm_free(jobs, vm, error))
        return FALSE;
    g_hash_table_add(jobs->held, g_strdup(vm));
    return TRUE;
}

void
mig_jobs_let_vm_go(MigJobs *jobs, const char *vm)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&jobs->lock);

    g_hash_table_remove(jobs->held, vm);
}

MigApiJob *
mig_jobs_get(MigJobs *jobs, const char *id, GError **error)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&jobs->lock);
    const MigJobEntry *entry = find_or_error(jobs, id, error);

    return entry ? mig_job_to_message(entry->job, mig_jobs_now_ms()) : NULL;
}

GPtrArray *
mig_jobs_list(MigJobs *jobs, gboolean only_running)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&jobs->lock);
    GPtrArray *list = mig_message_array_new(&mig_type_ApiJob);

    for (guint i = 0; i < jobs->entries->len; i++) {
        const MigJobEntry *entry = g_ptr_array_index(jobs->entries, i);

        if (only_running && mig_job_has_ended(entry->job))
            continue;
        MigApiJob *message = mig_job_to_message(entry->job, mig_jobs_now_ms());

        /* some KiB each, and all nodes' jobs have to fit into one answer */
        g_clear_pointer(&message->checks, g_ptr_array_unref);
        g_clear_pointer(&message->switchover, g_ptr_array_unref);
        g_ptr_array_add(list, message);
    }
    return list;
}

static gboolean
may_set(const MigJob *job, const MigSetJobRequest *request, GError **error)
{
    if (mig_job_has_ended(job))
        g_set_error(error, MIG_ERROR, MIG_ERROR_JOB_ENDED, "job %s has ended already: %s", job->id,
                    mig_job_state_name(job->state));
    else if (job->by_virsh)
        g_set_error(error, MIG_ERROR, MIG_ERROR_BAD_VALUE,
                    "job %s was begun with virsh, and so are its limits: 'virsh "
                    "migrate-setmaxdowntime %s MS' changes one",
                    job->id, job->vm);
    else if (request->postcopy_now && !job->can_postcopy)
        g_set_error(error, MIG_ERROR, MIG_ERROR_BAD_VALUE,
                    "job %s cannot be switched over to post-copy: its policy is against it, or the "
                    "target cannot, or it has not come so far; see 'postcopy' in 'migratectl job "
                    "show %s'",
                    job->id, job->id);
    else if (request->bandwidth < -1 || request->max_downtime_ms < 0 ||
             request->max_downtime_ms > 60000)
        g_set_error(error, MIG_ERROR, MIG_ERROR_BAD_VALUE,
                    "bandwidth is -1 for no limit, or not negative; downtime is 1 to 60000 ms");
    else
        return TRUE;
    return FALSE;
}

gboolean
mig_jobs_set(MigJobs *jobs, const MigSetJobRequest *request, GError **error)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&jobs->lock);
    MigJobEntry *entry = find_or_error(jobs, request->id, error);

    if (!entry || !may_set(entry->job, request, error))
        return FALSE;
    if (request->bandwidth)
        entry->job->bandwidth_bytes_s = (guint64)MAX(request->bandwidth, 0);
    if (request->max_downtime_ms)
        entry->job->max_downtime_ms = (guint)request->max_downtime_ms;
    if (request->postcopy_now)
        entry->job->postcopy_wanted = TRUE;
    entry->job->retuned++;
    mig_job_entry_wake(entry);
    return TRUE;
}

gboolean
mig_jobs_cancel(MigJobs *jobs, const char *id, GError **error)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&jobs->lock);
    MigJobEntry *entry = find_or_error(jobs, id, error);

    if (!entry)
        return FALSE;
    if (mig_job_has_ended(entry->job)) {
        g_set_error(error, MIG_ERROR, MIG_ERROR_JOB_ENDED, "job %s has ended already: %s", id,
                    mig_job_state_name(entry->job->state));
        return FALSE;
    }
    if (entry->job->progress.is_postcopy || entry->job->state == MIG_JOB_STATE_POSTCOPY_PAUSED) {
        g_set_error(
            error, MIG_ERROR, MIG_ERROR_BAD_VALUE,
            "job %s has passed the point of no return: %s runs %s by now, and only the rest "
            "of its memory is on %s still; %s",
            id, entry->job->target, entry->job->vm, entry->job->source,
            entry->job->state == MIG_JOB_STATE_POSTCOPY_PAUSED
                ? "mend the link, then 'migratectl job resume' lets it follow"
                : "it follows, see 'migratectl job watch'");
        return FALSE;
    }
    entry->is_cancelled = TRUE;
    mig_job_entry_wake(entry);
    return TRUE;
}

static gboolean
set_resumed(MigJobs *jobs, const char *id, GError **error)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&jobs->lock);
    MigJobEntry *entry = find_or_error(jobs, id, error);

    if (!entry)
        return FALSE;
    if (entry->job->state != MIG_JOB_STATE_POSTCOPY_PAUSED) {
        g_set_error(error, MIG_ERROR,
                    mig_job_has_ended(entry->job) ? MIG_ERROR_JOB_ENDED : MIG_ERROR_BAD_VALUE,
                    "job %s is in state %s; only one whose link was lost (postcopy-paused) is "
                    "resumed",
                    id, mig_job_state_name(entry->job->state));
        return FALSE;
    }
    entry->job->resume_wanted = TRUE;
    mig_job_entry_wake(entry);
    return TRUE;
}

/* What other nodes have to be told of it, for a question without the lock; NULL: it is not in that
 * state. */
static MigJob *
outline_of_paused(MigJobs *jobs, const char *id)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&jobs->lock);
    const MigJobEntry *entry = find(jobs, id);
    MigJob *job = NULL;

    if (!entry || entry->job->state != MIG_JOB_STATE_POSTCOPY_PAUSED)
        return NULL;
    job = mig_job_new(id);
    job->vm = g_strdup(entry->job->vm);
    job->uuid = g_strdup(entry->job->uuid);
    job->source = g_strdup(entry->job->source);
    job->target = g_strdup(entry->job->target);
    return job;
}

gboolean
mig_jobs_resume(MigJobs *jobs, const char *id, GError **error)
{
    g_autoptr(MigJob) job = outline_of_paused(jobs, id);
    GError *obstacle =
        job ? mig_postcopy_obstacle(job, mig_peer_rpc_port(jobs->daemon->peer)) : NULL;

    if (!obstacle)
        return set_resumed(jobs, id, error);
    g_propagate_error(error, obstacle);
    return FALSE;
}

gboolean
mig_jobs_grant(MigJobs *jobs, const char *id, const char *target, guint64 bytes_s)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&jobs->lock);
    MigJobEntry *entry = find(jobs, id);

    if (!entry || g_strcmp0(entry->job->target, target) != 0)
        return FALSE;
    entry->job->granted_bytes_s = bytes_s;
    return TRUE;
}

void
mig_jobs_wake(MigJobs *jobs, const char *id)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&jobs->lock);
    MigJobEntry *entry = find(jobs, id);

    if (entry)
        mig_job_entry_wake(entry);
}

void
mig_jobs_wake_vm(MigJobs *jobs, const char *vm)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&jobs->lock);

    for (guint i = 0; i < jobs->entries->len; i++) {
        MigJobEntry *entry = g_ptr_array_index(jobs->entries, i);

        if (!mig_job_has_ended(entry->job) && g_str_equal(entry->job->vm, vm))
            mig_job_entry_wake(entry);
    }
}

gboolean
mig_jobs_is_held(MigJobs *jobs, const char *vm)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&jobs->lock);

    return g_hash_table_contains(jobs->held, vm);
}

void
mig_jobs_watch(MigJobs *jobs, const char *id, MigRpcCall *call, gboolean is_move)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&jobs->lock);
    g_autoptr(GError) error = NULL;
    MigJobEntry *entry = find_or_error(jobs, id, &error);

    if (entry)
        mig_watchers_add(entry->watchers, call, is_move, entry->job);
    else
        mig_rpc_call_fail(call, g_steal_pointer(&error));
}

char *
mig_jobs_node_of(const char *id)
{
    const char *dash = strrchr(id, '-');

    return dash && dash != id ? g_strndup(id, (gsize)(dash - id)) : NULL;
}

/* ---- life ---- */

void
mig_jobs_recover(MigJobs *jobs)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&jobs->lock);

    for (guint i = 0; i < jobs->entries->len; i++) {
        MigJobEntry *entry = g_ptr_array_index(jobs->entries, i);

        if (mig_job_has_ended(entry->job) || !entry->is_from_journal)
            continue;
        entry->is_from_journal = FALSE;
        mig_log_event(MIG_ID_MOVE_ADOPTED,
                      MIG_FIELDS(.job = entry->job->id, .domain = entry->job->vm),
                      "job %s was under way (%s) when this daemon ended; taking it up",
                      entry->job->id, mig_job_state_name(entry->job->state));
        entry->is_resumed = TRUE;
        entry->cpu_vendor = mig_volumes_cpu_vendor(jobs->daemon->volumes);
        mig_job_entry_run(entry);
    }
}

MigJobs *
mig_jobs_new(MigDaemon *daemon)
{
    MigJobs *jobs = g_new0(MigJobs, 1);
    g_autoptr(GPtrArray) journal = mig_store_file_load(daemon->store);

    jobs->daemon = daemon;
    g_mutex_init(&jobs->lock);
    g_cond_init(&jobs->changed);
    jobs->entries = g_ptr_array_new_with_free_func(entry_free);
    jobs->next = 1;
    jobs->held = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    jobs->volume_port = mig_jobs_volume_port(daemon);
    g_ptr_array_set_free_func(journal, NULL);
    for (guint i = 0; i < journal->len; i++) {
        MigJob *job = g_ptr_array_index(journal, i);
        const char *dash = strrchr(job->id, '-');
        guint64 number = dash ? g_ascii_strtoull(dash + 1, NULL, 10) : 0;

        jobs->next = MAX(jobs->next, number + 1);
        MigJobEntry *entry = entry_new(jobs, job);

        entry->is_from_journal = TRUE;
        g_ptr_array_add(jobs->entries, entry);
    }
    return jobs;
}

void
mig_jobs_free(MigJobs *jobs)
{
    if (!jobs)
        return;
    /* a running move goes on without us: its thread has everything it needs until the process ends,
     * and the journal tells the next life about it */
    if (g_atomic_int_get(&jobs->running) > 0)
        return;
    g_ptr_array_unref(jobs->entries);
    g_mutex_clear(&jobs->lock);
    g_cond_clear(&jobs->changed);
    g_free(jobs);
}
