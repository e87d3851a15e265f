/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* tcp.c - socket options of the peer channel. */

#include "rpc/tcp.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

void
mig_tcp_tune(GSocket *socket)
{
    GSocketFamily family = g_socket_get_family(socket);

    if (family != G_SOCKET_FAMILY_IPV4 && family != G_SOCKET_FAMILY_IPV6)
        return;
    /* Failures are harmless: the kernel's defaults then hold, which are just slower. */
    g_socket_set_keepalive(socket, TRUE);
    g_socket_set_option(socket, IPPROTO_TCP, TCP_KEEPIDLE, 3, NULL);
    g_socket_set_option(socket, IPPROTO_TCP, TCP_KEEPINTVL, 1, NULL);
    g_socket_set_option(socket, IPPROTO_TCP, TCP_KEEPCNT, 3, NULL);
    g_socket_set_option(socket, IPPROTO_TCP, TCP_USER_TIMEOUT, MIG_TCP_DEAD_AFTER_S * 1000, NULL);
    g_socket_set_option(socket, IPPROTO_TCP, TCP_NODELAY, 1, NULL);
}
