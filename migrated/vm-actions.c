/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vm-actions.c - the life of a VM on this node: start and stop; and where it is. */
#include "vm-actions.h"

#include "base/error.h"
#include "change.h"
#include "core/timeouts.h"
#include "drivers/definition-adopt.h"
#include "drivers/definition-xml.h"
#include "events.h"
#include "hooked.h"
#include "jobs.h"
#include "lives.h"
#include "wanted.h"

#include <string.h>

void
mig_vm_view_free(MigVmView *view)
{
    if (!view)
        return;
    mig_vm_free(view->vm);
    mig_attached_unref(view->attached);
    g_free(view->node);
    g_free(view);
}

/* ---- where is it? ---- */

/* Does what this node says of its VMs still count? Its migrated or its path to the LUN may hang
 * while a VM runs on there, and not each of them has its lease (self.h): until its own host lease
 * is gone. */
static gboolean
is_believed(MigAttached *attached, const MigNodeView *view)
{
    return view->state == MIG_NODE_UP ||
           (view->state == MIG_NODE_SUSPECT &&
            !mig_csv_host_is_free(mig_attached_csv(attached), view->node->host_id,
                                  view->node->host_generation));
}

static gboolean
has_running_bit(MigAttached *attached, guint32 slot)
{
    g_autoptr(GPtrArray) nodes = mig_attached_nodes(attached);

    for (guint i = 0; i < nodes->len; i++) {
        const MigNodeView *view = g_ptr_array_index(nodes, i);

        if (slot < MIG_MAX_VM_SLOTS && (view->node->running[slot / 8] & (1u << (slot % 8))) &&
            is_believed(attached, view))
            return TRUE;
    }
    return FALSE;
}

/* "paused" and why, or NULL: of a VM that stands still here. */
static const char *
paused_state(const MigRunning *running)
{
    if (running && running->state == MIG_DOMAIN_IO_ERROR)
        return "io-error";
    return running && running->state == MIG_DOMAIN_PAUSED ? "paused" : NULL;
}

/* The lease on the LUN says where; this node's libvirt adds how, for those that are here. */
static const char *
state_of(MigDaemon *daemon, MigVmView *view)
{
    g_autoptr(MigNodeView) owner = NULL;
    const char *state = "running";

    mig_jobs_await_arrived(daemon->jobs, view->vm->name);
    g_autoptr(MigRunning) running = mig_vms_get(daemon->vms, view->vm->name);

    if (mig_jobs_has_vm(daemon->jobs, view->vm->name)) {
        view->node = g_strdup(daemon->node);
        view->is_here = TRUE;
        return "moving";
    }
    if (!mig_csv_vm_lease_owner(mig_attached_csv(view->attached), view->vm->slot, &view->owner,
                                NULL))
        return "unknown";
    view->node = mig_attached_owner_name(view->attached, &view->owner, &owner);
    view->is_here = g_strcmp0(view->node, daemon->node) == 0;
    if (!view->node) {
        /* nobody has the lease, yet somebody says that it is there: between two nodes, or
         * paused by hand, which gives the lease back */
        if (paused_state(running)) {
            view->node = g_strdup(daemon->node);
            view->is_here = TRUE;
            state = paused_state(running);
        } else {
            /* a bit seen with the last heartbeat may be that of a VM stopped since */
            if (has_running_bit(view->attached, view->vm->slot))
                mig_attached_look(view->attached);
            state = has_running_bit(view->attached, view->vm->slot) ? "moving" : "stopped";
        }
    } else if (view->is_here && paused_state(running)) {
        state = paused_state(running);
    } else if (!owner || (owner->state != MIG_NODE_UP && !view->is_here)) {
        state = "unknown";
    }
    return state;
}

static MigVmView *
view_new(MigDaemon *daemon, MigAttached *attached, MigVm *vm_take)
{
    MigVmView *view = g_new0(MigVmView, 1);

    view->vm = vm_take;
    view->attached = mig_attached_ref(attached);
    view->state = state_of(daemon, view);
    return view;
}

MigVmView *
mig_vm_find(MigDaemon *daemon, const char *name, GError **error)
{
    g_autoptr(GPtrArray) volumes = mig_volumes_list(daemon->volumes);
    g_autoptr(GError) unreadable = NULL; /* of the first volume that says nothing */
    g_autofree char *shown = g_strescape(name ? name : "", NULL);

    for (guint i = 0; i < volumes->len; i++) {
        MigAttached *attached = g_ptr_array_index(volumes, i);
        g_autoptr(GError) local = NULL;
        MigVm *vm = mig_csv_vm(mig_attached_csv(attached), name, &local);

        if (vm)
            return view_new(daemon, attached, vm);
        if (!g_error_matches(local, MIG_ERROR, MIG_ERROR_VM_UNKNOWN) &&
            !g_error_matches(local, MIG_ERROR, MIG_ERROR_BAD_NAME) && !unreadable)
            unreadable = g_steal_pointer(&local);
    }
    if (unreadable) {
        g_propagate_error(error, g_steal_pointer(&unreadable));
        return NULL;
    }
    g_set_error(error, MIG_ERROR, MIG_ERROR_VM_UNKNOWN,
                "no VM '%s' is defined on any attached volume; see 'migratectl vm list'", shown);
    return NULL;
}

MigVmView *
mig_vm_find_on(MigDaemon *daemon, MigAttached *attached, const char *name, GError **error)
{
    MigVm *vm = mig_csv_vm(mig_attached_csv(attached), name ? name : "", error);

    return vm ? view_new(daemon, attached, vm) : NULL;
}

GPtrArray *
mig_vm_list(MigDaemon *daemon, GError **error)
{
    g_autoptr(GPtrArray) volumes = mig_volumes_list(daemon->volumes);
    g_autoptr(GPtrArray) views = g_ptr_array_new_with_free_func((GDestroyNotify)mig_vm_view_free);

    for (guint i = 0; i < volumes->len; i++) {
        MigAttached *attached = g_ptr_array_index(volumes, i);
        g_autoptr(GPtrArray) vms = mig_csv_vms(mig_attached_csv(attached), error);

        if (!vms)
            return NULL;
        g_ptr_array_set_free_func(vms, NULL);
        for (guint k = 0; k < vms->len; k++)
            g_ptr_array_add(views, view_new(daemon, attached, g_ptr_array_index(vms, k)));
    }
    return g_steal_pointer(&views);
}

/* ---- start ---- */

gboolean
mig_vm_run_own(MigCatalog *catalog, const MigPeerChangeRequest *request, gboolean is_begun,
               MigPeerChangeReply *reply, GError **error)
{
    for (guint i = 0; request->images && request->images[i]; i++) {
        if (!mig_csv_image_assign(mig_attached_csv(catalog->attached), &catalog->epoch,
                                  request->images[i], request->name ? request->name : "", error))
            return FALSE;
    }
    return TRUE;
}

/* Every disk belongs to this VM before it runs: a definition that was cut short may have left some
 * without an owner, and another VM may have taken one since. */
static gboolean
own_images(MigDaemon *daemon, MigVmView *view, char **images, GError **error)
{
    MigCsv *csv = mig_attached_csv(view->attached);
    g_autoptr(GStrvBuilder) builder = g_strv_builder_new();
    g_auto(GStrv) missing = NULL;
    MigPeerChangeRequest change = {.change = (char *)"vm-own", .name = view->vm->name};
    g_autoptr(MigPeerChangeReply) reply = NULL;

    for (guint i = 0; images[i]; i++) {
        const char *name = strchr(images[i], '/') + 1;
        g_autoptr(MigImage) image = mig_csv_image(csv, name, error);

        if (!image)
            return FALSE;
        if (!g_str_equal(image->owner, view->vm->name))
            g_strv_builder_add(builder, name);
    }
    missing = g_strv_builder_end(builder);
    if (!missing[0])
        return TRUE;
    change.images = missing;
    reply = mig_change(daemon, view->attached, &change, error);
    return reply != NULL;
}

/* By sanlock's word, as the failover has it: that a later start of its host is free says nothing of
 * what an earlier one has left. */
static gboolean
is_dead(MigDaemon *daemon, MigAttached *attached, const MigNodeView *owner)
{
    MigWord word = owner ? mig_lives_word_on(daemon, attached, owner) : MIG_WORD_UNKNOWN;

    return word == MIG_WORD_DEAD || word == MIG_WORD_FREE;
}

/* The quick, clear answer; the lease itself, taken by QEMU, is the safe one. */
static gboolean
may_start(MigDaemon *daemon, const MigVmView *view, GError **error)
{
    g_autoptr(MigNodeView) owner = NULL;
    g_autofree char *name = mig_attached_owner_name(view->attached, &view->owner, &owner);

    if (g_str_equal(view->state, "moving")) {
        g_set_error(error, MIG_ERROR, MIG_ERROR_VM_BUSY,
                    "%s is being moved, or on a node that does not answer; see 'migratectl job "
                    "list' and 'migratectl node list', and start migrated where it is not up",
                    view->vm->name);
        return FALSE;
    }
    if (!name && !g_str_equal(view->state, "paused") && !g_str_equal(view->state, "io-error"))
        return TRUE;
    if (is_dead(daemon, view->attached, owner))
        return TRUE;
    if (g_str_equal(view->state, "unknown")) {
        guint seconds =
            mig_timeouts_host_dead_s(mig_csv_io_timeout_s(mig_attached_csv(view->attached)));

        g_set_error(
            error, MIG_ERROR, MIG_ERROR_LEASE_HELD,
            "%s has the lease of %s and gives no sign of life; it can be started once sanlock "
            "calls that host dead, at most %u s after its last renewal; try again then",
            name, view->vm->name, seconds);
        return FALSE;
    }
    g_set_error(error, MIG_ERROR, MIG_ERROR_VM_RUNNING, "%s is %s on %s", view->vm->name,
                view->state, view->node);
    return FALSE;
}

/* Whoever asks has proof that the VM's node is dead, perhaps before this node can have seen it: a
 * fence, a freed host lease. It is believed, and still the lease decides. */
static gboolean
may_recover(MigDaemon *daemon, const MigVmView *view, GError **error)
{
    if (!view->vm->wants_running) {
        g_set_error(error, MIG_ERROR, MIG_ERROR_VM_STOPPED,
                    "%s is not wanted running any more: it was stopped meanwhile", view->vm->name);
        return FALSE;
    }
    return g_str_equal(view->state, "unknown") || may_start(daemon, view, error);
}

/* Whoever has stopped or deleted it while it was being started was told that it is down. FALSE: it
 * is. A start can take as long as libvirt and its hooks like, and meanwhile another node may have
 * had it. */
static gboolean
is_wanted_still(MigDaemon *daemon, MigVmView *view, const char *const *images, GError **error)
{
    const char *name = view->vm->name;
    g_autoptr(GError) unread = NULL, failed = NULL;
    g_autoptr(MigVm) now = mig_csv_vm(mig_attached_csv(view->attached), name, &unread);
    gboolean is_gone =
        now ? g_strcmp0(now->uuid, view->vm->uuid) != 0 || now->slot != view->vm->slot
            : g_error_matches(unread, MIG_ERROR, MIG_ERROR_VM_UNKNOWN);

    if (!is_gone && (!now || (now->wants_running && now->last_host_id == daemon->host_id)))
        return TRUE;
    /* the mark of a start beside this one would be taken back, should that one fail yet */
    if (!is_gone && (now->wants_running || !mig_wanted_is_stopped(now))) {
        if (mig_wanted_again(daemon, view, &failed))
            return TRUE;
        if (!g_error_matches(failed, MIG_ERROR, MIG_ERROR_VM_STOPPED)) {
            g_warning("%s runs, and is not marked as wanted: %s", name, failed->message);
            return TRUE;
        }
        g_clear_error(&failed);
    }
    if (!daemon->hv->destroy(daemon->hv->self, name, view->vm->uuid, &failed)) {
        mig_events_add(daemon->events, name, daemon->node, "stop-failed",
                       "it was %s while it was being started, and cannot be ended: %s",
                       is_gone ? "deleted" : "stopped", failed->message);
        if (!is_gone)
            return TRUE;
        g_propagate_prefixed_error(error, g_steal_pointer(&failed),
                                   "%s was deleted while it was being started, and still runs on "
                                   "%s, where no list has it; end it there with virsh destroy: ",
                                   name, daemon->node);
        return FALSE;
    }
    mig_vms_refresh(daemon->vms);
    mig_vms_deactivate(daemon, images);
    g_set_error(error, MIG_ERROR, MIG_ERROR_VM_STOPPED,
                "%s was %s while it was being started, and is down", name,
                is_gone ? "deleted" : "stopped");
    return FALSE;
}

static gboolean
start_view(MigDaemon *daemon, MigVmView *view, GError **error)
{
    const char *name = view->vm->name;
    g_autoptr(MigDefinition) definition = NULL;
    g_autoptr(MigLease) lease = NULL;
    g_autofree char *xml = NULL;
    MigWantedMark mark = {0};

    definition = mig_definition_parse(view->vm->definition, error);
    if (!definition)
        return FALSE;
    if (mig_definition_is_locked(view->vm->definition)) {
        g_set_error(error, MIG_ERROR, MIG_ERROR_VM_BUSY,
                    "%s is being adopted; where that was cut short, 'migratectl vm adopt %s' again "
                    "on the node that has the domain",
                    name, name);
        return FALSE;
    }
    lease = mig_csv_vm_lease(mig_attached_csv(view->attached), view->vm->slot, name);
    xml = mig_definition_complete(view->vm->definition, view->vm->uuid, lease, error);
    if (!xml || !own_images(daemon, view, definition->images, error))
        return FALSE;
    /* wanted first: killed behind it, the VM is found stopped but wanted, never the reverse */
    if (!mig_wanted_begin(daemon, view, &mark, error))
        return FALSE;
    if (mig_vms_activate(daemon, (const char *const *)definition->images, error) &&
        mig_hooked_start(daemon->hooked, name, xml, error)) {
        mig_vms_refresh(daemon->vms);
        return is_wanted_still(daemon, view, (const char *const *)definition->images, error);
    }
    mig_vms_refresh(daemon->vms); /* somebody may have started it here by hand meanwhile */
    g_autoptr(MigRunning) running = mig_vms_get(daemon->vms, name);

    if (!running) {
        mig_vms_deactivate(daemon, (const char *const *)definition->images);
        mig_wanted_take_back(daemon, view, &mark);
    }
    return FALSE;
}

/* Its leases are the others' by now. */
static gboolean
may_run_here(const MigVmView *view, GError **error)
{
    if (!mig_attached_was_fenced(view->attached))
        return TRUE;
    g_set_error(error, MIG_ERROR, MIG_ERROR_FENCED,
                "this node was fenced, and is still on; start its host anew");
    return FALSE;
}

gboolean
mig_vm_start(MigDaemon *daemon, const char *name, GError **error)
{
    if (!mig_jobs_hold_vm(daemon->jobs, name, error))
        return FALSE;
    g_autoptr(MigVmView) view = mig_vm_find(daemon, name, error);
    gboolean ok = view && may_run_here(view, error) && may_start(daemon, view, error) &&
                  start_view(daemon, view, error);

    mig_jobs_let_vm_go(daemon->jobs, name);
    return ok;
}

gboolean
mig_vm_recover(MigDaemon *daemon, const char *name, GError **error)
{
    if (!mig_jobs_hold_vm(daemon->jobs, name, error))
        return FALSE;
    g_autoptr(MigVmView) view = mig_vm_find(daemon, name, error);
    gboolean ok = view && view->is_here && g_str_equal(view->state, "running");

    if (ok) { /* who copies one of its disks has the lease, too, and nothing runs */
        mig_vms_refresh(daemon->vms);
        g_autoptr(MigRunning) running = mig_vms_get(daemon->vms, name);

        ok = running != NULL;
    }
    if (view && !ok)
        ok = may_run_here(view, error) && may_recover(daemon, view, error) &&
             start_view(daemon, view, error);
    mig_jobs_let_vm_go(daemon->jobs, name);
    return ok;
}

/* ---- stop ---- */

static gboolean
wait_until_absent(MigDaemon *daemon, const MigVm *vm, guint timeout_ms, GError **error)
{
    gint64 deadline = g_get_monotonic_time() + (gint64)timeout_ms * 1000;
    gint64 next_press = g_get_monotonic_time() + 5 * G_USEC_PER_SEC;
    MigDomainState state = MIG_DOMAIN_UNKNOWN;

    for (;;) {
        if (daemon->hv->get_state(daemon->hv->self, vm->name, vm->uuid, &state, error) &&
            state == MIG_DOMAIN_ABSENT)
            return TRUE;
        if (error && *error)
            return FALSE;
        if (g_get_monotonic_time() > deadline) {
            g_set_error(
                error, MIG_ERROR, MIG_ERROR_TIMEOUT,
                "%s has not shut down within %u s; its guest may ignore the power button: try "
                "again, or pull its plug with --force",
                vm->name, timeout_ms / 1000);
            return FALSE;
        }
        if (g_get_monotonic_time() > next_press) { /* a booting guest misses the first one */
            daemon->hv->shutdown(daemon->hv->self, vm->name, vm->uuid, NULL);
            next_press += 5 * G_USEC_PER_SEC;
        }
        g_usleep(100 * 1000);
    }
}

/* Not here. Down for sure, as for a start? Else error says why it cannot be stopped. */
static gboolean
is_down(MigDaemon *daemon, const MigVmView *view, GError **error)
{
    const char *name = view->vm->name;
    g_autoptr(MigNodeView) owner = NULL;
    g_autofree char *node = mig_attached_owner_name(view->attached, &view->owner, &owner);

    if (g_str_equal(view->state, "moving"))
        g_set_error(error, MIG_ERROR, MIG_ERROR_VM_BUSY,
                    "%s is being moved, or on a node that does not answer; see 'migratectl job "
                    "list' and 'migratectl node list'",
                    name);
    else if (!node && !g_str_equal(view->state, "stopped"))
        g_set_error(error, MIG_ERROR, MIG_ERROR_IO,
                    "whether %s runs cannot be told: its lease cannot be read", name);
    else if (node && !is_dead(daemon, view->attached, owner))
        g_set_error(error, MIG_ERROR, MIG_ERROR_NODE_UNREACHABLE,
                    "%s runs on %s, which gives no sign of life; it can be stopped once that is "
                    "back, or sanlock calls it dead",
                    name, node);
    else if (!view->vm->wants_running)
        g_set_error(error, MIG_ERROR, MIG_ERROR_VM_STOPPED, "%s is not running", name);
    else
        return TRUE;
    return FALSE;
}

/* It waits for its next start, or for the death of its node to be proven, or stays down until a
 * person starts it: whoever stops it means that nobody does. */
static gboolean
stop_down(MigDaemon *daemon, MigVmView *view, GError **error)
{
    const char *name = view->vm->name;
    g_autoptr(MigVmView) now = NULL;
    g_autoptr(GError) unsaid = NULL;

    /* marked by nobody, a start that hangs somewhere would run it: that is stopped, too */
    if (!is_down(daemon, view, &unsaid) &&
        (!g_error_matches(unsaid, MIG_ERROR, MIG_ERROR_VM_STOPPED) ||
         mig_wanted_is_stopped(view->vm))) {
        g_propagate_error(error, g_steal_pointer(&unsaid));
        return FALSE;
    }
    if (!mig_wanted_set(daemon, view, FALSE, error))
        return FALSE;
    now = mig_vm_find_on(daemon, view->attached, name, error);
    if (!now)
        return FALSE;
    /* a start makes it wanted, too, and one that was under way may have done so behind this */
    if (now->vm->wants_running || g_str_equal(now->state, "running")) {
        g_set_error(error, MIG_ERROR, MIG_ERROR_VM_BUSY, "%s was just being started; stop it again",
                    name);
        return FALSE;
    }
    if (unsaid) {
        g_propagate_error(error, g_steal_pointer(&unsaid));
        return FALSE;
    }
    mig_events_add(daemon->events, name, daemon->node, "stopped",
                   "it was down already; it is not wanted any more, so nobody starts it");
    return TRUE;
}

/* It runs on, and that is what was wanted before. */
static void
want_again(MigDaemon *daemon, MigVmView *view, GError **error)
{
    g_autoptr(GError) failed = NULL;

    if (view->vm->wants_running && !mig_wanted_set(daemon, view, TRUE, &failed))
        g_prefix_error(
            error,
            "%s runs on, but would not be started again if its node died, for that it is "
            "wanted could not be written (%s); stop it again once that is mended: ",
            view->vm->name, failed->message);
}

static gboolean
stop_held(MigDaemon *daemon, const char *name, gboolean force, guint timeout_ms, GError **error)
{
    g_autoptr(MigVmView) view = mig_vm_find(daemon, name, error);

    if (!view)
        return FALSE;
    if (!view->is_here)
        return stop_down(daemon, view, error);
    if (!mig_wanted_set(daemon, view, FALSE, error))
        return FALSE;
    if ((force ? !daemon->hv->destroy(daemon->hv->self, name, view->vm->uuid, error)
               : !daemon->hv->shutdown(daemon->hv->self, name, view->vm->uuid, error)) ||
        !wait_until_absent(daemon, view->vm, timeout_ms ? timeout_ms : MIG_STOP_MS, error)) {
        want_again(daemon, view, error);
        return FALSE;
    }
    mig_vms_refresh(daemon->vms);
    return TRUE;
}

gboolean
mig_vm_stop(MigDaemon *daemon, const char *name, gboolean force, guint timeout_ms, GError **error)
{
    if (!mig_jobs_hold_vm(daemon->jobs, name, error))
        return FALSE;
    gboolean ok = stop_held(daemon, name, force, timeout_ms, error);

    mig_jobs_let_vm_go(daemon->jobs, name);
    return ok;
}
