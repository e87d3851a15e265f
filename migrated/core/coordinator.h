/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* coordinator.h - which node coordinates which volume, where one stays (role.h): pure rules. */
#pragma once

#include <glib.h>

/*
 * Each node decides by itself, from what all of them see: who has the coordinator leases. So the
 * rules give each node the same answer, and where views differ for a moment sanlock decides: one
 * lease, one owner.
 *
 * No node coordinates two volumes more than another one that could have one of them: then one goes
 * over. A difference of one stays, so nothing goes to and fro.
 */
typedef struct {
    const char *name;
    guint32 host_id;
    gboolean is_usable;   /* is up, is to stay, has the volume attached */
    guint volumes;        /* that it coordinates now */
    gboolean is_draining; /* not usable, but up: for want of any other one */
} MigCoordinatorNode;

/* How many come before this node when a volume has no coordinator: those that coordinate less, and
 * of equals those of lower host ids. One that drains comes behind all that are usable. -1: it is
 * neither, or not there. */
gint mig_coordinator_rank(const MigCoordinatorNode *nodes, guint count, const char *name);

/* To whom its coordinator hands a volume. NULL: to nobody. One that is not usable hands all of its
 * volumes over. Of the usable ones only that which has most hands one over, of equals that of the
 * lowest host id, and to that which has least, where that has two less. */
const char *
mig_coordinator_surplus(const MigCoordinatorNode *nodes, guint count, const char *coordinator);

/* What its holder knows of its volume when a heartbeat does not come in time. */
typedef struct {
    gboolean has_failed;  /* the last heartbeat: the LUN does not answer */
    gboolean is_late;     /* the one under way: it may not answer */
    gboolean is_changing; /* a change of the catalogue is under way */
    gint64 left_ms;       /* for so long nobody else can have the lease */
    guint lease_ms;       /* which that is at most: mig_timeouts_lease_ms() */
} MigCoordinatorBeat;

/* Is the role to be given up for that? An idle one is at once: sanlock would end the process that
 * holds it. A change that zeroes much makes heartbeats late by itself, and would never come to its
 * end if each node that tries gave up for it: so it goes on until the last quarter of the time. */
gboolean mig_coordinator_gives_up(const MigCoordinatorBeat *beat);
