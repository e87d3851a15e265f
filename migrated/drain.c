/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* drain.c - where the VMs of this node go, all of them together. */
#include "drain.h"

#include "base/error.h"
#include "base/io.h"
#include "base/log.h"
#include "core/plan.h"
#include "core/timeouts.h"
#include "jobs.h"
#include "meters.h"
#include "rpc/message.h"
#include "vm-actions.h"
#include "vms.h"
#include "volumes.h"

#include <errno.h>
#include <unistd.h>

/* Of the link where nothing is configured: only how long moves take beside one another counts. */
#define LINK_BYTES_S 125000000.0

/* ---- the flag ---- */

static char *
flag_path(MigDaemon *daemon)
{
    return g_build_filename(daemon->config->state_dir, "draining", NULL);
}

void
mig_drain_load(MigDaemon *daemon)
{
    g_autofree char *path = flag_path(daemon);

    mig_volumes_set_draining(daemon->volumes, g_file_test(path, G_FILE_TEST_EXISTS));
}

/* The next heartbeat says it in any case; at once is better. A volume that is lost may hang. */
static void
tell_others(MigDaemon *daemon)
{
    g_autoptr(GPtrArray) volumes = mig_volumes_list(daemon->volumes);

    for (guint i = 0; i < volumes->len; i++) {
        MigAttached *attached = g_ptr_array_index(volumes, i);
        g_autoptr(GError) error = NULL;

        if (!g_str_equal(mig_attached_state(attached), "lost") &&
            !mig_attached_publish(attached, &error))
            g_warning("whether this node drains is not told on volume %s yet: %s",
                      mig_attached_name(attached), error->message);
    }
}

/* File first: a daemon killed in between does at its next start what it had begun to say. That is
 * all that can fail: a node that has lost a volume is one to be drained. */
static gboolean
set_flag(MigDaemon *daemon, gboolean is_draining, GError **error)
{
    g_autofree char *path = flag_path(daemon);
    const char *const lines[] = {daemon->node, NULL};

    if (is_draining && !mig_store_write_lines(path, lines, error))
        return FALSE;
    if (!is_draining && unlink(path) < 0 && errno != ENOENT) {
        g_set_error(error, MIG_ERROR, MIG_ERROR_IO, "cannot remove %s: %s", path,
                    g_strerror(errno));
        return FALSE;
    }
    mig_volumes_set_draining(daemon->volumes, is_draining);
    tell_others(daemon);
    return TRUE;
}

/* ---- who could take what ---- */

typedef struct {
    MigDaemon *daemon;
    GPtrArray *views; /* MigNodeView: the nodes of the plan, by index */
    guint local;
    MigPlanNode *nodes;
    GPtrArray *running; /* MigRunning: what is to be planned */
    GPtrArray *vms;     /* MigVm, beside it */
    GPtrArray *allowed; /* guint8 per node, beside it */
    MigPlanMove *moves;
} Sheet;

static void
sheet_clear(Sheet *sheet)
{
    g_clear_pointer(&sheet->views, g_ptr_array_unref);
    g_clear_pointer(&sheet->running, g_ptr_array_unref);
    g_clear_pointer(&sheet->vms, g_ptr_array_unref);
    g_clear_pointer(&sheet->allowed, g_ptr_array_unref);
    g_free(sheet->nodes);
    g_free(sheet->moves);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Sheet, sheet_clear)

static void
describe_nodes(Sheet *sheet)
{
    const MigConfig *config = sheet->daemon->config;
    guint64 kept = (guint64)config->memory_reserve_mib << 20;

    sheet->nodes = g_new0(MigPlanNode, sheet->views->len + 1);
    for (guint i = 0; i < sheet->views->len; i++) {
        const MigNodeView *view = g_ptr_array_index(sheet->views, i);
        guint64 free_bytes = view->node->memory_free_bytes;

        if (view->is_local)
            sheet->local = i;
        sheet->nodes[i] =
            (MigPlanNode){.out_bytes_s = LINK_BYTES_S,
                          .in_bytes_s = LINK_BYTES_S,
                          .max_moves = (guint)config->max_moves_per_node,
                          .memory_free_bytes = free_bytes > kept ? free_bytes - kept : 0,
                          .takes_moves = !view->is_local && view->state == MIG_NODE_UP &&
                                         !view->node->is_draining};
    }
}

/* Nodes that see the VM's volume and have its kind of CPU; the checks of each move are the last
 * word, this only keeps the plan from what cannot be. */
static guint8 *
allowed_for(Sheet *sheet, const char *volume)
{
    const MigNodeView *local = g_ptr_array_index(sheet->views, sheet->local);
    g_autoptr(MigAttached) attached = mig_volumes_get(sheet->daemon->volumes, volume, NULL);
    g_autoptr(GPtrArray) there = attached ? mig_attached_nodes(attached) : NULL;
    guint8 *allowed = g_new0(guint8, sheet->views->len);

    for (guint i = 0; i < sheet->views->len; i++) {
        const MigNodeView *view = g_ptr_array_index(sheet->views, i);

        if (!sheet->nodes[i].takes_moves ||
            g_strcmp0(view->node->cpu_vendor, local->node->cpu_vendor) != 0)
            continue;
        for (guint j = 0; there && j < there->len; j++) {
            const MigNodeView *one = g_ptr_array_index(there, j);

            if (one->node->host_id == view->node->host_id && one->state == MIG_NODE_UP)
                allowed[i] = TRUE;
        }
    }
    return allowed;
}

static MigApiDrainStep *
step_new(const MigRunning *running, const MigVm *vm)
{
    MigApiDrainStep *step = mig_ApiDrainStep_new();

    step->vm = g_strdup(running->name);
    step->memory = vm ? (gint64)vm->memory_bytes : 0;
    return step;
}

static const MigApiJob *
job_of(const GPtrArray *jobs, const char *vm)
{
    for (guint i = 0; i < jobs->len; i++) {
        const MigApiJob *job = g_ptr_array_index(jobs, i);

        if (g_str_equal(job->vm, vm))
            return job;
    }
    return NULL;
}

/* What has a job already, or is not known, is said at once; the rest goes onto the sheet. */
static void
sort_out(Sheet *sheet, MigRunning *running, const GPtrArray *jobs, GPtrArray *steps)
{
    g_autoptr(MigRunning) owned = running;
    g_autoptr(GError) error = NULL;
    g_autoptr(MigVmView) view = mig_vm_find(sheet->daemon, running->name, &error);
    const MigApiJob *job = job_of(jobs, running->name);
    gboolean is_arriving = !job && running->state == MIG_DOMAIN_INCOMING;
    MigApiDrainStep *step;

    if (view && !job && !is_arriving) {
        g_ptr_array_add(sheet->vms, g_steal_pointer(&view->vm));
        g_ptr_array_add(sheet->allowed, allowed_for(sheet, running->volume));
        g_ptr_array_add(sheet->running, g_steal_pointer(&owned));
        return;
    }
    step = step_new(running, view ? view->vm : NULL);
    if (job) {
        step->job = g_strdup(job->id);
        step->target = g_strdup(job->target);
    } else {
        step->why = g_strdup(is_arriving ? "it is just arriving" : error->message);
    }
    g_ptr_array_add(steps, step);
}

static void
fill(Sheet *sheet, MigDaemon *daemon, GPtrArray *steps)
{
    g_autoptr(GPtrArray) jobs = mig_jobs_list(daemon->jobs, TRUE);
    g_autoptr(GPtrArray) running = mig_vms_list(daemon->vms);

    sheet->daemon = daemon;
    sheet->views = mig_volumes_nodes(daemon->volumes);
    sheet->running = g_ptr_array_new_with_free_func((GDestroyNotify)mig_running_free);
    sheet->vms = g_ptr_array_new_with_free_func((GDestroyNotify)mig_vm_free);
    sheet->allowed = g_ptr_array_new_with_free_func(g_free);
    describe_nodes(sheet);
    g_ptr_array_set_free_func(running, NULL);
    for (guint i = 0; i < running->len; i++)
        sort_out(sheet, g_ptr_array_index(running, i), jobs, steps);
    sheet->moves = g_new0(MigPlanMove, sheet->running->len + 1);
    for (guint i = 0; i < sheet->running->len; i++) {
        const MigVm *vm = g_ptr_array_index(sheet->vms, i);
        const MigRunning *one = g_ptr_array_index(sheet->running, i);
        MigUse use; /* all 0 where nothing is known */

        mig_meters_get(daemon->meters, one->name, one->uuid, MIG_METER_OLD_MS, FALSE, &use);

        const MigDirtyCurve curve = mig_dirty_curve(&use.dirtied, &use.later);

        sheet->moves[i] = (MigPlanMove){
            .source = sheet->local,
            .target = MIG_PLAN_ANY,
            .bytes = (double)MAX(
                use.used_bytes ? MIN(use.used_bytes, vm->memory_bytes) : vm->memory_bytes, 1u),
            .dirty_bytes_s = mig_dirty_curve_at(&curve, 1),
            .rate_bytes_s = (double)((guint64)daemon->config->default_bandwidth_mib_s << 20),
            .memory_bytes = vm->memory_bytes,
            .allowed = g_ptr_array_index(sheet->allowed, i)};
    }
}

/* ---- doing it ---- */

static void
start_move(Sheet *sheet, guint move, MigApiDrainStep *step)
{
    const MigRunning *running = g_ptr_array_index(sheet->running, move);
    const MigMoveVmRequest request = {.vm = running->name, .node = step->target};
    g_autoptr(GError) error = NULL;

    step->job = mig_jobs_move(sheet->daemon->jobs, &request, running,
                              g_ptr_array_index(sheet->vms, move), &error);
    if (!step->job)
        step->why = g_strdup(error->message);
}

/* Of each alone; beside one another they share the links. */
static void
add_forecast(Sheet *sheet, guint move, MigApiDrainStep *step)
{
    const MigRunning *running = g_ptr_array_index(sheet->running, move);
    const MigMoveVmRequest request = {.vm = running->name, .node = step->target};
    MigForecast forecast = {0};

    mig_jobs_forecast(sheet->daemon->jobs, &request, running, g_ptr_array_index(sheet->vms, move),
                      &forecast);
    step->forecast = mig_forecast_to_message(&forecast);
}

static gboolean
has_any(const guint8 *allowed, guint count)
{
    for (guint i = 0; i < count; i++) {
        if (allowed[i])
            return TRUE;
    }
    return FALSE;
}

GPtrArray *
mig_drain(MigDaemon *daemon, gboolean dry_run, GError **error)
{
    g_autoptr(GPtrArray) steps = mig_message_array_new(&mig_type_ApiDrainStep);
    g_auto(Sheet) sheet = {0};
    g_autoptr(MigPlan) plan = NULL;

    /* before anything is planned: nothing more comes here */
    if (!dry_run && !set_flag(daemon, TRUE, error))
        return NULL;
    mig_vms_refresh(daemon->vms);
    fill(&sheet, daemon, steps);
    plan = mig_plan_make(sheet.nodes, sheet.views->len, sheet.moves, sheet.running->len,
                         MIG_PLAN_EFFORT);
    for (guint i = 0; i < plan->n_steps; i++) {
        const MigPlanStep *one = &plan->steps[i];
        const MigNodeView *target = g_ptr_array_index(sheet.views, one->target);
        MigApiDrainStep *step = step_new(g_ptr_array_index(sheet.running, one->move),
                                         g_ptr_array_index(sheet.vms, one->move));

        step->target = g_strdup(target->node->name);
        add_forecast(&sheet, one->move, step);
        g_ptr_array_add(steps, step);
        if (!dry_run)
            start_move(&sheet, one->move, step);
    }
    for (guint i = 0; i < plan->n_unplaced; i++) {
        guint move = plan->unplaced[i];
        MigApiDrainStep *step =
            step_new(g_ptr_array_index(sheet.running, move), g_ptr_array_index(sheet.vms, move));

        step->why = g_strdup(has_any(g_ptr_array_index(sheet.allowed, move), sheet.views->len)
                                 ? "no node has the memory for it"
                                 : "no node that is up, has its volume and the same kind of CPU");
        g_ptr_array_add(steps, step);
    }
    return g_steal_pointer(&steps);
}

gboolean
mig_undrain(MigDaemon *daemon, GError **error)
{
    return set_flag(daemon, FALSE, error);
}
