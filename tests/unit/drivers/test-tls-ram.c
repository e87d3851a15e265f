/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-tls-ram.c - the folder for QEMU is closed, whole and up to date; what it holds vouches for
 * this node alone. */
#include "drivers/tls-ram.h"

#include "base/error.h"
#include "base/io.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <gnutls/x509.h>
#include <string.h>
#include <grp.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct {
    char *top, *folder, *leaf, *ca;
    MigIdentity *a, *b; /* this node, another one */
    MigTlsRam *ram;
    GPtrArray *roots; /* of both */
} Fixture;

static void
add_node(GPtrArray *roots, const char *name, MigIdentity *identity)
{
    MigNode node = {.name = (char *)name, .certificates = mig_identity_published(identity)};

    mig_trust_add_node(roots, &node);
    g_bytes_unref(node.certificates);
}

static GPtrArray *
roots_new(void)
{
    return g_ptr_array_new_with_free_func((GDestroyNotify)mig_trust_root_free);
}

static void
set_up(Fixture *f, gconstpointer data)
{
    g_autofree char *pki_a = NULL, *pki_b = NULL;

    f->top = g_dir_make_tmp("migrated-ram.XXXXXX", NULL);
    f->folder = g_build_filename(f->top, "pki", "qemu", NULL);
    f->leaf = g_build_filename(f->folder, "leaf.pem", NULL);
    f->ca = g_build_filename(f->folder, "ca-cert.pem", NULL);
    pki_a = g_build_filename(f->top, "a", NULL);
    pki_b = g_build_filename(f->top, "b", NULL);
    f->a = mig_identity_open(pki_a, "nodeA", NULL);
    f->b = mig_identity_open(pki_b, "nodeB", NULL);
    f->roots = roots_new();
    add_node(f->roots, "nodeB", f->b);
    add_node(f->roots, "nodeA", f->a);
    f->ram = mig_tls_ram_new(f->folder, f->a);
    mig_tls_ram_set_reader(f->ram, geteuid(), getegid());
}

static void
remove_all(const char *path)
{
    g_autoptr(GDir) dir =
        g_file_test(path, G_FILE_TEST_IS_SYMLINK) ? NULL : g_dir_open(path, 0, NULL);
    const char *name;

    while (dir && (name = g_dir_read_name(dir))) {
        g_autofree char *inner = g_build_filename(path, name, NULL);

        remove_all(inner);
    }
    g_remove(path);
}

static void
tear_down(Fixture *f, gconstpointer data)
{
    mig_tls_ram_free(f->ram);
    mig_identity_free(f->a);
    mig_identity_free(f->b);
    g_ptr_array_unref(f->roots);
    remove_all(f->top);
    g_free(f->top);
    g_free(f->folder);
    g_free(f->leaf);
    g_free(f->ca);
}

static gint64
now(void)
{
    return g_get_real_time() / G_USEC_PER_SEC;
}

static void
write_it(Fixture *f)
{
    g_autoptr(GError) error = NULL;

    mig_tls_ram_write(f->ram, f->roots, now(), FALSE, &error);
    g_assert_no_error(error);
}

static char *
text_of(const char *path)
{
    char *text = mig_io_read_file(path, 1 << 20, NULL, NULL);

    g_assert_nonnull(text);
    return text;
}

static guint
mode_of(const char *path)
{
    struct stat st;

    g_assert_cmpint(lstat(path, &st), ==, 0);
    return st.st_mode & 07777;
}

/* As QEMU reads it */
static gboolean
has_group(const char *path)
{
    g_autofree char *text = text_of(path);
    const gnutls_datum_t datum = {(unsigned char *)text, (unsigned)strlen(text)};
    gnutls_dh_params_t params;
    gnutls_datum_t prime = {0}, generator = {0};
    unsigned bits = 0;
    gboolean ok;

    g_assert_cmpint(gnutls_dh_params_init(&params), ==, GNUTLS_E_SUCCESS);
    ok = gnutls_dh_params_import_pkcs3(params, &datum, GNUTLS_X509_FMT_PEM) == GNUTLS_E_SUCCESS &&
         gnutls_dh_params_export_raw(params, &prime, &generator, &bits) == GNUTLS_E_SUCCESS &&
         prime.size >= 256;
    gnutls_free(prime.data);
    gnutls_free(generator.data);
    gnutls_dh_params_deinit(params);
    return ok;
}

static void
test_closed(Fixture *f, gconstpointer data)
{
    static const char *const links[] = {"server-cert.pem", "server-key.pem", "client-cert.pem",
                                        "client-key.pem"};
    g_autofree char *above = g_path_get_dirname(f->folder);
    g_autofree char *group = g_build_filename(f->folder, "dh-params.pem", NULL);
    g_autoptr(GError) error = NULL;
    mode_t before = umask(0);

    write_it(f);
    umask(before);
    g_assert_cmpuint(mode_of(above), ==, 0755);
    g_assert_cmpuint(mode_of(f->folder), ==, 0750);
    g_assert_cmpuint(mode_of(f->leaf), ==, 0400);
    g_assert_cmpuint(mode_of(f->ca), ==, 0640);
    g_assert_cmpuint(mode_of(group), ==, 0640);
    g_assert_true(has_group(group));
    for (guint i = 0; i < G_N_ELEMENTS(links); i++) {
        g_autofree char *path = g_build_filename(f->folder, links[i], NULL);
        g_autofree char *target = g_file_read_link(path, NULL);

        g_assert_cmpstr(target, ==, "leaf.pem");
    }
    /* whoever opens it is shut out again */
    g_assert_cmpint(chmod(f->folder, 0777), ==, 0);
    g_assert_cmpint(chmod(f->leaf, 0666), ==, 0);
    write_it(f);
    g_assert_cmpuint(mode_of(f->folder), ==, 0750);
    g_assert_cmpuint(mode_of(f->leaf), ==, 0400);
    mig_tls_ram_end(f->ram);
    g_assert_cmpint(g_rmdir(f->folder), ==, 0);
    g_assert_false(mig_tls_ram_write(f->ram, f->roots, now(), FALSE, &error));
    g_assert_error(error, MIG_ERROR, MIG_ERROR_NO_CLUSTER);
    g_assert_false(g_file_test(f->folder, G_FILE_TEST_EXISTS));
}

/* Can a process of this user and group read it? */
static gboolean
can_read(const char *path, uid_t uid, gid_t gid)
{
    int status = 0;
    pid_t pid = fork();

    if (pid == 0) {
        if (setgroups(0, NULL) < 0 || setgid(gid) < 0 || setuid(uid) < 0)
            _exit(2);
        _exit(open(path, O_RDONLY | O_CLOEXEC) < 0);
    }
    g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
    g_assert_true(WIFEXITED(status) && WEXITSTATUS(status) < 2);
    return WEXITSTATUS(status) == 0;
}

/* The group that QEMU runs with may have other members. */
static void
test_one_reader(Fixture *f, gconstpointer data)
{
    enum { QEMU = 64055, SOMEBODY = 64056, KVM = 64057 };
    g_autofree char *key = g_build_filename(f->folder, "server-key.pem", NULL);

    if (geteuid() != 0) {
        g_test_skip("root only");
        return;
    }
    g_assert_cmpint(chmod(f->top, 0755), ==, 0);
    mig_tls_ram_set_reader(f->ram, QEMU, KVM);
    write_it(f);
    g_assert_true(can_read(key, QEMU, KVM));
    g_assert_true(can_read(f->ca, QEMU, KVM));
    g_assert_false(can_read(key, SOMEBODY, KVM));
    /* libvirt has got another user meanwhile */
    mig_tls_ram_set_reader(f->ram, SOMEBODY, KVM);
    write_it(f);
    g_assert_true(can_read(key, SOMEBODY, KVM));
    g_assert_false(can_read(key, QEMU, KVM));
    mig_tls_ram_set_reader(f->ram, -1, KVM);
    write_it(f);
    g_assert_cmpuint(mode_of(f->leaf), ==, 0640);
    g_assert_true(can_read(key, QEMU, KVM));
}

/* What is right is left alone, what is not is made anew. */
static void
test_kept(Fixture *f, gconstpointer data)
{
    g_autofree char *first = NULL, *same = NULL, *other = NULL, *anew = NULL;
    g_autofree char *key = g_build_filename(f->folder, "server-key.pem", NULL);

    write_it(f);
    first = text_of(f->leaf);
    write_it(f);
    same = text_of(f->leaf);
    g_assert_cmpstr(first, ==, same);
    g_assert_true(mig_io_write_file(f->leaf, first, strlen(first), 0640, NULL));
    g_assert_cmpint(g_unlink(key), ==, 0);
    g_assert_cmpint(g_unlink(f->ca), ==, 0);
    write_it(f);
    other = text_of(f->leaf);
    g_assert_cmpstr(first, !=, other); /* not ours any more, whatever it says */
    g_assert_true(g_file_test(key, G_FILE_TEST_EXISTS));
    g_assert_true(g_file_test(f->ca, G_FILE_TEST_EXISTS));
    g_assert_true(mig_tls_ram_write(f->ram, f->roots, now(), TRUE, NULL));
    anew = text_of(f->leaf);
    g_assert_cmpstr(other, !=, anew);
}

/* Does what another node's QEMU has let this leaf in, as that node? */
static gboolean
is_accepted(const char *ca, const char *leaf, const char *as)
{
    gnutls_x509_trust_list_t trusted;
    gnutls_datum_t ca_data = {(unsigned char *)ca, (unsigned)strlen(ca)};
    gnutls_datum_t leaf_data = {(unsigned char *)leaf, (unsigned)strlen(leaf)};
    gnutls_typed_vdata_st wanted = {
        .type = GNUTLS_DT_DNS_HOSTNAME, .data = (unsigned char *)as, .size = (unsigned)strlen(as)};
    gnutls_x509_crt_t crt;
    unsigned status = ~0u;

    gnutls_x509_trust_list_init(&trusted, 0);
    gnutls_x509_trust_list_add_trust_mem(trusted, &ca_data, NULL, GNUTLS_X509_FMT_PEM, 0, 0);
    gnutls_x509_crt_init(&crt);
    g_assert_cmpint(gnutls_x509_crt_import(crt, &leaf_data, GNUTLS_X509_FMT_PEM), ==, 0);
    gnutls_x509_trust_list_verify_crt2(trusted, &crt, 1, &wanted, 1, 0, &status, NULL);
    gnutls_x509_crt_deinit(crt);
    gnutls_x509_trust_list_deinit(trusted, 1);
    return status == 0;
}

/* A leaf is renewed by itself when a third of its week is left, in a folder that stands else. */
static void
test_age(Fixture *f, gconstpointer data)
{
    const gint64 day_s = 86400, hour_s = 3600;
    g_autofree char *first = NULL, *same = NULL, *renewed = NULL, *ca = NULL;
    g_autoptr(GError) error = NULL;

    write_it(f);
    first = text_of(f->leaf);
    g_assert_true(
        mig_tls_ram_write(f->ram, f->roots, now() + 4 * day_s + 15 * hour_s, FALSE, NULL));
    same = text_of(f->leaf);
    g_assert_cmpstr(same, ==, first);
    g_assert_true(
        mig_tls_ram_write(f->ram, f->roots, now() + 4 * day_s + 17 * hour_s, FALSE, NULL));
    renewed = text_of(f->leaf);
    g_assert_cmpstr(renewed, !=, first);
    ca = text_of(f->ca);
    g_assert_true(is_accepted(ca, renewed, "nodeA"));
    /* a clock that stands before its own root: QEMU would refuse that, and it is said */
    g_assert_false(mig_tls_ram_write(f->ram, f->roots, now() - 3 * day_s, FALSE, &error));
    g_assert_nonnull(strstr(error->message, "this very node is valid from"));
}

static void
test_no_group(Fixture *f, gconstpointer data)
{
    g_autoptr(GError) error = NULL;

    mig_tls_ram_set_reader(f->ram, geteuid(), -1);
    g_assert_false(mig_tls_ram_write(f->ram, f->roots, now(), FALSE, &error));
    g_assert_nonnull(error);
    g_assert_false(g_file_test(f->folder, G_FILE_TEST_EXISTS));
}

static void
test_vouches(Fixture *f, gconstpointer data)
{
    g_autoptr(GPtrArray) without = roots_new();
    g_autofree char *leaf = NULL, *both = NULL, *alone = NULL, *begun = NULL, *after = NULL;
    g_autoptr(MigLeaf) other = mig_identity_issue(f->b, MIG_LEAF_RAM, NULL);
    g_autoptr(MigLeaf) own = mig_identity_issue(f->a, MIG_LEAF_RAM, NULL);

    write_it(f);
    leaf = text_of(f->leaf);
    both = text_of(f->ca);
    g_assert_true(
        g_str_has_prefix(both, own->root)); /* seen: QEMU does not find it behind 15 others */
    g_assert_true(is_accepted(both, leaf, "nodeA"));
    g_assert_false(is_accepted(both, leaf, "nodeB"));
    g_assert_true(is_accepted(both, other->certificate, "nodeB"));
    g_assert_false(is_accepted(both, other->certificate, "nodeA"));
    /* nodeB is removed */
    add_node(without, "nodeA", f->a);
    g_assert_true(mig_tls_ram_write(f->ram, without, now(), FALSE, NULL));
    alone = text_of(f->ca);
    g_assert_true(is_accepted(alone, leaf, "nodeA"));
    g_assert_false(is_accepted(alone, other->certificate, "nodeB"));
    /* and this one changes its key: known before it is used, unknown when it has gone */
    g_assert_true(mig_identity_begin(f->a, NULL));
    write_it(f);
    begun = text_of(f->ca);
    g_assert_true(mig_identity_switch(f->a, NULL));
    write_it(f);
    after = text_of(f->leaf);
    g_assert_true(is_accepted(begun, after, "nodeA"));
    g_assert_false(is_accepted(alone, after, "nodeA"));
}

/* A root like a node's, but valid from then on, or not even a root. */
static GBytes *
odd_root(gint64 from_s, gint64 to_s, gboolean is_root)
{
    gnutls_x509_privkey_t key;
    gnutls_x509_crt_t crt;
    gnutls_datum_t der = {0};
    GBytes *bytes;

    gnutls_x509_privkey_init(&key);
    gnutls_x509_crt_init(&crt);
    g_assert_cmpint(gnutls_x509_privkey_generate(
                        key, GNUTLS_PK_EC, GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0),
                    ==, 0);
    gnutls_x509_crt_set_version(crt, 3);
    gnutls_x509_crt_set_serial(crt, "1", 1);
    gnutls_x509_crt_set_dn(crt, "CN=nodeC", NULL);
    gnutls_x509_crt_set_key(crt, key);
    gnutls_x509_crt_set_activation_time(crt, (time_t)from_s);
    gnutls_x509_crt_set_expiration_time(crt, (time_t)to_s);
    gnutls_x509_crt_set_basic_constraints(crt, is_root, is_root ? 0 : -1);
    gnutls_x509_crt_set_key_usage(crt, GNUTLS_KEY_KEY_CERT_SIGN);
    g_assert_cmpint(gnutls_x509_crt_sign2(crt, crt, key, GNUTLS_DIG_SHA256, 0), ==, 0);
    g_assert_cmpint(gnutls_x509_crt_export2(crt, GNUTLS_X509_FMT_DER, &der), ==, 0);
    bytes = g_bytes_new(der.data, der.size);
    gnutls_free(der.data);
    gnutls_x509_crt_deinit(crt);
    gnutls_x509_privkey_deinit(key);
    return bytes;
}

/* As QEMU does before it uses any of them: all can be read, and all are valid roots. */
static guint
count_as_qemu(const char *ca)
{
    const gnutls_datum_t text = {(unsigned char *)ca, (unsigned)strlen(ca)};
    gnutls_x509_crt_t all[16];
    unsigned count = G_N_ELEMENTS(all);
    time_t now = time(NULL);

    g_assert_cmpint(gnutls_x509_crt_list_import(all, &count, &text, GNUTLS_X509_FMT_PEM, 0), >, 0);
    for (guint i = 0; i < count; i++) {
        g_assert_cmpint(gnutls_x509_crt_get_ca_status(all[i], NULL), >, 0);
        g_assert_cmpint(gnutls_x509_crt_get_activation_time(all[i]), <=, now);
        g_assert_cmpint(gnutls_x509_crt_get_expiration_time(all[i]), >=, now);
        gnutls_x509_crt_deinit(all[i]);
    }
    return count;
}

/* What one node has in its slot stops that node alone. */
static void
test_left_out(Fixture *f, gconstpointer data)
{
    static const guint8 garbage[] = {0x30, 3, 2, 1, 1};
    const gint64 now_s = g_get_real_time() / G_USEC_PER_SEC;
    const struct {
        GBytes *certificate;
        const char *says; /* NULL: it is taken */
    } cases[] = {
        {g_bytes_new_static(garbage, sizeof garbage), "nodeC cannot be read"},
        {odd_root(now_s + 3600, now_s + 86400, TRUE), "nodeC is valid from"},
        {odd_root(now_s - 86400, now_s - 3600, TRUE), "nodeC has expired"},
        {odd_root(now_s - 3600, now_s + 86400, FALSE), "nodeC is no root"},
        {odd_root(now_s - 3600, now_s + 86400, TRUE), NULL},
    };
    g_autoptr(MigLeaf) other = mig_identity_issue(f->b, MIG_LEAF_RAM, NULL);

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        MigNode node = {.name = (char *)"nodeC", .certificates = cases[i].certificate};
        g_autoptr(GPtrArray) roots = roots_new();
        g_autofree char *ca = NULL, *leaf = NULL, *all = NULL, *of_c = NULL;

        g_test_message("%u", i);
        mig_trust_add_node(roots, &node);
        g_assert_cmpuint(roots->len, ==, 1);
        add_node(roots, "nodeB", f->b);
        g_assert_true(mig_tls_ram_write(f->ram, roots, now(), FALSE, NULL));
        ca = text_of(f->ca);
        leaf = text_of(f->leaf);
        g_assert_cmpuint(count_as_qemu(ca), ==, cases[i].says ? 2 : 3);
        g_assert_true(is_accepted(ca, leaf, "nodeA"));
        g_assert_true(is_accepted(ca, other->certificate, "nodeB"));
        of_c = mig_tls_ram_left_out(f->ram, "nodeC");
        all = mig_tls_ram_left_out(f->ram, NULL);
        g_assert_cmpstr(all, ==, of_c);
        g_assert_true(cases[i].says ? strstr(all, cases[i].says) != NULL : all == NULL);
        g_assert_null(mig_tls_ram_left_out(f->ram, "nodeB"));
        g_bytes_unref(cases[i].certificate);
    }
}

/* While it changes its key: the one that can be used is enough for moves, the other one is told. */
static void
test_left_out_half(Fixture *f, gconstpointer data)
{
    const gint64 now_s = g_get_real_time() / G_USEC_PER_SEC;
    g_autoptr(GBytes) future = odd_root(now_s + 3600, now_s + 86400, TRUE);
    MigNode node = {.name = (char *)"nodeB", .certificates = future};
    g_autofree char *all = NULL;

    mig_trust_add_node(f->roots, &node);
    write_it(f);
    all = mig_tls_ram_left_out(f->ram, NULL);
    g_assert_nonnull(strstr(all, "nodeB"));
    g_assert_null(mig_tls_ram_left_out(f->ram, "nodeB"));
}

#define FOLDER "migrate_tls_x509_cert_dir = \"%s\"\n"

static void
test_configured(Fixture *f, gconstpointer data)
{
    static const struct {
        const char *text; /* %s: the folder */
        gboolean is_right;
    } cases[] = {
        {"migrate_tls_x509_cert_dir = \"%s\"\n", TRUE},
        {"a = 1\n  migrate_tls_x509_cert_dir=\"%s\" # ours\n", TRUE},
        {"#migrate_tls_x509_cert_dir = \"%s\"\n", FALSE},
        {"migrate_tls_x509_cert_dir = \"/etc/pki/qemu\"\n#%s\n", FALSE},
        {"migrate_tls_x509_cert_dir = \"%sx\"\n", FALSE},
        {"default_tls_x509_cert_dir = \"%s\"\n", FALSE},
        {"migrate_tls_x509_cert_dir = \"%s\"\nmigrate_tls_x509_cert_dir = \"/x\"\n", FALSE},
        {"migrate_tls_x509_cert_dir = \"/x\"\nmigrate_tls_x509_cert_dir = \"%s\"\n", FALSE},
        {"migrate_tls_x509_cert_dir = \"%s\"\nmigrate_tls_x509_cert_dir = \"%s\"\n", TRUE},
        {"migrate_tls_x509_cert_dir", FALSE},
        {"migrate_tls_x509_cert_dir = \"%s\nmigrate_tls_x509_verify = 1\n", FALSE},
        {FOLDER "migrate_tls_x509_verify = 1\n", TRUE},
        {FOLDER "migrate_tls_x509_verify=1 # ours\n", TRUE},
        {FOLDER "migrate_tls_x509_verify = 0\n", FALSE},
        {FOLDER "  migrate_tls_x509_verify=0#\n", FALSE},
        {FOLDER "migrate_tls_x509_verify = \n", FALSE},
        {FOLDER "#migrate_tls_x509_verify = 0\n", TRUE},
        {FOLDER "migrate_tls_x509_verify = 1\nmigrate_tls_x509_verify = 0\n", FALSE},
        {FOLDER "migrate_tls_x509_verify = 0\nmigrate_tls_x509_verify = 1\n", FALSE},
        {FOLDER "default_tls_x509_verify = 0\n", FALSE},
        {FOLDER "default_tls_x509_verify = 1\n", TRUE},
        {FOLDER "default_tls_x509_verify = 0\nmigrate_tls_x509_verify = 1\n", TRUE},
        {FOLDER "default_tls_x509_verify = 1\nmigrate_tls_x509_verify = 0\n", FALSE},
        {"", FALSE},
    };
    g_autofree char *path = g_build_filename(f->top, "qemu.conf", NULL);
    g_autoptr(GError) error = NULL;

    g_assert_false(mig_tls_ram_is_configured(f->ram, path, &error));
    g_assert_nonnull(error);
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_auto(GStrv) parts = g_strsplit(cases[i].text, "%s", -1);
        g_autofree char *text = g_strjoinv(f->folder, parts);

        g_test_message("%s", text);
        g_assert_true(mig_io_write_file(path, text, strlen(text), 0644, NULL));
        g_assert_true(mig_tls_ram_is_configured(f->ram, path, NULL) == cases[i].is_right);
    }
}

#define ADD(name, test) g_test_add("/tls-ram/" name, Fixture, NULL, set_up, test, tear_down)

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD("closed", test_closed);
    ADD("one-reader", test_one_reader);
    ADD("kept", test_kept);
    ADD("age", test_age);
    ADD("no-group", test_no_group);
    ADD("vouches", test_vouches);
    ADD("left-out", test_left_out);
    ADD("left-out-half", test_left_out_half);
    ADD("configured", test_configured);
    return g_test_run();
}
