/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* server-access.c - who is at the other end of a local socket, and what that allows. */

#include "rpc/server-private.h"

#include "base/names.h"

#include <grp.h>
#include <sys/socket.h>
#include <unistd.h>

/* (gid_t)-1: no such group on this machine. Looked up each time: the group may be made later, and
 * local connections are rare. */
static gid_t
group_id(const char *name)
{
    char buffer[16384];
    struct group entry, *found = NULL;

    if (getgrnam_r(name, &entry, buffer, sizeof(buffer), &found) != 0 || !found)
        return (gid_t)-1;
    return found->gr_gid;
}

static gboolean
has_group(const gid_t *groups, gsize count, const char *name)
{
    gid_t wanted = group_id(name);

    for (gsize i = 0; wanted != (gid_t)-1 && i < count; i++) {
        if (groups[i] == wanted)
            return TRUE;
    }
    return FALSE;
}

/* Root, our own user and group migrated: everything. Group libvirt: looking. What counts are the
 * credentials at the time of connect(), kept by the kernel. */
MigRpcAccess
mig_rpc_access_of_socket(GSocket *socket, guint32 *uid)
{
    int fd = g_socket_get_fd(socket);
    struct ucred peer;
    socklen_t length = sizeof(peer);
    gid_t groups[1 + 256];
    gsize count = 1;

    *uid = G_MAXUINT32;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) < 0)
        return MIG_RPC_ACCESS_NONE;
    *uid = peer.uid;
    if (peer.uid == 0 || peer.uid == geteuid())
        return MIG_RPC_ACCESS_ALL;

    groups[0] = peer.gid;
    length = sizeof(groups) - sizeof(groups[0]);
    if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups + 1, &length) == 0)
        count += length / sizeof(groups[0]);
    if (has_group(groups, count, MIG_GROUP_ADMIN))
        return MIG_RPC_ACCESS_ALL;
    if (has_group(groups, count, MIG_GROUP_READ))
        return MIG_RPC_ACCESS_READ;
    return MIG_RPC_ACCESS_NONE;
}
