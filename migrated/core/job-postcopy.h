/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* job-postcopy.h - a move whose memory is on two nodes: begun, watched, taken up again, given up.
 */
#pragma once

#include "core/job-monitor.h"

/*
 * In the post-copy phase the target runs the guest, and fetches what it lacks of its memory from
 * the source. Neither half alone is the VM: if the link is lost, both wait, and QEMU can go on with
 * them later; if one half is lost, the VM's memory is lost, and it is started anew from its disk.
 *
 * So the source's half is kept for as long as the other one may be there. It is removed where the
 * target says that it has none, or has all of it and runs, or where its node is proven dead. The
 * target's half follows the same rule, see halves.c.
 *
 * A link that was lost is not taken up again by itself: in QEMU 7.2 one that is lost once more just
 * as halves find each other leaves them in a state that nothing leads out of. Somebody who knows
 * that it is mended says so ('job resume').
 */

/* Journal first, then QEMU. Any thread that watches; again and again does no harm. */
void mig_postcopy_begin(MigMonitor *monitor, const char *why);
/* What libvirt has just said of it: the job's state follows, and a link that carries nothing is
 * given up, so that it can be taken up again. */
void mig_postcopy_watch(MigMonitor *monitor, const MigProgress *progress, gint64 now_ms);
/* Nobody else has a call to libvirt under way for this job: takes the link up again where that was
 * asked for, and removes the half here where the other one is gone for good. */
void mig_postcopy_tend(MigMonitor *monitor, gint64 now_ms);
/* It cannot be taken up: the target's half hears nobody. For people; NULL: it may be tried. Asks
 * the target, and waits for its answer. */
GError *mig_postcopy_obstacle(const MigJob *job, const MigPeer *peer);
/* Has this job ever been in that phase? */
gboolean mig_postcopy_was(const MigJob *job);
/* What a move may do of it is decided as it begins. */
void mig_postcopy_choose(MigJob *job, const MigJobEnv *env, MigMigration *migration);
