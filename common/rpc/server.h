/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* server.h - a Varlink service over unix and TCP sockets. */
#pragma once

#include <gio/gio.h>

#include "rpc/message.h"

/*
 * Owns sockets, frames and the life of a call; knows nothing of what the methods mean. Varlink:
 * NUL-terminated JSON, {"method","parameters","more","oneway","upgrade"} answered by
 * {"parameters","continues"} or {"error","parameters"}; see varlink.org. org.varlink.service
 * (GetInfo, GetInterfaceDescription) is answered here.
 *
 * Who may call what: root, our own user and group migrated everything but what is root's alone,
 * group libvirt what is READ, a peer the peers' interface; a refusal is logged (MIG_ID_DENIED).
 * Each call that is not READ leaves one audit line (MIG_ID_AUDIT) when it is finished: who, from
 * where, what, with which result. The handlers have no part in either, so none can forget.
 *
 * Limits, all per server: frame size (MIG_MESSAGE_MAX_BYTES), connections, time to finish the first
 * frame. A client that breaks the protocol gets an error reply where one is possible and is closed.
 *
 * Threads: create and run on the main loop. The mig_rpc_call_* functions may be called from any
 * thread; replies are put on the wire by the main loop in the order in which they were given.
 */

typedef struct MigRpcServer MigRpcServer;
typedef struct MigRpcCall MigRpcCall; /* one request; owned by the handler until finished */

/* Called on the main loop. Must finish the call sooner or later with exactly one of
 * mig_rpc_call_reply(), _fail() or _upgrade(); may hand it to a thread. request is decoded by the
 * method's type and lives as long as the call. */
typedef void (*MigRpcHandler)(MigRpcCall *call, gconstpointer request, gpointer user_data);

#define MIG_RPC_METHOD_MORE    1u /* may answer with a stream ("more") */
#define MIG_RPC_METHOD_UPGRADE 2u /* needs "upgrade" */
#define MIG_RPC_METHOD_READ    4u /* changes nothing: group libvirt may call it */
#define MIG_RPC_METHOD_ROOT    8u /* opens files or devices of the host by name: for root alone */

typedef struct {
    const char *name; /* "MoveVm", without the interface */
    const MigType *request;
    const MigType *reply;
    unsigned flags;
    MigRpcHandler handler;
} MigRpcMethod;

typedef enum { MIG_RPC_ORIGIN_LOCAL, MIG_RPC_ORIGIN_PEER } MigRpcOrigin;

MigRpcServer *mig_rpc_server_new(const char *vendor, const char *product, const char *version);
void mig_rpc_server_free(MigRpcServer *server);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(MigRpcServer, mig_rpc_server_free)

/* Defaults: 256 connections, of which a quarter is kept for root; one other user has a quarter at
 * most, and all who may do nothing here a sixteenth together, for one call each. As many again of
 * peers, half of them of one node at most, and besides at most MIG_RPC_PEERS_UNSAFE on the way to
 * becoming safe, MIG_RPC_PEERS_UNSAFE_EACH from one address, where the oldest makes room for a new
 * one: peers never take a place of local clients. 10 s for one frame, and for becoming safe. */
#define MIG_RPC_PEERS_UNSAFE      128
#define MIG_RPC_PEERS_UNSAFE_EACH 32
void mig_rpc_server_set_limits(MigRpcServer *server, guint max_connections, guint frame_timeout_ms);
/* How many connections are open now. */
guint mig_rpc_server_get_connections(MigRpcServer *server);

/* description: the interface's .varlink text (static). methods ends with a NULL name. */
void
mig_rpc_server_add_interface(MigRpcServer *server, const char *interface, const char *description,
                             const MigRpcMethod *methods, gpointer user_data);
/* Replaces a stale socket file, but refuses (EADDRINUSE) where a live server answers. */
gboolean
mig_rpc_server_listen_unix(MigRpcServer *server, const char *path, guint mode, GError **error);
/* Peers: only the interface named here is served to them; locally it is root's alone. */
gboolean mig_rpc_server_listen_peer(MigRpcServer *server, const char *address, guint16 port,
                                    const char *only_interface, GError **error);

/* Asked for each peer that connects, on the main loop, with its address as text; FALSE closes the
 * connection before anything is read. Without a filter all are accepted. */
typedef gboolean (*MigRpcPeerFilter)(const char *address, gpointer user_data);
void
mig_rpc_server_set_peer_filter(MigRpcServer *server, MigRpcPeerFilter filter, gpointer user_data);

/* Makes a peer's connection safe, and finds out who it is: begins that on the main loop, for a
 * socket that the filter let pass. secured is called later on the main loop, once: it takes the
 * stream; NULL where the peer was refused. stands, which may be NULL, is asked on the main loop
 * before each call of a peer: is its stream still what it was? Otherwise it is closed, and what it
 * has sent is not looked at. Without this peers are served in the clear. */
typedef void (*MigRpcSecured)(GIOStream *stream, const char *peer, gpointer secured_data);
typedef void (*MigRpcServerSecure)(GSocket *socket, guint timeout_ms, MigRpcSecured secured,
                                   gpointer secured_data, gpointer user_data);
typedef gboolean (*MigRpcStands)(GIOStream *stream);
void mig_rpc_server_set_peer_security(MigRpcServer *server, MigRpcServerSecure secure,
                                      MigRpcStands stands, gpointer user_data);

MigRpcOrigin mig_rpc_call_get_origin(MigRpcCall *call);
/* Who the peer is, as it has proved; NULL: local, or peers are not made safe. */
const char *mig_rpc_call_get_peer(MigRpcCall *call);
/* Who calls, for people: "uid 0 pid 12", "node nodeB at 10.77.0.2". */
const char *mig_rpc_call_get_from(MigRpcCall *call);
/* Local: uid of the caller; peer: G_MAXUINT32 */
guint32 mig_rpc_call_get_uid(MigRpcCall *call);
const char *mig_rpc_call_get_method(MigRpcCall *call);
gboolean mig_rpc_call_wants_more(MigRpcCall *call);
/* Does the method change nothing (MIG_RPC_METHOD_READ)? */
gboolean mig_rpc_call_is_read(MigRpcCall *call);
/* TRUE once the client has gone; the call must still be finished. */
gboolean mig_rpc_call_is_gone(MigRpcCall *call);
/* Is cancelled, on the main loop, when the client goes. Take a reference to have it after the call.
 */
GCancellable *mig_rpc_call_get_gone(MigRpcCall *call);
/* An interim answer ("continues": true); silently nothing unless the client wants more. */
void mig_rpc_call_progress(MigRpcCall *call, gconstpointer reply);
/* The last answer; frees the call. reply NULL: empty parameters. */
void mig_rpc_call_reply(MigRpcCall *call, gconstpointer reply);
/* Answers with io.migrated.<name of the code> {"message": text}; frees the call; takes error.
 * Errors of other domains travel as Failed. */
void mig_rpc_call_fail(MigRpcCall *call, GError *error);
/* Answers with Denied and this text, and logs that like every refusal (MIG_ID_DENIED); frees the
 * call. */
void mig_rpc_call_deny(MigRpcCall *call, const char *what);
/* Sends the last answer, and gives the raw stream away once it is on the wire; frees the call. The
 * callback runs on the main loop and owns the stream (g_object_unref() closes it); stream NULL:
 * client gone. */
typedef void (*MigRpcUpgraded)(GIOStream *stream, gpointer user_data);
void mig_rpc_call_upgrade(MigRpcCall *call, gconstpointer reply, MigRpcUpgraded upgraded,
                          gpointer user_data);
