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

    if (is_begun) {
        reply->beside = TRUE; /* what the coordinator that began this had found, nobody knows */
        return TRUE;
    }
    vm = asked_for(catalog, request, error);
    if (!vm)
        return FALSE;
    reply->beside =
        vm->last_host_id == NOBODY || (vm->wants_running && vm->last_host_id != request->host_id);
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
    if (!vm->wants_running && mig_wanted_is_stopped(vm)) {
        g_set_error(error, MIG_ERROR, MIG_ERROR_VM_STOPPED,
                    "%s is not wanted running any more: it was stopped meanwhile, or another start "
                    "of it has failed; start it again",
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

gboolean
mig_wanted_again(MigDaemon *daemon, const MigVmView *view, GError **error)
{
    g_autoptr(MigPeerChangeReply) reply = ask(daemon, view, "vm-again", TRUE, error);

    return reply != NULL;
}

gboolean
mig_wanted_begin(MigDaemon *daemon, const MigVmView *view, MigWantedMark *mark, GError **error)
{
    g_autoptr(MigPeerChangeReply) reply = NULL;

    if (view->vm->wants_running)
        return mig_wanted_again(daemon, view, error);
    reply = ask(daemon, view, "vm-wanted", TRUE, error);
    if (reply)
        mark->is_beside = reply->beside;
    return reply != NULL;
}

void
mig_wanted_take_back(MigDaemon *daemon, const MigVmView *view, const MigWantedMark *mark)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(MigPeerChangeReply) reply = NULL;

    if (view->vm->wants_running) /* it was before, and stays so */
        return;
    reply = ask(daemon, view, "vm-unwant", mark->is_beside, &error);
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
