/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* hooked.c - from a question of the hook to the facts of core/hook.h, and what follows. */
#include "hooked.h"

#include "api.h"

#include "base/error.h"
#include "base/log.h"
#include "core/hook.h"
#include "core/timeouts.h"
#include "events.h"
#include "incoming.h"
#include "jobs.h"
#include "recovery.h"
#include "vms.h"
#include "volumes.h"

struct MigHooked {
    MigDaemon *daemon;
    GMutex lock;
    GHashTable *starting; /* names of VMs that libvirt is starting for us */
};

MigHooked *
mig_hooked_new(MigDaemon *daemon)
{
    MigHooked *hooked = g_new0(MigHooked, 1);

    hooked->daemon = daemon;
    g_mutex_init(&hooked->lock);
    hooked->starting = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    return hooked;
}

/* ---- starts of our own ---- */

gboolean
mig_hooked_start(MigHooked *hooked, const char *vm, const char *xml, GError **error)
{
    const MigHv *hv = hooked->daemon->hv;
    gboolean ok;

    g_mutex_lock(&hooked->lock);
    g_hash_table_add(hooked->starting, g_strdup(vm));
    g_mutex_unlock(&hooked->lock);
    ok = hv->start(hv->self, xml, error);
    g_mutex_lock(&hooked->lock);
    g_hash_table_remove(hooked->starting, vm);
    g_mutex_unlock(&hooked->lock);
    return ok;
}

static gboolean
is_starting(MigHooked *hooked, const char *vm)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&hooked->lock);

    return g_hash_table_contains(hooked->starting, vm);
}

/* ---- may it? ---- */

/* Texts that facts point to. */
typedef struct {
    char *uuid, *owner;
} Texts;

static void
look_at_volume(MigHooked *hooked, MigHookFacts *facts, Texts *texts)
{
    g_autoptr(MigAttached) attached =
        facts->lockspace ? mig_volumes_get(hooked->daemon->volumes, facts->lockspace, NULL) : NULL;
    g_autoptr(MigVm) vm = NULL;
    MigLeaseOwner owner = {0};

    facts->is_attached = attached != NULL;
    facts->is_lost = attached && g_str_equal(mig_attached_state(attached), "lost");
    if (!attached || facts->is_lost || !facts->lease)
        return;
    vm = mig_csv_vm(mig_attached_csv(attached), facts->lease, NULL);
    if (!vm)
        return;
    facts->defined_uuid = texts->uuid = g_strdup(vm->uuid);
    facts->is_owner_known =
        mig_csv_vm_lease_owner(mig_attached_csv(attached), vm->slot, &owner, NULL);
    if (facts->is_owner_known)
        facts->owner = texts->owner = mig_attached_owner_name(attached, &owner, NULL);
}

/* The node where it runs makes a job of it, and prepares this one for it as for any other. */
static gboolean
ask_owner(MigHooked *hooked, const MigHookFacts *facts, GError **error)
{
    MigDaemon *daemon = hooked->daemon;
    MigPeerFollowRequest request = {
        .vm = (char *)facts->domain, .uuid = (char *)facts->uuid, .node = (char *)daemon->node};
    g_autoptr(MigJobReply) reply =
        mig_peer_rpc_call(daemon->peer, facts->owner, "FollowMove", &mig_type_PeerFollowRequest,
                          &request, &mig_type_JobReply, MIG_PEER_CALL_MS, error);

    return reply != NULL;
}

static gboolean
ask(MigHooked *hooked, const MigHookDomainRequest *request, MigHookOp op, GError **error)
{
    MigDaemon *daemon = hooked->daemon;
    MigHookFacts facts = {.op = op,
                          .domain = request->vm,
                          .uuid = request->uuid,
                          .lockspace = request->lockspace,
                          .lease = request->lease,
                          .node = daemon->node};
    Texts texts = {0};
    gboolean ok = FALSE;

    facts.is_coming =
        request->uuid && mig_incoming_is_awaited(daemon->incoming, request->vm, request->uuid);
    facts.is_starting = is_starting(hooked, request->vm);
    if (!mig_hook_is_own(&facts))
        look_at_volume(hooked, &facts, &texts);
    switch (mig_hook_decide(&facts, error)) {
    case MIG_HOOK_ALLOW:
        ok = TRUE;
        break;
    case MIG_HOOK_FOLLOW:
        ok = ask_owner(hooked, &facts, error);
        break;
    case MIG_HOOK_REFUSE:
        break;
    }
    g_free(texts.uuid);
    g_free(texts.owner);
    return ok;
}

/* ---- it is gone ---- */

/* Without libvirt, which has not let go of it yet. The event that comes behind it says the same. */
static void
released(MigHooked *hooked, const MigHookDomainRequest *request)
{
    MigDaemon *daemon = hooked->daemon;
    g_autoptr(MigRunning) running = mig_vms_get(daemon->vms, request->vm);

    if (!running || !request->uuid || g_ascii_strcasecmp(running->uuid, request->uuid) != 0)
        return;
    /* a job that has moved it away tidies up by itself, and just now the guest needs the CPUs there
     */
    mig_jobs_wake_vm(daemon->jobs, request->vm);
    if (mig_jobs_has_vm(daemon->jobs, request->vm))
        return;
    mig_vms_ended(daemon->vms, request->vm, request->uuid);
    if (running->state == MIG_DOMAIN_INCOMING || mig_jobs_is_held(daemon->jobs, request->vm))
        return;
    mig_events_add(daemon->events, request->vm, daemon->node, "ended",
                   "its QEMU on %s has ended, and not by this daemon's doing", daemon->node);
    mig_recovery_wake(daemon->recovery);
}

gboolean
mig_hooked_ask(MigHooked *hooked, const MigHookDomainRequest *request, GError **error)
{
    g_autofree char *shown = mig_log_escape(request->op);
    MigHookOp op;

    if (!mig_hook_op_from_name(request->op, &op)) {
        g_set_error(error, MIG_ERROR, MIG_ERROR_BAD_VALUE, "a hook does not ask about '%s'", shown);
        return FALSE;
    }
    if (op == MIG_HOOK_OP_RELEASE) {
        released(hooked, request);
        return TRUE;
    }
    return ask(hooked, request, op, error);
}

void
api_HookDomain(MigDaemon *daemon, MigRpcCall *call, gconstpointer request)
{
    GError *error = NULL;

    if (mig_hooked_ask(daemon->hooked, request, &error))
        mig_rpc_call_reply(call, NULL);
    else
        mig_rpc_call_fail(call, error);
}

/* ---- on the node where it runs ---- */

char *
mig_hooked_follow(MigHooked *hooked, const char *vm, const char *uuid, const char *target,
                  GError **error)
{
    MigDaemon *daemon = hooked->daemon;
    g_autoptr(MigRunning) running = mig_vms_get(daemon->vms, vm);
    g_autoptr(MigAttached) attached =
        running ? mig_volumes_get(daemon->volumes, running->volume, NULL) : NULL;
    g_autoptr(MigVm) known = NULL;
    g_autofree char *shown = mig_log_escape(vm);

    if (!attached || g_ascii_strcasecmp(running->uuid, uuid) != 0) {
        g_set_error(error, MIG_ERROR, MIG_ERROR_VM_STOPPED, "%s does not run on %s", shown,
                    daemon->node);
        return NULL;
    }
    known = mig_csv_vm(mig_attached_csv(attached), vm, error);
    return known ? mig_jobs_follow(daemon->jobs, target, running, known, error) : NULL;
}

void
peer_FollowMove(MigDaemon *daemon, MigRpcCall *call, gconstpointer request_)
{
    const MigPeerFollowRequest *request = request_;
    const char *peer = mig_rpc_call_get_peer(call);
    g_autofree char *id = NULL;
    GError *error = NULL;

    if (g_strcmp0(peer, request->node) != 0) {
        mig_log_event(MIG_ID_DENIED, MIG_FIELDS(.peer = peer),
                      "refused node %s: it speaks for another one", peer ? peer : "(unknown)");
        mig_rpc_call_fail(call, g_error_new(MIG_ERROR, MIG_ERROR_DENIED,
                                            "only the target itself may ask for that"));
        return;
    }
    id = mig_hooked_follow(daemon->hooked, request->vm, request->uuid, request->node, &error);
    if (!id) {
        mig_rpc_call_fail(call, error);
        return;
    }
    MigJobReply reply = {.job = mig_jobs_get(daemon->jobs, id, &error)};

    if (reply.job)
        mig_rpc_call_reply(call, &reply);
    else
        mig_rpc_call_fail(call, error);
    mig_ApiJob_free(reply.job);
}
