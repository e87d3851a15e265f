/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vms.c - the table of vms.h. */
#include "vms.h"

#include "base/error.h"
#include "holds.h"

#include <string.h>

#define EVENTS_MS 300

struct MigVms {
    MigDaemon *daemon;
    GMutex lock;
    GHashTable *running; /* name -> MigRunning */
    MigHolds *holds;
    GMutex refresh_lock; /* one refresh at a time, so that the last one to read also writes */
    GThreadPool *pool;   /* one thread: refreshes asked for by events */
    gint is_asked;       /* atomic: one is waiting already */
};

void
mig_running_free(MigRunning *running)
{
    if (!running)
        return;
    g_free(running->name);
    g_free(running->uuid);
    g_free(running->volume);
    g_strfreev(running->images);
    g_free(running);
}

static MigRunning *
running_copy(const MigRunning *from)
{
    MigRunning *running = g_memdup2(from, sizeof *from);

    running->name = g_strdup(from->name);
    running->uuid = g_strdup(from->uuid);
    running->volume = g_strdup(from->volume);
    running->images = g_strdupv(from->images);
    return running;
}

/* ---- images of a VM ---- */

/* Splits "volume/image". */
static MigAttached *
attached_of(MigDaemon *daemon, const char *image, const char **name, GError **error)
{
    const char *slash = strchr(image, '/');
    g_autofree char *volume = g_strndup(image, slash ? (gsize)(slash - image) : 0);

    *name = slash ? slash + 1 : "";
    return mig_volumes_get(daemon->volumes, volume, error);
}

gboolean
mig_vms_activate(MigDaemon *daemon, const char *const *images, GError **error)
{
    for (guint i = 0; images[i]; i++) {
        const char *name;
        g_autoptr(MigAttached) attached = attached_of(daemon, images[i], &name, error);

        if (attached && mig_csv_activate(mig_attached_csv(attached), name, TRUE, NULL, error))
            continue;
        g_prefix_error(error, "image %s: ", images[i]);
        for (guint k = 0; k < i; k++) {
            const char *const one[] = {images[k], NULL};

            mig_vms_deactivate(daemon, one);
        }
        return FALSE;
    }
    return TRUE;
}

/* By one that runs here, or comes here. */
static gboolean
is_used(MigVms *vms, const char *image)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&vms->lock);
    GHashTableIter iter;
    const MigRunning *running;

    g_hash_table_iter_init(&iter, vms->running);
    while (g_hash_table_iter_next(&iter, NULL, (gpointer *)&running)) {
        if (g_strv_contains((const char *const *)running->images, image))
            return TRUE;
    }
    return FALSE;
}

static void
deactivate_one(MigDaemon *daemon, const char *image)
{
    const char *name;
    g_autoptr(GError) error = NULL;
    g_autoptr(MigAttached) attached = attached_of(daemon, image, &name, NULL);

    if (attached && !mig_csv_deactivate(mig_attached_csv(attached), name, NULL, &error))
        g_warning("image %s stays active: %s", image, error->message);
}

void
mig_vms_deactivate(MigDaemon *daemon, const char *const *images)
{
    MigVms *vms = daemon->vms;

    for (guint i = 0; images[i]; i++) {
        if (!mig_holds_begin_letting_go(vms->holds, images[i]))
            continue;
        /* asked in this order: a job that has come drops its hold when the VM is in the table */
        if (!is_used(vms, images[i]))
            deactivate_one(daemon, images[i]);
        mig_holds_end_letting_go(vms->holds, images[i]);
    }
}

void
mig_vms_hold(MigVms *vms, const char *job, const char *const *images)
{
    mig_holds_take(vms->holds, job, images);
}

void
mig_vms_drop(MigVms *vms, const char *job)
{
    mig_holds_drop(vms->holds, job);
}

/* ---- the table ---- */

static gboolean
find_slot(MigVms *vms, const MigDomain *domain, guint32 *slot, gboolean *are_all_told)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(MigRunning) known = mig_vms_get(vms, domain->name);
    g_autoptr(MigAttached) attached = NULL;
    g_autoptr(MigVm) vm = NULL;

    if (known && g_strcmp0(known->uuid, domain->uuid) == 0 &&
        g_strcmp0(known->volume, domain->volume) == 0) {
        *slot = known->slot;
        return TRUE;
    }
    attached = mig_volumes_get(vms->daemon->volumes, domain->volume, NULL);
    vm = attached ? mig_csv_vm(mig_attached_csv(attached), domain->name, &error) : NULL;
    /* cannot be read now; one that is damaged no other node can read and start either, and must not
     * keep what has ended here in our slot for good */
    if (error && !g_error_matches(error, MIG_ERROR, MIG_ERROR_VM_UNKNOWN) &&
        !g_error_matches(error, MIG_ERROR, MIG_ERROR_DAMAGED))
        *are_all_told = FALSE;
    if (!vm || g_strcmp0(vm->uuid, domain->uuid) != 0)
        return FALSE;
    *slot = vm->slot;
    return TRUE;
}

static MigRunning *
running_from(MigVms *vms, const MigDomain *domain, gboolean *are_all_told)
{
    MigRunning *running;
    guint32 slot;

    if (!domain->volume || !find_slot(vms, domain, &slot, are_all_told))
        return NULL;
    running = g_new0(MigRunning, 1);
    running->name = g_strdup(domain->name);
    running->uuid = g_strdup(domain->uuid);
    running->volume = g_strdup(domain->volume);
    running->images = g_strdupv(domain->images);
    running->slot = slot;
    running->state = domain->state;
    running->is_leaving = domain->is_leaving;
    running->is_half = domain->is_half;
    running->is_broken = domain->is_broken;
    running->is_unsure = domain->is_unsure;
    return running;
}

static gboolean
is_set_equal(GHashTable *a, GHashTable *b)
{
    GHashTableIter iter;
    const char *name;
    const MigRunning *running;

    if (g_hash_table_size(a) != g_hash_table_size(b))
        return FALSE;
    g_hash_table_iter_init(&iter, a);
    while (g_hash_table_iter_next(&iter, (gpointer *)&name, (gpointer *)&running)) {
        const MigRunning *other = g_hash_table_lookup(b, name);

        if (!other || other->state != running->state || other->is_leaving != running->is_leaving ||
            other->is_half != running->is_half || other->is_broken != running->is_broken ||
            other->is_unsure != running->is_unsure)
            return FALSE;
    }
    return TRUE;
}

static void
publish_all(MigDaemon *daemon)
{
    g_autoptr(GPtrArray) volumes = mig_volumes_list(daemon->volumes);

    for (guint i = 0; i < volumes->len; i++) {
        MigAttached *attached = g_ptr_array_index(volumes, i);
        g_autoptr(GError) error = NULL;

        /* a LUN that does not answer is not waited for; its heartbeat tells when it is back */
        if (g_str_equal(mig_attached_state(attached), "lost"))
            continue;
        if (!mig_attached_publish(attached, &error))
            g_warning("cannot publish what runs here: %s", error->message);
    }
}

void
mig_vms_refresh(MigVms *vms)
{
    g_autoptr(GMutexLocker) one = g_mutex_locker_new(&vms->refresh_lock);
    g_autoptr(GError) error = NULL;
    g_autoptr(GPtrArray) volumes = mig_volumes_list(vms->daemon->volumes);
    g_autoptr(GPtrArray) domains = vms->daemon->hv->list(vms->daemon->hv->self, &error);
    GHashTable *now, *before;
    GHashTableIter iter;
    const char *name;
    MigRunning *running;
    gboolean has_changed, are_all_told = TRUE;

    if (!domains) {
        g_warning("%s", error->message);
        return; /* what was known stays: libvirtd away does not mean VMs away */
    }
    now = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, (GDestroyNotify)mig_running_free);
    for (guint i = 0; i < domains->len; i++) {
        running = running_from(vms, g_ptr_array_index(domains, i), &are_all_told);
        if (running)
            g_hash_table_insert(now, running->name, running);
    }
    g_mutex_lock(&vms->lock);
    before = vms->running;
    vms->running = now;
    has_changed = !is_set_equal(before, now);
    g_mutex_unlock(&vms->lock);
    for (guint i = 0; i < volumes->len && are_all_told; i++)
        mig_attached_set_listed(g_ptr_array_index(volumes, i));
    if (has_changed)
        publish_all(vms->daemon);
    g_hash_table_iter_init(&iter, before);
    while (g_hash_table_iter_next(&iter, (gpointer *)&name, (gpointer *)&running)) {
        g_autoptr(MigRunning) still = mig_vms_get(vms, name);

        if (!still)
            mig_vms_deactivate(vms->daemon, (const char *const *)running->images);
    }
    g_hash_table_unref(before);
}

void
mig_vms_ended(MigVms *vms, const char *name, const char *uuid)
{
    g_autoptr(MigRunning) running = NULL;

    g_mutex_lock(&vms->lock);
    const MigRunning *known = g_hash_table_lookup(vms->running, name);

    if (known && g_ascii_strcasecmp(known->uuid, uuid) == 0)
        g_hash_table_steal_extended(vms->running, name, NULL, (gpointer *)&running);
    g_mutex_unlock(&vms->lock);
    if (!running)
        return;
    publish_all(vms->daemon);
    mig_vms_deactivate(vms->daemon, (const char *const *)running->images);
}

GPtrArray *
mig_vms_list(MigVms *vms)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&vms->lock);
    GPtrArray *all = g_ptr_array_new_with_free_func((GDestroyNotify)mig_running_free);
    GHashTableIter iter;
    const MigRunning *running;

    g_hash_table_iter_init(&iter, vms->running);
    while (g_hash_table_iter_next(&iter, NULL, (gpointer *)&running))
        g_ptr_array_add(all, running_copy(running));
    return all;
}

void
mig_vms_adopt(MigVms *vms)
{
    g_autoptr(GPtrArray) all = NULL;

    mig_vms_refresh(vms);
    all = mig_vms_list(vms);
    for (guint i = 0; i < all->len; i++) {
        const MigRunning *running = g_ptr_array_index(all, i);
        g_autoptr(GError) error = NULL;

        if (!mig_vms_activate(vms->daemon, (const char *const *)running->images, &error))
            g_warning("%s runs here, but: %s", running->name, error->message);
    }
}

/* Events come in flocks, and those of a move around its blackout, when libvirt, the CPUs and the
 * LUN have better to do: so look a moment later, once for all of them. */
static void
refresh_work(gpointer data, gpointer user_data)
{
    MigVms *vms = user_data;

    g_usleep(EVENTS_MS * 1000);
    g_atomic_int_set(&vms->is_asked, 0);
    mig_vms_refresh(vms);
}

void
mig_vms_refresh_soon(MigVms *vms)
{
    if (g_atomic_int_compare_and_exchange(&vms->is_asked, 0, 1))
        g_thread_pool_push(vms->pool, GINT_TO_POINTER(1), NULL);
}

MigRunning *
mig_vms_get(MigVms *vms, const char *name)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&vms->lock);
    const MigRunning *running = g_hash_table_lookup(vms->running, name);

    return running ? running_copy(running) : NULL;
}

char *
mig_vms_first_on(MigVms *vms, const char *volume)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&vms->lock);
    GHashTableIter iter;
    const MigRunning *running;

    g_hash_table_iter_init(&iter, vms->running);
    while (g_hash_table_iter_next(&iter, NULL, (gpointer *)&running)) {
        if (g_str_equal(running->volume, volume))
            return g_strdup(running->name);
    }
    return NULL;
}

void
mig_vms_running_bits(MigVms *vms, const char *volume, guint8 bits[MIG_MAX_VM_SLOTS / 8])
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&vms->lock);
    GHashTableIter iter;
    const MigRunning *running;

    g_hash_table_iter_init(&iter, vms->running);
    while (g_hash_table_iter_next(&iter, NULL, (gpointer *)&running)) {
        /* the receiving half of a move does not run here yet; the sending one may go on at any
         * moment, though it stands still and has given its lease back */
        if ((running->state != MIG_DOMAIN_INCOMING || running->is_leaving) &&
            running->slot < MIG_MAX_VM_SLOTS && g_str_equal(running->volume, volume))
            bits[running->slot / 8] |= (guint8)(1u << (running->slot % 8));
    }
}

MigVms *
mig_vms_new(MigDaemon *daemon)
{
    MigVms *vms = g_new0(MigVms, 1);

    vms->daemon = daemon;
    g_mutex_init(&vms->lock);
    g_mutex_init(&vms->refresh_lock);
    vms->holds = mig_holds_new();
    vms->running =
        g_hash_table_new_full(g_str_hash, g_str_equal, NULL, (GDestroyNotify)mig_running_free);
    vms->pool = g_thread_pool_new(refresh_work, vms, 1, TRUE, NULL);
    return vms;
}

void
mig_vms_free(MigVms *vms)
{
    if (!vms)
        return;
    g_thread_pool_free(vms->pool, TRUE, TRUE);
    g_hash_table_unref(vms->running);
    mig_holds_free(vms->holds);
    g_mutex_clear(&vms->lock);
    g_mutex_clear(&vms->refresh_lock);
    g_free(vms);
}
