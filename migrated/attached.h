/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* attached.h - the life of one attached volume, for volumes.c. */
#pragma once

#include "volumes.h"

/* Takes csv. Links devices, joins the lockspace, publishes this node, starts the heartbeat. */
MigAttached *
mig_attached_start(MigDaemon *daemon, const MigVolumesHooks *hooks, MigCsv *csv, GError **error);
/* Stops the heartbeat; has_left: tells the others that it was on purpose. Idempotent. */
void mig_attached_stop(MigAttached *attached, gboolean has_left);
/* The orderly way out: refused while this node uses the volume; nothing is changed then. */
gboolean mig_attached_leave(MigAttached *attached, GError **error);

/* volumes.c: this host's facts into a slot. */
void mig_volumes_fill_host(MigVolumes *volumes, MigNode *node);
