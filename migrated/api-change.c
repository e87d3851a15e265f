/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* api-change.c - methods that change volumes, images and VMs. */
#include "api-shape.h"
#include "api.h"

#include "base/error.h"
#include "core/timeouts.h"
#include "volume-format.h"
#include "images.h"

#define EMPTY_REPLY(call, ok, error) \
    ((ok) ? mig_rpc_call_reply(call, NULL) : mig_rpc_call_fail(call, g_steal_pointer(error)))

/* ---- volumes ---- */

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

    EMPTY_REPLY(call, ok, &error);
}

/* ---- images ---- */

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
api_CreateImage(MigDaemon *daemon, MigRpcCall *call, gconstpointer request_)
{
    const MigCreateImageRequest *request = request_;
    GError *error = NULL;
    MigImage *image = mig_image_create(daemon, request->volume, request->name,
                                       (guint64)MAX(request->size, 0), request->request, &error);

    image_reply(call, image, error);
}

void
api_ImportImage(MigDaemon *daemon, MigRpcCall *call, gconstpointer request_)
{
    const MigImportImageRequest *request = request_;
    MigCopyHooks hooks = {.progress = on_copied, .is_cancelled = is_gone, .user_data = call};
    GError *error = NULL;
    MigImage *image =
        mig_image_import(daemon, request->volume, request->name, request->path, request->format,
                         (guint64)MAX(request->size, 0), &hooks, &error);

    image_reply(call, image, error);
}

void
api_ExportImage(MigDaemon *daemon, MigRpcCall *call, gconstpointer request_)
{
    const MigExportImageRequest *request = request_;
    MigCopyHooks hooks = {.progress = on_copied, .is_cancelled = is_gone, .user_data = call};
    GError *error = NULL;
    MigImage *image = mig_image_export(daemon, request->volume, request->name, request->path,
                                       request->format, request->force, &hooks, &error);

    image_reply(call, image, error);
}

void
api_DeleteImage(MigDaemon *daemon, MigRpcCall *call, gconstpointer request_)
{
    const MigImageRequest *request = request_;
    g_autoptr(GError) error = NULL;
    gboolean ok =
        mig_image_delete(daemon, request->volume, request->name, request->request, &error);

    EMPTY_REPLY(call, ok, &error);
}

/* ---- VMs ---- */

static void
vm_reply(MigDaemon *daemon, MigRpcCall *call, const char *name)
{
    g_autoptr(MigVmReply) reply = mig_VmReply_new();
    g_autoptr(GError) error = NULL;
    g_autoptr(MigVmView) view = mig_vm_find(daemon, name, &error);

    if (!view) {
        mig_rpc_call_fail(call, g_steal_pointer(&error));
        return;
    }
    reply->vm = mig_shape_vm(daemon, view);
    mig_rpc_call_reply(call, reply);
}

void
api_DefineVm(MigDaemon *daemon, MigRpcCall *call, gconstpointer request_)
{
    const MigDefineVmRequest *request = request_;
    GError *error = NULL;
    g_autofree char *name =
        mig_vm_define(daemon, request->volume, request->xml, request->request, &error);

    if (name)
        vm_reply(daemon, call, name);
    else
        mig_rpc_call_fail(call, error);
}

void
api_UndefineVm(MigDaemon *daemon, MigRpcCall *call, gconstpointer request_)
{
    const MigUndefineVmRequest *request = request_;
    g_autoptr(GError) error = NULL;
    gboolean ok = mig_vm_undefine(daemon, request->name, request->delete_images, &error);

    EMPTY_REPLY(call, ok, &error);
}

void
peer_StartVm(MigDaemon *daemon, MigRpcCall *call, gconstpointer request_)
{
    const MigStartVmRequest *request = request_;
    GError *error = NULL;

    if (mig_vm_start(daemon, request->name, &error))
        vm_reply(daemon, call, request->name);
    else
        mig_rpc_call_fail(call, error);
}

void
api_StartVm(MigDaemon *daemon, MigRpcCall *call, gconstpointer request_)
{
    const MigStartVmRequest *request = request_;
    GError *error = NULL;

    if (!request->node || g_str_equal(request->node, daemon->node)) {
        peer_StartVm(daemon, call, request);
        return;
    }
    g_autoptr(MigVmView) view = mig_vm_find(daemon, request->name, &error);

    if (view)
        mig_api_forward(daemon, call, request->node, "StartVm", &mig_type_StartVmRequest, request,
                        &mig_type_VmReply, MIG_START_MS);
    else
        mig_rpc_call_fail(call, error);
}

static guint
stop_ms(const MigStopVmRequest *request)
{
    return (guint)CLAMP(request->timeout_ms, 0, 3600 * 1000);
}

void
peer_StopVm(MigDaemon *daemon, MigRpcCall *call, gconstpointer request_)
{
    const MigStopVmRequest *request = request_;
    GError *error = NULL;

    if (mig_vm_stop(daemon, request->name, request->force, stop_ms(request), &error))
        vm_reply(daemon, call, request->name);
    else
        mig_rpc_call_fail(call, error);
}

void
api_StopVm(MigDaemon *daemon, MigRpcCall *call, gconstpointer request_)
{
    const MigStopVmRequest *request = request_;
    GError *error = NULL;
    g_autoptr(MigVmView) view = mig_vm_find(daemon, request->name, &error);
    guint timeout_ms = stop_ms(request);

    if (!view)
        mig_rpc_call_fail(call, error);
    else if (view->node && !view->is_here && g_str_equal(view->state, "running"))
        mig_api_forward(daemon, call, view->node, "StopVm", &mig_type_StopVmRequest, request,
                        &mig_type_VmReply,
                        (timeout_ms ? timeout_ms : MIG_STOP_MS) + MIG_PEER_CALL_MS);
    else
        peer_StopVm(daemon, call, request);
}
