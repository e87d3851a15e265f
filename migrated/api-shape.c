/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* api-shape.c - what the answers of the API look like. */
#include "api-shape.h"

#include "core/timeouts.h"
#include "core/trust.h"
#include "drivers/definition-xml.h"
#include "failover.h"
#include "jobs.h"

#include <string.h>

/* ---- nodes ---- */

static char **
volumes_of_node(MigDaemon *daemon, const char *node)
{
    g_autoptr(GPtrArray) volumes = mig_volumes_list(daemon->volumes);
    g_autoptr(GStrvBuilder) names = g_strv_builder_new();

    for (guint i = 0; i < volumes->len; i++) {
        MigAttached *attached = g_ptr_array_index(volumes, i);
        g_autoptr(GPtrArray) views = mig_attached_nodes(attached);

        for (guint k = 0; k < views->len; k++) {
            const MigNodeView *view = g_ptr_array_index(views, k);

            if (g_str_equal(view->node->name, node) && view->state != MIG_NODE_LEFT)
                g_strv_builder_add(names, mig_attached_name(attached));
        }
    }
    return g_strv_builder_end(names);
}

/* What the fail-over thinks of it, where it has thought. */
static void
add_life(MigDaemon *daemon, MigApiNode *to)
{
    g_autoptr(GPtrArray) lives = mig_failover_lives(daemon->failover);
    const MigNodeLife *life = mig_lives_find(lives, to->name);

    if (!life)
        return;
    g_free(to->state);
    to->state = g_strdup(mig_life_name(life->finding.life));
    to->rule = g_strdup(life->finding.rule);
    to->flapping = life->is_flapping;
    if (!life->evidence.is_self) {
        to->peer_age_ms = MIN(life->evidence.peer_ms, G_MAXINT32);
        to->ping_age_ms = MIN(life->evidence.management_ms, G_MAXINT32);
        to->ping_migration_age_ms = MIN(life->evidence.migration_ms, G_MAXINT32);
        to->fenceable = mig_failover_can_fence(daemon, to->name);
    }
}

MigApiNode *
mig_shape_node(MigDaemon *daemon, const MigNodeView *view)
{
    MigApiNode *to = mig_ApiNode_new();
    const MigNode *from = view->node;

    to->name = g_strdup(from->name);
    to->host_id = from->host_id;
    to->state = g_strdup(mig_node_state_name(view->state));
    to->management = g_strdup(from->management);
    to->port = from->port;
    to->migration = from->migration && *from->migration ? g_strdup(from->migration) : NULL;
    to->cpu_vendor = from->cpu_vendor && *from->cpu_vendor ? g_strdup(from->cpu_vendor) : NULL;
    to->cpus = from->cpus;
    to->memory = (gint64)from->memory_bytes;
    to->memory_free = (gint64)from->memory_free_bytes;
    to->volumes = volumes_of_node(daemon, from->name);
    to->draining = from->is_draining;
    to->watchdog = from->has_watchdog;
    to->encrypts = from->encrypts;
    to->passive = from->is_passive;
    to->certificates = mig_trust_fingerprints(from);
    to->heartbeat = (gint64)from->heartbeat;
    to->heartbeat_age_ms = MIN(view->age_ms, G_MAXINT32);
    to->sanlock = g_strdup(mig_host_state_name(view->sanlock));
    to->version = g_strdup(from->version);
    to->local = view->is_local;
    add_life(daemon, to);
    return to;
}

GPtrArray *
mig_shape_nodes(MigDaemon *daemon)
{
    g_autoptr(GPtrArray) views = mig_volumes_nodes(daemon->volumes);
    g_autoptr(GPtrArray) vms = mig_vm_list(daemon, NULL);
    GPtrArray *nodes = mig_message_array_new(&mig_type_ApiNode);

    for (guint i = 0; i < views->len; i++) {
        MigApiNode *node = mig_shape_node(daemon, g_ptr_array_index(views, i));
        g_autoptr(GStrvBuilder) names = g_strv_builder_new();

        for (guint k = 0; vms && k < vms->len; k++) {
            const MigVmView *vm = g_ptr_array_index(vms, k);

            if (g_strcmp0(vm->node, node->name) == 0)
                g_strv_builder_add(names, vm->vm->name);
        }
        node->vms = g_strv_builder_end(names);
        g_ptr_array_add(nodes, node);
    }
    return nodes;
}

/* ---- volumes ---- */

MigApiVolume *
mig_shape_volume(MigDaemon *daemon, MigAttached *attached, GError **error)
{
    g_autoptr(MigVolumeInfo) info = mig_csv_info(mig_attached_csv(attached), error);
    g_autoptr(GPtrArray) views = mig_attached_nodes(attached);
    g_autoptr(GStrvBuilder) nodes = g_strv_builder_new();
    MigLeaseOwner owner = {0};

    if (!info)
        return NULL;
    MigApiVolume *to = mig_ApiVolume_new();

    to->name = g_strdup(info->name);
    to->uuid = g_strdup(info->uuid);
    to->device = g_strdup(info->device);
    to->one_host = info->is_one_host;
    to->state = g_strdup(mig_attached_state(attached));
    if (mig_csv_coordinator_owner(mig_attached_csv(attached), &owner, NULL))
        to->coordinator = mig_attached_owner_name(attached, &owner, NULL);
    to->sector_size = info->sector_bytes;
    to->io_timeout = info->io_timeout_s;
    to->size = (gint64)info->size_bytes;
    to->used = (gint64)info->used_bytes;
    to->free = (gint64)info->free_bytes;
    to->largest_free = (gint64)info->largest_free_bytes;
    to->extent = (gint64)info->extent_bytes;
    to->free_runs = info->free_runs;
    to->spare = (gint64)info->spare_bytes;
    to->map = g_strdup(info->map);
    to->images = info->images;
    to->vms = info->vms;
    to->max_nodes = info->max_nodes;
    to->max_vms = info->max_vms;
    to->max_images = info->max_images;
    for (guint i = 0; i < views->len; i++) {
        const MigNodeView *view = g_ptr_array_index(views, i);

        if (view->state != MIG_NODE_LEFT)
            g_strv_builder_add(nodes, view->node->name);
    }
    to->nodes = g_strv_builder_end(nodes);
    return to;
}

GPtrArray *
mig_shape_volumes(MigDaemon *daemon, GError **error)
{
    g_autoptr(GPtrArray) list = mig_volumes_list(daemon->volumes);
    g_autoptr(GPtrArray) volumes = mig_message_array_new(&mig_type_ApiVolume);

    for (guint i = 0; i < list->len; i++) {
        MigApiVolume *volume = mig_shape_volume(daemon, g_ptr_array_index(list, i), error);

        if (!volume)
            return NULL;
        g_ptr_array_add(volumes, volume);
    }
    return g_steal_pointer(&volumes);
}

MigApiImage *
mig_shape_image(const MigImage *image)
{
    MigApiImage *to = mig_ApiImage_new();

    to->volume = g_strdup(image->volume);
    to->name = g_strdup(image->name);
    to->size = (gint64)image->size_bytes;
    to->owner = *image->owner ? g_strdup(image->owner) : NULL;
    to->extents = image->extents;
    to->shared = image->is_shared;
    to->active = image->is_active;
    to->path = g_strdup_printf("/dev/csv/%s/%s", image->volume, image->name);
    return to;
}

/* ---- VMs ---- */

static char *
node_of_host(MigAttached *attached, guint32 host_id)
{
    g_autoptr(GPtrArray) views = mig_attached_nodes(attached);

    for (guint i = 0; host_id && i < views->len; i++) {
        const MigNodeView *view = g_ptr_array_index(views, i);

        if (view->node->host_id == host_id)
            return g_strdup(view->node->name);
    }
    return NULL;
}

/* Who has its lease gives no sign of life: is that all, or is it known what that means? */
static const char *
state_of(MigDaemon *daemon, const MigVmView *view)
{
    g_autoptr(GPtrArray) lives = NULL;
    const MigNodeLife *life;

    if (!g_str_equal(view->state, "unknown") || !view->node)
        return view->state;
    lives = mig_failover_lives(daemon->failover);
    life = mig_lives_find(lives, view->node);
    return life && (life->finding.may_restart ||
                    mig_life_is_proven_dead(life, mig_attached_name(view->attached)))
               ? "down"
               : view->state;
}

MigApiVm *
mig_shape_vm(MigDaemon *daemon, const MigVmView *view)
{
    MigApiVm *to = mig_ApiVm_new();
    const MigVm *vm = view->vm;

    to->name = g_strdup(vm->name);
    to->uuid = g_strdup(vm->uuid);
    to->volume = g_strdup(vm->volume);
    to->state = g_strdup(state_of(daemon, view));
    to->wanted = g_strdup(vm->wants_running ? "running" : "stopped");
    to->node = g_strdup(view->node);
    to->memory = (gint64)vm->memory_bytes;
    to->vcpus = vm->vcpus;
    to->priority = vm->priority;
    to->restart = g_strdup(mig_restart_name(vm->restart));
    to->on_isolation = g_strdup(vm->restarts_on_isolation ? "restart" : "keep");
    to->prefer = node_of_host(view->attached, vm->prefer_host_id);
    to->move_policy = g_strdup(vm->move_policy < MIG_POLICY_COUNT
                                   ? mig_policy_kind_name((MigPolicyKind)vm->move_policy)
                                   : NULL);
    to->affinity = g_strdupv(vm->affinity);
    to->anti_affinity = g_strdupv(vm->anti_affinity);
    to->start_after = g_strdupv(vm->start_after);
    to->lease_owner = mig_attached_owner_name(view->attached, &view->owner, NULL);
    to->lease_version = (gint64)view->owner.version;
    if (vm->definition) {
        g_autoptr(MigDefinition) definition = mig_definition_parse(vm->definition, NULL);

        to->definition = mig_definition_mask(vm->definition);
        to->images = definition ? g_strdupv(definition->images) : NULL;
    }
    return to;
}

void
mig_shape_vm_reply(MigDaemon *daemon, MigRpcCall *call, const char *name)
{
    g_autoptr(MigVmReply) reply = mig_VmReply_new();
    GError *error = NULL;
    g_autoptr(MigVmView) view = mig_vm_find(daemon, name, &error);

    if (!view) {
        mig_rpc_call_fail(call, error);
        return;
    }
    reply->vm = mig_shape_vm(daemon, view);
    mig_rpc_call_reply(call, reply);
}

GPtrArray *
mig_shape_vms(MigDaemon *daemon, GError **error)
{
    g_autoptr(GPtrArray) views = mig_vm_list(daemon, error);
    GPtrArray *vms;

    if (!views)
        return NULL;
    vms = mig_message_array_new(&mig_type_ApiVm);
    for (guint i = 0; i < views->len; i++)
        g_ptr_array_add(vms, mig_shape_vm(daemon, g_ptr_array_index(views, i)));
    return vms;
}

/* ---- jobs ---- */

static gint
by_start(gconstpointer a, gconstpointer b)
{
    const MigApiJob *left = *(MigApiJob *const *)a, *right = *(MigApiJob *const *)b;

    return left->started < right->started ? -1 : left->started > right->started;
}

GPtrArray *
mig_shape_jobs(MigDaemon *daemon)
{
    GPtrArray *jobs = mig_jobs_list(daemon->jobs, FALSE);
    g_autoptr(GPtrArray) views = mig_volumes_nodes(daemon->volumes);

    for (guint i = 0; i < views->len; i++) {
        const MigNodeView *view = g_ptr_array_index(views, i);
        g_autoptr(MigListJobsReply) reply = NULL;

        if (view->is_local || view->state != MIG_NODE_UP)
            continue;
        /* a node that does not answer has its jobs to itself; status says that it is suspect soon
         */
        reply = mig_peer_rpc_call(daemon->peer, view->node->name, "ListJobs", &mig_type_Empty, NULL,
                                  &mig_type_ListJobsReply, MIG_PEER_CONNECT_MS, NULL);
        if (reply && reply->jobs)
            g_ptr_array_extend_and_steal(jobs, g_steal_pointer(&reply->jobs));
    }
    g_ptr_array_sort(jobs, by_start);
    return jobs;
}
