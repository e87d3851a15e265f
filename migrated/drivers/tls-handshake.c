/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* tls-handshake.c - the handshakes of both ends, and what is said where one fails. */
#include "drivers/tls-private.h"

#include "base/error.h"
#include "base/log.h"

#include <errno.h>
#include <sys/socket.h>

#define LINGER_MS        1000
#define LINGER_MAX_BYTES (64 * 1024)

/* ---- what a handshake that failed says ---- */

static gboolean
is_about_certificate(gnutls_alert_description_t alert)
{
    return alert == GNUTLS_A_ACCESS_DENIED || alert == GNUTLS_A_BAD_CERTIFICATE ||
           alert == GNUTLS_A_UNKNOWN_CA || alert == GNUTLS_A_CERTIFICATE_EXPIRED ||
           alert == GNUTLS_A_CERTIFICATE_UNKNOWN || alert == GNUTLS_A_CERTIFICATE_REVOKED ||
           alert == GNUTLS_A_CERTIFICATE_REQUIRED;
}

void
mig_tls_set_error(MigTlsSession *s, int result, GError **error)
{
    gnutls_alert_description_t alert;

    if (result == GNUTLS_E_AGAIN) {
        g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK, "not now");
        return;
    }
    if (result == GNUTLS_E_FATAL_ALERT_RECEIVED) {
        alert = gnutls_alert_get(s->session);
        if (is_about_certificate(alert))
            g_set_error(error, MIG_ERROR, MIG_ERROR_PEER_REFUSED,
                        "it does not accept this node's certificate (%s); is this node on its "
                        "volumes, under this name, and do the clocks agree? Its log says why",
                        alert == GNUTLS_A_CERTIFICATE_EXPIRED ? "expired" : "access denied");
        else
            g_set_error(error, G_IO_ERROR, G_IO_ERROR_FAILED, "TLS: %s",
                        gnutls_alert_get_name(alert));
        return;
    }
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_FAILED, "TLS: %s", gnutls_strerror(result));
}

/* Only a first byte of 22 begins a TLS record of a handshake. */
static gboolean
is_plain_text(MigTlsSession *s)
{
    guint8 first;

    return recv(g_socket_get_fd(s->socket), &first, 1, MSG_PEEK | MSG_DONTWAIT) == 1 && first != 22;
}

static void
note_result(MigTlsSession *s, int result)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&s->tls->lock);

    if (s->verdict != MIG_TRUST_HANDSHAKE && s->verdict != MIG_TRUST_OK)
        return;
    if (result == GNUTLS_E_CERTIFICATE_REQUIRED || result == GNUTLS_E_NO_CERTIFICATE_FOUND)
        s->verdict = MIG_TRUST_NO_CERTIFICATE;
    else if (result == GNUTLS_E_UNSUPPORTED_VERSION_PACKET || result == GNUTLS_E_NO_CIPHER_SUITES)
        s->verdict = MIG_TRUST_OLD_TLS;
    else
        s->verdict = MIG_TRUST_HANDSHAKE;
}

static gnutls_alert_description_t
alert_of(MigTrustVerdict verdict, int result)
{
    int level;

    if (verdict == MIG_TRUST_EXPIRED || verdict == MIG_TRUST_NOT_YET)
        return GNUTLS_A_CERTIFICATE_EXPIRED;
    if (result == GNUTLS_E_CERTIFICATE_ERROR)
        return GNUTLS_A_ACCESS_DENIED;
    return gnutls_error_to_alert(result, &level);
}

/* One step: TRUE when it is over, with *result 0 or a fatal error. */
static gboolean
step(MigTlsSession *s, int *result, GIOCondition *wait_for)
{
    g_mutex_lock(&s->lock);
    do
        *result = gnutls_handshake(s->session);
    while (*result < 0 && *result != GNUTLS_E_AGAIN && !gnutls_error_is_fatal(*result));
    *wait_for = gnutls_record_get_direction(s->session) ? G_IO_OUT : G_IO_IN;
    g_mutex_unlock(&s->lock);
    if (*result == GNUTLS_E_AGAIN)
        return FALSE;
    if (*result < 0) {
        note_result(s, *result);
        g_mutex_lock(&s->lock);
        gnutls_alert_send(s->session, GNUTLS_AL_FATAL, alert_of(s->verdict, *result));
        g_mutex_unlock(&s->lock);
    }
    return TRUE;
}

static char *
address_of(GSocket *socket)
{
    g_autoptr(GSocketAddress) remote = g_socket_get_remote_address(socket, NULL);

    if (!remote || !G_IS_INET_SOCKET_ADDRESS(remote))
        return g_strdup("an unknown address");
    return g_inet_address_to_string(
        g_inet_socket_address_get_address(G_INET_SOCKET_ADDRESS(remote)));
}

static void
log_refusal(MigTlsSession *s, int result)
{
    g_autofree char *address = address_of(s->socket);
    g_autofree char *says = NULL;
    g_autofree char *skipped = NULL;
    const char *reason = mig_trust_verdict_name(s->verdict);
    guint count = 0;

    if (!mig_log_allow(&s->tls->limits[s->verdict], &count))
        return;
    if (s->says && *s->says)
        says = g_strdup_printf(", which calls itself %s", s->says);
    if (count)
        skipped = g_strdup_printf(" (and %u more since the last such line)", count);
    mig_log_event(MIG_ID_PEER_REFUSED, MIG_FIELDS(.peer = address, .state = reason),
                  "refused a peer at %s%s: %s%s%s%s", address, says ? says : "", reason,
                  result < 0 && s->verdict == MIG_TRUST_HANDSHAKE ? ": " : "",
                  result < 0 && s->verdict == MIG_TRUST_HANDSHAKE ? gnutls_strerror(result) : "",
                  skipped ? skipped : "");
}

/* ---- the one that is connected to ---- */

typedef struct {
    MigTlsSession *session;
    MigTlsAccepted done;
    gpointer user_data;
    GSource *source, *deadline;
    gboolean is_refused, has_begun;
    gsize lingered;
} Accept;

static void
drop_source(GSource **source)
{
    if (*source)
        g_source_destroy(*source);
    g_clear_pointer(source, g_source_unref);
}

static void
accept_end(Accept *a, GIOStream *stream)
{
    drop_source(&a->source);
    drop_source(&a->deadline);
    a->done(stream, stream ? a->session->node : NULL, a->user_data);
    mig_tls_session_unref(a->session);
    g_free(a);
}

static gboolean on_accept_ready(GSocket *socket, GIOCondition condition, gpointer user_data);

static gboolean
on_accept_late(gpointer user_data)
{
    Accept *a = user_data;

    if (!a->is_refused) {
        a->session->verdict = MIG_TRUST_LATE;
        log_refusal(a->session, 0);
    }
    accept_end(a, NULL);
    return G_SOURCE_REMOVE;
}

static void
accept_wait(Accept *a, GIOCondition condition)
{
    drop_source(&a->source);
    a->source = g_socket_create_source(a->session->socket, condition, NULL);
    g_source_set_callback(a->source, G_SOURCE_FUNC(on_accept_ready), a, NULL);
    g_source_attach(a->source, NULL);
}

static void
accept_deadline(Accept *a, guint ms)
{
    drop_source(&a->deadline);
    a->deadline = g_timeout_source_new(ms);
    g_source_set_callback(a->deadline, on_accept_late, a, NULL);
    g_source_attach(a->deadline, NULL);
}

/* What it has sent meanwhile is read and thrown away for a moment: closing on unread bytes would
 * throw our alert away, and the other end would never learn why. */
static void
accept_refuse(Accept *a, int result)
{
    log_refusal(a->session, result);
    a->is_refused = TRUE;
    g_socket_shutdown(a->session->socket, FALSE, TRUE, NULL);
    accept_deadline(a, LINGER_MS);
    accept_wait(a, G_IO_IN);
}

static void
accept_linger(Accept *a)
{
    char buffer[4096];
    gssize n = recv(g_socket_get_fd(a->session->socket), buffer, sizeof buffer, MSG_DONTWAIT);

    if (n > 0)
        a->lingered += (gsize)n;
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR) || a->lingered > LINGER_MAX_BYTES)
        accept_end(a, NULL);
    else
        accept_wait(a, G_IO_IN);
}

static gboolean
on_accept_ready(GSocket *socket, GIOCondition condition, gpointer user_data)
{
    Accept *a = user_data;
    GIOCondition wait_for = G_IO_IN;
    int result = 0;

    if (a->is_refused) {
        accept_linger(a);
    } else if (!a->has_begun && is_plain_text(a->session)) {
        a->session->verdict = MIG_TRUST_PLAIN_TEXT;
        accept_refuse(a, 0);
    } else if (a->has_begun = TRUE, !step(a->session, &result, &wait_for)) {
        accept_wait(a, wait_for);
    } else if (result < 0) {
        accept_refuse(a, result);
    } else {
        g_autoptr(GIOStream) stream = mig_tls_stream_new(a->session);

        accept_end(a, g_steal_pointer(&stream));
    }
    return G_SOURCE_REMOVE;
}

void
mig_tls_accept(MigTls *tls, GSocket *socket, guint timeout_ms, MigTlsAccepted done,
               gpointer user_data)
{
    Accept *a = g_new0(Accept, 1);

    a->session = mig_tls_session_new(tls, socket, GNUTLS_SERVER, NULL);
    a->done = done;
    a->user_data = user_data;
    accept_deadline(a, timeout_ms);
    accept_wait(a, G_IO_IN);
}

/* ---- the one that connects ---- */

static void
set_connect_error(MigTlsSession *s, int result, GError **error)
{
    g_autoptr(GError) bad = NULL;

    if (result == GNUTLS_E_CERTIFICATE_ERROR) {
        g_set_error(error, MIG_ERROR, MIG_ERROR_PEER_REFUSED,
                    "what answers there is not node %s: %s%s%s; is its migrated the one that has "
                    "attached the volume?",
                    s->wanted, mig_trust_verdict_name(s->verdict),
                    s->says && *s->says ? ", calls itself " : "", s->says ? s->says : "");
        log_refusal(s, 0);
        return;
    }
    mig_tls_set_error(s, result, &bad);
    if (bad->domain == MIG_ERROR)
        g_propagate_error(error, g_steal_pointer(&bad));
    else
        g_set_error(error, MIG_ERROR, MIG_ERROR_NODE_UNREACHABLE,
                    "the connection could not be made safe: %s", bad->message);
}

GIOStream *
mig_tls_connect(MigTls *tls, GSocket *socket, const char *node, guint timeout_ms, GError **error)
{
    g_autoptr(MigTlsSession) s = mig_tls_session_new(tls, socket, GNUTLS_CLIENT, node);
    gint64 deadline = g_get_monotonic_time() + (gint64)timeout_ms * 1000;
    GIOCondition wait_for = G_IO_IN;
    int result = 0;

    while (!step(s, &result, &wait_for)) {
        gint64 left = deadline - g_get_monotonic_time();

        if (left <= 0 || !g_socket_condition_timed_wait(socket, wait_for, left, NULL, NULL)) {
            g_set_error(error, MIG_ERROR, MIG_ERROR_TIMEOUT, "it did not shake hands in time");
            return NULL;
        }
    }
    if (result < 0) {
        set_connect_error(s, result, error);
        return NULL;
    }
    return mig_tls_stream_new(s);
}
