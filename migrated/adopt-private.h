/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* adopt-private.h - what the files of adoption share. */
#pragma once

#include "adopt.h"
#include "drivers/definition-adopt.h"
#include "drivers/hv-libvirt-local.h"

#include <string.h>

typedef struct {
    MigDaemon *daemon;
    MigAttached *attached;
    MigLocalDomain *local;
    MigAdoption *plan;
    const MigCopyHooks *hooks;
    guint32 slot;
    MigLease *lease;
    guint64 *sizes; /* of plan->disks */
    guint64 total_bytes;
    guint64 base_bytes; /* of disks that are through */
} MigAdopt;

static inline const MigAdoptDisk *
mig_adopt_disk(const MigAdopt *adopt, guint i)
{
    return g_ptr_array_index(adopt->plan->disks, i);
}

static inline const char *
mig_adopt_image(const MigAdoptDisk *disk)
{
    return strchr(disk->image, '/') + 1;
}

static inline gboolean
mig_adopt_is_running(const MigAdopt *adopt)
{
    return adopt->local->state == MIG_DOMAIN_RUNNING;
}

/* adopt-check.c: sizes become known, and what is wrong is said before anything is touched */
gboolean mig_adopt_check(MigAdopt *adopt, GError **error);

gboolean mig_adopt_is_cancelled(const MigAdopt *adopt, GError **error);
void mig_adopt_progress(guint64 done_bytes, guint64 total_bytes, gpointer user_data);
/* adopt-claim.c */

/* File that has the old definition. g_free() */
char *mig_adopt_backup_path(const MigDaemon *daemon, const char *name);
/* The VM's slot and its empty images. *is_claimed: there is something to take back. */
gboolean mig_adopt_claim(MigAdopt *adopt, gboolean *is_claimed, GError **error);
/* The volume is as it was. Refused while somebody has the VM's lease: who has it uses its images.
 */
gboolean mig_adopt_unclaim(MigAdopt *adopt, GError **error);
/* The turn: what starts from now on is the VM. */
gboolean mig_adopt_turn(MigAdopt *adopt, GError **error);
/* FALSE, and logged: it is still turned. */
gboolean mig_adopt_turn_back(MigAdopt *adopt);
/* The cluster may start it. */
gboolean mig_adopt_commit(MigAdopt *adopt, const char *xml, gboolean wants_running, guint32 host_id,
                          GError **error);

/* adopt-stopped.c: from copy to commit. *is_past: the turn has been made, and not taken back */
gboolean mig_adopt_stopped(MigAdopt *adopt, gboolean *is_past, GError **error);

/* adopt-live.c: the domain runs */

/* Its QEMU gets the lease, and its disks are copied until they are equal. */
gboolean mig_adopt_live_copy(MigAdopt *adopt, GError **error);
/* It goes on with the images alone. *has_begun: there is no way back. */
gboolean mig_adopt_live_change(MigAdopt *adopt, gboolean *has_begun, GError **error);
/* Ends copies and takes the lease back, as far as there are any. FALSE: a copy may go on, and QEMU
 * keeps the lease, by which everybody sees that its images are written to. */
gboolean mig_adopt_live_undo(MigAdopt *adopt, GError **error);
