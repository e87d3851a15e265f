/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* api-adopt.c - the method that makes a cluster VM of a local domain. */
#include "adopt.h"
#include "api-shape.h"
#include "api.h"

static void
on_copied(guint64 done_bytes, guint64 total_bytes, gpointer user_data)
{
    MigAdoptVmReply reply = {.done = (gint64)done_bytes, .total = (gint64)total_bytes};

    mig_rpc_call_progress(user_data, &reply);
}

static gboolean
is_gone(gpointer user_data)
{
    return mig_rpc_call_is_gone(user_data);
}

void
api_AdoptVm(MigDaemon *daemon, MigRpcCall *call, gconstpointer request_)
{
    const MigAdoptVmRequest *request = request_;
    MigCopyHooks hooks = {.progress = on_copied, .is_cancelled = is_gone, .user_data = call};
    g_auto(MigAdopted) adopted = {0};
    g_autoptr(MigAdoptVmReply) reply = mig_AdoptVmReply_new();
    g_autoptr(MigVmView) view = NULL;
    GError *error = NULL;

    if (mig_vm_adopt(daemon, request->name, request->volume, &hooks, &adopted, &error))
        view = mig_vm_find(daemon, request->name, &error);
    if (!view) {
        mig_rpc_call_fail(call, error);
        return;
    }
    reply->vm = mig_shape_vm(daemon, view);
    reply->done = reply->total = (gint64)adopted.total_bytes;
    reply->old_disks = g_steal_pointer(&adopted.old_disks);
    reply->old_definition = g_steal_pointer(&adopted.definition);
    mig_rpc_call_reply(call, reply);
}
