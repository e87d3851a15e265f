/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* job-source.c - one move from begin to its end; the picture is in job-states.h. */
#include "core/job-source.h"

#include "core/job-arrival.h"
#include "core/job-check.h"
#include "core/job-lease.h"
#include "core/job-monitor.h"
#include "core/job-postcopy.h"
#include "core/job-turn.h"

#include "base/error.h"
#include "base/log.h"
#include "core/recover.h"
#include "core/timeouts.h"

gboolean
mig_job_enter(MigJob *job, const MigJobEnv *env, MigJobState state, const char *why, GError **error)
{
    env->lock(env->self);
    mig_job_set_state(job, state, why, env->clock->wall_ms(env->clock->self));
    env->unlock_and_tell(env->self);
    return env->store->save(env->store->self, job, error);
}

gboolean
mig_job_is_cancelled(MigJob *job, const MigJobEnv *env, GError **error)
{
    if (!env->is_cancelled(env->self))
        return FALSE;
    g_set_error(error, MIG_ERROR, MIG_ERROR_CANCELLED, "cancelled");
    return TRUE;
}

/* Nothing was touched yet, or everything is cleaned up: close the job. */
static void
close_job(MigJob *job, const MigJobEnv *env, MigJobState state, const char *why)
{
    g_autoptr(GError) error = NULL;

    env->peer->release(env->peer->self, job->target, job, NULL);
    env->peer->release(env->peer->self, job->source, job, NULL);
    env->is_cancelled(env->self); /* also what comes too late is told */
    if (!mig_job_enter(job, env, state, why, &error))
        g_warning("job %s: cannot write the journal: %s", job->id, error->message);
}

static MigJobState
failure_state(const MigJob *job)
{
    return job->cancel_wanted || g_error_matches(job->error, MIG_ERROR, MIG_ERROR_CANCELLED)
               ? MIG_JOB_STATE_CANCELLED
               : MIG_JOB_STATE_FAILED;
}

/* ---- begin ---- */

static GError *
refusal(const MigCheck *check)
{
    return g_error_new(MIG_ERROR, MIG_ERROR_CHECK_REFUSED, "%s: %s; %s", check->name, check->text,
                       check->advice);
}

static void
take_checks(MigJob *job, const MigJobEnv *env, GPtrArray *checks)
{
    env->lock(env->self);
    /* the source's are made again after a wait: what is shown is what counted */
    for (guint i = 0; i < checks->len; i++) {
        const MigCheck *check = g_ptr_array_index(checks, i);

        for (guint k = job->checks->len; k-- > 0;) {
            const MigCheck *older = g_ptr_array_index(job->checks, k);

            if (g_str_equal(older->name, check->name))
                g_ptr_array_remove_index(job->checks, k);
        }
    }
    g_ptr_array_extend_and_steal(job->checks, checks);
    env->unlock_and_tell(env->self);
}

static gboolean
check(MigJob *job, const MigJobEnv *env, GError **error)
{
    GPtrArray *checks = g_ptr_array_new_with_free_func((GDestroyNotify)mig_check_free);
    gboolean ok = mig_job_check(job, env, checks, error);
    const MigCheck *failure = mig_checks_first_failure(checks);
    GError *refused = failure ? refusal(failure) : NULL;

    take_checks(job, env, checks);
    if (refused) {
        g_clear_error(error);
        g_propagate_error(error, refused);
    }
    return ok && !refused;
}

/* ---- begin, waiting ---- */

/* Checked before it waits, so that what cannot work is refused at once; and after that, as time has
 * passed. */
static gboolean
check_and_get_turn(MigJob *job, const MigJobEnv *env, GError **error)
{
    gboolean ok = (job->state == MIG_JOB_STATE_WAITING || check(job, env, error)) &&
                  mig_job_get_turn(job, env, error) &&
                  (job->state == MIG_JOB_STATE_BEGIN || check(job, env, error));

    mig_job_tell_turn(job, env, NULL);
    return ok;
}

/* ---- prepare ---- */

void
mig_ready_clear(MigReady *ready)
{
    g_free(ready->ram_address);
    g_free(ready->certificate);
}

/* Each end's QEMU has to know the other one's root: said here, since otherwise it would show as a
 * broken handshake. */
static gboolean
trust_target(MigJob *job, const MigJobEnv *env, const MigReady *ready, GError **error)
{
    g_autoptr(GError) why = NULL;

    if (!job->is_encrypted)
        return TRUE;
    if (!ready->certificate)
        why = g_error_new(MIG_ERROR, MIG_ERROR_CHECK_REFUSED, "it would take it in clear text");
    if (!why && env->trust_target(env->self, ready->certificate, &why))
        return TRUE;
    g_set_error(error, MIG_ERROR, MIG_ERROR_CHECK_REFUSED,
                "encryption: the memory of %s cannot be sent to %s encrypted: %s", job->vm,
                job->target, why->message);
    return FALSE;
}

static gboolean
prepare(MigJob *job, const MigJobEnv *env, MigReady *to, GError **error)
{
    GPtrArray *checks = g_ptr_array_new_with_free_func((GDestroyNotify)mig_check_free);
    g_autofree char *certificate = job->is_encrypted ? env->certificate(env->self) : NULL;
    gboolean ready = env->peer->prepare(env->peer->self, job, env->cpu_vendor, env->migration,
                                        certificate, checks, to, error);
    const MigCheck *failure = mig_checks_first_failure(checks);
    GError *refused = failure ? refusal(failure) : NULL;

    take_checks(job, env, checks);
    if (refused) {
        g_clear_error(error);
        g_propagate_error(error, refused);
        return FALSE;
    }
    env->lock(env->self);
    job->granted_bytes_s = to->granted_bytes_s;
    g_free(job->ram_address);
    job->ram_address = g_strdup(to->ram_address);
    env->unlock_and_tell(env->self);
    return ready && trust_target(job, env, to, error);
}

/* ---- perform ---- */

static gboolean
perform(MigJob *job, const MigJobEnv *env, const char *ram_address, GError **error)
{
    g_autofree char *target_uri = env->peer->libvirt_uri(env->peer->self, job->target, error);
    g_autofree char *ram_uri = g_strdup_printf("tcp://%s", ram_address);
    MigMigration migration = {.vm = job->vm,
                              .uuid = job->uuid,
                              .target_uri = target_uri,
                              .ram_address = ram_address,
                              .ram_uri = ram_uri,
                              .tls_name = job->is_encrypted ? job->target : NULL,
                              .bandwidth_bytes_s = env->bandwidth(env->self)};
    MigMonitor monitor;

    if (!target_uri)
        return FALSE;
    if (!job->is_encrypted)
        mig_log_event(
            MIG_ID_MOVE_CLEAR, MIG_FIELDS(.job = job->id, .domain = job->vm, .peer = job->target),
            "the memory of %s goes to %s in clear text: [moves] encrypt=no", job->vm, job->target);
    mig_monitor_init(&monitor, job, env);
    mig_monitor_set_call(&monitor, migration.bandwidth_bytes_s);
    monitor.looks_for_arrival = TRUE;
    migration.downtime_ms = monitor.policy.limit_ms;
    migration.throttle_first = monitor.policy.rule->throttle_first;
    migration.throttle_step = monitor.policy.rule->throttle_step;
    mig_postcopy_choose(job, env, &migration);
    GThread *thread = g_thread_new("monitor", mig_monitor_thread, &monitor);
    gboolean ok = env->hv->migrate(env->hv->self, &migration, error);

    g_atomic_int_set(&monitor.has_ended, 1);
    env->clock->wake(env->clock->self);
    g_thread_join(thread);
    return ok;
}

/* ---- confirm ---- */

static gboolean
was_sent(const MigJob *job)
{
    for (guint i = 0; i < job->phases->len; i++) {
        if (((const MigJobPhase *)g_ptr_array_index(job->phases, i))->state ==
            MIG_JOB_STATE_PERFORM)
            return TRUE;
    }
    return FALSE;
}

static void
gather(MigJob *job, const MigJobEnv *env, MigRecoverFacts *facts, char **owner)
{
    MigProgress progress = {0};
    g_autoptr(GError) error = NULL;

    *facts = (MigRecoverFacts){.was_sent = was_sent(job), .has_arrived = job->has_arrived};
    /* asked before the state: once libvirt is through, the state stays what it is */
    if (!env->hv->get_progress(env->hv->self, job->vm, &progress, &error) &&
        !g_error_matches(error, MIG_ERROR, MIG_ERROR_VM_STOPPED))
        return;
    facts->is_moving = progress.is_active;
    g_clear_error(&error);
    if (!env->hv->get_state(env->hv->self, job->vm, job->uuid, &facts->source, &error))
        /* libvirt has one domain of a name: not this one, if it is of another uuid */
        facts->source = g_error_matches(error, MIG_ERROR, MIG_ERROR_EXISTS) ? MIG_DOMAIN_ABSENT
                                                                            : MIG_DOMAIN_UNKNOWN;
    facts->is_target_dead = env->is_target_dead(env->self);
    if (facts->is_moving || (facts->source == MIG_DOMAIN_RUNNING && !facts->was_sent))
        return;
    /* while the guest runs here nobody need be asked where else it is, but whether it may */
    if (facts->source != MIG_DOMAIN_RUNNING &&
        !env->peer->get_domain(env->peer->self, job->target, job->vm, job->uuid, &facts->target,
                               NULL))
        facts->target = MIG_DOMAIN_UNKNOWN;
    mig_job_look_at_lease(job, env, facts, owner);
}

/* The last words of a move that failed: where the VM is, as far as anybody knows. */
static void
tell_where(MigJob *job, const MigJobEnv *env, char *where_take)
{
    g_autofree char *where = where_take;
    GError *error = job->error;

    if (!error && job->cancel_wanted)
        error = g_error_new(MIG_ERROR, MIG_ERROR_CANCELLED, "cancelled");
    else if (!error)
        error = g_error_new(MIG_ERROR, MIG_ERROR_MOVE_FAILED, "the move did not happen");
    env->lock(env->self);
    job->error = g_error_new(error->domain, error->code, "%s; %s", error->message, where);
    g_error_free(error);
    env->unlock_and_tell(env->self);
}

static void
half_lost(MigJob *job, const MigJobEnv *env)
{
    env->lock(env->self);
    g_clear_error(&job->error);
    job->error = g_error_new(MIG_ERROR, MIG_ERROR_MOVE_FAILED,
                             "one half of %s was lost in the post-copy phase, and with it its "
                             "memory",
                             job->vm);
    env->unlock_and_tell(env->self);
}

/* This node died before the move was through, and it was started there by a fail-over: no move. */
static void
started_there(MigJob *job, const MigJobEnv *env)
{
    env->volume->publish(env->volume->self, job->volume, NULL);
    /* what was to be done about halves that wait holds no more */
    if (mig_postcopy_was(job))
        half_lost(job, env);
    tell_where(job, env,
               g_strdup_printf("%s runs on %s, where it was started anew", job->vm, job->target));
    close_job(job, env, MIG_JOB_STATE_FAILED, "the VM was started anew on the target");
}

static void
moved(MigJob *job, const MigJobEnv *env)
{
    g_autoptr(GError) error = NULL;

    gboolean is_new = !job->has_arrived; /* else it was seen to move */

    if (is_new && !mig_job_arrive(job, env, &error))
        g_warning("job %s: %s was not told that %s is its own now, its own events will: %s",
                  job->id, job->target, job->vm, error->message);
    if (is_new && job->was_booted_there) {
        started_there(job, env);
        return;
    }
    env->volume->deactivate(env->volume->self, (const char *const *)job->images, NULL);
    env->volume->publish(env->volume->self, job->volume, NULL);
    env->lock(env->self);
    g_clear_error(&job->error);
    env->unlock_and_tell(env->self);
    close_job(job, env, MIG_JOB_STATE_DONE, "runs on the target");
}

/* has_failed: its disk. When it goes on again is self.c's business, as for any VM. */
static void
stayed(MigJob *job, const MigJobEnv *env, gboolean has_failed)
{
    env->peer->finish(env->peer->self, job, FALSE, NULL, NULL);
    env->volume->publish(env->volume->self, job->volume, NULL);
    tell_where(job, env,
               g_strdup_printf(has_failed ? "%s is on %s, where it stands still until its disk "
                                            "answers again"
                                          : "%s runs on %s",
                               job->vm, job->source));
    close_job(job, env, failure_state(job), "the VM is on the source");
}

static void
stopped(MigJob *job, const MigJobEnv *env)
{
    env->peer->finish(env->peer->self, job, FALSE, NULL, NULL);
    env->volume->deactivate(env->volume->self, (const char *const *)job->images, NULL);
    env->volume->publish(env->volume->self, job->volume, NULL);
    tell_where(job, env,
               g_strdup_printf("%s stopped during the move and runs nowhere: 'migratectl vm start "
                               "%s' starts it again",
                               job->vm, job->vm));
    close_job(job, env, MIG_JOB_STATE_FAILED, "the VM stopped during the move");
}

/* Before the job is closed, for nobody else knows that it is to be started. FALSE: not now. */
static gboolean
asks_restart(const MigJob *job, const MigJobEnv *env)
{
    gboolean ok = env->restart(env->self, job);

    if (!ok)
        g_debug("job %s: whether %s is to be started again cannot be read", job->id, job->vm);
    return ok;
}

/* A half of it was lost in the post-copy phase: what is left of the other one is ended by its node.
 */
static gboolean
lost(MigJob *job, const MigJobEnv *env)
{
    if (!asks_restart(job, env))
        return FALSE;
    env->volume->deactivate(env->volume->self, (const char *const *)job->images, NULL);
    env->volume->publish(env->volume->self, job->volume, NULL);
    half_lost(job, env);
    tell_where(job, env, g_strdup("it is started again from its disk, as if its node had died"));
    close_job(job, env, MIG_JOB_STATE_FAILED, "half of its memory is gone");
    return TRUE;
}

/* The target had it, and it ended there; nothing of it is here. */
static gboolean
ended_there(MigJob *job, const MigJobEnv *env)
{
    gboolean is_known = FALSE, is_up = FALSE;

    env->look_at_target(env->self, &is_known, &is_up);
    if (is_up && env->peer->was_shut_down(env->peer->self, job->target, job->vm, job->uuid)) {
        stopped(job, env);
        return TRUE;
    }
    if (!asks_restart(job, env))
        return FALSE;
    /* as long as this job has not ended nobody can start it here: a dead node is not waited for */
    if (is_up)
        env->peer->finish(env->peer->self, job, FALSE, NULL, NULL);
    env->volume->deactivate(env->volume->self, (const char *const *)job->images, NULL);
    env->volume->publish(env->volume->self, job->volume, NULL);
    tell_where(job, env,
               g_strdup_printf("%s had been taken over by %s, and ended there%s; it is started "
                               "again from its disk, as if its node had died",
                               job->vm, job->target,
                               job->is_outrun ? ", so what was left of it here was older than its "
                                                "disk and is ended"
                                              : ""));
    close_job(job, env, MIG_JOB_STATE_FAILED, "the VM ended on the target");
    return TRUE;
}

/* An old half. One that runs writes to a disk that is newer than its memory: each moment counts.
 * Else the journal is first, so that a daemon that dies now knows in its next life why it is gone.
 */
static void
end_source(MigJob *job, const MigJobEnv *env, gboolean runs)
{
    g_autoptr(GError) error = NULL, unsaved = NULL;
    gboolean ok = runs && env->hv->destroy(env->hv->self, job->vm, job->uuid, &error);

    env->lock(env->self);
    job->is_outrun = TRUE;
    env->unlock_and_tell(env->self);
    if (!env->store->save(env->store->self, job, &unsaved))
        g_warning("job %s: cannot write the journal: %s", job->id, unsaved->message);
    g_clear_error(&error);
    ok = ok || env->hv->destroy(env->hv->self, job->vm, job->uuid, &error);
    g_message("job %s: %s has had %s since: what is left of it here %s%s", job->id, job->target,
              job->vm, ok ? "is ended" : "cannot be ended: ", ok ? "" : error->message);
}

static void
unclear(MigJob *job, const MigJobEnv *env, const MigRecoverFacts *facts, const char *owner)
{
    if (facts->target == MIG_DOMAIN_RUNNING && facts->source != MIG_DOMAIN_UNKNOWN)
        tell_where(job, env,
                   g_strdup_printf("%s runs on %s; what is left of it on %s could not be "
                                   "removed: look at both nodes",
                                   job->vm, job->target, job->source));
    else
        tell_where(
            job, env,
            g_strdup_printf("%s is %s on %s and %s on %s, its lease is held by %s%s, and that "
                            "does not settle it; nothing was started: look at both nodes",
                            job->vm, mig_domain_state_name(facts->source), job->source,
                            mig_domain_state_name(facts->target), job->target,
                            !facts->is_lease_known ? "nobody knows whom"
                            : owner                ? owner
                                                   : "nobody",
                            facts->is_lease_known && facts->is_lease_newer
                                ? " and was taken since the move began"
                                : ""));
    close_job(job, env, MIG_JOB_STATE_FAILED, "unclear where the VM is");
}

/* Of a post-copy phase, or nobody can tell: nobody but this job looks after it. */
static gboolean
is_half_left(const MigJob *job, const MigJobEnv *env, const MigRecoverFacts *facts)
{
    if (!mig_postcopy_was(job) ||
        (facts->source != MIG_DOMAIN_UNKNOWN && facts->source != MIG_DOMAIN_INCOMING))
        return FALSE;
    /* libvirt has no move of it any more, as after a restart in the middle of its beginning */
    if (!facts->is_moving && facts->source == MIG_DOMAIN_INCOMING &&
        mig_recover_is_half_useless(facts->target, env->is_target_dead(env->self)))
        env->hv->destroy(env->hv->self, job->vm, job->uuid, NULL);
    return TRUE;
}

/* Nobody but this job lets it go on, or ends it, once it can be told which, or can be done: libvirt
 * here is silent, or the LUN is. */
static gboolean
is_left_open(const MigJob *job, const MigRecoverFacts *facts)
{
    return facts->source == MIG_DOMAIN_UNKNOWN || job->is_outrun ||
           (facts->source != MIG_DOMAIN_INCOMING && facts->source != MIG_DOMAIN_ABSENT &&
            facts->was_sent && !facts->is_moving && !facts->is_lease_known);
}

/* Acts once on what is true; TRUE: the job has ended. *is_open: it cannot, however late it is. */
static gboolean
confirm_once(MigJob *job, const MigJobEnv *env, gboolean is_last, gboolean *is_open)
{
    MigRecoverFacts facts;
    g_autofree char *owner = NULL;
    g_autoptr(GError) error = NULL;

    gather(job, env, &facts, &owner);
    /* up to here nobody else has let it run: self.c goes on from that */
    if (facts.was_sent && facts.is_lease_known && !facts.is_lease_newer && !facts.has_target_lease)
        job->lease_version = facts.lease_version;
    *is_open = is_left_open(job, &facts);
    MigRecover decision = mig_recover_decide(&facts);

    g_debug("job %s: source %s, target %s, lease %s%s: %s", job->id,
            mig_domain_state_name(facts.source), mig_domain_state_name(facts.target),
            !facts.is_lease_known ? "not asked"
            : owner               ? owner
                                  : "free",
            facts.is_lease_newer ? " (newer)" : "", mig_recover_name(decision));
    /* decided when it was ended; who runs it by now, if anybody, has started it anew */
    if (job->is_outrun && facts.source == MIG_DOMAIN_ABSENT && decision != MIG_RECOVER_MOVED) {
        *is_open = TRUE;
        return ended_there(job, env);
    }
    switch (decision) {
    case MIG_RECOVER_MOVED:
        *is_open = TRUE;
        if (job->is_outrun && facts.target != MIG_DOMAIN_RUNNING && !asks_restart(job, env))
            return FALSE;
        if (facts.was_sent)
            moved(job, env);
        else
            started_there(job, env);
        return TRUE;
    case MIG_RECOVER_STAYED:
        stayed(job, env, facts.source == MIG_DOMAIN_IO_ERROR);
        return TRUE;
    case MIG_RECOVER_START:
        /* a guest that powers itself off in its post-copy phase has lost nothing */
        if (mig_postcopy_was(job) &&
            !env->peer->was_shut_down(env->peer->self, job->target, job->vm, job->uuid)) {
            env->peer->finish(env->peer->self, job, FALSE, NULL, NULL);
            *is_open = TRUE;
            return lost(job, env);
        }
        if (facts.was_sent && facts.is_lease_newer) {
            *is_open = TRUE;
            return ended_there(job, env);
        }
        stopped(job, env);
        return TRUE;
    case MIG_RECOVER_LOST:
        *is_open = TRUE;
        return lost(job, env);
    case MIG_RECOVER_DESTROY_SOURCE:
        if (facts.source == MIG_DOMAIN_RUNNING && job->has_arrived)
            end_source(job, env, TRUE);
        else if (!env->hv->destroy(env->hv->self, job->vm, job->uuid, &error))
            g_message("job %s: cannot remove what is left of %s here: %s", job->id, job->vm,
                      error->message);
        break;
    case MIG_RECOVER_END_SOURCE:
        end_source(job, env, facts.source == MIG_DOMAIN_RUNNING);
        break;
    case MIG_RECOVER_RESUME_SOURCE:
        if (!mig_job_resume_here(job, env, facts.lease_version, &error))
            g_message("job %s: cannot resume %s: %s", job->id, job->vm, error->message);
        break;
    case MIG_RECOVER_RESUME_TARGET:
        env->peer->finish(env->peer->self, job, TRUE, NULL, NULL);
        break;
    case MIG_RECOVER_WAIT:
        break;
    }
    if (is_last && (is_half_left(job, env, &facts) || *is_open))
        return FALSE;
    if (is_last)
        unclear(job, env, &facts, owner);
    return is_last;
}

static void
back_to_confirm(MigJob *job, const MigJobEnv *env, const char *why)
{
    g_autoptr(GError) error = NULL;

    if (job->state != MIG_JOB_STATE_CONFIRM &&
        !mig_job_enter(job, env, MIG_JOB_STATE_CONFIRM, why, &error))
        g_warning("job %s: cannot write the journal: %s", job->id, error->message);
}

/* Whoever comes here says what is true in the end, however long libvirt takes to be through. */
static void
confirm(MigJob *job, const MigJobEnv *env, const char *why)
{
    MigMonitor monitor;

    mig_monitor_init(&monitor, job, env);
    mig_monitor_wait(&monitor);
    back_to_confirm(job, env, why);

    gint64 start_ms = env->clock->monotonic_ms(env->clock->self);

    for (;;) {
        gint64 now_ms = env->clock->monotonic_ms(env->clock->self);
        gboolean is_late = now_ms - start_ms > MIG_CONFIRM_MS, is_open = FALSE;

        /* the last look is for what the last act has changed */
        if (confirm_once(job, env, FALSE, &is_open) ||
            (is_late && confirm_once(job, env, TRUE, &is_open)))
            return;
        if (is_late && is_open) /* time for what follows, once it can be told */
            start_ms = now_ms - MIG_CONFIRM_MS + MIG_CONFIRM_MORE_MS;
        env->clock->sleep_ms(env->clock->self, 200);
        if (mig_monitor_wait(&monitor))
            start_ms = env->clock->monotonic_ms(env->clock->self);
        back_to_confirm(job, env, why); /* a libvirt that is back may have shown its post-copy */
    }
}

/* ---- the whole ---- */

/* From begin or waiting to the end. */
static void
run(MigJob *job, const MigJobEnv *env)
{
    g_autoptr(GError) error = NULL;
    g_auto(MigReady) ready = {0};

    if (!check_and_get_turn(job, env, &error) || mig_job_is_cancelled(job, env, &error)) {
        mig_job_keep_error(job, env, g_steal_pointer(&error));
        close_job(job, env, failure_state(job), "refused before anything was touched");
        return;
    }
    env->forecast(env->self, job);
    if (!mig_job_enter(job, env, MIG_JOB_STATE_PREPARE, "checks passed here, pair is ours",
                       &error) ||
        !prepare(job, env, &ready, &error) || mig_job_is_cancelled(job, env, &error)) {
        mig_job_keep_error(job, env, g_steal_pointer(&error));
        confirm(job, env, "target not ready");
        return;
    }
    env->hv->watch_switchover(env->hv->self, job->uuid);
    if (job->by_virsh &&
        mig_job_enter(job, env, MIG_JOB_STATE_PERFORM, "target is ready, virsh moves it", &error)) {
        env->lock(env->self);
        job->may_come = TRUE;
        env->unlock_and_tell(env->self);
        confirm(job, env, "libvirt is through with it");
        return;
    }
    if (error || !mig_job_enter(job, env, MIG_JOB_STATE_PERFORM, "target is ready", &error) ||
        !perform(job, env, ready.ram_address, &error)) {
        mig_job_keep_error(job, env, g_steal_pointer(&error));
        confirm(job, env, "libvirt reports a failure");
        return;
    }
    confirm(job, env, "libvirt reports success");
}

void
mig_job_run(MigJob *job, const MigJobEnv *env)
{
    g_autoptr(GError) error = NULL;

    if (mig_job_enter(job, env, MIG_JOB_STATE_BEGIN, "asked for", &error)) {
        run(job, env);
        return;
    }
    mig_job_keep_error(job, env, g_steal_pointer(&error));
    close_job(job, env, failure_state(job), "refused before anything was touched");
}

void
mig_job_resume(MigJob *job, const MigJobEnv *env)
{
    switch (mig_job_state_resume(job->state)) {
    case MIG_JOB_RESUME_NOTHING:
        return;
    case MIG_JOB_RESUME_WAIT_TURN:
        mig_job_wait_for_target(env);
        run(job, env);
        return;
    case MIG_JOB_RESUME_WAIT_CONFIRM:
        env->hv->watch_switchover(env->hv->self, job->uuid);
        mig_job_take_turn_again(job, env);
        break;
    case MIG_JOB_RESUME_CLOSE:
    case MIG_JOB_RESUME_CLEAN:
        mig_job_keep_error(job, env,
                           g_error_new(MIG_ERROR, MIG_ERROR_MOVE_FAILED,
                                       "migrated on %s was restarted before the move began",
                                       job->source));
        break;
    }
    if (job->state == MIG_JOB_STATE_BEGIN)
        close_job(job, env, MIG_JOB_STATE_FAILED, "daemon restarted, nothing had been touched");
    else
        confirm(job, env, "daemon restarted");
}
