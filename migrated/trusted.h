/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* trusted.h - who belongs to the cluster right now, and the channel to them. */
#pragma once

#include "daemon.h"
#include "rpc/server.h"

/*
 * Joins what the slots say (volumes.h) to the peer channel (drivers/tls-channel.h): after each
 * reading of the slots those accepted are the nodes whose certificates stand there, on any volume.
 */
MigTrusted *mig_trusted_new(MigDaemon *daemon, GError **error);

/* The slots of a volume have been read. Any thread; does not block. */
void mig_trusted_seen(MigTrusted *trusted);
/* From then on a thread of its own does what has to be done now and then, and as soon as roots have
 * changed: QEMU is told of them, certificates are renewed. It waits neither for libvirt nor for a
 * peer, since who was removed must be refused whatever hangs here. */
void mig_trusted_start(MigTrusted *trusted);

/* This node leaves the cluster: QEMU's files go, and nobody writes them again. Any thread. */
void mig_trusted_end(MigTrusted *trusted);

/* Gives this node a new key: returns when it is used. FALSE, MIG_ERROR_EXISTS: is being done
 * already; another error: it may go on by itself, as it does where the process ends. *certificate:
 * SHA-256 of the new root, g_free(). Blocks for seconds. */
gboolean mig_trusted_rotate(MigTrusted *trusted, char **certificate, GError **error);
/* Is the key being changed? *connections: those that were made with the old one. */
gboolean mig_trusted_is_rotating(MigTrusted *trusted, guint *connections);

/* Whose QEMUs read the key for moves; libvirt says it (core/types.h). */
void mig_trusted_set_qemu(MigTrusted *trusted, gint64 user, gint64 group);
/* Makes sure that QEMU here can encrypt a move from or to that node and knows its root
 * (certificate: SHA-256; NULL: any of its own), reading slots anew where it is not known. NULL: it
 * does; else what is wrong, g_free(). Blocks. */
char *mig_trusted_problem(MigTrusted *trusted, const char *node, const char *certificate);

/* The two ends of the channel, as hooks; each is given the MigDaemon. */
void mig_trusted_accept(GSocket *socket, guint timeout_ms, MigRpcSecured secured,
                        gpointer secured_data, gpointer user_data);
GIOStream *mig_trusted_connect(gpointer daemon, GSocket *socket, const char *node, GError **error);
/* Reads all slots anew; blocks on the LUN. */
void mig_trusted_look(gpointer daemon);
