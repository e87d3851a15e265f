/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* api.h - the methods of io.migrated and io.migrated.Peer. */
#pragma once

#include "daemon.h"
#include "rpc/api-methods.h"

/*
 * Each method is one function with the name of the method, run on a worker thread: it checks the
 * request, calls the module that knows, shapes the answer, and finishes the call. A method that
 * concerns something on another node is passed on to that node's io.migrated.Peer, where it is
 * executed and never passed on again.
 */

typedef void (*MigApiMethod)(MigDaemon *daemon, MigRpcCall *call, gconstpointer request);

/* Adds both interfaces to the server. */
void mig_api_install(MigRpcServer *server, MigDaemon *daemon);

/* "api_" + method for io.migrated, "peer_" + method for io.migrated.Peer */
#define MIG_API_DECLARE(name, request, reply, flags) \
    void api_##name(MigDaemon *daemon, MigRpcCall *call, gconstpointer request_);
MIG_API_METHODS(MIG_API_DECLARE)
#undef MIG_API_DECLARE
#define MIG_API_DECLARE(name, request, reply, flags) \
    void peer_##name(MigDaemon *daemon, MigRpcCall *call, gconstpointer request_);
MIG_PEER_METHODS(MIG_API_DECLARE)
#undef MIG_API_DECLARE

/* Finishes a call that has nothing to tell but whether it went well; takes the error. */
static inline void
mig_api_done(MigRpcCall *call, gboolean ok, GError **error)
{
    if (ok)
        mig_rpc_call_reply(call, NULL);
    else
        mig_rpc_call_fail(call, g_steal_pointer(error));
}

/* Passes a call on to another node and finishes it with that node's answer; progress too
 * (forward.h). timeout_ms: of a call without a stream; 0: the usual one. */
void mig_api_forward(MigDaemon *daemon, MigRpcCall *call, const char *node, const char *method,
                     const MigType *request_type, gconstpointer request, const MigType *reply_type,
                     guint timeout_ms);
