/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* trust.c - the decision on a peer, and the certificates in the slots. */
#include "core/trust.h"

static const char *const verdict_names[MIG_TRUST_VERDICTS] = {
    [MIG_TRUST_OK] = "ok",
    [MIG_TRUST_NO_CERTIFICATE] = "no-certificate",
    [MIG_TRUST_UNKNOWN] = "unknown-certificate",
    [MIG_TRUST_OTHER_NODE] = "certificate-of-another-node",
    [MIG_TRUST_PURPOSE] = "certificate-for-something-else",
    [MIG_TRUST_NOT_YET] = "not-valid-yet",
    [MIG_TRUST_EXPIRED] = "expired",
    [MIG_TRUST_PLAIN_TEXT] = "plain-text",
    [MIG_TRUST_OLD_TLS] = "old-tls",
    [MIG_TRUST_HANDSHAKE] = "broken-handshake",
    [MIG_TRUST_LATE] = "handshake-too-slow",
};

const char *
mig_trust_verdict_name(MigTrustVerdict verdict)
{
    g_return_val_if_fail((guint)verdict < MIG_TRUST_VERDICTS, "unknown");
    return verdict_names[verdict];
}

/* ---- certificates in a slot ---- */

void
mig_trust_root_free(MigTrustRoot *root)
{
    if (!root)
        return;
    g_free(root->node);
    g_bytes_unref(root->certificate);
    g_free(root);
}

/* Length of the DER SEQUENCE at data, with its head; 0 where there is none that fits. */
static gsize
sequence_length(const guint8 *data, gsize room)
{
    gsize length, octets;

    if (room < 2 || data[0] != 0x30)
        return 0;
    if (data[1] < 0x80) {
        length = data[1];
        return length && length + 2 <= room ? length + 2 : 0;
    }
    octets = data[1] & 0x7f;
    if (octets < 1 || octets > 3 || room < 2 + octets)
        return 0;
    length = 0;
    for (gsize i = 0; i < octets; i++)
        length = length << 8 | data[2 + i];
    return length && length <= room - 2 - octets ? length + 2 + octets : 0;
}

gboolean
mig_trust_split(GBytes *certificates, GPtrArray *into)
{
    gsize left = 0, at = 0;
    const guint8 *data = certificates ? g_bytes_get_data(certificates, &left) : NULL;
    guint before = into->len;

    while (left > 0) {
        gsize length = sequence_length(data + at, left);

        if (!length) {
            g_ptr_array_set_size(into, (gint)before);
            return FALSE;
        }
        g_ptr_array_add(into, g_bytes_new_from_bytes(certificates, at, length));
        at += length;
        left -= length;
    }
    return TRUE;
}

void
mig_trust_add_node(GPtrArray *roots, const MigNode *node)
{
    g_autoptr(GPtrArray) cut = g_ptr_array_new_with_free_func((GDestroyNotify)g_bytes_unref);

    mig_trust_split(node->certificates, cut);
    for (guint i = 0; i < cut->len; i++) {
        MigTrustRoot *root = g_new0(MigTrustRoot, 1);

        root->node = g_strdup(node->name);
        root->certificate = g_bytes_ref(g_ptr_array_index(cut, i));
        g_ptr_array_add(roots, root);
    }
}

gboolean
mig_trust_same(const GPtrArray *a, const GPtrArray *b)
{
    if (a->len != b->len)
        return FALSE;
    for (guint i = 0; i < a->len; i++) {
        const MigTrustRoot *left = g_ptr_array_index(a, i);
        const MigTrustRoot *right = g_ptr_array_index(b, i);

        if (!g_str_equal(left->node, right->node) ||
            !g_bytes_equal(left->certificate, right->certificate))
            return FALSE;
    }
    return TRUE;
}

char **
mig_trust_fingerprints(const MigNode *node)
{
    g_autoptr(GPtrArray) cut = g_ptr_array_new_with_free_func((GDestroyNotify)g_bytes_unref);
    g_autoptr(GStrvBuilder) sums = g_strv_builder_new();

    mig_trust_split(node->certificates, cut);
    for (guint i = 0; i < cut->len; i++) {
        g_autofree char *sum =
            g_compute_checksum_for_bytes(G_CHECKSUM_SHA256, g_ptr_array_index(cut, i));

        g_strv_builder_add(sums, sum);
    }
    return cut->len ? g_strv_builder_end(sums) : NULL;
}

gboolean
mig_trust_has(const GPtrArray *roots, const char *node, const char *fingerprint)
{
    for (guint i = 0; i < roots->len; i++) {
        const MigTrustRoot *root = g_ptr_array_index(roots, i);
        g_autofree char *own =
            fingerprint ? g_compute_checksum_for_bytes(G_CHECKSUM_SHA256, root->certificate) : NULL;

        if (g_str_equal(root->node, node) && (!fingerprint || g_str_equal(own, fingerprint)))
            return TRUE;
    }
    return FALSE;
}

/* ---- the decision ---- */

MigTrustVerdict
mig_trust_judge(const MigTrustFacts *facts, const char *wanted, gint64 now_s)
{
    if (!facts->has_certificate)
        return MIG_TRUST_NO_CERTIFICATE;
    /* who signed it comes first: nothing that an unknown one writes is worth a closer look */
    if (!facts->signer)
        return MIG_TRUST_UNKNOWN;
    if (!facts->name || !g_str_equal(facts->name, facts->signer))
        return MIG_TRUST_OTHER_NODE;
    if (!facts->is_for_peers)
        return MIG_TRUST_PURPOSE;
    if (now_s < facts->from_s)
        return MIG_TRUST_NOT_YET;
    if (now_s > facts->to_s)
        return MIG_TRUST_EXPIRED;
    if (wanted && !g_str_equal(facts->name, wanted))
        return MIG_TRUST_OTHER_NODE;
    return MIG_TRUST_OK;
}
