/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-leaf.c - certificates such as a node never makes, for a client that shall be refused. */
#include <glib.h>
#include <gnutls/x509.h>
#include <string.h>

/*
 * test-leaf SIGNER OUT OPTIONS: writes a new key and its certificate to OUT (PEM), signed by the
 * key and the certificate in SIGNER, such as a node's identity.pem; with --chain the signer's
 * certificate follows. Without options it is a leaf that a node would use.
 */

static const char *name = "nodeX";
static char *uri, *dns;
static gint64 from_s = -3600, to_s = 3600;
static gboolean is_ca, has_chain, is_own;

static const GOptionEntry options[] = {
    {"name", 0, 0, G_OPTION_ARG_STRING, &name, "Common name", "NAME"},
    {"uri", 0, 0, G_OPTION_ARG_STRING, &uri, "Alternative name", "URI"},
    {"dns", 0, 0, G_OPTION_ARG_STRING, &dns, "Alternative name", "NAME"},
    {"from", 0, 0, G_OPTION_ARG_INT64, &from_s, "Valid from, relative to now", "SECONDS"},
    {"to", 0, 0, G_OPTION_ARG_INT64, &to_s, "Valid until, relative to now", "SECONDS"},
    {"ca", 0, 0, G_OPTION_ARG_NONE, &is_ca, "May sign others", NULL},
    {"chain", 0, 0, G_OPTION_ARG_NONE, &has_chain, "With all certificates of the signer", NULL},
    {"own", 0, 0, G_OPTION_ARG_NONE, &is_own, "Signed by itself", NULL},
    {NULL}};

static void
check(int result, const char *doing)
{
    if (result < 0)
        g_error("%s: %s", doing, gnutls_strerror(result));
}

/* Its first key, its first certificate, and the text of all its certificates. */
static void
read_signer(const char *path, gnutls_x509_privkey_t *key, gnutls_x509_crt_t *crt, char **all)
{
    g_autoptr(GError) error = NULL;
    char *text = NULL;
    gsize length = 0;
    gnutls_datum_t datum;

    if (!g_file_get_contents(path, &text, &length, &error))
        g_error("%s", error->message);
    datum = (gnutls_datum_t){(unsigned char *)text, (unsigned)length};
    check(gnutls_x509_privkey_init(key), "signer's key");
    check(gnutls_x509_privkey_import(*key, &datum, GNUTLS_X509_FMT_PEM), "signer's key");
    check(gnutls_x509_crt_init(crt), "signer's certificate");
    check(gnutls_x509_crt_import(*crt, &datum, GNUTLS_X509_FMT_PEM), "signer's certificate");
    *all = g_strdup(strstr(text, "-----BEGIN CERTIFICATE-----"));
    g_free(text);
}

static void
fill(gnutls_x509_crt_t crt, gnutls_x509_privkey_t key)
{
    gint64 now_s = g_get_real_time() / G_USEC_PER_SEC;
    guint64 serial = GUINT64_TO_BE((guint64)g_get_real_time());

    check(gnutls_x509_crt_set_version(crt, 3), "version");
    check(gnutls_x509_crt_set_serial(crt, &serial, sizeof serial), "serial");
    check(gnutls_x509_crt_set_activation_time(crt, (time_t)(now_s + from_s)), "from");
    check(gnutls_x509_crt_set_expiration_time(crt, (time_t)(now_s + to_s)), "to");
    check(gnutls_x509_crt_set_key(crt, key), "key");
    check(gnutls_x509_crt_set_dn_by_oid(crt, GNUTLS_OID_X520_COMMON_NAME, 0, name,
                                        (unsigned)strlen(name)),
          "name");
    check(gnutls_x509_crt_set_basic_constraints(crt, is_ca, -1), "constraints");
    check(gnutls_x509_crt_set_key_usage(crt, is_ca ? GNUTLS_KEY_KEY_CERT_SIGN |
                                                         GNUTLS_KEY_DIGITAL_SIGNATURE
                                                   : GNUTLS_KEY_DIGITAL_SIGNATURE),
          "usage");
    if (uri)
        check(gnutls_x509_crt_set_subject_alt_name(crt, GNUTLS_SAN_URI, uri, (unsigned)strlen(uri),
                                                   GNUTLS_FSAN_SET),
              "uri");
    if (dns)
        check(gnutls_x509_crt_set_subject_alt_name(crt, GNUTLS_SAN_DNSNAME, dns,
                                                   (unsigned)strlen(dns), GNUTLS_FSAN_SET),
              "dns");
}

int
main(int argc, char **argv)
{
    g_autoptr(GOptionContext) context = g_option_context_new("SIGNER OUT");
    g_autoptr(GError) error = NULL;
    g_autoptr(GString) out = g_string_new(NULL);
    g_autofree char *chain = NULL;
    gnutls_x509_privkey_t key = NULL, signer_key = NULL;
    gnutls_x509_crt_t crt = NULL, signer = NULL;
    gnutls_datum_t pem = {0};

    g_option_context_add_main_entries(context, options, NULL);
    if (!g_option_context_parse(context, &argc, &argv, &error) || argc != 3) {
        g_printerr("test-leaf: %s\n", error ? error->message : "SIGNER and OUT, nothing else");
        return 2;
    }
    check(gnutls_x509_privkey_init(&key), "key");
    check(gnutls_x509_privkey_generate(key, GNUTLS_PK_ECDSA,
                                       GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0),
          "key");
    check(gnutls_x509_crt_init(&crt), "certificate");
    fill(crt, key);
    if (is_own) {
        check(gnutls_x509_crt_sign2(crt, crt, key, GNUTLS_DIG_SHA256, 0), "signing");
    } else {
        read_signer(argv[1], &signer_key, &signer, &chain);
        check(gnutls_x509_crt_sign2(crt, signer, signer_key, GNUTLS_DIG_SHA256, 0), "signing");
    }
    check(
        gnutls_x509_privkey_export2_pkcs8(key, GNUTLS_X509_FMT_PEM, NULL, GNUTLS_PKCS_PLAIN, &pem),
        "key");
    g_string_append_len(out, (const char *)pem.data, pem.size);
    gnutls_free(pem.data);
    check(gnutls_x509_crt_export2(crt, GNUTLS_X509_FMT_PEM, &pem), "certificate");
    g_string_append_len(out, (const char *)pem.data, pem.size);
    gnutls_free(pem.data);
    if (has_chain && chain)
        g_string_append(out, chain);
    if (!g_file_set_contents_full(argv[2], out->str, (gssize)out->len, G_FILE_SET_CONTENTS_NONE,
                                  0600, &error))
        g_error("%s", error->message);
    gnutls_x509_crt_deinit(crt);
    gnutls_x509_privkey_deinit(key);
    g_clear_pointer(&signer, gnutls_x509_crt_deinit);
    g_clear_pointer(&signer_key, gnutls_x509_privkey_deinit);
    return 0;
}
