/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* server-private.h - what the files of the server share. */
#pragma once

#include "base/log.h"
#include "rpc/envelope.h"
#include "rpc/frame.h"
#include "rpc/server.h"

/*
 *   server.c             interfaces, listening, accepting
 *   server-access.c      who may call what, and what is written down of it
 *   server-denials.c     how many refusals are written down
 *   server-connection.c  one connection: reading, writing, deadlines
 *   server-dispatch.c    from a frame to a handler; org.varlink.service
 *   server-call.c        the handler's side of a call, from any thread
 *
 * All but server-call.c runs on the main loop only. Between the two stands the outbox of a
 * connection: answers are pushed there under its lock, and the main loop empties it.
 */

typedef enum { MIG_RPC_ACCESS_NONE, MIG_RPC_ACCESS_READ, MIG_RPC_ACCESS_ALL } MigRpcAccess;

typedef struct {
    char *name;
    const char *description;
    const MigRpcMethod *methods;
    gpointer user_data;
    gboolean is_peers;
} MigRpcInterface;

typedef struct MigRpcDenials MigRpcDenials;

struct MigRpcServer {
    MigRpcPeerFilter peer_filter; /* may be NULL */
    gpointer peer_filter_data;
    MigRpcServerSecure peer_secure; /* may be NULL */
    MigRpcStands peer_stands;       /* may be NULL */
    gpointer peer_secure_data;
    GPtrArray *unsafe; /* MigRpcUnsafe, see server.c, oldest first; each frees itself */
    MigLogLimit crowd_limit, filter_limit, slow_limit, size_limit, busy_limit;
    GMainContext *context;
    char *vendor, *product, *version;
    GPtrArray *interfaces;  /* MigRpcInterface */
    GPtrArray *listeners;   /* MigRpcListener, see server.c */
    GPtrArray *connections; /* MigRpcConnection, a reference each */
    guint max_connections;
    guint frame_timeout_ms;
    gint64 full_logged_us; /* when "too many connections" was logged last */
    MigRpcDenials *denials;
};

/* One answer on its way from a call to the wire. */
typedef struct {
    GBytes *frame; /* NULL: nothing to send (oneway) */
    gboolean is_last;
    gboolean is_upgrade;
    MigRpcUpgraded upgraded;
    gpointer upgraded_data;
} MigRpcAnswer;

typedef struct {
    gatomicrefcount references;
    GMainContext *context;
    MigRpcServer *server; /* NULL once closed */
    GIOStream *stream;
    MigRpcOrigin origin;
    guint32 uid;
    char *from; /* for people: "uid 0 pid 12", "peer 10.77.0.2" */
    char *peer; /* NULL: local, or not made safe */
    MigRpcAccess access;
    const char *only_interface; /* of peers; NULL: all */
    MigRpcDenials *denials;

    /* main loop */
    MigFrameBuffer received;
    guint8 read_buffer[16384];
    GCancellable *cancellable; /* of the connection's life */
    GCancellable *read_cancellable;
    GSource *deadline;
    GQueue wire;   /* MigRpcAnswer: taken from the outbox, not yet written */
    gsize written; /* bytes of the wire's head */
    gboolean is_reading, is_writing, is_busy, is_upgrading;
    gboolean had_frame, had_eof, close_when_written, is_closed;

    /* any thread */
    GCancellable *gone; /* the client */
    GMutex lock;
    GQueue outbox;        /* MigRpcAnswer */
    guint queued_answers; /* outbox and wire */
    gsize queued_bytes;
    gboolean wake_pending;
} MigRpcConnection;

struct MigRpcCall {
    MigRpcConnection *connection;
    const MigRpcMethod *method;
    char *full_method;
    gpointer request;
    gint64 caller_uid;      /* a peer's word for whom it asks; -1: none. For the log alone */
    const char *error_name; /* static; NULL: it goes well */
    gboolean wants_more, oneway;
};

/* A slow reader gets no more interim answers while this much waits for it. */
#define MIG_RPC_QUEUE_ANSWERS 16
#define MIG_RPC_QUEUE_BYTES   (256u << 10)

/* server-access.c */
MigRpcAccess mig_rpc_access_of_socket(GSocket *socket, guint32 *uid);
/* Who is at the other end, as text. g_free() */
char *mig_rpc_access_from(GSocket *socket, MigRpcOrigin origin);
/* May the connection call this method? Otherwise FALSE, logged, and *text says why. */
gboolean mig_rpc_access_check(MigRpcConnection *connection, const MigRpcInterface *interface,
                              const MigRpcMethod *method, const char *full_method, char **text);
/* A refusal into the log, unless there were many of late. Main loop. */
void mig_rpc_access_log_denied(MigRpcConnection *connection, const char *full_method);
/* The audit line of a call that ends so; error_name NULL: done. Any thread. */
void mig_rpc_access_audit(const MigRpcCall *call, const char *error_name);

/* A refusal into the log: its text after "refused <who>: ". method: one that exists, as it is
 * counted; NULL: none. Any thread. */
void mig_rpc_access_log(MigRpcConnection *connection, const char *method, const char *full_method,
                        const char *text);

/* server-denials.c; any thread */
MigRpcDenials *mig_rpc_denials_new(GMainContext *context);
MigRpcDenials *mig_rpc_denials_ref(MigRpcDenials *denials);
void mig_rpc_denials_unref(MigRpcDenials *denials);
/* Ten seconds, if nobody says otherwise before the first refusal. */
void mig_rpc_denials_set_window(MigRpcDenials *denials, guint window_ms);
/* Sums up what was not written, and begins anew; the window's end does that by itself. */
void mig_rpc_denials_end_window(MigRpcDenials *denials);
/* May one more of this caller and this method be written? Counted otherwise. */
gboolean mig_rpc_denials_allow(MigRpcDenials *denials, const char *who, const char *method);

/* server-connection.c */
MigRpcConnection *
mig_rpc_connection_new(MigRpcServer *server, GIOStream *stream, MigRpcOrigin origin, guint32 uid,
                       const char *from, const char *peer, MigRpcAccess access,
                       const char *only_interface);
MigRpcConnection *mig_rpc_connection_ref(MigRpcConnection *connection);
void mig_rpc_connection_unref(MigRpcConnection *connection);
void mig_rpc_connection_close(MigRpcConnection *connection);
/* Any thread; takes the frame. Progress (not last) is dropped where too much waits. */
void mig_rpc_connection_push(MigRpcConnection *connection, MigRpcAnswer answer);

/* server-call.c: sends the last answer, takes its frame, frees the call. Any thread. */
void mig_rpc_call_finish(MigRpcCall *call, MigRpcAnswer answer);

/* server-dispatch.c */
void mig_rpc_dispatch(MigRpcConnection *connection, const char *json, gsize length);
void mig_rpc_add_service_interface(MigRpcServer *server);
