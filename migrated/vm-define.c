/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vm-define.c - a VM comes onto its home volume, and leaves it. */
#include "vm-actions.h"

#include "base/error.h"
#include "catalog.h"
#include "drivers/definition-xml.h"

#include <string.h>

/* Resource name of a lease whose slot is free; no VM can be called so. */
#define FREE_LEASE ".free"

static gboolean
check_definition(const MigDefinition *definition, const char *volume, GError **error)
{
    g_autofree char *prefix = g_strconcat(volume, "/", NULL);

    if (definition->problem) {
        g_set_error(error, MIG_ERROR, MIG_ERROR_BAD_DEFINITION,
                    "definition is not fit for a cluster: %s", definition->problem);
        return FALSE;
    }
    if (definition->leases) {
        g_set_error(error, MIG_ERROR, MIG_ERROR_BAD_DEFINITION,
                    "definition has a <lease> of its own; leave it out, the VM gets one");
        return FALSE;
    }
    for (guint i = 0; definition->images[i]; i++) {
        if (!g_str_has_prefix(definition->images[i], prefix)) {
            g_set_error(
                error, MIG_ERROR, MIG_ERROR_BAD_DEFINITION,
                "disk image %s is not on volume %s, the VM's home; all disks of a VM live on "
                "its home volume",
                definition->images[i], volume);
            return FALSE;
        }
    }
    return TRUE;
}

static gboolean
is_name_free(MigDaemon *daemon, const char *name, GError **error)
{
    g_autoptr(GError) local = NULL;
    g_autoptr(MigVmView) other = mig_vm_find(daemon, name, &local);

    if (other) {
        g_set_error(error, MIG_ERROR, MIG_ERROR_EXISTS,
                    "a VM %s is defined on volume %s already; 'migratectl vm undefine' it first",
                    name, other->vm->volume);
        return FALSE;
    }
    if (g_error_matches(local, MIG_ERROR, MIG_ERROR_VM_UNKNOWN))
        return TRUE;
    g_propagate_error(error, g_steal_pointer(&local));
    return FALSE;
}

/* All images are there and free, seen before anything is written. */
static gboolean
check_images(MigCsv *csv, const MigDefinition *definition, GError **error)
{
    for (guint i = 0; definition->images[i]; i++) {
        const char *name = strchr(definition->images[i], '/') + 1;
        g_autoptr(MigImage) image = mig_csv_image(csv, name, error);

        if (!image)
            return FALSE;
        if (*image->owner && !image->is_shared && g_strcmp0(image->owner, definition->name) != 0) {
            g_set_error(error, MIG_ERROR, MIG_ERROR_IMAGE_IN_USE,
                        "image %s belongs to VM %s already; one VM, one disk", name, image->owner);
            return FALSE;
        }
    }
    return TRUE;
}

char *
mig_vm_define(MigDaemon *daemon, const char *volume, const char *xml, GError **error)
{
    g_autoptr(MigAttached) attached = mig_volumes_get(daemon->volumes, volume, error);
    g_autoptr(MigDefinition) definition = attached ? mig_definition_parse(xml, error) : NULL;
    g_autoptr(MigCatalog) catalog = NULL;
    g_autoptr(MigVm) vm = NULL;

    if (!definition || !check_definition(definition, volume, error))
        return NULL;
    catalog = mig_catalog_begin(daemon, attached, error);
    if (!catalog || !is_name_free(daemon, definition->name, error) ||
        !check_images(mig_attached_csv(attached), definition, error))
        return NULL;
    vm = g_new0(MigVm, 1);
    vm->name = g_strdup(definition->name);
    vm->uuid = definition->uuid ? g_ascii_strdown(definition->uuid, -1) : g_uuid_string_random();
    vm->memory_bytes = definition->memory_bytes;
    vm->vcpus = definition->vcpus;
    vm->priority = 500;
    vm->definition = g_strdup(xml);
    if (!mig_csv_vm_create(mig_attached_csv(attached), &catalog->epoch, vm, error))
        return NULL;
    /* killed here: a VM whose images have no owner yet. Its start takes them, or is refused where
     * another VM has been given one meanwhile */
    for (guint i = 0; definition->images[i]; i++) {
        const char *name = strchr(definition->images[i], '/') + 1;

        if (!mig_csv_image_assign(mig_attached_csv(attached), &catalog->epoch, name, vm->name,
                                  error)) {
            mig_csv_vm_delete(mig_attached_csv(attached), &catalog->epoch, vm->name, NULL);
            return NULL;
        }
    }
    return g_strdup(vm->name);
}

/* ---- undefine ---- */

/* Takes the VM's lease and leaves it under a name that no VM has: from then on nobody can start it,
 * on any node, by any tool. Done before, by a try that was cut short: fine. */
static gboolean
retire_lease(MigDaemon *daemon, const MigVmView *view, GError **error)
{
    g_autoptr(MigLease) lease =
        mig_csv_vm_lease(mig_attached_csv(view->attached), view->vm->slot, view->vm->name);
    g_autoptr(GError) local = NULL;

    if (mig_csv_vm_lease_is_named(mig_attached_csv(view->attached), view->vm->slot, FREE_LEASE))
        return TRUE;
    if (!mig_sanlock_acquire(daemon->sanlock, lease, &local)) {
        if (g_error_matches(local, MIG_ERROR, MIG_ERROR_LEASE_HELD))
            g_set_error(error, MIG_ERROR, MIG_ERROR_VM_RUNNING,
                        "%s runs, or its last node is not known to be dead; stop it first: "
                        "'migratectl vm stop %s'",
                        view->vm->name, view->vm->name);
        else
            g_propagate_error(error, g_steal_pointer(&local));
        return FALSE;
    }
    return mig_sanlock_release_renamed(daemon->sanlock, lease, FREE_LEASE, error);
}

static gboolean
delete_images(MigCatalog *catalog, char **images, GError **error)
{
    for (guint i = 0; images && images[i]; i++) {
        const char *name = strchr(images[i], '/') + 1;
        g_autoptr(GError) local = NULL;
        g_autoptr(MigImage) image =
            mig_csv_image(mig_attached_csv(catalog->attached), name, &local);

        if (g_error_matches(local, MIG_ERROR, MIG_ERROR_IMAGE_UNKNOWN))
            continue; /* not made yet, where an adoption was cut short */
        if (!image) {
            g_propagate_error(error, g_steal_pointer(&local));
            return FALSE;
        }
        if (*image->owner) /* not ours: another VM has it */
            continue;
        if (!mig_csv_image_delete(mig_attached_csv(catalog->attached), &catalog->epoch, name,
                                  error))
            return FALSE;
    }
    return TRUE;
}

gboolean
mig_vm_undefine(MigDaemon *daemon, const char *name, gboolean with_images, GError **error)
{
    g_autoptr(MigVmView) view = mig_vm_find(daemon, name, error);
    g_autoptr(MigCatalog) catalog = NULL;
    g_autoptr(MigDefinition) definition = NULL;

    if (!view)
        return FALSE;
    if (!g_str_equal(view->state, "stopped") && !g_str_equal(view->state, "unknown")) {
        g_set_error(error, MIG_ERROR, MIG_ERROR_VM_RUNNING,
                    "%s is %s on %s; stop it first: 'migratectl vm stop %s'", name, view->state,
                    view->node ? view->node : "its way", name);
        return FALSE;
    }
    catalog = mig_catalog_begin(daemon, view->attached, error);
    if (!catalog || !retire_lease(daemon, view, error) ||
        !mig_csv_vm_delete(mig_attached_csv(view->attached), &catalog->epoch, name, error))
        return FALSE;
    definition = mig_definition_parse(view->vm->definition, NULL);
    return !with_images || !definition || delete_images(catalog, definition->images, error);
}
