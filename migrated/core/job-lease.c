/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* job-lease.c - what job-lease.h says. */
#include "core/job-lease.h"

#include "core/timeouts.h"

/* One that gives no sign of life is not asked: an old half may be running meanwhile. */
static gboolean
never_ran_there(const MigJob *job, const MigJobEnv *env, const MigRecoverFacts *facts)
{
    gboolean is_known = FALSE, is_up = FALSE, never = FALSE;
    gint64 asked_ms = env->clock->monotonic_ms(env->clock->self);

    /* whoever has it goes on with it. Unknown: it has not answered, or was not asked, since it runs
     * here */
    if (facts->has_target_lease ||
        (facts->target != MIG_DOMAIN_UNKNOWN && facts->target != MIG_DOMAIN_ABSENT))
        return FALSE;
    env->look_at_target(env->self, &is_known, &is_up);
    /* a call that just fails is no reason to end what may be the only good copy */
    while (is_up &&
           !env->peer->never_ran(env->peer->self, job->target, job->vm, job->uuid, &never, NULL) &&
           env->clock->monotonic_ms(env->clock->self) - asked_ms < MIG_OUTRUN_ASK_MS)
        ;
    return never;
}

void
mig_job_look_at_lease(const MigJob *job, const MigJobEnv *env, MigRecoverFacts *facts, char **owner)
{
    guint64 version = 0;
    gboolean is_last_here = FALSE;

    facts->is_lease_known = env->volume->lease_owner(env->volume->self, job->volume, job->slot,
                                                     owner, &version, &is_last_here, NULL);
    if (!facts->is_lease_known)
        return;
    facts->lease_version = version;
    facts->has_source_lease = g_strcmp0(*owner, job->source) == 0;
    facts->has_target_lease = *owner && !facts->has_source_lease;
    facts->is_lease_newer =
        mig_recover_is_outrun(job->lease_version, version, is_last_here, FALSE) &&
        mig_recover_is_outrun(job->lease_version, version, is_last_here,
                              never_ran_there(job, env, facts));
}

gboolean
mig_job_resume_here(MigJob *job, const MigJobEnv *env, guint64 before, GError **error)
{
    gboolean ok = env->hv->resume(env->hv->self, job->vm, job->uuid, error), is_last_here = FALSE;
    g_autofree char *owner = NULL;
    g_autoptr(GError) unsaved = NULL;
    guint64 version = 0;

    if (!env->volume->lease_owner(env->volume->self, job->volume, job->slot, &owner, &version,
                                  &is_last_here, NULL) ||
        !is_last_here || version != before + 1)
        return ok; /* nothing was taken, or not only by that: then it is looked at again */
    job->lease_version = version;
    if (!env->store->save(env->store->self, job, &unsaved))
        g_warning("job %s: cannot write the journal: %s", job->id, unsaved->message);
    return ok;
}
