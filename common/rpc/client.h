/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* client.h - calling a Varlink service, blocking. */
#pragma once

#include <gio/gio.h>

#include "rpc/message.h"

/*
 * Blocking on purpose: the CLI is a straight line, and the daemon calls peers from worker threads.
 * One connection carries one call at a time; a handle belongs to one thread at a time.
 * Errors of the service come back as GErrors of MIG_ERROR with the service's own text;
 * MIG_ERROR_NO_DAEMON / NODE_UNREACHABLE where nobody answers, MIG_ERROR_TIMEOUT,
 * MIG_ERROR_PROTOCOL. An error of MIG_ERROR that the stream itself gives is passed on.
 */

typedef struct MigRpcClient MigRpcClient;

MigRpcClient *mig_rpc_client_new_unix(const char *path, GError **error);
/* Makes a connected socket safe, and blocks for it; NULL and error. The stream is pollable. */
typedef GIOStream *(*MigRpcClientSecure)(GSocket *socket, gpointer user_data, GError **error);
/* timeout_ms: for connecting. secure NULL: in the clear. */
MigRpcClient *mig_rpc_client_new_tcp(const char *address, guint16 port, guint timeout_ms,
                                     MigRpcClientSecure secure, gpointer user_data, GError **error);
void mig_rpc_client_free(MigRpcClient *client);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(MigRpcClient, mig_rpc_client_free)

/* Calls are from now on made for that user of this node, which the other one writes down; it must
 * be one that knows of this (mig_node_hears_callers()). */
void mig_rpc_client_set_caller(MigRpcClient *client, guint32 uid);

/* Can it take another call: the last one was answered whole, and the other end has neither closed
 * it nor said anything unasked? Does not block. */
gboolean mig_rpc_client_is_idle(MigRpcClient *client);
/* For asking whether it is still trusted. Not referenced. */
GIOStream *mig_rpc_client_stream(MigRpcClient *client);

/* timeout_ms 0: none. The reply is a new struct of reply_type, mig_message_free() it. method is
 * the full name, "io.migrated.MoveVm". request NULL: {}. */
gpointer mig_rpc_client_call(MigRpcClient *client, const char *method, const MigType *request_type,
                             gconstpointer request, const MigType *reply_type, guint timeout_ms,
                             GCancellable *cancellable, GError **error);
/* "more": progress is called for each interim answer; the last one is returned. */
typedef void (*MigRpcProgress)(gconstpointer reply, gpointer user_data);
gpointer
mig_rpc_client_call_more(MigRpcClient *client, const char *method, const MigType *request_type,
                         gconstpointer request, const MigType *reply_type, MigRpcProgress progress,
                         gpointer user_data, guint timeout_ms, GCancellable *cancellable,
                         GError **error);
/* "upgrade": after the answer the stream is the caller's, and the client can only be freed. */
GIOStream *
mig_rpc_client_upgrade(MigRpcClient *client, const char *method, const MigType *request_type,
                       gconstpointer request, const MigType *reply_type, gpointer *reply,
                       guint timeout_ms, GError **error);
