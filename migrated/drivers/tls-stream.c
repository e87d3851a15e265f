/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* tls-stream.c - a TLS session as a GIOStream with two pollable halves. */
#include "drivers/tls-private.h"

/*
 * gnutls never waits here: its socket does not block, so each call below holds the session's lock
 * for as long as it takes to encrypt a record. Waiting is done outside of it, on the socket.
 */

/* ---- the session's bytes ---- */

/* The other end is no member any more: shutting the socket does not take back what has come in. */
static gboolean
is_cut(MigTlsSession *s, GError **error)
{
    if (!g_atomic_int_get(&s->is_cut))
        return FALSE;
    g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_CLOSED,
                        "its certificate stands in no slot any more");
    return TRUE;
}

static gssize
read_some(MigTlsSession *s, void *buffer, gsize count, GError **error)
{
    gssize n;

    if (is_cut(s, error))
        return -1;
    g_mutex_lock(&s->lock);
    do
        n = gnutls_record_recv(s->session, buffer, count);
    while (n == GNUTLS_E_INTERRUPTED);
    if (n < 0)
        mig_tls_set_error(s, (int)n, error);
    g_mutex_unlock(&s->lock);
    /* once more: it may have been cut while this was read */
    return n < 0 || is_cut(s, error) ? -1 : n;
}

/* Where the other end has refused us, its alert says more than the broken pipe does. */
static void
set_write_error(MigTlsSession *s, gssize result, GError **error)
{
    char byte;
    gssize n;

    if (result != GNUTLS_E_AGAIN) {
        n = gnutls_record_recv(s->session, &byte, 1);
        if (n == GNUTLS_E_FATAL_ALERT_RECEIVED)
            result = n;
    }
    mig_tls_set_error(s, (int)result, error);
}

static gssize
write_some(MigTlsSession *s, const void *buffer, gsize count, GError **error)
{
    gssize n;

    if (is_cut(s, error))
        return -1;
    g_mutex_lock(&s->lock);
    do {
        /* begun before: the same bytes are offered again, but gnutls has them already */
        if (s->unsent)
            n = gnutls_record_send(s->session, NULL, 0);
        else
            n = gnutls_record_send(s->session, buffer, count);
    } while (n == GNUTLS_E_INTERRUPTED);
    if (n == GNUTLS_E_AGAIN && !s->unsent)
        s->unsent = count;
    if (n >= 0)
        s->unsent = 0;
    else
        set_write_error(s, n, error);
    g_mutex_unlock(&s->lock);
    return n < 0 ? -1 : MIN(n, (gssize)count);
}

static gboolean
has_decrypted(MigTlsSession *s)
{
    gsize pending;

    g_mutex_lock(&s->lock);
    pending = gnutls_record_check_pending(s->session);
    g_mutex_unlock(&s->lock);
    return pending > 0;
}

/* A source of the stream that fires with the socket, or at once. */
static GSource *
make_source(GObject *stream, MigTlsSession *s, GIOCondition condition, gboolean at_once,
            GCancellable *cancellable)
{
    g_autoptr(GSource) child =
        at_once ? g_timeout_source_new(0) : g_socket_create_source(s->socket, condition, NULL);

    return g_pollable_source_new_full(stream, child, cancellable);
}

/* ---- input ---- */

#define MIG_TYPE_TLS_INPUT (mig_tls_input_get_type())
G_DECLARE_FINAL_TYPE(MigTlsInput, mig_tls_input, MIG, TLS_INPUT, GInputStream)

struct _MigTlsInput {
    GInputStream parent;
    MigTlsSession *session;
};

static gboolean
input_is_readable(GPollableInputStream *stream)
{
    MigTlsSession *s = MIG_TLS_INPUT(stream)->session;

    return has_decrypted(s) || g_socket_condition_check(s->socket, G_IO_IN) != 0;
}

static gssize
input_read_nonblocking(GPollableInputStream *stream, void *buffer, gsize count, GError **error)
{
    return read_some(MIG_TLS_INPUT(stream)->session, buffer, count, error);
}

static GSource *
input_create_source(GPollableInputStream *stream, GCancellable *cancellable)
{
    MigTlsSession *s = MIG_TLS_INPUT(stream)->session;

    return make_source(G_OBJECT(stream), s, G_IO_IN, has_decrypted(s), cancellable);
}

static void
input_pollable(GPollableInputStreamInterface *interface)
{
    interface->is_readable = input_is_readable;
    interface->read_nonblocking = input_read_nonblocking;
    interface->create_source = input_create_source;
}

G_DEFINE_TYPE_WITH_CODE(MigTlsInput, mig_tls_input, G_TYPE_INPUT_STREAM,
                        G_IMPLEMENT_INTERFACE(G_TYPE_POLLABLE_INPUT_STREAM, input_pollable))

static gssize
input_read(GInputStream *stream, void *buffer, gsize count, GCancellable *cancellable,
           GError **error)
{
    MigTlsSession *s = MIG_TLS_INPUT(stream)->session;

    for (;;) {
        g_autoptr(GError) bad = NULL;
        gssize n = read_some(s, buffer, count, &bad);

        if (n >= 0)
            return n;
        if (!g_error_matches(bad, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK)) {
            g_propagate_error(error, g_steal_pointer(&bad));
            return -1;
        }
        if (!g_socket_condition_wait(s->socket, G_IO_IN, cancellable, error))
            return -1;
    }
}

static void
input_finalize(GObject *object)
{
    mig_tls_session_unref(MIG_TLS_INPUT(object)->session);
    G_OBJECT_CLASS(mig_tls_input_parent_class)->finalize(object);
}

static void
mig_tls_input_class_init(MigTlsInputClass *class)
{
    G_OBJECT_CLASS(class)->finalize = input_finalize;
    G_INPUT_STREAM_CLASS(class)->read_fn = input_read;
}

static void
mig_tls_input_init(MigTlsInput *input)
{
}

/* ---- output ---- */

#define MIG_TYPE_TLS_OUTPUT (mig_tls_output_get_type())
G_DECLARE_FINAL_TYPE(MigTlsOutput, mig_tls_output, MIG, TLS_OUTPUT, GOutputStream)

struct _MigTlsOutput {
    GOutputStream parent;
    MigTlsSession *session;
};

static gboolean
output_is_writable(GPollableOutputStream *stream)
{
    return g_socket_condition_check(MIG_TLS_OUTPUT(stream)->session->socket, G_IO_OUT) != 0;
}

static gssize
output_write_nonblocking(GPollableOutputStream *stream, const void *buffer, gsize count,
                         GError **error)
{
    return write_some(MIG_TLS_OUTPUT(stream)->session, buffer, count, error);
}

static GSource *
output_create_source(GPollableOutputStream *stream, GCancellable *cancellable)
{
    return make_source(G_OBJECT(stream), MIG_TLS_OUTPUT(stream)->session, G_IO_OUT, FALSE,
                       cancellable);
}

static void
output_pollable(GPollableOutputStreamInterface *interface)
{
    interface->is_writable = output_is_writable;
    interface->write_nonblocking = output_write_nonblocking;
    interface->create_source = output_create_source;
}

G_DEFINE_TYPE_WITH_CODE(MigTlsOutput, mig_tls_output, G_TYPE_OUTPUT_STREAM,
                        G_IMPLEMENT_INTERFACE(G_TYPE_POLLABLE_OUTPUT_STREAM, output_pollable))

static gssize
output_write(GOutputStream *stream, const void *buffer, gsize count, GCancellable *cancellable,
             GError **error)
{
    MigTlsSession *s = MIG_TLS_OUTPUT(stream)->session;

    for (;;) {
        g_autoptr(GError) bad = NULL;
        gssize n = write_some(s, buffer, count, &bad);

        if (n >= 0)
            return n;
        if (!g_error_matches(bad, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK)) {
            g_propagate_error(error, g_steal_pointer(&bad));
            return -1;
        }
        if (!g_socket_condition_wait(s->socket, G_IO_OUT, cancellable, error))
            return -1;
    }
}

static void
output_finalize(GObject *object)
{
    mig_tls_session_unref(MIG_TLS_OUTPUT(object)->session);
    G_OBJECT_CLASS(mig_tls_output_parent_class)->finalize(object);
}

static void
mig_tls_output_class_init(MigTlsOutputClass *class)
{
    G_OBJECT_CLASS(class)->finalize = output_finalize;
    G_OUTPUT_STREAM_CLASS(class)->write_fn = output_write;
}

static void
mig_tls_output_init(MigTlsOutput *output)
{
}

/* ---- both ---- */

#define MIG_TYPE_TLS_STREAM (mig_tls_stream_get_type())
G_DECLARE_FINAL_TYPE(MigTlsStream, mig_tls_stream, MIG, TLS_STREAM, GIOStream)

struct _MigTlsStream {
    GIOStream parent;
    MigTlsSession *session;
    GInputStream *input;
    GOutputStream *output;
};

G_DEFINE_TYPE(MigTlsStream, mig_tls_stream, G_TYPE_IO_STREAM)

static GInputStream *
stream_get_input(GIOStream *stream)
{
    return MIG_TLS_STREAM(stream)->input;
}

static GOutputStream *
stream_get_output(GIOStream *stream)
{
    return MIG_TLS_STREAM(stream)->output;
}

/* The halves are left alone, as another thread may be using them: they find the socket shut. Its
 * descriptor is closed with the last reference. */
static gboolean
stream_close(GIOStream *stream, GCancellable *cancellable, GError **error)
{
    MigTlsSession *s = MIG_TLS_STREAM(stream)->session;

    g_mutex_lock(&s->lock);
    if (!s->unsent)
        gnutls_bye(s->session, GNUTLS_SHUT_WR);
    g_mutex_unlock(&s->lock);
    g_socket_shutdown(s->socket, TRUE, TRUE, NULL);
    return TRUE;
}

static void
stream_finalize(GObject *object)
{
    MigTlsStream *stream = MIG_TLS_STREAM(object);

    g_object_unref(stream->input);
    g_object_unref(stream->output);
    mig_tls_session_unref(stream->session);
    G_OBJECT_CLASS(mig_tls_stream_parent_class)->finalize(object);
}

static void
mig_tls_stream_class_init(MigTlsStreamClass *class)
{
    G_OBJECT_CLASS(class)->finalize = stream_finalize;
    G_IO_STREAM_CLASS(class)->get_input_stream = stream_get_input;
    G_IO_STREAM_CLASS(class)->get_output_stream = stream_get_output;
    G_IO_STREAM_CLASS(class)->close_fn = stream_close;
}

static void
mig_tls_stream_init(MigTlsStream *stream)
{
}

GIOStream *
mig_tls_stream_new(MigTlsSession *session)
{
    MigTlsStream *stream = g_object_new(MIG_TYPE_TLS_STREAM, NULL);
    MigTlsInput *input = g_object_new(MIG_TYPE_TLS_INPUT, NULL);
    MigTlsOutput *output = g_object_new(MIG_TYPE_TLS_OUTPUT, NULL);

    stream->session = mig_tls_session_ref(session);
    input->session = mig_tls_session_ref(session);
    output->session = mig_tls_session_ref(session);
    stream->input = G_INPUT_STREAM(input);
    stream->output = G_OUTPUT_STREAM(output);
    return G_IO_STREAM(stream);
}

gboolean
mig_tls_stands(GIOStream *stream)
{
    return !g_atomic_int_get(&MIG_TLS_STREAM(stream)->session->is_cut);
}
