/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* signs.h - signs of life of the other nodes, apart from the disk: pings and their daemons'
 * answers. */
#pragma once

#include "core/failover.h"
#include "daemon.h"

/*
 * Each node of an attached volume is pinged once a second on its management and migration
 * addresses, and its daemon is asked something. What counts is when an answer came last, by our
 * clock; and nothing that was not asked for can be missing: after a gap in our own work (stopped,
 * frozen, starved) all ages begin anew.
 */

MigSigns *mig_signs_new(MigDaemon *daemon);
/* Starts asking, for as long as the process lives. */
void mig_signs_start(MigSigns *signs);

typedef struct {
    gint64 peer_ms, management_ms, migration_ms; /* see MigEvidence */
    gint volumes;
} MigSignAges;
void mig_signs_ages(MigSigns *signs, const char *node, MigSignAges *ages);
/* Its daemon has said that it writes its heartbeat on that volume (uuid), where the LUN that is
 * seen here, read this moment, has had none that is younger than heartbeat: two LUNs, one a copy.
 * Stays so until another heartbeat is seen here. */
gboolean
mig_signs_is_elsewhere(MigSigns *signs, const char *node, const char *uuid, guint64 heartbeat);
/* By answers alone: a gap in our own work begins none of these anew. */
void mig_signs_heard(MigSigns *signs, const char *node, MigHeard *heard);
/* Since when this node has watched without a gap. */
gint64 mig_signs_watched_ms(MigSigns *signs);
