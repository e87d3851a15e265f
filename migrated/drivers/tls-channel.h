/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* tls-channel.h - mutual TLS 1.3 between nodes. */
#pragma once

#include <gio/gio.h>

#include "core/trust.h"
#include "drivers/tls-identity.h"

/*
 * Both ends of the peer channel. A connection stands only while the root that vouches for its
 * other end stands in that node's slot: mig_tls_set_roots() shuts those for which that has ended.
 *
 * The streams are pollable, and may be read by one thread and written by another at a time.
 * Closing one (g_io_stream_close(), any thread) never blocks, and wakes whoever reads or writes it.
 * Why not GTlsConnection: it shakes hands in the pool of threads that all of GIO shares, which a
 * peer that does not answer would fill.
 *
 * Refusals are logged here (MIG_ID_PEER_REFUSED), few of each reason at a time.
 */
typedef struct MigTls MigTls;

/* Issues the leaf for this process. identity outlives it. */
MigTls *mig_tls_new(MigIdentity *identity, GError **error);
/* After all its streams are gone; a test's business, the daemon never does. */
void mig_tls_free(MigTls *tls);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(MigTls, mig_tls_free)

/* Who is accepted from now on: GPtrArray of MigTrustRoot, copied. Any thread; does not block. A
 * stream that is cut by this gives nothing more, not even what has come in already. */
void mig_tls_set_roots(MigTls *tls, const GPtrArray *roots);
/* Has this stream, one of ours, not been cut? What was read from it before that is of no value. */
gboolean mig_tls_stands(GIOStream *stream);

/* Issues the leaf anew: forced (after a change of key), or where a third of its life is left at
 * now_s (since 1970). */
gboolean mig_tls_renew(MigTls *tls, gint64 now_s, gboolean forced, GError **error);
/* Connections that shook hands with a leaf from before the last forced mig_tls_renew(). */
guint mig_tls_count_old(MigTls *tls);

/* Shakes hands with a peer that has connected; at most timeout_ms in all. done is called on the
 * main loop, once and never from inside: with a new reference and the node's
 * name, or NULL where it was refused. */
typedef void (*MigTlsAccepted)(GIOStream *stream, const char *node, gpointer user_data);
void mig_tls_accept(MigTls *tls, GSocket *socket, guint timeout_ms, MigTlsAccepted done,
                    gpointer user_data);

/* Shakes hands as the one that has connected, with that node and no other. Blocks; a worker
 * thread's business. MIG_ERROR_PEER_REFUSED where it is not that node; MIG_ERROR_TIMEOUT,
 * MIG_ERROR_NODE_UNREACHABLE. That the other one refuses us, the first read tells
 * (MIG_ERROR_PEER_REFUSED): nothing that was sent has been looked at then. */
GIOStream *
mig_tls_connect(MigTls *tls, GSocket *socket, const char *node, guint timeout_ms, GError **error);
