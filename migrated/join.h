/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* join.h - how a node comes into a cluster: host id, slot, addresses, configuration. */
#pragma once

#include "base/config.h"
#include "drivers/lease-sanlock.h"

/*
 * Several nodes may join at the same instant. sanlock's delta lease of a host id is the arbiter:
 * two hosts never have one at the same time. So a joining node takes a host id that no slot uses,
 * drawn by lot, and draws again where another host is quicker. As the holder of a host id it can
 * take the registry lease, and under that it looks for the second time and writes its slot: names
 * and slots are unique.
 *
 * Killed on the way: sanlock still has the host id, and perhaps there is a slot with this node's
 * name. Joining again finds both and goes on with them.
 */

/* What is asked for; members may be NULL but device. */
typedef struct {
    const char *device, *node, *management, *migration;
} MigJoinWish;

typedef struct {
    char *node, *volume, *management, *migration;
    guint32 host_id;
} MigJoined;

void mig_joined_free(MigJoined *joined);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(MigJoined, mig_joined_free)

/* Are name and addresses such as a first node can have? Before anything is formatted. */
gboolean mig_join_is_sound(const MigConfig *config, const MigJoinWish *wish, GError **error);

/* Comes into the lockspace, takes a slot, writes config_path and what is to be attached at the next
 * start. config: defaults, or what an unfinished file says. On failure nothing is left behind but,
 * perhaps, links to the LUN. Blocks for some I/O timeouts; one call at a time. */
MigJoined *mig_join(const MigConfig *config, const char *config_path, MigSanlock *sanlock,
                    const MigJoinWish *wish, GError **error);
