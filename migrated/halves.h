/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* halves.h - VMs whose memory is on two nodes: is the other half still there? */
#pragma once

#include "daemon.h"
#include "vms.h"

/*
 * Each of the two nodes may give its half up only where the other one is gone for good: as its
 * libvirt says, or since its node is proven dead (core/recover.h). What cannot be asked is there.
 */

/* The target's question. Where the move has been forgotten, by a daemon that was restarted, other
 * nodes are asked, too: libvirt knows a half that is there. Blocks. */
gboolean mig_halves_is_alone(MigDaemon *daemon, const MigRunning *half);
/* The target's question about a half that does not say that its link is lost: is the node that has
 * the other one off (core/recover.h)? FALSE where nobody is known to have one. Never asks anybody.
 */
gboolean mig_halves_is_source_dead(MigDaemon *daemon, const MigRunning *half);
/* Has a fence, or sanlock with a watchdog behind it, proven that nothing of this volume runs
 * there any more? */
gboolean mig_halves_is_dead(MigDaemon *daemon, const char *node, const char *volume);
/* That start of a host is fenced, and its leases are to be freed: not before the libvirt of a node
 * that has a half of what it took has tried in vain to let that run (MIG_FENCE_HALF_MS). heard_us:
 * the host's last sign of life; 0: now. Blocks, where there is such a half. */
void mig_halves_wait(MigAttached *attached, guint32 host_id, guint64 generation, gint64 heard_us);
/* The memory of a VM of this volume is lost: it is started again, if its policy says so. FALSE:
 * that cannot be read now. */
gboolean mig_halves_restart(MigDaemon *daemon, const char *volume, const char *vm);
