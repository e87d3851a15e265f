/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* policy.c - the rule of policy.h. */
#include "core/policy.h"

/* A limit gets this long to work before the next step, whatever the rounds say. */
#define STEP_MIN_MS 150
/* Rounds can be long on a slow link: raise after this long even within one round. */
#define STEP_MAX_MS 5000

/* How long the guest would have to stand still for what is left, as seen now. 0: not known. */
static guint
needed_ms(const MigProgress *progress)
{
    if (!progress->rate_bytes_s)
        return 0;
    return (guint)MIN((double)progress->remaining_bytes * 1000 / (double)progress->rate_bytes_s + 1,
                      G_MAXINT);
}

void
mig_policy_init(MigPolicy *policy, guint max_downtime_ms, gint64 now_ms)
{
    *policy = (MigPolicy){0};
    policy->max_ms = max_downtime_ms ? max_downtime_ms : MIG_POLICY_MAX_MS;
    policy->limit_ms = MIN(MIG_POLICY_FIRST_MS, policy->max_ms);
    policy->least_remaining = G_MAXUINT64;
    policy->since_ms = now_ms;
}

gboolean
mig_policy_feed(MigPolicy *policy, const MigProgress *progress, gint64 now_ms)
{
    gboolean has_stalled = FALSE;

    /* the first round copies everything and says nothing about convergence */
    if (!progress->is_active || progress->iteration < 2) {
        policy->since_ms = now_ms;
        return FALSE;
    }
    if (progress->iteration != policy->iteration) {
        /* a new round: did the one before leave less than any earlier one, by a tenth at least? */
        guint64 remaining = progress->remaining_bytes;

        policy->iteration = progress->iteration;
        has_stalled = remaining > policy->least_remaining - policy->least_remaining / 10;
        policy->least_remaining = MIN(policy->least_remaining, remaining);
    }
    if (policy->limit_ms >= policy->max_ms)
        return FALSE;
    if (now_ms - policy->since_ms < (has_stalled ? STEP_MIN_MS : STEP_MAX_MS))
        return FALSE;
    /* where rounds leave 20 ms each time, 10 would only cost another two of them */
    policy->limit_ms =
        MIN(MAX(policy->limit_ms * 2, has_stalled ? needed_ms(progress) : 0), policy->max_ms);
    policy->since_ms = now_ms;
    return TRUE;
}
