/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* halves.c - what halves.h says. */
#include "halves.h"

#include "again.h"
#include "base/error.h"
#include "core/recover.h"
#include "core/timeouts.h"
#include "failover.h"
#include "incoming.h"

#define WAIT_LOOK_MS 200

gboolean
mig_halves_is_dead(MigDaemon *daemon, const char *node, const char *volume)
{
    g_autoptr(GPtrArray) lives = mig_failover_lives(daemon->failover);
    const MigNodeLife *life = mig_lives_find(lives, node);

    return life && mig_life_is_proven_dead(life, volume);
}

static gboolean
is_off(MigDaemon *daemon, const char *node, const char *volume)
{
    g_autoptr(GPtrArray) lives = mig_failover_lives(daemon->failover);
    const MigNodeLife *life = mig_lives_find(lives, node);

    return life && mig_life_is_off(life, volume);
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
            .is_off = !view->is_local && is_off(daemon, view->node->name, half->volume),
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

        if (view->is_local || view->state == MIG_NODE_LEFT ||
            mig_halves_is_dead(daemon, node, half->volume) ||
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

/* Has that start of the host the lease of a VM of which another node has a half? Such a node
 * publishes it to the end. */
static gboolean
has_half_elsewhere(MigAttached *attached, guint32 host_id, guint64 generation)
{
    g_autoptr(GPtrArray) vms = mig_csv_vms(mig_attached_csv(attached), NULL);
    g_autoptr(GPtrArray) views = mig_attached_nodes(attached);

    for (guint i = 0; vms && i < vms->len; i++) {
        const MigVm *vm = g_ptr_array_index(vms, i);
        MigLeaseOwner owner = {0};

        if (vm->slot >= MIG_MAX_VM_SLOTS ||
            !mig_csv_vm_lease_owner(mig_attached_csv(attached), vm->slot, &owner, NULL) ||
            owner.host_id != host_id || owner.host_generation != generation)
            continue;
        for (guint k = 0; k < views->len; k++) {
            const MigNodeView *view = g_ptr_array_index(views, k);

            if (view->node->host_id != host_id && view->state == MIG_NODE_UP &&
                (view->node->running[vm->slot / 8] & (1u << (vm->slot % 8))))
                return TRUE;
        }
    }
    return FALSE;
}

void
mig_halves_wait(MigAttached *attached, guint32 host_id, guint64 generation, gint64 heard_us)
{
    gint64 since_us = heard_us ? heard_us : g_get_monotonic_time();

    while (g_get_monotonic_time() - since_us < MIG_FENCE_HALF_MS * G_GINT64_CONSTANT(1000) &&
           has_half_elsewhere(attached, host_id, generation))
        g_usleep(WAIT_LOOK_MS * 1000);
}

gboolean
mig_halves_restart(MigDaemon *daemon, const char *volume, const char *name)
{
    g_autoptr(MigAttached) attached = mig_volumes_get(daemon->volumes, volume, NULL);
    g_autoptr(GError) error = NULL;
    g_autoptr(MigVm) vm = attached ? mig_csv_vm(mig_attached_csv(attached), name, &error) : NULL;
    MigLeaseOwner lease = {0};

    if (!vm) /* it may have been undefined, too */
        return g_error_matches(error, MIG_ERROR, MIG_ERROR_VM_UNKNOWN);
    if (!vm->wants_running || vm->restart == MIG_RESTART_NEVER)
        return TRUE;
    mig_csv_vm_lease_owner(mig_attached_csv(attached), vm->slot, &lease, NULL);
    mig_again_start(daemon->again, volume, name, lease.version, TRUE);
    return TRUE;
}
