/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* tls-channel.c - who is accepted, by which leaf we are known, and what ends with that. */
#include "drivers/tls-channel.h"

#include "drivers/tls-private.h"

#include "base/error.h"
#include "base/log.h"

#include <gnutls/x509.h>
#include <string.h>

/* TLS 1.3 and nothing else; no tickets, so that each connection shows its certificate anew. */
#define PRIORITY                                                                         \
    "NONE:+VERS-TLS1.3:+AES-256-GCM:+CHACHA20-POLY1305:+AES-128-GCM:+AEAD:+ECDHE-ECDSA:" \
    "+GROUP-X25519:+GROUP-SECP256R1:+SIGN-ECDSA-SECP256R1-SHA256:+SIGN-ALL:+CTYPE-X509"
#define HANDSHAKE_MAX_BYTES 32768
#define RENEW_LEFT_S        (2 * 86400 + 8 * 3600) /* a third of a leaf's week */

/* ---- roots ---- */

static void
root_free(gpointer data)
{
    MigTlsRoot *root = data;

    g_free(root->node);
    g_bytes_unref(root->der);
    gnutls_x509_crt_deinit(root->crt);
    g_free(root);
}

/* NULL: nothing that could sign. */
static MigTlsRoot *
root_new(const MigTrustRoot *from)
{
    gsize size;
    gnutls_datum_t der = {(unsigned char *)g_bytes_get_data(from->certificate, &size), 0};
    gnutls_x509_crt_t crt = NULL;
    MigTlsRoot *root;

    der.size = (unsigned)size;
    if (gnutls_x509_crt_init(&crt) < 0)
        return NULL;
    if (gnutls_x509_crt_import(crt, &der, GNUTLS_X509_FMT_DER) < 0 ||
        gnutls_x509_crt_get_ca_status(crt, NULL) <= 0) {
        gnutls_x509_crt_deinit(crt);
        return NULL;
    }
    root = g_new0(MigTlsRoot, 1);
    root->node = g_strdup(from->node);
    root->der = g_bytes_ref(from->certificate);
    root->crt = crt;
    return root;
}

static gboolean
is_still_trusted(GPtrArray *roots, const MigTlsSession *s)
{
    for (guint i = 0; i < roots->len; i++) {
        const MigTlsRoot *root = g_ptr_array_index(roots, i);

        if (g_str_equal(root->node, s->node) && g_bytes_equal(root->der, s->root))
            return TRUE;
    }
    return FALSE;
}

void
mig_tls_set_roots(MigTls *tls, const GPtrArray *from)
{
    GPtrArray *roots = g_ptr_array_new_with_free_func(root_free);
    g_autoptr(GPtrArray) cut = g_ptr_array_new_with_free_func(g_free);
    GPtrArray *old;

    for (guint i = 0; i < from->len; i++) {
        MigTlsRoot *root = root_new(g_ptr_array_index(from, i));

        if (root)
            g_ptr_array_add(roots, root);
    }
    g_mutex_lock(&tls->lock);
    old = tls->roots;
    tls->roots = roots;
    for (guint i = 0; i < tls->sessions->len; i++) {
        MigTlsSession *s = g_ptr_array_index(tls->sessions, i);

        if (s->root && !is_still_trusted(roots, s)) {
            /* the flag first: what is in the kernel's queue, or decrypted, is not read any more */
            g_atomic_int_set(&s->is_cut, TRUE);
            g_socket_shutdown(s->socket, TRUE, TRUE, NULL);
            g_ptr_array_add(cut, g_strdup(s->node));
            g_clear_pointer(&s->root, g_bytes_unref);
        }
    }
    g_mutex_unlock(&tls->lock);
    g_ptr_array_unref(old);
    for (guint i = 0; i < cut->len; i++) {
        const char *node = g_ptr_array_index(cut, i);

        mig_log_event(MIG_ID_PEER_CUT, MIG_FIELDS(.peer = node),
                      "closing a connection with %s: its certificate stands in no slot any more",
                      node);
    }
}

/* ---- leaves ---- */

static MigTlsLeaf *
leaf_ref(MigTlsLeaf *leaf)
{
    g_atomic_ref_count_inc(&leaf->references);
    return leaf;
}

static void
leaf_unref(MigTlsLeaf *leaf)
{
    if (!g_atomic_ref_count_dec(&leaf->references))
        return;
    gnutls_certificate_free_credentials(leaf->credentials);
    g_free(leaf);
}

static int verify_peer(gnutls_session_t session);

static MigTlsLeaf *
leaf_new(MigIdentity *identity, guint generation, gint64 *to_s, GError **error)
{
    g_autoptr(MigLeaf) issued = mig_identity_issue(identity, MIG_LEAF_PEER, error);
    gnutls_datum_t certificate, key;
    MigTlsLeaf *leaf;
    int result;

    if (!issued)
        return NULL;
    leaf = g_new0(MigTlsLeaf, 1);
    g_atomic_ref_count_init(&leaf->references);
    leaf->generation = generation;
    certificate = (gnutls_datum_t){(unsigned char *)issued->certificate,
                                   (unsigned)strlen(issued->certificate)};
    key = (gnutls_datum_t){(unsigned char *)issued->key, (unsigned)strlen(issued->key)};
    result = gnutls_certificate_allocate_credentials(&leaf->credentials);
    if (result >= 0)
        result = gnutls_certificate_set_x509_key_mem(leaf->credentials, &certificate, &key,
                                                     GNUTLS_X509_FMT_PEM);
    if (result < 0) {
        g_set_error(error, MIG_ERROR, MIG_ERROR_FAILED, "cannot use this node's certificate: %s",
                    gnutls_strerror(result));
        leaf_unref(leaf);
        return NULL;
    }
    gnutls_certificate_set_verify_function(leaf->credentials, verify_peer);
    *to_s = issued->to_s;
    return leaf;
}

gboolean
mig_tls_renew(MigTls *tls, gint64 now_s, gboolean forced, GError **error)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&tls->renew_lock);
    MigTlsLeaf *leaf;
    gint64 to_s = 0;
    guint generation;
    gboolean wanted;

    g_mutex_lock(&tls->lock);
    generation = tls->leaf->generation + (forced ? 1 : 0);
    /* a clock that was set back makes a leaf of the future: no better than an old one */
    wanted = forced || tls->leaf_to_s - now_s < RENEW_LEFT_S ||
             tls->leaf_to_s - now_s > 4 * (gint64)RENEW_LEFT_S;
    g_mutex_unlock(&tls->lock);
    if (!wanted)
        return TRUE;
    leaf = leaf_new(tls->identity, generation, &to_s, error);
    if (!leaf)
        return FALSE;
    g_mutex_lock(&tls->lock);
    MigTlsLeaf *old = tls->leaf;

    tls->leaf = leaf;
    tls->leaf_to_s = to_s;
    g_mutex_unlock(&tls->lock);
    leaf_unref(old);
    return TRUE;
}

guint
mig_tls_count_old(MigTls *tls)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&tls->lock);
    guint count = 0;

    for (guint i = 0; i < tls->sessions->len; i++) {
        const MigTlsSession *s = g_ptr_array_index(tls->sessions, i);

        count += s->leaf->generation != tls->leaf->generation;
    }
    return count;
}

/* ---- sessions ---- */

MigTlsSession *
mig_tls_session_ref(MigTlsSession *s)
{
    g_atomic_ref_count_inc(&s->references);
    return s;
}

void
mig_tls_session_unref(MigTlsSession *s)
{
    if (!g_atomic_ref_count_dec(&s->references))
        return;
    /* the list holds no reference: out of it first */
    g_mutex_lock(&s->tls->lock);
    g_ptr_array_remove_fast(s->tls->sessions, s);
    g_mutex_unlock(&s->tls->lock);
    gnutls_deinit(s->session);
    leaf_unref(s->leaf);
    g_socket_close(s->socket, NULL);
    g_object_unref(s->socket);
    g_mutex_clear(&s->lock);
    g_clear_pointer(&s->root, g_bytes_unref);
    g_free(s->wanted);
    g_free(s->node);
    g_free(s->says);
    g_free(s);
}

MigTlsSession *
mig_tls_session_new(MigTls *tls, GSocket *socket, unsigned role, const char *wanted)
{
    MigTlsSession *s = g_new0(MigTlsSession, 1);

    g_atomic_ref_count_init(&s->references);
    s->tls = tls;
    s->socket = g_object_ref(socket);
    s->wanted = g_strdup(wanted);
    s->verdict = MIG_TRUST_HANDSHAKE;
    g_mutex_init(&s->lock);
    g_socket_set_blocking(socket, FALSE);
    /* out of memory is all that can go wrong here, and GLib ends there too */
    if (gnutls_init(&s->session, role | GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL | GNUTLS_NO_TICKETS) < 0)
        g_error("cannot make a TLS session");
    gnutls_session_set_ptr(s->session, s);
    gnutls_priority_set(s->session, tls->priority);
    gnutls_transport_set_int(s->session, g_socket_get_fd(socket));
    gnutls_handshake_set_max_packet_length(s->session, HANDSHAKE_MAX_BYTES);
    gnutls_handshake_set_timeout(s->session, GNUTLS_INDEFINITE_TIMEOUT);
    if (role == GNUTLS_SERVER)
        gnutls_certificate_server_set_request(s->session, GNUTLS_CERT_REQUIRE);
    g_mutex_lock(&tls->lock);
    s->leaf = leaf_ref(tls->leaf);
    g_ptr_array_add(tls->sessions, s);
    g_mutex_unlock(&tls->lock);
    gnutls_credentials_set(s->session, GNUTLS_CRD_CERTIFICATE, s->leaf->credentials);
    return s;
}

/* ---- the other end's certificate ---- */

static const MigTlsRoot *
find_signer(const MigTls *tls, gnutls_x509_crt_t leaf)
{
    for (guint i = 0; i < tls->roots->len; i++) {
        const MigTlsRoot *root = g_ptr_array_index(tls->roots, i);
        unsigned status = 0;

        /* times are judged apart, where they have a name of their own */
        if (gnutls_x509_crt_check_issuer(leaf, root->crt) == 1 &&
            gnutls_x509_crt_verify(leaf, &root->crt, 1, GNUTLS_VERIFY_DISABLE_TIME_CHECKS,
                                   &status) == 0 &&
            status == 0)
            return root;
    }
    return NULL;
}

/* The node in a leaf for the peer channel; else its common name. NULL: none. */
static char *
node_in(gnutls_x509_crt_t leaf, gboolean *is_for_peers)
{
    char text[256] = "";
    gsize size = sizeof text;
    int kind = gnutls_x509_crt_get_subject_alt_name(leaf, 0, text, &size, NULL);

    *is_for_peers = FALSE;
    if (kind == GNUTLS_SAN_URI && size < sizeof text && strlen(text) == size &&
        g_str_has_prefix(text, MIG_IDENTITY_PEER_URI)) {
        *is_for_peers = gnutls_x509_crt_get_ca_status(leaf, NULL) <= 0;
        return g_strdup(text + strlen(MIG_IDENTITY_PEER_URI));
    }
    size = sizeof text;
    if (gnutls_x509_crt_get_dn_by_oid(leaf, GNUTLS_OID_X520_COMMON_NAME, 0, 0, text, &size) < 0)
        return NULL;
    return g_strndup(text, size);
}

/* With the lock of MigTls held. */
static void
judge(MigTlsSession *s, const gnutls_datum_t *der)
{
    MigTrustFacts facts = {.has_certificate = TRUE};
    gnutls_x509_crt_t leaf = NULL;
    const MigTlsRoot *signer = NULL;
    g_autofree char *name = NULL;

    if (gnutls_x509_crt_init(&leaf) < 0)
        return;
    if (gnutls_x509_crt_import(leaf, der, GNUTLS_X509_FMT_DER) >= 0) {
        signer = find_signer(s->tls, leaf);
        name = node_in(leaf, &facts.is_for_peers);
        facts.from_s = (gint64)gnutls_x509_crt_get_activation_time(leaf);
        facts.to_s = (gint64)gnutls_x509_crt_get_expiration_time(leaf);
    }
    facts.signer = signer ? signer->node : NULL;
    facts.name = name;
    s->verdict = mig_trust_judge(&facts, s->wanted, g_get_real_time() / G_USEC_PER_SEC);
    s->says = mig_log_escape(name);
    if (s->verdict == MIG_TRUST_OK) {
        s->node = g_strdup(name);
        s->root = g_bytes_ref(signer->der);
    }
    gnutls_x509_crt_deinit(leaf);
}

/* Called by gnutls in the middle of a handshake: what is refused here gets no further. */
static int
verify_peer(gnutls_session_t session)
{
    MigTlsSession *s = gnutls_session_get_ptr(session);
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&s->tls->lock);
    unsigned count = 0;
    const gnutls_datum_t *chain = gnutls_certificate_get_peers(session, &count);

    g_clear_pointer(&s->says, g_free);
    if (s->root) /* once is enough; and no second certificate in the same connection */
        return GNUTLS_E_CERTIFICATE_ERROR;
    if (count == 0)
        s->verdict = MIG_TRUST_NO_CERTIFICATE;
    else
        judge(s, &chain[0]);
    return s->verdict == MIG_TRUST_OK ? 0 : GNUTLS_E_CERTIFICATE_ERROR;
}

/* ---- life ---- */

MigTls *
mig_tls_new(MigIdentity *identity, GError **error)
{
    g_autoptr(MigTls) tls = g_new0(MigTls, 1);
    int result;

    g_mutex_init(&tls->renew_lock);
    g_mutex_init(&tls->lock);
    tls->identity = identity;
    tls->roots = g_ptr_array_new_with_free_func(root_free);
    tls->sessions = g_ptr_array_new();
    result = gnutls_priority_init(&tls->priority, PRIORITY, NULL);
    if (result < 0) {
        g_set_error(error, MIG_ERROR, MIG_ERROR_FAILED, "gnutls offers no TLS 1.3: %s",
                    gnutls_strerror(result));
        return NULL;
    }
    tls->leaf = leaf_new(identity, 0, &tls->leaf_to_s, error);
    return tls->leaf ? g_steal_pointer(&tls) : NULL;
}

void
mig_tls_free(MigTls *tls)
{
    if (!tls)
        return;
    g_assert(tls->sessions->len == 0);
    g_ptr_array_unref(tls->roots);
    g_ptr_array_unref(tls->sessions);
    g_clear_pointer(&tls->leaf, leaf_unref);
    if (tls->priority)
        gnutls_priority_deinit(tls->priority);
    g_mutex_clear(&tls->renew_lock);
    g_mutex_clear(&tls->lock);
    g_free(tls);
}
