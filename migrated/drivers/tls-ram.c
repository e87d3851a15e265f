/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* tls-ram.c - a folder for QEMU, kept as it should be. */
#include "drivers/tls-ram.h"

#include "base/error.h"
#include "base/io.h"

#include <errno.h>
#include <gnutls/gnutls.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ROOTS            "ca-cert.pem"
#define LEAF             "leaf.pem"
#define GROUP            "dh-params.pem"
#define MODE             0640
#define KEY_MODE         0400 /* of its reader's own file */
#define CONFIG_MAX_BYTES (1u << 20)
#define RENEW_LEFT_S     (2 * 86400 + 8 * 3600) /* a third of a leaf's week */

static const char *const links[] = {"server-cert.pem", "server-key.pem", "client-cert.pem",
                                    "client-key.pem"};

struct MigTlsRam {
    char *directory;
    MigIdentity *identity;
    GMutex lock;                             /* guards what follows, and the folder */
    gint64 user, group;                      /* that QEMU runs with; -1: not known */
    GHashTable *left_out;                    /* node -> what is wrong with a root of it */
    GHashTable *taken;                       /* nodes with a root that QEMU is given */
    char *roots;                             /* as they were written; NULL: not yet */
    char *signer;                            /* of the leaf that was written */
    gint64 to_s;                             /* until when it is valid */
    struct stat roots_at, leaf_at, group_at; /* when they were written */
    gboolean is_over;                        /* nothing is written any more */
};

MigTlsRam *
mig_tls_ram_new(const char *directory, MigIdentity *identity)
{
    MigTlsRam *ram = g_new0(MigTlsRam, 1);

    ram->directory = g_strdup(directory);
    ram->identity = identity;
    ram->user = ram->group = -1;
    ram->left_out = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    ram->taken = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    g_mutex_init(&ram->lock);
    return ram;
}

void
mig_tls_ram_free(MigTlsRam *ram)
{
    if (!ram)
        return;
    g_free(ram->directory);
    g_hash_table_unref(ram->left_out);
    g_hash_table_unref(ram->taken);
    g_free(ram->roots);
    g_free(ram->signer);
    g_mutex_clear(&ram->lock);
    g_free(ram);
}

void
mig_tls_ram_set_reader(MigTlsRam *ram, gint64 user, gint64 group)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&ram->lock);

    if (ram->user == user && ram->group == group)
        return;
    ram->user = user;
    ram->group = group;
    g_clear_pointer(&ram->roots, g_free); /* all of it anew */
    g_clear_pointer(&ram->signer, g_free);
    ram->group_at = (struct stat){0};
}

/* ---- the folder ---- */

static gboolean
fail(const char *what, const char *path, GError **error)
{
    g_set_error(error, MIG_ERROR, MIG_ERROR_IO, "cannot %s %s: %s", what, path, g_strerror(errno));
    return FALSE;
}

/* Those above it belong to nobody in particular, and may be there already. */
static gboolean
make_folder(MigTlsRam *ram, GError **error)
{
    g_autofree char *above = g_path_get_dirname(ram->directory);
    struct stat st;

    if (!mig_io_make_dir(above, 0755, error) || !mig_io_make_dir(ram->directory, 0750, error))
        return FALSE;
    if (lstat(ram->directory, &st) < 0 || !S_ISDIR(st.st_mode)) {
        errno = ENOTDIR;
        return fail("use", ram->directory, error);
    }
    if ((st.st_uid != 0 || st.st_gid != (gid_t)ram->group) && geteuid() == 0 &&
        chown(ram->directory, 0, (gid_t)ram->group) < 0)
        return fail("give away", ram->directory, error);
    if ((st.st_mode & 07777) != 0750 && chmod(ram->directory, 0750) < 0)
        return fail("close", ram->directory, error);
    return TRUE;
}

static gboolean
make_link(MigTlsRam *ram, const char *name, GError **error)
{
    g_autofree char *path = g_build_filename(ram->directory, name, NULL);
    g_autofree char *temp = g_strconcat(path, ".new", NULL);
    char target[sizeof LEAF] = "";

    if (readlink(path, target, sizeof target) == strlen(LEAF) &&
        memcmp(target, LEAF, strlen(LEAF)) == 0)
        return TRUE;
    unlink(temp);
    if (symlink(LEAF, temp) < 0 || rename(temp, path) < 0)
        return fail("make", path, error);
    return TRUE;
}

static gboolean
is_as_written(const char *path, const struct stat *written)
{
    struct stat st;

    return lstat(path, &st) == 0 && st.st_ino == written->st_ino &&
           st.st_mode == written->st_mode && st.st_uid == written->st_uid &&
           st.st_gid == written->st_gid && st.st_ctim.tv_sec == written->st_ctim.tv_sec &&
           st.st_ctim.tv_nsec == written->st_ctim.tv_nsec;
}

static gboolean
write_one(MigTlsRam *ram, const char *name, const char *text, struct stat *written, GError **error)
{
    g_autofree char *path = g_build_filename(ram->directory, name, NULL);
    gboolean is_key = g_str_equal(name, LEAF) && ram->user >= 0;

    if (!mig_io_write_file_for(path, text, strlen(text), is_key ? KEY_MODE : MODE,
                               is_key ? (uid_t)ram->user : (uid_t)-1, (gid_t)ram->group, error))
        return FALSE;
    return lstat(path, written) == 0 || fail("look at", path, error);
}

/* ---- its content ---- */

/* Our own come first: QEMU looks for the signer of its own certificate among the first 16 only. */
static gboolean
append_own(GString *text, const GPtrArray *own, gint64 now_s, GError **error)
{
    for (guint i = 0; i < own->len; i++) {
        g_autofree char *wrong = NULL;
        g_autofree char *pem = mig_tls_ram_root(g_ptr_array_index(own, i), now_s, &wrong);

        if (!pem && i == 0) { /* the one that signs */
            g_set_error(error, MIG_ERROR, MIG_ERROR_FAILED, "the certificate of this very node %s",
                        wrong);
            return FALSE;
        }
        g_string_append(text, pem ? pem : "");
    }
    return TRUE;
}

/* NULL: the own one cannot be used. */
static char *
roots_text(MigTlsRam *ram, const GPtrArray *roots, gint64 now_s, GError **error)
{
    g_autoptr(GPtrArray) own = g_ptr_array_new_with_free_func((GDestroyNotify)g_bytes_unref);
    g_autoptr(GBytes) published = mig_identity_published(ram->identity);
    g_autoptr(GString) text = g_string_new(NULL);

    mig_trust_split(published, own);
    g_hash_table_remove_all(ram->left_out);
    g_hash_table_remove_all(ram->taken);
    if (!append_own(text, own, now_s, error))
        return NULL;
    for (guint i = 0; i < roots->len; i++) {
        const MigTrustRoot *root = g_ptr_array_index(roots, i);
        g_autofree char *wrong = NULL;
        g_autofree char *pem = NULL;

        if (g_ptr_array_find_with_equal_func(own, root->certificate, g_bytes_equal, NULL))
            continue;
        pem = mig_tls_ram_root(root->certificate, now_s, &wrong);
        if (pem) {
            g_string_append(text, pem);
            g_hash_table_add(ram->taken, g_strdup(root->node));
        } else
            g_hash_table_insert(ram->left_out, g_strdup(root->node), g_steal_pointer(&wrong));
    }
    return g_string_free(g_steal_pointer(&text), FALSE);
}

static char *
tell(const char *node, const char *wrong)
{
    return g_strdup_printf("the certificate of %s %s", node, wrong);
}

char *
mig_tls_ram_left_out(MigTlsRam *ram, const char *node)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&ram->lock);
    g_autoptr(GList) nodes = NULL;
    g_autoptr(GString) all = g_string_new(NULL);

    if (node) {
        const char *wrong = g_hash_table_lookup(ram->left_out, node);

        return wrong && !g_hash_table_contains(ram->taken, node) ? tell(node, wrong) : NULL;
    }
    nodes = g_list_sort(g_hash_table_get_keys(ram->left_out), (GCompareFunc)g_strcmp0);
    for (GList *at = nodes; at; at = at->next) {
        g_autofree char *one = tell(at->data, g_hash_table_lookup(ram->left_out, at->data));

        g_string_append_printf(all, "%s%s", all->len ? "; " : "", one);
    }
    return all->len ? g_string_free(g_steal_pointer(&all), FALSE) : NULL;
}

static gboolean
write_roots(MigTlsRam *ram, const GPtrArray *roots, gint64 now_s, GError **error)
{
    g_autofree char *text = roots_text(ram, roots, now_s, error);
    g_autofree char *path = g_build_filename(ram->directory, ROOTS, NULL);

    if (!text)
        return FALSE;
    if (g_strcmp0(text, ram->roots) == 0 && is_as_written(path, &ram->roots_at))
        return TRUE;
    g_clear_pointer(&ram->roots, g_free);
    if (!write_one(ram, ROOTS, text, &ram->roots_at, error))
        return FALSE;
    ram->roots = g_steal_pointer(&text);
    return TRUE;
}

static gboolean
is_leaf_good(MigTlsRam *ram, gint64 now_s)
{
    g_autofree char *path = g_build_filename(ram->directory, LEAF, NULL);
    g_autofree char *signer = mig_identity_fingerprint(ram->identity);
    gint64 left_s = ram->to_s - now_s;

    /* a clock that was set back makes a leaf of the future: no better than an old one */
    return g_strcmp0(signer, ram->signer) == 0 && left_s > RENEW_LEFT_S &&
           left_s < 4 * (gint64)RENEW_LEFT_S && is_as_written(path, &ram->leaf_at);
}

/* Certificate and key in one file: no QEMU, and no crash, finds one of them without the other. */
static gboolean
write_leaf(MigTlsRam *ram, GError **error)
{
    g_autofree char *signer = mig_identity_fingerprint(ram->identity);
    g_autoptr(MigLeaf) leaf = mig_identity_issue(ram->identity, MIG_LEAF_RAM, error);
    char *text;
    gboolean ok;

    if (!leaf)
        return FALSE;
    g_clear_pointer(&ram->signer, g_free);
    text = g_strconcat(leaf->certificate, leaf->key, NULL);
    ok = write_one(ram, LEAF, text, &ram->leaf_at, error);
    explicit_bzero(text, strlen(text));
    g_free(text);
    if (!ok)
        return FALSE;
    ram->signer = g_steal_pointer(&signer);
    ram->to_s = leaf->to_s;
    return TRUE;
}

/* Where this file is missing QEMU makes up a group of its own whenever a VM is awaited: it looks
 * for a prime of 2048 bits, which took 0.2 to 9 s. TLS 1.3 needs none. This one is RFC 7919's. */
static gboolean
write_group(MigTlsRam *ram, GError **error)
{
    g_autofree char *path = g_build_filename(ram->directory, GROUP, NULL);
    gnutls_dh_params_t params;
    gnutls_datum_t text = {0};
    gboolean ok;

    if (is_as_written(path, &ram->group_at))
        return TRUE;
    if (gnutls_dh_params_init(&params) != GNUTLS_E_SUCCESS)
        g_error("out of memory");
    ok = gnutls_dh_params_import_raw2(params, &gnutls_ffdhe_2048_group_prime,
                                      &gnutls_ffdhe_2048_group_generator,
                                      gnutls_ffdhe_2048_key_bits) == GNUTLS_E_SUCCESS &&
         gnutls_dh_params_export2_pkcs3(params, GNUTLS_X509_FMT_PEM, &text) == GNUTLS_E_SUCCESS;
    gnutls_dh_params_deinit(params);
    if (!ok) {
        g_set_error(error, MIG_ERROR, MIG_ERROR_FAILED, "gnutls knows no group ffdhe2048");
        return FALSE;
    }
    ok = write_one(ram, GROUP, (const char *)text.data, &ram->group_at, error);
    gnutls_free(text.data);
    return ok;
}

gboolean
mig_tls_ram_write(MigTlsRam *ram, const GPtrArray *roots, gint64 now_s, gboolean anew,
                  GError **error)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&ram->lock);

    if (ram->is_over) {
        g_set_error(error, MIG_ERROR, MIG_ERROR_NO_CLUSTER, "this node is in no cluster any more");
        return FALSE;
    }
    if (ram->group < 0) {
        g_set_error(error, MIG_ERROR, MIG_ERROR_FAILED,
                    "libvirt has not said yet with which group QEMU runs");
        return FALSE;
    }
    /* roots before the leaf: a new root of our own is known before it signs */
    if (!make_folder(ram, error) || !write_group(ram, error) ||
        !write_roots(ram, roots, now_s, error) ||
        ((anew || !is_leaf_good(ram, now_s)) && !write_leaf(ram, error)))
        return FALSE;
    for (guint i = 0; i < G_N_ELEMENTS(links); i++) {
        if (!make_link(ram, links[i], error))
            return FALSE;
    }
    return TRUE;
}

void
mig_tls_ram_remove(const char *directory)
{
    static const char *const files[] = {LEAF, ROOTS, GROUP};

    for (guint i = 0; i < G_N_ELEMENTS(files) + G_N_ELEMENTS(links); i++) {
        g_autofree char *path = g_build_filename(
            directory, i < G_N_ELEMENTS(files) ? files[i] : links[i - G_N_ELEMENTS(files)], NULL);

        unlink(path);
    }
}

void
mig_tls_ram_end(MigTlsRam *ram)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&ram->lock);

    ram->is_over = TRUE;
    mig_tls_ram_remove(ram->directory);
}

/* ---- libvirt's configuration ---- */

/* Of a line 'key = value # remark': is it of this key, and what is its value? g_free() */
static char *
value_in(const char *line, const char *key)
{
    const char *at = line + strspn(line, " \t");

    if (!g_str_has_prefix(at, key))
        return NULL;
    at += strlen(key);
    at += strspn(at, " \t");
    if (*at++ != '=')
        return NULL;
    at += strspn(at, " \t");
    return g_strndup(at, *at == '"' && strchr(at + 1, '"') ? (gsize)(strchr(at + 1, '"') - at) + 1
                                                           : strcspn(at, " \t\r#"));
}

/* Does each line of this key have this value? Which of two lines counts is libvirt's affair (in
 * 9.0 it is the first one). FALSE, too, where there is none; *is_there says which. */
static gboolean
is_always(char **lines, const char *key, const char *wanted, gboolean *is_there)
{
    gboolean is_right = TRUE;

    *is_there = FALSE;
    for (guint i = 0; lines[i]; i++) {
        g_autofree char *value = value_in(lines[i], key);

        *is_there |= value != NULL;
        is_right &= !value || g_str_equal(value, wanted);
    }
    return *is_there && is_right;
}

gboolean
mig_tls_ram_is_configured(MigTlsRam *ram, const char *config, GError **error)
{
    static const char folder_key[] = "migrate_tls_x509_cert_dir";
    static const char *const verify_keys[] = {"migrate_tls_x509_verify", "default_tls_x509_verify"};
    g_autofree char *text = mig_io_read_file(config, CONFIG_MAX_BYTES, NULL, error);
    g_autofree char *wanted = g_strdup_printf("\"%s\"", ram->directory);
    g_auto(GStrv) lines = text ? g_strsplit(text, "\n", -1) : NULL;
    gboolean is_there = FALSE;

    if (!lines)
        return FALSE;
    if (!is_always(lines, folder_key, wanted, &is_there)) {
        g_set_error(
            error, MIG_ERROR, MIG_ERROR_CONFIG,
            "%s does not name %s as %s; 'migratectl setup' does that, then restart libvirtd",
            config, ram->directory, folder_key);
        return FALSE;
    }
    /* without it the QEMU that awaits a VM lets in whoever connects */
    for (guint i = 0; i < G_N_ELEMENTS(verify_keys); i++) {
        gboolean is_on = is_always(lines, verify_keys[i], "1", &is_there);

        if (is_there && !is_on) {
            g_set_error(error, MIG_ERROR, MIG_ERROR_CONFIG,
                        "%s switches %s off, so anybody could send memory here; 'migratectl setup' "
                        "mends that, then restart libvirtd",
                        config, verify_keys[i]);
            return FALSE;
        }
        if (is_there)
            return TRUE; /* the other one is what libvirt takes where this one is missing */
    }
    return TRUE; /* libvirt's default */
}
