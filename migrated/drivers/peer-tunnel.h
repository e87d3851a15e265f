/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* peer-tunnel.h - libvirtd of another node, as a unix socket here. */
#pragma once

#include <gio/gio.h>

/*
 * libvirt's peer-to-peer migration wants to talk to the target's libvirtd. That one listens on no
 * network: the source's libvirtd connects to a unix socket of ours instead, and the bytes go
 * through the peer channel to the target's migrated, which connects them to its own libvirtd.
 *
 * Each tunnel is two threads that copy; they end when either side closes. A tunnel dies with this
 * process: libvirt then aborts the move, or, if it was over the switch already, the confirm step of
 * the restarted daemon finds out (core/job-states.h).
 */
typedef struct MigTunnels MigTunnels;

/* Opens the peer channel's end of a new tunnel to that node. Runs on a thread of its own. */
typedef GIOStream *(*MigTunnelOpen)(const char *node, gpointer user_data, GError **error);

/* directory: where the sockets live; private to root. */
MigTunnels *mig_tunnels_new(const char *directory, MigTunnelOpen open, gpointer user_data);
void mig_tunnels_free(MigTunnels *tunnels);
/* The socket for that node, listening from now on. g_free(). Any thread. */
char *mig_tunnels_socket(MigTunnels *tunnels, const char *node, GError **error);

/* The target's half: connects the upgraded stream of that node, of which it keeps a reference of
 * its own, to the unix socket at path. Does not block. A node has MIG_TUNNELS_EACH here at most:
 * its moves, of which one at a time goes this way, need one or two. */
#define MIG_TUNNELS_EACH 64
void mig_tunnel_serve(GIOStream *stream, const char *node, const char *path);
