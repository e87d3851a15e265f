/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* net.c - looking for an address. */
#include "net.h"

#include "core/checks.h"

#include <arpa/inet.h>
#include <gio/gio.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <string.h>

char *
mig_net_own_address(const char *network)
{
    struct ifaddrs *all = NULL;
    char *result = NULL;

    if (getifaddrs(&all) < 0)
        return NULL;
    for (const struct ifaddrs *one = all; one && !result; one = one->ifa_next) {
        char text[INET_ADDRSTRLEN];
        g_autofree char *address = NULL;
        const struct sockaddr_in *in = (const struct sockaddr_in *)one->ifa_addr;
        const struct sockaddr_in *mask = (const struct sockaddr_in *)one->ifa_netmask;

        if (!in || !mask || in->sin_family != AF_INET ||
            !inet_ntop(AF_INET, &in->sin_addr, text, sizeof text))
            continue;
        address = g_strdup_printf("%s/%d", text, __builtin_popcount(mask->sin_addr.s_addr));
        if (mig_same_subnet(address, network))
            result = g_steal_pointer(&address);
    }
    freeifaddrs(all);
    return result;
}

char *
mig_net_own_near(const char *other)
{
    struct ifaddrs *all = NULL;
    struct in_addr wanted;
    char *result = NULL;

    if (!other || inet_pton(AF_INET, other, &wanted) != 1 || getifaddrs(&all) < 0)
        return NULL;
    for (const struct ifaddrs *one = all; one && !result; one = one->ifa_next) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)one->ifa_addr;
        const struct sockaddr_in *mask = (const struct sockaddr_in *)one->ifa_netmask;
        char text[INET_ADDRSTRLEN];

        if (in && mask && in->sin_family == AF_INET &&
            (in->sin_addr.s_addr & mask->sin_addr.s_addr) ==
                (wanted.s_addr & mask->sin_addr.s_addr) &&
            inet_ntop(AF_INET, &in->sin_addr, text, sizeof text))
            result = g_strdup(text);
    }
    freeifaddrs(all);
    return result;
}

gboolean
mig_net_is_same(const char *a, const char *b)
{
    g_autoptr(GInetAddress) first = a ? g_inet_address_new_from_string(a) : NULL;
    g_autoptr(GInetAddress) second = b ? g_inet_address_new_from_string(b) : NULL;

    return first && second && g_inet_address_equal(first, second);
}

static gboolean
has_address(const struct ifaddrs *one, const char *address)
{
    const struct sockaddr *socket = one->ifa_addr;
    char text[INET6_ADDRSTRLEN] = "";

    if (socket && socket->sa_family == AF_INET)
        inet_ntop(AF_INET, &((const struct sockaddr_in *)socket)->sin_addr, text, sizeof text);
    else if (socket && socket->sa_family == AF_INET6)
        inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)socket)->sin6_addr, text, sizeof text);
    return *text && mig_net_is_same(text, address);
}

gboolean
mig_net_has_interface(const char *name, gboolean must_be_bridge)
{
    g_autofree char *bridge = g_strdup_printf("/sys/class/net/%s/bridge", name);
    g_autofree char *path = g_strdup_printf("/sys/class/net/%s/flags", name);
    g_autofree char *flags = NULL;

    if (strchr(name, '/') || !g_file_get_contents(path, &flags, NULL, NULL) ||
        (must_be_bridge && !g_file_test(bridge, G_FILE_TEST_IS_DIR)))
        return FALSE;
    return (g_ascii_strtoull(flags, NULL, 16) & IFF_UP) != 0;
}

gboolean
mig_net_is_link_up(const char *address)
{
    g_auto(GStrv) parts = g_strsplit(address, "/", 2);
    struct ifaddrs *all = NULL;
    gboolean is_up = FALSE;

    if (getifaddrs(&all) < 0)
        return FALSE;
    for (const struct ifaddrs *one = all; one; one = one->ifa_next) {
        if (has_address(one, parts[0]))
            is_up = is_up || ((one->ifa_flags & IFF_UP) && (one->ifa_flags & IFF_RUNNING));
    }
    freeifaddrs(all);
    return is_up;
}
