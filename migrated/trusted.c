/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* trusted.c - from the slots to who is accepted. */
#include "trusted.h"

#include "core/timeouts.h"
#include "core/trust.h"
#include "drivers/tls-channel.h"
#include "drivers/tls-ram.h"
#include "volumes.h"

#define QEMU_CONFIG "/etc/libvirt/qemu.conf"

struct MigTrusted {
    MigDaemon *daemon;
    MigTls *tls;
    GMutex
        lock; /* guards roots; held over telling the channel, so that the latest word is the last */
    GPtrArray *roots; /* MigTrustRoot */
    MigTlsRam *ram;   /* NULL: nothing is encrypted */
    char *said;       /* of the thread that tends: the problem that the log knows of */
};

MigTrusted *
mig_trusted_new(MigDaemon *daemon, GError **error)
{
    MigTls *tls = mig_tls_new(daemon->identity, error);
    MigTrusted *trusted;

    if (!tls)
        return NULL;
    trusted = g_new0(MigTrusted, 1);
    trusted->daemon = daemon;
    trusted->tls = tls;
    g_mutex_init(&trusted->lock);
    trusted->roots = g_ptr_array_new_with_free_func((GDestroyNotify)mig_trust_root_free);
    if (daemon->config->encrypt)
        trusted->ram = mig_tls_ram_new(daemon->config->qemu_tls_dir, daemon->identity);
    else
        mig_tls_ram_remove(daemon->config->qemu_tls_dir);
    return trusted;
}

void
mig_trusted_seen(MigTrusted *trusted)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&trusted->lock);
    g_autoptr(GPtrArray) volumes = mig_volumes_list(trusted->daemon->volumes);
    g_autoptr(GPtrArray) roots =
        g_ptr_array_new_with_free_func((GDestroyNotify)mig_trust_root_free);

    for (guint i = 0; i < volumes->len; i++) {
        g_autoptr(GPtrArray) nodes = mig_attached_nodes(g_ptr_array_index(volumes, i));

        for (guint k = 0; k < nodes->len; k++) {
            const MigNodeView *view = g_ptr_array_index(nodes, k);

            mig_trust_add_node(roots, view->node);
        }
    }
    if (mig_trust_same(roots, trusted->roots))
        return;
    mig_tls_set_roots(trusted->tls, roots);
    g_ptr_array_unref(trusted->roots);
    trusted->roots = g_steal_pointer(&roots);
}

static gboolean
knows(MigTrusted *trusted, const char *node, const char *certificate)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&trusted->lock);

    return mig_trust_has(trusted->roots, node, certificate);
}

/* NULL: QEMU has what it needs; else what is wrong. */
static char *
write_ram(MigTrusted *trusted)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GPtrArray) roots = NULL;

    g_mutex_lock(&trusted->lock);
    roots = g_ptr_array_ref(trusted->roots); /* replaced, never changed */
    g_mutex_unlock(&trusted->lock);
    if (mig_tls_ram_write(trusted->ram, roots, FALSE, &error) &&
        mig_tls_ram_is_configured(trusted->ram, QEMU_CONFIG, &error))
        return NULL;
    return g_strdup(error->message);
}

void
mig_trusted_tend(MigTrusted *trusted)
{
    g_autoptr(GError) error = NULL;

    if (!mig_tls_renew(trusted->tls, FALSE, &error))
        g_warning("this node's certificate could not be renewed, and is tried again: %s",
                  error->message);
    if (!trusted->ram)
        return;
    g_autofree char *problem = write_ram(trusted);

    if (g_strcmp0(problem, trusted->said) != 0) {
        if (problem)
            g_warning("no VM moves from or to this node, since that cannot be encrypted: %s",
                      problem);
        else
            g_message("moves can be encrypted");
        g_free(trusted->said);
        trusted->said = g_steal_pointer(&problem);
    }
}

/* ---- for QEMU ---- */

void
mig_trusted_set_qemu_group(MigTrusted *trusted, gint64 group)
{
    if (trusted->ram)
        mig_tls_ram_set_group(trusted->ram, group);
}

char *
mig_trusted_problem(MigTrusted *trusted, const char *node, const char *certificate)
{
    if (!trusted->ram)
        return g_strdup("[moves] encrypt=no");
    if (!knows(trusted, node, certificate)) {
        mig_trusted_look(trusted->daemon);
        if (!knows(trusted, node, certificate))
            return g_strdup_printf("the certificate of %s stands in no slot", node);
    }
    return write_ram(trusted);
}

void
mig_trusted_accept(GSocket *socket, guint timeout_ms, MigRpcSecured secured, gpointer secured_data,
                   gpointer user_data)
{
    MigDaemon *daemon = user_data;

    mig_tls_accept(daemon->trusted->tls, socket, timeout_ms, secured, secured_data);
}

GIOStream *
mig_trusted_connect(gpointer self, GSocket *socket, const char *node, GError **error)
{
    MigDaemon *daemon = self;

    return mig_tls_connect(daemon->trusted->tls, socket, node, MIG_PEER_HANDSHAKE_MS, error);
}

void
mig_trusted_look(gpointer self)
{
    MigDaemon *daemon = self;
    g_autoptr(GPtrArray) volumes = mig_volumes_list(daemon->volumes);

    for (guint i = 0; i < volumes->len; i++)
        mig_attached_look(g_ptr_array_index(volumes, i));
}
