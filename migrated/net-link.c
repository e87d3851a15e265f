/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* net-link.c - the interface that a network is on, and what else is on it. */
#include "net.h"

#include "core/checks.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <string.h>

/* ---- /sys ---- */

static char *
sys_path(const char *interface, const char *what)
{
    return g_strdup_printf("/sys/class/net/%s/%s", interface, what);
}

static gboolean
sys_has(const char *interface, const char *what)
{
    g_autofree char *path = sys_path(interface, what);

    return g_file_test(path, G_FILE_TEST_EXISTS);
}

static char *
sys_read(const char *interface, const char *what)
{
    g_autofree char *path = sys_path(interface, what);
    char *text = NULL;

    return g_file_get_contents(path, &text, NULL, NULL) ? g_strstrip(text) : NULL;
}

/* An interface on top of this one: a VLAN is a network of its own, anything else (macvtap, macvlan,
 * bridge) brings guests. */
static gboolean
is_vlan(const char *interface)
{
    g_autofree char *uevent = sys_read(interface, "uevent");

    return uevent && strstr(uevent, "DEVTYPE=vlan");
}

static char **
find_guests(const char *interface)
{
    g_autoptr(GStrvBuilder) builder = g_strv_builder_new();
    g_autofree char *folder = sys_path(interface, "");
    g_autoptr(GDir) directory = g_dir_open(folder, 0, NULL);
    const char *name;

    if (sys_has(interface, "bridge"))
        g_strv_builder_add(builder, "it is a bridge");
    if (sys_has(interface, "brport"))
        g_strv_builder_add(builder, "it is a port of a bridge");
    if (sys_has(interface, "tun_flags"))
        g_strv_builder_add(builder, "it is a guest's own");
    while (directory && (name = g_dir_read_name(directory))) {
        const char *upper = g_str_has_prefix(name, "upper_") ? name + strlen("upper_") : NULL;
        g_autofree char *text = upper ? g_strdup_printf("%s is on it", upper) : NULL;

        if (upper && !is_vlan(upper) && !sys_has(upper, "bridge"))
            g_strv_builder_add(builder, text);
    }
    return g_strv_builder_end(builder);
}

/* ---- /proc ---- */

static char **
lines_of(const char *path)
{
    g_autofree char *text = NULL;

    return g_file_get_contents(path, &text, NULL, NULL) ? g_strsplit(text, "\n", -1)
                                                        : g_new0(char *, 1);
}

static char **
fields_of(const char *line)
{
    g_auto(GStrv) all = g_strsplit_set(line, " \t", -1);
    g_autoptr(GStrvBuilder) builder = g_strv_builder_new();

    for (guint i = 0; all[i]; i++) {
        if (*all[i])
            g_strv_builder_add(builder, all[i]);
    }
    return g_strv_builder_end(builder);
}

static gboolean
has_default_route(const char *interface)
{
    g_auto(GStrv) routes = lines_of("/proc/net/route"), routes6 = lines_of("/proc/net/ipv6_route");

    for (guint i = 0; routes[i]; i++) {
        g_auto(GStrv) field = fields_of(routes[i]);

        if (g_strv_length(field) >= 8 && g_str_equal(field[0], interface) &&
            g_str_equal(field[1], "00000000") && g_str_equal(field[7], "00000000"))
            return TRUE;
    }
    for (guint i = 0; routes6[i]; i++) {
        g_auto(GStrv) field = fields_of(routes6[i]);

        if (g_strv_length(field) >= 10 && g_str_equal(field[9], interface) &&
            g_str_equal(field[0], "00000000000000000000000000000000") &&
            g_str_equal(field[1], "00"))
            return TRUE;
    }
    return FALSE;
}

/* "0102000A:C0DE", or the same behind an IPv6 prefix: an IPv4 address as the kernel keeps it. */
static gboolean
read_address(const char *text, struct in_addr *address)
{
    gsize length = strcspn(text, ":");
    g_autofree char *last = length >= 8 ? g_strndup(text + length - 8, 8) : NULL;
    guint64 number = 0;

    if (!last ||
        (length != 8 && (length != 32 || !g_str_has_prefix(text, "0000000000000000FFFF0000"))) ||
        !g_ascii_string_to_unsigned(last, 16, 0, G_MAXUINT32, &number, NULL))
        return FALSE;
    address->s_addr = (guint32)number;
    return TRUE;
}

/* Who is connected to own that is none of those. */
static void
find_clients_in(const char *path, const char *own, const char *const *nodes, GPtrArray *clients)
{
    g_auto(GStrv) lines = lines_of(path);
    struct in_addr wanted;

    if (inet_pton(AF_INET, own, &wanted) != 1)
        return;
    for (guint i = 1; lines[0] && lines[i]; i++) {
        g_auto(GStrv) field = fields_of(lines[i]);
        struct in_addr local, remote;
        char text[INET_ADDRSTRLEN];

        if (g_strv_length(field) < 4 || !g_str_equal(field[3], "01") || /* established */
            !read_address(field[1], &local) || !read_address(field[2], &remote) ||
            local.s_addr != wanted.s_addr || remote.s_addr == wanted.s_addr ||
            !inet_ntop(AF_INET, &remote, text, sizeof text) || g_strv_contains(nodes, text) ||
            g_ptr_array_find_with_equal_func(clients, text, g_str_equal, NULL))
            continue;
        g_ptr_array_add(clients, g_strdup(text));
    }
}

char **
mig_net_clients(const char *address, const char *const *nodes)
{
    g_autofree char *own = g_strndup(address, strcspn(address, "/"));
    GPtrArray *clients = g_ptr_array_new();

    find_clients_in("/proc/net/tcp", own, nodes, clients);
    find_clients_in("/proc/net/tcp6", own, nodes, clients);
    g_ptr_array_add(clients, NULL);
    return (char **)g_ptr_array_free(clients, FALSE);
}

/* ---- the whole ---- */

/* The interface with that address (prefix length behind it). */
static void
find_interface(MigLinkFacts *facts)
{
    g_autofree char *bare = g_strndup(facts->address, strcspn(facts->address, "/"));
    struct ifaddrs *all = NULL;
    struct in_addr wanted;

    if (inet_pton(AF_INET, bare, &wanted) != 1 || getifaddrs(&all) < 0)
        return;
    for (const struct ifaddrs *one = all; one && !facts->interface; one = one->ifa_next) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)one->ifa_addr;

        if (!in || in->sin_family != AF_INET || in->sin_addr.s_addr != wanted.s_addr)
            continue;
        facts->interface = g_strdup(one->ifa_name);
        facts->is_up = (one->ifa_flags & IFF_UP) && (one->ifa_flags & IFF_RUNNING);
    }
    freeifaddrs(all);
}

MigLinkFacts *
mig_net_link(const char *network)
{
    g_autoptr(MigLinkFacts) facts = mig_link_facts_new();
    g_autofree char *mtu = NULL;

    facts->address = mig_net_own_address(network);
    if (!facts->address)
        return g_steal_pointer(&facts);
    find_interface(facts);
    if (!facts->interface) { /* gone in this moment */
        g_clear_pointer(&facts->address, g_free);
        return g_steal_pointer(&facts);
    }
    mtu = sys_read(facts->interface, "mtu");
    facts->mtu = mtu ? (guint)g_ascii_strtoull(mtu, NULL, 10) : 0;
    facts->has_default_route = has_default_route(facts->interface);
    g_strfreev(facts->guests);
    facts->guests = find_guests(facts->interface);
    return g_steal_pointer(&facts);
}
