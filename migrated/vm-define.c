/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vm-define.c - a VM comes onto its home volume, and leaves it. */
#include "vm-actions.h"

#include "base/error.h"
#include "change.h"
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

gboolean
mig_vm_run_define(MigCatalog *catalog, const MigPeerChangeRequest *request, gboolean is_begun,
                  MigPeerChangeReply *reply, GError **error)
{
    MigCsv *csv = mig_attached_csv(catalog->attached);
    const char *volume = mig_attached_name(catalog->attached);
    g_autoptr(MigDefinition) definition =
        mig_definition_parse(request->xml ? request->xml : "", error);
    g_autoptr(MigVm) vm = NULL;

    if (!definition || !check_definition(definition, volume, error))
        return FALSE;
    reply->name = g_strdup(definition->name);
    /* made and taken back, for it was refused further on: judged anew */
    if (is_begun && mig_csv_request_is_undone(csv, request->id))
        is_begun = FALSE;
    if (is_begun) {
        g_autoptr(MigVm) made = mig_csv_vm(csv, definition->name, NULL);

        if (!made) /* made, and undefined by another node since */
            return TRUE;
    } else if (!is_name_free(catalog->daemon, definition->name, error) ||
               !check_images(csv, definition, error)) {
        return FALSE;
    }
    vm = g_new0(MigVm, 1);
    vm->name = g_strdup(definition->name);
    /* asked for again it is the same VM */
    vm->uuid = g_ascii_strdown(definition->uuid ? definition->uuid : request->id, -1);
    vm->memory_bytes = definition->memory_bytes;
    vm->vcpus = definition->vcpus;
    vm->priority = 500;
    vm->definition = g_strdup(request->xml);
    if (!is_begun && !mig_csv_vm_create(csv, &catalog->epoch, vm, error))
        return FALSE;
    /* killed here: a VM whose images have no owner yet. The asker asks the next coordinator, which
     * goes on from here; its start takes them else, or is refused where another VM has been given
     * one meanwhile */
    for (guint i = 0; definition->images[i]; i++) {
        const char *name = strchr(definition->images[i], '/') + 1;
        g_autoptr(GError) failed = NULL;

        if (mig_csv_image_assign(csv, &catalog->epoch, name, vm->name, &failed))
            continue;
        /* one that is no coordinator any more leaves what it has to its successor */
        if (!g_error_matches(failed, MIG_ERROR, MIG_ERROR_COORDINATOR_BUSY))
            mig_csv_vm_delete(csv, &catalog->epoch, vm->name, NULL);
        g_propagate_error(error, g_steal_pointer(&failed));
        return FALSE;
    }
    return TRUE;
}

char *
mig_vm_define(MigDaemon *daemon, const char *volume, const char *xml, const char *request,
              GError **error)
{
    g_autoptr(MigAttached) attached = mig_volumes_get(daemon->volumes, volume, error);
    g_autoptr(MigDefinition) definition = attached ? mig_definition_parse(xml, error) : NULL;
    MigPeerChangeRequest change = {
        .id = (char *)request, .change = (char *)"vm-define", .xml = (char *)xml};
    g_autoptr(MigPeerChangeReply) reply = NULL;

    /* its coordinator may not have the other volumes. With an id it may be there by that very one
     */
    if (definition && check_definition(definition, volume, error) &&
        (request || is_name_free(daemon, definition->name, error)))
        reply = mig_change(daemon, attached, &change, error);
    return reply ? g_strdup(definition->name) : NULL;
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
        g_autoptr(GError) local = NULL;
        g_autoptr(MigImage) image =
            mig_csv_image(mig_attached_csv(catalog->attached), images[i], &local);

        if (g_error_matches(local, MIG_ERROR, MIG_ERROR_IMAGE_UNKNOWN))
            continue; /* not made yet, where an adoption was cut short; or deleted by an earlier try
                       */
        if (!image) {
            g_propagate_error(error, g_steal_pointer(&local));
            return FALSE;
        }
        if (*image->owner) /* not ours: another VM has it */
            continue;
        if (!mig_csv_image_delete(mig_attached_csv(catalog->attached), &catalog->epoch, images[i],
                                  error))
            return FALSE;
    }
    return TRUE;
}

static gboolean
check_stopped(const MigVmView *view, GError **error)
{
    const char *name = view->vm->name;

    if (g_str_equal(view->state, "stopped") || g_str_equal(view->state, "unknown"))
        return TRUE;
    g_set_error(error, MIG_ERROR, MIG_ERROR_VM_RUNNING,
                "%s is %s on %s; stop it first: 'migratectl vm stop %s'", name, view->state,
                view->node ? view->node : "its way", name);
    return FALSE;
}

/* The images are named by who asks: once the VM is gone nothing else tells them. */
gboolean
mig_vm_run_undefine(MigCatalog *catalog, const MigPeerChangeRequest *request, gboolean is_begun,
                    MigPeerChangeReply *reply, GError **error)
{
    g_autoptr(GError) unknown = NULL;
    g_autoptr(MigVmView) view =
        mig_vm_find_on(catalog->daemon, catalog->attached, request->name, &unknown);

    if (!view && !is_begun) {
        g_propagate_error(error, g_steal_pointer(&unknown));
        return FALSE;
    }
    /* begun, and a VM of that name: another one, made since */
    if (!is_begun && (!check_stopped(view, error) || !retire_lease(catalog->daemon, view, error) ||
                      !mig_csv_vm_delete(mig_attached_csv(catalog->attached), &catalog->epoch,
                                         request->name, error)))
        return FALSE;
    return delete_images(catalog, request->images, error);
}

/* Their names on the VM's home volume. */
static char **
images_of(const MigVm *vm)
{
    g_autoptr(MigDefinition) definition = mig_definition_parse(vm->definition, NULL);
    g_autoptr(GStrvBuilder) names = g_strv_builder_new();

    for (guint i = 0; definition && definition->images[i]; i++)
        g_strv_builder_add(names, strchr(definition->images[i], '/') + 1);
    return g_strv_builder_end(names);
}

gboolean
mig_vm_undefine(MigDaemon *daemon, const char *name, gboolean with_images, GError **error)
{
    g_autoptr(MigVmView) view = mig_vm_find(daemon, name, error);
    g_auto(GStrv) images = view && with_images ? images_of(view->vm) : NULL;
    MigPeerChangeRequest change = {
        .change = (char *)"vm-undefine", .name = (char *)name, .images = images};
    g_autoptr(MigPeerChangeReply) reply = NULL;

    if (view && check_stopped(view, error))
        reply = mig_change(daemon, view->attached, &change, error);
    return reply != NULL;
}
