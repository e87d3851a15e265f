/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* policy.c - the rules of policy.h. */
#include "core/policy.h"

/* A limit gets this long to work before the next step, whatever the rounds say. */
#define STEP_MIN_MS 150
/* Rounds can be long on a slow link: raise after this long even within one round. */
#define STEP_MAX_MS 5000

static const MigPolicyRule rules[MIG_POLICY_COUNT] = {
    [MIG_POLICY_FAST] = {30, 20, 120000, 6, 0, 0, 0, TRUE},
    [MIG_POLICY_GENTLE] = {0, 0, 20000, 3, 0, 0, 0, TRUE},
    [MIG_POLICY_MUST_FINISH] = {30, 20, 10000, 3, 30000, 5000, 2, TRUE},
    [MIG_POLICY_NEVER_POSTCOPY] = {20, 10, 60000, 4, 0, 0, 0, FALSE},
};

const MigPolicyRule *
mig_policy_rule(MigPolicyKind kind)
{
    g_return_val_if_fail((guint)kind < G_N_ELEMENTS(rules), &rules[MIG_POLICY_FAST]);
    return &rules[kind == MIG_POLICY_UNSET ? MIG_POLICY_FAST : kind];
}

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
mig_policy_init(MigPolicy *policy, MigPolicyKind kind, guint max_downtime_ms, gint64 now_ms)
{
    *policy = (MigPolicy){.rule = mig_policy_rule(kind)};
    policy->max_ms = max_downtime_ms ? max_downtime_ms : MIG_POLICY_MAX_MS;
    policy->limit_ms = MIN(MIG_POLICY_FIRST_MS, policy->max_ms);
    policy->least_remaining = G_MAXUINT64;
    policy->since_ms = policy->begun_ms = policy->progress_ms = policy->smaller_ms = now_ms;
}

gint64
mig_policy_patience_ms(const MigPolicy *policy)
{
    return MAX(policy->rule->patience_ms, policy->rule->patience_rounds * policy->first_round_ms);
}

static MigPolicyStep
set_limit(MigPolicy *policy, guint limit_ms, gint64 now_ms)
{
    policy->limit_ms = limit_ms;
    policy->since_ms = policy->progress_ms = policy->smaller_ms = now_ms;
    return MIG_POLICY_RAISED;
}

/* TRUE: a round has ended, and left no less than one before it. */
static gboolean
has_stalled(MigPolicy *policy, const MigProgress *progress, gint64 now_ms)
{
    guint64 remaining = progress->remaining_bytes, least = policy->least_remaining;
    gboolean is_less;

    if (progress->iteration == policy->iteration)
        return FALSE;
    /* did the round before leave less than any earlier one, by a tenth at least? */
    is_less = remaining <= least - least / 10;
    policy->iteration = progress->iteration;
    policy->least_remaining = MIN(least, remaining);
    if (is_less)
        policy->progress_ms = policy->smaller_ms = now_ms;
    return !is_less;
}

/* The limit is at its most, and that has not helped for as long as this policy waits. */
static MigPolicyStep
go_beyond(MigPolicy *policy, const MigProgress *progress, gint64 now_ms)
{
    if (!policy->rule->beyond_ms)
        return MIG_POLICY_GIVE_UP;
    if (policy->max_ms >= policy->rule->beyond_ms)
        return MIG_POLICY_STAY;
    policy->max_ms = MIN(MAX(policy->max_ms * 2, needed_ms(progress)), policy->rule->beyond_ms);
    return set_limit(policy, policy->max_ms, now_ms);
}

/* Rounds have not got smaller for as long as this policy waits with it. */
static gboolean
wants_postcopy(const MigPolicy *policy, gint64 now_ms)
{
    const MigPolicyRule *rule = policy->rule;

    return policy->can_postcopy && rule->postcopy_ms &&
           now_ms - policy->smaller_ms >=
               MAX(rule->postcopy_ms, rule->postcopy_rounds * policy->first_round_ms);
}

MigPolicyStep
mig_policy_feed(MigPolicy *policy, const MigProgress *progress, gint64 now_ms)
{
    gboolean stalled;

    /* the first round copies everything and says nothing about convergence */
    if (!progress->is_active || progress->iteration < 2) {
        policy->since_ms = policy->progress_ms = policy->smaller_ms = now_ms;
        return MIG_POLICY_STAY;
    }
    if (!policy->first_round_ms)
        policy->first_round_ms = MAX(now_ms - policy->begun_ms, 1);
    if (progress->throttle_percent > policy->throttle_percent)
        policy->progress_ms = now_ms;
    policy->throttle_percent = progress->throttle_percent;
    stalled = has_stalled(policy, progress, now_ms);
    if (policy->limit_ms >= policy->max_ms && wants_postcopy(policy, now_ms))
        return MIG_POLICY_POSTCOPY;
    if (policy->limit_ms >= policy->max_ms)
        return now_ms - policy->progress_ms < mig_policy_patience_ms(policy)
                   ? MIG_POLICY_STAY
                   : go_beyond(policy, progress, now_ms);
    if (now_ms - policy->since_ms < (stalled ? STEP_MIN_MS : STEP_MAX_MS))
        return MIG_POLICY_STAY;
    /* where rounds leave 20 ms each time, 10 would only cost another two of them */
    return set_limit(
        policy, MIN(MAX(policy->limit_ms * 2, stalled ? needed_ms(progress) : 0), policy->max_ms),
        now_ms);
}

MigPolicyStep
mig_policy_expire(MigPolicy *policy, gint64 now_ms)
{
    if (!policy->rule->beyond_ms)
        return MIG_POLICY_GIVE_UP;
    if (policy->can_postcopy)
        return MIG_POLICY_POSTCOPY;
    policy->max_ms = MAX(policy->max_ms, policy->rule->beyond_ms);
    return policy->limit_ms >= policy->max_ms ? MIG_POLICY_STAY
                                              : set_limit(policy, policy->max_ms, now_ms);
}

MigPolicyStep
mig_policy_retune(MigPolicy *policy, guint max_downtime_ms, gint64 now_ms)
{
    policy->progress_ms = policy->smaller_ms = now_ms;
    policy->max_ms = max_downtime_ms ? max_downtime_ms : MIG_POLICY_MAX_MS;
    if (policy->limit_ms <= policy->max_ms)
        return MIG_POLICY_STAY;
    return set_limit(policy, policy->max_ms, now_ms);
}
