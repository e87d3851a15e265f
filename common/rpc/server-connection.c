/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* server-connection.c - one connection: bytes in, frames to the dispatcher, answers out. */

#include "rpc/server-private.h"

#include "base/log.h"

/*
 * One call at a time: the next frame is looked at when the answer to the one before is wholly on
 * the wire. So what one connection can make us hold is bounded: one frame being received plus
 * READ_AHEAD, one last answer, and a capped number of interim ones.
 *
 * Reading goes on during a call, so that a client's leaving is noticed; an upgrade stops it.
 */

#define READ_AHEAD (64u << 10) /* bytes taken in while a call runs */

static void pump(MigRpcConnection *c);

/* ---- life ---- */

static void
answer_free(MigRpcAnswer *answer)
{
    g_clear_pointer(&answer->frame, g_bytes_unref);
    g_free(answer);
}

MigRpcConnection *
mig_rpc_connection_ref(MigRpcConnection *c)
{
    g_atomic_ref_count_inc(&c->references);
    return c;
}

void
mig_rpc_connection_unref(MigRpcConnection *c)
{
    if (!g_atomic_ref_count_dec(&c->references))
        return;
    g_queue_clear_full(&c->wire, (GDestroyNotify)answer_free);
    g_queue_clear_full(&c->outbox, (GDestroyNotify)answer_free);
    mig_frame_buffer_clear(&c->received);
    g_clear_object(&c->stream);
    g_clear_object(&c->cancellable);
    g_clear_object(&c->read_cancellable);
    g_clear_object(&c->gone);
    mig_rpc_denials_unref(c->denials);
    g_mutex_clear(&c->lock);
    g_main_context_unref(c->context);
    g_free(c->from);
    g_free(c->peer);
    g_free(c);
}

MigRpcConnection *
mig_rpc_connection_new(MigRpcServer *server, GIOStream *stream, MigRpcOrigin origin, guint32 uid,
                       const char *from, const char *peer, MigRpcAccess access,
                       const char *only_interface)
{
    MigRpcConnection *c = g_new0(MigRpcConnection, 1);

    g_atomic_ref_count_init(&c->references);
    c->context = g_main_context_ref(server->context);
    c->server = server;
    c->stream = g_object_ref(stream);
    c->origin = origin;
    c->uid = uid;
    c->from = g_strdup(from);
    c->peer = g_strdup(peer);
    c->access = access;
    c->only_interface = only_interface;
    c->cancellable = g_cancellable_new();
    c->read_cancellable = g_cancellable_new();
    c->gone = g_cancellable_new();
    c->denials = mig_rpc_denials_ref(server->denials);
    mig_frame_buffer_init(&c->received);
    g_queue_init(&c->wire);
    g_queue_init(&c->outbox);
    g_mutex_init(&c->lock);
    g_ptr_array_add(server->connections, mig_rpc_connection_ref(c));
    pump(c);
    return c;
}

static void
clear_deadline(MigRpcConnection *c)
{
    if (c->deadline) {
        g_source_destroy(c->deadline);
        g_clear_pointer(&c->deadline, g_source_unref);
    }
}

/* Gives the raw stream (and its reference) to whoever upgraded the connection, or tells them that
 * it is gone. */
static void
finish_upgrade(MigRpcAnswer *answer, GIOStream *stream)
{
    answer->upgraded(stream, answer->upgraded_data);
    answer_free(answer);
}

static void
drop_answers(MigRpcConnection *c)
{
    for (MigRpcAnswer *answer; (answer = g_queue_pop_head(&c->wire));) {
        if (answer->is_upgrade)
            finish_upgrade(answer, NULL);
        else
            answer_free(answer);
    }
}

/* Out of the server's list. Calls that still run keep the struct alive, nothing more. */
static void
detach(MigRpcConnection *c)
{
    MigRpcServer *server = c->server;

    c->is_closed = TRUE;
    c->server = NULL;
    g_cancellable_cancel(c->gone);
    clear_deadline(c);
    g_ptr_array_remove_fast(server->connections, c);
}

static void
close_stream_when_idle(MigRpcConnection *c)
{
    if (c->is_closed && c->stream && !c->is_reading && !c->is_writing) {
        g_io_stream_close(c->stream, NULL, NULL);
        g_clear_object(&c->stream);
    }
}

void
mig_rpc_connection_close(MigRpcConnection *c)
{
    if (c->is_closed)
        return;
    mig_rpc_connection_ref(c);
    detach(c);
    g_cancellable_cancel(c->cancellable);
    g_cancellable_cancel(c->read_cancellable);
    drop_answers(c);
    close_stream_when_idle(c);
    mig_rpc_connection_unref(c);
}

/* ---- deadlines ---- */

static gboolean
on_deadline(gpointer user_data)
{
    MigRpcConnection *c = user_data;
    guint skipped = 0;

    if (mig_log_allow(&c->server->slow_limit, &skipped))
        mig_log_warning(MIG_FIELDS(.peer = c->peer, .from = c->from),
                        "closing a connection of %s: it took more than %u ms for one message (%u "
                        "more before)",
                        c->from, c->server->frame_timeout_ms, skipped);
    mig_rpc_connection_close(c);
    return G_SOURCE_REMOVE;
}

/* A client that has begun a frame, or has never sent one, is given time; one that waits for an
 * answer or rests between two calls is not hurried. */
static void
update_deadline(MigRpcConnection *c)
{
    gboolean wanted =
        c->close_when_written || (!c->is_busy && g_queue_is_empty(&c->wire) &&
                                  (!c->had_frame || mig_frame_buffer_length(&c->received) > 0));

    if (!wanted) {
        clear_deadline(c);
    } else if (!c->deadline) {
        c->deadline = g_timeout_source_new(c->server->frame_timeout_ms);
        g_source_set_callback(c->deadline, on_deadline, c, NULL);
        g_source_attach(c->deadline, c->context);
    }
}

/* ---- reading ---- */

static void
on_read(GObject *source, GAsyncResult *result, gpointer user_data)
{
    MigRpcConnection *c = user_data;
    g_autoptr(GError) error = NULL;
    gssize n = g_input_stream_read_finish(G_INPUT_STREAM(source), result, &error);

    c->is_reading = FALSE;
    if (c->is_closed) {
        close_stream_when_idle(c);
    } else if (n > 0) {
        mig_frame_buffer_append(&c->received, c->read_buffer, (gsize)n);
        pump(c);
    } else if (n < 0 && g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CANCELLED)) {
        pump(c); /* an upgrade has stopped the reading */
    } else if (n < 0) {
        mig_rpc_connection_close(c);
    } else {
        /* The client sends no more. What it asked for is still answered: it may only have closed
         * its sending half; but nobody should go to lengths for it. */
        c->had_eof = TRUE;
        g_cancellable_cancel(c->gone);
        pump(c);
    }
    mig_rpc_connection_unref(c);
}

static void
start_read(MigRpcConnection *c)
{
    gsize waiting = mig_frame_buffer_length(&c->received);
    gboolean held = c->is_busy || !g_queue_is_empty(&c->wire);

    if (c->is_reading || c->had_eof || c->is_upgrading || c->close_when_written ||
        (held && waiting >= READ_AHEAD))
        return;
    c->is_reading = TRUE;
    g_input_stream_read_async(g_io_stream_get_input_stream(c->stream), c->read_buffer,
                              sizeof(c->read_buffer), G_PRIORITY_DEFAULT, c->read_cancellable,
                              on_read, mig_rpc_connection_ref(c));
}

/* ---- writing ---- */

static void
forget_queued(MigRpcConnection *c, const MigRpcAnswer *answer)
{
    g_mutex_lock(&c->lock);
    c->queued_answers--;
    c->queued_bytes -= answer->frame ? g_bytes_get_size(answer->frame) : 0;
    g_mutex_unlock(&c->lock);
}

static void
on_written(GObject *source, GAsyncResult *result, gpointer user_data)
{
    MigRpcConnection *c = user_data;
    gssize n = g_output_stream_write_bytes_finish(G_OUTPUT_STREAM(source), result, NULL);

    c->is_writing = FALSE;
    if (c->is_closed) {
        close_stream_when_idle(c);
    } else if (n < 0) {
        mig_rpc_connection_close(c);
    } else {
        c->written += (gsize)n;
        pump(c);
    }
    mig_rpc_connection_unref(c);
}

/* Sends the wire's head, and lets go of those that are done. TRUE: the connection is not ours any
 * more (upgraded, closed). */
static gboolean
pump_wire(MigRpcConnection *c)
{
    while (!c->is_writing && !g_queue_is_empty(&c->wire)) {
        MigRpcAnswer *head = g_queue_peek_head(&c->wire);
        gsize size = 0;

        /* Before the answer goes out: the client's next byte is not ours. on_read() comes back. */
        if (head->is_upgrade && c->is_reading) {
            g_cancellable_cancel(c->read_cancellable);
            return FALSE;
        }
        if (head->frame)
            size = g_bytes_get_size(head->frame);
        if (c->written < size) {
            g_autoptr(GBytes) rest =
                g_bytes_new_from_bytes(head->frame, c->written, size - c->written);

            c->is_writing = TRUE;
            g_output_stream_write_bytes_async(g_io_stream_get_output_stream(c->stream), rest,
                                              G_PRIORITY_DEFAULT, c->cancellable, on_written,
                                              mig_rpc_connection_ref(c));
            return FALSE;
        }
        if (head->is_upgrade) {
            /* bytes sent before the answer was there: not a client of this protocol */
            if (mig_frame_buffer_length(&c->received) > 0) {
                mig_rpc_connection_close(c);
                return TRUE;
            }
            g_queue_pop_head(&c->wire);
            detach(c);
            finish_upgrade(head, g_steal_pointer(&c->stream));
            return TRUE;
        }
        c->written = 0;
        g_queue_pop_head(&c->wire);
        forget_queued(c, head);
        if (head->is_last)
            c->is_busy = c->is_upgrading = FALSE;
        answer_free(head);
    }
    if (c->close_when_written && !c->is_busy && g_queue_is_empty(&c->wire)) {
        mig_rpc_connection_close(c);
        return TRUE;
    }
    return FALSE;
}

/* ---- both ---- */

/* A client that breaks the framing: one error, then the end. */
static void
refuse_frame(MigRpcConnection *c)
{
    MigRpcAnswer answer = {.is_last = TRUE};
    guint skipped = 0;

    answer.frame = mig_error_frame("io.migrated.Protocol", "message", "message too long");
    c->close_when_written = TRUE;
    c->is_busy = TRUE;
    if (mig_log_allow(&c->server->size_limit, &skipped))
        mig_log_warning(MIG_FIELDS(.peer = c->peer, .from = c->from),
                        "refused a message of more than %u bytes from %s (%u more before)",
                        MIG_MESSAGE_MAX_BYTES, c->from, skipped);
    mig_rpc_connection_push(c, answer);
}

/* Calls may have queued up behind a slow one since it was last known to be a member. */
static gboolean
is_welcome(MigRpcConnection *c)
{
    return !c->peer || !c->server->peer_stands || c->server->peer_stands(c->stream);
}

/* Whatever is possible now is done; called after each event. */
static void
pump(MigRpcConnection *c)
{
    mig_rpc_connection_ref(c);
    while (!c->is_closed) {
        g_autofree char *frame = NULL;
        gsize length = 0;
        MigFrameStatus status;

        if (pump_wire(c))
            break;
        if (c->is_busy || c->close_when_written || !g_queue_is_empty(&c->wire))
            break;
        status = mig_frame_buffer_take(&c->received, &frame, &length);
        if (status != MIG_FRAME_NONE && !is_welcome(c)) {
            mig_rpc_connection_close(c);
            break;
        }
        if (status == MIG_FRAME_READY) {
            c->had_frame = TRUE;
            c->is_busy = TRUE;
            mig_rpc_dispatch(c, frame, length);
            continue;
        }
        if (status == MIG_FRAME_TOO_BIG)
            refuse_frame(c);
        else if (c->had_eof)
            mig_rpc_connection_close(c);
        break;
    }
    if (!c->is_closed) {
        start_read(c);
        update_deadline(c);
    }
    mig_rpc_connection_unref(c);
}

/* ---- the outbox ---- */

static gboolean
on_wake(gpointer user_data)
{
    MigRpcConnection *c = user_data;

    g_mutex_lock(&c->lock);
    c->wake_pending = FALSE;
    for (MigRpcAnswer *answer; (answer = g_queue_pop_head(&c->outbox));)
        g_queue_push_tail(&c->wire, answer);
    g_mutex_unlock(&c->lock);
    if (c->is_closed)
        drop_answers(c);
    else
        pump(c);
    return G_SOURCE_REMOVE;
}

void
mig_rpc_connection_push(MigRpcConnection *c, MigRpcAnswer answer)
{
    gsize size = answer.frame ? g_bytes_get_size(answer.frame) : 0;
    gboolean wake;

    g_mutex_lock(&c->lock);
    if (!answer.is_last && (c->queued_answers >= MIG_RPC_QUEUE_ANSWERS ||
                            c->queued_bytes + size > MIG_RPC_QUEUE_BYTES)) {
        g_mutex_unlock(&c->lock);
        g_clear_pointer(&answer.frame, g_bytes_unref);
        return;
    }
    g_queue_push_tail(&c->outbox, g_memdup2(&answer, sizeof(answer)));
    c->queued_answers++;
    c->queued_bytes += size;
    wake = !c->wake_pending;
    c->wake_pending = TRUE;
    g_mutex_unlock(&c->lock);

    /* Never written from here, not even on the main loop: a handler that answers at once would come
     * back into the dispatcher that called it. */
    if (wake) {
        g_autoptr(GSource) source = g_idle_source_new();

        g_source_set_priority(source, G_PRIORITY_DEFAULT);
        g_source_set_callback(source, on_wake, mig_rpc_connection_ref(c),
                              (GDestroyNotify)mig_rpc_connection_unref);
        g_source_attach(source, c->context);
    }
}
