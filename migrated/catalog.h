/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* catalog.h - the right to change a volume's catalogue. */
#pragma once

#include "volumes.h"

/*
 * Whoever changes VMs or images of a volume holds its coordinator lease, and writes under the epoch
 * that came with it. Today each node takes the lease for the time of one change, and waits its
 * turn; killed in between, sanlock frees the lease with the process, and libcsv's slots are before
 * or after the change, never between.
 *
 * Blocks; one change at a time per volume and node.
 */
typedef struct {
    MigAttached *attached;
    MigDaemon *daemon;
    MigLease *lease;
    MigEpoch epoch;
} MigCatalog;

/* MIG_ERROR_COORDINATOR_BUSY after MIG_COORDINATOR_WAIT_MS. NULL on failure. */
MigCatalog *mig_catalog_begin(MigDaemon *daemon, MigAttached *attached, GError **error);
void mig_catalog_end(MigCatalog *catalog);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(MigCatalog, mig_catalog_end)
