/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* adopt.c - the steps of an adoption, and the way back. */
#include "adopt.h"

#include "adopt-private.h"

#include "base/error.h"
#include "base/io.h"
#include "drivers/definition-xml.h"
#include "jobs.h"

#include <string.h>

#define BACKUP_MAX_BYTES (1u << 20)
/* Half a minute, which a daemon that starts has. */
#define CATCH_UP_US    (100 * 1000)
#define CATCH_UP_TRIES 300

void
mig_adopted_clear(MigAdopted *adopted)
{
    g_clear_pointer(&adopted->old_disks, g_strfreev);
    g_clear_pointer(&adopted->definition, g_free);
}

gboolean
mig_adopt_is_cancelled(const MigAdopt *adopt, GError **error)
{
    if (!adopt->hooks->is_cancelled || !adopt->hooks->is_cancelled(adopt->hooks->user_data))
        return FALSE;
    g_set_error(error, MIG_ERROR, MIG_ERROR_CANCELLED, "cancelled");
    return TRUE;
}

void
mig_adopt_progress(guint64 done_bytes, guint64 total_bytes, gpointer user_data)
{
    const MigAdopt *adopt = user_data;

    if (adopt->hooks->progress)
        adopt->hooks->progress(MIN(adopt->base_bytes + done_bytes, adopt->total_bytes),
                               adopt->total_bytes, adopt->hooks->user_data);
}

/* ---- a running domain ---- */

static gboolean
adopt_running(MigAdopt *adopt, gboolean *is_past, GError **error)
{
    if (!mig_adopt_live_copy(adopt, error) || !mig_adopt_turn(adopt, error))
        return FALSE;
    if (!mig_adopt_live_change(adopt, is_past, error)) {
        if (!*is_past)
            *is_past = !mig_adopt_turn_back(adopt);
        return FALSE;
    }
    *is_past = TRUE; /* with no disk, too */
    return mig_adopt_commit(adopt, adopt->plan->xml, TRUE, adopt->daemon->host_id, error);
}

/* ---- what an earlier try has left ---- */

/* All were equal at the turn. A guest that writes is ahead of its copy now and then, for a moment.
 */
static gboolean
look_at_rest(MigAdopt *adopt, const char *target, MigDiskCopy *copy, GError **error)
{
    for (guint tries = CATCH_UP_TRIES; tries > 0; tries--) {
        if (!mig_libvirt_copy_look(adopt->daemon->libvirt, adopt->plan->name, adopt->plan->uuid,
                                   target, copy, NULL, error))
            return FALSE;
        if (*copy != MIG_DISK_COPY_RUNS)
            return TRUE;
        g_usleep(CATCH_UP_US);
    }
    return TRUE;
}

/* Behind the turn. A running one that is still on an old disk goes on with the new one, if that has
 * been kept equal since. */
static gboolean
change_rest(MigAdopt *adopt, const char *definition, gboolean *is_stale, GError **error)
{
    const char *name = adopt->plan->name, *uuid = adopt->plan->uuid;
    g_auto(GStrv) targets =
        mig_definition_disks_elsewhere(definition, adopt->local->live_xml, error);

    for (guint i = 0; targets && targets[i]; i++) {
        const char *target = targets[i];
        MigDiskCopy copy = MIG_DISK_COPY_NONE;

        if (!look_at_rest(adopt, target, &copy, error))
            return FALSE;
        if (copy != MIG_DISK_COPY_READY) {
            *is_stale = TRUE;
            return TRUE;
        }
        if (!mig_libvirt_copy_end(adopt->daemon->libvirt, name, uuid, target, TRUE, error))
            return FALSE;
    }
    return targets != NULL;
}

/* The local definition is the VM's already. *is_stale: its running QEMU has none of the images, and
 * they are behind its disks; its old definition is back. */
static gboolean
finish(MigAdopt *adopt, const MigVmView *view, gboolean *is_stale, GError **error)
{
    gboolean is_locked = mig_definition_is_locked(view->vm->definition);
    g_autofree char *path = mig_adopt_backup_path(adopt->daemon, adopt->plan->name);
    g_autofree char *xml = NULL;
    g_autofree char *old = NULL;
    g_autoptr(MigAdoption) was = NULL;

    /* the cluster may start it: it was through with its disks before that, or is none of ours */
    if (is_locked && adopt->local->live_xml &&
        !change_rest(adopt, view->vm->definition, is_stale, error))
        return FALSE;
    if (*is_stale) {
        old = mig_io_read_file(path, BACKUP_MAX_BYTES, NULL, error);
        return old && mig_libvirt_local_define(adopt->daemon->libvirt, old, error);
    }
    if (is_locked) {
        xml = mig_definition_unlock(view->vm->definition, adopt->local->xml, error);
        if (!xml || !mig_adopt_commit(adopt, xml, view->owner.host_id != 0,
                                      (guint32)view->owner.host_id, error))
            return FALSE;
    }
    /* what it was made of, for people: the local definition says nothing of that any more */
    old = mig_io_read_file(path, BACKUP_MAX_BYTES, NULL, NULL);
    was = old ? mig_definition_adopt(old, view->vm->volume, TRUE, NULL) : NULL;
    if (was && g_str_equal(was->uuid, adopt->plan->uuid)) {
        mig_adoption_free(adopt->plan);
        adopt->plan = g_steal_pointer(&was);
    }
    return TRUE;
}

/* Before the turn. */
static gboolean
clear_up(MigAdopt *adopt, GError **error)
{
    return (!mig_adopt_is_running(adopt) || mig_adopt_live_undo(adopt, error)) &&
           mig_adopt_unclaim(adopt, error);
}

/* ---- all of it ---- */

/* Devices of one that does not run here are let go of, as after a stop. */
static void
deactivate(MigAdopt *adopt)
{
    g_autoptr(MigRunning) running = mig_vms_get(adopt->daemon->vms, adopt->plan->name);
    g_autoptr(MigVmView) view =
        running ? NULL : mig_vm_find(adopt->daemon, adopt->plan->name, NULL);
    g_autoptr(MigDefinition) definition =
        view ? mig_definition_parse(view->vm->definition, NULL) : NULL;

    if (definition)
        mig_vms_deactivate(adopt->daemon, (const char *const *)definition->images);
}

static gboolean
leave_libvirt(MigAdopt *adopt, GError **error)
{
    if (!mig_libvirt_local_undefine(adopt->daemon->libvirt, adopt->plan->name, adopt->plan->uuid,
                                    error))
        return FALSE;
    mig_vms_adopt(adopt->daemon->vms);
    deactivate(adopt);
    return TRUE;
}

/* is_past: the turn has been made and not taken back; what failed then is made good by the next
 * try. */
static gboolean
adopt_new(MigAdopt *adopt, GError **error)
{
    gboolean is_claimed = FALSE, is_past = FALSE, ok;
    g_autoptr(GError) local = NULL;

    if (!mig_adopt_check(adopt, error))
        return FALSE;
    ok = mig_adopt_claim(adopt, &is_claimed, error) &&
         (mig_adopt_is_running(adopt) ? adopt_running(adopt, &is_past, error)
                                      : mig_adopt_stopped(adopt, &is_past, error));
    if (ok)
        return TRUE;
    if (is_past) {
        g_prefix_error(error,
                       "%s is adopted in part; adopt it again, that goes on: ", adopt->plan->name);
        return FALSE;
    }
    if (is_claimed && !clear_up(adopt, &local)) {
        g_warning("an adoption of %s is not taken back in full: %s", adopt->plan->name,
                  local->message);
        g_prefix_error(error, "not all could be taken back, but adopting %s again does that: ",
                       adopt->plan->name);
    }
    return FALSE;
}

/* Reads what libvirt says now. */
static gboolean
read_local(MigAdopt *adopt, const char *domain, GError **error)
{
    g_clear_pointer(&adopt->local, mig_local_domain_free);
    g_clear_pointer(&adopt->plan, mig_adoption_free);
    adopt->local = mig_libvirt_local(adopt->daemon->libvirt, domain, error);
    if (!adopt->local)
        return FALSE;
    if (adopt->local->state != MIG_DOMAIN_ABSENT && adopt->local->state != MIG_DOMAIN_RUNNING) {
        g_set_error(error, MIG_ERROR, MIG_ERROR_VM_BUSY,
                    "%s is neither running nor stopped; 'virsh resume' or stop it first", domain);
        return FALSE;
    }
    adopt->plan = mig_definition_adopt(adopt->local->xml, mig_attached_name(adopt->attached),
                                       mig_adopt_is_running(adopt), error);
    return adopt->plan != NULL;
}

/* *is_done: an earlier try has been brought to its end. */
static gboolean
look_for_earlier(MigAdopt *adopt, gboolean *is_done, GError **error)
{
    g_autoptr(GError) local = NULL;
    g_autoptr(MigVmView) view = mig_vm_find(adopt->daemon, adopt->plan->name, &local);
    gboolean is_stale = FALSE, is_turned, is_same;

    if (!view) {
        if (g_error_matches(local, MIG_ERROR, MIG_ERROR_VM_UNKNOWN))
            return TRUE;
        g_propagate_error(error, g_steal_pointer(&local));
        return FALSE;
    }
    is_same = g_ascii_strcasecmp(view->vm->uuid, adopt->plan->uuid) == 0;
    is_turned = g_strcmp0(adopt->plan->lockspace, view->vm->volume) == 0;
    if (!is_same || (!is_turned && !mig_definition_is_locked(view->vm->definition))) {
        g_set_error(error, MIG_ERROR, MIG_ERROR_EXISTS,
                    "a VM %s is on volume %s already; 'virsh domrename' the domain", view->vm->name,
                    view->vm->volume);
        return FALSE;
    }
    mig_attached_unref(adopt->attached);
    adopt->attached = mig_attached_ref(view->attached);
    adopt->slot = view->vm->slot;
    adopt->lease =
        mig_csv_vm_lease(mig_attached_csv(view->attached), view->vm->slot, view->vm->name);
    if (is_turned) {
        if (!finish(adopt, view, &is_stale, error))
            return FALSE;
        *is_done = !is_stale;
        if (*is_done)
            return TRUE;
    }
    /* the images are named after the volume that they are on */
    if (!read_local(adopt, view->vm->name, error) || !clear_up(adopt, error))
        return FALSE;
    g_clear_pointer(&adopt->lease, mig_lease_free);
    return TRUE;
}

static void
tell(const MigAdopt *adopt, MigAdopted *adopted)
{
    g_autoptr(GStrvBuilder) old = g_strv_builder_new();

    for (guint i = 0; i < adopt->plan->disks->len; i++) {
        const MigAdoptDisk *disk = mig_adopt_disk(adopt, i);
        g_autofree char *line = g_strdup_printf("%s: %s", disk->target, disk->path);

        g_strv_builder_add(old, line);
    }
    adopted->old_disks = g_strv_builder_end(old);
    adopted->definition = mig_adopt_backup_path(adopt->daemon, adopt->plan->name);
    adopted->total_bytes = adopt->total_bytes;
}

static MigAttached *
pick_volume(MigDaemon *daemon, const char *volume, GError **error)
{
    g_autoptr(GPtrArray) all = NULL;

    if (volume)
        return mig_volumes_get(daemon->volumes, volume, error);
    all = mig_volumes_list(daemon->volumes);
    if (all->len == 1)
        return mig_attached_ref(g_ptr_array_index(all, 0));
    if (all->len == 0)
        g_set_error(error, MIG_ERROR, MIG_ERROR_VOLUME_UNKNOWN,
                    "no volume is attached; 'migratectl volume attach' one first");
    else
        g_set_error(error, MIG_ERROR, MIG_ERROR_BAD_VALUE,
                    "%u volumes are attached; say which one with --volume", all->len);
    return NULL;
}

static gboolean
adopt_held(MigAdopt *adopt, const char *domain, const char *volume, gboolean only_rest,
           MigAdopted *adopted, GError **error)
{
    gboolean is_done = FALSE;

    adopt->attached = pick_volume(adopt->daemon, volume, error);
    if (!adopt->attached || !read_local(adopt, domain, error) ||
        !look_for_earlier(adopt, &is_done, error))
        return FALSE;
    if (!is_done && only_rest)
        return TRUE;
    if (!is_done) {
        mig_attached_unref(g_steal_pointer(&adopt->attached)); /* that of an earlier try */
        adopt->attached = pick_volume(adopt->daemon, volume, error);
        if (!adopt->attached || !read_local(adopt, domain, error) || !adopt_new(adopt, error))
            return FALSE;
    }
    if (!leave_libvirt(adopt, error)) {
        g_prefix_error(error,
                       "%s is adopted, but its local definition is still there: adopt it "
                       "again: ",
                       domain);
        return FALSE;
    }
    tell(adopt, adopted);
    return TRUE;
}

static gboolean
run(MigDaemon *daemon, const char *domain, const char *volume, gboolean only_rest,
    const MigCopyHooks *hooks, MigAdopted *adopted, GError **error)
{
    MigAdopt adopt = {.daemon = daemon, .hooks = hooks};
    gboolean ok;

    if (!mig_jobs_hold_vm(daemon->jobs, domain, error))
        return FALSE;
    ok = adopt_held(&adopt, domain, volume, only_rest, adopted, error);
    mig_jobs_let_vm_go(daemon->jobs, domain);
    g_clear_pointer(&adopt.attached, mig_attached_unref);
    g_clear_pointer(&adopt.local, mig_local_domain_free);
    g_clear_pointer(&adopt.plan, mig_adoption_free);
    g_clear_pointer(&adopt.lease, mig_lease_free);
    g_free(adopt.sizes);
    return ok;
}

gboolean
mig_vm_adopt(MigDaemon *daemon, const char *domain, const char *volume, const MigCopyHooks *hooks,
             MigAdopted *adopted, GError **error)
{
    return run(daemon, domain, volume, FALSE, hooks, adopted, error);
}

void
mig_vm_adopt_rest(MigDaemon *daemon)
{
    const MigCopyHooks none = {0};
    g_autoptr(GPtrArray) all = mig_vm_list(daemon, NULL);

    for (guint i = 0; all && i < all->len; i++) {
        const MigVm *vm = ((const MigVmView *)g_ptr_array_index(all, i))->vm;
        g_autofree char *path = mig_adopt_backup_path(daemon, vm->name);
        /* a local definition of who was never adopted here is its owner's */
        g_autoptr(MigLocalDomain) local = g_file_test(path, G_FILE_TEST_EXISTS)
                                              ? mig_libvirt_local(daemon->libvirt, vm->name, NULL)
                                              : NULL;
        g_auto(MigAdopted) adopted = {0};
        g_autoptr(GError) error = NULL;

        if (!local || g_ascii_strcasecmp(local->uuid, vm->uuid) != 0)
            continue;
        if (run(daemon, vm->name, vm->volume, TRUE, &none, &adopted, &error))
            g_message("the adoption of %s was cut short, and is %s", vm->name,
                      adopted.definition ? "through now" : "taken back");
        else
            g_warning("%s has a local definition on this node: %s", vm->name, error->message);
    }
}
