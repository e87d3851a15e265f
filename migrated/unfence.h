/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* unfence.h - a host that was cut off from its LUNs by a fence is let in again: once each start. */
#pragma once

#include "base/config.h"

/*
 * A fence by reservations takes a host's key off the LUN, and the host runs on, with QEMUs that the
 * LUN refuses. Its key may come back only when none of them can be left: after the host's next
 * start, before the first volume is attached. So what this does is done once for each start of the
 * host, however often the daemon is started; a host that was fenced since stays out.
 *
 * What to do is said where the others find how to fence it (drivers/fence-agent.h): the levels with
 * unfence=yes of its own NODE.conf. Any thread; blocks for as long as the agents may.
 */

/* node: this one. TRUE: nothing is to be done, it was done at this start of the host, or it is now.
 */
gboolean mig_unfence(const MigConfig *config, const char *node, GError **error);
