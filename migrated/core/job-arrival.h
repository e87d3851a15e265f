/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* job-arrival.h - the moment from which on a VM that is moved runs on its target. */
#pragma once

#include "core/job-source.h"

/*
 * libvirt returns from a move when the source's QEMU has ended, for which it looks every 200 ms: by
 * then the guest has run on the target for a while. Whoever asked for the move is told when it has
 * arrived; the job goes on, holds its pair, and cleans up, and says the same in the end (the table
 * of core/recover.h has a line for it), after a restart of the daemon, too.
 */

/* It is looked for once the guest has stood still here for QUIET, every POLL: a question costs both
 * nodes a handshake, and before that the CPUs have better to do. */
#define MIG_ARRIVAL_QUIET_MS 80
#define MIG_ARRIVAL_POLL_MS  30
#define MIG_ARRIVAL_LATE_MS  2000 /* it was stopped for something else: not so often any more */

/* To be called where it is known to run there, from any thread of the job: the target publishes it
 * and tells what it has seen of the switch-over. Blocks. FALSE: the target was not reached, and
 * nothing has changed here. */
gboolean mig_job_arrive(MigJob *job, const MigJobEnv *env, GError **error);

/* One look, while libvirt is at it. TRUE: another one is worth its while soon. */
gboolean mig_job_look_for_arrival(MigJob *job, const MigJobEnv *env);
