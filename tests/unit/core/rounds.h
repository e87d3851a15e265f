/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* rounds.h - a simulated guest on the move, for the tests of what decides and predicts. */
#pragma once

#include "core/policy.h"

/*
 * A guest, a link, and QEMU's auto-converge, as simple as they can be: a round takes what was left
 * over the link's rate, and leaves what the guest dirtied meanwhile; of its memory it dirties a
 * working set. Two rounds that leave more than half of what they sent slow it by one step.
 */
typedef struct {
    gboolean ended;
    gint64 took_ms, blackout_ms, first_round_ms;
    guint throttle;
} RoundsOutcome;

/* By the rules of that policy, with its limit of downtime. */
RoundsOutcome
rounds_run(MigPolicyKind kind, double memory, double working_set, double dirty_s, double link_s);
