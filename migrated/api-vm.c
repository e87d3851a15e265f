/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* api-vm.c - methods that define, start and stop VMs. */
#include "api-shape.h"
#include "api.h"

#include "base/error.h"
#include "core/timeouts.h"

void
api_DefineVm(MigDaemon *daemon, MigRpcCall *call, gconstpointer request_)
{
    const MigDefineVmRequest *request = request_;
    GError *error = NULL;
    g_autofree char *name =
        mig_vm_define(daemon, request->volume, request->xml, request->request, &error);

    if (name)
        mig_shape_vm_reply(daemon, call, name);
    else
        mig_rpc_call_fail(call, error);
}

void
api_UndefineVm(MigDaemon *daemon, MigRpcCall *call, gconstpointer request_)
{
    const MigUndefineVmRequest *request = request_;
    g_autoptr(GError) error = NULL;
    gboolean ok = mig_vm_undefine(daemon, request->name, request->delete_images, &error);

    mig_api_done(call, ok, &error);
}

void
peer_StartVm(MigDaemon *daemon, MigRpcCall *call, gconstpointer request_)
{
    const MigStartVmRequest *request = request_;
    GError *error = NULL;

    if (mig_vm_start(daemon, request->name, &error))
        mig_shape_vm_reply(daemon, call, request->name);
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
        mig_shape_vm_reply(daemon, call, request->name);
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
