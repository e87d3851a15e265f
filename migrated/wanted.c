/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* wanted.c - whether a VM is to run, as it stands on the LUN. */
#include "wanted.h"

#include "base/error.h"
#include "change.h"

#define NOBODY 0

/* ---- as coordinator: on what the LUN says then, not on what the asker has read ---- */

static MigVm *
asked_for(const MigCatalog *catalog, const MigPeerChangeRequest *request, GError **error)
{
    return mig_csv_vm(mig_attached_csv(catalog->attached), request->name ? request->name : "",
                      error);
}

static gboolean
write_mark(const MigCatalog *catalog, MigVm *vm, gboolean wants_running, gint64 by, GError **error)
{
    if (vm->wants_running == wants_running && vm->last_host_id == by)
        return TRUE;
    vm->wants_running = wants_running;
    vm->last_host_id = (guint32)by;
    return mig_csv_vm_update(mig_attached_csv(catalog->attached), &catalog->epoch, vm, error);
}

gboolean
mig_vm_run_wanted(MigCatalog *catalog, const MigPeerChangeRequest *request, gboolean is_begun,
                  MigPeerChangeReply *reply, GError **error)
{
    g_autoptr(MigVm) vm = NULL;

    if (is_begun)
        return TRUE;
    vm = asked_for(catalog, request, error);
    if (!vm)
        return FALSE;
    reply->was_wanted = vm->wants_running;
    return write_mark(
        catalog, vm, request->flag,
        request->flag || vm->last_host_id == NOBODY ? request->host_id : vm->last_host_id, error);
}

gboolean
mig_vm_run_again(MigCatalog *catalog, const MigPeerChangeRequest *request, gboolean is_begun,
                 MigPeerChangeReply *reply, GError **error)
{
    g_autoptr(MigVm) vm = asked_for(catalog, request, error);

    if (!vm)
        return FALSE;
    if (!vm->wants_running) {
        g_set_error(error, MIG_ERROR, MIG_ERROR_VM_STOPPED,
                    "%s is not wanted running any more: it was stopped meanwhile, or another "
                    "start of it has failed",
                    vm->name);
        return FALSE;
    }
    return is_begun || write_mark(catalog, vm, TRUE, request->host_id, error);
}

gboolean
mig_vm_run_unwant(MigCatalog *catalog, const MigPeerChangeRequest *request, gboolean is_begun,
                  MigPeerChangeReply *reply, GError **error)
{
    MigLeaseOwner owner = {0};
    g_autoptr(MigVm) vm = asked_for(catalog, request, error);

    if (!vm)
        return FALSE;
    if (is_begun || !vm->wants_running || vm->last_host_id != request->host_id)
        return TRUE;
    /* it has come up elsewhere meanwhile, or that cannot be told */
    if (!mig_csv_vm_lease_owner(mig_attached_csv(catalog->attached), vm->slot, &owner, NULL) ||
        owner.host_id != 0)
        return TRUE;
    return write_mark(catalog, vm, FALSE, request->flag ? NOBODY : request->host_id, error);
}

/* ---- asking ---- */

static MigPeerChangeReply *
ask(MigDaemon *daemon, const MigVmView *view, const char *what, gboolean flag, GError **error)
{
    const MigPeerChangeRequest change = {
        .change = (char *)what, .name = view->vm->name, .flag = flag, .host_id = daemon->host_id};

    return mig_change(daemon, view->attached, &change, error);
}

/* older: what a coordinator of an earlier version knows in its place, while a cluster is updated
 * node by node; VMs of dead nodes are started then, too. */
static MigPeerChangeReply *
ask_or(MigDaemon *daemon, const MigVmView *view, const char *what, gboolean flag,
       gboolean older_flag, GError **error)
{
    g_autoptr(GError) failed = NULL;
    MigPeerChangeReply *reply = ask(daemon, view, what, flag, &failed);

    if (g_error_matches(failed, MIG_ERROR, MIG_ERROR_FAILED))
        return ask(daemon, view, "vm-wanted", older_flag, error);
    if (failed)
        g_propagate_error(error, g_steal_pointer(&failed));
    return reply;
}

gboolean
mig_wanted_begin(MigDaemon *daemon, const MigVmView *view, MigWantedMark *mark, GError **error)
{
    g_autoptr(MigPeerChangeReply) reply = view->vm->wants_running
                                              ? ask_or(daemon, view, "vm-again", TRUE, TRUE, error)
                                              : ask(daemon, view, "vm-wanted", TRUE, error);

    if (reply)
        mark->is_another = reply->was_wanted;
    return reply != NULL;
}

void
mig_wanted_take_back(MigDaemon *daemon, const MigVmView *view, const MigWantedMark *mark)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(MigPeerChangeReply) reply = NULL;

    if (view->vm->wants_running) /* it was before, and stays so */
        return;
    reply = ask_or(daemon, view, "vm-unwant", mark->is_another, FALSE, &error);
    if (!reply)
        g_warning("%s does not run, and is still marked as wanted: %s", view->vm->name,
                  error->message);
}

gboolean
mig_wanted_set(MigDaemon *daemon, const MigVmView *view, gboolean wants_running, GError **error)
{
    g_autoptr(MigPeerChangeReply) reply = ask(daemon, view, "vm-wanted", wants_running, error);

    return reply != NULL;
}

gboolean
mig_wanted_is_stopped(const MigVm *vm)
{
    return vm->last_host_id != NOBODY;
}
