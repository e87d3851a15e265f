/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* catalog.h - the right to change a volume's catalogue. */
#pragma once

#include "volumes.h"

/*
 * Whoever changes VMs or images of a volume is its coordinator, if only for that change (role.h),
 * and writes under the epoch that came with that. A change is asked of the coordinator, wherever
 * that is (change.h).
 *
 * What needs files or a libvirt of this very node in the middle of a change takes the role for
 * itself instead: mig_catalog_begin().
 *
 * Killed in between, sanlock frees the lease with the process, and libcsv's slots are before
 * or after the change, never between. Blocks; one change at a time per volume and node.
 */
typedef struct {
    MigAttached *attached;
    MigDaemon *daemon;
    MigEpoch epoch;
} MigCatalog;

/* Has the role handed over to this node. MIG_ERROR_COORDINATOR_BUSY after MIG_COORDINATOR_WAIT_MS.
 * NULL on failure. */
MigCatalog *mig_catalog_begin(MigDaemon *daemon, MigAttached *attached, GError **error);
void mig_catalog_end(MigCatalog *catalog);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(MigCatalog, mig_catalog_end)
