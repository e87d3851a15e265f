/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* job-postcopy.c - what job-postcopy.h says. */
#include "core/job-postcopy.h"

#include "core/job-turn.h"

#include "base/error.h"
#include "core/bandwidth.h"
#include "core/recover.h"
#include "core/timeouts.h"

/* Asked again only where it has not begun by then. */
#define BEGIN_AGAIN_MS 1000

/* Looks in a row at which memory went over. */
#define MOVES 5

/* FALSE: the journal does not have it. Asked again for a state that it is in already, it is written
 * again, since that may have failed. */
static gboolean
enter(MigMonitor *monitor, MigJobState state, const char *why)
{
    MigJob *job = monitor->job;
    const MigJobEnv *env = monitor->env;
    g_autoptr(GError) error = NULL;

    if (job->state == state ? env->store->save(env->store->self, job, &error)
                            : mig_sm_is_allowed(&mig_job_sm, job->state, state) &&
                                  mig_job_enter(job, env, state, why, &error))
        return TRUE;
    if (error)
        g_warning("job %s: cannot write the journal: %s", job->id, error->message);
    return FALSE;
}

/* What stands in the job while it waits, for people; NULL: nothing any more. Takes it. */
static void
tell(const MigMonitor *monitor, GError *error_take)
{
    monitor->env->lock(monitor->env->self);
    g_clear_error(&monitor->job->error);
    monitor->job->error = error_take;
    monitor->env->unlock_and_tell(monitor->env->self);
}

static GError *
link_lost(const MigJob *job, const char *why)
{
    return g_error_new(MIG_ERROR, MIG_ERROR_MOVE_FAILED,
                       "%s; both halves of %s wait for each other, and nothing is lost while both "
                       "nodes live: mend the link between %s and %s, then 'migratectl job resume "
                       "%s'",
                       why, job->vm, job->source, job->target, job->id);
}

/* ---- begun ---- */

void
mig_postcopy_choose(MigJob *job, const MigJobEnv *env, MigMigration *migration)
{
    /* QEMU 7.2 does not have both: what may be switched over goes by one connection */
    job->channels = job->can_postcopy || job->by_virsh ? 0 : env->channels;
    migration->may_postcopy = job->can_postcopy;
    migration->channels = job->channels;
}

/* libvirt notices only by and by that the way to the target's is cut, and would end the target's
 * half, by then the one that runs, once its own end of it breaks: so whoever is silent now is not
 * handed the guest. */
static gboolean
is_awaited(const MigMonitor *monitor)
{
    const MigJob *job = monitor->job;
    const MigPeer *peer = monitor->env->peer;
    MigDomainState there = MIG_DOMAIN_UNKNOWN;
    g_autoptr(GError) error = NULL;

    if (peer->get_domain(peer->self, job->target, job->vm, job->uuid, &there, &error) &&
        there == MIG_DOMAIN_INCOMING)
        return TRUE;
    g_message("job %s: post-copy does not begin yet: %s", job->id,
              error ? error->message : mig_domain_state_name(there));
    return FALSE;
}

/* What is sent unasked fills all that lies between the two QEMUs, and each page that the guest
 * waits for queues up behind it: on a slow link for a second each. Not so where a quarter of the
 * link is left free. Nor is the move's bandwidth limit forgotten with the phase. */
static void
leave_room(const MigMonitor *monitor)
{
    const MigJobEnv *env = monitor->env;
    guint64 bytes_s = mig_bandwidth_lower(env->bandwidth(env->self),
                                          monitor->most_bytes_s - monitor->most_bytes_s / 4);
    g_autoptr(GError) error = NULL;

    if (bytes_s &&
        !env->hv->set_postcopy_bandwidth(env->hv->self, monitor->job->vm, bytes_s, &error))
        g_message("job %s: post-copy without a limit: %s", monitor->job->id, error->message);
}

void
mig_postcopy_begin(MigMonitor *monitor, const char *why)
{
    MigJob *job = monitor->job;
    const MigJobEnv *env = monitor->env;
    gint64 now_ms = env->clock->monotonic_ms(env->clock->self);
    g_autoptr(GError) error = NULL;

    if (!job->can_postcopy || !monitor->has_call || job->progress.is_postcopy ||
        (monitor->begun_ms && now_ms - monitor->begun_ms < BEGIN_AGAIN_MS))
        return;
    monitor->begun_ms = now_ms;
    /* until it is asked again, the policy goes on as where there is no post-copy. The journal is
     * first: who finds no word of it there after a restart takes either half for the whole */
    monitor->policy.can_postcopy =
        is_awaited(monitor) && enter(monitor, MIG_JOB_STATE_POSTCOPY, why);
    if (!monitor->policy.can_postcopy)
        return;
    leave_room(monitor);
    if (!env->hv->start_postcopy(env->hv->self, job->vm, &error))
        g_message("job %s: post-copy does not begin yet: %s", job->id, error->message);
}

/* ---- watched ---- */

/* All that was here has been sent: QEMU (7.2) waits for the target's last word, and gives up a link
 * that is shut down now for good, without any state in which it could be taken up again. Left alone
 * it ends as soon as packets come through. */
static void
wait_for_last_word(MigMonitor *monitor)
{
    const MigJob *job = monitor->job;

    if (monitor->is_last_told)
        return;
    monitor->is_last_told = TRUE;
    tell(monitor, g_error_new(MIG_ERROR, MIG_ERROR_MOVE_FAILED,
                              "the link was lost when all memory of %s had been sent; it ends by "
                              "itself once the link between %s and %s is mended",
                              job->vm, job->source, job->target));
}

/* What is silent for too long: QEMU is told once, or (again) each time. libvirt may call broken
 * what QEMU does not know of yet. */
static void
give_up_link(MigMonitor *monitor, gint64 silent_ms, gboolean again)
{
    const MigHv *hv = monitor->env->hv;

    if (silent_ms < MIG_POSTCOPY_SILENT_MS || (monitor->given_up_ms && !again) ||
        monitor->job->progress.remaining_bytes == 0)
        return;
    hv->pause_postcopy(hv->self, monitor->job->vm, NULL);
    monitor->given_up_ms = monitor->moved_ms += silent_ms;
}

void
mig_postcopy_watch(MigMonitor *monitor, const MigProgress *progress, gint64 now_ms)
{
    const MigJob *job = monitor->job;
    gboolean is_first = monitor->moved_ms == 0;
    gboolean has_moved = progress->transferred_bytes != monitor->seen_bytes;

    if (!progress->is_active)
        return;
    if (!progress->is_postcopy) {
        if (job->state == MIG_JOB_STATE_POSTCOPY) /* it was meant to be, and a daemon died since */
            mig_postcopy_begin(monitor, "");
        return;
    }
    if (is_first || has_moved) {
        monitor->seen_bytes = progress->transferred_bytes;
        monitor->moved_ms = now_ms;
        if (monitor->is_last_told)
            tell(monitor, NULL);
        monitor->is_last_told = FALSE;
    }
    gint64 silent_ms = now_ms - monitor->moved_ms;

    /* a QEMU that gives its link up counts a little more once, and nothing has gone over */
    monitor->moves = has_moved && !is_first ? monitor->moves + 1 : 0;
    if (!mig_job_state_is_postcopy(job->state)) {
        enter(monitor, MIG_JOB_STATE_POSTCOPY, "the target runs it, the rest follows");
    } else if (job->state == MIG_JOB_STATE_POSTCOPY_PAUSED) {
        if (has_moved && !is_first)
            monitor->given_up_ms = 0; /* it carried something: it may be lost once more */
        if (monitor->moves < MOVES) {
            give_up_link(monitor, silent_ms, FALSE);
            return;
        }
        tell(monitor, NULL);
        enter(monitor, MIG_JOB_STATE_POSTCOPY, "memory goes over again");
    } else if (progress->is_broken && silent_ms >= MIG_POSTCOPY_STILL_MS) {
        tell(monitor, link_lost(job, "the link was lost in the post-copy phase"));
        enter(monitor, MIG_JOB_STATE_POSTCOPY_PAUSED, "the link was lost");
        monitor->given_up_ms = 0;
    } else if (progress->remaining_bytes == 0 && !progress->is_broken) {
        if (silent_ms >= MIG_POSTCOPY_SILENT_MS)
            wait_for_last_word(monitor);
    } else {
        give_up_link(monitor, silent_ms, TRUE);
    }
}

gboolean
mig_postcopy_was(const MigJob *job)
{
    for (guint i = 0; i < job->phases->len; i++) {
        if (((const MigJobPhase *)g_ptr_array_index(job->phases, i))->state ==
            MIG_JOB_STATE_POSTCOPY)
            return TRUE;
    }
    return FALSE;
}

/* ---- taken up again, or given up ---- */

GError *
mig_postcopy_obstacle(const MigJob *job, const MigPeer *peer)
{
    if (!peer->is_stuck(peer->self, job->target, job->vm, job->uuid))
        return NULL;
    return g_error_new(
        MIG_ERROR, MIG_ERROR_MOVE_FAILED,
        "%s cannot be resumed: its QEMU on %s waits for a page of memory that is on %s still, in "
        "its main loop, and hears no order; both halves are kept; 'virsh destroy %s' on %s gives "
        "it up, then it is started again from its disk",
        job->vm, job->target, job->source, job->vm, job->target);
}

/* A target that hears nobody would keep libvirt's call, and with it this job, for good. */
static gboolean
try_to_take_up(MigMonitor *monitor, const MigMigration *migration, GError **error)
{
    const MigJobEnv *env = monitor->env;
    GError *obstacle = mig_postcopy_obstacle(monitor->job, env->peer);
    gboolean ok;

    if (obstacle) {
        g_propagate_error(error, obstacle);
        return FALSE;
    }
    g_atomic_int_set(&monitor->has_ended, 0);
    GThread *thread = g_thread_new("monitor", mig_monitor_thread, monitor);

    ok = env->hv->migrate(env->hv->self, migration, error);
    g_atomic_int_set(&monitor->has_ended, 1);
    env->clock->wake(env->clock->self);
    g_thread_join(thread);
    return ok;
}

static void
take_up(MigMonitor *monitor)
{
    MigJob *job = monitor->job;
    const MigJobEnv *env = monitor->env;
    g_autoptr(GError) error = NULL;
    g_autofree char *target_uri = env->peer->libvirt_uri(env->peer->self, job->target, &error);
    g_autofree char *ram_uri = g_strdup_printf("tcp://%s", job->ram_address);
    const MigMigration migration = {.vm = job->vm,
                                    .uuid = job->uuid,
                                    .target_uri = target_uri,
                                    .ram_address = job->ram_address,
                                    .ram_uri = ram_uri,
                                    .tls_name = job->is_encrypted ? job->target : NULL,
                                    .may_postcopy = TRUE,
                                    .is_recovery = TRUE};
    gint64 until_ms = env->clock->monotonic_ms(env->clock->self) + MIG_POSTCOPY_RESUME_MS;

    if (!monitor->given_up_ms &&
        job->progress.remaining_bytes) { /* QEMU may not have heard of it yet */
        env->hv->pause_postcopy(env->hv->self, job->vm, NULL);
        monitor->given_up_ms = until_ms;
    }
    gboolean ok = target_uri && try_to_take_up(monitor, &migration, &error);

    /* the other QEMU hears of the lost link only by and by, once packets reach it again */
    while (!ok && target_uri && job->state == MIG_JOB_STATE_POSTCOPY_PAUSED &&
           env->clock->monotonic_ms(env->clock->self) < until_ms) {
        env->clock->sleep_ms(env->clock->self, 1000);
        g_clear_error(&error);
        ok = try_to_take_up(monitor, &migration, &error);
    }
    if (ok)
        tell(monitor, NULL);
    else if (job->state == MIG_JOB_STATE_POSTCOPY_PAUSED)
        tell(monitor, link_lost(job, error->message));
}

/* Is the target's half gone for good, or whole? Nobody who could be wrong is believed. */
static gboolean
is_half_useless(const MigMonitor *monitor)
{
    const MigJob *job = monitor->job;
    const MigJobEnv *env = monitor->env;
    MigDomainState there = MIG_DOMAIN_UNKNOWN;

    if (!env->peer->get_domain(env->peer->self, job->target, job->vm, job->uuid, &there, NULL))
        there = MIG_DOMAIN_UNKNOWN;
    return mig_recover_is_half_useless(there, env->is_target_dead(env->self));
}

void
mig_postcopy_tend(MigMonitor *monitor, gint64 now_ms)
{
    MigJob *job = monitor->job;
    const MigJobEnv *env = monitor->env;
    gboolean is_wanted;
    g_autoptr(GError) error = NULL;

    if (job->state != MIG_JOB_STATE_POSTCOPY_PAUSED)
        return;
    env->lock(env->self);
    is_wanted = job->resume_wanted;
    job->resume_wanted = FALSE;
    env->unlock_and_tell(env->self);
    if (!is_wanted && now_ms - monitor->looked_ms < MIG_POSTCOPY_LOOK_MS)
        return;
    monitor->looked_ms = now_ms;
    if (!is_half_useless(monitor)) {
        if (is_wanted && job->ram_address)
            take_up(monitor);
        return;
    }
    if (!env->hv->destroy(env->hv->self, job->vm, job->uuid, &error))
        g_message("job %s: cannot remove the half of %s here: %s", job->id, job->vm,
                  error->message);
}
