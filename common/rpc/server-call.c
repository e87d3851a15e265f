/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* server-call.c - the handler's side of a call; any thread. */

#include "rpc/server-private.h"

#include "base/error.h"

void
mig_rpc_call_deny(MigRpcCall *call, const char *what)
{
    mig_rpc_access_log(call->connection, call->full_method, call->full_method, what);
    mig_rpc_call_fail(call, g_error_new_literal(MIG_ERROR, MIG_ERROR_DENIED, what));
}

/* Sends the last answer and frees the call. */
void
mig_rpc_call_finish(MigRpcCall *call, MigRpcAnswer answer)
{
    MigRpcConnection *connection = call->connection;

    answer.is_last = TRUE;
    mig_rpc_access_audit(call, call->error_name);
    mig_message_free(call->method->request, call->request);
    g_free(call->full_method);
    g_free(call);
    mig_rpc_connection_push(connection, answer);
    mig_rpc_connection_unref(connection);
}

MigRpcOrigin
mig_rpc_call_get_origin(MigRpcCall *call)
{
    return call->connection->origin;
}

const char *
mig_rpc_call_get_peer(MigRpcCall *call)
{
    return call->connection->peer;
}

const char *
mig_rpc_call_get_from(MigRpcCall *call)
{
    return call->connection->from;
}

guint32
mig_rpc_call_get_uid(MigRpcCall *call)
{
    return call->connection->uid;
}

const char *
mig_rpc_call_get_method(MigRpcCall *call)
{
    return call->full_method;
}

gboolean
mig_rpc_call_wants_more(MigRpcCall *call)
{
    return call->wants_more;
}

gboolean
mig_rpc_call_is_read(MigRpcCall *call)
{
    return (call->method->flags & MIG_RPC_METHOD_READ) != 0;
}

gboolean
mig_rpc_call_is_gone(MigRpcCall *call)
{
    return g_cancellable_is_cancelled(call->connection->gone);
}

GCancellable *
mig_rpc_call_get_gone(MigRpcCall *call)
{
    return call->connection->gone;
}

/* NULL for oneway; too big an answer becomes an error, so that the client learns of it. */
static GBytes *
answer_frame(MigRpcCall *call, gconstpointer reply, gboolean continues)
{
    GBytes *frame;

    if (call->oneway)
        return NULL;
    frame = mig_reply_frame(call->method->reply, reply, continues);
    if (!frame && !continues)
        frame = mig_error_frame("io.migrated.Failed", "message", "the answer is too long");
    return frame;
}

void
mig_rpc_call_progress(MigRpcCall *call, gconstpointer reply)
{
    MigRpcAnswer answer = {0};

    if (!call->wants_more || mig_rpc_call_is_gone(call))
        return;
    answer.frame = answer_frame(call, reply, TRUE);
    if (answer.frame)
        mig_rpc_connection_push(call->connection, answer);
}

void
mig_rpc_call_reply(MigRpcCall *call, gconstpointer reply)
{
    mig_rpc_call_finish(call, (MigRpcAnswer){.frame = answer_frame(call, reply, FALSE)});
}

void
mig_rpc_call_fail(MigRpcCall *call, GError *error)
{
    MigRpcAnswer answer = {0};
    int code = error && error->domain == MIG_ERROR ? error->code : MIG_ERROR_FAILED;
    g_autofree char *name = g_strconcat("io.migrated.", mig_error_name(code), NULL);

    call->error_name = mig_error_name(code);
    if (!call->oneway)
        answer.frame = mig_error_frame(name, "message", error ? error->message : "failed");
    g_clear_error(&error);
    mig_rpc_call_finish(call, answer);
}

void
mig_rpc_call_upgrade(MigRpcCall *call, gconstpointer reply, MigRpcUpgraded upgraded,
                     gpointer user_data)
{
    g_return_if_fail(call->method->flags & MIG_RPC_METHOD_UPGRADE);
    mig_rpc_call_finish(call, (MigRpcAnswer){.frame = answer_frame(call, reply, FALSE),
                                             .is_upgrade = TRUE,
                                             .upgraded = upgraded,
                                             .upgraded_data = user_data});
}
