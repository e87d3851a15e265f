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

/* Who has the VM's lease is alone with it: nobody can start it, on any node, by any tool. Its slot
 * is freed while the lease is held, then the lease is left under a name that no VM has. Killed in
 * between, sanlock frees a lease that nobody asks for; the other way round a VM would be left that
 * cannot start. */
static gboolean
take_off(MigCatalog *catalog, guint32 slot, const char *name, GError **error)
{
    MigCsv *csv = mig_attached_csv(catalog->attached);
    MigSanlock *sanlock = catalog->daemon->sanlock;
    g_autoptr(MigLease) lease = mig_csv_vm_lease(csv, slot, name);
    g_autoptr(GError) local = NULL;

    /* cut short by an earlier version: nobody can take it */
    if (mig_csv_vm_lease_is_named(csv, slot, FREE_LEASE))
        return mig_csv_vm_delete(csv, &catalog->epoch, name, error);
    if (!mig_sanlock_acquire(sanlock, lease, &local)) {
        if (g_error_matches(local, MIG_ERROR, MIG_ERROR_LEASE_HELD))
            g_set_error(error, MIG_ERROR, MIG_ERROR_VM_RUNNING,
                        "%s runs, or its last node is not known to be dead; stop it first: "
                        "'migratectl vm stop %s'",
                        name, name);
        else
            g_propagate_error(error, g_steal_pointer(&local));
        return FALSE;
    }
    if (!mig_csv_vm_delete_held(csv, &catalog->epoch, name, error)) {
        mig_sanlock_release(sanlock, lease, NULL);
        return FALSE;
    }
    if (!mig_sanlock_release_renamed(sanlock, lease, FREE_LEASE, &local))
        g_warning("the lease of VM %s, which is gone, is left: %s", name, local->message);
    return TRUE;
}

/* The VM that this request makes: asked for again it is the same one. */
static MigVm *
vm_of(const MigPeerChangeRequest *request, const MigDefinition *definition)
{
    MigVm *vm = g_new0(MigVm, 1);

    vm->name = g_strdup(definition->name);
    vm->uuid = g_ascii_strdown(definition->uuid ? definition->uuid : request->id, -1);
    vm->memory_bytes = definition->memory_bytes;
    vm->vcpus = definition->vcpus;
    vm->priority = 500;
    vm->definition = g_strdup(request->xml);
    return vm;
}

/* Is it on the LUN still? Not where it was undefined since, though another one of its name may be
 * there. */
static gboolean
look_for(MigCsv *csv, const MigVm *vm, gboolean *is_there, GError **error)
{
    g_autoptr(GError) local = NULL;
    g_autoptr(MigVm) found = mig_csv_vm(csv, vm->name, &local);

    if (!found && !g_error_matches(local, MIG_ERROR, MIG_ERROR_VM_UNKNOWN)) {
        g_propagate_error(error, g_steal_pointer(&local));
        return FALSE;
    }
    *is_there = found && g_ascii_strcasecmp(found->uuid, vm->uuid) == 0 &&
                g_strcmp0(found->definition, vm->definition) == 0;
    return TRUE;
}

static gboolean
assign_images(MigCatalog *catalog, const MigDefinition *definition, GError **error)
{
    for (guint i = 0; definition->images[i]; i++) {
        if (!mig_csv_image_assign(mig_attached_csv(catalog->attached), &catalog->epoch,
                                  strchr(definition->images[i], '/') + 1, definition->name, error))
            return FALSE;
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
    g_autoptr(GError) failed = NULL;
    gboolean is_made = FALSE;

    if (!definition || !check_definition(definition, volume, error))
        return FALSE;
    reply->name = g_strdup(definition->name);
    vm = vm_of(request, definition);
    if (is_begun && !look_for(csv, vm, &is_made, error))
        return FALSE;
    if (is_begun && !is_made) {
        /* undefined since, and what has its name is another request's, which is not touched */
        if (!mig_csv_request_is_undone(csv, request->id))
            return TRUE;
        is_begun = FALSE; /* taken back, for it was refused further on: judged anew */
    }
    if (!is_begun && (!is_name_free(catalog->daemon, definition->name, error) ||
                      !check_images(csv, definition, error) ||
                      !mig_csv_vm_create(csv, &catalog->epoch, vm, error)))
        return FALSE;
    /* killed here: a VM whose images have no owner yet. The asker asks the next coordinator, which
     * goes on from here; its start takes them else, or is refused where another VM has been given
     * one meanwhile */
    if (assign_images(catalog, definition, &failed))
        return TRUE;
    /* One that was made before may have been started since, or have data on its other disks: it
     * stays. One that is no coordinator any more leaves what it has to its successor. */
    if (is_begun)
        g_prefix_error(&failed, "VM %s is defined, and has not got all of its disks: ", vm->name);
    else if (!g_error_matches(failed, MIG_ERROR, MIG_ERROR_COORDINATOR_BUSY))
        take_off(catalog, vm->slot, vm->name, NULL);
    g_propagate_error(error, g_steal_pointer(&failed));
    return FALSE;
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

/* uuids: which image had that name when it was asked for, or NULL where the asker does not say.
 * Between two tries somebody may have made another one of its name. */
static gboolean
delete_images(MigCatalog *catalog, char **images, char **uuids, GError **error)
{
    MigCsv *csv = mig_attached_csv(catalog->attached);
    guint known = uuids ? g_strv_length(uuids) : 0;

    for (guint i = 0; images && images[i]; i++) {
        g_autoptr(GError) local = NULL;
        g_autoptr(MigImage) image = mig_csv_image(csv, images[i], &local);

        if (g_error_matches(local, MIG_ERROR, MIG_ERROR_IMAGE_UNKNOWN))
            continue; /* deleted by an earlier try */
        if (!image) {
            g_propagate_error(error, g_steal_pointer(&local));
            return FALSE;
        }
        if (i < known && g_ascii_strcasecmp(image->uuid, uuids[i]) != 0)
            continue;
        if (*image->owner) /* not ours: another VM has it */
            continue;
        if (!mig_csv_image_delete(csv, &catalog->epoch, images[i], error))
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

static gboolean
remove_vm(MigCatalog *catalog, const MigPeerChangeRequest *request, GError **error)
{
    g_autoptr(MigVmView) view =
        mig_vm_find_on(catalog->daemon, catalog->attached, request->name, error);

    if (!view)
        return FALSE;
    if (request->uuid && g_ascii_strcasecmp(view->vm->uuid, request->uuid) != 0) {
        g_set_error(error, MIG_ERROR, MIG_ERROR_VM_UNKNOWN,
                    "VM %s is another one by now: somebody has undefined and defined it; look at "
                    "it, then try again",
                    view->vm->name);
        return FALSE;
    }
    return check_stopped(view, error) && take_off(catalog, view->vm->slot, view->vm->name, error);
}

/* The images are told by who asks: once the VM is gone nothing else tells them. */
gboolean
mig_vm_run_undefine(MigCatalog *catalog, const MigPeerChangeRequest *request, gboolean is_begun,
                    MigPeerChangeReply *reply, GError **error)
{
    /* begun, and a VM of that name: another one, made since */
    return (is_begun || remove_vm(catalog, request, error)) &&
           delete_images(catalog, request->images, request->uuids, error);
}

/* Those of its definition that are there, on its home volume: where an adoption was cut short, not
 * all are made. */
static gboolean
list_images(const MigVmView *view, char ***names, char ***uuids, GError **error)
{
    g_autoptr(MigDefinition) definition = mig_definition_parse(view->vm->definition, NULL);
    g_autoptr(GStrvBuilder) name_list = g_strv_builder_new();
    g_autoptr(GStrvBuilder) uuid_list = g_strv_builder_new();

    for (guint i = 0; definition && definition->images[i]; i++) {
        g_autoptr(GError) local = NULL;
        g_autoptr(MigImage) image = mig_csv_image(mig_attached_csv(view->attached),
                                                  strchr(definition->images[i], '/') + 1, &local);

        if (image) {
            g_strv_builder_add(name_list, image->name);
            g_strv_builder_add(uuid_list, image->uuid);
        } else if (!g_error_matches(local, MIG_ERROR, MIG_ERROR_IMAGE_UNKNOWN)) {
            g_propagate_error(error, g_steal_pointer(&local));
            return FALSE;
        }
    }
    *names = g_strv_builder_end(name_list);
    *uuids = g_strv_builder_end(uuid_list);
    return TRUE;
}

gboolean
mig_vm_undefine(MigDaemon *daemon, const char *name, gboolean with_images, GError **error)
{
    g_autoptr(MigVmView) view = mig_vm_find(daemon, name, error);
    g_auto(GStrv) images = NULL;
    g_auto(GStrv) uuids = NULL;
    MigPeerChangeRequest change = {.change = (char *)"vm-undefine", .name = (char *)name};
    g_autoptr(MigPeerChangeReply) reply = NULL;

    if (!view || !check_stopped(view, error) ||
        (with_images && !list_images(view, &images, &uuids, error)))
        return FALSE;
    change.uuid = view->vm->uuid;
    change.images = images;
    change.uuids = uuids;
    reply = mig_change(daemon, view->attached, &change, error);
    return reply != NULL;
}
