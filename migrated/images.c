/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* images.c - catalogue changes around qemu-img's copying. */
#include "images.h"

#include "base/error.h"
#include "base/io.h"
#include "change.h"
#include "copies.h"
#include "core/half-image.h"
#include "failover.h"
#include "images-private.h"
#include "vm-actions.h"

#include <errno.h>
#include <glib/gstdio.h>

/* As the answer says, and how it is on this node. */
static MigImage *
image_of(MigAttached *attached, const char *name, const MigApiImage *said)
{
    MigImage *image = mig_csv_image(mig_attached_csv(attached), name, NULL);

    if (image || !said)
        return image;
    image = g_new0(MigImage, 1); /* gone or renamed by another node since */
    image->volume = g_strdup(mig_attached_name(attached));
    image->name = g_strdup(name);
    image->owner = g_strdup("");
    image->size_bytes = (guint64)said->size;
    image->extents = (guint32)said->extents;
    return image;
}

MigImage *
mig_image_create(MigDaemon *daemon, const char *volume, const char *name, guint64 size_bytes,
                 const char *request, GError **error)
{
    g_autoptr(MigAttached) attached = mig_volumes_get(daemon->volumes, volume, error);
    MigPeerChangeRequest change = {.id = (char *)request,
                                   .change = (char *)"image-create",
                                   .name = (char *)name,
                                   .size = (gint64)size_bytes};
    g_autoptr(MigPeerChangeReply) reply = NULL;

    if (!attached)
        return NULL;
    if (size_bytes == 0) {
        g_set_error(error, MIG_ERROR, MIG_ERROR_BAD_VALUE, "an image needs a size above 0");
        return NULL;
    }
    reply = mig_change(daemon, attached, &change, error);
    return reply ? image_of(attached, name, reply->image) : NULL;
}

/* ---- copies under way ---- */

/* A half image has a name that tells which host fills it; deleting it there would give its space to
 * another image while qemu-img still writes. */

static GMutex copying_lock;
static GHashTable *copying; /* "volume/image" that this daemon copies into or out of: how often */

char *
mig_images_half_name(MigDaemon *daemon)
{
    return mig_half_image_name(daemon->host_id, g_random_int());
}

void
mig_images_set_copying(const char *volume, const char *name)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&copying_lock);
    g_autofree char *key = g_strconcat(volume, "/", name, NULL);
    guint count;

    if (!copying)
        copying = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    /* one image may be exported several times at once */
    count = GPOINTER_TO_UINT(g_hash_table_lookup(copying, key));
    g_hash_table_replace(copying, g_steal_pointer(&key), GUINT_TO_POINTER(count + 1));
}

gboolean
mig_images_end_copying(const char *volume, const char *name)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&copying_lock);
    g_autofree char *key = g_strconcat(volume, "/", name, NULL);
    guint count = GPOINTER_TO_UINT(g_hash_table_lookup(copying, key));

    if (count <= 1)
        return g_hash_table_remove(copying, key);
    g_hash_table_replace(copying, g_steal_pointer(&key), GUINT_TO_POINTER(count - 1));
    return FALSE;
}

void
mig_images_end_reading(MigCsv *csv, const MigImage *image)
{
    if (mig_images_end_copying(mig_csv_name(csv), image->name))
        mig_csv_deactivate(csv, image->name, image->uuid, NULL);
}

char *
mig_images_first_copy_on(const char *volume)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&copying_lock);
    g_autofree char *prefix = g_strconcat(volume, "/", NULL);
    GHashTableIter iter;
    const char *key;

    if (!copying)
        return NULL;
    g_hash_table_iter_init(&iter, copying);
    while (g_hash_table_iter_next(&iter, (gpointer *)&key, NULL)) {
        if (g_str_has_prefix(key, prefix))
            return g_strdup(key);
    }
    return NULL;
}

/* *node: its name, or NULL. g_free() */
static MigHalfHost
half_host(MigDaemon *daemon, MigAttached *attached, guint32 host_id, char **node)
{
    g_autoptr(GPtrArray) views = mig_attached_nodes(attached);
    g_autoptr(GPtrArray) lives = mig_failover_lives(daemon->failover);

    for (guint i = 0; i < views->len; i++) {
        const MigNodeView *view = g_ptr_array_index(views, i);
        const MigNodeLife *life = mig_lives_find(lives, view->node->name);

        if (view->node->host_id != host_id)
            continue;
        *node = g_strdup(view->node->name);
        return (MigHalfHost){.is_known = TRUE,
                             .has_left = view->state == MIG_NODE_LEFT,
                             .is_beating = view->state == MIG_NODE_UP,
                             .is_fenced = life && life->finding.life == MIG_LIFE_FENCED,
                             .is_armed = view->node->has_watchdog,
                             .word = mig_lives_word_on(daemon, attached, view)};
    }
    /* an unreadable slot is a node all the same */
    return (MigHalfHost){.is_known =
                             !mig_csv_node_is_gone(mig_attached_csv(attached), host_id, "")};
}

/* Of another host, and is that one done with it? Then FALSE. */
static gboolean
is_half_of_other(MigDaemon *daemon, const char *volume, const char *name, GError **error)
{
    g_autoptr(MigAttached) attached = NULL;
    g_autofree char *node = NULL;
    gboolean is_covered = FALSE;
    guint32 host_id = 0;
    MigHalfHost host;

    if (!mig_half_image_parse(name, &host_id, &is_covered) || host_id == daemon->host_id)
        return FALSE;
    attached = mig_volumes_get(daemon->volumes, volume, error);
    if (!attached)
        return TRUE;
    host = half_host(daemon, attached, host_id, &node);
    if (!node)
        node = g_strdup_printf("host %u", host_id);
    switch (mig_half_image_judge(&host, is_covered, daemon->config->unsafe_without_watchdog != 0)) {
    case MIG_HALF_IMAGE_FREE:
        return FALSE;
    case MIG_HALF_IMAGE_ALIVE:
        g_set_error(error, MIG_ERROR, MIG_ERROR_IMAGE_IN_USE,
                    "image %s is half an import of %s; ask that node to delete it", name, node);
        return TRUE;
    case MIG_HALF_IMAGE_UNPROVEN:
    default:
        g_set_error(error, MIG_ERROR, MIG_ERROR_IMAGE_IN_USE,
                    "image %s is half an import of %s, which may still write to it: no fence agent "
                    "has confirmed that it is off, and no watchdog proves it; delete it when %s is "
                    "back, or make sure that it is off and remove it from the cluster first "
                    "('migratectl node remove')",
                    name, node, node);
        return TRUE;
    }
}

gboolean
mig_images_is_copied(MigDaemon *daemon, const char *volume, const char *name, GError **error)
{
    g_autofree char *key = g_strconcat(volume, "/", name, NULL);

    g_mutex_lock(&copying_lock);
    gboolean is_here = copying && g_hash_table_contains(copying, key);

    g_mutex_unlock(&copying_lock);
    if (!is_here)
        return is_half_of_other(daemon, volume, name, error);
    g_set_error(error, MIG_ERROR, MIG_ERROR_IMAGE_IN_USE,
                "image %s is being copied on this node; wait until that has ended", name);
    return TRUE;
}

gboolean
mig_images_is_unchanged(MigCsv *csv, const MigImage *image, GError **error)
{
    g_autoptr(MigImage) now = mig_csv_image(csv, image->name, error);

    if (!now)
        return FALSE;
    if (now->generation == image->generation && g_strcmp0(now->uuid, image->uuid) == 0)
        return TRUE;
    g_set_error(error, MIG_ERROR, MIG_ERROR_FAILED,
                "image %s was changed while it was copied, by another node perhaps: what was read "
                "may be of two states; try again",
                image->name);
    return FALSE;
}

/* A process that is none of ours, for a VM's disk is refused before. What it still writes would
 * land in whatever gets that space next. */
static gboolean
is_held(MigAttached *attached, const char *name, GError **error)
{
    MigCsv *csv = mig_attached_csv(attached);
    g_autoptr(MigImage) image = mig_csv_image(csv, name ? name : "", NULL);

    if (!image || *image->owner || !mig_csv_is_open(csv, image->name))
        return FALSE;
    g_set_error(error, MIG_ERROR, MIG_ERROR_IMAGE_IN_USE,
                "image %s is open on this node ('dmsetup ls --tree', 'losetup', 'fuser' show by "
                "whom); end what has it open, then delete it",
                image->name);
    return TRUE;
}

char **
mig_image_meant(MigAttached *attached, const char *name)
{
    g_autoptr(MigImage) image = mig_csv_image(mig_attached_csv(attached), name ? name : "", NULL);
    const char *uuids[] = {image ? image->uuid : NULL, NULL};

    return image ? g_strdupv((char **)uuids) : NULL;
}

gboolean
mig_image_delete(MigDaemon *daemon, const char *volume, const char *name, const char *request,
                 GError **error)
{
    g_autoptr(MigAttached) attached = mig_volumes_get(daemon->volumes, volume, error);
    MigPeerChangeRequest change = {
        .id = (char *)request, .change = (char *)"image-delete", .name = (char *)name};
    g_autoptr(MigPeerChangeReply) reply = NULL;
    g_auto(GStrv) meant = NULL;

    if (attached && !mig_images_is_copied(daemon, volume, name, error) &&
        !is_held(attached, name, error)) {
        change.uuids = meant = mig_image_meant(attached, name);
        reply = mig_change(daemon, attached, &change, error);
    }
    return reply != NULL;
}

/* ---- import ---- */

gboolean
mig_images_is_free(MigCsv *csv, const char *volume, const char *name, GError **error)
{
    g_autoptr(GError) local = NULL;
    g_autoptr(MigImage) image = mig_csv_image(csv, name, &local);

    if (g_error_matches(local, MIG_ERROR, MIG_ERROR_IMAGE_UNKNOWN))
        return TRUE;
    if (image)
        g_set_error(error, MIG_ERROR, MIG_ERROR_EXISTS,
                    "volume %s has an image %s already; delete it or choose another name", volume,
                    name);
    else
        g_propagate_error(error, g_steal_pointer(&local));
    return FALSE;
}

void
mig_images_drop(MigDaemon *daemon, MigAttached *attached, const char *temporary)
{
    g_autoptr(GError) error = NULL;
    MigPeerChangeRequest change = {.change = (char *)"image-delete", .name = (char *)temporary};
    g_autoptr(MigPeerChangeReply) reply = mig_change(daemon, attached, &change, &error);

    if (!reply && !g_error_matches(error, MIG_ERROR, MIG_ERROR_IMAGE_UNKNOWN))
        g_warning("half an image is left: %s; delete it by hand: %s", temporary, error->message);
}

static gboolean
fill(MigDaemon *daemon, MigCsv *csv, const char *temporary, const char *path, const char *format,
     const MigCopyHooks *hooks, GError **error)
{
    g_autofree char *device = NULL;

    if (!mig_csv_activate(csv, temporary, TRUE, &device, error))
        return FALSE;
    gboolean ok = mig_copies_into_image(daemon, mig_csv_name(csv), path, format, device,
                                        MIG_COPY_FILES, hooks, error);

    return mig_csv_deactivate(csv, temporary, NULL, ok ? error : NULL) && ok;
}

gboolean
mig_images_finish(MigDaemon *daemon, MigAttached *attached, const char *temporary, const char *name,
                  GError **error)
{
    MigPeerChangeRequest change = {
        .change = (char *)"image-rename", .name = (char *)temporary, .new_name = (char *)name};
    g_autoptr(MigPeerChangeReply) reply = mig_change(daemon, attached, &change, error);

    return reply != NULL;
}

MigImage *
mig_images_make_half(MigDaemon *daemon, MigAttached *attached, const char *half, guint64 size_bytes,
                     GError **error)
{
    const char *volume = mig_attached_name(attached);
    g_autoptr(GError) failed = NULL;
    MigImage *image;

    /* it is in all lists before the answer is here */
    mig_images_set_copying(volume, half);
    image = mig_image_create(daemon, volume, half, size_bytes, NULL, &failed);
    if (image)
        return image;
    mig_images_end_copying(volume, half);
    /* which may have been written all the same, and nobody else knows its name */
    if (g_error_matches(failed, MIG_ERROR, MIG_ERROR_IO))
        mig_images_drop(daemon, attached, half);
    else if (g_error_matches(failed, MIG_ERROR, MIG_ERROR_COORDINATOR_BUSY))
        g_message("image %s may have been made, or come later; if so, delete it", half);
    g_propagate_error(error, g_steal_pointer(&failed));
    return NULL;
}

MigImage *
mig_image_import(MigDaemon *daemon, const char *volume, const char *name, const char *path,
                 const char *format, guint64 size_bytes, const MigCopyHooks *hooks, GError **error)
{
    g_autoptr(MigAttached) attached = mig_volumes_get(daemon->volumes, volume, error);
    g_autofree char *temporary = mig_images_half_name(daemon);
    g_autoptr(MigImage) half = NULL;
    guint64 virtual_bytes = 0;

    if (!attached || !mig_images_is_free(mig_attached_csv(attached), volume, name, error) ||
        !mig_qemu_img_size(path, format, &virtual_bytes, error))
        return NULL;
    if (size_bytes && size_bytes < virtual_bytes) {
        g_set_error(error, MIG_ERROR, MIG_ERROR_BAD_VALUE,
                    "%s has %" G_GUINT64_FORMAT " bytes, more than the %" G_GUINT64_FORMAT
                    " asked for; leave --size out, or give at least as much",
                    path, virtual_bytes, size_bytes);
        return NULL;
    }
    half = mig_images_make_half(daemon, attached, temporary, MAX(size_bytes, virtual_bytes), error);
    if (!half)
        return NULL;
    gboolean ok = fill(daemon, mig_attached_csv(attached), temporary, path, format, hooks, error) &&
                  mig_images_finish(daemon, attached, temporary, name, error);

    mig_images_end_copying(volume, temporary);
    if (!ok) {
        mig_images_drop(daemon, attached, temporary);
        return NULL;
    }
    return mig_csv_image(mig_attached_csv(attached), name, error);
}

/* ---- export ---- */

gboolean
mig_images_has_no_user(GError **missing, GError **error)
{
    if (!*missing || g_error_matches(*missing, MIG_ERROR, MIG_ERROR_VM_UNKNOWN))
        return TRUE;
    g_propagate_error(error, g_steal_pointer(missing));
    return FALSE;
}

gboolean
mig_images_keep_at_rest(MigDaemon *daemon, MigAttached *attached, const MigImage *image,
                        MigLease **lease, GError **error)
{
    g_autoptr(GError) missing = NULL, refused = NULL;
    /* another volume may have a VM of that name */
    g_autoptr(MigVmView) view =
        *image->owner ? mig_vm_find_on(daemon, attached, image->owner, &missing) : NULL;

    if (!view)
        return mig_images_has_no_user(&missing, error);
    *lease = mig_csv_vm_lease(mig_attached_csv(view->attached), view->vm->slot, view->vm->name);
    if (g_str_equal(view->state, "stopped") &&
        mig_sanlock_acquire(daemon->sanlock, *lease, &refused))
        return TRUE;
    g_clear_pointer(lease, mig_lease_free);
    if (refused && !g_error_matches(refused, MIG_ERROR, MIG_ERROR_LEASE_HELD))
        g_propagate_error(error, g_steal_pointer(&refused));
    else
        g_set_error(
            error, MIG_ERROR, MIG_ERROR_VM_RUNNING,
            "image %s is in use by %s, which is %s; stop it first, a copy of a running disk is "
            "worth nothing",
            image->name, image->owner, view->state);
    return FALSE;
}

static gboolean
copy_out(MigCsv *csv, const MigImage *image, const char *path, const char *format,
         gboolean overwrite, const MigCopyHooks *hooks, GError **error)
{
    /* not one that another copy may be at; made by qemu-img, which not everywhere may open what
     * this process has made */
    g_autofree char *temporary = g_strdup_printf("%s.%08x.part", path, g_random_int());
    g_autofree char *device = NULL;

    if (!mig_csv_activate(csv, image->name, FALSE, &device, error))
        return FALSE;
    gboolean ok = mig_qemu_img_copy(device, "raw", temporary, format ? format : "raw",
                                    MIG_COPY_FROM_IMAGE, hooks, error) &&
                  mig_images_is_unchanged(csv, image, error) &&
                  mig_io_commit_file(temporary, path, overwrite, error);

    if (!ok)
        g_unlink(temporary);
    return ok;
}

MigImage *
mig_image_export(MigDaemon *daemon, const char *volume, const char *name, const char *path,
                 const char *format, gboolean overwrite, const MigCopyHooks *hooks, GError **error)
{
    g_autoptr(MigAttached) attached = mig_volumes_get(daemon->volumes, volume, error);
    g_autoptr(MigImage) image =
        attached ? mig_csv_image(mig_attached_csv(attached), name, error) : NULL;
    g_autoptr(MigLease) lease = NULL;

    if (!image)
        return NULL;
    if (!overwrite && g_file_test(path, G_FILE_TEST_EXISTS)) {
        g_set_error(error, MIG_ERROR, MIG_ERROR_EXISTS, "%s exists; --force replaces it", path);
        return NULL;
    }
    if (!mig_images_keep_at_rest(daemon, attached, image, &lease, error))
        return NULL;
    mig_images_set_copying(volume, name);
    gboolean ok =
        copy_out(mig_attached_csv(attached), image, path, format, overwrite, hooks, error);

    mig_images_end_reading(mig_attached_csv(attached), image);
    if (lease)
        mig_sanlock_release(daemon->sanlock, lease, NULL);
    return ok ? g_steal_pointer(&image) : NULL;
}
