/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* placement.c - the plan of placement.h. */
#include "core/placement.h"

#define BACKOFF_MS     5000
#define BACKOFF_MAX_MS (5 * 60 * 1000)

typedef struct {
    const MigPlaceNode *nodes;
    guint node_count;
    const MigPlaceVm *vms;
    guint vm_count;
    guint limit;
    gboolean is_whole;
    guint64 *free_bytes; /* of each node, less what this plan has given away */
    MigPlace *places;
} Plan;

gint64
mig_place_backoff_ms(guint attempts)
{
    gint64 ms = BACKOFF_MS;

    for (guint i = 1; i < attempts && ms < BACKOFF_MAX_MS; i++)
        ms *= 2;
    return attempts ? MIN(ms, BACKOFF_MAX_MS) : 0;
}

static int
find_vm(const Plan *plan, const char *name)
{
    for (guint i = 0; i < plan->vm_count; i++) {
        if (g_str_equal(plan->vms[i].name, name))
            return (int)i;
    }
    return -1;
}

/* Is this VM on that node, or about to be by this plan? */
static gboolean
is_on(const Plan *plan, guint vm, guint node)
{
    if (plan->places[vm].node == (int)node)
        return TRUE;
    return (plan->vms[vm].is_running || plan->vms[vm].is_held) &&
           g_strcmp0(plan->vms[vm].node, plan->nodes[node].name) == 0;
}

static guint
count_on(const Plan *plan, char **names, guint node)
{
    guint count = 0;

    for (guint i = 0; names && names[i]; i++) {
        int vm = find_vm(plan, names[i]);

        count += vm >= 0 && is_on(plan, (guint)vm, node);
    }
    return count;
}

/* Apart is apart, whichever of the two says it. */
static gboolean
is_kept_apart(const Plan *plan, guint vm, guint node)
{
    if (count_on(plan, plan->vms[vm].anti_affinity, node))
        return TRUE;
    for (guint i = 0; i < plan->vm_count; i++) {
        if (i != vm && plan->vms[i].anti_affinity && is_on(plan, i, node) &&
            g_strv_contains((const char *const *)plan->vms[i].anti_affinity, plan->vms[vm].name))
            return TRUE;
    }
    return FALSE;
}

static gboolean
fits(const Plan *plan, guint vm, guint node)
{
    const MigPlaceVm *v = &plan->vms[vm];
    const MigPlaceNode *n = &plan->nodes[node];

    return n->is_usable && plan->free_bytes[node] >= v->memory_bytes &&
           (n->cpus == 0 || v->vcpus <= n->cpus) &&
           (!v->cpu_vendor || !n->cpu_vendor || g_str_equal(v->cpu_vendor, n->cpu_vendor));
}

/* Has this one to run before those that start after it? Not one that is not wanted, or gone from
 * the volume, or that has been given up, or that has ended by itself and stays so. */
static gboolean
is_waited_for(const Plan *plan, int vm)
{
    const MigPlaceVm *v = vm < 0 ? NULL : &plan->vms[vm];

    return v && !v->is_running && v->wants_running && v->restart != MIG_RESTART_NEVER &&
           !(v->restart == MIG_RESTART_ON_NODE_DEATH && v->down == MIG_DOWN_CRASH) &&
           v->attempts < plan->limit && !(plan->is_whole && plan->places[vm].node >= 0);
}

/* What must be so before it may start at all; NULL: nothing. */
static const char *
obstacle(const Plan *plan, guint vm)
{
    const MigPlaceVm *v = &plan->vms[vm];

    if (v->is_running)
        return "runs, or nobody can tell";
    if (!v->wants_running)
        return "its administrator has stopped it";
    if (v->is_held)
        return "a start of it is under way, or may be";
    if (v->restart == MIG_RESTART_NEVER)
        return "its policy is restart=never";
    if (v->restart == MIG_RESTART_ON_NODE_DEATH && v->down == MIG_DOWN_CRASH)
        return "its node lives, and its policy is restart=on-node-death";
    if (v->attempts >= plan->limit)
        return "it has failed to start, or ended again, too often; 'migratectl vm start' tries "
               "again";
    if (v->wait_ms > 0 && v->is_locked)
        return "another process has its disk locked, as NFS keeps it for up to 90 s behind a host "
               "that died; it is tried again";
    if (v->wait_ms > 0)
        return "it waits after a start that failed or did not last";
    for (guint i = 0; v->start_after && v->start_after[i]; i++) {
        int other = find_vm(plan, v->start_after[i]);

        if (other != (int)vm && is_waited_for(plan, other))
            return "it waits for a VM that it starts after";
    }
    return NULL;
}

/* Better nodes have higher scores: the order of these weights is the order of what counts. */
static guint64
score(const Plan *plan, guint vm, guint node, const char **why)
{
    const MigPlaceVm *v = &plan->vms[vm];
    const MigPlaceNode *n = &plan->nodes[node];
    guint64 points = MIN((plan->free_bytes[node] - v->memory_bytes) >> 20, (1u << 28) - 1);

    *why = "most memory free";
    /* where it has just failed, or its disk has, is the last resort */
    if (n->host_id != v->not_host_id &&
        !(v->down == MIG_DOWN_DISK && n->host_id == v->last_host_id))
        points += 1ull << 35;
    if (count_on(plan, v->affinity, node)) {
        points += 1ull << 31;
        *why = "the VMs that it belongs to are there";
    }
    if (v->prefer_host_id && n->host_id == v->prefer_host_id) {
        points += 1ull << 30;
        *why = "its preferred node";
    }
    if (v->down == MIG_DOWN_CRASH && n->host_id == v->last_host_id &&
        n->host_id != v->not_host_id) {
        points += 1ull << 33;
        *why = "where it ran before";
    }
    if (!n->is_last_resort)
        points += 1ull << 34;
    else
        *why = "no other node will do, though it has died often lately";
    return points;
}

static void
place_one(Plan *plan, guint vm)
{
    const MigPlaceVm *v = &plan->vms[vm];
    gboolean has_usable = FALSE, has_room = FALSE;
    guint64 best = 0;
    int chosen = -1;

    for (guint i = 0; i < plan->node_count; i++) {
        const char *why;
        guint64 points;

        has_usable = has_usable || plan->nodes[i].is_usable;
        if (!fits(plan, vm, i))
            continue;
        has_room = TRUE;
        if (is_kept_apart(plan, vm, i))
            continue;
        points = score(plan, vm, i, &why) + 1;
        if (points > best) {
            best = points;
            chosen = (int)i;
            plan->places[vm].why = why;
        }
    }
    plan->places[vm].node = chosen;
    if (chosen >= 0) {
        plan->free_bytes[chosen] -= v->memory_bytes;
    } else {
        plan->places[vm].why = !has_usable ? "no node is up that has its volume"
                               : !has_room
                                   ? "no node has memory and CPUs for it"
                                   : "every node that has room runs a VM it must not be with";
    }
}

static gint
by_priority(gconstpointer a, gconstpointer b, gpointer user_data)
{
    const MigPlaceVm *vms = user_data;
    guint left = *(const guint *)a, right = *(const guint *)b;

    if (vms[left].priority != vms[right].priority)
        return vms[left].priority > vms[right].priority ? -1 : 1;
    return g_strcmp0(vms[left].name, vms[right].name);
}

/* One pass in order of priority. FALSE: nothing was placed. */
static gboolean
pass(Plan *plan, const guint *order)
{
    gboolean has_placed = FALSE;

    for (guint i = 0; i < plan->vm_count; i++) {
        guint vm = order[i];

        if (plan->places[vm].node >= 0)
            continue;
        plan->places[vm].why = obstacle(plan, vm);
        if (!plan->places[vm].why)
            place_one(plan, vm);
        has_placed = has_placed || plan->places[vm].node >= 0;
    }
    return has_placed;
}

static void
place_all(Plan *plan)
{
    g_autofree guint64 *free_bytes = g_new0(guint64, plan->node_count + 1);
    g_autofree guint *order = g_new(guint, plan->vm_count + 1);

    plan->free_bytes = free_bytes;
    for (guint i = 0; i < plan->node_count; i++)
        free_bytes[i] = plan->nodes[i].memory_free_bytes;
    for (guint i = 0; i < plan->vm_count; i++) {
        order[i] = i;
        plan->places[i] = (MigPlace){-1, NULL};
    }
    g_qsort_with_data(order, (gint)plan->vm_count, sizeof *order, by_priority, (gpointer)plan->vms);
    while (pass(plan, order) && plan->is_whole)
        ;
}

void
mig_place(const MigPlaceNode *nodes, guint node_count, const MigPlaceVm *vms, guint vm_count,
          guint limit, MigPlace *places)
{
    Plan plan = {.nodes = nodes,
                 .node_count = node_count,
                 .vms = vms,
                 .vm_count = vm_count,
                 .limit = limit,
                 .places = places};

    place_all(&plan);
}

void
mig_place_whole(const MigPlaceNode *nodes, guint node_count, const MigPlaceVm *vms, guint vm_count,
                guint limit, MigPlace *places)
{
    Plan plan = {.nodes = nodes,
                 .node_count = node_count,
                 .vms = vms,
                 .vm_count = vm_count,
                 .limit = limit,
                 .is_whole = TRUE,
                 .places = places};

    place_all(&plan);
}
