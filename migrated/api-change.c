/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* api-change.c - methods that change volumes, images and VMs. */
#include "api-shape.h"
#include "api.h"

#include "base/error.h"
#include "core/timeouts.h"
#include "images.h"

#define EMPTY_REPLY(call, ok, error) \
    ((ok) ? mig_rpc_call_reply(call, NULL) : mig_rpc_call_fail(call, g_steal_pointer(error)))

/* ---- volumes ---- */

/* An INT of the wire within what the format can say. */
static gboolean
in_range(const char *what, gint64 value, gint64 most, GError **error)
{
    if (value >= 0 && value <= most)
        return TRUE;
    g_set_error(error, MIG_ERROR, MIG_ERROR_BAD_VALUE,
                "%s is %" G_GINT64_FORMAT "; 0 (default) to %" G_GINT64_FORMAT " are possible",
                what, value, most);
    return FALSE;
}

static guint64
sum_of_heartbeats(MigCsv *csv, char **names)
{
    g_autoptr(GPtrArray) nodes = mig_csv_nodes(csv, NULL);
    g_autoptr(GString) list = g_string_new(NULL);
    guint64 sum = 0;

    for (guint i = 0; nodes && i < nodes->len; i++) {
        const MigNode *node = g_ptr_array_index(nodes, i);

        sum += node->heartbeat;
        if (!node->has_left)
            g_string_append_printf(list, "%s%s", list->len ? ", " : "", node->name);
    }
    if (names)
        *names = g_strdup(list->str);
    return sum;
}

/* VMs run on where migrated does not: a node whose heartbeat stands still may have some. */
static gboolean
may_have_vms(MigCsv *csv, GError **error)
{
    g_autoptr(GPtrArray) nodes = mig_csv_nodes(csv, NULL);

    for (guint i = 0; nodes && i < nodes->len; i++) {
        const MigNode *node = g_ptr_array_index(nodes, i);
        gboolean has_vms = FALSE;

        for (guint k = 0; k < sizeof node->running; k++)
            has_vms = has_vms || node->running[k];
        if (!has_vms || node->has_left)
            continue;
        g_set_error(
            error, MIG_ERROR, MIG_ERROR_VOLUME_IN_USE,
            "VMs ran on %s when it was last heard of, and may still; stop them there and detach "
            "volume %s, or, if that host is gone for good, zero the first MiB of the LUN by "
            "hand",
            node->name, mig_csv_name(csv));
        return TRUE;
    }
    return FALSE;
}

/* A volume in use is not formatted from under anybody, with force or without: whoever writes
 * heartbeats has it attached, here or on any other node. */
static gboolean
is_not_attached(const char *device, GError **error)
{
    g_autoptr(MigCsv) csv = mig_csv_open(device, NULL);
    g_autofree char *names = NULL;
    guint64 before;

    if (!csv)
        return TRUE;
    before = sum_of_heartbeats(csv, &names);
    g_usleep(MIG_SUSPECT_MS * 1000);
    if (before == sum_of_heartbeats(csv, NULL))
        return !may_have_vms(csv, error);
    g_set_error(
        error, MIG_ERROR, MIG_ERROR_VOLUME_IN_USE,
        "volume %s on %s is attached (%s); 'migratectl volume detach %s' on every node first",
        mig_csv_name(csv), device, names, mig_csv_name(csv));
    return FALSE;
}

void
api_FormatVolume(MigDaemon *daemon, MigRpcCall *call, gconstpointer request_)
{
    const MigFormatVolumeRequest *request = request_;
    g_autoptr(MigVolumeReply) reply = mig_VolumeReply_new();
    g_autoptr(GError) error = NULL;
    g_autoptr(MigCsv) csv = NULL;
    MigFormat format = {.name = request->name, .force = request->force};

    if (!in_range("io_timeout", request->io_timeout, 60, &error) ||
        !in_range("max_nodes", request->max_nodes, 250, &error) ||
        !in_range("max_vms", request->max_vms, 4096, &error) ||
        !in_range("max_images", request->max_images, 16384, &error) ||
        !in_range("extent", request->extent, 1 << 30, &error) ||
        (request->force && !is_not_attached(request->device, &error))) {
        mig_rpc_call_fail(call, g_steal_pointer(&error));
        return;
    }
    format.io_timeout_s = (guint32)request->io_timeout;
    format.max_nodes = (guint32)request->max_nodes;
    format.max_vms = (guint32)request->max_vms;
    format.max_images = (guint32)request->max_images;
    format.extent_bytes = (guint64)request->extent;
    if (mig_csv_format(request->device, &format, &error))
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
                                       (guint64)MAX(request->size, 0), &error);

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
    gboolean ok = mig_image_delete(daemon, request->volume, request->name, &error);

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
    g_autofree char *name = mig_vm_define(daemon, request->volume, request->xml, &error);

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
