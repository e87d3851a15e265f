/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* unfence.h - a host that was cut off from its LUNs by a fence is let in again. */
#pragma once

#include "base/config.h"

/*
 * A fence by reservations takes a host's key off the LUN, and the host runs on, with QEMUs that the
 * LUN refuses. Its key may come back only when none of them can be left: after the host's next
 * start, before the first volume is attached. So this does something until a volume has been
 * attached in this start of the host, however often the daemon is started; a host that was fenced
 * since stays out. A fence that comes late, for its life of before, is undone so.
 *
 * What to do is said where the others find how to fence it (drivers/fence-agent.h): the levels with
 * unfence=yes of its own NODE.conf. Where that comes or changes while volumes are attached, it is
 * left for the next start.
 *
 * A missing key of another host proves that it is cut off only while the LUN has a reservation: who
 * was let in at this start, with what its file says now, has seen to that.
 *
 * Any thread; blocks for as long as the agents may. node: this one.
 */

/* TRUE: nothing is to be done, nothing may be done any more at this start of the host, or it is
 * done now. */
gboolean mig_unfence(const MigConfig *config, const char *node, GError **error);

/* To be called before VMs can run on a volume that is being attached. */
gboolean mig_unfence_note_attached(const MigConfig *config, GError **error);

/* Own levels (GPtrArray of MigFenceLevel) where this host was let in by them, as they are, at this
 * start; NULL: it was not. */
GPtrArray *mig_unfence_done(const MigConfig *config, const char *node);
