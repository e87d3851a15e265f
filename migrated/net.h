/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* net.h - this node's own addresses. */
#pragma once

#include "core/link.h"

/* The address, with prefix length ("10.77.1.3/24"), that an interface of this host has within
 * network (CIDR, or an address with prefix); NULL where there is none. g_free(). */
char *mig_net_own_address(const char *network);
/* An address of this host, without prefix, in whose network the other one is; NULL: none. */
char *mig_net_own_near(const char *other);

/* About the interface with this host's address within network: all but its clients. In net-link.c.
 * Never NULL. */
MigLinkFacts *mig_net_link(const char *network);
/* Who is connected to that address of this host (a prefix length may follow) and is none of nodes.
 * The kernel walks through all its connections for it, of all namespaces: some 20 ms on a large
 * host, where it has none, too. Never NULL; g_strfreev(). In net-link.c. */
char **mig_net_clients(const char *address, const char *const *nodes);
/* Is there an interface of that name and up, and a bridge where it must be? */
gboolean mig_net_has_interface(const char *name, gboolean must_be_bridge);

/* Are both the same IP address, however they are written ("FD00::1", "fd00:0::1")? */
gboolean mig_net_is_same(const char *a, const char *b);
/* Is the interface that has this address (text, a prefix length may follow) up, with its cable in?
 * An address that no interface has: FALSE. */
gboolean mig_net_is_link_up(const char *address);
