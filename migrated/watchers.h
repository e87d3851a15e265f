/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* watchers.h - the calls to which one job is told. */
#pragma once

#include "core/job.h"
#include "rpc/server.h"

/*
 * A watcher whose client has gone is let go when the job is told of next, or when another one
 * comes: looking at a job that waits for days must cost nothing once nobody looks. No lock of its
 * own: the table of jobs guards it.
 */
typedef struct MigWatchers MigWatchers;

/* Of one job at a time. */
#define MIG_WATCHERS_MAX 64

MigWatchers *mig_watchers_new(void);
/* Calls that are still there are never answered. */
void mig_watchers_free(MigWatchers *watchers);

/* Takes the call, and tells it the job as it is now: the last answer where that has ended, and for
 * the call that began the move where the VM has arrived (core/job-arrival.h).
 * MIG_ERROR_BUSY where too many watch already; never for the call that began the move (is_move). A
 * job that fails makes that one fail, too; a client of it that goes is answered as one that has not
 * asked for more. */
void mig_watchers_add(MigWatchers *watchers, MigRpcCall *call, gboolean is_move, const MigJob *job);
/* Tells all of them; the last time where there is no more to say. */
void mig_watchers_tell(MigWatchers *watchers, const MigJob *job);
guint mig_watchers_count(const MigWatchers *watchers);
