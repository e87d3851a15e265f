/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* self.h - VMs on this node that have lost their lease, their disk or the others: ended, or mended.
 */
#pragma once

#include "daemon.h"

/*
 * A node that was frozen, or lost its LUN, may find VMs here that others have started meanwhile:
 * their leases on the LUN say so. sanlock kills them first where it can; this is the second guard,
 * for what it does not know: a half that stands still without a lease. Such a VM is ended.
 *
 * One whose disk has failed goes on or is ended and started again (core/io-pause.h); one that runs
 * while nobody has its lease gets it again. Used by failover.c alone.
 */
typedef struct MigSelf MigSelf;

MigSelf *mig_self_new(MigDaemon *daemon);
/* To be called every MIG_SELF_LOOK_MS by one thread, of its own: it asks libvirt and the LUN, and
 * waits for them. */
void mig_self_look(MigSelf *self);
