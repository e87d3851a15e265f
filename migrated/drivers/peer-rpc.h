/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* peer-rpc.h - the other nodes, over the peer channel. */
#pragma once

#include "core/peer.h"
#include "rpc/api-types.h"
#include "rpc/client.h"

/*
 * The one place where this node talks to others. A call opens a connection to the address that the
 * node has published in its slot, makes it safe (hooks.secure), makes one Varlink call of
 * io.migrated.Peer, and closes it. Those of a move come in quick succession, and making a
 * connection safe costs more than all else of a call: theirs is kept for the next one, for KEEP_MS,
 * and for KEPT_MOST_MS since it was made, so that none outlives a change of keys by much; never
 * where its other end is not trusted any more (hooks.stands).
 *
 * A node that has just come may be refused by one that has not read its slot yet, for as long as
 * a heartbeat: refused calls are tried again that long. Nothing of a refused call has been looked
 * at.
 */
typedef struct MigPeerRpc MigPeerRpc;

typedef struct {
    /* Where a node listens; FALSE + NODE_UNKNOWN. *address: g_free(). */
    gboolean (*locate)(gpointer self, const char *node, char **address, guint16 *port,
                       GError **error);
    /* This node's own end of the pair. */
    gboolean (*ask)(gpointer self, const MigWish *wish, MigTurn *turn, GError **error);
    void (*release)(gpointer self, const char *job);
    /* A unix socket here that leads to that node's libvirtd. g_free(). */
    char *(*libvirt_socket)(gpointer self, const char *node, GError **error);
    /* Makes the connection to that node safe; blocks. */
    GIOStream *(*secure)(gpointer self, GSocket *socket, const char *node, GError **error);
    /* Is the other end of it trusted as it was when it was made safe? */
    gboolean (*stands)(GIOStream *stream);
    /* Does that node understand for whom it is asked? NULL: none does. */
    gboolean (*hears_callers)(gpointer self, const char *node);
    /* Reads the slots anew; blocks. */
    void (*look)(gpointer self);
    gpointer self;
} MigPeerRpcHooks;

#define MIG_PEER_KEEP_MS      2000
#define MIG_PEER_KEPT_MOST_MS 10000

MigPeerRpc *mig_peer_rpc_new(const char *this_node, const MigPeerRpcHooks *hooks);
void mig_peer_rpc_free(MigPeerRpc *rpc);
const MigPeer *mig_peer_rpc_port(MigPeerRpc *rpc);

/* A connection of one's own: for streams and upgrades. */
MigRpcClient *mig_peer_rpc_open(MigPeerRpc *rpc, const char *node, GError **error);
/* The same, for that user of this node; G_MAXUINT32: nobody's. */
MigRpcClient *mig_peer_rpc_open_for(MigPeerRpc *rpc, const char *node, guint32 uid, GError **error);
/* Peer.<method>, which needs "upgrade" and no parameters: the raw stream behind its answer. */
GIOStream *
mig_peer_rpc_upgrade(MigPeerRpc *rpc, const char *node, const char *method, GError **error);
/* After a call by such a connection: TRUE where it was refused, and is worth another try: *error is
 * cleared then, and some time has passed. *since: 0 before the first call. */
gboolean mig_peer_rpc_again(MigPeerRpc *rpc, gint64 *since, GError **error);
/* One call of io.migrated.Peer.<method>. */
gpointer mig_peer_rpc_call(MigPeerRpc *rpc, const char *node, const char *method,
                           const MigType *request_type, gconstpointer request,
                           const MigType *reply_type, guint timeout_ms, GError **error);
/* Closes kept connections whose time is over; to be called every second or so. */
void mig_peer_rpc_sweep(MigPeerRpc *rpc);
/* The same, of a move: by a connection that was kept, or that will be. A call that breaks with one
 * that was kept is made once more, so it has to be one that may come twice. */
gpointer mig_peer_rpc_call_kept(MigPeerRpc *rpc, const char *node, const char *method,
                                const MigType *request_type, gconstpointer request,
                                const MigType *reply_type, guint timeout_ms, GError **error);
