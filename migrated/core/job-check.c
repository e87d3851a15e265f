/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* job-check.c - the source's checks, then the target's. */
#include "core/job-check.h"

gboolean
mig_job_check(MigJob *job, const MigJobEnv *env, GPtrArray *checks, GError **error)
{
    MigSourceFacts facts = {.vm = job->vm, .node = env->node, .target = job->target};
    g_autofree char *owner = NULL, *problem = NULL;
    guint64 version = 0;
    gboolean is_last_here;

    env->look_at_target(env->self, &facts.is_target_known, &facts.is_target_up);
    facts.encryption_problem = problem = env->look_at_encryption(env->self, &facts);
    if (!env->hv->get_state(env->hv->self, job->vm, job->uuid, &facts.domain, error) ||
        !env->volume->lease_owner(env->volume->self, job->volume, job->slot, &owner, &version,
                                  &is_last_here, error))
        return FALSE;
    job->lease_version = version;
    job->is_encrypted = facts.encrypts;
    facts.lease_owner = owner;
    mig_checks_source(&facts, checks);
    /* all that is wrong in one go, as far as it can be seen */
    if (!facts.is_target_up || facts.domain == MIG_DOMAIN_ABSENT ||
        facts.domain == MIG_DOMAIN_UNKNOWN)
        return TRUE;
    return env->check_target(env->self, job, checks, error);
}
