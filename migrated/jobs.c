/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* jobs.c - the table of jobs.h. */
#include "jobs.h"

#include "base/error.h"
#include "base/log.h"
#include "core/job-source.h"
#include "core/timeouts.h"
#include "volumes.h"

#include <string.h>

/* Ended jobs that stay in table and journal. */
#define KEEP 100
/* Watchers are told no oftener, but for a new state. */
#define TELL_MS 100

typedef struct {
    MigRpcCall *call;
    gboolean is_move;
} Watcher;

typedef struct {
    MigJobs *jobs;
    MigJob *job;
    GPtrArray *watchers; /* Watcher */
    gboolean is_cancelled;
    gboolean is_running;      /* its thread still uses it, whatever the job's state */
    gboolean is_from_journal; /* of an earlier life: to be taken up */
    gint64 told_ms;
    guint told_state;
    GCond wake;
    /* for the environment of core/job-source.h */
    char *cpu_vendor;
    guint32 target_host_id;
    gboolean is_target_known, is_target_up, is_resumed;
} Entry;

struct MigJobs {
    MigDaemon *daemon;
    GMutex lock;
    GPtrArray *entries; /* Entry, oldest first */
    GHashTable *held;   /* names of VMs that are being started or stopped */
    guint64 next;       /* number of the next id */
    MigVolumePort volume_port;
    gint running; /* atomic: threads */
};

static gint64
wall_ms(gpointer self)
{
    return g_get_real_time() / 1000;
}

static gint64
monotonic_ms(gpointer self)
{
    return g_get_monotonic_time() / 1000;
}

static void
entry_free(gpointer data)
{
    Entry *entry = data;

    mig_job_free(entry->job);
    g_ptr_array_unref(entry->watchers);
    g_cond_clear(&entry->wake);
    g_free(entry->cpu_vendor);
    g_free(entry);
}

static Entry *
entry_new(MigJobs *jobs, MigJob *job_take)
{
    Entry *entry = g_new0(Entry, 1);

    entry->jobs = jobs;
    entry->job = job_take;
    entry->watchers = g_ptr_array_new_with_free_func(g_free);
    g_cond_init(&entry->wake);
    return entry;
}

/* Lock held. */
static Entry *
find(MigJobs *jobs, const char *id)
{
    for (guint i = 0; i < jobs->entries->len; i++) {
        Entry *entry = g_ptr_array_index(jobs->entries, i);

        if (g_strcmp0(entry->job->id, id) == 0)
            return entry;
    }
    return NULL;
}

static Entry *
find_or_error(MigJobs *jobs, const char *id, GError **error)
{
    Entry *entry = find(jobs, id);
    g_autofree char *shown = mig_log_escape(id);

    if (!entry)
        g_set_error(error, MIG_ERROR, MIG_ERROR_JOB_UNKNOWN,
                    "no job '%s' is known; see 'migratectl job list'", shown);
    return entry;
}

/* ---- the environment of one job ---- */

static void
env_lock(gpointer self)
{
    Entry *entry = self;

    g_mutex_lock(&entry->jobs->lock);
}

static void
answer(const Watcher *watcher, Entry *entry)
{
    MigJobReply reply = {.job = mig_job_to_message(entry->job, wall_ms(NULL))};

    if (!mig_job_has_ended(entry->job))
        mig_rpc_call_progress(watcher->call, &reply);
    else if (watcher->is_move && entry->job->state != MIG_JOB_STATE_DONE && entry->job->error)
        mig_rpc_call_fail(watcher->call, g_error_copy(entry->job->error));
    else
        mig_rpc_call_reply(watcher->call, &reply);
    mig_ApiJob_free(reply.job);
}

/* Lock held on entry, not on exit. */
static void
env_unlock_and_tell(gpointer self)
{
    Entry *entry = self;
    gint64 now_ms = monotonic_ms(NULL);
    gboolean has_ended = mig_job_has_ended(entry->job);

    if (entry->told_state != entry->job->state || now_ms - entry->told_ms >= TELL_MS) {
        entry->told_state = entry->job->state;
        entry->told_ms = now_ms;
        for (guint i = 0; i < entry->watchers->len && !has_ended; i++)
            answer(g_ptr_array_index(entry->watchers, i), entry);
    }
    g_mutex_unlock(&entry->jobs->lock);
}

static gboolean
env_is_cancelled(gpointer self)
{
    Entry *entry = self;
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&entry->jobs->lock);

    entry->job->cancel_wanted = entry->is_cancelled;
    return entry->is_cancelled;
}

static void
sleep_ms(gpointer self, guint ms)
{
    Entry *entry = self;
    gint64 until = g_get_monotonic_time() + (gint64)ms * 1000;

    g_mutex_lock(&entry->jobs->lock);
    g_cond_wait_until(&entry->wake, &entry->jobs->lock, until);
    g_mutex_unlock(&entry->jobs->lock);
}

static void
wake(gpointer self)
{
    Entry *entry = self;

    g_mutex_lock(&entry->jobs->lock);
    g_cond_broadcast(&entry->wake);
    g_mutex_unlock(&entry->jobs->lock);
}

/* ---- the volume port ---- */

static gboolean
port_activate(gpointer self, const char *const *images, GError **error)
{
    return mig_vms_activate(self, images, error);
}

static gboolean
port_deactivate(gpointer self, const char *const *images, GError **error)
{
    mig_vms_deactivate(self, images);
    return TRUE;
}

static gboolean
port_lease_owner(gpointer self, const char *volume, guint32 slot, char **node, guint64 *version,
                 GError **error)
{
    MigDaemon *daemon = self;
    g_autoptr(MigAttached) attached = mig_volumes_get(daemon->volumes, volume, error);
    MigLeaseOwner owner = {0};

    if (!attached || !mig_csv_vm_lease_owner(mig_attached_csv(attached), slot, &owner, error))
        return FALSE;
    *node = mig_attached_owner_name(attached, &owner, NULL);
    *version = owner.version;
    return TRUE;
}

static gboolean
port_publish(gpointer self, const char *volume, GError **error)
{
    MigDaemon *daemon = self;

    mig_vms_refresh(daemon->vms); /* publishes where something changed */
    return TRUE;
}

/* ---- running
 * ------------------------------------------------------------------------------------------------
 */

static void
log_end(const MigJob *job)
{
    const MigLogFields fields = {.job = job->id,
                                 .domain = job->vm,
                                 .peer = job->target,
                                 .state = mig_job_state_name(job->state)};

    if (job->state == MIG_JOB_STATE_DONE)
        mig_log_event(MIG_ID_MOVE_DONE, &fields,
                      "%s moved from %s to %s in %" G_GINT64_FORMAT " ms", job->vm, job->source,
                      job->target, job->elapsed_ms);
    else
        mig_log_event(MIG_ID_MOVE_FAILED, &fields, "%s was not moved from %s to %s: %s", job->vm,
                      job->source, job->target,
                      job->error ? job->error->message : "no reason known");
}

static void
answer_the_last_time(Entry *entry)
{
    g_mutex_lock(&entry->jobs->lock);
    for (guint i = 0; i < entry->watchers->len; i++)
        answer(g_ptr_array_index(entry->watchers, i), entry);
    g_ptr_array_set_size(entry->watchers, 0);
    entry->is_running = FALSE; /* from here on it may be forgotten */
    g_mutex_unlock(&entry->jobs->lock);
}

static gpointer
job_thread(gpointer data)
{
    Entry *entry = data;
    MigJobs *jobs = entry->jobs;
    MigDaemon *daemon = jobs->daemon;
    MigClock clock = {.self = entry,
                      .wall_ms = wall_ms,
                      .monotonic_ms = monotonic_ms,
                      .sleep_ms = sleep_ms,
                      .wake = wake};
    MigJobEnv env = {.hv = daemon->hv,
                     .peer = mig_peer_rpc_port(daemon->peer),
                     .volume = &jobs->volume_port,
                     .store = mig_store_file_port(daemon->store),
                     .clock = &clock,
                     .node = daemon->node,
                     .host_id = daemon->host_id,
                     .target_host_id = entry->target_host_id,
                     .cpu_vendor = entry->cpu_vendor,
                     .migration = daemon->migration,
                     .is_target_known = entry->is_target_known,
                     .is_target_up = entry->is_target_up,
                     .lock = env_lock,
                     .unlock_and_tell = env_unlock_and_tell,
                     .is_cancelled = env_is_cancelled,
                     .self = entry};

    if (entry->is_resumed)
        mig_job_resume(entry->job, &env);
    else
        mig_job_run(entry->job, &env);
    log_end(entry->job);
    answer_the_last_time(entry);
    g_atomic_int_dec_and_test(&jobs->running);
    return NULL;
}

static void
look_at_target(MigJobs *jobs, Entry *entry)
{
    g_autoptr(MigNodeView) target =
        mig_volumes_node(jobs->daemon->volumes, entry->job->target, NULL);

    entry->cpu_vendor = mig_volumes_cpu_vendor(jobs->daemon->volumes);
    entry->is_target_known = target != NULL;
    entry->is_target_up = target && target->state == MIG_NODE_UP;
    entry->target_host_id = target ? target->node->host_id : 0;
}

/* Lock held. */
static void
run(MigJobs *jobs, Entry *entry)
{
    g_atomic_int_inc(&jobs->running);
    entry->is_running = TRUE;
    g_thread_unref(g_thread_new("job", job_thread, entry));
}

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
        const Entry *entry = g_ptr_array_index(jobs->entries, i);

        if (!mig_job_has_ended(entry->job) && g_str_equal(entry->job->vm, vm)) {
            g_set_error(error, MIG_ERROR, MIG_ERROR_VM_BUSY,
                        "%s is being moved to %s already; see 'migratectl job watch %s'", vm,
                        entry->job->target, entry->job->id);
            return FALSE;
        }
    }
    return TRUE;
}

static void
forget_old(MigJobs *jobs)
{
    for (guint i = 0; i < jobs->entries->len && jobs->entries->len > KEEP;) {
        const Entry *entry = g_ptr_array_index(jobs->entries, i);

        if (mig_job_has_ended(entry->job) && !entry->is_running)
            g_ptr_array_remove_index(jobs->entries, i);
        else
            i++;
    }
}

static MigJob *
job_from_request(MigJobs *jobs, const MigMoveVmRequest *request, const MigRunning *running,
                 guint64 memory_bytes)
{
    const MigConfig *config = jobs->daemon->config;
    MigJob *job = mig_job_new("");

    job->started_ms = wall_ms(NULL);
    job->vm = g_strdup(running->name);
    job->uuid = g_strdup(running->uuid);
    job->volume = g_strdup(running->volume);
    job->slot = running->slot;
    job->images = g_strdupv(running->images);
    job->memory_bytes = memory_bytes;
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
    return TRUE;
}

char *
mig_jobs_move(MigJobs *jobs, const MigMoveVmRequest *request, const MigRunning *running,
              guint64 memory_bytes, GError **error)
{
    MigDaemon *daemon = jobs->daemon;
    g_autoptr(MigNodeView) target = NULL;
    Entry *entry;
    char *id;

    if (!check_request(jobs, request, error))
        return NULL;
    target = mig_volumes_node(daemon->volumes, request->node, error);
    if (!target)
        return NULL;
    entry = entry_new(jobs, job_from_request(jobs, request, running, memory_bytes));
    look_at_target(jobs, entry);
    g_mutex_lock(&jobs->lock);
    if (!is_vm_free(jobs, request->vm, error)) {
        g_mutex_unlock(&jobs->lock);
        entry_free(entry);
        return NULL;
    }
    g_free(entry->job->id);
    entry->job->id = g_strdup_printf("%s-%" G_GUINT64_FORMAT, daemon->node, jobs->next++);
    id = g_strdup(entry->job->id);
    forget_old(jobs);
    g_ptr_array_add(jobs->entries, entry);
    run(jobs, entry);
    g_mutex_unlock(&jobs->lock);
    mig_log_event(MIG_ID_MOVE_STARTED,
                  MIG_FIELDS(.job = id, .domain = request->vm, .peer = request->node),
                  "%s is to move from %s to %s", request->vm, daemon->node, request->node);
    return id;
}

/* ---- looking
 * ------------------------------------------------------------------------------------------------
 */

gboolean
mig_jobs_has_vm(MigJobs *jobs, const char *vm)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&jobs->lock);

    return !g_hash_table_contains(jobs->held, vm) && !is_vm_free(jobs, vm, NULL);
}

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
    const Entry *entry = find_or_error(jobs, id, error);

    return entry ? mig_job_to_message(entry->job, wall_ms(NULL)) : NULL;
}

GPtrArray *
mig_jobs_list(MigJobs *jobs, gboolean only_running)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&jobs->lock);
    GPtrArray *list = mig_message_array_new(&mig_type_ApiJob);

    for (guint i = 0; i < jobs->entries->len; i++) {
        const Entry *entry = g_ptr_array_index(jobs->entries, i);

        if (!only_running || !mig_job_has_ended(entry->job))
            g_ptr_array_add(list, mig_job_to_message(entry->job, wall_ms(NULL)));
    }
    return list;
}

gboolean
mig_jobs_cancel(MigJobs *jobs, const char *id, GError **error)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&jobs->lock);
    Entry *entry = find_or_error(jobs, id, error);

    if (!entry)
        return FALSE;
    if (mig_job_has_ended(entry->job)) {
        g_set_error(error, MIG_ERROR, MIG_ERROR_JOB_ENDED, "job %s has ended already: %s", id,
                    mig_job_state_name(entry->job->state));
        return FALSE;
    }
    entry->is_cancelled = TRUE;
    g_cond_broadcast(&entry->wake);
    return TRUE;
}

void
mig_jobs_watch(MigJobs *jobs, const char *id, MigRpcCall *call, gboolean is_move)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&jobs->lock);
    g_autoptr(GError) error = NULL;
    Entry *entry = find_or_error(jobs, id, &error);
    Watcher watcher = {.call = call, .is_move = is_move};

    if (!entry) {
        mig_rpc_call_fail(call, g_steal_pointer(&error));
        return;
    }
    answer(&watcher, entry);
    if (!mig_job_has_ended(entry->job))
        g_ptr_array_add(entry->watchers, g_memdup2(&watcher, sizeof watcher));
}

char *
mig_jobs_node_of(const char *id)
{
    const char *dash = strrchr(id, '-');

    return dash && dash != id ? g_strndup(id, (gsize)(dash - id)) : NULL;
}

/* ---- life
 * ---------------------------------------------------------------------------------------------------
 */

void
mig_jobs_recover(MigJobs *jobs)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&jobs->lock);

    for (guint i = 0; i < jobs->entries->len; i++) {
        Entry *entry = g_ptr_array_index(jobs->entries, i);

        if (mig_job_has_ended(entry->job) || !entry->is_from_journal)
            continue;
        entry->is_from_journal = FALSE;
        mig_log_event(MIG_ID_MOVE_ADOPTED,
                      MIG_FIELDS(.job = entry->job->id, .domain = entry->job->vm),
                      "job %s was under way (%s) when this daemon ended; taking it up",
                      entry->job->id, mig_job_state_name(entry->job->state));
        entry->is_resumed = TRUE;
        look_at_target(jobs, entry);
        run(jobs, entry);
    }
}

MigJobs *
mig_jobs_new(MigDaemon *daemon)
{
    MigJobs *jobs = g_new0(MigJobs, 1);
    g_autoptr(GPtrArray) journal = mig_store_file_load(daemon->store);

    jobs->daemon = daemon;
    g_mutex_init(&jobs->lock);
    jobs->entries = g_ptr_array_new_with_free_func(entry_free);
    jobs->next = 1;
    jobs->held = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    jobs->volume_port = (MigVolumePort){.self = daemon,
                                        .activate = port_activate,
                                        .deactivate = port_deactivate,
                                        .lease_owner = port_lease_owner,
                                        .publish = port_publish};
    g_ptr_array_set_free_func(journal, NULL);
    for (guint i = 0; i < journal->len; i++) {
        MigJob *job = g_ptr_array_index(journal, i);
        const char *dash = strrchr(job->id, '-');
        guint64 number = dash ? g_ascii_strtoull(dash + 1, NULL, 10) : 0;

        jobs->next = MAX(jobs->next, number + 1);
        Entry *entry = entry_new(jobs, job);

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
    g_free(jobs);
}
