/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* self.h - what this node must end on itself: VMs that it has lost, or gives up being cut off. */
#pragma once

#include "daemon.h"

/*
 * A node that was frozen, or lost its LUN, may find VMs here that others have started meanwhile:
 * their leases on the LUN say so. sanlock kills them first where it can; this is the second guard,
 * for what it does not know: a half that stands still without a lease. Such a VM is ended, and
 * nothing else of it is touched.
 */
typedef struct MigSelf MigSelf;

MigSelf *mig_self_new(MigDaemon *daemon);
/* Does its work at most once a second; blocks. One thread. */
void mig_self_look(MigSelf *self, gboolean is_isolated);
