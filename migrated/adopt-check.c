/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* adopt-check.c - what is refused before anything is touched. */
#include "adopt-private.h"

#include "base/error.h"

static gboolean
check_uuid(const MigAdopt *adopt, GError **error)
{
    g_autoptr(GPtrArray) all = mig_vm_list(adopt->daemon, error);

    for (guint i = 0; all && i < all->len; i++) {
        const MigVm *vm = ((const MigVmView *)g_ptr_array_index(all, i))->vm;

        if (g_ascii_strcasecmp(vm->uuid, adopt->plan->uuid) != 0)
            continue;
        g_set_error(error, MIG_ERROR, MIG_ERROR_EXISTS,
                    "VM %s on volume %s has the uuid %s of %s already; give one of them another",
                    vm->name, vm->volume, vm->uuid, adopt->plan->name);
        return FALSE;
    }
    return all != NULL;
}

/* What runs and what would be started next must agree, for the copies are of the one and the
 * definition is of the other. */
static gboolean
check_live_disks(const MigAdopt *adopt, GError **error)
{
    for (guint i = 0; i < adopt->plan->disks->len; i++) {
        const MigAdoptDisk *disk = mig_adopt_disk(adopt, i);
        g_autofree char *path = mig_definition_disk_path(adopt->local->live_xml, disk->target);

        if (g_strcmp0(path, disk->path) == 0)
            continue;
        g_set_error(error, MIG_ERROR, MIG_ERROR_BAD_DEFINITION,
                    "disk %s of %s is %s as it runs, and %s in its definition; stop it, or undo "
                    "that change",
                    disk->target, adopt->plan->name, path ? path : "not there", disk->path);
        return FALSE;
    }
    return TRUE;
}

static gboolean
check_space(MigAdopt *adopt, GError **error)
{
    MigCsv *csv = mig_attached_csv(adopt->attached);
    g_autoptr(MigVolumeInfo) info = mig_csv_info(csv, error);
    guint64 needed_bytes = 0;

    if (!info)
        return FALSE;
    adopt->sizes = g_new0(guint64, adopt->plan->disks->len + 1);
    for (guint i = 0; i < adopt->plan->disks->len; i++) {
        const MigAdoptDisk *disk = mig_adopt_disk(adopt, i);

        if (!(mig_adopt_is_running(adopt)
                  ? mig_libvirt_disk_size(adopt->daemon->libvirt, adopt->plan->name,
                                          adopt->plan->uuid, disk->target, &adopt->sizes[i], error)
                  : mig_qemu_img_size(disk->path, disk->format, &adopt->sizes[i], error)))
            return FALSE;
        adopt->total_bytes += adopt->sizes[i];
        needed_bytes +=
            (adopt->sizes[i] + info->extent_bytes - 1) / info->extent_bytes * info->extent_bytes;
    }
    if (needed_bytes > info->free_bytes) {
        g_autofree char *needed = g_format_size_full(needed_bytes, G_FORMAT_SIZE_IEC_UNITS);
        g_autofree char *there = g_format_size_full(info->free_bytes, G_FORMAT_SIZE_IEC_UNITS);

        g_set_error(error, MIG_ERROR, MIG_ERROR_VOLUME_FULL,
                    "the disks of %s need %s, volume %s has %s free; delete images that nobody "
                    "needs, or take another volume",
                    adopt->plan->name, needed, mig_attached_name(adopt->attached), there);
        return FALSE;
    }
    return TRUE;
}

gboolean
mig_adopt_check(MigAdopt *adopt, GError **error)
{
    if (adopt->plan->leases) {
        g_set_error(error, MIG_ERROR, MIG_ERROR_BAD_DEFINITION,
                    "%s has a <lease> of its own; remove it, the VM gets one", adopt->plan->name);
        return FALSE;
    }
    if (adopt->local->obstacle || adopt->plan->problem) {
        g_set_error(error, MIG_ERROR, MIG_ERROR_BAD_DEFINITION,
                    "%s cannot become a VM of the cluster: %s", adopt->plan->name,
                    adopt->local->obstacle ? adopt->local->obstacle : adopt->plan->problem);
        return FALSE;
    }
    return check_uuid(adopt, error) &&
           (!mig_adopt_is_running(adopt) || check_live_disks(adopt, error)) &&
           check_space(adopt, error);
}
