/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* api-check.c - methods that say whether VMs could move, and move none. */
#include "api.h"

#include "base/error.h"
#include "core/timeouts.h"
#include "facts.h"
#include "jobs.h"
#include "vm-actions.h"

/* ---- shaping ---- */

static MigApiVerdict *
shape(const char *vm, const char *source, const char *target, const GPtrArray *checks,
      const MigForecast *forecast)
{
    MigApiVerdict *verdict = mig_ApiVerdict_new();
    MigVerdict worst = MIG_VERDICT_PASS;

    verdict->vm = g_strdup(vm);
    verdict->source = g_strdup(source);
    verdict->target = g_strdup(target);
    for (guint i = 0; i < checks->len; i++)
        worst = MAX(worst, ((const MigCheck *)g_ptr_array_index(checks, i))->verdict);
    verdict->verdict = g_strdup(mig_verdict_name(worst));
    verdict->checks = mig_checks_to_message(checks);
    if (worst != MIG_VERDICT_FAIL)
        verdict->forecast = mig_forecast_to_message(forecast);
    return verdict;
}

/* ---- on the node where the VMs run ---- */

static gboolean
check_one(MigDaemon *daemon, const MigRunning *running, const MigVm *vm, const char *target,
          const MigCheckVmRequest *asked, GPtrArray *to, GError **error)
{
    const MigMoveVmRequest request = {.vm = running->name,
                                      .node = (char *)target,
                                      .bandwidth = asked->bandwidth,
                                      .max_downtime_ms = asked->max_downtime_ms,
                                      .policy = asked->policy};
    MigForecast forecast = {0};
    /* a second each would be too long for all of them */
    g_autoptr(GPtrArray) checks =
        mig_jobs_check(daemon->jobs, &request, running, vm, asked->vm != NULL, &forecast, error);

    if (checks)
        g_ptr_array_add(to, shape(running->name, daemon->node, target, checks, &forecast));
    return checks != NULL;
}

/* To no node in particular: to every other one that has not left. */
static gboolean
check_vm(MigDaemon *daemon, const MigRunning *running, const MigCheckVmRequest *asked,
         GPtrArray *to, GError **error)
{
    g_autoptr(MigAttached) attached = mig_volumes_get(daemon->volumes, running->volume, error);
    g_autoptr(MigVm) vm =
        attached ? mig_csv_vm(mig_attached_csv(attached), running->name, error) : NULL;
    g_autoptr(GPtrArray) views = NULL;
    gboolean ok = vm != NULL;

    if (!vm)
        return FALSE;
    if (asked->node)
        return check_one(daemon, running, vm, asked->node, asked, to, error);
    views = mig_volumes_nodes(daemon->volumes);
    for (guint i = 0; ok && i < views->len; i++) {
        const MigNodeView *view = g_ptr_array_index(views, i);

        if (!view->is_local && view->state != MIG_NODE_LEFT)
            ok = check_one(daemon, running, vm, view->node->name, asked, to, error);
    }
    return ok;
}

static gboolean
check_here(MigDaemon *daemon, const MigCheckVmRequest *request, GPtrArray *to, GError **error)
{
    g_autoptr(GPtrArray) all = NULL;
    g_autoptr(MigRunning) running = NULL;

    if (request->vm) {
        running = mig_vms_get(daemon->vms, request->vm);
        if (running)
            return check_vm(daemon, running, request, to, error);
        g_set_error(error, MIG_ERROR, MIG_ERROR_VM_STOPPED,
                    "%s does not run; only a running VM moves: 'migratectl vm start %s'",
                    request->vm, request->vm);
        return FALSE;
    }
    all = mig_vms_list(daemon->vms);
    for (guint i = 0; i < all->len; i++) {
        const MigRunning *one = g_ptr_array_index(all, i);

        /* one that has gone meanwhile has no verdict; asked to go where it is: nothing to say */
        if (g_strcmp0(request->node, daemon->node) != 0)
            check_vm(daemon, one, request, to, NULL);
    }
    return TRUE;
}

void
peer_CheckVm(MigDaemon *daemon, MigRpcCall *call, gconstpointer request_)
{
    const MigCheckVmRequest *request = request_;
    g_autoptr(MigCheckVmReply) reply = mig_CheckVmReply_new();
    GError *error = NULL;

    reply->verdicts = mig_message_array_new(&mig_type_ApiVerdict);
    if (check_here(daemon, request, reply->verdicts, &error))
        mig_rpc_call_reply(call, reply);
    else
        mig_rpc_call_fail(call, error);
}

void
peer_GetFacts(MigDaemon *daemon, MigRpcCall *call, gconstpointer request_)
{
    GError *error = NULL;
    g_autoptr(MigPeerFactsReply) reply = mig_facts_gather(daemon, request_, &error);

    if (reply)
        mig_rpc_call_reply(call, reply);
    else
        mig_rpc_call_fail(call, error);
}

/* ---- the CPU of all ---- */

void
peer_GetCpu(MigDaemon *daemon, MigRpcCall *call, gconstpointer request)
{
    GError *error = NULL;
    g_autoptr(MigHostCpu) cpu = daemon->hv->get_cpu(daemon->hv->self, &error);

    if (cpu) {
        MigPeerCpuReply reply = {.vendor = cpu->vendor, .cpu = cpu->xml};

        mig_rpc_call_reply(call, &reply);
    } else {
        mig_rpc_call_fail(call, error);
    }
}

static gboolean
add_cpu(MigDaemon *daemon, const MigNodeView *view, GStrvBuilder *cpus)
{
    g_autoptr(MigHostCpu) own = NULL;
    g_autoptr(MigPeerCpuReply) theirs = NULL;

    if (view->is_local)
        own = daemon->hv->get_cpu(daemon->hv->self, NULL);
    else if (view->state == MIG_NODE_UP)
        theirs = mig_peer_rpc_call(daemon->peer, view->node->name, "GetCpu", &mig_type_Empty, NULL,
                                   &mig_type_PeerCpuReply, MIG_PEER_CALL_MS, NULL);
    if (own || theirs)
        g_strv_builder_add(cpus, own ? own->xml : theirs->cpu);
    return own || theirs;
}

void
api_GetCpuBaseline(MigDaemon *daemon, MigRpcCall *call, gconstpointer request)
{
    g_autoptr(MigCpuBaselineReply) reply = mig_CpuBaselineReply_new();
    g_autoptr(GPtrArray) views = mig_volumes_nodes(daemon->volumes);
    g_autoptr(GStrvBuilder) cpus = g_strv_builder_new(), asked = g_strv_builder_new();
    g_autoptr(GStrvBuilder) missing = g_strv_builder_new();
    g_auto(GStrv) list = NULL;
    GError *error = NULL;

    for (guint i = 0; i < views->len; i++) {
        const MigNodeView *view = g_ptr_array_index(views, i);

        if (view->state != MIG_NODE_LEFT)
            g_strv_builder_add(add_cpu(daemon, view, cpus) ? asked : missing, view->node->name);
    }
    list = g_strv_builder_end(cpus);
    reply->nodes = g_strv_builder_end(asked);
    reply->missing = g_strv_builder_end(missing);
    if (list[0])
        reply->cpu = daemon->hv->baseline(daemon->hv->self, (const char *const *)list, &error);
    else
        error = g_error_new(MIG_ERROR, MIG_ERROR_FAILED,
                            "no node is known; attach a volume first ('migratectl volume attach')");
    if (reply->cpu)
        mig_rpc_call_reply(call, reply);
    else
        mig_rpc_call_fail(call, error);
}

/* ---- on any node ---- */

static gint
by_name(gconstpointer a, gconstpointer b)
{
    const MigApiVerdict *left = *(MigApiVerdict *const *)a, *right = *(MigApiVerdict *const *)b;
    int order = g_strcmp0(left->vm, right->vm);

    return order ? order : g_strcmp0(left->target, right->target);
}

/* Each node checks its own VMs; one that does not answer has none to move. */
static void
check_all(MigDaemon *daemon, MigRpcCall *call, const MigCheckVmRequest *request)
{
    g_autoptr(MigCheckVmReply) reply = mig_CheckVmReply_new();
    g_autoptr(GPtrArray) views = mig_volumes_nodes(daemon->volumes);

    reply->verdicts = mig_message_array_new(&mig_type_ApiVerdict);
    check_here(daemon, request, reply->verdicts, NULL);
    for (guint i = 0; i < views->len; i++) {
        const MigNodeView *view = g_ptr_array_index(views, i);
        g_autoptr(MigCheckVmReply) theirs = NULL;

        if (view->is_local || view->state != MIG_NODE_UP)
            continue;
        theirs =
            mig_peer_rpc_call(daemon->peer, view->node->name, "CheckVm", &mig_type_CheckVmRequest,
                              request, &mig_type_CheckVmReply, MIG_CHECK_MS, NULL);
        if (theirs && theirs->verdicts)
            g_ptr_array_extend_and_steal(reply->verdicts, g_steal_pointer(&theirs->verdicts));
    }
    g_ptr_array_sort(reply->verdicts, by_name);
    mig_rpc_call_reply(call, reply);
}

void
api_CheckVm(MigDaemon *daemon, MigRpcCall *call, gconstpointer request_)
{
    const MigCheckVmRequest *request = request_;
    GError *error = NULL;
    g_autoptr(MigNodeView) target =
        request->node ? mig_volumes_node(daemon->volumes, request->node, &error) : NULL;
    g_autoptr(MigVmView) view =
        request->vm && !error ? mig_vm_find(daemon, request->vm, &error) : NULL;

    if (error)
        mig_rpc_call_fail(call, error);
    else if (!view)
        check_all(daemon, call, request);
    else if (view->node && !view->is_here)
        mig_api_forward(daemon, call, view->node, "CheckVm", &mig_type_CheckVmRequest, request,
                        &mig_type_CheckVmReply, MIG_CHECK_MS);
    else
        peer_CheckVm(daemon, call, request);
}
