/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* api.c - from the server's tables to the methods, by way of worker threads. */
#include "api.h"

#include "base/error.h"
#include "volumes.h"

/*
 * Four pools, so that calls that wait never keep those from running that others wait for: what
 * people ask (a forwarded move holds its thread for as long as it takes); what libvirt's hook asks,
 * in the middle of a start or a move; what peers ask and takes time (start, stop, checks of many
 * VMs); and what peers ask in the middle of a move.
 */
#define WORKERS      96
#define HOOK_WORKERS 32
#define PEER_WORKERS 32

typedef struct {
    MigApiMethod method;
    MigDaemon *daemon;
    MigRpcCall *call;
    gconstpointer request;
} Work;

static GThreadPool *pool, *hook_pool, *slow_peer_pool, *peer_pool;

static void
work(gpointer data, gpointer user_data)
{
    Work *one = data;

    one->method(one->daemon, one->call, one->request);
    g_free(one);
}

static void
push(GThreadPool *to, MigApiMethod method, MigRpcCall *call, gconstpointer request,
     MigDaemon *daemon)
{
    Work *one = g_new0(Work, 1);

    one->method = method;
    one->daemon = daemon;
    one->call = call;
    one->request = request;
    g_thread_pool_push(to, one, NULL);
}

static GThreadPool *
pool_of_peers(MigApiMethod method)
{
    return method == peer_StartVm || method == peer_StopVm || method == peer_RecoverVm ||
                   method == peer_CheckVm || method == peer_FollowMove
               ? slow_peer_pool
               : peer_pool;
}

static GThreadPool *
pool_of_people(MigApiMethod method)
{
    return method == api_HookDomain ? hook_pool : pool;
}

#define API_HANDLER(name, request_type, reply_type, flags)                                 \
    static void on_api_##name(MigRpcCall *call, gconstpointer request, gpointer user_data) \
    {                                                                                      \
        push(pool_of_people(api_##name), api_##name, call, request, user_data);            \
    }
#define PEER_HANDLER(name, request_type, reply_type, flags)                                 \
    static void on_peer_##name(MigRpcCall *call, gconstpointer request, gpointer user_data) \
    {                                                                                       \
        push(pool_of_peers(peer_##name), peer_##name, call, request, user_data);            \
    }
MIG_API_METHODS(API_HANDLER)
MIG_PEER_METHODS(PEER_HANDLER)

#define API_ROW(name, request, reply, flags) \
    {#name, &mig_type_##request, &mig_type_##reply, flags, on_api_##name},
#define PEER_ROW(name, request, reply, flags) \
    {#name, &mig_type_##request, &mig_type_##reply, flags, on_peer_##name},

static const MigRpcMethod api_methods[] = {MIG_API_METHODS(API_ROW){NULL, NULL, NULL, 0, NULL}};
static const MigRpcMethod peer_methods[] = {MIG_PEER_METHODS(PEER_ROW){NULL, NULL, NULL, 0, NULL}};

void
mig_api_install(MigRpcServer *server, MigDaemon *daemon)
{
    if (!pool) {
        pool = g_thread_pool_new(work, NULL, WORKERS, FALSE, NULL);
        hook_pool = g_thread_pool_new(work, NULL, HOOK_WORKERS, FALSE, NULL);
        slow_peer_pool = g_thread_pool_new(work, NULL, PEER_WORKERS, FALSE, NULL);
        peer_pool = g_thread_pool_new(work, NULL, PEER_WORKERS, FALSE, NULL);
    }
    mig_rpc_server_add_interface(server, MIG_API_INTERFACE, mig_api_varlink, api_methods, daemon);
    mig_rpc_server_add_interface(server, MIG_PEER_INTERFACE, mig_peer_varlink, peer_methods,
                                 daemon);
}

/* ---- forwarding ---- */

/* For whom it is asked, where that node would understand it. */
static void
tell_caller(MigDaemon *daemon, MigRpcClient *client, const char *node, MigRpcCall *call)
{
    g_autoptr(MigNodeView) view = mig_volumes_node(daemon->volumes, node, NULL);
    guint32 uid = mig_rpc_call_get_uid(call);

    if (view && uid != G_MAXUINT32 && mig_node_hears_callers(view->node))
        mig_rpc_client_set_caller(client, uid);
}

static void
on_progress(gconstpointer reply, gpointer user_data)
{
    mig_rpc_call_progress(user_data, reply);
}

void
mig_api_forward(MigDaemon *daemon, MigRpcCall *call, const char *node, const char *method,
                const MigType *request_type, gconstpointer request, const MigType *reply_type,
                guint timeout_ms)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *name = g_strconcat(MIG_PEER_INTERFACE ".", method, NULL);
    gpointer reply = NULL;
    gint64 since = 0;

    do {
        g_autoptr(MigRpcClient) client = mig_peer_rpc_open(daemon->peer, node, &error);

        if (client)
            tell_caller(daemon, client, node, call);
        if (client && mig_rpc_call_wants_more(call))
            reply = mig_rpc_client_call_more(client, name, request_type, request, reply_type,
                                             on_progress, call, timeout_ms, NULL, &error);
        else if (client)
            reply = mig_rpc_client_call(client, name, request_type, request, reply_type, timeout_ms,
                                        NULL, &error);
    } while (!reply && mig_peer_rpc_again(daemon->peer, &since, &error));
    if (!reply) {
        mig_rpc_call_fail(call, g_steal_pointer(&error));
        return;
    }
    mig_rpc_call_reply(call, reply);
    mig_message_free(reply_type, reply);
}
