/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* tls-ram-roots.c - which roots of the slots QEMU is given. */
#include "drivers/tls-ram.h"

#include <gnutls/gnutls.h>
#include <gnutls/x509.h>

static char *
day_of(gint64 at_s)
{
    g_autoptr(GDateTime) at = g_date_time_new_from_unix_utc(at_s);

    return at ? g_date_time_format(at, "%Y-%m-%d %H:%M UTC") : g_strdup("another age");
}

/* What QEMU asks of every certificate in the file before it uses any. NULL: nothing is wrong with
 * this one; g_free(). */
static char *
objection(gnutls_x509_crt_t crt, gint64 now_s)
{
    gint64 from_s = (gint64)gnutls_x509_crt_get_activation_time(crt);
    gint64 to_s = (gint64)gnutls_x509_crt_get_expiration_time(crt);
    g_autofree char *from = day_of(from_s), *to = day_of(to_s);
    unsigned usage = 0;

    if (gnutls_x509_crt_get_ca_status(crt, NULL) <= 0)
        return g_strdup("is no root");
    if (gnutls_x509_crt_get_key_usage(crt, &usage, NULL) >= 0 &&
        !(usage & GNUTLS_KEY_KEY_CERT_SIGN))
        return g_strdup("may sign nothing");
    if (from_s < 0 || to_s < 0)
        return g_strdup("does not say when it is valid");
    if (from_s > now_s)
        return g_strdup_printf("is valid from %s on only; one of the two clocks is wrong", from);
    if (to_s < now_s)
        return g_strdup_printf("has expired on %s; 'migratectl node rotate-key' there", to);
    return NULL;
}

char *
mig_tls_ram_root(GBytes *der, gint64 now_s, char **left_out)
{
    gsize size = 0;
    const guint8 *data = g_bytes_get_data(der, &size);
    const gnutls_datum_t datum = {(unsigned char *)data, (unsigned)size};
    gnutls_x509_crt_t crt;
    gnutls_datum_t pem = {0};
    char *text;

    if (gnutls_x509_crt_init(&crt) < 0)
        g_error("out of memory");
    if (gnutls_x509_crt_import(crt, &datum, GNUTLS_X509_FMT_DER) < 0 ||
        gnutls_x509_crt_export2(crt, GNUTLS_X509_FMT_PEM, &pem) < 0) {
        *left_out = g_strdup("cannot be read");
        gnutls_x509_crt_deinit(crt);
        return NULL;
    }
    *left_out = objection(crt, now_s);
    text = *left_out ? NULL : g_strndup((const char *)pem.data, pem.size);
    gnutls_free(pem.data);
    gnutls_x509_crt_deinit(crt);
    return text;
}
