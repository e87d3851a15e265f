/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* members.h - nodes go: this one by itself, a dead one by another's word. */
#pragma once

#include "daemon.h"

/* Detaches all volumes, frees this node's slots, forgets its key and what the configuration says
 * of it. MIG_ERROR_VOLUME_IN_USE while VMs run here. Killed on the way: it is still a node, of
 * fewer volumes, and leaves when asked again; its configuration goes last. */
gboolean mig_members_leave(MigDaemon *daemon, GError **error);

/* Frees the slots of a node that can't come back, under each volume's registry lease.
 * MIG_ERROR_NODE_ALIVE while it may live: on any volume its heartbeat moves, or sanlock has not yet
 * called its host dead. From then on nobody takes it for a node, nor does itself, should it come
 * back: see attached.c. */
gboolean mig_members_remove(MigDaemon *daemon, const char *name, GError **error);
