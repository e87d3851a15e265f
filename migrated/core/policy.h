/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* policy.h - convergence: what is done so that a move ends, and when it is given up. */
#pragma once

#include "core/job.h"

/*
 * QEMU stops the guest as soon as it reckons that the rest fits into the downtime limit; so a limit
 * of 300 ms, libvirt's default, makes a guest stand still for 100 to 200 ms that could have gone
 * over in another short round. Hence: begin low, and raise the limit only where rounds no longer
 * get smaller: to twice as much, or to what the rest would take if that is more, up to the most
 * that was allowed. So the guest does not stand longer than with the default (but see must-finish),
 * and most of the time for a fraction of it.
 *
 * A pure function of what libvirt reports; fed about every MIG_POLICY_POLL_MS.
 */
#define MIG_POLICY_POLL_MS  100 /* each costs QEMU's monitor a moment, maybe in the blackout */
#define MIG_POLICY_FIRST_MS 30  /* with less it stands as long, and one at work is copied longer */
#define MIG_POLICY_MAX_MS   300 /* default of max_downtime_ms */

/*
 * Where the limit is at its most and rounds still do not get smaller, the policies differ:
 *
 *   policy         | guest is slowed   | post-copy after      | no progress for     | then
 *   ---------------+-------------------+----------------------+---------------------+---------------
 *   fast           | by 30 %, then +20 | never by itself      | 120 s, 6 first ones | given up
 *   gentle         | never             | never by itself      | 20 s, 3 first ones  | given up
 *   must-finish    | by 30 %, then +20 | 5 s, 2 first rounds  | 10 s, 3 first ones  | more downtime
 *   never-postcopy | by 20 %, then +10 | never                | 60 s, 4 first ones  | given up
 *
 * "N s, M first rounds": the longer of both times. More downtime: twice as much, or what the rest
 * needs, up to 30 s. Progress is a round that leaves a tenth less than any before, a limit that was
 * raised, or a guest that is slowed further; so a move that gets anywhere is never given up,
 * however long it takes, and none goes on for ever: there are so many tenths, steps and percents.
 *
 * Post-copy lets the target run the guest before all of its memory is there: from then on neither
 * half alone is the VM. So no policy begins with it, and the default one never comes to it: a link
 * that is lost then can cost the VM's memory. Under must-finish, which is asked for, it comes where
 * rounds do not get smaller in spite of all (that the guest is slowed further is no reason to wait
 * with it), and where both ends can, which is checked before. A person may ask for it at once ('job
 * set --postcopy-now'), but under never-postcopy. Where it cannot be, the columns right of it are
 * what happens.
 *
 * It is QEMU that slows the guest (auto-converge), and that must be asked for when the move begins.
 */
typedef struct {
    guint throttle_first, throttle_step; /* percent; 0: the guest is not slowed */
    guint patience_ms, patience_rounds;  /* without progress; the longer one counts */
    guint beyond_ms;                     /* downtime where there is none; 0: given up instead */
    guint postcopy_ms, postcopy_rounds;  /* without a smaller round; 0: not by itself */
    gboolean allows_postcopy;            /* if only by a person */
} MigPolicyRule;

const MigPolicyRule *mig_policy_rule(MigPolicyKind kind);

typedef enum {
    MIG_POLICY_STAY,     /* nothing to do */
    MIG_POLICY_RAISED,   /* policy->limit_ms has changed, tell QEMU */
    MIG_POLICY_POSTCOPY, /* let the target run it, the rest follows */
    MIG_POLICY_GIVE_UP,  /* it will not converge by what this policy may do */
} MigPolicyStep;

typedef struct {
    const MigPolicyRule *rule;
    guint limit_ms, max_ms;
    guint throttle_percent;  /* as last seen */
    guint64 iteration;       /* the last one looked at */
    guint64 least_remaining; /* the smallest rest seen at the end of a round */
    gint64 since_ms;         /* of the current limit */
    gint64 begun_ms;         /* of the first round */
    gint64 first_round_ms;   /* what it took, as far as it was seen; 0: it is not over */
    gint64 progress_ms;      /* the last time that there was any */
    gint64 smaller_ms;       /* the same, of rounds and limit alone */
    gboolean can_postcopy;   /* the caller's to say: both ends can, and this move may */
} MigPolicy;

void mig_policy_init(MigPolicy *policy, MigPolicyKind kind, guint max_downtime_ms, gint64 now_ms);
MigPolicyStep mig_policy_feed(MigPolicy *policy, const MigProgress *progress, gint64 now_ms);
/* How long it is without progress before the policy does what it does then, as known now. */
gint64 mig_policy_patience_ms(const MigPolicy *policy);
/* The time limit has passed. GIVE_UP, or, where the policy never does, post-copy, or all the
 * downtime there is. */
MigPolicyStep mig_policy_expire(MigPolicy *policy, gint64 now_ms);
/* Somebody allows another downtime, or another bandwidth (then max_downtime_ms is as it was): what
 * was in vain so far may not be so now. */
MigPolicyStep mig_policy_retune(MigPolicy *policy, guint max_downtime_ms, gint64 now_ms);
