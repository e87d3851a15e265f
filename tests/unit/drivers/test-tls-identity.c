/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-tls-identity.c - a node's key is made once, kept whole, and changed step by step. */
#include "drivers/tls-identity.h"

#include "base/error.h"
#include "base/io.h"
#include "core/trust.h"

#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>

typedef struct {
    char *directory, *file;
} Fixture;

static void
set_up(Fixture *f, gconstpointer data)
{
    f->directory = g_dir_make_tmp("migrated-identity.XXXXXX", NULL);
    f->file = g_build_filename(f->directory, "identity.pem", NULL);
}

static void
tear_down(Fixture *f, gconstpointer data)
{
    g_unlink(f->file);
    g_rmdir(f->directory);
    g_free(f->directory);
    g_free(f->file);
}

static MigIdentity *
open_it(Fixture *f)
{
    g_autoptr(GError) error = NULL;
    MigIdentity *identity = mig_identity_open(f->directory, "nodeA", &error);

    g_assert_no_error(error);
    g_assert_nonnull(identity);
    return identity;
}

static guint
published(MigIdentity *identity)
{
    g_autoptr(GBytes) bytes = mig_identity_published(identity);
    g_autoptr(GPtrArray) cut = g_ptr_array_new_with_free_func((GDestroyNotify)g_bytes_unref);

    g_assert_true(mig_trust_split(bytes, cut));
    return cut->len;
}

static void
test_once(Fixture *f, gconstpointer data)
{
    g_autoptr(MigIdentity) first = open_it(f);
    g_autoptr(MigIdentity) again = open_it(f);
    g_autofree char *a = mig_identity_fingerprint(first);
    g_autofree char *b = mig_identity_fingerprint(again);
    g_autoptr(GBytes) bytes = mig_identity_published(first);
    struct stat st;

    g_assert_cmpstr(a, ==, b);
    g_assert_cmpint(strlen(a), ==, 64);
    g_assert_cmpint(stat(f->file, &st), ==, 0);
    g_assert_cmpint(st.st_mode & 07777, ==, 0600);
    g_assert_cmpuint(published(first), ==, 1);
    /* two must fit into a slot */
    g_assert_cmpuint(g_bytes_get_size(bytes), <, 2048);
}

static void
test_leaf(Fixture *f, gconstpointer data)
{
    g_autoptr(MigIdentity) identity = open_it(f);
    g_autoptr(GError) error = NULL;
    g_autoptr(MigLeaf) peer = mig_identity_issue(identity, MIG_LEAF_PEER, &error);
    g_autoptr(MigLeaf) ram = mig_identity_issue(identity, MIG_LEAF_RAM, &error);

    g_assert_no_error(error);
    g_assert_true(g_str_has_prefix(peer->certificate, "-----BEGIN CERTIFICATE"));
    g_assert_true(g_str_has_prefix(peer->key, "-----BEGIN PRIVATE KEY"));
    g_assert_cmpstr(peer->key, !=, ram->key);
    g_assert_cmpint(peer->to_s, >, g_get_real_time() / G_USEC_PER_SEC + 86400);
}

static void
change(Fixture *f, MigIdentity **identity)
{
    /* killed here, started again */
    g_clear_pointer(identity, mig_identity_free);
    *identity = open_it(f);
}

static void
test_change(Fixture *f, gconstpointer data)
{
    MigIdentity *identity = open_it(f);
    g_autofree char *a = mig_identity_fingerprint(identity);
    g_autofree char *begun = NULL, *switched = NULL, *dropped = NULL;

    g_assert_false(mig_identity_switch(identity, NULL));
    g_assert_false(mig_identity_drop(identity, NULL));
    g_assert_true(mig_identity_begin(identity, NULL));
    for (guint twice = 0; twice < 2; twice++, change(f, &identity)) {
        g_clear_pointer(&begun, g_free);
        begun = mig_identity_fingerprint(identity);
        g_assert_cmpint(mig_identity_phase(identity), ==, MIG_IDENTITY_BEGUN);
        g_assert_cmpstr(begun, ==, a);
        g_assert_cmpuint(published(identity), ==, 2);
        g_assert_false(mig_identity_begin(identity, NULL));
        g_assert_false(mig_identity_drop(identity, NULL));
    }
    g_assert_true(mig_identity_switch(identity, NULL));
    for (guint twice = 0; twice < 2; twice++, change(f, &identity)) {
        g_clear_pointer(&switched, g_free);
        switched = mig_identity_fingerprint(identity);
        g_assert_cmpint(mig_identity_phase(identity), ==, MIG_IDENTITY_SWITCHED);
        g_assert_cmpstr(switched, !=, a);
        g_assert_cmpuint(published(identity), ==, 2);
        g_assert_false(mig_identity_begin(identity, NULL));
    }
    g_assert_true(mig_identity_drop(identity, NULL));
    for (guint twice = 0; twice < 2; twice++, change(f, &identity)) {
        g_clear_pointer(&dropped, g_free);
        dropped = mig_identity_fingerprint(identity);
        g_assert_cmpint(mig_identity_phase(identity), ==, MIG_IDENTITY_AT_REST);
        g_assert_cmpstr(dropped, ==, switched);
        g_assert_cmpuint(published(identity), ==, 1);
    }
    mig_identity_free(identity);
}

static void
refused(Fixture *f, const char *node, int code)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *before = NULL, *after = NULL;
    gsize length = 0, length_after = 0;

    before = mig_io_read_file(f->file, 1 << 20, &length, NULL);
    g_assert_null(mig_identity_open(f->directory, node, &error));
    g_assert_error(error, MIG_ERROR, code);
    g_assert_null(strchr(error->message, '\n'));
    g_assert_null(strstr(error->message, "BEGIN"));
    after = mig_io_read_file(f->file, 1 << 20, &length_after, NULL);
    g_assert_cmpmem(before, length, after, length_after);
}

static void
write_it(Fixture *f, const char *data, gsize length)
{
    g_assert_true(mig_io_write_file(f->file, data, length, 0600, NULL));
}

static void
test_bad(Fixture *f, gconstpointer data)
{
    g_autofree char *text = NULL, *other = NULL, *mixed = NULL;
    gsize length = 0, other_length = 0;

    mig_identity_free(open_it(f));
    text = mig_io_read_file(f->file, 1 << 20, &length, NULL);
    refused(f, "nodeB", MIG_ERROR_CONFIG);
    g_assert_cmpint(g_chmod(f->file, 0640), ==, 0);
    refused(f, "nodeA", MIG_ERROR_DAMAGED);
    g_assert_cmpint(g_chmod(f->file, 0600), ==, 0);
    /* cut anywhere */
    for (gsize cut = 0; cut + 2 < length; cut += 61) {
        write_it(f, text, cut);
        refused(f, "nodeA", MIG_ERROR_DAMAGED);
    }
    /* a flipped bit in the key, in the certificate */
    for (gsize at = 60; at < length - 60; at += 211) {
        g_autofree char *bad = g_memdup2(text, length);

        bad[at] = bad[at] == 'A' ? 'B' : 'A';
        write_it(f, bad, length);
        g_autoptr(MigIdentity) taken = mig_identity_open(f->directory, "nodeA", NULL);
        g_autofree char *finger = taken ? mig_identity_fingerprint(taken) : NULL;

        /* where the signature alone is hurt the key is still ours; never another name or no key */
        g_assert_true(!taken || finger);
    }
    /* the certificate of another key */
    g_unlink(f->file);
    mig_identity_free(open_it(f));
    other = mig_io_read_file(f->file, 1 << 20, &other_length, NULL);
    *strstr(text, "-----BEGIN CERTIFICATE") = '\0';
    mixed = g_strconcat(text, strstr(other, "-----BEGIN CERTIFICATE"), NULL);
    write_it(f, mixed, strlen(mixed));
    refused(f, "nodeA", MIG_ERROR_DAMAGED);
    write_it(f, "", 0);
    refused(f, "nodeA", MIG_ERROR_DAMAGED);
}

/* A change that cannot be written down has not happened. */
static void
test_no_room(Fixture *f, gconstpointer data)
{
    g_autoptr(MigIdentity) identity = open_it(f);
    g_autofree char *away = g_strconcat(f->directory, ".away", NULL);
    g_autofree char *a = mig_identity_fingerprint(identity), *b = NULL;

    g_assert_cmpint(g_rename(f->directory, away), ==, 0);
    g_assert_false(mig_identity_begin(identity, NULL));
    g_assert_cmpint(mig_identity_phase(identity), ==, MIG_IDENTITY_AT_REST);
    g_assert_cmpuint(published(identity), ==, 1);
    g_assert_cmpint(g_rename(away, f->directory), ==, 0);
    g_assert_true(mig_identity_begin(identity, NULL));
    g_assert_cmpint(g_rename(f->directory, away), ==, 0);
    g_assert_false(mig_identity_switch(identity, NULL));
    g_assert_cmpint(mig_identity_phase(identity), ==, MIG_IDENTITY_BEGUN);
    b = mig_identity_fingerprint(identity);
    g_assert_cmpstr(a, ==, b);
    g_assert_cmpint(g_rename(away, f->directory), ==, 0);
    g_assert_true(mig_identity_switch(identity, NULL));
}

#define TEST(name, function) \
    g_test_add("/identity/" name, Fixture, NULL, set_up, function, tear_down)

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    TEST("once", test_once);
    TEST("leaf", test_leaf);
    TEST("change", test_change);
    TEST("bad", test_bad);
    TEST("no-room", test_no_room);
    return g_test_run();
}
