/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* api-failover.c - methods about policies, decisions and what would happen. */
#include "api-shape.h"
#include "api.h"

#include "base/error.h"
#include "change.h"
#include "core/relations.h"
#include "core/timeouts.h"
#include "events.h"
#include "recovery.h"
#include "vm-actions.h"

#include <string.h>

/* ---- policies ---- */

static gboolean
set_prefer(MigDaemon *daemon, MigVm *vm, const char *value, GError **error)
{
    g_autoptr(MigNodeView) view = NULL;

    vm->prefer_host_id = 0;
    if (g_str_equal(value, "none"))
        return TRUE;
    view = mig_volumes_node(daemon->volumes, value, error);
    if (view)
        vm->prefer_host_id = view->node->host_id;
    return view != NULL;
}

static gboolean
set_related(MigVm *vm, GPtrArray *vms, const char *key, const char *value, GError **error)
{
    g_auto(GStrv) names = g_str_equal(value, "none") ? NULL : g_strsplit(value, ",", -1);
    g_autofree char *complaint = NULL;

    for (guint i = 0; names && names[i]; i++) {
        gboolean is_there = FALSE;

        for (guint k = 0; k < vms->len && !is_there; k++)
            is_there = g_str_equal(((MigVm *)g_ptr_array_index(vms, k))->name, names[i]);
        if (!is_there) {
            g_set_error(error, MIG_ERROR, MIG_ERROR_VM_UNKNOWN,
                        "%s: there is no VM '%s' on volume %s; it takes names of other VMs of that "
                        "volume with ',' between them, or none",
                        key, names[i], vm->volume);
            return FALSE;
        }
    }
    mig_relations_set(vm, key, g_steal_pointer(&names));
    complaint = mig_relations_complaint(vm, vms);
    if (complaint)
        g_set_error(error, MIG_ERROR, MIG_ERROR_BAD_VALUE, "%s: %s", key, complaint);
    return complaint == NULL;
}

static gboolean
set_one(MigDaemon *daemon, MigVm *vm, GPtrArray *vms, const char *key, const char *value,
        GError **error)
{
    guint64 number;

    if (g_str_equal(key, "restart")) {
        if (mig_restart_from_name(value, &vm->restart))
            return TRUE;
        g_set_error(error, MIG_ERROR, MIG_ERROR_BAD_VALUE,
                    "restart is always, on-node-death or never");
    } else if (g_str_equal(key, "priority")) {
        if (g_ascii_string_to_unsigned(value, 10, 0, 1000, &number, NULL)) {
            vm->priority = (guint32)number;
            return TRUE;
        }
        g_set_error(error, MIG_ERROR, MIG_ERROR_BAD_VALUE, "priority is a number from 0 to 1000");
    } else if (g_str_equal(key, "on_isolation")) {
        vm->restarts_on_isolation = g_str_equal(value, "restart");
        if (vm->restarts_on_isolation || g_str_equal(value, "keep"))
            return TRUE;
        g_set_error(error, MIG_ERROR, MIG_ERROR_BAD_VALUE, "on_isolation is keep or restart");
    } else if (g_str_equal(key, "move_policy")) {
        MigPolicyKind kind = MIG_POLICY_UNSET;

        if (g_str_equal(value, "default") || mig_policy_kind_from_name(value, &kind)) {
            vm->move_policy = kind;
            return TRUE;
        }
        g_set_error(error, MIG_ERROR, MIG_ERROR_BAD_VALUE,
                    "move_policy is fast, gentle, must-finish, never-postcopy or default");
    } else if (g_str_equal(key, "prefer")) {
        return set_prefer(daemon, vm, value, error);
    } else if (g_str_equal(key, "affinity") || g_str_equal(key, "anti_affinity") ||
               g_str_equal(key, "start_after")) {
        return set_related(vm, vms, key, value, error);
    } else {
        g_set_error(error, MIG_ERROR, MIG_ERROR_BAD_VALUE,
                    "a VM has no setting of that name; there are restart, priority, on_isolation, "
                    "prefer, move_policy, affinity, anti_affinity and start_after");
    }
    return FALSE;
}

static gboolean
set_all(MigDaemon *daemon, MigCsv *csv, MigVm *vm, char **settings, GError **error)
{
    g_autoptr(GPtrArray) vms = mig_csv_vms(csv, error);

    if (!vms)
        return FALSE;
    for (guint i = 0; settings && settings[i]; i++) {
        g_auto(GStrv) parts = g_strsplit(settings[i], "=", 2);

        if (g_strv_length(parts) != 2) {
            g_set_error(error, MIG_ERROR, MIG_ERROR_BAD_VALUE,
                        "a setting is written NAME=VALUE, such as restart=always");
            return FALSE;
        }
        if (!set_one(daemon, vm, vms, parts[0], parts[1], error))
            return FALSE;
    }
    return TRUE;
}

gboolean
mig_vm_run_set(MigCatalog *catalog, const MigPeerChangeRequest *request, gboolean is_begun,
               MigPeerChangeReply *reply, GError **error)
{
    MigCsv *csv = mig_attached_csv(catalog->attached);
    g_autoptr(MigVm) vm = NULL;

    if (is_begun)
        return TRUE;
    vm = mig_csv_vm(csv, request->name ? request->name : "", error);
    return vm && set_all(catalog->daemon, csv, vm, request->settings, error) &&
           mig_csv_vm_update(csv, &catalog->epoch, vm, error);
}

void
api_SetVm(MigDaemon *daemon, MigRpcCall *call, gconstpointer request_)
{
    const MigSetVmRequest *request = request_;
    g_autoptr(GError) error = NULL;
    g_autoptr(MigVmView) view = mig_vm_find(daemon, request->name, &error);
    MigPeerChangeRequest change = {
        .change = (char *)"vm-set", .name = request->name, .settings = request->settings};
    g_autoptr(MigPeerChangeReply) reply = NULL;

    /* all is checked before anything is asked for, and again on what the LUN says then */
    if (view &&
        set_all(daemon, mig_attached_csv(view->attached), view->vm, request->settings, &error))
        reply = mig_change(daemon, view->attached, &change, &error);
    if (!reply) {
        mig_rpc_call_fail(call, g_steal_pointer(&error));
        return;
    }
    mig_recovery_wake(daemon->recovery);
    mig_shape_vm_reply(daemon, call, request->name);
}

/* ---- starting what has lost its node ---- */

void
peer_RecoverVm(MigDaemon *daemon, MigRpcCall *call, gconstpointer request_)
{
    const MigNameRequest *request = request_;
    GError *error = NULL;

    if (mig_vm_recover(daemon, request->name, &error))
        mig_shape_vm_reply(daemon, call, request->name);
    else
        mig_rpc_call_fail(call, error);
}

void
peer_AskRestart(MigDaemon *daemon, MigRpcCall *call, gconstpointer request_)
{
    const MigPeerRestartRequest *request = request_;
    const MigEmpty reply = {0};
    GError *error = NULL;
    g_autoptr(MigVmView) view = mig_vm_find(daemon, request->name, &error);

    if (!view) {
        mig_rpc_call_fail(call, error);
        return;
    }
    mig_recovery_ask(daemon->recovery, view->vm->name, (guint64)MAX(request->version, 0));
    mig_rpc_call_reply(call, &reply);
}

/* ---- a node that has died too often ---- */

void
peer_PardonNode(MigDaemon *daemon, MigRpcCall *call, gconstpointer request_)
{
    const MigNameRequest *request = request_;
    const MigEmpty reply = {0};

    mig_failover_pardon(daemon->failover, request->name);
    mig_rpc_call_reply(call, &reply);
}

/* Each node counts for itself. One that cannot be asked now goes on counting: it is not told. */
void
api_PardonNode(MigDaemon *daemon, MigRpcCall *call, gconstpointer request_)
{
    const MigNameRequest *request = request_;
    g_autoptr(GPtrArray) views = mig_volumes_nodes(daemon->volumes);
    GError *error = NULL;
    g_autoptr(MigNodeView) node = mig_volumes_node(daemon->volumes, request->name, &error);

    if (!node) {
        mig_rpc_call_fail(call, error);
        return;
    }
    for (guint i = 0; i < views->len; i++) {
        const MigNodeView *view = g_ptr_array_index(views, i);
        g_autoptr(MigEmpty) reply = NULL;

        if (view->is_local || view->state != MIG_NODE_UP)
            continue;
        reply =
            mig_peer_rpc_call(daemon->peer, view->node->name, "PardonNode", &mig_type_NameRequest,
                              request, &mig_type_Empty, MIG_PEER_CONNECT_MS, NULL);
    }
    peer_PardonNode(daemon, call, request);
}

/* ---- why ---- */

static gint
by_time(gconstpointer a, gconstpointer b)
{
    const MigApiEvent *left = *(MigApiEvent *const *)a, *right = *(MigApiEvent *const *)b;

    return left->at < right->at ? -1 : left->at > right->at;
}

void
peer_ListEvents(MigDaemon *daemon, MigRpcCall *call, gconstpointer request_)
{
    const MigListEventsRequest *request = request_;
    g_autoptr(MigListEventsReply) reply = mig_ListEventsReply_new();

    reply->events = mig_events_list(daemon->events, request->name);
    mig_rpc_call_reply(call, reply);
}

/* This node's own lines, and those of the others: of one that does not answer the newest ones,
 * which are in its slot. */
void
api_ListEvents(MigDaemon *daemon, MigRpcCall *call, gconstpointer request_)
{
    const MigListEventsRequest *request = request_;
    g_autoptr(MigListEventsReply) reply = mig_ListEventsReply_new();
    g_autoptr(GPtrArray) views = mig_volumes_nodes(daemon->volumes);

    reply->events = mig_events_list(daemon->events, request->name);
    for (guint i = 0; i < views->len; i++) {
        const MigNodeView *view = g_ptr_array_index(views, i);
        g_autoptr(MigListEventsReply) theirs = NULL;
        GPtrArray *events;

        if (view->is_local)
            continue;
        if (view->state == MIG_NODE_UP)
            theirs = mig_peer_rpc_call(daemon->peer, view->node->name, "ListEvents",
                                       &mig_type_ListEventsRequest, request,
                                       &mig_type_ListEventsReply, MIG_PEER_CONNECT_MS, NULL);
        events = theirs && theirs->events
                     ? g_steal_pointer(&theirs->events)
                     : mig_events_from_notes(view->node->name, view->node->notes, request->name);
        g_ptr_array_extend_and_steal(reply->events, events);
    }
    g_ptr_array_sort(reply->events, by_time);
    mig_rpc_call_reply(call, reply);
}

/* ---- what if ---- */

void
api_PlanNodeDown(MigDaemon *daemon, MigRpcCall *call, gconstpointer request_)
{
    const MigNameRequest *request = request_;
    g_autoptr(MigPlanReply) reply = mig_PlanReply_new();
    GError *error = NULL;
    g_autoptr(MigNodeView) view = mig_volumes_node(daemon->volumes, request->name, &error);
    g_autoptr(GPtrArray) lines =
        view ? mig_recovery_whatif(daemon->recovery, request->name, &error) : NULL;

    if (!lines) {
        mig_rpc_call_fail(call, error);
        return;
    }
    reply->plan = mig_message_array_new(&mig_type_ApiPlan);
    for (guint i = 0; i < lines->len; i++) {
        const MigPlanLine *line = g_ptr_array_index(lines, i);
        MigApiPlan *plan = mig_ApiPlan_new();

        plan->vm = g_strdup(line->vm);
        plan->priority = line->priority;
        plan->memory = (gint64)line->memory_bytes;
        plan->node = g_strdup(line->node);
        plan->why = g_strdup(line->why);
        g_ptr_array_add(reply->plan, plan);
    }
    mig_rpc_call_reply(call, reply);
}
