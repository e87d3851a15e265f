/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* server-access.c - who is at the other end, what that allows, and what is written down of it. */

#include "rpc/server-private.h"

#include "base/log.h"
#include "base/names.h"

#include <errno.h>
#include <grp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define GROUPS 256 /* of one user, as a first try */

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
    g_autofree gid_t *groups = g_new(gid_t, 1 + GROUPS);
    gsize count = 1;

    *uid = G_MAXUINT32;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) < 0)
        return MIG_RPC_ACCESS_NONE;
    *uid = peer.uid;
    if (peer.uid == 0 || peer.uid == geteuid())
        return MIG_RPC_ACCESS_ALL;

    groups[0] = peer.gid;
    length = GROUPS * sizeof(groups[0]);
    if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups + 1, &length) == 0) {
        count += length / sizeof(groups[0]);
    } else if (errno == ERANGE) { /* it said how much it needs */
        groups = g_realloc(groups, sizeof(groups[0]) + length);
        if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups + 1, &length) == 0)
            count += length / sizeof(groups[0]);
    }
    if (has_group(groups, count, MIG_GROUP_ADMIN))
        return MIG_RPC_ACCESS_ALL;
    if (has_group(groups, count, MIG_GROUP_READ))
        return MIG_RPC_ACCESS_READ;
    return MIG_RPC_ACCESS_NONE;
}

char *
mig_rpc_access_from(GSocket *socket, MigRpcOrigin origin)
{
    g_autoptr(GSocketAddress) remote = NULL;
    g_autofree char *address = NULL;

    if (origin == MIG_RPC_ORIGIN_LOCAL) {
        struct ucred peer;
        socklen_t length = sizeof(peer);

        if (getsockopt(g_socket_get_fd(socket), SOL_SOCKET, SO_PEERCRED, &peer, &length) < 0)
            return g_strdup("unknown");
        return g_strdup_printf("uid %u pid %d", peer.uid, (int)peer.pid);
    }
    remote = g_socket_get_remote_address(socket, NULL);
    if (!G_IS_INET_SOCKET_ADDRESS(remote))
        return g_strdup("peer");
    address =
        g_inet_address_to_string(g_inet_socket_address_get_address(G_INET_SOCKET_ADDRESS(remote)));
    return g_strconcat("peer ", address, NULL);
}

/* ---- what is refused ---- */

static gboolean
is_root(const MigRpcConnection *c)
{
    return c->origin == MIG_RPC_ORIGIN_LOCAL && (c->uid == 0 || c->uid == geteuid());
}

gboolean
mig_rpc_access_check(MigRpcConnection *c, const MigRpcInterface *interface,
                     const MigRpcMethod *method, const char *full_method, char **text)
{
    gboolean is_read = method->flags & MIG_RPC_METHOD_READ;
    /* a peer's libvirt, and whatever else nodes do for one another, is more than an administrator
     * of the cluster has: it is root on this host */
    gboolean is_roots = (method->flags & MIG_RPC_METHOD_ROOT) ||
                        (interface->is_peers && c->origin == MIG_RPC_ORIGIN_LOCAL);

    if (is_roots ? c->origin == MIG_RPC_ORIGIN_PEER || is_root(c)
                 : c->access == MIG_RPC_ACCESS_ALL || (c->access == MIG_RPC_ACCESS_READ && is_read))
        return TRUE;
    mig_rpc_access_log_denied(c, full_method);
    *text = is_roots
                ? g_strdup("that is for root alone; ask root, or use sudo")
                : g_strdup_printf("you may not do that; be root or a member of group \"%s\"%s",
                                  MIG_GROUP_ADMIN, is_read ? " or \"" MIG_GROUP_READ "\"" : "");
    return FALSE;
}

void
mig_rpc_access_log(MigRpcConnection *c, const char *method, const char *full_method,
                   const char *text)
{
    g_autofree char *uid = NULL;
    const char *who = c->from;

    if (c->origin == MIG_RPC_ORIGIN_LOCAL) /* whatever the process */
        who = uid = g_strdup_printf("uid %u", c->uid);
    if (mig_rpc_denials_allow(c->denials, who, method ? method : "what there is not"))
        mig_log_event(MIG_ID_DENIED,
                      MIG_FIELDS(.peer = c->peer, .from = c->from, .method = full_method),
                      "refused %s: %s", c->from, text);
}

static gboolean
is_known(const MigRpcServer *server, const char *full_method)
{
    const char *dot = strrchr(full_method, '.');

    for (guint i = 0; dot && i < server->interfaces->len; i++) {
        const MigRpcInterface *interface = g_ptr_array_index(server->interfaces, i);

        if (strncmp(full_method, interface->name, (size_t)(dot - full_method)) != 0 ||
            strlen(interface->name) != (size_t)(dot - full_method))
            continue;
        for (const MigRpcMethod *method = interface->methods; method->name; method++) {
            if (g_str_equal(method->name, dot + 1))
                return TRUE;
        }
    }
    return FALSE;
}

void
mig_rpc_access_log_denied(MigRpcConnection *c, const char *full_method)
{
    g_autofree char *text = g_strdup_printf("may not call %.200s", full_method);

    mig_rpc_access_log(c, is_known(c->server, full_method) ? full_method : NULL, full_method, text);
}

/* ---- what was done ---- */

/* Fields of requests that say what a call was about. A list, so that a field with a secret in it,
 * or a whole definition, is never written down because nobody thought of it. */
static const char *const told[] = {"name", "vm",   "node",          "volume", "image",   "device",
                                   "path", "id",   "job",           "source", "target",  "force",
                                   "keep", "size", "delete_images", "op",     "new_name"};

static void
tell_field(GString *line, const MigField *field, const char *request)
{
    const void *member = request + field->offset;
    gboolean is_told = FALSE;

    for (gsize i = 0; i < G_N_ELEMENTS(told); i++)
        is_told |= g_str_equal(told[i], field->name);
    if (!is_told)
        return;
    if (field->kind == MIG_FIELD_STRING && *(char *const *)member) {
        g_autofree char *shown = mig_log_escape(*(char *const *)member);

        g_string_append_printf(line, " %s=%.120s", field->name, shown);
    } else if (field->kind == MIG_FIELD_BOOL && *(const gboolean *)member) {
        g_string_append_printf(line, " %s", field->name);
    } else if (field->kind == MIG_FIELD_INT && *(const gint64 *)member) {
        g_string_append_printf(line, " %s=%" G_GINT64_FORMAT, field->name, *(const gint64 *)member);
    }
}

void
mig_rpc_access_audit(const MigRpcCall *call, const char *error_name)
{
    const MigType *type = call->method->request;
    const char *result = error_name ? error_name : "ok";
    g_autoptr(GString) what = NULL;
    g_autofree char *caller = NULL;

    if (call->method->flags & MIG_RPC_METHOD_READ)
        return;
    /* nothing is decided by it: it is what that node says of its own user */
    if (call->caller_uid >= 0)
        caller = g_strdup_printf("uid %" G_GINT64_FORMAT, call->caller_uid);
    what = g_string_new(NULL);
    for (size_t i = 0; call->request && i < type->field_count; i++)
        tell_field(what, &type->fields[i], call->request);
    mig_log_event(MIG_ID_AUDIT,
                  MIG_FIELDS(.from = call->connection->from, .method = call->full_method,
                             .result = result, .caller = caller),
                  "audit: %s%s%s%s: %s%s: %s", call->connection->from, caller ? " (for its " : "",
                  caller ? caller : "", caller ? ")" : "", call->full_method, what->str, result);
}
