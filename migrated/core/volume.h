/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* volume.h - port: what a move needs from the volume. */
#pragma once

#include "core/types.h"

/* All calls block, and may be made from any worker thread. */
typedef struct {
    gpointer self;
    /* "volume/image" each; all or none. */
    gboolean (*activate)(gpointer self, const char *const *images, GError **error);
    /* Not active is fine. */
    gboolean (*deactivate)(gpointer self, const char *const *images, GError **error);
    /* Which node has a VM's lease by the leader record on the LUN; *node NULL where it is free or
     * its owner's start is over, g_free(). *version: one more each time that somebody takes it.
     * *is_last_here: it was this host that took it last, whether it has it still or not. */
    gboolean (*lease_owner)(gpointer self, const char *volume, guint32 slot, char **node,
                            guint64 *version, gboolean *is_last_here, GError **error);
    /* Writes this node's slot now, with what runs here. */
    gboolean (*publish)(gpointer self, const char *volume, GError **error);
} MigVolumePort;
