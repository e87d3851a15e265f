/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* image-change.c - rename, clone and grow VM disks. */
#include "images-private.h"

#include "base/error.h"
#include "change.h"
#include "copies.h"
#include "drivers/hv-libvirt-local.h"
#include "jobs.h"
#include "vm-actions.h"

/* ---- rename ---- */

gboolean
mig_image_rename(MigDaemon *daemon, const char *volume, const char *name, const char *new_name,
                 GError **error)
{
    g_autoptr(MigAttached) attached = mig_volumes_get(daemon->volumes, volume, error);
    MigPeerChangeRequest change = {.change = (char *)"image-rename",
                                   .name = (char *)name,
                                   .new_name = (char *)new_name,
                                   .flag = TRUE};
    g_autoptr(MigPeerChangeReply) reply = NULL;
    g_auto(GStrv) meant = NULL;

    if (attached && !mig_images_is_copied(daemon, volume, name, error)) {
        change.uuids = meant = mig_image_meant(attached, name);
        reply = mig_change(daemon, attached, &change, error);
    }
    return reply != NULL;
}

/* ---- clone ---- */

static gboolean
copy(MigDaemon *daemon, MigCsv *csv, const char *from, const char *to, const MigCopyHooks *hooks,
     GError **error)
{
    g_autofree char *from_device = NULL, *to_device = NULL;
    gboolean ok;

    if (!mig_csv_activate(csv, from, FALSE, &from_device, error))
        return FALSE;
    ok = mig_csv_activate(csv, to, TRUE, &to_device, error) &&
         mig_copies_into_image(daemon, mig_csv_name(csv), from_device, "raw", to_device,
                               MIG_COPY_FROM_IMAGE, hooks, error);
    if (!to_device)
        return FALSE;
    return mig_csv_deactivate(csv, to, NULL, ok ? error : NULL) && ok;
}

/* What is zero is not copied: a new image is zero already. */
static gboolean
clone_image(MigDaemon *daemon, MigAttached *attached, const MigImage *image, const char *new_name,
            const MigCopyHooks *hooks, GError **error)
{
    const char *volume = mig_attached_name(attached);
    g_autofree char *half_name = mig_images_half_name(daemon);
    g_autoptr(MigImage) half =
        mig_images_make_half(daemon, attached, half_name, image->size_bytes, error);
    gboolean ok;

    if (!half)
        return FALSE;
    ok = copy(daemon, mig_attached_csv(attached), image->name, half_name, hooks, error) &&
         mig_images_is_unchanged(mig_attached_csv(attached), image, error) &&
         mig_images_finish(daemon, attached, half_name, new_name, error);
    mig_images_end_copying(volume, half_name);
    if (!ok)
        mig_images_drop(daemon, attached, half_name);
    return ok;
}

MigImage *
mig_image_clone(MigDaemon *daemon, const char *volume, const char *name, const char *new_name,
                const MigCopyHooks *hooks, GError **error)
{
    g_autoptr(MigAttached) attached = mig_volumes_get(daemon->volumes, volume, error);
    g_autoptr(MigImage) image =
        attached ? mig_csv_image(mig_attached_csv(attached), name, error) : NULL;
    g_autoptr(MigLease) lease = NULL;
    gboolean ok;

    if (!image || !mig_images_is_free(mig_attached_csv(attached), volume, new_name, error) ||
        mig_images_is_copied(daemon, volume, name, error) ||
        !mig_images_keep_at_rest(daemon, attached, image, &lease, error))
        return NULL;
    mig_images_set_copying(volume, name);
    ok = clone_image(daemon, attached, image, new_name, hooks, error);
    mig_images_end_reading(mig_attached_csv(attached), image);
    if (lease)
        mig_sanlock_release(daemon->sanlock, lease, NULL);
    return ok ? mig_csv_image(mig_attached_csv(attached), new_name, error) : NULL;
}

/* ---- grow ---- */

char *
mig_image_user(MigDaemon *daemon, const char *volume, const char *name)
{
    g_autoptr(MigAttached) attached = mig_volumes_get(daemon->volumes, volume, NULL);
    g_autoptr(MigImage) image =
        attached ? mig_csv_image(mig_attached_csv(attached), name, NULL) : NULL;
    g_autoptr(MigVmView) view =
        image && *image->owner ? mig_vm_find_on(daemon, attached, image->owner, NULL) : NULL;

    return view && !view->is_here ? g_strdup(view->node) : NULL;
}

/* Nobody has it open, or our own QEMU has and can be told. */
static gboolean
may_grow(const MigVmView *view, const MigImage *image, GError **error)
{
    gboolean is_in_use = view && !g_str_equal(view->state, "stopped");

    if (is_in_use && image->is_shared) {
        g_set_error(error, MIG_ERROR, MIG_ERROR_IMAGE_IN_USE,
                    "image %s is shared and in use by %s; stop its VMs first", image->name,
                    view->vm->name);
        return FALSE;
    }
    if (!is_in_use || (view->is_here &&
                       (g_str_equal(view->state, "running") || g_str_equal(view->state, "paused") ||
                        g_str_equal(view->state, "io-error"))))
        return TRUE;
    g_set_error(error, MIG_ERROR, MIG_ERROR_VM_BUSY,
                "image %s is in use by %s, which is %s%s%s; try again when it runs or is stopped",
                image->name, view->vm->name, view->state, view->node ? " on " : "",
                view->node ? view->node : "");
    return FALSE;
}

/* First the catalogue, then the device, then the guest. Cut short in between, it is longer than
 * what the guest knows; the same again goes on from there. */
static MigImage *
grow_held(MigDaemon *daemon, MigAttached *attached, const MigImage *image, guint64 size_bytes,
          GError **error)
{
    MigCsv *csv = mig_attached_csv(attached);
    g_autoptr(MigVmView) view =
        *image->owner ? mig_vm_find_on(daemon, attached, image->owner, error) : NULL;
    MigPeerChangeRequest change = {
        .change = (char *)"image-grow", .name = image->name, .size = (gint64)size_bytes};
    g_autoptr(MigPeerChangeReply) reply = NULL;
    g_autoptr(MigImage) grown = NULL;
    g_autofree char *path = NULL;

    if ((*image->owner && !view) || !may_grow(view, image, error))
        return NULL;
    reply = mig_change(daemon, attached, &change, error);
    grown = reply ? mig_csv_image(csv, image->name, error) : NULL;
    if (!grown)
        return NULL;
    if (view && view->is_here && !g_str_equal(view->state, "stopped") &&
        (!mig_csv_activate(csv, image->name, TRUE, &path, error) ||
         !mig_libvirt_disk_resize(daemon->libvirt, view->vm->name, view->vm->uuid, path,
                                  grown->size_bytes, error))) {
        g_autofree char *both = g_strdup_printf("%s/%s", mig_attached_name(attached), image->name);
        const char *const images[] = {both, NULL};

        /* its guest may have ended meanwhile, and who lets go of its images been here before us */
        if (path)
            mig_vms_deactivate(daemon, images);
        g_prefix_error(error,
                       "image %s has its new size, but %s does not see it yet; do the same again, "
                       "or start the VM anew: ",
                       image->name, view->vm->name);
        return NULL;
    }
    return g_steal_pointer(&grown);
}

MigImage *
mig_image_grow(MigDaemon *daemon, const char *volume, const char *name, guint64 size_bytes,
               GError **error)
{
    g_autoptr(MigAttached) attached = mig_volumes_get(daemon->volumes, volume, error);
    g_autoptr(MigImage) image =
        attached ? mig_csv_image(mig_attached_csv(attached), name, error) : NULL;
    MigImage *grown;

    if (!image || mig_images_is_copied(daemon, volume, name, error))
        return NULL;
    if (!*image->owner)
        return grow_held(daemon, attached, image, size_bytes, error);
    /* it neither starts, stops nor moves meanwhile */
    if (!mig_jobs_hold_vm(daemon->jobs, image->owner, error))
        return NULL;
    grown = grow_held(daemon, attached, image, size_bytes, error);
    mig_jobs_let_vm_go(daemon->jobs, image->owner);
    return grown;
}
