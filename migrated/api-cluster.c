/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* api-cluster.c - methods by which nodes come and go. */
#include "api.h"

#include "base/error.h"
#include "members.h"
#include "setup.h"
#include "trusted.h"

/* Coming into a cluster is served by setup.c, where there is none yet. */
static void
refuse_second(MigDaemon *daemon, MigRpcCall *call)
{
    mig_rpc_call_fail(call, g_error_new(MIG_ERROR, MIG_ERROR_EXISTS,
                                        "this node is %s, host id %u, of a cluster already; "
                                        "'migratectl cluster leave' first, or, for one more "
                                        "volume, 'migratectl volume format' and 'attach'",
                                        daemon->node, daemon->host_id));
}

void
api_CreateCluster(MigDaemon *daemon, MigRpcCall *call, gconstpointer request_)
{
    refuse_second(daemon, call);
}

void
api_JoinCluster(MigDaemon *daemon, MigRpcCall *call, gconstpointer request_)
{
    refuse_second(daemon, call);
}

void
api_LeaveCluster(MigDaemon *daemon, MigRpcCall *call, gconstpointer request_)
{
    g_autoptr(GError) error = NULL;

    if (!mig_members_leave(daemon, &error)) {
        mig_rpc_call_fail(call, g_steal_pointer(&error));
        return;
    }
    g_message("this node is in no cluster any more; starting anew");
    mig_rpc_call_reply(call, NULL);
    mig_restart_soon();
}

void
api_RemoveNode(MigDaemon *daemon, MigRpcCall *call, gconstpointer request_)
{
    const MigNameRequest *request = request_;
    g_autoptr(GError) error = NULL;
    gboolean ok = mig_members_remove(daemon, request->name, &error);

    mig_api_done(call, ok, &error);
}

void
api_RotateKey(MigDaemon *daemon, MigRpcCall *call, gconstpointer request_)
{
    g_autofree char *certificate = NULL;
    g_autoptr(GError) error = NULL;
    guint connections = 0;

    if (!mig_trusted_rotate(daemon->trusted, &certificate, &error)) {
        mig_rpc_call_fail(call, g_steal_pointer(&error));
        return;
    }
    mig_trusted_is_rotating(daemon->trusted, &connections);
    mig_rpc_call_reply(
        call, &(MigRotateKeyReply){.certificate = certificate, .connections = connections});
}
