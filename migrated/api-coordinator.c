/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* api-coordinator.c - methods about who coordinates a volume, and what is asked of whom does. */
#include "api-shape.h"
#include "api.h"

#include "base/error.h"
#include "change.h"
#include "core/timeouts.h"
#include "role.h"

void
peer_Change(MigDaemon *daemon, MigRpcCall *call, gconstpointer request_)
{
    const MigPeerChangeRequest *request = request_;
    g_autoptr(GError) error = NULL;
    g_autoptr(MigAttached) attached = mig_volumes_get(daemon->volumes, request->volume, &error);
    g_autoptr(MigPeerChangeReply) reply = NULL;

    if (attached && !g_uuid_string_is_valid(request->id))
        g_set_error(&error, MIG_ERROR, MIG_ERROR_BAD_VALUE, "a request's id is a uuid");
    else if (attached)
        reply = mig_change_here(daemon, attached, request, &error);
    if (reply)
        mig_rpc_call_reply(call, reply);
    else
        mig_rpc_call_fail(call, g_steal_pointer(&error));
}

void
peer_TakeCoordinator(MigDaemon *daemon, MigRpcCall *call, gconstpointer request_)
{
    const MigNameRequest *request = request_;
    g_autoptr(GError) error = NULL;
    g_autoptr(MigAttached) attached = mig_volumes_get(daemon->volumes, request->name, &error);
    gboolean ok =
        attached && mig_role_take(mig_attached_role(attached), MIG_PEER_CONNECT_MS, &error);

    mig_api_done(call, ok, &error);
}

/* One that does not have it has nothing to give: fine where that node has it already. */
static gboolean
give(MigDaemon *daemon, MigAttached *attached, const char *node, GError **error)
{
    g_autoptr(GError) failed = NULL;
    g_autofree char *now = NULL;

    if (g_str_equal(node, daemon->node))
        return mig_role_take(mig_attached_role(attached), MIG_PEER_CONNECT_MS, error);
    if (mig_role_give(mig_attached_role(attached), node, &failed))
        return TRUE;
    if (failed) {
        g_propagate_error(error, g_steal_pointer(&failed));
        return FALSE;
    }
    now = mig_role_coordinator(mig_attached_role(attached));
    if (g_strcmp0(now, node) == 0)
        return TRUE;
    g_set_error(error, MIG_ERROR, MIG_ERROR_COORDINATOR_BUSY,
                "%s does not coordinate volume %s any more, %s does; try again", daemon->node,
                mig_attached_name(attached), now ? now : "nobody");
    return FALSE;
}

void
peer_GiveCoordinator(MigDaemon *daemon, MigRpcCall *call, gconstpointer request_)
{
    const MigCoordinatorRequest *request = request_;
    g_autoptr(GError) error = NULL;
    g_autoptr(MigAttached) attached = mig_volumes_get(daemon->volumes, request->name, &error);
    g_autoptr(MigNodeView) view =
        attached ? mig_volumes_node(daemon->volumes, request->node, &error) : NULL;
    gboolean ok = view && give(daemon, attached, request->node, &error);

    mig_api_done(call, ok, &error);
}

static gboolean
check_target(MigAttached *attached, const char *node, GError **error)
{
    g_autoptr(GPtrArray) views = mig_attached_nodes(attached);
    g_autofree char *shown = g_strescape(node, NULL);

    for (guint i = 0; i < views->len; i++) {
        const MigNodeView *view = g_ptr_array_index(views, i);

        if (!g_str_equal(view->node->name, node))
            continue;
        if (view->state == MIG_NODE_UP && !view->node->is_draining)
            return TRUE;
        if (view->state == MIG_NODE_UP) {
            g_set_error(error, MIG_ERROR, MIG_ERROR_NODE_UNREACHABLE,
                        "%s is draining and gives its volumes away; take another node", node);
            return FALSE;
        }
        g_set_error(error, MIG_ERROR, MIG_ERROR_NODE_UNREACHABLE, "%s is %s; take another node",
                    node, mig_node_state_name(view->state));
        return FALSE;
    }
    g_set_error(error, MIG_ERROR, MIG_ERROR_NODE_UNKNOWN,
                "no node '%s' has volume %s attached; see 'migratectl volume show %s'", shown,
                mig_attached_name(attached), mig_attached_name(attached));
    return FALSE;
}

/* Asks who has it to give it, or, where nobody has, its target to take it. */
static gboolean
hand_over(MigDaemon *daemon, MigAttached *attached, const MigCoordinatorRequest *request,
          GError **error)
{
    g_autofree char *now = mig_role_coordinator(mig_attached_role(attached));
    MigNameRequest volume = {.name = request->name};
    g_autoptr(MigEmpty) reply = NULL;

    if (!check_target(attached, request->node, error))
        return FALSE;
    if (g_strcmp0(now, request->node) == 0)
        return TRUE;
    if (!now && !g_str_equal(request->node, daemon->node))
        reply =
            mig_peer_rpc_call(daemon->peer, request->node, "TakeCoordinator", &mig_type_NameRequest,
                              &volume, &mig_type_Empty, MIG_PEER_CALL_MS, error);
    else if (!now || g_str_equal(now, daemon->node))
        return give(daemon, attached, request->node, error);
    else
        reply = mig_peer_rpc_call(daemon->peer, now, "GiveCoordinator",
                                  &mig_type_CoordinatorRequest, request, &mig_type_Empty,
                                  MIG_PEER_CALL_MS + MIG_PEER_CONNECT_MS, error);
    return reply != NULL;
}

void
api_SetCoordinator(MigDaemon *daemon, MigRpcCall *call, gconstpointer request_)
{
    const MigCoordinatorRequest *request = request_;
    g_autoptr(MigVolumeReply) reply = mig_VolumeReply_new();
    g_autoptr(GError) error = NULL;
    g_autoptr(MigAttached) attached = mig_volumes_get(daemon->volumes, request->name, &error);

    if (attached && hand_over(daemon, attached, request, &error))
        reply->volume = mig_shape_volume(daemon, attached, &error);
    if (reply->volume)
        mig_rpc_call_reply(call, reply);
    else
        mig_rpc_call_fail(call, g_steal_pointer(&error));
}
