/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* forward.c - passing calls on to the node that they concern. */
#include "forward.h"

#include "base/error.h"
#include "core/timeouts.h"

#include <unistd.h>

/* One stream. It stops when its client goes, but not before that node has said that it has begun
 * where something is to be begun: otherwise nobody here would know. */
typedef struct {
    MigPeerRpc *peer;
    MigRpcCall *call;
    MigForward what;
    char *node, *method;
    GCancellable *gone; /* of the call's client */
    GCancellable *stop;
    gulong handler; /* at gone, for stop */
    gpointer last;  /* what was told last */
    int *count;
} Stream;

static int looking, moving; /* atomic: streams of either kind */

/* The node's answer, or NULL. stream NULL: one answer and no more. */
static gpointer
ask(MigPeerRpc *peer, MigRpcCall *call, const MigForward *what, MigRpcProgress progress,
    gpointer user_data, guint timeout_ms, GCancellable *cancellable, GError **error)
{
    g_autofree char *name = g_strconcat(MIG_PEER_INTERFACE ".", what->method, NULL);
    gpointer reply = NULL;
    gint64 since = 0;

    do {
        g_autoptr(MigRpcClient) client =
            mig_peer_rpc_open_for(peer, what->node, mig_rpc_call_get_uid(call), error);

        if (client && progress)
            reply = mig_rpc_client_call_more(client, name, what->request_type, what->request,
                                             what->reply_type, progress, user_data, timeout_ms,
                                             cancellable, error);
        else if (client)
            reply = mig_rpc_client_call(client, name, what->request_type, what->request,
                                        what->reply_type, timeout_ms, cancellable, error);
    } while (!reply && mig_peer_rpc_again(peer, &since, error));
    return reply;
}

/* ---- streams ---- */

static void
on_gone(GCancellable *gone, gpointer user_data)
{
    g_cancellable_cancel(user_data);
}

static void
listen_for_leaving(Stream *stream)
{
    if (!stream->handler)
        stream->handler =
            g_cancellable_connect(stream->gone, G_CALLBACK(on_gone), stream->stop, NULL);
}

static void
on_progress(gconstpointer reply, gpointer user_data)
{
    Stream *stream = user_data;

    mig_rpc_call_progress(stream->call, reply);
    mig_message_free(stream->what.reply_type, stream->last);
    stream->last = mig_message_copy(stream->what.reply_type, reply);
    listen_for_leaving(stream);
}

static void
stream_free(Stream *stream)
{
    if (stream->handler)
        g_cancellable_disconnect(stream->gone, stream->handler);
    mig_message_free(stream->what.reply_type, stream->last);
    g_object_unref(stream->gone);
    g_object_unref(stream->stop);
    g_free(stream->node);
    g_free(stream->method);
    g_free(stream);
}

static void
run_stream(gpointer data, gpointer user_data)
{
    Stream *stream = data;
    g_autoptr(GError) error = NULL;
    gpointer reply;

    if (mig_rpc_call_is_read(stream->call))
        listen_for_leaving(stream);
    reply = ask(stream->peer, stream->call, &stream->what, on_progress, stream, 0, stream->stop,
                &error);
    g_atomic_int_dec_and_test(stream->count); /* who is answered may come again at once */
    if (!reply && stream->last && g_cancellable_is_cancelled(stream->stop))
        reply = g_steal_pointer(&stream->last); /* as if it had not asked for more */
    if (reply)
        mig_rpc_call_reply(stream->call, reply);
    else
        mig_rpc_call_fail(stream->call, g_steal_pointer(&error));
    mig_message_free(stream->what.reply_type, reply);
    stream_free(stream);
}

static GThreadPool *
get_pool(void)
{
    static GThreadPool *pool;

    if (g_once_init_enter(&pool))
        g_once_init_leave(&pool, g_thread_pool_new(run_stream, NULL, -1, FALSE, NULL));
    return pool;
}

/* A place among the streams of its kind, or NULL. */
static int *
take_place(MigRpcCall *call)
{
    guint32 uid = mig_rpc_call_get_uid(call);
    gboolean is_roots = uid == 0 || uid == geteuid();
    gboolean is_read = mig_rpc_call_is_read(call);
    int *count = is_read ? &looking : &moving;
    int limit = !is_read   ? MIG_FORWARD_MOVES
                : is_roots ? MIG_FORWARD_STREAMS
                           : MIG_FORWARD_STREAMS * 3 / 4;

    if (g_atomic_int_add(count, 1) < limit)
        return count;
    g_atomic_int_dec_and_test(count);
    return NULL;
}

static void
begin_stream(MigPeerRpc *peer, MigRpcCall *call, const MigForward *what)
{
    int *count = take_place(call);
    Stream *stream;

    if (!count) {
        mig_rpc_call_fail(call, g_error_new(MIG_ERROR, MIG_ERROR_BUSY,
                                            "this node watches as many jobs of other nodes as it "
                                            "can; try 'migratectl job list', or later"));
        return;
    }
    stream = g_new0(Stream, 1);
    stream->peer = peer;
    stream->call = call;
    stream->what = *what;
    stream->what.node = stream->node = g_strdup(what->node);
    stream->what.method = stream->method = g_strdup(what->method);
    stream->gone = g_object_ref(mig_rpc_call_get_gone(call));
    stream->stop = g_cancellable_new();
    stream->count = count;
    g_thread_pool_push(get_pool(), stream, NULL);
}

/* ---- both ---- */

void
mig_forward(MigPeerRpc *peer, MigRpcCall *call, const MigForward *what)
{
    g_autoptr(GError) error = NULL;
    gpointer reply;

    if (mig_rpc_call_wants_more(call)) {
        begin_stream(peer, call, what);
        return;
    }
    reply = ask(peer, call, what, NULL, NULL,
                what->timeout_ms ? what->timeout_ms : MIG_PEER_CALL_MS, NULL, &error);
    if (reply)
        mig_rpc_call_reply(call, reply);
    else
        mig_rpc_call_fail(call, g_steal_pointer(&error));
    mig_message_free(what->reply_type, reply);
}
