/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* api-look.c - methods that only look. */
#include "api-shape.h"
#include "api.h"

#include "base/error.h"
#include "core/timeouts.h"
#include "jobs.h"
#include "link.h"
#include "recovery.h"
#include "trusted.h"

/* What would go wrong if this node died, said before it does. */
static void
add_node_warnings(MigDaemon *daemon, const MigApiNode *node, guint count, GStrvBuilder *warnings)
{
    g_autoptr(GPtrArray) plan = NULL;
    guint homeless = 0;
    const char *first = NULL;

    if (g_str_equal(node->state, "left") || count < 2)
        return;
    if (!node->encrypts) {
        g_autofree char *text =
            g_strdup_printf("%s does not encrypt the memory of VMs on the move", node->name);

        g_strv_builder_add(warnings, text);
    }
    if (node->flapping) {
        g_autofree char *text = g_strdup_printf(
            "%s has died too often lately: VMs are started there only where no other node will do; "
            "'migratectl node pardon %s' once it is mended",
            node->name, node->name);

        g_strv_builder_add(warnings, text);
    }
    if (!node->watchdog && !node->fenceable && !node->local &&
        !daemon->config->unsafe_without_watchdog) {
        g_autofree char *text = g_strdup_printf(
            "%s has no armed watchdog and cannot be fenced from here: if it dies, its VMs are not "
            "started elsewhere by themselves",
            node->name);

        g_strv_builder_add(warnings, text);
    }
    plan = node->vms && *node->vms ? mig_recovery_whatif(daemon->recovery, node->name, NULL) : NULL;
    for (guint i = 0; plan && i < plan->len; i++) {
        const MigPlanLine *line = g_ptr_array_index(plan, i);

        if (!line->node && line->is_wanted) {
            homeless++;
            first = first ? first : line->vm;
        }
    }
    if (homeless) {
        g_autofree char *text =
            g_strdup_printf("if %s dies, %u of its VMs do not fit elsewhere (%s); see 'migratectl "
                            "whatif node-down %s'",
                            node->name, homeless, first, node->name);

        g_strv_builder_add(warnings, text);
    }
}

static gboolean
restarts_vms(const MigApiNode *node)
{
    return !node->passive && g_str_equal(node->state, "up");
}

static void
add_warnings(MigDaemon *daemon, const MigStatusReply *reply, GStrvBuilder *warnings)
{
    guint connections = 0;

    if (reply->volumes->len == 0)
        g_strv_builder_add(warnings, "no volume is attached; 'migratectl volume attach DEVICE'");
    g_auto(GStrv) link = mig_link_warnings(daemon->link);

    g_strv_builder_addv(warnings, (const char **)link);
    if (mig_trusted_is_rotating(daemon->trusted, &connections)) {
        g_autofree char *text =
            g_strdup_printf("the key of this node is being changed; %u connections "
                            "were made with the old one and go on",
                            connections);

        g_strv_builder_add(warnings, text);
    }
    gboolean has_restarter = reply->nodes->len < 2;

    for (guint i = 0; i < reply->nodes->len; i++) {
        const MigApiNode *node = g_ptr_array_index(reply->nodes, i);

        add_node_warnings(daemon, node, reply->nodes->len, warnings);
        has_restarter = has_restarter || restarts_vms(node);
    }
    if (!has_restarter)
        g_strv_builder_add(warnings, "no node that is up restarts the VMs of one that dies: all "
                                     "of them have [failover] enabled = no");
    for (guint i = 0; i < reply->vms->len; i++) {
        const MigApiVm *vm = g_ptr_array_index(reply->vms, i);

        if (g_str_equal(vm->wanted, "running") && g_str_equal(vm->state, "stopped")) {
            g_autofree char *text =
                g_strdup_printf("VM %s is wanted running, and is stopped", vm->name);

            g_strv_builder_add(warnings, text);
        } else if (g_str_equal(vm->wanted, "running") && g_str_equal(vm->state, "down")) {
            g_autofree char *text = g_strdup_printf(
                "VM %s is wanted running, and went down with %s; see 'migratectl why %s'", vm->name,
                vm->node, vm->name);

            g_strv_builder_add(warnings, text);
        }
    }
}

void
api_GetStatus(MigDaemon *daemon, MigRpcCall *call, gconstpointer request)
{
    g_autoptr(MigStatusReply) reply = mig_StatusReply_new();
    g_autoptr(GStrvBuilder) warnings = g_strv_builder_new();
    g_autoptr(GError) error = NULL;

    reply->node = g_strdup(daemon->node);
    reply->version = g_strdup(MIG_VERSION);
    reply->volumes = mig_shape_volumes(daemon, &error);
    reply->vms = reply->volumes ? mig_shape_vms(daemon, &error) : NULL;
    if (!reply->vms) {
        mig_rpc_call_fail(call, g_steal_pointer(&error));
        return;
    }
    reply->nodes = mig_shape_nodes(daemon);
    reply->jobs = mig_shape_jobs(daemon);
    add_warnings(daemon, reply, warnings);
    reply->warnings = g_strv_builder_end(warnings);
    mig_rpc_call_reply(call, reply);
}

void
api_ListNodes(MigDaemon *daemon, MigRpcCall *call, gconstpointer request)
{
    g_autoptr(MigListNodesReply) reply = mig_ListNodesReply_new();

    reply->nodes = mig_shape_nodes(daemon);
    mig_rpc_call_reply(call, reply);
}

void
api_GetNode(MigDaemon *daemon, MigRpcCall *call, gconstpointer request_)
{
    const MigNameRequest *request = request_;
    g_autoptr(GPtrArray) nodes = NULL;
    g_autoptr(GError) error = NULL;
    g_autoptr(MigNodeView) view = mig_volumes_node(daemon->volumes, request->name, &error);

    if (!view) {
        mig_rpc_call_fail(call, g_steal_pointer(&error));
        return;
    }
    nodes = mig_shape_nodes(daemon);
    for (guint i = 0; i < nodes->len; i++) {
        MigApiNode *node = g_ptr_array_index(nodes, i);
        MigNodeReply reply = {.node = node};

        if (g_str_equal(node->name, request->name)) {
            mig_rpc_call_reply(call, &reply);
            return;
        }
    }
    mig_rpc_call_fail(
        call, g_error_new(MIG_ERROR, MIG_ERROR_NODE_UNKNOWN, "%s has just left", request->name));
}

void
api_ListVolumes(MigDaemon *daemon, MigRpcCall *call, gconstpointer request)
{
    g_autoptr(MigListVolumesReply) reply = mig_ListVolumesReply_new();
    g_autoptr(GError) error = NULL;

    reply->volumes = mig_shape_volumes(daemon, &error);
    if (reply->volumes)
        mig_rpc_call_reply(call, reply);
    else
        mig_rpc_call_fail(call, g_steal_pointer(&error));
}

void
api_GetVolume(MigDaemon *daemon, MigRpcCall *call, gconstpointer request_)
{
    const MigNameRequest *request = request_;
    g_autoptr(MigVolumeReply) reply = mig_VolumeReply_new();
    g_autoptr(GError) error = NULL;
    g_autoptr(MigAttached) attached = mig_volumes_get(daemon->volumes, request->name, &error);

    reply->volume = attached ? mig_shape_volume(daemon, attached, &error) : NULL;
    if (reply->volume)
        mig_rpc_call_reply(call, reply);
    else
        mig_rpc_call_fail(call, g_steal_pointer(&error));
}

static gboolean
add_images(MigAttached *attached, GPtrArray *to, GError **error)
{
    g_autoptr(GPtrArray) images = mig_csv_images(mig_attached_csv(attached), error);

    for (guint i = 0; images && i < images->len; i++)
        g_ptr_array_add(to, mig_shape_image(g_ptr_array_index(images, i)));
    return images != NULL;
}

void
api_ListImages(MigDaemon *daemon, MigRpcCall *call, gconstpointer request_)
{
    const MigListImagesRequest *request = request_;
    g_autoptr(MigListImagesReply) reply = mig_ListImagesReply_new();
    g_autoptr(GPtrArray) volumes = mig_volumes_list(daemon->volumes);
    g_autoptr(GError) error = NULL;
    gboolean ok = TRUE;

    reply->images = mig_message_array_new(&mig_type_ApiImage);
    if (request->volume) {
        g_autoptr(MigAttached) attached = mig_volumes_get(daemon->volumes, request->volume, &error);

        ok = attached && add_images(attached, reply->images, &error);
    } else {
        for (guint i = 0; ok && i < volumes->len; i++)
            ok = add_images(g_ptr_array_index(volumes, i), reply->images, &error);
    }
    if (ok)
        mig_rpc_call_reply(call, reply);
    else
        mig_rpc_call_fail(call, g_steal_pointer(&error));
}

void
api_ListVms(MigDaemon *daemon, MigRpcCall *call, gconstpointer request)
{
    g_autoptr(MigListVmsReply) reply = mig_ListVmsReply_new();
    g_autoptr(GError) error = NULL;

    reply->vms = mig_shape_vms(daemon, &error);
    if (reply->vms)
        mig_rpc_call_reply(call, reply);
    else
        mig_rpc_call_fail(call, g_steal_pointer(&error));
}

void
api_GetVm(MigDaemon *daemon, MigRpcCall *call, gconstpointer request_)
{
    const MigNameRequest *request = request_;

    mig_shape_vm_reply(daemon, call, request->name);
}

void
api_ListJobs(MigDaemon *daemon, MigRpcCall *call, gconstpointer request)
{
    g_autoptr(MigListJobsReply) reply = mig_ListJobsReply_new();

    reply->jobs = mig_shape_jobs(daemon);
    mig_rpc_call_reply(call, reply);
}

void
peer_ListJobs(MigDaemon *daemon, MigRpcCall *call, gconstpointer request)
{
    g_autoptr(MigListJobsReply) reply = mig_ListJobsReply_new();

    reply->jobs = mig_jobs_list(daemon->jobs, FALSE);
    reply->volumes = 1 + (gint64)mig_volumes_count_alive(daemon->volumes);
    reply->beats = mig_volumes_beats(daemon->volumes);
    mig_rpc_call_reply(call, reply);
}

/* ---- how good forecasts were ---- */

static MigApiMisses *
misses_of(const GArray *expected, const GArray *actual)
{
    MigApiMisses *message = mig_ApiMisses_new();
    MigMisses misses;

    mig_predict_score((const MigRange *)(gconstpointer)expected->data,
                      (const gint64 *)(gconstpointer)actual->data, actual->len, &misses);
    message->count = misses.count;
    message->in_range = misses.in_range;
    message->median_percent = misses.median_percent;
    message->p95_percent = misses.p95_percent;
    message->median_ms = misses.median_ms;
    message->p95_ms = misses.p95_ms;
    return message;
}

static void
add_pair(const MigApiRange *expected_message, gint64 value, GArray *expected, GArray *actual)
{
    const MigRange range = mig_range_from_message(expected_message);

    g_array_append_val(expected, range);
    g_array_append_val(actual, value);
}

void
api_GetJobStats(MigDaemon *daemon, MigRpcCall *call, gconstpointer request)
{
    g_autoptr(GPtrArray) jobs = mig_shape_jobs(daemon);
    g_autoptr(MigJobStatsReply) reply = mig_JobStatsReply_new();
    g_autoptr(GArray) durations = g_array_new(FALSE, FALSE, sizeof(MigRange));
    g_autoptr(GArray) downtimes = g_array_new(FALSE, FALSE, sizeof(MigRange));
    g_autoptr(GArray) took = g_array_new(FALSE, FALSE, sizeof(gint64));
    g_autoptr(GArray) stood = g_array_new(FALSE, FALSE, sizeof(gint64));

    for (guint i = 0; i < jobs->len; i++) {
        const MigApiJob *job = g_ptr_array_index(jobs, i);

        const MigApiForecast *forecast = job->forecast;

        if (!forecast || g_strcmp0(job->kind, "move") != 0 || g_strcmp0(job->outcome, "done") != 0)
            continue;
        add_pair(forecast->duration_ms, mig_job_moving_ms(job), durations, took);
        if (job->blackout_ms >= 0)
            add_pair(forecast->downtime_ms, job->blackout_ms, downtimes, stood);
    }
    reply->duration = misses_of(durations, took);
    reply->downtime = misses_of(downtimes, stood);
    mig_rpc_call_reply(call, reply);
}
