/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* server.c - interfaces, listening sockets, accepting. */

#include "rpc/server.h"

#include "base/error.h"
#include "base/log.h"
#include "rpc/server-private.h"
#include "rpc/tcp.h"

#include <errno.h>
#include <gio/gunixsocketaddress.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEFAULT_MAX_CONNECTIONS  256
#define DEFAULT_FRAME_TIMEOUT_MS 10000
#define ACCEPT_PAUSE_MS          1000 /* when accept() fails: out of descriptors, most likely */
#define BACKLOG                  64
#define MIN_PLACES               4 /* of a user, however few there are */

/* A peer whose connection is being made safe. */
typedef struct {
    MigRpcServer *server; /* NULL once that is gone */
    GSocket *socket;
    gboolean is_dropped; /* its socket is shut: another one took its place */
    char *address;
    const char *only_interface;
} MigRpcUnsafe;

typedef struct {
    MigRpcServer *server;
    GSocket *socket;
    GSource *source;
    MigRpcOrigin origin;
    char *unlink_path;
    char *only_interface;
} MigRpcListener;

static void watch_listener(MigRpcListener *listener);

/* ---- life ---- */

static void
interface_free(gpointer data)
{
    MigRpcInterface *interface = data;

    g_free(interface->name);
    g_free(interface);
}

static void
clear_source(MigRpcListener *listener)
{
    if (listener->source)
        g_source_destroy(listener->source);
    g_clear_pointer(&listener->source, g_source_unref);
}

static void
listener_free(gpointer data)
{
    MigRpcListener *listener = data;

    clear_source(listener);
    if (listener->unlink_path)
        unlink(listener->unlink_path);
    g_free(listener->unlink_path);
    g_free(listener->only_interface);
    g_socket_close(listener->socket, NULL);
    g_object_unref(listener->socket);
    g_free(listener);
}

MigRpcServer *
mig_rpc_server_new(const char *vendor, const char *product, const char *version)
{
    MigRpcServer *server = g_new0(MigRpcServer, 1);

    server->context = g_main_context_ref_thread_default();
    server->vendor = g_strdup(vendor);
    server->product = g_strdup(product);
    server->version = g_strdup(version);
    server->interfaces = g_ptr_array_new_with_free_func(interface_free);
    server->listeners = g_ptr_array_new_with_free_func(listener_free);
    server->connections = g_ptr_array_new_with_free_func((GDestroyNotify)mig_rpc_connection_unref);
    server->unsafe = g_ptr_array_new();
    server->denials = mig_rpc_denials_new(server->context);
    mig_rpc_server_set_limits(server, DEFAULT_MAX_CONNECTIONS, DEFAULT_FRAME_TIMEOUT_MS);
    mig_rpc_add_service_interface(server);
    return server;
}

void
mig_rpc_server_free(MigRpcServer *server)
{
    if (!server)
        return;
    while (server->connections->len > 0)
        mig_rpc_connection_close(server->connections->pdata[0]);
    for (guint i = 0; i < server->unsafe->len; i++)
        ((MigRpcUnsafe *)g_ptr_array_index(server->unsafe, i))->server = NULL;
    mig_rpc_denials_end_window(server->denials);
    mig_rpc_denials_unref(server->denials);
    g_ptr_array_unref(server->unsafe);
    g_ptr_array_unref(server->connections);
    g_ptr_array_unref(server->listeners);
    g_ptr_array_unref(server->interfaces);
    g_main_context_unref(server->context);
    g_free(server->vendor);
    g_free(server->product);
    g_free(server->version);
    g_free(server);
}

void
mig_rpc_server_set_limits(MigRpcServer *server, guint max_connections, guint frame_timeout_ms)
{
    server->max_connections = max_connections;
    server->frame_timeout_ms = frame_timeout_ms;
}

guint
mig_rpc_server_get_connections(MigRpcServer *server)
{
    return server->connections->len;
}

void
mig_rpc_server_add_interface(MigRpcServer *server, const char *name, const char *description,
                             const MigRpcMethod *methods, gpointer user_data)
{
    MigRpcInterface *interface = g_new0(MigRpcInterface, 1);

    interface->name = g_strdup(name);
    interface->description = description;
    interface->methods = methods;
    interface->user_data = user_data;
    g_ptr_array_add(server->interfaces, interface);
}

/* ---- accepting ---- */

static gboolean
is_below(MigRpcServer *server, guint count, guint limit, const char *whose)
{
    if (count < limit)
        return TRUE;
    if (g_get_monotonic_time() - server->full_logged_us > 10 * G_USEC_PER_SEC) {
        mig_log_warning(NULL, "refusing a connection: %u%s are open, which is the limit", count,
                        whose);
        server->full_logged_us = g_get_monotonic_time();
    }
    return FALSE;
}

/* Peers and local clients do not count for one another. */
static gboolean
has_peer_place(MigRpcServer *server)
{
    guint count = 0;

    for (guint i = 0; i < server->connections->len; i++) {
        const MigRpcConnection *other = g_ptr_array_index(server->connections, i);

        count += other->origin == MIG_RPC_ORIGIN_PEER;
    }
    return is_below(server, count, server->max_connections, " of peers");
}

/* The last quarter of the places is root's, so that nobody else can lock it out. Nor can one user
 * lock out the others, and least of all those that may do nothing here anyway. */
static gboolean
has_local_place(MigRpcServer *server, guint32 uid, MigRpcAccess access)
{
    guint max = server->max_connections, count = 0, of_user = 0, idle = 0;

    for (guint i = 0; i < server->connections->len; i++) {
        const MigRpcConnection *other = g_ptr_array_index(server->connections, i);

        if (other->origin == MIG_RPC_ORIGIN_PEER)
            continue;
        count++;
        of_user += other->uid == uid;
        idle += other->access == MIG_RPC_ACCESS_NONE;
    }
    if (uid == 0 || uid == geteuid())
        return is_below(server, count, max, "");
    return is_below(server, count, max - max / 4, "") &&
           is_below(server, of_user, MAX(max / 4, MIN_PLACES), " of one user") &&
           (access != MIG_RPC_ACCESS_NONE ||
            is_below(server, idle, MAX(max / 16, MIN_PLACES), " of users without rights"));
}

/* One node shall not take the places of the others. */
static gboolean
has_place_each(MigRpcServer *server, const char *peer, const char *from)
{
    guint count = 0, skipped = 0;

    for (guint i = 0; i < server->connections->len; i++)
        count += g_strcmp0(((MigRpcConnection *)g_ptr_array_index(server->connections, i))->peer,
                           peer) == 0;
    if (count < server->max_connections / 2)
        return TRUE;
    if (mig_log_allow(&server->busy_limit, &skipped))
        mig_log_event(MIG_ID_PEER_REFUSED, MIG_FIELDS(.peer = peer, .from = from, .state = "busy"),
                      "refused a connection of %s: %u of it are open, which is the limit (%u more "
                      "before)",
                      from, count, skipped);
    return FALSE;
}

/* NULL: no address. g_free() */
static char *
address_of(GSocket *socket)
{
    g_autoptr(GSocketAddress) remote = g_socket_get_remote_address(socket, NULL);

    if (!remote || !G_IS_INET_SOCKET_ADDRESS(remote))
        return NULL;
    return g_inet_address_to_string(
        g_inet_socket_address_get_address(G_INET_SOCKET_ADDRESS(remote)));
}

/* A first cheap look, before anything is read. */
static gboolean
is_peer_welcome(MigRpcServer *server, const char *address)
{
    guint skipped = 0;

    if (!server->peer_filter)
        return TRUE;
    if (address && server->peer_filter(address, server->peer_filter_data))
        return TRUE;
    if (mig_log_allow(&server->filter_limit, &skipped))
        mig_log_event(MIG_ID_PEER_REFUSED, MIG_FIELDS(.peer = address, .state = "address"),
                      "refused a peer: %s is no node of ours (%u more before)",
                      address ? address : "(no address)", skipped);
    return FALSE;
}

/* Few handshakes at a time: whoever leaves them unfinished shall not take what others need. The
 * oldest makes room: an honest one is over in milliseconds, also where it shares its address with a
 * guest that begins them without end. */
static gboolean
make_handshake_place(MigRpcServer *server, const char *address)
{
    MigRpcUnsafe *first = NULL, *first_there = NULL, *victim;
    guint count = 0, all = 0, skipped = 0;

    for (guint i = 0; i < server->unsafe->len; i++) {
        MigRpcUnsafe *other = g_ptr_array_index(server->unsafe, i);
        gboolean is_there = g_strcmp0(other->address, address) == 0;

        if (other->is_dropped)
            continue;
        all++;
        count += is_there;
        first = first ? first : other;
        first_there = first_there || !is_there ? first_there : other;
    }
    if (count < MIG_RPC_PEERS_UNSAFE_EACH && all < MIG_RPC_PEERS_UNSAFE)
        return TRUE;
    victim = first_there ? first_there : first;
    if (mig_log_allow(&server->crowd_limit, &skipped))
        mig_log_event(
            MIG_ID_PEER_REFUSED, MIG_FIELDS(.peer = victim->address, .state = "crowd"),
            "refused a peer at %s: too many unfinished handshakes, %u from %s, %u in all; "
            "the oldest ends (%u more before)",
            victim->address, count, address, all, skipped);
    victim->is_dropped = TRUE;
    g_socket_shutdown(victim->socket, TRUE, TRUE, NULL);
    /* those that were shut take a moment to be gone */
    return server->unsafe->len < 2 * MIG_RPC_PEERS_UNSAFE;
}

void
mig_rpc_server_set_peer_filter(MigRpcServer *server, MigRpcPeerFilter filter, gpointer user_data)
{
    server->peer_filter = filter;
    server->peer_filter_data = user_data;
}

void
mig_rpc_server_set_peer_security(MigRpcServer *server, MigRpcServerSecure secure,
                                 MigRpcStands stands, gpointer user_data)
{
    server->peer_secure = secure;
    server->peer_stands = stands;
    server->peer_secure_data = user_data;
}

static void
on_secured(GIOStream *stream_take, const char *peer, gpointer user_data)
{
    MigRpcUnsafe *unsafe = user_data;
    g_autoptr(GIOStream) stream = stream_take;
    MigRpcServer *server = unsafe->server;
    g_autofree char *from =
        g_strdup_printf("node %s at %s", peer ? peer : "(unknown)", unsafe->address);

    if (server)
        g_ptr_array_remove(server->unsafe, unsafe); /* in order: the oldest is the first */
    if (server && stream && !unsafe->is_dropped && has_peer_place(server) &&
        has_place_each(server, peer, from)) {
        mig_rpc_connection_unref(mig_rpc_connection_new(server, stream, MIG_RPC_ORIGIN_PEER,
                                                        G_MAXUINT32, from, peer, MIG_RPC_ACCESS_ALL,
                                                        unsafe->only_interface));
    } else if (stream) {
        g_io_stream_close(stream, NULL, NULL);
    }
    g_object_unref(unsafe->socket);
    g_free(unsafe->address);
    g_free(unsafe);
}

static void
take_peer(MigRpcListener *listener, GSocket *socket)
{
    MigRpcServer *server = listener->server;
    g_autofree char *address = address_of(socket);
    MigRpcUnsafe *unsafe;

    if (!is_peer_welcome(server, address) || !has_peer_place(server) ||
        !make_handshake_place(server, address)) {
        g_socket_close(socket, NULL);
        return;
    }
    mig_tcp_tune(socket);
    if (!server->peer_secure) {
        g_autofree char *from = mig_rpc_access_from(socket, MIG_RPC_ORIGIN_PEER);
        g_autoptr(GSocketConnection) stream = g_socket_connection_factory_create_connection(socket);

        mig_rpc_connection_unref(
            mig_rpc_connection_new(server, G_IO_STREAM(stream), MIG_RPC_ORIGIN_PEER, G_MAXUINT32,
                                   from, NULL, MIG_RPC_ACCESS_ALL, listener->only_interface));
        return;
    }
    unsafe = g_new0(MigRpcUnsafe, 1);
    unsafe->server = server;
    unsafe->socket = g_object_ref(socket);
    unsafe->address = g_steal_pointer(&address);
    unsafe->only_interface = listener->only_interface;
    g_ptr_array_add(server->unsafe, unsafe);
    server->peer_secure(socket, server->frame_timeout_ms, on_secured, unsafe,
                        server->peer_secure_data);
}

static void
take_local(MigRpcListener *listener, GSocket *socket)
{
    MigRpcServer *server = listener->server;
    guint32 uid = G_MAXUINT32;
    MigRpcAccess access = mig_rpc_access_of_socket(socket, &uid);
    g_autofree char *from = mig_rpc_access_from(socket, MIG_RPC_ORIGIN_LOCAL);
    g_autoptr(GSocketConnection) stream = NULL;

    if (!has_local_place(server, uid, access)) {
        g_socket_close(socket, NULL);
        return;
    }
    stream = g_socket_connection_factory_create_connection(socket);
    mig_rpc_connection_unref(mig_rpc_connection_new(server, G_IO_STREAM(stream),
                                                    MIG_RPC_ORIGIN_LOCAL, uid, from, NULL, access,
                                                    listener->only_interface));
}

static gboolean
on_pause_over(gpointer user_data)
{
    MigRpcListener *listener = user_data;

    clear_source(listener);
    watch_listener(listener);
    return G_SOURCE_REMOVE;
}

static gboolean
on_incoming(GSocket *socket, GIOCondition condition, gpointer user_data)
{
    MigRpcListener *listener = user_data;
    g_autoptr(GError) error = NULL;
    g_autoptr(GSocket) accepted = g_socket_accept(socket, NULL, &error);

    if (accepted) {
        if (listener->origin == MIG_RPC_ORIGIN_LOCAL)
            take_local(listener, accepted);
        else
            take_peer(listener, accepted);
        return G_SOURCE_CONTINUE;
    }
    if (g_error_matches(error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK))
        return G_SOURCE_CONTINUE;
    /* the socket stays readable: without a pause this would spin */
    mig_log_warning(NULL, "cannot accept a connection: %s", error->message);
    clear_source(listener);
    listener->source = g_timeout_source_new(ACCEPT_PAUSE_MS);
    g_source_set_callback(listener->source, on_pause_over, listener, NULL);
    g_source_attach(listener->source, listener->server->context);
    return G_SOURCE_REMOVE;
}

static void
watch_listener(MigRpcListener *listener)
{
    listener->source = g_socket_create_source(listener->socket, G_IO_IN, NULL);
    g_source_set_callback(listener->source, G_SOURCE_FUNC(on_incoming), listener, NULL);
    g_source_attach(listener->source, listener->server->context);
}

/* ---- listening ---- */

/* Takes socket, which is bound. */
static gboolean
start_listening(MigRpcServer *server, GSocket *socket, MigRpcOrigin origin, const char *unlink_path,
                const char *only_interface, GError **error)
{
    MigRpcListener *listener;

    g_socket_set_blocking(socket, FALSE);
    g_socket_set_listen_backlog(socket, BACKLOG);
    if (!g_socket_listen(socket, error)) {
        g_object_unref(socket);
        return FALSE;
    }
    listener = g_new0(MigRpcListener, 1);
    listener->server = server;
    listener->socket = socket;
    listener->origin = origin;
    listener->unlink_path = g_strdup(unlink_path);
    listener->only_interface = g_strdup(only_interface);
    g_ptr_array_add(server->listeners, listener);
    watch_listener(listener);
    return TRUE;
}

/* Removes what a server that was killed has left; keeps away from all else. */
static gboolean
remove_stale_socket(const char *path, GSocketAddress *address, GError **error)
{
    g_autoptr(GSocket) probe = NULL;
    struct stat st;

    if (lstat(path, &st) < 0)
        return TRUE;
    if (!S_ISSOCK(st.st_mode)) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_EXISTS, "%s exists and is not a socket", path);
        return FALSE;
    }
    probe =
        g_socket_new(G_SOCKET_FAMILY_UNIX, G_SOCKET_TYPE_STREAM, G_SOCKET_PROTOCOL_DEFAULT, error);
    if (!probe)
        return FALSE;
    g_socket_set_blocking(probe, FALSE); /* a full backlog is a live server, too */
    {
        g_autoptr(GError) refused = NULL;

        if (g_socket_connect(probe, address, NULL, &refused) ||
            !g_error_matches(refused, G_IO_ERROR, G_IO_ERROR_CONNECTION_REFUSED)) {
            g_set_error(error, G_IO_ERROR, G_IO_ERROR_ADDRESS_IN_USE,
                        "another server answers on %s; stop it first", path);
            return FALSE;
        }
    }
    unlink(path);
    return TRUE;
}

gboolean
mig_rpc_server_listen_unix(MigRpcServer *server, const char *path, guint mode, GError **error)
{
    g_autoptr(GSocketAddress) address = g_unix_socket_address_new(path);
    g_autoptr(GSocket) socket = NULL;

    if (!remove_stale_socket(path, address, error))
        return FALSE;
    socket =
        g_socket_new(G_SOCKET_FAMILY_UNIX, G_SOCKET_TYPE_STREAM, G_SOCKET_PROTOCOL_DEFAULT, error);
    if (!socket || !g_socket_bind(socket, address, TRUE, error)) {
        g_prefix_error(error, "cannot listen on %s: ", path);
        return FALSE;
    }
    /* before listen(): nobody gets in with a mode that is not meant */
    if (chmod(path, mode) < 0) {
        int code = errno;

        g_set_error(error, G_IO_ERROR, g_io_error_from_errno(code), "cannot set the mode of %s: %s",
                    path, g_strerror(code));
        unlink(path);
        return FALSE;
    }
    return start_listening(server, g_steal_pointer(&socket), MIG_RPC_ORIGIN_LOCAL, path, NULL,
                           error);
}

gboolean
mig_rpc_server_listen_peer(MigRpcServer *server, const char *address, guint16 port,
                           const char *only_interface, GError **error)
{
    g_autoptr(GSocketAddress) where = g_inet_socket_address_new_from_string(address, port);
    g_autoptr(GSocket) socket = NULL;

    for (guint i = 0; only_interface && i < server->interfaces->len; i++) {
        MigRpcInterface *interface = server->interfaces->pdata[i];

        interface->is_peers |= g_str_equal(interface->name, only_interface);
    }
    if (!where) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT, "\"%s\" is no IP address",
                    address);
        return FALSE;
    }
    socket = g_socket_new(g_socket_address_get_family(where), G_SOCKET_TYPE_STREAM,
                          G_SOCKET_PROTOCOL_TCP, error);
    if (!socket || !g_socket_bind(socket, where, TRUE, error)) {
        g_prefix_error(error, "cannot listen on %s port %u: ", address, port);
        return FALSE;
    }
    return start_listening(server, g_steal_pointer(&socket), MIG_RPC_ORIGIN_PEER, NULL,
                           only_interface, error);
}
