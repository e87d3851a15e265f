/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* tls-identity.c - making, keeping and changing this node's key and certificate. */
#include "drivers/tls-identity.h"

#include "base/error.h"
#include "base/io.h"

#include <gnutls/abstract.h>
#include <gnutls/x509.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX_BYTES (64 * 1024)
#define ENTRIES        2
#define DAY_S          ((gint64)86400)
#define ROOT_S         (30 * 365 * DAY_S)
#define LEAF_S         (7 * DAY_S)
#define PEM_KEY        "-----BEGIN PRIVATE KEY-----"
#define PEM_ROOT       "-----BEGIN CERTIFICATE-----"

typedef struct {
    gnutls_x509_privkey_t key; /* NULL: of an old root, which signs nothing any more */
    gnutls_x509_crt_t root;
} Entry;

struct MigIdentity {
    char *node, *path;
    GMutex lock; /* guards what follows */
    Entry entries[ENTRIES];
    guint count;
};

/* ---- small things ---- */

static gboolean
check(int result, const char *doing, GError **error)
{
    if (result < 0)
        g_set_error(error, MIG_ERROR, MIG_ERROR_FAILED, "%s: %s", doing, gnutls_strerror(result));
    return result >= 0;
}

static void
wipe_free(char *secret)
{
    if (secret)
        explicit_bzero(secret, strlen(secret));
    g_free(secret);
}

static void
wipe_datum(gnutls_datum_t *datum)
{
    if (datum->data)
        explicit_bzero(datum->data, datum->size);
    gnutls_free(datum->data);
}

static void
entry_clear(Entry *entry)
{
    g_clear_pointer(&entry->key, gnutls_x509_privkey_deinit);
    g_clear_pointer(&entry->root, gnutls_x509_crt_deinit);
}

void
mig_leaf_free(MigLeaf *leaf)
{
    if (!leaf)
        return;
    g_free(leaf->certificate);
    wipe_free(leaf->key);
    g_free(leaf->root);
    g_free(leaf);
}

static char *
text_of(gnutls_datum_t *datum)
{
    char *text = g_strndup((const char *)datum->data, datum->size);

    wipe_datum(datum);
    return text;
}

static char *
pem_of_root(gnutls_x509_crt_t root)
{
    gnutls_datum_t out = {0};

    return gnutls_x509_crt_export2(root, GNUTLS_X509_FMT_PEM, &out) < 0 ? NULL : text_of(&out);
}

static char *
pem_of_key(gnutls_x509_privkey_t key)
{
    gnutls_datum_t out = {0};

    return gnutls_x509_privkey_export2_pkcs8(key, GNUTLS_X509_FMT_PEM, NULL, GNUTLS_PKCS_PLAIN,
                                             &out) < 0
               ? NULL
               : text_of(&out);
}

/* ---- making ---- */

static gnutls_x509_privkey_t
make_key(GError **error)
{
    gnutls_x509_privkey_t key = NULL;

    if (!check(gnutls_x509_privkey_init(&key), "cannot make a key", error))
        return NULL;
    if (!check(gnutls_x509_privkey_generate(key, GNUTLS_PK_ECDSA,
                                            GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0),
               "cannot make a key", error))
        g_clear_pointer(&key, gnutls_x509_privkey_deinit);
    return key;
}

/* What roots and leaves have in common. Later certificates have higher serial numbers. */
static int
fill_certificate(gnutls_x509_crt_t crt, gnutls_x509_privkey_t key, const char *node, gint64 from_s,
                 gint64 to_s)
{
    guint64 serial = GUINT64_TO_BE((guint64)g_get_real_time());
    guint8 id[64];
    gsize id_size = sizeof id;
    int result;

    if ((result = gnutls_x509_crt_set_version(crt, 3)) < 0 ||
        (result = gnutls_x509_crt_set_serial(crt, &serial, sizeof serial)) < 0 ||
        (result = gnutls_x509_crt_set_activation_time(crt, (time_t)from_s)) < 0 ||
        (result = gnutls_x509_crt_set_expiration_time(crt, (time_t)to_s)) < 0 ||
        (result = gnutls_x509_crt_set_key(crt, key)) < 0 ||
        (result = gnutls_x509_crt_set_dn_by_oid(crt, GNUTLS_OID_X520_COMMON_NAME, 0, node,
                                                (unsigned)strlen(node))) < 0 ||
        (result = gnutls_x509_crt_get_key_id(crt, GNUTLS_KEYID_USE_SHA1, id, &id_size)) < 0)
        return result;
    return gnutls_x509_crt_set_subject_key_id(crt, id, id_size);
}

/* A root may only ever speak for its own node: QEMU, which knows no slots, is given the roots of
 * all nodes, and shall not take a leaf of one for another one's. */
static int
constrain(gnutls_x509_crt_t root, const char *node)
{
    gnutls_x509_name_constraints_t names = NULL;
    const gnutls_datum_t name = {(unsigned char *)node, (unsigned)strlen(node)};
    int result = gnutls_x509_name_constraints_init(&names);

    if (result < 0)
        return result;
    result = gnutls_x509_name_constraints_add_permitted(names, GNUTLS_SAN_DNSNAME, &name);
    if (result >= 0)
        result = gnutls_x509_crt_set_name_constraints(root, names, 1);
    gnutls_x509_name_constraints_deinit(names);
    return result;
}

/* Fills an empty entry. */
static gboolean
make_entry(Entry *entry, const char *node, GError **error)
{
    gint64 now_s = g_get_real_time() / G_USEC_PER_SEC;
    Entry made = {0};
    int result;

    made.key = make_key(error);
    if (!made.key)
        return FALSE;
    if ((result = gnutls_x509_crt_init(&made.root)) >= 0 &&
        (result = fill_certificate(made.root, made.key, node, now_s - 2 * DAY_S, now_s + ROOT_S)) >=
            0 &&
        (result = gnutls_x509_crt_set_basic_constraints(made.root, 1, 0)) >= 0 &&
        (result = gnutls_x509_crt_set_key_usage(made.root, GNUTLS_KEY_KEY_CERT_SIGN)) >= 0 &&
        (result = constrain(made.root, node)) >= 0)
        result = gnutls_x509_crt_sign2(made.root, made.root, made.key, GNUTLS_DIG_SHA256, 0);
    if (!check(result, "cannot make a certificate", error)) {
        entry_clear(&made);
        return FALSE;
    }
    *entry = made;
    return TRUE;
}

static int
fill_leaf(gnutls_x509_crt_t crt, const char *node, MigLeafPurpose purpose)
{
    g_autofree char *uri = g_strconcat(MIG_IDENTITY_PEER_URI, node, NULL);
    const char *name = purpose == MIG_LEAF_PEER ? uri : node;
    gnutls_x509_subject_alt_name_t kind =
        purpose == MIG_LEAF_PEER ? GNUTLS_SAN_URI : GNUTLS_SAN_DNSNAME;
    int result;

    if ((result = gnutls_x509_crt_set_basic_constraints(crt, 0, -1)) < 0 ||
        (result = gnutls_x509_crt_set_key_usage(crt, GNUTLS_KEY_DIGITAL_SIGNATURE)) < 0 ||
        (result = gnutls_x509_crt_set_key_purpose_oid(crt, GNUTLS_KP_TLS_WWW_SERVER, 0)) < 0 ||
        (result = gnutls_x509_crt_set_key_purpose_oid(crt, GNUTLS_KP_TLS_WWW_CLIENT, 0)) < 0)
        return result;
    return gnutls_x509_crt_set_subject_alt_name(crt, kind, name, (unsigned)strlen(name),
                                                GNUTLS_FSAN_SET);
}

static int
sign_leaf(gnutls_x509_crt_t crt, const Entry *by)
{
    guint8 id[64];
    gsize id_size = sizeof id;
    int result = gnutls_x509_crt_get_subject_key_id(by->root, id, &id_size, NULL);

    if (result < 0 || (result = gnutls_x509_crt_set_authority_key_id(crt, id, id_size)) < 0)
        return result;
    return gnutls_x509_crt_sign2(crt, by->root, by->key, GNUTLS_DIG_SHA256, 0);
}

MigLeaf *
mig_identity_issue(MigIdentity *identity, MigLeafPurpose purpose, GError **error)
{
    g_autoptr(MigLeaf) leaf = g_new0(MigLeaf, 1);
    g_autoptr(GString) roots = g_string_new(NULL);
    gint64 now_s = g_get_real_time() / G_USEC_PER_SEC;
    Entry made = {0};
    int result;

    made.key = make_key(error);
    if (!made.key)
        return NULL;
    leaf->to_s = now_s + LEAF_S;
    g_mutex_lock(&identity->lock);
    if ((result = gnutls_x509_crt_init(&made.root)) >= 0 &&
        (result = fill_certificate(made.root, made.key, identity->node, now_s - DAY_S,
                                   leaf->to_s)) >= 0 &&
        (result = fill_leaf(made.root, identity->node, purpose)) >= 0)
        result = sign_leaf(made.root, &identity->entries[0]);
    for (guint i = 0; i < identity->count; i++) {
        g_autofree char *pem = pem_of_root(identity->entries[i].root);

        if (pem)
            g_string_append(roots, pem);
    }
    g_mutex_unlock(&identity->lock);
    if (result >= 0) {
        leaf->certificate = pem_of_root(made.root);
        leaf->key = pem_of_key(made.key);
        leaf->root = g_strdup(roots->str);
    }
    entry_clear(&made);
    if (!check(result, "cannot issue a certificate", error))
        return NULL;
    if (!leaf->certificate || !leaf->key) {
        g_set_error(error, MIG_ERROR, MIG_ERROR_FAILED, "cannot issue a certificate");
        return NULL;
    }
    return g_steal_pointer(&leaf);
}

/* ---- the file ---- */

/* Writes these entries as the file's new content. */
static gboolean
save(MigIdentity *identity, const Entry *entries, guint count, GError **error)
{
    g_autoptr(GString) text = g_string_sized_new(8192);
    gboolean ok = TRUE;

    for (guint i = 0; i < count && ok; i++) {
        char *key = entries[i].key ? pem_of_key(entries[i].key) : NULL;
        g_autofree char *root = pem_of_root(entries[i].root);

        ok = root && (key || !entries[i].key);
        g_string_append(text, key ? key : "");
        g_string_append(text, root ? root : "");
        wipe_free(key);
    }
    if (!ok)
        g_set_error(error, MIG_ERROR, MIG_ERROR_FAILED, "cannot write down this node's key");
    ok = ok && mig_io_write_file(identity->path, text->str, text->len, 0600, error);
    explicit_bzero(text->str, text->len);
    return ok;
}

/* The name in a certificate; NULL: none. */
static char *
name_of(gnutls_x509_crt_t crt)
{
    char name[256];
    gsize size = sizeof name;

    if (gnutls_x509_crt_get_dn_by_oid(crt, GNUTLS_OID_X520_COMMON_NAME, 0, 0, name, &size) < 0)
        return NULL;
    return g_strndup(name, size);
}

static gboolean
has_key(const Entry *entry)
{
    guint8 a[64], b[64];
    gsize a_size = sizeof a, b_size = sizeof b;

    return gnutls_x509_crt_get_key_id(entry->root, GNUTLS_KEYID_USE_SHA256, a, &a_size) >= 0 &&
           gnutls_x509_privkey_get_key_id(entry->key, GNUTLS_KEYID_USE_SHA256, b, &b_size) >= 0 &&
           a_size == b_size && memcmp(a, b, a_size) == 0;
}

/* NULL, or what is wrong with an entry; the first one must have a key. */
static char *
complaint(const MigIdentity *identity, const Entry *entry, gboolean is_first)
{
    g_autofree char *name = name_of(entry->root);

    if ((is_first && !entry->key) || (entry->key && !has_key(entry)))
        return g_strdup("its key and its certificate do not belong together");
    if (gnutls_x509_crt_get_ca_status(entry->root, NULL) <= 0)
        return g_strdup("its certificate is no root");
    if (is_first && gnutls_x509_crt_get_expiration_time(entry->root) <
                        (time_t)(g_get_real_time() / G_USEC_PER_SEC))
        return g_strdup("its certificate has expired");
    if (g_strcmp0(name, identity->node) != 0)
        return g_strdup_printf("it is of node \"%s\"", name ? name : "");
    return NULL;
}

/* One PEM block into the entries. */
static gboolean
take_block(MigIdentity *identity, const char *block)
{
    const gnutls_datum_t data = {(unsigned char *)block, (unsigned)strlen(block)};
    Entry *entry = &identity->entries[identity->count];

    if (identity->count == ENTRIES)
        return FALSE;
    if (g_str_has_prefix(block, PEM_KEY)) {
        if (entry->key || gnutls_x509_privkey_init(&entry->key) < 0)
            return FALSE;
        return gnutls_x509_privkey_import_pkcs8(entry->key, &data, GNUTLS_X509_FMT_PEM, NULL,
                                                GNUTLS_PKCS_PLAIN) >= 0;
    }
    if (!g_str_has_prefix(block, PEM_ROOT) || gnutls_x509_crt_init(&entry->root) < 0 ||
        gnutls_x509_crt_import(entry->root, &data, GNUTLS_X509_FMT_PEM) < 0)
        return FALSE;
    identity->count++;
    return TRUE;
}

static gboolean
parse(MigIdentity *identity, const char *text)
{
    const char *next;

    for (const char *at = strstr(text, "-----BEGIN "); at; at = next) {
        char *block;
        gboolean ok;

        next = strstr(at + 1, "-----BEGIN ");
        block = next ? g_strndup(at, (gsize)(next - at)) : g_strdup(at);
        ok = take_block(identity, block);
        wipe_free(block);
        if (!ok)
            return FALSE;
    }
    return identity->count > 0 && (identity->count == ENTRIES || !identity->entries[1].key);
}

static gboolean
load(MigIdentity *identity, GError **error)
{
    g_autofree char *wrong = NULL;
    gsize length = 0;
    struct stat st;
    char *text = mig_io_read_file(identity->path, FILE_MAX_BYTES, &length, error);

    if (!text)
        return FALSE;
    if (stat(identity->path, &st) == 0 && (st.st_mode & 077) != 0)
        wrong = g_strdup_printf("others can read it (mode %04o), so it is no secret any more",
                                (unsigned)st.st_mode & 07777);
    else if (!parse(identity, text))
        wrong = g_strdup("it is damaged");
    explicit_bzero(text, length);
    g_free(text);
    for (guint i = 0; i < identity->count && !wrong; i++)
        wrong = complaint(identity, &identity->entries[i], i == 0);
    if (!wrong)
        return TRUE;
    g_set_error(error, MIG_ERROR,
                g_str_has_prefix(wrong, "it is of") ? MIG_ERROR_CONFIG : MIG_ERROR_DAMAGED,
                "%s: %s; this is node %s. Move it away, and the node makes itself a new key",
                identity->path, wrong, identity->node);
    return FALSE;
}

/* ---- life ---- */

MigIdentity *
mig_identity_open(const char *directory, const char *node, GError **error)
{
    g_autoptr(MigIdentity) identity = g_new0(MigIdentity, 1);

    g_mutex_init(&identity->lock);
    identity->node = g_strdup(node);
    identity->path = g_build_filename(directory, "identity.pem", NULL);
    if (!mig_io_make_dir(directory, 0700, error))
        return NULL;
    /* lstat: a dangling link is something to look at, not a first start */
    struct stat st;

    if (lstat(identity->path, &st) == 0)
        return load(identity, error) ? g_steal_pointer(&identity) : NULL;
    if (!make_entry(&identity->entries[0], node, error))
        return NULL;
    identity->count = 1;
    return save(identity, identity->entries, 1, error) ? g_steal_pointer(&identity) : NULL;
}

void
mig_identity_free(MigIdentity *identity)
{
    if (!identity)
        return;
    for (guint i = 0; i < ENTRIES; i++)
        entry_clear(&identity->entries[i]);
    g_mutex_clear(&identity->lock);
    g_free(identity->node);
    g_free(identity->path);
    g_free(identity);
}

GBytes *
mig_identity_published(MigIdentity *identity)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&identity->lock);
    GByteArray *all = g_byte_array_new();

    for (guint i = 0; i < identity->count; i++) {
        gnutls_datum_t der = {0};

        if (gnutls_x509_crt_export2(identity->entries[i].root, GNUTLS_X509_FMT_DER, &der) >= 0)
            g_byte_array_append(all, der.data, der.size);
        gnutls_free(der.data);
    }
    return g_byte_array_free_to_bytes(all);
}

char *
mig_identity_fingerprint(MigIdentity *identity)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&identity->lock);
    gnutls_datum_t der = {0};
    char *hex = NULL;

    if (gnutls_x509_crt_export2(identity->entries[0].root, GNUTLS_X509_FMT_DER, &der) >= 0)
        hex = g_compute_checksum_for_data(G_CHECKSUM_SHA256, der.data, der.size);
    gnutls_free(der.data);
    return hex;
}

/* ---- a change of key ---- */

static MigIdentityPhase
phase_of(const MigIdentity *identity)
{
    if (identity->count == 1)
        return MIG_IDENTITY_AT_REST;
    return identity->entries[1].key ? MIG_IDENTITY_BEGUN : MIG_IDENTITY_SWITCHED;
}

MigIdentityPhase
mig_identity_phase(MigIdentity *identity)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&identity->lock);

    return phase_of(identity);
}

static gboolean
need_phase(const MigIdentity *identity, MigIdentityPhase wanted, GError **error)
{
    if (phase_of(identity) == wanted)
        return TRUE;
    g_set_error(error, MIG_ERROR, MIG_ERROR_EXISTS,
                wanted == MIG_IDENTITY_AT_REST
                    ? "this node's key is being changed already; wait until that is done"
                    : "this node's key is not at this step of a change");
    return FALSE;
}

gboolean
mig_identity_begin(MigIdentity *identity, GError **error)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&identity->lock);

    if (!need_phase(identity, MIG_IDENTITY_AT_REST, error) ||
        !make_entry(&identity->entries[1], identity->node, error))
        return FALSE;
    if (!save(identity, identity->entries, 2, error)) {
        entry_clear(&identity->entries[1]);
        return FALSE;
    }
    identity->count = 2;
    return TRUE;
}

gboolean
mig_identity_switch(MigIdentity *identity, GError **error)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&identity->lock);
    Entry next[ENTRIES] = {identity->entries[1], {NULL, identity->entries[0].root}};

    if (!need_phase(identity, MIG_IDENTITY_BEGUN, error) || !save(identity, next, 2, error))
        return FALSE;
    gnutls_x509_privkey_deinit(identity->entries[0].key);
    memcpy(identity->entries, next, sizeof next);
    return TRUE;
}

gboolean
mig_identity_drop(MigIdentity *identity, GError **error)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&identity->lock);

    if (!need_phase(identity, MIG_IDENTITY_SWITCHED, error) ||
        !save(identity, identity->entries, 1, error))
        return FALSE;
    entry_clear(&identity->entries[1]);
    identity->count = 1;
    return TRUE;
}
