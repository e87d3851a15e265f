/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* shares.h - what this node receives, shared by the moves that come to it. */
#pragma once

#include "daemon.h"

/*
 * migration_mib_s holds for what a node sends and for what it receives. What it sends it shares by
 * itself (jobs-run.c). What comes is limited where it goes off: so each source is told what this
 * node takes of its move, with the answer to Prepare and again whenever another one begins or ends.
 * The shares are even, as nobody here knows what the others are limited to. A word that is lost is
 * said again by the sweep.
 *
 * What counts are the moves that have prepared this node; and, after a restart of this daemon,
 * those that have their turn from before: one by virsh goes on meanwhile.
 */
MigShares *mig_shares_new(MigDaemon *daemon); /* lives as long as the process */

/* What each move that comes here may bring, bytes/s; 0: no limit. Any thread, quick. */
guint64 mig_shares_each(MigShares *shares);
/* Tells all sources, in the background. Any thread, quick. */
void mig_shares_tell(MigShares *shares);
