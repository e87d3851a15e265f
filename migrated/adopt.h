/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* adopt.h - a local libvirt domain of this node becomes a VM of the cluster. */
#pragma once

#include "drivers/qemu-img.h"
#include "vm-actions.h"

/*
 * In this order, so that at each step exactly one of the two, the domain that was or the VM that
 * will be, is whole and can be started, and never both:
 *
 *   claim     the VM's slot on the volume is written, with a definition that no libvirt starts, and
 *             its images are made. Name, uuid and space are taken; the domain is as it was.
 *   lease     of a stopped domain: held by this process. Of a running one: by its QEMU. So nobody
 *             removes the VM or its images while they are filled.
 *   copy      stopped: qemu-img. Running: QEMU itself, until old and new disks are equal; from then
 *             on each write goes to both.
 *   turn      the local definition is replaced by the VM's, with images and lease: whoever starts
 *             the domain from now on, starts the VM. This is the one step that decides.
 *   change    a running QEMU goes on with the images alone
 *   commit    the slot gets the real definition: the cluster may start it
 *   undefine  the local definition is removed; a running VM is transient from then on
 *
 * Cut short before the turn, all is taken back; behind it, the rest is done: at once, or when the
 * daemon starts again, or by the next try. The files of the old disks are never touched.
 */

typedef struct {
    char **old_disks; /* "target: path" each */
    char *definition; /* file with the old definition */
    guint64 total_bytes;
} MigAdopted;

void mig_adopted_clear(MigAdopted *adopted);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(MigAdopted, mig_adopted_clear)

/* volume NULL: the only one that is attached. Blocks for as long as the data take. Progress and
 * cancelling by hooks. */
gboolean mig_vm_adopt(MigDaemon *daemon, const char *domain, const char *volume,
                      const MigCopyHooks *hooks, MigAdopted *adopted, GError **error);
/* For a daemon that has started: what an adoption has left that was cut short on this node is
 * brought to its end, or taken back. Nothing new is begun. Blocks. */
void mig_vm_adopt_rest(MigDaemon *daemon);
