/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* ended.h - did a VM that nobody has the lease of end with its node, or by itself? Pure. */
#pragma once

#include "core/failover.h"
#include "core/placement.h"

/* What is known of a VM that is wanted, whose lease no living start of a host has, and that no
 * living node says to run. Its last node: the last one that had its lease. */
typedef struct {
    gboolean is_lease_left; /* the lease is still that of an earlier start of its last node */
    gboolean is_known;      /* its last node has a slot */
    gboolean is_dead;       /* is proven dead */
    gboolean has_bit;       /* said to the end that it ran there */
    MigLife life;           /* of it */
    gboolean restarts_on_isolation;
    MigCut cut; /* of this node */
} MigEnded;

/*
 * FALSE: nobody can tell, so it is left alone.
 *
 * A node that dies leaves the leases of its VMs taken, one that it had just begun to start
 * included: QEMU runs only behind its lease, and is published after that. So where the lease was
 * given back in an orderly way, and the slot says that it did not run any more, it had ended before
 * its node: shut down by its guest, perhaps weeks ago. What stands still without a lease, or is
 * between two nodes, is published. A VM that a cut-off node ends for others to start has neither:
 * with that policy it is taken to have ended with its node. Where the only other node is the one
 * that is not heard, it may see the same, and end none: one that its guest has shut down there is
 * left alone until that node is heard, and asks for what it has ended (AskRestart).
 */
gboolean mig_ended_how(const MigEnded *ended, MigDown *down);
