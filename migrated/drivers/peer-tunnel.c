/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* peer-tunnel.c - sockets, and two copying threads for each tunnel. */
#include "drivers/peer-tunnel.h"

#include "base/error.h"
#include "base/log.h"

#include <errno.h>
#include <gio/gunixsocketaddress.h>
#include <glib/gstdio.h>

struct MigTunnels {
    char *directory;
    MigTunnelOpen open;
    gpointer user_data;
    GMutex lock;          /* guards services */
    GHashTable *services; /* node -> GSocketService */
};

/* ---- copying ---- */

typedef struct {
    GIOStream *left, *right; /* a reference each, in both threads */
    gboolean is_to_right;
} Copy;

static Copy *
copy_new(GIOStream *left, GIOStream *right, gboolean is_to_right)
{
    Copy *copy = g_new0(Copy, 1);

    copy->left = g_object_ref(left);
    copy->right = g_object_ref(right);
    copy->is_to_right = is_to_right;
    return copy;
}

/* Wakes the other thread's read too: a tunnel is all or nothing. Closing a GSocketConnection would
 * take the descriptor away from under the other thread; streams of the peer channel can be closed
 * by any thread. */
static void
shut(GIOStream *stream)
{
    if (G_IS_SOCKET_CONNECTION(stream))
        g_socket_shutdown(g_socket_connection_get_socket(G_SOCKET_CONNECTION(stream)), TRUE, TRUE,
                          NULL);
    else
        g_io_stream_close(stream, NULL, NULL);
}

static gpointer
copy_thread(gpointer data)
{
    Copy *copy = data;
    GIOStream *from = copy->is_to_right ? copy->left : copy->right;
    GIOStream *to = copy->is_to_right ? copy->right : copy->left;
    g_autofree char *buffer = g_malloc(64 * 1024);
    gssize length;

    while ((length = g_input_stream_read(g_io_stream_get_input_stream(from), buffer, 64 * 1024,
                                         NULL, NULL)) > 0) {
        if (!g_output_stream_write_all(g_io_stream_get_output_stream(to), buffer, (gsize)length,
                                       NULL, NULL, NULL))
            break;
    }
    shut(copy->left);
    shut(copy->right);
    g_object_unref(copy->left);
    g_object_unref(copy->right);
    g_free(copy);
    return NULL;
}

static void
no_delay(GIOStream *stream)
{
    /* libvirt's RPC is small messages back and forth: Nagle would cost 40 ms each */
    if (G_IS_TCP_CONNECTION(stream))
        g_socket_set_option(g_socket_connection_get_socket(G_SOCKET_CONNECTION(stream)), 6, 1, 1,
                            NULL); /* IPPROTO_TCP, TCP_NODELAY */
}

/* Until one of both ends it. */
static void
couple(GIOStream *left, GIOStream *right)
{
    GThread *other;

    no_delay(left);
    no_delay(right);
    other = g_thread_new("tunnel-out", copy_thread, copy_new(left, right, TRUE));
    copy_thread(copy_new(left, right, FALSE));
    g_thread_join(other);
}

/* ---- source: a socket for each node ---- */

typedef struct {
    MigTunnels *tunnels;
    char *node;
    GIOStream *local;
} Opening;

static gpointer
open_thread(gpointer data)
{
    Opening *opening = data;
    g_autoptr(GError) error = NULL;
    g_autoptr(GIOStream) remote =
        opening->tunnels->open(opening->node, opening->tunnels->user_data, &error);

    if (remote) {
        couple(opening->local, remote);
    } else {
        g_warning("no tunnel to libvirt on %s: %s", opening->node, error->message);
        g_io_stream_close(opening->local, NULL, NULL);
    }
    g_object_unref(opening->local);
    g_free(opening->node);
    g_free(opening);
    return NULL;
}

static gboolean
on_incoming(GSocketService *service, GSocketConnection *connection, GObject *source,
            gpointer user_data)
{
    Opening *opening = g_new0(Opening, 1);

    opening->tunnels = user_data;
    opening->node = g_strdup(g_object_get_data(G_OBJECT(service), "node"));
    opening->local = g_object_ref(G_IO_STREAM(connection));
    g_thread_unref(g_thread_new("tunnel-open", open_thread, opening));
    return TRUE;
}

MigTunnels *
mig_tunnels_new(const char *directory, MigTunnelOpen open, gpointer user_data)
{
    MigTunnels *tunnels = g_new0(MigTunnels, 1);

    g_mutex_init(&tunnels->lock);
    tunnels->directory = g_strdup(directory);
    tunnels->open = open;
    tunnels->user_data = user_data;
    tunnels->services = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_object_unref);
    return tunnels;
}

void
mig_tunnels_free(MigTunnels *tunnels)
{
    if (!tunnels)
        return;
    g_hash_table_unref(tunnels->services);
    g_mutex_clear(&tunnels->lock);
    g_free(tunnels->directory);
    g_free(tunnels);
}

char *
mig_tunnels_socket(MigTunnels *tunnels, const char *node, GError **error)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&tunnels->lock);
    g_autofree char *file = g_strconcat(node, ".sock", NULL);
    g_autofree char *path = g_build_filename(tunnels->directory, file, NULL);
    g_autoptr(GSocketAddress) address = NULL;
    g_autoptr(GSocketService) service = NULL;

    if (g_hash_table_contains(tunnels->services, node))
        return g_steal_pointer(&path);
    g_unlink(path);
    address = g_unix_socket_address_new(path);
    service = g_socket_service_new();
    g_object_set_data_full(G_OBJECT(service), "node", g_strdup(node), g_free);
    g_signal_connect(service, "incoming", G_CALLBACK(on_incoming), tunnels);
    if (!g_socket_listener_add_address(G_SOCKET_LISTENER(service), address, G_SOCKET_TYPE_STREAM,
                                       G_SOCKET_PROTOCOL_DEFAULT, NULL, NULL, error))
        return NULL;
    g_socket_service_start(service);
    g_hash_table_insert(tunnels->services, g_strdup(node), g_steal_pointer(&service));
    return g_steal_pointer(&path);
}

/* ---- target ---- */

typedef struct {
    GIOStream *stream;
    char *path, *node;
} Serving;

static GMutex serving_lock;    /* guards serving */
static GHashTable *serving_of; /* node -> its tunnels here */

/* Counts one more tunnel of that node, or one less. FALSE: it has enough. */
static gboolean
count_tunnel(const char *node, int change)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&serving_lock);
    int count;

    if (!serving_of)
        serving_of = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    count = GPOINTER_TO_INT(g_hash_table_lookup(serving_of, node)) + change;
    if (count > MIG_TUNNELS_EACH)
        return FALSE;
    if (count > 0)
        g_hash_table_replace(serving_of, g_strdup(node), GINT_TO_POINTER(count));
    else
        g_hash_table_remove(serving_of, node);
    return TRUE;
}

static gpointer
serve_thread(gpointer data)
{
    Serving *serving = data;
    g_autoptr(GSocketClient) client = g_socket_client_new();
    g_autoptr(GSocketAddress) address = g_unix_socket_address_new(serving->path);
    g_autoptr(GError) error = NULL;
    g_autoptr(GSocketConnection) local =
        g_socket_client_connect(client, G_SOCKET_CONNECTABLE(address), NULL, &error);

    if (local) {
        couple(G_IO_STREAM(local), serving->stream);
    } else {
        g_warning("no tunnel to libvirt here: %s", error->message);
        g_io_stream_close(serving->stream, NULL, NULL);
    }
    count_tunnel(serving->node, -1);
    g_object_unref(serving->stream);
    g_free(serving->path);
    g_free(serving->node);
    g_free(serving);
    return NULL;
}

void
mig_tunnel_serve(GIOStream *stream, const char *node, const char *path)
{
    static MigLogLimit limit;
    Serving *serving;
    guint skipped = 0;

    if (!count_tunnel(node, 1)) {
        if (mig_log_allow(&limit, &skipped))
            mig_log_event(MIG_ID_PEER_REFUSED, MIG_FIELDS(.peer = node, .state = "busy"),
                          "refused a tunnel of node %s to libvirt: %d of it are open, which is the "
                          "limit (%u more before)",
                          node, MIG_TUNNELS_EACH, skipped);
        g_io_stream_close(stream, NULL, NULL);
        return;
    }
    serving = g_new0(Serving, 1);
    serving->stream = g_object_ref(stream);
    serving->node = g_strdup(node);
    serving->path = g_strdup(path);
    g_thread_unref(g_thread_new("tunnel-in", serve_thread, serving));
}
