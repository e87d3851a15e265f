/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* policy.h - convergence: how much downtime a move is allowed, step by step. */
#pragma once

#include "core/job.h"

/*
 * QEMU stops the guest as soon as it reckons that the rest fits into the downtime limit; so a limit
 * of 300 ms, libvirt's default, makes a guest stand still for 100 to 200 ms that could have gone
 * over in another short round. Hence: begin low, and raise the limit only where rounds no longer
 * get smaller: to twice as much, or to what the rest would take if that is more, up to the most
 * that was allowed. So the guest never stands longer than with the default, and most of the time
 * for a fraction of it.
 *
 * A pure function of what libvirt reports; fed about every MIG_POLICY_POLL_MS.
 */
#define MIG_POLICY_POLL_MS  100 /* each costs QEMU's monitor a moment, maybe in the blackout */
#define MIG_POLICY_FIRST_MS 5
#define MIG_POLICY_MAX_MS   300 /* default of max_downtime_ms */

typedef struct {
    guint limit_ms, max_ms;
    guint64 iteration;       /* the last one looked at */
    guint64 least_remaining; /* the smallest rest seen at the end of a round */
    gint64 since_ms;         /* of the current limit */
} MigPolicy;

void mig_policy_init(MigPolicy *policy, guint max_downtime_ms, gint64 now_ms);
/* TRUE: policy->limit_ms was raised, tell QEMU. */
gboolean mig_policy_feed(MigPolicy *policy, const MigProgress *progress, gint64 now_ms);
