/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* job-monitor.c - what job-monitor.h says. */
#include "core/job-monitor.h"

#include "core/job-arrival.h"

#include "base/error.h"
#include "core/job-postcopy.h"
#include "core/timeouts.h"

void
mig_job_keep_error(MigJob *job, const MigJobEnv *env, GError *error)
{
    env->lock(env->self);
    if (job->error)
        g_error_free(error);
    else
        job->error = error;
    env->unlock_and_tell(env->self);
}

void
mig_monitor_init(MigMonitor *monitor, MigJob *job, const MigJobEnv *env)
{
    gint64 now_ms = env->clock->monotonic_ms(env->clock->self);

    *monitor = (MigMonitor){.job = job, .env = env};
    monitor->retuned = job->retuned;
    monitor->is_cancel_saved = job->cancel_wanted;
    monitor->deadline_ms = job->timeout_ms ? now_ms + job->timeout_ms : 0;
    mig_policy_init(&monitor->policy, job->policy, job->max_downtime_ms, now_ms);
}

void
mig_monitor_set_call(MigMonitor *monitor, guint64 bytes_s)
{
    monitor->has_call = TRUE;
    monitor->bandwidth_bytes_s = bytes_s;
    monitor->policy.can_postcopy = monitor->job->can_postcopy;
}

/* It goes over by post-copy, or will: nothing else is to be done for its end. Not so as long as the
 * target is silent: then it has not begun. */
static gboolean
is_left_to_postcopy(const MigMonitor *monitor)
{
    const MigJob *job = monitor->job;

    return job->state == MIG_JOB_STATE_POSTCOPY_PAUSED ||
           (job->state == MIG_JOB_STATE_POSTCOPY &&
            ((monitor->has_call && monitor->policy.can_postcopy) || job->progress.is_postcopy));
}

/* The link is shared: each move that begins or ends changes what is left for the others. libvirt
 * sets the limit that its caller gave as memory begins to go over: what is told before is lost
 * then. virsh gives none as a rule, and is told at once, too. */
static void
share_link(MigMonitor *monitor, const MigProgress *progress)
{
    const MigJobEnv *env = monitor->env;
    guint64 bytes_s = env->bandwidth(env->self);
    g_autoptr(GError) error = NULL;

    if (monitor->has_call && !progress->transferred_bytes)
        return;
    if (!bytes_s && (monitor->is_lifted || monitor->bandwidth_bytes_s))
        bytes_s = G_MAXINT64; /* there was a limit: QEMU has to be told that there is none */
    if (!bytes_s || bytes_s == monitor->bandwidth_bytes_s)
        return;
    if (!env->hv->set_bandwidth(env->hv->self, monitor->job->vm, bytes_s, &error)) {
        if (!monitor->is_share_told) /* tried again at the next look, and not told again */
            g_message("job %s: its bandwidth is not changed yet: %s", monitor->job->id,
                      error ? error->message : "libvirt refuses");
        monitor->is_share_told = TRUE;
    } else if (progress->transferred_bytes) {
        monitor->bandwidth_bytes_s = bytes_s;
        monitor->is_share_told = FALSE;
    }
}

/* Before QEMU knows of it: a daemon that dies now finds it in the journal. */
static void
save(const MigMonitor *monitor)
{
    const MigStore *store = monitor->env->store;
    g_autoptr(GError) error = NULL;

    if (!store->save(store->self, monitor->job, &error))
        g_warning("job %s: cannot write the journal: %s", monitor->job->id, error->message);
}

/* One whose end takes long, or is refused for now, is cancelled still when the daemon is back. */
static gboolean
is_cancelled(MigMonitor *monitor)
{
    if (!monitor->env->is_cancelled(monitor->env->self))
        return FALSE;
    if (!monitor->is_cancel_saved)
        save(monitor);
    monitor->is_cancel_saved = TRUE;
    return TRUE;
}

/* Somebody has changed what the job may do. */
static void
look_at_wishes(MigMonitor *monitor, gint64 now_ms)
{
    const MigJob *job = monitor->job;
    const MigJobEnv *env = monitor->env;
    guint retuned, max_downtime_ms;
    gboolean postcopy_wanted;

    env->lock(env->self);
    retuned = job->retuned;
    max_downtime_ms = job->max_downtime_ms;
    postcopy_wanted = job->postcopy_wanted;
    env->unlock_and_tell(env->self);
    /* what is missing there can be what QEMU's own main loop touches next, and while the link is
     * lost that would keep it from taking the link up again: so most of it goes over first */
    if (postcopy_wanted && job->progress.iteration >= 2)
        mig_postcopy_begin(monitor, "asked for");
    if (retuned == monitor->retuned || job->by_virsh)
        return;
    monitor->retuned = retuned;
    monitor->is_lifted = TRUE;
    save(monitor);
    if (mig_policy_retune(&monitor->policy, max_downtime_ms, now_ms) == MIG_POLICY_RAISED)
        monitor->is_limit_due = TRUE;
}

/* What did not help is said, so that whoever reads it knows what would. */
static GError *
no_convergence(const MigMonitor *monitor)
{
    const MigJob *job = monitor->job;
    const MigPolicy *policy = &monitor->policy;
    g_autofree char *slowed = policy->throttle_percent ? g_strdup_printf(" and was slowed by %u %%",
                                                                         policy->throttle_percent)
                                                       : g_strdup("");

    return g_error_new(MIG_ERROR, MIG_ERROR_TIMEOUT,
                       "%s did not converge: no progress for %" G_GINT64_FORMAT
                       " s, though it may stand still for %u ms%s; allow more downtime or "
                       "bandwidth, calm the guest, or take --policy must-finish",
                       job->vm, mig_policy_patience_ms(policy) / 1000, policy->limit_ms, slowed);
}

static GError *
too_late(const MigJob *job)
{
    return g_error_new(MIG_ERROR, MIG_ERROR_TIMEOUT,
                       "%s did not converge within %u s; allow more downtime "
                       "or time, or calm the guest",
                       job->vm, job->timeout_ms / 1000);
}

static void
take_step(MigMonitor *monitor, MigPolicyStep step, GError *error_take)
{
    g_autoptr(GError) error = error_take;

    switch (step) {
    case MIG_POLICY_STAY:
        break;
    case MIG_POLICY_RAISED:
        monitor->is_limit_due = TRUE;
        break;
    case MIG_POLICY_POSTCOPY:
        mig_postcopy_begin(monitor, "rounds do not get smaller");
        break;
    case MIG_POLICY_GIVE_UP:
        monitor->has_given_up = TRUE;
        mig_job_keep_error(monitor->job, monitor->env, g_steal_pointer(&error));
        break;
    }
}

/* Ends it, if that can be. FALSE: the target runs it already. */
static gboolean
end(const MigMonitor *monitor)
{
    const MigJobEnv *env = monitor->env;
    MigProgress progress = {0};

    if (monitor->job->progress.is_postcopy)
        return FALSE;
    /* repeated until libvirt is through: an abort can come too early for it; too late it is refused
     */
    env->hv->abort(env->hv->self, monitor->job->vm, NULL);
    return !env->hv->get_progress(env->hv->self, monitor->job->vm, &progress, NULL) ||
           !progress.is_postcopy;
}

/* Where the target does not run it yet. */
static void
converge(MigMonitor *monitor, const MigProgress *progress, gint64 now_ms)
{
    const MigJobEnv *env = monitor->env;

    if (monitor->has_call && now_ms - monitor->begun_ms >= MIG_POSTCOPY_AGAIN_MS)
        monitor->policy.can_postcopy = monitor->job->can_postcopy;
    if (!monitor->job->by_virsh && !is_left_to_postcopy(monitor)) {
        MigPolicyStep step = mig_policy_feed(&monitor->policy, progress, now_ms);

        take_step(monitor, step, step == MIG_POLICY_GIVE_UP ? no_convergence(monitor) : NULL);
    }
    if (progress->is_active)
        share_link(monitor, progress);
    if (monitor->is_limit_due)
        monitor->is_limit_due = !env->hv->set_max_downtime(env->hv->self, monitor->job->vm,
                                                           monitor->policy.limit_ms, NULL);
}

static void
watch_once(MigMonitor *monitor)
{
    MigJob *job = monitor->job;
    const MigJobEnv *env = monitor->env;
    gint64 now_ms = env->clock->monotonic_ms(env->clock->self);
    MigProgress progress = {.downtime_ms = -1};

    if (monitor->deadline_ms && now_ms >= monitor->deadline_ms && !monitor->has_given_up &&
        !is_cancelled(monitor) && !is_left_to_postcopy(monitor))
        take_step(monitor, mig_policy_expire(&monitor->policy, now_ms), too_late(job));
    if ((is_cancelled(monitor) || monitor->has_given_up) && end(monitor))
        return;
    look_at_wishes(monitor, now_ms);
    if (!env->hv->get_progress(env->hv->self, job->vm, &progress, NULL))
        return;
    /* QEMU never takes it back before the end, and then has forgotten it */
    progress.throttle_percent = MAX(progress.throttle_percent, job->progress.throttle_percent);
    if (progress.is_active && !progress.is_postcopy)
        monitor->most_bytes_s = MAX(monitor->most_bytes_s, progress.rate_bytes_s);
    mig_postcopy_watch(monitor, &progress, now_ms);

    env->lock(env->self);
    if (progress.is_active) {
        job->progress = progress;
        if (!job->first_bytes && progress.iteration >= 2)
            job->first_bytes = progress.transferred_bytes;
    }
    env->unlock_and_tell(env->self);
    if (!progress.is_postcopy) /* who moves it by hand sets his limits by hand */
        converge(monitor, &progress, now_ms);
    env->lock(env->self);
    job->downtime_limit_ms = monitor->policy.limit_ms;
    env->unlock_and_tell(env->self);
}

gpointer
mig_monitor_thread(gpointer data)
{
    MigMonitor *monitor = data;
    const MigJobEnv *env = monitor->env;
    gboolean is_near = FALSE;

    while (!g_atomic_int_get(&monitor->has_ended)) {
        env->clock->sleep_ms(env->clock->self, is_near ? MIG_ARRIVAL_POLL_MS : MIG_POLICY_POLL_MS);
        if (g_atomic_int_get(&monitor->has_ended))
            break;
        is_near = monitor->looks_for_arrival && !monitor->has_given_up &&
                  !mig_job_state_is_postcopy(monitor->job->state) &&
                  !env->is_cancelled(env->self) && mig_job_look_for_arrival(monitor->job, env);
        /* not while it is about to arrive: libvirt lets nobody ask while it ends the QEMU here, and
         * that would keep the answer back. One that does not is called back after LATE */
        if (!is_near && !monitor->job->has_arrived)
            watch_once(monitor);
    }
    return NULL;
}

gboolean
mig_monitor_wait(MigMonitor *monitor)
{
    const MigJobEnv *env = monitor->env;
    gint64 heard_ms = env->clock->monotonic_ms(env->clock->self);
    gboolean was_moving = FALSE;

    for (;;) {
        MigProgress progress = {.downtime_ms = -1};
        g_autoptr(GError) error = NULL;
        gint64 now_ms = env->clock->monotonic_ms(env->clock->self);

        if (env->hv->get_progress(env->hv->self, monitor->job->vm, &progress, &error)) {
            if (!progress.is_active)
                return was_moving;
            was_moving = TRUE;
            heard_ms = now_ms;
            watch_once(monitor);
            mig_postcopy_tend(monitor, now_ms);
        } else if (g_error_matches(error, MIG_ERROR, MIG_ERROR_VM_STOPPED) ||
                   now_ms - heard_ms > MIG_CONFIRM_MS) {
            return was_moving;
        }
        env->clock->sleep_ms(env->clock->self, MIG_POLICY_POLL_MS);
    }
}
