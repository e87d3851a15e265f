/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* adopt-live.c - a running domain gets its lease, and its disks move under it. */
#include "adopt-private.h"

#include "base/error.h"
#include "vms.h"

#include <string.h>

#define LOOK_MS 250

/* libvirt's sanlock driver says yes to a lease for a QEMU that sanlock does not know, which is one
 * started before that driver was configured: so the LUN is asked. Nobody else can have taken it,
 * the VM is new and its definition cannot be started. */
static gboolean
give_lease(MigAdopt *adopt, GError **error)
{
    MigLeaseOwner owner = {0};
    const char *name = adopt->plan->name, *uuid = adopt->plan->uuid;

    if (!mig_libvirt_local_lease(adopt->daemon->libvirt, name, uuid, adopt->lease, TRUE, error) ||
        !mig_csv_vm_lease_owner(mig_attached_csv(adopt->attached), adopt->slot, &owner, error))
        return FALSE;
    if (owner.host_id == adopt->daemon->host_id)
        return TRUE;
    g_set_error(error, MIG_ERROR, MIG_ERROR_LEASE_HELD,
                "the QEMU of %s cannot get a lease while it runs: it was started before libvirt "
                "here used sanlock; shut %s down, and adopt it then (or start it again first: "
                "'virsh start')",
                name, name);
    return FALSE;
}

static gboolean
start_copies(MigAdopt *adopt, GError **error)
{
    for (guint i = 0; i < adopt->plan->disks->len; i++) {
        const MigAdoptDisk *disk = mig_adopt_disk(adopt, i);
        g_autofree char *device = NULL;

        if (!mig_csv_activate(mig_attached_csv(adopt->attached), mig_adopt_image(disk), TRUE,
                              &device, error) ||
            !mig_libvirt_copy_start(adopt->daemon->libvirt, adopt->plan->name, adopt->plan->uuid,
                                    disk->target, device, error))
            return FALSE;
    }
    return TRUE;
}

/* One look at all: *is_ready when all are equal. */
static gboolean
look(MigAdopt *adopt, gboolean *is_ready, GError **error)
{
    guint64 done_bytes = 0;

    *is_ready = TRUE;
    for (guint i = 0; i < adopt->plan->disks->len; i++) {
        const MigAdoptDisk *disk = mig_adopt_disk(adopt, i);
        MigDiskCopy copy = MIG_DISK_COPY_NONE;
        guint64 bytes = 0;

        if (!mig_libvirt_copy_look(adopt->daemon->libvirt, adopt->plan->name, adopt->plan->uuid,
                                   disk->target, &copy, &bytes, error))
            return FALSE;
        if (copy == MIG_DISK_COPY_NONE) {
            g_set_error(error, MIG_ERROR, MIG_ERROR_IO,
                        "the copy of disk %s of %s has ended early: %s or the LUN may have failed "
                        "to read or write; see libvirt's log of the domain",
                        disk->target, adopt->plan->name, disk->path);
            return FALSE;
        }
        *is_ready &= copy == MIG_DISK_COPY_READY;
        done_bytes += MIN(bytes, adopt->sizes[i]);
    }
    mig_adopt_progress(done_bytes, 0, adopt);
    return TRUE;
}

gboolean
mig_adopt_live_copy(MigAdopt *adopt, GError **error)
{
    gboolean is_ready = FALSE;

    if (!give_lease(adopt, error) || !start_copies(adopt, error))
        return FALSE;
    for (;;) {
        if (mig_adopt_is_cancelled(adopt, error) || !look(adopt, &is_ready, error))
            return FALSE;
        if (is_ready)
            return TRUE;
        g_usleep(LOOK_MS * 1000);
    }
}

gboolean
mig_adopt_live_change(MigAdopt *adopt, gboolean *has_begun, GError **error)
{
    for (guint i = 0; i < adopt->plan->disks->len; i++) {
        const MigAdoptDisk *disk = mig_adopt_disk(adopt, i);

        if (!mig_libvirt_copy_end(adopt->daemon->libvirt, adopt->plan->name, adopt->plan->uuid,
                                  disk->target, TRUE, error))
            return FALSE;
        *has_begun = TRUE;
    }
    return TRUE;
}

gboolean
mig_adopt_live_undo(MigAdopt *adopt, GError **error)
{
    const MigHv *hv = adopt->daemon->hv;
    MigLibvirt *libvirt = adopt->daemon->libvirt;
    const char *name = adopt->plan->name, *uuid = adopt->plan->uuid;
    MigDomainState state = MIG_DOMAIN_UNKNOWN;

    if (hv->get_state(hv->self, name, uuid, &state, NULL) && state == MIG_DOMAIN_ABSENT)
        return TRUE; /* its copies and its lease went with it */
    for (guint i = 0; i < adopt->plan->disks->len; i++) {
        const char *target = mig_adopt_disk(adopt, i)->target;
        MigDiskCopy copy = MIG_DISK_COPY_NONE;

        if (!mig_libvirt_copy_look(libvirt, name, uuid, target, &copy, NULL, error) ||
            (copy != MIG_DISK_COPY_NONE &&
             !mig_libvirt_copy_end(libvirt, name, uuid, target, FALSE, error))) {
            g_prefix_error(error, "the copy of disk %s of %s may go on: ", target, name);
            return FALSE;
        }
    }
    mig_libvirt_local_lease(libvirt, name, uuid, adopt->lease, FALSE, NULL); /* it may have none */
    return TRUE;
}
