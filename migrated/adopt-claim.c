/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* adopt-claim.c - what an adoption puts on the volume and into libvirt, and takes back. */
#include "adopt-private.h"

#include "base/error.h"
#include "base/io.h"
#include "catalog.h"
#include "drivers/definition-disks.h"
#include "drivers/definition-xml.h"

#define BACKUP_DIR "adopted"

char *
mig_adopt_backup_path(const MigDaemon *daemon, const char *name)
{
    g_autofree char *file = g_strconcat(name, ".xml", NULL);

    return g_build_filename(daemon->config->state_dir, BACKUP_DIR, file, NULL);
}

static gboolean
back_up(const MigAdopt *adopt, GError **error)
{
    g_autofree char *path = mig_adopt_backup_path(adopt->daemon, adopt->plan->name);
    g_autofree char *dir = g_path_get_dirname(path);

    return mig_io_make_dir(dir, 0700, error) &&
           mig_io_write_file(path, adopt->local->xml, strlen(adopt->local->xml), 0600, error);
}

static gboolean
are_names_free(MigAdopt *adopt, GError **error)
{
    MigCsv *csv = mig_attached_csv(adopt->attached);

    for (guint i = 0; i < adopt->plan->disks->len; i++) {
        const char *name = mig_adopt_image(mig_adopt_disk(adopt, i));
        g_autoptr(GError) local = NULL;
        g_autoptr(MigImage) image = mig_csv_image(csv, name, &local);

        if (g_error_matches(local, MIG_ERROR, MIG_ERROR_IMAGE_UNKNOWN))
            continue;
        if (local)
            g_propagate_error(error, g_steal_pointer(&local));
        else
            g_set_error(error, MIG_ERROR, MIG_ERROR_EXISTS,
                        "volume %s has an image %s already, which is what a disk of %s would be "
                        "called; delete it ('migratectl image delete'), or take another volume",
                        image->volume, name, adopt->plan->name);
        return FALSE;
    }
    return TRUE;
}

static gboolean
make_images(MigAdopt *adopt, MigCatalog *catalog, GError **error)
{
    MigCsv *csv = mig_attached_csv(adopt->attached);

    for (guint i = 0; i < adopt->plan->disks->len; i++) {
        const char *name = mig_adopt_image(mig_adopt_disk(adopt, i));
        g_autoptr(MigImage) image =
            mig_csv_image_create(csv, &catalog->epoch, name, adopt->sizes[i], error);

        if (!image)
            return FALSE;
        if (!mig_csv_image_assign(csv, &catalog->epoch, name, adopt->plan->name, error)) {
            mig_csv_image_delete(csv, &catalog->epoch, name, NULL);
            return FALSE;
        }
    }
    return TRUE;
}

/* All under one coordinator lease: names that were free are free. */
gboolean
mig_adopt_claim(MigAdopt *adopt, gboolean *is_claimed, GError **error)
{
    MigCsv *csv = mig_attached_csv(adopt->attached);
    g_autoptr(MigCatalog) catalog = mig_catalog_begin(adopt->daemon, adopt->attached, error);
    g_autoptr(MigVm) vm = g_new0(MigVm, 1);

    if (!catalog || !are_names_free(adopt, error))
        return FALSE;
    vm->name = g_strdup(adopt->plan->name);
    vm->uuid = g_strdup(adopt->plan->uuid);
    vm->memory_bytes = adopt->plan->memory_bytes;
    vm->vcpus = adopt->plan->vcpus;
    vm->priority = 500;
    vm->definition = mig_definition_lock(adopt->plan->xml, error);
    if (!vm->definition || !mig_csv_vm_create(csv, &catalog->epoch, vm, error))
        return FALSE;
    *is_claimed = TRUE;
    adopt->slot = vm->slot;
    adopt->lease = mig_csv_vm_lease(csv, vm->slot, vm->name);
    return back_up(adopt, error) && make_images(adopt, catalog, error);
}

static void
deactivate(MigAdopt *adopt)
{
    for (guint i = 0; i < adopt->plan->disks->len; i++)
        mig_csv_deactivate(mig_attached_csv(adopt->attached),
                           mig_adopt_image(mig_adopt_disk(adopt, i)), NULL, NULL);
}

gboolean
mig_adopt_unclaim(MigAdopt *adopt, GError **error)
{
    g_autofree char *path = mig_adopt_backup_path(adopt->daemon, adopt->plan->name);
    MigLeaseOwner owner = {0};

    mig_vms_refresh(adopt->daemon->vms);
    if (!mig_csv_vm_lease_owner(mig_attached_csv(adopt->attached), adopt->slot, &owner, error))
        return FALSE;
    if (owner.host_id != 0) {
        g_set_error(error, MIG_ERROR, MIG_ERROR_VM_BUSY,
                    "its QEMU has a lease still, and may be writing to its images");
        return FALSE;
    }
    deactivate(adopt);
    if (!mig_vm_undefine(adopt->daemon, adopt->plan->name, TRUE, error))
        return FALSE;
    mig_io_remove_file(path, NULL);
    return TRUE;
}

/* ---- turn ---- */

gboolean
mig_adopt_turn(MigAdopt *adopt, GError **error)
{
    g_autofree char *whole =
        mig_definition_complete(adopt->plan->xml, adopt->plan->uuid, adopt->lease, error);
    /* its images are active: what was started from it now must find files as files */
    g_autofree char *xml = whole ? mig_definition_fit_disks(whole, error) : NULL;

    return xml && mig_libvirt_local_define(adopt->daemon->libvirt, xml, error);
}

gboolean
mig_adopt_turn_back(MigAdopt *adopt)
{
    g_autofree char *path = mig_adopt_backup_path(adopt->daemon, adopt->plan->name);
    g_autoptr(GError) error = NULL;

    if (mig_libvirt_local_define(adopt->daemon->libvirt, adopt->local->xml, &error))
        return TRUE;
    g_warning("the definition of %s is not what it was; that is in %s: %s", adopt->plan->name, path,
              error->message);
    return FALSE;
}

gboolean
mig_adopt_commit(MigAdopt *adopt, const char *xml, gboolean wants_running, guint32 host_id,
                 GError **error)
{
    MigCsv *csv = mig_attached_csv(adopt->attached);
    g_autoptr(MigCatalog) catalog = mig_catalog_begin(adopt->daemon, adopt->attached, error);
    g_autoptr(MigVm) vm = catalog ? mig_csv_vm(csv, adopt->plan->name, error) : NULL;

    if (!vm)
        return FALSE;
    g_free(vm->definition);
    vm->definition = g_strdup(xml);
    vm->wants_running = wants_running;
    if (wants_running)
        vm->last_host_id = host_id;
    return mig_csv_vm_update(csv, &catalog->epoch, vm, error);
}
