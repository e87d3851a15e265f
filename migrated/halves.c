/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* halves.c - what halves.h says. */
#include "halves.h"

#include "core/recover.h"
#include "core/timeouts.h"
#include "failover.h"
#include "incoming.h"
#include "self.h"

gboolean
mig_halves_is_dead(MigDaemon *daemon, const char *node, const char *volume)
{
    g_autoptr(GPtrArray) lives = mig_failover_lives(daemon->failover);
    const MigNodeLife *life = mig_lives_find(lives, node);

    return life && mig_life_is_proven_dead(life, volume);
}

static MigDomainState
ask(MigDaemon *daemon, const char *node, const MigRunning *half)
{
    MigPeerDomainRequest request = {.vm = half->name, .uuid = half->uuid};
    g_autoptr(MigPeerDomainReply) reply =
        mig_peer_rpc_call(daemon->peer, node, "GetDomain", &mig_type_PeerDomainRequest, &request,
                          &mig_type_PeerDomainReply, MIG_PEER_CONNECT_MS, NULL);

    return reply ? mig_domain_state_from_name(reply->state) : MIG_DOMAIN_UNKNOWN;
}

/* Of each of the views. A slot that is silent is read all the same: what it says was written while
 * the VM ran there, long before it left. g_free(). */
static MigHalfNode *
describe(MigDaemon *daemon, const MigRunning *half, const GPtrArray *views)
{
    MigHalfNode *nodes = g_new0(MigHalfNode, views->len + 1);
    g_autofree char *source = mig_incoming_source(daemon->incoming, half->name, half->uuid);

    for (guint i = 0; i < views->len; i++) {
        const MigNodeView *view = g_ptr_array_index(views, i);

        nodes[i] = (MigHalfNode){
            .is_source = g_strcmp0(view->node->name, source) == 0,
            .is_up = !view->is_local && view->state == MIG_NODE_UP,
            .is_dead =
                !view->is_local && mig_halves_is_dead(daemon, view->node->name, half->volume),
            .is_published = !view->is_local && !view->node->has_left &&
                            half->slot < MIG_MAX_VM_SLOTS &&
                            (view->node->running[half->slot / 8] & (1u << (half->slot % 8)))};
    }
    return nodes;
}

gboolean
mig_halves_is_alone(MigDaemon *daemon, const MigRunning *half)
{
    g_autoptr(MigAttached) attached = mig_volumes_get(daemon->volumes, half->volume, NULL);
    g_autoptr(GPtrArray) views = attached ? mig_attached_nodes(attached) : NULL;
    g_autofree MigHalfNode *nodes = views ? describe(daemon, half, views) : NULL;

    for (guint i = 0; views && i < views->len; i++) {
        const MigNodeView *view = g_ptr_array_index(views, i);
        const char *node = view->node->name;

        if (view->is_local || view->state == MIG_NODE_LEFT || nodes[i].is_dead ||
            !mig_recover_may_have_half(nodes, views->len, i))
            continue;
        if (!mig_recover_is_half_useless(ask(daemon, node, half), FALSE))
            return FALSE;
    }
    return views && views->len > 0; /* none is an answer that could not be had */
}

gboolean
mig_halves_is_source_dead(MigDaemon *daemon, const MigRunning *half)
{
    g_autoptr(MigAttached) attached = mig_volumes_get(daemon->volumes, half->volume, NULL);
    g_autoptr(GPtrArray) views = attached ? mig_attached_nodes(attached) : NULL;
    g_autofree MigHalfNode *nodes = views ? describe(daemon, half, views) : NULL;

    return nodes && mig_recover_is_source_dead(nodes, views->len);
}

void
mig_halves_restart(MigDaemon *daemon, const char *volume, const char *name)
{
    g_autoptr(MigAttached) attached = mig_volumes_get(daemon->volumes, volume, NULL);
    g_autoptr(MigVm) vm = attached ? mig_csv_vm(mig_attached_csv(attached), name, NULL) : NULL;
    MigLeaseOwner lease = {0};

    if (!vm || !vm->wants_running || vm->restart == MIG_RESTART_NEVER)
        return;
    mig_csv_vm_lease_owner(mig_attached_csv(attached), vm->slot, &lease, NULL);
    mig_self_start_again(daemon, name, lease.version);
}
