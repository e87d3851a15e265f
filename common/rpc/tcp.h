/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* tcp.h - how long a dead peer may go unnoticed. */
#pragma once

#include <gio/gio.h>

/* Seconds until a connection to a peer that has lost its power fails: with data under way
 * (TCP_USER_TIMEOUT) and without (keepalive: 3 s idle, then 3 probes, 1 s apart). */
#define MIG_TCP_DEAD_AFTER_S 6

/* For both ends of the peer channel; without effect on other sockets. */
void mig_tcp_tune(GSocket *socket);
