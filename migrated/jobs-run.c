/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* jobs-run.c - one job: its thread, and what core/job-source.h wants to have around it. */
#include "jobs-private.h"

#include "base/error.h"
#include "base/log.h"
#include "core/bandwidth.h"
#include "core/job-check.h"
#include "core/queue.h"
#include "facts.h"
#include "halves.h"
#include "link.h"
#include "trusted.h"
#include "volumes.h"

/* Watchers are told no oftener, but for a new state. */
#define TELL_MS 100

gint64
mig_jobs_now_ms(void)
{
    return g_get_real_time() / 1000;
}

static gint64
wall_ms(gpointer self)
{
    return mig_jobs_now_ms();
}

static gint64
monotonic_ms(gpointer self)
{
    return g_get_monotonic_time() / 1000;
}

/* ---- the environment of core ---- */

static void
env_lock(gpointer self)
{
    MigJobEntry *entry = self;

    g_mutex_lock(&entry->jobs->lock);
}

/* ---- waiting ---- */

gboolean
mig_job_entry_is_waiting(const MigJobEntry *entry)
{
    return entry->job->state == MIG_JOB_STATE_BEGIN || entry->job->state == MIG_JOB_STATE_WAITING;
}

void
mig_job_entry_wake(MigJobEntry *entry)
{
    entry->is_woken = TRUE;
    g_cond_broadcast(&entry->wake);
}

/* Lock held. Those behind it in the line to the same node may ask now. */
static void
leave_line(MigJobEntry *entry)
{
    const GPtrArray *entries = entry->jobs->entries;

    if (entry->has_left_line || mig_job_entry_is_waiting(entry))
        return;
    entry->has_left_line = TRUE;
    for (guint i = 0; i < entries->len; i++) {
        MigJobEntry *other = g_ptr_array_index(entries, i);

        if (mig_job_entry_is_waiting(other) && g_str_equal(other->job->target, entry->job->target))
            mig_job_entry_wake(other);
    }
}

static gboolean
goes_before(const MigJob *a, const MigJob *b)
{
    return mig_queue_goes_before(a->priority, a->started_ms, a->id, b->priority, b->started_ms,
                                 b->id);
}

/* Only the first in the line to a node asks there: the others would be told to wait for it. */
static gboolean
env_may_ask(gpointer self, MigTurn *turn)
{
    MigJobEntry *entry = self;
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&entry->jobs->lock);
    const GPtrArray *entries = entry->jobs->entries;
    const MigJob *job = entry->job, *first = job;
    guint ahead = 0;

    for (guint i = 0; i < entries->len; i++) {
        const MigJobEntry *other = g_ptr_array_index(entries, i);

        if (other == entry || !mig_job_entry_is_waiting(other) ||
            !g_str_equal(other->job->target, job->target) || !goes_before(other->job, job))
            continue;
        ahead++;
        if (goes_before(other->job, first))
            first = other->job;
    }
    if (ahead == 0)
        return TRUE;
    turn->position = ahead + 1;
    turn->waits_for = g_strdup_printf("move %s between %s and %s, which goes first", first->id,
                                      first->source, first->target);
    return FALSE;
}

static guint32
env_target_host_id(gpointer self)
{
    MigJobEntry *entry = self;
    g_autoptr(MigNodeView) target =
        mig_volumes_node(entry->jobs->daemon->volumes, entry->job->target, NULL);

    return target ? target->node->host_id : 0;
}

static void
env_look_at_target(gpointer self, gboolean *is_known, gboolean *is_up)
{
    MigJobEntry *entry = self;
    g_autoptr(MigNodeView) target =
        mig_volumes_node(entry->jobs->daemon->volumes, entry->job->target, NULL);

    *is_known = target != NULL;
    *is_up = target && target->state == MIG_NODE_UP;
}

static char *
env_look_at_encryption(gpointer self, MigSourceFacts *facts)
{
    MigJobEntry *entry = self;
    MigDaemon *daemon = entry->jobs->daemon;
    g_autoptr(MigNodeView) target = mig_volumes_node(daemon->volumes, facts->target, NULL);

    facts->encrypts = daemon->config->encrypt != 0;
    facts->target_encrypts = target && target->node->encrypts;
    return facts->encrypts && facts->target_encrypts
               ? mig_trusted_problem(daemon->trusted, facts->target, NULL)
               : NULL;
}

static char *
env_certificate(gpointer self)
{
    MigJobEntry *entry = self;

    return mig_identity_fingerprint(entry->jobs->daemon->identity);
}

static gboolean
env_trust_target(gpointer self, const char *certificate, GError **error)
{
    MigJobEntry *entry = self;
    g_autofree char *problem =
        mig_trusted_problem(entry->jobs->daemon->trusted, entry->job->target, certificate);

    if (problem)
        g_set_error(error, MIG_ERROR, MIG_ERROR_CHECK_REFUSED, "%s", problem);
    return problem == NULL;
}

/* ---- lock, watchers, clock ---- */

/* Lock held on entry, not on exit. */
static void
env_unlock_and_tell(gpointer self)
{
    MigJobEntry *entry = self;
    gint64 now_ms = monotonic_ms(NULL);
    gboolean has_ended = mig_job_has_ended(entry->job);

    leave_line(entry);
    g_cond_broadcast(&entry->jobs->changed);
    if (entry->told_state != entry->job->state || entry->told_arrival != entry->job->has_arrived ||
        now_ms - entry->told_ms >= TELL_MS) {
        entry->told_state = entry->job->state;
        entry->told_arrival = entry->job->has_arrived;
        entry->told_ms = now_ms;
        if (!has_ended) /* the last time is answer_the_last_time()'s */
            mig_watchers_tell(entry->watchers, entry->job);
    }
    g_mutex_unlock(&entry->jobs->lock);
}

static gboolean
env_is_cancelled(gpointer self)
{
    MigJobEntry *entry = self;
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&entry->jobs->lock);

    entry->job->cancel_wanted = entry->is_cancelled;
    return entry->is_cancelled;
}

static void
sleep_ms(gpointer self, guint ms)
{
    MigJobEntry *entry = self;
    gint64 until = g_get_monotonic_time() + (gint64)ms * 1000;

    g_mutex_lock(&entry->jobs->lock);
    if (!entry->is_woken)
        g_cond_wait_until(&entry->wake, &entry->jobs->lock, until);
    entry->is_woken = FALSE;
    g_mutex_unlock(&entry->jobs->lock);
}

static void
wake(gpointer self)
{
    MigJobEntry *entry = self;

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
                 gboolean *is_last_here, GError **error)
{
    MigDaemon *daemon = self;
    g_autoptr(MigAttached) attached = mig_volumes_get(daemon->volumes, volume, error);
    MigLeaseOwner owner = {0};

    if (!attached || !mig_csv_vm_lease_owner(mig_attached_csv(attached), slot, &owner, error))
        return FALSE;
    *node = mig_attached_owner_name(attached, &owner, NULL);
    *version = owner.version;
    *is_last_here = owner.last_host_id == daemon->host_id;
    return TRUE;
}

static gboolean
port_publish(gpointer self, const char *volume, GError **error)
{
    MigDaemon *daemon = self;

    mig_vms_refresh(daemon->vms); /* publishes where something changed */
    return TRUE;
}

MigVolumePort
mig_jobs_volume_port(MigDaemon *daemon)
{
    return (MigVolumePort){.self = daemon,
                           .activate = port_activate,
                           .deactivate = port_deactivate,
                           .lease_owner = port_lease_owner,
                           .publish = port_publish};
}

/* ---- running ---- */

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
answer_the_last_time(MigJobEntry *entry)
{
    g_mutex_lock(&entry->jobs->lock);
    mig_watchers_tell(entry->watchers, entry->job);
    entry->is_running = FALSE; /* from here on it may be forgotten */
    g_mutex_unlock(&entry->jobs->lock);
}

static gboolean
env_check_target(gpointer self, MigJob *job, GPtrArray *checks, GError **error)
{
    MigJobEntry *entry = self;
    char **images = NULL;
    gboolean ok =
        mig_facts_check_target(entry->jobs->daemon, job, entry->cpu_vendor, &images, checks, error);

    if (images) { /* a disk may have been plugged in since the table of VMs was made */
        g_mutex_lock(&entry->jobs->lock);
        g_strfreev(job->images);
        job->images = images;
        g_mutex_unlock(&entry->jobs->lock);
    }
    return ok;
}

static void
env_forecast(gpointer self, MigJob *job)
{
    MigJobEntry *entry = self;
    MigForecast forecast;

    mig_job_forecast(entry->jobs, job, FALSE, &forecast);
    g_mutex_lock(&entry->jobs->lock);
    job->forecast = forecast;
    g_mutex_unlock(&entry->jobs->lock);
}

static gboolean
env_is_target_dead(gpointer self)
{
    MigJobEntry *entry = self;

    return mig_halves_is_dead(entry->jobs->daemon, entry->job->target, entry->job->volume);
}

static gboolean
env_restart(gpointer self, const MigJob *job)
{
    MigJobEntry *entry = self;

    return mig_halves_restart(entry->jobs->daemon, job->volume, job->vm);
}

static gboolean
is_sending(const MigJob *job)
{
    return job->state == MIG_JOB_STATE_PERFORM || job->state == MIG_JOB_STATE_CONFIRM ||
           job->state == MIG_JOB_STATE_POSTCOPY;
}

/* Who is told by its target to take less leaves the rest to the others here. */
static guint64
wish_of(const MigJob *job)
{
    return mig_bandwidth_lower(job->bandwidth_bytes_s, job->granted_bytes_s);
}

static guint64
env_bandwidth(gpointer self)
{
    MigJobEntry *entry = self;
    guint64 cap = (guint64)entry->jobs->daemon->config->migration_mib_s << 20;
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&entry->jobs->lock);
    const GPtrArray *entries = entry->jobs->entries;
    g_autofree guint64 *wishes = g_new(guint64, entries->len + 1);
    g_autofree guint64 *shares = g_new0(guint64, entries->len + 1);
    guint count = 1;

    wishes[0] = wish_of(entry->job);
    for (guint i = 0; i < entries->len; i++) {
        const MigJobEntry *other = g_ptr_array_index(entries, i);

        if (other != entry && is_sending(other->job))
            wishes[count++] = wish_of(other->job);
    }
    mig_bandwidth_share(cap, wishes, count, shares);
    return shares[0];
}

/* clock: the caller's, filled in here. */
static MigJobEnv
make_env(MigJobEntry *entry, MigClock *clock)
{
    MigDaemon *daemon = entry->jobs->daemon;

    *clock = (MigClock){.self = entry,
                        .wall_ms = wall_ms,
                        .monotonic_ms = monotonic_ms,
                        .sleep_ms = sleep_ms,
                        .wake = wake};
    return (MigJobEnv){.hv = daemon->hv,
                       .peer = mig_peer_rpc_port(daemon->peer),
                       .volume = &entry->jobs->volume_port,
                       .store = mig_store_file_port(daemon->store),
                       .clock = clock,
                       .node = daemon->node,
                       .host_id = daemon->host_id,
                       .cpu_vendor = entry->cpu_vendor,
                       .migration = mig_link_address(daemon->link),
                       .check_target = env_check_target,
                       .bandwidth = env_bandwidth,
                       .channels = (guint)daemon->config->multifd,
                       .is_target_dead = env_is_target_dead,
                       .restart = env_restart,
                       .forecast = env_forecast,
                       .target_host_id = env_target_host_id,
                       .look_at_target = env_look_at_target,
                       .look_at_encryption = env_look_at_encryption,
                       .certificate = env_certificate,
                       .trust_target = env_trust_target,
                       .may_ask = env_may_ask,
                       .lock = env_lock,
                       .unlock_and_tell = env_unlock_and_tell,
                       .is_cancelled = env_is_cancelled,
                       .self = entry};
}

void
mig_job_entry_check(MigJobEntry *entry, GPtrArray *checks)
{
    MigClock clock;
    const MigJobEnv env = make_env(entry, &clock);
    g_autoptr(GError) error = NULL;

    if (!mig_job_check(entry->job, &env, checks, &error))
        mig_checks_no_answer(entry->job->target, error->message, checks);
}

static gpointer
job_thread(gpointer data)
{
    MigJobEntry *entry = data;
    MigJobs *jobs = entry->jobs;
    MigClock clock;
    const MigJobEnv env = make_env(entry, &clock);

    if (entry->is_resumed)
        mig_job_resume(entry->job, &env);
    else
        mig_job_run(entry->job, &env);
    log_end(entry->job);
    answer_the_last_time(entry);
    g_atomic_int_dec_and_test(&jobs->running);
    return NULL;
}

void
mig_job_entry_run(MigJobEntry *entry)
{
    g_atomic_int_inc(&entry->jobs->running);
    entry->is_running = TRUE;
    g_thread_unref(g_thread_new("job", job_thread, entry));
}
