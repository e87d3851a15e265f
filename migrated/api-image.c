/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* api-image.c - methods that make, change and copy images. */
#include "api-shape.h"
#include "api.h"

#include "core/timeouts.h"
#include "images.h"

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

/* Of a copy that lasts as long as somebody waits for it. */
static MigCopyHooks
hooks_of(MigRpcCall *call)
{
    return (MigCopyHooks){.progress = on_copied, .is_cancelled = is_gone, .user_data = call};
}

static guint64
size_of(gint64 said)
{
    return (guint64)MAX(said, 0);
}

void
api_CreateImage(MigDaemon *daemon, MigRpcCall *call, gconstpointer request_)
{
    const MigCreateImageRequest *request = request_;
    GError *error = NULL;
    MigImage *image = mig_image_create(daemon, request->volume, request->name,
                                       size_of(request->size), request->request, &error);

    image_reply(call, image, error);
}

void
api_ImportImage(MigDaemon *daemon, MigRpcCall *call, gconstpointer request_)
{
    const MigImportImageRequest *request = request_;
    MigCopyHooks hooks = hooks_of(call);
    GError *error = NULL;
    MigImage *image = mig_image_import(daemon, request->volume, request->name, request->path,
                                       request->format, size_of(request->size), &hooks, &error);

    image_reply(call, image, error);
}

void
api_ExportImage(MigDaemon *daemon, MigRpcCall *call, gconstpointer request_)
{
    const MigExportImageRequest *request = request_;
    MigCopyHooks hooks = hooks_of(call);
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

    mig_api_done(call, ok, &error);
}

void
api_RenameImage(MigDaemon *daemon, MigRpcCall *call, gconstpointer request_)
{
    const MigRenameImageRequest *request = request_;
    g_autoptr(GError) error = NULL;
    gboolean ok =
        mig_image_rename(daemon, request->volume, request->name, request->new_name, &error);

    mig_api_done(call, ok, &error);
}

void
peer_GrowImage(MigDaemon *daemon, MigRpcCall *call, gconstpointer request_)
{
    const MigCreateImageRequest *request = request_;
    GError *error = NULL;
    MigImage *image =
        mig_image_grow(daemon, request->volume, request->name, size_of(request->size), &error);

    image_reply(call, image, error);
}

void
api_GrowImage(MigDaemon *daemon, MigRpcCall *call, gconstpointer request_)
{
    const MigCreateImageRequest *request = request_;
    g_autofree char *node = mig_image_user(daemon, request->volume, request->name);

    if (node) /* what is new is zeroed first, which lasts */
        mig_api_forward(daemon, call, node, "GrowImage", &mig_type_CreateImageRequest, request,
                        &mig_type_ImageReply, MIG_CHANGE_THERE_MS);
    else
        peer_GrowImage(daemon, call, request);
}

void
api_CloneImage(MigDaemon *daemon, MigRpcCall *call, gconstpointer request_)
{
    const MigRenameImageRequest *request = request_;
    MigCopyHooks hooks = hooks_of(call);
    GError *error = NULL;
    MigImage *image =
        mig_image_clone(daemon, request->volume, request->name, request->new_name, &hooks, &error);

    image_reply(call, image, error);
}
