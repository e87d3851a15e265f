/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* tls-private.h - what the files of the channel share. */
#pragma once

#include "drivers/tls-channel.h"

#include "base/log.h"

#include <gnutls/gnutls.h>
#include <gnutls/x509.h>

/* A leaf that sessions use, also when another one has taken its place. */
typedef struct {
    gatomicrefcount references;
    gnutls_certificate_credentials_t credentials;
    guint generation; /* of forced renewals */
} MigTlsLeaf;

/* A root in a slot. */
typedef struct {
    char *node;
    GBytes *der;
    gnutls_x509_crt_t crt;
} MigTlsRoot;

struct MigTls {
    MigIdentity *identity;
    gnutls_priority_t priority;
    MigLogLimit limits[MIG_TRUST_VERDICTS];
    GMutex renew_lock; /* one renewal at a time; before the next one */
    GMutex lock;       /* guards what follows, and the marked members of sessions */
    MigTlsLeaf *leaf;
    gint64 leaf_to_s;
    GPtrArray *roots;    /* MigTlsRoot */
    GPtrArray *sessions; /* MigTlsSession, no references */
};

/* One connection. Locks: its own, then that of MigTls. */
typedef struct {
    gatomicrefcount references;
    MigTls *tls;
    MigTlsLeaf *leaf;
    GSocket *socket;
    char *wanted; /* node that shall be reached; NULL: any member */
    GMutex lock;  /* one call of gnutls at a time; guards the next two */
    gnutls_session_t session;
    gsize unsent; /* bytes of a record that gnutls holds and could not send yet */
    int is_cut;   /* atomic; from then on it neither gives nor takes a byte */
    /* guarded by the lock of MigTls */
    MigTrustVerdict verdict;
    char *node, *says; /* accepted as; what a refused one called itself */
    GBytes *root;      /* that vouches for node */
} MigTlsSession;

/* wanted: see the struct; role: GNUTLS_SERVER or GNUTLS_CLIENT. Takes a reference of socket. */
MigTlsSession *mig_tls_session_new(MigTls *tls, GSocket *socket, unsigned role, const char *wanted);
MigTlsSession *mig_tls_session_ref(MigTlsSession *session);
void mig_tls_session_unref(MigTlsSession *session);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(MigTlsSession, mig_tls_session_unref)

/* gnutls's result as a GError: WOULD_BLOCK; PEER_REFUSED where the other end sent an alert about
 * our certificate; else G_IO_ERROR_FAILED. */
void mig_tls_set_error(MigTlsSession *session, int result, GError **error);

/* tls-stream.c: over a session whose handshake is done. */
GIOStream *mig_tls_stream_new(MigTlsSession *session);
