/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* api-drain.c - emptying a node. */
#include "api.h"

#include "base/error.h"
#include "core/timeouts.h"
#include "drain.h"
#include "volumes.h"

void
peer_DrainNode(MigDaemon *daemon, MigRpcCall *call, gconstpointer request_)
{
    const MigDrainNodeRequest *request = request_;
    g_autoptr(MigDrainNodeReply) reply = mig_DrainNodeReply_new();
    GError *error = NULL;

    reply->steps = mig_drain(daemon, request->dry_run, &error);
    if (reply->steps)
        mig_rpc_call_reply(call, reply);
    else
        mig_rpc_call_fail(call, error);
}

void
peer_UndrainNode(MigDaemon *daemon, MigRpcCall *call, gconstpointer request_)
{
    const MigEmpty reply = {0};
    GError *error = NULL;

    if (mig_undrain(daemon, &error))
        mig_rpc_call_reply(call, &reply);
    else
        mig_rpc_call_fail(call, error);
}

/* The node itself does it; TRUE: another one was asked, or there is no such node. */
static gboolean
is_elsewhere(MigDaemon *daemon, MigRpcCall *call, const char *node, const char *method,
             const MigType *request_type, gconstpointer request, const MigType *reply_type)
{
    GError *error = NULL;
    g_autoptr(MigNodeView) view = mig_volumes_node(daemon->volumes, node, &error);

    if (!view)
        mig_rpc_call_fail(call, error);
    else if (!view->is_local)
        mig_api_forward(daemon, call, node, method, request_type, request, reply_type,
                        MIG_CHECK_MS);
    return !view || !view->is_local;
}

void
api_DrainNode(MigDaemon *daemon, MigRpcCall *call, gconstpointer request_)
{
    const MigDrainNodeRequest *request = request_;

    if (!is_elsewhere(daemon, call, request->node, "DrainNode", &mig_type_DrainNodeRequest, request,
                      &mig_type_DrainNodeReply))
        peer_DrainNode(daemon, call, request);
}

void
api_UndrainNode(MigDaemon *daemon, MigRpcCall *call, gconstpointer request_)
{
    const MigNameRequest *request = request_;

    if (!is_elsewhere(daemon, call, request->name, "UndrainNode", &mig_type_NameRequest, request,
                      &mig_type_Empty))
        peer_UndrainNode(daemon, call, request);
}
