/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* failover.h - which nodes live, by all evidence; fencing those that do not; and this node's own
 * case. */
#pragma once

#include "lives.h"

/*
 * One thread looks several times a second: it collects evidence (heartbeats, sanlock, signs.h),
 * has core/failover.h judge it, keeps the findings for whoever asks, has silent nodes fenced, and
 * wakes the recovery when VMs may be restarted. What it does to this node itself: ends VMs that it
 * has lost, and where it is cut off those whose policy says so.
 */

MigFailover *mig_failover_new(MigDaemon *daemon);
void mig_failover_start(MigFailover *failover);

/* GPtrArray of MigNodeLife, by host id, from the last look. */
GPtrArray *mig_failover_lives(MigFailover *failover);
/* As mig_recovery_hangs(). */
gboolean mig_failover_hangs(MigFailover *failover);
/* By the last look. Any thread. */
MigCut mig_failover_cut_now(MigFailover *failover);
/* Has nobody answered this node for so long that it is the one that is cut off? */
gboolean mig_failover_is_isolated(MigFailover *failover);
/* Is that VM to be ended here, for this node is cut off? Any thread. */
gboolean mig_failover_ends_for_cut_now(MigFailover *failover, const MigVm *vm);
/* A node's deaths are forgotten here, as if it had never died. */
void mig_failover_pardon(MigFailover *failover, const char *node);
/* Is there a readable file of fence agents for this node, here? */
gboolean mig_failover_can_fence(MigDaemon *daemon, const char *node);
