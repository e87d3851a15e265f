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
/* What has to be done now and then: certificates are renewed. Blocks on the local disk. */
void mig_trusted_tend(MigTrusted *trusted);

/* The two ends of the channel, as hooks; each is given the MigDaemon. */
void mig_trusted_accept(GSocket *socket, guint timeout_ms, MigRpcSecured secured,
                        gpointer secured_data, gpointer user_data);
GIOStream *mig_trusted_connect(gpointer daemon, GSocket *socket, const char *node, GError **error);
/* Reads all slots anew; blocks on the LUN. */
void mig_trusted_look(gpointer daemon);
