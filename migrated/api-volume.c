/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* api-volume.c - methods that change volumes, and those about their space and their metadata. */
#include "api-shape.h"
#include "api.h"

#include "base/error.h"
#include "base/fd.h"
#include "catalog.h"
#include "volume-format.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <unistd.h>

void
api_FormatVolume(MigDaemon *daemon, MigRpcCall *call, gconstpointer request_)
{
    const MigFormatVolumeRequest *request = request_;
    g_autoptr(MigVolumeReply) reply = mig_VolumeReply_new();
    g_autoptr(GError) error = NULL;
    g_autoptr(MigCsv) csv = NULL;

    if (mig_format(request, &error))
        csv = mig_csv_open(request->device, &error);
    if (!csv) {
        mig_rpc_call_fail(call, g_steal_pointer(&error));
        return;
    }
    g_autoptr(MigVolumeInfo) info = mig_csv_info(csv, NULL);
    MigApiVolume *volume = mig_ApiVolume_new();

    volume->name = g_strdup(mig_csv_name(csv));
    volume->uuid = g_strdup(mig_csv_uuid(csv));
    volume->device = g_strdup(request->device);
    volume->state = g_strdup("formatted");
    volume->io_timeout = mig_csv_io_timeout_s(csv);
    if (info) {
        volume->size = (gint64)info->size_bytes;
        volume->free = (gint64)info->free_bytes;
        volume->one_host = info->is_one_host;
        volume->sector_size = info->sector_bytes;
        volume->max_nodes = info->max_nodes;
        volume->max_vms = info->max_vms;
        volume->max_images = info->max_images;
    }
    reply->volume = volume;
    mig_rpc_call_reply(call, reply);
}

void
api_AttachVolume(MigDaemon *daemon, MigRpcCall *call, gconstpointer request_)
{
    const MigAttachVolumeRequest *request = request_;
    g_autoptr(MigVolumeReply) reply = mig_VolumeReply_new();
    g_autoptr(GError) error = NULL;
    g_autoptr(MigAttached) attached = mig_volumes_attach(daemon->volumes, request->device, &error);

    if (attached) {
        mig_vms_adopt(daemon->vms);
        reply->volume = mig_shape_volume(daemon, attached, &error);
    }
    if (reply->volume)
        mig_rpc_call_reply(call, reply);
    else
        mig_rpc_call_fail(call, g_steal_pointer(&error));
}

void
api_DetachVolume(MigDaemon *daemon, MigRpcCall *call, gconstpointer request_)
{
    const MigNameRequest *request = request_;
    g_autoptr(GError) error = NULL;
    gboolean ok = mig_volumes_detach(daemon->volumes, request->name, &error);

    mig_api_done(call, ok, &error);
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
    gboolean ok =
        attached && backup(mig_attached_csv(attached), request->path, request->force, &error);

    mig_api_done(call, ok, &error);
}
