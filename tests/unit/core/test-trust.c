/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-trust.c - who is accepted as a peer; certificates in a slot. */
#include "core/trust.h"

static const MigTrustFacts good = {.has_certificate = TRUE,
                                   .signer = "nodeB",
                                   .name = "nodeB",
                                   .is_for_peers = TRUE,
                                   .from_s = 100,
                                   .to_s = 200};

#define VERDICT(wanted, now_s, expected, ...)                                               \
    G_STMT_START                                                                            \
    {                                                                                       \
        MigTrustFacts facts = good;                                                         \
                                                                                            \
        __VA_ARGS__;                                                                        \
        g_assert_cmpstr(mig_trust_verdict_name(mig_trust_judge(&facts, wanted, now_s)), ==, \
                        mig_trust_verdict_name(expected));                                  \
    }                                                                                       \
    G_STMT_END

static void
test_judge(void)
{
    VERDICT(NULL, 150, MIG_TRUST_OK, (void)0);
    VERDICT("nodeB", 100, MIG_TRUST_OK, (void)0);
    VERDICT("nodeB", 200, MIG_TRUST_OK, (void)0);
    VERDICT("nodeC", 150, MIG_TRUST_OTHER_NODE, (void)0);
    VERDICT(NULL, 99, MIG_TRUST_NOT_YET, (void)0);
    VERDICT(NULL, 201, MIG_TRUST_EXPIRED, (void)0);
    VERDICT(NULL, 150, MIG_TRUST_NO_CERTIFICATE, facts.has_certificate = FALSE);
    VERDICT(NULL, 150, MIG_TRUST_UNKNOWN, facts.signer = NULL);
    VERDICT(NULL, 150, MIG_TRUST_OTHER_NODE, facts.signer = "nodeC");
    VERDICT("nodeC", 150, MIG_TRUST_OTHER_NODE, facts.signer = "nodeC");
    VERDICT(NULL, 150, MIG_TRUST_OTHER_NODE, facts.name = NULL);
    VERDICT(NULL, 150, MIG_TRUST_OTHER_NODE, facts.name = "nodeb");
    VERDICT(NULL, 150, MIG_TRUST_PURPOSE, facts.is_for_peers = FALSE);
}

static void
test_names(void)
{
    for (guint i = 0; i < MIG_TRUST_VERDICTS; i++) {
        for (guint k = 0; k < i; k++)
            g_assert_cmpstr(mig_trust_verdict_name(i), !=, mig_trust_verdict_name(k));
    }
}

static gint
count_cut(const guint8 *data, gsize length)
{
    g_autoptr(GPtrArray) cut = g_ptr_array_new_with_free_func((GDestroyNotify)g_bytes_unref);
    /* a copy of just this size: reading behind it is seen */
    g_autoptr(GBytes) bytes = g_bytes_new(data, length);
    gboolean ok = mig_trust_split(bytes, cut);
    gsize sum = 0;

    for (guint i = 0; i < cut->len; i++)
        sum += g_bytes_get_size(g_ptr_array_index(cut, i));
    g_assert_cmpuint(sum, ==, ok ? length : 0);
    return ok ? (gint)cut->len : -1;
}

#define CUT(...) count_cut((const guint8[]){__VA_ARGS__}, sizeof((const guint8[]){__VA_ARGS__}))

static void
test_split(void)
{
    guint8 big[4 + 0x1234] = {0x30, 0x82, 0x12, 0x34};

    g_assert_cmpint(count_cut(NULL, 0), ==, 0);
    g_assert_cmpint(CUT(0x30, 1, 7), ==, 1);
    g_assert_cmpint(CUT(0x30, 1, 7, 0x30, 2, 8, 9), ==, 2);
    g_assert_cmpint(CUT(0x30, 0x81, 1, 7), ==, 1);
    g_assert_cmpint(count_cut(big, sizeof big), ==, 1);
    g_assert_cmpint(count_cut(big, sizeof big - 1), ==, -1);
    g_assert_cmpint(CUT(0x30), ==, -1);
    g_assert_cmpint(CUT(0x30, 0), ==, -1);
    g_assert_cmpint(CUT(0x30, 1), ==, -1);
    g_assert_cmpint(CUT(0x31, 1, 7), ==, -1);
    g_assert_cmpint(CUT(0x30, 1, 7, 0), ==, -1);
    g_assert_cmpint(CUT(0x30, 1, 7, 0x30), ==, -1);
    g_assert_cmpint(CUT(0x30, 1, 7, 0x30, 9, 9), ==, -1);
    g_assert_cmpint(CUT(0x30, 0x80, 7), ==, -1);
    g_assert_cmpint(CUT(0x30, 0x84, 0, 0, 0, 1, 7), ==, -1);
    g_assert_cmpint(CUT(0x30, 0x83, 0xff, 0xff, 0xff, 7), ==, -1);
    g_assert_cmpint(CUT(0x30, 0x82, 1), ==, -1);
}

static void
test_roots(void)
{
    g_autoptr(GPtrArray) a = g_ptr_array_new_with_free_func((GDestroyNotify)mig_trust_root_free);
    g_autoptr(GPtrArray) b = g_ptr_array_new_with_free_func((GDestroyNotify)mig_trust_root_free);
    MigNode node = {.name = (char *)"nodeB"};

    mig_trust_add_node(a, &node);
    g_assert_cmpuint(a->len, ==, 0);
    node.certificates = g_bytes_new_static("\x30\x01X\x30\x01Y", 6);
    mig_trust_add_node(a, &node);
    g_assert_cmpuint(a->len, ==, 2);
    g_assert_false(mig_trust_same(a, b));
    mig_trust_add_node(b, &node);
    g_assert_true(mig_trust_same(a, b));
    g_bytes_unref(node.certificates);

    node.certificates = g_bytes_new_static("\x30\x01X\x30\x01Z", 6);
    g_ptr_array_set_size(b, 0);
    mig_trust_add_node(b, &node);
    g_assert_false(mig_trust_same(a, b));
    g_bytes_unref(node.certificates);

    g_assert_true(mig_trust_has(a, "nodeB", NULL));
    g_assert_false(mig_trust_has(a, "nodeX", NULL));
    g_autofree char *sum = g_compute_checksum_for_string(G_CHECKSUM_SHA256, "\x30\x01X", 3);

    g_assert_true(mig_trust_has(a, "nodeB", sum));
    g_auto(GStrv) sums = mig_trust_fingerprints(&node);

    g_assert_cmpuint(g_strv_length(sums), ==, 2);
    g_assert_cmpstr(sums[0], ==, sum);
    sum[0] ^= 1;
    g_assert_false(mig_trust_has(a, "nodeB", sum));

    /* half a slot is no slot */
    node.certificates = g_bytes_new_static("\x30\x01X\x30\x09Z", 6);
    mig_trust_add_node(b, &node);
    g_assert_cmpuint(b->len, ==, 2);
    g_bytes_unref(node.certificates);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/trust/judge", test_judge);
    g_test_add_func("/trust/names", test_names);
    g_test_add_func("/trust/split", test_split);
    g_test_add_func("/trust/roots", test_roots);
    return g_test_run();
}
