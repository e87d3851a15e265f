/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* trusted.c - from the slots to who is accepted. */
#include "trusted.h"

#include "core/timeouts.h"
#include "core/trust.h"
#include "drivers/tls-channel.h"
#include "volumes.h"

struct MigTrusted {
    MigDaemon *daemon;
    MigTls *tls;
    GMutex
        lock; /* guards roots; held over telling the channel, so that the latest word is the last */
    GPtrArray *roots; /* MigTrustRoot */
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

void
mig_trusted_tend(MigTrusted *trusted)
{
    g_autoptr(GError) error = NULL;

    if (!mig_tls_renew(trusted->tls, FALSE, &error))
        g_warning("this node's certificate could not be renewed, and is tried again: %s",
                  error->message);
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
