/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* api-move.c - methods around moves, asked by people and by peers. */
#include "api.h"

#include "base/error.h"
#include "base/log.h"
#include "core/timeouts.h"
#include "drivers/peer-tunnel.h"
#include "incoming.h"
#include "jobs.h"
#include "turns.h"
#include "vm-actions.h"

#define LIBVIRT_SOCKET "/run/libvirt/libvirt-sock"

/* ---- for people ---- */

static void
move_from_here(MigDaemon *daemon, MigRpcCall *call, const MigMoveVmRequest *request,
               const MigVmView *view)
{
    g_autoptr(MigRunning) running = mig_vms_get(daemon->vms, request->vm);
    g_autofree char *id = NULL;
    GError *error = NULL;

    if (running)
        id = mig_jobs_move(daemon->jobs, request, running, view->vm, &error);
    else
        error = g_error_new(MIG_ERROR, MIG_ERROR_VM_STOPPED,
                            "%s is %s; only a running VM moves: 'migratectl vm start %s'",
                            request->vm, view->state, request->vm);
    if (!id) {
        mig_rpc_call_fail(call, error);
    } else if (mig_rpc_call_wants_more(call)) {
        mig_jobs_watch(daemon->jobs, id, call, TRUE);
    } else {
        MigJobReply reply = {.job = mig_jobs_get(daemon->jobs, id, NULL)};

        mig_rpc_call_reply(call, &reply);
        mig_ApiJob_free(reply.job);
    }
}

void
peer_MoveVm(MigDaemon *daemon, MigRpcCall *call, gconstpointer request_)
{
    const MigMoveVmRequest *request = request_;
    GError *error = NULL;
    g_autoptr(MigVmView) view = mig_vm_find(daemon, request->vm, &error);

    if (view)
        move_from_here(daemon, call, request, view);
    else
        mig_rpc_call_fail(call, error);
}

/* A node of an older version refuses a key that it does not know, in words that help nobody. */
static gboolean
node_knows_policies(MigDaemon *daemon, const char *node, GError **error)
{
    g_autoptr(MigNodeView) view = mig_volumes_node(daemon->volumes, node, error);

    if (!view || mig_node_is_of_0_3(view->node))
        return view != NULL;
    g_set_error(error, MIG_ERROR, MIG_ERROR_BAD_VALUE,
                "migrated on %s is %s, and knows no policies and no 'job set'; update it, or do "
                "without",
                node, view->node->version ? view->node->version : "an old one");
    return FALSE;
}

/* The node where the VM runs runs the job. */
void
api_MoveVm(MigDaemon *daemon, MigRpcCall *call, gconstpointer request_)
{
    const MigMoveVmRequest *request = request_;
    GError *error = NULL;
    g_autoptr(MigVmView) view = mig_vm_find(daemon, request->vm, &error);
    g_autoptr(MigNodeView) target =
        view ? mig_volumes_node(daemon->volumes, request->node, &error) : NULL;

    if (!target || (view->node && !view->is_here && request->policy &&
                    !node_knows_policies(daemon, view->node, &error)))
        mig_rpc_call_fail(call, error);
    else if (view->node && !view->is_here)
        mig_api_forward(daemon, call, view->node, "MoveVm", &mig_type_MoveVmRequest, request,
                        &mig_type_JobReply, 0);
    else
        move_from_here(daemon, call, request, view);
}

/* A job's id says which node runs it. */
static gboolean
is_forwarded(MigDaemon *daemon, MigRpcCall *call, const MigJobRequest *request, const char *method,
             guint timeout_ms)
{
    g_autofree char *node = mig_jobs_node_of(request->id);
    g_autoptr(MigNodeView) view = node ? mig_volumes_node(daemon->volumes, node, NULL) : NULL;

    if (!view || view->is_local)
        return FALSE;
    mig_api_forward(daemon, call, node, method, &mig_type_JobRequest, request, &mig_type_JobReply,
                    timeout_ms);
    return TRUE;
}

void
peer_GetJob(MigDaemon *daemon, MigRpcCall *call, gconstpointer request_)
{
    const MigJobRequest *request = request_;
    GError *error = NULL;
    MigJobReply reply = {.job = mig_jobs_get(daemon->jobs, request->id, &error)};

    if (!reply.job) {
        mig_rpc_call_fail(call, error);
        return;
    }
    mig_rpc_call_reply(call, &reply);
    mig_ApiJob_free(reply.job);
}

void
api_GetJob(MigDaemon *daemon, MigRpcCall *call, gconstpointer request)
{
    if (!is_forwarded(daemon, call, request, "GetJob", MIG_PEER_CALL_MS))
        peer_GetJob(daemon, call, request);
}

void
peer_WatchJob(MigDaemon *daemon, MigRpcCall *call, gconstpointer request_)
{
    const MigJobRequest *request = request_;

    if (mig_rpc_call_wants_more(call))
        mig_jobs_watch(daemon->jobs, request->id, call, FALSE);
    else
        peer_GetJob(daemon, call, request);
}

void
api_WatchJob(MigDaemon *daemon, MigRpcCall *call, gconstpointer request)
{
    if (!is_forwarded(daemon, call, request, "WatchJob", 0))
        peer_WatchJob(daemon, call, request);
}

void
peer_CancelJob(MigDaemon *daemon, MigRpcCall *call, gconstpointer request_)
{
    const MigJobRequest *request = request_;
    GError *error = NULL;

    if (mig_jobs_cancel(daemon->jobs, request->id, &error))
        peer_GetJob(daemon, call, request);
    else
        mig_rpc_call_fail(call, error);
}

void
api_CancelJob(MigDaemon *daemon, MigRpcCall *call, gconstpointer request)
{
    if (!is_forwarded(daemon, call, request, "CancelJob", MIG_PEER_CALL_MS))
        peer_CancelJob(daemon, call, request);
}

void
peer_ResumeJob(MigDaemon *daemon, MigRpcCall *call, gconstpointer request_)
{
    const MigJobRequest *request = request_;
    GError *error = NULL;

    if (mig_jobs_resume(daemon->jobs, request->id, &error))
        peer_GetJob(daemon, call, request);
    else
        mig_rpc_call_fail(call, error);
}

void
api_ResumeJob(MigDaemon *daemon, MigRpcCall *call, gconstpointer request)
{
    if (!is_forwarded(daemon, call, request, "ResumeJob", MIG_PEER_CALL_MS))
        peer_ResumeJob(daemon, call, request);
}

void
peer_SetJob(MigDaemon *daemon, MigRpcCall *call, gconstpointer request_)
{
    const MigSetJobRequest *request = request_;
    const MigJobRequest job = {.id = request->id};
    GError *error = NULL;

    if (mig_jobs_set(daemon->jobs, request, &error))
        peer_GetJob(daemon, call, &job);
    else
        mig_rpc_call_fail(call, error);
}

void
api_SetJob(MigDaemon *daemon, MigRpcCall *call, gconstpointer request_)
{
    const MigSetJobRequest *request = request_;
    g_autofree char *node = mig_jobs_node_of(request->id);
    g_autoptr(MigNodeView) view = node ? mig_volumes_node(daemon->volumes, node, NULL) : NULL;
    GError *error = NULL;

    if (!view || view->is_local)
        peer_SetJob(daemon, call, request);
    else if (node_knows_policies(daemon, node, &error))
        mig_api_forward(daemon, call, node, "SetJob", &mig_type_SetJobRequest, request,
                        &mig_type_JobReply, MIG_PEER_CALL_MS);
    else
        mig_rpc_call_fail(call, error);
}

/* ---- for peers ---- */

/* A job is the business of the node that runs it, which its id names, and of no other member.
 * Otherwise answered and logged. */
static gboolean
is_job_of_peer(MigRpcCall *call, const char *job)
{
    const char *peer = mig_rpc_call_get_peer(call);
    g_autofree char *node = mig_jobs_node_of(job);
    g_autofree char *shown = NULL;
    g_autofree char *what = NULL;

    if (node && g_strcmp0(node, peer) == 0)
        return TRUE;
    shown = mig_log_escape(job);
    what = g_strdup_printf("job %.80s is not its own", shown);
    mig_rpc_call_deny(call, what);
    return FALSE;
}

void
peer_Prepare(MigDaemon *daemon, MigRpcCall *call, gconstpointer request_)
{
    const MigPeerPrepareRequest *request = request_;
    GError *error = NULL;

    if (!is_job_of_peer(call, request->job))
        return;
    g_autoptr(MigPeerPrepareReply) reply = mig_incoming_prepare(daemon->incoming, request, &error);

    if (reply)
        mig_rpc_call_reply(call, reply);
    else
        mig_rpc_call_fail(call, error);
}

void
peer_Finish(MigDaemon *daemon, MigRpcCall *call, gconstpointer request_)
{
    const MigPeerFinishRequest *request = request_;
    GError *error = NULL;
    MigPeerFinishReply reply = {0};

    if (!is_job_of_peer(call, request->job))
        return;
    if (mig_incoming_finish(daemon->incoming, request, &reply, &error))
        mig_rpc_call_reply(call, &reply);
    else
        mig_rpc_call_fail(call, error);
}

void
peer_GetDomain(MigDaemon *daemon, MigRpcCall *call, gconstpointer request_)
{
    const MigPeerDomainRequest *request = request_;
    MigDomainState state = MIG_DOMAIN_UNKNOWN;
    GError *error = NULL;

    if (!daemon->hv->get_state(daemon->hv->self, request->vm, request->uuid, &state, &error)) {
        mig_rpc_call_fail(call, error);
        return;
    }
    MigPeerDomainReply reply = {.state = (char *)mig_domain_state_name(state)};

    if (state == MIG_DOMAIN_ABSENT) {
        reply.was_shut_down = daemon->hv->was_shut_down(daemon->hv->self, request->vm);
        reply.never_ran = mig_incoming_never_ran(daemon->incoming, request->vm, request->uuid);
    }
    if (state == MIG_DOMAIN_POSTCOPY_FAILED)
        reply.is_stuck = daemon->hv->is_stuck(daemon->hv->self, request->vm);
    mig_rpc_call_reply(call, &reply);
}

void
peer_Reserve(MigDaemon *daemon, MigRpcCall *call, gconstpointer request_)
{
    const MigPeerReserveRequest *request = request_;
    const MigWish wish = {.job = request->job,
                          .source = request->source,
                          .target = request->target,
                          .priority = (guint)CLAMP(request->priority, 0, MIG_PRIORITY_MAX),
                          .waited_ms = request->waited_ms};
    g_auto(MigTurn) turn = {0};
    GError *error = NULL;

    if (!is_job_of_peer(call, request->job))
        return;
    if (!mig_turns_ask(daemon->turns, &wish, &turn, &error)) {
        mig_rpc_call_fail(call, error);
        return;
    }
    MigPeerReserveReply reply = {
        .granted = turn.is_granted, .position = turn.position, .waits_for = turn.waits_for};

    mig_rpc_call_reply(call, &reply);
}

void
peer_Release(MigDaemon *daemon, MigRpcCall *call, gconstpointer request_)
{
    const MigJobRequest *request = request_;

    if (!is_job_of_peer(call, request->id))
        return;
    mig_turns_release(daemon->turns, request->id);
    mig_rpc_call_reply(call, NULL);
}

void
peer_Wake(MigDaemon *daemon, MigRpcCall *call, gconstpointer request_)
{
    const MigJobRequest *request = request_;

    mig_jobs_wake(daemon->jobs, request->id);
    mig_rpc_call_reply(call, NULL);
}

void
peer_Share(MigDaemon *daemon, MigRpcCall *call, gconstpointer request_)
{
    const MigPeerShareRequest *request = request_;

    if (mig_jobs_grant(daemon->jobs, request->id, mig_rpc_call_get_peer(call),
                       (guint64)MAX(request->bandwidth, 0)))
        mig_rpc_call_reply(call, NULL);
    else
        mig_rpc_call_fail(call, g_error_new(MIG_ERROR, MIG_ERROR_JOB_UNKNOWN,
                                            "no such job of this node goes to the node that asks"));
}

static void
on_upgraded(GIOStream *stream_take, gpointer user_data)
{
    g_autoptr(GIOStream) stream = stream_take;
    g_autofree char *node = user_data;

    if (stream)
        mig_tunnel_serve(stream, node, LIBVIRT_SOCKET);
}

void
peer_OpenLibvirt(MigDaemon *daemon, MigRpcCall *call, gconstpointer request)
{
    const char *peer = mig_rpc_call_get_peer(call);

    mig_rpc_call_upgrade(call, NULL, on_upgraded, g_strdup(peer ? peer : ""));
}
