/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* drain.h - this node is emptied: nothing comes to it any more, what runs here is moved away. */
#pragma once

#include "daemon.h"
#include "rpc/api-types.h"

/*
 * That a node drains stands in its slot, so that everybody's placement and checks know, and in a
 * file of its own, so that a daemon that is started again goes on with it. The moves are jobs like
 * any others: they wait in the queue, survive a restart, and can be cancelled one by one. What is
 * decided here is only where each goes, by core/plan.h.
 *
 * Any thread; all but mig_drain_load() block.
 */

/* As it was when the daemon ended. */
void mig_drain_load(MigDaemon *daemon);

/* One step for each VM that runs here (GPtrArray of MigApiDrainStep). Asked again it starts moves
 * for those that have none. dry_run: nothing is changed. */
GPtrArray *mig_drain(MigDaemon *daemon, gboolean dry_run, GError **error);
/* Moves that are under way or wait go on. */
gboolean mig_undrain(MigDaemon *daemon, GError **error);
