/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* client.c - a blocking Varlink client. */

#include "rpc/client.h"

#include "base/error.h"
#include "rpc/envelope.h"
#include "rpc/frame.h"
#include "rpc/tcp.h"

#include <gio/gunixsocketaddress.h>
#include <string.h>

/*
 * Blocks in a GMainContext of its own on pollable streams: that gives millisecond deadlines and
 * cancellation for plain sockets and for TLS alike, without touching the socket beneath.
 *
 * A call that fails half-way (timeout, cancelled, broken frame) leaves an answer under way that
 * nobody waits for. The connection is then given up: later calls fail at once.
 */

struct MigRpcClient {
    GIOStream *stream;
    GMainContext *context;
    MigFrameBuffer received;
    char *where;              /* for messages */
    MigErrorCode unreachable; /* NO_DAEMON or NODE_UNREACHABLE */
    gboolean is_broken;
    gint64 caller_uid; /* -1: not told */
};

#define CONNECT_UNIX_TIMEOUT_MS 5000

/* ---- waiting ---- */

static gboolean
on_ready(GObject *stream, gpointer user_data)
{
    *(gboolean *)user_data = TRUE;
    return G_SOURCE_REMOVE;
}

static gboolean
on_flag(gpointer user_data)
{
    *(gboolean *)user_data = TRUE;
    return G_SOURCE_REMOVE;
}

static void
on_cancelled(GCancellable *cancellable, gpointer context)
{
    g_main_context_wakeup(context);
}

/* Waits for the source (of a pollable stream; taken) until deadline_us, 0: for ever. cancellable is
 * no source of its own: GLib 2.74 leaks one that ends while another thread cancels. */
static gboolean
wait_for(MigRpcClient *client, GSource *source, gint64 deadline_us, GCancellable *cancellable,
         GError **error)
{
    gboolean ready = FALSE, late = FALSE;
    GSource *timeout = NULL;
    gulong handler = 0;

    g_source_set_callback(source, G_SOURCE_FUNC(on_ready), &ready, NULL);
    g_source_attach(source, client->context);
    if (deadline_us) {
        gint64 left_ms = (deadline_us - g_get_monotonic_time() + 999) / 1000;

        timeout = g_timeout_source_new((guint)CLAMP(left_ms, 0, G_MAXINT));
        g_source_set_callback(timeout, on_flag, &late, NULL);
        g_source_attach(timeout, client->context);
    }
    if (cancellable)
        handler =
            g_cancellable_connect(cancellable, G_CALLBACK(on_cancelled), client->context, NULL);
    while (!ready && !late && !g_cancellable_is_cancelled(cancellable))
        g_main_context_iteration(client->context, TRUE);
    g_cancellable_disconnect(cancellable, handler);
    g_source_destroy(source);
    g_source_unref(source);
    if (timeout) {
        g_source_destroy(timeout);
        g_source_unref(timeout);
    }
    if (g_cancellable_is_cancelled(cancellable)) {
        g_set_error(error, MIG_ERROR, MIG_ERROR_CANCELLED, "cancelled while waiting for %s",
                    client->where);
        return FALSE;
    }
    if (!ready) {
        g_set_error(error, MIG_ERROR, MIG_ERROR_TIMEOUT, "%s did not answer in time",
                    client->where);
        return FALSE;
    }
    return TRUE;
}

static gint64
deadline_after(guint timeout_ms)
{
    return timeout_ms ? g_get_monotonic_time() + (gint64)timeout_ms * 1000 : 0;
}

/* ---- bytes ---- */

static void
set_lost(MigRpcClient *client, const GError *bad, GError **error)
{
    if (bad->domain == MIG_ERROR)
        g_set_error(error, MIG_ERROR, bad->code, "%s: %s", client->where, bad->message);
    else
        g_set_error(error, MIG_ERROR, client->unreachable, "lost the connection to %s: %s",
                    client->where, bad->message);
}

static gboolean
send_bytes(MigRpcClient *client, GBytes *frame, gint64 deadline_us, GCancellable *cancellable,
           GError **error)
{
    GPollableOutputStream *out =
        G_POLLABLE_OUTPUT_STREAM(g_io_stream_get_output_stream(client->stream));
    gsize size, done = 0;
    const char *data = g_bytes_get_data(frame, &size);

    while (done < size) {
        g_autoptr(GError) bad = NULL;
        gssize n =
            g_pollable_output_stream_write_nonblocking(out, data + done, size - done, NULL, &bad);

        if (n > 0) {
            done += (gsize)n;
        } else if (!g_error_matches(bad, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK)) {
            set_lost(client, bad, error);
            return FALSE;
        } else if (!wait_for(client, g_pollable_output_stream_create_source(out, NULL), deadline_us,
                             cancellable, error)) {
            return FALSE;
        }
    }
    return TRUE;
}

/* max_read 1: nothing behind the frame is taken from the stream. */
static gboolean
receive_frame(MigRpcClient *client, gsize max_read, char **frame, gsize *length, gint64 deadline_us,
              GCancellable *cancellable, GError **error)
{
    GPollableInputStream *in =
        G_POLLABLE_INPUT_STREAM(g_io_stream_get_input_stream(client->stream));

    for (;;) {
        char buffer[16384];
        g_autoptr(GError) bad = NULL;
        gssize n;

        switch (mig_frame_buffer_take(&client->received, frame, length)) {
        case MIG_FRAME_READY:
            return TRUE;
        case MIG_FRAME_TOO_BIG:
            g_set_error(error, MIG_ERROR, MIG_ERROR_PROTOCOL, "%s sent too long a message",
                        client->where);
            return FALSE;
        case MIG_FRAME_NONE:
        default:
            break;
        }
        n = g_pollable_input_stream_read_nonblocking(in, buffer, MIN(max_read, sizeof(buffer)),
                                                     NULL, &bad);
        if (n > 0) {
            mig_frame_buffer_append(&client->received, buffer, (gsize)n);
        } else if (n == 0) {
            g_set_error(error, MIG_ERROR, client->unreachable,
                        "%s closed the connection without an answer", client->where);
            return FALSE;
        } else if (!g_error_matches(bad, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK)) {
            set_lost(client, bad, error);
            return FALSE;
        } else if (!wait_for(client, g_pollable_input_stream_create_source(in, NULL), deadline_us,
                             cancellable, error)) {
            return FALSE;
        }
    }
}

/* ---- answers ---- */

static const char *
get_text(MigJson *object, const char *key)
{
    MigJson *value = NULL;

    if (!object || !json_object_object_get_ex(object, key, &value) ||
        !json_object_is_type(value, json_type_string))
        return NULL;
    return json_object_get_string(value);
}

/* The service's error as ours. */
static void
set_remote_error(MigRpcClient *client, const MigReplyEnvelope *reply, GError **error)
{
    const char *message = get_text(reply->parameters, "message");

    if (g_str_has_prefix(reply->error, "io.migrated.") && message) {
        const char *name = strrchr(reply->error, '.') + 1;

        g_set_error_literal(error, MIG_ERROR, (int)mig_error_from_name(name), message);
    } else if (g_str_equal(reply->error, MIG_VARLINK_SERVICE ".MethodNotFound") ||
               g_str_equal(reply->error, MIG_VARLINK_SERVICE ".MethodNotImplemented") ||
               g_str_equal(reply->error, MIG_VARLINK_SERVICE ".InterfaceNotFound")) {
        const char *what = get_text(reply->parameters, "method");

        g_set_error(error, MIG_ERROR, MIG_ERROR_PROTOCOL,
                    "%s does not know \"%s\"; is it of another version?", client->where,
                    what ? what : "this interface");
    } else {
        g_set_error(error, MIG_ERROR, MIG_ERROR_PROTOCOL, "%s answered with %s", client->where,
                    reply->error);
    }
}

static gboolean
read_reply(MigRpcClient *client, const MigType *type, gsize max_read, gpointer *reply,
           gboolean *continues, gint64 deadline_us, GCancellable *cancellable, GError **error)
{
    g_autofree char *frame = NULL;
    gsize length = 0;
    g_auto(MigReplyEnvelope) envelope = {0};

    client->is_broken = TRUE; /* until the answer has come in whole */
    if (!receive_frame(client, max_read, &frame, &length, deadline_us, cancellable, error))
        return FALSE;
    if (!mig_reply_envelope_parse(frame, length, &envelope, error)) {
        g_prefix_error(error, "%s: ", client->where);
        return FALSE;
    }
    if (envelope.error) {
        client->is_broken = FALSE;
        set_remote_error(client, &envelope, error);
        return FALSE;
    }
    *reply = mig_json_to_reply(type, envelope.parameters, error);
    if (!*reply) {
        g_prefix_error(error, "%s: ", client->where);
        return FALSE;
    }
    *continues = envelope.continues;
    client->is_broken = envelope.continues;
    return TRUE;
}

static gboolean
send_request(MigRpcClient *client, const char *method, const MigType *type, gconstpointer request,
             gboolean more, gboolean upgrade, gint64 deadline_us, GCancellable *cancellable,
             GError **error)
{
    g_autoptr(GBytes) frame =
        mig_request_frame_for(client->caller_uid, method, type, request, more, upgrade);

    if (client->is_broken) {
        g_set_error(error, MIG_ERROR, client->unreachable,
                    "the connection to %s was given up after an earlier failure", client->where);
        return FALSE;
    }
    if (!frame) {
        g_set_error(error, MIG_ERROR, MIG_ERROR_BAD_VALUE,
                    "the request is too long: %u bytes at most", MIG_MESSAGE_MAX_BYTES);
        return FALSE;
    }
    client->is_broken = TRUE;
    if (!send_bytes(client, frame, deadline_us, cancellable, error))
        return FALSE;
    client->is_broken = FALSE;
    return TRUE;
}

/* ---- public ---- */

gboolean
mig_rpc_client_is_idle(MigRpcClient *client)
{
    GPollableInputStream *in =
        G_POLLABLE_INPUT_STREAM(g_io_stream_get_input_stream(client->stream));

    return !client->is_broken && mig_frame_buffer_length(&client->received) == 0 &&
           !g_pollable_input_stream_is_readable(in);
}

GIOStream *
mig_rpc_client_stream(MigRpcClient *client)
{
    return client->stream;
}

static GIOStream *
secure_stream(GSocket *socket, MigRpcClientSecure secure, gpointer user_data, const char *where,
              GError **error)
{
    GIOStream *stream;

    if (!secure)
        return G_IO_STREAM(g_socket_connection_factory_create_connection(socket));
    stream = secure(socket, user_data, error);
    if (!stream)
        g_prefix_error(error, "%s: ", where);
    return stream;
}

/* Takes the socket; connects it within the time. */
static MigRpcClient *
connect_client(GSocket *socket, GSocketAddress *address, const char *where,
               MigErrorCode unreachable, guint timeout_ms, MigRpcClientSecure secure,
               gpointer user_data, GError **error)
{
    g_autoptr(GSocket) owned = socket;
    g_autoptr(GIOStream) stream = NULL;
    g_autoptr(GError) bad = NULL;
    MigRpcClient *client;
    gint64 timeout_us = timeout_ms ? (gint64)timeout_ms * 1000 : -1;

    g_socket_set_blocking(socket, FALSE);
    if (!g_socket_connect(socket, address, NULL, &bad)) {
        gboolean pending = g_error_matches(bad, G_IO_ERROR, G_IO_ERROR_PENDING);

        if (pending) {
            g_clear_error(&bad);
            pending = g_socket_condition_timed_wait(socket, G_IO_OUT, timeout_us, NULL, &bad) &&
                      g_socket_check_connect_result(socket, &bad);
        }
        if (!pending) {
            /* of another host it is a firewall here, which lies between as any other */
            gboolean is_denied = g_socket_get_family(socket) == G_SOCKET_FAMILY_UNIX &&
                                 g_error_matches(bad, G_IO_ERROR, G_IO_ERROR_PERMISSION_DENIED);
            int code = is_denied ? (int)MIG_ERROR_DENIED : (int)unreachable;

            g_set_error(error, MIG_ERROR, code, "cannot reach %s: %s", where, bad->message);
            return NULL;
        }
    }
    mig_tcp_tune(socket);
    stream = secure_stream(socket, secure, user_data, where, error);
    if (!stream)
        return NULL;
    client = g_new0(MigRpcClient, 1);
    client->stream = g_steal_pointer(&stream);
    client->context = g_main_context_new();
    client->where = g_strdup(where);
    client->unreachable = unreachable;
    client->caller_uid = -1;
    mig_frame_buffer_init(&client->received);
    return client;
}

MigRpcClient *
mig_rpc_client_new_unix(const char *path, GError **error)
{
    g_autoptr(GSocketAddress) address = NULL;
    g_autofree char *where = g_strdup_printf("migrated at %s", path);
    GSocket *socket;

    if (!g_path_is_absolute(path) || strlen(path) > 107) {
        g_set_error(error, MIG_ERROR, MIG_ERROR_BAD_VALUE,
                    "\"%s\" cannot be a socket: an absolute path of at most 107 bytes is needed",
                    path);
        return NULL;
    }
    address = g_unix_socket_address_new(path);
    socket =
        g_socket_new(G_SOCKET_FAMILY_UNIX, G_SOCKET_TYPE_STREAM, G_SOCKET_PROTOCOL_DEFAULT, error);
    if (!socket)
        return NULL;
    return connect_client(socket, address, where, MIG_ERROR_NO_DAEMON, CONNECT_UNIX_TIMEOUT_MS,
                          NULL, NULL, error);
}

MigRpcClient *
mig_rpc_client_new_tcp(const char *address, guint16 port, guint timeout_ms,
                       MigRpcClientSecure secure, gpointer user_data, GError **error)
{
    g_autoptr(GSocketAddress) target = g_inet_socket_address_new_from_string(address, port);
    g_autofree char *where = g_strdup_printf("the node at %s port %u", address, port);
    GSocket *socket;

    if (!target) {
        g_set_error(error, MIG_ERROR, MIG_ERROR_BAD_VALUE, "\"%s\" is no IP address", address);
        return NULL;
    }
    socket = g_socket_new(g_socket_address_get_family(target), G_SOCKET_TYPE_STREAM,
                          G_SOCKET_PROTOCOL_TCP, error);
    if (!socket)
        return NULL;
    return connect_client(socket, target, where, MIG_ERROR_NODE_UNREACHABLE, timeout_ms, secure,
                          user_data, error);
}

void
mig_rpc_client_set_caller(MigRpcClient *client, guint32 uid)
{
    client->caller_uid = uid;
}

void
mig_rpc_client_free(MigRpcClient *client)
{
    if (!client)
        return;
    if (client->stream)
        g_io_stream_close(client->stream, NULL, NULL);
    g_clear_object(&client->stream);
    mig_frame_buffer_clear(&client->received);
    g_main_context_unref(client->context);
    g_free(client->where);
    g_free(client);
}

gpointer
mig_rpc_client_call(MigRpcClient *client, const char *method, const MigType *request_type,
                    gconstpointer request, const MigType *reply_type, guint timeout_ms,
                    GCancellable *cancellable, GError **error)
{
    gint64 deadline_us = deadline_after(timeout_ms);
    gpointer reply = NULL;
    gboolean continues = FALSE;

    if (!send_request(client, method, request_type, request, FALSE, FALSE, deadline_us, cancellable,
                      error) ||
        !read_reply(client, reply_type, G_MAXSIZE, &reply, &continues, deadline_us, cancellable,
                    error))
        return NULL;
    if (continues) {
        mig_message_free(reply_type, reply);
        g_set_error(error, MIG_ERROR, MIG_ERROR_PROTOCOL, "%s answered one call with a stream",
                    client->where);
        return NULL;
    }
    return reply;
}

gpointer
mig_rpc_client_call_more(MigRpcClient *client, const char *method, const MigType *request_type,
                         gconstpointer request, const MigType *reply_type, MigRpcProgress progress,
                         gpointer user_data, guint timeout_ms, GCancellable *cancellable,
                         GError **error)
{
    gint64 deadline_us = deadline_after(timeout_ms);

    if (!send_request(client, method, request_type, request, TRUE, FALSE, deadline_us, cancellable,
                      error))
        return NULL;
    for (;;) {
        gpointer reply = NULL;
        gboolean continues = FALSE;

        if (!read_reply(client, reply_type, G_MAXSIZE, &reply, &continues, deadline_us, cancellable,
                        error))
            return NULL;
        if (!continues)
            return reply;
        if (progress)
            progress(reply, user_data);
        mig_message_free(reply_type, reply);
    }
}

GIOStream *
mig_rpc_client_upgrade(MigRpcClient *client, const char *method, const MigType *request_type,
                       gconstpointer request, const MigType *reply_type, gpointer *reply,
                       guint timeout_ms, GError **error)
{
    gint64 deadline_us = deadline_after(timeout_ms);
    gpointer answer = NULL;
    gboolean continues = FALSE;

    /* Byte by byte: what the service sends behind its answer belongs to the caller. */
    if (!send_request(client, method, request_type, request, FALSE, TRUE, deadline_us, NULL,
                      error) ||
        !read_reply(client, reply_type, 1, &answer, &continues, deadline_us, NULL, error))
        return NULL;
    client->is_broken = TRUE;
    if (reply)
        *reply = answer;
    else
        mig_message_free(reply_type, answer);
    return g_steal_pointer(&client->stream);
}
