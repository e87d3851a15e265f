/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* api.c - from the server's tables to the methods, by way of worker threads. */
#include "api.h"

#include "forward.h"

/*
 * Five pools, so that calls that wait never keep those from running that others wait for: what
 * people ask, what libvirt's hook asks, in the middle of a start or a move; what peers ask and
 * takes time (start, stop, checks of many VMs), changes that peers ask of a coordinator, and what
 * peers ask in the middle of a move. Streams hold none of these threads (watchers.h, forward.h).
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

static GThreadPool *pool, *hook_pool, *slow_peer_pool, *peer_pool, *change_pool;

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
    if (method == peer_Change)
        return change_pool;
    return method == peer_StartVm || method == peer_StopVm || method == peer_GrowImage ||
                   method == peer_RecoverVm || method == peer_CheckVm ||
                   method == peer_FollowMove || method == peer_AskRestart
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
        change_pool = g_thread_pool_new(work, NULL, PEER_WORKERS, FALSE, NULL);
        peer_pool = g_thread_pool_new(work, NULL, PEER_WORKERS, FALSE, NULL);
    }
    mig_rpc_server_add_interface(server, MIG_API_INTERFACE, mig_api_varlink, api_methods, daemon);
    mig_rpc_server_add_interface(server, MIG_PEER_INTERFACE, mig_peer_varlink, peer_methods,
                                 daemon);
}

/* ---- forwarding ---- */

void
mig_api_forward(MigDaemon *daemon, MigRpcCall *call, const char *node, const char *method,
                const MigType *request_type, gconstpointer request, const MigType *reply_type,
                guint timeout_ms)
{
    const MigForward forward = {.node = node,
                                .method = method,
                                .request_type = request_type,
                                .request = request,
                                .reply_type = reply_type,
                                .timeout_ms = timeout_ms};

    mig_forward(daemon->peer, call, &forward);
}
