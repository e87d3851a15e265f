/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* api-image.c - images that are renamed, cloned and grow; a volume's space and its backup. */
#include "api-shape.h"
#include "api.h"

#include "base/error.h"
#include "base/fd.h"
#include "catalog.h"
#include "images.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <unistd.h>

static void
image_reply(MigRpcCall *call, MigImage *image, GError *error)
{
    g_autoptr(MigImageReply) reply = mig_ImageReply_new();

    if (!image) {
        mig_rpc_call_fail(call, error);
        return;
    }
    reply->image = mig_shape_image(image);
    reply->done = reply->total = (gint64)image->size_bytes;
    mig_rpc_call_reply(call, reply);
    mig_image_free(image);
}

void
api_RenameImage(MigDaemon *daemon, MigRpcCall *call, gconstpointer request_)
{
    const MigRenameImageRequest *request = request_;
    g_autoptr(GError) error = NULL;

    if (mig_image_rename(daemon, request->volume, request->name, request->new_name, &error))
        mig_rpc_call_reply(call, NULL);
    else
        mig_rpc_call_fail(call, g_steal_pointer(&error));
}

void
peer_GrowImage(MigDaemon *daemon, MigRpcCall *call, gconstpointer request_)
{
    const MigCreateImageRequest *request = request_;
    GError *error = NULL;
    MigImage *image = mig_image_grow(daemon, request->volume, request->name,
                                     (guint64)MAX(request->size, 0), &error);

    image_reply(call, image, error);
}

void
api_GrowImage(MigDaemon *daemon, MigRpcCall *call, gconstpointer request_)
{
    const MigCreateImageRequest *request = request_;
    g_autofree char *node = mig_image_user(daemon, request->volume, request->name);

    if (node)
        mig_api_forward(daemon, call, node, "GrowImage", &mig_type_CreateImageRequest, request,
                        &mig_type_ImageReply, 0);
    else
        peer_GrowImage(daemon, call, request);
}

static void
on_copied(guint64 done_bytes, guint64 total_bytes, gpointer user_data)
{
    MigImageReply reply = {.done = (gint64)done_bytes, .total = (gint64)total_bytes};

    mig_rpc_call_progress(user_data, &reply);
}

static gboolean
is_gone(gpointer user_data)
{
    return mig_rpc_call_is_gone(user_data);
}

void
api_CloneImage(MigDaemon *daemon, MigRpcCall *call, gconstpointer request_)
{
    const MigRenameImageRequest *request = request_;
    MigCopyHooks hooks = {.progress = on_copied, .is_cancelled = is_gone, .user_data = call};
    GError *error = NULL;
    MigImage *image =
        mig_image_clone(daemon, request->volume, request->name, request->new_name, &hooks, &error);

    image_reply(call, image, error);
}

void
api_PlanSpace(MigDaemon *daemon, MigRpcCall *call, gconstpointer request_)
{
    const MigPlanSpaceRequest *request = request_;
    g_autoptr(MigListImagesReply) reply = mig_ListImagesReply_new();
    g_autoptr(GError) error = NULL;
    g_autoptr(MigAttached) attached = mig_volumes_get(daemon->volumes, request->volume, &error);
    g_autoptr(GPtrArray) names =
        attached
            ? mig_csv_space_plan(mig_attached_csv(attached), (guint64)MAX(request->size, 0), &error)
            : NULL;

    reply->images = mig_message_array_new(&mig_type_ApiImage);
    for (guint i = 0; names && i < names->len; i++) {
        g_autoptr(MigImage) image =
            mig_csv_image(mig_attached_csv(attached), g_ptr_array_index(names, i), NULL);

        if (image)
            g_ptr_array_add(reply->images, mig_shape_image(image));
    }
    if (names)
        mig_rpc_call_reply(call, reply);
    else
        mig_rpc_call_fail(call, g_steal_pointer(&error));
}

/* ---- the volume ---- */

void
api_GrowVolume(MigDaemon *daemon, MigRpcCall *call, gconstpointer request_)
{
    const MigNameRequest *request = request_;
    g_autoptr(MigVolumeReply) reply = mig_VolumeReply_new();
    g_autoptr(GError) error = NULL;
    g_autoptr(MigAttached) attached = mig_volumes_get(daemon->volumes, request->name, &error);
    gboolean ok = FALSE;

    if (attached) {
        g_autoptr(MigCatalog) catalog = mig_catalog_begin(daemon, attached, &error);

        ok = catalog && mig_csv_grow(mig_attached_csv(attached), &catalog->epoch, &error);
    }
    if (ok)
        reply->volume = mig_shape_volume(daemon, attached, &error);
    if (reply->volume)
        mig_rpc_call_reply(call, reply);
    else
        mig_rpc_call_fail(call, g_steal_pointer(&error));
}

/* The file appears when it is whole, and only root can read it: definitions have passwords. */
static gboolean
backup(MigCsv *csv, const char *path, gboolean force, GError **error)
{
    g_autofree char *part = g_strconcat(path, ".part", NULL);
    mig_autofd int fd = -1;

    if (!g_path_is_absolute(path)) {
        g_set_error(error, MIG_ERROR, MIG_ERROR_BAD_VALUE,
                    "%s is not an absolute path; the daemon has no working directory of yours",
                    path);
        return FALSE;
    }
    if (!force && g_file_test(path, G_FILE_TEST_EXISTS)) {
        g_set_error(error, MIG_ERROR, MIG_ERROR_EXISTS, "%s exists; --force replaces it", path);
        return FALSE;
    }
    g_unlink(part);
    fd = open(part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) {
        g_set_error(error, MIG_ERROR, MIG_ERROR_IO, "cannot make %s: %s", part, g_strerror(errno));
        return FALSE;
    }
    if (mig_csv_backup(csv, fd, error)) {
        if (g_rename(part, path) == 0)
            return TRUE;
        g_set_error(error, MIG_ERROR, MIG_ERROR_IO, "cannot make %s: %s", path, g_strerror(errno));
    }
    g_unlink(part);
    return FALSE;
}

void
api_BackupVolume(MigDaemon *daemon, MigRpcCall *call, gconstpointer request_)
{
    const MigBackupVolumeRequest *request = request_;
    g_autoptr(GError) error = NULL;
    g_autoptr(MigAttached) attached = mig_volumes_get(daemon->volumes, request->volume, &error);

    if (attached && backup(mig_attached_csv(attached), request->path, request->force, &error))
        mig_rpc_call_reply(call, NULL);
    else
        mig_rpc_call_fail(call, g_steal_pointer(&error));
}
